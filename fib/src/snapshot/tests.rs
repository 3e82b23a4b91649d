//! Lookups, as Linux makes them.

use super::*;
use crate::adjacency::NeighborId;
use crate::change::{Change, NamespaceSettings, Rule, RuleAction, Settings};
use crate::rig::{ETH9, R0, R1, Rig, address, group, ip, link, nexthop, query, rule, usual_rules};

fn looks_into(priority: u32, table: u32) -> Rule {
    rule(priority, RuleAction::Lookup(table))
}

#[test]
fn the_longest_prefix_wins_and_the_default_catches_the_rest() {
    let rig = Rig::with(&[
        "0.0.0.0/0 via 192.0.2.1 dev r0",
        "10.0.0.0/8 dev r1",
        "10.1.2.3/32 via 192.0.2.2 dev r2",
    ]);
    assert_eq!(rig.to("10.1.2.3"), "r2 via 192.0.2.2");
    assert_eq!(rig.to("10.1.2.4"), "r1");
    assert_eq!(rig.to("203.0.113.1"), "r0 via 192.0.2.1");
    assert_eq!(rig.to("2001:db8::1"), "NoRoute");
}

#[test]
fn the_same_holds_for_ipv6() {
    let rig = Rig::with(&["::/0 via fe80::1 dev r0", "2001:db8::/32 dev r1", "2001:db8::1/128 dev r2"]);
    assert_eq!(rig.to("2001:db8::1"), "r2");
    assert_eq!(rig.to("2001:db8::2"), "r1");
    assert_eq!(rig.to("2001:db9::"), "r0 via fe80::1");
}

#[test]
fn an_answer_says_where_it_came_from() {
    let rig = Rig::with(&["10.0.0.0/8 dev r1 src 192.0.2.9 mtu 1300 scope 253"]);
    let answer = rig.lookup(&query("10.9.9.9"));
    assert_eq!((answer.table, answer.prefix), (254, Some("10.0.0.0/8".parse().unwrap())));
    assert_eq!((answer.preferred_source, answer.scope), (Some(ip("192.0.2.9")), Scope::LINK));
    assert_eq!(answer.generation, rig.writer.generation());
    let Adjacency::Forward(hop) = answer.adjacency else { panic!("{answer:?}") };
    assert_eq!(hop.route_mtu, 1300);
}

#[test]
fn every_type_of_route_has_its_end() {
    let rig = Rig::with(&[
        "0.0.0.0/0 dev r0",
        "local 192.0.2.1/32 dev r0",
        "broadcast 192.0.2.255/32 dev r0",
        "multicast 224.0.0.0/4 dev r0",
        "anycast 192.0.2.128/32 dev r0",
        "blackhole 10.0.0.0/8",
        "unreachable 11.0.0.0/8",
        "prohibit 12.0.0.0/8",
    ]);
    assert_eq!(rig.to("192.0.2.1"), "Local");
    assert_eq!(rig.to("192.0.2.255"), "Broadcast");
    assert_eq!(rig.to("224.0.0.5"), "Multicast");
    assert_eq!(rig.to("192.0.2.128"), "Local");
    assert_eq!(rig.to("10.0.0.1"), "Blackhole");
    assert_eq!(rig.to("11.0.0.1"), "Unreachable");
    assert_eq!(rig.to("12.0.0.1"), "Prohibit");
}

#[test]
fn throw_leaves_the_table_even_where_a_shorter_prefix_would_match() {
    let mut rig =
        Rig::with(&["0.0.0.0/0 dev r1 table 100", "throw 10.0.0.0/8 table 100", "0.0.0.0/0 dev r2"]);
    rig.apply(usual_rules());
    rig.apply([Change::Rule(looks_into(100, 100))]);
    assert_eq!(rig.to("11.0.0.1"), "r1");
    assert_eq!(rig.to("10.0.0.1"), "r2");
}

