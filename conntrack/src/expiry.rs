//! When flows end: a lazy wheel. A flow that is prolonged stays where it is on the wheel; only when its turn comes is its
//! real end looked up, and it is put back if that still lies ahead.

use crate::time::Instant;

/// One step of the wheel, in nanoseconds: about 268 ms.
pub(crate) const TICK_NS: u64 = 1 << 28;

/// Steps of the wheel, together about 137 s. A flow that ends later is looked at once a turn.
const BUCKETS: usize = 512;

/// How far ahead of the current step an item may stand without falling into its bucket.
const TURN: u64 = BUCKETS as u64 - 1;

/// End of a list.
const NIL: u32 = u32::MAX;

/// Keeps items in numbered slots and on the wheel. Slots are reused; a list walks them in their order.
pub(crate) struct Schedule<T> {
    slots: Vec<Slot<T>>,
    /// First of the free slots, linked by `next`.
    free: u32,
    occupied: usize,
    /// First slot of each bucket.
    buckets: Box<[u32; BUCKETS]>,
    /// All buckets before this step are done; items stand in the `BUCKETS` steps from here on.
    tick: u64,
}

struct Slot<T> {
    item: Option<T>,
    next: u32,
    previous: u32,
    bucket: u16,
}

impl<T> Schedule<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: NIL, occupied: 0, buckets: Box::new([NIL; BUCKETS]), tick: 0 }
    }

    /// Adds an item that is to be looked at when `due` has passed. Returns its slot.
    pub(crate) fn insert(&mut self, item: T, due: Instant, now: Instant) -> u32 {
        if self.occupied == 0 {
            self.tick = self.tick.max(tick_of(now));
        }
        let slot = match self.free {
            NIL => {
                let slot =
                    u32::try_from(self.slots.len()).expect("fewer slots than flows that fit in memory");
                assert!(slot != NIL, "the last number ends lists");
                self.slots.push(Slot { item: None, next: NIL, previous: NIL, bucket: 0 });
                slot
            }
            free => {
                self.free = self.slots[free as usize].next;
                free
            }
        };
        self.slots[slot as usize].item = Some(item);
        self.occupied += 1;
        self.link(slot, due, self.tick);
        slot
    }

    /// Takes an item out.
    ///
    /// # Panics
    /// If the slot is empty.
    pub(crate) fn remove(&mut self, slot: u32) -> T {
        self.unlink(slot);
        let place = &mut self.slots[slot as usize];
        let item = place.item.take().expect("the slot holds an item");
        place.next = self.free;
        self.free = slot;
        self.occupied -= 1;
        item
    }

    /// Looks at the item in `slot` when `due` has passed and not later: for items whose end has come nearer. Those that
    /// end later than they should need no call.
    pub(crate) fn hasten(&mut self, slot: u32, due: Instant) {
        self.unlink(slot);
        self.link(slot, due, self.tick);
    }

    /// Looks at items whose step has come, at most `budget` of them, which is lowered by one for each. `due` says when
    /// an item really ends; those that have ended are shown to `ended` and looked at again unless removed.
    /// Returns whether all is done up to `now`.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        budget: &mut usize,
        due: impl Fn(&T) -> Instant,
        mut ended: impl FnMut(&T),
    ) -> bool {
        let current = tick_of(now);
        if self.occupied == 0 {
            self.tick = self.tick.max(current);
            return true;
        }
        // After a long pause every bucket's step has come, and one turn serves all but the last, which is next.
        self.tick = self.tick.max(current.saturating_sub(TURN - 1));
        while self.tick <= current {
            let bucket = bucket_of(self.tick);
            while self.buckets[bucket] != NIL {
                if *budget == 0 {
                    return false;
                }
                *budget -= 1;
                let slot = self.buckets[bucket];
                let item = self.slots[slot as usize].item.as_ref().expect("linked slots hold items");
                let due = due(item);
                if due <= now {
                    ended(item);
                }
                self.unlink(slot);
                self.link(slot, due, current);
            }
            self.tick += 1;
        }
        true
    }

    pub(crate) const fn len(&self) -> usize {
        self.occupied
    }

    /// One more than the highest slot ever used.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The item in `slot`, if it is occupied.
    pub(crate) fn get(&self, slot: usize) -> Option<&T> {
        self.slots.get(slot)?.item.as_ref()
    }

    /// As [`Self::get`], to be changed.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.item.as_mut()
    }

    /// Puts a slot into the bucket of the first step after both `due` and the step `past`, or the last of this turn.
    fn link(&mut self, slot: u32, due: Instant, past: u64) {
        let step = (tick_of(due) + 1).clamp(past + 1, self.tick + TURN);
        let bucket = bucket_of(step);
        let head = self.buckets[bucket];
        let place = &mut self.slots[slot as usize];
        place.next = head;
        place.previous = NIL;
        place.bucket = u16::try_from(bucket).expect("there are few buckets");
        if head != NIL {
            self.slots[head as usize].previous = slot;
        }
        self.buckets[bucket] = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { next, previous, bucket, .. } = self.slots[slot as usize];
        if previous == NIL {
            self.buckets[usize::from(bucket)] = next;
        } else {
            self.slots[previous as usize].next = next;
        }
        if next != NIL {
            self.slots[next as usize].previous = previous;
        }
    }
}

/// The step that `at` belongs to.
pub(crate) fn tick_of(at: Instant) -> u64 {
    at.nanos() / TICK_NS
}

fn bucket_of(tick: u64) -> usize {
    usize::try_from(tick % BUCKETS as u64).expect("there are few buckets")
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
            let mut schedule = Schedule::new();
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
        let mut schedule = Schedule::new();
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
    fn a_first_look_long_after_the_origin_costs_no_more_than_one_turn() {
        let mut schedule = Schedule::new();
        let start = Instant::from_secs(3_000_000_000);
        let due = start + Duration::from_secs(1);
        schedule.insert((1, due), due, start);
        let (ended, done) = expire(&mut schedule, start + Duration::from_secs(100_000), 1);
        assert_eq!((ended, done), (vec![1], true));
    }

    proptest! {
        #[test]
        fn the_wheel_agrees_with_a_sorted_map(
            steps in prop::collection::vec((0u64..4, 0u64..400_000, any::<u16>()), 1..200),
        ) {
            let mut schedule = Schedule::new();
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
