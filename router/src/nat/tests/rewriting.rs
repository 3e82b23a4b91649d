//! Packets of every protocol rewritten there and back: no byte is lost, and every checksum is what a slow recomputation
//! says.

use conntrack::{Family, protocol};
use proptest::prelude::*;

use crate::nat::Manip;
use crate::nat::rewrite::{Headers, Side, TooShort, rewrite};

const GRE: u8 = 47;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// RFC 1071 section 4.1, word for word.
fn slow_sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut total = 0_u64;
    for pair in bytes.chunks(2) {
        total += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// CRC32c, bit by bit.
fn slow_crc(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}

/// A packet of one protocol, from its network header on.
#[derive(Clone, Debug)]
struct Sample {
    bytes: Vec<u8>,
    family: Family,
    protocol: u8,
    transport: usize,
    unfinished: bool,
}

impl Sample {
    fn headers(&self) -> Headers {
        let Self { family, protocol, transport, unfinished, .. } = *self;
        Headers { family, protocol, transport, unfinished }
    }

    /// Source, destination, protocol and length, as checksums cover them.
    fn pseudo_header(&self) -> Vec<u8> {
        let addresses = if self.family == Family::Ipv4 { 12..20 } else { 8..40 };
        let length = (self.bytes.len() - self.transport) as u32;
        [&self.bytes[addresses], &length.to_be_bytes(), &[0, self.protocol]].concat()
    }

    /// Where the checksum is, and whether it covers the addresses.
    fn checksum(&self) -> Option<(usize, bool)> {
        match self.protocol {
            protocol::TCP => Some((self.transport + 16, true)),
            protocol::UDP | UDP_LITE => Some((self.transport + 6, true)),
            protocol::ICMP => Some((self.transport + 2, false)),
            protocol::ICMPV6 => Some((self.transport + 2, true)),
            _ => None,
        }
    }

    /// Writes every checksum as its sender would.
    fn finish(&mut self) {
        if self.family == Family::Ipv4 {
            self.bytes[10..12].fill(0);
            let sum = !slow_sum(&[&self.bytes[..self.transport]]);
            self.bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        if self.protocol == SCTP {
            let field = self.transport + 8..self.transport + 12;
            self.bytes[field.clone()].fill(0);
            let sum = slow_crc(&self.bytes[self.transport..]);
            self.bytes[field].copy_from_slice(&sum.to_le_bytes());
        }
        let Some((field, covers_addresses)) = self.checksum() else { return };
        self.bytes[field..field + 2].fill(0);
        let pseudo = if covers_addresses { self.pseudo_header() } else { Vec::new() };
        let mut sum = match self.unfinished {
            true => slow_sum(&[&pseudo]),
            false => !slow_sum(&[&pseudo, &self.bytes[self.transport..]]),
        };
        if sum == 0 && matches!(self.protocol, protocol::UDP | UDP_LITE) {
            sum = 0xffff;
        }
        self.bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    }

    fn side(&self, manip: Manip) -> Side {
        let width = if self.family == Family::Ipv4 { 4 } else { 16 };
        let first = if self.family == Family::Ipv4 { 12 } else { 8 };
        let start = if manip == Manip::Source { first } else { first + width };
        let mut address = [0; 16];
        address[..width].copy_from_slice(&self.bytes[start..start + width]);
        let at = match (self.protocol, manip) {
            (protocol::ICMP | protocol::ICMPV6, _) => 4,
            (GRE, _) => 6,
            (_, Manip::Source) => 0,
            (_, Manip::Destination) => 2,
        } + self.transport;
        let id = u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]);
        Side { manip, address, id }
    }

    fn rewrite(&mut self, side: &Side) {
        let headers = self.headers();
        rewrite(&mut self.bytes, &headers, side).expect("it is long enough");
    }
}

fn sample(family: Family, protocol: u8, unfinished: bool, noise: &[u8]) -> Sample {
    let transport = if family == Family::Ipv4 { 24 } else { 48 };
    let mut bytes = noise.to_vec();
    bytes.resize(bytes.len().max(transport + 24), 0x5a);
    bytes[0] = if family == Family::Ipv4 { 0x46 } else { 0x60 };
    match protocol {
        // Echo, or what has no id.
        protocol::ICMP => bytes[transport] &= 8,
        protocol::ICMPV6 => bytes[transport] |= 0x80,
        GRE => bytes[transport + 1] = bytes[transport + 1] & !7 | 1,
        _ => {}
    }
    let mut sample = Sample { bytes, family, protocol, transport, unfinished };
    sample.finish();
    sample
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let protocols = [protocol::TCP, protocol::UDP, UDP_LITE, SCTP, protocol::ICMP, protocol::ICMPV6, GRE, 50];
    let noise = prop::collection::vec(any::<u8>(), 60..200);
    (any::<bool>(), prop::sample::select(protocols.to_vec()), any::<bool>(), noise).prop_map(
        |(six, protocol, unfinished, noise)| {
            let family = if six { Family::Ipv6 } else { Family::Ipv4 };
            let can = matches!(protocol, protocol::TCP | protocol::UDP);
            sample(family, protocol, unfinished && can, &noise)
        },
    )
}

