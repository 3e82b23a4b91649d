//! What a sysctl changes: each chapter has one of them set.

use std::net::Ipv4Addr;

use super::{addresses, ipv6, options4};
use crate::compare::case::{Case, Chapter, Step, all4, all6, v4, v6};
use crate::compare::ground::{Ground, Key};
use crate::frames::{ETHERTYPE_IPV4, Extension, Payload, V4, V6};

pub fn chapters() -> Vec<Chapter> {
    let chapter = |name, ground, cases| Chapter { name, ground, cases };
    vec![
        chapter("default-route", Ground::DefaultRoute, default_route()),
        chapter("reverse-path-strict", Ground::ReversePathStrict, reverse_path()),
        chapter(
            "reverse-path-loose",
            Ground::ReversePathLoose,
            expecting(reverse_path(), WITH_A_LOOSE_LOOK_BACK),
        ),
        chapter("source-routes", Ground::SourceRoutes, source_routes()),
        chapter("directed-broadcasts", Ground::DirectedBroadcasts, directed_broadcasts()),
        chapter("redirects", Ground::Redirects, redirects()),
        chapter("rate-limits", Ground::RateLimits, rate_limits()),
    ]
}

/// What becomes of cases when there is a default route.
const WITH_A_DEFAULT_ROUTE: &[(&str, &str)] = &[
    ("destination 0.1.2.3", "r1 udp"),
    ("destination 169.254.1.1", "r1 udp"),
    ("destination 240.0.0.1", "r1 udp"),
    ("source 0.1.2.3 and ttl 1", "r1 icmp 11/0"),
    ("source without a route and ttl 1", "r1 icmp 11/0"),
    ("source 240.0.0.9 and ttl 1", "r1 icmp 11/0"),
    ("link-local source and no route", "r0 icmp6 1/2"),
    ("source without a route and hop limit 1", "r1 icmp6 3/0"),
    ("destination ::", "r1 udp"),
    ("destination fec0::1", "r1 udp"),
    ("destination ::ffff:172.21.0.1", "r1 udp"),
];

/// What becomes of cases when source routes are followed.
const WITH_SOURCE_ROUTES: &[(&str, &str)] = &[
    ("loose source route with a way to go", "r1 udp"),
    ("strict source route with a way to go", "r0 icmp 12/0"),
    ("loose source route at its end", "r1 udp"),
    ("source route with a pointer not at a slot", "r1 udp"),
    ("source route to the router itself", "r1 udp"),
];

/// What becomes of cases when any route back will do.
const WITH_A_LOOSE_LOOK_BACK: &[(&str, &str)] = &[
    ("a source behind another port", "r1 udp"),
    ("a source on another link", "r1 udp"),
    ("a source on the link it goes to", "r1 udp"),
    ("a source behind another port and ttl 1", "r2 icmp 11/0"),
    ("a source behind another port and the router", "r2 icmp 0/0"),
    ("an answer by another port", "r0 udp, r1 udp"),
];

/// With a default route special addresses have somewhere to go.
fn default_route() -> Vec<Case> {
    expecting(addresses::cases().into_iter().chain(ipv6::cases()).collect(), WITH_A_DEFAULT_ROUTE)
}

/// The cases with other expectations for some, each of which there must be.
fn expecting(mut cases: Vec<Case>, others: &[(&'static str, &'static str)]) -> Vec<Case> {
    for (name, expected) in others {
        let case = cases.iter_mut().find(|case| case.name == *name);
        case.unwrap_or_else(|| panic!("there is no case `{name}`")).expected = expected;
    }
    cases
}

