//! From what a story says of a change to what the routing state is told.

use fib::adjacency::{LinkIndex, Mac};
use fib::change::{
    Address, Change as Told, Link, LinkSettings, NeighborEntry, NeighborState, NextHop, NexthopKind,
    NexthopObject, ReversePath, Route, RouteType, Rule, RuleAction, Scope, Settings, Target,
};
use ipnet::IpNet;
use router::tabletop::{link, rule};

use crate::proof::hosts::{PORTS, mac, station};
use crate::proof::story::{Change, Health, Kind, Way};

type Links = [u32; PORTS.len()];

/// Prefixes of routes: those on the way of some flow first, then those that concern nobody.
const PREFIXES: [(&str, &str); 9] = [
    ("10.50.0.0/16", "fd50::/16"),
    ("10.50.1.0/24", "fd50:1::/32"),
    ("10.50.1.7/32", "fd50:1::7/128"),
    ("10.0.2.200/32", "fd02::200/128"),
    ("0.0.0.0/0", "::/0"),
    ("10.0.0.2/32", "fd00::2/128"),
    ("10.50.3.0/24", "fd50:3::/32"),
    ("10.200.0.0/16", "fdc8::/16"),
    ("10.50.1.128/25", "fd50:1:8000::/33"),
];
/// How many there are.
pub const PREFIX_COUNT: usize = PREFIXES.len();
/// The router's addresses that come and go, by port.
const ADDRESSES: [(usize, &str); 6] = [
    (0, "10.0.0.1/24"),
    (1, "10.0.1.1/24"),
    (3, "10.50.1.8/32"),
    (0, "fd00::1/64"),
    (3, "fd50:1::8/128"),
    (3, "10.0.3.1/24"),
];
/// How many there are.
pub const ADDRESS_COUNT: usize = ADDRESSES.len();
/// How many kinds of policy rules there are.
pub const POLICY_COUNT: usize = 8;

/// What a story's change is to the routing state; `links` follows devices that are replaced.
pub(super) fn translate(change: &Change, links: &mut Links, batch: &mut Vec<Told>) {
    let told = match change {
        Change::Route { gone, ipv6, prefix, kind, table, tos, metric, mtu, way } => {
            let (v4, v6) = PREFIXES[*prefix];
            let kind = route_type(*kind);
            let target = match (kind, way) {
                (RouteType::Unicast, Way::Object(id)) => Target::Object(*id),
                (RouteType::Unicast, Way::Gateway(port, number)) => {
                    Target::NextHops(vec![hop(links, *port, Some((*ipv6, *number)))])
                }
                (RouteType::Unicast, Way::Link(port)) => Target::NextHops(vec![hop(links, *port, None)]),
                _ => Target::NextHops(Vec::new()),
            };
            let plain = route(if *ipv6 { v6 } else { v4 }, target);
            // The kernel knows no TOS of IPv6 routes.
            let tos = if *ipv6 { 0 } else { *tos };
            let route = Route { table: *table, kind, tos, mtu: *mtu, metric: plain.metric + metric, ..plain };
            if *gone { Told::RouteGone(route) } else { Told::Route(route) }
        }
        Change::Group { gone, ipv6, members } => {
            let hops = members.iter().map(|(port, number)| hop(links, *port, Some((*ipv6, *number))));
            let target = Target::NextHops(hops.collect());
            let route = route(if *ipv6 { "fd77::/16" } else { "10.77.0.0/16" }, target);
            if *gone { Told::RouteGone(route) } else { Told::Route(route) }
        }
        Change::Object { gone: true, id, .. } => Told::NexthopGone(*id),
        Change::Object { ipv6, id, port, station, blackhole, .. } => {
            let kind = if *blackhole {
                NexthopKind::Blackhole
            } else {
                NexthopKind::Single(hop(links, *port, Some((*ipv6, *station))))
            };
            Told::Nexthop(NexthopObject { id: *id, kind })
        }
        Change::Policy { gone, ipv6, kind, some } => {
            let rule = policy(*ipv6, *kind, *some);
            if *gone { Told::RuleGone(rule) } else { Told::Rule(rule) }
        }
        Change::Link { port, admin_up, carrier, mtu } => Told::Link(Link {
            index: LinkIndex(links[*port]),
            admin_up: *admin_up,
            carrier: *carrier,
            mtu: *mtu,
            ..link(*port, PORTS[*port])
        }),
        Change::Replaced { port } => {
            batch.push(Told::LinkGone(LinkIndex(links[*port])));
            links[*port] += 10;
            Told::Link(Link { index: LinkIndex(links[*port]), ..link(*port, PORTS[*port]) })
        }
        Change::Neighbor { gone, ipv6, port, station: number, state, mac } => {
            let address = station(*ipv6, *port, *number);
            let link = LinkIndex(links[*port]);
            if *gone {
                Told::NeighborGone { link, address }
            } else {
                let state = match state {
                    Health::Reachable => NeighborState::Reachable,
                    Health::Stale => NeighborState::Stale,
                    Health::Failed => NeighborState::Failed,
                };
                let known = state != NeighborState::Failed;
                let mac = known.then_some(Mac([2, 7, *mac, 0, *port as u8, *number]));
                Told::Neighbor(NeighborEntry { link, address, state, mac })
            }
        }
        Change::Address { gone, which, local } => {
            let (port, net) = ADDRESSES[*which];
            let net: IpNet = net.parse().expect("an address");
            match (*local, *gone) {
                (false, false) => Told::Address(owned(links[port], net)),
                (false, true) => Told::AddressGone(owned(links[port], net)),
                (true, false) => Told::Route(local_route(links[port], net)),
                (true, true) => Told::RouteGone(local_route(links[port], net)),
            }
        }
        Change::Settings { port, reverse_path, redirects, ipv6_disabled } => {
            let rp_filter = match reverse_path {
                0 => ReversePath::Off,
                1 => ReversePath::Strict,
                _ => ReversePath::Loose,
            };
            let settings = LinkSettings {
                rp_filter,
                send_redirects: *redirects,
                ipv6_disabled: *ipv6_disabled,
                ..LinkSettings::default()
            };
            Told::Settings(Settings::Link(LinkIndex(links[*port]), settings))
        }
    };
    batch.push(told);
}

