//! Tests of the router's own tables: what comes of addresses, links and routes, against plain expectations and against a
//! picture drawn anew.

use std::collections::BTreeSet;

use fib::change::{NextHop, NexthopKind, NexthopObject, Scope, Target};
use fib::writer::Writer;
use proptest::prelude::*;

use super::*;

const E0: PortId = PortId(0);
const E1: PortId = PortId(1);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn link(index: u32, name: &str) -> Link {
    Link {
        index: LinkIndex(index),
        name: name.to_owned(),
        kind: "veth".to_owned(),
        mac: Mac([2, 0, 0, 0, 0, index as u8]),
        mtu: 1500,
        admin_up: true,
        carrier: true,
        loopback: false,
        no_arp: false,
        master: None,
        vrf_table: None,
    }
}

fn down(link: Link) -> Change {
    Change::Link(Link { admin_up: false, ..link })
}

fn own(port: PortId, text: &str) -> OwnAddress {
    OwnAddress { port, net: net(text), detect: false }
}

/// `to via GATEWAY`, `to via GATEWAY dev PORT` or `to dev PORT`.
fn route(to: &str, via: &str, port: Option<PortId>) -> OwnRoute {
    let prefix = net(to);
    let via = (!via.is_empty()).then(|| address(via));
    OwnRoute {
        table: MAIN,
        prefix,
        kind: RouteType::Unicast,
        protocol: 4,
        tos: 0,
        metric: if prefix.addr().is_ipv6() { 1024 } else { 0 },
        preferred_source: None,
        mtu: 0,
        hops: vec![OwnHop { via, port, weight: 1, onlink: false }],
    }
}

/// The tables, and a routing state that hears all they say.
struct World {
    tables: OwnTables,
    writer: Writer,
}

impl World {
    fn new(ports: Vec<Seat>, follow: Option<&str>) -> Self {
        let names = ports.iter().map(|seat| match seat {
            Seat::Device(name) | Seat::Bridge { name, .. } => name.clone(),
        });
        let writer = Writer::new(names.collect(), 16);
        let setup = Setup { ports, follow: follow.map(str::to_owned), ..Setup::default() };
        Self { tables: OwnTables::new(setup), writer }
    }

    /// Two ports whose links are up.
    fn two() -> Self {
        let mut world = Self::new(devices(), None);
        world.picture(vec![Change::Link(link(1, "e0")), Change::Link(link(2, "e1"))]);
        world
    }

    fn hear(&mut self, said: Vec<Change>) {
        let applied = self.writer.apply(said);
        assert_eq!(applied.refused, 0);
    }

    fn picture(&mut self, links: Vec<Change>) {
        let all = std::iter::once(Change::DumpBegin).chain(links).chain([Change::DumpEnd]);
        self.news(all.collect());
    }

    fn news(&mut self, changes: Vec<Change>) {
        let said = self.tables.take(changes);
        self.hear(said);
    }

    fn add(&mut self, own: OwnAddress) {
        let said = self.tables.add_address(own).unwrap();
        self.hear(said);
    }

    fn route(&mut self, route: OwnRoute) {
        let said = self.tables.add_route(route).unwrap();
        self.hear(said);
    }

    /// Routes as `ip route` writes them, those of all up IPv6 ports left out.
    fn routes(&self) -> BTreeSet<String> {
        self.all_routes()
            .into_iter()
            .filter(|line| !line.contains("ff00::/8") && !line.contains("fe80:"))
            .collect()
    }

    fn all_routes(&self) -> BTreeSet<String> {
        self.writer.routes(None).map(|row| write(&row)).collect()
    }

    fn addresses4(&self, index: u32) -> Vec<String> {
        self.addresses(index).into_iter().filter(|line| !line.contains(':')).collect()
    }

    fn addresses(&self, index: u32) -> Vec<String> {
        let rows = self.writer.addresses().filter(|held| held.link == LinkIndex(index));
        rows.map(|held| {
            let flags = [(held.secondary, " secondary"), (held.tentative, " tentative")];
            let flags = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word);
            format!("{}{}", held.net, flags.collect::<String>())
        })
        .collect()
    }
}

