//! What a load did, in numbers.

use std::collections::HashSet;
use std::sync::Arc;

use crate::rules::model::{Ruleset, Set, Table};

/// How many there are of something, and what a load did to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All there are now.
    pub total: usize,
    /// Those that are new.
    pub added: usize,
    /// Those that are gone.
    pub removed: usize,
}

/// What a load did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tables.
    pub tables: Count,
    /// Chains.
    pub chains: Count,
    /// Rules.
    pub rules: Count,
    /// Named sets and maps.
    pub sets: Count,
    /// Named objects.
    pub objects: Count,
    /// Elements of named sets and maps, those that packets added not included.
    pub elements: usize,
}

pub(super) fn summary(before: &Ruleset, after: &Ruleset) -> Summary {
    fn count(before: &HashSet<(u64, u64)>, after: &HashSet<(u64, u64)>) -> Count {
        Count {
            total: after.len(),
            added: after.difference(before).count(),
            removed: before.difference(after).count(),
        }
    }
    fn of<'a, I: Iterator<Item = u64>>(
        ruleset: &'a Ruleset,
        handles: impl Fn(&'a Table) -> I,
    ) -> HashSet<(u64, u64)> {
        let tables = ruleset.tables.iter();
        tables.flat_map(|table| handles(table).map(|handle| (table.handle, handle))).collect()
    }
    macro_rules! counted {
        ($handles:expr) => {
            count(&of(before, $handles), &of(after, $handles))
        };
    }
    let named = |set: &&Arc<Set>| !set.anonymous;
    Summary {
        tables: counted!(|_: &Table| std::iter::once(0)),
        chains: counted!(|table: &Table| table.chains.iter().map(|chain| chain.handle)),
        rules: counted!(|table: &Table| table
            .chains
            .iter()
            .flat_map(|chain| &chain.rules)
            .map(|rule| rule.handle)),
        sets: counted!(|table: &Table| table.sets.iter().filter(named).map(|set| set.handle)),
        objects: counted!(|table: &Table| table.objects.iter().map(|object| object.handle)),
        elements: after
            .tables
            .iter()
            .flat_map(|table| table.sets.iter().filter(named))
            .map(|set| set.elements.len())
            .sum(),
    }
}
