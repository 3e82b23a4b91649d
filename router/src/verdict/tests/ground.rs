//! Two routers with the same rules and the same traffic, one of which remembers what rules make of flows.

use std::sync::Arc;
use std::time::Duration;

use conntrack::{Cursor, Direction};
use parking_lot::Mutex;

use crate::chain::{Family, Hook, Place, Point, Registration, Verdict};
use crate::engine::{Context, FlowCache, Kind, Packet};
use crate::rules::check::Environment;
use crate::rules::install::RuleHooks;
use crate::rules::list::{self, Options};
use crate::rules::model::Ruleset;
use crate::rules::run::World;
use crate::rules::syntax::nothing;
use crate::tabletop::Tabletop;
use crate::tabletop::frames::HOST;

/// Marks and priorities of packets that leave.
type Marks = Arc<Mutex<Vec<(u32, u32)>>>;

struct Probe(Marks);

impl Hook for Probe {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        self.0.lock().push((packet.mark, packet.priority));
        Verdict::Accept
    }
}

/// A router between hosts 10.0.0.2, 10.0.1.2 and 10.0.2.2, and the same in IPv6.
pub struct Router {
    pub table: Tabletop,
    rules: RuleHooks,
    pub ruleset: Ruleset,
    marks: Marks,
}

/// What can be seen from outside.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// What left, by port.
    pub frames: Vec<Vec<Vec<u8>>>,
    pub marks: Vec<(u32, u32)>,
    pub dropped: u64,
}

impl Router {
    pub fn new(verdicts: FlowCache) -> Self {
        let mut table = Tabletop::new(&["r0", "r1", "r2"]);
        for port in 0..3 {
            table.address(port, &format!("10.0.{port}.1/24"));
            table.address(port, &format!("fd0{port}::1/64"));
            let mac = if port == 0 { HOST.0 } else { [2, 0, 0, 0, 2, port as u8] };
            table.neighbor(port, &format!("10.0.{port}.2"), Some(mac));
            table.neighbor(port, &format!("fd0{port}::2"), Some(mac));
        }
        table.route("10.9.0.0/16", "10.0.1.2", 1);
        let shared = table.shared();
        shared.set_flow_cache_of(Kind::Verdict, verdicts);
        shared.set_flow_cache_of(Kind::Negative, verdicts);
        let world = World::new(shared.flows.clone(), shared.ports.clone(), 7);
        let marks = Marks::default();
        for family in [Family::Ipv4, Family::Ipv6] {
            let place = Place::new(family, Point::Postrouting, "probe");
            let hook = Arc::new(Probe(marks.clone()));
            table.hooks().register([Registration { place, priority: i32::MAX - 2, hook }]).unwrap();
        }
        Self { table, rules: RuleHooks::new(Arc::new(world)), ruleset: Ruleset::default(), marks }
    }

    pub fn with(text: &str) -> Self {
        let mut router = Self::new(FlowCache::On);
        router.load(text).unwrap();
        router
    }

    fn environment(&self) -> Environment {
        let interfaces = (0..3).map(|port| (port + 1, format!("r{port}"))).collect();
        Environment { now: self.table.now(), interfaces, ..Environment::default() }
    }

    /// Does what a text says to the rules there are.
    pub fn load(&mut self, text: &str) -> Result<(), String> {
        let loaded = crate::rules::load(&self.ruleset, "r", text, &mut nothing, &self.environment());
        let loaded = loaded.map_err(|error| error.headline())?;
        self.table.hooks().fold();
        self.ruleset = loaded.commit(self.table.now());
        self.rules.install(self.table.hooks(), &self.ruleset).map_err(|error| error.to_string())
    }

    pub fn pass(&mut self, port: usize, frame: &[u8]) -> Outcome {
        let dropped = self.table.counters().dropped.get();
        self.table.pass(port, frame);
        let frames = (0..3)
            .map(|port| self.table.take(port).into_iter().map(|parcel| parcel.bytes).collect())
            .collect();
        let marks = std::mem::take(&mut *self.marks.lock());
        Outcome { frames, marks, dropped: self.table.counters().dropped.get() - dropped }
    }

    /// Whether a frame from the first port came out at another.
    pub fn passes(&mut self, frame: &[u8]) -> bool {
        self.pass(0, frame).frames[1..].iter().any(|frames| !frames.is_empty())
    }

    /// Has 10.9.0.0/16 behind a port.
    pub fn reroute(&mut self, port: usize) {
        self.table.route("10.9.0.0/16", &format!("10.0.{port}.2"), port);
    }

    pub fn wait(&mut self, time: Duration) {
        self.table.advance(time);
    }

    /// The rules as they are listed, with all that they count.
    pub fn listed(&self) -> String {
        self.table.hooks().fold();
        let environment = self.environment();
        list::list(&self.ruleset, &Options { now: self.table.now(), ..Options::new(&environment) })
    }

    /// Marks and states of the flows.
    pub fn flows(&self) -> Vec<String> {
        let page = self.table.shared().flows.list(Cursor::default(), 1000, self.table.now(), |_| true);
        let mut flows: Vec<_> = page
            .conns
            .iter()
            .map(|conn| format!("{:?} {} {:?}", conn.tuple(Direction::Original), conn.mark(), conn.status()))
            .collect();
        flows.sort();
        flows
    }

    /// Packets that rules did not walk.
    pub fn hits(&self) -> u64 {
        self.table.counters().verdict_cache_hits.get()
    }
}
