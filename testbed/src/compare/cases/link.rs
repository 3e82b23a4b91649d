//! The link layer: for whom a frame is, tags, what it carries, and what is the kernel's to answer.

use std::net::Ipv6Addr;

use crate::compare::case::{Case, Step, frame};
use crate::compare::ground::{Key, neighbor_mac, router_mac};
use crate::frames::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Link, Mac, Payload, V4, V6, arp};

const BROADCAST: Mac = [0xff; 6];
const STRANGER: Mac = [2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee];

pub fn cases() -> Vec<Case> {
    vec![
        to("to the broadcast MAC", "nothing", BROADCAST, Key::udp4),
        to("to a multicast MAC", "nothing", [1, 0, 0x5e, 0, 0, 5], Key::udp4),
        to("to a stranger's MAC", "nothing", STRANGER, Key::udp4),
        to("to the MAC of another port of the router", "nothing", router_mac(1), Key::udp4),
        to("to MAC zero", "nothing", [0; 6], Key::udp4),
        to("to the broadcast MAC with ttl 1", "nothing", BROADCAST, |k| V4 { ttl: 1, ..k.udp4() }),
        to("to the broadcast MAC without a route", "nothing", BROADCAST, |k| V4 {
            destination: [192, 0, 2, 1].into(),
            ..k.udp4()
        }),
        to("to a stranger's MAC with ttl 1", "nothing", STRANGER, |k| V4 { ttl: 1, ..k.udp4() }),
        to("to the broadcast MAC and a wrong header", "nothing", BROADCAST, |k| V4 {
            options: vec![9, 0, 0, 0],
            ..k.udp4()
        }),
        frame("IPv6 to the broadcast MAC", "nothing", |k| {
            Link { destination: BROADCAST, ..k.link(0) }.around(ETHERTYPE_IPV6, &k.udp6().bytes())
        }),
        frame("IPv6 to a stranger's MAC", "nothing", |k| {
            Link { destination: STRANGER, ..k.link(0) }.around(ETHERTYPE_IPV6, &k.udp6().bytes())
        }),
        frame("IPv6 to the broadcast MAC with hop limit 1", "nothing", |k| {
            let packet = V6 { hop_limit: 1, ..k.udp6() };
            Link { destination: BROADCAST, ..k.link(0) }.around(ETHERTYPE_IPV6, &packet.bytes())
        }),
        from("from a multicast MAC", "r1 udp", [3, 0, 0, 0, 0, 1]),
        from("from the broadcast MAC", "r1 udp", BROADCAST),
        from("from MAC zero", "r1 udp", [0; 6]),
        from("from the router's own MAC", "r1 udp", router_mac(0)),
        from("from a stranger's MAC", "r1 udp", STRANGER),
        tagged("priority tag", "r1 udp", vec![(0x8100, 0)]),
        tagged("priority tag with a priority", "r1 udp", vec![(0x8100, 0xe000)]),
        tagged("VLAN 5", "nothing", vec![(0x8100, 5)]),
        tagged("VLAN 4095", "nothing", vec![(0x8100, 0xfff)]),
        tagged("service tag 0", "r1 udp", vec![(0x88a8, 0)]),
        tagged("service tag 7", "nothing", vec![(0x88a8, 7)]),
        tagged("two tags", "nothing", vec![(0x88a8, 7), (0x8100, 5)]),
        tagged("two priority tags", "r1 udp", vec![(0x8100, 0), (0x8100, 0)]),
        frame("IPv6 with a priority tag", "r1 udp", |k| {
            Link { tags: vec![(0x8100, 0x2000)], ..k.link(0) }.around(ETHERTYPE_IPV6, &k.udp6().bytes())
        }),
        frame("a tag and nothing in it", "nothing", |k| {
            Link { tags: vec![(0x8100, 0)], ..k.link(0) }.around(ETHERTYPE_IPV4, &[])
        }),
        frame("802.3 with LLC", "nothing", |k| {
            k.link(0).around(38, &[&[0x42, 0x42, 3][..], &[0; 43]].concat())
        }),
        frame("802.3 with SNAP and IPv4 in it", "nothing", |k| {
            let packet = k.udp4().bytes();
            let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &packet].concat();
            k.link(0).around(snap.len() as u16, &snap)
        }),
        frame("LLDP", "nothing", |k| k.link(0).around(0x88cc, &[2, 7, 4, 2, 0, 0, 0, 0, 9])),
        frame("MPLS", "nothing", |k| {
            k.link(0).around(0x8847, &[&[0, 1, 1, 64][..], &k.udp4().bytes()].concat())
        }),
        frame("PPPoE", "nothing", |k| {
            k.link(0).around(0x8864, &[&[0x11, 0, 0, 1, 0, 50, 0, 33][..], &k.udp4().bytes()].concat())
        }),
        frame("an unknown ethertype", "nothing", |k| k.link(0).around(0x9999, &[1; 46])),
        frame("an IPv6 packet called IPv4", "nothing", |k| {
            k.link(0).around(ETHERTYPE_IPV4, &k.udp6().bytes())
        }),
        frame("an IPv4 packet called IPv6", "nothing", |k| {
            k.link(0).around(ETHERTYPE_IPV6, &k.udp4().bytes())
        }),
        frame("ARP for the router", "r0 arp reply", |k| ask(k, BROADCAST, [10, 10, 0, 1])),
        frame("ARP for the router, sent to it", "r0 arp reply", |k| ask(k, router_mac(0), [10, 10, 0, 1])),
        frame("ARP for another address of the router", "r0 arp reply", |k| ask(k, BROADCAST, [10, 11, 0, 1])),
        frame("ARP for a neighbor", "nothing", |k| ask(k, BROADCAST, [10, 10, 0, 3])),
        frame("ARP for what lies behind the router", "nothing", |k| ask(k, BROADCAST, [172, 21, 0, 1])),
        frame("ARP probe for the router's address", "r0 arp reply", |k| {
            let packet = arp(1, (neighbor_mac(0, 2), [0, 0, 0, 0].into()), ([0; 6], [10, 10, 0, 1].into()));
            Link { destination: BROADCAST, ..k.link(0) }.around(ETHERTYPE_ARP, &packet)
        }),
        frame("ARP answer nobody asked for", "nothing", |k| {
            let packet = arp(2, (STRANGER, [10, 10, 0, 77].into()), (router_mac(0), [10, 10, 0, 1].into()));
            k.link(0).around(ETHERTYPE_ARP, &packet)
        }),
        frame("ARP cut short", "nothing", |k| k.link(0).around(ETHERTYPE_ARP, &[0, 1, 8, 0, 6, 4, 0, 1])),
        frame("neighbor solicitation for the router", "r0 icmp6 136/0", |k| {
            solicit(k, Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 1))
        })
        .without_kernel("r0 icmp6 136/0", "a kernel that does not forward does not call itself a router"),
        frame("neighbor solicitation for a neighbor", "nothing", |k| {
            solicit(k, Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 3))
        }),
        Case::new("a permanent neighbor is not moved by its own ARP", "r1 udp", |k| {
            let claim = arp(1, (STRANGER, [10, 11, 0, 2].into()), ([0; 6], [10, 11, 0, 2].into()));
            let link = Link { destination: BROADCAST, source: STRANGER, ..k.link(1) };
            vec![Step::Send(1, link.around(ETHERTYPE_ARP, &claim)), Step::Send(0, k.frame4(&k.udp4()))]
        }),
    ]
}

