//! How one writer changes what many readers look at, without either waiting: two copies that take turns.
//!
//! Readers see the published copy. A batch of operations is put into the other one, which then takes its place at
//! once; the one that was replaced gets the same operations later, when its last reader has let it go. So a change
//! costs its own work twice and never a rebuild, and a reader that holds on to a copy costs memory, not correctness.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// A copy that operations are put into.
pub(crate) trait Absorb<Op>: Clone {
    /// Applies one operation. The same operations in the same order make equal copies.
    fn absorb(&mut self, operation: &Op);
}

/// Where the published copy stands: swapped whole.
pub(crate) trait Slot<T> {
    fn swap(&self, next: Arc<T>) -> Arc<T>;
}

impl<T> Slot<T> for ArcSwap<T> {
    fn swap(&self, next: Arc<T>) -> Arc<T> {
        ArcSwap::swap(self, next)
    }
}

/// Attempts at catching a standby copy without readers before it is given up and copied instead. A worker lets go
/// at the end of its turn, which is well within this many offers of the processor.
const PATIENCE: usize = 4_096;

/// The writing end.
#[derive(Debug)]
pub(crate) struct Publisher<T, Op, S> {
    slot: Arc<S>,
    published: Arc<T>,
    standby: Arc<T>,
    /// What the published copy has and the standby has not.
    behind: Vec<Op>,
    /// Copies that were given up while a reader held them: the reader is not to be the one who frees them.
    given_up: Vec<Arc<T>>,
    copies: u64,
}

impl<T: Absorb<Op>, Op, S: Slot<T>> Publisher<T, Op, S> {
    /// Publishes `initial` through a slot that `make_slot` makes.
    pub(crate) fn new(initial: T, make_slot: impl FnOnce(Arc<T>) -> S) -> Self {
        let published = Arc::new(initial);
        let standby = Arc::new(T::clone(&published));
        Self {
            slot: Arc::new(make_slot(published.clone())),
            published,
            standby,
            behind: Vec::new(),
            given_up: Vec::new(),
            copies: 0,
        }
    }

    /// Makes all operations visible at once.
    pub(crate) fn publish(&mut self, operations: Vec<Op>, pause: impl FnMut()) {
        self.given_up.retain(|copy| Arc::strong_count(copy) > 1);
        let next = self.writable(pause);
        for operation in &operations {
            next.absorb(operation);
        }
        self.behind = operations;
        self.published = self.standby.clone();
        self.standby = self.slot.swap(self.published.clone());
        self.catch_up();
    }

    /// The copy that readers get now.
    pub(crate) fn published(&self) -> &T {
        &self.published
    }

    pub(crate) fn slot(&self) -> &Arc<S> {
        &self.slot
    }

    /// How often a reader held on for so long that a whole copy was made.
    pub(crate) fn copies(&self) -> u64 {
        self.copies
    }

    /// The standby, up to date and without readers.
    fn writable(&mut self, mut pause: impl FnMut()) -> &mut T {
        for _ in 0..PATIENCE {
            if self.catch_up() {
                break;
            }
            pause();
        }
        if !self.catch_up() {
            let next = Arc::new(T::clone(&self.published));
            self.given_up.push(std::mem::replace(&mut self.standby, next));
            self.behind.clear();
            self.copies += 1;
        }
        Arc::get_mut(&mut self.standby).expect("nobody can reach a standby that has no readers left")
    }

    /// Puts into the standby what it lacks; false while a reader holds it.
    fn catch_up(&mut self) -> bool {
        let Some(standby) = Arc::get_mut(&mut self.standby) else { return false };
        for operation in self.behind.drain(..) {
            standby.absorb(&operation);
        }
        true
    }
}

/// A worker's access to what is published. Cheap to clone; one per thread is best.
#[derive(Debug)]
pub struct Reader<T> {
    slot: Arc<ArcSwap<T>>,
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { slot: self.slot.clone() }
    }
}

impl<T> Reader<T> {
    pub(crate) fn new(slot: Arc<ArcSwap<T>>) -> Self {
        Self { slot }
    }

    /// What is published now; it does not change while it is held. Take it once a turn and let it go before blocking:
    /// the writer reuses a copy when its last reader is gone.
    #[must_use]
    pub fn load(&self) -> Loaded<T> {
        Loaded { guard: self.slot.load() }
    }
}

/// What was published when it was loaded.
#[derive(Debug)]
pub struct Loaded<T> {
    guard: Guard<Arc<T>>,
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// Numbers of which each batch sets two, each with an edit of its own.
    #[derive(Clone, Debug, PartialEq)]
    struct Content {
        generation: u64,
        numbers: [u64; 3],
    }

    #[derive(Clone, Copy, Debug)]
    enum Edit {
        Number(usize, u64),
        Generation(u64),
    }

    impl Absorb<Edit> for Content {
        fn absorb(&mut self, operation: &Edit) {
            match *operation {
                Edit::Number(place, value) => self.numbers[place] = value,
                Edit::Generation(generation) => self.generation = generation,
            }
        }
    }

