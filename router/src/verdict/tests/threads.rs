//! Totals are folded while workers count and rules change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::chain::{Family, Hook, Place, Point, Registration, Registry, Verdict};
use crate::engine::{Context, Packet};
use crate::rules::state::Counter;
use crate::verdict::{End, Recording};

struct Nothing;

impl Hook for Nothing {
    fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        Verdict::Accept
    }
}

const WORKERS: usize = 3;
const CHANGES: usize = 400;
const PACKETS: u64 = 10_000;

#[test]
fn no_packet_is_lost_or_counted_twice_while_rules_change_and_counters_are_read_and_reset() {
    let counters: [Arc<Counter>; 2] = Default::default();
    let hooks = Registry::default();
    let (done, counted, taken) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (hooks, counters, done, counted) = (&hooks, &counters, &done, &counted);
            scope.spawn(move || {
                let mut recording = Recording::of_worker(worker);
                while !done.load(Ordering::Relaxed) {
                    // A turn: all of it with the same chains.
                    let chains = hooks.chains();
                    for _ in 0..50 {
                        let number = recording.begin();
                        recording.enter(number, worker % 2, Point::Forward);
                        recording.count(&counters[0]);
                        recording.count(&counters[1]);
                        recording.count(&counters[1]);
                        recording.leave(End::Passed);
                        // Where chains have been replaced nothing is kept, and rules count themselves.
                        match chains.passages().keep(&recording).and_then(|kept| chains.passages().get(kept))
                        {
                            Some(passage) => passage.sections()[0].count(recording.lane(), 10),
                            None => {
                                counters[0].count(10);
                                counters[1].add(2, 20);
                            }
                        }
                        counted.fetch_add(1, Ordering::Release);
                    }
                }
            });
        }
        for change in
            (0..).take_while(|change| *change < CHANGES || counted.load(Ordering::Relaxed) < PACKETS)
        {
            let place = Place::new(Family::Ipv4, Point::Forward, "nothing");
            if change % 2 == 0 {
                hooks.register([Registration { place, priority: 0, hook: Arc::new(Nothing) }]).unwrap();
            } else {
                hooks.unregister([place]).unwrap();
            }
            let before = counted.load(Ordering::Acquire);
            hooks.fold();
            let at_least = taken.load(Ordering::Relaxed) + counters[0].read().0;
            assert!(at_least >= before, "a read lacks packets: {at_least} of {before}");
            if change % 3 == 0 {
                taken.fetch_add(counters[0].reset().0, Ordering::Relaxed);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    hooks.fold();
    let all = counted.load(Ordering::Relaxed);
    assert_eq!(taken.load(Ordering::Relaxed) + counters[0].read().0, all);
    assert_eq!(counters[1].read(), (2 * all, 20 * all));
}

#[test]
fn passages_go_when_the_last_worker_has_let_go_of_their_chains() {
    let counter = Arc::<Counter>::default();
    let hooks = Registry::default();
    let turn = hooks.chains();
    let mut recording = Recording::default();
    let number = recording.begin();
    recording.enter(number, 1, Point::Forward);
    recording.count(&counter);
    recording.leave(End::Passed);
    let number = turn.passages().keep(&recording).unwrap();
    recording.clear();
    let place = || Place::new(Family::Ipv4, Point::Forward, "nothing");
    hooks.register([Registration { place: place(), priority: 0, hook: Arc::new(Nothing) }]).unwrap();
    hooks.fold();
    turn.passages().get(number).unwrap().sections()[0].count(0, 7);
    hooks.fold();
    assert_eq!(counter.read(), (1, 7), "a worker in the middle of its turn is heard");
    turn.passages().get(number).unwrap().sections()[0].count(0, 7);
    drop(turn);
    hooks.unregister([place()]).unwrap();
    assert_eq!((counter.read(), Arc::strong_count(&counter)), ((2, 14), 1));
}
