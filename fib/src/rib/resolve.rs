//! From what a route says to what a packet can do: next hops looked up, and why some of them are no use.

use super::Rib;
use crate::adjacency::PortState;
use crate::change::{Link, NextHop, NexthopKind, RouteType, Target};
use crate::path::{Member, Path, PathSpec, Reason, Unusable};

impl Rib {
    /// The path as packets use it, given the links and nexthop objects of now.
    pub(crate) fn resolve(&self, spec: &PathSpec) -> Path {
        let mut path = Path {
            kind: spec.kind,
            scope: spec.scope,
            preferred_source: spec.preferred_source,
            route_mtu: spec.mtu,
            members: Box::default(),
            unusable: None,
        };
        let mut missing = None;
        let mut members = match &spec.target {
            Target::NextHops(hops) => hops.iter().map(|hop| self.member(hop, hop.weight)).collect(),
            Target::Object(id) => match self.nexthops.get(id).map(|held| &held.value.kind) {
                None => {
                    missing = Some(Unusable::NoObject(*id));
                    Vec::new()
                }
                Some(NexthopKind::Single(hop)) => vec![self.member(hop, 1)],
                Some(NexthopKind::Blackhole) => {
                    path.kind = RouteType::Blackhole;
                    Vec::new()
                }
                Some(NexthopKind::Group(ids)) => {
                    missing = Some(Unusable::EmptyGroup(*id));
                    if self.is_blackhole_group(ids) {
                        path.kind = RouteType::Blackhole;
                    }
                    self.group_members(ids)
                }
            },
        };
        Path::share_out(&mut members);
        if path.kind == RouteType::Unicast && !members.iter().any(Member::is_usable) {
            let first = members.first().and_then(|member| member.unusable);
            path.unusable = first.or(missing).or(Some(Unusable::NoNextHop));
        }
        path.members = members.into();
        path
    }

    /// The reason in words.
    pub(crate) fn explain(&self, unusable: Unusable) -> Reason {
        match unusable {
            Unusable::NotAPort(link) => match self.links.get(&link) {
                Some(held) => Reason::NotAPort { name: held.value.name.clone() },
                None => Reason::NoLink { link },
            },
            Unusable::NoLink(link) => Reason::NoLink { link },
            Unusable::LinkMissing => Reason::LinkMissing,
            Unusable::PortDown(port) => {
                Reason::PortDown { name: self.port_names[usize::from(port.0)].clone() }
            }
            Unusable::Dead => Reason::Dead,
            Unusable::NoObject(id) => Reason::NoObject { id },
            Unusable::EmptyGroup(id) => Reason::EmptyGroup { id },
            Unusable::NoNextHop => Reason::NoNextHop,
        }
    }

    fn group_members(&self, ids: &[(u32, u16)]) -> Vec<Member> {
        let member = |(id, weight): &(u32, u16)| match &self.nexthops.get(id)?.value.kind {
            NexthopKind::Single(hop) => Some(self.member(hop, *weight)),
            NexthopKind::Blackhole | NexthopKind::Group(_) => None,
        };
        ids.iter().filter_map(member).collect()
    }

    /// The kernel allows a blackhole in a group only as its single member.
    fn is_blackhole_group(&self, ids: &[(u32, u16)]) -> bool {
        let [(id, _)] = ids else { return false };
        self.nexthops.get(id).is_some_and(|held| held.value.kind == NexthopKind::Blackhole)
    }

    fn member(&self, hop: &NextHop, weight: u16) -> Member {
        let mut member = Member::new(hop, weight);
        let Some(index) = hop.link else {
            member.unusable = Some(if hop.dead { Unusable::Dead } else { Unusable::LinkMissing });
            return member;
        };
        member.port = self.port_of(index);
        let link = self.links.get(&index).map(|held| &held.value);
        member.needs_resolution = link.is_none_or(|link| !link.no_arp);
        member.unusable = match (link, member.port) {
            (None, _) => Some(Unusable::NoLink(index)),
            (Some(_), None) => Some(Unusable::NotAPort(index)),
            (Some(link), Some(port)) if !is_up(link) => Some(Unusable::PortDown(port)),
            _ if hop.dead => Some(Unusable::Dead),
            _ => None,
        };
        member
    }
}

/// What a port's cell says of its link.
pub(super) fn port_state(link: &Link) -> PortState {
    PortState {
        link: Some(link.index),
        up: is_up(link),
        mtu: link.mtu,
        mac: link.mac,
        needs_resolution: !link.no_arp,
    }
}

/// Carrier does not count: Linux keeps routes of a link that has lost it (`ignore_routes_with_linkdown` is off).
fn is_up(link: &Link) -> bool {
    link.admin_up
}
