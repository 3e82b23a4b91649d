//! From a frame to what the router needs to know of it: one pass, no copy, refused as Linux refuses it.

use std::net::{IpAddr, Ipv4Addr};

use super::{ethernet, ipv4, ipv6, u16_at};
use crate::port::Framing;

/// A frame that holds a sound IP packet, as far as headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The link header; `None` on ports that have none.
    pub link: Option<ethernet::Header>,
    /// Where the network header starts in the frame.
    pub network: usize,
    /// The packet.
    pub ip: Ip,
}

/// An IP packet's headers. Offsets count from the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// From whom.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Protocol behind the network header and, in IPv6, all extension headers. Of a fragment other than the first
    /// it is what the fragment header names.
    pub protocol: u8,
    /// TOS or traffic class, ECN included.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Bytes of the packet: what the frame holds beyond is padding.
    pub len: usize,
    /// Where `protocol` starts; at most `len`.
    pub transport: usize,
    /// IPv4 options ([`super::options`]) or a hop-by-hop header ([`super::hop_by_hop`]) are there to be obeyed.
    pub has_options: bool,
    /// No router may fragment it: DF in IPv4, always in IPv6.
    pub dont_fragment: bool,
    /// Set if the packet is a fragment (an IPv6 fragment header on a whole packet counts, RFC 6946).
    pub fragment: Option<Fragment>,
    /// Source port of TCP, UDP, UDP-Lite, SCTP and DCCP; 0 if there is none to be read.
    pub source_port: u16,
    /// Destination port, likewise.
    pub destination_port: u16,
}

impl Ip {
    /// Stands where there is no IP packet: no bytes, no addresses.
    pub const NONE: Self = Self {
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        protocol: 0,
        tos: 0,
        ttl: 0,
        len: 0,
        transport: 0,
        has_options: false,
        dont_fragment: false,
        fragment: None,
        source_port: 0,
        destination_port: 0,
    };

    /// Whether this stands for no IP packet.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.len == 0
    }
}

/// What makes a packet a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification; 16 bits in IPv4.
    pub identification: u32,
    /// Where its data belongs, in bytes.
    pub offset: u16,
    /// More follow.
    pub more: bool,
    /// Where the IPv6 fragment header starts, from the network header; 0 in IPv4.
    pub header: usize,
}

/// Why a frame is not one to forward. `name` is the kernel's drop reason (`enum skb_drop_reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unfit {
    /// The frame ends within its link header.
    #[error("frame ends within its link header")]
    LinkHeader,
    /// Tagged for a VLAN, which is another device's.
    #[error("frame belongs to a VLAN")]
    Vlan,
    /// Neither IPv4 nor IPv6.
    #[error("not an IP packet")]
    NotIp,
    /// The packet ends within its IP header.
    #[error("packet ends within its IP header")]
    HeaderTruncated,
    /// Version, header length, or a total length below it.
    #[error("version or length field of the IP header is impossible")]
    Header,
    /// IPv4 header checksum.
    #[error("IPv4 header checksum is wrong")]
    HeaderChecksum,
    /// The frame is shorter than the IP header says.
    #[error("frame is shorter than its IP header says")]
    Truncated,
    /// IPv6 loopback address on a link.
    #[error("IPv6 loopback address on a link")]
    Loopback,
    /// IPv6 multicast of interface-local or reserved scope.
    #[error("IPv6 multicast destination of a scope that never leaves a node")]
    MulticastScope,
    /// A source that no host may have.
    #[error("source address that no host may have")]
    MartianSource,
    /// A destination that never is on a link.
    #[error("destination address that never is on a link")]
    MartianDestination,
}

impl Unfit {
    /// The kernel's drop reason for it, in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkHeader | Self::Truncated => "pkt_too_small",
            Self::Vlan => "other_vlan",
            Self::NotIp => "unhandled_proto",
            Self::HeaderTruncated | Self::Header | Self::Loopback | Self::MulticastScope => "ip_inhdr",
            Self::HeaderChecksum => "ip_csum",
            Self::MartianSource => "ip_invalid_source",
            Self::MartianDestination => "ip_invalid_dest",
        }
    }
}

