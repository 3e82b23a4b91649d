//! When flows end: each slot says in which step it is to be looked at. A flow that is prolonged leaves that as it is;
//! only when its step comes is its real end looked up, and the slot put off if that still lies ahead.
//!
//! The steps stand side by side, four bytes a flow, so that going through all of them once a step costs less than
//! keeping them in order.

use crate::time::Instant;

/// One step, in nanoseconds: about 268 ms.
pub(crate) const TICK_NS: u64 = 1 << 28;

/// Slots that are gone through together.
const STRETCH: usize = 64;

/// Stretches without anything to look at that cost as much as looking at one item.
const STRETCHES_PER_LOOK: usize = 16;

/// Set in place of a step for a free slot; the lower bits are the next free slot.
const FREE: u32 = 1 << 31;

/// The end of the list of free slots.
const NIL: u32 = FREE - 1;

/// The last step that can be told, counted from the origin: 18 years after it. What ends later is looked at then.
const FAR: u64 = FREE as u64 - 1;

/// The origin is moved up before steps come close to the last one.
const ORIGIN_STALE: u64 = FAR / 2;

/// Keeps items in numbered slots with the step in which each is looked at. Slots are reused; a list walks them in their
/// order.
pub(crate) struct Schedule<T> {
    items: Vec<Option<T>>,
    /// For each slot the step of its next look, counted from `origin`, or [`FREE`].
    looks: Vec<u32>,
    /// First of the free slots.
    free: u32,
    occupied: usize,
    /// Items there is room for from the first one on.
    expected: usize,
    origin: u64,
    /// All steps before this one are done.
    tick: u64,
    /// The round under way: the step it is for, and the slot where it goes on.
    round: Option<(u64, usize)>,
}

impl<T> Schedule<T> {
    /// An empty one, which will not have to grow for this many items.
    pub(crate) const fn new(expected: usize) -> Self {
        Self {
            items: Vec::new(),
            looks: Vec::new(),
            free: NIL,
            occupied: 0,
            expected,
            origin: 0,
            tick: 0,
            round: None,
        }
    }

    /// Adds an item that is to be looked at when `due` has passed. Returns its slot.
    pub(crate) fn insert(&mut self, item: T, due: Instant, now: Instant) -> u32 {
        if self.occupied == 0 {
            self.tick = self.tick.max(tick_of(now));
            self.origin = self.tick;
            // One that was under way has nothing to look at any more.
            self.round = None;
        }
        self.occupied += 1;
        let look = self.step(due);
        if self.free != NIL {
            let slot = self.free;
            self.free = self.looks[slot as usize] & !FREE;
            self.items[slot as usize] = Some(item);
            self.looks[slot as usize] = look;
            return slot;
        }
        if self.items.capacity() == 0 {
            self.items.reserve_exact(self.expected);
            self.looks.reserve_exact(self.expected);
        }
        let slot = u32::try_from(self.items.len()).expect("fewer slots than flows that fit in memory");
        assert!(slot < NIL, "the last number ends lists");
        self.items.push(Some(item));
        self.looks.push(look);
        slot
    }

    /// Takes an item out.
    ///
    /// # Panics
    /// If the slot is empty.
    pub(crate) fn remove(&mut self, slot: u32) -> T {
        let item = self.items[slot as usize].take().expect("the slot holds an item");
        self.looks[slot as usize] = FREE | self.free;
        self.free = slot;
        self.occupied -= 1;
        item
    }

    /// Looks at the item in `slot` when `due` has passed and not later: for items whose end has come nearer. Those that
    /// end later than they should need no call.
    pub(crate) fn hasten(&mut self, slot: u32, due: Instant) {
        self.looks[slot as usize] = self.step(due);
    }

