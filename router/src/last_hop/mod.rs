//! Where on their links flows come from, so that replies can go back there without a route.
//!
//! A flow remembers the number of a [`LastHop`]: the port and the link address that its original direction came from, and
//! the link address that it was sent to. All flows of one gateway share it. It refers to a neighbor where one is known, so
//! that a gateway's new link address (gratuitous ARP, a failover) is one edit that every flow follows with its next packet.
//! `docs/last-hop.md` is the way in; [`crate::hooks::LastHopHook`] is the hook that learns and uses.
//!
//! Packets of flows that come as they did before take no lock and allocate nothing. Locks, for a flow's first packet and
//! once a second for each gateway: the directory's, then those of the neighbor table; apart from these the store's of last
//! hops.

mod announcement;
mod directory;
mod news;
mod record;
mod settings;
mod station;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use conntrack::{Cursor, Instant};
use fib::adjacency::{Mac, Neighbors, PortId, Ports};
use fib::snapshot::{Adjacency, Hop, Query, Snapshot};
use parking_lot::Mutex;

pub use directory::{SIGHTS_MAX, STATIONS_MAX};
pub use news::{NEWS_MAX, News, What};
pub use record::{Course, LastHop};
pub use settings::{GROUP_MEMBERS_MAX, GROUPS_MAX, Group, IDLE, MarkError, MarkMatch, Settings};
pub use station::{Bound, Dead, Kind, Rank, Station};

use crate::engine::{Packet, Routed};
use crate::flow::{CameBy, Conn, FlowTable};
use crate::interned::Interned;
use crate::stats::Counters;
use directory::Directory;
use news::Board;
use record::Key;
use station::{Target, World};

/// Last hops that are told apart at one time.
pub const LAST_HOPS_MAX: u32 = 1 << 16;

/// A store's numbers all lie in one stretch of this length; the stretch of zero is left out.
const STRETCHES: u32 = 1 << (CameBy::NUMBER_BITS - LAST_HOPS_MAX.trailing_zeros());

/// A store that is fuller than this is searched for what no flow remembers.
const CROWDED: u32 = LAST_HOPS_MAX / 4 * 3;

/// Between two searches, in milliseconds.
const SEARCH_INTERVAL_MS: u64 = 10_000;

/// The last hops that flows remember, and what is known of those who are there.
#[derive(Debug)]
pub struct LastHops {
    is_on: AtomicBool,
    settings: ArcSwap<Settings>,
    present: ArcSwap<Interned<LastHop>>,
    /// The store before, while flows are moved over.
    past: ArcSwapOption<Interned<LastHop>>,
    /// Number of the last hop that a packet has come by last whose mark said so; 0 for none.
    newest: AtomicU32,
    directory: Mutex<Directory>,
    board: Board,
    searched_ms: AtomicU64,
    refused: AtomicU64,
}

/// A last hop for people to look at.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number, which flows remember.
    pub number: u32,
    /// Its port.
    pub port: PortId,
    /// The link address that flows came from.
    pub source: Mac,
    /// What that is.
    pub kind: Kind,
    /// Name of the group it was declared to be of.
    pub group: Option<String>,
    /// The neighbor it stands for.
    pub neighbor: Option<Bound>,
    /// The link address that replies are sent to now; `None` while they are routed.
    pub answers_to: Option<Mac>,
    /// Why they are routed.
    pub dead: Option<Dead>,
    /// The link address that flows were sent to.
    pub destination: Mac,
    /// A program's packets with the mark go on to that destination.
    pub is_newest: bool,
    /// Milliseconds since something was heard from the source, to within a second.
    pub silent_ms: u64,
}

/// What the world is to a packet.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The routing state of this turn.
    pub routing: &'a Snapshot,
    /// The worker's counters.
    pub counters: &'a Counters,
    /// The moment this turn began.
    pub now: Instant,
}

