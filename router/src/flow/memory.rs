//! What a flow remembers of each direction: its way, what has become of it, and what rules have made of its packets; and
//! of the flow as a whole where on its link it came from.
//!
//! Each is a word of its own that workers and control read and write without a lock. A word is right by itself: the
//! way and the moment it was looked up stand in one, so nobody can see one without the other. Who puts a way in place
//! of another says which one it has seen there; if that has changed meanwhile, what is there stays.

use conntrack::Direction;
use fib::cache::{Staleness, Stamp};

use crate::engine::FlowCache;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// What is remembered of both directions of a flow.
#[derive(Debug, Default)]
pub struct Memory {
    routes: [AtomicU64; 2],
    histories: [AtomicU64; 2],
    verdicts: [AtomicU32; 2],
    came_by: AtomicU32,
}

/// A table of a million flows has room for no more.
#[cfg(not(feature = "shuttle"))]
const _: () = assert!(size_of::<Memory>() == 48);

/// A way that was looked up, and when: the number of a [`fib::cache::Way`] and a [`Stamp`], in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Kept(u64);

impl Kept {
    /// Nothing is kept.
    pub const NOTHING: Self = Self(0);

    /// Bits of a way's number.
    pub const NUMBER_BITS: u32 = 64 - Stamp::BITS;

    /// A way by its number, which is not 0, as of a generation.
    ///
    /// # Panics
    /// In tests: if the number has more than [`Self::NUMBER_BITS`].
    #[must_use]
    pub fn new(way: u32, stamp: Stamp) -> Self {
        debug_assert!(way != 0 && way >> Self::NUMBER_BITS == 0, "{way} is no number of a way");
        Self(u64::from(way) << Stamp::BITS | stamp.bits())
    }

    /// The way's number.
    #[must_use]
    pub const fn way(self) -> Option<u32> {
        match (self.0 >> Stamp::BITS) as u32 {
            0 => None,
            way => Some(way),
        }
    }

    /// The generation it was looked up in, or confirmed for.
    #[must_use]
    pub fn stamp(self) -> Stamp {
        Stamp::from_bits(self.0 & ((1 << Stamp::BITS) - 1))
    }
}

/// By which last hop a flow came, and whether its replies go back there, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CameBy(u32);

impl CameBy {
    /// Nothing is remembered.
    pub const NOTHING: Self = Self(0);

    /// Bits of a last hop's number.
    pub const NUMBER_BITS: u32 = 31;

    const USED: u32 = 1 << Self::NUMBER_BITS;

    /// A last hop by its number, which is not 0. Replies do not go there yet.
    ///
    /// # Panics
    /// In tests: if the number has more than [`Self::NUMBER_BITS`].
    #[must_use]
    pub fn new(number: u32) -> Self {
        debug_assert!(number != 0 && number & Self::USED == 0, "{number} is no number of a last hop");
        Self(number)
    }

    /// The last hop's number.
    #[must_use]
    pub const fn number(self) -> Option<u32> {
        match self.0 & !Self::USED {
            0 => None,
            number => Some(number),
        }
    }

    /// Whether the newest reply went back there.
    #[must_use]
    pub const fn is_used(self) -> bool {
        self.0 & Self::USED != 0
    }

    /// The same, with it said whether the newest reply went back there.
    #[must_use]
    pub const fn used(self, used: bool) -> Self {
        if used { Self(self.0 | Self::USED) } else { Self(self.0 & !Self::USED) }
    }
}

/// What has become of what one direction remembers, since the flow began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History(u64);

const HITS: Field = Field { first: 0, bits: 36 };
const RENEWALS: Field = Field { first: 36, bits: 16 };
const REASON: Field = Field { first: 52, bits: 8 };
const ROUTE_MODE: Field = Field { first: 60, bits: 2 };
const VERDICT_MODE: Field = Field { first: 62, bits: 2 };

