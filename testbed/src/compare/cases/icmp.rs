//! ICMP and ICMPv6 passing through, and what is not answered with an error (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4).

use crate::compare::case::{Case, Step, v4, v6};
use crate::compare::ground::Key;
use crate::frames::{Checksum, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Payload, V4, V6};

const NOWHERE4: [u8; 4] = [192, 0, 2, 1];

pub fn cases() -> Vec<Case> {
    vec![
        icmp4("echo request", "r1 icmp 8/0", |k| k.echo(8)),
        icmp4("echo reply nobody asked for", "r1 icmp 0/0", |k| k.echo(0)),
        icmp4("timestamp request", "r1 icmp 13/0", |k| Icmp { data: vec![0; 12], ..k.echo(13) }),
        icmp4("address mask request", "r1 icmp 17/0", |k| Icmp { data: vec![0; 4], ..k.echo(17) }),
        icmp4("information request", "r1 icmp 15/0", |k| Icmp { data: vec![], ..k.echo(15) }),
        icmp4("an unknown type", "r1 icmp 200/0", |k| k.echo(200)),
        icmp4("echo request with a code", "r1 icmp 8/5", |k| Icmp { code: 5, ..k.echo(8) }),
        icmp4("echo request with a wrong checksum", "r1 icmp 8/0", |k| Icmp {
            checksum: Checksum::Wrong,
            ..k.echo(8)
        }),
        v4("icmp cut short", "r1 icmp 8/0", |k| k.v4(Payload::Raw(1, vec![8, 0, 0]))),
        v4("icmp of no bytes", "r1 icmp runt", |k| k.v4(Payload::Raw(1, vec![]))),
        icmp4("an error that quotes nothing", "r1 icmp 3/1", |k| Icmp { code: 1, data: vec![], ..k.echo(3) }),
        icmp4("an error that quotes what nobody sent", "r1 icmp 3/1", |k| error(k, 3, 1)),
        icmp4("a redirect", "r1 icmp 5/1", |k| error(k, 5, 1)),
        icmp4("source quench", "r1 icmp 4/0", |k| error(k, 4, 0)),
        icmp4("router advertisement", "r1 icmp 9/0", |k| Icmp { data: vec![], ..k.echo(9) }),
        v4("echo request with ttl 1", "r0 icmp 11/0", |k| V4 { ttl: 1, ..k.v4(Payload::Icmp(k.echo(8))) }),
        v4("echo reply with ttl 1", "r0 icmp 11/0", |k| V4 { ttl: 1, ..k.v4(Payload::Icmp(k.echo(0))) }),
        v4("unreachable with ttl 1", "nothing", |k| V4 { ttl: 1, ..k.v4(Payload::Icmp(error(k, 3, 1))) }),
        v4("time exceeded with ttl 1", "nothing", |k| V4 { ttl: 1, ..k.v4(Payload::Icmp(error(k, 11, 0))) }),
        v4("redirect with ttl 1", "nothing", |k| V4 { ttl: 1, ..k.v4(Payload::Icmp(error(k, 5, 0))) }),
        v4("parameter problem with ttl 1", "nothing", |k| V4 {
            ttl: 1,
            ..k.v4(Payload::Icmp(error(k, 12, 0)))
        }),
        v4("an unknown icmp type with ttl 1", "nothing", |k| V4 {
            ttl: 1,
            ..k.v4(Payload::Icmp(k.echo(200)))
        }),
        v4("type 18 with ttl 1", "r0 icmp 11/0", |k| V4 { ttl: 1, ..k.v4(Payload::Icmp(k.echo(18))) }),
        v4("type 19 with ttl 1", "nothing", |k| V4 { ttl: 1, ..k.v4(Payload::Icmp(k.echo(19))) }),
        v4("icmp of no bytes with ttl 1", "nothing", |k| V4 { ttl: 1, ..k.v4(Payload::Raw(1, vec![])) }),
        v4("an error without a route", "nothing", |k| V4 {
            destination: NOWHERE4.into(),
            ..k.v4(Payload::Icmp(error(k, 3, 3)))
        }),
        Case::new("port unreachable about a datagram that went through", "r0 icmp 3/3, r1 udp", |k| {
            vec![
                Step::Send(0, k.frame4(&k.udp4())),
                Step::Send(1, k.link(1).around(ETHERTYPE_IPV4, &about4(k, [172, 21, 0, 1]).bytes())),
            ]
        }),
        Case::new("host unreachable by a router behind it", "r0 icmp 3/3, r1 udp", |k| {
            vec![
                Step::Send(0, k.frame4(&k.udp4())),
                Step::Send(1, k.link(1).around(ETHERTYPE_IPV4, &about4(k, [172, 21, 99, 9]).bytes())),
            ]
        }),
        Case::new("time exceeded from a router without an address of its own", "r1 udp", |k| {
            vec![
                Step::Send(0, k.frame4(&k.udp4())),
                Step::Send(1, k.link(1).around(ETHERTYPE_IPV4, &about4(k, [0, 0, 0, 0]).bytes())),
            ]
        }),
        icmp6("echo request in IPv6", "r1 icmp6 128/0", |k| k.echo(128)),
        icmp6("echo reply nobody asked for in IPv6", "r1 icmp6 129/0", |k| k.echo(129)),
        icmp6("an unknown informational type", "r1 icmp6 200/0", |k| k.echo(200)),
        icmp6("an unknown error type", "r1 icmp6 100/0", |k| k.echo(100)),
        icmp6("echo request with a wrong checksum in IPv6", "r1 icmp6 128/0", |k| Icmp {
            checksum: Checksum::Wrong,
            ..k.echo(128)
        }),
        icmp6("packet too big that quotes what nobody sent", "r1 icmp6 2/0", |k| error6(k, 2, 0)),
        v6("icmpv6 cut short", "r1 icmp6 128/0", |k| k.v6(Payload::Raw(58, vec![128, 0, 0]))),
        v6("echo request with hop limit 1", "r0 icmp6 3/0", |k| V6 {
            hop_limit: 1,
            ..k.v6(Payload::Icmp(k.echo(128)))
        }),
        v6("unreachable with hop limit 1", "nothing", |k| V6 {
            hop_limit: 1,
            ..k.v6(Payload::Icmp(error6(k, 1, 0)))
        }),
        v6("packet too big with hop limit 1", "nothing", |k| V6 {
            hop_limit: 1,
            ..k.v6(Payload::Icmp(error6(k, 2, 0)))
        }),
        v6("an unknown error with hop limit 1", "nothing", |k| V6 {
            hop_limit: 1,
            ..k.v6(Payload::Icmp(k.echo(100)))
        }),
        v6("an unknown informational type with hop limit 1", "r0 icmp6 3/0", |k| V6 {
            hop_limit: 1,
            ..k.v6(Payload::Icmp(k.echo(200)))
        }),
        v6("a redirect with hop limit 1", "r0 icmp6 3/0", |k| V6 {
            hop_limit: 1,
            ..k.v6(Payload::Icmp(k.echo(137)))
        }),
        v6("neighbor solicitation to be forwarded", "r1 icmp6 135/0", |k| V6 {
            hop_limit: 255,
            ..k.v6(Payload::Icmp(k.echo(135)))
        }),
        v6("router solicitation to be forwarded", "nothing", |k| V6 {
            hop_limit: 255,
            ..k.v6(Payload::Icmp(k.echo(133)))
        }),
        v6("redirect to be forwarded", "r1 icmp6 137/0", |k| V6 {
            hop_limit: 255,
            ..k.v6(Payload::Icmp(k.echo(137)))
        }),
        v6("hop limit 1 with much to quote", "r0 icmp6 3/0", |k| V6 { hop_limit: 1, ..k.long6(1400) }),
        Case::new(
            "port unreachable about a datagram that went through in IPv6",
            "r0 icmp6 1/0, r1 udp",
            |k| {
                let error = Icmp { rest: [0; 4], data: quoted6(k), ..k.echo(1) };
                let packet =
                    V6 { source: k.behind6(1), destination: k.source6(), ..k.v6(Payload::Icmp(error)) };
                vec![
                    Step::Send(0, k.frame6(&k.udp6())),
                    Step::Send(1, k.link(1).around(ETHERTYPE_IPV6, &packet.bytes())),
                ]
            },
        ),
    ]
}

