//! When the routes of each prefix changed last.
//!
//! Two things answer that. A coarse table says for a few lengths when anything last changed within the prefix of that
//! length around an address; places are shared by hash, none is ever cleared, so "nothing near" is certain whatever
//! has been forgotten, and costs a few loads. Behind it, maps hold the latest change of each prefix of each table.
//! These are bounded: when the younger has filled, it takes the place of the older, which is forgotten. A prefix that
//! changes over and over has one place, so what counts is how many prefixes change, not how often they do.

use std::collections::HashMap;

use super::Mark;
use super::keyed::Keyed;
use crate::lpm::{Address, Prefix};
use crate::snapshot::Generation;

/// The most prefixes in one of the two maps: they fit 2^18 places.
pub(crate) const PREFIXES_MAX: usize = 200_000;

/// Lengths by which the coarse table tells addresses apart.
const LEVELS: usize = 5;
const CELL_BITS: u32 = 16;

/// An address whose prefixes are indexed.
pub(crate) trait Indexed: Address {
    /// From long to short; the last is 0. A prefix is noted at the longest that is not longer than itself.
    const LEVELS: [u8; LEVELS];

    /// The first `length` bits as a number; at most 64.
    fn first_bits(self, length: u8) -> u64;
}

impl Indexed for u32 {
    const LEVELS: [u8; LEVELS] = [24, 20, 16, 8, 0];

    fn first_bits(self, length: u8) -> u64 {
        u64::from(self.checked_shr(32 - u32::from(length)).unwrap_or(0))
    }
}

impl Indexed for u128 {
    const LEVELS: [u8; LEVELS] = [64, 48, 32, 16, 0];

    fn first_bits(self, length: u8) -> u64 {
        self.checked_shr(128 - u32::from(length)).unwrap_or(0) as u64
    }
}

/// Latest changes of prefixes of one family, all tables.
#[derive(Clone)]
pub(crate) struct Routes<A> {
    /// Generations, by level and cell; of no length until something is noted.
    cells: [Box<[u64]>; LEVELS],
    /// By length of the prefix.
    lengths: Box<[Generation]>,
    latest: Generation,
    young: HashMap<Key<A>, Mark, Keyed>,
    old: HashMap<Key<A>, Mark, Keyed>,
    /// The latest change in `old`.
    old_until: Generation,
    /// The latest change that may be in neither.
    forgotten: Generation,
    overruns: u64,
    prefixes_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key<A> {
    slot: u32,
    prefix: Prefix<A>,
}

/// What is near an address and newer than a generation: the lengths to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    since: Generation,
    /// A bit per level.
    levels: u8,
}

impl<A: Indexed> Routes<A> {
    pub(super) fn new() -> Self {
        Self {
            cells: Default::default(),
            lengths: vec![Generation(0); usize::from(A::BITS) + 1].into(),
            latest: Generation(0),
            young: HashMap::with_hasher(Keyed::new()),
            old: HashMap::with_hasher(Keyed::new()),
            old_until: Generation(0),
            forgotten: Generation(0),
            overruns: 0,
            prefixes_max: PREFIXES_MAX,
        }
    }

    /// The routes of a prefix have changed.
    pub(super) fn note(&mut self, slot: u32, address: A, length: u8, mark: Mark) {
        let level = level_of::<A>(length);
        if self.cells[level].is_empty() {
            // Zeroed by the system, and given room page by page.
            self.cells[level] = vec![0; 1 << u32::from(A::LEVELS[level]).min(CELL_BITS)].into();
        }
        self.cells[level][cell_of(address, A::LEVELS[level])] = mark.generation.0;
        self.lengths[usize::from(length)] = mark.generation;
        let key = Key { slot, prefix: Prefix::new(address, length) };
        if self.young.len() >= self.prefixes_max && !self.young.contains_key(&key) {
            self.overruns += u64::from(!self.old.is_empty());
            self.forgotten = self.old_until;
            self.old_until = self.latest;
            std::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
        }
        self.latest = mark.generation;
        self.young.insert(key, mark);
    }

    /// Where changes later than `since` are near an address; `None` if there are none.
    pub(crate) fn touched(&self, address: A, since: Generation) -> Option<Touched> {
        if self.latest <= since {
            return None;
        }
        let mut levels = 0;
        for (level, length) in A::LEVELS.into_iter().enumerate() {
            let cell = self.cells[level].get(cell_of(address, length)).copied().unwrap_or(0);
            levels |= u8::from(cell > since.0) << level;
        }
        (levels != 0).then_some(Touched { since, levels })
    }

    /// The change, after what `touched` was asked with, of the longest prefix of this table around an address that is
    /// at least so long.
    pub(crate) fn longest(&self, slot: u32, address: A, length_min: u8, touched: Touched) -> Option<Mark> {
        (length_min..=A::BITS).rev().find_map(|length| self.of(slot, address, length, touched))
    }

    /// The latest change of the prefix of just this length.
    pub(crate) fn of(&self, slot: u32, address: A, length: u8, touched: Touched) -> Option<Mark> {
        if !self.has_changed(length, touched) {
            return None;
        }
        let key = Key { slot, prefix: Prefix::new(address, length) };
        self.young.get(&key).or_else(|| self.old.get(&key))?.after(touched.since)
    }

    /// Whether a change of a prefix around an address that is at least so long may have been forgotten.
    pub(crate) fn overrun(&self, length_min: u8, touched: Touched) -> Option<Mark> {
        let is_lost = self.forgotten > touched.since
            && (length_min..=A::BITS).any(|length| self.has_changed(length, touched));
        is_lost.then_some(Mark::overrun(self.forgotten))
    }

