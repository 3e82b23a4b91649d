//! What has changed in the routing state, and what of it could make a kept answer another.
//!
//! It is part of the state it tells of, so that a reader finds with a generation all that led to it. It has two sides.
//! For people there is a ring of the last changes, each with how many flows it moved. For flows there are marks: the
//! latest change of each path, port, address, policy and family, and of each prefix (`index.rs`). A mark is a
//! generation, so that whoever knows up to which one its answer was good finds what matters since, however much has
//! changed in between; nothing is searched change by change.

mod differences;
mod few;
mod index;
mod keyed;
mod moved;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub(crate) use self::differences::{
    Difference, PathDifference, difference_of_candidates, difference_of_paths, differences_of_surroundings,
};
use self::few::Few;
#[cfg(test)]
pub(crate) use self::index::PREFIXES_MAX;
pub(crate) use self::index::{Indexed, Routes};
use self::moved::Moved;
use crate::adjacency::{PortId, Ports};
use crate::cache::Staleness;
use crate::path::PathId;
use crate::snapshot::Generation;

/// The most changes that are kept one by one.
pub const DEPTH_MAX: usize = 65_536;

/// A change's place in the journal: the first is 0, each later one is one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// One change, for people to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place.
    pub position: Position,
    /// The version of the routing state that it led to, with all of its batch.
    pub generation: Generation,
    /// What happened; for flows that follow, the reason.
    pub what: Staleness,
    /// To what.
    pub subject: Subject,
    /// How many flows have found another way because of it.
    pub moved: u32,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The routes of a prefix.
    Prefix {
        /// Number of the table.
        table: u32,
        /// The prefix.
        prefix: IpNet,
    },
    /// A next hop, which any number of routes may lead over.
    NextHop {
        /// The port it is behind; `None` if its device is none of the router's ports, or if it has none.
        port: Option<PortId>,
        /// The gateway; `None` for destinations on the link itself.
        via: Option<IpAddr>,
        /// Of IPv6 routes.
        ipv6: bool,
    },
    /// A port.
    Port(PortId),
    /// An address of the router's own.
    Address(IpAddr),
    /// The destinations of a route policy.
    Policy(IpNet),
    /// All routing of IPv6, or all of IPv4.
    Family {
        /// IPv6.
        ipv6: bool,
    },
    /// All routing.
    All,
}

/// See the file.
#[derive(Clone)]
pub struct Journal {
    /// By position, modulo [`DEPTH_MAX`].
    ring: Vec<Record>,
    next: u64,
    marks: Marks,
    shared: Arc<Moved>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    generation: Generation,
    what: Staleness,
    subject: Subject,
}

/// The latest changes of everything that answers rest on.
#[derive(Clone)]
pub(crate) struct Marks {
    pub(crate) routes_v4: Routes<u32>,
    pub(crate) routes_v6: Routes<u128>,
    pub(crate) addresses: Few<IpAddr>,
    pub(crate) policies: Few<IpNet>,
    /// By [`PathId`].
    paths: Vec<Mark>,
    /// By [`PortId`]: which device it is.
    bindings: Vec<Mark>,
    /// By [`PortId`]: what is set for it, whether it has an address.
    port_settings: Vec<Mark>,
    families: [FamilyMarks; 2],
}

/// The latest changes that concern all answers of a family.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FamilyMarks {
    /// Any change whatever.
    pub(crate) any: Generation,
    /// Settings, VRFs, flushes.
    pub(crate) settings: Mark,
    /// Policy rules.
    pub(crate) rules: Mark,
    /// A path of many routes that led nowhere leads somewhere.
    pub(crate) path_returned: Mark,
    /// A path of many routes leads over a link it did not lead over: matters where only one link counts.
    pub(crate) link_returned: Mark,
}

/// When something changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// 0 for never.
    pub(crate) generation: Generation,
    /// `u64::MAX` for a change that has no place in the journal.
    position: u64,
    pub(crate) reason: Staleness,
}

