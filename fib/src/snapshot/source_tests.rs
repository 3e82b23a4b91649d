//! Source checks and source selection, as Linux makes them.

use crate::adjacency::PortId;
use crate::change::{Address, Change, Link, LinkSettings, ReversePath, Rule, RuleAction, Scope, Settings};
use crate::rig::{ETH9, LO, R0, R1, R2, Rig, address, ip, link, query, rule, usual_rules};
use crate::snapshot::{Depends, Martian, Query, SourceCheck};

const R0_PORT: PortId = PortId(0);
const R1_PORT: PortId = PortId(1);
const OWN: SourceCheck = SourceCheck::Martian(Martian::OwnAddress);
const IMPOSSIBLE: SourceCheck = SourceCheck::Martian(Martian::Impossible);
const REVERSE: SourceCheck = SourceCheck::Martian(Martian::ReversePath);
const VALID: SourceCheck = SourceCheck::Valid { direct: false };
const DIRECT: SourceCheck = SourceCheck::Valid { direct: true };

/// Subnets on r0, r1 and eth9, a network behind a router on r1, a default route by r1.
fn rig() -> Rig {
    let mut rig = Rig::with(&[
        "local 192.0.2.1/32 dev r0",
        "broadcast 192.0.2.255/32 dev r0",
        "192.0.2.0/24 dev r0 scope 253 src 192.0.2.1",
        "198.51.100.0/24 dev r1 scope 253",
        "203.0.113.0/24 dev eth9 scope 253",
        "10.0.0.0/8 via 192.0.2.9 dev r0",
        "0.0.0.0/0 via 198.51.100.9 dev r1",
    ]);
    rig.apply([
        Change::Address(address(R0, "192.0.2.1/24")),
        Change::Address(address(R1, "198.51.100.1/24")),
        Change::Address(address(ETH9, "203.0.113.1/24")),
    ]);
    rig
}

fn set(rig: &mut Rig, settings: LinkSettings) {
    rig.apply([R0, R1, R2].map(|index| Change::Settings(Settings::Link(index, settings))));
}

fn from(source: &str) -> Query {
    Query { source: ip(source), ..query("198.51.100.7") }
}

/// How a packet from r0 to r1 with this source is judged.
fn check(rig: &Rig, source: &str) -> SourceCheck {
    rig.load().check_source(&from(source), Some(R1_PORT)).check
}

fn with(rp_filter: ReversePath) -> LinkSettings {
    LinkSettings { rp_filter, ..LinkSettings::default() }
}

#[test]
fn without_a_filter_only_own_and_impossible_sources_are_refused() {
    let mut rig = rig();
    for fine in ["192.0.2.77", "198.51.100.7", "192.0.2.255", "240.0.0.1", "0.1.2.3", "169.254.1.1"] {
        assert_eq!(check(&rig, fine), VALID, "{fine}");
    }
    for own in ["192.0.2.1", "198.51.100.1", "203.0.113.1"] {
        assert_eq!(check(&rig, own), OWN, "{own}");
    }
    for impossible in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1"] {
        assert_eq!(check(&rig, impossible), IMPOSSIBLE, "{impossible}");
    }
    set(&mut rig, LinkSettings { accept_local: true, route_localnet: true, ..LinkSettings::default() });
    assert_eq!(check(&rig, "192.0.2.1"), VALID);
    assert_eq!(check(&rig, "127.0.0.1"), VALID);
}

#[test]
fn the_strict_filter_wants_the_reverse_route_by_the_port_of_entry() {
    let mut rig = rig();
    set(&mut rig, with(ReversePath::Strict));
    assert_eq!(check(&rig, "192.0.2.77"), DIRECT);
    assert_eq!(check(&rig, "10.1.1.1"), VALID, "behind a gateway");
    assert_eq!(check(&rig, "198.51.100.7"), REVERSE);
    assert_eq!(check(&rig, "8.8.8.8"), REVERSE, "the default route is by another port");
    assert_eq!(check(&rig, "203.0.113.7"), REVERSE, "a device that is no port has a route too");
    assert_eq!(check(&rig, "192.0.2.255"), IMPOSSIBLE, "a subnet's broadcast address");
    assert_eq!(check(&rig, "192.0.2.1"), OWN);
}

#[test]
fn the_loose_filter_wants_any_reverse_route() {
    let mut rig = rig();
    set(&mut rig, with(ReversePath::Loose));
    for fine in ["198.51.100.7", "8.8.8.8", "203.0.113.7"] {
        assert_eq!(check(&rig, fine), VALID, "{fine}");
    }
    rig.del("0.0.0.0/0 via 198.51.100.9 dev r1");
    assert_eq!(check(&rig, "8.8.8.8"), REVERSE);
    rig.add("blackhole 8.0.0.0/8");
    assert_eq!(check(&rig, "8.8.8.8"), REVERSE, "a route that refuses is none");
}

