//! Which link address is behind which port: read without a lock, bounded, forgotten with time.
//!
//! An entry is one word (link address, kind, port) in one of two buckets that a keyed hash picks, and beside it the
//! moment of its last frame. Workers read words and refresh moments as they are; what makes, moves or removes an entry
//! holds `writer`, which a worker never waits for: it learns with one of the next frames.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{Mac, PORTS_MAX, PortId};
use parking_lot::Mutex;

/// Why an entry is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A frame came from it; it may move, and is forgotten after a time of silence.
    Learned,
    /// Configured; it stays.
    Fixed,
    /// An address of this router's own; it stays.
    Own,
}

/// Where a link address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The port.
    pub port: PortId,
    /// Why that is known.
    pub kind: Kind,
}

/// An entry of the table, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The link address.
    pub mac: Mac,
    /// Where it is.
    pub behind: Behind,
    /// How long ago its last frame was; zero for what is not learned.
    pub silent: Duration,
}

/// What a frame's source has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// Nothing new.
    Known,
    /// A link address that was not known.
    New,
    /// It was behind this port before.
    Moved(PortId),
    /// Nothing was learned, as the table is full.
    Full,
    /// Nothing was learned, as it is configured to be behind another port.
    Fixed,
    /// It is an address of this router's own.
    Own,
    /// Nothing was learned now, as the table is being changed.
    Busy,
}

/// The table.
#[derive(Debug)]
pub struct MacTable {
    buckets: Box<[Bucket]>,
    seed: [u64; 2],
    ageing_ms: u64,
    entries_max: usize,
    entries: AtomicUsize,
    /// Held by whoever makes, moves or removes entries; where the next look for silent ones begins.
    writer: Mutex<usize>,
}

/// Entries that lie together, in one line of the caches.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket {
    words: [AtomicU64; PLACES],
    /// Milliseconds, of the last frame.
    seen: [AtomicU64; PLACES],
}

/// Entries of a bucket.
const PLACES: usize = 8;

/// A place without an entry: no link address of zeros is ever kept.
const EMPTY: u64 = 0;

const _: () = assert!(PORTS_MAX <= 1 << 14, "a port's number fits beside the kind");

/// A place in the table.
type Place = (usize, usize);

impl MacTable {
    /// A table for at most `entries_max` link addresses, which are forgotten `ageing` after their last frame. It takes
    /// 32 bytes for each. `seed` makes it hard to foresee where they are kept.
    #[must_use]
    pub fn new(entries_max: usize, ageing: Duration, seed: [u64; 2]) -> Self {
        let buckets = (2 * entries_max).div_ceil(PLACES).next_power_of_two().max(4);
        Self {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            seed,
            ageing_ms: ageing.as_millis() as u64,
            entries_max,
            entries: AtomicUsize::new(0),
            writer: Mutex::new(0),
        }
    }

    /// Takes in that a frame came from `mac` by `port`. Waits for nobody.
    ///
    /// # Panics
    /// If `mac` is a group's or all zero: frames from such addresses are refused before.
    pub fn learn(&self, mac: Mac, port: PortId, now: Instant) -> Learned {
        assert!(is_station(mac), "a frame comes from one station");
        let now = milliseconds(now);
        let Some((place, word)) = self.place_of(mac) else { return self.insert(mac, port, now) };
        let behind = behind(word);
        match behind.kind {
            Kind::Own => Learned::Own,
            Kind::Fixed if behind.port == port => Learned::Known,
            Kind::Fixed => Learned::Fixed,
            Kind::Learned => {
                let was_silent = self.is_silent(place, now);
                if behind.port != port {
                    let Some(_writer) = self.writer.try_lock() else { return Learned::Busy };
                    let new = word_of(mac, Behind { port, kind: Kind::Learned });
                    if self
                        .word(place)
                        .compare_exchange(word, new, Ordering::Release, Ordering::Relaxed)
                        .is_err()
                    {
                        return Learned::Busy;
                    }
                }
                let seen = self.seen(place);
                if seen.load(Ordering::Relaxed) != now {
                    seen.store(now, Ordering::Relaxed);
                }
                match (was_silent, behind.port == port) {
                    (true, _) => Learned::New,
                    (false, true) => Learned::Known,
                    (false, false) => Learned::Moved(behind.port),
                }
            }
        }
    }

    /// Where a link address is, as far as is known and still believed.
    #[must_use]
    pub fn find(&self, mac: Mac, now: Instant) -> Option<Behind> {
        let (place, word) = self.place_of(mac)?;
        let behind = behind(word);
        (behind.kind != Kind::Learned || !self.is_silent(place, milliseconds(now))).then_some(behind)
    }

