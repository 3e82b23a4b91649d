//! Which longest prefix match is the faster, and what one route change costs in a table of a million.
//!
//! `cargo run --release -p fib --example lpm` prints nanoseconds per lookup and per insert-and-remove for each back
//! end, and their ratio within the run; then the time from a change to its publication while a reader keeps loading.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fib::change::Change;
use fib::lpm::treebitmap::TreeBitmap;
use fib::lpm::trie::Trie;
use fib::lpm::{Lpm, Prefix};
use fib::snapshot::Adjacency;
use fib::writer::Writer;

mod support;

use support::{addresses, link, nanoseconds, prefixes, query, route};

const LOOKUPS: usize = 1_000_000;
const EDITS: usize = 20_000;
const CHANGES: usize = 2_000;

fn main() {
    println!(
        "{:>9}  {:>24}  {:>24}  trie/bitmap",
        "prefixes", "trie lookup/edit (ns)", "bitmap lookup/edit (ns)"
    );
    for count in [10, 100_000, 1_000_000] {
        let prefixes = prefixes(count);
        let addresses = addresses(&prefixes);
        let trie = measure::<Trie<u32, u32>>(&prefixes, &addresses);
        let bitmap = measure::<TreeBitmap<u32, u32>>(&prefixes, &addresses);
        println!(
            "{count:>9}  {:>13.1} / {:>8.1}  {:>13.1} / {:>8.1}  {:.2} / {:.2}",
            trie.0,
            trie.1,
            bitmap.0,
            bitmap.1,
            trie.0 / bitmap.0,
            trie.1 / bitmap.1
        );
    }
    one_change_in_a_million();
}

/// Nanoseconds per lookup, and per removal and insertion of a prefix.
fn measure<T: Lpm<u32, u32>>(prefixes: &[Prefix<u32>], addresses: &[u32]) -> (f64, f64) {
    let mut table = T::default();
    for (value, prefix) in (0..).zip(prefixes) {
        table.insert(*prefix, value);
    }
    let start = Instant::now();
    for address in addresses.iter().cycle().take(LOOKUPS) {
        black_box(table.longest_match(black_box(*address), u8::MAX));
    }
    let lookup = start.elapsed();
    let start = Instant::now();
    for prefix in prefixes.iter().rev().cycle().take(EDITS) {
        let value = table.remove(*prefix).expect("inserted above");
        table.insert(*prefix, value);
    }
    (nanoseconds(lookup, LOOKUPS), nanoseconds(start.elapsed(), EDITS))
}

fn one_change_in_a_million() {
    let mut writer = Writer::new(vec!["r0".into(), "r1".into()], 1024);
    writer.apply([link(10, "r0"), link(11, "r1")]);
    let prefixes = prefixes(1_000_000);
    let start = Instant::now();
    writer.apply(prefixes.iter().map(|prefix| Change::Route(route(*prefix, 1))));
    println!("\n1000000 routes announced and published as one batch: {:.2} s", start.elapsed().as_secs_f64());

    let over = AtomicBool::new(false);
    let reader = writer.reader();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut turns = 0_u64;
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                let snapshot = reader.load();
                for prefix in &prefixes[..32] {
                    black_box(matches!(
                        snapshot.lookup(&query(prefix.bits())).adjacency,
                        Adjacency::Forward(_)
                    ));
                }
                drop(snapshot);
                longest = longest.max(start.elapsed());
                turns += 1;
                std::thread::yield_now();
            }
            (turns, longest)
        });
        let mut times: Vec<Duration> = Vec::with_capacity(CHANGES);
        for (prefix, gateway) in prefixes.iter().step_by(prefixes.len() / CHANGES).zip((2..4).cycle()) {
            let start = Instant::now();
            let applied = writer.apply([Change::Route(route(*prefix, gateway))]);
            times.push(start.elapsed());
            assert!(applied.raised);
        }
        over.store(true, Ordering::Relaxed);
        let (turns, longest) = worker.join().expect("the reader does not panic");
        times.sort_unstable();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "one change in a million: median {:.1} us, 99 % {:.1} us, longest {:.1} us; whole copies made: {}",
            micros(times[times.len() / 2]),
            micros(times[times.len() * 99 / 100]),
            micros(times[times.len() - 1]),
            writer.copies()
        );
        println!(
            "meanwhile a reader took {turns} turns of 32 lookups, the longest {:.1} us",
            micros(longest)
        );
    });
}
