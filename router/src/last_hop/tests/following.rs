//! Gateways that move, take over, and die.

use fib::change::{Change, Link};

use super::*;
use crate::tabletop::link;

/// What both gateways share.
const SHARED: &str = "10.0.1.254";

/// A table whose gateway by which questions come is known to be 10.0.1.2.
fn known() -> Tabletop {
    let mut table = answering_table();
    ask(&mut table, COMES_BY);
    tend(&table);
    table
}

fn group(macs: &[Mac], addresses: &[&str]) -> Settings {
    let group = Group {
        name: "upstream".into(),
        port: PortId(1),
        macs: macs.to_vec(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    };
    Settings { groups: vec![group], ..everywhere() }
}

#[test]
fn a_flow_follows_its_gateway_to_another_link_address() {
    let mut table = known();
    assert_eq!(answered(&mut table), [COMES_BY]);
    table.neighbor(1, "10.0.1.2", Some(SUCCESSOR.0));
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    let address = "10.0.1.2".parse().unwrap();
    assert_eq!(news(&table), [What::Followed { address, to: SUCCESSOR }], "it is told once");
    assert_eq!(table.counters().last_hop_learned.get(), 1, "no flow was touched");
}

#[test]
fn a_host_on_the_link_is_its_own_neighbor() {
    let mut table = answering_table();
    let host = Ends { from: SUCCESSOR, ..Ends::to_port(1, "10.0.1.77:1000", SERVICE) };
    table.neighbor(1, "10.0.1.77", Some(SUCCESSOR.0));
    // Another address of the same host moves elsewhere.
    table.pass(1, &announcement(SUCCESSOR, [10, 0, 1, 254], [10, 0, 1, 254])[..]);
    table.pass(1, &host.udp(b"question")[..]);
    table.neighbor(1, SHARED, Some(COMES_BY.0));
    let reply = Ends { from: SERVER, ..Ends::to_port(0, SERVICE, "10.0.1.77:1000") };
    table.pass(0, &reply.udp(b"answer")[..]);
    assert_eq!(sent_to(&mut table, 1), [SUCCESSOR]);
    table.neighbor(1, "10.0.1.77", Some(ROUTED_BY.0));
    table.pass(0, &reply.udp(b"answer")[..]);
    assert_eq!(sent_to(&mut table, 1), [ROUTED_BY]);
}

#[test]
fn of_a_gateways_addresses_the_announced_one_is_followed() {
    let mut table = answering_table();
    // It asks for the router under its own address, and has announced the shared one.
    table.pass(1, &announcement(COMES_BY, [10, 0, 1, 2], [10, 0, 1, 1])[..]);
    table.pass(1, &announcement(COMES_BY, [10, 0, 1, 254], [10, 0, 1, 254])[..]);
    table.neighbor(1, SHARED, Some(COMES_BY.0));
    ask(&mut table, COMES_BY);
    tend(&table);
    assert_eq!(rows(&table)[0].neighbor.map(|bound| bound.address), SHARED.parse().ok());
    assert_eq!(answered(&mut table), [COMES_BY]);

    table.pass(1, &announcement(SUCCESSOR, [10, 0, 1, 254], [10, 0, 1, 254])[..]);
    table.neighbor(1, SHARED, Some(SUCCESSOR.0));
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    // The client's next packet comes by the successor, which is known as the shared address from the start.
    ask(&mut table, SUCCESSOR);
    let row = rows(&table).into_iter().find(|row| row.source == SUCCESSOR).unwrap();
    assert_eq!(
        row.neighbor.map(|bound| (bound.address, bound.rank)),
        Some((SHARED.parse().unwrap(), Rank::Virtual))
    );
    assert_eq!(answered(&mut table), [SUCCESSOR]);
}

#[test]
fn a_gateway_that_still_speaks_after_its_address_has_moved_keeps_its_flows() {
    let mut table = answering_table();
    table.pass(1, &announcement(COMES_BY, [10, 0, 1, 254], [10, 0, 1, 254])[..]);
    table.neighbor(1, SHARED, Some(COMES_BY.0));
    ask(&mut table, COMES_BY);
    table.neighbor(1, SHARED, Some(SUCCESSOR.0));
    table.pass(1, &announcement(SUCCESSOR, [10, 0, 1, 254], [10, 0, 1, 254])[..]);
    // A straggler changes nothing; who goes on is where the flow comes from.
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    for _ in 0..4 {
        table.advance(Duration::from_millis(1_100));
        ask(&mut table, COMES_BY);
    }
    assert_eq!(answered(&mut table), [COMES_BY]);
}

/// A virtual router's advertisement, from a link address of its own.
fn advertisement(mac: Mac, speaker: u8, priority: u8) -> Vec<u8> {
    let mut frame = vec![0x01, 0, 0x5e, 0, 0, 0x12];
    frame.extend(mac.0);
    frame.extend([8, 0, 0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 1, speaker, 224, 0, 0, 18]);
    crate::packet::ipv4::write_checksum(&mut frame[14..34]);
    frame.extend([0x31, 51, priority, 1, 0, 100, 0, 0, 10, 0, 1, 254]);
    frame
}

#[test]
fn a_virtual_router_is_answered_at_its_virtual_address_although_its_packets_come_from_another() {
    const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, 51]);
    let mut table = answering_table();
    table.pass(1, &announcement(COMES_BY, [10, 0, 1, 2], [10, 0, 1, 1])[..]);
    table.pass(1, &advertisement(VIRTUAL, 2, 100)[..]);
    table.neighbor(1, SHARED, Some(VIRTUAL.0));
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [VIRTUAL]);
    assert_eq!(news(&table), [], "nothing has moved");
    // It hands over, and speaks on for itself.
    table.pass(1, &announcement(SUCCESSOR, [10, 0, 1, 3], [10, 0, 1, 1])[..]);
    for _ in 0..12 {
        table.advance(Duration::from_secs(1));
        table.pass(1, &advertisement(VIRTUAL, 3, 100)[..]);
        ask(&mut table, COMES_BY);
    }
    assert_eq!(answered(&mut table), [COMES_BY]);
}