fn devices() -> Vec<Seat> {
    vec![Seat::Device("e0".to_owned()), Seat::Device("e1".to_owned())]
}

fn write(row: &fib::writer::RouteRow) -> String {
    let mut line = if row.kind == RouteType::Unicast { String::new() } else { format!("{} ", row.kind) };
    line += &row.prefix.to_string();
    for hop in &row.next_hops {
        let via = hop.via.map_or_else(String::new, |via| format!(" via {via}"));
        line += &format!("{via} dev {}", if hop.link_name.is_empty() { "-" } else { &hop.link_name });
    }
    if row.metric != 0 {
        line += &format!(" metric {}", row.metric);
    }
    if let Some(source) = row.preferred_source {
        line += &format!(" src {source}");
    }
    if row.table == LOCAL {
        line += " table local";
    }
    if row.unusable.is_some() { line + " unusable" } else { line }
}

#[track_caller]
fn assert_routes(world: &World, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(world.routes(), expected);
}

/// The lists of the following tests are what `ip route show table all` says of Linux 6.18 after the same `ip address add`.
#[test]
fn an_ipv4_address_brings_the_routes_that_the_kernel_makes_of_it() {
    let mut world = World::two();
    world.add(own(E0, "10.0.0.1/24"));
    world.add(own(E0, "10.0.0.2/24"));
    world.add(own(E0, "10.0.5.1/31"));
    world.add(own(E1, "10.0.6.1/32"));
    assert_routes(
        &world,
        &[
            "10.0.0.0/24 dev e0 src 10.0.0.1",
            "local 10.0.0.1/32 dev e0 src 10.0.0.1 table local",
            "local 10.0.0.2/32 dev e0 src 10.0.0.1 table local",
            "broadcast 10.0.0.255/32 dev e0 src 10.0.0.1 table local",
            "10.0.5.0/31 dev e0 src 10.0.5.1",
            "local 10.0.5.1/32 dev e0 src 10.0.5.1 table local",
            "local 10.0.6.1/32 dev e1 src 10.0.6.1 table local",
        ],
    );
    assert_eq!(world.addresses4(1), ["10.0.0.1/24", "10.0.5.1/31", "10.0.0.2/24 secondary"]);
}

#[test]
fn an_ipv6_address_brings_the_routes_that_the_kernel_makes_of_it() {
    let mut world = World::two();
    for text in ["fd00::1/64", "fd01::1/128", "fd02::/64", "fd03::1/127"] {
        world.add(own(E0, text));
    }
    assert_routes(
        &world,
        &[
            "fd00::/64 dev e0 metric 256",
            "fd01::1/128 dev e0 metric 256",
            "fd02::/64 dev e0 metric 256",
            "fd03::/127 dev e0 metric 256",
            "anycast fd00::/128 dev e0 table local",
            "local fd00::1/128 dev e0 table local",
            "local fd01::1/128 dev e0 table local",
            "local fd02::/128 dev e0 table local",
            "local fd03::1/128 dev e0 table local",
        ],
    );
}

#[test]
fn a_port_gives_itself_an_address_for_its_link_which_is_used_once_nobody_else_has_it() {
    let mut world = World::two();
    let of_link = |world: &World| -> Vec<String> {
        let all = world.all_routes().into_iter().filter(|line| line.contains("e1"));
        all.collect()
    };
    let before = ["fe80::/64 dev e1 metric 256", "multicast ff00::/8 dev e1 metric 256 table local"];
    assert_eq!(of_link(&world), before);
    assert_eq!(world.addresses(2), ["fe80::ff:fe00:2/64 tentative"]);
    let said = world.tables.set_phase(E1, address("fe80::ff:fe00:2"), Phase::Ready);
    world.hear(said);
    assert_eq!(world.addresses(2), ["fe80::ff:fe00:2/64"]);
    let local = ["anycast fe80::/128 dev e1 table local", "local fe80::ff:fe00:2/128 dev e1 table local"];
    assert_eq!(of_link(&world), [&local[..1], &before[..1], &local[1..], &before[1..]].concat());
    assert!(world.tables.set_phase(E1, address("fe80::99"), Phase::Ready).is_empty(), "it is nobody's");
}

