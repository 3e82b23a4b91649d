//! Tests on messages recorded from Linux 6.18 (`fixtures/record.py` says how).

use std::net::IpAddr;

use fib::adjacency::{LinkIndex, Mac};
use fib::change::{
    Address, Change, Link, NeighborEntry, NeighborState, NextHop, NexthopKind, NexthopObject, Route,
    RouteType, Rule, RuleAction, Scope, Target,
};
use ipnet::IpNet;
use proptest::prelude::*;

use super::{Announcement, Netconf, NetconfScope, translate};

const RECORDED: &str = include_str!("fixtures/recorded.txt");

/// One recorded message.
struct Recorded {
    command: &'static str,
    kind: u16,
    payload: Vec<u8>,
}

fn recorded() -> impl Iterator<Item = Recorded> {
    RECORDED.lines().map(|line| {
        let (command, message) = line.split_once(" | ").expect("a bar stands behind the command");
        let mut words = message.split(' ');
        let kind = words.next().unwrap().parse().unwrap();
        let hex = words.nth(1).unwrap();
        let payload =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        Recorded { command, kind, payload }
    })
}

/// What was announced of the given type while the command ran.
fn announced(command: &str, kind: u16) -> Vec<Announcement> {
    let all: Vec<_> = recorded()
        .filter(|message| message.command == command && message.kind == kind)
        .map(|message| translate(message.kind, &message.payload).unwrap())
        .collect();
    assert!(!all.is_empty(), "nothing of type {kind} was recorded for: {command}");
    all
}

/// The one change announced.
fn change(command: &str, kind: u16) -> Change {
    let mut all = announced(command, kind);
    assert_eq!(all.len(), 1, "{command}");
    match all.remove(0) {
        Announcement::Change(change) => change,
        other => panic!("{command} announced {other:?}"),
    }
}

