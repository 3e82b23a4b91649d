//! Exact keys by hash.

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

/// Keys of one length with the places of their elements. The hash is keyed, so that nobody who does not know the key
/// can choose elements that collide.
pub struct HashIndex {
    hasher: SipHasher13,
    /// Bytes of a key.
    stride: usize,
    keys: Vec<u8>,
    places: Vec<u32>,
    /// Entries of `keys` and `places`.
    table: HashTable<u32>,
}

impl HashIndex {
    /// An index over these keys; of equal ones the first counts.
    pub fn new(elements: Vec<(&[u8], u32)>) -> Self {
        let mut index = Self {
            hasher: SipHasher13::new_with_keys(seed(), seed()),
            stride: elements.first().map_or(0, |(key, _)| key.len()),
            keys: Vec::with_capacity(elements.len() * elements.first().map_or(0, |(key, _)| key.len())),
            places: Vec::with_capacity(elements.len()),
            table: HashTable::with_capacity(elements.len()),
        };
        for (key, place) in elements {
            if index.find(key).is_some() {
                continue;
            }
            let entry = u32::try_from(index.places.len()).expect("sets have fewer than 2^32 elements");
            index.keys.extend_from_slice(key);
            index.places.push(place);
            let Self { hasher, stride, keys, table, .. } = &mut index;
            let again = |entry: &u32| hasher.hash(key_of(keys, *stride, *entry));
            table.insert_unique(hasher.hash(key), entry, again);
        }
        index
    }

    /// The place of a key's element.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        if self.places.is_empty() || key.len() != self.stride {
            return None;
        }
        let same = |entry: &u32| key_of(&self.keys, self.stride, *entry) == key;
        self.table.find(self.hasher.hash(key), same).map(|entry| self.places[*entry as usize])
    }
}

impl std::fmt::Debug for HashIndex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "HashIndex of {}", self.places.len())
    }
}

fn key_of(keys: &[u8], stride: usize, entry: u32) -> &[u8] {
    &keys[entry as usize * stride..][..stride]
}

/// A number that differs from run to run and from table to table.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
