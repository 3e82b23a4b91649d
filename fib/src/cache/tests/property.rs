//! Whatever changes, whoever follows a kept way fares as if there were none.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::adjacency::{LinkIndex, PortId};
use crate::change::{
    Change, Link, LinkSettings, NamespaceSettings, NeighborEntry, NeighborState, NexthopKind, NexthopObject,
    ReversePath, RoutePolicy, Rule, RuleAction, Settings,
};
use crate::rig::{R0, R1, R2, address, group, ip, link, nexthop, route, rule, usual_rules};

/// Something that happens between packets.
#[derive(Clone, Debug)]
enum Event {
    Changes(Vec<Change>),
    /// A user's `flow-cache flush`.
    Flush,
}

const VRF: LinkIndex = LinkIndex(50);

fn any_route_change() -> impl Strategy<Value = Change> {
    let prefix = prop_oneof![
        Just("10.0.0.0/8"),
        Just("10.0.0.0/9"),
        Just("10.0.0.1/32"),
        Just("0.0.0.0/0"),
        Just("192.0.2.0/24"),
        Just("192.0.2.77/32"),
        Just("11.0.0.0/8"),
    ];
    let way = prop_oneof![
        4 => Just("via 192.0.2.1 dev r1"),
        2 => Just("via 192.0.2.2 dev r2"),
        2 => Just("via 192.0.2.9 dev r0"),
        1 => Just("via 192.0.2.1 dev r1 mtu 1400"),
        1 => Just("via 192.0.2.1 dev 20"),
        1 => Just("dev r1 tos 16"),
        1 => Just("dev r0 metric 5"),
        1 => Just("via 192.0.2.1 dev r1 dead"),
        2 => Just("nexthop via 192.0.2.1 dev r1 nexthop via 192.0.2.2 dev r2 nexthop via 192.0.2.3 dev r2"),
        2 => Just("nhid 1"),
        2 => Just("nhid 9"),
    ];
    let kind = prop_oneof![
        9 => Just(""), 1 => Just("blackhole "), 1 => Just("throw "), 1 => Just("prohibit "), 1 => Just("local ")
    ];
    let table = prop_oneof![4 => Just(254), 2 => Just(100), 1 => Just(255)];
    let v4 = (kind, prefix, way, table).prop_map(|(kind, prefix, way, table)| {
        let way = if matches!(kind, "" | "local ") { way } else { "" };
        route(&format!("{kind}{prefix} {way} table {table}"))
    });
    let prefix = prop_oneof![Just("2001:db8::/32"), Just("2001:db8::1/128"), Just("::/0"), Just("fe80::/64")];
    let way = prop_oneof![
        Just("via fe80::1 dev r1"),
        Just("via fe80::2 dev r2 metric 9"),
        Just("dev r2"),
        Just("dev r1"),
        Just("nexthop via fe80::1 dev r1 nexthop via fe80::2 dev r2"),
    ];
    let v6 = (prefix, way).prop_map(|(prefix, way)| route(&format!("{prefix} {way}")));
    let any = prop_oneof![4 => v4, 1 => v6];
    (any, 0..6).prop_map(|(route, what)| match what {
        0..3 => Change::Route(route),
        3 => Change::RouteAppended(route),
        _ => Change::RouteGone(route),
    })
}

fn any_rule_change() -> impl Strategy<Value = Change> {
    let to = |action| rule(100, action);
    let rule = prop_oneof![
        Just(Rule { iif: Some("r0".into()), ..to(RuleAction::Lookup(100)) }),
        Just(Rule { mark: Some((1, 1)), ..rule(101, RuleAction::Lookup(100)) }),
        Just(Rule { tos: 0x10, ..rule(102, RuleAction::Lookup(100)) }),
        Just(Rule { from: Some("192.0.2.0/25".parse().unwrap()), ..rule(103, RuleAction::Lookup(100)) }),
        Just(Rule { destination_ports: Some((53, 53)), ..rule(104, RuleAction::Lookup(100)) }),
        Just(Rule { invert: true, protocol: Some(17), ..rule(105, RuleAction::Lookup(100)) }),
        Just(Rule { suppress_prefix_length: Some(8), ..rule(106, RuleAction::Lookup(254)) }),
        Just(Rule { mark: Some((1, 1)), ..rule(107, RuleAction::Goto(32_767)) }),
        Just(Rule { l3mdev: true, ..rule(1000, RuleAction::Lookup(0)) }),
        Just(Rule { iif: Some("vrf0".into()), ..rule(99, RuleAction::Blackhole) }),
        Just(rule(98, RuleAction::Lookup(100))),
    ];
    (rule, any::<bool>())
        .prop_map(|(rule, add)| if add { Change::Rule(rule) } else { Change::RuleGone(rule) })
}

