//! A hash of prefixes that costs a few nanoseconds. Who announces them shall not know which collide: it has a key.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashers with a key drawn at random.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    key: u64,
}

/// Folds each word in by a multiplication of which both halves count.
#[derive(Debug)]
pub(super) struct Folding {
    state: u64,
}

impl Keyed {
    pub(super) fn new() -> Self {
        Self { key: RandomState::new().build_hasher().finish() }
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.key }
    }
}

impl Hasher for Folding {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.state ^ word) * u128::from(MULTIPLIER);
        self.state = (product as u64 ^ (product >> 64) as u64).wrapping_add(MULTIPLIER);
    }

    fn write_u128(&mut self, word: u128) {
        self.write_u64(word as u64);
        self.write_u64((word >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::lpm::Prefix;

    /// How many of 2^16 places are taken, by the bits a hash map chooses its place and its tag by.
    fn spread<T: std::hash::Hash>(values: impl Iterator<Item = T>) -> [usize; 2] {
        let keyed = Keyed::new();
        let (mut low, mut high) = (HashSet::new(), HashSet::new());
        for value in values {
            let hash = keyed.hash_one(value);
            low.insert(hash & 0xffff);
            high.insert(hash >> 48);
        }
        [low.len(), high.len()]
    }

    #[test]
    fn prefixes_that_differ_in_little_are_spread_like_any() {
        // As many as there are places: chance takes 63 % of these, 41,427.
        let count = 1 << 16;
        let v4 = spread((0..count).map(|number: u32| (7_u32, Prefix::new(number << 8, 24))));
        let v6 = spread((0..count).map(|number: u32| (7_u32, Prefix::new(u128::from(number) << 80, 48))));
        for taken in v4.into_iter().chain(v6) {
            assert!((40_000..43_000).contains(&taken), "{v4:?} {v6:?}");
        }
    }
}
