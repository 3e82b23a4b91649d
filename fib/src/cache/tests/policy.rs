//! Flows whose user wants them to stay where they are (`route policy keep`).

use super::*;
use crate::change::{Change, Link, NeighborEntry, NeighborState, RoutePolicy, Rule, RuleAction};
use crate::rig::{R1, R2, address, ip, link, rule, usual_rules};

fn policy(prefix: &str, policy: Option<RoutePolicy>) -> Change {
    Change::Policy(prefix.parse().unwrap(), policy)
}

/// A flow to 10.0.0.1 via r1, which is to stay.
fn staying() -> (Rig, Query, Kept) {
    let (mut rig, asked, _) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    rig.apply(usual_rules());
    rig.apply([policy("10.0.0.0/8", Some(RoutePolicy::Keep))]);
    let kept = learn(&rig, &asked);
    assert!(kept.way.keep);
    (rig, asked, kept)
}

#[test]
fn a_flow_that_is_to_stay_stays_whatever_routes_and_rules_change() {
    let (mut rig, asked, kept) = staying();
    rig.add("10.0.0.0/24 via 192.0.2.2 dev r2");
    assert_eq!(kept.judge(&rig, &asked), Judgement::KeptByPolicy);
    let kept = Kept { stamp: Stamp::of(rig.load().generation()), ..kept };
    assert_eq!(kept.judge(&rig, &asked), Judgement::Good);
    rig.add("11.0.0.0/24 via 192.0.2.2 dev r2");
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected);
    rig.apply([Change::Rule(Rule { ..rule(100, RuleAction::Lookup(100)) })]);
    assert_eq!(kept.judge(&rig, &asked), Judgement::KeptByPolicy);
    rig.del("10.0.0.0/8 via 192.0.2.1 dev r1");
    assert_eq!(kept.judge(&rig, &asked), Judgement::KeptByPolicy);
}

#[test]
fn a_flow_stays_only_where_it_can() {
    let (mut rig, asked, kept) = staying();
    rig.add("10.0.0.0/24 via 192.0.2.2 dev r2");
    let neighbor =
        |state| Change::Neighbor(NeighborEntry { link: R1, address: ip("192.0.2.1"), state, mac: None });
    rig.apply([neighbor(NeighborState::Failed)]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::NextHopGone));
    rig.apply([neighbor(NeighborState::Stale)]);
    assert_eq!(kept.judge(&rig, &asked), Judgement::KeptByPolicy);
    rig.apply([Change::Link(Link { admin_up: false, ..link(R1, "r1") })]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::PortDown));
    rig.apply([Change::LinkGone(R1)]);
    rig.apply([Change::Link(link(crate::adjacency::LinkIndex(77), "r1"))]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::PortReplaced));
}

#[test]
fn what_is_no_matter_of_routes_moves_a_flow_all_the_same() {
    let (mut rig, asked, kept) = staying();
    rig.apply([Change::Address(address(R2, "192.0.2.77/24"))]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::AddressAdded));
    let (mut rig, asked, kept) = staying();
    rig.add("10.0.0.0/24 via 192.0.2.2 dev r2");
    rig.writer.raise();
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::Flush));
}

#[test]
fn a_policy_taken_back_lets_flows_follow_and_another_prefixs_does_not_touch_them() {
    let (mut rig, asked, kept) = staying();
    rig.add("10.0.0.0/24 via 192.0.2.2 dev r2");
    let kept = Kept { stamp: Stamp::of(rig.load().generation()), ..kept };
    rig.apply([
        policy("11.0.0.0/8", Some(RoutePolicy::Keep)),
        policy("2001:db8::/32", Some(RoutePolicy::Keep)),
    ]);
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected);
    rig.apply([policy("10.0.0.0/8", Some(RoutePolicy::Keep))]);
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected, "it said so before");
    rig.apply([policy("10.0.0.0/24", Some(RoutePolicy::Move))]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::Policy));
    let moved = learn(&rig, &asked);
    assert!(!moved.way.keep && moved.way.hop.gateway == Some(ip("192.0.2.2")));
    rig.apply([policy("10.0.0.0/24", None)]);
    assert_eq!(moved.reason(&rig, &asked), Some(Staleness::Policy));
    assert!(learn(&rig, &asked).way.keep);
    let list = rig.load().route_policies().to_vec();
    assert_eq!(list.len(), 3);
    rig.apply([policy("10.0.0.0/24", None)]);
    assert_eq!(rig.load().route_policies(), list, "nothing to take back");
}

#[test]
fn a_dump_takes_no_policy_away_and_too_many_are_refused() {
    let (mut rig, ..) = staying();
    rig.apply([Change::DumpBegin, Change::DumpEnd]);
    assert_eq!(rig.load().route_policies().len(), 1);
    let many = u32::try_from(crate::rib::POLICIES_MAX).unwrap();
    let prefix = |number: u32| ipnet::Ipv4Net::new((number << 8 | 0xc000_0000).into(), 24).unwrap();
    let applied =
        rig.apply((0..many).map(|number| Change::Policy(prefix(number).into(), Some(RoutePolicy::Keep))));
    assert_eq!((applied.refused, rig.load().route_policies().len()), (1, crate::rib::POLICIES_MAX));
}
