//! The end of a load, at which it takes effect.

use std::sync::Arc;

use conntrack::Instant;

use super::Summary;
use crate::rules::model::{Element, ElementKey, ObjectKind, Ruleset, Statement};
use crate::rules::state::{LiveSet, Place};

/// Rules that may take effect.
#[derive(Debug)]
pub struct Loaded {
    /// The rules as they will be. What did not change is shared with those before.
    pub ruleset: Ruleset,
    /// What changed.
    pub summary: Summary,
    pub(super) changes: Vec<Change>,
}

/// What a load does to state that packets share, at the very end.
#[derive(Debug)]
pub(super) enum Change {
    /// Of one that is new the place is held, so that there is room whatever packets do meanwhile.
    Insert {
        set: Arc<LiveSet>,
        element: Element,
        timeout_ms: Option<u64>,
        expires_ms: Option<u64>,
        place: Option<Place>,
    },
    Remove {
        set: Arc<LiveSet>,
        key: ElementKey,
    },
    Clear(Arc<LiveSet>),
    /// What elements count is set back: of one, or of all.
    ResetLive(Arc<LiveSet>, Option<ElementKey>),
    ResetStatement(Statement),
    ResetObject(ObjectKind),
}

impl Loaded {
    /// Makes the changes that live sets and counters see, and hands the rules over. Elements begin to age at `now`.
    pub fn commit(self, now: Instant) -> Ruleset {
        for change in self.changes {
            match change {
                // One that was there when this was checked and has gone since is as if it had gone afterwards.
                Change::Insert { set, element, timeout_ms, expires_ms, place } => {
                    set.put(&element, timeout_ms, expires_ms, now, place);
                }
                Change::Remove { set, key } => {
                    set.remove(&key, now);
                }
                Change::Clear(set) => set.clear(),
                Change::ResetLive(set, key) => {
                    let elements = match key {
                        Some(key) => set.get(&key, now).into_iter().collect(),
                        None => set.elements(now),
                    };
                    elements.iter().flat_map(|live| &live.element.state).for_each(reset);
                }
                Change::ResetStatement(statement) => reset(&statement),
                Change::ResetObject(ObjectKind::Counter(counter)) => {
                    counter.reset();
                }
                Change::ResetObject(ObjectKind::Quota(quota)) => {
                    quota.reset();
                }
                Change::ResetObject(_) => {}
            }
        }
        self.ruleset
    }
}

fn reset(statement: &Statement) {
    match statement {
        Statement::Counter(counter) => {
            counter.reset();
        }
        Statement::Quota(quota) => {
            quota.reset();
        }
        _ => {}
    }
}
