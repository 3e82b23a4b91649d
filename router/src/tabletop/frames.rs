//! Frames to put on the wires of a table: whole and correct, for tests to send or to spoil.

use std::net::{IpAddr, SocketAddr};

use fib::adjacency::Mac;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet,
    Icmpv6Repr, IpAddress, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket,
    UdpRepr,
};

use crate::frame::{Checksum, Segmentation, SegmentationKind};
use crate::port::memory::Parcel;

/// Who sends a frame to whom.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Link address of the sender.
    pub from: Mac,
    /// Link address of the receiver.
    pub to: Mac,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub ttl: u8,
}

impl Ends {
    /// From a host with the link address `02:00:00:00:01:01` to the table's port `port`, with a TTL of 64.
    ///
    /// # Panics
    /// If the arguments are no socket addresses.
    #[must_use]
    pub fn to_port(port: usize, source: &str, destination: &str) -> Self {
        Self {
            from: HOST,
            to: super::port_mac(port),
            source: source.parse().expect("address and port"),
            destination: destination.parse().expect("address and port"),
            ttl: 64,
        }
    }

    /// The same with another TTL.
    #[must_use]
    pub const fn with_ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// A UDP datagram.
    #[must_use]
    pub fn udp(&self, payload: &[u8]) -> Vec<u8> {
        let udp = UdpRepr { src_port: self.source.port(), dst_port: self.destination.port() };
        let (source, destination) = self.addresses();
        self.frame(IpProtocol::Udp, 8 + payload.len(), |bytes| {
            let mut packet = UdpPacket::new_unchecked(bytes);
            let fill = |bytes: &mut [u8]| bytes.copy_from_slice(payload);
            let whole = ChecksumCapabilities::default();
            udp.emit(&mut packet, &source, &destination, payload.len(), fill, &whole);
        })
    }

    /// A TCP segment.
    #[must_use]
    pub fn tcp(&self, control: TcpControl, sequence: i32, ack: Option<i32>, payload: &[u8]) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: self.source.port(),
            dst_port: self.destination.port(),
            control,
            seq_number: TcpSeqNumber(sequence),
            ack_number: ack.map(TcpSeqNumber),
            window_len: 65_000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let (source, destination) = self.addresses();
        self.frame(IpProtocol::Tcp, tcp.buffer_len(), |bytes| {
            let mut packet = TcpPacket::new_unchecked(bytes);
            tcp.emit(&mut packet, &source, &destination, &ChecksumCapabilities::default());
        })
    }

    /// An ICMP or ICMPv6 echo request; the source's port is its identifier.
    #[must_use]
    pub fn echo(&self, sequence: u16) -> Vec<u8> {
        let (ident, data) = (self.source.port(), &b"ping"[..]);
        let whole = ChecksumCapabilities::default();
        match self.addresses() {
            (IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) => {
                let echo = Icmpv6Repr::EchoRequest { ident, seq_no: sequence, data };
                self.frame(IpProtocol::Icmpv6, echo.buffer_len(), |bytes| {
                    echo.emit(&source, &destination, &mut Icmpv6Packet::new_unchecked(bytes), &whole);
                })
            }
            _ => {
                let echo = Icmpv4Repr::EchoRequest { ident, seq_no: sequence, data };
                self.frame(IpProtocol::Icmp, echo.buffer_len(), |bytes| {
                    echo.emit(&mut Icmpv4Packet::new_unchecked(bytes), &whole);
                })
            }
        }
    }

    /// A TCP super-packet as an offloading sender hands it over: one checksum over the pseudo header, to be cut into
    /// segments of `size` payload bytes.
    #[must_use]
    pub fn tcp_super_packet(&self, sequence: i32, ack: i32, payload: &[u8], size: u16) -> Parcel {
        let mut bytes = self.tcp(TcpControl::Psh, sequence, Some(ack), payload);
        let (kind, network_len) = match self.source.ip() {
            IpAddr::V4(_) => (SegmentationKind::Tcp4, 20),
            IpAddr::V6(_) => (SegmentationKind::Tcp6, 40),
        };
        let transport = 14 + network_len;
        let field = transport + TCP_CHECKSUM;
        let length = bytes.len() - transport;
        // What is missing from the finished sum is what the payload and the header add to it.
        bytes[field..field + 2].fill(0);
        let pseudo = pseudo_header_sum(self.source.ip(), self.destination.ip(), length);
        bytes[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
        Parcel {
            bytes,
            vlan: None,
            checksum: Checksum::Partial { start: network_len as u16, offset: TCP_CHECKSUM as u16 },
            segmentation: Some(Segmentation { kind, size, header_len: network_len as u16 + 20, ecn: false }),
        }
    }

    fn addresses(&self) -> (IpAddress, IpAddress) {
        (self.source.ip().into(), self.destination.ip().into())
    }

    fn frame(&self, protocol: IpProtocol, len: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let (source, destination) = self.addresses();
        let ip = IpRepr::new(source, destination, protocol, len, self.ttl);
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress(self.from.0),
            dst_addr: EthernetAddress(self.to.0),
            ethertype: match self.source.ip() {
                IpAddr::V4(_) => EthernetProtocol::Ipv4,
                IpAddr::V6(_) => EthernetProtocol::Ipv6,
            },
        };
        let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len()];
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        let packet = &mut bytes[ethernet.buffer_len()..];
        ip.emit(&mut *packet, &ChecksumCapabilities::default());
        fill(&mut packet[ip.header_len()..]);
        bytes
    }
}

/// The sum that a partial TCP checksum field holds: of the pseudo header alone, not inverted.
fn pseudo_header_sum(source: IpAddr, destination: IpAddr, length: usize) -> u16 {
    const TCP: u16 = 6;
    let words = |address: IpAddr| -> Vec<u16> {
        match address {
            IpAddr::V4(address) => {
                address.octets().chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
            }
            IpAddr::V6(address) => address.segments().to_vec(),
        }
    };
    let sum: u32 = words(source).into_iter().chain(words(destination)).map(u32::from).sum();
    let sum = sum + u32::from(TCP) + length as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Offset of the checksum in a TCP header.
const TCP_CHECKSUM: usize = 16;

/// Link address of the host that frames of a table come from.
pub const HOST: Mac = Mac([2, 0, 0, 0, 1, 1]);
