//! What changes, what does not, and what is told of it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::*;
use crate::adjacency::Mac;
use crate::change::{Link, NeighborState, Route, RuleAction};
use crate::path::Reason;
use crate::rig::{ETH9, R0, R1, R2, Rig, address, group, ip, link, nexthop, route, rule, usual_rules};

/// Whether the generation was raised; and that it was exactly when told.
fn raised(rig: &mut Rig, changes: impl IntoIterator<Item = Change>) -> bool {
    let before = rig.writer.generation();
    let applied = rig.apply(changes);
    assert_eq!(applied.raised, applied.generation != before);
    assert_eq!(rig.load().generation(), applied.generation);
    applied.raised
}

fn neighbor(link: LinkIndex, address: &str, state: NeighborState) -> Change {
    Change::Neighbor(NeighborEntry { link, address: ip(address), state, mac: Some(Mac([2, 0, 0, 0, 0, 9])) })
}

#[test]
fn a_batch_raises_the_generation_once_and_no_change_not_at_all() {
    let mut rig = Rig::new();
    let before = rig.writer.generation();
    let routes = ["10.0.0.0/8 dev r1", "11.0.0.0/8 dev r2", "12.0.0.0/8 dev r2"];
    assert!(raised(&mut rig, routes.map(|text| Change::Route(route(text)))));
    assert_eq!(rig.writer.generation(), before.next());
    assert!(!raised(&mut rig, routes.map(|text| Change::Route(route(text)))), "replaced by themselves");
    assert!(!raised(&mut rig, [Change::RouteGone(route("13.0.0.0/8 dev r2"))]), "never there");
    assert!(!raised(&mut rig, []));
    let there_and_back = [Change::RouteGone(route(routes[0])), Change::Route(route(routes[0]))];
    assert!(!raised(&mut rig, there_and_back), "gone and back within a batch");
    assert!(
        !raised(&mut rig, [Change::Route(route("10.0.0.0/8 dev r1 proto 186"))]),
        "another installer, the same way"
    );
    assert!(raised(&mut rig, [Change::RouteGone(route(routes[0]))]));
}

#[test]
fn news_of_neighbors_and_names_raise_nothing() {
    let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.9 dev r1"]);
    use NeighborState::{Failed, Reachable, Stale};
    for state in [Reachable, Stale, Reachable, Failed] {
        assert!(!raised(&mut rig, [neighbor(R1, "192.0.2.9", state)]), "{state:?}");
    }
    assert!(!raised(&mut rig, [Change::NeighborGone { link: R1, address: ip("192.0.2.9") }]));
    let held = address(R0, "192.0.2.1/24");
    assert!(raised(&mut rig, [Change::Address(held.clone())]));
    assert!(!raised(&mut rig, [Change::Address(held)]), "its lifetime was prolonged");
    assert!(
        !raised(&mut rig, [Change::Link(Link { mtu: 1400, mac: Mac([2; 6]), ..link(R1, "r1") })]),
        "MTU and MAC are the port's"
    );
    assert_eq!(rig.writer.ports().get(PortId(1)).mtu, 1400);
}

