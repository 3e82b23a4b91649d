//! A packet as trackers see it: its bytes from the network header on, and what is already known of them.

use crate::tuple::{Addresses, Family};
use crate::zone::Zone;

/// An IP datagram handed in for tracking.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Bytes from the network header to the end of the datagram (total length; no link padding).
    pub bytes: &'a [u8],
    /// Family of the network header.
    pub family: Family,
    /// What is known of the transport checksum.
    pub checksum: Checksum,
    /// Zone to track in; [`Zone::DEFAULT`] unless rules say otherwise.
    pub zone: Zone,
}

impl<'a> Datagram<'a> {
    /// A datagram of zone 0 whose transport checksum nobody has verified.
    #[must_use]
    pub const fn new(family: Family, bytes: &'a [u8]) -> Self {
        Self { bytes, family, checksum: Checksum::Unknown, zone: Zone::DEFAULT }
    }
}

/// What is known of a datagram's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: it is to be verified.
    #[default]
    Unknown,
    /// It was verified, or the packet never left the machine.
    Valid,
    /// It is still to be finished (`CHECKSUM_PARTIAL`), so the field does not hold it yet.
    Partial,
}

/// A datagram whose transport header has been found.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub(crate) datagram: Datagram<'a>,
    pub(crate) located: Located,
    pub(crate) verify: bool,
}

/// What a network tracker finds in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Source and destination.
    pub addresses: Addresses,
    /// Transport protocol number.
    pub protocol: u8,
    /// Where the transport header starts, in bytes from the network header; at most the datagram's length.
    pub transport: usize,
}

impl<'a> Packet<'a> {
    /// The whole datagram, from the network header on.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.datagram.bytes
    }

    /// The datagram from the transport header on.
    #[must_use]
    pub fn transport(&self) -> &'a [u8] {
        &self.datagram.bytes[self.located.transport..]
    }

    /// Network protocol family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.datagram.family
    }

    /// Transport protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.located.protocol
    }

    /// Source and destination address.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.located.addresses
    }

    /// Whether the transport checksum is to be verified: it is not if it is still to be finished, was verified before,
    /// or nobody wants it to be (`Config::checksum`).
    #[must_use]
    pub fn is_to_be_verified(&self) -> bool {
        self.verify && self.datagram.checksum == Checksum::Unknown
    }

    /// Whether the transport checksum, over all from the transport header on and the `pseudo` header if the protocol
    /// has one, is known to be wrong. One that is not to be verified is not wrong (`nf_ip_checksum`).
    #[must_use]
    pub fn checksum_is_wrong(&self, pseudo: PseudoHeader) -> bool {
        self.checksum_is_wrong_over(self.transport().len(), pseudo)
    }

    /// As [`Self::checksum_is_wrong`], over the first `covered` bytes from the transport header on only.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn checksum_is_wrong_over(&self, covered: usize, pseudo: PseudoHeader) -> bool {
        if !self.is_to_be_verified() {
            return false;
        }
        let mut sum = Sum::default();
        sum.add(&self.transport()[..covered]);
        let protocol = match pseudo {
            PseudoHeader::Included => Some(self.protocol()),
            PseudoHeader::OfProtocol(protocol) => Some(protocol),
            PseudoHeader::None => None,
        };
        if let Some(protocol) = protocol {
            let addresses = self.addresses();
            let length = match self.family() {
                Family::Ipv4 => 4,
                Family::Ipv6 => 16,
            };
            sum.add(&addresses.source[..length]);
            sum.add(&addresses.destination[..length]);
            let transport_length =
                u32::try_from(self.transport().len()).expect("a datagram is shorter than 4 GiB");
            sum.add(&transport_length.to_be_bytes());
            sum.add(&[0, protocol]);
        }
        sum.fold() != 0xffff
    }
}

/// Whether a protocol's checksum covers the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PseudoHeader {
    /// It does (TCP, UDP, ICMPv6).
    Included,
    /// It does, but the pseudo header names another protocol than the network header.
    OfProtocol(u8),
    /// It does not (ICMP).
    None,
}

/// The Internet checksum's sum (RFC 1071), in the machine's byte order: it is only ever compared with all ones.
#[derive(Default)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<4>();
        self.0 += words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>();
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            self.0 += u64::from(u32::from_ne_bytes(word));
        }
    }

    fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).expect("folded to 16 bits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: &[u8], protocol: u8, checksum: Checksum, verify: bool) -> Packet<'_> {
        let mut addresses = Addresses { source: [0; 16], destination: [0; 16] };
        addresses.source[..4].copy_from_slice(&[10, 0, 0, 1]);
        addresses.destination[..4].copy_from_slice(&[10, 0, 0, 2]);
        let datagram = Datagram { bytes, family: Family::Ipv4, checksum, zone: Zone::DEFAULT };
        Packet { datagram, located: Located { addresses, protocol, transport: 0 }, verify }
    }

    /// UDP 7 > 53, five bytes of payload (an odd length).
    const UDP: [u8; 13] = [0, 7, 0, 53, 0, 13, 0x0a, 0xa5, b'h', b'e', b'l', b'l', b'o'];

    fn reference(bytes: &[u8]) -> u16 {
        let mut data = vec![10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, u8::try_from(bytes.len()).unwrap()];
        data.extend_from_slice(bytes);
        data.resize(data.len().next_multiple_of(2), 0);
        let sum: u32 = data.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
    }

    #[test]
    fn a_checksum_is_wrong_exactly_when_the_plain_sum_says_so() {
        let mut right = UDP;
        right[6..8].copy_from_slice(&[0, 0]);
        let checksum = !reference(&right);
        right[6..8].copy_from_slice(&checksum.to_be_bytes());
        assert!(!packet(&right, 17, Checksum::Unknown, true).checksum_is_wrong(PseudoHeader::Included));
        for bit in 0..right.len() * 8 {
            let mut wrong = right;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(
                packet(&wrong, 17, Checksum::Unknown, true).checksum_is_wrong(PseudoHeader::Included),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn what_is_verified_unfinished_or_not_asked_for_is_not_wrong() {
        let mut wrong = UDP;
        wrong[6] ^= 0x55;
        assert!(packet(&wrong, 17, Checksum::Unknown, true).checksum_is_wrong(PseudoHeader::Included));
        for (checksum, verify) in
            [(Checksum::Valid, true), (Checksum::Partial, true), (Checksum::Unknown, false)]
        {
            assert!(!packet(&wrong, 17, checksum, verify).checksum_is_wrong(PseudoHeader::Included));
        }
    }
}
