//! IPv6 extension headers and fragments (RFC 8200 section 4, RFC 7045).

use crate::compare::case::{Case, all6, v6};
use crate::compare::ground::{Key, pattern};
use crate::frames::{Extension, Payload, Tcp, V6, fragment6};

pub fn cases() -> Vec<Case> {
    vec![
        hops("hop-by-hop of Pad1", "r1 udp hop-by-hop", &[0, 0, 0, 0, 0, 0]),
        hops("hop-by-hop of PadN", "r1 udp hop-by-hop", &[1, 4, 0, 0, 0, 0]),
        hops("hop-by-hop PadN with bytes in it", "nothing", &[1, 4, 0, 9, 0, 0]),
        hops(
            "hop-by-hop padded with more than seven bytes",
            "nothing",
            &[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        hops("hop-by-hop unknown option to skip", "r1 udp hop-by-hop", &[0x1e, 4, 1, 2, 3, 4]),
        hops("hop-by-hop unknown option to drop", "nothing", &[0x5e, 4, 1, 2, 3, 4]),
        hops("hop-by-hop unknown option to report", "r0 icmp6 4/2", &[0x9e, 4, 1, 2, 3, 4]),
        hops("hop-by-hop unknown option to report unless multicast", "r0 icmp6 4/2", &[0xde, 4, 1, 2, 3, 4]),
        hops("hop-by-hop unknown option to report, the second", "r0 icmp6 4/2", &[1, 0, 0x9e, 0, 0, 0]),
        hops("hop-by-hop option beyond the header", "nothing", &[0x1e, 9, 1, 2, 3, 4]),
        hops("hop-by-hop option cut after its type", "nothing", &[0, 0, 0, 0, 0, 0x1e]),
        hops("hop-by-hop router alert", "r1 udp hop-by-hop", &[5, 2, 0, 0, 1, 0]),
        hops("hop-by-hop router alert of the wrong length", "nothing", &[5, 3, 0, 0, 0, 0]),
        hops("hop-by-hop jumbo payload that is none", "r0 icmp6 4/0", &[0xc2, 4, 0, 0, 0, 40]),
        hops("hop-by-hop jumbo payload not aligned", "nothing", &[0, 0xc2, 4, 0, 1, 0]),
        v6("hop-by-hop jumbo payload with payload length 0", "r0 icmp6 4/0", |k| V6 {
            payload_length: Some(0),
            extensions: vec![Extension::hop_by_hop(&[0xc2, 4, 0, 0, 0, 36])],
            ..k.udp6()
        }),
        v6("hop-by-hop longer than the packet", "nothing", |k| V6 {
            extensions: vec![Extension { length: Some(9), ..Extension::hop_by_hop(&[1, 4]) }],
            ..k.udp6()
        }),
        v6("hop-by-hop option to report and hop limit 1", "r0 icmp6 4/2", |k| V6 {
            hop_limit: 1,
            extensions: vec![Extension::hop_by_hop(&[0x9e, 4, 1, 2, 3, 4])],
            ..k.udp6()
        }),
        v6("hop-by-hop and hop limit 1", "r0 icmp6 3/0", |k| V6 {
            hop_limit: 1,
            extensions: vec![Extension::hop_by_hop(&[1, 4])],
            ..k.udp6()
        }),
        v6("hop-by-hop behind destination options", "r1 udp options hop-by-hop", |k| V6 {
            extensions: vec![Extension::destination_options(&[1, 4]), Extension::hop_by_hop(&[0x9e, 0])],
            ..k.udp6()
        }),
        v6("two hop-by-hop headers", "r1 udp hop-by-hop hop-by-hop", |k| V6 {
            extensions: vec![Extension::hop_by_hop(&[1, 4]), Extension::hop_by_hop(&[1, 4])],
            ..k.udp6()
        }),
        v6("hop-by-hop and nothing behind it", "r1 protocol 59 hop-by-hop", |k| V6 {
            extensions: vec![Extension::hop_by_hop(&[1, 4])],
            ..k.v6(Payload::Raw(59, vec![]))
        }),
        v6("destination options", "r1 udp options", |k| V6 {
            extensions: vec![Extension::destination_options(&[1, 4])],
            ..k.udp6()
        }),
        v6("destination options with an unknown option to report", "r1 udp options", |k| V6 {
            extensions: vec![Extension::destination_options(&[0x9e, 4, 1, 2, 3, 4])],
            ..k.udp6()
        }),
        v6("routing header of type 0", "r1 udp routing", |k| routed(k, 0, 1)),
        v6("routing header of type 0 at its end", "r1 udp routing", |k| routed(k, 0, 0)),
        v6("routing header of type 2", "r1 udp routing", |k| routed(k, 2, 1)),
        v6("routing header of type 4", "r1 udp routing", |k| routed(k, 4, 1)),
        v6("routing header of an unknown type", "r1 udp routing", |k| routed(k, 99, 3)),
        v6("every extension header in its order", "r1 udp hop-by-hop options routing options", |k| V6 {
            extensions: vec![
                Extension::hop_by_hop(&[1, 4]),
                Extension::destination_options(&[1, 4]),
                Extension::routing(99, 0, &[0; 16]),
                Extension::fragment(77, 0, false),
                Extension::destination_options(&[1, 4]),
            ],
            ..k.udp6()
        })
        .untracked("r1 udp hop-by-hop options routing fragment 0+36 options"),
        v6("an extension header cut short", "r1 protocol 60", |k| V6 {
            next_header: Some(60),
            ..k.v6(Payload::Raw(60, vec![17, 0, 1]))
        }),
        v6("ESP", "r1 protocol 50", |k| k.v6(Payload::Raw(50, vec![0x77; 40]))),
        v6("AH", "r1 protocol 51", |k| k.v6(Payload::Raw(51, vec![17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]))),
        all6("IPv6 fragments in order", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            parts(&k.long6(400), k, &[(0, 200), (200, 999)])
        }),
        all6("IPv6 fragments, last first", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            parts(&k.long6(400), k, &[(200, 999), (0, 200)])
        })
        .untracked("r1 udp fragment 200+208, r1 udp fragment 0+200"),
        all6(
            "three IPv6 fragments, middle last",
            "r1 udp fragment 0+200, r1 udp fragment 200+200, r1 udp fragment 400+208",
            |k| parts(&k.long6(600), k, &[(0, 200), (400, 999), (200, 400)]),
        )
        .untracked("r1 udp fragment 0+200, r1 udp fragment 400+208, r1 udp fragment 200+200"),
        all6("an IPv6 fragment that is all there is", "r1 udp", |k| parts(&k.long6(40), k, &[(0, 999)]))
            .untracked("r1 udp fragment 0+48"),
        all6("a first IPv6 fragment alone", "nothing", |k| parts(&k.long6(400), k, &[(0, 200)]))
            .untracked("r1 udp fragment 0+200"),
        all6("a last IPv6 fragment alone", "nothing", |k| parts(&k.long6(400), k, &[(200, 999)]))
            .untracked("r1 udp fragment 200+208"),
        all6("an IPv6 fragment twice", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            parts(&k.long6(400), k, &[(0, 200), (0, 200), (200, 999)])
        })
        .untracked("r1 udp fragment 0+200, r1 udp fragment 0+200, r1 udp fragment 200+208"),
        all6("an IPv6 fragment within another", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            parts(&k.long6(400), k, &[(0, 200), (48, 96), (200, 999)])
        })
        .untracked("r1 udp fragment 0+200, r1 udp fragment 48+48, r1 udp fragment 200+208"),
        all6("IPv6 fragments overlapping in part", "nothing", |k| {
            parts(&k.long6(400), k, &[(0, 200), (104, 999)])
        })
        .untracked("r1 udp fragment 0+200, r1 udp fragment 104+304"),
        all6("an IPv6 fragment of no bytes", "r1 udp fragment 0+0", |k| parts(&k.long6(400), k, &[(0, 0)])),
        all6("an IPv6 fragment whose length is not a multiple of eight", "r1 udp fragment 0+101", |k| {
            parts(&k.long6(400), k, &[(0, 101), (200, 999)])
        })
        .untracked("r1 udp fragment 0+101, r1 udp fragment 200+208"),
        all6("an IPv6 fragment that ends beyond 65535", "nothing", |k| {
            let mut late = fragment6(&k.long6(400), 99, 0, 200);
            late.extensions = vec![Extension::fragment(99, 65528, false)];
            vec![late]
        })
        .untracked("r1 udp fragment 65528+200"),
        all6("a first IPv6 fragment without the whole transport header", "r1 tcp fragment 0+8", |k| {
            parts(&tcp(k), k, &[(0, 8), (8, 999)])
        })
        .untracked("r1 tcp fragment 0+8, r1 tcp fragment 8+216"),
        all6("IPv6 fragments with hop limit 1", "r0 icmp6 3/0", |k| {
            parts(&V6 { hop_limit: 1, ..k.long6(400) }, k, &[(0, 200), (200, 999)])
        })
        .untracked("r0 icmp6 3/0, r0 icmp6 3/0"),
        all6(
            "IPv6 fragments with hop limits 9 and 5",
            "r1 udp fragment 0+200, r1 udp fragment 200+208",
            |k| {
                let mut both = parts(&V6 { hop_limit: 9, ..k.long6(400) }, k, &[(0, 200), (200, 999)]);
                both[1].hop_limit = 5;
                both
            },
        ),
        all6("IPv6 fragments without a route", "r0 icmp6 1/0", |k| {
            let packet = V6 { destination: "2001:db8::1".parse().expect("an address"), ..k.long6(400) };
            parts(&packet, k, &[(0, 200), (200, 999)])
        })
        .untracked("r0 icmp6 1/0, r0 icmp6 1/0"),
        all6("IPv6 fragments with destination options within", "r1 udp options fragment 0+408", |k| {
            let packet = V6 { extensions: vec![Extension::destination_options(&[1, 4])], ..k.long6(400) };
            parts(&packet, k, &[(0, 200), (200, 999)])
        })
        .untracked("r1 udp fragment 0+200 options, r1 protocol 60 fragment 200+216"),
        all6("IPv6 fragments longer than the next link takes", "r0 icmp6 2/0", |k| {
            parts(&V6 { destination: k.behind6(2), ..k.long6(2600) }, k, &[(0, 1400), (1400, 9999)])
        })
        .untracked("r0 icmp6 2/0, r2 udp fragment 1400+1208"),
        all6(
            "small IPv6 fragments of a datagram longer than the next link takes",
            "r2 udp fragment 0+1000, r2 udp fragment 1000+1000",
            |k| parts(&V6 { destination: k.behind6(2), ..k.long6(1992) }, k, &[(0, 1000), (1000, 9999)]),
        ),
        all6(
            "IPv6 fragments of an echo request",
            "r1 icmp6 128/0 fragment 0+16, r1 icmp6 fragment 16+16",
            |k| parts(&k.v6(Payload::Icmp(k.echo(128))), k, &[(0, 16), (16, 999)]),
        ),
        all6("IPv6 fragments of different datagrams", "nothing", |k| {
            vec![fragment6(&k.long6(400), 1, 0, 200), fragment6(&k.long6(400), 2, 200, 999)]
        })
        .untracked("r1 udp fragment 0+200, r1 udp fragment 200+208"),
    ]
}

fn hops(name: &'static str, expected: &'static str, options: &'static [u8]) -> Case {
    Case::new(name, expected, move |k| {
        let packet = V6 { extensions: vec![Extension::hop_by_hop(options)], ..k.udp6() };
        vec![crate::compare::case::Step::Send(0, k.frame6(&packet))]
    })
}

fn routed(k: Key, kind: u8, segments_left: u8) -> V6 {
    V6 { extensions: vec![Extension::routing(kind, segments_left, &k.behind6(2).octets())], ..k.udp6() }
}

fn parts(packet: &V6, k: Key, ranges: &[(usize, usize)]) -> Vec<V6> {
    let id = 0x1000 + u32::from(k.number);
    ranges.iter().map(|(from, to)| fragment6(packet, id, *from, *to)).collect()
}

fn tcp(k: Key) -> V6 {
    k.v6(Payload::Tcp(Tcp { data: pattern(200), flags: 0x10, ..k.syn() }))
}