    /// Keeps it once and for all that `mac` is behind `port`; an entry that was learned gives way. False if there is no
    /// room, or the address is this router's own.
    pub fn fix(&self, mac: Mac, port: PortId) -> bool {
        let _writer = self.writer.lock();
        self.put(mac, Behind { port, kind: Kind::Fixed })
    }

    /// Says which link addresses are this router's own, in place of those that were; other entries give way. An address
    /// that comes twice is the first port's.
    pub fn set_own(&self, own: &[(Mac, PortId)]) {
        let _writer = self.writer.lock();
        self.remove_where(|_, mac, behind| {
            behind.kind == Kind::Own && !own.iter().any(|(known, port)| *known == mac && *port == behind.port)
        });
        for (mac, port) in own.iter().rev() {
            self.put(*mac, Behind { port: *port, kind: Kind::Own });
        }
    }

    /// Forgets who was learned to be behind a port; returns how many.
    pub fn flush(&self, port: PortId) -> usize {
        let _writer = self.writer.lock();
        self.remove_where(|_, _, behind| behind.kind == Kind::Learned && behind.port == port)
    }

    /// Forgets all that was learned; returns how much.
    pub fn flush_all(&self) -> usize {
        let _writer = self.writer.lock();
        self.remove_where(|_, _, behind| behind.kind == Kind::Learned)
    }

    /// Forgets who has been silent for too long, looking at `budget` places at most, from where the last call ended.
    pub fn expire(&self, now: Instant, budget: usize) {
        let mut next = self.writer.lock();
        let now = milliseconds(now);
        let buckets = budget.div_ceil(PLACES).min(self.buckets.len());
        for _ in 0..buckets {
            self.expire_bucket(*next, now);
            *next = (*next + 1) % self.buckets.len();
        }
    }

    /// All entries that are believed now, in no order.
    pub fn entries(&self, now: Instant) -> impl Iterator<Item = Entry> {
        let now = milliseconds(now);
        let places = (0..self.buckets.len()).flat_map(|bucket| (0..PLACES).map(move |place| (bucket, place)));
        places.filter_map(move |place| self.entry(place, now))
    }

    /// As [`Self::entries`], some at a time: those from bucket `from` on, at most `entries_max` but those of one bucket
    /// at least, and the bucket to go on with.
    #[must_use]
    pub fn page(&self, from: usize, entries_max: usize, now: Instant) -> (Vec<Entry>, Option<usize>) {
        let mut page = Vec::new();
        let mut next = from;
        while next < self.buckets.len() && (next == from || page.len() + PLACES <= entries_max) {
            page.extend((0..PLACES).filter_map(|place| self.entry((next, place), milliseconds(now))));
            next += 1;
        }
        (page, (next < self.buckets.len()).then_some(next))
    }

    /// Entries of all kinds, silent ones that are not yet forgotten included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that there may be.
    #[must_use]
    pub const fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// How long a link address is remembered after its last frame.
    #[must_use]
    pub const fn ageing(&self) -> Duration {
        Duration::from_millis(self.ageing_ms)
    }

    fn entry(&self, place: Place, now: u64) -> Option<Entry> {
        let word = self.word(place).load(Ordering::Acquire);
        let behind = behind(word);
        let is_learned = behind.kind == Kind::Learned;
        if word == EMPTY || (is_learned && self.is_silent(place, now)) {
            return None;
        }
        let seen = self.seen(place).load(Ordering::Relaxed);
        let silent = if is_learned { now.saturating_sub(seen) } else { 0 };
        Some(Entry { mac: mac_of(word), behind, silent: Duration::from_millis(silent) })
    }

    fn insert(&self, mac: Mac, port: PortId, now: u64) -> Learned {
        let Some(_writer) = self.writer.try_lock() else { return Learned::Busy };
        if self.place_of(mac).is_some() {
            // Another worker was faster.
            return Learned::Busy;
        }
        if self.len() >= self.entries_max {
            self.buckets_of(mac).into_iter().for_each(|bucket| self.expire_bucket(bucket, now));
        }
        if self.len() >= self.entries_max {
            return Learned::Full;
        }
        let Some(place) = self.free_place(mac, Some(now)) else { return Learned::Full };
        self.seen(place).store(now, Ordering::Relaxed);
        self.word(place).store(word_of(mac, Behind { port, kind: Kind::Learned }), Ordering::Release);
        self.entries.fetch_add(1, Ordering::Relaxed);
        Learned::New
    }