fn reverse_path() -> Vec<Case> {
    vec![
        v4("a source behind that port", "r1 udp", Key::udp4),
        v4("a source behind another port", "nothing", |k| V4 { source: behind_r2(k), ..k.udp4() }),
        v4("a source nobody has a route to", "nothing", |k| V4 { source: [192, 0, 2, 1].into(), ..k.udp4() }),
        v4("a source that is blackholed", "nothing", |k| V4 { source: [172, 24, 0, 1].into(), ..k.udp4() }),
        v4("a source that is unreachable", "nothing", |k| V4 { source: [172, 25, 0, 1].into(), ..k.udp4() }),
        v4("a source on that link", "r1 udp", |k| V4 { source: [10, 10, 0, 2].into(), ..k.udp4() }),
        v4("a source on another link", "nothing", |k| V4 { source: [10, 12, 0, 2].into(), ..k.udp4() }),
        v4("a source on the link it goes to", "nothing", |k| V4 {
            source: [10, 11, 0, 3].into(),
            ..k.udp4()
        }),
        v4("a source that is the broadcast address of that link", "nothing", |k| V4 {
            source: [10, 10, 0, 255].into(),
            ..k.udp4()
        }),
        v4("source 0.0.0.0 and a strict look back", "nothing", |k| V4 {
            source: [0, 0, 0, 0].into(),
            ..k.udp4()
        }),
        v4("a source behind another port and ttl 1", "nothing", |k| V4 {
            ttl: 1,
            source: behind_r2(k),
            ..k.udp4()
        }),
        v4("a source behind another port and no route", "r2 icmp 3/0", |k| V4 {
            source: behind_r2(k),
            destination: [192, 0, 2, 1].into(),
            ..k.udp4()
        }),
        v4("a source behind another port and the router", "nothing", |k| V4 {
            source: behind_r2(k),
            destination: [10, 10, 0, 1].into(),
            ..k.v4(Payload::Icmp(k.echo(8)))
        }),
        v6("IPv6 is not looked back at", "r1 udp", |k| V6 { source: k.behind6(2), ..k.udp6() }),
        Case::new("an answer by another port", "r1 udp", |k| {
            let back = V4 { source: k.behind4(1), destination: k.source4(), ..k.udp4() };
            vec![
                Step::Send(0, k.frame4(&k.udp4())),
                Step::Send(2, k.link(2).around(ETHERTYPE_IPV4, &back.bytes())),
            ]
        }),
    ]
}

fn source_routes() -> Vec<Case> {
    let mut cases = expecting(options4::cases(), WITH_SOURCE_ROUTES);
    let routed = |kind: u8, through: [u8; 4], next: [u8; 4]| {
        move |k: Key| {
            let options = [&[kind, 7, 4][..], &next].concat();
            let packet = V4 { destination: Ipv4Addr::from(through), options, ..k.udp4() };
            vec![Step::Send(0, k.frame4(&packet))]
        }
    };
    cases.extend([
        Case::new(
            "loose source route through the router",
            "r1 udp",
            routed(131, [10, 10, 0, 1], [172, 21, 0, 1]),
        ),
        Case::new(
            "strict source route through the router to a neighbor",
            "r1 udp",
            routed(137, [10, 10, 0, 1], [10, 11, 0, 2]),
        ),
        Case::new(
            "strict source route through the router beyond a neighbor",
            "r0 icmp 3/5",
            routed(137, [10, 10, 0, 1], [172, 21, 0, 1]),
        ),
        Case::new(
            "loose source route through the router to nowhere",
            "nothing",
            routed(131, [10, 10, 0, 1], [192, 0, 2, 1]),
        ),
        Case::new(
            "loose source route through the router to itself",
            "nothing",
            routed(131, [10, 10, 0, 1], [10, 11, 0, 1]),
        ),
        v6("routing header of type 0 to the router", "r0 icmp6 4/0", |k| V6 {
            destination: "fd00:10::1".parse().expect("an address"),
            extensions: vec![Extension::routing(0, 1, &k.behind6(1).octets())],
            ..k.udp6()
        }),
    ]);
    cases
}

fn directed_broadcasts() -> Vec<Case> {
    vec![
        v4("to another link's broadcast address", "r1 udp", |k| V4 {
            destination: [10, 11, 0, 255].into(),
            ..k.udp4()
        }),
        addresses::asking("to another link's network address", "r1 arp request", 1, [10, 11, 0, 0]),
        v4("to that link's broadcast address", "r0 udp", |k| V4 {
            destination: [10, 10, 0, 255].into(),
            ..k.udp4()
        }),
        v4("to 255.255.255.255", "nothing", |k| V4 { destination: [255; 4].into(), ..k.udp4() }),
        v4("to another link's broadcast address with ttl 1", "r0 icmp 11/0", |k| V4 {
            destination: [10, 11, 0, 255].into(),
            ttl: 1,
            ..k.udp4()
        }),
        v4("echo request to another link's broadcast address", "r1 icmp 8/0", |k| V4 {
            destination: [10, 11, 0, 255].into(),
            ..k.v4(Payload::Icmp(k.echo(8)))
        }),
        v4(
            "a long datagram to another link's broadcast address",
            "r2 udp fragment 0+1256, r2 udp fragment 1256+152",
            |k| V4 { destination: [10, 12, 0, 255].into(), ..k.long4(1400) },
        ),
    ]
}

