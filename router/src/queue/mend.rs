//! New bytes of a packet, as a program has sent them: found sound or refused, lengths and checksums made right if asked.

use std::net::IpAddr;

use super::Change;
use crate::chain::Family;
use crate::packet::parse::{Ip, Unfit, parse_bridged, parse_ip};
use crate::packet::{checksum, ethernet, ipv4, ipv6};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// Why new bytes are no packet. The packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsound {
    /// Longer than a packet can be.
    #[error("the new bytes are more than a packet can have")]
    TooLong,
    /// Of another family than the packet they are to replace.
    #[error("the new bytes are no packet of the family of the one they are to replace")]
    OtherFamily,
    /// An IP packet that no router may pass on.
    #[error("the new bytes are no sound packet: {0}")]
    Unfit(#[from] Unfit),
}

/// Makes a change of new bytes: of an IP packet from its network header, else from the link header. With `fix` lengths
/// and checksums follow the bytes; without it they are only checked as those of any packet that comes in.
pub(super) fn change(family: Family, bytes: &[u8], fix: bool) -> Result<Change, Unsound> {
    let mut bytes: Box<[u8]> = bytes.into();
    let mut network = 0;
    let mut ether_type = 0;
    if matches!(family, Family::Arp | Family::Bridge) {
        let link = ethernet::Header::read(&bytes).ok_or(Unfit::LinkHeader)?;
        (network, ether_type) = (link.len, link.ether_type);
    }
    if bytes.len() - network > IP_MAX {
        return Err(Unsound::TooLong);
    }
    let carries_ip = matches!(ether_type, 0 | ethernet::IPV4 | ethernet::IPV6);
    if fix && carries_ip {
        mend(&mut bytes[network..]);
    }
    let header = match family {
        Family::Ipv4 | Family::Ipv6 => {
            let header = parse_ip(&bytes)?;
            if header.source.is_ipv4() != (family == Family::Ipv4) {
                return Err(Unsound::OtherFamily);
            }
            bytes = bytes[..header.len].into();
            header
        }
        Family::Bridge => parse_bridged(ether_type, &bytes[network..]),
        Family::Arp if ether_type == ethernet::ARP => Ip::NONE,
        Family::Arp => return Err(Unsound::OtherFamily),
    };
    Ok(Change { bytes, network, header })
}

/// Bytes of the largest IP packet.
const IP_MAX: usize = 65_535;

/// Makes lengths and checksums those of the bytes, as far as they are an IP packet. A fragment has no checksum of its own.
fn mend(packet: &mut [u8]) {
    let len = packet.len();
    match packet.first().map(|byte| byte >> 4) {
        Some(4) if len >= ipv4::HEADER_MIN && (ipv4::HEADER_MIN..=len).contains(&ipv4_header_len(packet)) => {
            packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            ipv4::write_checksum(packet);
        }
        Some(6) if len >= ipv6::HEADER_LEN => {
            packet[4..6].copy_from_slice(&((len - ipv6::HEADER_LEN) as u16).to_be_bytes());
        }
        _ => return,
    }
    let Ok(header) = parse_ip(packet) else { return };
    if header.fragment.is_none() {
        mend_transport(&header, &mut packet[header.transport..header.len]);
    }
}

