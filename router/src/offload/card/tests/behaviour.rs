//! What the card forwards, what it leaves to the walk, and when it gives up.

use std::time::Duration;

use conntrack::{Cursor, Status};
use fib::adjacency::LinkIndex;
use fib::change::{Change, NeighborEntry, NeighborState};
use smoltcp::wire::TcpControl;

use super::world::{DROP, GATEWAYS, NEXT_HOPS, SERVERS, World, ends, shake_hands};
use crate::engine::FlowCache;
use crate::offload::Invalidation;
use crate::tabletop::frames::Ends;

const TRANSLATE: &str = "
table inet nat {
    chain pre {
        type nat hook prerouting priority dstnat
        ip daddr 192.0.2.10 dnat ip to 192.0.2.9
    }
    chain post {
        type nat hook postrouting priority srcnat
        oifname { r1, r2 } masquerade
    }
}
";

/// A world in which UDP of both directions is the card's.
fn running(ipv6: bool) -> (World, [Ends; 2]) {
    let mut world = World::new(true);
    let ends = ends(2, ipv6);
    for _ in 0..2 {
        world.pass(0, &ends[0].udp(b"question")[..]);
        world.pass(1, &ends[1].udp(b"answer")[..]);
    }
    assert_eq!(world.card.as_ref().unwrap().len(), 2);
    (world, ends)
}

/// Whether the card has forwarded what `step` sends.
fn by_card(world: &mut World, step: impl FnOnce(&mut World)) -> bool {
    let before = world.offloaded();
    step(world);
    world.offloaded() > before
}

#[test]
fn the_first_packet_is_walked_and_those_that_follow_are_not() {
    for ipv6 in [false, true] {
        let mut world = World::new(true);
        let [there, _] = ends(2, ipv6);
        let frame = there.udp(b"hello");
        let first = world.pass(0, &frame[..]);
        assert_eq!(world.offloaded(), 0);
        let second = world.pass(0, &frame[..]);
        assert_eq!(world.offloaded(), 1);
        assert_eq!(first, second);
        let counters = world.table.counters();
        assert_eq!((counters.received.get(), counters.forwarded.get(), counters.stolen.get()), (2, 2, 0));
        let page = world.table.shared().flows.list(Cursor::default(), 1, world.table.now(), |_| true);
        assert!(page.conns[0].status().contains(Status::OFFLOAD));
    }
}

#[test]
fn a_reply_makes_the_original_direction_another_matter() {
    let mut world = World::new(true);
    let [there, back] = ends(2, false);
    for _ in 0..2 {
        world.pass(0, &there.udp(b"question")[..]);
    }
    assert_eq!((world.offloaded(), world.card.as_ref().unwrap().len()), (1, 1));
    world.pass(1, &back.udp(b"answer")[..]);
    assert_eq!(world.card.as_ref().unwrap().len(), 1, "the reply direction alone");
    assert!(!by_card(&mut world, |world| drop(world.pass(0, &there.udp(b"question")[..]))));
    assert!(by_card(&mut world, |world| drop(world.pass(0, &there.udp(b"question")[..]))));
}

#[test]
fn a_stream_is_the_cards_between_its_handshake_and_its_end() {
    for ipv6 in [false, true] {
        let mut world = World::new(true);
        let [there, back] = ends(2, ipv6);
        shake_hands(&mut world, [there, back]);
        assert_eq!(world.offloaded(), 0);
        // The first packet each way that is worth it makes the flow an assured one, and is walked.
        world.pass(1, &back.tcp(TcpControl::None, 1, Some(1), b"")[..]);
        world.pass(0, &there.tcp(TcpControl::None, 1, Some(1), b"")[..]);
        let before = world.offloaded();
        world.pass(0, &there.tcp(TcpControl::Psh, 1, Some(1), b"question")[..]);
        world.pass(1, &back.tcp(TcpControl::Psh, 1, Some(9), b"answer")[..]);
        world.pass(0, there.tcp_super_packet(9, 7, &[7; 14_000], 1400));
        assert_eq!(world.offloaded(), before + 3);
        world.pass(0, &there.tcp(TcpControl::Fin, 14_009, Some(7), b"")[..]);
        assert_eq!(world.offloaded(), before + 3);
        assert_eq!(world.table.counters().dropped.get(), 0);
        assert_eq!(world.table.counters().invalid_packets.get(), 0);
    }
}

