//! What is due when: each thing that waits has one moment, and the earliest is found at once.

use std::collections::{BTreeMap, BTreeSet};

use conntrack::Instant;

/// Moments by what waits for them. As many at most as there are things that wait.
#[derive(Debug)]
pub(super) struct Timers<K> {
    queue: BTreeSet<(Instant, K)>,
    due: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(super) const fn new() -> Self {
        Self { queue: BTreeSet::new(), due: BTreeMap::new() }
    }

    /// Has `what` wait for this moment instead of any other; `None` for none.
    pub(super) fn set(&mut self, what: K, moment: Option<Instant>) {
        let before = match moment {
            Some(moment) => self.due.insert(what, moment),
            None => self.due.remove(&what),
        };
        if before == moment {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, what));
        }
        if let Some(moment) = moment {
            self.queue.insert((moment, what));
        }
    }

    /// Takes out what has waited longest of what is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<K> {
        let (moment, what) = *self.queue.first()?;
        if moment > now {
            return None;
        }
        self.set(what, None);
        Some(what)
    }

    /// What `what` waits for.
    pub(super) fn get(&self, what: K) -> Option<Instant> {
        self.due.get(&what).copied()
    }

    /// The earliest moment that is waited for.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(moment, _)| *moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_its_last_moment_only() {
        let at = Instant::from_secs;
        let mut timers = Timers::new();
        timers.set("a", Some(at(5)));
        timers.set("b", Some(at(3)));
        timers.set("a", Some(at(1)));
        timers.set("c", Some(at(2)));
        timers.set("c", None);
        assert_eq!((timers.next(), timers.get("a"), timers.get("c")), (Some(at(1)), Some(at(1)), None));
        assert_eq!(timers.pop(at(0)), None);
        assert_eq!((timers.pop(at(9)), timers.pop(at(9)), timers.pop(at(9))), (Some("a"), Some("b"), None));
    }
}
