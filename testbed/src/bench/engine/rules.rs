//! What rules and translation cost: packets of known flows by number and shape of rules and by kind of translation, and
//! new flows a second. Each figure beside the same packets without rules.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant as Clock;

use conntrack::Instant;
use router::engine::{Engine, FlowCache};
use router::rules::check::Environment;
use router::rules::install::RuleHooks;
use router::rules::model::Ruleset;
use router::rules::run::World;
use router::rules::{self, syntax};

use super::Bench;
use super::traffic::{Load, establish, nanoseconds, outputs, turns};

/// Numbers of rules, and of elements.
const SIZES: [u32; 3] = [10, 1_000, 10_000];
/// The flows whose packets are judged, and the table that their routes come from.
const LOAD: Load = Load { flows: 1_000, prefixes: 1_000 };
/// New flows that are made, and how often; the best time counts.
const NEW_FLOWS: u32 = 200_000;
const ROUNDS: u32 = 3;
/// When packets are sent.
const NOW: Instant = Instant::from_secs(10);

/// No rules, but a chain for them.
const EMPTY: &str = "table ip bench { chain forward { type filter hook forward priority 0; }; }";
/// What rulesets begin with, so that most packets meet no other rule.
const ESTABLISHED: &str = "ct state established accept";

/// Rules of one shape.
struct Shape {
    name: &'static str,
    /// Sets and rules of so many elements or rules, the last of which has this verdict for every packet.
    text: fn(u32, &str) -> [String; 2],
}

const SHAPES: [Shape; 3] = [
    Shape { name: "linear", text: |number, verdict| [String::new(), linear(number, verdict)] },
    Shape { name: "set", text: set },
    Shape { name: "vmap", text: verdict_map },
];

/// Rules of which the last decides.
fn linear(number: u32, verdict: &str) -> String {
    let others = (1..number).map(|number| format!("ip saddr {} drop\n", address(number)));
    others.chain([format!("ip saddr 10.0.0.0/8 {verdict}\n")]).collect()
}

/// One rule with a set of addresses in which no packet's is.
fn set(number: u32, verdict: &str) -> [String; 2] {
    let set = format!("set listed {{ type ipv4_addr; elements = {{ {} }}; }};\n", addresses(number));
    [set, format!("ip saddr != @listed {verdict}\n")]
}

/// One verdict map, in which each packet's port is.
fn verdict_map(number: u32, verdict: &str) -> [String; 2] {
    let others = (1..number).map(|number| format!("{} : drop, ", 20_000 + number)).collect::<String>();
    [String::new(), format!("udp dport vmap {{ {others}53 : {verdict} }}\n")]
}

/// The text of a table that drops what no rule accepts.
fn forward(sets: &str, rules: &str) -> String {
    format!(
        "table ip bench {{ {sets} chain forward {{ type filter hook forward priority 0; policy drop;\n{rules}\n}}\n}}"
    )
}

/// So many addresses, comma by comma.
pub(super) fn addresses(number: u32) -> String {
    (0..number).map(address).collect::<Vec<_>>().join(", ")
}

/// An address that no packet of the bench has.
pub(super) fn address(number: u32) -> String {
    std::net::Ipv4Addr::from((172 << 24 | 16 << 16) + number).to_string()
}

/// The rules of a name and text.
pub(super) fn ruleset(text: &str) -> Ruleset {
    let loaded =
        rules::load(&Ruleset::default(), "bench", text, &mut syntax::nothing, &Environment::default());
    loaded.expect("rules are well written").commit(NOW)
}

/// Chains that translate, and what they are called.
const TRANSLATIONS: [(&str, &str); 2] = [
    ("masquerade", "chain nat { type nat hook postrouting priority 100; oifname \"r1\" masquerade; }"),
    ("dnat", "chain nat { type nat hook prerouting priority -100; udp dport 53 dnat to 11.0.0.2:5353; }"),
];

/// Measures everything about rules; `nothing` is what frames cost by themselves.
pub(super) fn run(nothing: f64) -> String {
    let mut text = String::new();
    let mut line = |row: std::fmt::Arguments<'_>| writeln!(text, "{row}").expect("a string takes all");
    let bench = Judged::new();
    let bare = bench.measure("", false) - nothing;
    line(format_args!(
        "rules, {} flows over {} prefixes; packets a second, and their ratio to the bare walk",
        LOAD.flows, LOAD.prefixes
    ));
    line(format_args!("{:>44}  {:>23}", "every packet judged", "established accepted"));
    line(format_args!(
        "{:<12} {:>6}  {:>8} {:>7} {:>6}  {:>8} {:>7} {:>6}",
        "", "rules", "ns", "Mpps", "ratio", "ns", "Mpps", "ratio"
    ));
    let figures = |ns: f64| format!("{ns:>8.0} {:>7.3} {:>6.3}", 1_000.0 / ns, bare / ns);
    line(format_args!("{:<12} {:>6}  {}", "bare walk", "-", figures(bare)));
    let every = bench.measure(EMPTY, false);
    let behind = bench.measure(&forward("", ESTABLISHED), true);
    let [every, behind] = [every, behind].map(|ns| figures(ns - nothing));
    line(format_args!("{:<12} {:>6}  {every}  {behind}", "empty chain", 0));
    for shape in SHAPES {
        for number in SIZES {
            let [sets, rules] = (shape.text)(number, "accept");
            let every = bench.measure(&forward(&sets, &rules), false) - nothing;
            let [sets, rules] = (shape.text)(number, "drop");
            let rules = format!("{ESTABLISHED}\n{rules}");
            let behind = bench.measure(&forward(&sets, &rules), true) - nothing;
            line(format_args!("{:<12} {number:>6}  {}  {}", shape.name, figures(every), figures(behind)));
        }
    }
    for (name, chain) in TRANSLATIONS {
        let ns = translated(name, chain, |engine| nanoseconds(engine, &mut outputs(), &LOAD)) - nothing;
        line(format_args!("{name:<12} {:>6}  {}", 1, figures(ns)));
    }
    let bare = new_flows("", &LOAD);
    let mut row = |name: &str, rate: f64| {
        line(format_args!("{name:<44} {:>6.2} million/s, ratio {:.2}", rate / 1e6, rate / bare));
    };
    row("new flows", bare);
    row("new flows, accepted by a rule", new_flows(&forward("", "ct state new accept"), &LOAD));
    for (name, chain) in TRANSLATIONS {
        let text = format!("table ip bench {{ {chain}; }}");
        row(&format!("new flows, {name}"), new_flows(&text, &LOAD));
        if name == "masquerade" {
            // All clients have one source port: nearly each flow needs another, of a server with the more flows the fewer.
            let few_servers = Load { prefixes: 1, ..LOAD };
            row("new flows, masquerade, 200 servers", new_flows(&text, &few_servers));
        }
    }
    text
}

