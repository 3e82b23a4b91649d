//! What the outside world announces: the one vocabulary in which routing state changes.
//!
//! The mirror translates the kernel's messages into these, `routerctl` and the configuration file will do the
//! same for an owned host, tests write them by hand.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::adjacency::{LinkIndex, Mac};

/// One thing that became different. A batch of them is applied and published as one.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A link exists, with these properties (new or altered).
    Link(Link),
    /// A link is gone, and with it its addresses, routes and neighbors.
    LinkGone(LinkIndex),
    /// An address is on a link.
    Address(Address),
    /// An address has left a link.
    AddressGone(Address),
    /// A route is announced. It takes the place of the one of the same table, prefix, TOS and metric. IPv6 routes
    /// of equal metric stand side by side where they lead straight onto different links; a gatewayed one takes
    /// the place of the gatewayed one (the kernel announces a multipath route as a whole).
    ///
    /// Within a dump, an IPv4 route that is named twice with different next hops is kept twice, in that order.
    Route(Route),
    /// A route is announced behind those of the same key (`NLM_F_APPEND`, IPv4): it is used when they are not.
    RouteAppended(Route),
    /// A route is announced in place of the first like it (`NLM_F_REPLACE`).
    RouteReplaced(Route),
    /// A route is withdrawn. Next hops are compared only where the announcement names some (IPv6 siblings).
    RouteGone(Route),
    /// A nexthop object (`ip nexthop`) exists.
    Nexthop(NexthopObject),
    /// A nexthop object is gone, and with it the routes that use it.
    NexthopGone(u32),
    /// A policy rule (`ip rule`) is in force.
    Rule(Rule),
    /// A policy rule is withdrawn.
    RuleGone(Rule),
    /// What is known of a neighbor.
    Neighbor(NeighborEntry),
    /// A neighbor entry was removed.
    NeighborGone {
        /// The link it was on.
        link: LinkIndex,
        /// Its protocol address.
        address: IpAddr,
    },
    /// What Linux shapes by sysctl, for one link or for the namespace (see [`Settings`]).
    Settings(Settings),
    /// What established flows to the destinations of a prefix do when their routes change; `None` takes back what was
    /// said of this very prefix. No dump names policies, and none takes them away.
    Policy(IpNet, Option<RoutePolicy>),
    /// From here to [`Change::DumpEnd`], a complete picture follows: what it does not name is gone.
    DumpBegin,
    /// The picture is complete; published as one change, with nothing raised if nothing differs.
    DumpEnd,
}

/// A network device of the namespace, whether a port or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Kernel's index.
    pub index: LinkIndex,
    /// Name now; may change in a link's life.
    pub name: String,
    /// `IFLA_INFO_KIND` (`veth`, `tun`, `vrf` …), empty when the kernel names none.
    pub kind: String,
    /// Ethernet address; all zero on devices without one.
    pub mac: Mac,
    /// MTU in bytes (network layer).
    pub mtu: u32,
    /// Administratively up (`IFF_UP`).
    pub admin_up: bool,
    /// Carrier present (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// Device has no neighbors (`IFF_NOARP`/`IFF_POINTOPOINT`): frames need no resolution.
    pub no_arp: bool,
    /// VRF device this link is enslaved to, if any.
    pub master: Option<LinkIndex>,
    /// The table of a VRF device (`IFLA_VRF_TABLE`); `None` on every other kind.
    pub vrf_table: Option<u32>,
}

/// An address on a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// The link.
    pub link: LinkIndex,
    /// Address with prefix length; host bits are kept.
    pub net: IpNet,
    /// `IFA_ADDRESS` when it differs from the local one (point-to-point).
    pub peer: Option<IpAddr>,
    /// `IFA_BROADCAST`.
    pub broadcast: Option<IpAddr>,
    /// Scope.
    pub scope: Scope,
    /// `IFA_F_SECONDARY` (IPv4).
    pub secondary: bool,
    /// `IFA_F_TENTATIVE` or `IFA_F_DADFAILED` (IPv6): not to be used as a source.
    pub tentative: bool,
    /// `IFA_F_DEPRECATED`.
    pub deprecated: bool,
}