#[test]
fn a_smaller_metric_wins_and_the_next_steps_in_when_its_port_is_down() {
    let mut rig =
        Rig::with(&["10.0.0.0/8 dev r2 metric 20", "10.0.0.0/8 dev r1 metric 10", "0.0.0.0/0 dev r0"]);
    assert_eq!(rig.to("10.0.0.1"), "r1");
    let down = |index, name| Change::Link(crate::change::Link { admin_up: false, ..link(index, name) });
    rig.apply([down(R1, "r1")]);
    assert_eq!(rig.to("10.0.0.1"), "r2");
    rig.apply([down(crate::rig::R2, "r2")]);
    assert_eq!(rig.to("10.0.0.1"), "r0", "a less specific route is better than none");
    rig.apply([Change::Link(link(R1, "r1"))]);
    assert_eq!(rig.to("10.0.0.1"), "r1");
}

#[test]
fn a_route_over_a_device_that_is_no_port_is_not_used() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev eth9", "0.0.0.0/0 dev r0"]);
    assert_eq!(rig.to("10.0.0.1"), "r0");
    rig.del("0.0.0.0/0 dev r0");
    assert_eq!(rig.to("10.0.0.1"), "NoRoute");
}

#[test]
fn a_route_with_tos_is_for_packets_with_that_tos_alone() {
    let rig = Rig::with(&["10.0.0.0/8 dev r1 tos 16", "10.0.0.0/8 dev r2", "11.0.0.0/8 dev r2"]);
    let plain = rig.lookup(&query("10.0.0.1"));
    assert_eq!(rig.words(plain.adjacency), "r2");
    assert!(plain.depends.tos);
    // Only the old TOS bits count: ECN and precedence are not looked at.
    assert_eq!(rig.way(&Query { tos: 0x10 | 0xe0 | 0x03, ..query("10.0.0.1") }), "r1");
    assert_eq!(rig.way(&Query { tos: 0x08, ..query("10.0.0.1") }), "r2");
    assert!(!rig.lookup(&query("11.0.0.1")).depends.tos);
}

#[test]
fn each_selector_of_a_rule_selects_and_is_depended_on() {
    let everything = Depends { source: true, input: true, mark: true, tos: true, ports: true };
    let base = Query { tos: 0x10, mark: 0x5, ..query("10.0.0.1") };
    let plain = looks_into(100, 100);
    let only = |field: fn(&mut Depends)| {
        let mut depends = Depends::default();
        field(&mut depends);
        depends
    };
    let cases: Vec<(Rule, Query, Depends)> = vec![
        (
            Rule { iif: Some("r0".into()), ..plain.clone() },
            Query { input: Some(PortId(1)), ..base },
            only(|d| d.input = true),
        ),
        (
            Rule { from: Some("192.0.2.0/24".parse().unwrap()), ..plain.clone() },
            Query { source: ip("198.51.100.1"), ..base },
            only(|d| d.source = true),
        ),
        (
            Rule { to: Some("10.0.0.1/32".parse().unwrap()), ..plain.clone() },
            Query { destination: ip("10.0.0.2"), ..base },
            Depends::default(),
        ),
        (
            Rule { mark: Some((0x1, 0x3)), ..plain.clone() },
            Query { mark: 0x2, ..base },
            only(|d| d.mark = true),
        ),
        (Rule { tos: 0x10, ..plain.clone() }, Query { tos: 0, ..base }, only(|d| d.tos = true)),
        (
            Rule { protocol: Some(17), ..plain.clone() },
            Query { protocol: 6, ..base },
            only(|d| d.ports = true),
        ),
        (
            Rule { source_ports: Some((4000, 4001)), ..plain.clone() },
            Query { source_port: 3999, ..base },
            only(|d| d.ports = true),
        ),
        (
            Rule { destination_ports: Some((50, 53)), ..plain.clone() },
            Query { destination_port: 54, ..base },
            only(|d| d.ports = true),
        ),
    ];
    for (rule, other, depends) in cases {
        for invert in [false, true] {
            let rule = Rule { invert, ..rule.clone() };
            let mut rig = Rig::with(&["0.0.0.0/0 dev r1 table 100", "0.0.0.0/0 dev r2"]);
            rig.apply(usual_rules());
            rig.apply([Change::Rule(rule.clone())]);
            let (hit, miss) = if invert { ("r2", "r1") } else { ("r1", "r2") };
            assert_eq!(rig.way(&base), hit, "{rule:?}");
            assert_eq!(rig.way(&other), miss, "{rule:?}");
            assert_eq!(rig.lookup(&base).depends, depends, "{rule:?}");
            assert_eq!(rig.lookup(&other).depends, depends, "{rule:?}");
            assert_ne!(depends, everything);
        }
    }
}

