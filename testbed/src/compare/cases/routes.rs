//! Every kind of route and rule, both families.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::compare::case::{Case, Step, v4, v6};
use crate::compare::ground::Key;
use crate::frames::{Payload, V4, V6};

/// Destinations by the kind of their route.
const TO4: &[(&str, &str, [u8; 4])] = &[
    ("no route", "r0 icmp 3/0", [192, 0, 2, 1]),
    ("blackhole", "nothing", [172, 24, 0, 1]),
    ("unreachable", "r0 icmp 3/1", [172, 25, 0, 1]),
    ("prohibit", "r0 icmp 3/13", [172, 26, 0, 1]),
    ("throw and nothing after it", "r0 icmp 3/0", [172, 27, 0, 1]),
    ("next hop in IPv6", "r1 udp", [172, 29, 0, 1]),
    ("shorter prefix", "r1 udp", [172, 30, 0, 1]),
    ("longer prefix", "r2 udp", [172, 30, 200, 1]),
    ("host route", "r1 udp", [172, 30, 128, 7]),
    ("beside the host route", "r2 udp", [172, 30, 128, 6]),
    ("first address of a prefix", "r2 udp", [172, 30, 128, 0]),
    ("last address before a prefix", "r1 udp", [172, 30, 127, 255]),
    ("lower of two metrics", "r1 udp", [172, 31, 0, 9]),
    ("next hop that is on no subnet", "r2 udp", [172, 31, 1, 9]),
    ("back out of the same port", "r0 udp", [172, 20, 240, 1]),
    ("behind the third port", "r2 udp", [172, 22, 0, 1]),
];

/// Destinations by the kind of their route: first two groups and the last.
const TO6: &[(&str, &str, [u16; 3])] = &[
    ("no IPv6 route", "r0 icmp6 1/0", [0x2001, 0xdb8, 1]),
    ("IPv6 blackhole", "nothing", [0xfd24, 0, 1]),
    ("IPv6 unreachable", "r0 icmp6 1/0", [0xfd25, 0, 1]),
    ("IPv6 prohibit", "r0 icmp6 1/1", [0xfd26, 0, 1]),
    ("IPv6 throw and nothing after it", "r0 icmp6 1/0", [0xfd27, 0, 1]),
    ("link-local next hop", "r1 udp", [0xfd29, 0, 1]),
    ("shorter IPv6 prefix", "r1 udp", [0xfd30, 0, 1]),
    ("longer IPv6 prefix", "r2 udp", [0xfd30, 0x8000, 1]),
    ("IPv6 host route", "r1 udp", [0xfd30, 0x8000, 7]),
    ("back out of the same port in IPv6", "r0 udp", [0xfd20, 0x240, 1]),
    ("behind the third port in IPv6", "r2 udp", [0xfd22, 0, 1]),
];

pub fn cases() -> Vec<Case> {
    let to4 = |(name, expected, address): &(&'static str, &'static str, [u8; 4])| {
        let destination = Ipv4Addr::from(*address);
        Case::new(name, expected, move |k: Key| {
            vec![Step::Send(0, k.frame4(&V4 { destination, ..k.udp4() }))]
        })
    };
    let to6 = |(name, expected, [one, two, last]): &(&'static str, &'static str, [u16; 3])| {
        let destination = Ipv6Addr::new(*one, *two, 0, 0, 0, 0, 0, *last);
        Case::new(name, expected, move |k: Key| {
            vec![Step::Send(0, k.frame6(&V6 { destination, ..k.udp6() }))]
        })
    };
    let mut cases: Vec<Case> = TO4.iter().map(to4).chain(TO6.iter().map(to6)).collect();
    cases.extend([
        v4("rule by source to another table", "r2 udp", |k| from4(k, 250)),
        v4("rule by source to a table with a prohibit", "r0 icmp 3/13", |k| V4 {
            destination: k.behind4(2),
            ..from4(k, 250)
        }),
        v4("rule by source to a table without an answer", "r1 udp", |k| V4 {
            destination: [172, 30, 0, 1].into(),
            ..from4(k, 250)
        }),
        v4("rule by tos and destination", "r1 udp", |k| V4 {
            tos: 0x10,
            destination: [172, 21, 200, 1].into(),
            ..k.udp4()
        }),
        v4("rule by tos, destination with another tos", "r1 udp", |k| V4 {
            tos: 0x08,
            destination: [172, 21, 200, 1].into(),
            ..k.udp4()
        }),
        v4("rule that prohibits", "r0 icmp 3/13", |k| from4(k, 251)),
        v4("rule that blackholes", "nothing", |k| from4(k, 252)),
        v4("rule that says unreachable", "r0 icmp 3/0", |k| from4(k, 253)),
        v6("IPv6 rule by source to another table", "r2 udp", |k| from6(k, 0x250)),
        v6("IPv6 rule that prohibits", "r0 icmp6 1/1", |k| from6(k, 0x251)),
        v6("IPv6 rule that blackholes", "nothing", |k| from6(k, 0x252)),
        v4("ttl 1 and no route", "r0 icmp 3/0", |k| V4 {
            ttl: 1,
            destination: [192, 0, 2, 1].into(),
            ..k.udp4()
        }),
        v4("ttl 1 and blackhole", "nothing", |k| V4 {
            ttl: 1,
            destination: [172, 24, 0, 1].into(),
            ..k.udp4()
        }),
        v4("ttl 1 and prohibit", "r0 icmp 3/13", |k| V4 {
            ttl: 1,
            destination: [172, 26, 0, 1].into(),
            ..k.udp4()
        }),
        v6("hop limit 1 and no route", "r0 icmp6 1/0", |k| V6 {
            hop_limit: 1,
            destination: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
            ..k.udp6()
        }),
        v4("echo request without a route", "r0 icmp 3/0", |k| V4 {
            destination: [192, 0, 2, 1].into(),
            ..k.v4(Payload::Icmp(k.echo(8)))
        }),
        v4("tcp without a route", "r0 icmp 3/0", |k| V4 {
            destination: [192, 0, 2, 1].into(),
            ..k.v4(Payload::Tcp(k.syn()))
        }),
        v4("tcp prohibited", "r0 icmp 3/13", |k| V4 {
            destination: [172, 26, 0, 1].into(),
            ..k.v4(Payload::Tcp(k.syn()))
        }),
    ]);
    cases
}

/// From a source that rules look at.
fn from4(k: Key, third: u8) -> V4 {
    V4 { source: Ipv4Addr::new(172, 20, third, k.number as u8 + 1), ..k.udp4() }
}

fn from6(k: Key, second: u16) -> V6 {
    V6 { source: Ipv6Addr::new(0xfd20, second, 0, 0, 0, 0, 0, k.number + 1), ..k.udp6() }
}