/// The changes among what was announced.
fn changes(command: &str, kind: u16) -> Vec<Change> {
    announced(command, kind)
        .into_iter()
        .filter_map(|announcement| match announcement {
            Announcement::Change(change) => Some(change),
            _ => None,
        })
        .collect()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const R0: LinkIndex = LinkIndex(10);
const R1: LinkIndex = LinkIndex(12);

fn via(gateway: &str, link: LinkIndex) -> NextHop {
    NextHop { link: Some(link), via: Some(ip(gateway)), weight: 1, onlink: false, dead: false }
}

/// A unicast route as `ip route add PREFIX …` makes it: main table, protocol boot.
fn route(prefix: &str, hops: Vec<NextHop>) -> Route {
    Route {
        table: 254,
        prefix: net(prefix),
        kind: RouteType::Unicast,
        protocol: 3,
        scope: Scope::UNIVERSE,
        tos: 0,
        metric: 0,
        preferred_source: None,
        mtu: 0,
        target: Target::NextHops(hops),
    }
}

/// The same of IPv6, whose default metric is 1024.
fn route6(prefix: &str, hops: Vec<NextHop>) -> Route {
    Route { metric: 1024, ..route(prefix, hops) }
}

#[test]
fn a_link_is_read_with_all_its_properties() {
    let r0 = Link {
        index: R0,
        name: "r0".to_owned(),
        kind: "veth".to_owned(),
        mac: Mac([2, 0, 0, 0, 0, 0x10]),
        mtu: 1400,
        admin_up: false,
        carrier: false,
        loopback: false,
        no_arp: false,
        master: None,
        vrf_table: None,
    };
    assert_eq!(change("ip link set dev r0 mtu 1400", libc::RTM_NEWLINK), Change::Link(r0.clone()));
    let up = Link { admin_up: true, ..r0.clone() };
    assert_eq!(change("ip link set dev r0 up", libc::RTM_NEWLINK), Change::Link(up));
    let renamed = Link { name: "r9".to_owned(), ..r0 };
    assert_eq!(change("ip link set dev r0 name r9", libc::RTM_NEWLINK), Change::Link(renamed));

    let Change::Link(lo) = change("ip link set dev lo up", libc::RTM_NEWLINK) else { panic!() };
    assert!(lo.loopback && lo.admin_up && lo.carrier && lo.kind.is_empty());
    assert_eq!(lo.mac, Mac::default());
}

#[test]
fn carrier_is_told_apart_from_being_set_up() {
    let links: Vec<_> = changes("ip link set dev h0 up", libc::RTM_NEWLINK)
        .into_iter()
        .map(|change| match change {
            Change::Link(link) => (link.index, link.admin_up, link.carrier),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(links, [(LinkIndex(11), true, true), (LinkIndex(11), true, true), (R0, true, true)]);
}

#[test]
fn a_port_that_leaves_its_bridge_is_not_taken_for_gone() {
    let left = announced("ip link set dev h1 nomaster", libc::RTM_DELLINK);
    assert_eq!(left, [Announcement::Ignored]);
    let gone = change("ip link del dev br", libc::RTM_DELLINK);
    assert_eq!(gone, Change::LinkGone(LinkIndex(21)));
}

#[test]
fn a_bridge_is_no_vrf() {
    for change in changes("ip link set dev h1 master br", libc::RTM_NEWLINK) {
        let Change::Link(link) = change else { panic!() };
        assert_eq!(link.master, None);
    }
}

#[test]
fn addresses_of_both_families_are_read() {
    let first = Address {
        link: R0,
        net: net("192.0.2.1/24"),
        peer: None,
        broadcast: Some(ip("192.0.2.255")),
        scope: Scope::UNIVERSE,
        secondary: false,
        tentative: false,
        deprecated: false,
    };
    let all = changes("ip addr add 192.0.2.1/24 brd + dev r0", libc::RTM_NEWADDR);
    assert_eq!(all[0], Change::Address(first.clone()));

    let second = Address { net: net("192.0.2.2/24"), broadcast: None, secondary: true, ..first.clone() };
    let gone = change("ip addr del 192.0.2.2/24 dev r0", libc::RTM_DELADDR);
    assert_eq!(gone, Change::AddressGone(second));

    let point_to_point = Address {
        link: R1,
        net: net("198.51.100.1/32"),
        peer: Some(ip("198.51.100.9")),
        broadcast: None,
        ..first.clone()
    };
    let all = changes("ip addr add 198.51.100.1 peer 198.51.100.9/32 dev r1", libc::RTM_NEWADDR);
    assert_eq!(all[0], Change::Address(point_to_point));

    let without_detection = Address { net: net("2001:db8:1::1/64"), broadcast: None, ..first.clone() };
    let all = changes("ip addr add 2001:db8:1::1/64 dev r0 nodad", libc::RTM_NEWADDR);
    assert_eq!(all[0], Change::Address(without_detection));

    let tentative =
        Address { link: R1, net: net("2001:db8:2::1/64"), broadcast: None, tentative: true, ..first };
    let all = changes("ip addr add 2001:db8:2::1/64 dev r1", libc::RTM_NEWADDR);
    assert_eq!(all[0], Change::Address(tentative));
}

#[test]
fn the_routes_of_an_address_are_read() {
    let command = "ip addr add 192.0.2.1/24 brd + dev r0";
    let hop = NextHop { link: Some(R0), via: None, weight: 1, onlink: false, dead: false };
    let connected = Route {
        protocol: 2,
        scope: Scope::LINK,
        preferred_source: Some(ip("192.0.2.1")),
        ..route("192.0.2.0/24", vec![hop])
    };
    let local = Route {
        table: 255,
        prefix: net("192.0.2.1/32"),
        kind: RouteType::Local,
        scope: Scope::HOST,
        ..connected.clone()
    };
    let broadcast =
        Route { table: 255, prefix: net("192.0.2.255/32"), kind: RouteType::Broadcast, ..connected.clone() };
    let routes = changes(command, libc::RTM_NEWROUTE);
    assert_eq!(routes[..3], [local, broadcast, connected].map(Change::Route));
}

#[test]
fn a_route_is_read_with_metric_protocol_source_and_mtu() {
    let command =
        "ip route add 203.0.113.0/24 via 192.0.2.9 dev r0 proto static metric 50 src 192.0.2.1 mtu 1300";
    let expected = Route {
        protocol: 4,
        metric: 50,
        preferred_source: Some(ip("192.0.2.1")),
        mtu: 1300,
        ..route("203.0.113.0/24", vec![via("192.0.2.9", R0)])
    };
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(expected));
}

#[test]
fn a_table_above_255_and_a_tos_are_read() {
    let command = "ip route add 10.1.0.0/16 table 1234 via 192.0.2.9 dev r0 proto bgp";
    let expected = Route { table: 1234, protocol: 186, ..route("10.1.0.0/16", vec![via("192.0.2.9", R0)]) };
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(expected));

    let on_link = NextHop { via: None, ..via("192.0.2.9", R0) };
    let expected = Route { tos: 0x10, scope: Scope::LINK, ..route("10.9.0.0/16", vec![on_link]) };
    assert_eq!(
        change("ip route add 10.9.0.0/16 dev r0 tos 0x10", libc::RTM_NEWROUTE),
        Change::Route(expected)
    );
}

#[test]
fn several_next_hops_keep_weights_and_an_ipv6_gateway() {
    let command = "ip route add 10.2.0.0/16 nexthop via 192.0.2.9 dev r0 weight 3 nexthop via inet6 fe80::9 dev r1 weight 1";
    let hops = vec![NextHop { weight: 3, ..via("192.0.2.9", R0) }, via("fe80::9", R1)];
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(route("10.2.0.0/16", hops)));

    let command = "ip route add 10.4.0.0/16 via inet6 2001:db8:1::9 dev r0";
    let expected = route("10.4.0.0/16", vec![via("2001:db8:1::9", R0)]);
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(expected));
}