#[test]
fn what_is_translated_is_rewritten_as_the_walk_does_it() {
    let mut worlds = [World::new(true), World::new(false)];
    worlds.iter_mut().for_each(|world| world.load(TRANSLATE));
    let there = Ends::to_port(0, "10.0.0.2:1000", "192.0.2.10:80");
    let back = Ends::to_port(1, "192.0.2.9:80", "10.0.1.1:1000");
    for _ in 0..3 {
        let [card, walk] = worlds.each_mut().map(|world| {
            (world.pass(0, &there.udp(b"question")[..]), world.pass(1, &back.udp(b"answer")[..]))
        });
        assert_eq!(card, walk);
        assert_eq!((card.0[1].len(), card.1[0].len()), (1, 1));
    }
    assert_eq!(worlds[0].offloaded(), 3);
}

#[test]
fn odd_packets_are_walked() {
    let (mut world, [there, _]) = running(false);
    let walked = |world: &mut World, frame: Vec<u8>| !by_card(world, |world| drop(world.pass(0, &frame[..])));
    assert!(walked(&mut world, there.with_ttl(1).udp(b"hello")), "an ICMP error is due");
    assert!(!walked(&mut world, there.with_ttl(2).udp(b"hello")));
    let mut many = there.udp(b"hello");
    many[..6].fill(0xff);
    assert!(walked(&mut world, many), "sent to everybody on the link");
    let mut fragment = there.udp(b"hello");
    fragment[20] = 0x20;
    crate::packet::ipv4::write_checksum(&mut fragment[14..]);
    assert!(walked(&mut world, fragment), "the first of several");
    world.set_link(1, true, 1400);
    world.pass(0, &there.udp(b"hello")[..]);
    assert!(!walked(&mut world, there.udp(&[0; 1372])));
    assert!(walked(&mut world, there.udp(&[0; 1373])), "too large");
    let mut elsewhere = there;
    elsewhere.to = crate::tabletop::port_mac(2);
    assert!(
        !by_card(&mut world, |world| drop(world.pass(2, &elsewhere.udp(b"hello")[..]))),
        "another port of entry"
    );
}

#[test]
fn a_new_link_address_holds_with_the_next_packet_and_a_lost_neighbor_ends_it() {
    let (mut world, [there, _]) = running(false);
    let mac = [2, 0, 0, 0, 2, 9];
    world.table.neighbor(1, NEXT_HOPS[0][0], Some(mac));
    let mut left = Vec::new();
    assert!(by_card(&mut world, |world| left = world.pass(0, &there.udp(b"hello")[..])[1].clone()));
    assert_eq!(left[0].bytes[..6], mac);
    let stale = NeighborEntry {
        link: LinkIndex(2),
        address: NEXT_HOPS[0][0].parse().unwrap(),
        state: NeighborState::Stale,
        mac: Some(fib::adjacency::Mac(mac)),
    };
    world.table.apply([Change::Neighbor(stale)]);
    assert!(!by_card(&mut world, |world| drop(world.pass(0, &there.udp(b"hello")[..]))));
    assert_eq!(world.table.questions().len(), 1, "the walk has it confirmed");
    assert_eq!(world.card.as_ref().unwrap().len(), 2);
    world.table.neighbor(1, NEXT_HOPS[0][0], None);
    assert_eq!(world.card.as_ref().unwrap().len(), 1);
    world.table.neighbor(1, NEXT_HOPS[0][0], Some(GATEWAYS[0]));
    assert!(!by_card(&mut world, |world| drop(world.pass(0, &there.udp(b"hello")[..]))));
    assert!(by_card(&mut world, |world| drop(world.pass(0, &there.udp(b"hello")[..]))));
}

