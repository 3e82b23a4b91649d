//! A set that packets and time change.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use conntrack::Instant;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use super::FlowCount;
use crate::rules::lookup::Index;
use crate::rules::model::{Data, DynamicOperation, Element, ElementKey, Statement, Type, Value};

/// Elements of a dynamic set whose size nobody said, as nft has it.
pub const SIZE_MAX_IF_UNSAID: u32 = 65_535;
/// Parts that packets can change at the same time.
const SHARDS: usize = 16;
/// Elements looked at for having ended, whenever there is no room for a new one.
const SWEEP_BUDGET: usize = 256;

/// The elements of a dynamic set, or of one with timeouts. Bounded by the set's size; what has ended is no longer
/// found, and goes when its place is needed or [`LiveSet::expire`] comes by.
///
/// Exact keys are in shards that packets lock one at a time; intervals and the element for all other keys only change
/// by command and are read side by side.
pub struct LiveSet {
    types: Box<[Type]>,
    size_max: usize,
    hasher: SipHasher13,
    shards: [Mutex<Shard>; SHARDS],
    ranged: RwLock<Ranged>,
    has_ranged: AtomicBool,
    taken: AtomicUsize,
    sweep: AtomicU64,
}

#[derive(Default)]
struct Shard {
    elements: HashTable<Live>,
}

#[derive(Default)]
struct Ranged {
    elements: Vec<(ElementKey, Live)>,
    index: Option<Index>,
}

/// An element that is alive.
#[derive(Clone, Debug)]
pub struct Live {
    key: Value,
    /// What it leads to, in maps.
    pub data: Option<Data>,
    /// Comment.
    pub comment: Option<Arc<str>>,
    /// Its own statements.
    pub state: SmallVec<[Statement; 1]>,
    /// How long it lives from when it was added or prolonged.
    timeout: Option<Duration>,
    ends: Option<Instant>,
}

/// An element as it is listed.
#[derive(Clone, Debug)]
pub struct LiveElement {
    /// The element.
    pub element: Element,
    /// Milliseconds it has left, if it ends.
    pub expires_ms: Option<u64>,
}

/// What became of an element that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is new.
    New,
    /// One with this key was there, and stays.
    Existing,
    /// There is no room.
    Full,
}

/// A place that is held for an element to come; it is free again when this is dropped unused.
#[derive(Debug)]
pub struct Place {
    set: Arc<LiveSet>,
    unused: bool,
}

