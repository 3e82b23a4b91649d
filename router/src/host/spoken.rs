//! What people say in `ip`'s words, as the router's own tables take it.

use std::net::IpAddr;

use ctl::message::{
    AddressChange, Family, NeighborChange, NextHopChange, PolicyAction, PolicyRuleChange, RouteChange,
    RouteKind,
};
use fib::adjacency::{Mac, PortId};
use fib::change::{RouteType, Rule, RuleAction};

use super::tables::{MAIN, OwnAddress, OwnError, OwnHop, OwnNeighbor, OwnRoute};

/// Metric of an IPv6 route for which none is said (`IP6_RT_PRIO_USER`).
const METRIC6: u32 = 1024;

/// The protocol of what is said on the command line (`RTPROT_BOOT`).
pub const BOOT: u8 = 3;
/// The protocol of what a configuration says (`RTPROT_STATIC`).
pub const STATIC: u8 = 4;

/// Finds ports by their names.
pub trait Directory {
    /// The port of this name.
    fn port_named(&self, name: &str) -> Option<PortId>;

    /// As [`Self::port_named`].
    ///
    /// # Errors
    /// There is none.
    fn port(&self, name: &str) -> Result<PortId, OwnError> {
        self.port_named(name).ok_or_else(|| OwnError::NoPort(name.to_owned()))
    }
}

/// The address that is meant.
///
/// # Errors
/// The port is unknown.
pub fn address(change: &AddressChange, ports: &impl Directory) -> Result<OwnAddress, OwnError> {
    Ok(OwnAddress { port: ports.port(&change.port)?, net: change.address, detect: !change.nodad })
}

/// The neighbor that is meant, and its address where it has to have one.
///
/// # Errors
/// The port is unknown.
pub fn neighbor(change: &NeighborChange, ports: &impl Directory) -> Result<OwnNeighbor, OwnError> {
    let mac = Mac(change.mac.map_or([0; 6], |mac| mac.0));
    Ok(OwnNeighbor { port: ports.port(&change.port)?, address: change.address, mac })
}

/// The route that is to be made; `protocol` where none is said.
///
/// # Errors
/// A port is unknown.
pub fn route(change: &RouteChange, protocol: u8, ports: &impl Directory) -> Result<OwnRoute, OwnError> {
    let usual_metric = if change.prefix.addr().is_ipv6() { METRIC6 } else { 0 };
    Ok(OwnRoute {
        table: change.table,
        prefix: change.prefix,
        kind: change.kind.map_or(RouteType::Unicast, kind),
        protocol: change.protocol.unwrap_or(protocol),
        tos: change.tos,
        metric: metric(change).unwrap_or(usual_metric),
        preferred_source: change.preferred_source,
        mtu: change.mtu.unwrap_or(0),
        hops: hops(change, ports)?,
    })
}

/// Says of a route whether it is meant by a change that deletes one: what is not said may be anything.
///
/// # Errors
/// A port is unknown.
pub fn is_meant<D: Directory>(
    change: &RouteChange,
    ports: &D,
) -> Result<impl Fn(&OwnRoute) -> bool + use<D>, OwnError> {
    let said = hops(change, ports)?;
    let (kind, metric, tos) = (change.kind.map(kind), metric(change), change.tos);
    let (protocol, source) = (change.protocol, change.preferred_source);
    Ok(move |route: &OwnRoute| {
        let is_same = |said: &OwnHop, held: &OwnHop| {
            (said.via.is_none() || said.via == held.via) && (said.port.is_none() || said.port == held.port)
        };
        let same_hops = said.is_empty()
            || said.len() == route.hops.len()
                && said.iter().zip(&route.hops).all(|(said, held)| is_same(said, held));
        kind.is_none_or(|kind| kind == route.kind)
            && metric.is_none_or(|metric| metric == route.metric)
            && tos == route.tos
            && protocol.is_none_or(|protocol| protocol == route.protocol)
            && source.is_none_or(|source| Some(source) == route.preferred_source)
            && same_hops
    })
}

/// The policy rule that is to be made; with the preference `free` where none is said.
#[must_use]
pub fn rule(change: &PolicyRuleChange, free: u32) -> Rule {
    let action = change.action.unwrap_or(PolicyAction::Lookup(MAIN));
    Rule {
        invert: change.inverted,
        from: change.from,
        to: change.to,
        iif: change.input_port.clone(),
        oif: change.output_port.clone(),
        mark: change.mark.map(|mark| (mark.value, mark.mask)),
        tos: change.tos,
        protocol: change.protocol_number.filter(|number| *number != 0),
        source_ports: change.source_ports,
        destination_ports: change.destination_ports,
        suppress_prefix_length: change.suppress_prefix_length,
        protocol_origin: BOOT,
        ..Rule::for_all(change.family == Family::Ipv6, change.priority.unwrap_or(free), rule_action(action))
    }
}

/// Whether a rule is meant by a change that deletes one: what is not said may be anything (`fib_nl_delrule`).
#[must_use]
pub fn is_rule_meant(change: &PolicyRuleChange, held: &Rule) -> bool {
    let said = rule(change, held.priority);
    let same = |said: &Option<u8>, held: &Option<u8>| said.is_none() || said == held;
    said.ipv6 == held.ipv6
        && said.priority == held.priority
        && said.invert == held.invert
        && (said.from.is_none() || said.from == held.from)
        && (said.to.is_none() || said.to == held.to)
        && (said.iif.is_none() || said.iif == held.iif)
        && (said.oif.is_none() || said.oif == held.oif)
        && (said.mark.is_none() || said.mark == held.mark)
        && (said.tos == 0 || said.tos == held.tos)
        && same(&said.protocol, &held.protocol)
        && (said.source_ports.is_none() || said.source_ports == held.source_ports)
        && (said.destination_ports.is_none() || said.destination_ports == held.destination_ports)
        && same(&said.suppress_prefix_length, &held.suppress_prefix_length)
        && change.action.is_none_or(|action| rule_action(action) == held.action)
}

fn hops(change: &RouteChange, ports: &impl Directory) -> Result<Vec<OwnHop>, OwnError> {
    let hop = |said: &NextHopChange| {
        let port = said.port.as_deref().map(|name| ports.port(name)).transpose()?;
        Ok(OwnHop { via: said.via, port, weight: said.weight, onlink: said.onlink })
    };
    change.next_hops.iter().map(hop).collect()
}

/// A metric of 0 is none to IPv6 (`ip6_route_info_create`).
fn metric(change: &RouteChange) -> Option<u32> {
    change.metric.filter(|metric| *metric != 0 || matches!(change.prefix.addr(), IpAddr::V4(_)))
}

const fn kind(kind: RouteKind) -> RouteType {
    match kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Local => RouteType::Local,
        RouteKind::Broadcast => RouteType::Broadcast,
        RouteKind::Anycast => RouteType::Anycast,
        RouteKind::Multicast => RouteType::Multicast,
        RouteKind::Blackhole => RouteType::Blackhole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
        RouteKind::Throw => RouteType::Throw,
    }
}

const fn rule_action(action: PolicyAction) -> RuleAction {
    match action {
        PolicyAction::Lookup(table) => RuleAction::Lookup(table),
        PolicyAction::Goto(preference) => RuleAction::Goto(preference),
        PolicyAction::Nop => RuleAction::Nop,
        PolicyAction::Blackhole => RuleAction::Blackhole,
        PolicyAction::Unreachable => RuleAction::Unreachable,
        PolicyAction::Prohibit => RuleAction::Prohibit,
    }
}
