//! The IPv6 header: its checks on receipt, the walk over extension headers, and which sources are forwarded.

use std::net::Ipv6Addr;

use super::parse::{Fragment, Ip, Unfit, ports};
use super::{u16_at, u32_at};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Bytes of a fragment header.
pub const FRAGMENT_HEADER_LEN: usize = 8;

/// Next header: hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Next header: routing.
pub const ROUTING: u8 = 43;
/// Next header: fragment.
pub const FRAGMENT: u8 = 44;
/// Next header: authentication.
pub const AUTHENTICATION: u8 = 51;
/// Next header: ICMPv6.
pub const ICMPV6: u8 = 58;
/// Next header: nothing follows.
pub const NONE: u8 = 59;
/// Next header: destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// Extension headers that are walked over at most; the kernel has no such bound but the packet's length.
pub const EXTENSION_HEADERS_MAX: usize = 64;

/// Reads the packet that starts `bytes`; what lies behind it is link-layer padding.
///
/// # Errors
/// The checks of `ip6_rcv_core` (`net/ipv6/ip6_input.c`) in the kernel's order, as far as they need no sysctl.
/// Hop-by-hop options are looked at by [`super::hop_by_hop::check`].
pub(super) fn read(bytes: &[u8]) -> Result<Ip, Unfit> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        return Err(Unfit::HeaderTruncated);
    };
    if header[0] >> 4 != 6 {
        return Err(Unfit::Header);
    }
    let (source, destination) = (source(header), destination(header));
    if source.is_loopback() || destination.is_loopback() {
        return Err(Unfit::Loopback);
    }
    if destination.is_multicast() && matches!(multicast_scope(destination), 0 | 1) {
        return Err(Unfit::MulticastScope);
    }
    if source.is_multicast() {
        return Err(Unfit::MartianSource);
    }
    let packet = bytes.get(..length(header, bytes)).ok_or(Unfit::Truncated)?;
    Ok(describe(header, packet))
}

/// Reads the packet in a frame that is bridged, whatever its addresses; `None` if there is no sound header
/// (`nft_set_pktinfo_ipv6_validate`).
pub(super) fn read_bridged(bytes: &[u8]) -> Option<Ip> {
    let header = bytes.first_chunk::<HEADER_LEN>()?;
    let packet = bytes.get(..length(header, bytes))?;
    (header[0] >> 4 == 6).then(|| describe(header, packet))
}

/// Bytes of the packet that starts `bytes`; of a jumbogram all there are.
fn length(header: &[u8; HEADER_LEN], bytes: &[u8]) -> usize {
    match usize::from(u16_at(header, 4)) {
        0 if header[6] == HOP_BY_HOP => bytes.len(),
        payload => HEADER_LEN + payload,
    }
}

/// What a header says of its packet.
fn describe(header: &[u8; HEADER_LEN], packet: &[u8]) -> Ip {
    let upper = upper_layer(packet);
    let (source_port, destination_port) = match upper.fragment {
        Some(Fragment { offset: 1.., .. }) => (0, 0),
        _ => ports(upper.protocol, &packet[upper.offset..]),
    };
    Ip {
        source: source(header).into(),
        destination: destination(header).into(),
        protocol: upper.protocol,
        tos: (header[0] << 4) | (header[1] >> 4),
        ttl: header[7],
        len: packet.len(),
        transport: upper.offset,
        has_options: header[6] == HOP_BY_HOP,
        dont_fragment: true,
        fragment: upper.fragment,
        source_port,
        destination_port,
    }
}

/// The source address.
///
/// # Panics
/// If the header is not there.
#[must_use]
pub fn source(packet: &[u8]) -> Ipv6Addr {
    address(packet, 8)
}

/// The destination address.
///
/// # Panics
/// If the header is not there.
#[must_use]
pub fn destination(packet: &[u8]) -> Ipv6Addr {
    address(packet, 24)
}

/// The flow label.
///
/// # Panics
/// If the header is not there.
#[must_use]
pub fn flow_label(packet: &[u8]) -> u32 {
    u32_at(packet, 0) & 0x000f_ffff
}

/// Lowers the hop limit by one.
///
/// # Panics
/// If the header is not there or the hop limit is 0 already.
pub fn decrease_hop_limit(packet: &mut [u8]) {
    assert!(packet[7] > 0, "a packet with no hops left was to be forwarded");
    packet[7] -= 1;
}

/// Where the extension headers end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperLayer {
    /// Number of the header at `offset`; of an extension header only if nothing behind it can be told.
    pub protocol: u8,
    /// Where that header starts, from the network header; the packet's length if the header before is cut short.
    pub offset: usize,
    /// The last fragment header passed.
    pub fragment: Option<Fragment>,
}

/// Walks over the extension headers as `ipv6_skip_exthdr` does (`net/ipv6/exthdrs_core.c`). Behind the header of
/// a fragment other than the first there is no header to be read; `offset` is where its data starts.
///
/// # Panics
/// If `packet` has no fixed header.
#[must_use]
pub fn upper_layer(packet: &[u8]) -> UpperLayer {
    let mut at = UpperLayer { protocol: packet[6], offset: HEADER_LEN, fragment: None };
    for _ in 0..EXTENSION_HEADERS_MAX {
        let Some(rest) = packet.get(at.offset..) else { break };
        let Some(&[next, length]) = rest.first_chunk::<2>() else { break };
        let header_len = match at.protocol {
            FRAGMENT => FRAGMENT_HEADER_LEN,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (usize::from(length) + 1) * 8,
            _ => break,
        };
        if at.protocol == FRAGMENT {
            if rest.len() < header_len {
                break;
            }
            let word = u16_at(rest, 2);
            at.fragment = Some(Fragment {
                identification: u32_at(rest, 4),
                offset: word & !7,
                more: word & 1 != 0,
                header: at.offset,
            });
        }
        at.protocol = next;
        at.offset = packet.len().min(at.offset + header_len);
        if at.fragment.is_some_and(|fragment| fragment.offset != 0) {
            break;
        }
    }
    at
}

