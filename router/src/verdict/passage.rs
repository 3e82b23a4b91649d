//! What rules made of a packet, as it is kept.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Seen;
use super::totals::Totals;
use crate::chain::Point;
use crate::drops::DropReason;
use crate::engine::Refusal;
use crate::rules::state::Counter;

/// A packet's way through the base chains behind tracking.
#[derive(Debug, PartialEq, Eq)]
pub struct Passage {
    pub(super) sections: Box<[Section]>,
}

impl Hash for Passage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.sections.len());
        self.sections.iter().for_each(|section| hash_section(&section.made, &section.counters, state));
    }
}

/// What one base chain made of it.
#[derive(Debug)]
pub struct Section {
    pub(super) made: Made,
    /// Each as often as it counted the packet.
    pub(super) counters: Box<[Arc<Counter>]>,
    totals: Totals,
}

/// What a chain made of a packet, but for what it counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Made {
    /// Where in memory the chain's hook is. The chains that passages belong to keep it there.
    pub(super) hook: usize,
    /// Where that is on the packet's way.
    pub(super) point: Point,
    /// What it rested on.
    pub(super) seen: Seen,
    /// The mark it gave, if it gave one.
    pub(super) mark: Option<u32>,
    /// The priority it gave, if it gave one.
    pub(super) priority: Option<u32>,
    pub(super) end: End,
}

/// How a chain ended for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It goes on.
    Passed,
    /// It was dropped, and answered so.
    Dropped(DropReason, Option<Refusal>),
}

impl Passage {
    /// What each base chain made of the packet, in the order in which they saw it.
    #[must_use]
    pub const fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// How it ended: passed if no chain has dropped it.
    #[must_use]
    pub fn end(&self) -> End {
        self.sections.last().map_or(End::Passed, Section::end)
    }

    /// Counts packets that have passed all of it without a walk.
    pub fn count(&self, packets: u64, bytes: u64) {
        self.sections.iter().for_each(|section| section.add(usize::MAX, packets, bytes));
    }

    /// Bytes of memory it takes, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let counters: usize = self.sections.iter().map(|section| section.counters.len()).sum();
        size_of::<Self>() + size_of_val(&*self.sections) + counters * size_of::<Arc<Counter>>()
    }

    /// Adds what was counted to the counters.
    pub(super) fn fold(&self) {
        self.sections.iter().for_each(Section::fold);
    }
}

impl Section {
    pub(super) fn new(made: Made, counters: &[Arc<Counter>]) -> Self {
        Self { made, counters: counters.into(), totals: Totals::default() }
    }

    /// How the chain ended.
    #[must_use]
    pub const fn end(&self) -> End {
        self.made.end
    }

    /// How many times it counted the packet, at whatever counters.
    #[must_use]
    pub const fn counters(&self) -> usize {
        self.counters.len()
    }

    /// What it rested on.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.made.seen
    }

    /// Where in memory the chain's hook is.
    #[must_use]
    pub const fn hook(&self) -> usize {
        self.made.hook
    }

    /// Where on the packet's way it was.
    #[must_use]
    pub const fn point(&self) -> Point {
        self.made.point
    }

    /// The mark it gave, if it gave one.
    #[must_use]
    pub const fn mark(&self) -> Option<u32> {
        self.made.mark
    }

    /// The priority it gave, if it gave one.
    #[must_use]
    pub const fn priority(&self) -> Option<u32> {
        self.made.priority
    }

    /// Counts a packet of so many bytes that passes here, for the worker whose lane it is
    /// ([`super::Recording::lane`]).
    pub fn count(&self, lane: usize, bytes: u64) {
        self.add(lane, 1, bytes);
    }

    fn add(&self, lane: usize, packets: u64, bytes: u64) {
        if !self.counters.is_empty() {
            self.totals.add(lane, packets, bytes);
        }
    }

    fn fold(&self) {
        if self.counters.is_empty() {
            return;
        }
        let (packets, bytes) = self.totals.take();
        if (packets, bytes) != (0, 0) {
            self.counters.iter().for_each(|counter| counter.add(packets, bytes));
        }
    }
}

/// What is told apart: totals are not.
impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        self.made == other.made && same(&self.counters, &other.counters)
    }
}

impl Eq for Section {}

/// Whether these are the very same counters.
pub(super) fn same(one: &[Arc<Counter>], other: &[Arc<Counter>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

pub(super) fn hash_section<H: Hasher>(made: &Made, counters: &[Arc<Counter>], state: &mut H) {
    made.hash(state);
    state.write_usize(counters.len());
    counters.iter().for_each(|counter| state.write_usize(Arc::as_ptr(counter).addr()));
}