fn to(name: &'static str, expected: &'static str, destination: Mac, packet: fn(Key) -> V4) -> Case {
    Case::new(name, expected, move |k| {
        let link = Link { destination, ..k.link(0) };
        vec![Step::Send(0, link.around(ETHERTYPE_IPV4, &packet(k).bytes()))]
    })
}

fn from(name: &'static str, expected: &'static str, source: Mac) -> Case {
    Case::new(name, expected, move |k| {
        let link = Link { source, ..k.link(0) };
        vec![Step::Send(0, link.around(ETHERTYPE_IPV4, &k.udp4().bytes()))]
    })
}

fn tagged(name: &'static str, expected: &'static str, tags: Vec<(u16, u16)>) -> Case {
    Case::new(name, expected, move |k| {
        let link = Link { tags: tags.clone(), ..k.link(0) };
        vec![Step::Send(0, link.around(ETHERTYPE_IPV4, &k.udp4().bytes()))]
    })
}

fn ask(k: Key, destination: Mac, address: [u8; 4]) -> Vec<u8> {
    let packet = arp(1, (neighbor_mac(0, 2), [10, 10, 0, 2].into()), ([0; 6], address.into()));
    Link { destination, ..k.link(0) }.around(ETHERTYPE_ARP, &packet)
}

/// A neighbor solicitation (RFC 4861 section 4.3) from the gateway on `r0`.
fn solicit(k: Key, target: Ipv6Addr) -> Vec<u8> {
    let option = [&[1, 1][..], &neighbor_mac(0, 2)].concat();
    let data = [target.octets().as_slice(), &option].concat();
    let message = Icmp { rest: [0; 4], data, ..k.echo(135) };
    let [.., high, middle, low] = target.octets();
    let packet = V6 {
        source: Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 2),
        destination: Ipv6Addr::new(
            0xff02,
            0,
            0,
            0,
            0,
            1,
            0xff00 | u16::from(high),
            u16::from(middle) << 8 | u16::from(low),
        ),
        hop_limit: 255,
        ..k.v6(Payload::Icmp(message))
    };
    let link = Link { destination: [0x33, 0x33, 0xff, high, middle, low], ..k.link(0) };
    link.around(ETHERTYPE_IPV6, &packet.bytes())
}