/// A port's addresses with their routes, and the neighbors beside it.
pub(super) fn furniture(port: usize, index: u32) -> Vec<Told> {
    let mut changes = Vec::new();
    for net in [format!("10.0.{port}.1/24"), format!("fd0{port}::1/64")] {
        let net: IpNet = net.parse().expect("an address");
        let on_link =
            NextHop { link: Some(LinkIndex(index)), via: None, weight: 1, onlink: false, dead: false };
        let plain = route(&net.trunc().to_string(), Target::NextHops(vec![on_link]));
        changes.push(Told::Address(owned(index, net)));
        changes.push(Told::Route(local_route(index, net)));
        changes.push(Told::Route(Route {
            protocol: 2,
            scope: Scope::LINK,
            metric: if net.addr().is_ipv6() { 256 } else { 0 },
            preferred_source: net.addr().is_ipv4().then_some(net.addr()),
            ..plain
        }));
    }
    for number in [2, 3] {
        for ipv6 in [false, true] {
            changes.push(Told::Neighbor(NeighborEntry {
                link: LinkIndex(index),
                address: station(ipv6, port, number),
                state: NeighborState::Reachable,
                mac: Some(Mac(mac(port, number))),
            }));
        }
    }
    changes
}

fn route(prefix: &str, target: Target) -> Route {
    let prefix: IpNet = prefix.parse().expect("a prefix");
    Route {
        table: 254,
        prefix,
        kind: RouteType::Unicast,
        protocol: 4,
        scope: Scope::UNIVERSE,
        tos: 0,
        metric: if prefix.addr().is_ipv6() { 1024 } else { 0 },
        preferred_source: None,
        mtu: 0,
        target,
    }
}

fn local_route(index: u32, net: IpNet) -> Route {
    let hop = NextHop { link: Some(LinkIndex(index)), via: None, weight: 1, onlink: false, dead: false };
    Route {
        table: 255,
        kind: RouteType::Local,
        protocol: 2,
        scope: Scope::HOST,
        metric: 0,
        preferred_source: net.addr().is_ipv4().then_some(net.addr()),
        ..route(&IpNet::from(net.addr()).to_string(), Target::NextHops(vec![hop]))
    }
}

fn owned(index: u32, net: IpNet) -> Address {
    Address {
        link: LinkIndex(index),
        net,
        peer: None,
        broadcast: None,
        scope: Scope::UNIVERSE,
        secondary: false,
        tentative: false,
        deprecated: false,
    }
}

fn hop(links: &Links, port: usize, via: Option<(bool, u8)>) -> NextHop {
    let via = via.map(|(ipv6, number)| station(ipv6, port, number));
    NextHop { link: Some(LinkIndex(links[port])), via, weight: 1, onlink: false, dead: false }
}

const fn route_type(kind: Kind) -> RouteType {
    match kind {
        Kind::Unicast => RouteType::Unicast,
        Kind::Blackhole => RouteType::Blackhole,
        Kind::Unreachable => RouteType::Unreachable,
        Kind::Prohibit => RouteType::Prohibit,
        Kind::Throw => RouteType::Throw,
    }
}

fn policy(ipv6: bool, kind: usize, some: bool) -> Rule {
    let blank = |priority| rule(ipv6, priority, RuleAction::Lookup(100));
    let rule = match kind {
        0 => Rule { mark: Some((1, 0xff)), ..blank(100) },
        1 => Rule { iif: Some(PORTS[0].to_owned()), ..blank(101) },
        2 => Rule { tos: 0x10, ..blank(102) },
        3 => Rule { destination_ports: Some((53, 53)), ..blank(103) },
        4 => Rule { protocol: Some(6), action: RuleAction::Prohibit, ..blank(104) },
        5 => Rule { mark: Some((1, 0xff)), action: RuleAction::Blackhole, ..blank(105) },
        6 => Rule { suppress_prefix_length: Some(0), action: RuleAction::Lookup(254), ..blank(106) },
        _ => Rule { mark: Some((2, 0xff)), ..blank(107) },
    };
    let from = if ipv6 { "fd00::2/127" } else { "10.0.0.2/31" };
    Rule { from: some.then(|| from.parse().expect("a prefix")), ..rule }
}
