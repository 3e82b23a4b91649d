//! A router of a story: what may change in it, what leaves it, and what is read of it.

use std::sync::Arc;
use std::time::Duration;

use conntrack::{Cursor, Direction, Registry};
use router::drops::DropReason;
use router::engine::{FlowCache, Host, Kind, Modes};
use router::offload::Card;
use router::port::memory::{self, Parcel};
use router::rules::check::Environment;
use router::rules::install::RuleHooks;
use router::rules::model::Ruleset;
use router::rules::{self, list, syntax};
use router::tabletop::{Blueprint, Question, Tabletop};

use super::hosts::PORTS;
use super::send::{Passages, has_many_ways};
use super::story::{Change, Flow, Order, Protocol, Rules, Sent};

mod changes;

pub(super) use changes::{ADDRESS_COUNT, POLICY_COUNT, PREFIX_COUNT};

/// Room for fewer neighbors than there are, so that places are given away.
const NEIGHBORS_MAX: usize = 18;
/// Flows there may be at once: more than any story makes.
const FLOWS_MAX: usize = 1_024;
/// Elements of live sets that are taken out at once.
const EXPIRY_BUDGET: usize = 256;

/// The word for a card that takes flows over.
pub(super) const CARD: &str = "card";
/// Directions of flows that a card has room for.
const CARD_DIRECTIONS: usize = 64;

/// What a router remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What is kept of flows, kind by kind.
    pub modes: Modes,
    /// There is a card that takes flows over.
    pub card: bool,
    /// Counters are brought up to date before they are read, as they have to be.
    pub(super) folds: bool,
}

/// A router, with what its control thread would keep beside it.
pub(super) struct World {
    table: Tabletop,
    rules: RuleHooks,
    ruleset: Ruleset,
    /// The index of each port's link now.
    links: [u32; PORTS.len()],
    folds: bool,
}

/// What has left a router in one step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leaving {
    ports: Vec<Vec<Parcel>>,
    /// Packets for which there are several ways, without their link headers, whichever way they took.
    many_ways: Vec<Vec<u8>>,
    handed_over: Vec<Parcel>,
    questions: Vec<Question>,
}

/// What is read of a router.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Rules with counters, quotas and elements as `routerctl show rules` lists them.
    rules: String,
    /// Flows, one a line.
    flows: Vec<String>,
    /// Dropped packets by reason.
    drops: Vec<(&'static str, u64)>,
    /// What rules have logged since it was read last.
    logged: Vec<String>,
}

impl Memory {
    /// Everything there is.
    pub const ALL: Self = Self { modes: Modes::all(FlowCache::On), card: false, folds: true };
    /// Nothing.
    pub const NONE: Self = Self { modes: Modes::all(FlowCache::Off), card: false, folds: true };

    /// What these words name.
    pub fn of(words: &[String]) -> Self {
        let none = Self { card: words.iter().any(|word| word == CARD), ..Self::NONE };
        words.iter().fold(none, |memory, word| memory.with(word, FlowCache::On))
    }

    fn with(self, word: &str, mode: FlowCache) -> Self {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == word);
        Self { modes: kind.map_or(self.modes, |kind| self.modes.with(kind, mode)), ..self }
    }
}

impl World {
    /// A router of a story.
    pub fn new(handover: bool, stateless: bool, memory: Memory) -> Self {
        let flows = conntrack::Config { flows_max: FLOWS_MAX, ..conntrack::Config::default() };
        let mut table = Tabletop::build(Blueprint {
            host: Host::Kernel,
            ports: PORTS.iter().map(|name| (*name, memory::Settings::default())).collect(),
            bridges: Vec::new(),
            flows,
            trackers: Registry::builtin().build(),
            neighbors_max: NEIGHBORS_MAX,
        });
        if stateless {
            table.assembly.track_nothing();
        }
        if handover {
            table.hand_over();
        }
        for kind in Kind::ALL {
            table.shared().set_flow_cache_of(kind, memory.modes.of(kind));
        }
        if memory.card {
            Card::install(table.shared(), CARD_DIRECTIONS, [1, 2]).expect("there is none yet");
        }
        let shared = table.shared();
        let rules = rules::run::World::new(shared.flows.clone(), shared.ports.clone(), 1);
        rules.set_wall_time(table.now(), 0);
        let mut world = Self {
            rules: RuleHooks::new(Arc::new(rules)),
            ruleset: Ruleset::default(),
            links: std::array::from_fn(|port| port as u32 + 1),
            folds: memory.folds,
            table,
        };
        (0..PORTS.len()).for_each(|port| world.furnish(port));
        world.table.route("10.50.0.0/16", "10.0.3.2", 3);
        world.table.route("fd50::/16", "fd03::2", 3);
        world.table.route("0.0.0.0/0", "10.0.2.2", 2);
        world.table.route("::/0", "fd02::2", 2);
        world
    }