#[test]
fn a_virtual_router_that_speaks_from_its_own_address_is_answered_at_the_virtual_one() {
    const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, 51]);
    let mut table = answering_table();
    table.pass(1, &advertisement(COMES_BY, 2, 100)[..]);
    table.neighbor(1, SHARED, Some(VIRTUAL.0));
    for _ in 0..5 {
        table.advance(Duration::from_secs(1));
        table.pass(1, &advertisement(COMES_BY, 2, 100)[..]);
        ask(&mut table, COMES_BY);
        assert_eq!(answered(&mut table), [VIRTUAL]);
        table.pass(1, &announcement(VIRTUAL, [10, 0, 1, 254], [10, 0, 1, 254])[..]);
    }
    assert_eq!(news(&table), [], "nothing has moved");
    // Its successor has the same virtual address.
    table.pass(1, &advertisement(SUCCESSOR, 3, 100)[..]);
    ask(&mut table, SUCCESSOR);
    assert_eq!(answered(&mut table), [VIRTUAL]);
}

#[test]
fn what_is_virtual_in_one_family_takes_no_packets_of_the_other() {
    const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, 51]);
    let mut table = answering_table();
    table.pass(1, &advertisement(COMES_BY, 2, 100)[..]);
    table.neighbor(1, SHARED, Some(VIRTUAL.0));
    let (client, service) = ("[2001:db8::7]:1000", "[fd00::2]:80");
    let question = Ends { from: COMES_BY, ..Ends::to_port(1, client, service) };
    table.pass(1, &question.udp(b"question")[..]);
    table.take(0);
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [VIRTUAL]);
    let answer = Ends { from: SERVER, ..Ends::to_port(0, service, client) };
    table.pass(0, &answer.udp(b"answer")[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY]);
}

#[test]
fn a_port_that_goes_down_leaves_the_reply_to_routing() {
    let mut table = known();
    table.address(0, "10.0.9.1/24");
    table.neighbor(0, "10.0.9.9", Some(SUCCESSOR.0));
    table.apply([Change::Link(Link { admin_up: false, ..link(1, "r1") })]);
    table.route("192.0.2.0/24", "10.0.9.9", 0);
    assert!(answered(&mut table).is_empty());
    assert!(sent_to(&mut table, 0).contains(&SUCCESSOR));
    assert_eq!(news(&table), [What::Dead(Dead::PortDown)]);
    assert_eq!(table.counters().last_hop_dead.get(), 1);
    table.apply([Change::Link(link(1, "r1"))]);
    assert_eq!(answered(&mut table), [COMES_BY]);
    assert_eq!(news(&table), [What::Alive]);
}

#[test]
fn a_gateway_that_does_not_answer_any_more_is_given_up_until_it_speaks() {
    let mut table = known();
    table.neighbor(1, "10.0.1.2", None);
    assert_eq!(answered(&mut table), [COMES_BY], "it has spoken just now");
    table.advance(Duration::from_secs(4));
    table.neighbor(1, "10.0.1.2", None);
    assert_eq!(answered(&mut table), [ROUTED_BY]);
    assert_eq!(answered(&mut table), [ROUTED_BY]);
    assert_eq!(news(&table), [What::Dead(Dead::NeighborFailed)], "it is told once");
    assert_eq!(rows(&table)[0].dead, Some(Dead::NeighborFailed));
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [COMES_BY]);
    assert_eq!(news(&table), [What::Alive]);
}

