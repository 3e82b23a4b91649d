//! Finds items by a hash that their owner knows how to make again: one cache line for each few of them.
//!
//! A bucket is one line: for each of its places a few bits of the hash, and the item itself, which is a pointer. A search
//! touches the line, and then in all likelihood no other item but the right one. What finds its bucket full goes to the
//! next one with room, and each bucket counts those that have passed it by; so a search knows when to stop, and what is
//! taken out leaves no mark.

use std::ptr;

/// Items by their hash. The same item may stand under two hashes: then they are told apart by their [`Side`].
pub(crate) struct Index<T> {
    buckets: Box<[Bucket<T>]>,
    len: usize,
    /// Items there is room for from the first one on.
    expected: usize,
}

/// Under which of its two hashes an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first, or the only one.
    First,
    /// The second.
    Second,
}

/// Places of a bucket.
const PLACES: usize = 7;

#[repr(C, align(64))]
struct Bucket<T> {
    /// Of each place seven bits of the item's hash, and its side; meaningless for an empty place.
    tags: [u8; PLACES],
    /// Items that stand further on because this bucket was full; [`MANY`] is never lowered again.
    passed: u8,
    items: [Option<T>; PLACES],
}

const _: () = assert!(size_of::<Bucket<Box<u8>>>() == 64, "a bucket is a cache line");

/// So many items that they are no longer counted.
const MANY: u8 = u8::MAX;

/// Buckets that an index begins with at least.
const BUCKETS_MIN: usize = 2;

/// Items for each bucket, on average, that an index is made for.
const ITEMS_EXPECTED: usize = 5;

/// Items for each bucket, on average, with which it grows.
const ITEMS_MAX: usize = 6;

impl<T> Index<T> {
    /// An empty index, which will not have to grow for this many items.
    pub(crate) fn new(expected: usize) -> Self {
        Self { buckets: Box::default(), len: 0, expected }
    }

    /// Adds an item. `hash_of` says the hash of an item that is there already, should the index have to grow.
    pub(crate) fn insert(&mut self, hash: u64, side: Side, item: T, hash_of: impl Fn(&T, Side) -> u64) {
        if self.len >= self.buckets.len() * ITEMS_MAX {
            self.grow(hash_of);
        }
        self.place(hash, tag(hash, side), item);
        self.len += 1;
    }

    /// Takes out the item that `is_it` knows, which stands under `hash`.
    ///
    /// # Panics
    /// If it is not there.
    pub(crate) fn remove(&mut self, hash: u64, side: Side, is_it: impl Fn(&T) -> bool) -> T {
        let tag = tag(hash, side);
        let home = self.home(hash);
        for (step, bucket) in self.way(home).enumerate() {
            let places = &mut self.buckets[bucket];
            for place in 0..PLACES {
                if places.tags[place] == tag
                    && let Some(item) = places.items[place].take_if(|item| is_it(item))
                {
                    for passed in self.way(home).take(step) {
                        let passed = &mut self.buckets[passed].passed;
                        *passed -= u8::from(*passed != MANY);
                    }
                    self.len -= 1;
                    return item;
                }
            }
            assert!(places.passed != 0, "an item in the index stands where its hash says");
        }
        panic!("an item in the index stands where its hash says");
    }

    /// The first that `pick` makes of the items that may stand under `hash`.
    pub(crate) fn find<'a, R>(&'a self, hash: u64, mut pick: impl FnMut(&'a T) -> Option<R>) -> Option<R> {
        for bucket in self.way(self.home(hash)) {
            let bucket = &self.buckets[bucket];
            if let Some(picked) = bucket.candidates(hash).find_map(&mut pick) {
                return Some(picked);
            }
            if bucket.passed == 0 {
                return None;
            }
        }
        None
    }

    /// Items that most likely stand under `hash`: those of the first bucket.
    pub(crate) fn candidates(&self, hash: u64) -> impl Iterator<Item = &T> {
        self.buckets.get(self.home(hash)).into_iter().flat_map(move |bucket| bucket.candidates(hash))
    }

    /// Where a search for `hash` begins: an address to be read soon, not now.
    pub(crate) fn address(&self, hash: u64) -> Option<*const u8> {
        self.buckets.get(self.home(hash)).map(|bucket| ptr::from_ref(bucket).cast())
    }

    /// Items there are.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn grow(&mut self, hash_of: impl Fn(&T, Side) -> u64) {
        let count = match self.buckets.len() {
            0 => self.expected.div_ceil(ITEMS_EXPECTED).max(BUCKETS_MIN),
            count => count * 2,
        };
        let empty = (0..count).map(|_| Bucket::empty()).collect();
        for mut bucket in std::mem::replace(&mut self.buckets, empty) {
            for (tag, item) in bucket.tags.into_iter().zip(&mut bucket.items) {
                if let Some(item) = item.take() {
                    let side = if tag & 1 == 0 { Side::First } else { Side::Second };
                    self.place(hash_of(&item, side), tag, item);
                }
            }
        }
    }

    /// Puts an item into the first bucket with room.
    fn place(&mut self, hash: u64, tag: u8, item: T) {
        for bucket in self.way(self.home(hash)) {
            let bucket = &mut self.buckets[bucket];
            if let Some(place) = bucket.items.iter().position(Option::is_none) {
                bucket.tags[place] = tag;
                bucket.items[place] = Some(item);
                return;
            }
            bucket.passed = bucket.passed.saturating_add(1);
        }
        panic!("an index grows before it is full");
    }

    /// The bucket a hash belongs to, by its lower half.
    const fn home(&self, hash: u64) -> usize {
        ((hash & 0xffff_ffff) as usize * self.buckets.len()) >> 32
    }

    /// All buckets from `home` on.
    fn way(&self, home: usize) -> impl Iterator<Item = usize> + use<T> {
        (home..self.buckets.len()).chain(0..home)
    }
}