#[test]
fn a_selector_that_was_not_reached_is_not_depended_on() {
    let mut rig = Rig::with(&["0.0.0.0/0 dev r2"]);
    rig.apply(usual_rules());
    let to = Some("10.0.0.0/8".parse().unwrap());
    rig.apply([Change::Rule(Rule {
        iif: Some("r1".into()),
        mark: Some((1, 1)),
        to,
        ..looks_into(100, 100)
    })]);
    let depends = rig.lookup(&query("10.0.0.1")).depends;
    assert_eq!(depends, Depends { input: true, ..Depends::default() });
    rig.apply([Change::Rule(Rule { mark: Some((1, 1)), ..looks_into(40_000, 100) })]);
    assert!(!rig.lookup(&query("10.0.0.1")).depends.mark, "an earlier rule has answered");
}

#[test]
fn rules_end_jump_and_refuse_as_told() {
    let mut rig = Rig::with(&["0.0.0.0/0 dev r1 table 100", "0.0.0.0/0 dev r2", "::/0 dev r2"]);
    rig.apply(usual_rules());
    let to = |net: &str| Some(net.parse().unwrap());
    rig.apply(
        [
            Rule { to: to("10.0.0.0/8"), ..rule(100, RuleAction::Goto(200)) },
            looks_into(150, 100),
            Rule { to: to("10.1.0.0/16"), ..rule(200, RuleAction::Nop) },
            Rule { to: to("10.2.0.0/16"), ..rule(200, RuleAction::Blackhole) },
            Rule { to: to("10.3.0.0/16"), ..rule(200, RuleAction::Prohibit) },
            Rule { to: to("10.4.0.0/16"), ..rule(200, RuleAction::Unreachable) },
            Rule { to: to("10.5.0.0/16"), ..rule(200, RuleAction::Goto(777)) },
        ]
        .map(Change::Rule),
    );
    assert_eq!(rig.to("11.0.0.1"), "r1", "not jumped");
    assert_eq!(rig.to("10.0.0.1"), "r2");
    assert_eq!(rig.to("10.1.0.1"), "r2");
    assert_eq!(rig.to("10.2.0.1"), "Blackhole");
    assert_eq!(rig.to("10.3.0.1"), "Prohibit");
    assert_eq!(rig.to("10.4.0.1"), "NoRoute", "network unreachable, not host");
    assert_eq!(rig.to("10.5.0.1"), "r2", "a jump to nowhere does nothing");
    rig.apply([Change::Rule(Rule { ipv6: true, ..rule(10, RuleAction::Unreachable) })]);
    assert_eq!(rig.to("2001:db8::1"), "Unreachable");
}

#[test]
fn a_backward_goto_does_nothing() {
    let mut rig = Rig::with(&["0.0.0.0/0 dev r1"]);
    rig.apply(usual_rules());
    rig.apply([Change::Rule(rule(50, RuleAction::Goto(50))), Change::Rule(rule(60, RuleAction::Goto(50)))]);
    assert_eq!(rig.to("10.0.0.1"), "r1");
}