fn mend_transport(header: &Ip, transport: &mut [u8]) {
    let (least, field) = match header.protocol {
        TCP => (20, 16),
        UDP => (8, 6),
        ICMP | ICMPV6 => (4, 2),
        SCTP => (12, 8),
        _ => return,
    };
    if transport.len() < least {
        return;
    }
    let length = transport.len();
    if header.protocol == UDP {
        transport[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    }
    if header.protocol == SCTP {
        transport[field..field + 4].fill(0);
        let sum = crc32c::crc32c(transport).to_le_bytes();
        transport[field..field + 4].copy_from_slice(&sum);
        return;
    }
    transport[field..field + 2].fill(0);
    let pseudo = match (header.source, header.destination) {
        (IpAddr::V4(_), _) if header.protocol == ICMP => 0,
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            checksum::pseudo_header_v4(source, destination, header.protocol, length as u16)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            checksum::pseudo_header_v6(source, destination, header.protocol, length as u32)
        }
        _ => unreachable!("a packet has addresses of one family"),
    };
    let sum = !checksum::add(pseudo, checksum::sum(transport));
    // In UDP a sum of 0 would mean that there is none.
    let sum = if header.protocol == UDP && sum == 0 { u16::MAX } else { sum };
    transport[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

fn ipv4_header_len(packet: &[u8]) -> usize {
    usize::from(packet[0] & 0xf) * 4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tabletop::frames::Ends;

    /// A UDP packet without its link header.
    fn udp(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
        Ends::to_port(0, source, destination).udp(payload)[ethernet::HEADER_LEN..].to_vec()
    }

    const PAIRS: [(Family, &str, &str); 2] =
        [(Family::Ipv4, "10.0.0.2:1", "10.0.1.2:53"), (Family::Ipv6, "[fd00::2]:1", "[fd01::2]:53")];

    #[test]
    fn a_payload_of_another_length_gets_the_lengths_and_checksums_of_such_a_packet() {
        for (family, source, destination) in PAIRS {
            let short = udp(source, destination, b"question");
            let payload = short.len() - b"question".len();
            let changed = [&short[..payload], b"a longer question"].concat();
            let mended = change(family, &changed, true).unwrap();
            assert_eq!(mended.bytes[..], udp(source, destination, b"a longer question")[..]);
            assert_eq!(mended.header, parse_ip(&mended.bytes).unwrap());
        }
    }

    #[test]
    fn without_mending_bytes_stay_as_they_are_and_what_is_beyond_the_packet_is_cut_off() {
        for (family, source, destination) in PAIRS {
            let mut packet = udp(source, destination, b"question");
            let last = packet.len() - 1;
            packet[last] ^= 1;
            let padded = [&packet[..], &[0; 9]].concat();
            assert_eq!(change(family, &padded, false).unwrap().bytes[..], packet[..]);
        }
    }

    #[test]
    fn what_is_no_packet_of_the_family_is_refused() {
        let [v4, v6] = PAIRS.map(|(_, source, destination)| udp(source, destination, b"x"));
        let refused = |family, bytes: &[u8]| change(family, bytes, false).unwrap_err();
        assert_eq!(refused(Family::Ipv4, &v6), Unsound::OtherFamily);
        assert_eq!(refused(Family::Ipv6, &v4), Unsound::OtherFamily);
        assert_eq!(refused(Family::Ipv4, b""), Unsound::Unfit(Unfit::HeaderTruncated));
        assert_eq!(refused(Family::Ipv4, &v4[..25]), Unsound::Unfit(Unfit::Truncated));
        assert_eq!(refused(Family::Ipv4, &[0x45; IP_MAX + 1]), Unsound::TooLong);
        assert_eq!(refused(Family::Bridge, &[0; 13]), Unsound::Unfit(Unfit::LinkHeader));
        assert_eq!(refused(Family::Arp, &[0; 60]), Unsound::OtherFamily);
        let mut wrong = v4.clone();
        wrong[10] ^= 1;
        assert_eq!(refused(Family::Ipv4, &wrong), Unsound::Unfit(Unfit::HeaderChecksum));
        assert!(change(Family::Ipv4, &wrong, true).is_ok(), "that is what mending is for");
    }

    #[test]
    fn a_bridged_frame_may_be_anything_behind_its_link_header() {
        let frame = Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:53").udp(b"x");
        let changed = change(Family::Bridge, &frame, false).unwrap();
        assert_eq!((changed.network, changed.header.len), (ethernet::HEADER_LEN, 29));
        let mut other = frame.clone();
        other[12..14].copy_from_slice(&0x88cc_u16.to_be_bytes());
        let changed = change(Family::Bridge, &other, true).unwrap();
        assert_eq!(changed.header, Ip::NONE);
        assert_eq!(changed.bytes[..], other[..]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_is_mended_is_sound(
            mut bytes in prop::collection::vec(any::<u8>(), 0..120), version in 4u8..=6,
            protocol in prop::sample::select(vec![1_u8, 6, 17, 58, 132, 44, 0]), fix in any::<bool>(),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = version << 4 | *first & 0x0f;
            }
            for at in [6, 9] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = protocol;
                }
            }
            for family in Family::ALL {
                let Ok(changed) = change(family, &bytes, fix) else { continue };
                if matches!(family, Family::Ipv4 | Family::Ipv6) {
                    prop_assert_eq!(parse_ip(&changed.bytes), Ok(changed.header));
                    prop_assert_eq!(changed.header.len, changed.bytes.len());
                }
            }
        }
    }
}
