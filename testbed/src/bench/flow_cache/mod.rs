//! What a packet costs by the size of the table of routes, by the number of rules and of flows, and by what is remembered
//! of flows: a worker's turns in memory, from the frame's arrival to its departure.
//!
//! All ways of remembering take turns within a cell, round after round, so that whatever else the machine does meets all
//! of them; the figure of each is the median of its rounds. Time is what this thread has had of the processor.

mod flows;
pub mod pauses;
pub mod plot;
mod process;
mod report;
mod tape;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use anyhow::{Context, Result};
use clap::Args;

use super::engine::Reflector;
use flows::Way;
use report::{Cell, Report, median};
use tape::{BATCH, Deck, Tape, processor_time};
use world::{Remembered, World};

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The corners only, and with fewer rules: less than a minute instead of some.
    #[arg(long)]
    quick: bool,
    /// How often each cell is measured; what is told is the median.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Writes the cells to this file, for `bench plot`.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// JSON instead of tables.
    #[arg(short, long)]
    json: bool,
}

/// The sizes of routers and traffic.
struct Sizes {
    prefixes: &'static [u32],
    rules: &'static [u32],
    flows: &'static [u32],
}

const ALL: Sizes = Sizes {
    prefixes: &[10, 1_000, 100_000, 1_000_000],
    rules: &[0, 10, 1_000, 10_000],
    flows: &[1, 1_000, 64_000, 1_000_000],
};
const CORNERS: Sizes = Sizes { prefixes: &[10, 1_000_000], rules: &[0, 1_000], flows: &[1_000, 1_000_000] };

/// Processor time of a figure in one round, at least, and of the packets before it that bring caches up to date.
const TIME: Duration = Duration::from_millis(10);
const LEAD_IN: Duration = Duration::from_millis(2);
/// Prefixes of the table when flows begin.
const FIRST_PREFIXES: u32 = 10;
/// New flows that are made in a round, the prefixes that they go to, and the rounds.
const NEW_FLOWS: u32 = 500_000;
const NEW_FLOWS_PREFIXES: u32 = 1_000;
const NEW_FLOWS_ROUNDS: u32 = 5;

/// Measures everything and tells it, as text or JSON.
///
/// # Errors
/// The file cannot be written, or the process may not look at itself.
///
/// # Panics
/// If the router does not forward what it is given, or not as it should.
pub fn run(options: &Options) -> Result<String> {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build, whose figures say little: use `cargo run --release`");
    }
    let report = measure(if options.quick { &CORNERS } else { &ALL }, options.rounds)?;
    if let Some(path) = &options.csv {
        std::fs::write(path, report.csv()).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if options.json { format!("{}\n", report.json()) } else { report.to_string() })
}

fn measure(sizes: &Sizes, rounds: u32) -> Result<Report> {
    let mut report = Report::default();
    // Many flows first: what they take of memory shows while the process has none to give back.
    for flows in sizes.flows.iter().rev() {
        let began = Clock::now();
        let subject = Subject::new(*flows, rounds, &mut report)?;
        subject.measure(sizes, &mut report);
        eprintln!("{flows} flows: {:.0} s", began.elapsed().as_secs_f64());
    }
    report.new_flows_per_s = median((0..NEW_FLOWS_ROUNDS).map(|_| new_flows()).collect());
    report.sort();
    Ok(report)
}

/// Routers that know a number of flows, and the packets of these.
struct Subject {
    /// Each with what it remembers, by turns: what one may not take up again and again has a router of its own.
    routers: Vec<(World, Vec<Remembered>)>,
    tape: Arc<Tape>,
    flows: u32,
    rounds: u32,
    /// Nanoseconds of a packet that no router has looked at.
    nothing: f64,
}

