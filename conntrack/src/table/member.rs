//! How flows enter the table and how they leave it: confirmed, expired, deleted, thrown out.

use std::time::Duration;

use super::{Aligned, Reservation, Table};
use crate::conn::{Conn, Shared, Status, Tentative};
use crate::events::{Change, End};
use crate::expiry::tick_of;
use crate::shard::{Shard, entries_of};
use crate::stats::count;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::time::Instant;
use crate::tuple::Direction;

/// What became of a tentative flow.
#[derive(Debug)]
pub enum Confirmed<X> {
    /// It is in the table now.
    Inserted(Shared<Conn<X>>),
    /// It was in the table already: another worker had seen the same flow start. The packet belongs to that one.
    Merged {
        /// The flow in the table.
        conn: Shared<Conn<X>>,
        /// The packet's direction in it.
        direction: Direction,
    },
    /// Another flow has its tuple and its protocol does not allow to share: drop the packet, as Linux does. When it is
    /// sent again it will find that flow.
    Refused,
}

impl<X> Table<X> {
    /// Puts a tentative flow into the table; its time runs from now on (`__nf_conntrack_confirm`).
    pub fn confirm(&self, mut tentative: Tentative<X>, now: Instant) -> Confirmed<X> {
        loop {
            let taken_by = match self.insert(&tentative, now) {
                Ok(()) => {
                    let Tentative { conn, reservation, .. } = tentative;
                    reservation.keep();
                    count(&self.counters.insert);
                    self.deliver(&conn, now);
                    return Confirmed::Inserted(conn);
                }
                Err(taken_by) => taken_by,
            };
            // One that has ended stands in nobody's way. Whoever removes it, the next round is against another.
            if taken_by.is_expired(now) {
                self.remove_expired(&taken_by, now);
                continue;
            }
            match self.resolve_clash(tentative, taken_by, now) {
                Ok(confirmed) => return confirmed,
                Err(again) => tentative = again,
            }
        }
    }

    /// Removes flows that have ended, looking at no more than `budget` flows, and returns how many were removed. Cheap
    /// when there is nothing to do; what is left for want of budget is done by the next call.
    pub fn expire(&self, now: Instant, budget: usize) -> usize {
        let tick = tick_of(now);
        if self.sweep.done_until.load(Ordering::Relaxed) > tick {
            return 0;
        }
        self.sweep.latest.store(now.nanos(), Ordering::Relaxed);
        self.expire_expectations(now);
        // Another worker is at it.
        let Some(mut round) = self.sweep.round.try_lock() else {
            return 0;
        };
        let mut budget = budget;
        let mut removed = 0;
        loop {
            if round.shard == 0 {
                round.tick = tick;
            }
            while round.shard < self.shards.len() {
                let (done, gone) = self.expire_shard(round.shard, now, &mut budget);
                removed += gone;
                if done {
                    round.shard += 1;
                } else if budget == 0 {
                    return removed;
                }
            }
            self.sweep.done_until.store(round.tick + 1, Ordering::Relaxed);
            round.shard = 0;
            if round.tick == tick {
                return removed;
            }
        }
    }

    /// Removes a few ended flows of a shard. Returns whether there are no more, and how many were removed.
    fn expire_shard(&self, shard: usize, now: Instant, budget: &mut usize) -> (bool, usize) {
        let mut ended = Ended::new();
        let step = ended.room().min(*budget);
        let mut left = step;
        let done = self.shards[shard].0.lock().flows.advance(
            now,
            &mut left,
            |conn| conn.expires(),
            |conn| ended.push(conn),
        );
        *budget -= step - left;
        (done, ended.iter().filter(|conn| self.remove_expired(conn, now)).count())
    }

    /// Lets a flow live until `due`: one store, unless it is to end much earlier than before.
    pub(super) fn prolong(&self, conn: &Shared<Conn<X>>, due: Instant) {
        let before = conn.expires();
        conn.set_expires(due);
        if before - due > CLOCKS_DIFFER {
            let home = self.sought(&conn.tuple(Direction::Original)).hash;
            let mut home = self.shards[self.shard_of(home)].0.lock();
            if conn.is_live() {
                home.flows.hasten(conn.slot(), due);
            }
        }
    }

