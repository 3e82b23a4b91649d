//! Each kind of change that matters, with the reason it is told by and the effect it has.

use super::*;
use crate::adjacency::{LinkIndex, PortId};
use crate::change::{
    Change, Link, LinkSettings, NamespaceSettings, NextHop, NexthopKind, NexthopObject, ReversePath, Rule,
    RuleAction, Settings,
};
use crate::journal::Subject;
use crate::rig::{R0, R1, R2, address, group, ip, link, nexthop, route, rule, usual_rules};

pub(super) fn filter(link: LinkIndex, rp_filter: ReversePath) -> Change {
    Change::Settings(Settings::Link(link, LinkSettings { rp_filter, ..LinkSettings::default() }))
}

fn set(link: LinkIndex, edit: impl FnOnce(&mut LinkSettings)) -> Change {
    let mut settings = LinkSettings::default();
    edit(&mut settings);
    Change::Settings(Settings::Link(link, settings))
}

#[test]
fn routes_tell_what_became_of_them() {
    let (mut rig, asked, kept) =
        kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1", "10.0.0.0/8 via 192.0.2.2 dev r2 metric 9"]);
    let mut held = kept;
    let mut step = |rig: &Rig, expected: Staleness| {
        assert_eq!(held.reason(rig, &asked), Some(expected));
        held = learn(rig, &asked);
        assert_eq!(held.judge(rig, &asked), Judgement::Good);
    };
    rig.add("10.0.0.0/24 via 192.0.2.2 dev r2");
    step(&rig, Staleness::RouteAdded);
    rig.add("10.0.0.0/24 via 192.0.2.3 dev r2");
    step(&rig, Staleness::RouteChanged);
    rig.add("10.0.0.0/24 via 192.0.2.3 dev r2 mtu 1400");
    step(&rig, Staleness::Mtu);
    rig.del("10.0.0.0/24 via 192.0.2.3 dev r2");
    step(&rig, Staleness::RouteRemoved);
    rig.add("10.0.0.0/8 via 192.0.2.7 dev r0 metric 5");
    rig.del("10.0.0.0/8 via 192.0.2.1 dev r1");
    step(&rig, Staleness::RouteRemoved);
    rig.add("10.0.0.0/8 via 192.0.2.8 dev r0 metric 1");
    step(&rig, Staleness::BetterMetric);
    let rows: Vec<_> = rig.load().journal().rows(2).collect();
    assert_eq!(rows[0].what, Staleness::BetterMetric);
    assert_eq!(rows[0].subject, Subject::Prefix { table: 254, prefix: "10.0.0.0/8".parse().unwrap() });
    assert_eq!(rows[0].generation, rig.load().generation());
    assert!(rows[1].generation < rows[0].generation && rows[1].position < rows[0].position);
}

#[test]
fn the_change_that_moves_a_flow_is_named_and_counts_it() {
    let (mut rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    rig.add("10.0.0.0/16 via 192.0.2.2 dev r2");
    rig.add("11.0.0.0/16 via 192.0.2.2 dev r2");
    let Judgement::Stale(Renewal { change: Some(change), .. }) = kept.judge(&rig, &asked) else {
        panic!("a longer prefix")
    };
    rig.load().journal().note_moved(change);
    rig.add("12.0.0.0/16 via 192.0.2.2 dev r2");
    rig.load().journal().note_moved(change);
    let moved: Vec<_> =
        rig.load().journal().rows(3).map(|row| (row.words(&rig.writer.ports()), row.moved)).collect();
    let expected = [("12.0.0.0/16", 0), ("11.0.0.0/16", 0), ("10.0.0.0/16", 2)];
    assert_eq!(moved, expected.map(|(prefix, moved)| (format!("route added: {prefix} table 254"), moved)));
}

#[test]
fn a_port_that_goes_down_and_comes_up_again_takes_its_flows_away_and_back() {
    let routes = ["10.0.0.0/8 via 192.0.2.1 dev r1", "10.0.0.0/8 via 192.0.2.2 dev r2 metric 9"];
    let (mut rig, asked, kept) = kept_to("10.0.0.1", &routes);
    rig.apply([Change::Link(Link { admin_up: false, ..link(R1, "r1") })]);
    let Judgement::Stale(Renewal { reason: Staleness::PortDown, change: Some(change) }) =
        kept.judge(&rig, &asked)
    else {
        panic!("a change that took it away")
    };
    let row = rig.load().journal().rows(9).find(|row| row.position == change).unwrap();
    assert_eq!(row.words(&rig.writer.ports()), "port down: via 192.0.2.1 dev r1");
    let backup = learn(&rig, &asked);
    assert_eq!(backup.way.hop.port, PortId(2));
    rig.apply([Change::Link(link(R1, "r1"))]);
    assert_eq!(backup.reason(&rig, &asked), Some(Staleness::NextHopReturned));
    assert_eq!(learn(&rig, &asked).way, kept.way);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::NextHopReturned), "it was down in between");
}