#[test]
fn an_address_that_somebody_else_has_is_no_address_of_this_router() {
    let mut world = World::two();
    let tried = |text| OwnAddress { detect: true, ..own(E0, text) };
    world.add(tried("10.0.0.1/24"));
    world.add(tried("10.0.0.2/24"));
    assert_routes(&world, &["10.0.0.0/24 dev e0", "broadcast 10.0.0.255/32 dev e0 table local"]);
    let said = world.tables.set_phase(E0, address("10.0.0.1"), Phase::Duplicate);
    world.hear(said);
    let said = world.tables.set_phase(E0, address("10.0.0.2"), Phase::Ready);
    world.hear(said);
    assert_routes(
        &world,
        &[
            "10.0.0.0/24 dev e0 src 10.0.0.2",
            "broadcast 10.0.0.255/32 dev e0 src 10.0.0.2 table local",
            "local 10.0.0.2/32 dev e0 src 10.0.0.2 table local",
        ],
    );
    assert_eq!(world.addresses4(1), ["10.0.0.2/24", "10.0.0.1/24 secondary tentative"]);
}

#[test]
fn a_link_that_goes_down_takes_its_routes_along_and_one_that_comes_back_brings_them() {
    let mut world = World::two();
    world.add(own(E0, "10.0.0.1/24"));
    world.add(own(E1, "10.0.1.1/24"));
    world.add(own(E0, "fd00::1/64"));
    world.route(route("192.0.2.0/24", "10.0.0.9", None));
    let before = world.routes();
    world.news(vec![down(link(1, "e0"))]);
    assert_routes(
        &world,
        &[
            "local 10.0.0.1/32 dev e0 src 10.0.0.1 table local",
            "10.0.1.0/24 dev e1 src 10.0.1.1",
            "local 10.0.1.1/32 dev e1 src 10.0.1.1 table local",
            "broadcast 10.0.1.255/32 dev e1 src 10.0.1.1 table local",
            "192.0.2.0/24 via 10.0.0.9 dev e0 unusable",
        ],
    );
    assert_eq!(world.addresses(1), ["10.0.0.1/24"]);

    // The device is made anew, under another index.
    world.news(vec![Change::LinkGone(LinkIndex(1))]);
    assert_eq!(world.routes().iter().filter(|line| line.contains("e0")).count(), 0);
    assert!(world.routes().contains("192.0.2.0/24 via 10.0.0.9 dev - unusable"));
    world.news(vec![Change::Link(link(7, "e0"))]);
    assert_eq!(world.routes(), before);
    assert_eq!(world.addresses(7), ["10.0.0.1/24", "fd00::1/64", "fe80::ff:fe00:7/64 tentative"]);
}

#[test]
fn when_a_port_comes_up_ipv6_addresses_are_tried_anew_and_those_of_ipv4_stay_in_use() {
    let mut world = World::two();
    for text in ["10.0.0.1/24", "fd00::1/64"] {
        world.add(OwnAddress { detect: true, ..own(E0, text) });
    }
    let said = world.tables.set_phases(|port, _| (port == E0).then_some(Phase::Ready));
    world.hear(said);
    let is_local = |world: &World, address: &str| {
        world.routes().iter().any(|line| line.starts_with(&format!("local {address}")))
    };
    assert!(is_local(&world, "10.0.0.1") && is_local(&world, "fd00::1"));
    world.news(vec![down(link(1, "e0")), Change::Link(link(1, "e0"))]);
    assert!(is_local(&world, "10.0.0.1") && !is_local(&world, "fd00::1"));
    assert!(world.tables.set_phases(|_, _| None).is_empty());
    let said = world.tables.set_phases(|_, _| Some(Phase::Ready));
    world.hear(said);
    assert!(is_local(&world, "fd00::1"));
}

#[test]
fn a_picture_without_a_link_means_that_it_is_gone_and_one_that_is_void_means_nothing() {
    let mut world = World::two();
    world.add(own(E0, "10.0.0.1/24"));
    world.add(own(E1, "10.0.0.2/24"));
    let begun = vec![Change::DumpBegin, Change::Link(link(2, "e1"))];
    assert!(world.tables.take(begun).is_empty());
    world.picture(vec![Change::Link(link(1, "e0")), Change::Link(link(2, "e1"))]);
    assert!(world.routes().contains("10.0.0.0/24 dev e0 src 10.0.0.1"));
    world.picture(vec![Change::Link(link(2, "e1"))]);
    assert!(!world.routes().contains("10.0.0.0/24 dev e0 src 10.0.0.1"));
    assert!(world.routes().contains("10.0.0.0/24 dev e1 src 10.0.0.2"), "the other one's stays");
}