#[test]
fn the_generation_leaves_out_zero_when_it_wraps() {
    let mut writer = Writer::starting_at(vec!["r0".into()], 16, Generation(u64::MAX - 1), (0, 0));
    let reader = writer.reader();
    let mut seen = vec![reader.load().generation()];
    writer.apply([Change::Link(link(R0, "r0"))]);
    for text in ["10.0.0.0/8 dev r0", "11.0.0.0/8 dev r0", "12.0.0.0/8 dev r0"] {
        writer.apply([Change::Route(route(text))]);
        seen.push(reader.load().generation());
    }
    seen.push(writer.raise());
    assert_eq!(seen.last().copied(), Some(reader.load().generation()));
    assert!(!seen.contains(&Generation(0)), "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    assert!(seen.contains(&Generation(1)), "it did wrap: {seen:?}");
}

#[test]
fn a_port_follows_its_device_through_a_rename_and_finds_a_new_one_by_name() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev r1"]);
    let told = |applied: Applied| {
        applied
            .bindings
            .into_iter()
            .map(|binding| (binding.port.0, binding.link, binding.name, binding.up))
            .collect::<Vec<_>>()
    };
    let renamed = rig.apply([Change::Link(link(R1, "uplink"))]);
    assert_eq!(told(renamed), [(1, Some(R1), "uplink".into(), true)]);
    assert_eq!(rig.to("10.0.0.1"), "r1", "a port keeps its name");
    assert_eq!(told(rig.apply([Change::Link(link(LinkIndex(31), "r1"))])), [], "the port has its device");
    let moved = rig.apply([Change::LinkGone(R1)]);
    assert_eq!(told(moved), [(1, Some(LinkIndex(31)), "r1".into(), true)]);
    assert_eq!(rig.to("10.0.0.1"), "NoRoute", "the route went with the device it named");
    rig.add("10.0.0.0/8 dev 31");
    assert_eq!(rig.to("10.0.0.1"), "r1");
    let lost = rig.apply([Change::LinkGone(LinkIndex(31))]);
    assert_eq!(told(lost), [(1, None, "r1".into(), false)]);
    assert!(!rig.writer.ports().get(PortId(1)).up);
    let back = rig.apply([Change::Link(Link { admin_up: false, ..link(LinkIndex(32), "r1") })]);
    assert_eq!(told(back), [(1, Some(LinkIndex(32)), "r1".into(), false)]);
    assert_eq!(
        told(rig.apply([Change::Link(link(LinkIndex(32), "r1"))])),
        [(1, Some(LinkIndex(32)), "r1".into(), true)]
    );
}

#[test]
fn a_route_announced_under_an_index_that_is_reused_does_not_follow_the_new_device() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev r1"]);
    rig.apply([Change::LinkGone(R1), Change::Link(link(R1, "r1"))]);
    assert_eq!(rig.to("10.0.0.1"), "NoRoute");
}

