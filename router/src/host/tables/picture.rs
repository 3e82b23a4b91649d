//! What the routing state is to hold, made of what is wanted and of the links there are: as Linux makes it of the same
//! `ip address add` and `ip route add`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fib::adjacency::{LinkIndex, Mac, PortId};
use fib::change::{Address, Link, NextHop, Route, RouteType, Rule, RuleAction, Scope, Target};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::wanted::{
    CONNECTED_METRIC6, LOCAL, MAIN, OwnAddress, OwnHop, OwnRoute, RouteKey, Wanted, is_link_local,
};
use super::{Phase, Picture};

/// `RTPROT_KERNEL`: what comes of addresses.
const KERNEL: u8 = 2;

/// What is known of the links, by port.
pub(super) trait Ground {
    /// The link behind a port, if there is one.
    fn link(&self, port: PortId) -> Option<&Link>;
    /// How far an address is with finding out whether somebody else has it.
    fn phase(&self, address: &OwnAddress) -> Phase;
    /// Whether IPv6 is switched off there.
    fn ipv6_disabled(&self, link: LinkIndex) -> bool;
    /// The loopback device, if it is known.
    fn loopback(&self) -> Option<&Link>;
    /// Ports that can have addresses, members of bridges not among them.
    fn seats(&self) -> Vec<PortId>;
}

/// Puts the picture together.
pub(super) fn draw(wanted: &Wanted, ground: &impl Ground) -> Picture {
    let mut picture = Picture { rules: rules(wanted), ..Picture::default() };
    for port in ground.seats() {
        let Some(link) = ground.link(port) else { continue };
        let own = wanted.addresses().iter().filter(|address| address.port == port);
        let (mut own4, own6): (Vec<_>, Vec<_>) = own.cloned().partition(|own| own.net.addr().is_ipv4());
        // One that somebody else has is nobody's primary.
        own4.sort_by_key(|own| ground.phase(own) == Phase::Duplicate);
        ipv4(&mut picture, link, &own4, ground);
        if link.admin_up && !ground.ipv6_disabled(link.index) {
            let own6: Vec<_> = link_local(port, link).into_iter().chain(own6).collect();
            ipv6(&mut picture, link, &own6, ground);
        }
    }
    if let Some(link) = ground.loopback() {
        loopback(&mut picture, link, ground);
    }
    let subnets = wanted.subnets();
    for route in wanted.routes() {
        picture.routes.push(own_route(route, wanted, &subnets, ground));
    }
    picture
}

/// One route of the picture, of those that people want.
pub(super) fn draw_route(wanted: &Wanted, key: &RouteKey, ground: &impl Ground) -> Option<Route> {
    Some(own_route(wanted.route(key)?, wanted, &wanted.subnets(), ground))
}

/// The address that an up port gives itself for its link, with the identifier of its link address in it (RFC 4291
/// appendix A, `addrconf_ifid_eui48`).
pub(super) fn link_local(port: PortId, link: &Link) -> Option<OwnAddress> {
    if link.mac == Mac::default() || link.no_arp {
        return None;
    }
    let [a, b, c, d, e, f] = link.mac.0.map(u16::from);
    let pair = |high: u16, low: u16| high << 8 | low;
    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f));
    let net = Ipv6Net::new(address, 64).expect("64 is a length of IPv6");
    Some(OwnAddress { port, net: net.into(), detect: true })
}

/// The addresses that every host has for itself.
fn loopback(picture: &mut Picture, link: &Link, ground: &impl Ground) {
    let of_family = |net: IpNet| Address {
        link: link.index,
        net,
        peer: None,
        broadcast: None,
        scope: Scope::HOST,
        secondary: false,
        tentative: false,
        deprecated: false,
    };
    let own = Ipv4Net::new(Ipv4Addr::LOCALHOST, 8).expect("8 is a length of IPv4");
    let mut add = |prefix: IpNet, kind, scope, source| {
        picture.routes.push(Made { table: LOCAL, prefix, kind, scope, metric: 0, source }.on(link.index));
    };
    let source = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let alone = |address: Ipv4Addr| IpNet::from(IpAddr::V4(address));
    add(own.trunc().into(), RouteType::Local, Scope::HOST, source);
    add(alone(own.addr()), RouteType::Local, Scope::HOST, source);
    add(alone(own.broadcast()), RouteType::Broadcast, Scope::LINK, source);
    picture.addresses.push(of_family(own.into()));
    if !ground.ipv6_disabled(link.index) {
        let own = IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        picture.routes.push(
            Made {
                table: LOCAL,
                prefix: own,
                kind: RouteType::Local,
                scope: Scope::UNIVERSE,
                metric: 0,
                source: None,
            }
            .on(link.index),
        );
        picture.addresses.push(of_family(own));
    }
}

