//! What takes time or depends on what came before: neighbors that answer late or never.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::compare::case::{Case, Step};
use crate::compare::ground::{Key, neighbor_mac, router_mac};
use crate::compare::mask::asks_for_neighbor;
use crate::frames::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Link, Mac, Payload, Udp, V4, V6, arp,
};

/// A neighbor is asked for three times, one second apart.
const NEIGHBOR_FAILS: Duration = Duration::from_secs(6);
const SOON: Duration = Duration::from_secs(2);

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "a neighbor that answers late gets what waited, in order",
            "r1 arp request, r1 udp, r1 udp, r1 udp",
            |k| {
                let mut steps: Vec<Step> =
                    (0..3).map(|n| Step::Send(0, k.frame4(&numbered(k, 10, n)))).collect();
                steps.extend([
                    Step::Await(1, asks_for_neighbor, SOON),
                    Step::Send(1, answer(k, 10)),
                    Step::Await(1, is_udp, SOON),
                ]);
                steps
            },
        ),
        Case::new(
            "a neighbor that answers late gets what waited, in order, in IPv6",
            "r1 icmp6 135/0, r1 udp, r1 udp, r1 udp",
            |k| {
                let mut steps: Vec<Step> =
                    (0..3).map(|n| Step::Send(0, k.frame6(&numbered6(k, 10, n)))).collect();
                steps.extend([
                    Step::Await(1, asks_for_neighbor, SOON),
                    Step::Send(1, advertise(k, 10)),
                    Step::Await(1, is_udp, SOON),
                ]);
                steps
            },
        ),
        Case::new("a neighbor that never answers", "r0 icmp 3/1, r1 arp request", |k| {
            let packet = V4 { destination: Ipv4Addr::new(10, 11, 0, 20), ..k.udp4() };
            vec![Step::Send(0, k.frame4(&packet)), Step::Await(0, is_error, NEIGHBOR_FAILS)]
        }),
        Case::new("a neighbor that never answers in IPv6", "r0 icmp6 1/3, r1 icmp6 135/0", |k| {
            let packet = V6 { destination: on_link6(20), ..k.udp6() };
            vec![Step::Send(0, k.frame6(&packet)), Step::Await(0, is_error, NEIGHBOR_FAILS)]
        }),
        Case::new(
            "three packets for a neighbor that never answers",
            "r0 icmp 3/1, r0 icmp 3/1, r0 icmp 3/1, r1 arp request",
            |k| {
                let mut steps: Vec<Step> =
                    (0..3).map(|n| Step::Send(0, k.frame4(&numbered(k, 21, n)))).collect();
                steps.push(Step::Await(0, is_error, NEIGHBOR_FAILS));
                steps
            },
        ),
        Case::new(
            "three packets for a neighbor that never answers in IPv6",
            "r0 icmp6 1/3, r0 icmp6 1/3, r0 icmp6 1/3, r1 icmp6 135/0",
            |k| {
                let mut steps: Vec<Step> =
                    (0..3).map(|n| Step::Send(0, k.frame6(&numbered6(k, 21, n)))).collect();
                steps.push(Step::Await(0, is_error, NEIGHBOR_FAILS));
                steps
            },
        ),
        Case::new(
            "a neighbor that answers after it had been given up",
            "r0 icmp 3/1, r1 arp request, r1 udp",
            |k| {
                let packet = k.frame4(&numbered(k, 22, 0));
                vec![
                    Step::Send(0, packet.clone()),
                    Step::Await(0, is_error, NEIGHBOR_FAILS),
                    Step::Send(1, answer(k, 22)),
                    Step::Send(0, packet),
                    Step::Await(1, asks_for_neighbor, SOON),
                    Step::Send(1, answer(k, 22)),
                    Step::Await(1, is_udp, SOON),
                ]
            },
        ),
        Case::new("more packets than wait for a neighbor", "r1 arp request, 256 × r1 udp", |k| {
            let mut steps: Vec<Step> =
                (0..=255).chain(0..=43).map(|n| Step::Send(0, k.frame4(&numbered(k, 23, n)))).collect();
            steps.extend([
                Step::Await(1, asks_for_neighbor, SOON),
                Step::Send(1, answer(k, 23)),
                Step::Await(1, is_udp, SOON),
            ]);
            steps
        }),
        Case::new("more packets than wait for a neighbor in IPv6", "r1 icmp6 135/0, 256 × r1 udp", |k| {
            let mut steps: Vec<Step> =
                (0..=255).chain(0..=43).map(|n| Step::Send(0, k.frame6(&numbered6(k, 23, n)))).collect();
            steps.extend([
                Step::Await(1, asks_for_neighbor, SOON),
                Step::Send(1, advertise(k, 23)),
                Step::Await(1, is_udp, SOON),
            ]);
            steps
        }),
        Case::new(
            "a long packet that waits leaves in fragments",
            "r2 arp request, r2 udp fragment 0+1256, r2 udp fragment 1256+152",
            |k| {
                let packet = V4 { destination: Ipv4Addr::new(10, 12, 0, 24), ..k.long4(1400) };
                vec![
                    Step::Send(0, k.frame4(&packet)),
                    Step::Await(2, asks_for_neighbor, SOON),
                    Step::Send(2, answer_at(k, 2, 24)),
                    Step::Await(2, is_udp, SOON),
                ]
            },
        ),
        Case::new("an answer moves a neighbor to another MAC", "r1 arp request, r1 udp, r1 udp", |k| {
            let moved = neighbor_mac(1, 0x77);
            vec![
                Step::Send(0, k.frame4(&numbered(k, 25, 0))),
                Step::Await(1, asks_for_neighbor, SOON),
                Step::Send(1, answer(k, 25)),
                Step::Await(1, is_udp, SOON),
                Step::Send(1, announce(k, 25, moved)),
                Step::Send(0, k.frame4(&numbered(k, 25, 1))),
            ]
        }),
        Case::new("a path said to be narrow is used as before", "r0 icmp 3/4, r1 udp, r1 udp", |k| {
            let long = V4 { dont_fragment: true, ..k.long4(1400) };
            vec![
                Step::Send(0, k.frame4(&long)),
                Step::Send(1, k.link(1).around(ETHERTYPE_IPV4, &narrow4(k, &long).bytes())),
                Step::Send(0, k.frame4(&long)),
            ]
        }),
        Case::new(
            "a path said to be narrow is used as before in IPv6",
            "r0 icmp6 2/0, r1 udp, r1 udp",
            |k| {
                let long = k.long6(1400);
                vec![
                    Step::Send(0, k.frame6(&long)),
                    Step::Send(1, k.link(1).around(ETHERTYPE_IPV6, &narrow6(k, &long).bytes())),
                    Step::Send(0, k.frame6(&long)),
                ]
            },
        ),
        Case::new("the same long packet twice", "r0 icmp 3/4, r0 icmp 3/4", |k| {
            let long = V4 { destination: k.behind4(2), dont_fragment: true, ..k.long4(1400) };
            vec![Step::Send(0, k.frame4(&long)); 2]
        }),
        Case::new("an error takes what an error of routing would have cost", "r0 icmp 11/0", |k| {
            let nowhere = V4 { destination: [192, 0, 2, 1].into(), ..k.udp4() };
            vec![Step::Send(0, k.frame4(&V4 { ttl: 1, ..k.udp4() })), Step::Send(0, k.frame4(&nowhere))]
        }),
        Case::new("a gateway that never answers", "r0 icmp 3/1, r1 arp request", |k| {
            let packet = V4 { destination: Ipv4Addr::new(172, 28, 0, 1), ..k.udp4() };
            vec![Step::Send(0, k.frame4(&packet)), Step::Await(0, is_error, NEIGHBOR_FAILS)]
        }),
    ]
}