#[test]
fn what_the_kernel_has_of_its_own_is_left_out() {
    let mut tables = OwnTables::new(Setup { ports: devices(), ..Setup::default() });
    tables.take(vec![Change::DumpBegin, Change::Link(link(1, "e0")), Change::DumpEnd]);
    let foreign = world_route(Some(1), "10.0.0.9");
    let entry = fib::change::NeighborEntry {
        link: LinkIndex(1),
        address: address("10.0.0.9"),
        state: fib::change::NeighborState::Reachable,
        mac: None,
    };
    let rule = Rule::for_all(false, 5, fib::change::RuleAction::Nop);
    assert!(
        tables.take(vec![Change::Route(foreign), Change::Neighbor(entry), Change::Rule(rule)]).is_empty()
    );
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    let mut world = World::two();
    world.add(own(E0, "10.0.0.1/24"));
    world.add(own(E0, "fd00::1/64"));
    world.add(own(E0, "10.0.0.1/16"));
    world.add(own(E1, "10.0.0.1/24"));
    for text in ["10.0.0.1/24", "fd00::1/64", "fd00::1/48"] {
        let error = world.tables.add_address(own(E0, text)).unwrap_err();
        assert_eq!(error, OwnError::Duplicate(net(text), "e0".to_owned()));
    }
    for text in [
        "224.0.0.1/4",
        "ff02::1/64",
        "127.0.0.1/8",
        "::1/128",
        "0.0.0.0/0",
        "::/0",
        "0.1.2.3/8",
        "255.255.255.255/32",
    ] {
        let error = world.tables.add_address(own(E0, text)).unwrap_err();
        assert!(matches!(error, OwnError::NoUnicast(..)), "{text}");
    }
    let gone = world.tables.remove_address(E1, net("fd00::1/64")).unwrap_err();
    assert_eq!(gone.to_string(), "fd00::1/64 is no address of e1");
}

#[test]
fn routes_that_cannot_be_are_refused() {
    let mut world = World::two();
    world.add(own(E0, "10.0.0.1/24"));
    world.add(own(E1, "10.0.1.1/24"));
    world.route(route("10.9.0.0/16", "", Some(E1)));
    world.route(route("10.8.0.0/16", "10.9.0.1", None));
    let cases = [
        (route("1.0.0.0/8", "10.7.0.1", None), "gateway 10.7.0.1 is on no subnet of this router (onlink?)"),
        (route("1.0.0.0/8", "10.0.0.9", Some(E1)), "gateway 10.0.0.9 is on no subnet of e1 (onlink?)"),
        (route("1.0.0.0/8", "10.0.1.1", None), "gateway 10.0.1.1 is this router itself"),
        (
            route("10.0.0.0/24", "10.0.1.9", None),
            "10.0.0.0/24 is the prefix of an address of e0, and has its route by that",
        ),
        (
            OwnRoute { preferred_source: Some(address("10.0.0.2")), ..route("1.0.0.0/8", "10.0.0.9", None) },
            "10.0.0.2 is no address of this router, so it cannot be a source",
        ),
        (
            route("10.8.0.0/16", "10.0.0.9", None),
            "there is a route to 10.8.0.0/16 with this table, type of service and metric already",
        ),
        (route("fd00::/8", "fe80::1", None), "gateway fe80::1 is on no subnet of this router (onlink?)"),
    ];
    let before = world.routes();
    for (route, expected) in cases {
        assert_eq!(world.tables.add_route(route).unwrap_err().to_string(), expected);
    }
    assert_eq!(world.routes(), before);
    world.route(route("fd00::/8", "fe80::1", Some(E0)));
    let mut onlink = route("1.0.0.0/8", "10.7.0.1", Some(E0));
    onlink.hops[0].onlink = true;
    world.route(onlink);
}