#[test]
fn a_port_without_addresses_accepts_what_only_the_filter_would_refuse() {
    let mut rig = rig();
    rig.apply([Change::AddressGone(address(R0, "192.0.2.1/24"))]);
    set(&mut rig, with(ReversePath::Loose));
    assert_eq!(check(&rig, "198.51.100.7"), REVERSE);
    set(&mut rig, with(ReversePath::Off));
    assert_eq!(check(&rig, "198.51.100.7"), VALID);
}

#[test]
fn a_packet_that_turns_back_is_looked_at_harder() {
    let rig = rig();
    let turned = |source| rig.load().check_source(&from(source), Some(R0_PORT)).check;
    assert_eq!(turned("192.0.2.77"), DIRECT);
    assert_eq!(turned("10.1.1.1"), VALID);
    assert_eq!(turned("8.8.8.8"), VALID, "no filter");
    assert_eq!(turned("192.0.2.255"), IMPOSSIBLE);
}

#[test]
fn any_member_of_a_multipath_route_is_a_way_back() {
    let mut rig = rig();
    rig.add("172.16.0.0/12 nexthop via 198.51.100.9 dev r1 nexthop via 192.0.2.9 dev r0");
    set(&mut rig, with(ReversePath::Strict));
    assert_eq!(check(&rig, "172.16.1.1"), VALID);
    rig.add("172.16.0.0/12 nexthop via 198.51.100.9 dev r1 nexthop via 203.0.113.9 dev eth9");
    assert_eq!(check(&rig, "172.16.1.1"), REVERSE);
}

#[test]
fn the_reverse_lookup_obeys_policy_rules_with_the_addresses_exchanged() {
    let mut rig = rig();
    rig.apply(usual_rules());
    set(&mut rig, with(ReversePath::Strict));
    assert_eq!(check(&rig, "8.8.8.8"), REVERSE);
    rig.add("0.0.0.0/0 via 192.0.2.9 dev r0 table 100");
    let back = Rule {
        from: Some("198.51.100.7/32".parse().unwrap()),
        iif: Some("r1".into()),
        ..rule(100, RuleAction::Lookup(100))
    };
    rig.apply([Change::Rule(back)]);
    assert_eq!(check(&rig, "8.8.8.8"), VALID);
}

#[test]
fn custom_rules_and_local_routes_put_the_tables_above_the_address_list() {
    let mut rig = rig();
    rig.apply(usual_rules());
    rig.add("local 8.0.0.0/8 dev lo proto 3");
    assert_eq!(check(&rig, "8.8.8.8"), OWN);
    rig.del("local 8.0.0.0/8 dev lo proto 3");
    assert_eq!(check(&rig, "8.8.8.8"), VALID);
    assert_eq!(check(&rig, "203.0.113.1"), OWN, "an address of the namespace");
    rig.apply([Change::Rule(rule(100, RuleAction::Nop))]);
    assert_eq!(check(&rig, "203.0.113.1"), VALID, "not in the local table of this rig");
}

#[test]
fn what_the_check_rests_on_is_said() {
    let mut rig = rig();
    let depends = |rig: &Rig| rig.load().check_source(&from("192.0.2.77"), Some(R1_PORT)).depends;
    assert_eq!(depends(&rig), Depends { source: true, ..Depends::default() });
    rig.apply([Change::Settings(Settings::Link(R2, with(ReversePath::Loose)))]);
    assert_eq!(depends(&rig), Depends { source: true, input: true, ..Depends::default() });
}

#[test]
fn ipv6_refuses_only_what_cannot_be_a_source() {
    let mut rig = Rig::new();
    rig.apply([Change::Address(address(R0, "2001:db8::1/64"))]);
    set(&mut rig, with(ReversePath::Strict));
    let check = |source: &str| {
        let query = Query { source: ip(source), ..query("2001:db8:1::7") };
        rig.load().check_source(&query, Some(R1_PORT)).check
    };
    assert_eq!(check("2001:db8::1"), DIRECT, "the router's own");
    assert_eq!(check("ff02::1"), IMPOSSIBLE);
    assert_eq!(check("::1"), IMPOSSIBLE);
}

fn speaks_from(rig: &Rig, destination: &str) -> String {
    let snapshot = rig.load();
    let answer = snapshot.lookup(&Query { input: None, ..query(destination) });
    snapshot.source_address(&answer, ip(destination)).map_or("nothing".into(), |source| source.to_string())
}

