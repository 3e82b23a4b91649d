//! The neighbor cells: who is behind a port, by index, so that a new MAC is one edit that every flow follows.
//!
//! Locks: each shard has one, held for a map operation and a bounded search for a free cell; never two at once.
//! A packet of a known flow takes none: it reads its cell.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Mac, NeighborId, PortId};
use crate::change::NeighborState;

/// How many neighbors there is room for unless the configuration says otherwise.
pub const NEIGHBORS_MAX: usize = 65_536;

/// One question to the kernel per neighbor and this many milliseconds.
pub const ASK_INTERVAL_MS: u64 = 1_000;

/// Cells looked at in search of one to recycle, at most.
const RECYCLE_SEARCH_MAX: usize = 64;

/// Tables smaller than this are not worth sharding.
const SHARDED_FROM: usize = 4_096;
const SHARDS: usize = 16;

const STATE_SHIFT: u32 = 48;
const STATE_MASK: u64 = 0xf;
/// The kernel has announced this neighbor and not withdrawn it: the cell is not recycled.
const ANNOUNCED: u64 = 1 << 52;

/// The neighbors of all ports, bounded. Workers make entries on a flow's first packet, the writer edits them.
#[derive(Debug)]
pub struct Neighbors {
    cells: Box<[Cell]>,
    shards: Box<[Mutex<Shard>]>,
    cells_per_shard: usize,
    hasher: RandomState,
    changes: AtomicU64,
    refused: AtomicU64,
}

/// What is known of a neighbor right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborView {
    /// State, as the kernel announced it; [`NeighborState::None`] when it has announced nothing.
    pub state: NeighborState,
    /// Its address; meaningful while [`NeighborState::is_valid`].
    pub mac: Mac,
    /// The port it is behind.
    pub port: PortId,
}

/// A neighbor for people to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborRow {
    /// Its place.
    pub id: NeighborId,
    /// Its protocol address.
    pub address: IpAddr,
    /// What is known of it.
    pub view: NeighborView,
    /// The kernel knows it too.
    pub announced: bool,
}

/// `word` is written after `incarnation` when a cell gets a new tenant, and a reader loads them the other way
/// round: whoever still finds the incarnation it meant has read that tenant's word.
#[derive(Debug)]
struct Cell {
    /// MAC (48 bits), state (4 bits), [`ANNOUNCED`].
    word: AtomicU64,
    incarnation: AtomicU32,
    port: AtomicU32,
    /// Asked for since the last search for a cell to recycle.
    used: AtomicBool,
    /// Time of the last question plus one; 0 when the next may be asked at once.
    asked_ms: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    by_key: HashMap<(PortId, IpAddr), u32>,
    /// Who lives in each of the shard's cells.
    tenants: Box<[Option<(PortId, IpAddr)>]>,
    free: Vec<u32>,
    /// Where the next search for a cell to recycle starts.
    hand: usize,
}