#[test]
fn a_route_by_a_gateway_finds_its_port_and_follows_its_subnet() {
    let mut world = World::two();
    world.add(own(E0, "10.0.0.1/24"));
    world.add(own(E1, "10.0.0.129/25"));
    world.route(route("1.0.0.0/8", "10.0.0.200", None));
    assert!(world.routes().contains("1.0.0.0/8 via 10.0.0.200 dev e1"));
    let said = world.tables.remove_address(E1, net("10.0.0.129/25")).unwrap();
    world.hear(said);
    assert!(world.routes().contains("1.0.0.0/8 via 10.0.0.200 dev e0"));
    let said = world.tables.remove_address(E0, net("10.0.0.1/24")).unwrap();
    world.hear(said);
    assert_routes(&world, &["1.0.0.0/8 via 10.0.0.200 dev - unusable"]);
    let gone = world.tables.remove_route(MAIN, net("1.0.0.0/8"), |route| route.metric == 1);
    assert_eq!(gone.unwrap_err(), OwnError::NoRoute(net("1.0.0.0/8")));
    let said = world.tables.remove_route(MAIN, net("1.0.0.0/8"), |_| true).unwrap();
    world.hear(said);
    assert_routes(&world, &[]);
}

#[test]
fn a_change_is_made_whole_or_not_at_all() {
    let mut world = World::two();
    let refused = world.tables.change(|wanted, seats| {
        wanted.add_address(seats, own(E0, "10.0.0.1/24"))?;
        wanted.add_address(seats, own(E0, "10.0.0.1/24"))
    });
    assert!(refused.is_err());
    assert_eq!(world.tables.wanted().addresses(), []);
    let said =
        world.tables.change(|wanted, seats| wanted.add_address(seats, own(E0, "10.0.0.1/24"))).unwrap();
    world.hear(said);
    assert_eq!(world.routes().len(), 3);
}

#[test]
fn the_usual_rules_are_there_and_own_ones_between_them() {
    let mut world = World::two();
    let rule = |priority| Rule::for_all(false, priority, fib::change::RuleAction::Lookup(100));
    assert_eq!(world.tables.wanted().free_preference(false), 32_765);
    let said = world.tables.change(|wanted, _| wanted.add_rule(rule(100))).unwrap();
    world.hear(said);
    assert_eq!(world.tables.wanted().free_preference(false), 99);
    let priorities: Vec<u32> = world.writer.rules(false).iter().map(|rule| rule.priority).collect();
    assert_eq!(priorities, [0, 100, 32_766, 32_767]);
    assert_eq!(world.writer.rules(true).len(), 2);
    assert_eq!(
        world.tables.change(|wanted, _| wanted.add_rule(rule(100))).unwrap_err(),
        OwnError::RuleExists(100)
    );
}

#[test]
fn every_host_has_addresses_for_itself() {
    let mut world = World::two();
    world.news(vec![Change::Link(Link { loopback: true, mac: Mac::default(), ..link(9, "lo") })]);
    assert_routes(
        &world,
        &[
            "local 127.0.0.0/8 dev lo src 127.0.0.1 table local",
            "local 127.0.0.1/32 dev lo src 127.0.0.1 table local",
            "broadcast 127.255.255.255/32 dev lo src 127.0.0.1 table local",
            "local ::1/128 dev lo table local",
        ],
    );
    assert_eq!(world.addresses(9), ["127.0.0.1/8", "::1/128"]);
}

#[test]
fn a_bridge_is_a_port_with_the_lowest_address_of_its_members() {
    let bridge = Seat::Bridge {
        name: "br0".to_owned(),
        mac: None,
        members: vec![E0, E1],
        settings: LinkSettings::default(),
    };
    let mut world = World::new([devices(), vec![bridge]].concat(), None);
    let br0 = PortId(2);
    world.picture(vec![Change::Link(Link { mtu: 1400, ..link(3, "e1") }), Change::Link(link(9, "e0"))]);
    let made = world.tables.link_of(br0).unwrap().clone();
    assert_eq!((made.index, made.mac, made.mtu), (LinkIndex(BRIDGE_LINKS + 2), link(3, "").mac, 1400));
    world.add(own(br0, "10.0.0.1/24"));
    assert!(world.routes().contains("10.0.0.0/24 dev br0 src 10.0.0.1"));
    let error = world.tables.add_address(own(E0, "10.0.1.1/24")).unwrap_err();
    assert!(error.to_string().contains("member of br0"), "{error}");
    assert_eq!(world.addresses(3), Vec::<String>::new(), "members have no address of their own");
    world.news(vec![Change::LinkGone(LinkIndex(3))]);
    assert_eq!(world.tables.link_of(br0).unwrap().mac, link(9, "").mac);
}

