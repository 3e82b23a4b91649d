//! IPv4 fragmentation, as `ip_do_fragment` does it (`net/ipv4/ip_output.c`, RFC 791 section 3.2).

use super::{Cuts, Fit, Geometry, NoRoom};
use crate::packet::ipv4::{self, DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET_MASK};
use crate::packet::{options, u16_at};

/// What becomes of a packet of `len` bytes towards a link of this MTU (`ip_exceeds_mtu`, `ip_finish_output`,
/// `ip_fragment`). A gathered datagram always leaves as fragments; of a super-packet `len` is the longest segment.
#[must_use]
pub fn fit4(len: usize, dont_fragment: bool, gathered: Option<&Geometry>, mtu: usize) -> Fit {
    match gathered {
        Some(gathered) if gathered.dont_fragment && gathered.fragment_max() > mtu && len > mtu => Fit::TooBig,
        Some(_) => Fit::Fragments,
        None if len <= mtu => Fit::Whole,
        None if dont_fragment => Fit::TooBig,
        None => Fit::Fragments,
    }
}

/// A packet's fragments, written one after the other.
#[derive(Clone, Debug)]
pub struct Fragments4<'a> {
    packet: &'a [u8],
    cuts: Cuts<'a>,
    dont_fragment: bool,
}

impl<'a> Fragments4<'a> {
    /// The fragments of `packet`, which may be a fragment itself, from its network header on without padding, for
    /// a link of this MTU. None is larger than the largest that a gathered datagram came in.
    ///
    /// # Errors
    /// The MTU leaves no room.
    ///
    /// # Panics
    /// If `packet` is shorter than its header.
    pub fn new(packet: &'a [u8], mtu: usize, gathered: Option<&'a Geometry>) -> Result<Self, NoRoom> {
        let size_max = gathered.map_or(mtu, |gathered| mtu.min(gathered.fragment_max()));
        let header_len = ipv4::header_len(packet);
        let room = size_max.saturating_sub(header_len);
        let cuts = Cuts::new(packet.len() - header_len, room, gathered)?;
        let dont_fragment = cuts.pieces.is_empty() && gathered.is_some_and(|gathered| gathered.dont_fragment);
        Ok(Self { packet, cuts, dont_fragment })
    }

    /// Writes the next fragment from its network header on into `out` and returns its length, at most the MTU;
    /// `None` when all are written.
    ///
    /// Options that are not to be copied become no-operations in all fragments but the first (RFC 791 section 3.1).
    /// Pieces kept as they came lose DF, the others have it if the datagram had; that is how the kernel's two paths
    /// differ. The reserved flag is lost.
    ///
    /// # Panics
    /// If `out` is too short.
    pub fn write_next(&mut self, out: &mut [u8]) -> Option<usize> {
        let cut = self.cuts.next()?;
        let header_len = ipv4::header_len(self.packet);
        let (header, payload) = self.packet.split_at(header_len);
        let len = header_len + cut.end - cut.start;
        let out = &mut out[..len];
        out[..header_len].copy_from_slice(header);
        out[header_len..].copy_from_slice(&payload[cut.start..cut.end]);

        let word = u16_at(header, 6);
        let was_first = word & OFFSET_MASK == 0;
        if cut.start > 0 && was_first {
            options::strip_for_later_fragments(out);
        }
        let mut flags = if cut.last { word & MORE_FRAGMENTS } else { MORE_FRAGMENTS };
        if self.dont_fragment {
            flags |= DONT_FRAGMENT;
        }
        let offset = ((word & OFFSET_MASK) + (cut.start / 8) as u16) & OFFSET_MASK;
        out[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        out[6..8].copy_from_slice(&(flags | offset).to_be_bytes());
        ipv4::write_checksum(out);
        Some(len)
    }
}
