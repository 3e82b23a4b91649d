//! The announced routes of all tables, per prefix in the order in which the kernel tries them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use smallvec::SmallVec;

use super::{Dirty, Paths, Removed, Rib};
use crate::adjacency::LinkIndex;
use crate::change::{NextHop, Route, Target};
use crate::path::{PathId, PathSpec};

/// Routes by table and prefix.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    map: BTreeMap<(u32, IpNet), Announcements>,
    count: usize,
    /// How many were made by someone other than the kernel with type local (IPv4).
    pub(crate) custom_local: usize,
}

/// TOS from high to low, then metric from low to high, then as they came.
pub(crate) type Announcements = SmallVec<[Announced; 1]>;

/// One announced route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) tos: u8,
    pub(crate) protocol: u8,
    pub(crate) metric: u32,
    pub(crate) path: PathId,
    pub(crate) dump: u32,
}

/// How an announcement relates to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    Plain,
    Append,
    Replace,
}

/// Which IPv6 routes of equal metric exclude each other (`rt6_qualify_for_ecmp`): those with a gateway form one
/// multipath route, those straight onto a link stand alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Gatewayed,
    Device(Option<LinkIndex>),
}

impl Rib {
    /// Takes in a route; returns it as held, if anything about it is new.
    pub(crate) fn announce(&mut self, route: Route, placement: Placement) -> Option<Announced> {
        let key = (route.table, route.prefix.trunc());
        let ipv6 = matches!(route.prefix, IpNet::V6(_));
        if self.table_slot(route.table).is_none() {
            self.refused += 1;
            return None;
        }
        let spec = PathSpec {
            ipv6,
            kind: route.kind,
            scope: route.scope,
            preferred_source: route.preferred_source,
            mtu: route.mtu,
            target: route.target,
        };
        let slot = slot_of(&spec);
        let path = self.paths.acquire(spec, &mut |id| {
            self.dirty.paths.insert(id);
        });
        let tos = if ipv6 { 0 } else { route.tos };
        let new = Announced { tos, protocol: route.protocol, metric: route.metric, path, dump: self.dump };
        let list = self.routes.map.entry(key).or_default();
        let group = |held: &Announced| held.tos == tos && held.metric == new.metric;
        let replaced = if ipv6 {
            let same_slot = |held: &Announced| group(held) && slot_of(self.paths.spec(held.path)) == slot;
            let same_kind = |held: &Announced| {
                group(held)
                    && (slot_of(self.paths.spec(held.path)) == Slot::Gatewayed) == (slot == Slot::Gatewayed)
            };
            match placement {
                Placement::Replace => list.iter().position(same_kind).or_else(|| list.iter().position(group)),
                Placement::Plain | Placement::Append => list.iter().position(same_slot),
            }
        } else {
            let identical = list.iter().position(|held| group(held) && held.path == path);
            let displaces = placement != Placement::Append && !self.dumping;
            identical.or_else(|| displaces.then(|| list.iter().position(group)).flatten())
        };
        let old = replaced.map(|place| {
            let old = list[place];
            if self.dumping {
                list.remove(place);
                insert_sorted(list, new);
            } else {
                list[place] = new;
            }
            old
        });
        if old.is_none() {
            if self.routes.count >= self.routes_max {
                if list.is_empty() {
                    self.routes.map.remove(&key);
                }
                self.paths.release(path);
                self.refused += 1;
                return None;
            }
            insert_sorted(list, new);
            self.routes.count += 1;
        }
        self.routes.custom_local += usize::from(is_custom_local(&self.paths, &new));
        if let Some(old) = &old {
            self.routes.custom_local -= usize::from(is_custom_local(&self.paths, old));
            self.paths.release(old.path);
        }
        let shown_differently = old.is_none_or(|old| old.path != path || old.protocol != new.protocol);
        if shown_differently || list.len() > 1 {
            self.dirty.routes.insert(key);
        }
        shown_differently.then_some(new)
    }

