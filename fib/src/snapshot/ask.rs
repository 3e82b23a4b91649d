//! What rules ask: what kind of address one is, and by which device it is reached.

use std::net::{IpAddr, Ipv6Addr};

use super::policy::RuleSet;
use super::{Depends, Outcome, Purpose, Query, Snapshot};
use crate::adjacency::{LinkIndex, PortId};
use crate::change::RouteType;

impl Snapshot {
    /// What kind of address an IPv4 address is to the kernel's local table; with `port`, to that device only
    /// (`inet_dev_addr_type` in net/ipv4/fib_frontend.c).
    #[must_use]
    pub fn address_type_v4(&self, address: IpAddr, port: Option<PortId>) -> Option<RouteType> {
        let IpAddr::V4(octets) = address else { return None };
        if octets.octets()[0] == 0 || octets.is_broadcast() {
            return Some(RouteType::Broadcast);
        }
        if octets.is_multicast() {
            return Some(RouteType::Multicast);
        }
        let local = self.tables.iter().find(|table| table.number == RuleSet::LOCAL_TABLE);
        let entry = local.and_then(|table| table.longest_match(address, u8::MAX));
        let path = entry.and_then(|(_, entry)| self.path(entry.first()?.path));
        let Some(path) = path else { return Some(RouteType::Unicast) };
        let device = path.members.first().and_then(|member| member.link);
        let is_there = port.is_none_or(|port| device.is_some() && device == self.surroundings.link_of(port));
        Some(if is_there { path.kind } else { RouteType::Unicast })
    }

    /// What kind of address an IPv6 address is, asked as `query`; with `port`, to that device only. `None` for an
    /// address that is none (`__nft_fib6_eval_type` in net/ipv6/netfilter/nft_fib_ipv6.c).
    #[must_use]
    pub fn address_type_v6(
        &self,
        query: &Query,
        address: Ipv6Addr,
        port: Option<PortId>,
    ) -> Option<RouteType> {
        let on_port = |port| self.addresses(port).iter().any(|held| held.net.addr() == IpAddr::V6(address));
        let found = self.find(query, None, Purpose::Reverse, &mut Depends::default());
        let kind = match found.outcome {
            Outcome::Path(path) => path.kind,
            Outcome::Blackhole => return Some(RouteType::Blackhole),
            Outcome::Prohibit => return Some(RouteType::Prohibit),
            // What goes to groups is routed by the device, which the kernel's table for them has.
            Outcome::Nothing if address.is_multicast() => RouteType::Multicast,
            Outcome::Unreachable | Outcome::Nothing => return Some(RouteType::Unreachable),
        };
        match kind {
            RouteType::Anycast => Some(RouteType::Anycast),
            RouteType::Local if port.is_none() => Some(RouteType::Local),
            _ if port.is_some_and(on_port) => Some(RouteType::Local),
            _ if address.is_multicast() => Some(RouteType::Multicast),
            _ if address.is_unspecified() => None,
            _ => Some(RouteType::Unicast),
        }
    }

    /// The device by which the kernel would reach a destination that is not its own; with `port`, that one or none
    /// (`nft_fib4_eval`, `nft_fib6_eval`).
    #[must_use]
    pub fn device_towards(&self, query: &Query, port: Option<PortId>) -> Option<LinkIndex> {
        let found = self.find(query, None, Purpose::Reverse, &mut Depends::default());
        let Outcome::Path(path) = found.outcome else { return None };
        let refused = match query.destination {
            IpAddr::V4(_) => path.kind == RouteType::Local,
            IpAddr::V6(_) => matches!(path.kind, RouteType::Local | RouteType::Anycast),
        };
        if refused {
            return None;
        }
        match port {
            Some(port) => {
                let link = self.surroundings.link_of(port)?;
                path.members.iter().any(|member| member.link == Some(link)).then_some(link)
            }
            None => {
                let mut alive = path.members.iter().filter(|member| member.is_alive_for_the_kernel());
                alive.next().or(path.members.first()).and_then(|member| member.link)
            }
        }
    }
}