#[test]
fn onlink_is_read() {
    let command = "ip route add 10.3.0.0/16 via 10.99.0.1 dev r0 onlink";
    let hop = NextHop { onlink: true, ..via("10.99.0.1", R0) };
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(route("10.3.0.0/16", vec![hop])));
}

#[test]
fn routes_that_lead_nowhere_have_no_next_hop() {
    let cases = [
        ("ip route add blackhole 10.5.0.0/16", "10.5.0.0/16", RouteType::Blackhole),
        ("ip route add unreachable 10.6.0.0/16", "10.6.0.0/16", RouteType::Unreachable),
        ("ip route add prohibit 10.7.0.0/16", "10.7.0.0/16", RouteType::Prohibit),
        ("ip route add throw 10.8.0.0/16 table 1234", "10.8.0.0/16", RouteType::Throw),
        ("ip -6 route add unreachable 2001:db8:c::/48", "2001:db8:c::/48", RouteType::Unreachable),
    ];
    for (command, prefix, kind) in cases {
        let metric = if prefix.contains(':') { 1024 } else { 0 };
        let table = if kind == RouteType::Throw { 1234 } else { 254 };
        let expected = Route { kind, metric, table, ..route(prefix, Vec::new()) };
        let found = changes(command, libc::RTM_NEWROUTE);
        assert!(found.contains(&Change::Route(expected)), "{command}: {found:?}");
    }
}

#[test]
fn ipv6_announces_all_next_hops_when_one_is_added_and_one_when_one_goes() {
    let ospf = |hops| Route { metric: 77, protocol: 188, ..route("2001:db8:a::/48", hops) };
    let (nine, eight) = (via("2001:db8:1::9", R0), via("2001:db8:1::8", R0));

    let command = "ip -6 route add 2001:db8:a::/48 via 2001:db8:1::9 metric 77 proto ospf";
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(ospf(vec![nine.clone()])));
    let command = "ip -6 route append 2001:db8:a::/48 via 2001:db8:1::8 metric 77 proto ospf";
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(ospf(vec![eight, nine.clone()])));
    let command = "ip -6 route del 2001:db8:a::/48 via 2001:db8:1::9 metric 77";
    assert_eq!(change(command, libc::RTM_DELROUTE), Change::RouteGone(ospf(vec![nine.clone()])));

    let command =
        "ip -6 route add 2001:db8:b::/48 nexthop via 2001:db8:1::9 weight 2 nexthop via fe80::9 dev r1";
    let hops = vec![NextHop { weight: 2, ..nine }, via("fe80::9", R1)];
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(route6("2001:db8:b::/48", hops)));
}

#[test]
fn a_default_route_over_a_link_local_gateway_is_read() {
    let command = "ip -6 route add default via fe80::1 dev r0 mtu 1280";
    let expected = Route { mtu: 1280, ..route6("::/0", vec![via("fe80::1", R0)]) };
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(expected));
}

#[test]
fn a_route_for_certain_sources_is_not_mistaken_for_one_for_all() {
    let command = "ip -6 route add 2001:db8:d::/48 from 2001:db8:1::/64 dev r0";
    let all = announced(command, libc::RTM_NEWROUTE);
    assert!(matches!(all[..], [Announcement::Unsupported(_)]), "{all:?}");
}

