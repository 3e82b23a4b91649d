//! Which packets tell where a flow comes from, and which go back.

use smoltcp::wire::TcpControl;

use super::*;
use crate::hooks::{Nat, NatChain};
use crate::nat::{Flags, masquerade};
use crate::port::memory::Settings as PortSettings;
use crate::port::{Framing, Offloads};
use crate::tabletop::{Blueprint, port_mac};

#[test]
fn without_it_a_reply_takes_the_route_and_with_it_goes_back_where_the_flow_came_from() {
    let mut plain = table();
    ask(&mut plain, COMES_BY);
    assert_eq!(answered(&mut plain), [ROUTED_BY]);

    let mut table = answering_table();
    ask(&mut table, COMES_BY);
    table.pass(0, &answer().udp(b"answer")[..]);
    let mut expected = answer().with_ttl(63);
    (expected.from, expected.to) = (port_mac(1), COMES_BY);
    let left: Vec<_> = table.take(1).into_iter().map(|parcel| parcel.bytes).collect();
    assert_eq!(left, [expected.udp(b"answer")], "routed in everything but the way");
    assert_eq!(table.counters().last_hop_replies.get(), 1);
}

#[test]
fn both_families_share_a_gateway() {
    let mut table = answering_table();
    let (client, service) = ("[2001:db8::7]:1000", "[fd00::2]:80");
    let question = Ends { from: COMES_BY, ..Ends::to_port(1, client, service) };
    table.pass(1, &question.udp(b"question")[..]);
    table.take(0);
    let answer = Ends { from: SERVER, ..Ends::to_port(0, service, client) };
    table.pass(0, &answer.udp(b"answer")[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY]);
    ask(&mut table, COMES_BY);
    assert_eq!(rows(&table).len(), 1);
}

#[test]
fn each_flow_goes_back_its_own_way_and_a_flow_that_comes_another_way_follows() {
    let mut table = answering_table();
    ask(&mut table, COMES_BY);
    let other = Ends { from: SUCCESSOR, ..Ends::to_port(1, "192.0.2.8:1", SERVICE) };
    table.pass(1, &other.udp(b"question")[..]);
    table.take(0);
    assert_eq!(answered(&mut table), [COMES_BY]);
    ask(&mut table, ROUTED_BY);
    assert_eq!(answered(&mut table), [ROUTED_BY]);
    ask(&mut table, SUCCESSOR);
    assert_eq!(answered(&mut table), [SUCCESSOR]);
    assert_eq!(table.counters().last_hop_learned.get(), 4);
    assert_eq!(rows(&table).len(), 3);
}

#[test]
fn packets_that_come_as_before_are_compared_and_nothing_else() {
    let mut table = answering_table();
    for _ in 0..10 {
        ask(&mut table, COMES_BY);
        assert_eq!(answered(&mut table), [COMES_BY]);
    }
    assert_eq!(table.counters().last_hop_learned.get(), 1);
}

#[test]
fn a_reply_teaches_nothing() {
    let mut table = answering_table();
    ask(&mut table, COMES_BY);
    // Of a reply with a false source on the link, and of one that comes by the other port.
    for (port, from) in [(0, SUCCESSOR), (1, SUCCESSOR)] {
        let forged = Ends { from, ..Ends::to_port(port, SERVICE, CLIENT) };
        table.pass(port, &forged.udp(b"forged")[..]);
        table.take(1);
    }
    assert_eq!(answered(&mut table), [COMES_BY]);
    assert_eq!((table.counters().last_hop_learned.get(), rows(&table).len()), (1, 1));
}

#[test]
fn an_error_about_a_flow_teaches_nothing_and_finds_the_way_back() {
    let mut table = answering_table();
    ask(&mut table, COMES_BY);
    // The server's host says that nobody listens; it quotes the question.
    let question = question_by(COMES_BY).with_ttl(63).udp(b"question");
    let mut error = Ends { from: SERVER, ..Ends::to_port(0, "10.0.0.2:0", "192.0.2.7:0") }.udp(&[0; 100]);
    error.truncate(34);
    error.extend([3, 3, 0, 0, 0, 0, 0, 0]);
    error.extend(&question[14..]);
    let sum = internet_checksum(&error[34..]);
    error[36..38].copy_from_slice(&sum.to_be_bytes());
    error[23] = 1;
    let total = (error.len() - 14) as u16;
    error[16..18].copy_from_slice(&total.to_be_bytes());
    crate::packet::ipv4::write_checksum(&mut error[14..]);
    table.pass(0, &error[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY]);
    assert_eq!(rows(&table).len(), 1);
}

fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

#[test]
fn an_error_of_the_routers_own_goes_back_too() {
    let mut table = answering_table();
    let mut question = question_by(COMES_BY);
    question.ttl = 1;
    table.pass(1, &question.udp(b"question")[..]);
    assert_eq!(sent_to(&mut table, 1), [COMES_BY], "time exceeded");
}

#[test]
fn marks_choose_who_tells_and_who_goes_back() {
    let settings = Settings {
        original_mark: "0x2/0x2".parse().ok(),
        reply_mark: "0x1/0x1".parse().ok(),
        ..Settings::default()
    };
    for (original, reply, expected) in
        [(2, 1, COMES_BY), (6, 5, COMES_BY), (0, 1, ROUTED_BY), (2, 0, ROUTED_BY), (1, 2, ROUTED_BY)]
    {
        let mut table = table();
        table.shared().set_last_hop(settings.clone());
        mark(&table, Point::Prerouting, move |packet| {
            packet.mark = if packet.input() == PortId(1) { original } else { reply };
        });
        ask(&mut table, COMES_BY);
        assert_eq!(answered(&mut table), [expected], "marks {original} and {reply}");
        let learned = u64::from(original & 2 == 2);
        assert_eq!(table.counters().last_hop_learned.get(), learned);
    }
}

#[test]
fn a_port_is_switched_by_itself() {
    let mut table = table();
    table.shared().set_last_hop(Settings { ports: vec![PortId(0)], ..Settings::default() });
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [ROUTED_BY]);
    table.shared().set_last_hop(Settings { ports: vec![PortId(1)], ..Settings::default() });
    assert_eq!(answered(&mut table), [ROUTED_BY], "the flow has told nothing yet");
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [COMES_BY]);
    table.shared().set_last_hop(Settings::default());
    assert_eq!(answered(&mut table), [ROUTED_BY], "what is remembered is not used any more");
}

#[test]
fn a_source_that_cannot_be_tells_nothing_unless_a_mark_says_so() {
    let mut table = answering_table();
    table.unroute("0.0.0.0/0", "10.0.1.3", 1);
    ask(&mut table, COMES_BY);
    assert_eq!((rows(&table).len(), table.counters().last_hop_refused.get()), (0, 1));
    assert!(answered(&mut table).is_empty(), "there is no route");
    table.take(0);

    let settings = Settings { original_mark: "0x2".parse().ok(), ..everywhere() };
    table.shared().set_last_hop(settings);
    mark(&table, Point::Prerouting, |packet| packet.mark = 2);
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [COMES_BY], "without a route");
}

#[test]
fn link_addresses_that_nobody_has_are_not_learned() {
    let mut table = answering_table();
    for (false_source, refused) in [(Mac([0; 6]), 1), (Mac([0xff; 6]), 2), (port_mac(1), 3)] {
        table.pass(1, &question_by(false_source).udp(b"question")[..]);
        assert_eq!(table.counters().last_hop_refused.get(), refused);
    }
    assert!(rows(&table).is_empty());
}

#[test]
fn a_packet_for_everybody_tells_nothing() {
    let mut table = answering_table();
    let everybody = Ends { to: Mac([0xff; 6]), ..question_by(COMES_BY) };
    table.pass(1, &everybody.udp(b"question")[..]);
    assert!(rows(&table).is_empty());
}

#[test]
fn the_flow_keeps_no_route_of_such_a_reply_and_its_own_is_as_it_was() {
    let mut table = answering_table();
    table.shared().set_last_hop(Settings::default());
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [ROUTED_BY]);
    table.shared().set_last_hop(everywhere());
    ask(&mut table, COMES_BY);
    let lookups = table.counters().fib_lookups.get();
    assert_eq!(answered(&mut table), [COMES_BY]);
    assert_eq!(table.counters().fib_lookups.get(), lookups);
    table.shared().set_last_hop(Settings::default());
    assert_eq!(answered(&mut table), [ROUTED_BY]);
    assert_eq!(table.counters().fib_lookups.get(), lookups, "the route found before is still there");
}

