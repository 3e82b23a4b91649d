//! IPv6 fragments of datagrams that came as fragments, as `ip6_fragment` makes them (`net/ipv6/ip6_output.c`). A
//! router never fragments anything else.

use super::{Cuts, Fit, Geometry, NoRoom};
use crate::packet::ipv6::{
    DESTINATION_OPTIONS, FRAGMENT, FRAGMENT_HEADER_LEN, HEADER_LEN, HOP_BY_HOP, ROUTING,
};

/// The MTU that every IPv6 link has.
pub const MTU_MIN: usize = 1280;

/// What becomes of a packet of `len` bytes towards a link of this MTU (`ip6_pkt_too_big`, `ip6_finish_output`,
/// `ip6_fragment`). A gathered datagram that is not longer than its largest fragment was leaves whole; of a
/// super-packet `len` is the longest segment.
#[must_use]
pub fn fit6(len: usize, gathered: Option<&Geometry>, mtu: usize) -> Fit {
    let mtu = mtu.max(MTU_MIN);
    match gathered {
        Some(gathered) if len <= mtu && len <= gathered.fragment_max() => Fit::Whole,
        Some(gathered) if gathered.fragment_max() > mtu => Fit::TooBig,
        Some(_) => Fit::Fragments,
        None if len <= mtu => Fit::Whole,
        None => Fit::TooBig,
    }
}

/// A datagram's fragments, written one after the other.
#[derive(Clone, Debug)]
pub struct Fragments6<'a> {
    packet: &'a [u8],
    cuts: Cuts<'a>,
    identification: u32,
    /// Bytes of the headers that go into every fragment.
    before: usize,
    /// Where the number of the header behind them stands.
    next_header_at: usize,
}

impl<'a> Fragments6<'a> {
    /// The fragments of a gathered `packet`, from its network header on without padding; none larger than the
    /// largest it came in or [`MTU_MIN`]. The kernel gives them a new, random identification.
    ///
    /// # Errors
    /// The headers leave no room.
    ///
    /// # Panics
    /// If `packet` has no fixed header.
    pub fn new(packet: &'a [u8], gathered: &'a Geometry, identification: u32) -> Result<Self, NoRoom> {
        let (before, next_header_at) = before_fragment_header(packet);
        let size_max = gathered.fragment_max().max(MTU_MIN);
        let room = size_max.saturating_sub(before + FRAGMENT_HEADER_LEN);
        let cuts = Cuts::new(packet.len() - before, room, Some(gathered))?;
        Ok(Self { packet, cuts, identification, before, next_header_at })
    }

    /// Writes the next fragment from its network header on into `out` and returns its length; `None` when all are
    /// written.
    ///
    /// # Panics
    /// If `out` is too short.
    pub fn write_next(&mut self, out: &mut [u8]) -> Option<usize> {
        let cut = self.cuts.next()?;
        let (headers, payload) = self.packet.split_at(self.before);
        let payload_start = self.before + FRAGMENT_HEADER_LEN;
        let len = payload_start + cut.end - cut.start;
        let out = &mut out[..len];
        out[..self.before].copy_from_slice(headers);
        out[payload_start..].copy_from_slice(&payload[cut.start..cut.end]);

        out[4..6].copy_from_slice(&((len - HEADER_LEN) as u16).to_be_bytes());
        let next_header = std::mem::replace(&mut out[self.next_header_at], FRAGMENT);
        let fragment = &mut out[self.before..payload_start];
        fragment[..2].copy_from_slice(&[next_header, 0]);
        fragment[2..4].copy_from_slice(&(cut.start as u16 | u16::from(!cut.last)).to_be_bytes());
        fragment[4..8].copy_from_slice(&self.identification.to_be_bytes());
        Some(len)
    }
}

/// Where a fragment header belongs, and where the number of the header behind it stands (`ip6_find_1stfragopt`):
/// behind hop-by-hop options, routing header, and destination options meant for hops on the way.
fn before_fragment_header(packet: &[u8]) -> (usize, usize) {
    let mut at = (HEADER_LEN, 6);
    let mut routing_passed = false;
    while let Some(&[_, units]) = packet.get(at.0..).and_then(|rest| rest.first_chunk::<2>()) {
        match packet[at.1] {
            HOP_BY_HOP => {}
            ROUTING => routing_passed = true,
            DESTINATION_OPTIONS if !routing_passed => {}
            _ => break,
        }
        let end = at.0 + (usize::from(units) + 1) * 8;
        if end > packet.len() {
            break;
        }
        at = (end, at.0);
    }
    at
}