#[test]
fn while_its_neighbor_is_not_known_its_own_address_is_used_and_the_neighbor_asked_for() {
    let mut table = answering_table();
    table.pass(1, &announcement(SUCCESSOR, [10, 0, 1, 9], [10, 0, 1, 9])[..]);
    ask(&mut table, SUCCESSOR);
    table.questions();
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    assert_eq!(table.questions(), [(PortId(1), "10.0.1.9".parse().unwrap())]);
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    assert!(table.questions().is_empty(), "once a second");
}

#[test]
fn a_gateway_of_which_nothing_is_known_is_given_up_after_a_while_of_silence() {
    let mut table = answering_table();
    let idle = Duration::from_secs(10);
    table.shared().set_last_hop(Settings { idle, ..everywhere() });
    ask(&mut table, SUCCESSOR);
    table.advance(idle);
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    table.advance(Duration::from_secs(1));
    assert_eq!(answered(&mut table), [ROUTED_BY]);
    assert_eq!(news(&table), [What::Dead(Dead::Unanswered)]);
    // Any frame of it will do.
    table.pass(1, &announcement(SUCCESSOR, [10, 0, 1, 9], [10, 0, 1, 1])[..]);
    assert_eq!(answered(&mut table), [SUCCESSOR]);

    table.shared().set_last_hop(Settings { idle: Duration::ZERO, ..everywhere() });
    ask(&mut table, Mac([2, 0, 0, 0, 3, 9]));
    table.advance(Duration::from_secs(29));
    assert_eq!(answered(&mut table), [Mac([2, 0, 0, 0, 3, 9])], "for ever, if the user says so");
}

#[test]
fn another_of_its_group_stands_in_for_a_dead_gateway() {
    let mut table = answering_table();
    let idle = Duration::from_secs(10);
    table.shared().set_last_hop(Settings { idle, ..group(&[COMES_BY, SUCCESSOR], &[]) });
    ask(&mut table, COMES_BY);
    tend(&table);
    let other = Ends { from: SUCCESSOR, ..Ends::to_port(1, "192.0.2.8:1", SERVICE) };
    table.advance(Duration::from_secs(4));
    table.pass(1, &other.udp(b"question")[..]);
    assert_eq!(answered(&mut table), [COMES_BY]);
    table.neighbor(1, "10.0.1.2", None);
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    assert_eq!(news(&table), [What::Replaced { dead: Dead::NeighborFailed, by: SUCCESSOR }]);
    assert_eq!(table.counters().last_hop_dead.get(), 0);
    table.advance(Duration::from_secs(11));
    assert_eq!(answered(&mut table), [ROUTED_BY], "when nobody of them is alive");
    assert_eq!(rows(&table)[0].group.as_deref(), Some("upstream"));
}

#[test]
fn a_virtual_address_of_a_group_stands_in_without_having_been_heard() {
    const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, 51]);
    let mut table = answering_table();
    table.shared().set_last_hop(group(&[COMES_BY, VIRTUAL], &[]));
    ask(&mut table, COMES_BY);
    tend(&table);
    table.advance(Duration::from_secs(4));
    table.neighbor(1, "10.0.1.2", None);
    assert_eq!(answered(&mut table), [VIRTUAL]);
}

#[test]
fn a_declared_address_is_what_all_of_a_group_stand_for() {
    let mut table = answering_table();
    table.shared().set_last_hop(group(&[COMES_BY, SUCCESSOR], &[SHARED]));
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [COMES_BY]);
    assert!(table.questions().contains(&(PortId(1), SHARED.parse().unwrap())), "it is asked for");
    table.neighbor(1, SHARED, Some(SUCCESSOR.0));
    assert_eq!(answered(&mut table), [SUCCESSOR], "who has it now is answered");
}

#[test]
fn a_flood_of_claims_takes_bounded_room_and_drives_out_nothing() {
    let mut table = answering_table();
    table.pass(1, &announcement(COMES_BY, [10, 0, 1, 254], [10, 0, 1, 254])[..]);
    table.neighbor(1, SHARED, Some(COMES_BY.0));
    for number in 0..SIGHTS_MAX as u32 + 100 {
        let [_, high, middle, low] = number.to_be_bytes();
        let claim = announcement(Mac([2, 9, 9, high, middle, low]), [10, 7, middle, low], [10, 0, 1, 1]);
        table.pass(1, &claim[..]);
        // And of one link address thousands of addresses.
        let claim = announcement(COMES_BY, [10, 8, middle, low], [10, 0, 1, 1]);
        table.pass(1, &claim[..]);
    }
    assert!(table.shared().last_hops.claims_refused() >= 100);
    ask(&mut table, COMES_BY);
    assert_eq!(rows(&table)[0].neighbor.map(|bound| bound.address), SHARED.parse().ok());
}
