//! The routers of the comparison, what may change in them, and what leaves them.

use std::net::IpAddr;
use std::sync::Arc;

use conntrack::Registry;
use fib::adjacency::{LinkIndex, Mac};
use fib::change::{
    Address, Change, Link, LinkSettings, NeighborEntry, NeighborState, NextHop, ReversePath, Route,
    RouteType, Rule, RuleAction, Scope, Settings, Target,
};
use proptest::prelude::*;
use router::chain::{Family, Hook, Place, Point, Registration, Verdict};
use router::engine::{Context, FlowCache, Packet};
use router::port::memory::{self, Parcel};
use router::tabletop::{Blueprint, Question, Tabletop, link, rule};

use crate::packets::{Flow, MarkedAt, Sent, has_many_ways};

const PORTS: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// Room for fewer neighbors than there are, so that places are given away.
const NEIGHBORS_MAX: usize = 18;

/// Which hooks a router has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// Those of stateful forwarding.
    All,
    /// Only the test's own, which mark packets.
    Stateless,
}

/// A router with four ports.
pub struct World {
    pub table: Tabletop,
}

/// What has left a router in one step.
#[derive(Debug, PartialEq, Eq)]
pub struct Leaving {
    ports: Vec<Vec<Parcel>>,
    /// Packets for which there are several ways, without their link headers, whichever way they took.
    many_ways: Vec<Vec<u8>>,
    questions: Vec<Question>,
}

/// Marks packets that say so.
struct Marks(MarkedAt);

impl Hook for Marks {
    fn handle(&self, packet: &mut Packet, _: &mut Context<'_>) -> Verdict {
        if MarkedAt::of(packet.ip()) == self.0 {
            packet.mark = 1;
        }
        Verdict::Accept
    }
}

impl World {
    pub fn new(hooks: Hooks, mode: FlowCache) -> Self {
        let flows = conntrack::Config { flows_max: 4_096, ..conntrack::Config::default() };
        let mut table = Tabletop::build(Blueprint {
            ports: PORTS.iter().map(|name| (*name, memory::Settings::default())).collect(),
            flows,
            trackers: Registry::builtin().build(),
            neighbors_max: NEIGHBORS_MAX,
        });
        if hooks == Hooks::Stateless {
            let places: Vec<_> = table.hooks().rows().into_iter().map(|row| row.place).collect();
            table.hooks().unregister(places).expect("they sit there");
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            let seat = |name, priority, when| Registration {
                place: Place::new(family, Point::Prerouting, name),
                priority,
                hook: Arc::new(Marks(when)),
            };
            let marks = [seat("mark-early", -250, MarkedAt::Early), seat("mark-late", -150, MarkedAt::Late)];
            table.hooks().register(marks).expect("nobody sits there");
        }
        table.shared().set_flow_cache(mode);
        for port in 0..PORTS.len() {
            table.address(port, &format!("10.0.{port}.1/24"));
            table.address(port, &format!("fd0{port}::1/64"));
            for host in [2, 3] {
                for address in [format!("10.0.{port}.{host}"), format!("fd0{port}::{host}")] {
                    table.neighbor(port, &address, Some(host_mac(port, host)));
                }
            }
        }
        table.route("10.50.0.0/16", "10.0.3.2", 3);
        table.route("fd50::/16", "fd03::2", 3);
        table.route("0.0.0.0/0", "10.0.2.2", 2);
        table.route("::/0", "fd02::2", 2);
        Self { table }
    }

    pub fn arrive(&mut self, flows: &[Flow], sent: &[Sent]) {
        for sent in sent {
            let (port, frames) = sent.frames(flows);
            for frame in frames {
                self.table.send(port, &frame[..]);
            }
        }
        self.table.settle();
    }

    pub fn change(&mut self, changes: &[Change]) {
        self.table.apply(changes.iter().cloned());
        self.table.settle();
    }

    pub fn leaving(&mut self) -> Leaving {
        let mut many_ways = Vec::new();
        let mut ports = Vec::new();
        for port in 0..PORTS.len() {
            let (many, one): (Vec<_>, Vec<_>) =
                self.table.take(port).into_iter().partition(|parcel| has_many_ways(&parcel.bytes));
            many_ways.extend(many.into_iter().map(|parcel| parcel.bytes[14..].to_vec()));
            ports.push(one);
        }
        many_ways.sort();
        Leaving { ports, many_ways, questions: self.table.questions() }
    }
}

