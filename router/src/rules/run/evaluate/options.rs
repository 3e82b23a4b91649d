//! Options of TCP and IPv4 headers, and extension headers of IPv6 (`nft_exthdr.c`).

use super::Run;
use super::read::{TCP, bits_of};
use crate::packet::ipv6::{
    AUTHENTICATION, DESTINATION_OPTIONS, EXTENSION_HEADERS_MAX, FRAGMENT, HEADER_LEN, HOP_BY_HOP, NONE,
    ROUTING,
};

/// Bytes of a TCP header without options.
pub(super) const TCP_HEADER_MIN: usize = 20;
const IPV4_HEADER_MIN: usize = 20;
/// The kinds of options that are one byte long: end of list, no operation.
const NO_OPERATION: u8 = 1;

/// Where an option lies.
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) length: usize,
}

impl Run<'_, '_> {
    /// An option's field, or with no bits whether it is there.
    pub(super) fn option(&self, of_tcp: bool, kind: u8, offset: u16, length: u16) -> Option<u128> {
        let bytes = self.packet.ip();
        // What is not TCP has no TCP options.
        let place = if of_tcp { self.tcp_option(kind).flatten() } else { ipv4_option(bytes, kind) };
        if length == 0 {
            return Some(u128::from(place.is_some()));
        }
        let Place { start, length: there } = place?;
        field(bytes.get(start..start + there)?, offset, length)
    }

    /// Where an option of the packet's TCP header is; no header is `None`, no option `Some(None)`, as is one that
    /// reaches beyond the header.
    pub(super) fn tcp_option(&self, kind: u8) -> Option<Option<Place>> {
        let header = self.tcp_header()?;
        let (bytes, start) = (self.packet.ip(), self.packet.header.transport);
        let place = find_option(&bytes[start..start + header], TCP_HEADER_MIN, kind);
        Some(place.map(|place| Place { start: start + place.start, ..place }))
    }

    /// Length of the TCP header, if there is one and it is all there (`nft_tcp_header_pointer`).
    pub(super) fn tcp_header(&self) -> Option<usize> {
        let header = &self.packet.header;
        if header.protocol != TCP || header.fragment.is_some_and(|fragment| fragment.offset != 0) {
            return None;
        }
        let tcp = self.packet.ip().get(header.transport..)?;
        let length = usize::from(tcp.get(12)? >> 4) * 4;
        (length >= TCP_HEADER_MIN && tcp.len() >= length).then_some(length)
    }

    /// A field of an extension header, or with no bits whether it is there.
    pub(super) fn extension(&self, header: u8, offset: u16, length: u16) -> Option<u128> {
        let bytes = self.packet.ip();
        let start = find_extension(bytes, header);
        if length == 0 {
            return Some(u128::from(start.is_some()));
        }
        field(bytes.get(start?..)?, offset, length)
    }
}

fn field(bytes: &[u8], offset: u16, length: u16) -> Option<u128> {
    let (offset, length) = (usize::from(offset), usize::from(length));
    bits_of(bytes.get(offset / 8..(offset + length).div_ceil(8))?, offset % 8, length)
}

/// Walks over the options behind the first `from` bytes of a TCP header. One that is not all there is not there.
fn find_option(header: &[u8], from: usize, kind: u8) -> Option<Place> {
    let mut at = from;
    while at + 1 < header.len() {
        let length = match (header[at], header[at + 1]) {
            (kind, length) if kind > NO_OPERATION && length != 0 => usize::from(length),
            _ => 1,
        };
        if header[at] == kind {
            return (at + length <= header.len()).then_some(Place { start: at, length });
        }
        at += length;
    }
    None
}

fn ipv4_option(bytes: &[u8], kind: u8) -> Option<Place> {
    let header = bytes.get(..usize::from(bytes.first()? & 0xf) * 4)?;
    let mut at = IPV4_HEADER_MIN;
    while let Some(found) = header.get(at) {
        let length = match found {
            0 => return None,
            &NO_OPERATION => 1,
            _ => usize::from(*header.get(at + 1)?),
        };
        if length == 0 || at + length > header.len() {
            return None;
        }
        if *found == kind {
            return Some(Place { start: at, length });
        }
        at += length;
    }
    None
}

/// Where the first extension header of this kind begins (`ipv6_find_hdr`).
fn find_extension(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut next = *bytes.get(6)?;
    let mut at = HEADER_LEN;
    for _ in 0..EXTENSION_HEADERS_MAX {
        if next == wanted {
            return (at < bytes.len()).then_some(at);
        }
        let header = bytes.get(at..)?;
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (usize::from(*header.get(1)?) + 1) * 8,
            AUTHENTICATION => (usize::from(*header.get(1)?) + 2) * 4,
            FRAGMENT => {
                let is_later = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]) & 0xfff8 != 0;
                if is_later {
                    return None;
                }
                8
            }
            _ => return None,
        };
        next = *header.first()?;
        if next == NONE && wanted != NONE {
            return None;
        }
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_behind_others() {
        let mut header = [0; 32];
        header[20..32].copy_from_slice(&[1, 1, 2, 4, 5, 180, 8, 4, 9, 9, 4, 9]);
        let found = |kind| find_option(&header, 20, kind).map(|place| (place.start, place.length));
        assert_eq!(found(2), Some((22, 4)));
        assert_eq!(found(8), Some((26, 4)));
        assert_eq!(found(4), None, "it reaches beyond the header");
        assert_eq!(found(3), None);
    }

    #[test]
    fn extension_headers_are_found_behind_others() {
        let mut packet = vec![0; 40];
        packet[6] = HOP_BY_HOP;
        packet.extend([ROUTING, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend([FRAGMENT, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend([17, 0, 0, 1, 0, 0, 0, 0]);
        packet.extend([0; 8]);
        assert_eq!(find_extension(&packet, HOP_BY_HOP), Some(40));
        assert_eq!(find_extension(&packet, ROUTING), Some(48));
        assert_eq!(find_extension(&packet, FRAGMENT), Some(56));
        assert_eq!(find_extension(&packet, DESTINATION_OPTIONS), None);
        assert_eq!(find_extension(&packet, 17), Some(64));
    }
}
