//! What not every flow has: a reply tuple of its own and a place among those of its source if it is translated; labels, a
//! helper, a master, shifted sequence numbers, much traffic. It lies apart, so that the others stay small.

use std::sync::{Arc, OnceLock};

use once_cell::race::OnceBox;

use crate::conn::{Conn, Shared, TrafficCount};
use crate::helper::{Helper, Memory};
use crate::l4::Shift;
use crate::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::tuple::{Direction, Tuple};

/// What is kept of a translated flow beyond what every flow has, and the way to what few have.
pub(crate) struct Extra<X> {
    /// The reply tuple, if it does not mirror the original one.
    pub(crate) reply: Option<Tuple>,
    /// Where the flow stands among those of its source.
    pub(crate) source_slot: AtomicU32,
    rare: OnceBox<Rare<X>>,
}

/// What few flows have.
pub(crate) struct Rare<X> {
    /// Upper halves of the packets and bytes of each direction. They change under the lock of the flow's progress.
    traffic: [[AtomicU64; 2]; 2],
    labels: Mutex<u128>,
    shifts: Mutex<[Shift; 2]>,
    pub(crate) help: OnceLock<Help>,
    pub(crate) master: OnceLock<Shared<Conn<X>>>,
}

/// A helper at work on a flow.
pub(crate) struct Help {
    pub(crate) helper: Arc<dyn Helper>,
    memory: Mutex<Memory>,
}

impl<X> Extra<X> {
    pub(crate) fn with_reply(reply: Option<Tuple>, rare: Option<Rare<X>>) -> Self {
        let rare = rare.map_or_else(OnceBox::new, |rare| OnceBox::with_value(Box::new(rare)));
        Self { reply, source_slot: AtomicU32::new(0), rare }
    }

    pub(crate) fn rare(&self) -> Option<&Rare<X>> {
        self.rare.get()
    }

    pub(crate) fn rare_or_new(&self) -> &Rare<X> {
        self.rare.get_or_init(Box::default)
    }
}

impl<X> Default for Rare<X> {
    fn default() -> Self {
        Self {
            traffic: Default::default(),
            labels: Mutex::new(0),
            shifts: Mutex::new([Shift::NONE; 2]),
            help: OnceLock::new(),
            master: OnceLock::new(),
        }
    }
}

impl<X> Clone for Rare<X> {
    fn clone(&self) -> Self {
        let copy = |count: &AtomicU64| AtomicU64::new(count.load(Ordering::Relaxed));
        Self {
            traffic: self.traffic.each_ref().map(|counts| counts.each_ref().map(copy)),
            labels: Mutex::new(self.labels()),
            shifts: Mutex::new(self.shifts()),
            help: self.help.clone(),
            master: self.master.clone(),
        }
    }
}

impl Clone for Help {
    fn clone(&self) -> Self {
        Self { helper: Arc::clone(&self.helper), memory: Mutex::new(*self.memory()) }
    }
}

impl<X> Rare<X> {
    /// Upper halves of one direction's packets and bytes.
    pub(crate) fn upper_traffic(&self, direction: Direction) -> TrafficCount {
        let [packets, bytes] =
            self.traffic[direction.index()].each_ref().map(|count| count.load(Ordering::Relaxed));
        TrafficCount { packets, bytes }
    }

    pub(crate) fn add_upper_traffic(&self, direction: Direction, more: TrafficCount) {
        let [packets, bytes] = &self.traffic[direction.index()];
        packets.fetch_add(more.packets, Ordering::Relaxed);
        bytes.fetch_add(more.bytes, Ordering::Relaxed);
    }

    pub(crate) fn labels(&self) -> u128 {
        *self.labels.lock()
    }

    /// Sets the labels in `mask` as in `labels`, and says whether that changed any.
    pub(crate) fn set_labels(&self, labels: u128, mask: u128) -> bool {
        let mut current = self.labels.lock();
        let before = *current;
        *current = (before & !mask) | (labels & mask);
        *current != before
    }

    pub(crate) fn shifts(&self) -> [Shift; 2] {
        *self.shifts.lock()
    }

    /// From `sequence` on, what is sent in `direction` is longer by `growth` bytes than it was before. There is one
    /// such place in flight at a time; what was shifted before is taken as a retransmission (`nf_ct_seqadj_set`).
    pub(crate) fn shift(&self, direction: Direction, sequence: u32, growth: i32) {
        let mut shifts = self.shifts.lock();
        let shift = &mut shifts[direction.index()];
        let is_later = shift.position.wrapping_sub(sequence).cast_signed() < 0;
        if shift.before == shift.after || is_later {
            shift.position = sequence;
            shift.before = shift.after;
            shift.after = shift.after.wrapping_add(growth);
        }
    }
}

impl Help {
    pub(crate) fn new(helper: Arc<dyn Helper>) -> Self {
        Self { helper, memory: Mutex::new(Memory::default()) }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_change_under_their_mask_only() {
        let rare = Rare::<()>::default();
        assert!(rare.set_labels(0b110, u128::MAX));
        assert!(!rare.set_labels(0b010, 0b010));
        assert!(rare.set_labels(0, 0b100));
        assert_eq!(rare.labels(), 0b010);
    }

    #[test]
    fn a_change_sent_again_shifts_once_and_a_later_one_adds_to_it() {
        let rare = Rare::<()>::default();
        rare.shift(Direction::Original, 100, 3);
        rare.shift(Direction::Original, 100, 3);
        rare.shift(Direction::Original, 90, 3);
        assert_eq!(rare.shifts()[0], Shift { position: 100, before: 0, after: 3 });
        rare.shift(Direction::Original, 200, -5);
        assert_eq!(rare.shifts()[0], Shift { position: 200, before: 3, after: -2 });
        assert_eq!(rare.shifts()[1], Shift::NONE);
    }

    #[test]
    fn sequence_numbers_that_wrap_are_later() {
        let rare = Rare::<()>::default();
        rare.shift(Direction::Reply, u32::MAX - 1, 1);
        rare.shift(Direction::Reply, 5, 1);
        assert_eq!(rare.shifts()[1], Shift { position: 5, before: 1, after: 2 });
    }
}
