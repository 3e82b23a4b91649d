//! Translation on a table: an inside network on port 0, the rest of the world behind port 1.

mod behaviour;
mod cached;
mod errors;
mod rewriting;

use std::sync::Arc;

use fib::adjacency::LinkIndex;
use fib::change::{Address, Change, Link, Scope};

use crate::chain::{Family, Hook, Point, Verdict, priority};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::FlowTable;
use crate::hooks::{Nat, NatChain};
use crate::nat::{Flags, Manip, Masquerades, Range, masquerade, redirect, setup};
use crate::tabletop::frames::{Ends, HOST};
use crate::tabletop::{Tabletop, link};

const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];

/// 10.0.0.0/24 and fd00::/64 on port 0, 10.0.1.0/24 and fd01::/64 on port 1.
fn table() -> Tabletop {
    let mut table = Tabletop::new(&["r0", "r1"]);
    table.address(0, "10.0.0.1/24");
    table.address(1, "10.0.1.1/24");
    table.address(0, "fd00::1/64");
    table.address(1, "fd01::1/64");
    for host in ["10.0.0.2", "10.0.0.3", "fd00::2"] {
        table.neighbor(0, host, Some(HOST.0));
    }
    for server in ["10.0.1.2", "10.0.1.3", "fd01::2"] {
        table.neighbor(1, server, Some(SERVER));
    }
    table
}

/// A rule that every packet meets.
struct Rule<F> {
    flows: Arc<FlowTable>,
    statement: F,
}

impl<F> Hook for Rule<F>
where
    F: Fn(&mut Packet, &mut Context<'_>, &FlowTable) -> Verdict + Send + Sync,
{
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        (self.statement)(packet, context, &self.flows)
    }
}