#[test]
fn nexthop_objects_and_groups_are_read() {
    let object = |id, kind| Change::Nexthop(NexthopObject { id, kind });
    let cases = [
        ("ip nexthop add id 5 via 192.0.2.9 dev r0", object(5, NexthopKind::Single(via("192.0.2.9", R0)))),
        ("ip nexthop add id 6 via fe80::9 dev r1", object(6, NexthopKind::Single(via("fe80::9", R1)))),
        ("ip nexthop add id 7 blackhole", object(7, NexthopKind::Blackhole)),
        (
            "ip nexthop add id 8 via 10.99.0.1 dev r0 onlink",
            object(8, NexthopKind::Single(NextHop { onlink: true, ..via("10.99.0.1", R0) })),
        ),
        ("ip nexthop add id 9 group 5,2/6,200", object(9, NexthopKind::Group(vec![(5, 2), (6, 200)]))),
        (
            "ip nexthop replace id 5 via 192.0.2.10 dev r0",
            object(5, NexthopKind::Single(via("192.0.2.10", R0))),
        ),
        // What is left of the group when a member goes.
        ("ip nexthop del id 6", object(9, NexthopKind::Group(vec![(5, 2)]))),
    ];
    for (command, expected) in cases {
        assert_eq!(change(command, super::RTM_NEWNEXTHOP), expected, "{command}");
    }
    assert_eq!(change("ip nexthop del id 6", super::RTM_DELNEXTHOP), Change::NexthopGone(6));
    let bridge = announced("ip nexthop add id 10 via 192.0.2.9 fdb", super::RTM_NEWNEXTHOP);
    assert_eq!(bridge, [Announcement::Ignored]);
}

#[test]
fn a_route_over_an_object_names_the_object() {
    let expected = Route { target: Target::Object(9), ..route("10.20.0.0/16", Vec::new()) };
    assert_eq!(change("ip route add 10.20.0.0/16 nhid 9", libc::RTM_NEWROUTE), Change::Route(expected));
    let expected = Route { target: Target::Object(6), ..route6("2001:db8:e::/48", Vec::new()) };
    let command = "ip -6 route add 2001:db8:e::/48 nhid 6";
    assert_eq!(change(command, libc::RTM_NEWROUTE), Change::Route(expected));
}

#[test]
fn neighbors_are_read_and_proxies_and_mappings_passed_over() {
    let nine = NeighborEntry {
        link: R0,
        address: ip("192.0.2.9"),
        state: NeighborState::Reachable,
        mac: Some(Mac([2, 0, 0, 0, 0, 0x99])),
    };
    let command = "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:99 dev r0 nud reachable";
    assert_eq!(change(command, libc::RTM_NEWNEIGH), Change::Neighbor(nine.clone()));
    let command = "ip neigh change 192.0.2.9 lladdr 02:00:00:00:00:98 dev r0 nud stale";
    let moved =
        NeighborEntry { state: NeighborState::Stale, mac: Some(Mac([2, 0, 0, 0, 0, 0x98])), ..nine.clone() };
    assert_eq!(change(command, libc::RTM_NEWNEIGH), Change::Neighbor(moved));
    let command = "ip neigh add 2001:db8:1::9 lladdr 02:00:00:00:00:99 dev r0 nud permanent";
    let six = NeighborEntry { address: ip("2001:db8:1::9"), state: NeighborState::Permanent, ..nine.clone() };
    assert_eq!(change(command, libc::RTM_NEWNEIGH), Change::Neighbor(six));

    let command = "ip neigh del 192.0.2.9 dev r0";
    let failed = NeighborEntry { state: NeighborState::Failed, mac: None, ..nine };
    assert_eq!(change(command, libc::RTM_NEWNEIGH), Change::Neighbor(failed));
    let gone = Change::NeighborGone { link: R0, address: ip("192.0.2.9") };
    assert_eq!(change(command, libc::RTM_DELNEIGH), gone);

    for change in changes("ip link set dev r0 down", libc::RTM_DELNEIGH) {
        let Change::NeighborGone { address, .. } = change else { panic!() };
        assert!(!address.is_multicast(), "{address} is a mapping");
    }
    assert!(
        announced("ip link add dev br index 21 type bridge", libc::RTM_NEWNEIGH)
            .iter()
            .all(|announcement| *announcement == Announcement::Ignored),
        "an entry of a bridge's table is no neighbor"
    );
}