    /// Takes out a route.
    pub(crate) fn withdraw(&mut self, route: &Route, removed: &mut impl FnMut(Removed)) {
        let key = (route.table, route.prefix.trunc());
        if matches!((&route.prefix, &route.target), (IpNet::V6(_), Target::NextHops(named)) if named.is_empty())
        {
            return self.routes.take_metric(key, route.metric, &mut self.paths, &mut self.dirty, removed);
        }
        let Some(list) = self.routes.map.get(&key) else { return };
        let place = match route.prefix {
            IpNet::V4(_) => find_v4(&self.paths, list, route),
            IpNet::V6(_) => find_v6(&self.paths, list, route),
        };
        let Some(place) = place else { return };
        let held = list[place];
        if let Some(left) = what_is_left(self.paths.spec(held.path), route) {
            let path = self.paths.acquire(left, &mut |id| {
                self.dirty.paths.insert(id);
            });
            let list = self.routes.map.get_mut(&key).expect("found above");
            list[place].path = path;
            self.paths.release(held.path);
            self.dirty.routes.insert(key);
            return;
        }
        self.routes.take(key, place, &mut self.paths, &mut self.dirty, removed);
    }

    /// Takes out every route over a path that `matches`; a look at all routes only if there is such a path.
    pub(crate) fn withdraw_over(
        &mut self,
        matches: impl Fn(&PathSpec) -> bool,
        removed: &mut impl FnMut(Removed),
    ) {
        let paths: BTreeSet<PathId> =
            self.paths.in_use().filter(|(_, spec)| matches(spec)).map(|(id, _)| id).collect();
        if !paths.is_empty() {
            self.routes.retain(|held| !paths.contains(&held.path), &mut self.paths, &mut self.dirty, removed);
        }
    }
}

impl Routes {
    pub(crate) fn get(&self, table: u32, prefix: IpNet) -> &[Announced] {
        self.map.get(&(table, prefix)).map_or(&[], |list| list)
    }

    /// How many routes there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// All routes after a place, by table and prefix.
    pub(crate) fn iter_after(
        &self,
        after: Option<(u32, IpNet)>,
    ) -> impl Iterator<Item = (u32, IpNet, &[Announced])> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        self.map.range((start, Unbounded)).map(|((table, prefix), list)| (*table, *prefix, list.as_slice()))
    }

    /// Takes out what the last dump did not name.
    pub(super) fn sweep(
        &mut self,
        dump: u32,
        paths: &mut Paths,
        dirty: &mut Dirty,
        removed: &mut impl FnMut(Removed),
    ) {
        self.retain(|held| held.dump == dump, paths, dirty, removed);
    }

    fn retain(
        &mut self,
        keep: impl Fn(&Announced) -> bool,
        paths: &mut Paths,
        dirty: &mut Dirty,
        removed: &mut impl FnMut(Removed),
    ) {
        let mut taken = 0;
        let mut custom_local = 0;
        self.map.retain(|key, list| {
            let before = list.len();
            list.retain(|held| {
                let kept = keep(held);
                if !kept {
                    custom_local += usize::from(is_custom_local(paths, held));
                    removed(Removed::Route(key.0, key.1, *held));
                    paths.release(held.path);
                }
                kept
            });
            if list.len() != before {
                taken += before - list.len();
                dirty.routes.insert(*key);
            }
            !list.is_empty()
        });
        self.count -= taken;
        self.custom_local -= custom_local;
    }

    /// Takes out all routes of a prefix with this metric.
    fn take_metric(
        &mut self,
        key: (u32, IpNet),
        metric: u32,
        paths: &mut Paths,
        dirty: &mut Dirty,
        removed: &mut impl FnMut(Removed),
    ) {
        while let Some(place) = self.get(key.0, key.1).iter().position(|held| held.metric == metric) {
            self.take(key, place, paths, dirty, removed);
        }
    }

    fn take(
        &mut self,
        key: (u32, IpNet),
        place: usize,
        paths: &mut Paths,
        dirty: &mut Dirty,
        removed: &mut impl FnMut(Removed),
    ) {
        let list = self.map.get_mut(&key).expect("the caller has looked at it");
        let held = list.remove(place);
        if list.is_empty() {
            self.map.remove(&key);
        }
        self.count -= 1;
        self.custom_local -= usize::from(is_custom_local(paths, &held));
        removed(Removed::Route(key.0, key.1, held));
        paths.release(held.path);
        dirty.routes.insert(key);
    }
}

