//! What takes time or depends on what came before: neighbors that answer late or never.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::compare::case::{Case, Step};
use crate::compare::ground::{Key, neighbor_mac, router_mac};
use crate::compare::mask::asks_for_neighbor;
use crate::frames::{ETHERTYPE_ARP, ETHERTYPE_IPV6, Icmp, Link, Payload, Udp, V4, V6, arp};

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

/// The ARP answer of `10.11.0.END`.
fn answer(k: Key, end: u8) -> Vec<u8> {
    let sender = (neighbor_mac(1, end), Ipv4Addr::new(10, 11, 0, end));
    let packet = arp(2, sender, (router_mac(1), Ipv4Addr::new(10, 11, 0, 1)));
    Link { source: neighbor_mac(1, end), ..k.link(1) }.around(ETHERTYPE_ARP, &packet)
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