fn any_manip() -> impl Strategy<Value = Manip> {
    prop_oneof![Just(Manip::Source), Just(Manip::Destination)]
}

proptest! {
    #[test]
    fn there_and_back_no_byte_is_lost(
        sample in any_sample(), manip in any_manip(), address: [u8; 16], id: u16,
    ) {
        let mut packet = sample.clone();
        packet.rewrite(&Side { manip, address, id });
        packet.rewrite(&sample.side(manip));
        prop_assert_eq!(packet.bytes, sample.bytes);
    }

    #[test]
    fn rewritten_packets_are_as_if_their_sender_had_made_them(
        sample in any_sample(), manip in any_manip(), address: [u8; 16], id: u16,
    ) {
        let mut packet = sample.clone();
        packet.rewrite(&Side { manip, address, id });
        let mut made = packet.clone();
        made.finish();
        prop_assert_eq!(&packet.bytes, &made.bytes);
        let width = if sample.family == Family::Ipv4 { 4 } else { 16 };
        prop_assert_eq!(&packet.side(manip).address[..width], &address[..width]);
        let bears_id = match sample.protocol {
            protocol::ICMP | protocol::ICMPV6 => false,
            GRE => manip == Manip::Destination,
            other => other != 50,
        };
        prop_assert!(!bears_id || packet.side(manip).id == id);
        let other = manip.opposite();
        if !matches!(sample.protocol, protocol::ICMP | protocol::ICMPV6 | GRE) {
            prop_assert_eq!(packet.side(other).id, sample.side(other).id, "the other side stays");
        }
        prop_assert_eq!(packet.side(other).address, sample.side(other).address, "the other side stays");
    }

    #[test]
    fn no_bytes_and_no_offsets_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 40..100), transport in 40..110_usize, number: u8, six: bool,
        manip in any_manip(),
    ) {
        let mut bytes = bytes;
        let family = if six { Family::Ipv6 } else { Family::Ipv4 };
        let headers = Headers { family, protocol: number, transport, unfinished: false };
        let _ = rewrite(&mut bytes, &headers, &Side { manip, address: [7; 16], id: 7 });
    }
}

#[test]
fn a_udp_datagram_without_a_checksum_stays_without() {
    let mut packet = sample(Family::Ipv4, protocol::UDP, false, &[1; 80]);
    let field = packet.transport + 6;
    packet.bytes[field..field + 2].fill(0);
    packet.rewrite(&Side { manip: Manip::Source, address: [9; 16], id: 9 });
    assert_eq!(packet.bytes[field..field + 2], [0, 0]);
}

#[test]
fn an_echo_gets_its_id_on_either_side_and_an_error_keeps_what_stands_there() {
    for manip in [Manip::Source, Manip::Destination] {
        for (family, number, kind, expected) in [
            (Family::Ipv4, protocol::ICMP, 8, true),
            (Family::Ipv4, protocol::ICMP, 14, true),
            (Family::Ipv4, protocol::ICMP, 3, false),
            (Family::Ipv6, protocol::ICMPV6, 128, true),
            (Family::Ipv6, protocol::ICMPV6, 2, false),
        ] {
            let mut packet = sample(family, number, false, &[1; 80]);
            packet.bytes[packet.transport] = kind;
            packet.finish();
            packet.rewrite(&Side { manip, address: [9; 16], id: 0x0909 });
            assert_eq!(packet.side(manip).id == 0x0909, expected, "type {kind}");
        }
    }
}

#[test]
fn a_transport_header_that_is_cut_off_is_not_touched() {
    for number in [protocol::TCP, protocol::UDP, protocol::ICMP, SCTP, GRE] {
        let whole = sample(Family::Ipv4, number, false, &[1; 80]);
        let side = Side { manip: Manip::Source, address: [9; 16], id: 9 };
        let mut cut = whole.bytes[..whole.transport + 7].to_vec();
        let before = cut.clone();
        assert_eq!(rewrite(&mut cut, &whole.headers(), &side), Err(TooShort));
        assert_eq!(cut, before);
    }
}

#[test]
fn of_gre_only_a_call_has_a_key() {
    for (version, written) in [(0, Some(false)), (1, Some(true)), (2, None)] {
        let mut packet = sample(Family::Ipv4, GRE, false, &[1; 80]);
        packet.bytes[packet.transport + 1] = version;
        let headers = packet.headers();
        let side = Side { manip: Manip::Destination, address: [9; 16], id: 0x0909 };
        let rewritten = rewrite(&mut packet.bytes, &headers, &side).is_ok();
        assert_eq!(rewritten.then(|| packet.side(Manip::Destination).id == 0x0909), written);
    }
}
