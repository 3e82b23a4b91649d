//! What flows notice of news about prefixes that are not theirs: one thread forwards, the other changes the routing state.
//!
//! A turn that takes long is a pause. Its time is taken twice: as it passes, which includes that others had the
//! processor, and as this thread had the processor, which is what the turn itself took. A turn that waits for a lock
//! shows in neither for sure, but the thread has given the processor away then, and the system counts how often.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant as Clock};

use anyhow::Result;
use clap::Args;
use fib::change::{Change, Route};
use fib::writer::Writer;
use router::tabletop::gateway_route;

use super::flows::{Way, gateway};
use super::process;
use super::tape::{Tape, processor_time};
use super::world::{CHANGES_MAX, Remembered, World};

/// How much news there is.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Routes that arrive one after the other.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=NEWS_MAX))]
    routes: u32,
    /// Changes a second afterwards.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    changes: u32,
    /// Seconds without news, and seconds of changes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
}

/// Prefixes that there can be news about: they are in no flow's way.
const NEWS_MAX: i64 = 1 << 20;
/// What is forwarded meanwhile.
const FLOWS: u32 = 64_000;
const PREFIXES: u32 = 1_000;
const RULES: u32 = 10;
/// How often the writer wakes to make its changes.
const TICKS_PER_S: u32 = 100;
/// The longest turn that is no pause.
const TURN_MAX: Duration = Duration::from_millis(1);
/// The least of packets that are to find their way remembered.
const HITS_MIN: f64 = 0.999;

/// The writer's doings, in their order.
const PHASES: usize = 3;

/// What the flows noticed. Displayed, it tells which targets are met.
#[derive(Clone, Debug)]
pub struct Outcome {
    names: [String; PHASES],
    phases: [Phase; PHASES],
    /// What the writer came to.
    news: News,
}

/// One of the writer's doings, as the worker saw it.
#[derive(Clone, Copy, Debug, Default)]
struct Phase {
    time: Duration,
    packets: u64,
    searched: u64,
    /// The longest turn as time passed, and as the thread had the processor.
    longest: Duration,
    longest_own: Duration,
    /// Turns that were longer than [`TURN_MAX`] as time passed.
    long_turns: u64,
    /// How often the thread gave the processor away.
    waits: u64,
}

impl Phase {
    /// The part of packets that found their way remembered.
    fn hits(&self) -> f64 {
        1.0 - self.searched as f64 / self.packets.max(1) as f64
    }
}

/// What the writer came to.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    /// Changes for each second of the last phase.
    changes_per_s: f64,
    /// How often it had to copy the whole routing state, since a reader did not let go.
    copies: u64,
}

/// Forwards while the routing state changes.
///
/// # Errors
/// The process may not look at itself.
///
/// # Panics
/// If the router does not forward what it is given.
pub fn run(options: &Options) -> Result<Outcome> {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build, whose figures say little: use `cargo run --release`");
    }
    let tape = Tape::shuffled(FLOWS, Way::There);
    let mut world = World::new(&tape);
    world.set_prefixes(PREFIXES);
    world.remember(Remembered::Verdict);
    world.establish(FLOWS, &tape);
    world.set_rules(Some(RULES));
    world.deck.play(tape.frames());
    let phase = AtomicUsize::new(0);
    let mut phases = [Phase::default(); PHASES];
    let World { table, deck, counters, .. } = &mut world;
    let writer = &mut table.assembly.writer;
    let begin = deck.now();
    let news = std::thread::scope(|scope| {
        let news = scope.spawn(|| tell_news(writer, options, &phase));
        let began = Clock::now();
        for (number, seen) in phases.iter_mut().enumerate() {
            let turns = || {
                let frames = deck.turn(begin + began.elapsed());
                (frames as u64, counters.fib_lookups.get())
            };
            *seen = watch(turns, || phase.load(Ordering::Relaxed) == number)?;
        }
        anyhow::Ok(news.join().expect("the writer does not panic"))
    })?;
    world.assert_all_forwarded();
    let Options { routes, changes, .. } = options;
    let names =
        ["no news".to_owned(), format!("{routes} routes arrive"), format!("{changes} changes a second")];
    Ok(Outcome { names, phases, news })
}

/// Takes turns as long as it `goes_on`, and the time of each. A turn says how many packets it had, and how many lookups
/// there have been so far.
fn watch(mut turn: impl FnMut() -> (u64, u64), goes_on: impl Fn() -> bool) -> Result<Phase> {
    let mut seen = Phase::default();
    let waits = process::times_waited()?;
    let (_, searched) = turn();
    let began = (Clock::now(), processor_time());
    let mut last = began;
    let mut now_searched = searched;
    while goes_on() {
        let packets;
        (packets, now_searched) = turn();
        seen.packets += packets;
        let now = (Clock::now(), processor_time());
        let took = now.0 - last.0;
        seen.longest = seen.longest.max(took);
        seen.longest_own = seen.longest_own.max(now.1 - last.1);
        seen.long_turns += u64::from(took > TURN_MAX);
        last = now;
    }
    seen.searched = now_searched - searched;
    seen.time = last.0 - began.0;
    seen.waits = process::times_waited()? - waits;
    Ok(seen)
}

