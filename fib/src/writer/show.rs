//! What people are shown of the routing state: everything announced, with what of it is used and why the rest is not.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Writer;
use crate::adjacency::{LinkIndex, PortId};
use crate::change::{Address, Link, NeighborEntry, NexthopObject, RouteType, Rule, Scope, Target};
use crate::path::Reason;
use crate::rib::{Announced, Rib};

/// A route for people to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRow {
    /// Table number.
    pub table: u32,
    /// Destination prefix.
    pub prefix: IpNet,
    /// Type.
    pub kind: RouteType,
    /// Who installed it (`rtm_protocol`).
    pub protocol: u8,
    /// Scope.
    pub scope: Scope,
    /// IPv4 TOS, 0 for any.
    pub tos: u8,
    /// Metric.
    pub metric: u32,
    /// Preferred source.
    pub preferred_source: Option<IpAddr>,
    /// Route MTU, 0 when the port's counts alone.
    pub mtu: u32,
    /// The nexthop object it names.
    pub nexthop: Option<u32>,
    /// Its next hops, those of its nexthop object included.
    pub next_hops: Vec<HopRow>,
    /// Why no packet can take it; `None` when some can.
    pub unusable: Option<Reason>,
}

/// A next hop for people to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct HopRow {
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Device.
    pub link: Option<LinkIndex>,
    /// Name of the device; empty when there is none.
    pub link_name: String,
    /// The port that the device is.
    pub port: Option<PortId>,
    /// Weight.
    pub weight: u16,
    /// `onlink`.
    pub onlink: bool,
    /// Why it is not used; `None` when it is.
    pub unusable: Option<Reason>,
}

/// A link for people to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkRow<'a> {
    /// As announced.
    pub link: &'a Link,
    /// The port it is.
    pub port: Option<PortId>,
}

impl Writer {
    /// The routes of one prefix after another, in the order of tables and prefixes, beginning after `after`: a caller
    /// that shows a page at a time goes on behind the last table and prefix it was given.
    pub fn routes(&self, after: Option<(u32, IpNet)>) -> impl Iterator<Item = RouteRow> {
        self.rib.routes.iter_after(after).flat_map(move |(table, prefix, list)| {
            list.iter().map(move |held| self.rib.route_row(table, prefix, held))
        })
    }

    /// How many routes are held.
    #[must_use]
    pub fn route_count(&self) -> usize {
        self.rib.routes.len()
    }

    /// The devices of the namespace, by index.
    pub fn links(&self) -> impl Iterator<Item = LinkRow<'_>> {
        self.rib
            .links
            .values()
            .map(|held| LinkRow { link: &held.value, port: self.rib.port_of(held.value.index) })
    }

    /// The addresses, by link and in the kernel's order.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.rib.addresses.values().flatten().map(|held| &held.value)
    }

    /// The nexthop objects, by id.
    pub fn nexthops(&self) -> impl Iterator<Item = &NexthopObject> {
        self.rib.nexthops.values().map(|held| &held.value)
    }

    /// The policy rules in force of one family, in the order they are asked.
    #[must_use]
    pub fn rules(&self, ipv6: bool) -> Vec<Rule> {
        self.rib.rules_in_force(ipv6)
    }

    /// The neighbors as announced, on ports or not. In no order.
    pub fn announced_neighbors(&self) -> impl Iterator<Item = NeighborEntry> + '_ {
        self.rib.neighbors.iter().map(|((link, address), held)| {
            let (state, mac) = held.value;
            NeighborEntry { link: *link, address: *address, state, mac }
        })
    }

    /// The name of a device.
    #[must_use]
    pub fn link_name(&self, link: LinkIndex) -> Option<&str> {
        self.rib.links.get(&link).map(|held| held.value.name.as_str())
    }
}

impl Rib {
    /// A held route for people to look at.
    pub(crate) fn route_row(&self, table: u32, prefix: IpNet, held: &Announced) -> RouteRow {
        let spec = self.paths.spec(held.path);
        let path = self.resolve(spec);
        let hop = |member: &crate::path::Member| HopRow {
            via: member.gateway,
            link: member.link,
            link_name: member
                .link
                .and_then(|link| self.links.get(&link))
                .map_or_else(String::new, |held| held.value.name.clone()),
            port: member.port,
            weight: member.weight,
            onlink: member.onlink,
            unusable: member
                .unusable
                .filter(|_| path.kind == RouteType::Unicast)
                .map(|reason| self.explain(reason)),
        };
        RouteRow {
            table,
            prefix,
            kind: path.kind,
            protocol: held.protocol,
            scope: spec.scope,
            tos: held.tos,
            metric: held.metric,
            preferred_source: spec.preferred_source,
            mtu: spec.mtu,
            nexthop: match spec.target {
                Target::Object(id) => Some(id),
                Target::NextHops(_) => None,
            },
            next_hops: path.members.iter().map(hop).collect(),
            unusable: path.unusable.map(|reason| self.explain(reason)),
        }
    }
}
