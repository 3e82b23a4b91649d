//! What the control thread writes down of the flow cache: when each generation began, and what is still to be told.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ctl::message::{Counters, FlowCacheEvent};

/// Generations whose beginnings are remembered: as many as the journal has changes at most.
const MOMENTS_MAX: usize = fib::journal::DEPTH_MAX;

/// What users do between two ticks that is told to those who watch. What they do beyond is counted.
const NEWS_MAX: usize = 1024;

/// When generations began, what users did since the last tick, and what those who watch were told last.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// Generations in rising order, each with its time in milliseconds since 1970.
    moments: RefCell<VecDeque<(u64, u64)>>,
    news: RefCell<VecDeque<FlowCacheEvent>>,
    news_lost: Cell<u64>,
    told: RefCell<Option<Sums>>,
}

/// What changes have asked of flows since the router started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Generation of now.
    pub generation: u64,
    /// Changes of the routing state.
    pub changes: u64,
    /// Kept routes that were looked up again, by reason.
    pub renewals: Counters,
    /// Flows that found another way because of a change.
    pub moved: u64,
    /// Kept routes that no change concerned.
    pub unaffected: u64,
    /// Kept routes that stayed by policy.
    pub kept_by_policy: u64,
}

impl Chronicle {
    /// A generation is in force, from `time_unix_ms` on if it was not before.
    pub fn note_generation(&self, generation: u64, time_unix_ms: u64) {
        let mut moments = self.moments.borrow_mut();
        if moments.back().is_some_and(|(last, _)| *last >= generation) {
            return;
        }
        if moments.len() == MOMENTS_MAX {
            moments.pop_front();
        }
        moments.push_back((generation, time_unix_ms));
    }

    /// When a generation began, in milliseconds since 1970.
    ///
    /// Of generations that were put in force together, the last one has a moment, which is that of all of them.
    #[must_use]
    pub fn time_of(&self, generation: u64) -> Option<u64> {
        let moments = self.moments.borrow();
        let place = moments.partition_point(|(noted, _)| *noted < generation);
        if place == 0 && moments.front().is_none_or(|(first, _)| *first != generation) {
            return None;
        }
        moments.get(place).map(|(_, time)| *time)
    }

    /// A user did something, which is told with the next tick.
    pub fn note(&self, event: FlowCacheEvent) {
        let mut news = self.news.borrow_mut();
        if news.len() < NEWS_MAX {
            news.push_back(event);
        } else {
            self.news_lost.set(self.news_lost.get() + 1);
        }
    }

    /// What users did since this was asked last.
    pub fn take_news(&self) -> VecDeque<FlowCacheEvent> {
        std::mem::take(&mut *self.news.borrow_mut())
    }

    /// What users did and there was no room to tell.
    #[must_use]
    pub fn news_lost(&self) -> u64 {
        self.news_lost.get()
    }

    /// Nobody watches: the next who does is told of what happens from then on.
    pub fn forget(&self) {
        *self.told.borrow_mut() = None;
    }

    /// What there is to tell of what has happened to routes since this was asked last; `None` if nothing has, and the
    /// first time.
    pub fn followed(&self, now: Sums) -> Option<FlowCacheEvent> {
        let before = self.told.borrow_mut().replace(now.clone())?;
        if before == now {
            return None;
        }
        let mut renewals = now.renewals;
        for (reason, count) in &mut renewals {
            *count -= before.renewals.get(reason).copied().unwrap_or(0).min(*count);
        }
        renewals.retain(|_, count| *count > 0);
        Some(FlowCacheEvent::Followed {
            generation: now.generation,
            changes: now.changes.saturating_sub(before.changes),
            renewals,
            moved: now.moved.saturating_sub(before.moved),
            unaffected: now.unaffected.saturating_sub(before.unaffected),
            kept_by_policy: now.kept_by_policy.saturating_sub(before.kept_by_policy),
        })
    }
}

#[cfg(test)]
mod tests {
    use ctl::message::FlowCacheEvent;

    use super::*;

    #[test]
    fn a_generation_has_the_time_at_which_it_was_first_in_force() {
        let chronicle = Chronicle::default();
        assert_eq!(chronicle.time_of(1), None);
        for (generation, time) in [(5, 100), (5, 200), (8, 300)] {
            chronicle.note_generation(generation, time);
        }
        let times = [4, 5, 6, 7, 8, 9].map(|generation| chronicle.time_of(generation));
        assert_eq!(times, [None, Some(100), Some(300), Some(300), Some(300), None]);
    }

    #[test]
    fn old_generations_are_forgotten() {
        let chronicle = Chronicle::default();
        let last = MOMENTS_MAX as u64 + 10;
        (1..=last).for_each(|generation| chronicle.note_generation(generation, generation * 2));
        assert_eq!((chronicle.time_of(10), chronicle.time_of(11)), (None, Some(22)));
        assert_eq!(chronicle.time_of(last), Some(last * 2));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let chronicle = Chronicle::default();
        for flows in 0..NEWS_MAX as u64 + 3 {
            chronicle.note(FlowCacheEvent::Invalidated { flows });
        }
        assert_eq!((chronicle.take_news().len(), chronicle.news_lost()), (NEWS_MAX, 3));
        assert_eq!(chronicle.take_news().len(), 0);
    }

    #[test]
    fn sums_are_told_as_what_has_been_added() {
        let chronicle = Chronicle::default();
        let first = Sums {
            generation: 7,
            changes: 10,
            renewals: Counters::from([("route_added".into(), 5), ("mark".into(), 1)]),
            moved: 2,
            unaffected: 100,
            kept_by_policy: 1,
        };
        assert_eq!(chronicle.followed(first.clone()), None, "what was before is not told");
        assert_eq!(chronicle.followed(first.clone()), None, "nothing has happened");
        let renewals = Counters::from([("route_added".into(), 8), ("mark".into(), 1)]);
        let second =
            Sums { generation: 9, changes: 12, renewals, moved: 4, unaffected: 150, kept_by_policy: 1 };
        assert_eq!(
            chronicle.followed(second.clone()),
            Some(FlowCacheEvent::Followed {
                generation: 9,
                changes: 2,
                renewals: Counters::from([("route_added".into(), 3)]),
                moved: 2,
                unaffected: 50,
                kept_by_policy: 0,
            })
        );
        chronicle.forget();
        assert_eq!(chronicle.followed(second), None);
    }
}