impl History {
    /// Packets that took the kept way; at most 2³⁶ - 1, where counting ends.
    #[must_use]
    pub const fn hits(self) -> u64 {
        HITS.of(self.0)
    }

    /// How often another lookup was needed; at most 65,535, where counting ends.
    #[must_use]
    pub const fn renewals(self) -> u16 {
        RENEWALS.of(self.0) as u16
    }

    /// Why, the last time.
    #[must_use]
    pub fn last_renewal(self) -> Option<Staleness> {
        Staleness::from_bits(REASON.of(self.0) as u8)
    }

    /// What the user has said of this flow's route, if anything.
    #[must_use]
    pub const fn route_mode(self) -> Option<FlowCache> {
        mode(ROUTE_MODE.of(self.0))
    }

    /// What the user has said of this flow's verdict, if anything.
    #[must_use]
    pub const fn verdict_mode(self) -> Option<FlowCache> {
        mode(VERDICT_MODE.of(self.0))
    }
}

/// Which kind a mode of a flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Its route.
    Route,
    /// What rules have made of it.
    Verdict,
}

impl Memory {
    /// The way of a direction.
    #[must_use]
    pub fn kept(&self, direction: Direction) -> Kept {
        Kept(self.routes[direction.index()].load(Ordering::Relaxed))
    }

