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
            copies: 0,
        }
    }

    /// Makes all operations visible at once.
    pub(crate) fn publish(&mut self, operations: Vec<Op>, pause: impl FnMut()) {
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
            self.standby = Arc::new(T::clone(&self.published));
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