impl Neighbors {
    /// Room for `neighbors_max` (rounded up to a multiple of the shard count).
    ///
    /// # Panics
    /// If `neighbors_max` is 0 or above `u32::MAX`.
    #[must_use]
    pub fn new(neighbors_max: usize) -> Self {
        assert!(neighbors_max > 0 && u32::try_from(neighbors_max).is_ok(), "neighbors_max out of range");
        let shard_count = if neighbors_max < SHARDED_FROM { 1 } else { SHARDS };
        let cells_per_shard = neighbors_max.div_ceil(shard_count);
        let cell = |_| Cell {
            word: AtomicU64::new(0),
            incarnation: AtomicU32::new(0),
            port: AtomicU32::new(0),
            used: AtomicBool::new(false),
            asked_ms: AtomicU64::new(0),
        };
        let shard = |number: usize| {
            let first = number * cells_per_shard;
            let index = |place| u32::try_from(first + place).expect("bounded by neighbors_max");
            Mutex::new(Shard {
                // Twice the room: a map at most half full clears its tombstones in place and never allocates.
                by_key: HashMap::with_capacity(2 * cells_per_shard),
                tenants: vec![None; cells_per_shard].into(),
                free: (0..cells_per_shard).rev().map(index).collect(),
                hand: 0,
            })
        };
        Self {
            cells: (0..shard_count * cells_per_shard).map(cell).collect(),
            shards: (0..shard_count).map(shard).collect(),
            cells_per_shard,
            hasher: RandomState::new(),
            changes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// The place of a neighbor, made if there is none. `None` when the table is full of neighbors that the kernel
    /// knows or that were used lately; that is counted in [`Neighbors::refused`].
    ///
    /// Takes a short lock: for a flow's first packet, not for every packet.
    pub fn find_or_create(&self, port: PortId, address: IpAddr) -> Option<NeighborId> {
        self.with_cell(port, address, |index, cell| {
            cell.used.store(true, Ordering::Relaxed);
            NeighborId { index, incarnation: cell.incarnation.load(Ordering::Relaxed) }
        })
    }

    /// What is known of a neighbor; `None` when the place has been given to another since. Marks it as used.
    #[must_use]
    pub fn get(&self, id: NeighborId) -> Option<NeighborView> {
        let cell = self.cells.get(id.index as usize)?;
        let view = cell.view(id.incarnation)?;
        if !cell.used.load(Ordering::Relaxed) {
            cell.used.store(true, Ordering::Relaxed);
        }
        Some(view)
    }

    /// Whether the kernel may be asked about this neighbor now; one that is unknown or has failed counts as asked for
    /// from then on ([`NeighborState::Incomplete`]), so that another failure is news again. True once per [`ASK_INTERVAL_MS`] among all
    /// threads, and again at once when the neighbor has been lost or found in between.
    #[must_use]
    pub fn mark_asked(&self, id: NeighborId, now_ms: u64) -> bool {
        let Some(cell) = self.cells.get(id.index as usize) else { return false };
        if cell.incarnation.load(Ordering::Acquire) != id.incarnation {
            return false;
        }
        let last = cell.asked_ms.load(Ordering::Relaxed);
        let due = last == 0 || now_ms.saturating_sub(last - 1) >= ASK_INTERVAL_MS;
        let asks = due
            && cell.asked_ms.compare_exchange(last, now_ms + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if asks {
            cell.begin_resolution();
        }
        asks
    }

    /// Raised whenever a neighbor becomes valid, fails or is removed: who holds packets looks again when it moved.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// How many neighbors found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Calls `visit` for every neighbor, a few under each lock, so that no worker waits long.
    pub fn for_each(&self, mut visit: impl FnMut(NeighborRow)) {
        const ROWS_PER_LOCK: usize = 128;
        let mut rows = Vec::with_capacity(ROWS_PER_LOCK);
        for shard in &self.shards {
            for start in (0..self.cells_per_shard).step_by(ROWS_PER_LOCK) {
                {
                    let shard = shard.lock();
                    let end = (start + ROWS_PER_LOCK).min(self.cells_per_shard);
                    for (port, address) in shard.tenants[start..end].iter().flatten() {
                        rows.extend(
                            shard.by_key.get(&(*port, *address)).map(|index| self.row(*index, *address)),
                        );
                    }
                }
                rows.drain(..).for_each(&mut visit);
            }
        }
    }

    /// Who a place belongs to; `None` when it has been given to another since. Takes the shard's lock.
    #[must_use]
    pub fn address_of(&self, id: NeighborId) -> Option<(PortId, IpAddr)> {
        let index = id.index as usize;
        let shard = self.shards.get(index / self.cells_per_shard)?.lock();
        let tenant = shard.tenants[index % self.cells_per_shard]?;
        (self.cells[index].incarnation.load(Ordering::Relaxed) == id.incarnation).then_some(tenant)
    }

    /// The writer's edit: what the kernel announced.
    pub(crate) fn set(&self, port: PortId, address: IpAddr, state: NeighborState, mac: Option<Mac>) {
        let word = mac.unwrap_or_default().to_word() | (state as u64) << STATE_SHIFT | ANNOUNCED;
        let _ = self.with_cell(port, address, |_, cell| self.write(cell, word));
    }

    /// The writer's edit: the kernel has removed the entry. Its place stays for the flows that hold it.
    pub(crate) fn unset(&self, port: PortId, address: IpAddr) {
        let shard = self.shard_of(port, address).lock();
        if let Some(index) = shard.by_key.get(&(port, address)) {
            self.write(&self.cells[*index as usize], 0);
        }
    }

    fn write(&self, cell: &Cell, word: u64) {
        let before = cell.word.swap(word, Ordering::AcqRel);
        let (was, is) = (state_of(before), state_of(word));
        let found = is.is_valid() && !was.is_valid();
        let lost =
            is == NeighborState::Failed && was != is || before & ANNOUNCED != 0 && word & ANNOUNCED == 0;
        if found || lost {
            cell.asked_ms.store(0, Ordering::Relaxed);
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Runs `action` on the neighbor's cell, made if there is none, under its shard's lock.
    fn with_cell<T>(&self, port: PortId, address: IpAddr, action: impl FnOnce(u32, &Cell) -> T) -> Option<T> {
        let mut shard = self.shard_of(port, address).lock();
        if let Some(index) = shard.by_key.get(&(port, address)) {
            return Some(action(*index, &self.cells[*index as usize]));
        }
        let Some(index) = shard.free.pop().or_else(|| self.recycle(&mut shard)) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let cell = &self.cells[index as usize];
        cell.incarnation.fetch_add(1, Ordering::Release);
        cell.port.store(u32::from(port.0), Ordering::Release);
        cell.asked_ms.store(0, Ordering::Relaxed);
        cell.used.store(false, Ordering::Relaxed);
        cell.word.store(0, Ordering::Release);
        shard.tenants[index as usize % self.cells_per_shard] = Some((port, address));
        shard.by_key.insert((port, address), index);
        Some(action(index, cell))
    }

    /// Takes the cell of a neighbor that the kernel does not know and nobody used since the hand last came by.
    fn recycle(&self, shard: &mut Shard) -> Option<u32> {
        for _ in 0..RECYCLE_SEARCH_MAX.min(2 * self.cells_per_shard) {
            let place = shard.hand;
            shard.hand = (shard.hand + 1) % self.cells_per_shard;
            let Some(tenant) = shard.tenants[place] else { continue };
            let index = shard.by_key[&tenant];
            let cell = &self.cells[index as usize];
            if cell.word.load(Ordering::Acquire) & ANNOUNCED == 0 && !cell.used.swap(false, Ordering::Relaxed)
            {
                shard.by_key.remove(&tenant);
                shard.tenants[place] = None;
                return Some(index);
            }
        }
        None
    }

    fn row(&self, index: u32, address: IpAddr) -> NeighborRow {
        let cell = &self.cells[index as usize];
        let incarnation = cell.incarnation.load(Ordering::Relaxed);
        NeighborRow {
            id: NeighborId { index, incarnation },
            address,
            view: cell.view(incarnation).expect("the shard's lock keeps the tenant"),
            announced: cell.word.load(Ordering::Relaxed) & ANNOUNCED != 0,
        }
    }

    fn shard_of(&self, port: PortId, address: IpAddr) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one((port, address));
        &self.shards[hash as usize % self.shards.len()]
    }
}

impl Cell {
    /// The kernel is about to be asked. Another thread's edit in between is newer and stays.
    fn begin_resolution(&self) {
        let word = self.word.load(Ordering::Acquire);
        if matches!(state_of(word), NeighborState::None | NeighborState::Failed) {
            let asked =
                word & !(STATE_MASK << STATE_SHIFT) | (NeighborState::Incomplete as u64) << STATE_SHIFT;
            let _ = self.word.compare_exchange(word, asked, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    fn view(&self, incarnation: u32) -> Option<NeighborView> {
        let word = self.word.load(Ordering::Acquire);
        let port = self.port.load(Ordering::Acquire);
        (self.incarnation.load(Ordering::Acquire) == incarnation).then(|| NeighborView {
            state: state_of(word),
            mac: Mac::from_word(word),
            port: PortId(port as u16),
        })
    }
}

const fn state_of(word: u64) -> NeighborState {
    match (word >> STATE_SHIFT) & STATE_MASK {
        1 => NeighborState::Incomplete,
        2 => NeighborState::Reachable,
        3 => NeighborState::Stale,
        4 => NeighborState::Delay,
        5 => NeighborState::Probe,
        6 => NeighborState::Failed,
        7 => NeighborState::Permanent,
        8 => NeighborState::NoArp,
        _ => NeighborState::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: PortId = PortId(3);
    const MAC: Mac = Mac([2, 0, 0, 0, 0xff, 0x11]);

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn a_new_mac_is_one_edit_that_every_holder_sees() {
        let neighbors = Neighbors::new(8);
        let id = neighbors.find_or_create(PORT, address(1)).unwrap();
        assert_eq!(neighbors.get(id).unwrap().state, NeighborState::None);
        neighbors.set(PORT, address(1), NeighborState::Reachable, Some(MAC));
        assert_eq!(
            neighbors.get(id),
            Some(NeighborView { state: NeighborState::Reachable, mac: MAC, port: PORT })
        );
        let other = Mac([2, 1, 1, 1, 1, 1]);
        neighbors.set(PORT, address(1), NeighborState::Stale, Some(other));
        assert_eq!(neighbors.get(id).unwrap().mac, other);
        assert_eq!(neighbors.find_or_create(PORT, address(1)), Some(id), "the place is kept");
        assert_ne!(
            neighbors.find_or_create(PortId(4), address(1)),
            Some(id),
            "another port, another neighbor"
        );
    }

    #[test]
    fn every_state_survives_the_cell() {
        use NeighborState::*;
        let neighbors = Neighbors::new(1);
        let id = neighbors.find_or_create(PORT, address(1)).unwrap();
        for state in [None, Incomplete, Reachable, Stale, Delay, Probe, Failed, Permanent, NoArp] {
            neighbors.set(PORT, address(1), state, Some(MAC));
            assert_eq!(neighbors.get(id).unwrap().state, state);
        }
    }

    #[test]
    fn a_reused_place_is_not_mistaken_for_who_lived_there() {
        let neighbors = Neighbors::new(1);
        let first = neighbors.find_or_create(PORT, address(1)).unwrap();
        let second = neighbors.find_or_create(PORT, address(2)).expect("the first is unknown to the kernel");
        assert_eq!(first.index, second.index);
        assert_eq!(neighbors.get(first), None);
        assert!(!neighbors.mark_asked(first, 0));
        assert_eq!(neighbors.address_of(first), None);
        assert_eq!(neighbors.address_of(second), Some((PORT, address(2))));
        assert!(neighbors.get(second).is_some());
    }

    #[test]
    fn what_the_kernel_knows_is_not_recycled_and_a_full_table_is_counted() {
        let neighbors = Neighbors::new(4);
        for number in 0..4 {
            neighbors.set(PORT, address(number), NeighborState::Stale, Some(MAC));
        }
        assert_eq!(neighbors.find_or_create(PORT, address(9)), None);
        assert_eq!(neighbors.refused(), 1);
        neighbors.unset(PORT, address(2));
        assert!(neighbors.find_or_create(PORT, address(9)).is_some());
    }

    #[test]
    fn who_is_in_use_outlives_who_is_not() {
        let neighbors = Neighbors::new(4);
        let ids: Vec<_> =
            (0..4).map(|number| neighbors.find_or_create(PORT, address(number)).unwrap()).collect();
        neighbors
            .find_or_create(PORT, address(10))
            .expect("one round clears the marks, the next finds a cell");
        for round in 11..40 {
            assert!(neighbors.get(ids[2]).is_some(), "recycled in round {round} although in use");
            neighbors.find_or_create(PORT, address(round)).unwrap();
        }
    }

    #[test]
    fn only_found_lost_and_removed_raise_the_count_of_changes() {
        let neighbors = Neighbors::new(4);
        let mut last = neighbors.changes();
        let mut raised = |what: &str, expected: bool| {
            let now = neighbors.changes();
            assert_eq!(now != last, expected, "{what}");
            last = now;
        };
        let _ = neighbors.find_or_create(PORT, address(1));
        raised("made by a worker", false);
        neighbors.set(PORT, address(1), NeighborState::Incomplete, None);
        raised("incomplete", false);
        neighbors.set(PORT, address(1), NeighborState::Reachable, Some(MAC));
        raised("found", true);
        neighbors.set(PORT, address(1), NeighborState::Stale, Some(MAC));
        raised("stale", false);
        neighbors.set(PORT, address(1), NeighborState::Failed, None);
        raised("failed", true);
        neighbors.set(PORT, address(1), NeighborState::Failed, None);
        raised("failed still", false);
        neighbors.unset(PORT, address(1));
        raised("removed", true);
        neighbors.unset(PORT, address(1));
        raised("removed already", false);
        neighbors.unset(PORT, address(5));
        raised("never known", false);
    }

    #[test]
    fn the_kernel_is_asked_once_per_interval_and_again_after_a_loss() {
        let neighbors = Neighbors::new(4);
        let id = neighbors.find_or_create(PORT, address(1)).unwrap();
        assert!(neighbors.mark_asked(id, 0), "time zero is a time like any other");
        assert!(!neighbors.mark_asked(id, 0));
        assert!(!neighbors.mark_asked(id, ASK_INTERVAL_MS - 1));
        assert!(neighbors.mark_asked(id, ASK_INTERVAL_MS));
        assert!(!neighbors.mark_asked(id, ASK_INTERVAL_MS + 1));
        neighbors.set(PORT, address(1), NeighborState::Failed, None);
        assert!(neighbors.mark_asked(id, ASK_INTERVAL_MS + 2));
    }

    #[test]
    fn all_neighbors_are_listed_once() {
        let neighbors = Neighbors::new(SHARDED_FROM);
        for number in 0..1000 {
            neighbors.find_or_create(PORT, address(number)).unwrap();
        }
        neighbors.set(PORT, address(7), NeighborState::Permanent, Some(MAC));
        let mut listed = Vec::new();
        neighbors.for_each(|row| {
            assert_eq!(row.announced, row.address == address(7));
            assert_eq!(neighbors.address_of(row.id), Some((PORT, row.address)));
            listed.push(row.address);
        });
        listed.sort();
        assert_eq!(listed, (0..1000).map(address).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_never_sees_another_tenants_mac_under_its_own_id() {
        let neighbors = Neighbors::new(2);
        let mac_of = |number: u32| {
            Mac([2, 0, (number >> 24) as u8, (number >> 16) as u8, (number >> 8) as u8, number as u8])
        };
        let over = AtomicBool::new(false);
        let (neighbors, over) = (&neighbors, &over);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..20_000 {
                    neighbors.set(PORT, address(number), NeighborState::Reachable, Some(mac_of(number)));
                    neighbors.unset(PORT, address(number));
                }
                over.store(true, Ordering::Release);
            });
            for _ in 0..2 {
                scope.spawn(move || {
                    while !over.load(Ordering::Acquire) {
                        for index in 0..2 {
                            let incarnation =
                                neighbors.cells[index as usize].incarnation.load(Ordering::Relaxed);
                            let id = NeighborId { index, incarnation };
                            let Some((_, IpAddr::V4(tenant))) = neighbors.address_of(id) else { continue };
                            let Some(view) = neighbors.get(id) else { continue };
                            if view.state.is_valid() {
                                assert_eq!(view.mac, mac_of(tenant.into()));
                            }
                        }
                    }
                });
            }
        });
    }
}
