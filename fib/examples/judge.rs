//! What it costs to judge kept ways after so many changes of the routing state, and to look up instead.
//!
//! `cargo run --release -p fib --example judge` prints nanoseconds per judgement and what the judgements were, in a
//! table of a million prefixes, for random changes of its routes since the ways were last judged.

use std::hint::black_box;
use std::time::Instant;

use fib::cache::{Judgement, Stamp, Trust, Way};
use fib::change::Change;
use fib::snapshot::{Query, SourceAnswer};
use fib::writer::Writer;

mod support;

use support::{Random, addresses, link, nanoseconds, prefixes, query, route};

const PREFIXES: usize = 1_000_000;
const FLOWS: usize = 100_000;

fn main() {
    let mut writer = Writer::new(vec!["r0".into(), "r1".into()], 1024);
    writer.apply([link(10, "r0"), link(11, "r1")]);
    let prefixes = prefixes(PREFIXES);
    writer.apply(prefixes.iter().map(|prefix| Change::Route(route(*prefix, 1))));
    let queries: Vec<Query> = addresses(&prefixes).into_iter().take(FLOWS).map(query).collect();
    let reader = writer.reader();
    let mut random = Random(2);
    println!(
        "{:>9} {:>12} {:>12} {:>8} {:>11} {:>7}",
        "changes", "judge (ns)", "look up (ns)", "good", "unaffected", "stale"
    );
    for changes in [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        let snapshot = reader.load();
        let stamp = Stamp::of(snapshot.generation());
        let start = Instant::now();
        let answers: Vec<_> = queries.iter().map(|query| snapshot.lookup(query)).collect();
        let lookup = start.elapsed();
        let learn = |(query, answer)| {
            Way::learn(query, answer, &SourceAnswer::UNASKED, false).expect("every destination has a route")
        };
        let ways: Vec<Way> = queries.iter().zip(&answers).map(learn).collect();
        drop(snapshot);
        for batch in 0..changes.min(1_000) {
            let count = changes / changes.min(1_000);
            let gateway = 2 + batch as u8 % 2;
            let change = |_| Change::Route(route(prefixes[random.next() as usize % PREFIXES], gateway));
            writer.apply((0..count).map(change));
        }
        let snapshot = reader.load();
        let mut counts = [0; 3];
        let start = Instant::now();
        for (query, way) in queries.iter().zip(&ways) {
            match black_box(way).judge(stamp, &snapshot, black_box(query), Trust::Generation) {
                Judgement::Good => counts[0] += 1,
                Judgement::Unaffected | Judgement::KeptByPolicy => counts[1] += 1,
                Judgement::Stale(_) => counts[2] += 1,
            }
        }
        let [good, unaffected, stale] = counts;
        println!(
            "{changes:>9} {:>12.1} {:>12.1} {good:>8} {unaffected:>11} {stale:>7}",
            nanoseconds(start.elapsed(), FLOWS),
            nanoseconds(lookup, FLOWS),
        );
    }
    println!("marks forgotten: {} times", reader.load().journal().overruns());
}
