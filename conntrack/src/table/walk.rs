//! Walks over all flows in pages, so that nobody waits while half a million are listed.

use super::Table;
use crate::conn::{Conn, Shared};
use crate::events::End;
use crate::time::Instant;

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    shard: usize,
    slot: usize,
}

/// Part of a listing.
#[derive(Debug)]
pub struct Page<X> {
    /// Flows that were asked for.
    pub conns: Vec<Shared<Conn<X>>>,
    /// Where to go on; `None` at the end of the table.
    pub next: Option<Cursor>,
}

/// Slots that are looked at under one lock.
const SLOTS_PER_LOCK: usize = 128;

impl<X> Table<X> {
    /// The next flows from `cursor` on that have not ended and that `wanted` picks, at most `flows_max` (at least one).
    /// Flows that are there all the time are listed exactly once; those that come or go meanwhile may be listed or not.
    pub fn list(
        &self,
        cursor: Cursor,
        flows_max: usize,
        now: Instant,
        wanted: impl Fn(&Conn<X>) -> bool,
    ) -> Page<X> {
        let mut conns = Vec::new();
        let mut cursor = cursor;
        while cursor.shard < self.shards.len() {
            let shard = self.shards[cursor.shard].0.lock();
            let end = shard.flows.slots().min(cursor.slot + SLOTS_PER_LOCK);
            while cursor.slot < end {
                let slot = cursor.slot;
                cursor.slot += 1;
                if let Some(conn) = shard.flows.get(slot)
                    && !conn.is_expired(now)
                    && wanted(conn)
                {
                    conns.push(Shared::clone(conn));
                    if conns.len() >= flows_max {
                        return Page { conns, next: Some(cursor) };
                    }
                }
            }
            if end == shard.flows.slots() {
                cursor = Cursor { shard: cursor.shard + 1, slot: 0 };
            }
        }
        Page { conns, next: None }
    }

    /// Deletes the flows that `wanted` picks, and returns how many.
    pub fn delete(&self, wanted: impl Fn(&Conn<X>) -> bool) -> usize {
        let mut deleted = 0;
        let mut next = Some(Cursor::default());
        while let Some(cursor) = next {
            let page = self.list(cursor, SLOTS_PER_LOCK, Instant::ZERO, &wanted);
            deleted += page.conns.iter().filter(|conn| self.remove(conn, End::Deleted)).count();
            next = page.next;
        }
        deleted
    }

    /// Deletes a flow, and says whether it was still there.
    pub fn delete_one(&self, conn: &Shared<Conn<X>>) -> bool {
        self.remove(conn, End::Deleted)
    }

    /// Deletes all flows, and returns how many.
    pub fn flush(&self) -> usize {
        self.delete(|_| true)
    }
}
