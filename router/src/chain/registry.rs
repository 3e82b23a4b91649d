//! Where hooks come and go while packets pass: batches that take effect whole or not at all.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use thiserror::Error;

use super::frozen::Link;
use super::{Chains, Family, Hook, Point};
use crate::verdict::Passages;

/// A hook and where it wants to sit.
#[derive(Clone)]
pub struct Registration {
    /// Where.
    pub place: Place,
    /// Order at the point; smaller comes first, equals in order of registration.
    pub priority: i32,
    /// The hook.
    pub hook: Arc<dyn Hook>,
}

/// The name of a hook's seat: one name sits once at a family's point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Family.
    pub family: Family,
    /// Point.
    pub point: Point,
    /// Name, not empty.
    pub name: Arc<str>,
}

impl Place {
    /// The seat `name` at `point` of `family`.
    #[must_use]
    pub fn new(family: Family, point: Point, name: &str) -> Self {
        Self { family, point, name: name.into() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\" at {} {}", self.name, self.family.name(), self.point.name())
    }
}

/// Why a batch was refused. Nothing of it took effect.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// The seat is taken.
    #[error("hook {0} is already registered")]
    Taken(Place),
    /// Nobody sits there.
    #[error("no hook {0} is registered")]
    Unknown(Place),
    /// A hook without a name could never be unregistered.
    #[error("a hook at {} {} has no name", .0.name(), .1.name())]
    Nameless(Family, Point),
    /// The point is full.
    #[error("{} {} already has {HOOKS_MAX} hooks", .0.name(), .1.name())]
    Full(Family, Point),
}

/// The most hooks at one point of one family.
pub const HOOKS_MAX: usize = 256;

/// One row of `show hooks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRow {
    /// Where.
    pub place: Place,
    /// Priority.
    pub priority: i32,
}

/// Who sits where. Changes are made one at a time; workers see them at their next turn.
#[derive(Default)]
pub struct Registry {
    writer: Mutex<Retired>,
    chains: ArcSwap<Chains>,
    watcher: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Registry {
    /// Seats a batch of hooks.
    ///
    /// # Errors
    /// [`Refused`], and then none of the batch is seated.
    pub fn register(&self, batch: impl IntoIterator<Item = Registration>) -> Result<(), Refused> {
        self.change(|chains| seat(chains, batch))
    }

    /// Takes a batch of hooks away. A worker in the middle of a turn calls them to the end of that turn.
    ///
    /// # Errors
    /// [`Refused::Unknown`], and then none of the batch is taken away.
    pub fn unregister(&self, batch: impl IntoIterator<Item = Place>) -> Result<(), Refused> {
        self.change(|chains| unseat(chains, batch))
    }

    /// Takes one batch away and seats another in the same moment: no packet meets both, none meets neither.
    ///
    /// # Errors
    /// [`Refused`], and then all stays as it was.
    pub fn replace(
        &self,
        away: impl IntoIterator<Item = Place>,
        batch: impl IntoIterator<Item = Registration>,
    ) -> Result<(), Refused> {
        self.change(|chains| {
            unseat(chains, away)?;
            seat(chains, batch)
        })
    }

    /// Has `watcher` called after each change, before whoever made it hears that it is made. There is one at most.
    ///
    /// # Panics
    /// If there is one already.
    pub fn watch(&self, watcher: impl Fn() + Send + Sync + 'static) {
        assert!(self.watcher.set(Box::new(watcher)).is_ok(), "hooks have one watcher");
    }

    /// The chains as they are now.
    #[must_use]
    pub fn chains(&self) -> Arc<Chains> {
        self.chains.load_full()
    }

    /// Everybody, by family, point and order of call.
    #[must_use]
    pub fn rows(&self) -> Vec<HookRow> {
        let chains = self.chains();
        let mut rows = Vec::new();
        for family in Family::ALL {
            for point in Point::ALL {
                rows.extend(chains.at(family, point).links.iter().map(|link| HookRow {
                    place: Place { family, point, name: link.name.clone() },
                    priority: link.priority,
                }));
            }
        }
        rows
    }

    /// Brings the counters of rules up to date: what packets have counted that rules did not walk is added. Whoever
    /// reads, resets or replaces counters calls this first. See [`crate::verdict`] for why nothing is lost.
    pub fn fold(&self) {
        let mut retired = self.writer.lock();
        self.chains.load().passages.fold();
        retired.fold();
    }

    /// Has all flows forget what rules made of their packets.
    pub fn forget_passages(&self) {
        self.change(|_| Ok(())).expect("nothing is asked that could be refused");
    }

    fn change(&self, edit: impl FnOnce(&mut Chains) -> Result<(), Refused>) -> Result<(), Refused> {
        let mut retired = self.writer.lock();
        let before = self.chains.load_full();
        let mut chains = Chains::clone(&before);
        edit(&mut chains)?;
        chains.settle();
        chains.passages = Arc::new(before.passages.followed());
        self.chains.store(Arc::new(chains));
        if let Some(watcher) = self.watcher.get() {
            watcher();
        }
        retired.0.push(before.passages.clone());
        drop(before);
        retired.fold();
        Ok(())
    }
}

/// Passages of chains that workers may still walk to the end of a turn. Each worker has one at most.
#[derive(Default)]
struct Retired(Vec<Arc<Passages>>);

impl Retired {
    /// Adds what was counted to the counters, and lets those go that nobody can count with any more.
    fn fold(&mut self) {
        self.0.retain_mut(|passages| {
            // Asked first: what is counted before the last worker lets go is in the totals then.
            let was_last = Arc::get_mut(passages).is_some();
            passages.fold();
            !was_last
        });
    }
}

fn seat(chains: &mut Chains, batch: impl IntoIterator<Item = Registration>) -> Result<(), Refused> {
    for Registration { place, priority, hook } in batch {
        if place.name.is_empty() {
            return Err(Refused::Nameless(place.family, place.point));
        }
        let chain = &mut chains.chains[place.family as usize][place.point as usize];
        if chain.links.iter().any(|link| link.name == place.name) {
            return Err(Refused::Taken(place));
        }
        if chain.links.len() == HOOKS_MAX {
            return Err(Refused::Full(place.family, place.point));
        }
        let seat = chain.links.partition_point(|link| link.priority <= priority);
        let mut links = chain.links.to_vec();
        links.insert(seat, Link { name: place.name, priority, hook });
        chain.links = links.into_boxed_slice();
    }
    Ok(())
}

fn unseat(chains: &mut Chains, batch: impl IntoIterator<Item = Place>) -> Result<(), Refused> {
    for place in batch {
        let chain = &mut chains.chains[place.family as usize][place.point as usize];
        let Some(seat) = chain.links.iter().position(|link| link.name == place.name) else {
            return Err(Refused::Unknown(place));
        };
        let mut links = chain.links.to_vec();
        links.remove(seat);
        chain.links = links.into_boxed_slice();
    }
    Ok(())
}