    /// Puts packets on the wires and lets the router deal with them.
    pub fn arrive(&mut self, flows: &[Flow], sent: &[Sent], passages: &Passages) {
        for sent in sent {
            let (port, frames) = sent.frames(flows, passages);
            for frame in frames {
                self.table.send(port, &frame[..]);
            }
        }
        self.table.settle();
    }

    /// Changes the routing state as one.
    pub fn change(&mut self, changes: &[Change]) {
        let mut batch = Vec::new();
        for change in changes {
            changes::translate(change, &mut self.links, &mut batch);
            if let Change::Replaced { port } = change {
                batch.extend(changes::furniture(*port, self.links[*port]));
            }
        }
        self.apply(batch);
        self.table.settle();
    }

    /// Announces routes that concern nobody, one after another.
    pub fn burst(&mut self, count: u32) {
        for number in 0..count {
            let prefix = format!("10.201.{}.0/24", number % 256);
            self.table.route(&prefix, if number / 256 % 2 == 0 { "10.0.2.2" } else { "10.0.2.3" }, 2);
            self.acknowledge();
        }
        self.table.settle();
    }

    /// Loads a file of rules; what was said of it.
    pub fn load(&mut self, rules: &Rules) -> String {
        let environment = self.environment();
        self.fold();
        let nothing = Ruleset { next_handle: self.ruleset.next_handle, ..Ruleset::default() };
        let current = if rules.whole { &nothing } else { &self.ruleset };
        let text = rules.lines.join("\n");
        let loaded = match rules::load(current, "rules", &text, &mut syntax::nothing, &environment) {
            Ok(loaded) => loaded,
            Err(error) => return error.headline(),
        };
        let ruleset = loaded.commit(self.table.now());
        match self.rules.install(self.table.hooks(), &ruleset) {
            Ok(()) => {
                self.ruleset = ruleset;
                self.table.settle();
                String::new()
            }
            Err(refused) => refused.to_string(),
        }
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.table.advance(time);
        let now = self.table.now();
        for set in self.ruleset.tables.iter().flat_map(|table| &table.sets) {
            if let Some(live) = &set.live {
                live.expire(now, EXPIRY_BUDGET);
            }
        }
    }

    /// Deletes flows.
    pub fn delete(&mut self, protocol: Option<Protocol>) {
        let number = protocol.map(|protocol| match protocol {
            Protocol::Udp => [17, 17],
            Protocol::Tcp => [6, 6],
            Protocol::Echo => [1, 58],
        });
        let flows = &self.table.shared().flows;
        flows.delete(|conn| number.is_none_or(|numbers| numbers.contains(&conn.protocol())));
        self.table.settle();
    }