/// A route as the kernel's table has it, by a device.
fn world_route(link: Option<u32>, via: &str) -> Route {
    let hop = NextHop {
        link: link.map(LinkIndex),
        via: (!via.is_empty()).then(|| address(via)),
        weight: 1,
        onlink: false,
        dead: false,
    };
    Route {
        table: MAIN,
        prefix: net("198.51.100.0/24"),
        kind: RouteType::Unicast,
        protocol: 186,
        scope: Scope::UNIVERSE,
        tos: 0,
        metric: 20,
        preferred_source: None,
        mtu: 0,
        target: Target::NextHops(vec![hop]),
    }
}

/// A world with a device `rtr0` whose routes are followed.
fn following() -> World {
    let mut world = World::new(devices(), Some("rtr0"));
    let links = [link(1, "e0"), link(2, "e1"), Link { no_arp: true, ..link(5, "rtr0") }];
    world.picture(links.map(Change::Link).to_vec());
    world.add(own(E0, "10.0.0.1/24"));
    world.add(own(E1, "10.0.1.1/24"));
    world
}

const FOLLOWED: &str = "198.51.100.0/24";

impl World {
    fn followed(&self) -> Vec<String> {
        self.routes().into_iter().filter(|line| line.starts_with(FOLLOWED)).collect()
    }
}

#[test]
fn routes_out_of_the_tun_device_are_followed_to_the_port_of_their_gateway() {
    let mut world = following();
    world.news(vec![Change::Route(world_route(Some(5), "10.0.1.9"))]);
    assert_eq!(world.followed(), ["198.51.100.0/24 via 10.0.1.9 dev e1 metric 20"]);
    world.news(vec![Change::RouteReplaced(world_route(Some(5), "10.0.0.9"))]);
    assert_eq!(world.followed(), ["198.51.100.0/24 via 10.0.0.9 dev e0 metric 20"]);
    world.news(vec![down(link(1, "e0"))]);
    assert_eq!(world.followed(), Vec::<String>::new());
    world.news(vec![Change::Link(link(1, "e0"))]);
    assert_eq!(world.followed().len(), 1);
    world.news(vec![Change::RouteGone(world_route(Some(5), "10.0.0.9"))]);
    assert_eq!(world.followed(), Vec::<String>::new());

    let others = [
        Route { protocol: 2, ..world_route(Some(5), "10.0.1.9") },
        Route { protocol: OWN_PROTOCOL, ..world_route(Some(5), "10.0.1.9") },
        Route { table: 100, ..world_route(Some(5), "10.0.1.9") },
        world_route(Some(5), ""),
        world_route(Some(1), "10.0.1.9"),
        world_route(Some(5), "10.7.0.1"),
    ];
    for route in others {
        world.news(vec![Change::Route(route)]);
        assert_eq!(world.followed(), Vec::<String>::new());
    }
}

