//! Policy rules of every kind, routes with several next hops, and next hops that are objects.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::addresses::asking;
use crate::compare::case::{Case, Step};
use crate::compare::ground::Key;
use crate::frames::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Payload, V4, V6};

/// Destinations by the rule they meet, or by their next hops.
const TO4: &[(&str, &str, [u8; 4])] = &[
    ("no rule's destination", "r1 udp", [172, 18, 0, 1]),
    ("a rule by destination", "r2 udp", [172, 18, 1, 1]),
    ("a rule by port of entry, and another port", "r1 udp", [172, 18, 2, 1]),
    ("a rule that is turned round, and its source", "r1 udp", [172, 18, 3, 1]),
    ("a rule by protocol, and another protocol", "r1 udp", [172, 18, 4, 1]),
    ("a rule by destination port", "r2 udp", [172, 18, 5, 1]),
    ("a rule that leaves out default routes", "r1 udp", [172, 18, 6, 1]),
    ("a rule to a default route", "r2 udp", [172, 18, 7, 1]),
    ("a rule by mark, and no mark", "r1 udp", [172, 18, 8, 1]),
    ("a rule to a table that throws it back", "r1 udp", [172, 18, 9, 1]),
    ("a rule that leads past another", "r2 udp", [172, 18, 10, 1]),
    ("a rule by source port, and another", "r1 udp", [172, 18, 11, 1]),
    ("a rule by tos, and another tos", "r1 udp", [172, 18, 12, 1]),
    ("a rule that leaves out short prefixes, and a long one", "r2 udp", [172, 18, 77, 1]),
    ("a rule behind one that leads to it", "r2 udp", [172, 18, 13, 1]),
    ("two next hops", "r1 udp", [172, 19, 0, 1]),
    ("two next hops of unlike weight", "r1 udp", [172, 19, 1, 1]),
    ("a next hop that is an object", "r1 udp", [172, 19, 2, 1]),
    ("an object that is a black hole", "nothing", [172, 19, 3, 1]),
    ("an object with an IPv6 address", "r1 udp", [172, 19, 4, 1]),
    ("a group of one", "r1 udp", [172, 19, 6, 1]),
    ("a group of two by weight", "r1 udp", [172, 19, 7, 1]),
    ("a group of both families", "r1 udp", [172, 19, 8, 1]),
    ("an object that has been replaced", "r1 udp", [172, 19, 9, 1]),
];

/// The same in IPv6: first two groups of the destination.
const TO6: &[(&str, &str, [u16; 2])] = &[
    ("no IPv6 rule's destination", "r1 udp", [0xfd18, 0]),
    ("an IPv6 rule by destination", "r2 udp", [0xfd18, 1]),
    ("an IPv6 rule by port of entry, and another port", "r1 udp", [0xfd18, 2]),
    ("an IPv6 rule that is turned round, and its source", "r1 udp", [0xfd18, 3]),
    ("an IPv6 rule by protocol, and another protocol", "r1 udp", [0xfd18, 4]),
    ("an IPv6 rule by destination port", "r2 udp", [0xfd18, 5]),
    ("an IPv6 rule that leaves out default routes", "r1 udp", [0xfd18, 6]),
    ("an IPv6 rule to a default route", "r2 udp", [0xfd18, 7]),
    ("an IPv6 rule that says unreachable", "r0 icmp6 1/0", [0xfd18, 8]),
    ("an IPv6 rule that drops", "nothing", [0xfd18, 9]),
    ("an IPv6 rule behind one that leads to it", "r2 udp", [0xfd18, 0x13]),
    ("two IPv6 next hops", "r1 udp", [0xfd19, 0]),
    ("an IPv6 next hop that is an object", "r1 udp", [0xfd19, 2]),
    ("a link-local next hop that is an object", "r1 udp", [0xfd19, 3]),
    ("a group of two in IPv6", "r1 udp", [0xfd19, 4]),
];

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = TO4
        .iter()
        .map(|(name, expected, address)| {
            Case::new(name, expected, move |k| {
                vec![send4(k, 0, &V4 { destination: (*address).into(), ..k.udp4() })]
            })
        })
        .collect();
    cases.extend(TO6.iter().map(|(name, expected, [one, two])| {
        let destination = Ipv6Addr::new(*one, *two, 0, 0, 0, 0, 0, 1);
        Case::new(name, expected, move |k| vec![send6(k, 0, &V6 { destination, ..k.udp6() })])
    }));
    cases.extend(special());
    cases
}

fn special() -> Vec<Case> {
    let to = |second: u8, third: u8| Ipv4Addr::new(172, second, third, 1);
    let to6 = |second: u16| Ipv6Addr::new(0xfd18, second, 0, 0, 0, 0, 0, 1);
    vec![
        Case::new("a rule by port of entry", "r2 udp", move |k| {
            vec![send4(k, 2, &V4 { source: k.behind4(2), destination: to(18, 2), ..k.udp4() })]
        }),
        Case::new("a rule that is turned round", "r2 udp", move |k| {
            vec![send4(k, 2, &V4 { source: k.behind4(2), destination: to(18, 3), ..k.udp4() })]
        }),
        Case::new("a rule by protocol", "r2 tcp", move |k| {
            vec![send4(k, 0, &V4 { destination: to(18, 4), ..k.v4(Payload::Tcp(k.syn())) })]
        }),
        Case::new("a rule by destination port, and another protocol", "r1 tcp", move |k| {
            vec![send4(k, 0, &V4 { destination: to(18, 5), ..k.v4(Payload::Tcp(k.syn())) })]
        }),
        Case::new("a rule by tos", "r2 udp", move |k| {
            vec![send4(k, 0, &V4 { destination: to(18, 12), tos: 8, ..k.udp4() })]
        }),
        Case::new("a rule by tos, with congestion bits", "r2 udp", move |k| {
            vec![send4(k, 0, &V4 { destination: to(18, 12), tos: 10, ..k.udp4() })]
        }),
        asking("a next hop that is a device alone", "r1 arp request", 1, [172, 19, 5, 1]),
        Case::new("both directions meet their own rules", "r0 udp, r2 udp", move |k| {
            let there = V4 { destination: to(18, 1), ..k.udp4() };
            let crate::frames::Udp { source, destination, .. } = k.udp();
            let udp = crate::frames::Udp { source: destination, destination: source, ..k.udp() };
            let back = V4 { source: to(18, 1), destination: k.source4(), ..k.v4(Payload::Udp(udp)) };
            vec![send4(k, 0, &there), send4(k, 2, &back)]
        }),
        Case::new("an IPv6 rule by port of entry", "r2 udp", move |k| {
            vec![send6(k, 2, &V6 { source: k.behind6(2), destination: to6(2), ..k.udp6() })]
        }),
        Case::new("an IPv6 rule that is turned round", "r2 udp", move |k| {
            vec![send6(k, 2, &V6 { source: k.behind6(2), destination: to6(3), ..k.udp6() })]
        }),
        Case::new("an IPv6 rule by protocol", "r2 tcp", move |k| {
            vec![send6(k, 0, &V6 { destination: to6(4), ..k.v6(Payload::Tcp(k.syn())) })]
        }),
    ]
}

fn send4(k: Key, port: usize, packet: &V4) -> Step {
    Step::Send(port, k.link(port).around(ETHERTYPE_IPV4, &packet.bytes()))
}

fn send6(k: Key, port: usize, packet: &V6) -> Step {
    Step::Send(port, k.link(port).around(ETHERTYPE_IPV6, &packet.bytes()))
}
