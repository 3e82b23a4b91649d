//! The words of questions and answers about the routing state.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::adjacency::{NeighborId, PortId};
use crate::change::Scope;
use crate::path::PathId;

use super::policy::{TOS_MASK_V4, TOS_MASK_V6};

/// Version of the routing state. Raised once per batch that changes a forwarding decision. 0 is never current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

/// What a packet asks of the routing state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Where to, after DNAT.
    pub destination: IpAddr,
    /// Where from.
    pub source: IpAddr,
    /// Port of entry; `None` for packets of the router itself.
    pub input: Option<PortId>,
    /// Packet mark.
    pub mark: u32,
    /// TOS / traffic class as in the packet; only the bits Linux routes by are looked at.
    pub tos: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port (or 0).
    pub source_port: u16,
    /// Destination port (or 0).
    pub destination_port: u16,
}

/// What the routing state says, with what the answer rested on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Where the packet goes.
    pub adjacency: Adjacency,
    /// Generation the answer was taken from.
    pub generation: Generation,
    /// Which parts of the query the answer would have to be asked again for.
    pub depends: Depends,
    /// Table that answered; 0 when none did.
    pub table: u32,
    /// Prefix that answered; `None` when a policy rule or nothing did.
    pub prefix: Option<IpNet>,
    /// `RTA_PREFSRC` of the route.
    pub preferred_source: Option<IpAddr>,
    /// Scope of the route; [`Scope::UNIVERSE`] when no route answered.
    pub scope: Scope,
    /// Established flows stay where they go (`route policy`).
    pub keep: bool,
    /// What of the routing state the answer rests on.
    pub(crate) place: Option<Place>,
}

/// Where an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The policy rule that led to it, by its place in the order of asking.
    pub(crate) rule: u16,
    /// Slot of the table.
    pub(crate) slot: u32,
    /// Length of the prefix.
    pub(crate) length: u8,
    pub(crate) path: PathId,
}

/// What a judgement of a source rests on, if the way back was looked up: where that was found, and where once more
/// among the routes over the port of entry alone. `None` for not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WayBack {
    pub(crate) found: Option<Place>,
    /// Asked a second time, with this result.
    pub(crate) again: Option<Option<Place>>,
}

/// What is said of a source, with what that rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceAnswer {
    /// Whether the packet may bear it.
    pub check: SourceCheck,
    /// Which parts of the query that has to be asked again for.
    pub depends: Depends,
    pub(crate) reverse: Option<WayBack>,
}

impl SourceAnswer {
    /// Of a source that nobody judges.
    pub const UNASKED: Self = Self {
        check: SourceCheck::Valid { direct: false },
        depends: Depends { source: false, input: false, mark: false, tos: false, ports: false },
        reverse: None,
    };
}

impl Query {
    /// What is asked of the way back to the source, for a packet that would leave by `output`
    /// (`__fib_validate_source`).
    pub(crate) const fn back(&self, output: Option<PortId>) -> Self {
        Self {
            destination: self.source,
            source: self.destination,
            input: output,
            mark: 0,
            tos: self.tos,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }

    /// Whether only routes over one link count: IPv6 destinations of link scope (`rt6_need_strict`).
    pub(crate) const fn is_for_one_link(&self) -> bool {
        let IpAddr::V6(destination) = self.destination else { return false };
        destination.is_unicast_link_local() || destination.is_multicast() || destination.is_loopback()
    }

    /// The bits of the TOS that routing looks at.
    pub(crate) const fn routed_tos(&self) -> u8 {
        match self.destination {
            IpAddr::V4(_) => self.tos & TOS_MASK_V4,
            IpAddr::V6(_) => self.tos & TOS_MASK_V6,
        }
    }
}

/// Where a packet goes. Total: there is an answer for every packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjacency {
    /// On to a next hop.
    Forward(Hop),
    /// To the router itself.
    Local,
    /// A broadcast address of one of the namespace's links.
    Broadcast,
    /// Multicast.
    Multicast,
    /// Dropped in silence.
    Blackhole,
    /// Dropped: `unreachable` route (host unreachable in IPv4), or in IPv6 such a rule.
    Unreachable,
    /// Dropped: `prohibit` route or rule.
    Prohibit,
    /// Dropped: nothing matched, or an IPv4 policy rule says `unreachable`, which Linux answers in the same way.
    NoRoute,
}

/// The way on: indices only, so that a new MAC or a port going down reaches every holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Output port.
    pub port: PortId,
    /// Whom to send to. `None` on links that need no resolution; on one that does, `None` says that the table of
    /// neighbors is full.
    pub neighbor: Option<NeighborId>,
    /// Address of the gateway; `None` when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// `RTAX_MTU` of the route, 0 when the port's MTU counts alone.
    pub route_mtu: u32,
}

/// Which parts of a [`Query`] took part in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Depends {
    /// The source address (a `from` rule, a multipath hash).
    pub source: bool,
    /// The port of entry (an `iif` or VRF rule, an IPv6 destination of link scope, a source check).
    pub input: bool,
    /// The mark (a `fwmark` rule).
    pub mark: bool,
    /// The TOS (a `tos` rule or a route with TOS).
    pub tos: bool,
    /// Protocol and ports (a rule on them, a multipath hash).
    pub ports: bool,
}

impl Depends {
    /// Everything that either depends on.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            source: self.source | other.source,
            input: self.input | other.input,
            mark: self.mark | other.mark,
            tos: self.tos | other.tos,
            ports: self.ports | other.ports,
        }
    }
}

impl Generation {
    /// The version after this one; 0 is left out when the count wraps.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.wrapping_add(1) {
            0 => Self(1),
            next => Self(next),
        }
    }
}

/// What reverse path validation says of a source (`fib_validate_source`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceCheck {
    /// Fine. `direct` says the source is on the very link the packet came from.
    Valid {
        /// No gateway towards the source on the port of entry (a redirect may be due).
        direct: bool,
    },
    /// A source that cannot be: one of our own, or refused by `rp_filter`. Counted by what it was.
    Martian(Martian),
}

/// Why a source is a martian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Martian {
    /// The source is an address of the namespace.
    OwnAddress,
    /// `rp_filter` found no reverse route, or (strict) one by another port.
    ReversePath,
    /// Multicast, broadcast, zero or loopback source.
    Impossible,
}