    /// Removes a flow, and says whether it was there. For subscribers the moment is that of the last sweep.
    pub(super) fn remove(&self, conn: &Shared<Conn<X>>, end: End) -> bool {
        self.remove_at(conn, end, Instant::from_nanos(self.sweep.latest.load(Ordering::Relaxed)))
    }

    /// As [`Self::remove`], at a moment that is known.
    pub(super) fn remove_at(&self, conn: &Shared<Conn<X>>, end: End, now: Instant) -> bool {
        self.remove_if(conn, end, now, |_| true)
    }

    /// Removes a flow if it has ended.
    pub(super) fn remove_expired(&self, conn: &Shared<Conn<X>>, now: Instant) -> bool {
        self.remove_if(conn, End::Expired, now, |conn| conn.is_expired(now))
    }

    fn remove_if(
        &self,
        conn: &Shared<Conn<X>>,
        end: End,
        now: Instant,
        still: impl FnOnce(&Conn<X>) -> bool,
    ) -> bool {
        let hashes = self.hashes(conn);
        let [home, away] = hashes.map(|hash| self.shard_of(hash));
        {
            let mut pair = Pair::lock(&self.shards, home, away);
            if !conn.is_live() || !still(conn) {
                return false;
            }
            let status = conn.set_status(Status::DYING);
            for direction in entries_of(conn, status) {
                let hash = hashes[direction.index()];
                pair.shard(self.shard_of(hash)).strike(hash, *direction, conn);
            }
            let removed = pair.shard(home).flows.remove(conn.slot());
            assert!(Shared::ptr_eq(&removed, conn), "a flow knows its slot");
        }
        self.forget_source(conn);
        self.taken.fetch_sub(1, Ordering::Relaxed);
        count(match end {
            End::Expired => &self.counters.expired,
            End::Deleted => &self.counters.deleted,
            End::EarlyDrop => &self.counters.early_drop,
        });
        if conn.status().contains(Status::HELPER) {
            self.unexpect_all_of(conn, now);
        }
        self.deliver_end(conn, end, now);
        true
    }

    /// A place for one more flow, made by throwing another out if need be.
    pub(super) fn reserve(&self, hash: u64, now: Instant) -> Option<Reservation> {
        let (reservation, taken) = Reservation::take(&self.taken);
        (taken <= self.config.flows_max || self.drop_early(hash, now)).then_some(reservation)
    }

    /// Throws out one flow that may be spared: it has ended, or is not assured, or its protocol is closing it. Looks at
    /// few flows near `hash`, so that a flood pays for itself and does not stop the others (`early_drop`).
    fn drop_early(&self, hash: u64, now: Instant) -> bool {
        let home = self.shard_of(hash);
        let shards = self.shards.len().min(EARLY_DROP_SHARDS);
        (0..shards).any(|step| {
            let victim = self.spare_flow((home + step) & (self.shards.len() - 1), hash, now);
            victim.is_some_and(|victim| self.remove_at(&victim, End::EarlyDrop, now))
        })
    }

    /// The first flow of a shard, from a place that `hash` chooses, that may be spared.
    fn spare_flow(&self, shard: usize, hash: u64, now: Instant) -> Option<Shared<Conn<X>>> {
        let shard = self.shards[shard].0.lock();
        let slots = shard.flows.slots();
        let start = usize::try_from(hash & 0xffff_ffff).expect("32 bits") % slots.max(1);
        let near = (0..slots.min(EARLY_DROP_SLOTS)).map(|step| (start + step) % slots);
        let spared = |conn: &&Shared<Conn<X>>| {
            conn.is_expired(now) || !conn.status().contains(Status::ASSURED) || {
                let tracker = self.registry.l4(conn.family(), conn.protocol());
                tracker.may_drop_early(&conn.progress().state)
            }
        };
        near.filter_map(|slot| shard.flows.get(slot)).find(spared).cloned()
    }