/// Route and address scope (`RT_SCOPE_*`). Ordered as in the kernel: larger is narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(pub u8);

impl Scope {
    /// Everywhere.
    pub const UNIVERSE: Self = Self(0);
    /// Interior (IPv6).
    pub const SITE: Self = Self(200);
    /// On this link.
    pub const LINK: Self = Self(253);
    /// On this host.
    pub const HOST: Self = Self(254);
    /// Nowhere.
    pub const NOWHERE: Self = Self(255);
}

/// Route type (`RTN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteType {
    /// A gateway or a directly connected network.
    Unicast,
    /// One of the namespace's own addresses.
    Local,
    /// A link-layer broadcast.
    Broadcast,
    /// Accept as anycast of ours.
    Anycast,
    /// Multicast.
    Multicast,
    /// Drop in silence.
    Blackhole,
    /// Drop and say host unreachable (IPv4) or no route (IPv6).
    Unreachable,
    /// Drop and say administratively prohibited.
    Prohibit,
    /// This table has no answer: the next policy rule is asked.
    Throw,
}

/// A route as announced.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Table number (`RTA_TABLE`).
    pub table: u32,
    /// Destination prefix, host bits zero.
    pub prefix: IpNet,
    /// Type.
    pub kind: RouteType,
    /// Who installed it (`rtm_protocol`: 2 kernel, 3 boot, 4 static, 186 bgp, 188 ospf …).
    pub protocol: u8,
    /// Scope.
    pub scope: Scope,
    /// IPv4 TOS of the route (`rtm_tos`), 0 for any.
    pub tos: u8,
    /// Metric (`RTA_PRIORITY`); smaller wins.
    pub metric: u32,
    /// `RTA_PREFSRC`.
    pub preferred_source: Option<IpAddr>,
    /// `RTAX_MTU`, 0 when absent.
    pub mtu: u32,
    /// Where it leads.
    pub target: Target,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Next hops written in the route; empty for types that go nowhere, several for multipath.
    NextHops(Vec<NextHop>),
    /// A nexthop object by id (`nhid`).
    Object(u32),
}

/// One way on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Output link.
    pub link: Option<LinkIndex>,
    /// Gateway; `None` when the destination itself is on the link. An IPv4 route may have an IPv6 gateway.
    pub via: Option<IpAddr>,
    /// Weight, at least 1.
    pub weight: u16,
    /// `RTNH_F_ONLINK`.
    pub onlink: bool,
    /// `RTNH_F_DEAD` as the kernel reported it. A link without carrier counts only where
    /// `ignore_routes_with_linkdown` says so: the kernel has folded that in.
    pub dead: bool,
}

/// A nexthop object.
#[derive(Clone, Debug, PartialEq)]
pub struct NexthopObject {
    /// Its id.
    pub id: u32,
    /// What it is.
    pub kind: NexthopKind,
}

/// What a nexthop object is.
#[derive(Clone, Debug, PartialEq)]
pub enum NexthopKind {
    /// A single way on.
    Single(NextHop),
    /// Drops silently.
    Blackhole,
    /// A group: ids of single objects with weights (at least 1).
    Group(Vec<(u32, u16)>),
}

