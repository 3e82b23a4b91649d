//! Packets of a flow that ask otherwise than the flow's way was asked for, and what is looked at before any change.

use super::*;
use crate::adjacency::{PortId, PortState};
use crate::change::{Change, ReversePath, Rule, RuleAction};
use crate::rig::{R0, R1, ip, link, rule, usual_rules};
use crate::snapshot::Generation;

fn stale(reason: Staleness) -> Judgement {
    Judgement::Stale(Renewal { reason, change: None })
}

#[test]
fn only_what_the_answer_rests_on_is_compared() {
    let (mut rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let others = [
        (Query { input: Some(PortId(2)), ..asked }, Staleness::Input),
        (Query { mark: 1, ..asked }, Staleness::Mark),
        (Query { tos: 0x10, ..asked }, Staleness::Tos),
    ];
    for (other, reason) in others {
        assert_eq!(kept.judge(&rig, &other), Judgement::Good, "{reason:?}");
    }
    rig.apply(usual_rules());
    let nowhere = Rule { to: Some("11.0.0.0/8".parse().unwrap()), ..rule(100, RuleAction::Lookup(100)) };
    let each = [
        Rule { iif: Some("r0".into()), ..nowhere.clone() },
        Rule { mark: Some((0, 1)), ..nowhere },
        Rule { tos: 0x10, ..rule(100, RuleAction::Lookup(100)) },
    ];
    rig.apply(each.map(Change::Rule));
    let kept = learn(&rig, &asked);
    for (other, reason) in others {
        assert_eq!(kept.judge(&rig, &other), stale(reason));
        assert_eq!(kept.held(&rig, &other), stale(reason), "hold trusts no other question");
    }
    let marked_by_a_router = Query { tos: 0x03, ..asked };
    assert_eq!(kept.judge(&rig, &marked_by_a_router), Judgement::Good, "routing looks at no ECN");
}

#[test]
fn ways_that_rest_on_nothing_that_differs_are_equal() {
    let routes = ["10.0.0.0/8 via 192.0.2.1 dev r1"];
    let (rig, asked, kept) = kept_to("10.0.0.1", &routes);
    let other = Query {
        destination: ip("10.9.9.9"),
        source: ip("192.0.2.1"),
        input: Some(PortId(2)),
        mark: 7,
        tos: 0x10,
        protocol: 6,
        source_port: 1,
        destination_port: 2,
    };
    assert_eq!(learn(&rig, &other).way, kept.way);
    assert_eq!(kept.way.prefix(other.destination), Some("10.0.0.0/8".parse().unwrap()));
    assert_eq!((kept.way.table, kept.way.input, kept.way.mark, kept.way.tos), (254, None, 0, 0));
    let turning = learn(&rig, &Query { input: Some(PortId(1)), ..asked });
    assert_eq!((turning.way.input, turning.way.redirect), (Some(PortId(1)), false), "no address on r1");
}

#[test]
fn a_packet_that_would_turn_back_is_asked_for_anew() {
    let (rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let turning = Query { input: Some(PortId(1)), ..asked };
    assert_eq!(kept.judge(&rig, &turning), stale(Staleness::Input));
    assert_eq!(learn(&rig, &turning).judge(&rig, &asked), stale(Staleness::Input));
}

#[test]
fn what_the_router_itself_asks_is_no_answer_for_what_comes_from_a_port() {
    let (rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let own = Query { input: None, ..asked };
    assert_eq!(kept.judge(&rig, &own), stale(Staleness::Input));
    assert_eq!(learn(&rig, &own).judge(&rig, &asked), stale(Staleness::Input));
    assert_eq!(learn(&rig, &own).judge(&rig, &own), Judgement::Good);
}

#[test]
fn under_a_source_filter_the_port_of_entry_counts() {
    let (mut rig, asked, kept) =
        kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1", "192.0.2.0/24 dev r0"]);
    assert_eq!(kept.way.input, None);
    rig.apply([super::changes::filter(R0, ReversePath::Strict)]);
    let kept = learn(&rig, &asked);
    let elsewhere = Query { input: Some(PortId(2)), ..asked };
    assert_eq!(kept.judge(&rig, &elsewhere), stale(Staleness::Input));
}

#[test]
fn a_port_going_down_is_seen_before_any_generation() {
    let (rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let ports = rig.writer.ports();
    ports.set(PortId(1), PortState { up: false, ..ports.get(PortId(1)) });
    assert_eq!(kept.judge(&rig, &asked), stale(Staleness::PortDown));
    assert_eq!(kept.held(&rig, &asked), stale(Staleness::PortDown));
    ports.set(PortId(0), PortState { up: false, ..ports.get(PortId(0)) });
    ports.set(PortId(1), PortState { up: true, ..ports.get(PortId(1)) });
    assert_eq!(kept.judge(&rig, &asked), Judgement::Good, "the port of entry does not matter");
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
    assert_eq!(other.expect("recycled").index, kept.way.hop.neighbor.unwrap().index);
    assert_eq!(kept.judge(&rig, &asked), stale(Staleness::NeighborReused));
    assert_eq!(kept.held(&rig, &asked), stale(Staleness::NeighborReused));
}

#[test]
fn what_is_no_way_on_is_not_kept() {
    let rig = Rig::with(&["blackhole 10.0.0.0/8", "local 192.0.2.1/32 dev r0"]);
    for destination in ["10.0.0.1", "192.0.2.1", "203.0.113.1"] {
        assert_eq!(ask(&rig.load(), &query(destination), None).1, None, "{destination}");
    }
}

#[test]
fn a_way_looked_up_in_a_state_that_is_past_is_judged_from_there_on() {
    let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let asked = query("10.0.0.1");
    let snapshot = rig.load();
    rig.add("10.0.0.0/8 via 192.0.2.2 dev r2");
    let way = ask(&snapshot, &asked, None).1.unwrap();
    let stamp = Stamp::of(snapshot.generation());
    assert_eq!(way.judge(stamp, &snapshot, &asked, Trust::Generation), Judgement::Good);
    drop(snapshot);
    assert_eq!(Kept { way, stamp }.reason(&rig, &asked), Some(Staleness::RouteChanged));
}

#[test]
fn a_way_stamped_by_a_worker_that_is_ahead_is_good() {
    let (mut rig, asked, _) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let behind = rig.load();
    rig.add("10.0.0.0/8 via 192.0.2.2 dev r2");
    let ahead = learn(&rig, &asked);
    assert_eq!(ahead.way.judge(ahead.stamp, &behind, &asked, Trust::Generation), Judgement::Good);
}

#[test]
fn stamps_are_right_across_the_wrap_of_their_bits() {
    let wrap = 1 << Stamp::BITS;
    let names = ["r0", "r1", "r2"].map(String::from).to_vec();
    let mut rig = Rig { writer: crate::writer::Writer::starting_at(names, 64, Generation(wrap - 3), (0, 0)) };
    rig.apply([(R0, "r0"), (R1, "r1")].map(|(index, name)| Change::Link(link(index, name))));
    rig.add("10.0.0.0/8 via 192.0.2.1 dev r1");
    assert_eq!(rig.load().generation(), Generation(wrap - 1));
    let asked = query("10.0.0.1");
    let kept = learn(&rig, &asked);
    rig.add("11.0.0.0/8 via 192.0.2.1 dev r1");
    assert_eq!(Stamp::of(rig.load().generation()).bits(), 0);
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected);
    let newer = learn(&rig, &asked);
    rig.add("12.0.0.0/8 via 192.0.2.1 dev r1");
    assert_eq!(newer.judge(&rig, &asked), Judgement::Unaffected);
    rig.add("10.0.0.0/16 via 192.0.2.1 dev r1");
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::RouteAdded));
    assert_eq!(newer.reason(&rig, &asked), Some(Staleness::RouteAdded));
    assert_eq!(learn(&rig, &asked).judge(&rig, &asked), Judgement::Good);
}