impl Place {
    /// An element takes the place.
    fn spend(mut self) -> bool {
        std::mem::take(&mut self.unused)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.unused {
            self.set.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What a packet does to a set.
pub struct Touch<'a> {
    /// Adds, or adds and prolongs.
    pub operation: DynamicOperation,
    /// Key, as sets have it.
    pub key: &'a [u8],
    /// How long a new element lives; `None` for ever.
    pub timeout: Option<Duration>,
    /// The moment.
    pub now: Instant,
}

impl LiveSet {
    /// An empty set with keys of these types and room for `size_max` elements.
    #[must_use]
    pub fn new(types: &[Type], size_max: u32) -> Self {
        use std::hash::{BuildHasher, RandomState};
        let seed = RandomState::new();
        Self {
            types: types.into(),
            size_max: size_max as usize,
            hasher: SipHasher13::new_with_keys(seed.hash_one(0), seed.hash_one(1)),
            shards: Default::default(),
            ranged: RwLock::default(),
            has_ranged: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            sweep: AtomicU64::new(0),
        }
    }

    /// Holds a place for an element that is to be added. `leaving` elements are to go before that, so their places count
    /// as free, and so do those of what has ended by `now`. `None` if there is none.
    pub fn reserve(self: &Arc<Self>, leaving: usize, now: Instant) -> Option<Place> {
        let size_max = self.size_max.saturating_add(leaving);
        let more = |taken| (taken < size_max).then_some(taken + 1);
        let take = || self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        let taken = take() || self.expire(now, usize::MAX) > 0 && take();
        taken.then(|| Place { set: Arc::clone(self), unused: true })
    }

    /// Adds an element by command. It ends after `expires_ms`, if said, else after its own timeout or the set's. One that
    /// is there already gets another timeout, if this is another.
    pub fn insert(
        &self,
        element: &Element,
        set_timeout_ms: Option<u64>,
        expires_ms: Option<u64>,
        now: Instant,
    ) -> Inserted {
        self.put(element, set_timeout_ms, expires_ms, now, None)
    }

    /// As [`LiveSet::insert`], into a place that is held if there is none with this key.
    pub(in crate::rules) fn put(
        &self,
        element: &Element,
        set_timeout_ms: Option<u64>,
        expires_ms: Option<u64>,
        now: Instant,
        place: Option<Place>,
    ) -> Inserted {
        let timeout = element.timeout_ms.or(set_timeout_ms).filter(|timeout| *timeout != 0);
        let timeout = timeout.map(Duration::from_millis);
        let left = expires_ms.map(Duration::from_millis).or(timeout);
        let live = Live {
            key: match &element.key {
                ElementKey::Value(value) => value.clone(),
                ElementKey::Range(..) | ElementKey::CatchAll => Value::new(),
            },
            data: element.data.clone(),
            comment: element.comment.clone(),
            state: element.state.iter().cloned().collect(),
            timeout,
            ends: timeout.and(left).map(|left| now + left),
        };
        match &element.key {
            ElementKey::Value(_) => self.insert_value(live, expires_ms.is_some(), now, place),
            key => self.insert_ranged(key.clone(), live, expires_ms.is_some(), now, place),
        }
    }

    /// Takes an element out; whether it was there.
    pub fn remove(&self, key: &ElementKey, now: Instant) -> bool {
        match key {
            ElementKey::Value(value) => self.remove_value(value, now),
            key => {
                let mut ranged = self.ranged.write();
                let Some(place) = ranged.elements.iter().position(|(held, _)| held == key) else {
                    return false;
                };
                let (_, live) = ranged.elements.remove(place);
                self.taken.fetch_sub(1, Ordering::Relaxed);
                self.rebuild(&mut ranged);
                live.is_alive(now)
            }
        }
    }

    /// Takes all elements out.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            self.taken.fetch_sub(shard.elements.len(), Ordering::Relaxed);
            shard.elements.clear();
        }
        let mut ranged = self.ranged.write();
        self.taken.fetch_sub(ranged.elements.len(), Ordering::Relaxed);
        ranged.elements.clear();
        self.rebuild(&mut ranged);
    }

