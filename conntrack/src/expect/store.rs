//! Where expectations are kept: found by where a flow goes, counted for each flow that announced them, and dropped when
//! their time is up. All of it lies behind one lock, taken where a flow begins while there are any, and for a moment
//! where one ends that a helper watches.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;

use super::{ExpectError, Expectation, Pattern, Wanted, mask};
use crate::conn::{Conn, Shared, Status};
use crate::helper::Policy;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::time::Instant;
use crate::tuple::{Tuple, TupleHasher};
use crate::zone::Zone;

/// All expectations of a table.
pub(crate) struct Store<X> {
    expectations_max: usize,
    hasher: TupleHasher,
    /// How many there are, so that a table without costs new flows one load.
    count: AtomicUsize,
    inner: Mutex<Inner<X>>,
}

struct Inner<X> {
    next_id: u64,
    by_destination: HashTable<(u64, Arc<Expectation<X>>)>,
    /// Oldest first; by the id of the flow that announced them.
    by_master: BTreeMap<u64, Vec<Arc<Expectation<X>>>>,
    by_end: BTreeMap<(Instant, u64), Arc<Expectation<X>>>,
}

/// What came of an attempt to expect a flow.
pub(crate) struct Added<X> {
    pub(crate) expectation: Arc<Expectation<X>>,
    /// Made room for it: the same one as before, or the oldest of too many.
    pub(crate) gone: Vec<Arc<Expectation<X>>>,
}

impl<X> Store<X> {
    pub(crate) fn new(expectations_max: usize, hasher: TupleHasher) -> Self {
        let inner = Inner {
            next_id: 1,
            by_destination: HashTable::new(),
            by_master: BTreeMap::new(),
            by_end: BTreeMap::new(),
        };
        Self { expectations_max, hasher, count: AtomicUsize::new(0), inner: Mutex::new(inner) }
    }

    /// Adds an expectation of `master`'s (`nf_ct_expect_related`).
    pub(crate) fn add(
        &self,
        master: &Shared<Conn<X>>,
        wanted: Wanted,
        now: Instant,
    ) -> Result<Added<X>, ExpectError> {
        let watching = master.helper().ok_or(ExpectError::NoHelper)?;
        let policy = *watching.policies().get(usize::from(wanted.class)).ok_or(ExpectError::NoHelper)?;
        let tuple = wanted.pattern.tuple.in_zone(master.zone().id);
        let pattern = Pattern { tuple, ..wanted.pattern };
        let hash = self.hash(&tuple);
        let mut inner = self.inner.lock();
        // Under the lock: whoever ends the master takes it afterwards, and finds what is added here.
        if master.status().contains(Status::DYING) {
            return Err(ExpectError::MasterGone);
        }
        let mut gone = Vec::new();
        if let Some(same) = inner.same_or_clash(hash, &pattern, master, wanted.class)? {
            self.take(&mut inner, hash, &same);
            gone.push(same);
        }
        if let Some(oldest) = inner.one_too_many(master.id(), wanted.class, policy) {
            self.take(&mut inner, self.hash(&oldest.pattern.tuple), &oldest);
            gone.push(oldest);
        }
        if inner.by_end.len() >= self.expectations_max {
            return Err(ExpectError::Full);
        }
        let expectation = Arc::new(Expectation {
            id: inner.next_id,
            pattern,
            master: Shared::clone(master),
            name: watching.name(),
            class: wanted.class,
            permanent: wanted.permanent,
            inactive: wanted.inactive,
            helper: wanted.helper,
            nat: wanted.nat,
            expires: now + policy.timeout,
        });
        inner.next_id += 1;
        inner.by_destination.insert_unique(hash, (hash, Arc::clone(&expectation)), |entry| entry.0);
        inner.by_master.entry(master.id()).or_default().push(Arc::clone(&expectation));
        inner.by_end.insert((expectation.expires, expectation.id), Arc::clone(&expectation));
        self.count.store(inner.by_end.len(), Ordering::Relaxed);
        Ok(Added { expectation, gone })
    }

