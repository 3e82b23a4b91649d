//! What a sender leaves to the device: unfinished checksums, and super-packets that are cut only on the last link.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::compare::case::{Case, Step};
use crate::compare::ground::{Key, pattern};
use crate::frames::{Checksum, Cut, Offload, Payload, Tcp, Udp, V4, V6};
use crate::wire::Frame;

pub fn cases() -> Vec<Case> {
    let mut cases = unfinished_checksums();
    cases.extend(super_packets4());
    cases.extend(super_packets6());
    cases
}

fn unfinished_checksums() -> Vec<Case> {
    vec![
        half4("udp with half a checksum", "r1 udp ½", |k| k.v4(udp(k, 100))),
        half6("udp with half a checksum in IPv6", "r1 udp ½", |k| k.v6(udp(k, 100))),
        half4("tcp with half a checksum", "r1 tcp ½", |k| k.v4(tcp(k, 100))),
        half6("tcp with half a checksum in IPv6", "r1 tcp ½", |k| k.v6(tcp(k, 100))),
        half4("half a checksum behind options", "r1 udp ½", |k| V4 {
            options: vec![7, 7, 4, 0, 0, 0, 0, 0],
            ..k.v4(udp(k, 100))
        }),
        half4("half a checksum and ttl 1", "r0 icmp 11/0", |k| V4 { ttl: 1, ..k.v4(udp(k, 100)) }),
        half6("half a checksum and hop limit 1", "r0 icmp6 3/0", |k| V6 {
            hop_limit: 1,
            ..k.v6(udp(k, 100))
        }),
        half4("half a checksum and no route", "r0 icmp 3/0", |k| V4 {
            destination: [192, 0, 2, 1].into(),
            ..k.v4(tcp(k, 100))
        }),
        half4(
            "half a checksum and too long for the next link",
            "r2 udp fragment 0+1256, r2 udp fragment 1256+152",
            |k| V4 { destination: k.behind4(2), ..k.v4(udp(k, 1400)) },
        ),
        half4("half a checksum, too long and not to be fragmented", "r0 icmp 3/4", |k| V4 {
            destination: k.behind4(2),
            dont_fragment: true,
            ..k.v4(udp(k, 1400))
        }),
        half6("half a checksum and too long for the next link in IPv6", "r0 icmp6 2/0", |k| V6 {
            destination: k.behind6(2),
            ..k.v6(udp(k, 1400))
        }),
    ]
}

fn super_packets4() -> Vec<Case> {
    vec![
        super4("four segments of tcp", "r1 tcp in 1000s", 1000, |k| k.v4(tcp(k, 4000))),
        super4("forty segments of tcp", "r1 tcp in 1448s", 1448, |k| k.v4(tcp(k, 60_000))),
        super4("two segments, the second of one byte", "r1 tcp in 1000s", 1000, |k| k.v4(tcp(k, 1001))),
        super4("a super-packet not to be fragmented", "r1 tcp in 1448s", 1448, |k| V4 {
            dont_fragment: true,
            ..k.v4(tcp(k, 4000))
        }),
        super4("four datagrams of udp", "r1 udp in 1000s", 1000, |k| k.v4(udp(k, 4000))),
        super4("a super-packet with ttl 1", "r0 icmp 11/0", 1000, |k| V4 { ttl: 1, ..k.v4(tcp(k, 4000)) }),
        super4("a super-packet without a route", "r0 icmp 3/0", 1000, |k| V4 {
            destination: [192, 0, 2, 1].into(),
            ..k.v4(tcp(k, 4000))
        }),
        super4("segments that fit the next link", "r2 tcp in 1000s", 1000, |k| V4 {
            destination: k.behind4(2),
            dont_fragment: true,
            ..k.v4(tcp(k, 4000))
        }),
        super4("segments that just fit the next link", "r2 tcp in 1236s", 1236, |k| V4 {
            destination: k.behind4(2),
            dont_fragment: true,
            ..k.v4(tcp(k, 4000))
        }),
        super4("segments too long by one and not to be fragmented", "r0 icmp 3/4", 1237, |k| V4 {
            destination: k.behind4(2),
            dont_fragment: true,
            ..k.v4(tcp(k, 4000))
        }),
        super4(
            "segments too long for the next link",
            "r2 tcp fragment 0+1256, r2 tcp fragment 1256+168, \
             r2 tcp fragment 0+1256, r2 tcp fragment 1256+168, r2 tcp",
            1400,
            |k| V4 { destination: k.behind4(2), ..k.v4(tcp(k, 3000)) },
        ),
        super4("segments too long for the route", "r0 icmp 3/4", 1000, |k| V4 {
            destination: Ipv4Addr::new(172, 23, 0, 1),
            dont_fragment: true,
            ..k.v4(tcp(k, 4000))
        }),
        super4("segments that fit the route", "r1 tcp in 900s", 900, |k| V4 {
            destination: Ipv4Addr::new(172, 23, 0, 1),
            dont_fragment: true,
            ..k.v4(tcp(k, 4000))
        }),
        Case::new("a super-packet that announces congestion", "r1 tcp in 1000s", |k| {
            let mut frame = offloaded4(k, &V4 { tos: 2, ..k.v4(tcp(k, 4000)) });
            frame.offload.segments = Some((Cut::Tcp4Ecn, 1000));
            vec![Step::SendOffloaded(0, frame)]
        }),
    ]
}

