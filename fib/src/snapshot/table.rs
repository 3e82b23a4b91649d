//! One routing table in the form lookups use: per prefix the candidates in the order they are tried.

use std::net::IpAddr;

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::lpm::{Fastest, Lpm, Prefix};
use crate::path::PathId;

/// The candidates of a prefix: TOS from high to low, then metric from low to high (`fib_alias` order).
pub(crate) type Entry = SmallVec<[Candidate; 1]>;

/// One route of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) path: PathId,
    /// 0 for any.
    pub(crate) tos: u8,
}

/// A routing table, both families.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) number: u32,
    v4: Fastest<u32, Entry>,
    v6: Fastest<u128, Entry>,
}

impl Table {
    pub(crate) fn new(number: u32) -> Self {
        Self { number, v4: Fastest::default(), v6: Fastest::default() }
    }

    /// Puts the candidates of a prefix in place; none at all removes the prefix.
    pub(crate) fn set(&mut self, prefix: IpNet, entry: Entry) {
        fn put<A: crate::lpm::Address>(table: &mut impl Lpm<A, Entry>, prefix: Prefix<A>, entry: Entry) {
            if entry.is_empty() {
                table.remove(prefix)
            } else {
                table.insert(prefix, entry)
            };
        }
        match prefix {
            IpNet::V4(net) => put(&mut self.v4, Prefix::new(net.addr().into(), net.prefix_len()), entry),
            IpNet::V6(net) => put(&mut self.v6, Prefix::new(net.addr().into(), net.prefix_len()), entry),
        }
    }

    /// The candidates of exactly this prefix.
    pub(crate) fn get(&self, prefix: IpNet) -> &[Candidate] {
        let entry = match prefix {
            IpNet::V4(net) => self.v4.get(Prefix::new(net.addr().into(), net.prefix_len())),
            IpNet::V6(net) => self.v6.get(Prefix::new(net.addr().into(), net.prefix_len())),
        };
        entry.map_or(&[], |entry| entry)
    }

    /// The candidates of the longest prefix that covers an address and is no longer than `length_max`.
    pub(crate) fn longest_match(&self, address: IpAddr, length_max: u8) -> Option<(u8, &[Candidate])> {
        let (length, entry) = match address {
            IpAddr::V4(address) => self.v4.longest_match(address.into(), length_max),
            IpAddr::V6(address) => self.v6.longest_match(address.into(), length_max),
        }?;
        Some((length, entry))
    }
}
