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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::parse::{Fragment, parse_ip};
    use proptest::prelude::*;

    /// A UDP packet with these options and word of flags and offset.
    fn packet(options: &[u8], word: u16, payload_len: usize) -> Vec<u8> {
        let mut packet = vec![0x45, 7, 0, 0, 0x12, 0x34, 0, 0, 63, 17, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2];
        packet.extend_from_slice(options);
        packet[0] = 0x40 | (packet.len() / 4) as u8;
        packet.extend((0..payload_len).map(|byte| (byte * 7) as u8));
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[6..8].copy_from_slice(&word.to_be_bytes());
        ipv4::write_checksum(&mut packet);
        packet
    }

    fn fragments(packet: &[u8], mtu: usize, geometry: Option<&Geometry>) -> Vec<Vec<u8>> {
        let mut fragments = Fragments4::new(packet, mtu, geometry).unwrap();
        let mut out = vec![0xaa; mtu];
        std::iter::from_fn(|| fragments.write_next(&mut out).map(|len| out[..len].to_vec())).collect()
    }

    /// Length, flags and offset in bytes of each fragment.
    fn shapes(fragments: &[Vec<u8>]) -> Vec<(usize, u16, u16)> {
        let shape = |fragment: &Vec<u8>| {
            let word = u16_at(fragment, 6);
            (fragment.len(), word & !OFFSET_MASK, (word & OFFSET_MASK) * 8)
        };
        fragments.iter().map(shape).collect()
    }

    #[test]
    fn a_packet_is_cut_as_linux_cuts_it() {
        let expected = [(596, MORE_FRAGMENTS, 0), (596, MORE_FRAGMENTS, 576), (248, 0, 1152)];
        assert_eq!(shapes(&fragments(&packet(&[], 0, 1380), 600, None)), expected);
        assert_eq!(shapes(&fragments(&packet(&[], 0x8000, 1380), 600, None)), expected);
    }

    #[test]
    fn a_fragment_is_cut_further() {
        let options = [7, 7, 8, 10, 2, 0, 1, 0];
        let cut = fragments(&packet(&options, MORE_FRAGMENTS | 50, 1200), 600, None);
        let more = MORE_FRAGMENTS;
        assert_eq!(shapes(&cut), [(596, more, 400), (596, more, 968), (92, more, 1536)]);
        assert!(cut.iter().all(|fragment| fragment[20..28] == options));
    }

    #[test]
    fn later_fragments_keep_only_options_to_be_copied() {
        let options = [7, 7, 8, 10, 2, 0, 1, 130, 4, 9, 9, 68, 8, 9, 0, 4, 183, 150, 150, 0];
        let cut = fragments(&packet(&options, 0, 1200), 600, None);
        assert_eq!(shapes(&cut), [(600, MORE_FRAGMENTS, 0), (600, MORE_FRAGMENTS, 560), (120, 0, 1120)]);
        let stripped = [1, 1, 1, 1, 1, 1, 1, 130, 4, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1, 0];
        assert_eq!(cut[0][20..40], options);
        assert_eq!((&cut[1][20..40], &cut[2][20..40]), (&stripped[..], &stripped[..]));
    }

    #[test]
    fn a_gathered_datagram_leaves_as_it_came() {
        let whole = packet(&[], 0, 1600);
        let geometry = Geometry::new([800, 400, 400], 820, true);
        let expected = [(820, MORE_FRAGMENTS, 0), (420, MORE_FRAGMENTS, 800), (420, 0, 1200)];
        assert_eq!(shapes(&fragments(&whole, 1500, Some(&geometry))), expected);
        let geometry = Geometry::new([800, 400, 400], 820, false);
        let cut_anew = [(596, MORE_FRAGMENTS, 0), (596, MORE_FRAGMENTS, 576), (468, 0, 1152)];
        assert_eq!(shapes(&fragments(&whole, 600, Some(&geometry))), cut_anew);
    }

    #[test]
    fn pieces_that_cannot_be_kept_are_never_larger_than_they_came_and_keep_df() {
        let geometry = Geometry::new([], 820, true);
        let (df, more) = (DONT_FRAGMENT, MORE_FRAGMENTS);
        let cut = shapes(&fragments(&packet(&[], 0, 1600), 1500, Some(&geometry)));
        assert_eq!(cut, [(820, more | df, 0), (820, df, 800)]);
    }

    #[test]
    fn size_decides_as_on_linux() {
        let with = |pieces: [u16; 2], largest, dont_fragment| Geometry::new(pieces, largest, dont_fragment);
        assert_eq!(fit4(1500, true, None, 1500), Fit::Whole);
        assert_eq!(fit4(1501, true, None, 1500), Fit::TooBig);
        assert_eq!(fit4(1501, false, None, 1500), Fit::Fragments);
        assert_eq!(fit4(420, true, Some(&with([200, 200], 220, true)), 600), Fit::Fragments);
        assert_eq!(fit4(1620, true, Some(&with([800, 800], 820, true)), 600), Fit::TooBig);
        assert_eq!(fit4(1620, false, Some(&with([800, 800], 820, false)), 600), Fit::Fragments);
        assert_eq!(fit4(1620, true, Some(&with([800, 800], 820, true)), 820), Fit::Fragments);
    }

    proptest! {
        #[test]
        fn fragments_put_together_are_the_packet(
            units in 0usize..=10,
            payload_len in 1usize..20_000,
            mtu in 68usize..2000,
            pieces in proptest::collection::vec((1u16..300).prop_map(|units| units * 8), 0..6),
            last in 1u16..2000,
        ) {
            let (payload_len, geometry) = if pieces.is_empty() {
                (payload_len, None)
            } else {
                let pieces: Vec<u16> = pieces.into_iter().chain([last]).collect();
                let largest = u32::from(*pieces.iter().max().unwrap()) + 20 + units as u32 * 4;
                let len = pieces.iter().map(|piece| usize::from(*piece)).sum();
                (len, Some(Geometry::new(pieces, largest, false)))
            };
            let whole = packet(&[1].repeat(units * 4), 0, payload_len);
            let header_len = ipv4::header_len(&whole);
            prop_assume!(header_len + 8 <= mtu);
            prop_assume!(geometry.is_none_or(|geometry| header_len + 8 <= geometry.fragment_max()));
            let mut together = vec![0; payload_len];
            let mut covered = 0;
            let cut = fragments(&whole, mtu, geometry.as_ref());
            for (index, fragment) in cut.iter().enumerate() {
                prop_assert!(fragment.len() <= mtu);
                prop_assert!(geometry.is_none_or(|geometry| fragment.len() <= geometry.fragment_max()));
                let ip = parse_ip(fragment).unwrap();
                prop_assert_eq!(ip.len, fragment.len());
                let (offset, more) = match ip.fragment {
                    Some(Fragment { offset, more, identification, .. }) => {
                        prop_assert_eq!(identification, 0x1234);
                        (usize::from(offset), more)
                    }
                    None => (0, false),
                };
                prop_assert_eq!(more, index + 1 < cut.len());
                let payload = &fragment[ip.transport..];
                together[offset..offset + payload.len()].copy_from_slice(payload);
                covered += payload.len();
            }
            prop_assert_eq!(covered, payload_len);
            prop_assert_eq!(&together[..], &whole[header_len..]);
        }

        #[test]
        fn no_header_makes_it_panic(mut header in proptest::collection::vec(any::<u8>(), 60), mtu in 0usize..3000, len in 60usize..4000) {
            header[0] = 0x45 + header[0] % 11;
            header.resize(len, 0x55);
            let mut out = vec![0; 3000];
            if let Ok(mut fragments) = Fragments4::new(&header, mtu, None) {
                while fragments.write_next(&mut out).is_some() {}
            }
        }
    }
}