impl Default for LastHops {
    fn default() -> Self {
        Self {
            is_on: AtomicBool::new(false),
            settings: ArcSwap::default(),
            present: ArcSwap::from_pointee(Interned::new(LAST_HOPS_MAX, LAST_HOPS_MAX)),
            past: ArcSwapOption::empty(),
            newest: AtomicU32::new(0),
            directory: Mutex::default(),
            board: Board::default(),
            searched_ms: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

impl LastHops {
    /// Puts other settings in force. What flows remember stays; it is used as the new settings say. Whoever calls this has
    /// flows given up that were taken over ([`crate::offload::Offloads::void`]).
    pub fn configure(&self, settings: Settings) {
        self.directory.lock().declare(&settings);
        self.is_on.store(settings.is_on(), Ordering::Release);
        self.settings.store(Arc::new(settings));
    }

    /// Takes in what a received frame tells of who is behind a port; for bridged ports that is the bridge.
    pub fn hear(&self, port: PortId, frame: &[u8], around: &Around<'_>) {
        if let Some(told) = announcement::read(frame) {
            let settings = self.settings.load();
            self.directory.lock().hear(port, &told, &around.world(&settings));
        }
    }

    /// Has a flow remember where the packet came from, which goes its original direction, if that is meant to be. A flow
    /// that has come the same way before costs a comparison.
    pub fn learn(&self, packet: &Packet, flow: &Conn, around: &Around<'_>) {
        let settings = self.settings.load();
        let port = packet.input();
        let is_marked = settings.is_original(packet.mark);
        if !is_marked && !settings.is_on_at(port) {
            return;
        }
        let (destination, source) = packet.link_addresses().unwrap_or_default();
        let seen = flow.user.came_by();
        let kept = self.with(seen, |record| {
            let same = record.is(port, source, destination);
            if same && record.source.hear(around.now_ms()) {
                self.review(packet, record, &settings, around);
            }
            (same, record.is_target)
        });
        let number = match kept {
            Some((true, is_target)) => seen.number().filter(|_| is_target),
            _ => {
                let is_trusted = is_marked || leads_back(packet, around.routing);
                let number = if is_trusted { self.number(packet, &settings, around) } else { None };
                let Some(number) = number else { return around.counters.last_hop_refused.raise() };
                if flow.user.keep_came_by(seen, CameBy::new(number).used(seen.is_used())) {
                    around.counters.last_hop_learned.raise();
                }
                self.with(CameBy::new(number), |record| record.is_target).and_then(|is| is.then_some(number))
            }
        };
        if let Some(number) = number.filter(|_| is_marked)
            && self.newest.load(Ordering::Relaxed) != number
        {
            self.newest.store(number, Ordering::Relaxed);
        }
    }

    /// The way of a reply back to where its flow came from; `None` if it is to be routed.
    pub fn answer(&self, packet: &Packet, flow: &Conn, around: &Around<'_>) -> Option<Routed> {
        let seen = flow.user.came_by();
        seen.number()?;
        let settings = self.settings.load();
        let is_marked = settings.is_reply(packet.mark);
        let routed = self.with(seen, |record| {
            let is_meant = is_marked || settings.is_on_at(record.source.port);
            let ipv6 = packet.source().is_ipv6();
            let send =
                || self.send(&record.source, record.own.as_ref(), ipv6, &record.back, &settings, around);
            is_meant.then(send).flatten()
        });
        let routed = routed.flatten();
        if seen.is_used() != routed.is_some() {
            flow.user.keep_came_by(seen, seen.used(routed.is_some()));
        }
        if routed.is_some() {
            around.counters.last_hop_replies.raise();
        }
        routed
    }

    /// The way of a program's packet with the mark of original packets: on to where the newest of them was going.
    pub fn go_on(&self, packet: &Packet, around: &Around<'_>) -> Option<Routed> {
        let settings = self.settings.load();
        if !settings.is_original(packet.mark) {
            return None;
        }
        let newest = CameBy::new(Some(self.newest.load(Ordering::Relaxed)).filter(|number| *number != 0)?);
        let routed = self.with(newest, |record| {
            let ipv6 = packet.source().is_ipv6();
            self.send(&record.destination, None, ipv6, &record.onward, &settings, around)
        })??;
        around.counters.last_hop_programs.raise();
        Some(routed)
    }

    /// Whether anything is learned or used.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// What is in force.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// What only time brings; to be called now and then. Stations that are new are bound to neighbors, and a store that gets
    /// crowded is cleared of what no flow remembers.
    pub fn tend(&self, flows: &FlowTable, ports: &Ports, neighbors: &Neighbors, now: Instant) {
        if !self.is_on() {
            return;
        }
        let settings = self.settings.load();
        let world = World::at(ports, neighbors, &settings, now);
        let now_ms = world.now_ms;
        self.directory.lock().search(&world);
        let is_crowded = self.present.load().len() >= CROWDED;
        if is_crowded && now_ms.saturating_sub(self.searched_ms.load(Ordering::Relaxed)) >= SEARCH_INTERVAL_MS
        {
            self.searched_ms.store(now_ms, Ordering::Relaxed);
            self.renew(flows, now);
        }
    }

    /// Takes what has become of last hops since this was called before, and how much of it was lost.
    pub fn take_news(&self) -> (Vec<News>, u64) {
        self.board.take()
    }

    /// How many flows found no room for their last hop since this was called before.
    pub fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// How many claims on the links found no room.
    #[must_use]
    pub fn claims_refused(&self) -> u64 {
        self.directory.lock().refused
    }

    /// How many flows remember each last hop, by its number.
    #[must_use]
    pub fn count_flows(&self, flows: &FlowTable, now: Instant) -> HashMap<u32, u64> {
        let counts = RefCell::new(HashMap::new());
        let _ = flows.list(Cursor::default(), 1, now, |conn| {
            if let Some(number) = conn.user.came_by().number() {
                *counts.borrow_mut().entry(number).or_default() += 1;
            }
            false
        });
        counts.into_inner()
    }

    /// All last hops, in the order in which they were learned.
    #[must_use]
    pub fn rows(&self, ports: &Ports, neighbors: &Neighbors, now: Instant) -> Vec<Row> {
        let settings = self.settings.load();
        let store = self.present.load();
        let world = World::at(ports, neighbors, &settings, now);
        let numbers = store.first()..;
        numbers
            .zip(store.iter())
            .map(|(number, record)| self.row(number, record, &settings, &world))
            .collect()
    }

    /// One of them by its number.
    #[must_use]
    pub fn row_of(&self, came: CameBy, ports: &Ports, neighbors: &Neighbors, now: Instant) -> Option<Row> {
        let settings = self.settings.load();
        let world = World::at(ports, neighbors, &settings, now);
        let number = came.number()?;
        self.with(came, |record| self.row(number, record, &settings, &world))
    }

    fn row(&self, number: u32, record: &LastHop, settings: &Settings, world: &World<'_>) -> Row {
        let station = &record.source;
        let ipv6 = record.neighbor().is_some_and(|bound| bound.address.is_ipv6());
        let target = self.target(station, record.own.as_ref(), ipv6, settings, world);
        let group = station.group().and_then(|place| settings.groups.get(place));
        Row {
            number,
            port: station.port,
            source: station.mac,
            kind: station.kind(),
            group: group.map(|group| group.name.clone()),
            neighbor: record.neighbor(),
            answers_to: target.ok().map(|target| target.mac),
            dead: target.err(),
            destination: record.destination.mac,
            is_newest: self.newest.load(Ordering::Relaxed) == number,
            silent_ms: world.now_ms.saturating_sub(station.heard_ms()),
        }
    }

    /// Calls `look` with a last hop.
    fn with<R>(&self, came: CameBy, look: impl FnOnce(&LastHop) -> R) -> Option<R> {
        let number = came.number()?;
        let present = self.present.load();
        if let Some(record) = present.get(number) {
            return Some(look(record));
        }
        let past = self.past.load();
        past.as_ref()?.get(number).map(look)
    }

    /// Where to send to for a station: to itself, or if that cannot be, to another of its group.
    fn target(
        &self,
        station: &Station,
        own: Option<&Bound>,
        ipv6: bool,
        settings: &Settings,
        world: &World<'_>,
    ) -> Result<Target, Dead> {
        station.target(own, ipv6, world).or_else(|dead| {
            let group = station.group().and_then(|place| settings.groups.get(place)).ok_or(dead)?;
            let directory = self.directory.lock();
            let others = group.macs.iter().filter(|mac| **mac != station.mac);
            let known = others.clone().filter_map(|mac| directory.find(station.port, *mac));
            let alive =
                known.filter_map(|other| Some((other.heard_ms(), other.target(None, ipv6, world).ok()?)));
            let newest = alive.max_by_key(|(heard_ms, _)| *heard_ms).map(|(_, target)| target);
            // A virtual address is somebody's as long as anybody of them lives.
            let virtual_mac = || others.clone().find(|mac| Kind::of(**mac).is_virtual());
            let shared = || virtual_mac().map(|mac| Target { mac: *mac, neighbor: None, moved: false });
            newest.or_else(shared).filter(|_| dead != Dead::PortDown).ok_or(dead)
        })
    }

    /// The way to a station, with what becomes of it noted.
    fn send(
        &self,
        station: &Station,
        own: Option<&Bound>,
        ipv6: bool,
        course: &Course,
        settings: &Settings,
        around: &Around<'_>,
    ) -> Option<Routed> {
        let world = around.world(settings);
        let target = match station.target(own, ipv6, &world) {
            Ok(target) => {
                let moved = target.neighbor.filter(|_| target.moved).map(|(_, address)| address);
                course.note_sent(ipv6, station, target.mac, moved, &self.board);
                target
            }
            Err(dead) => {
                let instead = self.target(station, own, ipv6, settings, &world).ok();
                let by = instead.map(|target| target.mac);
                course.note_dead(ipv6, station, dead, by, world.now_ms, &self.board);
                if instead.is_none() {
                    around.counters.last_hop_dead.raise();
                }
                instead?
            }
        };
        let (neighbor, gateway) = target.neighbor.unzip();
        let hop = Hop { port: station.port, neighbor, gateway, route_mtu: 0 };
        Some(Routed { chosen: Some(target.mac), ..Routed::to(hop) })
    }

    /// The number of the last hop that a packet has come by; `None` if there is no room, or it cannot be one.
    fn number(&self, packet: &Packet, settings: &Settings, around: &Around<'_>) -> Option<u32> {
        let port = packet.input();
        let (destination, source) = packet.link_addresses().unwrap_or_default();
        let view = around.routing.ports().get(port);
        let is_real = source != Mac::default() && Kind::of(source) != Kind::Group && source != view.mac;
        if view.needs_resolution && !is_real {
            return None;
        }
        let way_back = way_back(packet, around.routing);
        let own = way_back.and_then(|hop| on_link(packet.source(), port, source, &hop, around.routing));
        let key = Key { port, source, destination, own: own.map(|own| own.address) };
        let world = around.world(settings);
        let [from, to] = {
            let mut directory = self.directory.lock();
            let stations = [source, destination].map(|mac| directory.station(port, mac, settings, &world));
            let [Some(from), Some(to)] = stations else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            let ipv6 = packet.source().is_ipv6();
            if from.bound(ipv6).is_none() {
                let gateway = way_back.and_then(|hop| gateway(source, port, &hop, around.routing));
                directory.review(&from, gateway, false, &world);
            }
            if to.bound(ipv6).is_none() {
                directory.review(&to, None, false, &world);
            }
            [from, to]
        };
        from.hear(world.now_ms);
        let ports = around.routing.ports();
        let is_own = || ports.ids().any(|port| ports.get(port).mac == destination);
        let is_target = view.needs_resolution && Kind::of(destination) != Kind::Group && !is_own();
        let make = || LastHop {
            source: from,
            destination: to,
            is_target,
            own,
            back: Course::default(),
            onward: Course::default(),
        };
        let number = self.present.load().number_of(&key, make);
        self.refused.fetch_add(number.is_none().into(), Ordering::Relaxed);
        number
    }

    /// Thinks about the neighbors of a last hop again, by which a packet has just come.
    #[cold]
    fn review(&self, packet: &Packet, record: &LastHop, settings: &Settings, around: &Around<'_>) {
        let station = &record.source;
        let way_back = way_back(packet, around.routing);
        let gateway = way_back.and_then(|hop| gateway(station.mac, station.port, &hop, around.routing));
        let directory = self.directory.lock();
        directory.review(station, gateway, true, &around.world(settings));
        if record.is_target {
            directory.review(&record.destination, None, false, &around.world(settings));
        }
    }

    /// Puts a new store in place of a crowded one, with what flows remember in it.
    fn renew(&self, flows: &FlowTable, now: Instant) {
        let past = self.present.load_full();
        let next = Arc::new(Interned::new(stretch_after(past.first()), LAST_HOPS_MAX));
        let moved = |number: u32| {
            let record = past.get(number)?;
            next.number_of(&record.key(), || record.again())
        };
        self.past.store(Some(past.clone()));
        self.present.store(next.clone());
        past.close();
        let newest = self.newest.load(Ordering::Relaxed);
        let _ = self.newest.compare_exchange(
            newest,
            moved(newest).unwrap_or(0),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        let _ = flows.list(Cursor::default(), 1, now, |conn| {
            let seen = conn.user.came_by();
            if let Some(number) = seen.number()
                && next.get(number).is_none()
            {
                let next = moved(number).map_or(CameBy::NOTHING, CameBy::new);
                conn.user.keep_came_by(
                    seen,
                    if next == CameBy::NOTHING { next } else { next.used(seen.is_used()) },
                );
            }
            false
        });
        self.past.store(None);
        drop(past);
        self.directory.lock().sweep();
    }
}

impl Around<'_> {
    fn now_ms(&self) -> u64 {
        millis(self.now)
    }

    fn world(&self, settings: &Settings) -> World<'_> {
        World::at(self.routing.ports(), self.routing.neighbors(), settings, self.now)
    }
}

impl<'a> World<'a> {
    /// The world at a moment.
    fn at(ports: &'a Ports, neighbors: &'a Neighbors, settings: &Settings, now: Instant) -> Self {
        Self { ports, neighbors, now_ms: millis(now), idle_ms: settings.idle.as_millis() as u64 }
    }
}

const fn millis(now: Instant) -> u64 {
    now.nanos() / 1_000_000
}

/// Where the numbers of the store after the one that begins at `first` begin.
const fn stretch_after(first: u32) -> u32 {
    (first / LAST_HOPS_MAX % (STRETCHES - 1) + 1) * LAST_HOPS_MAX
}

/// The way that routing knows to the source of a packet. What is known of one link alone is asked of the link it came by.
fn way_back(packet: &Packet, routing: &Snapshot) -> Option<Hop> {
    let source = packet.source();
    let is_of_link = matches!(source, IpAddr::V6(source) if source.is_unicast_link_local());
    let query = Query {
        destination: source,
        source: packet.destination(),
        input: is_of_link.then_some(packet.input()),
        mark: 0,
        tos: packet.header.tos,
        protocol: packet.header.protocol,
        source_port: packet.header.destination_port,
        destination_port: packet.header.source_port,
    };
    match routing.lookup(&query).adjacency {
        Adjacency::Forward(hop) => Some(hop),
        _ => None,
    }
}

/// The loose check of a source (RFC 3704 section 2.4): there is a way to it, and it is not one of this router's own.
fn leads_back(packet: &Packet, routing: &Snapshot) -> bool {
    way_back(packet, routing).is_some()
}

/// The neighbor that a source on the link of its port is, if nothing says that it has another link address.
fn on_link(address: IpAddr, port: PortId, mac: Mac, hop: &Hop, routing: &Snapshot) -> Option<Bound> {
    let neighbor = hop.neighbor.filter(|_| hop.port == port && hop.gateway.is_none())?;
    let view = routing.neighbors().get(neighbor)?;
    let is_same = !view.state.is_valid() || view.mac == mac;
    is_same.then_some(Bound { neighbor, address, rank: Rank::Known, mac })
}

/// The gateway by which routing would answer, if it is at that link address.
fn gateway(mac: Mac, port: PortId, hop: &Hop, routing: &Snapshot) -> Option<Bound> {
    let neighbor = hop.neighbor.filter(|_| hop.port == port)?;
    let view = routing.neighbors().get(neighbor)?;
    let is_there = view.state.is_valid() && view.mac == mac;
    is_there.then_some(Bound { neighbor, address: hop.gateway?, rank: Rank::Gateway, mac })
}
