//! The one who changes the routing state: takes in what was announced, works out what that changes, publishes it.

mod publication;
mod show;

use std::sync::Arc;

use arc_swap::ArcSwap;

use self::publication::{Operation, ROUTES_SEARCHED_MAX};
pub use self::show::{HopRow, LinkRow, RouteRow};
use crate::adjacency::{LinkIndex, Neighbors, PortId, Ports};
use crate::change::{Change, NeighborEntry, NeighborState};
use crate::publish::{Publisher, Reader};
use crate::rib::{Placement, Removed, Rib};
use crate::snapshot::{Generation, Snapshot};

/// Events told per [`Writer::apply`]; those beyond are only counted.
pub const EVENTS_MAX: usize = 4_096;

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