impl Leaving {
    pub fn total(&self) -> usize {
        self.ports.iter().map(Vec::len).sum::<usize>() + self.many_ways.len()
    }
}

/// Whether the same has left all of them; else where they differ.
pub fn all_alike(left: &[Leaving]) -> Result<(), String> {
    let Some((first, others)) = left.split_first() else { return Ok(()) };
    for other in others {
        for (port, (one, another)) in first.ports.iter().zip(&other.ports).enumerate() {
            if one != another {
                return Err(format!("port {port} sent\n  {one:x?}\nand\n  {another:x?}"));
            }
        }
        if first != other {
            return Err(format!("\n  {first:x?}\nand\n  {other:x?}"));
        }
    }
    Ok(())
}

/// The link address of a host beside a port.
pub fn host_mac(port: usize, host: u8) -> [u8; 6] {
    [2, 0, 0, 1, port as u8, host]
}

/// Nothing is to reach this prefix any more.
pub fn blackhole(prefix: &str) -> Change {
    Change::Route(Route { kind: RouteType::Blackhole, ..route(prefix, Target::NextHops(Vec::new())) })
}

/// Anything that may become different.
pub fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => any_route().prop_map(Change::Route),
        4 => any_route().prop_map(Change::RouteGone),
        2 => any_group().prop_map(Change::Route),
        1 => any_group().prop_map(Change::RouteGone),
        2 => any_rule().prop_map(Change::Rule),
        2 => any_rule().prop_map(Change::RuleGone),
        3 => any_link().prop_map(Change::Link),
        4 => any_neighbor(),
        2 => any_address(),
        1 => any_settings(),
    ]
}