fn any_settings() -> impl Strategy<Value = Change> {
    let filter = prop_oneof![3 => Just(ReversePath::Off), 1 => Just(ReversePath::Strict), 1 => Just(ReversePath::Loose)];
    let device = prop_oneof![Just(R0), Just(R1), Just(R2)];
    let usually = |often| prop::bool::weighted(if often { 0.9 } else { 0.1 });
    let of_link = (device, filter, usually(true), usually(false), usually(false)).prop_map(
        |(link, rp_filter, send_redirects, accept_local, route_localnet)| {
            let others = LinkSettings::default();
            Settings::Link(
                link,
                LinkSettings { rp_filter, send_redirects, accept_local, route_localnet, ..others },
            )
        },
    );
    let of_namespace = (0_u8..2).prop_map(|policy| {
        Settings::Namespace(NamespaceSettings {
            multipath_hash_policy_v4: policy,
            ..NamespaceSettings::default()
        })
    });
    prop_oneof![4 => of_link, 1 => of_namespace].prop_map(Change::Settings)
}

fn any_link_change() -> impl Strategy<Value = Vec<Change>> {
    let device = prop_oneof![Just((R0, "r0")), Just((R1, "r1")), Just((R2, "r2"))];
    (device, 0..8).prop_map(|((index, name), what)| {
        let usual = link(index, name);
        match what {
            0 | 1 => vec![Change::Link(usual)],
            2 | 3 => vec![Change::Link(Link { admin_up: false, ..usual })],
            4 => vec![Change::Link(Link { mtu: 1280, no_arp: true, ..usual })],
            5 => vec![Change::LinkGone(index)],
            6 => vec![Change::LinkGone(index), Change::Link(link(LinkIndex(index.0 + 10), name))],
            _ => {
                let vrf = Link { kind: "vrf".into(), vrf_table: Some(100), ..link(VRF, "vrf0") };
                vec![Change::Link(vrf), Change::Link(Link { master: Some(VRF), ..usual })]
            }
        }
    })
}

fn any_object() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(nexthop(1, "192.0.2.1", "r1")),
        Just(nexthop(1, "192.0.2.3", "r2")),
        Just(nexthop(2, "192.0.2.2", "r2")),
        Just(Change::Nexthop(NexthopObject { id: 1, kind: NexthopKind::Blackhole })),
        Just(group(9, &[(1, 1), (2, 1)])),
        Just(group(9, &[(2, 1)])),
        Just(group(9, &[(2, 3), (1, 1)])),
        Just(Change::NexthopGone(1)),
        Just(Change::NexthopGone(9)),
    ]
}

fn any_address() -> impl Strategy<Value = Change> {
    let net = prop_oneof![
        Just("192.0.2.254/24"),
        Just("192.0.2.77/24"),
        Just("10.0.0.1/8"),
        Just("2001:db8::1/64")
    ];
    let device = prop_oneof![Just(R0), Just(R1), Just(R2)];
    (net, device, any::<bool>()).prop_map(|(net, device, add)| {
        let address = address(device, net);
        if add { Change::Address(address) } else { Change::AddressGone(address) }
    })
}

fn any_policy() -> impl Strategy<Value = Change> {
    let prefix = prop_oneof![Just("10.0.0.0/8"), Just("10.0.0.1/32"), Just("2001:db8::/32")];
    let policy = prop_oneof![Just(Some(RoutePolicy::Keep)), Just(Some(RoutePolicy::Move)), Just(None)];
    (prefix, policy).prop_map(|(prefix, policy)| Change::Policy(prefix.parse().unwrap(), policy))
}

fn any_event() -> impl Strategy<Value = Event> {
    let one = |change| vec![change];
    let neighbor =
        |state| Change::Neighbor(NeighborEntry { link: R1, address: ip("192.0.2.1"), state, mac: None });
    let changes = prop_oneof![
        12 => any_route_change().prop_map(one),
        3 => any_rule_change().prop_map(one),
        3 => any_settings().prop_map(one),
        3 => any_link_change(),
        3 => any_object().prop_map(one),
        2 => any_address().prop_map(one),
        1 => any_policy().prop_map(one),
        1 => Just(one(neighbor(NeighborState::Stale))),
        1 => Just(one(neighbor(NeighborState::Failed))),
    ];
    prop_oneof![
        30 => prop::collection::vec(changes, 1..4).prop_map(|batch| Event::Changes(batch.concat())),
        1 => Just(Event::Flush),
    ]
}