    /// Puts an entry that stays in its place, whatever was there. Called by the writer.
    fn put(&self, mac: Mac, behind: Behind) -> bool {
        let word = word_of(mac, behind);
        if let Some((place, old)) = self.place_of(mac) {
            if self::behind(old).kind == Kind::Own && behind.kind == Kind::Fixed {
                return false;
            }
            self.word(place).store(word, Ordering::Release);
            return true;
        }
        let Some(place) = self.free_place(mac, None).or_else(|| self.learned_place(mac)) else {
            return false;
        };
        let old = self.word(place).swap(word, Ordering::Release);
        self.entries.fetch_add(usize::from(old == EMPTY), Ordering::Relaxed);
        true
    }

    /// An empty place for `mac` in the emptier of its buckets, which are rid of silent entries if need be and if it is
    /// told what moment it is.
    fn free_place(&self, mac: Mac, now: Option<u64>) -> Option<Place> {
        let free = |bucket: usize| {
            let empty = |place: &usize| self.word((bucket, *place)).load(Ordering::Relaxed) == EMPTY;
            ((0..PLACES).filter(empty).count(), (0..PLACES).find(empty).map(|place| (bucket, place)))
        };
        let [one, other] = self.buckets_of(mac).map(free);
        let found = if other.0 > one.0 { other.1 } else { one.1 };
        found.or_else(|| {
            let now = now?;
            let buckets = self.buckets_of(mac);
            buckets.into_iter().for_each(|bucket| self.expire_bucket(bucket, now));
            buckets.into_iter().find_map(|bucket| free(bucket).1)
        })
    }

    /// A place in the buckets of `mac` whose entry may give way.
    fn learned_place(&self, mac: Mac) -> Option<Place> {
        let places =
            self.buckets_of(mac).into_iter().flat_map(|bucket| (0..PLACES).map(move |place| (bucket, place)));
        places
            .into_iter()
            .find(|place| behind(self.word(*place).load(Ordering::Relaxed)).kind == Kind::Learned)
    }

    /// Called by the writer.
    fn expire_bucket(&self, bucket: usize, now: u64) {
        for place in (0..PLACES).map(|place| (bucket, place)) {
            let word = self.word(place).load(Ordering::Relaxed);
            if word != EMPTY && behind(word).kind == Kind::Learned && self.is_silent(place, now) {
                self.remove(place);
            }
        }
    }

    /// Called by the writer.
    fn remove_where(&self, gone: impl Fn(Place, Mac, Behind) -> bool) -> usize {
        let mut removed = 0;
        for place in (0..self.buckets.len()).flat_map(|bucket| (0..PLACES).map(move |place| (bucket, place)))
        {
            let word = self.word(place).load(Ordering::Relaxed);
            if word != EMPTY && gone(place, mac_of(word), behind(word)) {
                self.remove(place);
                removed += 1;
            }
        }
        removed
    }