#[test]
fn translated_flows_go_back_as_the_client_knows_them() {
    let mut table = answering_table();
    /// As the router towards the server.
    struct Masquerade(Arc<FlowTable>);
    impl Hook for Masquerade {
        fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
            masquerade(packet, context, &self.0, None, Flags::default())
        }
    }
    let flows = table.shared().flows.clone();
    let chain = NatChain {
        family: Family::Ipv4,
        point: Point::Postrouting,
        priority: priority::SOURCE_NAT,
        hook: Arc::new(Masquerade(flows.clone())),
    };
    table.hooks().register(Nat::seats(&flows, &[chain])).unwrap();
    ask(&mut table, COMES_BY);
    let to_router = Ends { from: SERVER, ..Ends::to_port(0, SERVICE, "10.0.0.1:1000") };
    table.pass(0, &to_router.udp(b"answer")[..]);
    let mut expected = answer().with_ttl(63);
    (expected.from, expected.to) = (port_mac(1), COMES_BY);
    let left: Vec<_> = table.take(1).into_iter().map(|parcel| parcel.bytes).collect();
    assert_eq!(left, [expected.udp(b"answer")]);
}

#[test]
fn hooks_behind_it_still_judge() {
    let mut table = answering_table();
    ask(&mut table, COMES_BY);
    let place = Place::new(Family::Ipv4, Point::Forward, "none");
    struct Refuse;
    impl Hook for Refuse {
        fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
            Verdict::Drop(crate::drops::DropReason::Rule)
        }
    }
    let seat = Registration { place, priority: priority::FILTER, hook: Arc::new(Refuse) };
    table.hooks().register([seat]).unwrap();
    assert!(answered(&mut table).is_empty());
}

#[test]
fn the_card_forwards_no_flow_that_is_answered_where_it_came_from() {
    let mut table = table();
    table.insert_card(64);
    let exchange = |table: &mut Tabletop, sequence| {
        let question = question_by(COMES_BY).tcp(TcpControl::None, sequence, Some(1), b"q");
        table.pass(1, &question[..]);
        let reply = answer().tcp(TcpControl::None, 1, Some(sequence), b"");
        table.pass(0, &reply[..]);
        table.take(0);
        sent_to(table, 1)
    };
    table.pass(1, &question_by(COMES_BY).tcp(TcpControl::Syn, 0, None, b"")[..]);
    table.pass(0, &answer().tcp(TcpControl::Syn, 0, Some(1), b"")[..]);
    for sequence in 1..5 {
        exchange(&mut table, sequence);
    }
    let offloaded = table.counters().offloaded.get();
    assert!(offloaded > 0, "the card has the flow");
    table.shared().set_last_hop(everywhere());
    assert_eq!(exchange(&mut table, 5), [COMES_BY], "it has been taken from the card");
    for sequence in 6..10 {
        assert_eq!(exchange(&mut table, sequence), [COMES_BY]);
    }
    assert_eq!(table.counters().offloaded.get(), offloaded);
}

#[test]
fn a_port_without_link_addresses_is_remembered_as_it_is() {
    let device =
        PortSettings { framing: Framing::Network, offloads: Offloads::ALL, ..PortSettings::default() };
    let mut table = Tabletop::build(Blueprint {
        host: crate::engine::Host::Kernel,
        bridges: Vec::new(),
        ports: vec![("r0", PortSettings::default()), ("r1", PortSettings::default()), ("t0", device)],
        flows: conntrack::Config::default(),
        trackers: conntrack::Registry::builtin().build(),
        neighbors_max: 64,
    });
    lay(&mut table);
    let link = fib::change::Link { no_arp: true, ..crate::tabletop::link(2, "t0") };
    table.apply([fib::change::Change::Link(link)]);
    table.shared().set_last_hop(everywhere());
    table.pass(2, &Ends::to_port(2, CLIENT, SERVICE).udp(b"question")[14..]);
    assert_eq!(table.take(0).len(), 1);
    assert!(answered(&mut table).is_empty());
    assert_eq!(table.take(2).len(), 1);
}