#[test]
fn a_port_that_comes_up_concerns_those_alone_whom_its_routes_could_win() {
    let routes = [
        "10.0.0.0/8 via 192.0.2.1 dev r1",
        "11.0.0.0/8 via 192.0.2.2 dev r2",
        "11.0.0.0/8 via 192.0.2.1 dev r1 metric 9",
        "0.0.0.0/0 via 192.0.2.1 dev r1",
    ];
    let mut rig = Rig::with(&routes);
    rig.apply([Change::Link(Link { admin_up: false, ..link(R1, "r1") })]);
    let asked = query("11.0.0.1");
    let kept = learn(&rig, &asked);
    rig.apply([Change::Link(link(R1, "r1"))]);
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected, "shorter, and of a worse metric");
    assert_eq!(learn(&rig, &query("10.0.0.1")).way.hop.port, PortId(1));
}

#[test]
fn beyond_a_number_of_routes_a_path_that_returns_concerns_its_family() {
    let routes = ["10.0.0.0/8 via 192.0.2.2 dev r2", "10.0.0.0/16 via 192.0.2.1 dev r1"];
    let mut rig = Rig::with(&routes);
    rig.writer.routes_searched_max = 2;
    rig.add("2001:db8::/32 via fe80::2 dev r2");
    rig.apply([Change::Link(Link { admin_up: false, ..link(R1, "r1") })]);
    let (asked, other, asked_v6) = (query("10.0.0.1"), query("10.9.0.1"), query("2001:db8::1"));
    let (kept, far, kept_v6) = (learn(&rig, &asked), learn(&rig, &other), learn(&rig, &asked_v6));
    rig.apply([Change::Link(link(R1, "r1"))]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::NextHopReturned));
    assert_eq!(far.reason(&rig, &other), Some(Staleness::NextHopReturned));
    assert_eq!(kept_v6.judge(&rig, &asked_v6), Judgement::Unaffected);
}

#[test]
fn a_next_hop_that_dies_takes_its_flows_away() {
    let routes = ["10.0.0.0/8 via 192.0.2.1 dev r1", "10.0.0.0/8 via 192.0.2.2 dev r2 metric 9"];
    let (mut rig, asked, kept) = kept_to("10.0.0.1", &routes);
    rig.add("10.0.0.0/8 via 192.0.2.1 dev r1 dead");
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::RouteChanged));
    assert_eq!(learn(&rig, &asked).way.hop.port, PortId(2));
}

#[test]
fn a_device_made_anew_under_its_name_is_another_device() {
    let routes = ["10.0.0.0/8 via 192.0.2.1 dev r1", "11.0.0.0/8 via 192.0.2.2 dev r2"];
    let anew = LinkIndex(77);
    for at_once in [true, false] {
        let (mut rig, asked, kept) = kept_to("10.0.0.1", &routes);
        let other = query("11.0.0.1");
        let unaffected = learn(&rig, &other);
        let gone = [Change::LinkGone(R1)];
        let back = [Change::Link(link(anew, "r1")), Change::Route(route("10.0.0.0/8 via 192.0.2.1 dev 77"))];
        if at_once {
            rig.apply(gone.into_iter().chain(back));
        } else {
            rig.apply(gone);
            assert_eq!(kept.reason(&rig, &asked), Some(Staleness::PortDown));
            rig.apply(back);
        }
        assert_eq!(kept.reason(&rig, &asked), Some(Staleness::PortReplaced), "at once: {at_once}");
        let learned = learn(&rig, &asked);
        assert_eq!((learned.way.hop.port, rig.load().ports().get(PortId(1)).link), (PortId(1), Some(anew)));
        assert_eq!(unaffected.judge(&rig, &other), Judgement::Unaffected, "another port's flow");
    }
}