/// A policy rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// True for IPv6 rules.
    pub ipv6: bool,
    /// Preference; smaller is asked first.
    pub priority: u32,
    /// `not`: the match is inverted.
    pub invert: bool,
    /// `from`.
    pub from: Option<IpNet>,
    /// `to`.
    pub to: Option<IpNet>,
    /// `iif NAME`.
    pub iif: Option<String>,
    /// `oif NAME`: never matches a forwarded packet.
    pub oif: Option<String>,
    /// `fwmark VALUE/MASK`.
    pub mark: Option<(u32, u32)>,
    /// `tos`/`dsfield`, 0 for any.
    pub tos: u8,
    /// `ipproto`.
    pub protocol: Option<u8>,
    /// `sport LOW-HIGH`.
    pub source_ports: Option<(u16, u16)>,
    /// `dport LOW-HIGH`.
    pub destination_ports: Option<(u16, u16)>,
    /// `suppress_prefixlength`: an answer with a prefix this short or shorter does not count.
    pub suppress_prefix_length: Option<u8>,
    /// `l3mdev`: matches links enslaved to a VRF and looks into the VRF's table.
    pub l3mdev: bool,
    /// `uidrange` that leaves out root, as whose packets forwarded ones count: such a rule never matches them.
    pub uid_range: bool,
    /// What to do.
    pub action: RuleAction,
    /// Who installed it.
    pub protocol_origin: u8,
}

impl Rule {
    /// A rule for every packet of a family, of unknown origin; its fields narrow it down.
    #[must_use]
    pub const fn for_all(ipv6: bool, priority: u32, action: RuleAction) -> Self {
        Self {
            ipv6,
            priority,
            invert: false,
            from: None,
            to: None,
            iif: None,
            oif: None,
            mark: None,
            tos: 0,
            protocol: None,
            source_ports: None,
            destination_ports: None,
            suppress_prefix_length: None,
            l3mdev: false,
            uid_range: false,
            action,
            protocol_origin: 0,
        }
    }
}

/// What a policy rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Look into this table.
    Lookup(u32),
    /// Go on at the first rule with this very preference; without one the rule does nothing.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Drop in silence.
    Blackhole,
    /// Drop and say no route.
    Unreachable,
    /// Drop and say administratively prohibited.
    Prohibit,
}

/// What established flows do when another route would win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoutePolicy {
    /// They stay on the way they took, while it can be used.
    Keep,
    /// They follow, as all do without a policy.
    Move,
}

/// What is known of a neighbor.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighborEntry {
    /// The link it is on.
    pub link: LinkIndex,
    /// Its protocol address.
    pub address: IpAddr,
    /// State.
    pub state: NeighborState,
    /// Its link-layer address, where known.
    pub mac: Option<Mac>,
}

/// Neighbor state (`NUD_*`, RFC 4861 section 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NeighborState {
    /// Nothing asked yet.
    None = 0,
    /// Asked, no answer yet.
    Incomplete = 1,
    /// Confirmed lately.
    Reachable = 2,
    /// Usable, due for confirmation when used.
    Stale = 3,
    /// Used while stale, waiting for a hint from above.
    Delay = 4,
    /// Being asked again.
    Probe = 5,
    /// Did not answer.
    Failed = 6,
    /// Set by hand.
    Permanent = 7,
    /// Needs no resolution.
    NoArp = 8,
}

impl fmt::Display for RouteType {
    /// As `ip route` writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
        })
    }
}

impl fmt::Display for NeighborState {
    /// As `ip neigh` writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "NONE",
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED",
            Self::Permanent => "PERMANENT",
            Self::NoArp => "NOARP",
        })
    }
}

impl NeighborState {
    /// Whether frames may be sent to the address known (`NUD_VALID`).
    #[must_use]
    pub const fn is_valid(self) -> bool {
        matches!(
            self,
            Self::Reachable | Self::Stale | Self::Delay | Self::Probe | Self::Permanent | Self::NoArp
        )
    }
}

/// What Linux shapes by sysctl and the walk asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Settings {
    /// Of one link, with `all` already folded in the way the kernel folds it.
    Link(LinkIndex, LinkSettings),
    /// Of the namespace.
    Namespace(NamespaceSettings),
}

/// Per-link settings in force (`net.ipv4.conf.*`, `net.ipv6.conf.*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// `rp_filter`: max(all, link).
    pub rp_filter: ReversePath,
    /// `send_redirects`: all or link.
    pub send_redirects: bool,
    /// `accept_source_route`: all and link.
    pub accept_source_route: bool,
    /// `bc_forwarding`: all and link.
    pub bc_forwarding: bool,
    /// `accept_local`: all or link.
    pub accept_local: bool,
    /// `route_localnet`: all or link.
    pub route_localnet: bool,
    /// `log_martians`, shown only.
    pub log_martians: bool,
    /// `net.ipv6.conf.*.disable_ipv6`.
    pub ipv6_disabled: bool,
}