fn insert_sorted(list: &mut Announcements, new: Announced) {
    let goes_before =
        |held: &Announced| held.tos < new.tos || held.tos == new.tos && held.metric > new.metric;
    let place = list.iter().position(goes_before).unwrap_or(list.len());
    list.insert(place, new);
}

fn slot_of(spec: &PathSpec) -> Slot {
    match &spec.target {
        Target::NextHops(hops) => match hops.as_slice() {
            [] => Slot::Device(None),
            [hop] if hop.via.is_none() => Slot::Device(hop.link),
            _ => Slot::Gatewayed,
        },
        Target::Object(_) => Slot::Gatewayed,
    }
}

fn find_v4(paths: &Paths, list: &Announcements, route: &Route) -> Option<usize> {
    let in_group = |held: &Announced| held.tos == route.tos && held.metric == route.metric;
    let alike = |held: &Announced| in_group(held) && is_alike(&paths.spec(held.path).target, &route.target);
    // Of several alike the one that says the same besides (`fib_table_delete` goes by type, scope and source).
    let same = |held: &Announced| {
        let spec = paths.spec(held.path);
        alike(held) && spec.kind == route.kind && spec.preferred_source == route.preferred_source
    };
    let only =
        || (list.iter().filter(|held| in_group(held)).count() == 1).then(|| list.iter().position(in_group));
    let first_alike = || list.iter().position(alike);
    list.iter().position(same).or_else(first_alike).or_else(|| only().flatten())
}

fn find_v6(paths: &Paths, list: &Announcements, route: &Route) -> Option<usize> {
    let in_group = |held: &Announced| held.metric == route.metric;
    let Target::NextHops(named) = &route.target else {
        return list.iter().position(|held| in_group(held) && paths.spec(held.path).target == route.target);
    };
    let has_any_named = |held: &Announced| match &paths.spec(held.path).target {
        Target::NextHops(hops) => hops.iter().any(|hop| named.iter().any(|gone| is_same_hop(hop, gone))),
        Target::Object(_) => false,
    };
    list.iter().position(|held| in_group(held) && has_any_named(held))
}

/// What remains of an IPv6 multipath route when the siblings named are gone; `None` when nothing does.
fn what_is_left(spec: &PathSpec, gone: &Route) -> Option<PathSpec> {
    let (true, Target::NextHops(hops), Target::NextHops(named)) = (spec.ipv6, &spec.target, &gone.target)
    else {
        return None;
    };
    let left: Vec<_> =
        hops.iter().filter(|hop| !named.iter().any(|gone| is_same_hop(hop, gone))).cloned().collect();
    (!named.is_empty() && !left.is_empty())
        .then(|| PathSpec { target: Target::NextHops(left), ..spec.clone() })
}

fn is_alike(held: &Target, named: &Target) -> bool {
    match (held, named) {
        (Target::NextHops(held), Target::NextHops(named)) => {
            held.len() == named.len() && held.iter().zip(named).all(|(held, named)| is_same_hop(held, named))
        }
        _ => held == named,
    }
}

fn is_same_hop(one: &NextHop, other: &NextHop) -> bool {
    one.link == other.link && one.via == other.via
}

fn is_custom_local(paths: &Paths, held: &Announced) -> bool {
    const KERNEL: u8 = 2;
    let spec = paths.spec(held.path);
    !spec.ipv6 && spec.kind == crate::change::RouteType::Local && held.protocol != KERNEL
}
