//! A feed of routes and flows that it does not concern; `testbed feed` shows the same for a whole table.

use std::time::Duration;

use testbed::feed::{Options, Phases, measure};
use testbed::lab;
use testbed::router::Router;

/// Less than the Internet's table, at its full pace.
const FEED: Options = Options { routes: 100_000, changes: 10_000, seconds: 2 };
/// The least of packets that take the way their flow remembers.
const HITS: f64 = 0.999;
/// The longest that a packet may be kept waiting by what a feed makes routerd do.
const PAUSE: Duration = Duration::from_millis(1);
/// What disturbs a crowded machine disturbs one attempt; what routerd does wrong it does in each.
const ATTEMPTS: usize = 3;

#[test]
fn flows_that_a_feed_does_not_concern_keep_their_ways_and_are_not_held_up() {
    if !lab::labs_can_run() {
        return;
    }
    let routerd = Router::routerd(&[]).unwrap();
    let mut pauses = Vec::new();
    for _ in 0..ATTEMPTS {
        let phases = measure(&routerd, &FEED).unwrap();
        for phase in &phases[1..] {
            assert_eq!(phase.lost, 0, "{}: of {} probes", phase.name, phase.sent);
            assert!(
                phase.forwarded as usize > phase.sent / 2 && phase.sent > 100,
                "{} of {}",
                phase.forwarded,
                phase.sent
            );
            assert!(phase.hits() >= HITS, "{} of {} packets", phase.lookups, phase.forwarded);
        }
        let pause = longest(&phases);
        if pause <= PAUSE {
            return;
        }
        // Sockets and devices stand still too when a feed occupies the processors: that is no one's forwarding.
        let kernel = longest(&measure(&Router::Kernel { tracking: true }, &FEED).unwrap());
        if pause <= kernel {
            return;
        }
        pauses.push((pause, kernel));
    }
    panic!("packets are held up, by routerd and by the kernel: {pauses:?}");
}

/// The longest way of a probe during the feed that no waiting for a processor explains.
fn longest(phases: &Phases) -> Duration {
    phases[1..].iter().map(|phase| phase.longest_own).max().unwrap_or_default()
}