#[test]
fn a_rule_for_an_output_device_or_a_user_matches_only_inverted() {
    let mut rig = Rig::with(&["0.0.0.0/0 dev r1 table 100", "0.0.0.0/0 dev r2"]);
    rig.apply(usual_rules());
    let oif = Rule { oif: Some("r1".into()), ..looks_into(100, 100) };
    rig.apply([Change::Rule(oif.clone()), Change::Rule(Rule { uid_range: true, ..looks_into(101, 100) })]);
    assert_eq!(rig.to("10.0.0.1"), "r2");
    rig.apply([Change::Rule(Rule { invert: true, ..oif })]);
    assert_eq!(rig.to("10.0.0.1"), "r1");
}

#[test]
fn a_suppressed_prefix_does_not_count_but_a_refusal_does() {
    let mut rig = Rig::with(&[
        "0.0.0.0/0 dev r1",
        "10.0.0.0/8 dev r1",
        "blackhole 0.0.0.0/0 table 100",
        "0.0.0.0/0 dev r2 table 101",
    ]);
    let suppressing =
        |priority, table| Rule { suppress_prefix_length: Some(0), ..looks_into(priority, table) };
    rig.apply([
        Change::Rule(looks_into(0, 255)),
        Change::Rule(suppressing(10, 254)),
        Change::Rule(looks_into(20, 101)),
    ]);
    assert_eq!(rig.to("10.0.0.1"), "r1");
    assert_eq!(rig.to("11.0.0.1"), "r2");
    rig.apply([Change::Rule(suppressing(5, 100))]);
    assert_eq!(rig.to("11.0.0.1"), "Blackhole");
}

#[test]
fn an_announced_rule_set_takes_the_place_of_the_usual_one() {
    let mut rig = Rig::with(&["0.0.0.0/0 dev r1", "0.0.0.0/0 dev r2 table 253"]);
    rig.apply([Change::Rule(looks_into(5, 253))]);
    assert_eq!(rig.to("10.0.0.1"), "r2");
    rig.apply([Change::RuleGone(looks_into(5, 253))]);
    assert_eq!(rig.to("10.0.0.1"), "NoRoute", "no rules at all is meant, once rules are known");
}

#[test]
fn iif_lo_speaks_of_the_routers_own_packets() {
    let mut rig = Rig::with(&["0.0.0.0/0 dev r1 table 100", "0.0.0.0/0 dev r2"]);
    rig.apply(usual_rules());
    rig.apply([Change::Rule(Rule { iif: Some("lo".into()), ..looks_into(100, 100) })]);
    assert_eq!(rig.way(&Query { input: None, ..query("10.0.0.1") }), "r1");
    assert_eq!(rig.to("10.0.0.1"), "r2");
}

#[test]
fn a_port_in_a_vrf_looks_into_the_vrfs_table() {
    let mut rig = Rig::with(&["0.0.0.0/0 dev r1 table 1000", "0.0.0.0/0 dev r2"]);
    rig.apply(usual_rules());
    let red = LinkIndex(20);
    rig.apply([
        Change::Rule(Rule { l3mdev: true, ..rule(1000, RuleAction::Nop) }),
        Change::Link(crate::change::Link { vrf_table: Some(1000), kind: "vrf".into(), ..link(red, "red") }),
    ]);
    assert_eq!(rig.to("10.0.0.1"), "r2");
    rig.apply([Change::Link(crate::change::Link { master: Some(red), ..link(R0, "r0") })]);
    assert_eq!(rig.to("10.0.0.1"), "r1");
    assert!(rig.lookup(&query("10.0.0.1")).depends.input);
    rig.apply([Change::LinkGone(red)]);
    assert_eq!(rig.to("10.0.0.1"), "r2");
}

fn spread(rig: &Rig, queries: impl Iterator<Item = Query>) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for query in queries {
        *counts.entry(rig.way(&query)).or_default() += 1;
    }
    counts
}

