//! The end of a load, at which it takes effect.

use std::sync::Arc;

use conntrack::Instant;

use super::Summary;
use crate::rules::model::{Element, ElementKey, ObjectKind, Ruleset, Statement};
use crate::rules::state::LiveSet;

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
    Insert { set: Arc<LiveSet>, element: Element, timeout_ms: Option<u64>, expires_ms: Option<u64> },
    Remove { set: Arc<LiveSet>, key: ElementKey },
    Clear(Arc<LiveSet>),
    ResetStatement(Statement),
    ResetObject(ObjectKind),
}

impl Loaded {
    /// Makes the changes that live sets and counters see, and hands the rules over. Elements begin to age at `now`.
    pub fn commit(self, now: Instant) -> Ruleset {
        for change in self.changes {
            match change {
                Change::Insert { set, element, timeout_ms, expires_ms } => {
                    set.insert(&element, timeout_ms, expires_ms, now);
                }
                Change::Remove { set, key } => {
                    set.remove(&key, now);
                }
                Change::Clear(set) => set.clear(),
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
