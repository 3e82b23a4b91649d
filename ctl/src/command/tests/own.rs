//! Command lines about the router's own tables, its bridges, queues and last hops.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::message::{
    AddDel, AddressChange, MacFilter, NeighborChange, NeighborFlush, NextHopChange, PolicyAction,
    PolicyRuleChange, RouteChange, RouteKind,
};
use crate::queue::Verdict;

fn address(line: &str) -> AddressChange {
    match request(line) {
        Request::Do(Action::ChangeAddress(change)) => change,
        other => panic!("{line} is {other:?}"),
    }
}

fn route(line: &str) -> RouteChange {
    match request(line) {
        Request::Do(Action::ChangeRoute(change)) => *change,
        other => panic!("{line} is {other:?}"),
    }
}

fn neighbor(line: &str) -> NeighborChange {
    match request(line) {
        Request::Do(Action::ChangeNeighbor(change)) => change,
        other => panic!("{line} is {other:?}"),
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn hop(via: Option<&str>, port: Option<&str>) -> NextHopChange {
    NextHopChange::new(via.map(|via| via.parse().unwrap()), port.map(str::to_owned))
}

fn refuse(cases: &[(&str, &str)]) {
    for (line, said) in cases {
        let error = usage_error(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn words_alone_show_what_they_name() {
    for (line, question) in [
        ("address", Question::Addresses),
        ("a", Question::Addresses),
        ("addr show", Question::Addresses),
        ("neigh", Question::Neighbors),
        ("neighbour list", Question::Neighbors),
        ("route show", Question::Routes(RouteFilter::default())),
        ("queue", Question::Queues),
        ("q l", Question::Queues),
        ("sh bridges", Question::Bridges),
        ("sh b", Question::Bridges),
        ("sh macs", Question::Macs(MacFilter::default())),
        ("sh mac br0", Question::Macs(MacFilter { bridge: Some("br0".into()) })),
        ("show q", Question::Queues),
        ("show last", Question::LastHops),
    ] {
        assert_eq!(request(line), Request::Ask(question), "{line}");
    }
    assert_eq!(request("mon host"), Request::Monitor(Topic::Host.into()));
}

#[test]
fn addresses_come_and_go_in_the_words_of_ip() {
    let plain =
        AddressChange { verb: AddDel::Add, address: net("10.0.1.1/24"), port: "r0".into(), nodad: false };
    assert_eq!(address("address add 10.0.1.1/24 dev r0"), plain);
    assert_eq!(address("addr a to 10.0.1.1/24 d r0"), plain);
}

#[test]
fn an_address_without_a_length_is_of_one_host() {
    assert_eq!(address("a add 10.0.1.1 dev r0 nodad").address, net("10.0.1.1/32"));
    let ipv6 = address("address del fd00::1 dev br0");
    assert_eq!((ipv6.verb, ipv6.address), (AddDel::Del, net("fd00::1/128")));
    assert!(address("address add fe80::1/64 dev r0 nodad").nodad);
}

#[test]
fn addresses_that_cannot_be_are_refused_in_words() {
    refuse(&[
        ("address add", "ADDRESS/LENGTH"),
        ("address add 10.0.1.1/24", "say `dev PORT`"),
        ("address add 10.0.1.1/33 dev r0", "\"10.0.1.1/33\" is neither an address nor a prefix"),
        ("address add ten dev r0", "\"ten\" is neither an address nor a prefix"),
        ("address add 10.0.1.1/24 dev", "`dev` needs a value"),
        ("address add 10.0.1.1/24 dev r0 dev r1", "`dev` is said twice"),
        ("address add 10.0.1.1/24 dev r0 brd +", "`brd` is none of dev, nodad"),
        ("address add 224.0.0.1/24 dev r0", "224.0.0.1 cannot be an address of a port: it is a group's"),
        ("address add 0.0.0.0/0 dev r0", "it is the address of nobody"),
        ("address add 255.255.255.255 dev r0", "it is everybody's"),
        ("address add 10.0.1.1/24 dev a-name-far-too-long", "cannot be the name of a port"),
        ("address add 10.0.1.1/24 dev a/b", "cannot be the name of a port"),
    ]);
}

#[test]
fn routes_are_written_as_ip_writes_them() {
    let prefix = net("10.1.0.0/16");
    let add = RouteChange::new(ChangeVerb::Add, prefix);
    let via = RouteChange { next_hops: vec![hop(Some("10.0.1.2"), None)], ..add.clone() };
    assert_eq!(route("route add 10.1.0.0/16 via 10.0.1.2"), via);
    assert_eq!(route("ro a to 10.1.0.0/16 via 10.0.1.2"), via);
    let full = route(
        "route replace 10.1.0.0/16 tos 0x10 via 10.0.1.2 dev r0 table 100 proto static src 10.0.1.1 metric 20 mtu 1400 onlink",
    );
    let onlink = NextHopChange { onlink: true, ..hop(Some("10.0.1.2"), Some("r0")) };
    let expected = RouteChange {
        verb: ChangeVerb::Replace,
        table: 100,
        metric: Some(20),
        tos: 16,
        protocol: Some(4),
        preferred_source: Some("10.0.1.1".parse().unwrap()),
        mtu: Some(1400),
        next_hops: vec![onlink],
        ..add.clone()
    };
    assert_eq!(full, expected);
    let several = route("route add 10.1.0.0/16 metric 5 nexthop via 10.0.1.2 weight 2 nexthop dev r1");
    let first = NextHopChange { weight: 2, ..hop(Some("10.0.1.2"), None) };
    let expected =
        RouteChange { metric: Some(5), next_hops: vec![first, hop(None, Some("r1"))], ..add.clone() };
    assert_eq!(several, expected);
    let printed = route("route add 10.9.0.0/24 dev v0 proto kernel scope link src 10.9.0.1");
    assert_eq!((printed.protocol, printed.next_hops), (Some(2), vec![hop(None, Some("v0"))]));
    assert_eq!(route("route del 10.1.0.0/16"), RouteChange { verb: ChangeVerb::Del, ..add });
    assert_eq!(route("route delete 10.1.0.9").prefix, net("10.1.0.9/32"));
}

#[test]
fn routes_that_lead_nowhere_need_no_way() {
    for (line, kind) in [
        ("route add blackhole 10.1.0.0/16", RouteKind::Blackhole),
        ("route add unreach 10.1.0.0/16 metric 4278198272", RouteKind::Unreachable),
        ("route add prohibit default", RouteKind::Prohibit),
        ("route add throw 10.1.0.0/16 table 100", RouteKind::Throw),
        ("route add unicast 10.1.0.0/16 dev r0", RouteKind::Unicast),
    ] {
        assert_eq!(route(line).kind, Some(kind), "{line}");
    }
}

#[test]
fn the_default_route_is_of_the_family_that_is_said() {
    for (line, prefix) in [
        ("route add default dev r0", "0.0.0.0/0"),
        ("route add default via 10.0.1.2", "0.0.0.0/0"),
        ("route add default via fd00::2", "::/0"),
        ("route add default via inet6 fe80::2 dev r0", "0.0.0.0/0"),
        ("route add default dev r0 src fd00::1", "::/0"),
        ("route add ::/0 dev r0", "::/0"),
        ("route add default nexthop via fd00::2 nexthop via fd00::3", "::/0"),
    ] {
        assert_eq!(route(line).prefix, net(prefix), "{line}");
    }
    // As with `ip`, bits beyond the length of an IPv6 prefix do not count.
    assert_eq!(route("route add fd00::1/64 dev r0").prefix, net("fd00::/64"));
}

#[test]
fn routes_that_cannot_be_are_refused_in_words() {
    refuse(&[
        ("route add", "ROUTE"),
        ("route add blackhole", "it needs a prefix, or `default`"),
        ("route add ten via 10.0.1.2", "\"ten\" is neither an address nor a prefix"),
        ("route add 10.1.0.1/16 dev r0", "perhaps 10.1.0.0/16 is meant, or 10.1.0.1/32"),
        (
            "route add 10.1.0.0/16",
            "say where the route to 10.1.0.0/16 leads: `via ADDRESS`, `dev PORT` or both",
        ),
        ("route add 10.1.0.0/16 metric 5", "say where"),
        ("route add 10.1.0.0/16 via", "`via` needs a value"),
        ("route add 10.1.0.0/16 via 10.0.1.2 via 10.0.1.3", "`via` is said twice"),
        ("route add 10.1.0.0/16 via inet fd00::2", "another family than is said before it"),
        (
            "route add fd00::/16 via 10.0.1.2",
            "10.0.1.2 cannot be a gateway to fd00::/16: IPv6 goes by IPv6 only",
        ),
        ("route add 10.1.0.0/16 via 224.0.0.1", "224.0.0.1 cannot be a gateway or neighbor: it is a group's"),
        ("route add fd00::/16 via fe80::2", "say which, `via fe80::2 dev PORT`"),
        ("route add 10.1.0.0/16 dev r0 onlink", "`onlink` needs both"),
        ("route add 10.1.0.0/16 dev r0 weight 0", "a weight is from 1 to 256, not 0"),
        ("route add 10.1.0.0/16 dev r0 weight 257", "a weight is from 1 to 256, not 257"),
        ("route add 10.1.0.0/16 dev r0 nexthop dev r1", "behind a `nexthop` of its own"),
        ("route add 10.1.0.0/16 nexthop", "say where"),
        (
            "route add 10.1.0.0/16 nexthop dev r0 metric 5",
            "`metric` is none of nexthop, via, dev, weight, onlink",
        ),
        ("route add 10.1.0.0/16 dev r0 metric 4294967296", "from 0 to 4294967295"),
        ("route add 10.1.0.0/16 dev r0 tos 256", "from 0 to 255"),
        ("route add fd00::/16 dev r0 tos 16", "only IPv4 routes have a type of service"),
        ("route add 10.1.0.0/16 dev r0 mtu 67", "an mtu is from 68 to 65535 bytes, not 67"),
        ("route add fd00::/16 dev r0 mtu 1279", "an mtu is from 1280 to 65535 bytes, not 1279"),
        ("route add 10.1.0.0/16 dev r0 table mian", "\"mian\" is no table"),
        ("route add 10.1.0.0/16 dev r0 table 0", "\"0\" is no table"),
        ("route add 10.1.0.0/16 dev r0 proto ospd", "\"ospd\" is no protocol"),
        ("route del 10.1.0.0/16 scope link", "leave `scope` out"),
        ("route add 10.1.0.0/16 via 10.0.1.2 scope link", "this route has scope global"),
        (
            "route add 10.1.0.0/16 dev r0 src fd00::1",
            "fd00::1 cannot be the source of packets to 10.1.0.0/16",
        ),
        ("route add 10.1.0.0/16 dev r0 nhid 5", "`nhid` is none of via, dev, metric, table"),
        ("route add blackhole 10.1.0.0/16 dev r0", "a route of type blackhole leads nowhere"),
        ("route add local 10.1.0.0/16 dev r0", "routes of type local are not made by hand"),
    ]);
    let hops: String = (0..65).map(|port| format!(" nexthop dev r{port}")).collect();
    let line = format!("route add 10.1.0.0/16{hops}");
    refuse(&[(&line, "65 next hops are more than the 64 that a route can have")]);
}

#[test]
fn policy_rules_are_written_as_ip_writes_them() {
    let add = |family| PolicyRuleChange::new(AddDel::Add, family);
    let full = policy(
        "policy add not from 10.0.0.0/8 to 10.1.0.9 tos 0x10 fwmark 0x10/0xff iif r0 oif r1 ipproto tcp sport 1-99 dport 80 \
         priority 1000 lookup 100 suppress_prefixlength 0",
    );
    let expected = PolicyRuleChange {
        priority: Some(1000),
        inverted: true,
        from: Some(net("10.0.0.0/8")),
        to: Some(net("10.1.0.9/32")),
        input_port: Some("r0".into()),
        output_port: Some("r1".into()),
        mark: Some(MaskedMark { value: 0x10, mask: 0xff }),
        tos: 16,
        protocol_number: Some(6),
        source_ports: Some((1, 99)),
        destination_ports: Some((80, 80)),
        suppress_prefix_length: Some(0),
        action: Some(PolicyAction::Lookup(100)),
        ..add(Family::Ipv4)
    };
    assert_eq!(full, expected);
    let goto = PolicyRuleChange { action: Some(PolicyAction::Goto(970)), ..add(Family::Ipv6) };
    assert_eq!(policy("pol add -6 goto 970"), goto);
    assert_eq!(policy("policy add from all table main").action, Some(PolicyAction::Lookup(254)));
    assert_eq!(policy("policy add from fd00::/16 unreach").family, Family::Ipv6);
    assert_eq!(policy("policy del prio 1000").verb, AddDel::Del);
    assert_eq!(request("policy"), Request::Ask(Question::PolicyRules));
    refuse(&[
        ("policy add", "RULE"),
        ("policy add from 10.0.0.0/8 to fd00::/16", "fd00::/16 is not of family ipv4, as the rule is"),
        ("policy add -6 from 10.0.0.0/8", "10.0.0.0/8 is not of family ipv6, as the rule is"),
        ("policy add from 10.0.0.1/8", "10.0.0.1/8 has bits beyond its length"),
        ("policy add sport 99-1", "ports 99-1: the first is behind the last"),
        ("policy add sport 99-", "\"99-\" is neither a port nor FIRST-LAST"),
        ("policy add ipproto tpc", "\"tpc\" is no protocol"),
        ("policy add goto 900 priority 1000", "a rule goes on at a later one: 900 is not behind 1000"),
        ("policy add prohibit lookup 100", "a rule does one thing"),
        ("policy add lookup 100 suppress_prefixlength 33", "no prefix is 33 bits long"),
        ("policy add prohibit suppress_prefixlength 0", "`suppress_prefixlength` is about a lookup"),
        ("policy add uidrange 1-2", "`uidrange` is none of not, from, to"),
    ]);
}

fn policy(line: &str) -> PolicyRuleChange {
    match request(line) {
        Request::Do(Action::ChangePolicyRule(change)) => *change,
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn neighbors_are_set_by_hand_as_ip_sets_them() {
    let expected = NeighborChange {
        verb: ChangeVerb::Add,
        address: "10.0.1.2".parse().unwrap(),
        mac: Some(Mac([2, 0, 0, 0, 0, 2])),
        port: "r0".into(),
    };
    assert_eq!(neighbor("neighbor add 10.0.1.2 lladdr 02:00:00:00:00:02 dev r0"), expected);
    assert_eq!(neighbor("neigh add 10.0.1.2 dev r0 ll 2:0:0:0:0:2 nud permanent"), expected);
    let change = neighbor("n replace 10.0.1.2 lladdr 02:00:00:00:00:02 dev r0");
    assert_eq!(change, NeighborChange { verb: ChangeVerb::Replace, ..expected });
    let del = neighbor("neighbor del fe80::2 dev r0");
    assert_eq!((del.verb, del.mac), (ChangeVerb::Del, None));
    refuse(&[
        ("neighbor add 10.0.1.2 dev r0", "say the neighbor's Ethernet address: `lladdr MAC`"),
        ("neighbor add 10.0.1.2 lladdr 02:00:00:00:00:02", "say `dev PORT`"),
        ("neighbor add 10.0.1.2 lladdr 02:00 dev r0", "is not an Ethernet address"),
        ("neighbor add 10.0.1.2 lladdr 01:00:5e:00:00:02 dev r0", "it is a group's"),
        ("neighbor add 10.0.1.2 lladdr 00:00:00:00:00:00 dev r0", "it is zero"),
        ("neighbor add ff02::1 lladdr 02:00:00:00:00:02 dev r0", "ff02::1 cannot be a gateway or neighbor"),
        ("neighbor add 10.0.1.2/24 lladdr 02:00:00:00:00:02 dev r0", "\"10.0.1.2/24\" is not an address"),
        ("neighbor add 10.0.1.2 lladdr 02:00:00:00:00:02 dev r0 nud stale", "`nud permanent`, nothing else"),
        ("neighbor del 10.0.1.2", "say `dev PORT`"),
        ("neighbor add proxy 10.0.1.2 dev r0", "\"proxy\" is not an address"),
    ]);
}

#[test]
fn neighbors_are_forgotten_all_or_by_port() {
    let flush = |line: &str| match request(line) {
        Request::Do(Action::FlushNeighbors(flush)) => flush,
        other => panic!("{line} is {other:?}"),
    };
    assert_eq!(flush("neighbor flush"), NeighborFlush::default());
    assert_eq!(flush("neigh flush all"), NeighborFlush::default());
    assert_eq!(flush("neigh fl dev r0"), NeighborFlush { port: Some("r0".into()) });
    refuse(&[("neigh flush r0", "`r0` is none of dev, all")]);
}

fn a_prefix(ipv6: bool) -> BoxedStrategy<IpNet> {
    if ipv6 {
        (any::<[u8; 16]>(), 0..=128_u8)
            .prop_map(|(octets, length)| IpNet::new(octets.into(), length).unwrap().trunc())
            .boxed()
    } else {
        (any::<[u8; 4]>(), 0..=32_u8)
            .prop_map(|(octets, length)| IpNet::new(octets.into(), length).unwrap().trunc())
            .boxed()
    }
}

fn a_gateway(ipv6: bool) -> impl Strategy<Value = IpAddr> {
    let ipv6_gateway = || any::<u16>().prop_map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last.max(1)]));
    let ipv4_gateway = || any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c]));
    if ipv6 { ipv6_gateway().boxed() } else { prop_oneof![ipv4_gateway(), ipv6_gateway()].boxed() }
}

fn a_hop(ipv6: bool) -> impl Strategy<Value = NextHopChange> {
    let port = prop_oneof!["r[0-9]", "dev", "via", "weight"].prop_map(String::from);
    (option::of(a_gateway(ipv6)), option::of(port), 1..=256_u16, any::<bool>()).prop_map(
        |(via, port, weight, onlink)| {
            let port = port.or_else(|| via.is_none().then(|| "r0".into()));
            let onlink = onlink && via.is_some() && port.is_some();
            NextHopChange { via, port, weight, onlink }
        },
    )
}

fn a_route() -> impl Strategy<Value = RouteChange> {
    let of_family = |ipv6: bool| {
        let source = if ipv6 { IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]) } else { [10, 0, 0, 1].into() };
        (
            a_prefix(ipv6),
            vec(a_hop(ipv6), 0..4),
            1..400_u32,
            (option::of(any::<u32>()), if ipv6 { Just(0).boxed() } else { any::<u8>().boxed() }),
            option::of(any::<u8>().prop_filter("it is `boot` anyway", |protocol| *protocol != 3)),
            (option::of(Just(source)), option::of(1280..=65_535_u32)),
        )
    };
    (any::<bool>(), prop_oneof![Just(ChangeVerb::Add), Just(ChangeVerb::Replace), Just(ChangeVerb::Del)])
        .prop_flat_map(move |(ipv6, verb)| (Just(verb), of_family(ipv6)))
        .prop_map(|(verb, (prefix, next_hops, table, (metric, tos), protocol, (preferred_source, mtu)))| {
            let nowhere = next_hops.is_empty() && verb != ChangeVerb::Del;
            let kind = nowhere.then_some(RouteKind::Blackhole);
            let whole = RouteChange::new(verb, prefix);
            RouteChange { kind, table, metric, tos, protocol, preferred_source, mtu, next_hops, ..whole }
        })
}

