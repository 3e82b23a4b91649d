//! A route moves in the middle of a stream, and the stream with it.

use crate::ground::{Family, WAY_PORTS, flow};
use crate::watched::in_mid_stream;

/// Moves of each kind.
const ROUNDS: usize = 4;

/// The other way at every second move, beginning with it.
fn there_and_back() -> impl Iterator<Item = usize> {
    [1, 0].into_iter().cycle().take(ROUNDS)
}

#[test]
fn a_stream_follows_a_replaced_route_at_once() {
    in_mid_stream(
        |_, _| {},
        |watched, routerd, family| {
            for (moves, way) in (1_u64..).zip(there_and_back()) {
                watched.change(&[format!("route replace {} via {}", family.prefix, family.via[way])], way);
                let route = flow(routerd, &watched.download)["reply"]["route"].clone();
                assert_eq!(route["port"], WAY_PORTS[way], "{route}");
                assert_eq!(
                    route["via"].as_str().or(route["next_hop"].as_str()),
                    Some(family.via[way]),
                    "{route}"
                );
                assert_eq!(route["renewals"].as_u64(), Some(moves), "{route}");
            }
        },
    );
}

#[test]
fn a_stream_follows_a_more_specific_route_and_falls_back_when_that_goes() {
    in_mid_stream(
        |lab, family| {
            // The host's own route goes; one of the neighborhood has the same gateway.
            for line in [
                format!("route add {} via {}", wider(family), family.via[0]),
                format!("route del {}", family.prefix),
            ] {
                lab.at("r1").ip(&line).unwrap();
            }
        },
        |watched, _, family| {
            for way in there_and_back() {
                let word = if way == 1 { "add" } else { "del" };
                watched.change(&[format!("route {word} {} via {}", family.prefix, family.via[1])], way);
            }
        },
    );
}

fn wider(family: &Family) -> &'static str {
    if family.option.is_empty() { "10.9.0.0/16" } else { "fd00:9::/64" }
}

#[test]
fn a_stream_follows_a_replaced_nexthop_object_at_once() {
    let object = |family: &Family, way: usize| {
        let id = if family.option.is_empty() { 4 } else { 6 };
        format!("nexthop replace id {id} via {} dev {}", family.via[way], WAY_PORTS[way])
    };
    in_mid_stream(
        |lab, family| {
            let id = if family.option.is_empty() { 4 } else { 6 };
            for line in [object(family, 0), format!("route replace {} nhid {id}", family.prefix)] {
                lab.at("r1").ip(&line).unwrap();
            }
        },
        |watched, _, family| {
            for way in there_and_back() {
                watched.change(&[object(family, way)], way);
            }
        },
    );
}

#[test]
fn a_stream_follows_a_policy_rule_that_comes_and_goes() {
    in_mid_stream(
        |lab, family| {
            lab.at("r1").ip(&format!("route add {} via {} table 100", family.prefix, family.via[1])).unwrap();
        },
        |watched, _, family| {
            for way in there_and_back() {
                let word = if way == 1 { "add" } else { "del" };
                let selector = format!("from {} to {}", family.server, family.client);
                watched.change(&[format!("{}rule {word} {selector} lookup 100", family.option)], way);
            }
        },
    );
}

#[test]
fn a_stream_keeps_its_member_of_a_group_while_that_is_there_and_leaves_it_when_it_goes() {
    in_mid_stream(
        |lab, family| lab.at("r1").ip(&group(family, [(0, 1), (1, 1)])).unwrap(),
        |watched, _, family| {
            let (own, other) = (watched.way, 1 - watched.way);
            // Other weights and another order move the hash's borders, and not the flow.
            for members in [[(own, 1), (other, 200)], [(other, 200), (own, 1)], [(own, 1), (other, 1)]] {
                watched.change(&[group(family, members)], own);
            }
            watched.change(&[format!("route replace {} via {}", family.prefix, family.via[other])], other);
            // It does not go back when its first member does.
            watched.change(&[group(family, [(own, 200), (other, 1)])], other);
        },
    );
}

#[test]
fn a_stream_that_is_held_moves_only_when_it_is_let_go() {
    in_mid_stream(
        |_, _| {},
        |watched, routerd, family| {
            routerd.tell("flow-cache hold").unwrap();
            let line = format!("route replace {} via {}", family.prefix, family.via[1]);
            watched.change(&[line], 0);
            // The route is another by now: only the flow is held.
            let way = routerd.ask(&format!("route get {}", family.client)).unwrap();
            assert_eq!(way["via"], family.via[1], "{way}");
            watched.moves("flow-cache on", 1, |_| drop(routerd.tell("flow-cache on").unwrap()));
        },
    );
}

/// A route of two members: ways and weights.
fn group(family: &Family, members: [(usize, u32); 2]) -> String {
    let [one, other] = members.map(|(way, weight)| {
        format!("nexthop via {} dev {} weight {weight}", family.via[way], WAY_PORTS[way])
    });
    format!("route replace {} {one} {other}", family.prefix)
}
