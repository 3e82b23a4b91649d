//! From a frame to what the router needs to know of it: one pass, no copy, refused as Linux refuses it.

use std::net::IpAddr;

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

/// Ports of the protocols that begin with two of them.
pub(super) fn ports(protocol: u8, transport: &[u8]) -> (u16, u16) {
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
