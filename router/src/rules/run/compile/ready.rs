//! Sets made ready to be looked into, and kept while they are unchanged: one rule more has no set made anew.

use std::collections::HashMap;
use std::sync::Arc;

use super::fate_of;
use crate::rules::model::{DataType, Set, Table};
use crate::rules::run::tables::Lookup;

/// Sets that have been made ready. Both families of an inet table look into the same ones, and so does the next ruleset
/// as far as it shares its sets with this one.
#[derive(Default)]
pub struct ReadySets {
    /// Of the ruleset being compiled, by where in memory their set is.
    made: HashMap<usize, Ready>,
    /// Of the ruleset before.
    before: HashMap<usize, Ready>,
    /// By table.
    names: HashMap<u64, Arc<Names>>,
}

#[derive(Clone)]
struct Ready {
    /// Held so that no other takes its place in memory.
    _set: Arc<Set>,
    lookup: Arc<Lookup>,
    /// Where names lead, if its elements lead to any.
    names: Option<Arc<Names>>,
}

/// What elements of a table's maps may name, with places as code has them.
#[derive(PartialEq, Eq)]
pub(super) struct Names {
    /// Chains.
    pub(super) chains: HashMap<Arc<str>, u32>,
    /// Objects by their words, then by name.
    objects: HashMap<&'static str, HashMap<Arc<str>, u32>>,
}

impl ReadySets {
    /// A ruleset is complete: what it has not asked for goes.
    pub fn complete(&mut self) {
        self.before = std::mem::take(&mut self.made);
        self.names.retain(|_, names| Arc::strong_count(names) > 1);
    }

    /// A set of a table with these names, made ready unless it is.
    pub(super) fn lookup(&mut self, set: &Arc<Set>, names: &Arc<Names>) -> Arc<Lookup> {
        let place = Arc::as_ptr(set).addr();
        let still_leads = |ready: &Ready| ready.names.as_ref().is_none_or(|held| Arc::ptr_eq(held, names));
        if let Some(ready) = self.made.get(&place).filter(|ready| still_leads(ready)) {
            return ready.lookup.clone();
        }
        let ready = self.before.get(&place).filter(|ready| still_leads(ready)).cloned();
        let ready = ready.unwrap_or_else(|| Ready::new(set, names));
        let lookup = ready.lookup.clone();
        self.made.insert(place, ready);
        lookup
    }

    /// The names of a table; the very ones of the ruleset before if they are the same.
    pub(super) fn names(&mut self, table: &Table) -> Arc<Names> {
        let names = Names::of(table);
        if let Some(held) = self.names.get(&table.handle)
            && **held == names
        {
            return held.clone();
        }
        let names = Arc::new(names);
        self.names.insert(table.handle, names.clone());
        names
    }
}

impl Ready {
    fn new(set: &Arc<Set>, names: &Arc<Names>) -> Self {
        let object = |name: &str| match &set.data {
            Some(DataType::Object(words)) => names.object(words, name),
            _ => None,
        };
        let lookup = Lookup::new(set, &|verdict| fate_of(verdict, |name| names.chain(name)), &object);
        let leads = matches!(set.data, Some(DataType::Verdict | DataType::Object(_)));
        Self { _set: set.clone(), lookup: Arc::new(lookup), names: leads.then(|| names.clone()) }
    }
}

impl Names {
    fn of(table: &Table) -> Self {
        let chains = (0_u32..).zip(&table.chains).map(|(place, chain)| (chain.name.clone(), place)).collect();
        let mut objects: HashMap<_, HashMap<_, _>> = HashMap::new();
        for (place, object) in (0_u32..).zip(&table.objects) {
            objects.entry(object.kind.words()).or_default().insert(object.name.clone(), place);
        }
        Self { chains, objects }
    }

    /// The place of a chain.
    pub(super) fn chain(&self, name: &str) -> Option<u32> {
        self.chains.get(name).copied()
    }

    /// The place of an object.
    pub(super) fn object(&self, words: &str, name: &str) -> Option<u32> {
        self.objects.get(words)?.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::check::Environment;
    use crate::rules::model::Ruleset;
    use crate::rules::syntax;

    const TABLE: &str = "table inet t {
        set addresses { type ipv4_addr; elements = { 10.0.0.1 }; }
        map ways { type inet_service : verdict; elements = { 22 : goto ssh }; }
        chain ssh { }
        chain forward {
            type filter hook forward priority 0;
            ip saddr @addresses accept
            tcp dport vmap @ways
            tcp dport { 80, 443 } accept
        }
    }";

    fn then(ruleset: &Ruleset, text: &str) -> Ruleset {
        let loaded = crate::rules::load(ruleset, "test", text, &mut syntax::nothing, &Environment::default());
        loaded.expect("well written").commit(conntrack::Instant::ZERO)
    }

    /// Whether each of the sets (`addresses`, `ways`, the anonymous one) is kept when the rules change so.
    fn kept(change: &str) -> Vec<bool> {
        let before = then(&Ruleset::default(), TABLE);
        let after = then(&before, change);
        let mut ready = ReadySets::default();
        let mut lookups = |ruleset: &Ruleset| {
            let table = &ruleset.tables[0];
            let names = ready.names(table);
            let lookups: Vec<_> = table.sets.iter().take(3).map(|set| ready.lookup(set, &names)).collect();
            ready.complete();
            lookups
        };
        let (before, after) = (lookups(&before), lookups(&after));
        before.iter().zip(&after).map(|(before, after)| Arc::ptr_eq(before, after)).collect()
    }

    #[test]
    fn a_set_is_made_once_while_it_and_what_it_names_are_the_same() {
        assert_eq!(kept(""), [true; 3]);
        assert_eq!(kept("add rule inet t forward accept"), [true; 3]);
        assert_eq!(kept("add element inet t addresses { 10.0.0.2 }"), [false, true, true]);
        assert_eq!(kept("add counter inet t c"), [true, false, true]);
        assert_eq!(kept("add chain inet t another"), [true, false, true]);
    }

    #[test]
    fn what_a_ruleset_does_not_ask_for_goes() {
        let table = then(&Ruleset::default(), TABLE).tables[0].clone();
        let mut ready = ReadySets::default();
        let names = ready.names(&table);
        for set in &table.sets {
            ready.lookup(set, &names);
        }
        drop(names);
        ready.complete();
        assert_eq!((ready.before.len(), ready.names.len()), (3, 1));
        assert_eq!(Arc::strong_count(&table.sets[0]), 2);
        ready.complete();
        assert_eq!((ready.made.len(), ready.before.len()), (0, 0));
        assert_eq!(Arc::strong_count(&table.sets[0]), 1);
        ready.complete();
        assert!(ready.names.is_empty());
    }
}
