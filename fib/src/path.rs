//! A path: the next hops that routes share, resolved to ports, with what can be used of it and why not.
//!
//! Routes that lead the same way share one path, so a port that goes down is a change of a few paths, however many
//! prefixes lead over it.

use std::fmt;
use std::net::IpAddr;

use crate::adjacency::{LinkIndex, PortId};
use crate::change::{NextHop, RouteType, Scope, Target};

/// A path's place in the table of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PathId(pub(crate) u32);

/// What makes two announced routes share a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PathSpec {
    pub(crate) ipv6: bool,
    pub(crate) kind: RouteType,
    pub(crate) scope: Scope,
    pub(crate) preferred_source: Option<IpAddr>,
    pub(crate) mtu: u32,
    pub(crate) target: Target,
}

/// A path as packets use it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    pub(crate) kind: RouteType,
    pub(crate) scope: Scope,
    pub(crate) preferred_source: Option<IpAddr>,
    pub(crate) route_mtu: u32,
    pub(crate) members: Box<[Member]>,
    /// Why no packet can take it; `None` when some can.
    pub(crate) unusable: Option<Unusable>,
}

/// One way on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) link: Option<LinkIndex>,
    pub(crate) port: Option<PortId>,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) onlink: bool,
    pub(crate) weight: u16,
    /// Frames need the neighbor's MAC.
    pub(crate) needs_resolution: bool,
    /// The largest 31-bit hash this member takes; -1 when it takes none.
    pub(crate) hash_max: i32,
    pub(crate) unusable: Option<Unusable>,
}

/// Why a path or one of its members is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unusable {
    /// The link exists and is not one of the router's ports.
    NotAPort(LinkIndex),
    /// No such link.
    NoLink(LinkIndex),
    /// The next hop names no link.
    LinkMissing,
    PortDown(PortId),
    /// The kernel says so (`RTNH_F_DEAD`, `RTNH_F_LINKDOWN`).
    Dead,
    NoObject(u32),
    EmptyGroup(u32),
    NoNextHop,
}

/// Why a route or a next hop is not used, in words: "no port named eth0 in this router".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The device is not one of the router's ports.
    NotAPort {
        /// Name of the device.
        name: String,
    },
    /// There is no such device (any more).
    NoLink {
        /// The index it was announced with.
        link: LinkIndex,
    },
    /// The next hop names no device.
    LinkMissing,
    /// The port is administratively down.
    PortDown {
        /// Name of the port.
        name: String,
    },
    /// The kernel reports the next hop as dead.
    Dead,
    /// The nexthop object is not there.
    NoObject {
        /// Its id.
        id: u32,
    },
    /// The nexthop group has no members.
    EmptyGroup {
        /// Its id.
        id: u32,
    },
    /// A unicast route that leads nowhere.
    NoNextHop,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPort { name } => write!(formatter, "no port named {name} in this router"),
            Self::NoLink { link } => write!(formatter, "device with index {} is gone", link.0),
            Self::LinkMissing => write!(formatter, "next hop without a device"),
            Self::PortDown { name } => write!(formatter, "port {name} is down"),
            Self::Dead => write!(formatter, "next hop dead"),
            Self::NoObject { id } => write!(formatter, "nexthop {id} does not exist"),
            Self::EmptyGroup { id } => write!(formatter, "nexthop group {id} is empty"),
            Self::NoNextHop => write!(formatter, "route without a next hop"),
        }
    }
}

impl Path {
    /// Puts the members' shares of the hash space in proportion to the weights of the usable ones
    /// (`fib_rebalance` in net/ipv4/fib_semantics.c).
    pub(crate) fn share_out(members: &mut [Member]) {
        let total: u64 =
            members.iter().filter(|member| member.is_usable()).map(|member| u64::from(member.weight)).sum();
        let mut sum = 0_u64;
        for member in members {
            member.hash_max = -1;
            if member.is_usable() {
                sum += u64::from(member.weight);
                let bound = ((sum << 31) + total / 2) / total;
                member.hash_max = i32::try_from(bound - 1).expect("at most 2^31 - 1");
            }
        }
    }

    /// The usable members that a packet may take; with `only`, those over this link.
    pub(crate) fn usable_members(&self, only: Option<LinkIndex>) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(move |member| member.is_usable() && (only.is_none() || member.link == only))
    }
}

impl Member {
    pub(crate) fn new(hop: &NextHop, weight: u16) -> Self {
        Self {
            link: hop.link,
            port: None,
            gateway: hop.via,
            onlink: hop.onlink,
            weight: weight.max(1),
            needs_resolution: true,
            hash_max: -1,
            unusable: None,
        }
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.unusable.is_none()
    }

    /// Whether the kernel itself would use it: it knows no ports, and keeps routes over links without carrier.
    pub(crate) fn is_alive_for_the_kernel(&self) -> bool {
        matches!(self.unusable, None | Some(Unusable::NotAPort(_) | Unusable::PortDown(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(weight: u16, unusable: Option<Unusable>) -> Member {
        let hop = NextHop { link: None, via: None, weight, onlink: false, dead: false };
        Member { unusable, ..Member::new(&hop, weight) }
    }

    #[test]
    fn hash_shares_follow_the_weights_and_skip_the_unusable() {
        let mut members = [member(1, None), member(7, Some(Unusable::Dead)), member(3, None)];
        Path::share_out(&mut members);
        assert_eq!(members.each_ref().map(|member| member.hash_max), [(1 << 29) - 1, -1, i32::MAX]);
    }

    #[test]
    fn weights_at_their_largest_fill_the_hash_space() {
        let mut members: Vec<_> = (0..256).map(|_| member(u16::MAX, None)).collect();
        Path::share_out(&mut members);
        assert_eq!(members.last().unwrap().hash_max, i32::MAX);
        assert!(members.is_sorted_by_key(|member| member.hash_max));
    }

    #[test]
    fn reasons_read_as_sentences() {
        assert_eq!(Reason::NotAPort { name: "eth0".into() }.to_string(), "no port named eth0 in this router");
        assert_eq!(Reason::PortDown { name: "veth1".into() }.to_string(), "port veth1 is down");
        assert_eq!(Reason::EmptyGroup { id: 7 }.to_string(), "nexthop group 7 is empty");
        assert_eq!(Reason::Dead.to_string(), "next hop dead");
    }
}