#[test]
fn multipath_spreads_addresses_by_weight_and_ports_only_when_told() {
    let mut rig =
        Rig::with(&["10.0.0.0/8 nexthop via 192.0.2.1 dev r1 weight 3 nexthop via 192.0.2.2 dev r2"]);
    let by_source = || {
        (0..4000_u32)
            .map(|number| Query { source: IpAddr::V4((0xc633_6400 + number).into()), ..query("10.0.0.1") })
    };
    let by_port = || (0..4000_u16).map(|port| Query { source_port: port, ..query("10.0.0.1") });
    let counts = spread(&rig, by_source());
    assert!((2800..3200).contains(&counts["r1 via 192.0.2.1"]), "{counts:?}");
    assert_eq!(spread(&rig, by_port()).len(), 1);
    assert_eq!(rig.lookup(&query("10.0.0.1")).depends, Depends { source: true, ..Depends::default() });
    let policy = NamespaceSettings { multipath_hash_policy_v4: 1, ..NamespaceSettings::default() };
    rig.apply([Change::Settings(Settings::Namespace(policy))]);
    let counts = spread(&rig, by_port());
    assert!((2800..3200).contains(&counts["r1 via 192.0.2.1"]), "{counts:?}");
    assert!(rig.lookup(&query("10.0.0.1")).depends.ports);
}

#[test]
fn dead_and_unusable_members_are_left_out() {
    let mut rig = Rig::with(&[
        "10.0.0.0/8 nexthop via 192.0.2.1 dev r1 nexthop via 192.0.2.2 dev r2 nexthop via 192.0.2.3 dev eth9 nexthop via 192.0.2.4 dev r0 dead",
    ]);
    let by_source = || {
        (0..400_u32)
            .map(|number| Query { source: IpAddr::V4((0xc633_6400 + number).into()), ..query("10.0.0.1") })
    };
    assert_eq!(spread(&rig, by_source()).len(), 2);
    rig.apply([Change::Link(crate::change::Link { admin_up: false, ..link(R1, "r1") })]);
    let counts = spread(&rig, by_source());
    assert_eq!(counts["r2 via 192.0.2.2"], 400, "{counts:?}");
    assert_eq!(rig.lookup(&query("10.0.0.1")).depends, Depends::default(), "one way left: nothing to choose");
}

#[test]
fn a_flow_keeps_its_member_while_it_is_in_the_group() {
    let mut rig = Rig::with(&["10.0.0.0/8 nexthop via 192.0.2.1 dev r1 nexthop via 192.0.2.2 dev r2"]);
    let keep = |rig: &Rig, query: &Query, hop| match rig.load().lookup_keeping(query, Some(hop)).adjacency {
        Adjacency::Forward(hop) => hop,
        other => panic!("{other:?}"),
    };
    for number in 0..64_u32 {
        let query = Query { source: IpAddr::V4((0xc633_6400 + number).into()), ..query("10.0.0.1") };
        let Adjacency::Forward(hop) = rig.lookup(&query).adjacency else { panic!() };
        let other = Hop {
            port: PortId(3 - hop.port.0),
            gateway: Some(ip(if hop.port.0 == 1 { "192.0.2.2" } else { "192.0.2.1" })),
            ..hop
        };
        assert_eq!(keep(&rig, &query, other).port, other.port);
        assert_eq!(
            keep(&rig, &query, Hop { gateway: Some(ip("192.0.2.9")), ..other }).port,
            hop.port,
            "not a member"
        );
    }
    rig.add("10.0.0.0/8 via 192.0.2.2 dev r2");
    let gone = Hop { port: PortId(1), neighbor: None, gateway: Some(ip("192.0.2.1")), route_mtu: 0 };
    assert_eq!(keep(&rig, &query("10.0.0.1"), gone).port, PortId(2));
}

