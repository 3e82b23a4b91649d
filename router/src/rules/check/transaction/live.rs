//! Live sets as they will be: what this load has added to them and taken out so far.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::{Result, refuse};
use super::Transaction;
use super::commit::Change;
use super::element::{Bounds, key_bounds};
use crate::rules::model::{Element, ElementKey, Set};
use crate::rules::state::LiveSet;
use crate::rules::syntax::source::Span;

/// What a load has done to live sets so far, by their places in memory.
pub(super) type LiveChanges = HashMap<usize, LiveChange>;

/// What a load has done to a live set so far.
#[derive(Default)]
pub(super) struct LiveChange {
    /// All that was there before.
    cleared: bool,
    added: HashSet<Bounds>,
    removed: HashSet<Bounds>,
    /// Elements whose places become free.
    leaving: usize,
}

impl Transaction<'_> {
    /// Adds an element to a live set.
    pub(super) fn add_live(
        &mut self,
        set: &Set,
        live: &Arc<LiveSet>,
        (span, element): (Span, Element),
        expires_ms: Option<u64>,
        create: bool,
    ) -> Result<()> {
        let is_there = self.is_live(live, &element.key);
        if is_there && create {
            return refuse(span, "this element exists already");
        }
        let now = self.environment.now;
        let change = self.change_of(live);
        let mut place = None;
        if !is_there {
            place = live.reserve(change.leaving, now);
            if place.is_none() {
                let most = live.size_max();
                return refuse(span, format!("set `{}` is full: it holds {most} elements at most", set.name));
            }
            change.added.insert(key_bounds(&element.key));
        }
        let (set, timeout_ms) = (live.clone(), set.timeout_ms);
        self.changes.push(Change::Insert { set, element, timeout_ms, expires_ms, place });
        Ok(())
    }

    /// Takes an element out of a live set; whether it is there.
    pub(super) fn remove_live(&mut self, live: &Arc<LiveSet>, key: ElementKey) -> bool {
        if !self.is_live(live, &key) {
            return false;
        }
        let change = self.change_of(live);
        let bounds = key_bounds(&key);
        change.added.remove(&bounds);
        change.removed.insert(bounds);
        change.leaving += 1;
        self.changes.push(Change::Remove { set: live.clone(), key });
        true
    }

    /// Takes all elements out of a live set.
    pub(super) fn clear_live(&mut self, live: &Arc<LiveSet>) {
        let change = self.change_of(live);
        *change = LiveChange { cleared: true, leaving: live.len(), ..LiveChange::default() };
        self.changes.push(Change::Clear(live.clone()));
    }

    /// Whether an element with exactly this key is in a live set by now.
    pub(super) fn is_live(&mut self, live: &Arc<LiveSet>, key: &ElementKey) -> bool {
        let now = self.environment.now;
        let change = self.change_of(live);
        let bounds = key_bounds(key);
        change.added.contains(&bounds)
            || !change.cleared && !change.removed.contains(&bounds) && live.get(key, now).is_some()
    }

    /// Refuses intervals that overlap others of a live set without being the same.
    pub(super) fn no_overlap(&mut self, live: &Arc<LiveSet>, new: &[(Span, Element)]) -> Result<()> {
        let held = live.elements(self.environment.now);
        let change = self.change_of(live);
        let before = held.iter().map(|live| key_bounds(&live.element.key));
        let before = before.filter(|bounds| !change.cleared && !change.removed.contains(bounds));
        let before = before.chain(change.added.iter().cloned()).map(|bounds| (bounds, None));
        let new = new.iter().map(|(span, element)| (key_bounds(&element.key), Some(*span)));
        let mut all: Vec<_> = before.chain(new).filter_map(|(bounds, span)| Some((bounds?, span))).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        for pair in all.windows(2) {
            let [(one, place), (next, next_place)] = pair else { continue };
            if one != next
                && next.0 <= one.1
                && let Some(span) = next_place.or(*place)
            {
                return refuse(
                    span,
                    "conflicting intervals: this overlaps another element, and in a set whose elements end \
                     nothing is joined",
                );
            }
        }
        Ok(())
    }

    fn change_of(&mut self, live: &Arc<LiveSet>) -> &mut LiveChange {
        self.live.entry(Arc::as_ptr(live).addr()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use conntrack::Instant;

    use crate::rules::check::{Environment, Loaded};
    use crate::rules::list::{Options, list};
    use crate::rules::model::{Ruleset, Statement};
    use crate::rules::state::LiveSet;
    use crate::rules::syntax::nothing;
    use crate::rules::{LoadError, load};

    fn at(seconds: u64) -> Environment {
        Environment { now: Instant::ZERO + Duration::from_secs(seconds), ..Environment::default() }
    }

    fn check(current: &Ruleset, text: &str, seconds: u64) -> Result<Loaded, LoadError> {
        load(current, "r", text, &mut nothing, &at(seconds))
    }

    fn apply(current: &Ruleset, text: &str, seconds: u64) -> Ruleset {
        let loaded = check(current, text, seconds).unwrap_or_else(|error| panic!("{text}: {error}"));
        loaded.commit(at(seconds).now)
    }

    fn refused(current: &Ruleset, text: &str, seconds: u64) -> String {
        check(current, text, seconds).expect_err(text).headline()
    }

    /// A set of at most two addresses that live for ten seconds, and count.
    fn start() -> Ruleset {
        let set = "set s { type ipv4_addr; flags dynamic, timeout; timeout 10s; size 2; counter; }";
        apply(&Ruleset::default(), &format!("table ip t {{ {set}; }}"), 100)
    }

    fn live(ruleset: &Ruleset) -> &LiveSet {
        ruleset.tables[0].sets[0].live.as_ref().unwrap()
    }

    fn elements(ruleset: &Ruleset, seconds: u64) -> Vec<(u8, u64)> {
        let elements = live(ruleset).elements(at(seconds).now);
        let last = |key: &crate::rules::model::ElementKey| match key {
            crate::rules::model::ElementKey::Value(value) => value[3],
            other => panic!("{other:?}"),
        };
        elements.iter().map(|live| (last(&live.element.key), live.expires_ms.unwrap())).collect()
    }

    #[test]
    fn a_live_set_takes_no_more_than_it_has_room_for_and_says_so_before_anything_happens() {
        let rules = start();
        let full = refused(&rules, "add element ip t s { 1.1.1.1, 1.1.1.2, 1.1.1.3 }", 100);
        assert!(full.contains("`s` is full: it holds 2 elements at most"), "{full}");
        assert_eq!((elements(&rules, 100), live(&rules).len()), (vec![], 0), "places held are free again");
        apply(&rules, "add element ip t s { 1.1.1.1, 1.1.1.2 }", 100);
        assert!(refused(&rules, "add element ip t s { 1.1.1.3 }", 105).contains("full"));
        apply(&rules, "add element ip t s { 1.1.1.1 }", 105);
        apply(&rules, "delete element ip t s { 1.1.1.1 }\nadd element ip t s { 1.1.1.4 }", 105);
        assert_eq!(elements(&rules, 106), [(2, 4000), (4, 9000)]);
        apply(&rules, "flush set ip t s\nadd element ip t s { 1.1.1.5, 1.1.1.6 }", 106);
        assert_eq!((elements(&rules, 106), live(&rules).len()), (vec![(5, 10_000), (6, 10_000)], 2));
        apply(&rules, "add element ip t s { 1.1.1.7 }", 117);
        assert_eq!(elements(&rules, 117), [(7, 10_000)], "those that have ended make room");
    }

    #[test]
    fn a_place_that_is_held_is_not_taken_by_a_packet() {
        use crate::rules::model::DynamicOperation;
        use crate::rules::state::Touch;
        let rules = start();
        let now = at(100).now;
        let touch = |last: u8| {
            let touch = Touch { operation: DynamicOperation::Add, key: &[1, 1, 1, last], timeout: None, now };
            live(&rules).touch(&touch, || (None, smallvec::SmallVec::new()), |_| ()).is_some()
        };
        let loaded = check(&rules, "add element ip t s { 1.1.1.1, 1.1.1.2 }", 100).unwrap();
        assert!(!touch(3));
        loaded.commit(now);
        assert_eq!(elements(&rules, 100), [(1, 10_000), (2, 10_000)]);
    }

    #[test]
    fn elements_of_live_sets_are_looked_for() {
        let rules = apply(&start(), "add element ip t s { 1.1.1.1 }", 100);
        for (text, part) in [
            ("create element ip t s { 1.1.1.1 }", "this element exists already"),
            ("delete element ip t s { 1.1.1.2 }", "`s` has no such element"),
            ("delete element ip t s { 1.1.1.1 }\ndelete element ip t s { 1.1.1.1 }", "no such element"),
            ("flush set ip t s\ndelete element ip t s { 1.1.1.1 }", "no such element"),
            ("add element ip t s { 1.1.1.2 }\ncreate element ip t s { 1.1.1.2 }", "exists already"),
            ("reset element ip t s { 1.1.1.2 }", "no such element"),
        ] {
            let error = refused(&rules, text, 105);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(
            refused(&rules, "delete element ip t s { 1.1.1.1 }", 111).contains("no such"),
            "it has ended"
        );
        apply(&rules, "destroy element ip t s { 1.1.1.2 }", 105);
        apply(&rules, "flush set ip t s\ncreate element ip t s { 1.1.1.1 }", 105);
        assert_eq!(elements(&rules, 105), [(1, 10_000)]);
    }

    #[test]
    fn an_element_is_given_what_it_has_left_and_another_timeout_if_it_is_added_again() {
        let rules = apply(&start(), "add element ip t s { 1.1.1.1 timeout 1m expires 7s }", 100);
        assert_eq!(elements(&rules, 100), [(1, 7000)]);
        apply(&rules, "add element ip t s { 1.1.1.1 timeout 1m }", 101);
        assert_eq!(elements(&rules, 101), [(1, 6000)], "the same timeout changes nothing");
        apply(&rules, "add element ip t s { 1.1.1.1 timeout 30s }", 101);
        assert_eq!(elements(&rules, 101), [(1, 30_000)]);
        apply(&rules, "add element ip t s { 1.1.1.1 timeout 30s expires 3s }", 101);
        assert_eq!(elements(&rules, 101), [(1, 3000)]);
    }

    #[test]
    fn what_elements_of_live_sets_count_is_reset() {
        let rules = apply(&start(), "add element ip t s { 1.1.1.1, 1.1.1.2 }", 100);
        let count = || {
            let elements = live(&rules).elements(at(100).now);
            let counts = elements.iter().map(|live| match &live.element.state[..] {
                [Statement::Counter(counter)] => counter.read().0,
                other => panic!("{other:?}"),
            });
            counts.collect::<Vec<_>>()
        };
        for live in live(&rules).elements(at(100).now) {
            let [Statement::Counter(counter)] = &live.element.state[..] else { panic!("a counter each") };
            counter.count(100);
        }
        assert_eq!(count(), [1, 1]);
        apply(&rules, "reset element ip t s { 1.1.1.2 }", 100);
        assert_eq!(count(), [1, 0]);
        apply(&rules, "reset set ip t s", 100);
        assert_eq!(count(), [0, 0]);
    }

    #[test]
    fn intervals_that_end_do_not_overlap() {
        let set = "set s { type ipv4_addr; flags interval, timeout; }";
        let rules = apply(&Ruleset::default(), &format!("table ip t {{ {set}; }}"), 100);
        apply(&rules, "add element ip t s { 1.1.1.0/24 timeout 10s }", 100);
        for text in [
            "add element ip t s { 1.1.1.128/25 }",
            "add element ip t s { 1.1.1.7 }",
            "add element ip t s { 2.0.0.0/8, 2.1.0.0/16 }",
        ] {
            assert!(refused(&rules, text, 105).contains("conflicting intervals"), "{text}");
        }
        apply(&rules, "add element ip t s { 1.1.1.0/24, 1.1.2.0/24 }", 105);
        apply(&rules, "add element ip t s { 1.1.1.128/25 }", 111);
    }

    #[test]
    fn when_a_rule_was_last_used_is_taken_as_it_was_listed() {
        let text = "table ip t { chain c { last used 5s; last used never; }; }";
        let rules = apply(&Ruleset::default(), text, 100);
        let environment = at(107);
        let options = Options { now: environment.now, ..Options::new(&environment) };
        let listed = list(&rules, &options);
        assert!(listed.contains("\t\tlast used 12s\n\t\tlast used never\n"), "{listed}");
    }
}
