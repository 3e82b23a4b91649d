//! The IPv4 header: its checks on receipt, its addresses that nobody forwards, its TTL and its checksum.

use std::net::Ipv4Addr;

use super::checksum::checksum;
use super::parse::{Fragment, Ip, Unfit, ports};
use super::u16_at;

/// Bytes of a header without options.
pub const HEADER_MIN: usize = 20;
/// Bytes of the longest header.
pub const HEADER_MAX: usize = 60;

/// Don't fragment, in the word of flags and offset.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments follow, in the word of flags and offset.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The offset, in units of eight bytes, in the word of flags and offset.
pub const OFFSET_MASK: u16 = 0x1fff;

/// Reads the packet that starts `bytes`; what lies behind it is link-layer padding.
///
/// # Errors
/// The checks of `ip_rcv_core` (`net/ipv4/ip_input.c`), RFC 1812 section 5.2.2, in the kernel's order.
pub(super) fn read(bytes: &[u8]) -> Result<Ip, Unfit> {
    let Some(header) = bytes.first_chunk::<HEADER_MIN>() else {
        return Err(Unfit::HeaderTruncated);
    };
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_len < HEADER_MIN {
        return Err(Unfit::Header);
    }
    let Some(whole_header) = bytes.get(..header_len) else {
        return Err(Unfit::HeaderTruncated);
    };
    if checksum(whole_header) != 0 {
        return Err(Unfit::HeaderChecksum);
    }
    let len = usize::from(u16_at(header, 2));
    if bytes.len() < len {
        return Err(Unfit::Truncated);
    }
    if len < header_len {
        return Err(Unfit::Header);
    }
    Ok(describe(header, header_len, &bytes[..len]))
}

/// Reads the packet in a frame that is bridged, whatever its addresses and its checksum; `None` if there is no sound
/// header (`nft_set_pktinfo_ipv4_validate`).
pub(super) fn read_bridged(bytes: &[u8]) -> Option<Ip> {
    let header = bytes.first_chunk::<HEADER_MIN>()?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let packet = bytes.get(..usize::from(u16_at(header, 2)))?;
    (header[0] >> 4 == 4 && header_len >= HEADER_MIN && packet.len() >= header_len)
        .then(|| describe(header, header_len, packet))
}

/// What a header of `header_len` bytes says of its packet.
fn describe(header: &[u8; HEADER_MIN], header_len: usize, packet: &[u8]) -> Ip {
    let word = u16_at(header, 6);
    let fragment = (word & (MORE_FRAGMENTS | OFFSET_MASK) != 0).then(|| Fragment {
        identification: u32::from(u16_at(header, 4)),
        offset: (word & OFFSET_MASK) << 3,
        more: word & MORE_FRAGMENTS != 0,
        header: 0,
    });
    let protocol = header[9];
    let (source_port, destination_port) = match fragment {
        Some(Fragment { offset: 1.., .. }) => (0, 0),
        _ => ports(protocol, &packet[header_len..]),
    };
    Ip {
        source: source(header).into(),
        destination: destination(header).into(),
        protocol,
        tos: header[1],
        ttl: header[8],
        len: packet.len(),
        transport: header_len,
        has_options: header_len > HEADER_MIN,
        dont_fragment: word & DONT_FRAGMENT != 0,
        fragment,
        source_port,
        destination_port,
    }
}

/// Bytes of the header, as its first byte says.
///
/// # Panics
/// If `packet` is empty.
#[must_use]
pub fn header_len(packet: &[u8]) -> usize {
    usize::from(packet[0] & 0x0f) * 4
}

/// The source address.
///
/// # Panics
/// If the header is not there.
#[must_use]
pub fn source(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15])
}

/// The destination address.
///
/// # Panics
/// If the header is not there.
#[must_use]
pub fn destination(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19])
}

/// Priority of a forwarded packet by its TOS (`ip_tos2prio` in net/ipv4/route.c).
#[must_use]
pub const fn priority_of_tos(tos: u8) -> u32 {
    const BEST_EFFORT: u32 = 0;
    const BULK: u32 = 2;
    const INTERACTIVE: u32 = 6;
    const INTERACTIVE_BULK: u32 = 4;
    match tos & 0x1e {
        0x00..=0x07 => BEST_EFFORT,
        0x08..=0x0f => BULK,
        0x10..=0x17 => INTERACTIVE,
        _ => INTERACTIVE_BULK,
    }
}

