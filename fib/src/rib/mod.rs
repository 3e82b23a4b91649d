//! Everything that was announced, whether it can be used or not, and what of it differs from what is published.

mod interface;
mod paths;
mod policy;
mod resolve;
mod routes;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub(crate) use self::paths::Paths;
pub(crate) use self::routes::{Announced, Placement, Routes};
use crate::adjacency::{LinkIndex, Mac, PortId};
use crate::change::{Address, Link, LinkSettings, NamespaceSettings, NeighborState, NexthopObject, Rule};
use crate::path::PathId;
use crate::snapshot::RoutePolicies;

/// The most routes of all tables together.
pub const ROUTES_MAX: usize = 4_000_000;
/// The most routing tables.
pub const TABLES_MAX: usize = 4_096;
/// The most devices of the namespace.
pub const LINKS_MAX: usize = 65_536;
/// The most addresses of all links together.
pub const ADDRESSES_MAX: usize = 65_536;
/// The most policy rules of both families together.
pub const RULES_MAX: usize = 16_384;
/// The most nexthop objects.
pub const NEXTHOPS_MAX: usize = 65_536;

/// The most route policies.
pub const POLICIES_MAX: usize = 4_096;

/// What was announced and in which dump it was last named.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    pub(crate) value: T,
    pub(crate) dump: u32,
}

/// A neighbor's state and link-layer address.
pub(crate) type Knowledge = (NeighborState, Option<Mac>);

/// See the file.
#[derive(Debug)]
pub(crate) struct Rib {
    pub(crate) port_names: Vec<String>,
    /// Which link each port is bound to.
    pub(crate) bound: Vec<Option<LinkIndex>>,
    pub(crate) links: BTreeMap<LinkIndex, Held<Link>>,
    pub(crate) addresses: BTreeMap<LinkIndex, Vec<Held<Address>>>,
    pub(crate) routes: Routes,
    /// [`ROUTES_MAX`], less in tests.
    pub(crate) routes_max: usize,
    pub(crate) paths: Paths,
    pub(crate) nexthops: BTreeMap<u32, Held<NexthopObject>>,
    pub(crate) rules: Vec<Held<Rule>>,
    /// Rules of this family were announced at some time: an empty list is meant.
    pub(crate) rules_known: [bool; 2],
    pub(crate) neighbors: HashMap<(LinkIndex, IpAddr), Held<Knowledge>>,
    pub(crate) link_settings: BTreeMap<LinkIndex, LinkSettings>,
    pub(crate) namespace: NamespaceSettings,
    pub(crate) policies: Arc<RoutePolicies>,
    /// Slot of each table.
    pub(crate) table_slots: HashMap<u32, u32>,
    /// Number of the dump that is open or was the last.
    pub(crate) dump: u32,
    pub(crate) dumping: bool,
    /// What may differ from what is published.
    pub(crate) dirty: Dirty,
    /// Announcements that found no room.
    pub(crate) refused: u64,
}

/// What has to be looked at before the next publication.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) routes: HashSet<(u32, IpNet)>,
    pub(crate) paths: HashSet<PathId>,
    /// Links or nexthop objects: every path may resolve otherwise.
    pub(crate) all_paths: bool,
    pub(crate) surroundings: bool,
    /// Ports whose cell or binding may differ.
    pub(crate) ports: bool,
}

impl Rib {
    pub(crate) fn new(port_names: Vec<String>) -> Self {
        Self {
            bound: vec![None; port_names.len()],
            port_names,
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            routes: Routes::default(),
            routes_max: ROUTES_MAX,
            paths: Paths::default(),
            nexthops: BTreeMap::new(),
            rules: Vec::new(),
            rules_known: [false; 2],
            neighbors: HashMap::new(),
            link_settings: BTreeMap::new(),
            namespace: NamespaceSettings::default(),
            policies: Arc::default(),
            table_slots: HashMap::new(),
            dump: 0,
            dumping: false,
            dirty: Dirty { surroundings: true, ..Dirty::default() },
            refused: 0,
        }
    }

    /// The port bound to a link.
    pub(crate) fn port_of(&self, link: LinkIndex) -> Option<PortId> {
        let place = self.bound.iter().position(|bound| *bound == Some(link))?;
        Some(PortId(u16::try_from(place).expect("bounded by PORTS_MAX")))
    }

    /// The slot of a table, given on first mention; `None` when there are [`TABLES_MAX`].
    pub(crate) fn table_slot(&mut self, table: u32) -> Option<u32> {
        if let Some(slot) = self.table_slots.get(&table) {
            return Some(*slot);
        }
        let slot = u32::try_from(self.table_slots.len()).ok().filter(|slot| (*slot as usize) < TABLES_MAX)?;
        self.table_slots.insert(table, slot);
        Some(slot)
    }

    /// A complete picture follows.
    pub(crate) fn begin_dump(&mut self) {
        self.dump = self.dump.wrapping_add(1);
        self.dumping = true;
    }

    /// The picture is complete: what it did not name is gone.
    pub(crate) fn end_dump(&mut self, removed: &mut impl FnMut(Removed)) {
        if !self.dumping {
            return;
        }
        self.dumping = false;
        let dump = self.dump;
        for link in keys_not_named(&self.links, dump) {
            self.remove_link(link, removed);
        }
        for addresses in self.addresses.values_mut() {
            let before = addresses.len();
            addresses.retain(|held| held.dump == dump);
            self.dirty.surroundings |= addresses.len() != before;
        }
        for id in keys_not_named(&self.nexthops, dump) {
            self.remove_nexthop(id, removed);
        }
        self.routes.sweep(dump, &mut self.paths, &mut self.dirty, removed);
        let rules = self.rules.len();
        self.rules.retain(|held| held.dump == dump);
        self.dirty.surroundings |= self.rules.len() != rules;
        let lost: Vec<_> =
            self.neighbors.iter().filter(|(_, held)| held.dump != dump).map(|(key, _)| *key).collect();
        for (link, address) in lost {
            self.remove_neighbor(link, address, removed);
        }
    }
}

/// Something that is no longer there, for whoever watches.
#[derive(Clone, Debug)]
pub(crate) enum Removed {
    Route(u32, IpNet, Announced),
    Neighbor(LinkIndex, IpAddr),
}

fn keys_not_named<K: Copy + Ord, T>(map: &BTreeMap<K, Held<T>>, dump: u32) -> Vec<K> {
    map.iter().filter(|(_, held)| held.dump != dump).map(|(key, _)| *key).collect()
}