impl Journal {
    /// The last changes, the newest first.
    pub fn rows(&self, limit: usize) -> impl Iterator<Item = Row> {
        let oldest = self.next - self.ring.len() as u64;
        (oldest..self.next).rev().take(limit).map(|position| {
            let Record { generation, what, subject } = self.ring[slot_of(position)];
            let moved = self.shared.moved_by(position);
            Row { position: Position(position), generation, what, subject, moved }
        })
    }

    /// Counts a flow that has found another way because of a change.
    pub fn note_moved(&self, change: Position) {
        self.shared.note_moved(change.0);
    }

    /// How many times a flow has found another way because of a change.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.shared.total()
    }

    /// How many changes can be looked at: at most [`DEPTH_MAX`].
    #[must_use]
    pub fn depth(&self) -> usize {
        self.ring.len()
    }

    /// How many changes there were.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.next
    }

    /// How often the marks of 200,000 prefixes were forgotten, so that ways that nobody had judged for so long are asked
    /// for anew where any of them was near ([`Staleness::JournalOverrun`]).
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.marks.routes_v4.overruns() + self.marks.routes_v6.overruns()
    }

    pub(crate) fn new() -> Self {
        Self { ring: Vec::new(), next: 0, marks: Marks::new(), shared: Arc::new(Moved::new()) }
    }

    pub(crate) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The routes of a prefix are others.
    pub(crate) fn note_routes(
        &mut self,
        generation: Generation,
        (slot, table): (u32, u32),
        prefix: IpNet,
        reason: Staleness,
    ) {
        let mark = self.push(generation, reason, Subject::Prefix { table, prefix });
        self.marks.note_routes(slot, prefix, mark);
        self.marks.families[usize::from(matches!(prefix, IpNet::V6(_)))].any = generation;
    }

    /// A path is another.
    pub(crate) fn note_path(&mut self, generation: Generation, id: PathId, difference: &PathDifference) {
        let mark = self.push(generation, difference.reason, difference.subject);
        let family = &mut self.marks.families[usize::from(difference.ipv6)];
        family.any = generation;
        match &difference.prefixes {
            Some(prefixes) => {
                prefixes.iter().for_each(|(slot, prefix)| self.marks.note_routes(*slot, *prefix, mark))
            }
            None => {
                if difference.returns {
                    family.path_returned = mark;
                }
                if difference.link_returns {
                    family.link_returned = mark;
                }
            }
        }
        put(&mut self.marks.paths, id.0 as usize, mark);
    }

    /// An id stands for a new path. That routes lead over it, these tell; nothing that rests on what had the id before
    /// is to take it for that.
    pub(crate) fn note_new_path(&mut self, generation: Generation, id: PathId) {
        let mark = Mark { generation, reason: Staleness::RouteChanged, ..Mark::default() };
        put(&mut self.marks.paths, id.0 as usize, mark);
    }

    /// What lookups need besides routes is another.
    pub(crate) fn note(&mut self, generation: Generation, difference: &Difference) {
        let Difference { reason, subject } = *difference;
        let mark = self.push(generation, reason, subject);
        let family = match subject {
            Subject::Address(address) => Some(address.is_ipv6()),
            Subject::Policy(prefix) => Some(matches!(prefix, IpNet::V6(_))),
            Subject::Family { ipv6 } => Some(ipv6),
            _ => None,
        };
        self.marks.families_of(family).for_each(|family| family.any = generation);
        match subject {
            Subject::Address(address) => self.marks.addresses.note(address, mark),
            Subject::Policy(prefix) => self.marks.policies.note(prefix, mark),
            Subject::Port(port) if reason == Staleness::PortReplaced => {
                put(&mut self.marks.bindings, usize::from(port.0), mark);
            }
            Subject::Port(port) => put(&mut self.marks.port_settings, usize::from(port.0), mark),
            Subject::Family { .. } | Subject::All if reason == Staleness::Rule => {
                self.marks.families_of(family).for_each(|family| family.rules = mark);
            }
            Subject::Family { .. } | Subject::All => {
                self.marks.families_of(family).for_each(|family| family.settings = mark);
            }
            Subject::Prefix { .. } | Subject::NextHop { .. } => unreachable!("these have ways of their own"),
        }
    }

    fn push(&mut self, generation: Generation, what: Staleness, subject: Subject) -> Mark {
        let position = self.next;
        self.next += 1;
        self.shared.begin(position);
        let record = Record { generation, what, subject };
        match self.ring.get_mut(slot_of(position)) {
            Some(place) => *place = record,
            None => self.ring.push(record),
        }
        Mark { generation, position, reason: what }
    }
}