#[test]
fn a_link_takes_its_addresses_routes_neighbors_and_nexthops_with_it() {
    let mut rig = Rig::with(&[
        "10.0.0.0/8 dev r1",
        "11.0.0.0/8 nexthop via 192.0.2.1 dev r1 nexthop via 192.0.2.2 dev r2",
        "12.0.0.0/8 nhid 5",
    ]);
    rig.apply([
        Change::Address(address(R1, "198.51.100.1/24")),
        neighbor(R1, "198.51.100.7", NeighborState::Reachable),
        nexthop(5, "192.0.2.1", "r1"),
    ]);
    let id = rig.writer.neighbors().find_or_create(PortId(1), ip("198.51.100.7")).unwrap();
    let applied = rig.apply([Change::LinkGone(R1)]);
    let gone: Vec<_> = applied
        .events
        .iter()
        .map(|event| match event {
            Event::RouteGone(row) => row.prefix.to_string(),
            Event::NeighborGone { address, .. } => address.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(gone, ["198.51.100.7", "12.0.0.0/8", "10.0.0.0/8"]);
    assert_eq!(rig.to("11.0.0.1"), "r2 via 192.0.2.2");
    assert!(!rig.load().is_own_address(ip("198.51.100.1")));
    assert_eq!(rig.writer.neighbors().get(id).unwrap().state, NeighborState::None);
}

#[test]
fn neighbors_reach_the_cells_of_their_port_whenever_it_is_bound() {
    let mut rig = Rig::new();
    let late = LinkIndex(31);
    rig.apply([Change::LinkGone(R1), neighbor(late, "192.0.2.9", NeighborState::Reachable)]);
    rig.apply([Change::Link(link(late, "r1"))]);
    let id = rig.writer.neighbors().find_or_create(PortId(1), ip("192.0.2.9")).unwrap();
    assert!(rig.writer.neighbors().get(id).unwrap().state.is_valid());
    assert_eq!(rig.writer.announced_neighbors().count(), 1);
}

#[test]
fn a_dump_removes_what_it_does_not_name_and_raises_nothing_for_the_rest() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev r1", "11.0.0.0/8 dev r2"]);
    rig.apply([
        Change::Address(address(R0, "192.0.2.1/24")),
        neighbor(R0, "192.0.2.7", NeighborState::Stale),
    ]);
    let links = || {
        let all = [(crate::rig::LO, "lo"), (ETH9, "eth9"), (R0, "r0"), (R1, "r1"), (R2, "r2")];
        all.map(|(index, name)| Change::Link(Link { loopback: name == "lo", ..link(index, name) }))
    };
    let picture = |routes: &[&str], rest: &[Change]| {
        let routes = routes.iter().map(|text| Change::Route(route(text)));
        let all = links().into_iter().chain(routes).chain(rest.iter().cloned());
        [Change::DumpBegin].into_iter().chain(all).chain([Change::DumpEnd]).collect::<Vec<_>>()
    };
    let rest =
        [Change::Address(address(R0, "192.0.2.1/24")), neighbor(R0, "192.0.2.7", NeighborState::Stale)];
    assert!(
        !raised(&mut rig, picture(&["11.0.0.0/8 dev r2", "10.0.0.0/8 dev r1"], &rest)),
        "the same picture"
    );
    let applied = rig.apply(picture(&["10.0.0.0/8 dev r1", "12.0.0.0/8 dev r2"], &[]));
    assert!(applied.raised);
    let told: Vec<_> = applied
        .events
        .iter()
        .map(|event| match event {
            Event::Route(row) => format!("+{}", row.prefix),
            Event::RouteGone(row) => format!("-{}", row.prefix),
            Event::NeighborGone { address, .. } => format!("-{address}"),
            Event::Neighbor(entry) => format!("+{}", entry.address),
        })
        .collect();
    assert_eq!(told, ["+12.0.0.0/8", "-11.0.0.0/8", "-192.0.2.7"]);
    assert_eq!(
        (rig.to("10.0.0.1"), rig.to("11.0.0.1"), rig.to("12.0.0.1")),
        ("r1".into(), "NoRoute".into(), "r2".into())
    );
    assert!(!rig.load().is_own_address(ip("192.0.2.1")));
}

#[test]
fn rules_and_nexthops_that_a_dump_does_not_name_are_gone_too() {
    let mut rig = Rig::new();
    let [local, main, default] = usual_rules();
    let table_100 = Change::Rule(rule(100, RuleAction::Lookup(100)));
    rig.apply([local.clone(), main.clone(), default, table_100, nexthop(7, "192.0.2.1", "r1")]);
    rig.apply(["0.0.0.0/0 dev r2 table 100", "10.0.0.0/8 nhid 7"].map(|text| Change::Route(route(text))));
    assert_eq!((rig.to("10.0.0.1"), rig.writer.rules(false).len()), ("r2".into(), 4));
    let links = || [(R1, "r1"), (R2, "r2")].map(|(index, name)| Change::Link(link(index, name)));
    let routes =
        || ["0.0.0.0/0 dev r2 table 100", "10.0.0.0/8 nhid 7"].map(|text| Change::Route(route(text)));
    let dump = |rest: Vec<Change>| {
        [Change::DumpBegin].into_iter().chain(links()).chain(routes()).chain(rest).chain([Change::DumpEnd])
    };
    rig.apply(dump(vec![nexthop(7, "192.0.2.1", "r1"), local.clone(), main.clone()]));
    assert_eq!((rig.to("10.0.0.1"), rig.writer.rules(false).len()), ("r1 via 192.0.2.1".into(), 2));
    rig.apply(dump(vec![local, main]));
    assert_eq!((rig.to("10.0.0.1"), rig.writer.nexthops().count()), ("NoRoute".into(), 0));
}

#[test]
fn rules_of_one_preference_are_asked_in_the_order_of_the_last_dump() {
    let mut rig = Rig::with(&["0.0.0.0/0 dev r1 table 101", "0.0.0.0/0 dev r2 table 102"]);
    let rules = [101, 102].map(|table| Change::Rule(rule(100, RuleAction::Lookup(table))));
    rig.apply(rules.clone());
    assert_eq!(rig.to("10.0.0.1"), "r1");
    let links = [(R1, "r1"), (R2, "r2")].map(|(index, name)| Change::Link(link(index, name)));
    let routes =
        ["0.0.0.0/0 dev r1 table 101", "0.0.0.0/0 dev r2 table 102"].map(|text| Change::Route(route(text)));
    let picture = links.into_iter().chain(routes).chain(rules.into_iter().rev());
    rig.apply([Change::DumpBegin].into_iter().chain(picture).chain([Change::DumpEnd]));
    assert_eq!(rig.to("10.0.0.1"), "r2");
}

#[test]
fn a_dump_is_published_with_its_end_whole() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev r1"]);
    let before = rig.writer.generation();
    let open = rig.apply([Change::DumpBegin, Change::Route(route("11.0.0.0/8 dev r2"))]);
    assert!(open.dumping && !open.raised);
    assert_eq!(rig.to("11.0.0.1"), "NoRoute");
    rig.apply([R0, R1, R2].map(|index| Change::Link(link(index, ["r0", "r1", "r2"][index.0 as usize - 10]))));
    assert_eq!(rig.load().generation(), before);
    let end = rig.apply([Change::DumpEnd]);
    assert!(end.raised && !end.dumping);
    assert_eq!(rig.writer.generation(), before.next());
    assert_eq!((rig.to("10.0.0.1"), rig.to("11.0.0.1")), ("NoRoute".into(), "r2".into()));
}