    const EMPTY: Content = Content { generation: 0, numbers: [0; 3] };

    /// Edits of two of the three numbers: which ones differs from batch to batch.
    fn batch(generation: u64) -> Vec<Edit> {
        let places = (0..3).filter(|place| *place as u64 != generation % 3);
        places.map(|place| Edit::Number(place, generation)).chain([Edit::Generation(generation)]).collect()
    }

    /// What all batches up to a generation make together.
    fn content(generation: u64) -> Content {
        let mut content = EMPTY;
        (1..=generation).flat_map(batch).for_each(|edit| content.absorb(&edit));
        content
    }

    fn publisher() -> Publisher<Content, Edit, ArcSwap<Content>> {
        Publisher::new(EMPTY, ArcSwap::new)
    }

    #[test]
    fn what_a_reader_holds_does_not_change_under_it() {
        let mut publisher = publisher();
        let reader = Reader::new(publisher.slot().clone());
        let first = reader.load();
        publisher.publish(batch(1), || {});
        assert_eq!(*first, EMPTY);
        let second = reader.load();
        drop(first);
        publisher.publish(batch(2), || {});
        assert_eq!(*second, content(1));
        assert_eq!(*reader.load(), content(2));
        assert_eq!(publisher.copies(), 0);
    }

    #[test]
    fn a_reader_that_never_lets_go_costs_a_copy_and_stops_nobody() {
        let mut publisher = publisher();
        let reader = Reader::new(publisher.slot().clone());
        let held = reader.load();
        let mut pauses = 0;
        publisher.publish(batch(1), || pauses += 1);
        assert_eq!(pauses, 0, "the other copy was free");
        publisher.publish(batch(2), || pauses += 1);
        assert_eq!((pauses, publisher.copies()), (PATIENCE, 1));
        assert_eq!(*held, EMPTY);
        assert_eq!(*reader.load(), content(2));
        assert_eq!(publisher.given_up.len(), 1, "the reader does not free it");
        publisher.publish(batch(3), || pauses += 1);
        assert_eq!((pauses, publisher.copies()), (PATIENCE, 1), "the copy that is held is out of the game");
        assert_eq!(*reader.load(), content(3));
        drop(held);
        publisher.publish(batch(4), || {});
        assert!(publisher.given_up.is_empty());
    }

    proptest! {
        #[test]
        fn both_copies_follow_one_sequence_whatever_is_held(
            steps in prop::collection::vec((0_usize..3, any::<u64>(), any::<bool>()), 1..60)
        ) {
            let mut publisher = publisher();
            let reader = Reader::new(publisher.slot().clone());
            let mut expected = EMPTY;
            let mut held = Vec::new();
            for (place, value, hold) in steps {
                let edits = vec![Edit::Number(place, value)];
                edits.iter().for_each(|edit| expected.absorb(edit));
                publisher.publish(edits, || {});
                prop_assert_eq!(&*reader.load(), &expected);
                prop_assert_eq!(publisher.published(), &expected);
                if hold {
                    held.push((reader.load(), expected.clone()));
                } else {
                    held.clear();
                }
                for (view, as_it_was) in &held {
                    prop_assert_eq!(&**view, as_it_was);
                }
            }
        }
    }

    /// A slot that shuttle can schedule around.
    struct Shuttled(shuttle::sync::Mutex<Arc<Content>>);

    impl Slot<Content> for Shuttled {
        fn swap(&self, next: Arc<Content>) -> Arc<Content> {
            std::mem::replace(&mut *self.0.lock().unwrap(), next)
        }
    }

    impl Shuttled {
        fn load(&self) -> Arc<Content> {
            self.0.lock().unwrap().clone()
        }
    }

    #[test]
    fn no_schedule_shows_half_a_batch_or_a_generation_ahead_of_its_content() {
        static SEEN: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
        let run = || {
            let mut publisher = Publisher::new(EMPTY, |first| Shuttled(shuttle::sync::Mutex::new(first)));
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let slot = publisher.slot().clone();
                    shuttle::thread::spawn(move || {
                        let mut last = 0;
                        for _ in 0..3 {
                            let view = slot.load();
                            let generation = view.generation;
                            shuttle::thread::yield_now();
                            assert_eq!(*view, content(generation));
                            assert!(generation >= last, "{last} then {generation}");
                            last = generation;
                            SEEN[generation as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            for generation in 1..=3 {
                publisher.publish(batch(generation), shuttle::thread::yield_now);
                assert_eq!(publisher.slot().load().generation, generation, "published when publish returns");
            }
            for reader in readers {
                reader.join().unwrap();
            }
        };
        shuttle::check_random(run, 500);
        assert!(
            SEEN.iter().all(|seen| seen.load(Ordering::Relaxed) > 0),
            "a schedule that shows nothing: {SEEN:?}"
        );
    }
}
