//! IPv4 packets (RFC 791), field by field.

use std::net::Ipv4Addr;

use super::{Checksum, Payload, checksum};

/// An IPv4 packet. Fields of type `Option` follow from the others when `None`.
#[derive(Clone, Debug)]
pub struct V4 {
    /// Version, 4 if right.
    pub version: u8,
    /// Header length in words of four bytes.
    pub header_words: Option<u8>,
    /// DSCP and ECN.
    pub tos: u8,
    /// Total length in bytes.
    pub total_length: Option<u16>,
    /// Identification.
    pub id: u16,
    /// The reserved bit in front of the flags.
    pub reserved: bool,
    /// Don't fragment.
    pub dont_fragment: bool,
    /// More fragments.
    pub more_fragments: bool,
    /// Fragment offset in bytes, a multiple of eight.
    pub offset: u32,
    /// Time to live.
    pub ttl: u8,
    /// Protocol, if not the payload's.
    pub protocol: Option<u8>,
    /// Header checksum.
    pub checksum: Checksum,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Options, filled up with zeros to a multiple of four bytes.
    pub options: Vec<u8>,
    /// What it carries.
    pub payload: Payload,
}

impl V4 {
    /// The packet's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let (protocol, payload) = self.payload.bytes(self.source.into(), self.destination.into());
        let words = self.header_words.unwrap_or(5 + (options.len() / 4) as u8);
        let length = self.total_length.unwrap_or((20 + options.len() + payload.len()) as u16);
        let flags = u16::from(self.reserved) << 15
            | u16::from(self.dont_fragment) << 14
            | u16::from(self.more_fragments) << 13
            | (self.offset / 8) as u16;
        let mut packet = vec![self.version << 4 | words, self.tos];
        packet.extend(length.to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend(flags.to_be_bytes());
        packet.extend([self.ttl, self.protocol.unwrap_or(protocol), 0, 0]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(options);
        let sum = self.checksum.of(checksum(&[&packet]));
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }

    /// The bytes behind the header.
    pub fn payload_bytes(&self) -> Vec<u8> {
        self.payload.bytes(self.source.into(), self.destination.into()).1
    }
}

/// The part `[from, to)` of `packet`'s payload as a fragment; more follow unless `to` is its end or beyond. Options
/// without the copy flag are left to the first.
pub fn fragment(packet: &V4, from: usize, to: usize) -> V4 {
    let (protocol, payload) = packet.payload.bytes(packet.source.into(), packet.destination.into());
    let end = to.min(payload.len());
    V4 {
        offset: from as u32,
        more_fragments: to < payload.len(),
        payload: Payload::Raw(protocol, payload[from..end].to_vec()),
        ..packet.clone()
    }
}