    /// The elements alive at `now`, in order of their keys.
    #[must_use]
    pub fn elements(&self, now: Instant) -> Vec<LiveElement> {
        let mut elements: Vec<LiveElement> = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let alive = shard.elements.iter().filter(|live| live.is_alive(now));
            elements.extend(alive.map(|live| live.listed(ElementKey::Value(live.key.clone()), now)));
        }
        let ranged = self.ranged.read();
        let alive = ranged.elements.iter().filter(|(_, live)| live.is_alive(now));
        elements.extend(alive.map(|(key, live)| live.listed(key.clone(), now)));
        elements.sort_by(|one, other| order(&one.element.key).cmp(&order(&other.element.key)));
        elements
    }

    /// The element with exactly this key, for `get element`.
    #[must_use]
    pub fn get(&self, key: &ElementKey, now: Instant) -> Option<LiveElement> {
        match key {
            ElementKey::Value(value) => {
                self.with_value(value, now, |live| live.listed(ElementKey::Value(value.clone()), now))
            }
            key => {
                let ranged = self.ranged.read();
                let (_, live) =
                    ranged.elements.iter().find(|(held, live)| held == key && live.is_alive(now))?;
                Some(live.listed(key.clone(), now))
            }
        }
    }

    /// Elements there are, those that have ended and not gone yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most elements.
    #[must_use]
    pub const fn size_max(&self) -> usize {
        self.size_max
    }

    /// Shows `see` the element that a key belongs to.
    pub fn with<R>(&self, key: &[u8], now: Instant, see: impl FnOnce(&Live) -> R) -> Option<R> {
        let mut see = Some(see);
        let mut once = |live: &Live| see.take().expect("seen once")(live);
        if let Some(seen) = self.with_value(key, now, &mut once) {
            return Some(seen);
        }
        if !self.has_ranged.load(Ordering::Acquire) {
            return None;
        }
        let ranged = self.ranged.read();
        let place = ranged.index.as_ref()?.find(key)?;
        let (_, live) = &ranged.elements[place as usize];
        live.is_alive(now).then(|| once(live))
    }

    /// A packet adds or prolongs an element, which is then shown to `see`. `None` if there is no room. `fresh` makes
    /// data and state of a new element.
    pub fn touch<R>(
        &self,
        touch: &Touch<'_>,
        fresh: impl FnOnce() -> (Option<Data>, SmallVec<[Statement; 1]>),
        see: impl FnOnce(&Live) -> R,
    ) -> Option<R> {
        let now = touch.now;
        let hash = self.hasher.hash(touch.key);
        let mut shard = self.shards[hash as usize % SHARDS].lock();
        let ends = touch.timeout.map(|timeout| now + timeout);
        if let Some(live) = shard.elements.find_mut(hash, |live| *live.key == *touch.key) {
            if live.is_alive(now) {
                if touch.operation == DynamicOperation::Update && live.timeout.is_some() {
                    live.ends = ends.or(live.ends);
                }
            } else {
                let (data, state) = fresh();
                *live =
                    Live { data, state, comment: None, timeout: touch.timeout, ends, key: live.key.clone() };
            }
            return Some(see(live));
        }
        if !self.make_room(&mut shard, now) {
            return None;
        }
        let (data, state) = fresh();
        let live = Live {
            key: Value::from_slice(touch.key),
            data,
            comment: None,
            state,
            timeout: touch.timeout,
            ends,
        };
        let again = |live: &Live| self.hasher.hash(&live.key);
        Some(see(shard.elements.insert_unique(hash, live, again).get()))
    }

    /// A packet takes an element out.
    pub fn delete(&self, key: &[u8], now: Instant) -> bool {
        self.remove_value(key, now)
    }

    /// Takes out what has ended by `now`, of about `budget` elements; returns how many.
    pub fn expire(&self, now: Instant, budget: usize) -> usize {
        let mut ended = 0;
        let mut seen = 0;
        for _ in 0..SHARDS {
            if seen >= budget {
                break;
            }
            let next = self.sweep.fetch_add(1, Ordering::Relaxed) as usize % SHARDS;
            let mut shard = self.shards[next].lock();
            seen += shard.elements.len();
            ended += self.sweep_shard(&mut shard, now);
        }
        ended
    }

    fn insert_value(&self, live: Live, ends_said: bool, now: Instant, place: Option<Place>) -> Inserted {
        let hash = self.hasher.hash(&live.key);
        let mut shard = self.shards[hash as usize % SHARDS].lock();
        if let Some(held) = shard.elements.find_mut(hash, |held| held.key == live.key) {
            if held.is_alive(now) {
                held.renew(&live, ends_said);
                return Inserted::Existing;
            }
            *held = live;
            return Inserted::New;
        }
        if !(place.is_some_and(Place::spend) || self.make_room(&mut shard, now)) {
            return Inserted::Full;
        }
        shard.elements.insert_unique(hash, live, |live| self.hasher.hash(&live.key));
        Inserted::New
    }

    fn insert_ranged(
        &self,
        key: ElementKey,
        live: Live,
        ends_said: bool,
        now: Instant,
        place: Option<Place>,
    ) -> Inserted {
        let mut ranged = self.ranged.write();
        if let Some((_, held)) = ranged.elements.iter_mut().find(|(held, _)| *held == key) {
            if held.is_alive(now) {
                held.renew(&live, ends_said);
                return Inserted::Existing;
            }
            *held = live;
            return Inserted::New;
        }
        let before = ranged.elements.len();
        ranged.elements.retain(|(_, live)| live.is_alive(now));
        self.taken.fetch_sub(before - ranged.elements.len(), Ordering::Relaxed);
        if !(place.is_some_and(Place::spend) || self.take_place()) {
            self.rebuild(&mut ranged);
            return Inserted::Full;
        }
        ranged.elements.push((key, live));
        self.rebuild(&mut ranged);
        Inserted::New
    }

    fn rebuild(&self, ranged: &mut Ranged) {
        let keys = ranged.elements.iter().map(|(key, _)| key);
        ranged.index = (!ranged.elements.is_empty()).then(|| Index::new(&self.types, keys));
        self.has_ranged.store(ranged.index.is_some(), Ordering::Release);
    }

    fn with_value<R>(&self, key: &[u8], now: Instant, see: impl FnOnce(&Live) -> R) -> Option<R> {
        let hash = self.hasher.hash(key);
        let shard = self.shards[hash as usize % SHARDS].lock();
        let live = shard.elements.find(hash, |live| *live.key == *key)?;
        live.is_alive(now).then(|| see(live))
    }

    fn remove_value(&self, key: &[u8], now: Instant) -> bool {
        let hash = self.hasher.hash(key);
        let mut shard = self.shards[hash as usize % SHARDS].lock();
        let Ok(entry) = shard.elements.find_entry(hash, |live| *live.key == *key) else { return false };
        let (live, _) = entry.remove();
        self.taken.fetch_sub(1, Ordering::Relaxed);
        live.is_alive(now)
    }

    /// Takes a place for one more element, if need be one of an element of this shard that has ended.
    fn make_room(&self, shard: &mut Shard, now: Instant) -> bool {
        self.take_place() || self.sweep_shard(shard, now) > 0 && self.take_place()
    }

    fn take_place(&self) -> bool {
        let more = |taken| (taken < self.size_max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn sweep_shard(&self, shard: &mut Shard, now: Instant) -> usize {
        let mut budget = SWEEP_BUDGET;
        let before = shard.elements.len();
        shard.elements.retain(|live| {
            if budget == 0 || live.is_alive(now) {
                return true;
            }
            budget -= 1;
            false
        });
        let ended = before - shard.elements.len();
        self.taken.fetch_sub(ended, Ordering::Relaxed);
        ended
    }
}

impl Live {
    fn is_alive(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| ends > now)
    }

    /// Takes over the timeout of one that was added again (`nft_add_set_elem`).
    fn renew(&mut self, again: &Self, ends_said: bool) {
        if self.timeout.is_some() && again.timeout.is_some() && (self.timeout != again.timeout || ends_said) {
            self.timeout = again.timeout;
            self.ends = again.ends;
        }
    }

    fn listed(&self, key: ElementKey, now: Instant) -> LiveElement {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        LiveElement {
            element: Element {
                key,
                data: self.data.clone(),
                comment: self.comment.clone(),
                timeout_ms: self.timeout.map(milliseconds),
                state: self.state.to_vec(),
            },
            expires_ms: self.ends.map(|ends| milliseconds(ends - now)),
        }
    }
}

impl std::fmt::Debug for LiveSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LiveSet of {} elements", self.len())
    }
}

/// Statements of their own for a new element: the same, and nothing used or counted yet.
#[must_use]
pub fn fresh(template: &[Statement]) -> SmallVec<[Statement; 1]> {
    let one = |statement: &Statement| match statement {
        Statement::Counter(_) => Statement::Counter(Arc::default()),
        Statement::Quota(quota) => Statement::Quota(Arc::new(super::Quota::new(quota.bytes, quota.over, 0))),
        Statement::Limit(limit) => Statement::Limit(Arc::new(super::Limit::new(limit.rate))),
        Statement::Last(_) => Statement::Last(Arc::default()),
        Statement::CtCount(count) => Statement::CtCount(Arc::new(FlowCount::new(count.count, count.over))),
        other => other.clone(),
    };
    template.iter().map(one).collect()
}

fn order(key: &ElementKey) -> (bool, &[u8]) {
    match key {
        ElementKey::Value(value) | ElementKey::Range(value, _) => (false, value),
        ElementKey::CatchAll => (true, &[]),
    }
}