/// Does what the phases say, one after the other, and says which one it is in.
fn tell_news(writer: &mut Writer, options: &Options, phase: &AtomicUsize) -> News {
    let copies = writer.copies();
    std::thread::sleep(Duration::from_secs(options.seconds.into()));
    phase.store(1, Ordering::Relaxed);
    let mut arriving = (0..options.routes).map(|number| Change::Route(route(number, 0))).peekable();
    while arriving.peek().is_some() {
        writer.apply(arriving.by_ref().take(CHANGES_MAX));
    }
    phase.store(2, Ordering::Relaxed);
    let began = Clock::now();
    let mut random = fastrand::Rng::with_seed(1);
    let ticks = options.seconds * TICKS_PER_S;
    let mut made = 0_usize;
    for tick in 1..=ticks {
        let changes: Vec<Change> =
            (0..options.changes / TICKS_PER_S).map(|_| change(options.routes, &mut random)).collect();
        made += changes.len();
        writer.apply(changes);
        let next = Duration::from_secs(1) * tick / TICKS_PER_S;
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    let changes_per_s = made as f64 / began.elapsed().as_secs_f64();
    phase.store(PHASES, Ordering::Relaxed);
    News { changes_per_s, copies: writer.copies() - copies }
}

/// A route that comes, goes, or takes another way.
fn change(routes: u32, random: &mut fastrand::Rng) -> Change {
    let route = route(random.u32(..routes), random.u32(..));
    if random.u8(..4) == 0 { Change::RouteGone(route) } else { Change::Route(route) }
}

/// One of the routes that there is news about, by some gateway.
fn route(number: u32, by: u32) -> Route {
    let prefix = Ipv4Addr::from((64 << 24) + (number << 8));
    gateway_route(&format!("{prefix}/24"), &gateway(number.wrapping_add(by)).to_string(), 1)
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(
            out,
            "{FLOWS} flows over {PREFIXES} prefixes and {RULES} rules, news of other prefixes only"
        )?;
        writeln!(
            out,
            "{:<24} {:>7} {:>6} {:>9}  {:>10} {:>10} {:>7} {:>6}",
            "", "seconds", "Mpps", "hits %", "longest ms", "of its own", "> 1 ms", "waits"
        )?;
        for (name, phase) in self.names.iter().zip(&self.phases) {
            let seconds = phase.time.as_secs_f64();
            let rate = if phase.packets == 0 { 0.0 } else { phase.packets as f64 / seconds / 1e6 };
            writeln!(
                out,
                "{name:<24} {seconds:>7.2} {rate:>6.2} {:>9.4}  {:>10.3} {:>10.3} {:>7} {:>6}",
                phase.hits() * 100.0,
                milliseconds(phase.longest),
                milliseconds(phase.longest_own),
                phase.long_turns,
                phase.waits
            )?;
        }
        let News { changes_per_s, copies } = self.news;
        writeln!(out, "the writer made {changes_per_s:.0} changes a second, and whole copies: {copies}\n")?;
        let worst = |figure: fn(&Phase) -> f64| self.phases[1..].iter().map(figure).fold(f64::MIN, f64::max);
        let met = |met: bool| if met { "met" } else { "missed" };
        let misses = worst(|phase| 1.0 - phase.hits());
        let longest = worst(|phase| phase.longest_own.as_secs_f64());
        let waits = worst(|phase| phase.waits as f64);
        writeln!(
            out,
            "hits, of all packets              {:.5}  at least {HITS_MIN}  {}",
            1.0 - misses,
            met(1.0 - misses >= HITS_MIN)
        )?;
        writeln!(
            out,
            "longest turn of its own, ms       {:.3}  at most {}  {}",
            longest * 1e3,
            TURN_MAX.as_millis(),
            met(longest <= TURN_MAX.as_secs_f64())
        )?;
        writeln!(out, "waits for a lock                  {waits}  at most 0  {}", met(waits == 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_until_the_phase_is_over() {
        let turns = std::cell::Cell::new(0_u64);
        let turn = || {
            turns.set(turns.get() + 1);
            if turns.get() == 3 {
                std::thread::sleep(2 * TURN_MAX);
            }
            (64, turns.get() * 2)
        };
        let seen = watch(turn, || turns.get() < 5).unwrap();
        assert_eq!((seen.packets, seen.searched, seen.long_turns), (4 * 64, 8, seen.long_turns.max(1)));
        assert!(seen.longest >= 2 * TURN_MAX && seen.waits >= 1, "{seen:?}");
        assert_eq!(seen.hits(), 1.0 - 8.0 / 256.0);
    }

    #[test]
    fn flows_are_forwarded_while_news_arrives() {
        let outcome = run(&Options { routes: 1_000, changes: 100, seconds: 1 }).unwrap();
        // So few routes may have arrived between two turns.
        assert!(outcome.phases[0].packets > 0 && outcome.phases[2].packets > 0, "{outcome}");
        assert!(outcome.to_string().contains("1000 routes arrive"));
    }
}
