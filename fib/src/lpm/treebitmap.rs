//! Longest prefix match by the `ip_network_table-deps-treebitmap` crate (Eatherton, Dittia, Varghese).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ip_network_table_deps_treebitmap::{IpLookupTable, address};

use super::{Address, Lpm, Prefix};

/// A multi-bit trie with a bitmap in each node.
pub struct TreeBitmap<A: Numbered, V> {
    table: IpLookupTable<A::Crate, V>,
}

/// An address in the crate's own form.
pub trait Numbered: Address {
    /// The crate's form.
    type Crate: address::Address + From<Self> + Into<Self>;
}

impl Numbered for u32 {
    type Crate = Ipv4Addr;
}

impl Numbered for u128 {
    type Crate = Ipv6Addr;
}

impl<A: Numbered, V> Default for TreeBitmap<A, V> {
    fn default() -> Self {
        Self { table: IpLookupTable::new() }
    }
}

impl<A: Numbered, V: Clone> Clone for TreeBitmap<A, V> {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        for (address, length, value) in self.table.iter() {
            copy.table.insert(address, length, value.clone());
        }
        copy
    }
}

impl<A: Numbered, V> fmt::Debug for TreeBitmap<A, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TreeBitmap of {} prefixes", self.table.len())
    }
}

impl<A: Numbered, V: Clone> Lpm<A, V> for TreeBitmap<A, V> {
    fn insert(&mut self, prefix: Prefix<A>, value: V) -> Option<V> {
        self.table.insert(prefix.bits().into(), prefix.length().into(), value)
    }

    fn remove(&mut self, prefix: Prefix<A>) -> Option<V> {
        self.table.remove(prefix.bits().into(), prefix.length().into())
    }

    fn get(&self, prefix: Prefix<A>) -> Option<&V> {
        self.table.exact_match(prefix.bits().into(), prefix.length().into())
    }

    fn longest_match(&self, address: A, length_max: u8) -> Option<(u8, &V)> {
        if length_max >= A::BITS {
            let (_, length, value) = self.table.longest_match(address.into())?;
            return Some((length as u8, value));
        }
        let matches = self.table.matches(address.into());
        let (_, length, value) =
            matches.take_while(|(_, length, _)| *length <= u32::from(length_max)).last()?;
        Some((length as u8, value))
    }

    fn len(&self) -> usize {
        self.table.len()
    }
}