    fn remove(&self, place: Place) {
        self.word(place).store(EMPTY, Ordering::Release);
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_silent(&self, place: Place, now: u64) -> bool {
        now.saturating_sub(self.seen(place).load(Ordering::Relaxed)) >= self.ageing_ms
    }

    fn place_of(&self, mac: Mac) -> Option<(Place, u64)> {
        let number = number(mac);
        self.buckets_of(mac).into_iter().find_map(|bucket| {
            self.buckets[bucket].words.iter().enumerate().find_map(|(place, word)| {
                let word = word.load(Ordering::Acquire);
                (word >> 16 == number && word != EMPTY).then_some(((bucket, place), word))
            })
        })
    }

    /// The two buckets that `mac` may be in; they may be one.
    fn buckets_of(&self, mac: Mac) -> [usize; 2] {
        let product = u128::from(number(mac) ^ self.seed[0]) * u128::from(self.seed[1] | 1);
        let hash = (product as u64) ^ (product >> 64) as u64;
        let mask = self.buckets.len() - 1;
        [hash as usize & mask, (hash >> 32) as usize & mask]
    }

    fn word(&self, (bucket, place): Place) -> &AtomicU64 {
        &self.buckets[bucket].words[place]
    }

    fn seen(&self, (bucket, place): Place) -> &AtomicU64 {
        &self.buckets[bucket].seen[place]
    }
}

/// Whether a link address is one station's: no group's, and not all zero (`is_valid_ether_addr`).
#[must_use]
pub fn is_station(mac: Mac) -> bool {
    mac.0[0] & 1 == 0 && mac != Mac::default()
}

fn milliseconds(now: Instant) -> u64 {
    now.nanos() / 1_000_000
}

/// The address as a number of 48 bits.
fn number(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The address in the upper 48 bits, then two bits of the kind and fourteen of the port.
fn word_of(mac: Mac, behind: Behind) -> u64 {
    number(mac) << 16 | (behind.kind as u64) << 14 | u64::from(behind.port.0)
}

fn mac_of(word: u64) -> Mac {
    let [a, b, c, d, e, f, _, _] = word.to_be_bytes();
    Mac([a, b, c, d, e, f])
}

fn behind(word: u64) -> Behind {
    let kind = match word >> 14 & 3 {
        0 => Kind::Learned,
        1 => Kind::Fixed,
        _ => Kind::Own,
    };
    Behind { port: PortId((word & 0x3fff) as u16), kind }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGEING: Duration = Duration::from_secs(300);

    fn mac(number: u16) -> Mac {
        let [high, low] = number.to_be_bytes();
        Mac([2, 0, 0, 0, high, low])
    }

    fn table(entries_max: usize) -> MacTable {
        MacTable::new(entries_max, AGEING, [0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321])
    }

    fn learned(port: u16) -> Option<Behind> {
        Some(Behind { port: PortId(port), kind: Kind::Learned })
    }

    #[test]
    fn who_was_heard_is_found_until_silent_for_too_long() {
        let table = table(16);
        let at = Instant::from_secs;
        assert_eq!(table.find(mac(1), at(0)), None);
        assert_eq!(table.learn(mac(1), PortId(3), at(0)), Learned::New);
        assert_eq!(table.learn(mac(1), PortId(3), at(100)), Learned::Known);
        assert_eq!(table.find(mac(1), at(399)), learned(3));
        assert_eq!(table.find(mac(1), at(400)), None);
        assert_eq!(table.len(), 1);
        table.expire(at(400), usize::MAX);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn who_moves_is_found_at_the_new_port_and_it_is_told() {
        let table = table(16);
        table.learn(mac(1), PortId(3), Instant::ZERO);
        assert_eq!(table.learn(mac(1), PortId(4), Instant::ZERO), Learned::Moved(PortId(3)));
        assert_eq!(table.find(mac(1), Instant::ZERO), learned(4));
        assert_eq!(table.learn(mac(1), PortId(3), Instant::from_secs(300)), Learned::New, "it was forgotten");
    }

    #[test]
    fn what_is_configured_or_the_routers_own_is_never_overwritten() {
        let table = table(16);
        assert!(table.fix(mac(1), PortId(1)));
        table.set_own(&[(mac(2), PortId(9))]);
        assert!(!table.fix(mac(2), PortId(1)));
        let now = Instant::from_secs(1000);
        assert_eq!(table.learn(mac(1), PortId(2), now), Learned::Fixed);
        assert_eq!(table.learn(mac(1), PortId(1), now), Learned::Known);
        assert_eq!(table.learn(mac(2), PortId(9), now), Learned::Own);
        table.expire(now, usize::MAX);
        table.flush_all();
        assert_eq!(table.find(mac(1), now), Some(Behind { port: PortId(1), kind: Kind::Fixed }));
        assert_eq!(table.find(mac(2), now), Some(Behind { port: PortId(9), kind: Kind::Own }));
    }

    #[test]
    fn own_addresses_are_those_that_were_said_last() {
        let table = table(16);
        table.learn(mac(1), PortId(1), Instant::ZERO);
        table.set_own(&[(mac(1), PortId(8)), (mac(2), PortId(9)), (mac(1), PortId(9))]);
        assert_eq!(table.find(mac(1), Instant::ZERO), Some(Behind { port: PortId(8), kind: Kind::Own }));
        table.set_own(&[(mac(2), PortId(8))]);
        assert_eq!(table.find(mac(1), Instant::ZERO), None);
        assert_eq!(table.find(mac(2), Instant::ZERO), Some(Behind { port: PortId(8), kind: Kind::Own }));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_full_table_keeps_what_it_has_and_takes_new_ones_when_old_ones_are_silent() {
        let table = table(20);
        let all = |now: u64, from: u16| {
            (from..from + 40)
                .filter(|number| {
                    table.learn(mac(*number), PortId(1), Instant::from_secs(now)) == Learned::New
                })
                .count()
        };
        assert_eq!(all(0, 0), 20);
        assert_eq!(table.learn(mac(99), PortId(1), Instant::from_secs(1)), Learned::Full);
        assert_eq!(table.find(mac(0), Instant::from_secs(1)), learned(1));
        table.set_own(&[(mac(500), PortId(9))]);
        assert_eq!(table.find(mac(500), Instant::ZERO).map(|behind| behind.kind), Some(Kind::Own));
        table.expire(Instant::from_secs(300), usize::MAX);
        assert!(all(300, 100) >= 19);
    }

    #[test]
    fn a_port_that_is_flushed_takes_what_was_learned_there_and_nothing_else() {
        let table = table(64);
        for number in 0..10 {
            table.learn(mac(number + 1), PortId(number % 2), Instant::ZERO);
        }
        table.fix(mac(77), PortId(0));
        assert_eq!(table.flush(PortId(0)), 5);
        let mut left: Vec<u16> = table.entries(Instant::ZERO).map(|entry| entry.behind.port.0).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn silent_ones_are_looked_for_a_few_places_at_a_time() {
        let table = table(1000);
        for number in 0..1000 {
            table.learn(mac(number + 1), PortId(1), Instant::ZERO);
        }
        let before = table.len();
        table.expire(Instant::from_secs(300), 100);
        assert!(table.len() < before && !table.is_empty());
        (0..40).for_each(|_| table.expire(Instant::from_secs(300), 100));
        assert!(table.is_empty());
    }

    #[test]
    fn a_large_table_is_read_page_by_page() {
        let table = table(1000);
        for number in 0..1000 {
            table.learn(mac(number + 1), PortId(1), Instant::ZERO);
        }
        let (mut from, mut read) = (Some(0), Vec::new());
        while let Some(bucket) = from {
            let (page, next) = table.page(bucket, 100, Instant::ZERO);
            assert!(page.len() <= 100);
            read.extend(page);
            from = next;
        }
        let mut all: Vec<Entry> = table.entries(Instant::ZERO).collect();
        assert_eq!(read.len(), table.len());
        for entries in [&mut read, &mut all] {
            entries.sort_by_key(|entry| entry.mac.0);
        }
        assert_eq!(read, all);
    }

    /// What happens to a table.
    #[derive(Clone, Debug)]
    enum Step {
        Learn(u16, u16),
        Find(u16),
        Flush(u16),
        Pass(u64),
        Expire,
    }

    /// The table as a list.
    #[derive(Default)]
    struct Oracle(Vec<(u16, u16, u64)>);

    impl Oracle {
        fn find(&self, mac: u16, now: u64) -> Option<u16> {
            let found = self.0.iter().find(|entry| entry.0 == mac && now - entry.2 < AGEING.as_secs());
            found.map(|entry| entry.1)
        }

        fn learn(&mut self, mac: u16, port: u16, now: u64) -> Learned {
            let before = self.find(mac, now);
            self.0.retain(|entry| entry.0 != mac);
            self.0.push((mac, port, now));
            match before {
                None => Learned::New,
                Some(before) if before == port => Learned::Known,
                Some(before) => Learned::Moved(PortId(before)),
            }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (1..40_u16, 0..4_u16).prop_map(|(mac, port)| Step::Learn(mac, port)),
            4 => (1..40_u16).prop_map(Step::Find),
            1 => (0..4_u16).prop_map(Step::Flush),
            2 => (1..200_u64).prop_map(Step::Pass),
            1 => Just(Step::Expire),
        ]
    }

    proptest! {
        #[test]
        fn it_says_what_a_list_says(steps in prop::collection::vec(step(), 1..200), seed: [u64; 2]) {
            // Room for all there are, wherever the hash may put them: two full buckets would be a surprise.
            let table = MacTable::new(1024, AGEING, seed);
            let mut oracle = Oracle::default();
            let mut now = 0;
            for step in steps {
                let at = Instant::from_secs(now);
                match step {
                    Step::Learn(number, port) => {
                        prop_assert_eq!(table.learn(mac(number), PortId(port), at), oracle.learn(number, port, now));
                    }
                    Step::Find(number) => {
                        let found = table.find(mac(number), at).map(|behind| behind.port.0);
                        prop_assert_eq!(found, oracle.find(number, now));
                    }
                    Step::Flush(port) => {
                        table.flush(PortId(port));
                        oracle.0.retain(|entry| entry.1 != port);
                    }
                    Step::Pass(seconds) => now += seconds,
                    Step::Expire => table.expire(at, 300),
                }
                let mut shown: Vec<_> =
                    table.entries(Instant::from_secs(now)).map(|entry| (entry.mac, entry.behind.port.0)).collect();
                let believed = oracle.0.iter().filter(|entry| now - entry.2 < AGEING.as_secs());
                let mut listed: Vec<_> = believed.map(|entry| (mac(entry.0), entry.1)).collect();
                shown.sort_unstable_by_key(|entry| entry.0.0);
                listed.sort_unstable_by_key(|entry| entry.0.0);
                prop_assert_eq!(shown, listed);
            }
        }
    }
}
