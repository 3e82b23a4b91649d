//! The bytes of a sequence's packets. Every sequence has addresses of its own; packets bear the number of their step.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::sequence::{Body, Chunk, Host, Options, Packet, Segment, Sequence, Side, Treatment};
use crate::frames::{self, Checksum, Icmp, Payload, Tcp, Udp, V4, V6};

/// First port and id of the client's flows; further flows count from it.
const CLIENT_PORT: u16 = 20_000;
/// Port of the server.
const SERVER_PORT: u16 = 80;

/// Class of service that asks the kernel's rules not to track a packet.
pub const CLASS_NO_TRACK: u8 = 32;
/// Class of service that asks the kernel's rules to drop a tracked packet.
pub const CLASS_LOST: u8 = 33;
/// Class of service of zone 0; those of zones 1 to 7 follow.
pub const CLASS_ZONE: u8 = 16;

/// The place of a packet: which sequence, which step of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Number of the sequence; its hosts' addresses end with it.
    pub sequence: u16,
    /// Number of the step.
    pub step: u8,
}

/// The address of a host of the sequence numbered `number`.
#[must_use]
pub fn address(host: Host, number: u16, ipv6: bool) -> IpAddr {
    let net = match host {
        Host::Client => 1,
        Host::Server => 2,
        Host::LeftRouter => 3,
        Host::RightRouter => 4,
    };
    let [high, low] = number.to_be_bytes();
    if ipv6 {
        Ipv6Addr::new(0xfd00, net, 0, 0, 0, 0, 0, number).into()
    } else {
        Ipv4Addr::new(10, net as u8, high, low).into()
    }
}

/// The number of the sequence that an address made by [`address`] belongs to.
#[must_use]
pub fn number_of(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(address) => u16::from_be_bytes([address.octets()[2], address.octets()[3]]),
        IpAddr::V6(address) => address.segments()[7],
    }
}

/// The datagrams that `packet` is sent as: one, or the pieces of one.
#[must_use]
pub fn datagrams(sequence: &Sequence, packet: &Packet, place: Place) -> Vec<Vec<u8>> {
    let [source, destination] =
        [packet.source(), packet.destination()].map(|host| address(host, place.sequence, sequence.ipv6));
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let whole = V4 {
                version: 4,
                header_words: None,
                tos: class(packet.treatment) << 2,
                total_length: None,
                id: place.step.into(),
                reserved: false,
                dont_fragment: false,
                more_fragments: false,
                offset: 0,
                ttl: 64,
                protocol: None,
                checksum: Checksum::Right,
                source,
                destination,
                options: Vec::new(),
                payload: payload(sequence, packet, place),
            };
            let (protocol, mut carried) = (whole.bytes()[9], whole.payload_bytes());
            finish(packet, &mut carried);
            let whole = V4 { payload: Payload::Raw(protocol, carried.clone()), ..whole };
            pieces(packet, carried.len())
                .map(|piece| match piece {
                    None => whole.bytes(),
                    Some((from, to)) => frames::fragment4(&whole, from, to).bytes(),
                })
                .collect()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let whole = V6 {
                version: 6,
                traffic_class: class(packet.treatment) << 2,
                flow_label: place.step.into(),
                payload_length: None,
                next_header: None,
                hop_limit: 64,
                source,
                destination,
                extensions: Vec::new(),
                payload: payload(sequence, packet, place),
            };
            let bytes = whole.bytes();
            let (protocol, mut carried) = (bytes[6], bytes[40..].to_vec());
            finish(packet, &mut carried);
            let whole = V6 { payload: Payload::Raw(protocol, carried.clone()), ..whole };
            pieces(packet, carried.len())
                .map(|piece| match piece {
                    None => whole.bytes(),
                    Some((from, to)) => frames::fragment6(&whole, place.step.into(), from, to).bytes(),
                })
                .collect()
        }
        _ => unreachable!("both addresses are of the sequence's family"),
    }
}

const fn class(treatment: Treatment) -> u8 {
    match treatment {
        Treatment::Usual => 0,
        Treatment::Zone(zone) => CLASS_ZONE + zone,
        Treatment::NoTrack => CLASS_NO_TRACK,
        Treatment::Lost => CLASS_LOST,
    }
}

/// From where to where pieces reach; `None` for a whole packet.
fn pieces(packet: &Packet, length: usize) -> impl Iterator<Item = Option<(usize, usize)>> + use<> {
    let size = packet.pieces.map_or(0, usize::from);
    let count = if size == 0 { 1 } else { length.div_ceil(size).max(1) };
    (0..count).map(move |number| (size != 0).then(|| (number * size, (number + 1) * size)))
}

