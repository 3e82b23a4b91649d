//! One part of the table: the tuples that hash to it, and the flows whose original tuple does.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use crate::conn::{Conn, Shared};
use crate::expiry::Schedule;
use crate::tuple::{Direction, Tuple};

/// Part of a table, behind a lock of its own.
pub(crate) struct Shard<X> {
    /// Finds flows by either tuple.
    pub(crate) index: Index<X>,
    /// Flows at home here, and when they end.
    pub(crate) flows: Schedule<Shared<Conn<X>>>,
    /// Packets that found their flow by a tuple of this shard.
    pub(crate) found: u64,
}

impl<X> Shard<X> {
    pub(crate) fn new() -> Self {
        Self { index: Index(HashTable::new()), flows: Schedule::new(), found: 0 }
    }
}

/// Tuples and the flows they belong to. Holds each tuple itself, so that a search touches no flow but the right one.
pub(crate) struct Index<X>(HashTable<Entry<X>>);

/// Fills a cache line, so that a search in a large table waits for one.
#[repr(align(64))]
struct Entry<X> {
    tuple: Tuple,
    hash: u64,
    conn: Shared<Conn<X>>,
    direction: Direction,
}

const _: () = assert!(size_of::<Entry<()>>() == 64, "the line holds the whole entry");

impl<X> Index<X> {
    pub(crate) fn find(&self, hash: u64, tuple: &Tuple) -> Option<(&Shared<Conn<X>>, Direction)> {
        self.0.find(hash, |entry| entry.tuple == *tuple).map(|entry| (&entry.conn, entry.direction))
    }

    /// Adds a tuple that is not there.
    pub(crate) fn insert(&mut self, hash: u64, direction: Direction, conn: &Shared<Conn<X>>) {
        let entry = Entry { tuple: conn.tuple(direction), hash, conn: Shared::clone(conn), direction };
        self.0.insert_unique(hash, entry, |entry| entry.hash);
    }

    /// Takes out a flow's tuple.
    ///
    /// # Panics
    /// If it is not there.
    pub(crate) fn remove(&mut self, hash: u64, direction: Direction, conn: &Shared<Conn<X>>) {
        let ours = |entry: &Entry<X>| entry.direction == direction && Shared::ptr_eq(&entry.conn, conn);
        match self.0.entry(hash, ours, |entry| entry.hash) {
            Slot::Occupied(entry) => drop(entry.remove()),
            Slot::Vacant(_) => panic!("a flow in the table stands in the index with both tuples"),
        }
    }

    /// Tuples there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
