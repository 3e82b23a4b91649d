//! Routes of the kernel's main table that lead out of the host's TUN device, as a routing daemon behind it installs them:
//! taken over, with the device replaced by the port on whose subnet the gateway is.
//!
//! What the kernel made itself and what routerd put there are not among them, and neither are routes without a gateway: to
//! the kernel the device is one link, of the ports behind it only gateways tell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use fib::adjacency::LinkIndex;
use fib::change::{Change, NextHop, NexthopKind, NexthopObject, Route, RouteType, Target};

use super::OWN_PROTOCOL;
use super::told::Told;
use super::wanted::{MAIN, RouteKey};

/// The most routes that are followed.
pub(super) const ROUTES_MAX: usize = 2_000_000;
/// The most nexthop objects that are heeded.
const OBJECTS_MAX: usize = 65_536;

/// `RTPROT_KERNEL`.
const KERNEL: u8 = 2;

/// What the kernel's table has, and what of it the routing state was told.
#[derive(Debug)]
pub(super) struct Follow {
    device: Option<String>,
    routes: HashMap<RouteKey, Vec<Route>>,
    count: usize,
    objects: BTreeMap<u32, NexthopObject>,
    told: BTreeMap<RouteKey, Vec<Route>>,
    told_objects: BTreeMap<u32, NexthopObject>,
    /// Keys that have to be looked at again.
    dirty: BTreeSet<RouteKey>,
    all_dirty: bool,
    /// Routes that found no room.
    refused: u64,
}

/// What gateways are translated by.
pub(super) struct Surroundings<'a> {
    /// The TUN device, if there is one of its name.
    pub(super) device: Option<LinkIndex>,
    /// The link on whose subnet a gateway is.
    pub(super) link_of: &'a dyn Fn(IpAddr) -> Option<LinkIndex>,
    /// Whether an address is one of the router's that can be used.
    pub(super) is_ready: &'a dyn Fn(IpAddr) -> bool,
    /// What the tables told by themselves, which comes first.
    pub(super) own: &'a Told,
}

/// What has to be said: before links go, and at the end.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) gone: Vec<Change>,
    pub(super) come: Vec<Change>,
}

impl Follow {
    pub(super) fn new(device: Option<String>) -> Self {
        Self {
            device,
            routes: HashMap::new(),
            count: 0,
            objects: BTreeMap::new(),
            told: BTreeMap::new(),
            told_objects: BTreeMap::new(),
            dirty: BTreeSet::new(),
            all_dirty: false,
            refused: 0,
        }
    }

    /// The device that is followed, by name.
    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Follows another device, or none.
    pub(super) fn set_device(&mut self, device: Option<String>) {
        self.device = device;
        self.look_again();
    }

    /// Whether what the kernel says of this is of any use here.
    pub(super) fn heeds(&self, change: &Change) -> bool {
        match change {
            Change::Link(_) | Change::LinkGone(_) | Change::Settings(_) => true,
            Change::Route(route)
            | Change::RouteAppended(route)
            | Change::RouteReplaced(route)
            | Change::RouteGone(route) => {
                let is_others = route.protocol != KERNEL && route.protocol != OWN_PROTOCOL;
                self.device.is_some() && route.table == MAIN && route.kind == RouteType::Unicast && is_others
            }
            Change::Nexthop(_) | Change::NexthopGone(_) => self.device.is_some(),
            _ => false,
        }
    }

    /// A complete picture follows.
    pub(super) fn forget(&mut self) {
        self.routes.clear();
        self.count = 0;
        self.objects.clear();
        self.all_dirty = true;
    }

    /// Every gateway may be on another subnet now.
    pub(super) const fn look_again(&mut self) {
        self.all_dirty = true;
    }

    /// There may be room for a route with this key, or none any more.
    pub(super) fn look_at(&mut self, key: RouteKey) {
        if self.routes.contains_key(&key) {
            self.dirty.insert(key);
        }
    }

    /// Takes a change of the kernel's routes or nexthop objects.
    pub(super) fn take(&mut self, change: Change) {
        match change {
            Change::Route(route) | Change::RouteReplaced(route) => self.put(route, true),
            Change::RouteAppended(route) => self.put(route, false),
            Change::RouteGone(route) => self.withdraw(&route),
            Change::Nexthop(object) if self.has_room_for(object.id) => {
                self.objects.insert(object.id, object);
                self.all_dirty = true;
            }
            Change::NexthopGone(id) => {
                self.objects.remove(&id);
                self.all_dirty = true;
            }
            _ => {}
        }
    }

    /// As if nothing had been told yet.
    #[cfg(test)]
    pub(super) fn forget_told(&mut self) {
        self.told.clear();
        self.told_objects.clear();
        self.look_again();
    }