/// Cuts the packet off.
fn finish(packet: &Packet, carried: &mut Vec<u8>) {
    if let Some(cut) = packet.cut {
        carried.truncate(cut.into());
    }
}

fn payload(sequence: &Sequence, packet: &Packet, place: Place) -> Payload {
    let client_port = CLIENT_PORT + u16::from(packet.flow);
    let (source, destination) = match packet.side {
        Side::Left => (client_port, SERVER_PORT),
        Side::Right => (SERVER_PORT, client_port),
    };
    let checksum = match packet {
        Packet { no_checksum: true, .. } => Checksum::Set(0),
        Packet { bad_checksum: true, .. } => Checksum::Wrong,
        _ => Checksum::Right,
    };
    match &packet.body {
        Body::Tcp(segment) => {
            let (own, other) =
                (sequence.starts[packet.side.index()], sequence.starts[packet.side.opposite().index()]);
            Payload::Tcp(Tcp { source, destination, checksum, ..tcp(segment, own, other) })
        }
        Body::Udp { length, claims } => {
            Payload::Udp(Udp { source, destination, length: *claims, checksum, data: data(*length) })
        }
        Body::UdpLite { length, coverage } => {
            let ends = [packet.source(), packet.destination()]
                .map(|host| address(host, place.sequence, sequence.ipv6));
            Payload::Raw(136, udp_lite([source, destination], *length, *coverage, checksum, ends))
        }
        Body::Icmp { kind, code, length } => {
            let [high, low] = client_port.to_be_bytes();
            let rest = [high, low, 0, 1];
            Payload::Icmp(Icmp { kind: *kind, code: *code, checksum, rest, data: data(*length) })
        }
        Body::Error { kind, code, quoted, quoted_bytes } => {
            let mut data = datagrams(sequence, quoted, place).swap_remove(0);
            data.truncate((*quoted_bytes).into());
            Payload::Icmp(Icmp { kind: *kind, code: *code, checksum, rest: [0; 4], data })
        }
        Body::Sctp { tag, chunks } => Payload::Raw(132, sctp([source, destination], *tag, chunks, checksum)),
        Body::Gre { version, key } => Payload::Raw(47, gre(*version, *key)),
        Body::Other { protocol, length } => Payload::Raw(*protocol, data(*length)),
    }
}

fn data(length: u16) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// The segment of a sender that counts from `own` to a receiver that counts from `other`.
fn tcp(segment: &Segment, own: u32, other: u32) -> Tcp {
    let acknowledges = segment.flags & super::sequence::ACK != 0 || segment.acknowledgment != 0;
    Tcp {
        source: 0,
        destination: 0,
        sequence: own.wrapping_add(segment.sequence),
        acknowledgment: if acknowledges { other.wrapping_add(segment.acknowledgment) } else { 0 },
        header_words: segment.header_words,
        flags: segment.flags,
        window: segment.window,
        checksum: Checksum::Right,
        options: options(&segment.options, other),
        data: data(segment.length),
    }
}

