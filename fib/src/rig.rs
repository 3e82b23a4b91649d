//! For tests: a router with three ports, spoken to in the words of `ip`.

use std::net::IpAddr;

use crate::adjacency::{LinkIndex, Mac, PortId};
use crate::change::{
    Address, Change, Link, NextHop, NexthopKind, NexthopObject, Route, RouteType, Rule, RuleAction, Scope,
    Target,
};
use crate::publish::Loaded;
use crate::snapshot::{Adjacency, Answer, Hop, Query, Snapshot};
use crate::writer::{Applied, Writer};

pub(crate) const LO: LinkIndex = LinkIndex(1);
/// A device that is not a port.
pub(crate) const ETH9: LinkIndex = LinkIndex(9);
pub(crate) const R0: LinkIndex = LinkIndex(10);
pub(crate) const R1: LinkIndex = LinkIndex(11);
pub(crate) const R2: LinkIndex = LinkIndex(12);

/// A writer whose ports r0, r1, r2 are up and whose rules are Linux's.
pub(crate) struct Rig {
    pub(crate) writer: Writer,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let mut writer = Writer::new(vec!["r0".into(), "r1".into(), "r2".into()], 1024);
        let lo = Link { loopback: true, ..link(LO, "lo") };
        let all = [lo, link(ETH9, "eth9"), link(R0, "r0"), link(R1, "r1"), link(R2, "r2")];
        writer.apply(all.map(Change::Link));
        Self { writer }
    }

    /// A rig with these routes.
    pub(crate) fn with(routes: &[&str]) -> Self {
        let mut rig = Self::new();
        rig.apply(routes.iter().map(|text| Change::Route(route(text))));
        rig
    }

    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Applied {
        self.writer.apply(changes)
    }

    pub(crate) fn add(&mut self, text: &str) -> Applied {
        self.apply([Change::Route(route(text))])
    }

    pub(crate) fn del(&mut self, text: &str) -> Applied {
        self.apply([Change::RouteGone(route(text))])
    }

    pub(crate) fn load(&self) -> Loaded<Snapshot> {
        self.writer.reader().load()
    }

    pub(crate) fn lookup(&self, query: &Query) -> Answer {
        self.load().lookup(query)
    }

    /// Where a packet from a host behind r0 goes, in words: `r1`, `r1 via 192.0.2.1`, `Local`, `NoRoute` …
    pub(crate) fn to(&self, destination: &str) -> String {
        self.way(&query(destination))
    }

    pub(crate) fn way(&self, query: &Query) -> String {
        self.words(self.lookup(query).adjacency)
    }

    pub(crate) fn words(&self, adjacency: Adjacency) -> String {
        match adjacency {
            Adjacency::Forward(Hop { port, gateway, .. }) => {
                let name = self.writer.ports().name(port).to_owned();
                gateway.map_or(name.clone(), |gateway| format!("{name} via {gateway}"))
            }
            other => format!("{other:?}"),
        }
    }
}

pub(crate) fn link(index: LinkIndex, name: &str) -> Link {
    Link {
        index,
        name: name.into(),
        kind: "veth".into(),
        mac: Mac([2, 0, 0, 0, 0, index.0 as u8]),
        mtu: 1500,
        admin_up: true,
        carrier: true,
        loopback: false,
        no_arp: false,
        master: None,
        vrf_table: None,
    }
}

