//! The card's table: exact match on a tuple, of fixed size, read by all workers without a lock.
//!
//! One thread at a time writes: what a card is told, it is told under the lock of [`crate::offload::Offloads`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use conntrack::{Direction, Tuple, TupleHasher};

use crate::flow::Conn;
use crate::offload::{Rewrite, SharedFlow};

/// A direction of a flow, and what becomes of its packets.
pub(super) struct Entry {
    pub(super) flow: SharedFlow,
    pub(super) rewrite: Arc<Rewrite>,
}

/// Entries that a tuple may be among: their tags are in one cache line.
const WAYS: usize = 8;

/// Room that is kept for each entry, so that few tuples find all their places taken.
const SPARE: usize = 2;

/// The entries.
pub(super) struct Table {
    hasher: TupleHasher,
    sets: Box<[Tags]>,
    places: Box<[ArcSwapOption<Entry>]>,
    taken: AtomicUsize,
    taken_max: usize,
}

/// A few bits of the hash of each entry of a set, 0 where there is none.
#[derive(Default)]
#[repr(align(32))]
struct Tags([AtomicU32; WAYS]);

impl Table {
    /// Room for about `entries_max` entries, all of it allocated now.
    pub(super) fn new(entries_max: usize, seed: [u64; 2]) -> Self {
        let sets = (entries_max * SPARE).div_ceil(WAYS).next_power_of_two();
        Self {
            hasher: TupleHasher::new(seed),
            sets: (0..sets).map(|_| Tags::default()).collect(),
            places: (0..sets * WAYS).map(|_| ArcSwapOption::empty()).collect(),
            taken: AtomicUsize::new(0),
            taken_max: entries_max,
        }
    }

    /// The entry of a tuple.
    pub(super) fn find(&self, tuple: &Tuple) -> Guard<Option<Arc<Entry>>> {
        let (set, tag) = self.place(tuple);
        for (way, of_way) in self.sets[set].0.iter().enumerate() {
            if of_way.load(Ordering::Acquire) == tag {
                let entry = self.places[set * WAYS + way].load();
                if entry.as_ref().is_some_and(|entry| entry.rewrite.matching.tuple == *tuple) {
                    return entry;
                }
            }
        }
        Guard::from_inner(None)
    }

    /// Puts an entry in; false if there is no place for it.
    pub(super) fn insert(&self, entry: Entry) -> bool {
        let (set, tag) = self.place(&entry.rewrite.matching.tuple);
        let tags = &self.sets[set].0;
        let free = tags.iter().position(|tag| tag.load(Ordering::Relaxed) == 0);
        let Some(way) = free.filter(|_| self.len() < self.taken_max) else { return false };
        self.places[set * WAYS + way].store(Some(Arc::new(entry)));
        tags[way].store(tag, Ordering::Release);
        self.taken.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Takes the entry of a flow's direction out, if it is there.
    pub(super) fn remove(&self, flow: &Conn, direction: Direction) {
        let (set, _) = self.place(&flow.tuple(direction));
        for (way, tag) in self.sets[set].0.iter().enumerate() {
            let place = &self.places[set * WAYS + way];
            let is_it =
                |entry: &Arc<Entry>| entry.flow.id() == flow.id() && entry.rewrite.direction == direction;
            if place.load().as_ref().is_some_and(is_it) {
                tag.store(0, Ordering::Relaxed);
                place.store(None);
                self.taken.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The set of a tuple, and its tag there, which is not 0.
    fn place(&self, tuple: &Tuple) -> (usize, u32) {
        let hash = self.hasher.hash(tuple);
        let set = hash as usize & (self.sets.len() - 1);
        (set, (hash >> 32) as u32 | 1)
    }
}