#[test]
fn what_comes_and_goes_within_a_batch_raises_nothing() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev r1"]);
    let passing = route("11.0.0.0/8 via 192.0.2.9 dev r2");
    assert!(!raised(&mut rig, [Change::Route(passing.clone()), Change::RouteGone(passing.clone())]));
    assert!(raised(&mut rig, [Change::Route(passing)]));
    assert_eq!(rig.to("11.0.0.1"), "r2 via 192.0.2.9");
}

#[test]
fn a_dump_begun_anew_forgets_what_the_first_named() {
    let mut rig = Rig::new();
    let links = || [(R0, "r0"), (R1, "r1")].map(|(index, name)| Change::Link(link(index, name)));
    rig.apply([Change::DumpBegin, Change::Route(route("10.0.0.0/8 dev r1")), Change::DumpBegin]);
    rig.apply(links());
    rig.apply([Change::DumpEnd]);
    assert_eq!(rig.to("10.0.0.1"), "NoRoute");
    assert!(!raised(&mut rig, [Change::DumpEnd]), "an end without a beginning says nothing");
    assert_eq!(rig.writer.ports().get(PortId(0)).link, Some(R0));
}

#[test]
fn ipv6_siblings_come_whole_and_go_one_by_one() {
    let both = "2001:db8::/32 metric 1024 nexthop via fe80::1 dev r1 nexthop via fe80::2 dev r2";
    let mut rig = Rig::with(&["2001:db8::/32 metric 1024 via fe80::1 dev r1"]);
    rig.add(both);
    assert_eq!(rig.writer.route_count(), 1);
    assert_eq!(rig.writer.routes(None).next().unwrap().next_hops.len(), 2);
    rig.del("2001:db8::/32 metric 1024 via fe80::1 dev r1");
    assert_eq!(rig.to("2001:db8::1"), "r2 via fe80::2");
    rig.del("2001:db8::/32 metric 1024 via fe80::2 dev r2");
    assert_eq!(rig.to("2001:db8::1"), "NoRoute");
    assert_eq!(rig.writer.route_count(), 0);
    rig.add(both);
    rig.del(both);
    assert_eq!(rig.writer.route_count(), 0);
}

