//! Routes of both families and all tables: `RTM_NEWROUTE`, `RTM_DELROUTE`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fib::adjacency::LinkIndex;
use fib::change::{Change, NextHop, Route, RouteType, Scope, Target};
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteLwEnCapType, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteType as Kind, RouteVia,
};

use super::Announcement;

/// The route a message tells of.
///
/// A route that needs an encapsulation (MPLS, SRv6 …) keeps its place with next hops marked dead: the kernel would
/// not fall back to a shorter prefix with the payload bare either.
pub(super) fn read(message: &RouteMessage, change: fn(Route) -> Change) -> Announcement {
    let header = &message.header;
    // Entries of the IPv6 route cache (path MTU exceptions, redirects) are not configuration.
    if header.flags.contains(RouteFlags::Cloned) {
        return Announcement::Ignored;
    }
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return Announcement::Ignored,
    };
    if header.source_prefix_length != 0 {
        return Announcement::Unsupported(
            "an IPv6 route for certain sources only (ip -6 route … from PREFIX)",
        );
    }
    let kind = match header.kind {
        Kind::Unicast => RouteType::Unicast,
        Kind::Local => RouteType::Local,
        Kind::Broadcast => RouteType::Broadcast,
        Kind::Anycast => RouteType::Anycast,
        Kind::Multicast => RouteType::Multicast,
        Kind::BlackHole => RouteType::Blackhole,
        Kind::Unreachable => RouteType::Unreachable,
        Kind::Prohibit => RouteType::Prohibit,
        Kind::Throw => RouteType::Throw,
        _ => return Announcement::Unsupported("a route type that Linux itself does not implement"),
    };

    let mut destination = unspecified;
    let mut table = u32::from(header.table);
    let mut metric = 0;
    let mut preferred_source = None;
    let mut mtu = 0;
    let mut object = None;
    let mut several = Vec::new();
    let mut single = NextHop {
        link: None,
        via: None,
        weight: 1,
        onlink: header.flags.contains(RouteFlags::Onlink),
        dead: header.flags.contains(RouteFlags::Dead),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = plain(address).unwrap_or(destination),
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::PrefSource(address) => preferred_source = plain(address),
            RouteAttribute::Metrics(metrics) => mtu = path_mtu(metrics),
            RouteAttribute::NhId(id) => object = Some(*id),
            RouteAttribute::MultiPath(hops) => several.extend(hops.iter().map(next_hop)),
            RouteAttribute::Oif(index) => single.link = Some(LinkIndex(*index)),
            other => read_gateway(other, &mut single),
        }
    }
    let Ok(prefix) = IpNet::new(destination, header.destination_prefix_length) else {
        return Announcement::Ignored;
    };
    let target = match (object, kind) {
        (Some(id), _) => Target::Object(id),
        (None, RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw) => {
            Target::NextHops(Vec::new())
        }
        (None, _) if several.is_empty() && single.link.is_none() && single.via.is_none() => {
            Target::NextHops(Vec::new())
        }
        (None, _) if several.is_empty() => Target::NextHops(vec![single]),
        (None, _) => Target::NextHops(several),
    };
    Announcement::Change(change(Route {
        table,
        prefix: prefix.trunc(),
        kind,
        protocol: header.protocol.into(),
        scope: Scope(header.scope.into()),
        tos: header.tos,
        metric,
        preferred_source,
        mtu,
        target,
    }))
}

/// One member of `RTA_MULTIPATH`; `rtnh_hops` is the weight less one.
fn next_hop(member: &RouteNextHop) -> NextHop {
    let mut hop = NextHop {
        link: (member.interface_index != 0).then_some(LinkIndex(member.interface_index)),
        via: None,
        weight: u16::from(member.hops) + 1,
        onlink: member.flags.contains(RouteNextHopFlags::Onlink),
        dead: member.flags.contains(RouteNextHopFlags::Dead),
    };
    for attribute in &member.attributes {
        read_gateway(attribute, &mut hop);
    }
    hop
}

/// What is said alike of a route's only next hop and of each of several. The kernel writes an all-zero gateway for
/// "none" in some IPv6 messages.
fn read_gateway(attribute: &RouteAttribute, hop: &mut NextHop) {
    match attribute {
        RouteAttribute::Gateway(address) => hop.via = plain(address).filter(|via| !via.is_unspecified()),
        RouteAttribute::Via(RouteVia::Inet(address)) => hop.via = Some(IpAddr::V4(*address)),
        RouteAttribute::Via(RouteVia::Inet6(address)) => hop.via = Some(IpAddr::V6(*address)),
        RouteAttribute::EncapType(kind) if *kind != RouteLwEnCapType::None => hop.dead = true,
        _ => {}
    }
}

fn path_mtu(metrics: &[RouteMetric]) -> u32 {
    metrics
        .iter()
        .find_map(|metric| match metric {
            RouteMetric::Mtu(mtu) => Some(*mtu),
            _ => None,
        })
        .unwrap_or(0)
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
