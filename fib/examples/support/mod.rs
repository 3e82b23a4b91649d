//! What the measurements share: a table like a full BGP feed, and packets to it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fib::adjacency::LinkIndex;
use fib::change::{Change, Link, NextHop, Route, RouteType, Scope, Target};
use fib::lpm::Prefix;
use fib::snapshot::Query;
use ipnet::IpNet;

/// A port that is up.
pub fn link(index: u32, name: &str) -> Change {
    Change::Link(Link {
        index: LinkIndex(index),
        name: name.into(),
        kind: "veth".into(),
        mac: fib::adjacency::Mac::default(),
        mtu: 1500,
        admin_up: true,
        carrier: true,
        loopback: false,
        no_arp: false,
        master: None,
        vrf_table: None,
    })
}

/// A route over the second port.
pub fn route(prefix: Prefix<u32>, gateway: u8) -> Route {
    let hop = NextHop {
        link: Some(LinkIndex(11)),
        via: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, gateway))),
        weight: 1,
        onlink: false,
        dead: false,
    };
    Route {
        table: 254,
        prefix: IpNet::new(IpAddr::V4(prefix.bits().into()), prefix.length()).expect("at most 32 bits"),
        kind: RouteType::Unicast,
        protocol: 186,
        scope: Scope::UNIVERSE,
        tos: 0,
        metric: 20,
        preferred_source: None,
        mtu: 0,
        target: Target::NextHops(vec![hop]),
    }
}

/// What a packet to an address asks.
pub fn query(destination: u32) -> Query {
    Query {
        destination: IpAddr::V4(destination.into()),
        source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)),
        input: None,
        mark: 0,
        tos: 0,
        protocol: 17,
        source_port: 0,
        destination_port: 0,
    }
}

/// Prefixes as in a full BGP table: most of length 24, the rest 16 to 23. Distinct, the same in every run.
pub fn prefixes(count: usize) -> Vec<Prefix<u32>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen = std::collections::HashSet::with_capacity(count);
    let mut prefixes = Vec::with_capacity(count);
    while prefixes.len() < count {
        let bits = random.next();
        let length = if random.next() % 10 < 6 { 24 } else { 16 + (random.next() % 8) as u8 };
        let prefix = Prefix::new(bits as u32, length);
        if seen.insert(prefix) {
            prefixes.push(prefix);
        }
    }
    prefixes
}

/// Addresses inside the prefixes, in random order, more than a cache holds.
pub fn addresses(prefixes: &[Prefix<u32>]) -> Vec<u32> {
    let mut random = Random(1);
    let mut one = || {
        let prefix = prefixes[random.next() as usize % prefixes.len()];
        prefix.bits() | random.next() as u32 & (u32::MAX >> prefix.length())
    };
    (0..262_144).map(|_| one()).collect()
}

/// Nanoseconds for each of `count`.
pub fn nanoseconds(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e9 / count as f64
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