impl Default for LinkSettings {
    /// What a device of a fresh namespace has.
    fn default() -> Self {
        Self {
            rp_filter: ReversePath::Off,
            send_redirects: true,
            accept_source_route: false,
            bc_forwarding: false,
            accept_local: false,
            route_localnet: false,
            log_martians: false,
            ipv6_disabled: false,
        }
    }
}

/// `rp_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// 0: no check.
    Off,
    /// 1: the reverse route must leave by the port of entry (RFC 3704 strict).
    Strict,
    /// 2: there must be a reverse route (loose).
    Loose,
}

/// Settings of the whole namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceSettings {
    /// `net.ipv4.fib_multipath_hash_policy`; 2 and 3 are taken as 1.
    pub multipath_hash_policy_v4: u8,
    /// `net.ipv6.fib_multipath_hash_policy`; 2 and 3 are taken as 1.
    pub multipath_hash_policy_v6: u8,
    /// `net.ipv4.icmp_ratelimit`, milliseconds between errors to one target; 0 for no limit.
    pub icmp_ratelimit_ms: u32,
    /// `net.ipv4.icmp_ratemask`, bit n for ICMP type n.
    pub icmp_ratemask: u32,
    /// `net.ipv4.icmp_msgs_per_sec`.
    pub icmp_msgs_per_sec: u32,
    /// `net.ipv4.icmp_msgs_burst`.
    pub icmp_msgs_burst: u32,
    /// `net.ipv4.icmp_errors_use_inbound_ifaddr`.
    pub icmp_errors_use_inbound_ifaddr: bool,
    /// `net.ipv6.icmp.ratelimit`, milliseconds.
    pub icmp6_ratelimit_ms: u32,
    /// `net.ipv6.icmp.ratemask`, bit n for ICMPv6 type n (0..255).
    pub icmp6_ratemask: [u32; 8],
    /// `net.ipv4.ip_default_ttl`.
    pub default_ttl: u8,
    /// `net.ipv6.conf.all.hop_limit` (per-link values are not used for errors here).
    pub default_hop_limit: u8,
    /// `net.ipv4.neigh.default.unres_qlen_bytes`.
    pub unres_qlen_bytes_v4: u32,
    /// `net.ipv6.neigh.default.unres_qlen_bytes`.
    pub unres_qlen_bytes_v6: u32,
    /// `net.ipv4.ip_forward_use_pmtu`.
    pub forward_use_pmtu: bool,
    /// `net.ipv6.auto_flowlabels`: whether the router's own packets bear a flow label unasked (1 and 3).
    pub auto_flow_labels: bool,
}

impl Default for NamespaceSettings {
    /// What a fresh namespace has (`Documentation/networking/ip-sysctl.rst`).
    fn default() -> Self {
        let all_errors_but_packet_too_big = [!(1 << 2), u32::MAX, u32::MAX, u32::MAX, 0, 0, 0, 0];
        Self {
            multipath_hash_policy_v4: 0,
            multipath_hash_policy_v6: 0,
            icmp_ratelimit_ms: 1_000,
            icmp_ratemask: 0x1818,
            icmp_msgs_per_sec: 1_000,
            icmp_msgs_burst: 50,
            icmp_errors_use_inbound_ifaddr: false,
            icmp6_ratelimit_ms: 1_000,
            icmp6_ratemask: all_errors_but_packet_too_big,
            default_ttl: 64,
            default_hop_limit: 64,
            unres_qlen_bytes_v4: 212_992,
            unres_qlen_bytes_v6: 212_992,
            forward_use_pmtu: false,
            auto_flow_labels: true,
        }
    }
}
