//! A packet's way through the rules while it is walked.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::Equivalent;

use super::passage::{Made, Passage, Section, hash_section, same};
use super::{End, Seen, What};
use crate::chain::Point;
use crate::rules::state::Counter;

/// Most base chains of one passage.
pub const SECTIONS_MAX: usize = 32;
/// Most that one passage counts.
pub const COUNTERS_MAX: usize = 1024;

/// Why a packet's way is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Something happened that does not happen to every packet; the next one may be fit.
    Once,
    /// It rests on what each packet is asked for anew: a rate, a quota, the time, bytes that differ.
    Always,
    /// It is longer than passages may be.
    Long,
}

/// What rules tell of the packet they judge. Each worker has one, and no packet has two.
#[derive(Debug, Default)]
pub struct Recording {
    /// Goes up with each packet.
    number: u32,
    /// The mark that a packet which begins a flow was tracked with.
    mark: u32,
    unfit: Option<Unfit>,
    /// Which worker's it is, by a number that no other has.
    worker: Option<usize>,
    sections: Vec<Draft>,
    counters: Vec<Arc<Counter>>,
}

#[derive(Clone, Copy, Debug)]
struct Draft {
    made: Made,
    /// What it has given the packet itself, and so does not rest on.
    given: What,
    /// Where its counters end.
    counted: usize,
}

impl Recording {
    /// The recording of a worker, by a number that no other worker has.
    #[must_use]
    pub fn of_worker(worker: usize) -> Self {
        Self { worker: Some(worker), ..Self::default() }
    }

    /// Where the worker counts packets that pass a section.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.worker.unwrap_or(usize::MAX)
    }

    /// Begins with another packet; returns the number by which it is known.
    pub fn begin(&mut self) -> u32 {
        self.clear();
        self.number
    }

    /// Notes the mark that a packet which begins a flow was tracked with.
    pub const fn note_mark(&mut self, mark: u32) {
        self.mark = mark;
    }

    /// The mark that the last packet which began a flow was tracked with.
    #[must_use]
    pub const fn mark(&self) -> u32 {
        self.mark
    }

    /// Forgets the packet.
    pub fn clear(&mut self) {
        self.number = self.number.wrapping_add(1);
        self.unfit = None;
        self.sections.clear();
        self.counters.clear();
    }

    /// Begins with a packet that has passed the first `sections` of a passage.
    pub fn resume(&mut self, passage: &Passage, sections: usize) -> u32 {
        let number = self.begin();
        for section in passage.sections.iter().take(sections) {
            self.counters.extend_from_slice(&section.counters);
            let (made, counted) = (section.made, self.counters.len());
            self.sections.push(Draft { made, given: What::default(), counted });
        }
        number
    }

    /// The packet known by `number` enters a base chain. False if its way is not recorded (any more).
    pub fn enter(&mut self, number: u32, hook: usize, point: Point) -> bool {
        if number != self.number || self.unfit.is_some() {
            return false;
        }
        if self.sections.len() == SECTIONS_MAX {
            self.refuse(Unfit::Long);
            return false;
        }
        let made = Made { hook, point, seen: Seen::default(), mark: None, priority: None, end: End::Passed };
        self.sections.push(Draft { made, given: What::default(), counted: self.counters.len() });
        true
    }

    /// The chain that was entered has decided.
    pub fn leave(&mut self, end: End) {
        let counted = self.counters.len();
        if let Some(section) = self.sections.last_mut() {
            section.made.end = end;
            section.counted = counted;
        }
    }

    /// How the last chain ended.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.sections.last().map(|section| section.made.end)
    }

    /// What of this is still to be looked at: not seen yet, and not given by the chain itself.
    #[must_use]
    pub fn unseen(&self, what: What) -> What {
        self.sections
            .last()
            .map_or(What::default(), |section| what.without(section.made.seen.what).without(section.given))
    }

    /// The chain rests on this, too.
    pub fn saw(&mut self, seen: Seen) {
        if let Some(section) = self.sections.last_mut() {
            section.made.seen.add(seen);
        }
    }

    /// The chain gives the packet a mark.
    pub fn give_mark(&mut self, mark: u32) {
        if let Some(section) = self.sections.last_mut() {
            section.made.mark = Some(mark);
            section.given = section.given.with(What::MARK);
        }
    }

    /// The chain gives the packet a priority.
    pub fn give_priority(&mut self, priority: u32) {
        if let Some(section) = self.sections.last_mut() {
            section.made.priority = Some(priority);
            section.given = section.given.with(What::PRIORITY);
        }
    }

    /// The chain counts the packet.
    pub fn count(&mut self, counter: &Arc<Counter>) {
        if self.counters.len() == COUNTERS_MAX {
            self.refuse(Unfit::Long);
        } else {
            self.counters.push(counter.clone());
        }
    }

    /// The packet's way is not to be remembered.
    pub fn refuse(&mut self, unfit: Unfit) {
        if self.unfit != Some(Unfit::Always) {
            self.unfit = Some(unfit);
        }
    }

    /// Why the way of the packet known by `number` is not to be remembered, if it is not.
    #[must_use]
    pub fn unfit(&self, number: u32) -> Option<Unfit> {
        if number == self.number { self.unfit } else { Some(Unfit::Once) }
    }

    /// The passage it has become.
    pub(super) fn passage(&self) -> Passage {
        Passage { sections: self.parts().map(|(made, counters)| Section::new(*made, counters)).collect() }
    }

    fn parts(&self) -> impl Iterator<Item = (&Made, &[Arc<Counter>])> {
        let mut from = 0;
        self.sections.iter().map(move |section| {
            let counters = &self.counters[from..section.counted];
            from = section.counted;
            (&section.made, counters)
        })
    }
}

/// As the passage it would become.
impl Hash for Recording {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.sections.len());
        self.parts().for_each(|(made, counters)| hash_section(made, counters, state));
    }
}

impl Equivalent<Passage> for Recording {
    fn equivalent(&self, passage: &Passage) -> bool {
        self.sections.len() == passage.sections.len()
            && self
                .parts()
                .zip(&passage.sections)
                .all(|((made, counters), section)| *made == section.made && same(counters, &section.counters))
    }
}