#[test]
fn the_mtu_of_a_port_reaches_flows_through_the_port() {
    let (mut rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let before = rig.load().generation();
    rig.apply([Change::Link(Link { mtu: 1280, ..link(R1, "r1") })]);
    assert_eq!(rig.load().generation(), before);
    assert_eq!(kept.judge(&rig, &asked), Judgement::Good);
    assert_eq!(rig.load().ports().get(kept.way.hop.port).mtu, 1280);
}

#[test]
fn a_flow_keeps_its_member_of_a_group_while_it_is_one() {
    let mut rig = Rig::new();
    rig.apply([nexthop(1, "192.0.2.1", "r1"), nexthop(2, "192.0.2.2", "r2"), group(9, &[(1, 1), (2, 1)])]);
    rig.add("10.0.0.0/8 nhid 9");
    let asked = query("10.0.0.1");
    let kept = learn(&rig, &asked);
    let (mine, other) = if kept.way.hop.port == PortId(1) { (1, 2) } else { (2, 1) };
    let again = |rig: &Rig| ask(&rig.load(), &asked, Some(kept.way.hop)).1.unwrap().hop;
    rig.apply([nexthop(3, "192.0.2.3", "r0"), group(9, &[(mine, 1), (3, 50)])]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::NextHopChanged));
    assert_eq!(again(&rig), kept.way.hop);
    rig.apply([group(9, &[(3, 1), (mine, 1)])]);
    assert_eq!(again(&rig), kept.way.hop);
    let kept = Kept { stamp: Stamp::of(rig.load().generation()), ..kept };
    rig.apply([group(9, &[(3, 1)])]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::NextHopGone));
    assert_eq!(again(&rig).gateway, Some(ip("192.0.2.3")));
    rig.apply([group(9, &[(other, 1)])]);
    assert_eq!(again(&rig).gateway, Some(ip(&format!("192.0.2.{other}"))));
}

#[test]
fn a_nexthop_object_that_is_made_another_takes_its_flows_along() {
    let mut rig = Rig::new();
    rig.apply([nexthop(1, "192.0.2.1", "r1")]);
    rig.add("10.0.0.0/8 nhid 1");
    rig.add("11.0.0.0/8 via 192.0.2.1 dev r1");
    let (asked, other) = (query("10.0.0.1"), query("11.0.0.1"));
    let (kept, unaffected) = (learn(&rig, &asked), learn(&rig, &other));
    rig.apply([nexthop(1, "192.0.2.2", "r2")]);
    assert!(matches!(kept.reason(&rig, &asked), Some(Staleness::NextHopChanged)));
    assert_eq!(learn(&rig, &asked).way.hop.gateway, Some(ip("192.0.2.2")));
    assert_eq!(unaffected.judge(&rig, &other), Judgement::Unaffected);
}

#[test]
fn an_address_of_the_routers_own_is_nobodys_source() {
    let (mut rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    let other = Query { source: ip("192.0.2.78"), ..asked };
    assert_eq!(learn(&rig, &other).way, kept.way);
    rig.apply([Change::Address(address(R2, "192.0.2.77/24"))]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::AddressAdded));
    assert_eq!(ask(&rig.load(), &asked, None).1, None, "a martian now");
    assert_eq!(kept.judge(&rig, &other), Judgement::Unaffected, "the same way for another source");
    let kept = Kept { stamp: Stamp::of(rig.load().generation()), ..kept };
    rig.apply([Change::AddressGone(address(R2, "192.0.2.77/24"))]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::AddressRemoved));
}

#[test]
fn an_address_that_leaves_with_its_routes_takes_those_flows_along() {
    let (mut rig, asked, kept) = kept_to(
        "198.51.100.7",
        &[
            "198.51.100.0/24 dev r1 src 198.51.100.1",
            "local 198.51.100.1/32 dev r1",
            "0.0.0.0/0 via 192.0.2.2 dev r2",
        ],
    );
    rig.apply([Change::Address(address(R1, "198.51.100.1/24"))]);
    rig.apply([
        Change::AddressGone(address(R1, "198.51.100.1/24")),
        Change::RouteGone(route("198.51.100.0/24 dev r1 src 198.51.100.1")),
        Change::RouteGone(route("local 198.51.100.1/32 dev r1")),
    ]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::RouteRemoved));
    assert_eq!(learn(&rig, &asked).way.hop.port, PortId(2));
}