pub(crate) fn address(link: LinkIndex, net: &str) -> Address {
    Address {
        link,
        net: net.parse().unwrap(),
        peer: None,
        broadcast: None,
        scope: Scope::UNIVERSE,
        secondary: false,
        tentative: false,
        deprecated: false,
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A UDP packet that came in by r0.
pub(crate) fn query(destination: &str) -> Query {
    let destination = ip(destination);
    Query {
        destination,
        source: if destination.is_ipv4() { ip("192.0.2.77") } else { ip("2001:db8:77::77") },
        input: Some(PortId(0)),
        mark: 0,
        tos: 0,
        protocol: 17,
        source_port: 4000,
        destination_port: 53,
    }
}

fn device(name: &str) -> LinkIndex {
    match name {
        "lo" => LO,
        "eth9" => ETH9,
        "r0" => R0,
        "r1" => R1,
        "r2" => R2,
        index => LinkIndex(index.parse().expect("a device of the rig or an index")),
    }
}

/// `[TYPE] PREFIX [via A] [dev D] [weight N] [dead] [onlink] [nexthop …]… [nhid N] [table N] [metric N] [tos N]
/// [proto N] [src A] [mtu N] [scope N]`.
pub(crate) fn route(text: &str) -> Route {
    let mut words = text.split_whitespace().peekable();
    let kind = match *words.peek().unwrap() {
        "local" => RouteType::Local,
        "broadcast" => RouteType::Broadcast,
        "multicast" => RouteType::Multicast,
        "anycast" => RouteType::Anycast,
        "blackhole" => RouteType::Blackhole,
        "unreachable" => RouteType::Unreachable,
        "prohibit" => RouteType::Prohibit,
        "throw" => RouteType::Throw,
        _ => RouteType::Unicast,
    };
    if kind != RouteType::Unicast {
        words.next();
    }
    let mut route = Route {
        table: if matches!(kind, RouteType::Local | RouteType::Broadcast) { 255 } else { 254 },
        prefix: words.next().unwrap().parse().unwrap(),
        kind,
        protocol: 2,
        scope: Scope::UNIVERSE,
        tos: 0,
        metric: 0,
        preferred_source: None,
        mtu: 0,
        target: Target::NextHops(Vec::new()),
    };
    let mut hops: Vec<NextHop> = Vec::new();
    fn last(hops: &mut Vec<NextHop>) -> &mut NextHop {
        if hops.is_empty() {
            hops.push(hop());
        }
        hops.last_mut().unwrap()
    }
    while let Some(word) = words.next() {
        let mut number = || words.next().unwrap().parse::<u32>().unwrap();
        match word {
            "nexthop" => hops.push(hop()),
            "onlink" => last(&mut hops).onlink = true,
            "dead" => last(&mut hops).dead = true,
            "via" => last(&mut hops).via = Some(ip(words.next().unwrap())),
            "dev" => last(&mut hops).link = Some(device(words.next().unwrap())),
            "src" => route.preferred_source = Some(ip(words.next().unwrap())),
            "weight" => last(&mut hops).weight = number() as u16,
            "nhid" => route.target = Target::Object(number()),
            "table" => route.table = number(),
            "metric" => route.metric = number(),
            "tos" => route.tos = number() as u8,
            "proto" => route.protocol = number() as u8,
            "mtu" => route.mtu = number(),
            "scope" => route.scope = Scope(number() as u8),
            other => panic!("{other:?} in {text:?}"),
        }
    }
    if let Target::NextHops(none) = &mut route.target {
        *none = hops;
    }
    route
}

fn hop() -> NextHop {
    NextHop { link: None, via: None, weight: 1, onlink: false, dead: false }
}

pub(crate) fn nexthop(id: u32, via: &str, dev: &str) -> Change {
    let hop = NextHop { link: Some(device(dev)), via: Some(ip(via)), ..hop() };
    Change::Nexthop(NexthopObject { id, kind: NexthopKind::Single(hop) })
}

pub(crate) fn group(id: u32, members: &[(u32, u16)]) -> Change {
    Change::Nexthop(NexthopObject { id, kind: NexthopKind::Group(members.to_vec()) })
}

/// A rule that matches everything; tests put in what they need.
pub(crate) fn rule(priority: u32, action: RuleAction) -> Rule {
    Rule { protocol_origin: 3, ..Rule::for_all(false, priority, action) }
}

/// Linux's own rules of IPv4, as announced.
pub(crate) fn usual_rules() -> [Change; 3] {
    [(0, 255), (32_766, 254), (32_767, 253)]
        .map(|(priority, table)| Change::Rule(rule(priority, RuleAction::Lookup(table))))
}
