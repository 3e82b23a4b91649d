//! How many flows each change has moved: counters that all copies of the journal and all workers share.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{DEPTH_MAX, slot_of};

const COUNT_BITS: u32 = 32;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// One word per change that is still kept: the low bits of its position above, its count below, so that nobody counts
/// for a change whose place has been given to another.
#[derive(Debug)]
pub(super) struct Moved {
    words: Box<[AtomicU64]>,
    total: AtomicU64,
}

impl Moved {
    pub(super) fn new() -> Self {
        Self { words: (0..DEPTH_MAX).map(|_| AtomicU64::new(0)).collect(), total: AtomicU64::new(0) }
    }

    /// A change takes its place. Said once by each copy; only the first counts.
    pub(super) fn begin(&self, position: u64) {
        let word = &self.words[slot_of(position)];
        if !is_of(word.load(Ordering::Relaxed), position) {
            word.store(position << COUNT_BITS, Ordering::Relaxed);
        }
    }

    pub(super) fn note_moved(&self, position: u64) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let one_more = |word| (is_of(word, position) && word & COUNT_MASK != COUNT_MASK).then_some(word + 1);
        let _ = self.words[slot_of(position)].fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn moved_by(&self, position: u64) -> u32 {
        let word = self.words[slot_of(position)].load(Ordering::Relaxed);
        if is_of(word, position) { word as u32 } else { 0 }
    }
}

fn is_of(word: u64, position: u64) -> bool {
    word >> COUNT_BITS == position & COUNT_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_belongs_to_one_change_however_often_it_is_begun() {
        let moved = Moved::new();
        let reuses_the_place = 7 + DEPTH_MAX as u64;
        moved.begin(7);
        moved.note_moved(7);
        moved.begin(7);
        moved.note_moved(7);
        assert_eq!((moved.moved_by(7), moved.moved_by(reuses_the_place)), (2, 0));
        moved.begin(reuses_the_place);
        moved.note_moved(7);
        assert_eq!((moved.moved_by(7), moved.moved_by(reuses_the_place)), (0, 0));
        assert_eq!(moved.total(), 3, "also of changes that are forgotten");
        moved.note_moved(reuses_the_place);
        assert_eq!(moved.moved_by(reuses_the_place), 1);
    }

    #[test]
    fn a_count_at_its_end_stays_there() {
        let moved = Moved::new();
        moved.words[0].store(COUNT_MASK, Ordering::Relaxed);
        moved.note_moved(0);
        assert_eq!(moved.moved_by(0), u32::MAX);
    }
}
