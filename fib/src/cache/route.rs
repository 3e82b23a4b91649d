//! A route kept with all that was asked, believed until the next change of the routing state.

use ipnet::IpNet;

use super::{Staleness, Trust};
use crate::adjacency::PortId;
use crate::snapshot::{Adjacency, Answer, Depends, Generation, Hop, Query, Snapshot};

/// A kept route, one per flow and direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CachedRoute {
    /// Generation of the state that was asked: read with the answer, never later.
    pub stamp: Generation,
    /// The way on.
    pub hop: Hop,
    /// Which parts of the question the answer rests on.
    pub depends: Depends,
    /// The question.
    pub asked: Query,
    /// The packet left by the port it came from, and its sender is to be told of a better way.
    pub redirect: bool,
    /// Packets that took it since it was learned.
    pub hits: u64,
    /// How often it was asked for anew.
    pub renewals: u32,
    /// Why, the last time.
    pub last_renewal: Option<Staleness>,
    /// Table that answered.
    pub table: u32,
    /// Prefix that answered.
    pub prefix: Option<IpNet>,
}

/// Whether a kept route may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Good,
    /// It has to be asked for anew, for this reason.
    Stale(Staleness),
}

impl CachedRoute {
    /// Keeps the answer to a question; `None` when the answer is not a way on. `depends` is what the answer and the
    /// judgement of the source ([`Snapshot::validate_source`]) rest on together.
    #[must_use]
    pub fn learn(query: &Query, answer: &Answer, depends: Depends, redirect: bool) -> Option<Self> {
        let Adjacency::Forward(hop) = answer.adjacency else { return None };
        Some(Self {
            stamp: answer.generation,
            hop,
            depends,
            asked: *query,
            redirect,
            hits: 0,
            renewals: 0,
            last_renewal: None,
            table: answer.table,
            prefix: answer.prefix,
        })
    }

    /// Takes the place of `self` after a renewal for this reason; the flow's history goes on.
    #[must_use]
    pub fn renewed_by(&self, next: Self, reason: Staleness) -> Self {
        Self { renewals: self.renewals.saturating_add(1), last_renewal: Some(reason), ..next }
    }

    /// Whether a packet that asks `query` may take this route now. Any change of the routing state since it was learned
    /// makes it stale.
    #[must_use]
    pub fn judge(&self, snapshot: &Snapshot, query: &Query, trust: Trust) -> Verdict {
        let stale = if trust == Trust::Generation && self.stamp != snapshot.generation() {
            Staleness::Generation
        } else if let Some(difference) = self.difference(query) {
            difference
        } else if !snapshot.ports().get(self.hop.port).up {
            Staleness::PortDown
        } else if self.hop.neighbor.is_some_and(|neighbor| snapshot.neighbors().get(neighbor).is_none()) {
            Staleness::NeighborReused
        } else {
            return Verdict::Good;
        };
        Verdict::Stale(stale)
    }

    /// What the packet asks otherwise than was asked, if the answer rests on it.
    fn difference(&self, query: &Query) -> Option<Staleness> {
        let Self { asked, depends, .. } = self;
        if query.destination != asked.destination {
            Some(Staleness::Destination)
        } else if depends.source && query.source != asked.source {
            Some(Staleness::Source)
        } else if query.input != asked.input && (depends.input || self.turns_back(query.input)) {
            Some(Staleness::Input)
        } else if depends.mark && query.mark != asked.mark {
            Some(Staleness::Mark)
        } else if depends.tos && query.tos != asked.tos {
            Some(Staleness::Tos)
        } else if depends.ports && transport(query) != transport(asked) {
            Some(Staleness::Ports)
        } else {
            None
        }
    }

    /// Whether leaving by the port of entry is at stake: then a redirect is due, and the source is looked at harder.
    fn turns_back(&self, input: Option<PortId>) -> bool {
        let out = Some(self.hop.port);
        input == out || self.asked.input == out
    }
}