/// Reads a frame as a port of this framing delivers it.
///
/// # Errors
/// See [`Unfit`]; [`Unfit::Vlan`] and [`Unfit::NotIp`] say that the frame is somebody else's.
pub fn parse(frame: &[u8], framing: Framing) -> Result<Parsed, Unfit> {
    match framing {
        Framing::Ethernet => {
            let link = ethernet::Header::read(frame).ok_or(Unfit::LinkHeader)?;
            if link.vlan.is_some() {
                return Err(Unfit::Vlan);
            }
            let packet = &frame[link.len..];
            let ip = match link.ether_type {
                ethernet::IPV4 => ipv4::read(packet)?,
                ethernet::IPV6 => ipv6::read(packet)?,
                _ => return Err(Unfit::NotIp),
            };
            Ok(Parsed { link: Some(link), network: link.len, ip })
        }
        Framing::Network => Ok(Parsed { link: None, network: 0, ip: parse_ip(frame)? }),
    }
}

/// Reads a packet that starts with its network header.
///
/// # Errors
/// See [`Unfit`].
pub fn parse_ip(packet: &[u8]) -> Result<Ip, Unfit> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => ipv4::read(packet),
        Some(6) => ipv6::read(packet),
        Some(_) => Err(Unfit::NotIp),
        None => Err(Unfit::HeaderTruncated),
    }
}

/// Reads the IP packet in a frame that is bridged, as rules of a bridge see it; [`Ip::NONE`] if the frame carries none
/// or one whose header makes no sense.
#[must_use]
pub fn parse_bridged(ether_type: u16, carried: &[u8]) -> Ip {
    let read = match ether_type {
        ethernet::IPV4 => ipv4::read_bridged(carried),
        ethernet::IPV6 => ipv6::read_bridged(carried),
        _ => None,
    };
    read.unwrap_or(Ip::NONE)
}