/// Whether a source may leave its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It may.
    Global,
    /// `::`: dropped.
    Unspecified,
    /// Link-local: answered with destination unreachable, code 2 (beyond scope of source address).
    LinkLocal,
}

/// Sorts a source as `ip6_forward` does (`net/ipv6/ip6_output.c`). The kernel asks only when the packet leaves by
/// another port than it came by; sent back to its own link it goes out with a redirect.
#[must_use]
pub fn sort_source(source: Ipv6Addr) -> Source {
    if source.is_unspecified() {
        Source::Unspecified
    } else if is_link_local(source) {
        Source::LinkLocal
    } else {
        Source::Global
    }
}

/// fe80::/10.
#[must_use]
pub fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

fn multicast_scope(address: Ipv6Addr) -> u8 {
    address.octets()[1] & 0x0f
}

fn address(packet: &[u8], at: usize) -> Ipv6Addr {
    let octets: [u8; 16] = packet[at..at + 16].try_into().expect("sixteen bytes were cut");
    Ipv6Addr::from(octets)
}

/// The extension headers of a sound packet before its transport header at `transport`: the kind of each, and where it
/// begins.
pub fn extension_headers(packet: &[u8], transport: usize) -> impl Iterator<Item = (u8, usize)> {
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    let (mut kind, mut place) = (packet[6], HEADER_LEN);
    std::iter::from_fn(move || {
        let &[next, length] = packet.get(place..transport)?.first_chunk()?;
        let len = match kind {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        let header = (kind, place);
        (kind, place) = (next, place + len);
        Some(header)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet whose first next header is `next` and whose payload is `payload`.
    fn packet(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8, next, 64];
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend_from_slice(payload);
        packet
    }

    fn walk(next: u8, payload: &[u8]) -> (u8, usize, Option<Fragment>) {
        let UpperLayer { protocol, offset, fragment } = upper_layer(&packet(next, payload));
        (protocol, offset - HEADER_LEN, fragment)
    }

    #[test]
    fn extension_headers_are_walked_over() {
        assert_eq!(walk(17, &[0; 8]), (17, 0, None));
        let options = [60, 0, 1, 4, 0, 0, 0, 0, 51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let authentication = [58, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(walk(HOP_BY_HOP, &[&options[..], &authentication].concat()), (58, 40, None));
        assert_eq!(walk(NONE, &[1, 2, 3]), (NONE, 0, None));
    }

    #[test]
    fn behind_a_later_fragment_there_is_only_data() {
        let header = |offset_and_more: [u8; 2]| {
            [[60, 0], offset_and_more, [0, 0], [1, 2], [17, 0], [1, 4], [0, 0], [0, 0]].concat()
        };
        let fragment = |offset, more| Some(Fragment { identification: 0x102, offset, more, header: 40 });
        assert_eq!(walk(FRAGMENT, &header([0, 1])), (17, 16, fragment(0, true)));
        assert_eq!(walk(FRAGMENT, &header([0, 9])), (60, 8, fragment(8, true)));
        assert_eq!(walk(FRAGMENT, &header([0, 0])), (17, 16, fragment(0, false)));
    }

    #[test]
    fn a_header_that_is_cut_short_ends_the_walk_at_the_packets_end() {
        assert_eq!(walk(DESTINATION_OPTIONS, &[58, 5, 0, 0, 0, 0, 0, 0]), (58, 8, None));
        assert_eq!(walk(DESTINATION_OPTIONS, &[58]), (DESTINATION_OPTIONS, 0, None));
        assert_eq!(walk(FRAGMENT, &[58, 0, 0, 1]), (FRAGMENT, 0, None));
    }

    #[test]
    fn the_walk_is_bounded() {
        let headers = [DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0].repeat(EXTENSION_HEADERS_MAX + 1);
        assert_eq!(
            walk(DESTINATION_OPTIONS, &headers),
            (DESTINATION_OPTIONS, EXTENSION_HEADERS_MAX * 8, None)
        );
    }

    #[test]
    fn sources_are_sorted_by_how_far_they_reach() {
        let sort = |source: &str| sort_source(source.parse().unwrap());
        assert_eq!(sort("::"), Source::Unspecified);
        assert_eq!(sort("fe80::1"), Source::LinkLocal);
        assert_eq!(sort("febf::1"), Source::LinkLocal);
        for source in ["fec0::1", "::ffff:10.0.0.1", "2001:db8::1", "fd00::1"] {
            assert_eq!(sort(source), Source::Global, "{source}");
        }
    }

    #[test]
    fn the_flow_label_is_read() {
        let mut bytes = packet(17, &[]);
        bytes[..4].copy_from_slice(&[0x6f, 0xf1, 0x23, 0x45]);
        assert_eq!(flow_label(&bytes), 0x12345);
    }

    proptest! {
        #[test]
        fn the_walk_stays_within_the_packet(next in any::<u8>(), payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = packet(next, &payload);
            prop_assert!(upper_layer(&bytes).offset <= bytes.len());
        }
    }
}