#[test]
fn nexthop_objects_and_groups_lead_their_routes() {
    let mut rig = Rig::with(&["10.0.0.0/8 nhid 7", "0.0.0.0/0 dev r0"]);
    assert_eq!(rig.to("10.0.0.1"), "r0", "the object does not exist yet");
    rig.apply([nexthop(1, "192.0.2.1", "r1"), nexthop(2, "192.0.2.2", "r2"), group(7, &[(1, 1)])]);
    assert_eq!(rig.to("10.0.0.1"), "r1 via 192.0.2.1");
    rig.apply([group(7, &[(2, 1)])]);
    assert_eq!(rig.to("10.0.0.1"), "r2 via 192.0.2.2", "the route follows an edit of its object");
    rig.apply([nexthop(2, "192.0.2.9", "r1")]);
    assert_eq!(rig.to("10.0.0.1"), "r1 via 192.0.2.9");
    rig.apply([Change::NexthopGone(2)]);
    assert_eq!(rig.to("10.0.0.1"), "r0", "a group that loses its last member goes, and its routes with it");
    assert_eq!(rig.writer.route_count(), 1);
}

#[test]
fn an_ipv4_route_may_have_an_ipv6_gateway() {
    let rig = Rig::with(&["10.0.0.0/8 via fe80::1 dev r1"]);
    let Adjacency::Forward(hop) = rig.lookup(&query("10.0.0.1")).adjacency else { panic!() };
    assert_eq!(hop.gateway, Some(ip("fe80::1")));
    let neighbor = hop.neighbor.expect("a veth needs resolution");
    assert_eq!(rig.writer.neighbors().address_of(neighbor), Some((PortId(1), ip("fe80::1"))));
}

#[test]
fn the_neighbor_is_the_gateway_or_the_destination_and_none_without_arp() {
    let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1", "11.0.0.0/8 dev r1"]);
    let whom = |rig: &Rig, destination: &str| match rig.lookup(&query(destination)).adjacency {
        Adjacency::Forward(hop) => {
            hop.neighbor.and_then(|id: NeighborId| rig.writer.neighbors().address_of(id))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(whom(&rig, "10.0.0.1"), Some((PortId(1), ip("192.0.2.1"))));
    assert_eq!(whom(&rig, "11.0.0.1"), Some((PortId(1), ip("11.0.0.1"))));
    rig.apply([Change::Link(crate::change::Link { no_arp: true, ..link(R1, "r1") })]);
    assert_eq!(whom(&rig, "10.0.0.1"), None);
}

#[test]
fn link_local_destinations_belong_to_the_port_of_entry() {
    let rig = Rig::with(&[
        "fe80::/64 dev r0 metric 256",
        "fe80::/64 dev r1 metric 256",
        "local fe80::a/128 dev r1",
    ]);
    let from = |port| Query { input: Some(PortId(port)), ..query("fe80::a") };
    assert_eq!(rig.way(&from(1)), "Local");
    assert_eq!(rig.way(&from(0)), "r0", "another port's link-local address is not ours on this link");
    assert_eq!(rig.way(&from(2)), "NoRoute");
    assert!(rig.lookup(&from(0)).depends.input);
}

#[test]
fn own_addresses_are_those_on_links_and_the_local_routes() {
    let mut rig = Rig::with(&["local 198.51.100.0/24 dev lo"]);
    rig.apply([
        Change::Address(address(R0, "192.0.2.1/24")),
        Change::Address(address(ETH9, "192.0.2.65/26")),
    ]);
    for own in ["192.0.2.1", "192.0.2.65", "198.51.100.77"] {
        assert!(rig.load().is_own_address(ip(own)), "{own}");
    }
    assert!(!rig.load().is_own_address(ip("192.0.2.2")));
    assert_eq!(rig.load().addresses(PortId(0)).len(), 1);
    let tried = Address { tentative: true, ..address(R0, "192.0.2.3/24") };
    rig.apply([Change::Address(tried.clone())]);
    assert!(!rig.load().is_own_address(ip("192.0.2.3")), "somebody else may have it");
    rig.apply([Change::Address(Address { tentative: false, ..tried })]);
    assert!(rig.load().is_own_address(ip("192.0.2.3")));
    rig.apply([Change::AddressGone(address(R0, "192.0.2.1/24"))]);
    assert!(!rig.load().is_own_address(ip("192.0.2.1")));
}