fn is_udp(frame: &[u8]) -> bool {
    matches!(frame.get(12..14), Some([8, 0])) && frame.get(23) == Some(&17)
        || matches!(frame.get(12..14), Some([0x86, 0xdd])) && frame.get(20) == Some(&17)
}

fn is_error(frame: &[u8]) -> bool {
    matches!(frame.get(12..14), Some([8, 0])) && frame.get(23) == Some(&1)
        || matches!(frame.get(12..14), Some([0x86, 0xdd]))
            && frame.get(20) == Some(&58)
            && frame.get(54).is_some_and(|kind| *kind < 128)
}

fn numbered(k: Key, end: u8, number: u8) -> V4 {
    let udp = Udp { data: vec![number; 30], ..k.udp() };
    V4 { destination: Ipv4Addr::new(10, 11, 0, end), ..k.v4(Payload::Udp(udp)) }
}

fn numbered6(k: Key, end: u16, number: u8) -> V6 {
    let udp = Udp { data: vec![number; 30], ..k.udp() };
    V6 { destination: on_link6(end), ..k.v6(Payload::Udp(udp)) }
}

fn on_link6(end: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x11, 0, 0, 0, 0, 0, end)
}

/// What a router beyond `r1` says of a packet: only 1300 bytes fit.
fn narrow4(k: Key, packet: &V4) -> V4 {
    let data = packet.bytes()[..28].to_vec();
    let message = Icmp { kind: 3, code: 4, rest: [0, 0, 0x05, 0x14], data, ..k.echo(3) };
    V4 { source: [172, 21, 9, 9].into(), destination: packet.source, ..k.v4(Payload::Icmp(message)) }
}