#[test]
fn rules_settings_and_flushes_concern_their_whole_family() {
    let ipv6_way = "2001:db8::/32 via fe80::1 dev r1";
    let (mut rig, asked, _) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1", ipv6_way]);
    rig.apply(usual_rules());
    rig.apply([Change::Rule(Rule::for_all(true, 32_766, RuleAction::Lookup(254)))]);
    let asked_v6 = query("2001:db8::1");
    let mut check = |changes: Vec<Change>, v4: Option<Staleness>, v6: Option<Staleness>| {
        let (kept, kept_v6) = (learn(&rig, &asked), learn(&rig, &asked_v6));
        let what = format!("{changes:?}");
        match changes.is_empty() {
            true => {
                rig.writer.raise();
            }
            false => assert!(rig.apply(changes).raised, "{what}"),
        }
        assert_eq!((kept.reason(&rig, &asked), kept_v6.reason(&rig, &asked_v6)), (v4, v6), "{what}");
    };
    let elsewhere = Rule { mark: Some((9, 9)), ..rule(100, RuleAction::Lookup(100)) };
    check(vec![Change::Rule(elsewhere.clone())], Some(Staleness::Rule), None);
    check(vec![Change::RuleGone(elsewhere)], Some(Staleness::Rule), None);
    check(vec![Change::Rule(Rule::for_all(true, 100, RuleAction::Lookup(100)))], None, Some(Staleness::Rule));
    check(vec![filter(R2, ReversePath::Strict)], Some(Staleness::Settings), None);
    let hash = NamespaceSettings { multipath_hash_policy_v6: 1, ..NamespaceSettings::default() };
    check(vec![Change::Settings(Settings::Namespace(hash))], None, Some(Staleness::Settings));
    let vrf = Link { kind: "vrf".into(), vrf_table: Some(77), ..link(LinkIndex(50), "vrf0") };
    let enslaved = Link { master: Some(LinkIndex(50)), ..link(R2, "r2") };
    check(vec![Change::Link(vrf), Change::Link(enslaved)], Some(Staleness::Vrf), Some(Staleness::Vrf));
    check(Vec::new(), Some(Staleness::Flush), Some(Staleness::Flush));
}

#[test]
fn settings_of_a_port_concern_those_who_came_by_it_where_ports_are_told_apart() {
    let routes = ["10.0.0.0/8 via 192.0.2.1 dev r1", "192.0.2.0/24 dev r0"];
    let (mut rig, asked, _) = kept_to("10.0.0.1", &routes);
    rig.apply([R0, R1].map(|port| filter(port, ReversePath::Loose)));
    let kept = learn(&rig, &asked);
    rig.apply([filter(R1, ReversePath::Strict)]);
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected, "the port of exit's filter is for others");
    rig.apply([filter(R0, ReversePath::Strict)]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::Settings));
}

#[test]
fn whether_redirects_are_sent_is_asked_again() {
    let (mut rig, asked, _) =
        kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r0", "192.0.2.0/24 dev r0"]);
    rig.apply([Change::Address(address(R0, "192.0.2.254/24"))]);
    let kept = learn(&rig, &asked);
    assert!(kept.way.redirect);
    rig.apply([set(R0, |settings| settings.send_redirects = false)]);
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::Settings));
    assert!(!learn(&rig, &asked).way.redirect);
}