fn route(prefix: &str, target: Target) -> Route {
    let prefix: ipnet::IpNet = prefix.parse().expect("a prefix");
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

fn hop(port: usize, via: Option<IpAddr>) -> NextHop {
    NextHop { link: Some(LinkIndex(port as u32 + 1)), via, weight: 1, onlink: false, dead: false }
}

fn gateway(ipv6: bool, port: usize, host: usize) -> IpAddr {
    let text = if ipv6 { format!("fd0{port}::{host}") } else { format!("10.0.{port}.{host}") };
    text.parse().expect("an address")
}

fn any_route() -> impl Strategy<Value = Route> {
    let prefix = prop_oneof![
        Just(("10.50.0.0/16", "fd50::/16")),
        Just(("10.50.1.0/24", "fd50:1::/32")),
        Just(("10.50.1.7/32", "fd50:1::7/128")),
        Just(("10.0.2.200/32", "fd02::200/128")),
        Just(("0.0.0.0/0", "::/0")),
    ];
    let kind = prop_oneof![
        8 => Just(RouteType::Unicast),
        1 => Just(RouteType::Blackhole),
        1 => Just(RouteType::Unreachable),
        1 => Just(RouteType::Prohibit),
        1 => Just(RouteType::Throw),
    ];
    let table = prop_oneof![3 => Just(254_u32), 1 => Just(100)];
    let tos = prop_oneof![6 => Just(0_u8), 1 => Just(0x10)];
    let mtu = prop_oneof![6 => Just(0_u32), 1 => Just(1_300), 1 => Just(620)];
    let way = (0_usize..4, prop_oneof![3 => (2_usize..4).prop_map(Some), 1 => Just(None)]);
    (any::<bool>(), prefix, kind, table, tos, mtu, way).prop_map(
        |(ipv6, prefix, kind, table, tos, mtu, (port, host))| {
            let hops = match kind {
                RouteType::Unicast => vec![hop(port, host.map(|host| gateway(ipv6, port, host)))],
                _ => Vec::new(),
            };
            let prefix = if ipv6 { prefix.1 } else { prefix.0 };
            let tos = if ipv6 { 0 } else { tos };
            Route { table, kind, tos, mtu, ..route(prefix, Target::NextHops(hops)) }
        },
    )
}

/// Several ways at once; over ports whose MTU stays and to neighbors that stay, so that the ways are alike.
fn any_group() -> impl Strategy<Value = Route> {
    let members = prop::sample::subsequence(vec![(2_usize, 2_usize), (2, 3), (3, 2), (3, 3)], 1..=4);
    (any::<bool>(), members).prop_map(|(ipv6, members)| {
        let hops = members.into_iter().map(|(port, host)| hop(port, Some(gateway(ipv6, port, host))));
        route(if ipv6 { "fd77::/16" } else { "10.77.0.0/16" }, Target::NextHops(hops.collect()))
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let blank = |priority| rule(false, priority, RuleAction::Lookup(100));
    let any_kind = prop_oneof![
        Just(Rule { mark: Some((1, 0xff)), ..blank(100) }),
        Just(Rule { iif: Some("r0".into()), ..blank(101) }),
        Just(Rule { tos: 0x10, ..blank(102) }),
        Just(Rule { destination_ports: Some((53, 53)), ..blank(103) }),
        Just(Rule { protocol: Some(6), action: RuleAction::Prohibit, ..blank(104) }),
        Just(Rule { mark: Some((1, 0xff)), action: RuleAction::Blackhole, ..blank(105) }),
        Just(Rule { suppress_prefix_length: Some(0), action: RuleAction::Lookup(254), ..blank(106) }),
    ];
    let from = prop_oneof![2 => Just(None), 1 => Just(Some(("10.0.0.2/31", "fd00::2/127")))];
    (any::<bool>(), any_kind, from).prop_map(|(ipv6, rule, from)| {
        let from = from.map(|(v4, v6)| if ipv6 { v6 } else { v4 }.parse().expect("a prefix"));
        Rule { ipv6, from, ..rule }
    })
}

fn any_link() -> impl Strategy<Value = Link> {
    let up = prop::bool::weighted(0.7);
    let mtu = prop_oneof![4 => Just(1_500_u32), 1 => Just(1_300), 1 => Just(600)];
    (0_usize..4, up, prop::bool::weighted(0.8), mtu).prop_map(|(port, admin_up, carrier, mtu)| {
        // IPv6 needs 1280 bytes; the kernel takes it off a link with less.
        let mtu = if port < 2 { mtu } else { 1_500 };
        Link { admin_up, carrier, mtu, ..link(port, PORTS[port]) }
    })
}

fn any_neighbor() -> impl Strategy<Value = Change> {
    let state = prop_oneof![
        3 => Just(NeighborState::Reachable),
        1 => Just(NeighborState::Stale),
        1 => Just(NeighborState::Failed),
    ];
    let host = prop_oneof![3 => (0_usize..2, 2_usize..4), 1 => Just((2_usize, 200_usize))];
    (any::<bool>(), host, state, 0_u8..3, prop::bool::weighted(0.3)).prop_map(
        |(ipv6, (port, host), state, mac, gone)| {
            let address = gateway(ipv6, port, host);
            let link = LinkIndex(port as u32 + 1);
            if gone {
                return Change::NeighborGone { link, address };
            }
            let mac = (state != NeighborState::Failed).then_some(Mac([2, 7, mac, 0, port as u8, host as u8]));
            Change::Neighbor(NeighborEntry { link, address, state, mac })
        },
    )
}

/// The router's own addresses come and go, those of a host among them; and a neighbor's turns into the router's.
fn any_address() -> impl Strategy<Value = Change> {
    let net = prop_oneof![
        Just((0, "10.0.0.1/24")),
        Just((1, "10.0.1.1/24")),
        Just((3, "10.50.1.8/32")),
        Just((0, "fd00::1/64")),
        Just((3, "fd50:1::8/128")),
    ];
    (net, any::<bool>(), any::<bool>()).prop_map(|((port, net), gone, route_too)| {
        let net: ipnet::IpNet = net.parse().expect("an address");
        let link = LinkIndex(port as u32 + 1);
        let address = Address {
            link,
            net,
            peer: None,
            broadcast: None,
            scope: Scope::UNIVERSE,
            secondary: false,
            tentative: false,
            deprecated: false,
        };
        let local = Route {
            table: 255,
            kind: RouteType::Local,
            protocol: 2,
            scope: Scope::HOST,
            metric: 0,
            ..route(&ipnet::IpNet::from(net.addr()).to_string(), Target::NextHops(vec![hop(port, None)]))
        };
        match (route_too, gone) {
            (false, false) => Change::Address(address),
            (false, true) => Change::AddressGone(address),
            (true, false) => Change::Route(local),
            (true, true) => Change::RouteGone(local),
        }
    })
}

fn any_settings() -> impl Strategy<Value = Change> {
    let filter = prop_oneof![Just(ReversePath::Off), Just(ReversePath::Strict), Just(ReversePath::Loose)];
    (0_usize..4, filter, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(port, rp_filter, send_redirects, ipv6_disabled)| {
            let link = LinkIndex(port as u32 + 1);
            let settings =
                LinkSettings { rp_filter, send_redirects, ipv6_disabled, ..LinkSettings::default() };
            Change::Settings(Settings::Link(link, settings))
        },
    )
}
