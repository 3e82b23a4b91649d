//! Values that many flows share, each kept once under a number: a flow remembers the number.
//!
//! Numbers are given in order and never taken back; readers take no lock. The store is bounded, and who fills it takes a
//! new one in its place, whose numbers begin elsewhere: numbers of an old store mean nothing in a new one.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{Equivalent, HashTable};
use parking_lot::Mutex;

/// A store of values under numbers from `first` on.
///
/// One lock, taken to find a value's number or to give it one; never to read a value.
#[derive(Debug)]
pub struct Interned<T> {
    first: u32,
    capacity: u32,
    values: boxcar::Vec<T>,
    places: Mutex<Places>,
    hasher: RandomState,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Places {
    table: HashTable<u32>,
    closed: bool,
}

impl<T: Eq + Hash> Interned<T> {
    /// An empty store for `capacity` values under numbers from `first` on.
    ///
    /// # Panics
    /// If the numbers do not fit 32 bits.
    #[must_use]
    pub fn new(first: u32, capacity: u32) -> Self {
        assert!(first.checked_add(capacity).is_some(), "numbers have 32 bits");
        Self {
            first,
            capacity,
            values: boxcar::Vec::new(),
            places: Mutex::default(),
            hasher: RandomState::new(),
            refused: AtomicU64::new(0),
        }
    }

    /// The value under a number; `None` for a number that this store has not given.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.values.get(number.checked_sub(self.first)? as usize)
    }

    /// The number of a value, which is stored if it is not there; `None` when the store is full or closed.
    ///
    /// Allocates for a new value only.
    pub fn number(&self, value: T) -> Option<u32> {
        let hash = self.hasher.hash_one(&value);
        let mut places = self.places.lock();
        self.find(&places, hash, |held| *held == value).or_else(|| self.store(&mut places, hash, || value))
    }

    /// As [`Self::number`], of a value that is made only if it is not there. `like` has the value's hash.
    pub fn number_of<Q>(&self, like: &Q, make: impl FnOnce() -> T) -> Option<u32>
    where
        Q: Equivalent<T> + Hash,
    {
        let hash = self.hasher.hash_one(like);
        let mut places = self.places.lock();
        self.find(&places, hash, |held| like.equivalent(held)).or_else(|| self.store(&mut places, hash, make))
    }

    /// Stores nothing from here on; returns the number behind the last that was given.
    pub fn close(&self) -> u32 {
        let mut places = self.places.lock();
        places.closed = true;
        self.first + self.len()
    }

    /// The values, in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().map(|(_, value)| value)
    }

    /// Values there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.values.count()).expect("bounded by the capacity")
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values there may be.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The first number.
    #[must_use]
    pub const fn first(&self) -> u32 {
        self.first
    }

    /// How many values found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn find(&self, places: &Places, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let held = |place: &u32| self.values.get(*place as usize).is_some_and(&is_it);
        let place = places.table.find(hash, held).filter(|_| !places.closed)?;
        Some(self.first + place)
    }

    fn store(&self, places: &mut Places, hash: u64, make: impl FnOnce() -> T) -> Option<u32> {
        if places.closed || self.len() >= self.capacity {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let place = u32::try_from(self.values.push(make())).expect("bounded by the capacity");
        places.table.insert_unique(hash, place, |place| {
            self.hasher.hash_one(self.values.get(*place as usize).expect("stored before"))
        });
        Some(self.first + place)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_another_store_mean_nothing() {
        let (old, new) = (Interned::new(1, 10), Interned::new(11, 10));
        let number = old.number("a").unwrap();
        new.number("b").unwrap();
        assert_eq!((old.get(number), new.get(number)), (Some(&"a"), None));
        assert_eq!(old.get(0), None);
    }

    #[test]
    fn a_full_store_still_knows_what_it_has() {
        let store = Interned::new(0, 2);
        assert_eq!(["a", "b", "c", "a"].map(|value| store.number(value)), [Some(0), Some(1), None, Some(0)]);
        assert_eq!((store.len(), store.refused()), (2, 1));
    }

    #[test]
    fn a_closed_store_can_be_read_and_gives_no_number() {
        let store = Interned::new(5, 10);
        let number = store.number(String::from("a")).unwrap();
        assert_eq!(store.close(), 6);
        assert_eq!((store.number("a".into()), store.number("b".into())), (None, None));
        assert_eq!(store.get(number).map(String::as_str), Some("a"));
        assert_eq!(store.iter().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_value_is_made_only_if_it_is_not_there() {
        #[derive(Hash)]
        struct Like<'a>(&'a str);

        impl Equivalent<String> for Like<'_> {
            fn equivalent(&self, value: &String) -> bool {
                self.0 == value
            }
        }

        let store = Interned::new(0, 10);
        assert_eq!(store.number_of(&Like("a"), || "a".to_owned()), Some(0));
        assert_eq!(store.number_of(&Like("a"), || unreachable!("it is there")), Some(0));
        assert_eq!(store.number("a".to_owned()), Some(0));
    }

    proptest! {
        #[test]
        fn equal_values_have_one_number_and_others_another(values in prop::collection::vec(0_u8..40, 1..200)) {
            let store = Interned::new(7, 1_000);
            let mut model = HashMap::new();
            for value in values {
                let number = store.number(value).unwrap();
                prop_assert_eq!(*model.entry(value).or_insert(number), number);
                prop_assert_eq!(store.get(number), Some(&value));
            }
            prop_assert_eq!(store.len() as usize, model.len());
        }
    }

    #[test]
    fn threads_agree_on_numbers() {
        let store = Interned::new(0, 1_000);
        let numbers: Vec<Vec<u32>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..500).map(|value| store.number(value).unwrap()).collect()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(numbers.iter().all(|given| *given == numbers[0]));
        assert_eq!(store.len(), 500);
    }
}
