//! What it takes to load rules: from text to hooks in force.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use conntrack::Instant;
use router::rules::check::Environment;
use router::rules::install::RuleHooks;
use router::rules::model::Ruleset;
use router::rules::run::World;
use router::rules::{self, syntax};

use super::Bench;
use super::rules::{address, addresses};

/// Rules that are loaded.
const RULES: u32 = 10_000;
/// Elements of a set that is loaded.
const ELEMENTS: u32 = 100_000;
/// How often; the best time counts.
const ROUNDS: u32 = 3;
/// What loading that many rules may take.
const ALLOWED: Duration = Duration::from_secs(1);

const ONE_MORE: &str = "add rule ip bench forward tcp dport 9 counter accept";

/// Measures loading.
pub(super) fn run() -> String {
    let mut text = String::from("loading, from text to rules in force              ms\n");
    let mut row = |name: String, took: Duration, allowed: Option<Duration>| {
        let judged = allowed.map_or(String::new(), |allowed| {
            let met = if took < allowed { "met" } else { "missed" };
            format!("  less than {}  {met}", allowed.as_millis())
        });
        writeln!(text, "{name:<44} {:>7.1}{judged}", took.as_secs_f64() * 1e3).expect("a string takes all");
    };
    for (name, subject, allowed) in subjects() {
        let [whole, more] = times(&subject);
        row(name, whole, allowed);
        row("  one more rule".to_owned(), more, None);
    }
    text
}

/// What is loaded, and how long it may take.
fn subjects() -> [(String, String, Option<Duration>); 4] {
    let plain = chain(|number| format!("ip saddr {} tcp dport 22 counter accept\n", address(number)));
    let with_sets =
        chain(|number| format!("ip saddr {} tcp dport {{ 22, 80, 443 }} counter accept\n", address(number)));
    let set = format!("set listed {{ type ipv4_addr; elements = {{ {} }}; }};", addresses(ELEMENTS));
    let prefixes = format!(
        "set listed {{ type ipv4_addr; flags interval; elements = {{ {} }}; }};",
        (0..ELEMENTS).map(|number| format!("{}/31", address(number * 4))).collect::<Vec<_>>().join(", ")
    );
    let [set, prefixes] = [set, prefixes].map(|set| {
        format!("table ip bench {{ {set} chain forward {{ type filter hook forward priority 0; ip saddr @listed drop; }}; }}")
    });
    [
        (format!("{RULES} rules"), plain, Some(ALLOWED)),
        (format!("{RULES} rules, each with a set"), with_sets, Some(ALLOWED)),
        (format!("a set of {ELEMENTS} addresses"), set, None),
        (format!("a set of {ELEMENTS} prefixes"), prefixes, None),
    ]
}

/// A table of as many rules.
fn chain(rule: impl Fn(u32) -> String) -> String {
    let rules: String = (0..RULES).map(rule).collect();
    format!("table ip bench {{ chain forward {{ type filter hook forward priority 0;\n{rules}\n}}\n}}")
}

/// How long it takes until the rules of a text are in force, and until one more is.
fn times(text: &str) -> [Duration; 2] {
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let bench = Bench::new();
        let shared = bench.table.shared();
        let hooks = RuleHooks::new(Arc::new(World::new(shared.flows.clone(), shared.ports.clone(), 1)));
        let mut ruleset = Ruleset::default();
        for (text, best) in [text, ONE_MORE].into_iter().zip(&mut best) {
            let began = Clock::now();
            let loaded = rules::load(&ruleset, "bench", text, &mut syntax::nothing, &Environment::default());
            let next = loaded.expect("rules are well written").commit(Instant::from_secs(10));
            hooks.install(bench.table.hooks(), &next).expect("there is room");
            *best = began.elapsed().min(*best);
            ruleset = next;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_is_what_the_rows_say() {
        for (number, (name, text, _)) in (0..).zip(subjects()) {
            let ruleset = super::super::rules::ruleset(&text);
            let table = &ruleset.tables[0];
            let elements: usize = table.sets.iter().map(|set| set.elements.len()).sum();
            let expected = [(RULES, 0), (RULES, 3 * RULES), (1, ELEMENTS), (1, ELEMENTS)][number];
            let counted = (table.chains[0].rules.len(), elements);
            assert_eq!(counted, (expected.0 as usize, expected.1 as usize), "{name}");
        }
    }
}