/// Seats translation with one rule at a point, for both families.
fn with_rule(
    table: &Tabletop,
    point: Point,
    statement: impl Fn(&mut Packet, &mut Context<'_>, &FlowTable) -> Verdict + Send + Sync + Clone + 'static,
) {
    let flows = &table.shared().flows;
    let chain = |family| NatChain {
        family,
        point,
        priority: priority::DESTINATION_NAT,
        hook: Arc::new(Rule { flows: flows.clone(), statement: statement.clone() }),
    };
    let chains = [chain(Family::Ipv4), chain(Family::Ipv6)];
    table.hooks().register(Nat::seats(flows, &chains)).unwrap();
}

/// What port `port` has sent, frame by frame.
fn sent(table: &mut Tabletop, port: usize) -> Vec<Vec<u8>> {
    table.take(port).into_iter().map(|parcel| parcel.bytes).collect()
}

/// The frame that leaves by `port` for `to`, with these addresses: what a host would have sent, one hop later.
fn leaving(port: usize, to: [u8; 6], source: &str, destination: &str) -> Ends {
    let mut ends = Ends::to_port(port, source, destination).with_ttl(63);
    ends.from = crate::tabletop::port_mac(port);
    ends.to = fib::adjacency::Mac(to);
    ends
}

fn from_server(source: &str, destination: &str) -> Ends {
    let mut ends = Ends::to_port(1, source, destination);
    ends.from = fib::adjacency::Mac(SERVER);
    ends
}

fn masqueraded() -> Tabletop {
    let table = table();
    with_rule(&table, Point::Postrouting, |packet, context, flows| {
        if packet.route.is_some_and(|routed| routed.hop.port.0 == 1) {
            return masquerade(packet, context, flows, None, Flags::default());
        }
        Verdict::Accept
    });
    table
}

#[test]
fn a_masqueraded_packet_bears_the_routers_address_and_its_answer_finds_back() {
    for (client, server, own) in [
        ("10.0.0.2:1000", "10.0.1.2:2000", "10.0.1.1:1000"),
        ("[fd00::2]:1000", "[fd01::2]:2000", "[fd01::1]:1000"),
    ] {
        let mut table = masqueraded();
        table.pass(0, &Ends::to_port(0, client, server).udp(b"hello")[..]);
        assert_eq!(sent(&mut table, 1), [leaving(1, SERVER, own, server).udp(b"hello")]);
        table.pass(1, &from_server(server, own).udp(b"world!")[..]);
        assert_eq!(sent(&mut table, 0), [leaving(0, HOST.0, server, client).udp(b"world!")]);
    }
}

#[test]
fn a_destination_is_translated_before_it_is_routed_and_answers_come_from_the_old_one() {
    let mut table = table();
    with_rule(&table, Point::Prerouting, |packet, context, flows| {
        let server: std::net::IpAddr = "10.0.0.2".parse().unwrap();
        let range = Range { ids: Some((80, 80)), ..Range::to(server) };
        setup(packet, context, flows, &range, Manip::Destination)
    });
    table.pass(1, &from_server("10.0.1.2:1000", "10.0.1.1:8080").udp(b"hello")[..]);
    assert_eq!(sent(&mut table, 0), [leaving(0, HOST.0, "10.0.1.2:1000", "10.0.0.2:80").udp(b"hello")]);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:80", "10.0.1.2:1000").udp(b"world!")[..]);
    assert_eq!(sent(&mut table, 1), [leaving(1, SERVER, "10.0.1.1:8080", "10.0.1.2:1000").udp(b"world!")]);
}

#[test]
fn an_established_translated_flow_is_not_looked_up() {
    let mut table = masqueraded();
    let forth = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000");
    let back = from_server("10.0.1.2:2000", "10.0.1.1:1000");
    for _ in 0..10 {
        table.pass(0, &forth.udp(b"hello")[..]);
        table.pass(1, &back.udp(b"world!")[..]);
    }
    assert_eq!((sent(&mut table, 0).len(), sent(&mut table, 1).len()), (10, 10));
    assert_eq!(table.counters().fib_lookups.get(), 2, "once each way");
    assert_eq!(table.counters().flow_cache_hits.get(), 18);
}

/// Lets the client talk to the server, by either port of its own; the flows are confirmed.
fn talk(table: &mut Tabletop, ports: &[u16]) {
    for port in ports {
        table.pass(0, &Ends::to_port(0, &format!("10.0.0.2:{port}"), "10.0.1.2:2000").udp(b"x")[..]);
    }
    table.take(1);
    assert_eq!(table.shared().flows.len(), ports.len());
}

fn follow(table: &mut Tabletop, masquerades: &mut Masquerades) -> usize {
    let reader = table.assembly.writer.reader();
    masquerades.follow(&reader.load(), &table.shared().flows)
}

#[test]
fn masqueraded_flows_end_when_their_address_goes_away_and_no_others_do() {
    let mut table = masqueraded();
    table.address(1, "10.0.1.99/24");
    let mut masquerades = Masquerades::default();
    follow(&mut table, &mut masquerades);
    talk(&mut table, &[1000, 1001]);
    table.pass(1, &from_server("10.0.1.2:1", "10.0.0.2:1").udp(b"x")[..]);
    let gone = |net: &str| {
        Change::AddressGone(Address {
            link: LinkIndex(2),
            net: net.parse().unwrap(),
            peer: None,
            broadcast: None,
            scope: Scope::UNIVERSE,
            secondary: false,
            tentative: false,
            deprecated: false,
        })
    };
    table.apply([gone("10.0.1.99/24")]);
    assert_eq!(follow(&mut table, &mut masquerades), 0);
    table.apply([gone("10.0.1.1/24")]);
    assert_eq!(follow(&mut table, &mut masquerades), 2);
    assert_eq!(table.shared().flows.len(), 1, "the one that is not masqueraded");
}

#[test]
fn masqueraded_flows_end_when_their_port_goes_down() {
    let mut table = masqueraded();
    let mut masquerades = Masquerades::default();
    follow(&mut table, &mut masquerades);
    talk(&mut table, &[1000]);
    table.apply([Change::Link(Link { admin_up: false, ..link(0, "r0") })]);
    assert_eq!(follow(&mut table, &mut masquerades), 0, "another port");
    table.apply([Change::Link(Link { admin_up: false, ..link(1, "r1") })]);
    assert_eq!(follow(&mut table, &mut masquerades), 1);
    assert!(table.shared().flows.is_empty());
}

#[test]
fn a_masqueraded_flow_that_is_led_out_of_another_port_ends_and_begins_anew() {
    let mut table = Tabletop::new(&["r0", "r1", "r2"]);
    for (port, net) in [(0, "10.0.0.1/24"), (1, "10.0.1.1/24"), (2, "10.0.2.1/24")] {
        table.address(port, net);
    }
    for (port, host) in [(1, "10.0.1.2"), (2, "10.0.2.2")] {
        table.neighbor(port, host, Some(SERVER));
    }
    with_rule(&table, Point::Postrouting, |packet, context, flows| {
        masquerade(packet, context, flows, None, Flags::default())
    });
    let frame = Ends::to_port(0, "10.0.0.2:1000", "192.0.2.1:2000");
    table.route("192.0.2.0/24", "10.0.1.2", 1);
    table.pass(0, &frame.udp(b"1")[..]);
    assert_eq!(sent(&mut table, 1), [leaving(1, SERVER, "10.0.1.1:1000", "192.0.2.1:2000").udp(b"1")]);
    table.unroute("192.0.2.0/24", "10.0.1.2", 1);
    table.route("192.0.2.0/24", "10.0.2.2", 2);
    table.pass(0, &frame.udp(b"2")[..]);
    assert_eq!(table.counters().drops(DropReason::NatRerouted), 1);
    table.pass(0, &frame.udp(b"3")[..]);
    assert_eq!(sent(&mut table, 2), [leaving(2, SERVER, "10.0.2.1:1000", "192.0.2.1:2000").udp(b"3")]);
    assert_eq!((table.take(1), table.shared().flows.len()), (vec![], 1));
}

#[test]
fn without_an_address_to_borrow_a_packet_is_dropped() {
    let mut table = Tabletop::new(&["r0", "r1"]);
    table.address(0, "fd00::1/64");
    table.route("198.51.100.0/24", "192.0.2.1", 1);
    with_rule(&table, Point::Postrouting, |packet, context, flows| {
        masquerade(packet, context, flows, None, Flags::default())
    });
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "198.51.100.1:2000").udp(b"x")[..]);
    assert_eq!(table.counters().drops(DropReason::NatNoAddress), 1);
    assert!(table.shared().flows.is_empty());
}

#[test]
fn redirect_makes_a_packet_the_routers_own() {
    let mut table = table();
    with_rule(&table, Point::Prerouting, |packet, context, flows| {
        redirect(packet, context, flows, Point::Prerouting, Some((3128, 3128)), Flags::default())
    });
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:80").udp(b"hello")[..]);
    assert_eq!(table.counters().local.get(), 1);
    assert_eq!(table.counters().drops(DropReason::NatExhausted), 0);
}