#[test]
fn ipv6_routes_straight_onto_links_stand_side_by_side() {
    let on = |name: &str| format!("fe80::/64 dev {name} metric 256");
    let mut rig = Rig::with(&[&on("r0"), &on("r1")]);
    assert_eq!(rig.writer.route_count(), 2);
    rig.apply([Change::RouteReplaced(route(&on("r2")))]);
    let links: Vec<_> = rig.writer.routes(None).map(|row| row.next_hops[0].link.unwrap()).collect();
    assert_eq!(links, [R2, R1], "the first like it is replaced");
    rig.del(&on("r2"));
    assert_eq!(rig.writer.route_count(), 1);
    rig.del("fe80::/64 metric 256");
    assert_eq!(rig.writer.route_count(), 0, "no next hop named: all of that metric");
}

#[test]
fn ipv4_routes_of_one_key_are_used_in_the_kernels_order() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev r1"]);
    rig.apply([Change::RouteAppended(route("10.0.0.0/8 dev r2"))]);
    assert_eq!(rig.to("10.0.0.1"), "r1");
    rig.apply([Change::Link(Link { admin_up: false, ..link(R1, "r1") })]);
    assert_eq!(rig.to("10.0.0.1"), "r2");
    rig.apply([Change::Link(link(R1, "r1"))]);
    rig.add("10.0.0.0/8 via 192.0.2.1 dev r0");
    assert_eq!(
        (rig.to("10.0.0.1"), rig.writer.route_count()),
        ("r0 via 192.0.2.1".into(), 2),
        "the first is replaced"
    );
    rig.del("10.0.0.0/8 via 192.0.2.1 dev r0");
    assert_eq!(rig.to("10.0.0.1"), "r2");
}

#[test]
fn a_dump_keeps_two_routes_of_one_key_in_its_order() {
    let mut rig = Rig::new();
    let picture = |routes: [&str; 2]| {
        let links = [(R0, "r0"), (R1, "r1"), (R2, "r2")].map(|(index, name)| Change::Link(link(index, name)));
        let routes = routes.map(|text| Change::Route(route(text)));
        [Change::DumpBegin]
            .into_iter()
            .chain(links)
            .chain(routes)
            .chain([Change::DumpEnd])
            .collect::<Vec<_>>()
    };
    let (one, two) = ("10.0.0.0/8 dev r1", "10.0.0.0/8 dev r2");
    rig.apply(picture([one, two]));
    assert_eq!((rig.to("10.0.0.1"), rig.writer.route_count()), ("r1".into(), 2));
    assert!(!raised(&mut rig, picture([one, two])));
    assert!(raised(&mut rig, picture([two, one])));
    assert_eq!((rig.to("10.0.0.1"), rig.writer.route_count()), ("r2".into(), 2));
}

#[test]
fn what_is_shown_says_what_is_used_and_why_the_rest_is_not() {
    let mut rig = Rig::with(&[
        "10.0.0.0/8 dev eth9",
        "11.0.0.0/8 nexthop via 192.0.2.1 dev r1 weight 2 nexthop via 192.0.2.2 dev r2",
        "12.0.0.0/8 nhid 7",
        "13.0.0.0/8 dev r0 dead",
        "14.0.0.0/8 dev 77",
        "15.0.0.0/8",
        "blackhole 16.0.0.0/8",
    ]);
    rig.apply([Change::Link(Link { admin_up: false, ..link(R1, "r1") })]);
    let rows: Vec<RouteRow> = rig.writer.routes(None).collect();
    let reasons: Vec<_> =
        rows.iter().map(|row| row.unusable.as_ref().map_or("used".into(), Reason::to_string)).collect();
    assert_eq!(
        reasons,
        [
            "no port named eth9 in this router",
            "used",
            "nexthop 7 does not exist",
            "next hop dead",
            "device with index 77 is gone",
            "route without a next hop",
            "used"
        ]
    );
    let hops: Vec<_> = rows[1]
        .next_hops
        .iter()
        .map(|hop| (hop.link_name.as_str(), hop.weight, hop.unusable.as_ref().map(Reason::to_string)))
        .collect();
    assert_eq!(hops, [("r1", 2, Some("port r1 is down".into())), ("r2", 1, None)]);
    rig.apply([group(7, &[])]);
    let after = rig.writer.routes(Some((254, "11.0.0.0/8".parse().unwrap()))).next().unwrap();
    assert_eq!(after.unusable.unwrap().to_string(), "nexthop group 7 is empty");
    assert_eq!(after.nexthop, Some(7));
}