/// Ports of the protocols that begin with two of them.
pub(crate) fn ports(protocol: u8, transport: &[u8]) -> (u16, u16) {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    const DCCP: u8 = 33;
    const SCTP: u8 = 132;
    const UDP_LITE: u8 = 136;
    match protocol {
        TCP | UDP | DCCP | SCTP | UDP_LITE if transport.len() >= 4 => {
            (u16_at(transport, 0), u16_at(transport, 2))
        }
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fib::adjacency::Mac;
    use proptest::prelude::*;

    const UDP4: [u8; 32] = [
        0x45, 0x2e, 0, 32, 0x12, 0x34, 0, 0, 64, 17, 0x54, 0x65, 10, 1, 0, 2, 10, 2, 0, 2, //
        0x30, 0x39, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4,
    ];

    fn ethernet(ether_type: [u8; 2], packet: &[u8]) -> Vec<u8> {
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9][..], &ether_type, packet].concat()
    }

    fn with(change: impl FnOnce(&mut [u8; 32])) -> [u8; 32] {
        let mut packet = UDP4;
        change(&mut packet);
        ipv4::write_checksum(&mut packet);
        packet
    }

    #[test]
    fn a_bridged_packet_is_read_whatever_its_addresses_and_its_padding() {
        let sound = parse_ip(&UDP4).unwrap();
        let mut odd = [&UDP4[..], &[0; 14]].concat();
        assert_eq!(parse_bridged(ethernet::IPV4, &odd), sound);
        odd[10] ^= 0xff;
        assert_eq!(parse_ip(&odd), Err(Unfit::HeaderChecksum));
        assert_eq!(parse_bridged(ethernet::IPV4, &odd), sound);
        for (other, bytes) in
            [(ethernet::IPV6, &UDP4[..]), (ethernet::ARP, &UDP4), (ethernet::IPV4, &UDP4[..31])]
        {
            assert!(parse_bridged(other, bytes).is_none(), "{other:#x}");
        }
    }

    #[test]
    fn an_ipv4_packet_is_read() {
        let padded = [&UDP4[..], &[0xee; 14]].concat();
        let parsed = parse(&ethernet([8, 0], &padded), Framing::Ethernet).unwrap();
        assert_eq!(parsed.link.unwrap().source, Mac([2, 0, 0, 0, 0, 9]));
        assert_eq!(parsed.network, 14);
        let expected = Ip {
            source: "10.1.0.2".parse().unwrap(),
            destination: "10.2.0.2".parse().unwrap(),
            protocol: 17,
            tos: 0x2e,
            ttl: 64,
            len: 32,
            transport: 20,
            has_options: false,
            dont_fragment: false,
            fragment: None,
            source_port: 12345,
            destination_port: 53,
        };
        assert_eq!(parsed.ip, expected);
        let bare = parse(&UDP4, Framing::Network).unwrap();
        assert_eq!((bare.link, bare.network, bare.ip), (None, 0, expected));
    }

    #[test]
    fn an_ipv6_packet_is_read() {
        let mut packet = vec![0x62, 0xe1, 0x23, 0x45, 0, 20, 60, 63];
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend_from_slice(&[6, 0, 1, 4, 0, 0, 0, 0, 0x30, 0x39, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0xee]);
        let parsed = parse(&ethernet([0x86, 0xdd], &packet), Framing::Ethernet).unwrap();
        let expected = Ip {
            source: "2001:db8:1::2".parse().unwrap(),
            destination: "2001:db8:2::2".parse().unwrap(),
            protocol: 6,
            tos: 0x2e,
            ttl: 63,
            len: 60,
            transport: 48,
            has_options: false,
            dont_fragment: true,
            fragment: None,
            source_port: 12345,
            destination_port: 80,
        };
        assert_eq!(parsed.ip, expected);
    }

    #[test]
    fn only_a_first_fragment_has_ports() {
        let first = parse_ip(&with(|packet| packet[6] = 0x20)).unwrap();
        let fragment = Fragment { identification: 0x1234, offset: 0, more: true, header: 0 };
        assert_eq!((first.fragment, first.source_port), (Some(fragment), 12345));
        let later = parse_ip(&with(|packet| packet[7] = 3)).unwrap();
        let fragment = Fragment { identification: 0x1234, offset: 24, more: false, header: 0 };
        assert_eq!((later.fragment, later.source_port, later.destination_port), (Some(fragment), 0, 0));
    }

    #[test]
    fn ports_that_are_not_all_there_are_zero() {
        let ip = parse_ip(&with(|packet| packet[3] = 23)).unwrap();
        assert_eq!((ip.len, ip.source_port, ip.destination_port), (23, 0, 0));
        let icmp = parse_ip(&with(|packet| packet[9] = 1)).unwrap();
        assert_eq!((icmp.source_port, icmp.destination_port), (0, 0));
    }

    #[test]
    fn each_refusal_says_what_was_wrong() {
        let refused = |packet: &[u8]| parse_ip(packet).unwrap_err();
        assert_eq!(refused(&[]), Unfit::HeaderTruncated);
        assert_eq!(refused(&UDP4[..19]), Unfit::HeaderTruncated);
        assert_eq!(refused(&UDP4[..31]), Unfit::Truncated);
        assert_eq!(refused(&with(|packet| packet[3] = 19)), Unfit::Header);
        assert_eq!(refused(&[0x44; 32]), Unfit::Header);
        assert_eq!(refused(&[0x4f; 32]), Unfit::HeaderTruncated);
        assert_eq!(refused(&[0x55; 32]), Unfit::NotIp);
        let mut wrong = UDP4;
        wrong[10] ^= 1;
        assert_eq!(refused(&wrong), Unfit::HeaderChecksum);
        let frame = |ether_type, packet: &[u8]| parse(&ethernet(ether_type, packet), Framing::Ethernet);
        assert_eq!(frame([8, 6], &UDP4), Err(Unfit::NotIp));
        assert_eq!(frame([0x86, 0xdd], &UDP4), Err(Unfit::HeaderTruncated));
        assert_eq!(frame([0x86, 0xdd], &[0x45; 40]), Err(Unfit::Header));
        assert_eq!(frame([0x81, 0], &[0, 5, 8, 0]), Err(Unfit::Vlan));
        assert_eq!(parse(&[0; 13], Framing::Ethernet), Err(Unfit::LinkHeader));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 4u8..=6) {
            for framing in [Framing::Ethernet, Framing::Network] {
                let _ = parse(&bytes, framing);
            }
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = version << 4 | *first & 0x0f;
            }
            let _ = parse_ip(&bytes);
        }

        #[test]
        fn what_is_read_lies_within_the_packet(mut bytes in proptest::collection::vec(any::<u8>(), 60..200)) {
            bytes[0] = 0x45 | bytes[0] & 0x0f;
            let len = bytes.len() as u16;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            ipv4::write_checksum(&mut bytes);
            let ip = parse_ip(&bytes).unwrap();
            prop_assert!(ip.transport <= ip.len && ip.len == bytes.len());
            bytes[0] = 0x60;
            if let Ok(ip) = parse_ip(&bytes) {
                prop_assert!(ip.transport <= ip.len && ip.len <= bytes.len());
            }
        }
    }
}
