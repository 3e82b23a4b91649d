//! Changes that provably cannot matter cost a flow no lookup.

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use super::*;
use crate::change::{Change, Route, Rule, RuleAction};
use crate::journal::DEPTH_MAX;
use crate::rig::{Rig, ip, route, rule, usual_rules};
use crate::snapshot::{Generation, Place};

#[test]
fn disjoint_shorter_and_foreign_changes_do_not_matter() {
    let (mut rig, asked, _) =
        kept_to("10.1.2.3", &["10.1.0.0/16 via 192.0.2.1 dev r1", "0.0.0.0/0 via 192.0.2.9 dev r2"]);
    rig.apply(usual_rules());
    let kept = learn(&rig, &asked);
    for change in [
        "10.1.0.0/15 via 192.0.2.2 dev r2",
        "10.0.0.0/8 via 192.0.2.2 dev r2",
        "10.1.3.0/24 via 192.0.2.2 dev r2",
        "10.1.2.2/32 via 192.0.2.2 dev r2",
        "0.0.0.0/0 via 192.0.2.3 dev r2",
        "2001:db8::/32 via fe80::1 dev r2",
        "10.1.2.0/24 via 192.0.2.2 dev r2 table 253",
        "10.1.2.0/24 via 192.0.2.2 dev r2 table 100",
        "10.1.0.0/16 via 192.0.2.2 dev r2 metric 9",
    ] {
        assert!(rig.add(change).raised, "{change}");
        assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected, "{change}");
        rig.del(change);
        assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected, "{change} gone");
    }
    for change in
        ["10.1.0.0/16 via 192.0.2.2 dev r2", "10.1.2.0/24 via 192.0.2.2 dev r2", "local 10.1.2.3/32 dev r0"]
    {
        let kept = learn(&rig, &asked);
        rig.add(change);
        assert!(kept.reason(&rig, &asked).is_some(), "{change}");
        rig.del(change);
        rig.add("10.1.0.0/16 via 192.0.2.1 dev r1");
    }
}

#[test]
fn only_tables_that_were_asked_matter() {
    let mut rig = Rig::with(&["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    rig.apply(usual_rules());
    let marked = Rule { mark: Some((1, 1)), ..rule(100, RuleAction::Lookup(100)) };
    let suppressed = Rule { suppress_prefix_length: Some(8), ..rule(200, RuleAction::Lookup(254)) };
    rig.apply([Change::Rule(marked), Change::Rule(suppressed)]);
    let plain = query("10.0.0.1");
    let marked = Query { mark: 1, ..plain };
    let (kept, kept_marked) = (learn(&rig, &plain), learn(&rig, &marked));
    rig.add("10.0.0.0/8 via 192.0.2.2 dev r2 table 100");
    assert_eq!(kept.judge(&rig, &plain), Judgement::Unaffected);
    assert_eq!(kept_marked.reason(&rig, &marked), Some(Staleness::RouteAdded));
    let kept = learn(&rig, &plain);
    rig.add("0.0.0.0/0 via 192.0.2.2 dev r2");
    assert!(kept.reason(&rig, &plain).is_some(), "the table was asked before, in vain");
}

#[test]
fn ten_thousand_changes_elsewhere_do_not_matter_one_near_does() {
    let (mut rig, asked, kept) = kept_to("10.1.2.3", &["10.1.0.0/16 via 192.0.2.1 dev r1"]);
    let elsewhere = |number: u32| {
        let prefix: IpNet = Ipv4Net::new((0x0b00_0000 + (number << 8)).into(), 24).unwrap().into();
        Change::Route(Route { prefix, ..route("11.0.0.0/8 via 192.0.2.2 dev r2") })
    };
    (0..12_000).for_each(|number| {
        rig.apply([elsewhere(number)]);
    });
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected);
    rig.apply((12_000..DEPTH_MAX as u32 + 1_000).map(elsewhere));
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected, "the ring has moved on, the marks have not");
    assert_eq!(rig.load().journal().depth(), DEPTH_MAX);
    assert_eq!(rig.load().journal().overruns(), 0);
    rig.add("10.1.2.0/24 via 192.0.2.2 dev r2");
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::RouteAdded));
}