    /// Puts a flow into the table, unless another has one of its tuples: then that one is returned.
    fn insert(&self, tentative: &Tentative<X>, now: Instant) -> Result<(), Shared<Conn<X>>> {
        let conn = &tentative.conn;
        let tuples = Direction::ALL.map(|direction| self.sought(&conn.tuple(direction)));
        let [home, away] = tuples.map(|sought| self.shard_of(sought.hash));
        let mut pair = Pair::lock(&self.shards, home, away);
        for (shard, sought) in [home, away].into_iter().zip(&tuples) {
            if let Some((other, _)) = pair.shard(shard).find(sought) {
                return Err(Shared::clone(other));
            }
        }
        conn.set_expires(now + tentative.timeout);
        let slot = pair.shard(home).flows.insert(Shared::clone(conn), conn.expires(), now);
        conn.set_slot(slot);
        self.announce(conn, Change::New);
        conn.set_status(Status::CONFIRMED);
        self.enter(&mut pair, conn, tuples.map(|sought| sought.hash));
        self.note_source(conn);
        Ok(())
    }

    /// Another flow was faster (`nf_ct_resolve_clash`). The tentative flow comes back if that one has gone meanwhile.
    fn resolve_clash(
        &self,
        tentative: Tentative<X>,
        conn: Shared<Conn<X>>,
        now: Instant,
    ) -> Result<Confirmed<X>, Tentative<X>> {
        if !self.registry.l4(tentative.family(), tentative.protocol()).allows_clash() {
            return Ok(self.refuse());
        }
        if let Some(direction) = same_flow(&conn, &tentative) {
            return Ok(self.merge(&tentative, conn, direction));
        }
        match self.insert_for_replies(&tentative, now) {
            Ok(()) => {
                let Tentative { conn, reservation, .. } = tentative;
                reservation.keep();
                count(&self.counters.clash_resolve);
                Ok(Confirmed::Inserted(conn))
            }
            Err(taken_by) if taken_by.is_expired(now) => Err(tentative),
            Err(taken_by) => Ok(match same_flow(&taken_by, &tentative) {
                Some(direction) => self.merge(&tentative, taken_by, direction),
                None => self.refuse(),
            }),
        }
    }

    /// The packet belongs to a flow that is in the table.
    fn merge(&self, tentative: &Tentative<X>, conn: Shared<Conn<X>>, direction: Direction) -> Confirmed<X> {
        let traffic = tentative.traffic(Direction::Original);
        conn.count(&mut conn.progress(), direction, traffic.packets, traffic.bytes);
        count(&self.counters.clash_resolve);
        Confirmed::Merged { conn, direction }
    }

    fn refuse(&self) -> Confirmed<X> {
        count(&self.counters.insert_failed);
        count(&self.counters.drop);
        Confirmed::Refused
    }

    /// Puts a flow into the table whose original tuple another has, so that the answer to its packet finds it: for a
    /// second, or until that answer (`nf_ct_resolve_clash_harder`). Returns who has the reply tuple, if it is taken.
    fn insert_for_replies(&self, tentative: &Tentative<X>, now: Instant) -> Result<(), Shared<Conn<X>>> {
        let conn = &tentative.conn;
        let [original, reply] = Direction::ALL.map(|direction| self.sought(&conn.tuple(direction)));
        let [home, away] = [&original, &reply].map(|sought| self.shard_of(sought.hash));
        let mut pair = Pair::lock(&self.shards, home, away);
        if let Some((other, _)) = pair.shard(away).find(&reply) {
            return Err(Shared::clone(other));
        }
        conn.set_expires(now + CLASH_TIMEOUT);
        let slot = pair.shard(home).flows.insert(Shared::clone(conn), conn.expires(), now);
        conn.set_slot(slot);
        conn.set_status(Status::NAT_CLASH | Status::FIXED_TIMEOUT | Status::CONFIRMED);
        self.enter(&mut pair, conn, [original.hash, reply.hash]);
        self.note_source(conn);
        Ok(())
    }

    /// Puts a flow into the index.
    fn enter(&self, pair: &mut Pair<'_, X>, conn: &Shared<Conn<X>>, hashes: [u64; 2]) {
        for direction in entries_of(conn, conn.status()) {
            let hash = hashes[direction.index()];
            pair.shard(self.shard_of(hash)).enter(&self.hasher, hash, *direction, conn);
        }
    }

