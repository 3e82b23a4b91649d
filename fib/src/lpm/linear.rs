//! The slow table that is obviously right: a list, searched from end to end.

use super::{Address, Lpm, Prefix};

/// Prefixes in no order; every question looks at all of them.
#[derive(Clone, Debug)]
pub struct Linear<A, V> {
    entries: Vec<(Prefix<A>, V)>,
}

impl<A, V> Default for Linear<A, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<A: Address, V: Clone> Lpm<A, V> for Linear<A, V> {
    fn insert(&mut self, prefix: Prefix<A>, value: V) -> Option<V> {
        let before = self.remove(prefix);
        self.entries.push((prefix, value));
        before
    }

    fn remove(&mut self, prefix: Prefix<A>) -> Option<V> {
        let place = self.entries.iter().position(|(held, _)| *held == prefix)?;
        Some(self.entries.swap_remove(place).1)
    }

    fn get(&self, prefix: Prefix<A>) -> Option<&V> {
        self.entries.iter().find(|(held, _)| *held == prefix).map(|(_, value)| value)
    }

    fn longest_match(&self, address: A, length_max: u8) -> Option<(u8, &V)> {
        self.entries
            .iter()
            .filter(|(prefix, _)| prefix.length() <= length_max && prefix.covers(address))
            .map(|(prefix, value)| (prefix.length(), value))
            .max_by_key(|(length, _)| *length)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}