#[test]
fn when_marks_are_forgotten_ways_near_them_are_asked_for_anew_and_no_others() {
    let (rig, asked, kept) = kept_to("10.1.2.3", &["10.1.0.0/16 via 192.0.2.1 dev r1"]);
    let mut later = (*rig.load()).clone();
    let slot = later.tables.iter().position(|table| table.number == 254).unwrap() as u32;
    let change = |later: &mut Snapshot, prefix: Ipv4Net| {
        later.generation = later.generation.next();
        later.journal.note_routes(later.generation, (slot, 254), prefix.into(), Staleness::RouteAdded);
    };
    change(&mut later, "10.1.2.4/32".parse().unwrap());
    let judge = |snapshot: &Snapshot, stamp| kept.way.judge(stamp, snapshot, &asked, Trust::Generation);
    assert_eq!(judge(&later, kept.stamp), Judgement::Unaffected);
    for number in 0..2 * crate::journal::PREFIXES_MAX as u32 + 2 {
        change(&mut later, Ipv4Net::new((0x4000_0000 + (number << 4)).into(), 28).unwrap());
    }
    assert_eq!(later.journal().overruns(), 1);
    let overrun = Renewal { reason: Staleness::JournalOverrun, change: None };
    assert_eq!(judge(&later, kept.stamp), Judgement::Stale(overrun), "10.1.2.4 is near, and forgotten");
    let far = Query { destination: ip("10.200.0.1"), ..asked };
    let to_far = kept.way.judge(kept.stamp, &later, &far, Trust::Generation);
    assert_eq!(to_far, Judgement::Unaffected, "nothing near it was ever changed");
    let lately = Stamp::of(Generation(later.generation().0 - 1000));
    assert_eq!(judge(&later, lately), Judgement::Unaffected, "its stamp is younger than what was forgotten");
}

/// Whether the routes of a prefix could change what was found at `place` of a table. Routes of the very prefix do not
/// while the route that answered is the first of them.
fn could_matter(snapshot: &Snapshot, route: &Route, destination: IpAddr, table: u32, place: Place) -> bool {
    let turn = |table: u32| [255, 254, 253].iter().position(|asked| *asked == table).unwrap_or(usize::MAX);
    let length = route.prefix.prefix_len();
    let first =
        snapshot.tables[place.slot as usize].get(route.prefix).first().map(|candidate| candidate.path);
    route.prefix.contains(&destination)
        && match turn(route.table).cmp(&turn(table)) {
            Ordering::Less => true,
            Ordering::Equal if length == place.length => first != Some(place.path),
            Ordering::Equal => length > place.length,
            Ordering::Greater => false,
        }
}

fn any_route() -> impl Strategy<Value = Route> {
    let prefix = (0_u32..3, 0_u8..=32).prop_map(|(bits, length)| {
        let address = [0x0a01_0203, 0x0a01_02ff, 0x0a80_0000][bits as usize];
        IpNet::from(Ipv4Net::new(address.into(), length).unwrap().trunc())
    });
    let table = prop_oneof![6 => Just(254), 1 => Just(255), 1 => Just(253), 1 => Just(100)];
    (prefix, table, 1_u8..4, 0_u32..2).prop_map(|(prefix, table, gateway, metric)| {
        let text =
            format!("{prefix} via 192.0.2.{gateway} dev r{} table {table} metric {metric}", 1 + gateway % 2);
        route(&text)
    })
}

proptest! {
    #[test]
    fn a_flow_pays_for_no_route_that_could_not_win(
        changes in prop::collection::vec((any_route(), any::<bool>()), 1..60)
    ) {
        let mut rig = Rig::with(&["0.0.0.0/0 via 192.0.2.1 dev r1", "10.1.0.0/16 via 192.0.2.2 dev r2"]);
        let asked = query("10.1.2.3");
        let mut kept = learn(&rig, &asked);
        let mut changed = Vec::new();
        for (route, add) in changes {
            let applied = rig.apply([if add { Change::Route(route.clone()) } else { Change::RouteGone(route.clone()) }]);
            if applied.raised {
                changed.push(route);
            }
            let judged = kept.judge(&rig, &asked);
            let Some(at) = kept.way.place() else { unreachable!("a route answered") };
            let snapshot = rig.load();
            let matters = |route| could_matter(&snapshot, route, asked.destination, kept.way.table, at);
            if changed.iter().any(matters) {
                prop_assert!(matches!(judged, Judgement::Stale(_)), "{:?}", judged);
                let Some(way) = ask(&snapshot, &asked, None).1 else { break };
                kept = Kept { way, stamp: Stamp::of(snapshot.generation()) };
                changed.clear();
            } else {
                let expected = if changed.is_empty() { Judgement::Good } else { Judgement::Unaffected };
                prop_assert_eq!(judged, expected);
            }
        }
    }
}