fn icmp4(name: &'static str, expected: &'static str, message: fn(Key) -> Icmp) -> Case {
    Case::new(name, expected, move |k| vec![Step::Send(0, k.frame4(&k.v4(Payload::Icmp(message(k)))))])
}

fn icmp6(name: &'static str, expected: &'static str, message: fn(Key) -> Icmp) -> Case {
    Case::new(name, expected, move |k| vec![Step::Send(0, k.frame6(&k.v6(Payload::Icmp(message(k)))))])
}

/// An error about a datagram that never was.
fn error(k: Key, kind: u8, code: u8) -> Icmp {
    let quoted = V4 { source: k.behind4(1), destination: k.source4(), ..k.udp4() };
    Icmp { code, rest: [0; 4], data: quoted.bytes(), ..k.echo(kind) }
}

fn error6(k: Key, kind: u8, code: u8) -> Icmp {
    let quoted = V6 { source: k.behind6(1), destination: k.source6(), ..k.udp6() };
    Icmp { code, rest: [0; 4], data: quoted.bytes(), ..k.echo(kind) }
}

/// Port unreachable from `source` about [`Key::udp4`] as it left the router.
fn about4(k: Key, source: [u8; 4]) -> V4 {
    let quoted = V4 { ttl: 63, ..k.udp4() }.bytes();
    let error = Icmp { code: 3, rest: [0; 4], data: quoted, ..k.echo(3) };
    V4 { source: source.into(), destination: k.source4(), ..k.v4(Payload::Icmp(error)) }
}

fn quoted6(k: Key) -> Vec<u8> {
    V6 { hop_limit: 63, ..k.udp6() }.bytes()
}
