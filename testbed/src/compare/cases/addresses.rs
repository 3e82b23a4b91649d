//! Sources and destinations that are special (RFC 1812 sections 5.3.7 and 5.3.5, RFC 6890).

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::compare::case::{Case, Step, v4};
use crate::compare::ground::Key;
use crate::compare::mask::asks_for_neighbor;
use crate::frames::{Payload, V4};

/// Sources, and what is peculiar about them.
const SOURCES: &[(&str, &str, [u8; 4])] = &[
    ("source 0.0.0.0", "nothing", [0, 0, 0, 0]),
    ("source 0.1.2.3", "r1 udp", [0, 1, 2, 3]),
    ("source 127.0.0.1", "nothing", [127, 0, 0, 1]),
    ("source 127.200.0.1", "nothing", [127, 200, 0, 1]),
    ("source 169.254.1.1", "r1 udp", [169, 254, 1, 1]),
    ("source 192.0.2.1, to which there is no route", "r1 udp", [192, 0, 2, 1]),
    ("source 224.0.0.1", "nothing", [224, 0, 0, 1]),
    ("source 239.255.255.255", "nothing", [239, 255, 255, 255]),
    ("source 240.0.0.1", "r1 udp", [240, 0, 0, 1]),
    ("source 255.255.255.255", "nothing", [255, 255, 255, 255]),
    ("source is the router's own address on that port", "nothing", [10, 10, 0, 1]),
    ("source is the router's own address on another port", "nothing", [10, 12, 0, 1]),
    ("source is that link's broadcast address", "nothing", [10, 10, 0, 255]),
    ("source is that link's network address", "r1 udp", [10, 10, 0, 0]),
    ("source is another link's broadcast address", "nothing", [10, 12, 0, 255]),
    ("source lies behind another port", "r1 udp", [172, 22, 0, 9]),
    ("source lies on the link it goes to", "r1 udp", [10, 11, 0, 3]),
    ("source is the destination", "r1 udp", [172, 21, 0, 1]),
    ("source is blackholed", "r1 udp", [172, 24, 0, 9]),
];

/// Destinations, and what is peculiar about them.
const DESTINATIONS: &[(&str, &str, [u8; 4])] = &[
    ("destination 0.0.0.0", "nothing", [0, 0, 0, 0]),
    ("destination 0.1.2.3", "r0 icmp 3/0", [0, 1, 2, 3]),
    ("destination 127.0.0.1", "nothing", [127, 0, 0, 1]),
    ("destination 169.254.1.1", "r0 icmp 3/0", [169, 254, 1, 1]),
    ("destination 224.0.0.1", "nothing", [224, 0, 0, 1]),
    ("destination 224.0.0.5", "nothing", [224, 0, 0, 5]),
    ("destination 239.1.1.1", "nothing", [239, 1, 1, 1]),
    ("destination 240.0.0.1", "r0 icmp 3/0", [240, 0, 0, 1]),
    ("destination 255.255.255.255", "nothing", [255, 255, 255, 255]),
    ("destination is that link's broadcast address", "nothing", [10, 10, 0, 255]),
    ("destination is another link's broadcast address", "nothing", [10, 11, 0, 255]),
    ("destination is a neighbor on another link", "r1 udp", [10, 11, 0, 2]),
    ("destination is the router on that port", "r0 icmp 3/3", [10, 10, 0, 1]),
    ("destination is the router on another port", "r0 icmp 3/3", [10, 11, 0, 1]),
];

pub fn cases() -> Vec<Case> {
    let source = |(name, expected, address): &(&'static str, &'static str, [u8; 4])| {
        let address = Ipv4Addr::from(*address);
        Case::new(name, expected, move |k: Key| send(k, V4 { source: address, ..k.udp4() }))
    };
    let destination = |(name, expected, address): &(&'static str, &'static str, [u8; 4])| {
        let address = Ipv4Addr::from(*address);
        Case::new(name, expected, move |k: Key| send(k, V4 { destination: address, ..k.udp4() }))
    };
    let mut cases: Vec<Case> =
        SOURCES.iter().map(source).chain(DESTINATIONS.iter().map(destination)).collect();
    cases.extend([
        asking("destination is that link's network address", "r0 arp request", 0, [10, 10, 0, 0]),
        asking("destination is another link's network address", "r1 arp request", 1, [10, 11, 0, 0]),
        v4("echo request to the router", "r0 icmp 0/0", |k| echo_to(k, [10, 10, 0, 1])),
        v4("echo request to the router's far address", "r0 icmp 0/0", |k| echo_to(k, [10, 12, 0, 1])),
        v4("echo request with ttl 1 to the router", "r0 icmp 0/0", |k| V4 {
            ttl: 1,
            ..echo_to(k, [10, 10, 0, 1])
        }),
        v4("echo request to another link's broadcast address", "nothing", |k| echo_to(k, [10, 11, 0, 255])),
        v4("broadcast source and ttl 1", "nothing", |k| V4 {
            ttl: 1,
            source: [10, 10, 0, 255].into(),
            ..k.udp4()
        }),
        v4("source 0.1.2.3 and ttl 1", "nothing", |k| V4 { ttl: 1, source: [0, 1, 2, 3].into(), ..k.udp4() }),
        v4("source without a route and ttl 1", "nothing", |k| V4 {
            ttl: 1,
            source: [192, 0, 2, 9].into(),
            ..k.udp4()
        }),
        v4("source 240.0.0.9 and ttl 1", "nothing", |k| V4 {
            ttl: 1,
            source: [240, 0, 0, 9].into(),
            ..k.udp4()
        }),
        v4("source behind another port and ttl 1", "r2 icmp 11/0", |k| V4 {
            ttl: 1,
            source: k.behind4(2),
            ..k.udp4()
        }),
    ]);
    cases
}

/// A destination that has to be asked for on `port`.
pub(super) fn asking(name: &'static str, expected: &'static str, port: usize, destination: [u8; 4]) -> Case {
    Case::new(name, expected, move |k| {
        let mut steps = send(k, V4 { destination: destination.into(), ..k.udp4() });
        steps.push(Step::Await(port, asks_for_neighbor, Duration::from_secs(1)));
        steps
    })
}

fn send(k: Key, packet: V4) -> Vec<Step> {
    vec![Step::Send(0, k.frame4(&packet))]
}

fn echo_to(k: Key, destination: [u8; 4]) -> V4 {
    V4 { destination: destination.into(), ..k.v4(Payload::Icmp(k.echo(8))) }
}
