//! The one who changes the routing state: takes in what was announced, works out what that changes, publishes it.

mod show;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;

pub use self::show::{HopRow, LinkRow, RouteRow};
use crate::adjacency::{LinkIndex, Neighbors, PortId, Ports};
use crate::cache::Staleness;
use crate::change::{Change, NeighborEntry, NeighborState};
use crate::journal::{
    Difference, PathDifference, Subject, difference_of_candidates, difference_of_paths,
    differences_of_surroundings,
};
use crate::path::{Path, PathId};
use crate::publish::{Absorb, Publisher, Reader};
use crate::rib::{Announced, Placement, Removed, Rib};
use crate::snapshot::surroundings::Surroundings;
use crate::snapshot::{Candidate, Entry, Generation, Snapshot, Table};

/// Events told per [`Writer::apply`]; those beyond are only counted.
pub const EVENTS_MAX: usize = 4_096;

/// Up to how many routes all are looked at for those that a path which returned makes count again. With more, all flows
/// of its family ask anew.
const ROUTES_SEARCHED_MAX: usize = 65_536;

/// The writing end of the routing state. There is one.
#[derive(Debug)]
pub struct Writer {
    rib: Rib,
    publisher: Publisher<Snapshot, Operation, ArcSwap<Snapshot>>,
    generation: Generation,
    ports: Arc<Ports>,
    neighbors: Arc<Neighbors>,
    neighbors_max: usize,
    hash_key: (u64, u64),
    /// [`ROUTES_SEARCHED_MAX`], less in tests.
    pub(crate) routes_searched_max: usize,
    /// Bindings as last told.
    told: Vec<PortBinding>,
}

/// What an [`Writer::apply`] came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Generation in force now.
    pub generation: Generation,
    /// Whether a forwarding decision changed, and so the generation was raised.
    pub raised: bool,
    /// A dump is open: what was taken in is published with its end.
    pub dumping: bool,
    /// Changes taken in.
    pub changes: usize,
    /// Announcements that found no room (see the bounds in [`crate::rib`]).
    pub refused: u64,
    /// Ports whose link, link name or state became another.
    pub bindings: Vec<PortBinding>,
    /// What became different, for who watches; at most [`EVENTS_MAX`].
    pub events: Vec<Event>,
    /// Events beyond that.
    pub events_lost: u64,
}

/// Which device a port stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortBinding {
    /// The port.
    pub port: PortId,
    /// The device, if there is one.
    pub link: Option<LinkIndex>,
    /// Name of the device now; the configured one while there is none.
    pub name: String,
    /// Administratively up. Without carrier it is up still: Linux keeps such routes (`ignore_routes_with_linkdown` off).
    pub up: bool,
}

/// Something that became different.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A route was announced or altered.
    Route(RouteRow),
    /// A route was withdrawn.
    RouteGone(RouteRow),
    /// More or something else is known of a neighbor.
    Neighbor(NeighborEntry),
    /// A neighbor entry was removed.
    NeighborGone {
        /// The link it was on.
        link: LinkIndex,
        /// Its protocol address.
        address: std::net::IpAddr,
    },
}

/// One edit of a published copy. Both copies get the same ones in the same order.
#[derive(Debug)]
enum Operation {
    Surroundings(Arc<Surroundings>, Vec<Difference>),
    /// The next slot is for the table of this number.
    Table(u32),
    NewPath(PathId, Arc<Path>),
    Path(PathId, Arc<Path>, PathDifference),
    PathGone(PathId),
    Entry {
        slot: u32,
        prefix: IpNet,
        entry: Entry,
        reason: Staleness,
    },
    /// Nothing kept is to be believed.
    Flush,
    Generation(Generation),
}

impl Writer {
    /// A routing state without routes, for ports of these names and as many neighbors.
    ///
    /// # Panics
    /// With more than [`crate::adjacency::PORTS_MAX`] names or no room for neighbors at all.
    #[must_use]
    pub fn new(port_names: Vec<String>, neighbors_max: usize) -> Self {
        Self::starting_at(port_names, neighbors_max, Generation(1), (0, 0))
    }

    /// As [`Writer::new`], with the key of the multipath hash, which a router draws at random.
    #[must_use]
    pub fn with_hash_key(port_names: Vec<String>, neighbors_max: usize, hash_key: (u64, u64)) -> Self {
        Self::starting_at(port_names, neighbors_max, Generation(1), hash_key)
    }