#[test]
fn several_ways_and_nexthop_objects_are_followed_too() {
    let mut world = following();
    let hop = |via| NextHop {
        link: Some(LinkIndex(5)),
        via: Some(address(via)),
        weight: 1,
        onlink: false,
        dead: false,
    };
    let several = Target::NextHops(vec![hop("10.0.0.9"), hop("10.7.0.1"), hop("10.0.1.9")]);
    world.news(vec![Change::Route(Route { target: several, ..world_route(None, "") })]);
    assert_eq!(world.followed(), ["198.51.100.0/24 via 10.0.0.9 dev e0 via 10.0.1.9 dev e1 metric 20"]);

    let object = |id, kind| Change::Nexthop(NexthopObject { id, kind });
    world.news(vec![
        object(11, NexthopKind::Single(hop("10.0.0.9"))),
        object(12, NexthopKind::Single(hop("10.0.1.9"))),
        object(13, NexthopKind::Group(vec![(11, 1), (12, 1)])),
        Change::RouteReplaced(Route { target: Target::Object(13), ..world_route(None, "") }),
    ]);
    assert_eq!(world.followed(), ["198.51.100.0/24 via 10.0.0.9 dev e0 via 10.0.1.9 dev e1 metric 20"]);
    let said = world.tables.remove_address(E0, net("10.0.0.1/24")).unwrap();
    world.hear(said);
    assert_eq!(world.followed(), ["198.51.100.0/24 via 10.0.1.9 dev e1 metric 20"]);
    world.picture([link(1, "e0"), link(2, "e1"), link(5, "rtr0")].map(Change::Link).to_vec());
    assert_eq!(world.followed(), Vec::<String>::new(), "the picture did not name it");
}

#[test]
fn an_own_route_comes_before_one_that_is_followed() {
    let mut world = following();
    world.news(vec![Change::Route(world_route(Some(5), "10.0.1.9"))]);
    let own = OwnRoute { metric: 20, ..route(FOLLOWED, "10.0.0.9", None) };
    world.route(own);
    assert_eq!(world.followed(), ["198.51.100.0/24 via 10.0.0.9 dev e0 metric 20"]);
    let said = world.tables.remove_route(MAIN, net(FOLLOWED), |_| true).unwrap();
    world.hear(said);
    assert_eq!(world.followed(), ["198.51.100.0/24 via 10.0.1.9 dev e1 metric 20"]);
}

#[test]
fn the_kernel_is_told_addresses_and_the_sources_of_routes() {
    let mut world = World::two();
    world.add(own(E0, "10.0.0.1/24"));
    world.add(own(E1, "10.0.1.1/24"));
    world.add(own(E1, "fd01::1/64"));
    world.route(route("0.0.0.0/0", "10.0.1.9", None));
    world.route(route("fd00::/8", "fe80::9", Some(E1)));
    world.route(OwnRoute {
        preferred_source: Some(address("10.0.0.1")),
        ..route("1.0.0.0/8", "10.0.1.9", None)
    });
    let view = world.tables.host_view();
    assert_eq!(view.mtu, 1500);
    assert_eq!(view.addresses, ["10.0.0.1/24", "10.0.1.1/24", "fd01::1/64"].map(net));
    let routes: Vec<String> = view.routes.iter().map(|(to, source)| format!("{to} {source}")).collect();
    assert_eq!(routes, ["0.0.0.0/0 10.0.1.1", "1.0.0.0/8 10.0.0.1", "fd00::/8 fd01::1"]);
}

/// Something that happens to the tables.
#[derive(Clone, Debug)]
enum Happening {
    AddAddress(u8, u8, u8),
    RemoveAddress(u8),
    AddRoute(u8, u8, u8),
    RemoveRoute(u8),
    Link(u8, bool),
    Gone(u8),
    Found(u8, u8),
    Kernel(u8, u8),
    KernelGone(u8),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        4 => (0..2_u8, 0..6_u8, 0..3_u8).prop_map(|(port, host, len)| Happening::AddAddress(port, host, len)),
        2 => any::<u8>().prop_map(Happening::RemoveAddress),
        4 => (0..4_u8, 0..6_u8, 0..4_u8).prop_map(|(to, via, how)| Happening::AddRoute(to, via, how)),
        2 => any::<u8>().prop_map(Happening::RemoveRoute),
        3 => (0..2_u8, any::<bool>()).prop_map(|(port, up)| Happening::Link(port, up)),
        1 => (0..2_u8).prop_map(Happening::Gone),
        3 => (any::<u8>(), 0..3_u8).prop_map(|(which, phase)| Happening::Found(which, phase)),
        2 => (0..4_u8, 0..6_u8).prop_map(|(to, via)| Happening::Kernel(to, via)),
        1 => (0..4_u8).prop_map(Happening::KernelGone),
    ];
    prop::collection::vec(one, 0..40)
}

