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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::parse::parse_ip;
    use proptest::prelude::*;

    const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];

    /// A UDP packet with these extension headers, each filled with padding.
    fn packet(extensions: &[u8], payload_len: usize) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, 17, 63];
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        let mut number_at = 6;
        for extension in extensions {
            packet[number_at] = *extension;
            number_at = packet.len();
            packet.extend_from_slice(&[17, 0]);
            packet.extend_from_slice(&PADDING);
        }
        packet.extend((0..payload_len).map(|byte| (byte * 7) as u8));
        let payload_len = (packet.len() - HEADER_LEN) as u16;
        packet[4..6].copy_from_slice(&payload_len.to_be_bytes());
        packet
    }

    fn fragments(packet: &[u8], geometry: &Geometry) -> Vec<Vec<u8>> {
        let mut fragments = Fragments6::new(packet, geometry, 0x0102_0304).unwrap();
        let mut out = vec![0xaa; 70_000];
        std::iter::from_fn(|| fragments.write_next(&mut out).map(|len| out[..len].to_vec())).collect()
    }

    #[test]
    fn a_gathered_datagram_leaves_as_it_came() {
        let cut = fragments(&packet(&[], 2000), &Geometry::new([1000, 504, 496], 1048, false));
        let fields: Vec<_> = cut.iter().map(|fragment| (fragment.len(), &fragment[40..48])).collect();
        assert_eq!(
            fields,
            [
                (1048, &[17, 0, 0, 1, 1, 2, 3, 4][..]),
                (552, &[17, 0, 3, 0xe9, 1, 2, 3, 4][..]),
                (544, &[17, 0, 5, 0xe0, 1, 2, 3, 4][..]),
            ]
        );
        assert!(cut.iter().all(|fragment| fragment[6] == FRAGMENT));
    }

    #[test]
    fn hop_by_hop_options_and_routing_stand_in_every_fragment() {
        let geometry = Geometry::new([1000, 1000], 1064, false);
        for headers in [&[HOP_BY_HOP][..], &[HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING]] {
            let whole = packet(headers, 2000);
            let before = HEADER_LEN + headers.len() * 8;
            for fragment in fragments(&whole, &geometry) {
                assert_eq!(fragment[6], headers[0]);
                assert_eq!(fragment[before - 8], FRAGMENT);
                assert_eq!(
                    (fragment[before], fragment[before - 7..before].to_vec()),
                    (17, [&[0][..], &PADDING].concat())
                );
            }
        }
    }

    #[test]
    fn destination_options_behind_a_routing_header_are_payload() {
        let cut = fragments(
            &packet(&[ROUTING, DESTINATION_OPTIONS], 1992),
            &Geometry::new([1000, 1000], 1056, false),
        );
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [1056, 1056]);
        assert_eq!(cut[0][48], DESTINATION_OPTIONS);
    }

    #[test]
    fn size_decides_as_on_linux() {
        let largest = |size| Geometry::new([], size, false);
        assert_eq!(fit6(1500, None, 1500), Fit::Whole);
        assert_eq!(fit6(1501, None, 1500), Fit::TooBig);
        assert_eq!(fit6(1280, None, 600), Fit::Whole);
        assert_eq!(fit6(2040, Some(&largest(1048)), 1500), Fit::Fragments);
        assert_eq!(fit6(2040, Some(&largest(1501)), 1500), Fit::TooBig);
        assert_eq!(fit6(440, Some(&largest(248)), 1500), Fit::Fragments);
        assert_eq!(fit6(1048, Some(&largest(1048)), 1500), Fit::Whole);
    }

    proptest! {
        #[test]
        fn fragments_put_together_are_the_packet(
            headers in proptest::collection::vec(proptest::sample::select(vec![ROUTING, DESTINATION_OPTIONS]), 0..4),
            pieces in proptest::collection::vec((1u16..300).prop_map(|units| units * 8), 1..6),
            last in 1u16..2000,
            kept in any::<bool>(),
        ) {
            let pieces: Vec<u16> = pieces.into_iter().chain([last]).collect();
            let payload_len = pieces.iter().map(|piece| usize::from(*piece)).sum();
            let largest = u32::from(*pieces.iter().max().unwrap()) + 80;
            let geometry = Geometry::new(pieces.into_iter().filter(|_| kept), largest, false);
            let whole = packet(&headers, payload_len);
            let (before, _) = before_fragment_header(&whole);
            let mut together = whole[..before].to_vec();
            together.resize(whole.len(), 0);
            for fragment in fragments(&whole, &geometry) {
                prop_assert!(fragment.len() <= geometry.fragment_max().max(MTU_MIN));
                let ip = parse_ip(&fragment).unwrap();
                prop_assert_eq!(ip.len, fragment.len());
                let header = ip.fragment.unwrap();
                prop_assert_eq!(header.header, before);
                prop_assert_eq!(header.identification, 0x0102_0304);
                let payload = &fragment[before + FRAGMENT_HEADER_LEN..];
                let place = before + usize::from(header.offset);
                prop_assert_eq!(header.more, place + payload.len() < whole.len());
                together[place..place + payload.len()].copy_from_slice(payload);
            }
            prop_assert_eq!(together, whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 40..400), largest in 0u32..2000) {
            let geometry = Geometry::new([], largest, false);
            let mut out = vec![0; 2000];
            if let Ok(mut fragments) = Fragments6::new(&bytes, &geometry, 0) {
                while fragments.write_next(&mut out).is_some() {}
            }
        }
    }
}
