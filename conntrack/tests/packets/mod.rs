//! Builds whole IP packets with right checksums, for tests inside and outside the crate.
#![allow(dead_code, reason = "each test uses some of these")]

use std::net::IpAddr;

pub const SYN: u8 = 2;
pub const ACK: u8 = 16;
pub const FIN: u8 = 1;
pub const RST: u8 = 4;

/// A UDP datagram.
pub fn udp(source: &str, destination: &str, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend_from_slice(&from.to_be_bytes());
    segment.extend_from_slice(&to.to_be_bytes());
    segment.extend_from_slice(&u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    segment.extend_from_slice(&[0, 0]);
    segment.extend_from_slice(payload);
    finished(source, destination, 17, segment, Some(6))
}

/// A TCP segment with sequence number 1000 and acknowledgement 0.
pub fn tcp(source: &str, destination: &str, from: u16, to: u16, flags: u8) -> Vec<u8> {
    tcp_with(source, destination, from, to, flags, 1000, 0, b"")
}

/// A TCP segment.
#[allow(clippy::too_many_arguments, reason = "the fields of a header")]
pub fn tcp_with(
    source: &str,
    destination: &str,
    from: u16,
    to: u16,
    flags: u8,
    sequence: u32,
    acknowledged: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend_from_slice(&from.to_be_bytes());
    segment.extend_from_slice(&to.to_be_bytes());
    segment.extend_from_slice(&sequence.to_be_bytes());
    segment.extend_from_slice(&acknowledged.to_be_bytes());
    segment.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    finished(source, destination, 6, segment, Some(16))
}

/// An ICMP message with an id in its header.
pub fn icmp(source: &str, destination: &str, kind: u8, code: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend_from_slice(&id.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(payload);
    let checksum = !sum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    finished(source, destination, 1, message, None)
}

/// An ICMPv6 message with an id in its header.
pub fn icmpv6(source: &str, destination: &str, kind: u8, code: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend_from_slice(&id.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(payload);
    finished(source, destination, 58, message, Some(2))
}

/// An IP packet of any protocol; `checksum_at` is where the transport checksum goes, if there is one.
pub fn finished(
    source: &str,
    destination: &str,
    protocol: u8,
    mut transport: Vec<u8>,
    checksum_at: Option<usize>,
) -> Vec<u8> {
    let source: IpAddr = source.parse().unwrap();
    let destination: IpAddr = destination.parse().unwrap();
    if let Some(at) = checksum_at {
        let mut pseudo = octets(source);
        pseudo.extend(octets(destination));
        pseudo.extend(u32::try_from(transport.len()).unwrap().to_be_bytes());
        pseudo.extend([0, 0, 0, protocol]);
        pseudo.extend_from_slice(&transport);
        let checksum = !sum(&pseudo);
        let checksum = if checksum == 0 { 0xffff } else { checksum };
        transport[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    }
    let mut packet;
    if source.is_ipv4() {
        packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        packet.extend(octets(source));
        packet.extend(octets(destination));
        let length = u16::try_from(20 + transport.len()).unwrap();
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        let checksum = !sum(&packet);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        packet = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
        packet[4..6].copy_from_slice(&u16::try_from(transport.len()).unwrap().to_be_bytes());
        packet.extend(octets(source));
        packet.extend(octets(destination));
    }
    packet.extend(transport);
    packet
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