    /// Puts a way in place of the one that was `seen` there. Says no if another is there by now, which then stays: it
    /// was found later, or somebody wants it forgotten.
    pub fn keep(&self, direction: Direction, seen: Kept, next: Kept) -> bool {
        let word = &self.routes[direction.index()];
        word.compare_exchange(seen.0, next.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Forgets the way of a direction; says whether there was one.
    pub fn forget(&self, direction: Direction) -> bool {
        self.routes[direction.index()].swap(0, Ordering::Relaxed) != 0
    }

    /// What has become of it.
    #[must_use]
    pub fn history(&self, direction: Direction) -> History {
        History(self.histories[direction.index()].load(Ordering::Relaxed))
    }

    /// Counts a packet that took the kept way.
    pub fn count_hit(&self, direction: Direction) {
        let word = &self.histories[direction.index()];
        if HITS.of(word.load(Ordering::Relaxed)) < HITS.max() {
            word.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a lookup that was needed, and notes why.
    pub fn note_renewal(&self, direction: Direction, reason: Staleness) {
        self.edit(direction, |word| {
            let renewals = RENEWALS.of(word).saturating_add(1).min(RENEWALS.max());
            REASON.set(RENEWALS.set(word, renewals), reason.bits().into())
        });
    }

    /// Says for this flow alone what is to be done with a kind; `None`: as for all others.
    pub fn set_mode(&self, direction: Direction, kind: Remembered, mode: Option<FlowCache>) {
        let field = match kind {
            Remembered::Route => ROUTE_MODE,
            Remembered::Verdict => VERDICT_MODE,
        };
        self.edit(direction, |word| field.set(word, mode.map_or(0, |mode| mode as u64 + 1)));
    }

    /// The number under which the verdict of a direction is kept; 0 for none.
    #[must_use]
    pub fn verdict(&self, direction: Direction) -> u32 {
        self.verdicts[direction.index()].load(Ordering::Relaxed)
    }

    /// Keeps the verdict of a direction by its number, or forgets it (0).
    pub fn set_verdict(&self, direction: Direction, number: u32) {
        self.verdicts[direction.index()].store(number, Ordering::Relaxed);
    }

    /// By which last hop the flow came.
    #[must_use]
    pub fn came_by(&self) -> CameBy {
        CameBy(self.came_by.load(Ordering::Relaxed))
    }

    /// Puts a last hop in place of the one that was `seen` there; as [`Self::keep`].
    pub fn keep_came_by(&self, seen: CameBy, next: CameBy) -> bool {
        self.came_by.compare_exchange(seen.0, next.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn edit(&self, direction: Direction, edit: impl Fn(u64) -> u64) {
        let word = &self.histories[direction.index()];
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(edit(word)));
    }
}

const fn mode(bits: u64) -> Option<FlowCache> {
    match bits {
        0 => None,
        1 => Some(FlowCache::On),
        2 => Some(FlowCache::Off),
        _ => Some(FlowCache::Hold),
    }
}

/// Bits of a word.
#[derive(Clone, Copy)]
struct Field {
    first: u32,
    bits: u32,
}

impl Field {
    const fn max(self) -> u64 {
        (1 << self.bits) - 1
    }

    const fn of(self, word: u64) -> u64 {
        word >> self.first & self.max()
    }

    const fn set(self, word: u64, value: u64) -> u64 {
        word & !(self.max() << self.first) | (value & self.max()) << self.first
    }
}

#[cfg(test)]
mod tests {
    use fib::snapshot::Generation;

    use super::*;

    const D: Direction = Direction::Reply;

    fn kept(way: u32, generation: u64) -> Kept {
        Kept::new(way, Stamp::of(Generation(generation)))
    }

    #[test]
    fn a_way_and_its_moment_are_one_word() {
        let way = (1 << Kept::NUMBER_BITS) - 1;
        let word = kept(way, 77);
        assert_eq!((word.way(), word.stamp()), (Some(way), Stamp::of(Generation(77))));
        assert_eq!(Kept::NOTHING.way(), None);
    }

    #[test]
    fn a_last_hop_and_its_use_are_one_word() {
        let memory = Memory::default();
        let number = CameBy::USED - 1;
        let came = CameBy::new(number);
        assert_eq!(memory.came_by(), CameBy::NOTHING);
        assert!(memory.keep_came_by(CameBy::NOTHING, came) && memory.keep_came_by(came, came.used(true)));
        assert_eq!((memory.came_by().number(), memory.came_by().is_used()), (Some(number), true));
        assert!(!memory.keep_came_by(came, CameBy::NOTHING), "another worker was faster");
        assert_eq!(memory.came_by().used(false), came);
        assert_eq!(CameBy::NOTHING.used(true).number(), None);
    }

    #[test]
    fn who_comes_late_changes_nothing() {
        let memory = Memory::default();
        assert!(memory.keep(D, Kept::NOTHING, kept(1, 10)));
        assert!(!memory.keep(D, Kept::NOTHING, kept(2, 9)), "another worker was faster");
        assert_eq!(memory.kept(D), kept(1, 10));
        assert!(memory.forget(D));
        assert!(!memory.keep(D, kept(1, 10), kept(1, 11)), "forgotten in between");
        assert_eq!(memory.kept(D), Kept::NOTHING);
        assert_eq!(memory.kept(Direction::Original), Kept::NOTHING);
    }

    #[test]
    fn a_history_counts_to_its_end_and_keeps_its_parts_apart() {
        let memory = Memory::default();
        memory.set_mode(D, Remembered::Route, Some(FlowCache::Hold));
        memory.set_mode(D, Remembered::Verdict, Some(FlowCache::Off));
        memory.histories[D.index()].fetch_add(HITS.max() - 1, Ordering::Relaxed);
        for _ in 0..3 {
            memory.count_hit(D);
        }
        for _ in 0..70_000 {
            memory.note_renewal(D, Staleness::PortDown);
        }
        let history = memory.history(D);
        assert_eq!((history.hits(), history.renewals()), ((1 << 36) - 1, u16::MAX));
        assert_eq!(history.last_renewal(), Some(Staleness::PortDown));
        assert_eq!(
            (history.route_mode(), history.verdict_mode()),
            (Some(FlowCache::Hold), Some(FlowCache::Off))
        );
        memory.set_mode(D, Remembered::Route, None);
        assert_eq!(memory.history(D).route_mode(), None);
        assert_eq!(memory.history(D).hits(), (1 << 36) - 1);
        assert_eq!(memory.history(Direction::Original).hits(), 0);
    }
}