#[test]
fn a_changed_route_holds_with_the_next_packet() {
    let (mut world, [there, _]) = running(false);
    world.table.unroute(SERVERS[0], NEXT_HOPS[0][0], 1);
    world.table.route(SERVERS[0], NEXT_HOPS[1][0], 2);
    assert_eq!(world.card.as_ref().unwrap().len(), 1, "the other direction goes on");
    for expected in [false, true] {
        let mut left = Default::default();
        assert_eq!(by_card(&mut world, |world| left = world.pass(0, &there.udp(b"hello")[..])), expected);
        let left: [Vec<_>; 3] = left;
        assert_eq!((left[1].len(), left[2].len()), (0, 1));
    }
}

#[test]
fn rules_switches_and_ends_take_flows_back() {
    type Change = fn(&mut World);
    let changes: [Change; 5] = [
        |world| world.load(DROP),
        |world| world.table.shared().set_flow_cache(FlowCache::Off),
        |world| assert!(world.table.shared().flows.flush() > 0),
        |world| world.table.advance(Duration::from_secs(3600)),
        |world| world.set_link(1, false, 1500),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (mut world, [there, _]) = running(false);
        change(&mut world);
        let card = world.card.clone().unwrap();
        assert!(card.len() <= usize::from(index == 4), "change {index}");
        assert_eq!(card.len(), world.table.shared().offloads.len());
        assert!(
            !by_card(&mut world, |world| drop(world.pass(0, &there.udp(b"hello")[..]))),
            "change {index}"
        );
    }
}

#[test]
fn rules_before_tracking_and_hooks_that_want_every_packet_keep_flows_from_the_card() {
    for point in ["prerouting priority raw", "prerouting priority -600"] {
        let mut world = World::new(true);
        world.load(&format!("table ip t {{\n chain c {{\n type filter hook {point}\n }}\n }}\n"));
        let [there, _] = ends(2, false);
        for _ in 0..3 {
            world.pass(0, &there.udp(b"hello")[..]);
        }
        assert_eq!(world.offloaded(), 0, "{point}");
        let [there, _] = ends(2, true);
        for _ in 0..3 {
            world.pass(0, &there.udp(b"hello")[..]);
        }
        assert_eq!(world.offloaded(), 2, "the other family has no rules");
    }
}

#[test]
fn a_flow_is_given_up_alone() {
    let (mut world, [there, _]) = running(false);
    let other = ends(3, false)[0];
    for _ in 0..2 {
        world.pass(0, &other.udp(b"hello")[..]);
    }
    let card = world.card.clone().unwrap();
    assert_eq!(card.len(), 3);
    let source = there.source.ip();
    let is_its = |conn: &crate::flow::Conn| conn.tuple(conntrack::Direction::Original).source() == source;
    let page = world.table.shared().flows.list(Cursor::default(), 1, world.table.now(), is_its);
    world.table.shared().offloads.void_flow(&page.conns[0], Invalidation::FlowCache);
    assert_eq!((card.len(), world.table.shared().offloads.len()), (1, 1));
    assert!(!page.conns[0].status().contains(Status::OFFLOAD));
    assert!(by_card(&mut world, |world| drop(world.pass(0, &other.udp(b"hello")[..]))));
    assert!(!by_card(&mut world, |world| drop(world.pass(0, &there.udp(b"hello")[..]))));
}

#[test]
fn what_finds_no_room_is_walked() {
    let mut world = World::new(false);
    let card = world.table.insert_card(3);
    for _ in 0..3 {
        for client in 2..6 {
            let left = world.pass(0, &ends(client, false)[0].udp(b"hello")[..]);
            assert_eq!(left[1].len(), 1);
        }
    }
    assert_eq!(card.len(), 3);
    assert_eq!(world.offloaded(), 6);
    world.table.shared().flows.flush();
    assert!(card.is_empty() && world.table.shared().offloads.is_empty());
}

#[test]
fn a_card_that_is_taken_out_leaves_nothing_behind() {
    let (mut world, [there, _]) = running(false);
    let card = world.card.take().unwrap();
    card.clone().remove(world.table.shared()).unwrap();
    assert!(card.is_empty() && !world.table.shared().offloads.listens());
    assert!(!by_card(&mut world, |world| drop(world.pass(0, &there.udp(b"hello")[..]))));
    let page = world.table.shared().flows.list(Cursor::default(), 1, world.table.now(), |_| true);
    assert!(!page.conns[0].status().contains(Status::OFFLOAD));
    assert!(card.remove(world.table.shared()).is_err());
}