/// A packet of one of a few flows: their addresses and ports are fixed, the rest is up to the packet.
fn any_packet() -> impl Strategy<Value = (usize, Query)> {
    let flows = [
        ("10.0.0.1", "192.0.2.77", 17, 53),
        ("10.0.0.1", "10.0.0.9", 6, 80),
        ("10.200.0.1", "192.0.2.177", 17, 80),
        ("11.0.0.1", "192.0.2.77", 17, 53),
        ("2001:db8::1", "2001:db8:77::77", 17, 53),
        ("fe80::9", "fe80::8", 17, 53),
    ];
    let input = prop_oneof![3 => Just(Some(0_u16)), 1 => Just(Some(1)), 1 => Just(Some(2)), 1 => Just(None)];
    let tos = prop_oneof![Just(0_u8), Just(0x10), Just(0x12)];
    (0..flows.len(), input, 0_u32..2, tos).prop_map(move |(flow, input, mark, tos)| {
        let (destination, source, protocol, destination_port) = flows[flow];
        let input = input.map(PortId);
        let fixed = Query { source: ip(source), protocol, destination_port, ..query(destination) };
        (flow, Query { input, mark, tos, ..fixed })
    })
}

fn start() -> Rig {
    let mut rig = Rig::with(&[
        "10.0.0.0/8 via 192.0.2.1 dev r1",
        "11.0.0.0/8 via 192.0.2.2 dev r2",
        "192.0.2.0/24 dev r0",
        "2001:db8::/32 via fe80::1 dev r1",
    ]);
    rig.apply(usual_rules());
    rig.apply([nexthop(1, "192.0.2.1", "r1"), nexthop(2, "192.0.2.2", "r2"), group(9, &[(1, 1), (2, 1)])]);
    rig
}

proptest! {
    #[test]
    fn with_and_without_the_cache_packets_fare_alike(
        searched in any::<bool>(),
        steps in prop::collection::vec((prop::option::weighted(0.4, any_event()), any_packet()), 1..100)
    ) {
        let mut rig = start();
        rig.writer.routes_searched_max = if searched { usize::MAX } else { 0 };
        let mut flows: HashMap<usize, Kept> = HashMap::new();
        for (event, (flow, query)) in steps {
            match event {
                Some(Event::Changes(changes)) => {
                    rig.apply(changes);
                }
                Some(Event::Flush) => {
                    rig.writer.raise();
                }
                None => {}
            }
            let snapshot = rig.load();
            let present = Stamp::of(snapshot.generation());
            let held = flows.get(&flow).copied();
            let (fresh, way) = ask(&snapshot, &query, held.map(|kept| kept.way.hop));
            let judged = held.map(|kept| kept.way.judge(kept.stamp, &snapshot, &query, Trust::Generation));
            match (held, judged) {
                (Some(kept), Some(Judgement::Good | Judgement::Unaffected | Judgement::KeptByPolicy)) if kept.way.keep => {
                    // It may be elsewhere than routes say, but only while it is to stay, and can.
                    let neighbor = kept.way.hop.neighbor.and_then(|neighbor| snapshot.neighbors().get(neighbor));
                    prop_assert!(snapshot.surroundings.policies.keeps(query.destination));
                    prop_assert!(snapshot.ports().is_up(kept.way.hop.port));
                    prop_assert!(neighbor.is_none_or(|view| view.state != NeighborState::Failed));
                    flows.insert(flow, Kept { stamp: present, ..kept });
                }
                (Some(kept), Some(Judgement::Good | Judgement::Unaffected)) => {
                    prop_assert!(!snapshot.surroundings.policies.keeps(query.destination));
                    let adjacency = Adjacency::Forward(kept.way.hop);
                    let source = SourceCheck::Valid { direct: true };
                    prop_assert_eq!(Fate { adjacency, source, redirect: kept.way.redirect }, fresh, "{:?}", judged);
                    flows.insert(flow, Kept { stamp: present, ..kept });
                }
                (_, Some(Judgement::KeptByPolicy)) => prop_assert!(false, "nobody has said so"),
                _ => {
                    flows.remove(&flow);
                    flows.extend(way.map(|way| (flow, Kept { way, stamp: present })));
                }
            }
        }
    }
}