fn a_rule() -> impl Strategy<Value = PolicyRuleChange> {
    let action = || {
        prop_oneof![
            (1..400_u32).prop_map(PolicyAction::Lookup),
            (2000..3000_u32).prop_map(PolicyAction::Goto),
            Just(PolicyAction::Nop),
            Just(PolicyAction::Blackhole),
            Just(PolicyAction::Unreachable),
            Just(PolicyAction::Prohibit),
        ]
    };
    let of_family = move |ipv6| {
        let ports = || option::of((any::<u16>(), any::<u16>()).prop_map(|(a, b)| (a.min(b), a.max(b))));
        let port = || option::of("r[0-9]".prop_map(String::from));
        (
            (option::of(a_prefix(ipv6)), option::of(a_prefix(ipv6)), any::<bool>(), option::of(0..2000_u32)),
            (port(), port(), option::of((any::<u32>(), any::<u32>())), any::<u8>()),
            (option::of(any::<u8>()), ports(), ports(), option::of(0..=32_u8), option::of(action())),
        )
            .prop_map(
                move |((from, to, inverted, priority), (input_port, output_port, mark, tos), rest)| {
                    let (protocol_number, source_ports, destination_ports, suppress, action) = rest;
                    let is_lookup = matches!(action, None | Some(PolicyAction::Lookup(_)));
                    let family = if ipv6 { Family::Ipv6 } else { Family::Ipv4 };
                    PolicyRuleChange {
                        priority,
                        inverted,
                        from,
                        to,
                        input_port,
                        output_port,
                        mark: mark.map(|(value, mask)| MaskedMark { value, mask }),
                        tos,
                        protocol_number,
                        source_ports,
                        destination_ports,
                        suppress_prefix_length: suppress.filter(|_| is_lookup),
                        action,
                        ..PolicyRuleChange::new(AddDel::Del, family)
                    }
                },
            )
    };
    any::<bool>().prop_flat_map(of_family)
}

