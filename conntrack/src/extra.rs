//! What few flows have: labels, a helper, a master, shifted sequence numbers. It lies apart, so that the others stay
//! small.

use std::sync::{Arc, OnceLock};

use crate::conn::{Conn, Shared};
use crate::helper::{Helper, Memory};
use crate::l4::Shift;
use crate::sync::{Mutex, MutexGuard};
use crate::tuple::{Direction, Tuple};

/// What is kept of a flow beyond what every flow has.
pub(crate) struct Extra<X> {
    /// The reply tuple, if it does not mirror the original one.
    pub(crate) reply: Option<Tuple>,
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

impl<X> Default for Extra<X> {
    fn default() -> Self {
        Self {
            reply: None,
            labels: Mutex::new(0),
            shifts: Mutex::new([Shift::NONE; 2]),
            help: OnceLock::new(),
            master: OnceLock::new(),
        }
    }
}

impl<X> Clone for Extra<X> {
    fn clone(&self) -> Self {
        Self {
            reply: self.reply,
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

impl<X> Extra<X> {
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
        let extra = Extra::<()>::default();
        assert!(extra.set_labels(0b110, u128::MAX));
        assert!(!extra.set_labels(0b010, 0b010));
        assert!(extra.set_labels(0, 0b100));
        assert_eq!(extra.labels(), 0b010);
    }

    #[test]
    fn a_change_sent_again_shifts_once_and_a_later_one_adds_to_it() {
        let extra = Extra::<()>::default();
        extra.shift(Direction::Original, 100, 3);
        extra.shift(Direction::Original, 100, 3);
        extra.shift(Direction::Original, 90, 3);
        assert_eq!(extra.shifts()[0], Shift { position: 100, before: 0, after: 3 });
        extra.shift(Direction::Original, 200, -5);
        assert_eq!(extra.shifts()[0], Shift { position: 200, before: 3, after: -2 });
        assert_eq!(extra.shifts()[1], Shift::NONE);
    }

    #[test]
    fn sequence_numbers_that_wrap_are_later() {
        let extra = Extra::<()>::default();
        extra.shift(Direction::Reply, u32::MAX - 1, 1);
        extra.shift(Direction::Reply, 5, 1);
        assert_eq!(extra.shifts()[1], Shift { position: 5, before: 1, after: 2 });
    }
}