#[test]
fn the_router_speaks_from_the_preferred_source_or_an_address_of_the_port() {
    let mut rig = rig();
    assert_eq!(speaks_from(&rig, "192.0.2.9"), "192.0.2.1", "preferred source");
    assert_eq!(speaks_from(&rig, "192.0.2.1"), "192.0.2.1", "its own");
    assert_eq!(speaks_from(&rig, "8.8.8.8"), "198.51.100.1");
    let second = address(R0, "192.0.2.65/26");
    rig.apply([
        Change::Address(Address { scope: Scope::HOST, ..address(R0, "192.0.2.129/26") }),
        Change::Address(second.clone()),
    ]);
    rig.add("9.0.0.0/8 via 192.0.2.66 dev r0");
    assert_eq!(speaks_from(&rig, "9.0.0.1"), "192.0.2.1", "the first that fits the gateway");
    rig.add("9.0.0.0/8 via 192.0.2.130 dev r0");
    assert_eq!(speaks_from(&rig, "9.0.0.1"), "192.0.2.1", "host scope does not reach that far");
    rig.apply([
        Change::AddressGone(address(R0, "192.0.2.1/24")),
        Change::Address(Address { secondary: true, ..address(R0, "192.0.2.250/24") }),
    ]);
    rig.add("9.0.0.0/8 via 192.0.2.240 dev r0");
    assert_eq!(speaks_from(&rig, "9.0.0.1"), "192.0.2.65", "secondary addresses are passed over");
    rig.apply([Change::AddressGone(second)]);
    assert_eq!(speaks_from(&rig, "9.0.0.1"), "203.0.113.1", "the first of any other link");
}

#[test]
fn a_port_without_an_address_borrows_that_of_the_first_link_that_has_one() {
    let mut rig = Rig::with(&["10.0.0.0/8 dev r2"]);
    assert_eq!(speaks_from(&rig, "10.0.0.1"), "nothing");
    let loopback = Address { scope: Scope::HOST, ..address(LO, "127.0.0.1/8") };
    rig.apply([Change::Address(loopback)]);
    assert_eq!(speaks_from(&rig, "10.0.0.1"), "nothing", "127.0.0.1 does not reach");
    rig.apply([
        Change::Address(address(R1, "198.51.100.1/24")),
        Change::Address(address(LO, "192.0.2.99/32")),
    ]);
    assert_eq!(speaks_from(&rig, "10.0.0.1"), "192.0.2.99", "lo comes first");
}

#[test]
fn ipv6_sources_follow_the_rules_of_selection() {
    let mut rig = Rig::with(&["::/0 via fe80::9 dev r0", "fe80::/64 dev r0", "fd00::/8 dev r1"]);
    let put = |rig: &mut Rig, address: Address| rig.apply([Change::Address(address)]);
    let link_local = Address { scope: Scope::LINK, ..address(R0, "fe80::a/64") };
    put(&mut rig, link_local);
    assert_eq!(speaks_from(&rig, "2001:db8::7"), "fe80::a", "better than nothing");
    put(&mut rig, address(R1, "2001:db8:1::1/64"));
    assert_eq!(speaks_from(&rig, "2001:db8::7"), "2001:db8:1::1", "rule 2: scope comes before the port");
    put(&mut rig, address(R0, "2001:db8:2::1/64"));
    assert_eq!(speaks_from(&rig, "2001:db8:1::7"), "2001:db8:2::1", "rule 5: the outgoing port");
    put(&mut rig, Address { deprecated: true, ..address(R0, "2001:db8:2::1/64") });
    assert_eq!(speaks_from(&rig, "2001:db8:2::7"), "2001:db8:1::1", "rule 3: not a deprecated one");
    put(&mut rig, Address { tentative: true, ..address(R0, "2001:db8:3::1/64") });
    assert_eq!(speaks_from(&rig, "2001:db8:3::7"), "2001:db8:1::1", "not a tentative one at all");
    put(&mut rig, address(R0, "2001:db8:4::1/64"));
    put(&mut rig, address(R0, "fd00::1/64"));
    assert_eq!(
        speaks_from(&rig, "2001:db8:1::7"),
        "2001:db8:4::1",
        "rule 6: a label of its own for fc00::/7"
    );
    put(&mut rig, address(R0, "2001:db8:5::1/64"));
    assert_eq!(speaks_from(&rig, "2001:db8:4::7"), "2001:db8:4::1", "rule 8: the longest prefix in common");
    assert_eq!(speaks_from(&rig, "fe80::7"), "fe80::a");
    assert_eq!(
        rig.load().port_source_address(R1_PORT, ip("fe80::7")),
        Some(ip("2001:db8:1::1")),
        "of that link alone"
    );
}

#[test]
fn a_vrf_speaks_from_its_own_addresses() {
    let red = crate::adjacency::LinkIndex(20);
    let mut rig = Rig::with(&["0.0.0.0/0 dev r1 table 1000"]);
    rig.apply([
        Change::Link(Link { vrf_table: Some(1000), ..link(red, "red") }),
        Change::Link(Link { master: Some(red), ..link(R1, "r1") }),
        Change::Address(address(R0, "192.0.2.1/24")),
        Change::Address(address(red, "198.51.100.20/32")),
    ]);
    let source = rig.load().port_source_address(R1_PORT, ip("10.0.0.1"));
    assert_eq!(source, Some(ip("198.51.100.20")));
}