/// A router with rules.
struct Judged {
    bench: Bench,
    rules: RuleHooks,
}

impl Judged {
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.grow_table(LOAD.prefixes);
        let shared = bench.table.shared();
        shared.set_flow_cache(FlowCache::On);
        let world = World::new(shared.flows.clone(), shared.ports.clone(), 1);
        Self { rules: RuleHooks::new(Arc::new(world)), bench }
    }

    fn install(&self, text: &str) {
        self.rules.install(self.bench.table.hooks(), &ruleset(text)).expect("there is room");
    }

    /// Nanoseconds a packet of known flows that all pass these rules; what frames cost included.
    fn measure(&self, text: &str, first: bool) -> f64 {
        self.pass(text, first, |engine| nanoseconds(engine, &mut outputs(), &LOAD))
    }

    /// Has `send` send packets of flows that were established before there were these rules, and sees that all pass.
    /// `first` says that the rules let pass nothing else.
    fn pass<R>(&self, text: &str, first: bool, send: impl FnOnce(&mut Engine) -> R) -> R {
        self.install("");
        let (mut engine, counters) = self.bench.table.assembly.engine();
        establish(&mut engine, &LOAD, NOW);
        self.install(text);
        let sent = send(&mut engine);
        assert_eq!(counters.forwarded.get(), counters.received.get(), "everything is forwarded");
        if first {
            let new = LOAD.flows..LOAD.flows + 1;
            turns(&mut engine, &mut outputs(), LOAD.prefixes, new, NOW);
            assert_eq!(counters.dropped.get(), 1, "what is not established is dropped");
        }
        self.bench.table.shared().flows.flush();
        sent
    }
}

/// Has `send` send packets of known flows that are translated by a chain of this name, and sees that they are.
fn translated<R>(name: &str, chain: &str, send: impl FnOnce(&mut Engine) -> R) -> R {
    let judged = Judged::new();
    judged.install(&format!("table ip bench {{ {chain}; }}"));
    let (mut engine, counters) = judged.bench.table.assembly.engine();
    let first = establish(&mut engine, &LOAD, NOW);
    let (ends, expected) = if name == "dnat" { (16..20, [11, 0, 0, 2]) } else { (12..16, [11, 0, 0, 1]) };
    assert_eq!(first[ends], expected, "{name} translates");
    let sent = send(&mut engine);
    assert_eq!(counters.forwarded.get(), counters.received.get(), "everything is forwarded");
    sent
}

/// New flows a second into an empty table.
fn new_flows(text: &str, load: &Load) -> f64 {
    let round = |_| {
        let judged = Judged::new();
        judged.install(text);
        let (mut engine, counters) = judged.bench.table.assembly.engine();
        let mut outputs = outputs();
        let began = Clock::now();
        turns(&mut engine, &mut outputs, load.prefixes, 0..NEW_FLOWS, NOW);
        let rate = f64::from(NEW_FLOWS) / began.elapsed().as_secs_f64();
        assert_eq!(judged.bench.table.shared().flows.len(), NEW_FLOWS as usize);
        assert_eq!(counters.forwarded.get(), u64::from(NEW_FLOWS), "everything is forwarded");
        rate
    };
    (0..ROUNDS).map(round).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_does_what_it_says() {
        let judged = Judged::new();
        let send = |engine: &mut Engine| turns(engine, &mut outputs(), LOAD.prefixes, 0..LOAD.flows, NOW);
        for shape in SHAPES {
            let [sets, rules] = (shape.text)(10, "accept");
            judged.pass(&forward(&sets, &rules), false, send);
            let [sets, rules] = (shape.text)(10, "drop");
            judged.pass(&forward(&sets, &format!("{ESTABLISHED}\n{rules}")), true, send);
        }
        judged.pass(EMPTY, false, send);
        judged.pass(&forward("", ESTABLISHED), true, send);
        for (name, chain) in TRANSLATIONS {
            translated(name, chain, send);
        }
    }
}
