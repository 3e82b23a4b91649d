//! What packets carry: TCP, UDP, ICMP of both families, or anything.

use std::net::IpAddr;

use super::checksum;

/// How to write a checksum field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// As it should be.
    Right,
    /// One off.
    Wrong,
    /// This value.
    Set(u16),
    /// The sum of the pseudo header alone, the rest being left to the device.
    Partial,
}

impl Checksum {
    /// What goes into the field when `right` were right. Headers without a pseudo header have no partial sum.
    pub(super) fn of(self, right: u16) -> u16 {
        self.over(right, &[])
    }

    /// What goes into the field of a header behind this pseudo header when `right` were right.
    fn over(self, right: u16, pseudo_header: &[u8]) -> u16 {
        match self {
            Self::Right => right,
            Self::Wrong => right.wrapping_add(1),
            Self::Set(value) => value,
            Self::Partial => !checksum(&[pseudo_header]),
        }
    }
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub enum Payload {
    /// UDP.
    Udp(Udp),
    /// TCP.
    Tcp(Tcp),
    /// ICMP or ICMPv6, by the family of the packet.
    Icmp(Icmp),
    /// A protocol number and its bytes.
    Raw(u8, Vec<u8>),
}

/// A UDP datagram (RFC 768).
#[derive(Clone, Debug)]
pub struct Udp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Length in bytes, header included.
    pub length: Option<u16>,
    /// Checksum.
    pub checksum: Checksum,
    /// Payload.
    pub data: Vec<u8>,
}

/// A TCP segment (RFC 9293).
#[derive(Clone, Debug)]
pub struct Tcp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Header length in words of four bytes.
    pub header_words: Option<u8>,
    /// Flags, FIN the lowest bit.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Checksum.
    pub checksum: Checksum,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Payload.
    pub data: Vec<u8>,
}

/// An ICMP or ICMPv6 message (RFC 792, RFC 4443).
#[derive(Clone, Debug)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub checksum: Checksum,
    /// The four bytes after the checksum.
    pub rest: [u8; 4],
    /// What follows.
    pub data: Vec<u8>,
}

impl Payload {
    /// Protocol number and bytes between these two addresses.
    pub(super) fn bytes(&self, source: IpAddr, destination: IpAddr) -> (u8, Vec<u8>) {
        match self {
            Self::Udp(udp) => (17, udp.bytes(source, destination)),
            Self::Tcp(tcp) => (6, tcp.bytes(source, destination)),
            Self::Icmp(icmp) => icmp.bytes(source, destination),
            Self::Raw(protocol, bytes) => (*protocol, bytes.clone()),
        }
    }
}

impl Udp {
    fn bytes(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let length = self.length.unwrap_or((8 + self.data.len()) as u16);
        let fields = [self.source, self.destination, length, 0];
        let mut bytes = [fields.map(u16::to_be_bytes).concat(), self.data.clone()].concat();
        // RFC 768: a sum of zero is sent as all ones.
        let pseudo = pseudo_header(source, destination, 17, bytes.len());
        let right = match checksum(&[&pseudo, &bytes]) {
            0 => 0xffff,
            sum => sum,
        };
        bytes[6..8].copy_from_slice(&self.checksum.over(right, &pseudo).to_be_bytes());
        bytes
    }
}

impl Tcp {
    fn bytes(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let words = self.header_words.unwrap_or(5 + (self.options.len() / 4) as u8);
        let mut bytes = [self.source, self.destination].map(u16::to_be_bytes).concat();
        bytes.extend([self.sequence, self.acknowledgment].map(u32::to_be_bytes).concat());
        bytes.extend([words << 4, self.flags]);
        bytes.extend([self.window, 0, 0].map(u16::to_be_bytes).concat());
        bytes.extend(&self.options);
        bytes.extend(&self.data);
        let pseudo = pseudo_header(source, destination, 6, bytes.len());
        let right = checksum(&[&pseudo, &bytes]);
        bytes[16..18].copy_from_slice(&self.checksum.over(right, &pseudo).to_be_bytes());
        bytes
    }
}

impl Icmp {
    fn bytes(&self, source: IpAddr, destination: IpAddr) -> (u8, Vec<u8>) {
        let mut bytes = vec![self.kind, self.code, 0, 0];
        bytes.extend(self.rest);
        bytes.extend(&self.data);
        let (protocol, pseudo) = match source {
            IpAddr::V4(_) => (1, Vec::new()),
            IpAddr::V6(_) => (58, pseudo_header(source, destination, 58, bytes.len())),
        };
        let right = checksum(&[&pseudo, &bytes]);
        bytes[2..4].copy_from_slice(&self.checksum.over(right, &pseudo).to_be_bytes());
        (protocol, bytes)
    }
}

/// The pseudo header that transport checksums cover (RFC 9293 section 3.1, RFC 8200 section 8.1).
fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let tail = [[0, protocol], (length as u16).to_be_bytes()].concat();
            [source.octets().as_slice(), &destination.octets(), &tail].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let tail = [(length as u32).to_be_bytes(), [0, 0, 0, protocol]].concat();
            [source.octets().as_slice(), &destination.octets(), &tail].concat()
        }
        _ => unreachable!("both addresses come from one packet"),
    }
}
