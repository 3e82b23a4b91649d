//! One part of the table: the tuples that hash to it, and the flows whose original tuple does.

use crate::conn::{Conn, Shared, Status};
use crate::expiry::Schedule;
use crate::index::{Index, Side};
use crate::tuple::{Direction, Tuple, TupleHasher};

/// Part of a table, behind a lock of its own.
pub(crate) struct Shard<X> {
    /// Finds flows by either tuple. A flow whose tuples are each other's mirrors stands in it once, for both.
    index: Index<Shared<Conn<X>>>,
    /// Flows at home here, and when they end.
    pub(crate) flows: Schedule<Shared<Conn<X>>>,
    /// Packets that found their flow by a tuple of this shard.
    pub(crate) found: u64,
}

/// A tuple to be looked for: itself, its mirror, and the hash of both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought {
    pub(crate) tuple: Tuple,
    mirror: Tuple,
    pub(crate) hash: u64,
}

impl Sought {
    pub(crate) fn new(hasher: &TupleHasher, tuple: &Tuple) -> Self {
        let mirror = tuple.mirrored();
        Self { tuple: *tuple, mirror, hash: hasher.hash_both(tuple, &mirror) }
    }
}

impl<X> Shard<X> {
    /// An empty one, made for this many flows.
    pub(crate) fn new(expected: usize) -> Self {
        Self { index: Index::new(expected), flows: Schedule::new(expected), found: 0 }
    }

    pub(crate) fn find(&self, sought: &Sought) -> Option<(&Shared<Conn<X>>, Direction)> {
        self.index.find(sought.hash, |conn| Some((conn, conn.direction_of(&sought.tuple, &sought.mirror)?)))
    }

    /// Adds the entry by which packets of `direction` find a flow: one for the original direction serves both unless the
    /// reply tuple is the flow's own.
    pub(crate) fn enter(
        &mut self,
        hasher: &TupleHasher,
        hash: u64,
        direction: Direction,
        conn: &Shared<Conn<X>>,
    ) {
        let hash_of = |conn: &Shared<Conn<X>>, side| {
            let direction = if side == Side::First { Direction::Original } else { Direction::Reply };
            Sought::new(hasher, &conn.tuple(direction)).hash
        };
        self.index.insert(hash, side_of(direction), Shared::clone(conn), hash_of);
    }

    /// Takes out the entry of a flow for `direction`.
    ///
    /// # Panics
    /// If it is not there.
    pub(crate) fn strike(&mut self, hash: u64, direction: Direction, conn: &Shared<Conn<X>>) {
        self.index.remove(hash, side_of(direction), |other| Shared::ptr_eq(other, conn));
    }

    /// Flows that packets with this hash most likely belong to.
    pub(crate) fn candidates(&self, hash: u64) -> impl Iterator<Item = &Shared<Conn<X>>> {
        self.index.candidates(hash)
    }

    /// Where a search for this hash begins: an address to be read soon, not now.
    pub(crate) fn address(&self, hash: u64) -> Option<*const u8> {
        self.index.address(hash)
    }

    /// Entries there are.
    #[cfg(test)]
    pub(crate) const fn entries(&self) -> usize {
        self.index.len()
    }
}

/// For which directions a flow of this status has an entry in the index. One that mirrors has one for both; one whose
/// original tuple another flow has is found by its reply tuple only, which it sees to itself if there is one entry.
pub(crate) const fn entries_of<X>(conn: &Conn<X>, status: Status) -> &'static [Direction] {
    match (conn.has_own_reply(), status.contains(Status::NAT_CLASH)) {
        (false, _) => &[Direction::Original],
        (true, false) => &[Direction::Original, Direction::Reply],
        (true, true) => &[Direction::Reply],
    }
}

const fn side_of(direction: Direction) -> Side {
    match direction {
        Direction::Original => Side::First,
        Direction::Reply => Side::Second,
    }
}
