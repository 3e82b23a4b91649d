//! One piece of a fragmented datagram, read from a packet.

use super::FragmentDrop;
use crate::l3::{Extensions, FRAGMENT_HEADER, IPV6_HEADER, Step};
use crate::packet::Datagram;
use crate::registry::protocol;
use crate::tuple::{Addresses, Family};
use crate::zone::Zone;

/// Which datagram a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) addresses: Addresses,
    pub(super) identification: u32,
    /// IPv6: the port it came in by. IPv4: zero, pieces may come in by different ports.
    input: u32,
    zone: Zone,
    /// IPv4: the transport protocol. IPv6: zero, only the first piece knows.
    protocol: u8,
}

/// A piece as it lies in its packet.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) key: Key,
    /// Network header; for IPv6 up to the fragment header.
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    /// Position of the payload in the datagram's.
    pub(super) offset: usize,
    /// Whether others follow.
    pub(super) more: bool,
    pub(super) dont_fragment: bool,
    /// The two ECN bits.
    pub(super) ecn: u8,
    /// IPv6: type of the header after the fragment header, and where in `header` it is to be announced.
    pub(super) next_header: (u8, usize),
    /// Length of the packet.
    pub(super) size: usize,
}

/// Why a packet is not a piece to gather.
#[derive(Debug)]
pub(super) enum NoPiece {
    /// It goes on as it is.
    Whole,
    /// It is of no use.
    Dropped(FragmentDrop),
}

impl<'a> Piece<'a> {
    pub(super) fn of(datagram: &Datagram<'a>, input: u32) -> Result<Self, NoPiece> {
        match datagram.family {
            Family::Ipv4 => Self::of_ipv4(datagram),
            Family::Ipv6 => Self::of_ipv6(datagram, input),
        }
    }

    fn of_ipv4(datagram: &Datagram<'a>) -> Result<Self, NoPiece> {
        let bytes = datagram.bytes;
        let length = usize::from(bytes.first().ok_or(NoPiece::Whole)? & 15) * 4;
        if length < 20 || length > bytes.len() {
            return Err(NoPiece::Whole);
        }
        let field = u16::from_be_bytes([bytes[6], bytes[7]]);
        let (offset, more) = (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0);
        if offset == 0 && !more {
            return Err(NoPiece::Whole);
        }
        let mut addresses = Addresses { source: [0; 16], destination: [0; 16] };
        addresses.source[..4].copy_from_slice(&bytes[12..16]);
        addresses.destination[..4].copy_from_slice(&bytes[16..20]);
        let (header, payload) = bytes.split_at(length);
        Ok(Self {
            key: Key {
                addresses,
                identification: u32::from(u16::from_be_bytes([bytes[4], bytes[5]])),
                input: 0,
                zone: datagram.zone,
                protocol: bytes[9],
            },
            header,
            // Linux cuts a piece that is not the last and ends between two multiples of eight.
            payload: if more { &payload[..payload.len() & !7] } else { payload },
            offset,
            more,
            dont_fragment: field & 0x4000 != 0,
            ecn: bytes[1] & 3,
            next_header: (bytes[9], 9),
            size: bytes.len(),
        })
    }

    fn of_ipv6(datagram: &Datagram<'a>, input: u32) -> Result<Self, NoPiece> {
        let bytes = datagram.bytes;
        // A payload length of zero announces a jumbogram (RFC 2675), which is never fragmented.
        if bytes.len() < IPV6_HEADER || bytes[4..6] == [0, 0] {
            return Err(NoPiece::Whole);
        }
        let mut chain = Extensions::of(bytes);
        while chain.header != Extensions::FRAGMENT {
            if chain.step() != Some(Step::Extension) {
                return Err(NoPiece::Whole);
            }
        }
        if chain.offset > bytes.len() {
            return Err(NoPiece::Whole);
        }
        if is_first_without_transport(chain, bytes.len()) {
            return Err(NoPiece::Whole);
        }
        let Some((fragment, payload)) = bytes[chain.offset..].split_first_chunk::<FRAGMENT_HEADER>() else {
            return Err(NoPiece::Dropped(FragmentDrop::Truncated));
        };
        let field = u16::from_be_bytes([fragment[2], fragment[3]]);
        let mut addresses = Addresses { source: [0; 16], destination: [0; 16] };
        addresses.source.copy_from_slice(&bytes[8..24]);
        addresses.destination.copy_from_slice(&bytes[24..40]);
        Ok(Self {
            key: Key {
                addresses,
                identification: u32::from_be_bytes([fragment[4], fragment[5], fragment[6], fragment[7]]),
                input,
                zone: datagram.zone,
                protocol: 0,
            },
            header: &bytes[..chain.offset],
            payload,
            offset: usize::from(field & !7),
            more: field & 1 != 0,
            dont_fragment: false,
            ecn: (bytes[1] >> 4) & 3,
            next_header: (fragment[0], chain.announced_at),
            size: bytes.len(),
        })
    }
}

/// Whether this is a first piece that does not hold the whole transport header (RFC 8200 section 4.5,
/// `ipv6frag_thdr_truncated`). `chain` stands at the fragment header.
fn is_first_without_transport(mut chain: Extensions<'_>, length: usize) -> bool {
    loop {
        match chain.step() {
            None => return false,
            Some(Step::Fragment { offset }) if offset != 0 => return false,
            Some(Step::Extension | Step::Fragment { .. }) => {}
            Some(Step::Transport) => {
                let header = match chain.header {
                    protocol::TCP => 20,
                    protocol::UDP | protocol::ICMPV6 => 8,
                    _ => 1,
                };
                return chain.offset + header > length;
            }
        }
    }
}