    /// The expectation that answers for a flow that begins with `tuple` in `zone`, and whether it has gone with that
    /// (`nf_ct_find_expectation`).
    pub(crate) fn find(
        &self,
        tuple: &Tuple,
        zone: Zone,
        now: Instant,
    ) -> Option<(Arc<Expectation<X>>, bool)> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let tuple = tuple.in_zone(zone.id);
        let hash = self.hash(&tuple);
        let mut inner = self.inner.lock();
        let found = inner
            .by_destination
            .iter_hash(hash)
            .map(|(_, expectation)| expectation)
            .find(|expectation| expectation.expires > now && expectation.holds_for(&tuple))
            .map(Arc::clone)?;
        let used_up = !found.permanent;
        if used_up {
            self.take(&mut inner, hash, &found);
        }
        Some((found, used_up))
    }

    /// Whether [`Self::find`] would find one; it stays.
    pub(crate) fn awaits(&self, tuple: &Tuple, zone: Zone, now: Instant) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let tuple = tuple.in_zone(zone.id);
        let inner = self.inner.lock();
        inner
            .by_destination
            .iter_hash(self.hash(&tuple))
            .any(|(_, expectation)| expectation.expires > now && expectation.holds_for(&tuple))
    }

    /// Takes an expectation out, and says whether it was there.
    pub(crate) fn remove(&self, expectation: &Arc<Expectation<X>>) -> bool {
        let mut inner = self.inner.lock();
        self.take(&mut inner, self.hash(&expectation.pattern.tuple), expectation)
    }

    /// Takes out all that a flow has announced (`nf_ct_remove_expectations`).
    pub(crate) fn remove_of(&self, master: u64) -> Vec<Arc<Expectation<X>>> {
        let mut inner = self.inner.lock();
        let gone = inner.by_master.get(&master).cloned().unwrap_or_default();
        for expectation in &gone {
            self.take(&mut inner, self.hash(&expectation.pattern.tuple), expectation);
        }
        gone
    }

    /// Takes out what has ended by `now`, at most `budget`.
    pub(crate) fn expire(&self, now: Instant, budget: usize) -> Vec<Arc<Expectation<X>>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut inner = self.inner.lock();
        let ended = inner.by_end.range(..=(now, u64::MAX)).take(budget);
        let ended: Vec<_> = ended.map(|(_, expectation)| Arc::clone(expectation)).collect();
        for expectation in &ended {
            self.take(&mut inner, self.hash(&expectation.pattern.tuple), expectation);
        }
        ended
    }

    /// All there are, those that end first before the others.
    pub(crate) fn list(&self) -> Vec<Arc<Expectation<X>>> {
        self.inner.lock().by_end.values().map(Arc::clone).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn take(&self, inner: &mut Inner<X>, hash: u64, expectation: &Arc<Expectation<X>>) -> bool {
        if inner.by_end.remove(&(expectation.expires, expectation.id)).is_none() {
            return false;
        }
        match inner.by_destination.find_entry(hash, |entry| Arc::ptr_eq(&entry.1, expectation)) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => panic!("what ends some time is found by its destination"),
        }
        let master = expectation.master.id();
        let of_master = inner.by_master.get_mut(&master).expect("what ends some time has a master");
        of_master.retain(|other| !Arc::ptr_eq(other, expectation));
        if of_master.is_empty() {
            inner.by_master.remove(&master);
        }
        self.count.store(inner.by_end.len(), Ordering::Relaxed);
        true
    }

    /// Hash of what every expectation compares: where the flow goes.
    fn hash(&self, tuple: &Tuple) -> u64 {
        self.hasher.hash(&mask(tuple, false, false))
    }
}

impl<X> Inner<X> {
    /// The expectation that is the same as the one to come, if there is one.
    fn same_or_clash(
        &self,
        hash: u64,
        pattern: &Pattern,
        master: &Shared<Conn<X>>,
        class: u8,
    ) -> Result<Option<Arc<Expectation<X>>>, ExpectError> {
        for (_, other) in self.by_destination.iter_hash(hash) {
            let is_masters = Shared::ptr_eq(&other.master, master);
            if is_masters && other.pattern == *pattern {
                let same = other.class == class;
                return if same { Ok(Some(Arc::clone(other))) } else { Err(ExpectError::Already) };
            }
            if other.pattern.clashes(pattern) {
                return Err(ExpectError::Busy);
            }
        }
        Ok(None)
    }

    /// The oldest of a flow's expectations of one class, if there may be no more of them (`evict_oldest_expect`).
    fn one_too_many(&self, master: u64, class: u8, policy: Policy) -> Option<Arc<Expectation<X>>> {
        let mut of_class = self.by_master.get(&master)?.iter().filter(|other| other.class == class);
        let oldest = of_class.next()?;
        let count = 1 + of_class.count();
        (policy.expected_max != 0 && count >= policy.expected_max).then(|| Arc::clone(oldest))
    }
}