    pub(crate) fn starting_at(
        port_names: Vec<String>,
        neighbors_max: usize,
        generation: Generation,
        hash_key: (u64, u64),
    ) -> Self {
        let ports = Arc::new(Ports::new(&port_names));
        let neighbors = Arc::new(Neighbors::new(neighbors_max));
        let told = ports
            .ids()
            .map(|port| PortBinding { port, link: None, name: ports.name(port).into(), up: false })
            .collect();
        let mut rib = Rib::new(port_names);
        let surroundings = rib.surroundings(hash_key);
        let mut snapshot = Snapshot::new(ports.clone(), neighbors.clone(), surroundings);
        snapshot.generation = generation;
        let publisher = Publisher::new(snapshot, ArcSwap::new);
        Self {
            rib,
            publisher,
            generation,
            ports,
            neighbors,
            neighbors_max,
            hash_key,
            routes_searched_max: ROUTES_SEARCHED_MAX,
            told,
        }
    }

    /// Takes in changes and publishes them as one. Those of an open dump are published with its end.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Applied {
        let mut events = Events::default();
        let refused = self.rib.refused;
        let mut count = 0;
        for change in changes {
            count += 1;
            self.absorb(change, &mut events);
        }
        let bindings = self.settle_ports();
        let before = self.generation;
        if !self.rib.dumping {
            self.publish();
        }
        Applied {
            generation: self.generation,
            raised: self.generation != before,
            dumping: self.rib.dumping,
            changes: count,
            refused: self.rib.refused - refused,
            bindings,
            events: events.told,
            events_lost: events.lost,
        }
    }

    /// Raises the generation although nothing changed, so that every kept answer is asked for anew.
    pub fn raise(&mut self) -> Generation {
        self.generation = self.generation.next();
        let operations = vec![Operation::Flush, Operation::Generation(self.generation)];
        self.publisher.publish(operations, std::thread::yield_now);
        self.generation
    }

    /// Access for a worker.
    #[must_use]
    pub fn reader(&self) -> Reader<Snapshot> {
        Reader::new(self.publisher.slot().clone())
    }

    /// The ports.
    #[must_use]
    pub fn ports(&self) -> Arc<Ports> {
        self.ports.clone()
    }

    /// The neighbors.
    #[must_use]
    pub fn neighbors(&self) -> Arc<Neighbors> {
        self.neighbors.clone()
    }

    /// The generation in force.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How often a reader held a copy for so long that the whole state was copied instead.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.publisher.copies()
    }

    fn absorb(&mut self, change: Change, events: &mut Events) {
        let Self { rib, neighbors, .. } = self;
        match change {
            Change::Link(link) => {
                rib.set_link(link);
            }
            Change::LinkGone(link) => {
                let mut gone = Vec::new();
                rib.remove_link(link, &mut |removed| gone.push(removed));
                self.tell_removed(gone, events);
            }
            Change::Address(address) => {
                rib.set_address(address);
            }
            Change::AddressGone(address) => rib.remove_address(&address),
            Change::Route(route) => self.announce(route, Placement::Plain, events),
            Change::RouteAppended(route) => self.announce(route, Placement::Append, events),
            Change::RouteReplaced(route) => self.announce(route, Placement::Replace, events),
            Change::RouteGone(route) => {
                let mut gone = Vec::new();
                rib.withdraw(&route, &mut |removed| gone.push(removed));
                self.tell_removed(gone, events);
            }
            Change::Nexthop(object) => rib.set_nexthop(object),
            Change::NexthopGone(id) => {
                let mut gone = Vec::new();
                rib.remove_nexthop(id, &mut |removed| gone.push(removed));
                self.tell_removed(gone, events);
            }
            Change::Rule(rule) => rib.set_rule(rule),
            Change::RuleGone(rule) => rib.remove_rule(&rule),
            Change::Neighbor(entry) => {
                let is_new = rib.set_neighbor(&entry, self.neighbors_max);
                // The cell may say more than was announced: a worker has asked. Failing again is an answer to that.
                let is_answer = entry.state == NeighborState::Failed && !rib.dumping;
                if let Some(port) = rib.port_of(entry.link)
                    && (is_new || is_answer)
                {
                    neighbors.set(port, entry.address, entry.state, entry.mac);
                }
                if is_new {
                    events.tell(|| Event::Neighbor(entry));
                }
            }
            Change::NeighborGone { link, address } => {
                let mut gone = Vec::new();
                rib.remove_neighbor(link, address, &mut |removed| gone.push(removed));
                self.tell_removed(gone, events);
            }
            Change::Settings(settings) => rib.set_settings(settings),
            Change::Policy(prefix, policy) => rib.set_policy(prefix, policy),
            Change::DumpBegin => rib.begin_dump(),
            Change::DumpEnd => {
                let mut gone = Vec::new();
                rib.end_dump(&mut |removed| gone.push(removed));
                self.tell_removed(gone, events);
            }
        }
    }

    fn announce(&mut self, route: crate::change::Route, placement: Placement, events: &mut Events) {
        let (table, prefix) = (route.table, route.prefix.trunc());
        if let Some(held) = self.rib.announce(route, placement) {
            events.tell(|| Event::Route(self.rib.route_row(table, prefix, &held)));
        }
    }

    fn tell_removed(&mut self, gone: Vec<Removed>, events: &mut Events) {
        for removed in gone {
            match removed {
                Removed::Route(table, prefix, held) => {
                    events.tell(|| Event::RouteGone(self.rib.route_row(table, prefix, &held)));
                }
                Removed::Neighbor(link, address) => {
                    if let Some(port) = self.rib.port_of(link) {
                        self.neighbors.unset(port, address);
                    }
                    events.tell(|| Event::NeighborGone { link, address });
                }
            }
        }
    }

    /// Binds ports to links, edits their cells, and tells whose binding became another. Before anything is published:
    /// a port that went down is down for kept routes at once.
    fn settle_ports(&mut self) -> Vec<PortBinding> {
        if !std::mem::take(&mut self.rib.dirty.ports) {
            return Vec::new();
        }
        let before = self.rib.bound.clone();
        self.rib.bind_ports();
        let mut differing = Vec::new();
        for port in self.ports.ids() {
            let place = usize::from(port.0);
            if self.rib.bound[place] != before[place] {
                self.move_neighbors(port, before[place], self.rib.bound[place]);
            }
            let view = self.rib.port_view(port);
            self.ports.set(port, view);
            let device = view.link.and_then(|link| self.rib.links.get(&link));
            let name = device.map_or(self.ports.name(port), |held| &held.value.name).to_owned();
            let binding = PortBinding { port, link: view.link, name, up: view.up };
            if self.told[place] != binding {
                self.told[place] = binding.clone();
                differing.push(binding);
            }
        }
        differing
    }

    fn move_neighbors(&self, port: PortId, from: Option<LinkIndex>, to: Option<LinkIndex>) {
        for ((link, address), held) in &self.rib.neighbors {
            if Some(*link) == from {
                self.neighbors.unset(port, *address);
            }
            if Some(*link) == to {
                self.neighbors.set(port, *address, held.value.0, held.value.1);
            }
        }
    }

    /// Publishes what differs from what is published, if anything does.
    fn publish(&mut self) {
        let mut operations = Vec::new();
        self.collect_surroundings(&mut operations);
        self.collect_paths(&mut operations);
        self.name_returning_routes(&mut operations);
        self.collect_routes(&mut operations);
        let changes_a_decision = !operations.is_empty();
        self.rib.paths.free_unused(|id| operations.push(Operation::PathGone(id)));
        if operations.is_empty() {
            return;
        }
        if changes_a_decision {
            // Each operation changes the tables, then the journal; the generation follows both.
            self.generation = self.generation.next();
            operations.push(Operation::Generation(self.generation));
        }
        self.publisher.publish(operations, std::thread::yield_now);
    }

    /// Names the routes of paths that can be taken (over a link) where they could not.
    fn name_returning_routes(&self, operations: &mut [Operation]) {
        if self.rib.routes.len() > self.routes_searched_max {
            return;
        }
        let mut returning: HashMap<PathId, &mut Vec<(u32, IpNet)>> = HashMap::new();
        for operation in operations {
            if let Operation::Path(id, _, difference) = operation
                && difference.link_returns
            {
                returning.insert(*id, difference.prefixes.insert(Vec::new()));
            }
        }
        if returning.is_empty() {
            return;
        }
        for (table, prefix, held) in self.rib.routes.iter_after(None) {
            for announced in held {
                if let Some(prefixes) = returning.get_mut(&announced.path) {
                    prefixes.push((self.rib.table_slots[&table], prefix));
                }
            }
        }
    }

    fn collect_surroundings(&mut self, operations: &mut Vec<Operation>) {
        let published = &self.publisher.published().surroundings;
        let custom_local = self.rib.routes.custom_local > 0;
        if std::mem::take(&mut self.rib.dirty.surroundings) || published.custom_local_routes != custom_local {
            let surroundings = self.rib.surroundings(self.hash_key);
            if **published != surroundings {
                let differences = differences_of_surroundings(published, &surroundings);
                operations.push(Operation::Surroundings(Arc::new(surroundings), differences));
            }
        }
    }

    fn collect_paths(&mut self, operations: &mut Vec<Operation>) {
        let published = self.publisher.published();
        let mut look_at = |id: PathId, ipv6: bool, path: Path| match published.path(id) {
            Some(before) if *before == path => {}
            Some(before) => {
                let difference = difference_of_paths(before, &path, ipv6);
                operations.push(Operation::Path(id, Arc::new(path), difference));
            }
            None => operations.push(Operation::NewPath(id, Arc::new(path))),
        };
        let new = std::mem::take(&mut self.rib.dirty.paths);
        if std::mem::take(&mut self.rib.dirty.all_paths) {
            for (id, spec) in self.rib.paths.in_use() {
                look_at(id, spec.ipv6, self.rib.resolve(spec));
            }
        } else {
            for id in new {
                let spec = self.rib.paths.spec(id);
                look_at(id, spec.ipv6, self.rib.resolve(spec));
            }
        }
    }

    fn collect_routes(&mut self, operations: &mut Vec<Operation>) {
        let published = self.publisher.published();
        let mut tables: Vec<(u32, u32)> = self
            .rib
            .table_slots
            .iter()
            .map(|(table, slot)| (*slot, *table))
            .filter(|(slot, _)| *slot as usize >= published.tables.len())
            .collect();
        tables.sort_unstable();
        let mut edits = Vec::new();
        for (table, prefix) in self.rib.dirty.routes.drain() {
            let slot = self.rib.table_slots[&table];
            let held = self.rib.routes.get(table, prefix);
            let entry: Entry =
                held.iter().map(|held: &Announced| Candidate { path: held.path, tos: held.tos }).collect();
            let before = published.tables.get(slot as usize).map_or(&[][..], |table| table.get(prefix));
            if before != entry.as_slice() {
                let reason = difference_of_candidates(before, &entry, |path| self.rib.paths.spec(path));
                edits.push(Operation::Entry { slot, prefix, entry, reason });
            }
        }
        if !edits.is_empty() {
            operations.extend(tables.into_iter().map(|(_, table)| Operation::Table(table)));
            operations.append(&mut edits);
        }
    }
}

