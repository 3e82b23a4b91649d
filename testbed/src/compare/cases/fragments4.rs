//! IPv4 fragments on their way through, and packets that have to be fragmented.

use crate::compare::case::{Case, all4, v4};
use crate::compare::ground::{Key, SMALL_MTU, pattern};
use crate::frames::{Payload, V4, fragment4};

pub fn cases() -> Vec<Case> {
    vec![
        all4("two fragments in order", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| parts(&k.long4(400), &[(0, 200), (200, 999)])),
        all4("two fragments, last first", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| parts(&k.long4(400), &[(200, 999), (0, 200)]))
        .untracked("r1 udp fragment 200+208, r1 udp fragment 0+200"),
        all4("three fragments, middle last", "r1 udp fragment 0+200, r1 udp fragment 200+200, r1 udp fragment 400+208", |k| parts(&k.long4(600), &[(0, 200), (400, 999), (200, 400)]))
        .untracked("r1 udp fragment 0+200, r1 udp fragment 400+208, r1 udp fragment 200+200"),
        all4("fragments of unlike sizes", "r1 udp fragment 0+104, r1 udp fragment 104+400, r1 udp fragment 504+104", |k| parts(&k.long4(600), &[(0, 104), (104, 504), (504, 999)])),
        all4("a first fragment alone", "nothing", |k| parts(&k.long4(400), &[(0, 200)]))
        .untracked("r1 udp fragment 0+200"),
        all4("a middle fragment alone", "nothing", |k| parts(&k.long4(600), &[(200, 400)]))
        .untracked("r1 udp fragment 200+200"),
        all4("a last fragment alone", "nothing", |k| parts(&k.long4(400), &[(200, 999)]))
        .untracked("r1 udp fragment 200+208"),
        all4("a fragment twice", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| parts(&k.long4(400), &[(0, 200), (0, 200), (200, 999)]))
        .untracked("r1 udp fragment 0+200, r1 udp fragment 0+200, r1 udp fragment 200+208"),
        all4("a fragment within another", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| parts(&k.long4(400), &[(0, 200), (48, 96), (200, 999)]))
        .untracked("r1 udp fragment 0+200, r1 udp fragment 48+48, r1 udp fragment 200+208"),
        all4("fragments overlapping in part", "nothing", |k| parts(&k.long4(400), &[(0, 200), (104, 999)]))
        .untracked("r1 udp fragment 0+200, r1 udp fragment 104+304"),
        all4("fragments overlapping in part, last first", "nothing", |k| parts(&k.long4(400), &[(104, 999), (0, 200)]))
        .untracked("r1 udp fragment 104+304, r1 udp fragment 0+200"),
        all4("a first fragment of eight bytes", "r1 udp fragment 0+8, r1 udp fragment 8+400", |k| parts(&k.long4(400), &[(0, 8), (8, 999)])),
        all4("tcp whose flags come in the second fragment", "r1 tcp fragment 0+216, r1 tcp fragment 216+8", |k| parts(&tcp(k), &[(0, 8), (8, 999)]))
        .untracked("r1 tcp fragment 0+8, r1 tcp fragment 8+216"),
        all4("tcp whose first fragment holds the header", "r1 tcp fragment 0+48, r1 tcp fragment 48+176", |k| parts(&tcp(k), &[(0, 48), (48, 999)])),
        all4("tcp whose second fragment begins at eight", "r1 tcp fragment 0+216, r1 tcp fragment 216+8", |k| parts(&tcp(k), &[(8, 999), (0, 8)]))
        .untracked("r1 tcp fragment 8+216, r1 tcp fragment 0+8"),
        all4("fragments of an echo request", "r1 icmp 8/0 fragment 0+16, r1 icmp fragment 16+16", |k| {
            parts(&k.v4(Payload::Icmp(k.echo(8))), &[(0, 16), (16, 999)])
        }),
        all4("a fragment of no bytes", "nothing", |k| parts(&k.long4(400), &[(0, 0)]))
        .untracked("r1 udp fragment 0+0"),
        v4("more fragments and a length not a multiple of eight", "nothing", |k| V4 {
            more_fragments: true,
            payload: Payload::Raw(17, pattern(101)),
            ..k.udp4()
        })
        .untracked("r1 udp fragment 0+101"),
        v4("a fragment that ends beyond 65535", "nothing", |k| V4 {
            offset: 65528,
            payload: Payload::Raw(17, pattern(200)),
            ..k.udp4()
        })
        .untracked("r1 udp fragment 65528+200"),
        v4("the highest offset and eight bytes", "nothing", |k| V4 {
            offset: 65528,
            payload: Payload::Raw(17, pattern(7)),
            ..k.udp4()
        })
        .untracked("r1 udp fragment 65528+7"),
        all4("fragments with don't fragment", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            parts(&V4 { dont_fragment: true, ..k.long4(400) }, &[(0, 200), (200, 999)])
        }),
        all4("don't fragment on the first alone", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            let mut both = parts(&k.long4(400), &[(0, 200), (200, 999)]);
            both[0].dont_fragment = true;
            both
        }),
        all4("a first fragment with ttl 1", "nothing", |k| parts(&V4 { ttl: 1, ..k.long4(400) }, &[(0, 200)]))
        .untracked("r0 icmp 11/0"),
        all4("a later fragment with ttl 1", "nothing", |k| parts(&V4 { ttl: 1, ..k.long4(400) }, &[(200, 999)])),
        all4("both fragments with ttl 1", "r0 icmp 11/0", |k| parts(&V4 { ttl: 1, ..k.long4(400) }, &[(0, 200), (200, 999)])),
        all4("fragments with ttl 9 and 5", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            let mut both = parts(&V4 { ttl: 9, ..k.long4(400) }, &[(0, 200), (200, 999)]);
            both[1].ttl = 5;
            both
        }),
        all4("fragments with unlike tos", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            let mut both = parts(&k.long4(400), &[(0, 200), (200, 999)]);
            both[0].tos = 0x28;
            both
        }),
        all4("congestion experienced by one fragment", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            let mut both = parts(&V4 { tos: 2, ..k.long4(400) }, &[(0, 200), (200, 999)]);
            both[1].tos = 3;
            both
        }),
        all4("fragments one of which is not ect", "nothing", |k| {
            let mut both = parts(&V4 { tos: 3, ..k.long4(400) }, &[(0, 200), (200, 999)]);
            both[1].tos = 0;
            both
        })
        .untracked("r1 udp fragment 0+200, r1 udp fragment 200+208"),
        all4("fragments without a route", "r0 icmp 3/0", |k| {
            parts(&V4 { destination: [192, 0, 2, 1].into(), ..k.long4(400) }, &[(0, 200), (200, 999)])
        }),
        all4("a later fragment without a route", "nothing", |k| {
            parts(&V4 { destination: [192, 0, 2, 1].into(), ..k.long4(400) }, &[(200, 999)])
        }),
        all4("fragments with an option that is copied and one that is not", "r1 udp fragment 0+200, r1 udp fragment 200+208", |k| {
            let packet = V4 { options: vec![0xde, 4, 1, 1, 0x5e, 4, 2, 2], ..k.long4(400) };
            parts(&packet, &[(0, 200), (200, 999)])
        }),
        all4("fragments of different datagrams", "nothing", |k| {
            let [one, other] = [1, 2].map(|id| V4 { id, ..k.long4(400) });
            vec![fragment4(&one, 0, 200), fragment4(&other, 200, 999)]
        })
        .untracked("r1 udp fragment 0+200, r1 udp fragment 200+208"),
        all4("fragments of different protocols", "nothing", |k| {
            let one = k.long4(400);
            vec![fragment4(&one, 0, 200), V4 { protocol: Some(6), ..fragment4(&one, 200, 999) }]
        })
        .untracked("r1 udp fragment 0+200, r1 tcp fragment 200+208"),
        all4("two last fragments that end at different places", "nothing", |k| {
            let (one, other) = (k.long4(400), k.long4(480));
            vec![fragment4(&one, 200, 999), fragment4(&other, 200, 999), fragment4(&one, 0, 200)]
        })
        .untracked("r1 udp fragment 200+208, r1 udp fragment 200+288, r1 udp fragment 0+200"),
        v4("a datagram longer than the next link takes", "r2 udp fragment 0+1256, r2 udp fragment 1256+152", |k| V4 { destination: k.behind4(2), ..k.long4(1400) }),
        v4("a datagram one byte longer than the next link takes", "r2 udp fragment 0+1256, r2 udp fragment 1256+5", |k| V4 {
            destination: k.behind4(2),
            ..k.long4(SMALL_MTU - 27)
        }),
        v4("a datagram that just fits the next link", "r2 udp", |k| V4 {
            destination: k.behind4(2),
            ..k.long4(SMALL_MTU - 28)
        }),
        v4("a long datagram that must not be fragmented", "r0 icmp 3/4", |k| V4 {
            destination: k.behind4(2),
            dont_fragment: true,
            ..k.long4(1400)
        }),
        v4("a long datagram that must not be fragmented, with ttl 1", "r0 icmp 11/0", |k| V4 {
            destination: k.behind4(2),
            dont_fragment: true,
            ttl: 1,
            ..k.long4(1400)
        }),
        v4("a long datagram with options to copy and not to copy", "r2 udp fragment 0+1248, r2 udp fragment 1248+160", |k| V4 {
            destination: k.behind4(2),
            options: vec![0xde, 4, 1, 1, 0x5e, 4, 2, 2],
            ..k.long4(1400)
        }),
        v4("a long datagram with record route", "r2 udp fragment 0+1248, r2 udp fragment 1248+160", |k| V4 {
            destination: k.behind4(2),
            options: vec![7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0],
            ..k.long4(1400)
        }),
        v4("a long datagram with the reserved flag", "r2 udp fragment 0+1256, r2 udp fragment 1256+152", |k| V4 {
            destination: k.behind4(2),
            reserved: true,
            ..k.long4(1400)
        }),
        v4("a long datagram over a route with an MTU of 1000", "r1 udp fragment 0+976, r1 udp fragment 976+432", |k| V4 {
            destination: [172, 23, 0, 1].into(),
            ..k.long4(1400)
        }),
        v4("a long datagram over a route with an MTU of 1000, not to be fragmented", "r0 icmp 3/4", |k| V4 {
            destination: [172, 23, 0, 1].into(),
            dont_fragment: true,
            ..k.long4(1400)
        }),
        all4("fragments longer than the next link takes", "r2 udp fragment 0+1256, r2 udp fragment 1256+1256, r2 udp fragment 2512+296", |k| {
            parts(&V4 { destination: k.behind4(2), ..k.long4(2800) }, &[(0, 1400), (1400, 9999)])
        })
        .untracked("r2 udp fragment 0+1256, r2 udp fragment 1256+144, r2 udp fragment 1400+1256, r2 udp fragment 2656+152"),
        all4("long fragments not to be fragmented", "r0 icmp 3/4", |k| {
            let packet = V4 { destination: k.behind4(2), dont_fragment: true, ..k.long4(2800) };
            parts(&packet, &[(0, 1400), (1400, 9999)])
        }),
        all4("small fragments of a datagram longer than the next link takes", "r2 udp fragment 0+400, r2 udp fragment 400+400, r2 udp fragment 800+400, r2 udp fragment 1200+400, r2 udp fragment 1600+400", |k| {
            let packet = V4 { destination: k.behind4(2), ..k.long4(1992) };
            parts(&packet, &[(0, 400), (400, 800), (800, 1200), (1200, 1600), (1600, 2000)])
        }),
        all4("small fragments not to be fragmented of a long datagram", "r2 udp fragment 0+1000, r2 udp fragment 1000+1000", |k| {
            let packet = V4 { destination: k.behind4(2), dont_fragment: true, ..k.long4(1992) };
            parts(&packet, &[(0, 1000), (1000, 2000)])
        }),
    ]
}

fn parts(packet: &V4, ranges: &[(usize, usize)]) -> Vec<V4> {
    ranges.iter().map(|(from, to)| fragment4(packet, *from, *to)).collect()
}

fn tcp(k: Key) -> V4 {
    k.v4(Payload::Tcp(crate::frames::Tcp { data: pattern(200), flags: 0x10, ..k.syn() }))
}