    /// Does what the user says of what is remembered.
    pub fn order(&mut self, order: &Order) {
        let (word, mode) = match order {
            Order::Off(word) => (word, FlowCache::Off),
            Order::On(word) => (word, FlowCache::On),
            Order::Flush => return self.flush(),
        };
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == word) {
            self.table.shared().set_flow_cache_of(kind, mode);
        }
        self.table.settle();
    }

    fn flush(&mut self) {
        let shared = self.table.shared();
        for conn in shared.flows.list(Cursor::default(), FLOWS_MAX, self.table.now(), |_| true).conns {
            for direction in Direction::ALL {
                conn.user.forget(direction);
                conn.user.set_verdict(direction, 0);
            }
        }
        shared.flush_untracked();
        self.table.settle();
    }

    /// Takes what has left; `note` is told of each frame and its port.
    pub fn leaving(&mut self, mut note: impl FnMut(usize, &[u8])) -> Leaving {
        let mut many_ways = Vec::new();
        let mut ports = Vec::new();
        for port in 0..PORTS.len() {
            let left = self.table.take(port);
            left.iter().for_each(|parcel| note(port, &parcel.bytes));
            let (many, one): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|parcel| has_many_ways(&parcel.bytes));
            many_ways.extend(many.into_iter().map(|parcel| parcel.bytes[14..].to_vec()));
            ports.push(one);
        }
        many_ways.sort();
        Leaving {
            ports,
            many_ways,
            handed_over: self.table.take_at_host(),
            questions: self.table.questions(),
        }
    }

    /// Reads all that is counted.
    pub fn read(&mut self) -> Reading {
        self.fold();
        let environment = self.environment();
        let now = self.table.now();
        let options = list::Options { now, ..list::Options::new(&environment) };
        let shared = self.table.shared();
        let mut flows = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let page = shared.flows.list(from, FLOWS_MAX, now, |_| true);
            flows.extend(page.conns.iter().map(|conn| {
                // That somebody has taken it over is no difference.
                let status: Vec<_> = conn.status().names().filter(|name| *name != "offload").collect();
                let [original, reply] =
                    Direction::ALL.map(|direction| (conn.tuple(direction), conn.traffic(direction)));
                format!(
                    "{original:?} {reply:?} {:?} {status:?} mark {} zone {:?} {:?} s",
                    shared.flows.state_name(conn),
                    conn.mark(),
                    conn.zone(),
                    conn.timeout_at(now).as_secs_f64(),
                )
            }));
            cursor = page.next;
        }
        flows.sort();
        let counters = self.table.counters();
        let drops = DropReason::ALL.iter().map(|reason| (reason.name(), counters.drops(*reason)));
        let journal = self.rules.world().journal.take(usize::MAX);
        let logged = journal.iter().map(|entry| {
            format!("{:?} at {:?}: {}", entry.reason, entry.record.at, entry.record.line(&shared.ports, 0))
        });
        Reading {
            rules: list::list(&self.ruleset, &options),
            flows,
            drops: drops.filter(|(_, count)| *count > 0).collect(),
            logged: logged.collect(),
        }
    }

    /// What the worker has counted.
    pub fn counters(&self) -> &router::stats::Counters {
        self.table.counters()
    }

    /// Frames that the worker has free.
    pub fn frames_available(&self) -> usize {
        self.table.frames_available()
    }

    /// A port's addresses and the neighbors beside it.
    fn furnish(&mut self, port: usize) {
        let furniture = changes::furniture(port, self.links[port]);
        self.table.apply(furniture);
    }

    fn apply(&mut self, batch: Vec<fib::change::Change>) {
        self.table.apply(batch);
        self.acknowledge();
    }

    /// Whoever has taken flows over gives up those that have another way, before a change is acknowledged.
    fn acknowledge(&self) {
        self.table.shared().follow_routing(&self.table.assembly.writer.reader().load());
    }

    /// Counters are to be right when they are read, set back or replaced.
    fn fold(&self) {
        if self.folds {
            self.table.hooks().fold();
        }
    }

    fn environment(&self) -> Environment {
        Environment { now: self.table.now(), ..Environment::default() }
    }
}

impl Leaving {
    /// How many packets have left.
    pub fn total(&self) -> usize {
        self.ports.iter().map(Vec::len).sum::<usize>() + self.many_ways.len() + self.handed_over.len()
    }

    /// Where two differ; empty if nowhere.
    pub fn difference(&self, other: &Self) -> String {
        if self == other {
            return String::new();
        }
        for (port, (one, another)) in self.ports.iter().zip(&other.ports).enumerate() {
            if one != another {
                return format!("port {port} sent\n{}and\n{}", told(one), told(another));
            }
        }
        if self.many_ways != other.many_ways {
            return format!("by several ways left\n  {:x?}\nand\n  {:x?}", self.many_ways, other.many_ways);
        }
        if self.handed_over != other.handed_over {
            return format!("handed over were\n{}and\n{}", told(&self.handed_over), told(&other.handed_over));
        }
        format!("asked were {:?} and {:?}", self.questions, other.questions)
    }
}

fn told(parcels: &[Parcel]) -> String {
    let line = |parcel: &Parcel| {
        let hex: String = parcel.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("  {hex} {:?}\n", parcel.checksum)
    };
    parcels.iter().map(line).collect()
}

impl Reading {
    /// Where two differ; empty if nowhere. Flows are left out if one router has none.
    pub fn difference(&self, other: &Self, without_flows: bool) -> String {
        let lines = |one: &str, another: &str| {
            let differs = |(one, another): &(&str, &str)| one != another;
            match one.lines().zip(another.lines()).find(differs) {
                Some((one, another)) => format!("{one}\nand\n{another}"),
                None => format!("{one}\nand\n{another}"),
            }
        };
        if self.rules != other.rules {
            return format!("rules read\n{}", lines(&self.rules, &other.rules));
        }
        if !without_flows && self.flows != other.flows {
            return format!("flows read\n{}", lines(&self.flows.join("\n"), &other.flows.join("\n")));
        }
        if self.drops != other.drops {
            return format!("dropped were {:?}\nand {:?}", self.drops, other.drops);
        }
        if self.logged != other.logged {
            return format!("logged was\n{}", lines(&self.logged.join("\n"), &other.logged.join("\n")));
        }
        String::new()
    }
}
