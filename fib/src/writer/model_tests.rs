//! Whatever came before, lookups depend only on what is announced now.

use proptest::prelude::*;

use std::net::IpAddr;

use crate::change::{Change, Link, Route, RouteType, Rule, RuleAction, Target};
use crate::rig::{ETH9, LO, R0, R1, R2, Rig, ip, link, query, route, rule};
use crate::snapshot::Query;
use ipnet::IpNet;

#[derive(Clone, Debug)]
enum Step {
    Add(Route),
    Del(usize),
    Carrier(usize, bool),
    Rule(Rule),
    RuleGone(usize),
    Redump,
}

/// What is announced, in plain lists.
struct Model {
    routes: Vec<Route>,
    rules: Vec<Rule>,
    up: [bool; 3],
}

impl Model {
    fn add(&mut self, route: &Route) {
        self.del(route);
        self.routes.push(route.clone());
    }

    fn del(&mut self, route: &Route) {
        let key = |route: &Route| (route.table, route.prefix, route.tos, route.metric);
        self.routes.retain(|held| key(held) != key(route));
    }

    fn usable(&self, route: &Route) -> bool {
        let Target::NextHops(hops) = &route.target else { unreachable!("the model has no objects") };
        route.kind != RouteType::Unicast
            || hops.iter().any(|hop| {
                hop.link.is_some_and(|link| (10..13).contains(&link.0) && self.up[link.0 as usize - 10])
            })
    }

    fn lookup(&self, query: &Query) -> String {
        let mut rules: Vec<&Rule> = self.rules.iter().collect();
        rules.sort_by_key(|rule| rule.priority);
        for rule in rules {
            let from = rule.from.is_none_or(|from| from.contains(&query.source));
            let RuleAction::Lookup(table) = rule.action else { unreachable!("the model only looks up") };
            if !from || rule.mark.is_some_and(|(value, mask)| query.mark & mask != value & mask) {
                continue;
            }
            let mut fit: Vec<&Route> = self
                .routes
                .iter()
                .filter(|route| route.table == table && route.prefix.contains(&query.destination))
                .filter(|route| route.tos == 0 || route.tos == query.tos)
                .filter(|route| self.usable(route))
                .collect();
            fit.sort_by_key(|route| {
                (std::cmp::Reverse(route.prefix.prefix_len()), std::cmp::Reverse(route.tos), route.metric)
            });
            match fit.first() {
                None => continue,
                Some(route) if route.kind == RouteType::Throw => continue,
                Some(route) if route.kind == RouteType::Unicast => {
                    let Target::NextHops(hops) = &route.target else { unreachable!() };
                    let link = hops[0].link.unwrap().0 - 10;
                    return format!("r{link} via {}", hops[0].via.unwrap());
                }
                Some(route) => return format!("{:?}", route.kind),
            }
        }
        "NoRoute".into()
    }
}

fn any_route() -> impl Strategy<Value = Route> {
    let kind = prop_oneof![
        6 => Just(RouteType::Unicast),
        1 => Just(RouteType::Blackhole),
        1 => Just(RouteType::Prohibit),
        1 => Just(RouteType::Throw),
    ];
    let table = prop_oneof![Just(254), Just(100)];
    (
        kind,
        table,
        0_u32..4,
        0_u8..=4,
        0_u32..3,
        prop_oneof![3 => Just(0_u8), 1 => Just(0x10)],
        9_u32..13,
        1_u8..3,
    )
        .prop_map(|(kind, table, bits, length, metric, tos, link, gateway)| {
            let prefix = IpNet::new(IpAddr::V4((bits << 30).into()), length).unwrap().trunc();
            let via = format!("{prefix} via 192.0.2.{gateway} dev {link}");
            let text = if kind == RouteType::Unicast { via } else { prefix.to_string() };
            Route { kind, table, metric, tos, ..route(&text) }
        })
}