impl Marks {
    fn new() -> Self {
        Self {
            routes_v4: Routes::new(),
            routes_v6: Routes::new(),
            addresses: Few::default(),
            policies: Few::default(),
            paths: Vec::new(),
            bindings: Vec::new(),
            port_settings: Vec::new(),
            families: [FamilyMarks::default(); 2],
        }
    }

    pub(crate) fn family(&self, ipv6: bool) -> &FamilyMarks {
        &self.families[usize::from(ipv6)]
    }

    pub(crate) fn path(&self, id: PathId) -> Mark {
        self.paths.get(id.0 as usize).copied().unwrap_or_default()
    }

    pub(crate) fn binding(&self, port: PortId) -> Mark {
        self.bindings.get(usize::from(port.0)).copied().unwrap_or_default()
    }

    pub(crate) fn port_settings(&self, port: PortId) -> Mark {
        self.port_settings.get(usize::from(port.0)).copied().unwrap_or_default()
    }

    fn note_routes(&mut self, slot: u32, prefix: IpNet, mark: Mark) {
        match prefix {
            IpNet::V4(net) => self.routes_v4.note(slot, net.addr().into(), net.prefix_len(), mark),
            IpNet::V6(net) => self.routes_v6.note(slot, net.addr().into(), net.prefix_len(), mark),
        }
    }

    /// `None` for both families.
    fn families_of(&mut self, ipv6: Option<bool>) -> impl Iterator<Item = &mut FamilyMarks> {
        let range = ipv6.map_or(0..2, |ipv6| usize::from(ipv6)..usize::from(ipv6) + 1);
        self.families[range].iter_mut()
    }
}

impl Mark {
    /// The mark, if it was set after a generation.
    pub(crate) fn after(self, since: Generation) -> Option<Self> {
        (self.generation > since).then_some(self)
    }

    /// Something has changed by this generation, and nobody knows what.
    pub(crate) const fn overrun(generation: Generation) -> Self {
        Self { generation, position: u64::MAX, reason: Staleness::JournalOverrun }
    }

    /// The change in the journal.
    pub(crate) fn change(self) -> Option<Position> {
        (self.position != u64::MAX).then_some(Position(self.position))
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self { generation: Generation(0), position: u64::MAX, reason: Staleness::Generation }
    }
}

impl Row {
    /// The change in words: `route removed: 10.0.0.0/8 table 254`.
    #[must_use]
    pub fn words(&self, ports: &Ports) -> String {
        match self.subject {
            Subject::Prefix { table, prefix } => format!("{}: {prefix} table {table}", self.what),
            Subject::NextHop { port, via, .. } => {
                let via = via.map(|via| format!(" via {via}")).unwrap_or_default();
                let dev = port.map(|port| format!(" dev {}", ports.name(port))).unwrap_or_default();
                format!("{}:{via}{dev}", self.what)
            }
            Subject::Port(port) => format!("{}: {}", self.what, ports.name(port)),
            Subject::Address(address) => format!("{}: {address}", self.what),
            Subject::Policy(prefix) => format!("{}: {prefix}", self.what),
            Subject::Family { ipv6 } => format!("{}: {}", self.what, if ipv6 { "ipv6" } else { "ipv4" }),
            Subject::All => self.what.to_string(),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Journal of {} changes", self.next)
    }
}

fn slot_of(position: u64) -> usize {
    (position % DEPTH_MAX as u64) as usize
}

fn put(marks: &mut Vec<Mark>, place: usize, mark: Mark) {
    if marks.len() <= place {
        marks.resize(place + 1, Mark::default());
    }
    marks[place] = mark;
}

#[cfg(test)]
mod tests;
