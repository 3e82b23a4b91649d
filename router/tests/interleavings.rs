//! What flows remember while routing and rules change and the user flushes, under schedules that shuttle chooses.
//!
//! `cargo test -p router --features shuttle --test interleavings`. A failure prints the schedule that led to it.
#![cfg(feature = "shuttle")]

use std::sync::Arc;

use conntrack::Direction;
use fib::cache::Stamp;
use fib::snapshot::Generation;
use router::chain::{Family, Hook, Place, Point, Registration, Registry, Verdict};
use router::engine::{Context, Packet};
use router::flow::{Kept, Memory};
use router::rules::state::Counter;
use router::verdict::{End, Known, Recording};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

const SCHEDULES: usize = 3_000;
const D: Direction = Direction::Original;

/// Routing as a flow meets it: a generation, and ways that are found by looking.
#[derive(Default)]
struct Routing {
    generation: AtomicU64,
    /// The generation in which each way was looked up; its number is one more than its place.
    looked_up: Mutex<Vec<u64>>,
}

impl Routing {
    /// Every second change concerns the flow: which answer is right.
    const fn answer(generation: u64) -> u64 {
        generation / 2
    }

    fn look_up(&self, generation: u64) -> u32 {
        let mut ways = self.looked_up.lock().unwrap();
        ways.push(generation);
        ways.len() as u32
    }

    /// What stands in a flow's word holds: the way was right at the moment it is stamped with.
    fn check(&self, kept: Kept, present: u64) -> Option<(u32, u64)> {
        let way = kept.way()?;
        let stamp = kept.stamp().generation(Generation(present)).0;
        let learned = self.looked_up.lock().unwrap()[way as usize - 1];
        assert_eq!(Self::answer(learned), Self::answer(stamp), "learned in {learned}, stamped {stamp}");
        assert!(learned <= stamp, "learned in {learned}, stamped {stamp}");
        Some((way, stamp))
    }

    /// A packet: takes what is kept if it still holds, else looks up.
    fn pass(&self, memory: &Memory) {
        let present = self.generation.load(Ordering::SeqCst);
        let seen = memory.kept(D);
        let (way, stamp) = match self.check(seen, present) {
            Some((_, stamp)) if stamp >= present => {
                assert!(
                    Self::answer(stamp) >= Self::answer(present),
                    "an old way after an acknowledged change"
                );
                return;
            }
            Some((way, stamp)) if Self::answer(stamp) == Self::answer(present) => (way, present),
            _ => (self.look_up(present), present),
        };
        thread::yield_now();
        memory.keep(D, seen, Kept::new(way, Stamp::of(Generation(stamp))));
    }
}

#[test]
fn no_schedule_leaves_a_way_with_a_stamp_later_than_the_state_it_was_learned_from() {
    let run = || {
        let routing = Arc::new(Routing::default());
        routing.generation.store(1, Ordering::SeqCst);
        let memory = Arc::new(Memory::default());
        let mut threads = Vec::new();
        for _ in 0..2 {
            let (routing, memory) = (routing.clone(), memory.clone());
            threads.push(thread::spawn(move || (0..3).for_each(|_| routing.pass(&memory))));
        }
        {
            let routing = routing.clone();
            threads.push(thread::spawn(move || {
                (2..=4).for_each(|generation| routing.generation.store(generation, Ordering::SeqCst));
            }));
        }
        {
            let memory = memory.clone();
            threads.push(thread::spawn(move || {
                let before = memory.kept(D);
                memory.forget(D);
                for _ in 0..3 {
                    let now = memory.kept(D);
                    assert!(before.way().is_none() || now.way() != before.way(), "what was flushed is back");
                    thread::yield_now();
                }
            }));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // All is said: the next packet has the answer of the last change.
        routing.pass(&memory);
        let (_, stamp) = routing.check(memory.kept(D), 4).expect("it was kept");
        assert_eq!(stamp, 4);
    };
    shuttle::check_random(run, SCHEDULES);
}

struct Nothing;

impl Hook for Nothing {
    fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        Verdict::Accept
    }
}

/// Packets of a flow that rules count, walked or passed.
fn count(worker: usize, registry: &Registry, memory: &Memory, counter: &Arc<Counter>, packets: u64) {
    let mut recording = Recording::of_worker(worker);
    for _ in 0..packets {
        // A turn.
        let chains = registry.chains();
        thread::yield_now();
        let passages = chains.passages();
        if let Known::Passage(passage) = passages.find(memory.verdict(D)) {
            thread::yield_now();
            passage.sections()[0].count(recording.lane(), 100);
            continue;
        }
        let number = recording.begin();
        assert!(recording.enter(number, 1, Point::Forward));
        counter.count(100);
        recording.count(counter);
        recording.leave(End::Passed);
        thread::yield_now();
        if let Some(number) = passages.keep(&recording) {
            memory.set_verdict(D, number);
        }
    }
}

#[test]
fn no_schedule_loses_a_packet_or_counts_it_twice_while_rules_are_replaced_and_read() {
    let run = || {
        let registry = Arc::new(Registry::default());
        let memory = Arc::new(Memory::default());
        let counter = Arc::new(Counter::default());
        let mut threads = Vec::new();
        for worker in 0..2 {
            let (registry, memory, counter) = (registry.clone(), memory.clone(), counter.clone());
            threads.push(thread::spawn(move || count(worker, &registry, &memory, &counter, 3)));
        }
        {
            let (registry, counter) = (registry.clone(), counter.clone());
            threads.push(thread::spawn(move || {
                let mut last = 0;
                for name in ["one", "two"] {
                    registry.fold();
                    let (packets, _) = counter.read();
                    assert!((last..=6).contains(&packets), "{last} then {packets}");
                    last = packets;
                    let place = Place::new(Family::Ipv4, Point::Forward, name);
                    let hook = Arc::new(Nothing);
                    registry.register([Registration { place, priority: 0, hook }]).unwrap();
                    thread::yield_now();
                }
            }));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        registry.fold();
        assert_eq!(counter.read(), (6, 600));
    };
    shuttle::check_random(run, SCHEDULES);
}
