//! Which element of a set a key belongs to: by hash, by binary search, or part by part; never element after element.

mod hash;
mod interval;
mod parts;

use hash::HashIndex;
use interval::Intervals;
use parts::PartIndex;

use super::model::{ElementKey, Type};

/// Bytes of the longest key (`NFT_REG_SIZE` times four).
pub const KEY_MAX: usize = 64;

/// The elements of a set by their keys. Elements are known by their place in the list they were given in.
#[derive(Debug)]
pub struct Index {
    by: By,
    /// The element that has what no other has.
    catch_all: Option<u32>,
}

#[derive(Debug)]
enum By {
    Nothing,
    Hash(HashIndex),
    /// Intervals of keys of up to 8 bytes.
    Narrow(Intervals<u64>),
    /// Intervals of keys of up to 16 bytes.
    Wide(Intervals<u128>),
    /// Concatenations of which some part is an interval, and those without.
    Parts(HashIndex, PartIndex),
}

impl Index {
    /// An index over keys of these types. Intervals of one part do not overlap; of concatenations that do, the first
    /// is found.
    pub fn new<'a>(types: &[Type], keys: impl IntoIterator<Item = &'a ElementKey>) -> Self {
        let mut values = Vec::new();
        let mut ranges = Vec::new();
        let mut catch_all = None;
        for (place, key) in (0_u32..).zip(keys) {
            match key {
                ElementKey::Value(value) => values.push((value.as_slice(), place)),
                ElementKey::Range(from, to) if from == to => values.push((from.as_slice(), place)),
                ElementKey::Range(from, to) => ranges.push((from.as_slice(), to.as_slice(), place)),
                ElementKey::CatchAll => catch_all = Some(place),
            }
        }
        let by = if ranges.is_empty() && values.is_empty() {
            By::Nothing
        } else if ranges.is_empty() {
            By::Hash(HashIndex::new(values))
        } else if types.len() > 1 {
            By::Parts(HashIndex::new(values), PartIndex::new(types, &ranges))
        } else {
            ranges.extend(values.into_iter().map(|(value, place)| (value, value, place)));
            let numbers = ranges.iter().map(|(from, to, place)| (number(from), number(to), *place));
            if types.first().is_some_and(|part| part.bytes() > 8) {
                By::Wide(Intervals::new(numbers))
            } else {
                let narrow = |value| u64::try_from(value).expect("a key of up to eight bytes");
                By::Narrow(Intervals::new(numbers.map(|(from, to, place)| (narrow(from), narrow(to), place))))
            }
        };
        Self { by, catch_all }
    }

    /// The element of a key: of one value its bytes, of a concatenation all parts, each padded to four bytes.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        match &self.by {
            By::Nothing => None,
            By::Hash(index) => index.find(key),
            By::Narrow(index) => index.find(number(key) as u64),
            By::Wide(index) => index.find(number(key)),
            By::Parts(values, ranges) => match (values.find(key), ranges.find(key)) {
                (Some(value), Some(range)) => Some(value.min(range)),
                (value, range) => value.or(range),
            },
        }
        .or(self.catch_all)
    }
}

/// The number that up to sixteen bytes are, the first the highest.
#[must_use]
pub fn number(bytes: &[u8]) -> u128 {
    let mut padded = [0; 16];
    padded[16 - bytes.len()..].copy_from_slice(bytes);
    u128::from_be_bytes(padded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::model::Value;

    /// What an index must say: the first element whose every part holds.
    fn plain(types: &[Type], keys: &[ElementKey], key: &[u8]) -> Option<u32> {
        let holds = |from: &[u8], to: &[u8]| {
            let mut at = 0;
            types.iter().all(|part| {
                let bytes = at..at + part.bytes();
                at += part.padded_bytes();
                from[bytes.clone()] <= key[bytes.clone()] && key[bytes.clone()] <= to[bytes]
            })
        };
        let found = keys.iter().position(|element| match element {
            ElementKey::Value(value) => holds(value, value),
            ElementKey::Range(from, to) => holds(from, to),
            ElementKey::CatchAll => false,
        });
        found
            .or_else(|| keys.iter().position(|key| *key == ElementKey::CatchAll))
            .map(|place| u32::try_from(place).unwrap())
    }

    /// A concatenation of an address and a port, out of few values so that keys are met.
    fn concatenation() -> impl Strategy<Value = ElementKey> {
        let value =
            |address: u8, port: u8| -> Value { Value::from_slice(&[10, 0, 0, address, port, 0, 0, 0]) };
        (0_u8..40, 0_u8..20, 0_u8..40, 0_u8..20).prop_map(move |(address, addresses, port, ports)| {
            ElementKey::Range(value(address, port), value(address + addresses, port + ports))
        })
    }

    proptest! {
        #[test]
        fn concatenated_intervals_are_found_like_one_by_one(
            keys in proptest::collection::vec(concatenation(), 0..3000),
            probes in proptest::collection::vec((0_u8..64, 0_u8..64), 20),
        ) {
            let types = [Type::Ipv4Address, Type::Service];
            let index = Index::new(&types, &keys);
            for (address, port) in probes {
                let key = [10, 0, 0, address, port, 0, 0, 0];
                prop_assert_eq!(index.find(&key), plain(&types, &keys, &key));
            }
        }

        #[test]
        fn intervals_are_found_like_one_by_one(
            bounds in proptest::collection::btree_set(0_u32..5000, 0..200),
            catch_all in any::<bool>(),
            probes in proptest::collection::vec(0_u32..5100, 50),
        ) {
            let bounds: Vec<u32> = bounds.into_iter().collect();
            let value = |number: u32| Value::from_slice(&number.to_be_bytes());
            let mut keys: Vec<ElementKey> =
                bounds.chunks_exact(2).map(|pair| ElementKey::Range(value(pair[0]), value(pair[1] - 1))).collect();
            if catch_all {
                keys.push(ElementKey::CatchAll);
            }
            let index = Index::new(&[Type::Mark], &keys);
            for probe in probes {
                let key = probe.to_be_bytes();
                prop_assert_eq!(index.find(&key), plain(&[Type::Mark], &keys, &key));
            }
        }

        #[test]
        fn wide_intervals_and_values_are_found_like_one_by_one(
            bounds in proptest::collection::btree_set(any::<u16>(), 2..50),
            values in any::<bool>(),
            probes in proptest::collection::vec(any::<u16>(), 50),
        ) {
            let bounds: Vec<u16> = bounds.into_iter().collect();
            let value = |number: u16| Value::from_slice(&(u128::from(number) << 100 | 7).to_be_bytes());
            let keys: Vec<ElementKey> = bounds
                .chunks_exact(2)
                .map(|pair| if values { ElementKey::Value(value(pair[0])) } else { ElementKey::Range(value(pair[0]), value(pair[1])) })
                .collect();
            let index = Index::new(&[Type::Ipv6Address], &keys);
            for probe in probes.into_iter().chain(bounds.iter().copied()) {
                let key = value(probe);
                prop_assert_eq!(index.find(&key), plain(&[Type::Ipv6Address], &keys, &key));
            }
        }
    }
}