impl Subject {
    fn new(flows: u32, rounds: u32, report: &mut Report) -> Result<Self> {
        let tape = Tape::shuffled(flows, Way::There);
        let mut reflector = Deck::new(Reflector, &tape);
        let nothing = median((0..rounds).map(|_| reflector.cost(TIME)).collect());
        let mut world = World::new(&tape);
        world.set_prefixes(FIRST_PREFIXES);
        world.set_rules(Some(0));
        world.remember(Remembered::Verdict);
        // What is needed once, however many flows there are.
        world.deck.play(BATCH);
        world.table.shared().flows.flush();
        let before = process::resident_bytes()?;
        world.establish(flows, &tape);
        let grown = process::resident_bytes()?.saturating_sub(before);
        report.flow_bytes.push((flows, grown as f64 / f64::from(flows)));
        report.nothing.push((flows, nothing));
        let mut with_card = World::with_card(&tape);
        with_card.set_prefixes(FIRST_PREFIXES);
        with_card.remember(Remembered::Card);
        with_card.establish(flows, &tape);
        let routers = vec![
            (world, vec![Remembered::Nothing, Remembered::Route, Remembered::Verdict]),
            (with_card, vec![Remembered::Card]),
        ];
        Ok(Self { routers, tape, flows, rounds, nothing })
    }

    fn measure(mut self, sizes: &Sizes, report: &mut Report) {
        let mut prefixes = sizes.prefixes.to_vec();
        for rules in sizes.rules {
            for (world, _) in &self.routers {
                world.set_rules((*rules > 0).then_some(*rules));
            }
            for prefixes in &prefixes {
                self.cell(*prefixes, *rules, report);
            }
            // The table grows with one number of rules and shrinks with the next, and is never made anew.
            prefixes.reverse();
        }
    }

    /// One size of everything: all that can be remembered, by turns.
    fn cell(&mut self, prefixes: u32, rules: u32, report: &mut Report) {
        let mut figures = Vec::new();
        for (world, remembered) in &mut self.routers {
            world.set_prefixes(prefixes);
            world.remember(*remembered.last().expect("a router remembers something"));
            // A card is offered a direction with a packet after the one that found its way.
            for _ in 0..2 {
                world.deck.play(self.tape.frames());
            }
            figures.push(vec![Vec::new(); remembered.len()]);
        }
        for _ in 0..self.rounds {
            for ((world, remembered), figures) in self.routers.iter_mut().zip(&mut figures) {
                for (what, figures) in remembered.iter().zip(figures) {
                    world.remember(*what);
                    figures.push(slice(world, *what, rules) - self.nothing);
                }
            }
        }
        for ((world, remembered), figures) in self.routers.iter().zip(figures) {
            world.assert_all_forwarded();
            for (what, figures) in remembered.iter().zip(figures) {
                let ns = median(figures);
                report.cells.push(Cell { prefixes, rules, flows: self.flows, what: *what, ns });
            }
        }
    }
}

/// A round of one subject: nanoseconds a packet, frames included.
fn slice(world: &mut World, what: Remembered, rules: u32) -> f64 {
    world.deck.cost(LEAD_IN);
    let before = world.counted();
    let ns = world.deck.cost(TIME);
    let after = world.counted();
    let received = after.received - before.received;
    let check = |counted: u64, all: bool, of: &str| {
        let expected = if all { received } else { 0 };
        if counted != expected {
            eprintln!("remembering {}: {counted} {of} of {received} packets, not {expected}", what.name());
        }
    };
    check(after.searched - before.searched, what == Remembered::Nothing, "lookups");
    check(after.offloaded - before.offloaded, what == Remembered::Card, "forwarded by the card");
    if rules > 0 && what != Remembered::Card {
        check(after.recalled - before.recalled, what == Remembered::Verdict, "passed as those before");
    }
    ns
}

/// New flows for each second of the processor, each with its first packet accepted by a rule, its way and what rules
/// made of it remembered.
fn new_flows() -> f64 {
    let tape = Tape::shuffled(NEW_FLOWS, Way::There);
    let mut world = World::new(&tape);
    world.set_prefixes(NEW_FLOWS_PREFIXES);
    world.set_rules(Some(0));
    world.remember(Remembered::Verdict);
    let began = processor_time();
    let packets = world.deck.play(tape.frames());
    let rate = packets as f64 / (processor_time() - began).as_secs_f64();
    world.assert_all_forwarded();
    rate
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Sizes = Sizes { prefixes: &[10, 100], rules: &[0, 3], flows: &[1, 100] };

    #[test]
    fn every_cell_is_measured_and_told() {
        let report = measure(&SMALL, 1).unwrap();
        assert_eq!(report.cells.len(), 8 * Remembered::ALL.len());
        assert_eq!(report::read_csv(&report.csv()).unwrap(), report.cells);
    }
}