fn any_step() -> impl Strategy<Value = Step> {
    let condition = prop_oneof![
        Just((None, None)),
        Just((Some("192.0.2.0/24".parse().unwrap()), None)),
        Just((None, Some((1, 1)))),
    ];
    let any_rule = (1_u32..40, prop_oneof![Just(254), Just(100)], condition).prop_map(
        |(priority, table, (from, mark))| Rule {
            from,
            mark,
            ..rule(priority * 1000, RuleAction::Lookup(table))
        },
    );
    prop_oneof![
        8 => any_route().prop_map(Step::Add),
        4 => any::<usize>().prop_map(Step::Del),
        2 => (0_usize..3, any::<bool>()).prop_map(|(port, up)| Step::Carrier(port, up)),
        1 => any_rule.prop_map(Step::Rule),
        1 => any::<usize>().prop_map(Step::RuleGone),
        1 => Just(Step::Redump),
    ]
}

fn links(up: [bool; 3]) -> impl Iterator<Item = Change> {
    let others = [Link { loopback: true, ..link(LO, "lo") }, link(ETH9, "eth9")];
    let ports = [(R0, "r0"), (R1, "r1"), (R2, "r2")].into_iter().zip(up);
    let ports = ports.map(|((index, name), up)| Link { admin_up: up, ..link(index, name) });
    others.into_iter().chain(ports).map(Change::Link)
}

fn queries() -> impl Iterator<Item = Query> {
    let destinations = (0..16_u32).map(|bits| IpAddr::V4((bits << 28 | 7).into()));
    destinations.flat_map(|destination| {
        [(0, 0, "192.0.2.7"), (1, 0x10, "192.0.2.7"), (1, 0, "198.51.100.7")].map(|(mark, tos, source)| {
            Query { destination, mark, tos, source: ip(source), ..query("10.0.0.1") }
        })
    })
}

proptest! {
    #[test]
    fn every_lookup_agrees_after_every_batch(batches in prop::collection::vec(prop::collection::vec(any_step(), 1..6), 1..25)) {
        let mut rig = Rig::new();
        let usual = [(0, 255), (32_766, 254), (32_767, 253)].map(|(priority, table)| rule(priority, RuleAction::Lookup(table)));
        rig.apply(usual.clone().map(Change::Rule));
        let mut model = Model { routes: Vec::new(), rules: usual.to_vec(), up: [true; 3] };
        for batch in batches {
            let mut changes = Vec::new();
            for step in batch {
                match step {
                    Step::Add(route) => {
                        model.add(&route);
                        changes.push(Change::Route(route));
                    }
                    Step::Del(which) if !model.routes.is_empty() => {
                        let route = model.routes[which % model.routes.len()].clone();
                        model.del(&route);
                        changes.push(Change::RouteGone(route));
                    }
                    Step::Carrier(port, up) => {
                        model.up[port] = up;
                        changes.extend(links(model.up));
                    }
                    Step::Rule(rule) if !model.rules.contains(&rule) => {
                        model.rules.push(rule.clone());
                        changes.push(Change::Rule(rule));
                    }
                    Step::RuleGone(which) if !model.rules.is_empty() => {
                        let rule = model.rules.remove(which % model.rules.len());
                        changes.push(Change::RuleGone(rule));
                    }
                    Step::Redump => {
                        changes.push(Change::DumpBegin);
                        changes.extend(links(model.up));
                        changes.extend(model.routes.iter().cloned().map(Change::Route));
                        let mut rules = model.rules.clone();
                        rules.sort_by_key(|rule| rule.priority);
                        changes.extend(rules.into_iter().map(Change::Rule));
                        changes.push(Change::DumpEnd);
                    }
                    Step::Del(_) | Step::Rule(_) | Step::RuleGone(_) => {}
                }
            }
            let before: Vec<_> = queries().map(|query| rig.way(&query)).collect();
            let applied = rig.apply(changes);
            let after: Vec<_> = queries().map(|query| rig.way(&query)).collect();
            let expected: Vec<_> = queries().map(|query| model.lookup(&query)).collect();
            prop_assert_eq!(&after, &expected);
            prop_assert!(applied.raised || before == after, "a decision changed and the generation did not");
            prop_assert_eq!(rig.writer.route_count(), model.routes.len());
        }
    }
}