fn super_packets6() -> Vec<Case> {
    vec![
        super6("four segments of tcp in IPv6", "r1 tcp in 1000s", 1000, |k| k.v6(tcp(k, 4000))),
        super6("four datagrams of udp in IPv6", "r1 udp in 1000s", 1000, |k| k.v6(udp(k, 4000))),
        super6("a super-packet with hop limit 1", "r0 icmp6 3/0", 1000, |k| V6 {
            hop_limit: 1,
            ..k.v6(tcp(k, 4000))
        }),
        super6("segments that just fit the next link in IPv6", "r2 tcp in 1216s", 1216, |k| V6 {
            destination: k.behind6(2),
            ..k.v6(tcp(k, 4000))
        }),
        super6("segments too long by one in IPv6", "r0 icmp6 2/0", 1217, |k| V6 {
            destination: k.behind6(2),
            ..k.v6(tcp(k, 4000))
        }),
        super6("segments that fit the route in IPv6", "r1 tcp in 1236s", 1236, |k| V6 {
            destination: Ipv6Addr::new(0xfd23, 0, 0, 0, 0, 0, 0, 1),
            ..k.v6(tcp(k, 4000))
        }),
        super6(
            "segments too long for the route in IPv6",
            "r0 icmp6 2/0, r0 icmp6 2/0, r1 tcp ½",
            1300,
            |k| V6 { destination: Ipv6Addr::new(0xfd23, 0, 0, 0, 0, 0, 0, 1), ..k.v6(tcp(k, 3000)) },
        )
        .on_purpose("r0 icmp6 2/0", "a super-packet is refused whole, with one error"),
    ]
}

fn udp(k: Key, length: usize) -> Payload {
    Payload::Udp(Udp { data: pattern(length), checksum: Checksum::Partial, ..k.udp() })
}

fn tcp(k: Key, length: usize) -> Payload {
    const ACK: u8 = 0x10;
    Payload::Tcp(Tcp { flags: ACK, data: pattern(length), checksum: Checksum::Partial, ..k.syn() })
}

/// Where the checksum of a payload behind `headers` bytes begins and belongs.
fn checksum_of(payload: &Payload, headers: usize) -> Option<(u16, u16)> {
    match payload {
        Payload::Udp(_) => Some((headers as u16, 6)),
        Payload::Tcp(_) => Some((headers as u16, 16)),
        _ => None,
    }
}

fn offloaded4(k: Key, packet: &V4) -> Frame {
    let headers = 14 + 20 + packet.options.len().next_multiple_of(4);
    let offload = Offload { checksum: checksum_of(&packet.payload, headers), segments: None };
    Frame { bytes: k.frame4(packet), offload }
}

fn offloaded6(k: Key, packet: &V6) -> Frame {
    let offload = Offload { checksum: checksum_of(&packet.payload, 14 + 40), segments: None };
    Frame { bytes: k.frame6(packet), offload }
}

fn cut_of(payload: &Payload, tcp: Cut) -> Cut {
    if matches!(payload, Payload::Tcp(_)) { tcp } else { Cut::Udp }
}

fn half4(name: &'static str, expected: &'static str, packet: fn(Key) -> V4) -> Case {
    Case::new(name, expected, move |k| vec![Step::SendOffloaded(0, offloaded4(k, &packet(k)))])
}

fn half6(name: &'static str, expected: &'static str, packet: fn(Key) -> V6) -> Case {
    Case::new(name, expected, move |k| vec![Step::SendOffloaded(0, offloaded6(k, &packet(k)))])
}

fn super4(name: &'static str, expected: &'static str, size: u16, packet: fn(Key) -> V4) -> Case {
    Case::new(name, expected, move |k| {
        let packet = packet(k);
        let mut frame = offloaded4(k, &packet);
        frame.offload.segments = Some((cut_of(&packet.payload, Cut::Tcp4), size));
        vec![Step::SendOffloaded(0, frame)]
    })
}

fn super6(name: &'static str, expected: &'static str, size: u16, packet: fn(Key) -> V6) -> Case {
    Case::new(name, expected, move |k| {
        let packet = packet(k);
        let mut frame = offloaded6(k, &packet);
        frame.offload.segments = Some((cut_of(&packet.payload, Cut::Tcp6), size));
        vec![Step::SendOffloaded(0, frame)]
    })
}
