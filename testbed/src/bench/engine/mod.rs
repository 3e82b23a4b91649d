//! The engine alone, in memory: what a packet costs between its port and the next, with routes kept in flows and
//! without, for few flows and many, small tables and large; what rules and translation add to it; what loading rules
//! takes.
//!
//! Frames are written and thrown away without a device; the row `nothing` has the cost of that, and the others are
//! shown without it. Figures of one run may be compared with each other.

mod load;
mod rules;
mod traffic;

use std::fmt::Write as _;
use std::time::Instant as Clock;

use conntrack::{Config, Instant, Registry};
use fib::change::Change;
use router::engine::FlowCache;
use router::port::memory::Settings;
use router::tabletop::{Tabletop, gateway_route};

pub(super) use traffic::Reflector;
use traffic::{Load, nanoseconds, outputs, prefix, turns};

/// Numbers of flows that are measured.
const FLOWS: [u32; 4] = [1, 1_000, 64_000, 500_000];
/// Numbers of prefixes.
const PREFIXES: [u32; 3] = [10, 100_000, 1_000_000];
/// The table under the rows of flows, and the flows over the rows of tables.
const USUAL: (u32, u32) = (1_000, 100_000);
/// New flows that are made.
const NEW_FLOWS: u32 = 500_000;

/// Measures everything; takes about a minute.
///
/// # Panics
/// If the engine does not forward what it is given.
#[must_use]
pub fn run() -> String {
    let nothing = nanoseconds(&mut Reflector, &mut outputs(), &Load { flows: USUAL.0, prefixes: USUAL.1 });
    [walk(nothing), rules::run(nothing), load::run()].join("\n")
}

/// The walk without rules, by numbers of flows and prefixes; `nothing` is what frames cost by themselves.
fn walk(nothing: f64) -> String {
    let mut text = String::new();
    let mut line = |row: std::fmt::Arguments<'_>| writeln!(text, "{row}").expect("a string takes all");
    line(format_args!("nothing: {nothing:.0} ns/packet, left out of the figures below"));
    line(format_args!(
        "{:>8} {:>9}  {:>8} {:>6}  {:>8} {:>6}  {:>8}",
        "flows", "prefixes", "on ns", "Mpps", "off ns", "Mpps", "off : on"
    ));
    let (usual_flows, usual_prefixes) = USUAL;
    let by_flows = FLOWS.map(|flows| Load { flows, prefixes: usual_prefixes });
    let by_prefixes = PREFIXES.map(|prefixes| Load { flows: usual_flows, prefixes });
    let mut bench = Bench::new();
    for load in by_prefixes
        .iter()
        .filter(|load| load.prefixes < usual_prefixes)
        .chain(&by_flows)
        .chain(by_prefixes.iter().filter(|load| load.prefixes > usual_prefixes))
    {
        bench.grow_table(load.prefixes);
        let [on, off] = [FlowCache::On, FlowCache::Off].map(|mode| bench.measure(load, mode) - nothing);
        let rate = |ns: f64| 1_000.0 / ns;
        let Load { flows, prefixes } = load;
        line(format_args!(
            "{flows:>8} {prefixes:>9}  {on:>8.0} {:>6.2}  {off:>8.0} {:>6.2}  {:>8.2}",
            rate(on),
            rate(off),
            off / on
        ));
    }
    line(format_args!("new flows: {:.2} million/s", bench.new_flows(NEW_FLOWS) / 1e6));
    text
}

/// A router, and how large its table is by now.
struct Bench {
    table: Tabletop,
    prefixes: u32,
}

impl Bench {
    fn new() -> Self {
        let flows = Config { flows_max: 2_000_000, seed: [1, 2], ..Config::default() };
        let trackers = Registry::builtin().build();
        let mut table = Tabletop::with_ports(&["r0", "r1"], Settings::default(), flows, trackers);
        table.address(0, "10.0.0.1/16");
        table.neighbor(0, "10.0.0.2", Some([2, 0, 0, 0, 1, 1]));
        table.route("10.0.0.0/8", "10.0.0.2", 0);
        table.address(1, "11.0.0.1/24");
        table.neighbor(1, "11.0.0.2", Some([2, 0, 0, 0, 2, 2]));
        Self { table, prefixes: 0 }
    }

    /// Announces prefixes until there are so many.
    fn grow_table(&mut self, prefixes: u32) {
        let more = (self.prefixes..prefixes).map(|number| {
            let prefix = format!("{}/24", std::net::Ipv4Addr::from(prefix(number)));
            Change::Route(gateway_route(&prefix, "11.0.0.2", 1))
        });
        self.table.apply(more);
        self.prefixes = self.prefixes.max(prefixes);
    }

    /// Nanoseconds a packet of flows that are known, everything included.
    fn measure(&mut self, load: &Load, mode: FlowCache) -> f64 {
        self.table.shared().set_flow_cache(mode);
        let (mut engine, counters) = self.table.assembly.engine();
        let mut outputs = outputs();
        let now = Instant::from_secs(10);
        turns(&mut engine, &mut outputs, load.prefixes, 0..load.flows, now);
        let before = counters.fib_lookups.get();
        let nanoseconds = nanoseconds(&mut engine, &mut outputs, load);
        let searched = counters.fib_lookups.get() > before;
        assert!(searched == (mode == FlowCache::Off), "{mode:?} is in force");
        assert_eq!(counters.forwarded.get(), counters.received.get(), "everything is forwarded");
        self.table.shared().flows.flush();
        nanoseconds
    }

    /// New flows a second into a table that grows.
    fn new_flows(&mut self, flows: u32) -> f64 {
        self.table.shared().set_flow_cache(FlowCache::On);
        let (mut engine, _) = self.table.assembly.engine();
        let mut outputs = outputs();
        let began = Clock::now();
        turns(&mut engine, &mut outputs, self.prefixes, 0..flows, Instant::from_secs(10));
        let rate = f64::from(flows) / began.elapsed().as_secs_f64();
        assert_eq!(self.table.shared().flows.len(), flows as usize);
        rate
    }
}
