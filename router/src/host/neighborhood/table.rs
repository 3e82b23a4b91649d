//! The neighbors known, and which of them go when there are too many (`neigh_forced_gc`, `neigh_periodic_work`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{LinkIndex, Mac, PortId};
use fib::change::NeighborState;

use super::entry::Entry;
use super::outbox::Event;
use super::{Key, Neighborhood, Timer};

/// A neighbor that was used this short a time ago is not forgotten to make room.
const IN_USE: Duration = Duration::from_secs(5);
/// A full family is not searched for room more often than this: for a neighbor that a packet waits for, and for one that
/// has only spoken up.
const SEARCH_INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// That there is no room is told once in this time.
const FULL_TOLD_INTERVAL: Duration = Duration::from_secs(10);
/// Changes that wait to be taken, for each neighbor that there is room for; with more, no new neighbors are made.
const CHANGES_PER_NEIGHBOR: usize = 4;

/// Which family a neighbor is of: each has its own bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// All neighbors.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: BTreeMap<Key, Slot>,
    /// How many of each family were found, not set by hand.
    found: [usize; 2],
    /// When each family was last searched for room, for either kind of newcomer.
    searched: [[Option<Instant>; 2]; 2],
    /// When it was last told that there is no room.
    told_full: Option<Instant>,
    /// How many have found no room since.
    refused: u64,
}

#[derive(Debug)]
struct Slot {
    kind: Kind,
    /// As it was told last.
    told: Option<(NeighborState, Option<Mac>)>,
}

#[derive(Debug)]
enum Kind {
    Static(Mac),
    Found(Entry),
}

impl Table {
    pub(super) fn set_static(&mut self, key: Key, mac: Mac) {
        self.remove(key);
        self.slots.insert(key, Slot { kind: Kind::Static(mac), told: None });
    }

    /// The entry of a neighbor, made if there is none.
    ///
    /// # Panics
    /// If it was set by hand.
    pub(super) fn found_or_new(&mut self, key: Key, now: Instant) -> &mut Entry {
        let slot = self.slots.entry(key).or_insert_with(|| {
            self.found[Family::of(key.1) as usize] += 1;
            Slot { kind: Kind::Found(Entry::new(now)), told: None }
        });
        match &mut slot.kind {
            Kind::Found(entry) => entry,
            Kind::Static(_) => panic!("a neighbor that was set by hand is not looked for"),
        }
    }

    /// The entry of a neighbor that was found.
    pub(super) fn found(&mut self, key: Key) -> Option<&mut Entry> {
        match &mut self.slots.get_mut(&key)?.kind {
            Kind::Found(entry) => Some(entry),
            Kind::Static(_) => None,
        }
    }

    /// Takes a neighbor out. False if there was none.
    pub(super) fn remove(&mut self, key: Key) -> bool {
        let removed = self.slots.remove(&key);
        if let Some(Slot { kind: Kind::Found(_), .. }) = removed {
            self.found[Family::of(key.1) as usize] -= 1;
        }
        removed.is_some()
    }

    /// Whether a neighbor is not as it was told last; from now on it is.
    pub(super) fn take_news(&mut self, key: Key) -> bool {
        let Some(slot) = self.slots.get_mut(&key) else { return false };
        let now = Some(slot.view());
        std::mem::replace(&mut slot.told, now) != now
    }

    pub(super) fn get(&self, key: Key) -> Option<(NeighborState, Option<Mac>)> {
        self.slots.get(&key).map(Slot::view)
    }

    pub(super) fn is_router(&self, key: Key) -> bool {
        matches!(self.slots.get(&key), Some(Slot { kind: Kind::Found(entry), .. }) if entry.is_router())
    }

    /// The link address of a neighbor that was set by hand.
    pub(super) fn static_mac(&self, key: Key) -> Option<Mac> {
        match self.slots.get(&key)?.kind {
            Kind::Static(mac) => Some(mac),
            Kind::Found(_) => None,
        }
    }

    pub(super) fn is_static(&self, key: Key) -> bool {
        self.static_mac(key).is_some()
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.slots.contains_key(&key)
    }