impl World {
    /// Refusals are as good as anything: what counts is that nothing has changed then.
    fn happen(&mut self, happening: &Happening, indices: &mut [u32; 2]) {
        let host = |host: u8| format!("10.0.{}.{}", host / 3, host % 3 + 1);
        let prefix = |to: u8| format!("198.51.{to}.0/24");
        let pick = |which: u8, count: usize| usize::from(which) % count.max(1);
        let said = match *happening {
            Happening::AddAddress(port, of, len) => {
                let text = if len == 2 {
                    format!("fd00::{of}/64")
                } else {
                    format!("{}/{}", host(of), [24, 16][usize::from(len)])
                };
                let address = OwnAddress { detect: of % 2 == 0, ..own(PortId(port.into()), &text) };
                self.tables.add_address(address).unwrap_or_default()
            }
            Happening::RemoveAddress(which) => {
                let all = self.tables.wanted().addresses();
                let Some(gone) = all.get(pick(which, all.len())).cloned() else { return };
                self.tables.remove_address(gone.port, gone.net).unwrap()
            }
            Happening::AddRoute(to, via, how) => {
                let port = [None, Some(E0), Some(E1), Some(E1)][usize::from(how)];
                let via = if how == 3 { String::new() } else { host(via) };
                self.tables.add_route(route(&prefix(to), &via, port)).unwrap_or_default()
            }
            Happening::RemoveRoute(which) => {
                let all: Vec<_> = self.tables.wanted().routes().map(|route| route.prefix).collect();
                let Some(gone) = all.get(pick(which, all.len())) else { return };
                self.tables.remove_route(MAIN, *gone, |_| true).unwrap()
            }
            Happening::Link(port, up) => {
                let index = indices[usize::from(port)];
                let link = Link { admin_up: up, ..link(index, ["e0", "e1"][usize::from(port)]) };
                self.tables.take(vec![Change::Link(link)])
            }
            Happening::Gone(port) => {
                let index = &mut indices[usize::from(port)];
                *index += 10;
                self.tables.take(vec![Change::LinkGone(LinkIndex(*index - 10))])
            }
            Happening::Found(which, phase) => {
                let all = self.tables.standings();
                let Some(one) = all.get(pick(which, all.len())) else { return };
                let phase = [Phase::Tentative, Phase::Ready, Phase::Duplicate][usize::from(phase)];
                self.tables.set_phase(one.address.port, one.address.net.addr(), phase)
            }
            Happening::Kernel(to, via) => {
                let route = Route {
                    prefix: net(&prefix(to)),
                    metric: u32::from(via % 2),
                    ..world_route(Some(99), &host(via))
                };
                self.tables.take(vec![Change::Route(route)])
            }
            Happening::KernelGone(to) => {
                let route =
                    Route { prefix: net(&prefix(to)), metric: 0, ..world_route(Some(99), "10.0.0.1") };
                self.tables.take(vec![Change::RouteGone(route)])
            }
        };
        self.hear(said);
    }

    /// Everything the routing state holds, the order among equals aside.
    fn holds(&self) -> (BTreeSet<String>, BTreeSet<String>, usize) {
        let addresses = self.writer.addresses().map(|held| format!("{held:?}")).collect();
        (self.all_routes(), addresses, self.writer.route_count())
    }

    /// The same state, said all at once to somebody who knows nothing.
    fn anew(&mut self) -> Self {
        let mut anew = Self::new(devices(), Some("rtr0"));
        std::mem::swap(&mut anew.tables, &mut self.tables);
        anew.tables.told = Told::default();
        anew.tables.follow.forget_told();
        let links = anew.tables.ground.links.values().cloned().map(Change::Link).collect();
        let said = anew.tables.settle_with(links);
        anew.hear(said);
        anew
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_routing_state_holds_what_it_would_if_told_anew(all in happenings()) {
        let mut world = World::new(devices(), Some("rtr0"));
        let mut indices = [1, 2];
        let links = [link(1, "e0"), link(2, "e1"), link(99, "rtr0")];
        world.picture(links.map(Change::Link).to_vec());
        for happening in &all {
            world.happen(happening, &mut indices);
        }
        let held = world.holds();
        prop_assert_eq!(world.anew().holds(), held);
    }
}