    /// Looks at items whose step has come, at most `budget` of them, which is lowered by one for each and a little for
    /// going through the others. `due` says when an item really ends; those that have ended are shown to `ended` and
    /// looked at again in a later step unless removed. Returns whether all is done up to `now`.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        budget: &mut usize,
        due: impl Fn(&T) -> Instant,
        mut ended: impl FnMut(&T),
    ) -> bool {
        let current = tick_of(now);
        if self.occupied == 0 {
            self.tick = self.tick.max(current + 1);
            self.round = None;
            return true;
        }
        while self.tick <= current {
            let (tick, slot) = self.round.take().unwrap_or((current, 0));
            self.renew_origin(tick);
            if let Some(slot) = self.go_round(tick, slot, now, budget, &due, &mut ended) {
                self.round = Some((tick, slot));
                return false;
            }
            self.tick = tick + 1;
        }
        true
    }

    pub(crate) const fn len(&self) -> usize {
        self.occupied
    }

    /// One more than the highest slot ever used.
    pub(crate) const fn slots(&self) -> usize {
        self.items.len()
    }

    /// The item in `slot`, if it is occupied.
    pub(crate) fn get(&self, slot: usize) -> Option<&T> {
        self.items.get(slot)?.as_ref()
    }

    /// As [`Self::get`], to be changed.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.items.get_mut(slot as usize)?.as_mut()
    }

    /// Goes through the slots from `slot` on for one step. Returns where it had to stop for want of budget.
    fn go_round(
        &mut self,
        tick: u64,
        slot: usize,
        now: Instant,
        budget: &mut usize,
        due: &impl Fn(&T) -> Instant,
        ended: &mut impl FnMut(&T),
    ) -> Option<usize> {
        let last = u32::try_from((tick - self.origin).min(FAR)).expect("steps fit");
        let mut idle = 0;
        let mut slot = slot;
        while slot < self.looks.len() {
            let end = (slot + STRETCH).min(self.looks.len());
            // Without an early way out, so that many are compared at once.
            if !self.looks[slot..end].iter().fold(false, |any, look| any | (*look <= last)) {
                slot = end;
                idle += 1;
                if idle == STRETCHES_PER_LOOK {
                    if *budget == 0 {
                        return Some(slot);
                    }
                    *budget -= 1;
                    idle = 0;
                }
                continue;
            }
            while slot < end {
                if self.looks[slot] <= last {
                    if *budget == 0 {
                        return Some(slot);
                    }
                    *budget -= 1;
                    let item = self.items[slot].as_ref().expect("slots with a step hold items");
                    let due = due(item);
                    if due <= now {
                        ended(item);
                    }
                    // Never the same step again, or a round could stay where it is.
                    self.looks[slot] = self.step(due).max(last + 1);
                }
                slot += 1;
            }
        }
        None
    }

    /// Keeps steps small enough to be told.
    fn renew_origin(&mut self, tick: u64) {
        let passed = tick.saturating_sub(self.origin);
        if passed < ORIGIN_STALE {
            return;
        }
        self.origin = tick;
        for look in self.looks.iter_mut().filter(|look| **look & FREE == 0) {
            *look = look.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
        }
    }

    /// The first step after `due`, counted from the origin.
    fn step(&self, due: Instant) -> u32 {
        let step = (tick_of(due) + 1).saturating_sub(self.origin).min(FAR - 1);
        u32::try_from(step).expect("less than 31 bits")
    }
}