    /// How often marks were forgotten.
    pub(super) fn overruns(&self) -> u64 {
        self.overruns
    }

    fn has_changed(&self, length: u8, touched: Touched) -> bool {
        self.lengths[usize::from(length)] > touched.since && touched.levels & 1 << level_of::<A>(length) != 0
    }
}

/// The level at which a prefix of this length is noted.
fn level_of<A: Indexed>(length: u8) -> usize {
    A::LEVELS.iter().position(|level| *level <= length).expect("the last level is 0")
}

fn cell_of<A: Indexed>(address: A, length: u8) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let bits = address.first_bits(length);
    let cell =
        if u32::from(length) <= CELL_BITS { bits } else { bits.wrapping_mul(GOLDEN) >> (64 - CELL_BITS) };
    cell as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::Staleness;

    fn routes<A: Indexed>(prefixes_max: usize) -> Routes<A> {
        Routes { prefixes_max, ..Routes::new() }
    }

    fn mark(generation: u64) -> Mark {
        Mark { generation: Generation(generation), position: generation, reason: Staleness::RouteAdded }
    }

    /// What is said of an address, as a way that rests on these tables asks it.
    fn ask<A: Indexed>(routes: &Routes<A>, address: A, asked: &[(u32, u8)], since: u64) -> Option<Mark> {
        let touched = routes.touched(address, Generation(since))?;
        let found = asked.iter().find_map(|(slot, min)| routes.longest(*slot, address, *min, touched));
        let length_min = asked.iter().map(|(_, min)| *min).min()?;
        found.or_else(|| routes.overrun(length_min, touched))
    }

    fn judge<A: Indexed>(
        changes: &[(u32, A, u8)],
        prefixes_max: usize,
        address: A,
        asked: [(u32, u8); 2],
        since: u64,
    ) -> Result<(), TestCaseError> {
        let mut routes = routes::<A>(prefixes_max);
        for (generation, (slot, base, length)) in (1..).zip(changes) {
            routes.note(*slot, base.masked(*length), *length, mark(generation));
        }
        let matters = |(slot, base, length): &(u32, A, u8)| {
            Prefix::new(*base, *length).covers(address)
                && asked.iter().any(|(table, min)| table == slot && min <= length)
        };
        let relevant = (1..).zip(changes).filter(|(_, change)| matters(change)).map(|(at, _)| at);
        let relevant: Vec<u64> = relevant.filter(|at| *at > since).collect();
        match ask(&routes, address, &asked, since) {
            None => prop_assert!(relevant.is_empty(), "a change that matters went unseen"),
            Some(said) if said.reason == Staleness::JournalOverrun => {
                prop_assert!(since < routes.forgotten.0)
            }
            Some(said) => prop_assert!(relevant.iter().any(|at| said == mark(*at)), "{said:?} {relevant:?}"),
        }
        prop_assert!(routes.young.len() <= prefixes_max && routes.old.len() <= prefixes_max);
        Ok(())
    }

    fn near_v4() -> impl Strategy<Value = u32> {
        (0_u32..4, 0_u32..4, 0_u32..4).prop_map(|(a, b, c)| a << 30 | b << 11 | c << 7)
    }

    fn near_v6() -> impl Strategy<Value = u128> {
        (0_u128..4, 0_u128..4, 0_u128..4).prop_map(|(a, b, c)| a << 126 | b << 79 | c << 63 | a)
    }

    proptest! {
        #[test]
        fn no_change_that_matters_goes_unseen_and_others_only_where_marks_were_forgotten(
            v4 in prop::collection::vec((0_u32..3, near_v4(), 0_u8..=32), 1..60),
            v6 in prop::collection::vec((0_u32..3, near_v6(), 0_u8..=128), 1..60),
            few in prop::bool::ANY, address_v4 in near_v4(), address_v6 in near_v6(),
            minima in (0_u8..=32, 0_u8..=32), since in 0_u64..60,
        ) {
            let room = if few { 8 } else { PREFIXES_MAX };
            let asked = [(0, minima.0), (1, minima.1)];
            judge(&v4, room, address_v4, asked, since)?;
            judge(&v6, room, address_v6, asked, since)?;
        }
    }

    #[test]
    fn prefixes_that_change_over_and_over_are_never_forgotten() {
        let mut routes = routes::<u32>(8);
        for generation in 1..10_000 {
            routes.note(0, (generation as u32 % 8) << 24, 8, mark(generation));
        }
        assert_eq!(routes.forgotten, Generation(0));
        assert_eq!(ask(&routes, 0x0900_0001, &[(0, 0)], 1), None);
        assert_eq!(ask(&routes, 0x0700_0001, &[(0, 0)], 1), Some(mark(9_999)));
    }

    #[test]
    fn far_changes_beyond_count_overrun_nobody() {
        let mut routes = routes::<u32>(8);
        for generation in 1..100_000_u64 {
            routes.note(0, 0x0a00_0000 | (generation as u32) << 8, 24, mark(generation));
        }
        assert!(routes.forgotten > Generation(90_000));
        assert_eq!(ask(&routes, 0xc633_6401, &[(0, 25)], 1), None, "longer ones have not changed");
        assert_eq!(ask(&routes, 0x0a00_0105, &[(0, 24)], 1).unwrap().reason, Staleness::JournalOverrun);
    }
}