impl Absorb<Operation> for Snapshot {
    fn absorb(&mut self, operation: &Operation) {
        // What a batch changes belongs to the generation it ends with.
        let generation = self.generation.next();
        match operation {
            Operation::Surroundings(surroundings, differences) => {
                self.surroundings = surroundings.clone();
                differences.iter().for_each(|difference| self.journal.note(generation, difference));
            }
            Operation::Table(number) => self.tables.push(Table::new(*number)),
            Operation::NewPath(id, path) => {
                self.set_path(*id, Some(path.clone()));
                self.journal.note_new_path(generation, *id);
            }
            Operation::Path(id, path, difference) => {
                self.set_path(*id, Some(path.clone()));
                self.journal.note_path(generation, *id, difference);
            }
            Operation::PathGone(id) => self.set_path(*id, None),
            Operation::Entry { slot, prefix, entry, reason } => {
                let table = &mut self.tables[*slot as usize];
                table.set(*prefix, entry.clone());
                self.journal.note_routes(generation, (*slot, table.number), *prefix, *reason);
            }
            Operation::Flush => {
                self.journal
                    .note(generation, &Difference { reason: Staleness::Flush, subject: Subject::All });
            }
            Operation::Generation(generation) => self.generation = *generation,
        }
    }
}

impl Snapshot {
    fn set_path(&mut self, id: PathId, path: Option<Arc<Path>>) {
        let place = id.0 as usize;
        if self.paths.len() <= place {
            self.paths.resize(place + 1, None);
        }
        self.paths[place] = path;
    }
}

#[derive(Debug, Default)]
struct Events {
    told: Vec<Event>,
    lost: u64,
}

impl Events {
    fn tell(&mut self, event: impl FnOnce() -> Event) {
        if self.told.len() < EVENTS_MAX {
            self.told.push(event());
        } else {
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