/// Lowers the TTL by one and mends the checksum as `ip_decrease_ttl` does (RFC 1141), so that even a header whose
/// sum is written as 0xffff leaves with the kernel's bytes.
///
/// # Panics
/// If the header is not there or the TTL is 0 already.
pub fn decrease_ttl(packet: &mut [u8]) {
    assert!(packet[8] > 0, "a packet with no time left was to be forwarded");
    let sum = u32::from(u16_at(packet, 10)) + 0x0100;
    let sum = (sum + u32::from(sum >= 0xffff)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet[8] -= 1;
}

/// Computes the header checksum anew and writes it.
///
/// # Panics
/// If the header is not there.
pub fn write_checksum(packet: &mut [u8]) {
    let header_len = header_len(packet);
    packet[10..12].fill(0);
    let checksum = checksum(&packet[..header_len]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// What an IPv4 destination is before any table is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The routing tables decide.
    Unicast,
    /// 255.255.255.255, or both addresses 0.0.0.0: for whoever hears it, never forwarded.
    LimitedBroadcast,
    /// 224/4, not forwarded.
    Multicast,
}

/// Sorts a packet by addresses that need no table (`ip_route_input_rcu` and `ip_route_input_slow` in
/// `net/ipv4/route.c`). `route_localnet` is the sysctl of the port of entry.
///
/// Linux since 5.3 takes 0.0.0.1 to 0.255.255.255 and 240/4 for ordinary addresses, and so does this.
///
/// # Errors
/// An address that must not be seen on a link.
pub fn martian(source: Ipv4Addr, destination: Ipv4Addr, route_localnet: bool) -> Result<Destination, Unfit> {
    if destination.is_multicast() {
        return Ok(Destination::Multicast);
    }
    if source.is_multicast() || source.is_broadcast() {
        return Err(Unfit::MartianSource);
    }
    if destination.is_broadcast() || (source.is_unspecified() && destination.is_unspecified()) {
        return Ok(Destination::LimitedBroadcast);
    }
    if source.is_unspecified() {
        return Err(Unfit::MartianSource);
    }
    if destination.is_unspecified() {
        return Err(Unfit::MartianDestination);
    }
    if !route_localnet && destination.is_loopback() {
        return Err(Unfit::MartianDestination);
    }
    if !route_localnet && source.is_loopback() {
        return Err(Unfit::MartianSource);
    }
    Ok(Destination::Unicast)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_that_nobody_may_have_are_martian_as_on_linux() {
        let ask = |source: &str, destination: &str| {
            martian(source.parse().unwrap(), destination.parse().unwrap(), false)
        };
        let there = "10.2.0.2";
        for source in ["0.0.0.0", "127.0.0.1", "127.255.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255"] {
            assert_eq!(ask(source, there), Err(Unfit::MartianSource), "{source}");
        }
        for source in ["0.1.2.3", "240.0.0.1", "169.254.1.1", "10.1.0.255"] {
            assert_eq!(ask(source, there), Ok(Destination::Unicast), "{source}");
        }
        for destination in ["0.0.0.0", "127.0.0.1"] {
            assert_eq!(ask("10.1.0.2", destination), Err(Unfit::MartianDestination), "{destination}");
        }
        for destination in ["0.1.2.3", "240.0.0.1", "169.254.1.1"] {
            assert_eq!(ask("10.1.0.2", destination), Ok(Destination::Unicast), "{destination}");
        }
        assert_eq!(ask("10.1.0.2", "255.255.255.255"), Ok(Destination::LimitedBroadcast));
        assert_eq!(ask("0.0.0.0", "255.255.255.255"), Ok(Destination::LimitedBroadcast));
        assert_eq!(ask("0.0.0.0", "0.0.0.0"), Ok(Destination::LimitedBroadcast));
        assert_eq!(ask("0.0.0.0", "224.0.0.1"), Ok(Destination::Multicast));
    }

    #[test]
    fn loopback_is_routed_where_route_localnet_says_so() {
        let (home, there) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 2, 0, 2));
        assert_eq!(martian(home, there, true), Ok(Destination::Unicast));
        assert_eq!(martian(there, home, true), Ok(Destination::Unicast));
    }

    proptest! {
        #[test]
        fn a_lowered_ttl_keeps_the_checksum_right(mut header in any::<[u8; HEADER_MIN]>()) {
            header[0] = 0x45;
            header[8] = header[8].max(1);
            write_checksum(&mut header);
            let ttl = header[8];
            decrease_ttl(&mut header);
            prop_assert_eq!(header[8], ttl - 1);
            prop_assert_eq!(checksum(&header), 0);
        }
    }
}
