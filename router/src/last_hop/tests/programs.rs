//! What programs of this host send: replies to flows that came from the network, and packets to be sent on.

use fib::adjacency::PortId;

use super::*;
use crate::packet::parse::parse;
use crate::port::Framing;

/// A router that is its own host, with programs behind its TUN device.
fn owned() -> Tabletop {
    let mut table = Tabletop::owned(&["r0", "r1"], true);
    lay(&mut table);
    table.shared().set_last_hop(everywhere());
    table
}

/// A program's packet, without a link header.
fn of_program(source: &str, destination: &str) -> Vec<u8> {
    Ends::to_port(0, source, destination).udp(b"from a program").split_off(14)
}

#[test]
fn a_programs_reply_goes_back_where_the_question_came_from() {
    let mut table = owned();
    let question = Ends { from: COMES_BY, ..Ends::to_port(1, CLIENT, "10.0.1.1:53") };
    table.pass(1, &question.udp(b"question")[..]);
    assert_eq!(table.take_at_host().len(), 1);
    table.send_from_host(&of_program("10.0.1.1:53", CLIENT)[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY]);
    table.send_from_host(&of_program("10.0.1.1:54", CLIENT)[..]);
    assert_eq!(sent_to(&mut table, 1), [ROUTED_BY], "what begins here is routed");
}

#[test]
fn without_any_route_a_reply_goes_back_all_the_same() {
    let mut table = owned();
    table.shared().set_last_hop(Settings {
        original_mark: "2".parse().ok(),
        reply_mark: "1".parse().ok(),
        ..Settings::default()
    });
    mark(&table, Point::Prerouting, |packet| packet.mark = 2);
    mark(&table, Point::Output, |packet| packet.mark = 1);
    table.unroute("0.0.0.0/0", "10.0.1.3", 1);
    let question = Ends { from: COMES_BY, ..Ends::to_port(1, CLIENT, "10.0.1.1:53") };
    table.pass(1, &question.udp(b"question")[..]);
    table.send_from_host(&of_program("10.0.1.1:53", CLIENT)[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY]);
    table.send_from_host(&of_program("10.0.1.1:54", CLIENT)[..]);
    assert!(sent_to(&mut table, 1).is_empty());
    assert_eq!(table.counters().drops(crate::drops::DropReason::NoRoute), 1);
}

#[test]
fn errors_find_their_way_without_a_route() {
    let mut table = owned();
    table.shared().set_last_hop(Settings { original_mark: "2".parse().ok(), ..everywhere() });
    mark(&table, Point::Prerouting, |packet| packet.mark = 2);
    table.unroute("0.0.0.0/0", "10.0.1.3", 1);
    let late = Ends { from: COMES_BY, ..Ends::to_port(1, CLIENT, SERVICE) }.with_ttl(1);
    table.pass(1, &late.udp(b"question")[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY], "time exceeded");
}

#[test]
fn a_ping_is_answered_where_it_came_from() {
    let mut table = owned();
    let ping = Ends { from: COMES_BY, ..Ends::to_port(1, "192.0.2.7:7", "10.0.1.1:7") };
    table.pass(1, &ping.echo(1)[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY]);
    // And without any route, where a mark says so.
    table.unroute("0.0.0.0/0", "10.0.1.3", 1);
    table.pass(1, &ping.echo(2)[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY]);
    table.shared().set_last_hop(Settings::default());
    table.pass(1, &ping.echo(3)[..]);
    assert!(sent_to(&mut table, 1).is_empty());
}

/// Has the last hops learn of a packet that a bridge has pulled up, which was on its way to `to`.
fn pull_up(table: &Tabletop, from: Mac, to: Mac) {
    let shared = table.shared();
    let bytes = Ends { from, to, ..Ends::to_port(1, CLIENT, SERVICE) }.udp(b"question");
    let parsed = parse(&bytes, Framing::Ethernet).expect("a sound packet");
    let mut frame = crate::frame::Frame::empty();
    frame.copy_from(&bytes);
    frame.input = PortId(1);
    let mut packet = Packet::new(frame, parsed.network, crate::engine::LinkTarget::Host, parsed.ip);
    packet.mark = 2;
    let datagram = crate::hooks::datagram(&packet);
    let conntrack::Tracked::Flow { flow, .. } = shared.flows.track(&datagram, table.now()) else {
        panic!("a flow")
    };
    let routing = table.assembly.writer.reader();
    let routing = routing.load();
    let around = Around { routing: &routing, counters: table.counters(), now: table.now() };
    shared.last_hops.learn(&packet, &flow, &around);
}

#[test]
fn a_programs_packets_with_the_mark_go_on_to_where_the_newest_was_going() {
    let mut table = owned();
    table.shared().set_last_hop(Settings { original_mark: "2".parse().ok(), ..Settings::default() });
    mark(&table, Point::Output, |packet| {
        packet.mark = if packet.header.source_port == 1194 { 2 } else { 0 };
    });
    let send = |table: &mut Tabletop| {
        table.send_from_host(&of_program("10.0.1.1:1194", "198.51.100.1:1194")[..]);
        sent_to(table, 1)
    };
    assert_eq!(send(&mut table), [ROUTED_BY], "nothing is known yet");
    pull_up(&table, COMES_BY, SUCCESSOR);
    assert_eq!(send(&mut table), [SUCCESSOR]);
    table.send_from_host(&of_program("10.0.1.1:1195", "198.51.100.1:1194")[..]);
    assert_eq!(sent_to(&mut table, 1), [ROUTED_BY], "without the mark");
    pull_up(&table, SUCCESSOR, COMES_BY);
    assert_eq!(send(&mut table), [COMES_BY]);
    // The router's own address and groups are nothing to go on to.
    pull_up(&table, SUCCESSOR, crate::tabletop::port_mac(0));
    pull_up(&table, SUCCESSOR, Mac([0xff; 6]));
    assert_eq!(send(&mut table), [COMES_BY]);
    assert_eq!(table.counters().last_hop_programs.get(), 3);
}

#[test]
fn where_programs_go_on_to_is_followed_and_given_up_like_where_flows_come_from() {
    let mut table = owned();
    table.shared().set_last_hop(Settings { original_mark: "2".parse().ok(), ..Settings::default() });
    mark(&table, Point::Output, |packet| packet.mark = 2);
    let send = |table: &mut Tabletop| {
        table.send_from_host(&of_program("10.0.1.1:1194", "198.51.100.1:1194")[..]);
        sent_to(table, 1)
    };
    table.pass(1, &announcement(SUCCESSOR, [10, 0, 1, 254], [10, 0, 1, 254])[..]);
    table.neighbor(1, "10.0.1.254", Some(SUCCESSOR.0));
    pull_up(&table, SERVER, SUCCESSOR);
    tend(&table);
    assert_eq!(send(&mut table), [SUCCESSOR]);
    table.neighbor(1, "10.0.1.254", Some(COMES_BY.0));
    assert_eq!(send(&mut table), [COMES_BY]);
    table.advance(Duration::from_secs(4));
    table.neighbor(1, "10.0.1.254", None);
    assert_eq!(send(&mut table), [ROUTED_BY]);
}