fn narrow6(k: Key, packet: &V6) -> V6 {
    let data = packet.bytes()[..200].to_vec();
    let message = Icmp { kind: 2, code: 0, rest: [0, 0, 0x05, 0x14], data, ..k.echo(2) };
    let source = Ipv6Addr::new(0xfd21, 0, 0, 0, 0, 0, 9, 9);
    V6 { source, destination: packet.source, ..k.v6(Payload::Icmp(message)) }
}

/// The ARP answer of `10.11.0.END`.
fn answer(k: Key, end: u8) -> Vec<u8> {
    answer_at(k, 1, end)
}

/// The ARP answer of a neighbor on a port.
fn answer_at(k: Key, port: u8, end: u8) -> Vec<u8> {
    let mac = neighbor_mac(usize::from(port), end);
    let router = (router_mac(usize::from(port)), Ipv4Addr::new(10, 10 + port, 0, 1));
    let packet = arp(2, (mac, Ipv4Addr::new(10, 10 + port, 0, end)), router);
    Link { source: mac, ..k.link(usize::from(port)) }.around(ETHERTYPE_ARP, &packet)
}

/// The same from another MAC.
fn announce(k: Key, end: u8, mac: Mac) -> Vec<u8> {
    let packet = arp(2, (mac, Ipv4Addr::new(10, 11, 0, end)), (router_mac(1), Ipv4Addr::new(10, 11, 0, 1)));
    Link { source: mac, ..k.link(1) }.around(ETHERTYPE_ARP, &packet)
}

/// The neighbor advertisement of `fd00:11::END`.
fn advertise(k: Key, end: u16) -> Vec<u8> {
    let mac = neighbor_mac(1, end as u8);
    let data = [on_link6(end).octets().as_slice(), &[2, 1], &mac].concat();
    let message = Icmp { rest: [0x60, 0, 0, 0], data, ..k.echo(136) };
    let packet = V6 {
        source: on_link6(end),
        destination: on_link6(1),
        hop_limit: 255,
        ..k.v6(Payload::Icmp(message))
    };
    Link { source: mac, ..k.link(1) }.around(ETHERTYPE_IPV6, &packet.bytes())
}