#[test]
fn events_beyond_the_bound_are_counted() {
    let mut rig = Rig::new();
    let many = u32::try_from(EVENTS_MAX).unwrap() + 10;
    let route = |number: u32| Route {
        prefix: IpNet::new(IpAddr::V4((number << 8).into()), 24).unwrap(),
        ..route("10.0.0.0/8 dev r1")
    };
    let applied = rig.apply((0..many).map(|number| Change::Route(route(number))));
    assert_eq!((applied.events.len(), applied.events_lost), (EVENTS_MAX, 10));
    assert_eq!(rig.writer.route_count(), many as usize);
}

#[test]
fn a_table_too_many_is_refused_and_counted() {
    let mut rig = Rig::new();
    let in_table = |number: u32| Change::Route(Route { table: number, ..route("10.0.0.0/8 dev r1") });
    let tables = u32::try_from(crate::rib::TABLES_MAX).unwrap();
    let applied = rig.apply((0..tables + 300).map(in_table));
    assert!(applied.refused >= 300, "{}", applied.refused);
    assert_eq!(rig.writer.route_count() as u64 + applied.refused, u64::from(tables) + 300);
}

#[test]
fn a_full_rib_refuses_the_new_and_still_replaces_the_old() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev r1"]);
    rig.writer.rib.routes_max = 2;
    assert_eq!(rig.add("11.0.0.0/8 dev r1").refused, 0);
    assert_eq!(rig.add("12.0.0.0/8 dev r1").refused, 1);
    assert_eq!(rig.add("11.0.0.0/8 dev r2").refused, 0);
    assert_eq!((rig.to("11.0.0.1"), rig.to("12.0.0.1")), ("r2".into(), "NoRoute".into()));
    rig.del("10.0.0.0/8 dev r1");
    assert_eq!(rig.add("12.0.0.0/8 dev r1").refused, 0);
    assert_eq!(rig.writer.route_count(), 2);
}

#[test]
fn paths_are_shared_and_freed() {
    let mut rig = Rig::new();
    let prefixes = |range: std::ops::Range<u32>| {
        range.map(|number| Route {
            prefix: IpNet::new(IpAddr::V4((number << 8).into()), 24).unwrap(),
            ..route("10.0.0.0/8 via 192.0.2.1 dev r1")
        })
    };
    rig.apply(prefixes(0..1000).map(Change::Route));
    assert_eq!(rig.load().paths.iter().flatten().count(), 1);
    rig.apply(prefixes(0..1000).map(Change::RouteGone));
    assert_eq!(rig.load().paths.iter().flatten().count(), 0);
    rig.apply(prefixes(0..10).map(Change::Route));
    assert_eq!(rig.load().paths.len(), 1, "the place is used again");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a measurement: cargo test --release -p fib")]
fn one_change_in_a_million_routes_takes_less_than_a_hundred_microseconds() {
    let mut rig = Rig::new();
    let numbered = |number: u32, via: &str| Route {
        prefix: IpNet::new(IpAddr::V4((number << 8).into()), 24).unwrap(),
        ..route(&format!("10.0.0.0/8 via {via} dev r1"))
    };
    rig.apply((0..1_000_000).map(|number| Change::Route(numbered(number, "192.0.2.1"))));
    let mut times: Vec<_> = (0..999)
        .map(|number| {
            let change = Change::Route(numbered(number * 1000, "192.0.2.2"));
            let start = std::time::Instant::now();
            assert!(rig.apply([change]).raised);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    assert_eq!(rig.writer.copies(), 0, "nothing was rebuilt");
    assert!(times[times.len() / 2].as_micros() < 100, "median {:?}", times[times.len() / 2]);
}