/// Options as in RFC 9293 section 3.2, RFC 7323 and RFC 2018, filled up with no-operations to whole words.
fn options(options: &Options, other: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mss) = options.mss {
        bytes.extend([2, 4]);
        bytes.extend(mss.to_be_bytes());
    }
    if let Some(scale) = options.scale {
        bytes.extend([3, 3, scale]);
    }
    if options.sack_permitted {
        bytes.extend([4, 2]);
    }
    if options.timestamp {
        bytes.extend([8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    }
    if !options.sacks.is_empty() {
        bytes.extend([5, 2 + 8 * options.sacks.len() as u8]);
        for edge in options.sacks.iter().flat_map(|(left, right)| [left, right]) {
            bytes.extend(other.wrapping_add(*edge).to_be_bytes());
        }
    }
    bytes.extend(&options.raw);
    bytes.resize(bytes.len().next_multiple_of(4), 1);
    bytes.truncate(40);
    bytes
}

/// A UDP-Lite datagram (RFC 3828): its checksum covers the first `coverage` bytes, all if that is 0.
fn udp_lite(ports: [u16; 2], length: u16, coverage: u16, kind: Checksum, ends: [IpAddr; 2]) -> Vec<u8> {
    let mut bytes = [ports[0], ports[1], coverage, 0].map(u16::to_be_bytes).concat();
    bytes.extend(data(length));
    let covered = match usize::from(coverage) {
        0 => bytes.len(),
        coverage => coverage.min(bytes.len()),
    };
    let mut pseudo: Vec<u8> = Vec::new();
    for end in ends {
        match end {
            IpAddr::V4(end) => pseudo.extend(end.octets()),
            IpAddr::V6(end) => pseudo.extend(end.octets()),
        }
    }
    pseudo.extend((bytes.len() as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, 136]);
    let right = match frames::checksum(&[&pseudo, &bytes[..covered]]) {
        0 => 0xffff,
        sum => sum,
    };
    let sum = match kind {
        Checksum::Set(value) => value,
        Checksum::Wrong => right.wrapping_add(1),
        Checksum::Right | Checksum::Partial => right,
    };
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// An SCTP packet (RFC 9260 section 3) with its CRC-32c.
fn sctp(ports: [u16; 2], tag: u32, chunks: &[Chunk], checksum: Checksum) -> Vec<u8> {
    const INIT: u8 = 1;
    const INIT_ACK: u8 = 2;
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    for chunk in chunks {
        let body = match chunk.kind {
            INIT | INIT_ACK => {
                let mut body = chunk.value.to_be_bytes().to_vec();
                body.extend([0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
                body
            }
            _ => data(chunk.value as u16),
        };
        bytes.extend([chunk.kind, chunk.flags]);
        bytes.extend(chunk.claims.unwrap_or(4 + body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let sum = match checksum {
        Checksum::Set(value) => value.into(),
        Checksum::Wrong => crc32c(&bytes) ^ 1,
        Checksum::Right | Checksum::Partial => crc32c(&bytes),
    };
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// CRC-32c (Castagnoli), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    };
    !bytes.iter().fold(!0, step)
}

/// A GRE header (RFC 2784, RFC 2890), or PPTP's (RFC 2637), and what it carries.
fn gre(version: u8, key: Option<u16>) -> Vec<u8> {
    const KEY_PRESENT: u8 = 0x20;
    let flags = if key.is_some() { KEY_PRESENT } else { 0 };
    let carried = data(20);
    let mut bytes = vec![flags, version];
    if version == 1 {
        bytes.extend(0x880b_u16.to_be_bytes());
        bytes.extend((carried.len() as u16).to_be_bytes());
        bytes.extend(key.unwrap_or_default().to_be_bytes());
    } else {
        bytes.extend(0x0800_u16.to_be_bytes());
        bytes.extend(key.map(|key| u32::from(key).to_be_bytes()).into_iter().flatten());
    }
    bytes.extend(carried);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::text::parse;

    fn sent(line: &str) -> Vec<Vec<u8>> {
        let sequence = &parse(&format!("sequence: x\n{line}")).unwrap()[0];
        let super::super::sequence::Step::Send(packet) = &sequence.steps[0] else { panic!("{line}") };
        datagrams(sequence, packet, Place { sequence: 0x0102, step: 3 })
    }

    #[test]
    fn the_check_value_of_crc_32c_is_right() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn addresses_tell_their_sequence() {
        for ipv6 in [false, true] {
            for (host, _) in Host::ALL {
                assert_eq!(number_of(address(host, 0xabcd, ipv6)), 0xabcd);
            }
        }
    }

    #[test]
    fn numbers_count_from_the_senders_start() {
        let bytes = &sent("< tcp SA seq 1 ack 2")[0];
        assert_eq!(bytes[12..20], [10, 2, 1, 2, 10, 1, 1, 2]);
        assert_eq!(bytes[24..28], 0x7fff_ff01_u32.to_be_bytes());
        assert_eq!(bytes[28..32], 0xffff_ff02_u32.to_be_bytes());
    }

    #[test]
    fn a_packet_is_sent_in_pieces() {
        let pieces = sent("> udp len 20 pieces 16");
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [36, 32]);
        assert_eq!(pieces[1][6..8], [0, 2]);
    }

    #[test]
    fn an_error_quotes_the_beginning_of_a_packet() {
        let bytes = &sent("< icmp 3/1 quoting 28 { > udp len 4 } from right-router")[0];
        assert_eq!(bytes.len(), 20 + 8 + 28);
        assert_eq!(bytes[28..56], sent("> udp len 4")[0][..28]);
        assert_eq!(bytes[12..16], [10, 4, 1, 2]);
    }
}