/// `fib_add_ifaddr` for each address of a link.
fn ipv4(picture: &mut Picture, link: &Link, own: &[OwnAddress], ground: &impl Ground) {
    for (place, address) in own.iter().enumerate() {
        let IpNet::V4(net) = address.net else { continue };
        let is_ready = ground.phase(address) == Phase::Ready;
        let alike = |other: &&OwnAddress| other.net.trunc() == address.net.trunc();
        let secondary = own[..place].iter().any(|other| alike(&other));
        // The first of its prefix that can be used: as the kernel's primary, with which others share their routes.
        let mut same = own.iter().filter(alike).filter(|other| ground.phase(other) == Phase::Ready);
        let source = same.next().map(|primary| primary.net.addr());
        picture.addresses.push(Address {
            link: link.index,
            net: address.net,
            peer: None,
            broadcast: None,
            scope: Scope::UNIVERSE,
            secondary,
            tentative: !is_ready,
            deprecated: false,
        });
        let mut add = |table, prefix: Ipv4Net, kind, scope| {
            let made = Made { table, prefix: prefix.into(), kind, scope, metric: 0, source };
            picture.routes.push(made.on(link.index));
        };
        let alone = |address: Ipv4Addr| Ipv4Net::from(address);
        if is_ready {
            add(LOCAL, alone(net.addr()), RouteType::Local, Scope::HOST);
        }
        let prefix = net.trunc();
        let covers_others = prefix.addr() != net.addr() || net.prefix_len() < 32;
        if !link.admin_up || secondary || prefix.addr().octets()[0] == 0 || !covers_others {
            continue;
        }
        add(MAIN, prefix, RouteType::Unicast, Scope::LINK);
        if net.prefix_len() < 31 {
            add(LOCAL, alone(net.broadcast()), RouteType::Broadcast, Scope::LINK);
        }
    }
}

/// `addrconf_add_ifaddr`, `addrconf_dad_completed` and `addrconf_add_mroute` for a link that is up.
fn ipv6(picture: &mut Picture, link: &Link, own: &[OwnAddress], ground: &impl Ground) {
    let mut subnets: Vec<Ipv6Net> = Vec::new();
    let mut ready: Vec<Ipv6Net> = Vec::new();
    for address in own {
        let IpNet::V6(net) = address.net else { continue };
        let is_ready = ground.phase(address) == Phase::Ready;
        picture.addresses.push(Address {
            link: link.index,
            net: address.net,
            peer: None,
            broadcast: None,
            scope: scope(net.addr()),
            secondary: false,
            tentative: !is_ready,
            deprecated: false,
        });
        if !subnets.contains(&net.trunc()) {
            subnets.push(net.trunc());
        }
        if is_ready {
            ready.push(net);
        }
    }
    let mut add = |table, prefix: Ipv6Net, kind, metric| {
        let made = Made { table, prefix: prefix.into(), kind, scope: Scope::UNIVERSE, metric, source: None };
        picture.routes.push(made.on(link.index));
    };
    let everybody =
        Ipv6Net::new(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8).expect("8 is a length of IPv6");
    add(LOCAL, everybody, RouteType::Multicast, CONNECTED_METRIC6);
    for prefix in &subnets {
        add(MAIN, *prefix, RouteType::Unicast, CONNECTED_METRIC6);
    }
    for net in &ready {
        add(LOCAL, Ipv6Net::from(net.addr()), RouteType::Local, 0);
    }
    // Of each subnet its routers are one anycast group (RFC 4291 section 2.6.1), which begins with the subnet's number.
    let mut groups: Vec<Ipv6Addr> =
        ready.iter().filter(|net| net.prefix_len() < 127).map(|net| net.trunc().addr()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|group| ready.iter().all(|net| net.addr() != *group));
    for group in groups {
        add(LOCAL, Ipv6Net::from(group), RouteType::Anycast, 0);
    }
}

