//! Longest prefix match: one trait, two back ends, and a slow one that judges them.

use std::fmt;
use std::hash::Hash;

pub mod linear;
pub mod treebitmap;
pub mod trie;

/// The back end in use; see `examples/lpm.rs` for the measurement that chose it.
pub type Fastest<A, V> = trie::Trie<A, V>;

/// A map from prefixes to values that finds the most specific prefix covering an address.
pub trait Lpm<A: Address, V>: Default + Clone {
    /// Puts a value at a prefix and returns what was there.
    fn insert(&mut self, prefix: Prefix<A>, value: V) -> Option<V>;

    /// Takes the value at a prefix.
    fn remove(&mut self, prefix: Prefix<A>) -> Option<V>;

    /// The value at exactly this prefix.
    fn get(&self, prefix: Prefix<A>) -> Option<&V>;

    /// The longest prefix covering the address that is no longer than `length_max`, and its value.
    ///
    /// Asking again with the length found minus one gives the next less specific match.
    fn longest_match(&self, address: A, length_max: u8) -> Option<(u8, &V)>;

    /// How many prefixes there are.
    fn len(&self) -> usize;

    /// Whether there is no prefix.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub trait Address: Copy + Eq + Ord + Hash + fmt::Debug + Send + Sync + 'static {
    /// Bits in an address.
    const BITS: u8;

    /// The address with all but the first `length` bits cleared; `length` at most [`Address::BITS`].
    fn masked(self, length: u8) -> Self;
}

impl Address for u32 {
    const BITS: u8 = 32;

    fn masked(self, length: u8) -> Self {
        self & Self::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
    }
}

impl Address for u128 {
    const BITS: u8 = 128;

    fn masked(self, length: u8) -> Self {
        self & Self::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
    }
}

/// A prefix: host bits are zero, the length fits the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<A> {
    bits: A,
    length: u8,
}

impl<A: Address> Prefix<A> {
    /// The prefix of this length around an address; a length beyond the address is cut to it.
    #[must_use]
    pub fn new(address: A, length: u8) -> Self {
        let length = length.min(A::BITS);
        Self { bits: address.masked(length), length }
    }

    /// First address of the prefix.
    #[must_use]
    pub fn bits(self) -> A {
        self.bits
    }

    /// Length in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether an address lies in the prefix.
    #[must_use]
    pub fn covers(self, address: A) -> bool {
        address.masked(self.length) == self.bits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::linear::Linear;
    use super::treebitmap::TreeBitmap;
    use super::trie::Trie;
    use super::*;

    #[derive(Clone, Debug)]
    enum Step<A> {
        Insert(Prefix<A>, u32),
        Remove(Prefix<A>),
        Find(A, u8),
    }

    /// Few distinct bits, so that prefixes nest, repeat and are hit; every length from 0 to the full one.
    fn address_v4() -> impl Strategy<Value = u32> {
        prop_oneof![
            (0_u32..16, 0_u32..8).prop_map(|(high, low)| high << 28 | low),
            any::<u32>(),
            Just(u32::MAX),
            Just(0),
        ]
    }

    fn address_v6() -> impl Strategy<Value = u128> {
        prop_oneof![
            (0_u128..16, 0_u128..4, 0_u128..8)
                .prop_map(|(high, middle, low)| high << 124 | middle << 62 | low),
            any::<u128>(),
            Just(u128::MAX),
            Just(0),
        ]
    }

    fn steps<A: Address>(
        address: impl Strategy<Value = A> + Clone + 'static,
    ) -> impl Strategy<Value = Vec<Step<A>>> {
        let length = prop_oneof![Just(0), Just(A::BITS), 0..=A::BITS];
        let prefix =
            (address.clone(), length.clone()).prop_map(|(address, length)| Prefix::new(address, length));
        let step = prop_oneof![
            3 => (prefix.clone(), any::<u32>()).prop_map(|(prefix, value)| Step::Insert(prefix, value)),
            2 => prefix.prop_map(Step::Remove),
            3 => (address, length).prop_map(|(address, length)| Step::Find(address, length)),
        ];
        prop::collection::vec(step, 1..120)
    }

    fn judge<A: Address, T: Lpm<A, u32>>(steps: &[Step<A>]) -> Result<(), TestCaseError> {
        let mut oracle = Linear::default();
        let mut tested = T::default();
        for step in steps {
            match *step {
                Step::Insert(prefix, value) => {
                    prop_assert_eq!(oracle.insert(prefix, value), tested.insert(prefix, value));
                }
                Step::Remove(prefix) => prop_assert_eq!(oracle.remove(prefix), tested.remove(prefix)),
                Step::Find(address, length_max) => {
                    let expected = oracle.longest_match(address, length_max);
                    prop_assert_eq!(expected, tested.longest_match(address, length_max));
                }
            }
            prop_assert_eq!(oracle.len(), tested.len());
        }
        for step in steps {
            if let Step::Insert(prefix, _) = *step {
                prop_assert_eq!(oracle.get(prefix), tested.get(prefix));
                let copy = tested.clone();
                prop_assert_eq!(
                    oracle.longest_match(prefix.bits, A::BITS),
                    copy.longest_match(prefix.bits, A::BITS)
                );
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn the_trie_agrees_with_the_linear_table_on_ipv4(steps in steps(address_v4().boxed())) {
            judge::<u32, Trie<u32, u32>>(&steps)?;
        }

        #[test]
        fn the_trie_agrees_with_the_linear_table_on_ipv6(steps in steps(address_v6().boxed())) {
            judge::<u128, Trie<u128, u32>>(&steps)?;
        }

        #[test]
        fn the_tree_bitmap_agrees_with_the_linear_table_on_ipv4(steps in steps(address_v4().boxed())) {
            judge::<u32, TreeBitmap<u32, u32>>(&steps)?;
        }

        #[test]
        fn the_tree_bitmap_agrees_with_the_linear_table_on_ipv6(steps in steps(address_v6().boxed())) {
            judge::<u128, TreeBitmap<u128, u32>>(&steps)?;
        }
    }

    #[test]
    fn walking_down_meets_every_covering_prefix_from_the_longest_to_the_default() {
        fn walk<T: Lpm<u32, u32>>() {
            let mut table = T::default();
            let address = 0x0a01_0203;
            for length in [0, 8, 31, 32] {
                table.insert(Prefix::new(address, length), u32::from(length));
            }
            table.insert(Prefix::new(0x0b00_0000, 8), 99);
            let mut lengths = Vec::new();
            let mut length_max = Some(32);
            while let Some((length, value)) = length_max.and_then(|max| table.longest_match(address, max)) {
                assert_eq!(u32::from(length), *value);
                lengths.push(length);
                length_max = length.checked_sub(1);
            }
            assert_eq!(lengths, [32, 31, 8, 0]);
        }
        walk::<Linear<u32, u32>>();
        walk::<Trie<u32, u32>>();
        walk::<TreeBitmap<u32, u32>>();
    }

    #[test]
    fn a_prefix_has_no_host_bits_and_no_excess_length() {
        assert_eq!(Prefix::new(0xffff_ffff_u32, 0), Prefix { bits: 0, length: 0 });
        assert_eq!(Prefix::new(0xc0a8_01ff_u32, 24), Prefix { bits: 0xc0a8_0100, length: 24 });
        assert_eq!(Prefix::new(7_u32, 200), Prefix { bits: 7, length: 32 });
        assert!(Prefix::new(0_u128, 0).covers(u128::MAX));
        assert!(!Prefix::new(0_u128, 1).covers(u128::MAX));
    }
}
