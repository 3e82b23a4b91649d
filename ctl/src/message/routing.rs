//! Rows of what routing rests on: addresses, routes, policy rules, neighbors, and the answer to `route get`.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Dad, Family};

/// An address of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressRow {
    /// Name of the link, whether a port of the router or not.
    pub port: String,
    /// State of the link as `ip -br address` writes it: `UP`, `DOWN`, `UNKNOWN`.
    pub state: Cow<'static, str>,
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix in bits.
    pub prefix_length: u8,
    /// Scope as `ip` names it.
    pub scope: Cow<'static, str>,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// Broadcast address.
    pub broadcast: Option<IpAddr>,
    /// `secondary`, `tentative`, `deprecated`.
    pub flags: Vec<Cow<'static, str>>,
    /// How far duplicate address detection is; only for addresses of the router's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dad: Option<Dad>,
}

/// A route as announced, and whether packets use it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteRow {
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// Table as `ip` names it: `main`, `local`, `default`, or its number.
    pub table: Cow<'static, str>,
    /// Destination prefix.
    pub prefix: IpNet,
    /// Type.
    #[serde(rename = "type")]
    pub kind: RouteKind,
    /// Who installed it, as `ip` names it: `kernel`, `static`, `ospf` …, or a number.
    pub protocol: Cow<'static, str>,
    /// Scope as `ip` names it: `global`, `link`, `host`, or a number.
    pub scope: Cow<'static, str>,
    /// Metric; the smaller wins.
    pub metric: u32,
    /// IPv4 type of service it is for, 0 for any.
    #[serde(default, skip_serializing_if = "is_zero_u8")]
    pub tos: u8,
    /// Source address it suggests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_source: Option<IpAddr>,
    /// Path MTU it sets, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Id of the nexthop object it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nexthop_object: Option<u32>,
    /// Ways on; empty for types that lead nowhere.
    pub next_hops: Vec<NextHopRow>,
    /// Whether lookups can find it.
    pub usable: bool,
    /// Why not; null when it is usable.
    pub reason: Option<String>,
}

/// One way on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextHopRow {
    /// Gateway; null when the destination is on the link.
    pub via: Option<IpAddr>,
    /// Name of the output link.
    pub port: Option<String>,
    /// Share of the flows, at least 1.
    pub weight: u16,
    /// The gateway is on the link although no prefix says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    /// Whether packets are sent this way.
    pub usable: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Type of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "as `ip route` names them")]
pub enum RouteKind {
    Unicast,
    Local,
    Broadcast,
    Anycast,
    Multicast,
    Blackhole,
    Unreachable,
    Prohibit,
    Throw,
}

/// A policy rule (`ip rule`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRuleRow {
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// Preference; the smaller is asked first.
    pub priority: u32,
    /// The match is inverted (`not`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inverted: bool,
    /// Source prefix; null for any.
    pub from: Option<IpNet>,
    /// Destination prefix; null for any.
    pub to: Option<IpNet>,
    /// Name of the port of entry (`iif`); null for any.
    pub input_port: Option<String>,
    /// Name of the output port (`oif`); such a rule never matches a forwarded packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_port: Option<String>,
    /// Mark, to be compared under `mark_mask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// Bits of the mark that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_mask: Option<u32>,
    /// Type of service, 0 for any.
    #[serde(default, skip_serializing_if = "is_zero_u8")]
    pub tos: u8,
    /// Protocol (`ipproto`) by name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Cow<'static, str>>,
    /// First and last source port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<(u16, u16)>,
    /// First and last destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<(u16, u16)>,
    /// Answers with a prefix this short or shorter do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress_prefix_length: Option<u8>,
    /// The table is that of the VRF the packet belongs to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub l3mdev: bool,
    /// `lookup`, `goto`, `nop`, `blackhole`, `unreachable` or `prohibit`.
    pub action: Cow<'static, str>,
    /// Table of a `lookup`, as `ip` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Cow<'static, str>>,
    /// Preference that a `goto` goes on at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goto: Option<u32>,
}

/// What is known of a neighbor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeighborRow {
    /// Its address.
    pub address: IpAddr,
    /// Name of the link it is on.
    pub port: String,
    /// Its Ethernet address; null when not known.
    pub mac: Option<String>,
    /// State as `ip neigh` writes it: `REACHABLE`, `STALE`, `FAILED` …
    pub state: Cow<'static, str>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<NeighborFlag>,
}

/// Something known of a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeighborFlag {
    /// It says of itself that it is a router (RFC 4861 section 4.4).
    Router,
    /// It is set by hand: nobody on the link can change it.
    Static,
}

/// Where a packet would go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteAnswer {
    /// Destination asked about.
    pub destination: IpAddr,
    /// Source asked about.
    pub source: Option<IpAddr>,
    /// Port of entry asked about.
    pub input_port: Option<String>,
    /// Mark asked about.
    pub mark: u32,
    /// What happens to the packet.
    #[serde(rename = "type")]
    pub kind: AnswerKind,
    /// Table that answered, as `ip` names it; null when none did.
    pub table: Option<Cow<'static, str>>,
    /// Prefix that answered; null when a policy rule or nothing did.
    pub prefix: Option<IpNet>,
    /// Gateway; null when the destination is on the link.
    pub via: Option<IpAddr>,
    /// Name of the output port.
    pub port: Option<String>,
    /// Address the router itself would use as source.
    pub preferred_source: Option<IpAddr>,
    /// The largest packet in bytes that leaves this way.
    pub mtu: Option<u32>,
    /// Whom the frame is sent to; null where no neighbor is needed.
    pub neighbor: Option<NeighborOfAnswer>,
    /// Routing generation the answer was taken from.
    pub generation: u64,
    /// What else the answer rests on: `source`, `input`, `mark`, `tos`, `ports`.
    pub depends_on: Vec<Cow<'static, str>>,
}

/// The neighbor of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeighborOfAnswer {
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address; null when not known yet.
    pub mac: Option<String>,
    /// State as `ip neigh` writes it.
    pub state: Cow<'static, str>,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// It is forwarded.
    Unicast,
    /// It is for the router.
    Local,
    /// It is a broadcast on a link.
    Broadcast,
    /// It is multicast.
    Multicast,
    /// It is dropped in silence.
    Blackhole,
    /// It is dropped, the sender is told unreachable.
    Unreachable,
    /// It is dropped, the sender is told prohibited.
    Prohibit,
    /// Nothing matches: it is dropped, the sender is told.
    NoRoute,
}

impl RouteKind {
    /// As `ip route` names it, in JSON too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
        }
    }

    /// Whether a route of this type has no next hops.
    #[must_use]
    pub const fn leads_nowhere(self) -> bool {
        matches!(self, Self::Blackhole | Self::Unreachable | Self::Prohibit | Self::Throw)
    }
}

impl NeighborFlag {
    /// As written in JSON, and in text behind the Ethernet address.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Static => "static",
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
const fn is_zero_u8(value: &u8) -> bool {
    *value == 0
}
