//! What packets have added to a section: each worker adds to numbers of its own, without a locked instruction.

use crate::sync::{AtomicU64, Ordering};

/// Workers that have numbers of their own; more of them share one lane.
pub const LANES: usize = 8;

/// Packets and bytes, by who counted them.
#[derive(Debug, Default)]
pub(super) struct Totals {
    own: [Lane; LANES],
    shared: Lane,
}

/// One worker's, in a cache line of its own. Both numbers only grow, and wrap.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Lane {
    packets: AtomicU64,
    bytes: AtomicU64,
    folded_packets: AtomicU64,
    folded_bytes: AtomicU64,
}

impl Totals {
    /// Counts for the worker whose lane it is: nobody else adds to it. From [`LANES`] on a lane is anybody's.
    pub(super) fn add(&self, lane: usize, packets: u64, bytes: u64) {
        match self.own.get(lane) {
            Some(lane) => {
                grow(&lane.packets, packets);
                grow(&lane.bytes, bytes);
            }
            None => {
                self.shared.packets.fetch_add(packets, Ordering::Relaxed);
                self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Packets and bytes added since the last time. Of two who ask at once one may get less than nothing, as the other
    /// gets more; together they get what was added.
    pub(super) fn take(&self) -> (u64, u64) {
        let lanes = || self.own.iter().chain([&self.shared]);
        let packets = lanes().map(|lane| news(&lane.packets, &lane.folded_packets));
        let bytes = lanes().map(|lane| news(&lane.bytes, &lane.folded_bytes));
        (packets.fold(0, u64::wrapping_add), bytes.fold(0, u64::wrapping_add))
    }
}

fn grow(total: &AtomicU64, by: u64) {
    total.store(total.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

fn news(total: &AtomicU64, folded: &AtomicU64) -> u64 {
    let now = total.load(Ordering::Relaxed);
    if folded.load(Ordering::Relaxed) == now {
        return 0;
    }
    now.wrapping_sub(folded.swap(now, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Totals;
    use super::*;

    #[test]
    fn what_was_added_is_taken_once_whoever_added_it() {
        let totals = Totals::default();
        for lane in [0, 1, LANES - 1, LANES, usize::MAX] {
            totals.add(lane, 1, 100);
            totals.add(lane, 2, 50);
        }
        assert_eq!(totals.take(), (15, 750));
        assert_eq!(totals.take(), (0, 0));
        totals.add(1, 1, 60);
        assert_eq!(totals.take(), (1, 60));
    }

    #[test]
    fn workers_add_and_others_take_at_once_and_nothing_is_lost() {
        const EACH: u64 = 20_000;
        let totals = Totals::default();
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for lane in [0, 1, LANES, LANES] {
                let totals = &totals;
                scope.spawn(move || (0..EACH).for_each(|_| totals.add(lane, 1, 2)));
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        taken.fetch_add(totals.take().0, Ordering::Relaxed);
                    }
                });
            }
        });
        taken.fetch_add(totals.take().0, Ordering::Relaxed);
        assert_eq!(taken.load(Ordering::Relaxed), 4 * EACH);
    }
}
