//! Marks of things of which few ever change: addresses of the router's own, route policies.

use std::collections::HashMap;
use std::hash::Hash;

use super::Mark;
use crate::snapshot::Generation;

/// The most that are told apart; beyond it, all count as changed.
const TOLD_APART_MAX: usize = 1_024;

/// See the file.
#[derive(Clone, Debug)]
pub(crate) struct Few<K> {
    marks: HashMap<K, Mark>,
    latest: Generation,
    /// The latest change that is in no mark any more.
    forgotten: Generation,
}

impl<K> Default for Few<K> {
    fn default() -> Self {
        Self { marks: HashMap::new(), latest: Generation(0), forgotten: Generation(0) }
    }
}

impl<K: Eq + Hash> Few<K> {
    pub(super) fn note(&mut self, what: K, mark: Mark) {
        if self.marks.len() >= TOLD_APART_MAX && !self.marks.contains_key(&what) {
            self.marks.clear();
            self.forgotten = self.latest;
        }
        self.marks.insert(what, mark);
        self.latest = mark.generation;
    }

    /// The mark of one thing, if it was set after a generation.
    pub(crate) fn of(&self, what: &K, since: Generation) -> Option<Mark> {
        if self.latest <= since {
            return None;
        }
        self.marks.get(what).and_then(|mark| mark.after(since)).or_else(|| self.lost(since))
    }

    /// The latest mark of what `concerns`, if one was set after a generation.
    pub(crate) fn of_any(&self, since: Generation, concerns: impl Fn(&K) -> bool) -> Option<Mark> {
        if self.latest <= since {
            return None;
        }
        let concerning = self.marks.iter().filter(|(what, _)| concerns(what));
        let latest = concerning.filter_map(|(_, mark)| mark.after(since)).max_by_key(|mark| mark.generation);
        latest.or_else(|| self.lost(since))
    }

    fn lost(&self, since: Generation) -> Option<Mark> {
        (self.forgotten > since).then_some(Mark::overrun(self.forgotten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Staleness;

    fn mark(generation: u64) -> Mark {
        Mark { generation: Generation(generation), position: generation, reason: Staleness::AddressAdded }
    }

    #[test]
    fn what_is_no_longer_told_apart_counts_as_changed() {
        let mut few = Few::default();
        few.note(0_u64, mark(5));
        assert_eq!(few.of(&0, Generation(4)), Some(mark(5)));
        assert_eq!((few.of(&0, Generation(5)), few.of(&1, Generation(4))), (None, None));
        (1..=TOLD_APART_MAX as u64).for_each(|what| few.note(what, mark(5 + what)));
        let all_but_the_last = 5 + TOLD_APART_MAX as u64 - 1;
        assert_eq!(few.of(&0, Generation(4)), Some(Mark::overrun(Generation(all_but_the_last))));
        assert_eq!(few.of(&9_999_999, Generation(4)), Some(Mark::overrun(Generation(all_but_the_last))));
        assert_eq!(few.of(&0, Generation(all_but_the_last)), None);
        let last = TOLD_APART_MAX as u64;
        assert_eq!(few.of_any(Generation(all_but_the_last), |what| *what == last), Some(mark(5 + last)));
        assert!(few.marks.len() <= TOLD_APART_MAX);
    }
}
