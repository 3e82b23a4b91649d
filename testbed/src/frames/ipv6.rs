//! IPv6 packets with their extension headers (RFC 8200), field by field.

use std::net::Ipv6Addr;

use super::Payload;

/// Next header value of the fragment header.
const FRAGMENT: u8 = 44;

/// An IPv6 packet. Fields of type `Option` follow from the others when `None`.
#[derive(Clone, Debug)]
pub struct V6 {
    /// Version, 6 if right.
    pub version: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Payload length in bytes, extension headers included.
    pub payload_length: Option<u16>,
    /// The first next header value.
    pub next_header: Option<u8>,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// Extension headers in order.
    pub extensions: Vec<Extension>,
    /// What it carries.
    pub payload: Payload,
}

/// An extension header.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Its next header value.
    pub kind: u8,
    /// Its length byte: units of eight bytes after the first eight.
    pub length: Option<u8>,
    /// What follows next header and length byte, filled up with zeros (Pad1 where there are options).
    pub body: Vec<u8>,
}

impl Extension {
    /// A hop-by-hop options header.
    pub fn hop_by_hop(options: &[u8]) -> Self {
        Self { kind: 0, length: None, body: options.to_vec() }
    }

    /// A destination options header.
    pub fn destination_options(options: &[u8]) -> Self {
        Self { kind: 60, length: None, body: options.to_vec() }
    }

    /// A routing header of the given type with segments left.
    pub fn routing(kind: u8, segments_left: u8, data: &[u8]) -> Self {
        let body = [&[kind, segments_left, 0, 0, 0, 0], data].concat();
        Self { kind: 43, length: None, body }
    }

    /// A fragment header; offset in bytes.
    pub fn fragment(id: u32, offset: u32, more: bool) -> Self {
        let place = offset as u16 | u16::from(more);
        let body = [place.to_be_bytes().as_slice(), &id.to_be_bytes()].concat();
        Self { kind: FRAGMENT, length: Some(0), body }
    }

    fn bytes(&self, next: u8) -> Vec<u8> {
        let length = (self.body.len() + 2).next_multiple_of(8);
        let mut bytes = vec![next, self.length.unwrap_or((length / 8 - 1) as u8)];
        bytes.extend(&self.body);
        bytes.resize(length, 0);
        bytes
    }
}

impl V6 {
    /// The packet's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let (first, rest) = self.after_header();
        let length = self.payload_length.unwrap_or(rest.len() as u16);
        let head = u32::from(self.version) << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        let mut packet = head.to_be_bytes().to_vec();
        packet.extend(length.to_be_bytes());
        packet.extend([self.next_header.unwrap_or(first), self.hop_limit]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(rest);
        packet
    }

    /// The first next header value and all that follows the fixed header.
    fn after_header(&self) -> (u8, Vec<u8>) {
        let (mut next, mut rest) = self.payload.bytes(self.source.into(), self.destination.into());
        for extension in self.extensions.iter().rev() {
            rest = [extension.bytes(next), rest].concat();
            next = extension.kind;
        }
        (next, rest)
    }
}

/// The part `[from, to)` of what `packet` carries as a fragment; more follow unless `to` is its end or beyond.
pub fn fragment(packet: &V6, id: u32, from: usize, to: usize) -> V6 {
    let (next, rest) = packet.after_header();
    let end = to.min(rest.len());
    V6 {
        extensions: vec![Extension::fragment(id, from as u32, to < rest.len())],
        payload: Payload::Raw(next, rest[from..end].to_vec()),
        ..packet.clone()
    }
}