fn transport(query: &Query) -> (u8, u16, u16) {
    (query.protocol, query.source_port, query.destination_port)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::change::{Change, Link, LinkSettings, NeighborState, ReversePath, Rule, RuleAction, Settings};
    use crate::rig::{R0, R1, R2, Rig, ip, link, query, route, rule, usual_rules};
    use crate::snapshot::SourceCheck;

    /// Asks as the walk asks: the way on, then whether the source may be where it is.
    fn ask(
        snapshot: &Snapshot,
        query: &Query,
        keep: Option<Hop>,
    ) -> (Answer, SourceCheck, Option<CachedRoute>) {
        let answer = snapshot.lookup_keeping(query, keep);
        let mut depends = answer.depends;
        let output = match answer.adjacency {
            Adjacency::Forward(hop) => Some(hop.port),
            _ => None,
        };
        let source = snapshot.validate_source(query, output, &mut depends);
        let redirect =
            output.is_some() && output == query.input && source == SourceCheck::Valid { direct: true };
        let accepted = matches!(source, SourceCheck::Valid { .. });
        let kept = accepted.then(|| CachedRoute::learn(query, &answer, depends, redirect)).flatten();
        (answer, source, kept)
    }

    fn learn(rig: &Rig, query: &Query) -> CachedRoute {
        ask(&rig.load(), query, None).2.expect("a way on")
    }

    fn judge(rig: &Rig, route: &CachedRoute, query: &Query) -> Verdict {
        route.judge(&rig.load(), query, Trust::Generation)
    }

    #[test]
    fn a_kept_route_is_good_until_the_generation_moves_either_way() {
        let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
        let query = query("10.0.0.1");
        let kept = learn(&rig, &query);
        assert_eq!(judge(&rig, &kept, &query), Verdict::Good);
        let ahead = CachedRoute { stamp: kept.stamp.next(), ..kept };
        assert_eq!(
            judge(&rig, &ahead, &query),
            Verdict::Stale(Staleness::Generation),
            "older or newer is all one"
        );
        rig.add("11.0.0.0/8 dev r2");
        assert_eq!(judge(&rig, &kept, &query), Verdict::Stale(Staleness::Generation));
        assert_eq!(kept.judge(&rig.load(), &query, Trust::Hold), Verdict::Good);
    }

    #[test]
    fn the_stamp_is_that_of_the_state_asked_not_of_the_state_in_force_after() {
        let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
        let query = query("10.0.0.1");
        let snapshot = rig.load();
        rig.add("10.0.0.0/8 via 192.0.2.2 dev r2");
        let kept = ask(&snapshot, &query, None).2.unwrap();
        assert_eq!(kept.stamp, snapshot.generation());
        assert_eq!(kept.judge(&snapshot, &query, Trust::Generation), Verdict::Good);
        drop(snapshot);
        assert_eq!(
            judge(&rig, &kept, &query),
            Verdict::Stale(Staleness::Generation),
            "looked up in a state that is past"
        );
    }

    #[test]
    fn only_what_the_answer_rests_on_is_compared() {
        let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
        let asked = query("10.0.0.1");
        let kept = learn(&rig, &asked);
        let others = [
            (Query { destination: ip("10.0.0.2"), ..asked }, Staleness::Destination),
            (Query { source: ip("192.0.2.78"), ..asked }, Staleness::Source),
            (Query { input: Some(PortId(2)), ..asked }, Staleness::Input),
            (Query { mark: 1, ..asked }, Staleness::Mark),
            (Query { tos: 0x10, ..asked }, Staleness::Tos),
            (Query { protocol: 6, ..asked }, Staleness::Ports),
            (Query { source_port: 1, ..asked }, Staleness::Ports),
            (Query { destination_port: 1, ..asked }, Staleness::Ports),
        ];
        for (other, reason) in others {
            // The check of the source rests on the source, always.
            let always = matches!(reason, Staleness::Destination | Staleness::Source);
            let expected = if always { Verdict::Stale(reason) } else { Verdict::Good };
            assert_eq!(judge(&rig, &kept, &other), expected, "{reason:?}");
        }
        rig.apply(usual_rules());
        let nowhere = Rule { to: Some("11.0.0.0/8".parse().unwrap()), ..rule(100, RuleAction::Lookup(100)) };
        let each = [
            Rule { iif: Some("r0".into()), ..nowhere.clone() },
            Rule { mark: Some((0, 1)), ..nowhere.clone() },
            Rule { tos: 0x10, ..rule(100, RuleAction::Lookup(100)) },
            Rule { source_ports: Some((4000, 4000)), ..rule(100, RuleAction::Lookup(100)) },
        ];
        rig.apply(each.map(Change::Rule));
        let kept = learn(&rig, &asked);
        for (other, reason) in others {
            assert_eq!(judge(&rig, &kept, &other), Verdict::Stale(reason), "{reason:?}");
            assert_eq!(
                kept.judge(&rig.load(), &other, Trust::Hold),
                Verdict::Stale(reason),
                "hold trusts no other question"
            );
        }
    }

    #[test]
    fn a_packet_that_would_turn_back_is_asked_for_anew() {
        let rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
        let asked = query("10.0.0.1");
        let kept = learn(&rig, &asked);
        let turning = Query { input: Some(PortId(1)), ..asked };
        assert_eq!(judge(&rig, &kept, &turning), Verdict::Stale(Staleness::Input));
        let kept = learn(&rig, &turning);
        assert_eq!(judge(&rig, &kept, &asked), Verdict::Stale(Staleness::Input));
    }

    #[test]
    fn a_port_going_down_is_seen_before_any_generation() {
        let rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
        let asked = query("10.0.0.1");
        let kept = learn(&rig, &asked);
        let ports = rig.writer.ports();
        ports.set(PortId(1), crate::adjacency::PortState { up: false, ..ports.get(PortId(1)) });
        assert_eq!(judge(&rig, &kept, &asked), Verdict::Stale(Staleness::PortDown));
        assert_eq!(kept.judge(&rig.load(), &asked, Trust::Hold), Verdict::Stale(Staleness::PortDown));
        ports.set(PortId(0), crate::adjacency::PortState { up: false, ..ports.get(PortId(0)) });
        ports.set(PortId(1), crate::adjacency::PortState { up: true, ..ports.get(PortId(1)) });
        assert_eq!(judge(&rig, &kept, &asked), Verdict::Good, "the port of entry does not matter");
    }

    #[test]
    fn a_neighbor_whose_place_was_given_away_is_not_mistaken() {
        let mut rig = Rig { writer: crate::writer::Writer::new(vec!["r0".into(), "r1".into()], 1) };
        rig.apply([Change::Link(link(R0, "r0")), Change::Link(link(R1, "r1"))]);
        rig.add("10.0.0.0/8 via 192.0.2.1 dev r1");
        let asked = query("10.0.0.1");
        let kept = learn(&rig, &asked);
        let neighbors = rig.writer.neighbors();
        let mut other = neighbors.find_or_create(PortId(1), ip("192.0.2.2"));
        if other.is_none() {
            other = neighbors.find_or_create(PortId(1), ip("192.0.2.2"));
        }
        assert_eq!(other.expect("recycled").index, kept.hop.neighbor.unwrap().index);
        assert_eq!(judge(&rig, &kept, &asked), Verdict::Stale(Staleness::NeighborReused));
        assert_eq!(kept.judge(&rig.load(), &asked, Trust::Hold), Verdict::Stale(Staleness::NeighborReused));
    }

    #[test]
    fn a_renewal_keeps_the_flows_history() {
        let rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
        let first = CachedRoute { hits: 9, renewals: 4, ..learn(&rig, &query("10.0.0.1")) };
        let next = first.renewed_by(learn(&rig, &query("10.0.0.1")), Staleness::Mark);
        assert_eq!((next.renewals, next.last_renewal, next.hits), (5, Some(Staleness::Mark), 0));
    }

    #[test]
    fn what_is_no_way_on_is_not_kept() {
        let rig = Rig::with(&["blackhole 10.0.0.0/8", "local 192.0.2.1/32 dev r0"]);
        for destination in ["10.0.0.1", "192.0.2.1", "203.0.113.1"] {
            assert_eq!(ask(&rig.load(), &query(destination), None).2, None, "{destination}");
        }
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let prefix = prop_oneof![
            Just("10.0.0.0/8"),
            Just("10.0.0.0/9"),
            Just("10.0.0.1/32"),
            Just("0.0.0.0/0"),
            Just("192.0.2.0/24")
        ];
        let way = prop_oneof![
            Just("via 192.0.2.1 dev r1"),
            Just("via 192.0.2.2 dev r2"),
            Just("via 192.0.2.9 dev r0"),
            Just("dev r1 tos 16"),
            Just("nexthop via 192.0.2.1 dev r1 nexthop via 192.0.2.2 dev r2 nexthop via 192.0.2.3 dev r2"),
        ];
        let table = prop_oneof![3 => Just(254), 1 => Just(100)];
        let any_route = (prefix, way, table)
            .prop_map(|(prefix, way, table)| route(&format!("{prefix} {way} table {table}")));
        let selector = prop_oneof![
            Just(Rule { iif: Some("r0".into()), ..rule(100, RuleAction::Lookup(100)) }),
            Just(Rule { mark: Some((1, 1)), ..rule(101, RuleAction::Lookup(100)) }),
            Just(Rule { tos: 0x10, ..rule(102, RuleAction::Lookup(100)) }),
            Just(Rule { from: Some("192.0.2.0/25".parse().unwrap()), ..rule(103, RuleAction::Lookup(100)) }),
            Just(Rule { destination_ports: Some((53, 53)), ..rule(104, RuleAction::Lookup(100)) }),
            Just(Rule { invert: true, protocol: Some(17), ..rule(105, RuleAction::Lookup(100)) }),
        ];
        let filter = prop_oneof![Just(ReversePath::Off), Just(ReversePath::Strict), Just(ReversePath::Loose)];
        let device = prop_oneof![Just((R0, "r0")), Just((R1, "r1")), Just((R2, "r2"))];
        prop_oneof![
            6 => any_route.clone().prop_map(Change::Route),
            3 => any_route.prop_map(Change::RouteGone),
            2 => selector.clone().prop_map(Change::Rule),
            2 => selector.prop_map(Change::RuleGone),
            1 => (device.clone(), filter).prop_map(|((index, _), rp_filter)| {
                Change::Settings(Settings::Link(index, LinkSettings { rp_filter, ..LinkSettings::default() }))
            }),
            1 => (device.clone(), any::<bool>()).prop_map(|((index, name), up)| {
                Change::Link(Link { admin_up: up, ..link(index, name) })
            }),
            1 => device.prop_map(|(index, _)| Change::Neighbor(crate::change::NeighborEntry {
                link: index, address: ip("192.0.2.1"), state: NeighborState::Stale, mac: None,
            })),
        ]
    }

    fn any_query() -> impl Strategy<Value = Query> {
        let destination = prop_oneof![Just("10.0.0.1"), Just("10.200.0.1")];
        let source = prop_oneof![Just("192.0.2.77"), Just("192.0.2.177"), Just("10.0.0.9")];
        (
            destination,
            source,
            0_u16..3,
            0_u32..2,
            prop_oneof![Just(0_u8), Just(0x10)],
            prop_oneof![Just(53_u16), Just(80)],
            prop_oneof![Just(6_u8), Just(17)],
        )
            .prop_map(|(destination, source, port, mark, tos, destination_port, protocol)| Query {
                source: ip(source),
                input: Some(PortId(port)),
                mark,
                tos,
                destination_port,
                protocol,
                ..query(destination)
            })
    }

    /// What leaves the router: the way, the member, whether the sender hears of a better one.
    type Fate = (Adjacency, SourceCheck, bool);

    fn fate(answer: &Answer, source: SourceCheck, query: &Query) -> Fate {
        let turns = matches!(answer.adjacency, Adjacency::Forward(hop) if Some(hop.port) == query.input);
        (answer.adjacency, source, turns && source == SourceCheck::Valid { direct: true })
    }

    proptest! {
        #[test]
        fn with_and_without_the_cache_packets_fare_alike(
            steps in prop::collection::vec((prop::option::weighted(0.3, any_change()), any_query()), 1..120)
        ) {
            let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1", "192.0.2.0/24 dev r0"]);
            rig.apply(usual_rules());
            // One kept route for each destination, as a flow has: whoever comes next finds what another left.
            let mut kept: std::collections::HashMap<IpAddr, CachedRoute> = std::collections::HashMap::new();
            for (change, query) in steps {
                rig.apply(change);
                let snapshot = rig.load();
                let held = kept.get(&query.destination).copied();
                let keep = held.map(|held| held.hop);
                let (answer, source, fresh) = ask(&snapshot, &query, keep);
                match held {
                    Some(held) if held.judge(&snapshot, &query, Trust::Generation) == Verdict::Good => {
                        let (fresh_way, fresh_source, redirect) = fate(&answer, source, &query);
                        prop_assert_eq!(Adjacency::Forward(held.hop), fresh_way);
                        prop_assert!(matches!(fresh_source, SourceCheck::Valid { .. }), "{:?}", fresh_source);
                        prop_assert_eq!(held.redirect, redirect);
                    }
                    _ => {
                        kept.remove(&query.destination);
                        kept.extend(fresh.map(|fresh| (query.destination, fresh)));
                    }
                }
            }
        }
    }
}