    /// Routes that found no room.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// What has to be said so that the routing state has what the kernel's table has.
    pub(super) fn settle(&mut self, around: &Surroundings<'_>) -> Followed {
        let mut said = Followed::default();
        let mut keys = std::mem::take(&mut self.dirty);
        if std::mem::take(&mut self.all_dirty) {
            keys.extend(self.routes.keys().copied());
            keys.extend(self.told.keys().copied());
            self.settle_objects(around, &mut said);
        }
        let objects_gone = said.gone.split_off(0);
        for key in keys {
            let new = if around.own.has_route(&key) { Vec::new() } else { self.translated(&key, around) };
            let old = self.told.remove(&key).unwrap_or_default();
            if old != new {
                said.gone.extend(old.into_iter().map(Change::RouteGone));
                let later = new.iter().skip(1).cloned().map(Change::RouteAppended);
                said.come.extend(new.first().cloned().map(Change::Route).into_iter().chain(later));
            }
            if !new.is_empty() {
                self.told.insert(key, new);
            }
        }
        said.gone.extend(objects_gone);
        said
    }

    fn settle_objects(&mut self, around: &Surroundings<'_>, said: &mut Followed) {
        let single = |id: &u32| match &self.objects.get(id)?.kind {
            NexthopKind::Single(hop) => translate(hop, around),
            _ => None,
        };
        let mut new = BTreeMap::new();
        for (id, object) in &self.objects {
            let kind = match &object.kind {
                NexthopKind::Single(_) => single(id).map(NexthopKind::Single),
                NexthopKind::Blackhole => None,
                NexthopKind::Group(members) => {
                    let members: Vec<_> =
                        members.iter().filter(|(member, _)| single(member).is_some()).copied().collect();
                    (!members.is_empty()).then_some(NexthopKind::Group(members))
                }
            };
            if let Some(kind) = kind {
                new.insert(*id, NexthopObject { id: *id, kind });
            }
        }
        // Groups name single objects, so these are told first.
        let is_group = |object: &NexthopObject| matches!(object.kind, NexthopKind::Group(_));
        for groups in [false, true] {
            let come = new.values().filter(|object| is_group(object) == groups);
            let come = come.filter(|object| self.told_objects.get(&object.id) != Some(object));
            said.come.extend(come.cloned().map(Change::Nexthop));
        }
        let gone = self.told_objects.keys().filter(|id| !new.contains_key(id));
        said.gone.extend(gone.map(|id| Change::NexthopGone(*id)));
        self.told_objects = new;
    }

    fn translated(&self, key: &RouteKey, around: &Surroundings<'_>) -> Vec<Route> {
        let routes = self.routes.get(key).map_or(&[][..], Vec::as_slice);
        let one = |route: &Route| {
            let target = match &route.target {
                Target::Object(id) => self.told_objects.contains_key(id).then_some(Target::Object(*id)),
                Target::NextHops(hops) => {
                    let hops: Vec<_> = hops.iter().filter_map(|hop| translate(hop, around)).collect();
                    (!hops.is_empty()).then_some(Target::NextHops(hops))
                }
            };
            let preferred_source = route.preferred_source.filter(|source| (around.is_ready)(*source));
            Some(Route { target: target?, preferred_source, ..route.clone() })
        };
        routes.iter().filter_map(one).collect()
    }

    fn has_room_for(&self, object: u32) -> bool {
        self.objects.len() < OBJECTS_MAX || self.objects.contains_key(&object)
    }

    fn put(&mut self, route: Route, replaces: bool) {
        let key = key_of(&route);
        let is_gatewayed = |route: &Route| match &route.target {
            Target::NextHops(hops) => hops.len() > 1 || hops.iter().any(|hop| hop.via.is_some()),
            Target::Object(_) => true,
        };
        let held = self.routes.entry(key).or_default();
        // IPv6 routes straight onto different links stand side by side.
        let same = |other: &Route| {
            other.target == route.target
                || replaces && (route.prefix.addr().is_ipv4() || is_gatewayed(other) && is_gatewayed(&route))
        };
        if let Some(place) = held.iter().position(same) {
            held[place] = route;
        } else if self.count >= ROUTES_MAX {
            self.refused += 1;
        } else {
            held.push(route);
            self.count += 1;
        }
        if held.is_empty() {
            self.routes.remove(&key);
        }
        self.dirty.insert(key);
    }

    fn withdraw(&mut self, route: &Route) {
        let key = key_of(route);
        let Some(held) = self.routes.get_mut(&key) else { return };
        let alike = held.iter().position(|other| is_alike(&other.target, &route.target));
        if let Some(place) = alike.or((held.len() == 1).then_some(0)) {
            held.remove(place);
            self.count -= 1;
        }
        if held.is_empty() {
            self.routes.remove(&key);
        }
        self.dirty.insert(key);
    }
}

const fn key_of(route: &Route) -> RouteKey {
    (route.table, route.prefix, route.tos, route.metric)
}

/// A way out of the device as one out of a port.
fn translate(hop: &NextHop, around: &Surroundings<'_>) -> Option<NextHop> {
    let via = hop.via?;
    if hop.link.is_none() || hop.link != around.device {
        return None;
    }
    let link = (around.link_of)(via)?;
    Some(NextHop { link: Some(link), dead: false, onlink: false, ..hop.clone() })
}

fn is_alike(held: &Target, named: &Target) -> bool {
    match (held, named) {
        (Target::NextHops(held), Target::NextHops(named)) => {
            let same = |one: &NextHop, other: &NextHop| one.link == other.link && one.via == other.via;
            held.len() == named.len() && held.iter().zip(named).all(|(one, other)| same(one, other))
        }
        _ => held == named,
    }
}
