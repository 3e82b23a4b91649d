//! What frames of a link tell of who has which address: ARP, neighbor advertisements, and what virtual routers say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fib::adjacency::Mac;
use smoltcp::wire::{ArpHardware, ArpPacket, EthernetProtocol, Icmpv6Message, NdiscNeighborFlags};

use crate::packet::ethernet::{self, HEADER_LEN};

/// Addresses of a virtual router that are taken notice of.
pub(super) const VIRTUAL_MAX: usize = 4;

/// What a frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    /// This address is at that link address.
    Neighbor {
        address: IpAddr,
        mac: Mac,
        /// Nobody has asked: everybody is told.
        unasked: bool,
    },
    /// A virtual router's addresses are at that link address, and `speaker` has them now.
    Virtual { speaker: IpAddr, mac: Mac, addresses: [Option<IpAddr>; VIRTUAL_MAX] },
}

const ICMPV6: u8 = 58;
const VRRP: u8 = 112;
/// Where virtual routers speak (RFC 9568 sections 5.1.1.2 and 5.1.2.2).
const VRRP_GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const VRRP_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// A router forwards nothing that has this many hops left: it comes from the link.
const FROM_LINK: u8 = 255;

const IPV6_HEADER: usize = 40;
const ADVERTISEMENT: usize = 24;

/// Reads an Ethernet frame, its header included. `None` for all that says nothing of neighbors, which is nearly all.
pub(super) fn read(frame: &[u8]) -> Option<Announcement> {
    let source = Mac(*frame.get(6..)?.first_chunk()?);
    let ether_type = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    let rest = &frame[HEADER_LEN..];
    let told = match ether_type {
        ethernet::ARP => arp(rest),
        ethernet::IPV6 => ipv6(source, rest),
        ethernet::IPV4 => ipv4(source, rest),
        _ => None,
    }?;
    let (Announcement::Neighbor { mac, .. } | Announcement::Virtual { mac, .. }) = told;
    (mac != Mac::default() && mac.0[0] & 1 == 0).then_some(told)
}

fn arp(bytes: &[u8]) -> Option<Announcement> {
    let packet = ArpPacket::new_checked(bytes).ok()?;
    let is_ethernet =
        packet.hardware_type() == ArpHardware::Ethernet && packet.protocol_type() == EthernetProtocol::Ipv4;
    if !is_ethernet || packet.hardware_len() != 6 || packet.protocol_len() != 4 {
        return None;
    }
    let mac = Mac(*packet.source_hardware_addr().first_chunk()?);
    let [sender, target] = [packet.source_protocol_addr(), packet.target_protocol_addr()];
    let address = Ipv4Addr::from(*sender.first_chunk::<4>()?);
    let is_host = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
    is_host.then_some(Announcement::Neighbor { address: address.into(), mac, unasked: sender == target })
}