/// The step that `at` belongs to.
pub(crate) fn tick_of(at: Instant) -> u64 {
    at.nanos() / TICK_NS
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Removes everything that has ended, as a table does; returns the items.
    fn expire(schedule: &mut Schedule<(u32, Instant)>, now: Instant, budget: usize) -> (Vec<u32>, bool) {
        let slots = RefCell::new(Vec::new());
        let mut left = budget;
        let done = schedule.advance(now, &mut left, |item| item.1, |item| slots.borrow_mut().push(item.0));
        let ended = slots.into_inner();
        for id in &ended {
            let slot = (0..schedule.slots())
                .find(|slot| schedule.get(*slot).is_some_and(|item| item.0 == *id))
                .expect("ended items are there");
            schedule.remove(u32::try_from(slot).unwrap());
        }
        (ended, done)
    }

    #[test]
    fn an_item_ends_after_its_time_and_within_two_steps_of_it() {
        for seconds in [0, 1, 5, 136, 137, 138, 1000, 5 * 24 * 3600] {
            let start = Instant::from_secs(1_000_000);
            let due = start + Duration::from_secs(seconds);
            let mut schedule = Schedule::new(4);
            schedule.insert((1, due), due, start);
            let mut now = start;
            let late = Duration::from_nanos(2 * TICK_NS);
            while schedule.len() == 1 {
                assert!(now < due + late, "{seconds} s");
                now = now + Duration::from_nanos(TICK_NS / 2);
                let (ended, done) = expire(&mut schedule, now, 10);
                assert!(done);
                assert!(ended.is_empty() || now >= due);
            }
        }
    }

    #[test]
    fn work_stops_at_the_budget_and_goes_on_where_it_stopped() {
        let mut schedule = Schedule::new(4);
        let due = Instant::from_secs(1);
        for id in 0..10 {
            schedule.insert((id, due), due, Instant::ZERO);
        }
        let now = Instant::from_secs(2);
        let (mut all, done) = expire(&mut schedule, now, 4);
        assert_eq!((all.len(), done), (4, false));
        let (more, done) = expire(&mut schedule, now, 100);
        assert_eq!((more.len(), done), (6, true));
        all.extend(more);
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_look_long_after_the_last_one_costs_no_more_than_any() {
        let mut schedule = Schedule::new(4);
        let start = Instant::from_secs(3_000_000_000);
        let due = start + Duration::from_secs(1);
        schedule.insert((1, due), due, start);
        let (ended, done) = expire(&mut schedule, start + Duration::from_secs(100_000), 1);
        assert_eq!((ended, done), (vec![1], true));
    }

    #[test]
    fn the_origin_is_moved_up_long_before_steps_can_no_longer_be_told() {
        let years = |count: u64| Duration::from_secs(count * 365 * 24 * 3600);
        let mut schedule = Schedule::new(0);
        let start = Instant::from_secs(1000);
        let last = start + years(100);
        schedule.insert((1, last), last, start);
        for year in 1..100 {
            let now = start + years(year);
            let id = 10 + u32::try_from(year).unwrap();
            let due = now + Duration::from_secs(60);
            schedule.insert((id, due), due, now);
            assert_eq!(expire(&mut schedule, now, 10), (vec![], true));
            let (ended, done) = expire(&mut schedule, due + Duration::from_secs(1), 10);
            assert_eq!((ended, done), (vec![id], true), "year {year}");
        }
        assert_eq!(expire(&mut schedule, last + Duration::from_secs(1), 10), (vec![1], true));
    }

    #[test]
    fn a_round_that_was_under_way_ends_with_its_last_item() {
        let mut schedule = Schedule::new(0);
        let (start, soon) = (Instant::from_secs(1000), Instant::from_secs(1001));
        let slots = [1, 2].map(|id| schedule.insert((id, soon), soon, start));
        assert_eq!(expire(&mut schedule, Instant::from_secs(1002), 1), (vec![1], false));
        schedule.remove(slots[1]);
        let due = Instant::from_secs(2001);
        schedule.insert((3, due), due, Instant::from_secs(2000));
        assert_eq!(expire(&mut schedule, Instant::from_secs(2000), 10), (vec![], true));
        assert_eq!(expire(&mut schedule, Instant::from_secs(2002), 10), (vec![3], true));
    }

    #[test]
    fn going_through_many_that_are_not_due_is_spread_over_calls() {
        let mut schedule = Schedule::new(0);
        let start = Instant::from_secs(1000);
        let late = start + Duration::from_secs(500);
        for id in 0..100_000 {
            schedule.insert((id, late), late, start);
        }
        let soon = start + Duration::from_secs(1);
        schedule.insert((7, soon), soon, start);
        let now = start + Duration::from_secs(2);
        let mut calls = 0;
        loop {
            calls += 1;
            let (ended, done) = expire(&mut schedule, now, 10);
            if done {
                assert_eq!(ended, [7]);
                break;
            }
            assert!(ended.is_empty() && calls < 20);
        }
        assert!(calls > 5, "{calls}");
    }

    proptest! {
        #[test]
        fn the_schedule_agrees_with_a_sorted_map(
            steps in prop::collection::vec((0u64..4, 0u64..400_000, any::<u16>()), 1..200),
        ) {
            let mut schedule = Schedule::new(4);
            let mut model = BTreeMap::new();
            let mut now = Instant::from_secs(77);
            for (id, (kind, amount_ms, pick)) in (0u32..).zip(steps) {
                let amount = Duration::from_millis(amount_ms);
                match kind {
                    0 | 1 => {
                        let due = now + amount;
                        let slot = schedule.insert((id, due), due, now);
                        model.insert(id, (slot, due));
                    }
                    2 => {
                        let count = model.len().max(1);
                        if let Some((&id, &(slot, _))) = model.iter().nth(usize::from(pick) % count) {
                            prop_assert_eq!(schedule.remove(slot).0, id);
                            model.remove(&id);
                        }
                    }
                    _ => {
                        now = now + amount;
                        let (mut ended, _) = expire(&mut schedule, now, usize::MAX);
                        // After a pause longer than a turn, one bucket is left for the step after.
                        now = now + Duration::from_nanos(TICK_NS);
                        ended.extend(expire(&mut schedule, now, usize::MAX).0);
                        for id in ended {
                            let (_, due) = model.remove(&id).expect("known");
                            prop_assert!(due <= now);
                        }
                        let late = Duration::from_nanos(2 * TICK_NS);
                        prop_assert!(model.values().all(|(_, due)| *due + late > now));
                    }
                }
                prop_assert_eq!(schedule.len(), model.len());
            }
        }
    }
}