#[test]
fn policy_rules_are_read_with_all_selectors() {
    let plain = Rule {
        ipv6: false,
        priority: 0,
        invert: false,
        from: None,
        to: None,
        iif: None,
        oif: None,
        mark: None,
        tos: 0,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        suppress_prefix_length: None,
        l3mdev: false,
        uid_range: false,
        action: RuleAction::Nop,
        protocol_origin: 0,
    };
    let cases = [
        (
            "ip rule add from 10.0.0.0/8 to 192.0.2.0/24 iif r0 fwmark 0x10/0xff lookup 1234 pref 100",
            Rule {
                priority: 100,
                from: Some(net("10.0.0.0/8")),
                to: Some(net("192.0.2.0/24")),
                iif: Some("r0".to_owned()),
                mark: Some((0x10, 0xff)),
                action: RuleAction::Lookup(1234),
                ..plain.clone()
            },
        ),
        (
            "ip rule add not to 10.1.0.0/16 oif r1 tos 0x10 ipproto tcp sport 1000-2000 dport 80 unreachable pref 101",
            Rule {
                priority: 101,
                invert: true,
                to: Some(net("10.1.0.0/16")),
                oif: Some("r1".to_owned()),
                tos: 0x10,
                protocol: Some(6),
                source_ports: Some((1000, 2000)),
                destination_ports: Some((80, 80)),
                action: RuleAction::Unreachable,
                ..plain.clone()
            },
        ),
        (
            "ip rule add lookup main suppress_prefixlength 0 pref 102",
            Rule {
                priority: 102,
                suppress_prefix_length: Some(0),
                action: RuleAction::Lookup(254),
                ..plain.clone()
            },
        ),
        (
            "ip rule add goto 32766 pref 103",
            Rule { priority: 103, action: RuleAction::Goto(32766), ..plain.clone() },
        ),
        ("ip rule add nop pref 104", Rule { priority: 104, ..plain.clone() }),
        (
            "ip rule add l3mdev pref 105",
            Rule { priority: 105, l3mdev: true, action: RuleAction::Lookup(0), ..plain.clone() },
        ),
        (
            "ip rule add uidrange 1-2 lookup 9 pref 106",
            Rule { priority: 106, uid_range: true, action: RuleAction::Lookup(9), ..plain.clone() },
        ),
        (
            "ip rule add blackhole pref 107",
            Rule { priority: 107, action: RuleAction::Blackhole, ..plain.clone() },
        ),
        (
            "ip rule add to 10.9.0.0/16 fwmark 0x20 lookup 9 pref 109",
            Rule {
                priority: 109,
                to: Some(net("10.9.0.0/16")),
                mark: Some((0x20, u32::MAX)),
                action: RuleAction::Lookup(9),
                ..plain.clone()
            },
        ),
        (
            "ip -6 rule add from 2001:db8::/32 prohibit pref 108 protocol 186",
            Rule {
                ipv6: true,
                priority: 108,
                from: Some(net("2001:db8::/32")),
                protocol_origin: 186,
                action: RuleAction::Prohibit,
                ..plain.clone()
            },
        ),
    ];
    for (command, expected) in cases {
        assert_eq!(change(command, libc::RTM_NEWRULE), Change::Rule(expected), "{command}");
    }
    let gone = Change::RuleGone(Rule { priority: 104, ..plain });
    assert_eq!(change("ip rule del pref 104", libc::RTM_DELRULE), gone);
}

#[test]
fn a_changed_setting_says_where() {
    let place = |command: &str| announced(command, libc::RTM_NEWNETCONF);
    let settings = |ipv6, scope| Announcement::Settings(Netconf { ipv6, scope });
    assert_eq!(place("sysctl -w net.ipv4.conf.r1.rp_filter=2"), [settings(false, NetconfScope::Link(R1))]);
    assert_eq!(place("sysctl -w net.ipv6.conf.r1.forwarding=1"), [settings(true, NetconfScope::Link(R1))]);
    assert_eq!(
        place("sysctl -w net.ipv4.conf.default.rp_filter=1"),
        [settings(false, NetconfScope::Default)]
    );
}

#[test]
fn all_that_was_recorded_is_understood() {
    for message in recorded() {
        if let Err(error) = translate(message.kind, &message.payload) {
            panic!("{}: {error}", message.command);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_message_never_panics(
        pick in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let all: Vec<_> = recorded().collect();
        let message = pick.get(&all);
        let mut payload = message.payload.clone();
        for (at, value) in &damage {
            let at = at.index(payload.len());
            payload[at] = *value;
        }
        payload.truncate(payload.len() - cut.index(payload.len()) / 4);
        let _ = translate(message.kind, &payload);
    }

    #[test]
    fn any_bytes_never_panic(kind in 16_u16..120, payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = translate(kind, &payload);
    }
}