    /// Hashes of both tuples of a flow; of mirrors there is one.
    fn hashes(&self, conn: &Conn<X>) -> [u64; 2] {
        let original = self.sought(&conn.tuple(Direction::Original)).hash;
        let reply =
            if conn.has_own_reply() { self.sought(&conn.tuple(Direction::Reply)).hash } else { original };
        [original, reply]
    }
}

/// Whether a flow in the table is the one that the tentative flow's packet starts, perhaps seen from its other end, and
/// then the packet's direction in it. Untranslated flows with a tuple in common are (`nf_ct_can_merge`).
fn same_flow<X>(conn: &Conn<X>, tentative: &Conn<X>) -> Option<Direction> {
    if !conn.is_live() {
        return None;
    }
    let ours = Direction::ALL.map(|direction| tentative.tuple(direction));
    let both = Direction::ALL
        .into_iter()
        .find(|direction| conn.tuple(*direction) == ours[0] && conn.tuple(direction.opposite()) == ours[1]);
    let is_plain = !conn.status().intersects(Status::SRC_NAT_DONE | Status::DST_NAT_DONE);
    both.or_else(|| {
        is_plain.then(|| {
            let reversed = conn.tuple(Direction::Reply) == ours[0];
            if reversed { Direction::Reply } else { Direction::Original }
        })
    })
}

/// How long a flow lives that only its reply can find.
const CLASH_TIMEOUT: Duration = Duration::from_secs(1);

/// How far the removal of ended flows has come.
pub(super) struct Sweep {
    /// Ended flows of all steps before this one are gone.
    done_until: AtomicU64,
    /// When somebody last looked, in nanoseconds as [`Instant`]; no more than a step ago.
    latest: AtomicU64,
    /// The round under way; locked while somebody sweeps.
    round: Mutex<Round>,
}

/// A round through all shards, which may take several calls.
struct Round {
    /// Where it goes on.
    shard: usize,
    /// The step in which it began: what ended later may have been missed.
    tick: u64,
}

impl Sweep {
    pub(super) fn new() -> Self {
        Self {
            done_until: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            round: Mutex::new(Round { shard: 0, tick: 0 }),
        }
    }
}

/// How much two workers' clocks may differ in one moment, by far.
const CLOCKS_DIFFER: Duration = Duration::from_secs(1);

/// Shards that are searched for a flow to throw out (`NF_CT_EVICTION_RANGE`).
const EARLY_DROP_SHARDS: usize = 8;

/// Slots that are looked at in each of them.
const EARLY_DROP_SLOTS: usize = 16;

/// Two shards, locked in order; they may be the same.
struct Pair<'a, X> {
    lower: (usize, MutexGuard<'a, Shard<X>>),
    higher: Option<MutexGuard<'a, Shard<X>>>,
}

impl<'a, X> Pair<'a, X> {
    fn lock(shards: &'a [Aligned<Mutex<Shard<X>>>], one: usize, other: usize) -> Self {
        let (low, high) = (one.min(other), one.max(other));
        let lower = (low, shards[low].0.lock());
        let higher = (low != high).then(|| shards[high].0.lock());
        Self { lower, higher }
    }

    /// The locked shard with this number.
    fn shard(&mut self, number: usize) -> &mut Shard<X> {
        match &mut self.higher {
            Some(higher) if number != self.lower.0 => higher,
            _ => &mut self.lower.1,
        }
    }
}

/// A few flows that have ended, kept without allocating.
struct Ended<X> {
    conns: [Option<Shared<Conn<X>>>; 32],
    count: usize,
}

impl<X> Ended<X> {
    fn new() -> Self {
        Self { conns: std::array::from_fn(|_| None), count: 0 }
    }

    const fn room(&self) -> usize {
        self.conns.len() - self.count
    }

    fn push(&mut self, conn: &Shared<Conn<X>>) {
        self.conns[self.count] = Some(Shared::clone(conn));
        self.count += 1;
    }

    fn iter(&self) -> impl Iterator<Item = &Shared<Conn<X>>> {
        self.conns.iter().flatten()
    }
}
