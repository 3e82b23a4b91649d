//! Longest prefix match by the `prefix-trie` crate: a compressed binary trie in one arena.

use std::fmt;

use prefix_trie::PrefixMap;

use super::{Address, Lpm, Prefix};

/// A compressed binary trie.
#[derive(Clone)]
pub struct Trie<A, V> {
    map: PrefixMap<(A, u8), V>,
}

impl<A, V> Default for Trie<A, V>
where
    (A, u8): prefix_trie::Prefix,
{
    fn default() -> Self {
        Self { map: PrefixMap::new() }
    }
}

impl<A, V> fmt::Debug for Trie<A, V>
where
    (A, u8): prefix_trie::Prefix,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Trie of {} prefixes", self.map.len())
    }
}

impl<A: Address, V: Clone> Lpm<A, V> for Trie<A, V>
where
    (A, u8): prefix_trie::Prefix,
{
    fn insert(&mut self, prefix: Prefix<A>, value: V) -> Option<V> {
        self.map.insert((prefix.bits(), prefix.length()), value)
    }

    fn remove(&mut self, prefix: Prefix<A>) -> Option<V> {
        self.map.remove(&(prefix.bits(), prefix.length()))
    }

    fn get(&self, prefix: Prefix<A>) -> Option<&V> {
        self.map.get(&(prefix.bits(), prefix.length()))
    }

    fn longest_match(&self, address: A, length_max: u8) -> Option<(u8, &V)> {
        let length_max = length_max.min(A::BITS);
        let ((_, length), value) = self.map.get_lpm(&(address.masked(length_max), length_max))?;
        Some((length, value))
    }

    fn len(&self) -> usize {
        self.map.len()
    }
}