/// A route as the kernel makes it of an address.
struct Made {
    table: u32,
    prefix: IpNet,
    kind: RouteType,
    scope: Scope,
    metric: u32,
    source: Option<IpAddr>,
}

impl Made {
    fn on(self, link: LinkIndex) -> Route {
        let Self { table, prefix, kind, scope, metric, source } = self;
        let hop = NextHop { link: Some(link), via: None, weight: 1, onlink: false, dead: false };
        Route {
            table,
            prefix,
            kind,
            protocol: KERNEL,
            scope,
            tos: 0,
            metric,
            preferred_source: source,
            mtu: 0,
            target: Target::NextHops(vec![hop]),
        }
    }
}

/// A route that people want. While its port has no device, or its gateway is on no subnet, it is there and cannot be used.
fn own_route(route: &OwnRoute, wanted: &Wanted, subnets: &[(IpNet, PortId)], ground: &impl Ground) -> Route {
    let hops: Vec<NextHop> = route.hops.iter().map(|hop| own_hop(hop, subnets, ground)).collect();
    let is_usable = |source: &IpAddr| {
        let of_source = wanted.addresses().iter().filter(|own| own.net.addr() == *source);
        of_source.clone().any(|own| ground.phase(own) == Phase::Ready)
    };
    let scope = match route.prefix {
        IpNet::V4(_) if route.kind == RouteType::Unicast && route.is_direct() => Scope::LINK,
        _ => Scope::UNIVERSE,
    };
    Route {
        table: route.table,
        prefix: route.prefix,
        kind: route.kind,
        protocol: route.protocol,
        scope,
        tos: route.tos,
        metric: route.metric,
        preferred_source: route.preferred_source.filter(is_usable),
        mtu: route.mtu,
        target: Target::NextHops(hops),
    }
}

fn own_hop(hop: &OwnHop, subnets: &[(IpNet, PortId)], ground: &impl Ground) -> NextHop {
    let on_subnet = |via: IpAddr, of: Option<PortId>| {
        let found = subnets.iter().find(|(net, port)| net.contains(&via) && of.is_none_or(|of| of == *port));
        found.map(|(_, port)| *port)
    };
    let port = match (hop.via, hop.port) {
        (None, port) => port,
        (Some(via), Some(port)) if hop.onlink || is_link_local(via) => Some(port),
        (Some(via), port) => on_subnet(via, port),
    };
    let link = port.or(hop.port).and_then(|port| ground.link(port)).map(|link| link.index);
    NextHop { link, via: hop.via, weight: hop.weight, onlink: hop.onlink, dead: port.is_none() }
}

/// The rules that every router has, and those that people want, in the order in which they are asked.
fn rules(wanted: &Wanted) -> Vec<Rule> {
    let usual = [
        (false, 0, LOCAL),
        (false, 32_766, MAIN),
        (false, 32_767, 253),
        (true, 0, LOCAL),
        (true, 32_766, MAIN),
    ];
    let usual = usual.into_iter().map(|(ipv6, priority, table)| Rule {
        protocol_origin: KERNEL,
        ..Rule::for_all(ipv6, priority, RuleAction::Lookup(table))
    });
    let mut all: Vec<Rule> = usual.chain(wanted.rules().iter().cloned()).collect();
    all.sort_by_key(|rule| rule.priority);
    all
}

/// How far an address reaches (`ipv6_addr_scope`).
fn scope(address: Ipv6Addr) -> Scope {
    match address.segments()[0] {
        0xfe80..=0xfebf => Scope::LINK,
        0xfec0..=0xfeff => Scope::SITE,
        _ => Scope::UNIVERSE,
    }
}