fn ipv6(source: Mac, bytes: &[u8]) -> Option<Announcement> {
    let (header, rest) = bytes.split_first_chunk::<IPV6_HEADER>()?;
    if header[7] != FROM_LINK {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let rest = rest.get(..length)?;
    match header[6] {
        ICMPV6 => advertisement(rest),
        VRRP if header[24..40] == VRRP_GROUP_V6.octets() => {
            let speaker = Ipv6Addr::from(*header[8..].first_chunk::<16>()?);
            vrrp(source, speaker.into(), rest)
        }
        _ => None,
    }
}

/// A neighbor advertisement with a link address (RFC 4861 section 4.4).
fn advertisement(message: &[u8]) -> Option<Announcement> {
    let (fixed, mut options) = message.split_first_chunk::<ADVERTISEMENT>()?;
    if Icmpv6Message::from(fixed[0]) != Icmpv6Message::NeighborAdvert {
        return None;
    }
    let flags = NdiscNeighborFlags::from_bits_truncate(fixed[4]);
    let address = Ipv6Addr::from(*fixed[8..].first_chunk::<16>()?);
    if address.is_multicast() {
        return None;
    }
    const TARGET_LINK_ADDRESS: u8 = 2;
    loop {
        let [kind, units] = *options.first_chunk::<2>()?;
        let option = options.get(..usize::from(units) * 8).filter(|option| !option.is_empty())?;
        if kind == TARGET_LINK_ADDRESS {
            let mac = Mac(*option.get(2..)?.first_chunk()?);
            let unasked = !flags.contains(NdiscNeighborFlags::SOLICITED);
            return Some(Announcement::Neighbor { address: address.into(), mac, unasked });
        }
        options = &options[option.len()..];
    }
}

fn ipv4(source: Mac, bytes: &[u8]) -> Option<Announcement> {
    let (header, _) = bytes.split_first_chunk::<20>()?;
    if header[8] != FROM_LINK || header[9] != VRRP || header[16..20] != VRRP_GROUP_V4.octets() {
        return None;
    }
    let start = usize::from(header[0] & 0x0f) * 4;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let speaker = Ipv4Addr::from(*header[12..].first_chunk::<4>()?);
    vrrp(source, speaker.into(), bytes.get(start..length)?)
}

/// A virtual router's advertisement, of version 2 (RFC 3768 section 5.1) or 3 (RFC 9568 section 5.2). One that gives its
/// router up (priority 0) says nothing: who takes over will.
fn vrrp(source: Mac, speaker: IpAddr, message: &[u8]) -> Option<Announcement> {
    const ADVERTISEMENT_TYPE: u8 = 1;
    let [version_type, _, priority, count, _, _, _, _] = *message.first_chunk::<8>()?;
    let (version, kind) = (version_type >> 4, version_type & 0x0f);
    if !matches!(version, 2 | 3) || kind != ADVERTISEMENT_TYPE || priority == 0 {
        return None;
    }
    let listed = &message[8..];
    let mut addresses = [None; VIRTUAL_MAX];
    let count = usize::from(count);
    match speaker {
        IpAddr::V4(_) => {
            let listed = listed.get(..count * 4)?.chunks_exact(4);
            for (place, bytes) in addresses.iter_mut().zip(listed) {
                *place = Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into());
            }
        }
        IpAddr::V6(_) => {
            let listed = listed.get(..count * 16)?.chunks_exact(16);
            for (place, bytes) in addresses.iter_mut().zip(listed) {
                *place = Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into());
            }
        }
    }
    Some(Announcement::Virtual { speaker, mac: source, addresses })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GATEWAY: Mac = Mac([2, 0, 0, 0, 9, 1]);

    fn framed(ether_type: u16, rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend(GATEWAY.0);
        frame.extend(ether_type.to_be_bytes());
        frame.extend(rest);
        frame
    }

    pub(super) fn arp_frame(operation: u16, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4];
        bytes.extend(operation.to_be_bytes());
        bytes.extend(GATEWAY.0);
        bytes.extend(sender);
        bytes.extend([0; 6]);
        bytes.extend(target);
        framed(ethernet::ARP, &bytes)
    }

    #[test]
    fn arp_tells_of_its_sender() {
        let address = IpAddr::from([10, 0, 1, 254]);
        let told = |frame: &[u8]| read(frame);
        for operation in [1, 2] {
            assert_eq!(
                told(&arp_frame(operation, [10, 0, 1, 254], [10, 0, 1, 1])),
                Some(Announcement::Neighbor { address, mac: GATEWAY, unasked: false })
            );
            assert_eq!(
                told(&arp_frame(operation, [10, 0, 1, 254], [10, 0, 1, 254])),
                Some(Announcement::Neighbor { address, mac: GATEWAY, unasked: true })
            );
        }
        assert_eq!(told(&arp_frame(1, [0; 4], [10, 0, 1, 1])), None, "a probe has no sender yet");
    }

    #[test]
    fn an_advertisement_tells_of_its_target() {
        let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        message.extend("fe80::9".parse::<Ipv6Addr>().unwrap().octets());
        message.extend([14, 1, 0, 0, 0, 0, 0, 0]);
        message.extend([2, 1]);
        message.extend(GATEWAY.0);
        let mut packet = vec![0x60, 0, 0, 0, 0, message.len() as u8, ICMPV6, FROM_LINK];
        packet.extend([0; 32]);
        packet.extend(&message);
        let told =
            Announcement::Neighbor { address: "fe80::9".parse().unwrap(), mac: GATEWAY, unasked: true };
        assert_eq!(read(&framed(ethernet::IPV6, &packet)), Some(told));
        packet[7] = 254;
        assert_eq!(read(&framed(ethernet::IPV6, &packet)), None, "it has been forwarded");
    }

    #[test]
    fn a_virtual_router_tells_its_addresses_until_it_gives_up() {
        let mut packet = vec![0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, VRRP, 0, 0, 10, 0, 1, 2, 224, 0, 0, 18];
        packet.extend([0x31, 51, 100, 1, 0, 100, 0, 0]);
        packet.extend([10, 0, 1, 254]);
        let mut addresses = [None; VIRTUAL_MAX];
        addresses[0] = Some(IpAddr::from([10, 0, 1, 254]));
        let speaker = IpAddr::from([10, 0, 1, 2]);
        let told = Announcement::Virtual { speaker, mac: GATEWAY, addresses };
        assert_eq!(read(&framed(ethernet::IPV4, &packet)), Some(told));
        packet[22] = 0;
        assert_eq!(read(&framed(ethernet::IPV4, &packet)), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_no_announcement_does_harm(
            kind in prop::sample::select(vec![ethernet::ARP, ethernet::IPV4, ethernet::IPV6, 0x88cc]),
            mut rest in prop::collection::vec(any::<u8>(), 0..120),
            next in prop::sample::select(vec![ICMPV6, VRRP]),
        ) {
            for (place, value) in [(6, next), (7, FROM_LINK), (8, FROM_LINK), (9, next)] {
                if kind != ethernet::ARP && let Some(byte) = rest.get_mut(place) {
                    *byte = value;
                }
            }
            let _ = read(&framed(kind, &rest));
            let _ = read(&rest);
        }
    }
}
