//! Rules at input and output, in a router that is its own host.

use std::sync::Arc;

use fib::change::{Change, Route, Rule, RuleAction};
use smoltcp::wire::TcpControl;

use super::texts::{counts, read};
use crate::rules::install::RuleHooks;
use crate::rules::model::Ruleset;
use crate::rules::run::World;
use crate::tabletop::frames::{Ends, HOST};
use crate::tabletop::{Tabletop, gateway_route, rule};

const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];

/// A host between two nets with these rules; what is marked with 7 goes by port 1. With `tun` programs are behind it.
fn host(text: &str, tun: bool) -> (Tabletop, Ruleset) {
    let mut table = Tabletop::owned(&["r0", "r1"], tun);
    for (port, net) in [(0, "10.0.0.1/24"), (1, "10.0.1.1/24"), (0, "fd00::1/64"), (1, "fd01::1/64")] {
        table.address(port, net);
    }
    for (port, address, mac) in
        [(0, "10.0.0.2", HOST.0), (1, "10.0.1.2", SERVER), (0, "fd00::2", HOST.0), (1, "fd01::2", SERVER)]
    {
        table.neighbor(port, address, Some(mac));
    }
    let by_mark = Rule { mark: Some((7, u32::MAX)), ..rule(false, 100, RuleAction::Lookup(77)) };
    let elsewhere = Route { table: 77, ..gateway_route("0.0.0.0/0", "10.0.1.2", 1) };
    table.apply([Change::Rule(by_mark), Change::Route(elsewhere)]);
    let ruleset = read(text);
    let shared = table.shared();
    let world = World::new(shared.flows.clone(), shared.ports.clone(), 7);
    RuleHooks::new(Arc::new(world)).install(table.hooks(), &ruleset).unwrap();
    (table, ruleset)
}

/// One chain of a table with these rules.
fn chain(family: &str, kind: &str, hook: &str, rules: &str) -> String {
    format!("table {family} t {{ chain c {{ type {kind} hook {hook} priority 0; {rules}\n}}\n}}")
}

fn to_router() -> Ends {
    Ends::to_port(0, "10.0.0.2:1000", "10.0.0.1:53")
}

/// What has left by each port.
fn sent(table: &mut Tabletop) -> [usize; 2] {
    table.hooks().fold();
    [0, 1].map(|port| table.take(port).len())
}

#[test]
fn at_input_a_packet_has_come_in_and_goes_nowhere() {
    let rules = "iifname \"r0\" counter\niif 1 counter\noifname \"\" counter\noifname \"r1\" counter\noif 1 counter\n\
                 fib daddr type local counter\nfib saddr . iif type unicast counter\nmeta pkttype host counter\n\
                 ether saddr 02:00:00:00:ff:01 counter\nrt ip nexthop 10.0.0.2 counter\nct state new counter";
    let (mut table, ruleset) = host(&chain("ip", "filter", "input", rules), true);
    let mut ends = to_router();
    ends.from = fib::adjacency::Mac([2, 0, 0, 0, 0xff, 1]);
    table.pass(0, &ends.udp(b"x")[..]);
    table.hooks().fold();
    assert_eq!(counts(&ruleset), [1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1]);
    assert_eq!(table.take_at_host().len(), 1);
}