impl<T> Bucket<T> {
    fn empty() -> Self {
        Self { tags: [0; PLACES], passed: 0, items: [const { None }; PLACES] }
    }

    /// Items whose tag is that of `hash`, on either side.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = &T> {
        let wanted = tag(hash, Side::First);
        let hits =
            (0..PLACES).fold(0_u8, |hits, place| hits | u8::from(self.tags[place] & !1 == wanted) << place);
        Bits(hits).filter_map(|place| self.items[place].as_ref())
    }
}

/// The bits that are set, by their numbers.
struct Bits(u8);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

/// The highest bits of a hash, and a side.
const fn tag(hash: u64, side: Side) -> u8 {
    (hash >> 56) as u8 & !1 | side as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An item: its number, and its hash on either side.
    type Item = Box<(u32, [u64; 2])>;

    fn hash_of(item: &Item, side: Side) -> u64 {
        item.1[side as usize]
    }

    fn found(index: &Index<Item>, hash: u64) -> Vec<u32> {
        let mut found = Vec::new();
        let none = index.find(hash, |item| {
            if item.1.contains(&hash) {
                found.push(item.0);
            }
            None::<()>
        });
        assert!(none.is_none());
        found.sort_unstable();
        found
    }

    /// Few different hashes, so that buckets overflow and both sides of an item meet.
    fn hash() -> impl Strategy<Value = u64> {
        (0_u64..3, 0_u64..8).prop_map(|(tag, home)| tag << 57 | home << 29)
    }

    #[test]
    fn more_items_under_one_hash_than_can_be_counted_are_found_and_taken_out() {
        let mut index = Index::new(0);
        for number in 0..600 {
            index.insert(5, Side::First, Box::new((number, [5, 5])), hash_of);
        }
        assert_eq!(found(&index, 5).len(), 600);
        for number in (0..600).rev() {
            assert_eq!(index.remove(5, Side::First, |item| item.0 == number).0, number);
        }
        assert!(found(&index, 5).is_empty());
        assert_eq!(index.len(), 0);
    }

    #[test]
    fn an_index_does_not_grow_for_the_items_it_was_made_for() {
        let mut index = Index::new(1000);
        assert_eq!(index.address(1), None, "nothing is allocated yet");
        let spread = |number: u32| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..1000 {
            let hash = spread(number);
            index.insert(hash, Side::First, Box::new((number, [hash, hash])), |_, _| panic!("it grows"));
            assert!(index.candidates(hash).count() <= PLACES);
        }
        assert_eq!(index.address(0).map(|address| address.addr() % 64), Some(0));
        assert!((0..1000).all(|number| found(&index, spread(number)).contains(&number)));
    }

    proptest! {
        #[test]
        fn index_and_list_agree(
            steps in prop::collection::vec((any::<bool>(), hash(), hash(), any::<u16>()), 1..400),
        ) {
            let mut index = Index::new(0);
            let mut list: Vec<Item> = Vec::new();
            for (number, (remove, first, second, pick)) in (0_u32..).zip(steps) {
                if remove && !list.is_empty() {
                    let gone = list.swap_remove(usize::from(pick) % list.len());
                    let is_it = |item: &Item| item.0 == gone.0;
                    prop_assert_eq!(index.remove(gone.1[0], Side::First, is_it).0, gone.0);
                    if gone.1[0] != gone.1[1] {
                        prop_assert_eq!(index.remove(gone.1[1], Side::Second, is_it).0, gone.0);
                    }
                } else {
                    let item = Box::new((number, [first, second]));
                    index.insert(first, Side::First, item.clone(), hash_of);
                    if first != second {
                        index.insert(second, Side::Second, item.clone(), hash_of);
                    }
                    list.push(item);
                }
                prop_assert_eq!(
                    index.len(),
                    list.iter().map(|item| 1 + usize::from(item.1[0] != item.1[1])).sum::<usize>()
                );
                for hash in [first, second] {
                    let mut slow: Vec<_> =
                        list.iter().filter(|item| item.1.contains(&hash)).map(|item| item.0).collect();
                    slow.sort_unstable();
                    let mut fast = found(&index, hash);
                    // An item may stand twice in one way: by its tag alone it is not told which it was.
                    fast.dedup();
                    prop_assert_eq!(fast, slow);
                }
            }
        }
    }
}