    pub(super) fn due(&self, key: Key) -> Option<Instant> {
        match &self.slots.get(&key)?.kind {
            Kind::Found(entry) => entry.due(),
            Kind::Static(_) => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Neighbors that were found.
    pub(super) fn keys_found(&self) -> impl Iterator<Item = Key> {
        let found = self.slots.iter().filter(|(_, slot)| matches!(slot.kind, Kind::Found(_)));
        found.map(|(key, _)| *key)
    }

    fn found_of(&self, family: Family) -> impl Iterator<Item = (Key, &Entry)> {
        self.slots.iter().filter(move |(key, _)| Family::of(key.1) == family).filter_map(|(key, slot)| {
            match &slot.kind {
                Kind::Found(entry) => Some((*key, entry)),
                Kind::Static(_) => None,
            }
        })
    }

    fn keys_of(&self, port: PortId, is_static: bool) -> Vec<Key> {
        let of_port = self.slots.range((port, IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))..);
        of_port
            .take_while(|(key, _)| key.0 == port)
            .filter(|(_, slot)| matches!(slot.kind, Kind::Static(_)) == is_static)
            .map(|(key, _)| *key)
            .collect()
    }
}

impl Slot {
    fn view(&self) -> (NeighborState, Option<Mac>) {
        match &self.kind {
            Kind::Static(mac) => (NeighborState::Permanent, Some(*mac)),
            Kind::Found(entry) => (entry.state(), entry.mac()),
        }
    }
}

impl Family {
    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

impl Neighborhood {
    /// Makes room for one more neighbor. One that a packet waits for may take the place of any that is not in use, one
    /// that has only spoken up that of those that nobody ever used. False if there is no room.
    pub(super) fn make_room(&mut self, key: Key, wanted: bool, now: Instant) -> bool {
        let family = Family::of(key.1);
        let number = self.table.found[family as usize];
        let max = self.settings.neighbors_max;
        let searched = self.table.searched[family as usize][usize::from(!wanted)];
        let since = |moment: Option<Instant>| moment.map(|moment| now.saturating_since(moment));
        let idle = |time: Duration| since(searched).is_none_or(|passed| passed >= time);
        let is_due = number >= max && idle(SEARCH_INTERVALS[usize::from(!wanted)])
            || number >= self.settings.crowded && idle(IN_USE);
        if is_due {
            self.table.searched[family as usize][usize::from(!wanted)] = Some(now);
            self.thin_out(family, wanted, now);
        }
        let is_full = self.table.found[family as usize] >= max;
        if is_full || self.outbox.changed.len() >= max.saturating_mul(CHANGES_PER_NEIGHBOR) {
            self.outbox.counters.table_overflows += 1;
            self.table.refused += 1;
            if since(self.table.told_full).is_none_or(|passed| passed >= FULL_TOLD_INTERVAL) {
                self.table.told_full = Some(now);
                self.outbox.tell(Event::TableFull { refused: std::mem::take(&mut self.table.refused) });
            }
            return false;
        }
        let collects = self.timers.get(Timer::Collect(family)).is_some();
        if number >= self.settings.keep && !collects {
            self.timers.set(Timer::Collect(family), Some(now + self.settings.reachable_time / 2));
        }
        true
    }

    /// Forgets the least useful neighbors, until their family is not crowded any more.
    fn thin_out(&mut self, family: Family, wanted: bool, now: Instant) {
        let excess = self.table.found[family as usize].saturating_sub(self.settings.crowded).max(1);
        let unused =
            |entry: &Entry| entry.of_use().is_none_or(|used| wanted && now.saturating_since(used) >= IN_USE);
        let rank = |entry: &Entry| match entry.state() {
            NeighborState::Failed | NeighborState::None => Some((None, entry.updated())),
            NeighborState::Stale if unused(entry) => Some((entry.of_use(), entry.updated())),
            _ => None,
        };
        let mut candidates: Vec<_> = self
            .table
            .found_of(family)
            .filter_map(|(key, entry)| rank(entry).map(|rank| (rank, key)))
            .collect();
        candidates.sort_unstable();
        for (_, key) in candidates.into_iter().take(excess) {
            self.drop_neighbor(key);
        }
    }

    /// Forgets, now and then, who failed and who has long not been of use.
    pub(super) fn collect(&mut self, family: Family, now: Instant) {
        let stale_time = self.settings.stale_time;
        let is_old = |entry: &Entry| match entry.state() {
            NeighborState::Failed | NeighborState::None => true,
            NeighborState::Stale => {
                let last = entry.of_use().unwrap_or(entry.updated());
                now.saturating_since(last) >= stale_time
            }
            _ => false,
        };
        let old: Vec<Key> =
            self.table.found_of(family).filter(|(_, entry)| is_old(entry)).map(|(key, _)| key).collect();
        old.into_iter().for_each(|key| self.drop_neighbor(key));
        if self.table.found[family as usize] > self.settings.keep {
            self.timers.set(Timer::Collect(family), Some(now + self.settings.reachable_time / 2));
        }
    }

    fn drop_neighbor(&mut self, (port, address): Key) {
        self.outbox.counters.forgotten += 1;
        self.forget(port, address);
    }

    /// Forgets all neighbors of a port that were found; those set by hand go from the link it had.
    pub(super) fn forget_neighbors(&mut self, port: PortId, link: LinkIndex) {
        for key in self.table.keys_of(port, false) {
            self.table.remove(key);
            self.timers.set(Timer::Neighbor(key), None);
            self.outbox.changed.insert(key, link);
        }
    }

    /// Tells of the neighbors of a port that were set by hand.
    pub(super) fn tell_static(&mut self, port: PortId) {
        self.table.keys_of(port, true).into_iter().for_each(|key| self.note(key));
    }
}