fn redirects() -> Vec<Case> {
    vec![
        v4("back out of the port, from the link", "r0 icmp 5/1, r0 udp", |k| V4 {
            source: [10, 10, 0, 2].into(),
            destination: [10, 10, 0, 3].into(),
            ..k.udp4()
        }),
        v4("back out of the port, from behind it", "r0 udp", |k| V4 {
            destination: k.behind4(0),
            ..k.udp4()
        }),
        v4("back out of the port, from the link to behind it", "r0 icmp 5/1, r0 udp", |k| V4 {
            source: [10, 10, 0, 3].into(),
            destination: k.behind4(0),
            ..k.udp4()
        }),
        v4("back out of the port with ttl 1", "r0 icmp 11/0", |k| V4 {
            ttl: 1,
            destination: k.behind4(0),
            ..k.udp4()
        }),
        v4("back out of the port with a source route", "nothing", |k| V4 {
            source: [10, 10, 0, 3].into(),
            destination: k.behind4(0),
            options: vec![131, 7, 8, 192, 0, 2, 1],
            ..k.udp4()
        }),
        v6("back out of the port in IPv6, from the link", "r0 udp", |k| V6 {
            source: "fd00:10::3".parse().expect("an address"),
            destination: k.behind6(0),
            ..k.udp6()
        }),
        v6("back out of the port in IPv6, from behind it", "r0 udp", |k| V6 {
            destination: k.behind6(0),
            ..k.udp6()
        }),
        v6("back out of the port in IPv6, from a link-local address", "r0 udp", |k| V6 {
            source: "fe80::2".parse().expect("an address"),
            destination: k.behind6(0),
            ..k.udp6()
        }),
        v6("back out of the port in IPv6 to a neighbor", "r0 icmp6 137/0, r0 udp", |k| V6 {
            source: "fd00:10::2".parse().expect("an address"),
            destination: "fd00:10::3".parse().expect("an address"),
            ..k.udp6()
        }),
    ]
}

/// Twelve packets at once from one source, each of which asks for an error.
fn rate_limits() -> Vec<Case> {
    vec![
        all4("a dozen with ttl 1", "6 × r0 icmp 11/0", |k| dozen(V4 { ttl: 1, ..k.udp4() })),
        all4("a dozen without a route", "r0 icmp 3/0, r0 icmp 3/0", |k| {
            dozen(V4 { destination: [192, 0, 2, 1].into(), ..k.udp4() })
        }),
        all4("a dozen prohibited", "r0 icmp 3/13, r0 icmp 3/13", |k| {
            dozen(V4 { destination: [172, 26, 0, 1].into(), ..k.udp4() })
        }),
        all4("a dozen too long and not to be fragmented", "12 × r0 icmp 3/4", |k| {
            dozen(V4 { destination: k.behind4(2), dont_fragment: true, ..k.long4(1400) })
        }),
        all4("a dozen with a broken option", "6 × r0 icmp 12/0", |k| {
            dozen(V4 { options: vec![0x5e, 0, 0, 0], ..k.udp4() })
        }),
        all4("a dozen without a route after one with ttl 1", "r0 icmp 11/0, r0 icmp 3/0, r0 icmp 3/0", |k| {
            let mut packets = dozen(V4 { destination: [192, 0, 2, 1].into(), ..k.udp4() });
            packets.insert(0, V4 { ttl: 1, ..k.udp4() });
            packets
        }),
        all4("a dozen with ttl 1 to many destinations", "6 × r0 icmp 11/0", |k| {
            (0..12).map(|n| V4 { ttl: 1, destination: [172, 21, 7, n].into(), ..k.udp4() }).collect()
        }),
        all6("a dozen with hop limit 1", "6 × r0 icmp6 3/0", |k| vec![V6 { hop_limit: 1, ..k.udp6() }; 12]),
        all6("a dozen without an IPv6 route", "6 × r0 icmp6 1/0", |k| {
            let nowhere = V6 { destination: "2001:db8::1".parse().expect("an address"), ..k.udp6() };
            vec![nowhere; 12]
        }),
        all6("a dozen too long for the next link in IPv6", "12 × r0 icmp6 2/0", |k| {
            vec![V6 { destination: k.behind6(2), ..k.long6(1400) }; 12]
        }),
        all6("a dozen with a hop-by-hop option to report", "6 × r0 icmp6 4/2", |k| {
            let reported = V6 { extensions: vec![Extension::hop_by_hop(&[0x9e, 4, 1, 2, 3, 4])], ..k.udp6() };
            vec![reported; 12]
        }),
    ]
}

/// Twelve of a packet with ids of their own.
fn dozen(packet: V4) -> Vec<V4> {
    (0..12).map(|number| V4 { id: number, ..packet.clone() }).collect()
}

/// A source behind `r2` that no other case has.
fn behind_r2(k: Key) -> Ipv4Addr {
    Ipv4Addr::new(172, 22, 200, k.number as u8 + 1)
}