#[test]
fn at_output_a_packet_has_come_from_nowhere_and_its_way_is_known() {
    let rules = "oifname \"r0\" counter\noif 1 counter\niifname \"\" counter\niif 0 counter\niiftype ether counter\n\
                 ether saddr 00:00:00:00:00:00 counter\nrt ip nexthop 10.0.0.2 counter\n\
                 fib daddr . oif type unicast counter\nmeta length 33 counter\nct state new counter";
    let (mut table, ruleset) = host(&chain("ip", "filter", "output", rules), true);
    let program = Ends::to_port(0, "10.0.0.1:53", "10.0.0.2:1000");
    table.send_from_host(&program.udp(b"reply")[14..]);
    assert_eq!(sent(&mut table), [1, 0]);
    assert_eq!(counts(&ruleset), [1, 1, 1, 1, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn what_the_router_itself_answers_passes_output() {
    let rules = "icmp type echo-reply counter drop\nicmp type destination-unreachable counter\ntcp flags rst counter\n";
    let (mut table, ruleset) = host(&chain("inet", "filter", "output", rules), false);
    table.pass(0, &to_router().echo(1)[..]);
    assert_eq!(sent(&mut table), [0, 0]);
    table.pass(0, &to_router().udp(b"x")[..]);
    table.pass(0, &to_router().tcp(TcpControl::Syn, 1, None, b"")[..]);
    assert_eq!(sent(&mut table), [2, 0]);
    assert_eq!(counts(&ruleset)[..3], [1, 1, 1]);
}

#[test]
fn reject_at_input_answers_instead_of_the_host() {
    for (rule, is_answered) in
        [("reject with icmp admin-prohibited", true), ("meta l4proto udp reject", true), ("drop", false)]
    {
        let (mut table, _) = host(&chain("ip", "filter", "input", rule), true);
        table.pass(0, &to_router().udp(b"x")[..]);
        let answers = table.take(0);
        assert_eq!(answers.len(), usize::from(is_answered), "{rule}");
        if let Some(answer) = answers.first() {
            let code = if rule.contains("admin") { 13 } else { 3 };
            assert_eq!(answer.bytes[34..36], [3, code], "{rule}");
        }
        assert!(table.take_at_host().is_empty(), "{rule}");
    }
}

#[test]
fn a_mark_at_output_decides_the_way_in_route_chains_alone() {
    let program = Ends::to_port(0, "10.0.0.1:53", "10.0.0.2:1000");
    for (kind, expected) in [("route", [0, 1]), ("filter", [1, 0])] {
        let text = chain("ip", kind, "output", "meta mark set 7");
        let (mut table, _) = host(&text, true);
        table.send_from_host(&program.udp(b"x")[14..]);
        assert_eq!(sent(&mut table), expected, "{kind}: a program's");
        let (mut table, _) = host(&text, false);
        table.pass(0, &to_router().echo(1)[..]);
        assert_eq!(sent(&mut table), expected, "{kind}: the router's own");
    }
}

#[test]
fn a_route_chain_that_changes_nothing_leaves_the_way_alone() {
    let (mut table, ruleset) = host(&chain("ip", "route", "output", "counter\nmeta mark set 0"), true);
    let program = Ends::to_port(0, "10.0.0.1:53", "10.0.0.2:1000");
    table.send_from_host(&program.udp(b"x")[14..]);
    assert_eq!(sent(&mut table), [1, 0]);
    assert_eq!(counts(&ruleset), [1]);
}

#[test]
fn programs_packets_are_translated_at_output_and_their_answers_at_input() {
    let text = "table ip t {
        chain o { type nat hook output priority -100; ip daddr 10.9.9.9 counter dnat to 10.0.1.2\n }
        chain i { type nat hook input priority 100; udp dport 53 counter snat to 10.9.9.8\n }
    }";
    let (mut table, ruleset) = host(text, true);
    // Where it leads to is looked up twice: before and behind the translation.
    table.apply([Change::Route(gateway_route("10.9.9.0/24", "10.0.0.2", 0))]);
    table.send_from_host(&Ends::to_port(0, "10.0.0.1:5000", "10.9.9.9:9").udp(b"question")[14..]);
    let left = table.take(1);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].bytes[30..34], [10, 0, 1, 2]);
    table.pass(1, &Ends::to_port(1, "10.0.1.2:9", "10.0.0.1:5000").udp(b"answer")[..]);
    assert_eq!(table.take_at_host()[0].bytes[12..16], [10, 9, 9, 9]);

    table.pass(0, &to_router().udp(b"question")[..]);
    assert_eq!(table.take_at_host()[0].bytes[12..16], [10, 9, 9, 8], "a program sees another source");
    table.send_from_host(&Ends::to_port(0, "10.0.0.1:53", "10.9.9.8:1000").udp(b"answer")[14..]);
    assert_eq!(table.take(0)[0].bytes[30..34], [10, 0, 0, 2]);
    table.hooks().fold();
    assert_eq!(counts(&ruleset), [1, 1]);
}