proptest! {
    #[test]
    fn the_words_of_a_policy_rule_mean_that_rule(change in a_rule()) {
        prop_assert_eq!(change.check(), Ok(()));
        let line = change.to_string().replacen("rule del", "", 1);
        let read = crate::lines::rule(&line).unwrap();
        prop_assert_eq!(PolicyRuleChange { verb: AddDel::Del, ..read }, change);
    }

    #[test]
    fn the_words_of_a_change_mean_that_change(change in a_route()) {
        prop_assert_eq!(change.check(), Ok(()));
        prop_assert_eq!(route(&change.to_string()), change.clone());
        let json = serde_json::to_string(&change).unwrap();
        prop_assert_eq!(serde_json::from_str::<RouteChange>(&json).unwrap(), change);
    }
}

#[test]
fn a_queue_is_watched_until_it_is_enough() {
    let watched = |line: &str| match invocation(line).unwrap().task {
        Task::Watch(watch) => watch,
        task => panic!("{line}: {task:?}"),
    };
    let plain = Watch { queue: 3, verdict: Verdict::Accept, count: None };
    assert_eq!(watched("queue watch 3"), plain);
    assert_eq!(watched("que w 3 --accept"), plain);
    let dropping = Watch { verdict: Verdict::Drop, count: Some(10), ..plain };
    assert_eq!(watched("queue watch 3 --drop --count 10"), dropping);
    assert!(usage_error("queue watch").contains("<N>"));
    assert!(usage_error("queue watch 65536").contains("65536"));
    assert!(usage_error("queue watch 3 --accept --drop").contains("cannot be used with"));
}