#[test]
fn the_way_back_counts_where_sources_are_filtered() {
    let routes = ["10.0.0.0/8 via 192.0.2.1 dev r1", "192.0.2.0/24 dev r0", "0.0.0.0/0 via 192.0.2.9 dev r2"];
    let (mut rig, asked, _) = kept_to("10.0.0.1", &routes);
    let not_asked = learn(&rig, &asked);
    rig.add("192.0.2.64/26 dev r2");
    assert_eq!(not_asked.judge(&rig, &asked), Judgement::Unaffected, "nobody looks back");
    rig.del("192.0.2.64/26 dev r2");
    rig.apply([filter(R0, ReversePath::Strict), Change::Address(address(R0, "192.0.2.1/24"))]);
    let kept = learn(&rig, &asked);
    rig.add("192.0.0.0/16 dev r2");
    assert_eq!(kept.judge(&rig, &asked), Judgement::Unaffected, "shorter than the way back");
    rig.add("192.0.2.64/26 dev r2");
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::RouteAdded));
    assert_eq!(ask(&rig.load(), &asked, None).1, None, "the source is a martian");
}

/// A nexthop object whose destinations are on the link itself.
fn direct(id: u32, link: LinkIndex) -> Change {
    let hop = NextHop { link: Some(link), via: None, weight: 1, onlink: false, dead: false };
    Change::Nexthop(NexthopObject { id, kind: NexthopKind::Single(hop) })
}

#[test]
fn a_path_that_returns_over_one_link_concerns_those_for_whom_that_link_alone_counts() {
    for searched_max in [0, usize::MAX] {
        let routes = [
            "10.0.0.0/8 via 192.0.2.1 dev r0",
            "192.0.2.64/26 via 192.0.2.2 dev r2",
            "0.0.0.0/0 via 192.0.2.1 dev r0",
            "::/0 via fe80::1 dev r0",
            "192.0.0.0/16 nhid 9",
            "fe80::/64 nhid 9",
        ];
        let mut rig = Rig::new();
        rig.writer.routes_searched_max = searched_max;
        rig.apply([direct(1, R0), direct(2, R2), group(9, &[(2, 1)])]);
        rig.apply(routes.map(|text| Change::Route(route(text))));
        rig.apply([Change::Address(address(R0, "192.0.2.1/24"))]);
        let (turning, in_scope, other) = (query("10.0.0.1"), query("fe80::9"), query("2001:db8::1"));
        let (kept, scoped, far) = (learn(&rig, &turning), learn(&rig, &in_scope), learn(&rig, &other));
        assert!(!kept.way.redirect, "over r0, the source is behind a gateway");
        assert_eq!(scoped.way.hop.gateway, Some(ip("fe80::1")));
        rig.apply([group(9, &[(2, 1), (1, 1)])]);
        assert_eq!(kept.reason(&rig, &turning), Some(Staleness::NextHopChanged));
        assert_eq!(scoped.reason(&rig, &in_scope), Some(Staleness::NextHopChanged));
        assert_eq!(far.judge(&rig, &other), Judgement::Unaffected);
        assert!(learn(&rig, &turning).way.redirect);
        assert_eq!(learn(&rig, &in_scope).way.hop.gateway, None);
    }
}

#[test]
fn an_id_that_stands_for_another_path_of_the_same_prefix_is_not_mistaken() {
    let (mut rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    rig.del("10.0.0.0/8 via 192.0.2.1 dev r1");
    rig.add("10.0.0.0/8 via 192.0.2.2 dev r2");
    let learned = learn(&rig, &asked);
    assert_eq!(learned.way.place(), kept.way.place(), "the first of that prefix, over the path of that id");
    assert_eq!(kept.reason(&rig, &asked), Some(Staleness::RouteChanged));
}

#[test]
fn an_id_that_stands_for_another_path_is_not_mistaken() {
    let (mut rig, asked, kept) = kept_to("10.0.0.1", &["10.0.0.0/8 via 192.0.2.1 dev r1"]);
    rig.del("10.0.0.0/8 via 192.0.2.1 dev r1");
    rig.add("11.0.0.0/8 via 192.0.2.2 dev r2");
    rig.add("10.0.0.0/8 via 192.0.2.1 dev r1");
    assert!(kept.reason(&rig, &asked).is_some());
    let other = learn(&rig, &query("11.0.0.1"));
    let paths: Vec<_> = rig.load().paths.iter().map(|path| path.is_some()).collect();
    assert_eq!(paths, [true, true], "the place was used again");
    rig.del("10.0.0.0/8 via 192.0.2.1 dev r1");
    assert_eq!(other.judge(&rig, &query("11.0.0.1")), Judgement::Unaffected);
}
