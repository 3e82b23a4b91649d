//! What routing rests on, as rows: addresses, routes, policy rules; and the hooks that packets pass.

use std::borrow::Cow;

use ctl::message::{
    AddressRow, Family, HookRow, NextHopRow, PolicyRuleRow, RouteFilter, RouteKind, RouteRow, TableFilter,
};
use ctl::names;
use fib::change::{Address, Link, RouteType, Rule, RuleAction};
use fib::writer::{HopRow, Writer};
use ipnet::IpNet;

use crate::chain;

/// Addresses, those of a link together.
pub(super) fn addresses(writer: &Writer) -> Vec<AddressRow> {
    let link_of =
        |address: &Address| writer.links().map(|row| row.link).find(|link| link.index == address.link);
    writer.addresses().filter_map(|announced| Some(address(link_of(announced)?, announced))).collect()
}

/// Routes behind `after` that may pass the filter, and behind which prefix to go on; `None` when these are the last.
/// Looks at no more than `rows_max` routes, and at all of the last prefix.
pub(super) fn page(
    writer: &Writer,
    after: Option<(u32, IpNet)>,
    rows_max: usize,
    filter: &RouteFilter,
) -> (Vec<RouteRow>, Option<(u32, IpNet)>) {
    let mut rows = Vec::new();
    let mut last = None;
    for (looked_at, held) in writer.routes(after).enumerate() {
        let place = Some((held.table, held.prefix));
        if looked_at >= rows_max.max(1) && place != last {
            return (rows, last);
        }
        last = place;
        if may_match(filter, &held) {
            rows.push(route(held));
        }
    }
    (rows, None)
}

/// The row of a route.
pub(in crate::daemon) fn route(held: fib::writer::RouteRow) -> RouteRow {
    RouteRow {
        family: Family::of(held.prefix.addr()),
        table: names::table(held.table),
        prefix: held.prefix,
        kind: kind(held.kind),
        protocol: names::route_protocol(held.protocol),
        scope: names::scope(held.scope.0),
        metric: held.metric,
        tos: held.tos,
        preferred_source: held.preferred_source,
        mtu: (held.mtu != 0).then_some(held.mtu),
        nexthop_object: held.nexthop,
        next_hops: held.next_hops.into_iter().map(next_hop).collect(),
        usable: held.unusable.is_none(),
        reason: held.unusable.map(|reason| reason.to_string()),
    }
}

/// The row of a policy rule.
pub(super) fn policy_rule(rule: Rule) -> PolicyRuleRow {
    let (action, table, goto) = match rule.action {
        RuleAction::Lookup(table) => ("lookup", (!rule.l3mdev).then(|| names::table(table)), None),
        RuleAction::Goto(priority) => ("goto", None, Some(priority)),
        RuleAction::Nop => ("nop", None, None),
        RuleAction::Blackhole => ("blackhole", None, None),
        RuleAction::Unreachable => ("unreachable", None, None),
        RuleAction::Prohibit => ("prohibit", None, None),
    };
    PolicyRuleRow {
        family: if rule.ipv6 { Family::Ipv6 } else { Family::Ipv4 },
        priority: rule.priority,
        inverted: rule.invert,
        from: rule.from,
        to: rule.to,
        input_port: rule.iif,
        output_port: rule.oif,
        mark: rule.mark.map(|(value, _)| value),
        mark_mask: rule.mark.map(|(_, mask)| mask),
        tos: rule.tos,
        protocol: rule.protocol.map(protocol),
        source_ports: rule.source_ports,
        destination_ports: rule.destination_ports,
        suppress_prefix_length: rule.suppress_prefix_length,
        l3mdev: rule.l3mdev,
        action: action.into(),
        table,
        goto,
    }
}

/// The row of a hook.
pub(super) fn hook(row: chain::HookRow) -> HookRow {
    HookRow {
        family: match row.place.family {
            chain::Family::Ipv4 => Family::Ipv4,
            chain::Family::Ipv6 => Family::Ipv6,
            chain::Family::Arp => Family::Arp,
            chain::Family::Bridge => Family::Bridge,
        },
        point: row.place.point.name().into(),
        priority: row.priority,
        name: Cow::Owned(row.place.name.to_string()),
    }
}

fn address(link: &Link, address: &Address) -> AddressRow {
    let flags = [
        (address.secondary, "secondary"),
        (address.tentative, "tentative"),
        (address.deprecated, "deprecated"),
    ];
    AddressRow {
        port: link.name.clone(),
        state: link_state(link).into(),
        family: Family::of(address.net.addr()),
        address: address.net.addr(),
        prefix_length: address.net.prefix_len(),
        scope: names::scope(address.scope.0),
        peer: address.peer,
        broadcast: address.broadcast,
        flags: flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.into()).collect(),
        dad: None,
    }
}

/// As `ip -br address` writes it. Devices whose carrier never changes tell the kernel nothing of their state.
fn link_state(link: &Link) -> &'static str {
    if !link.admin_up || !link.carrier {
        "DOWN"
    } else if link.loopback || link.kind == "dummy" {
        "UNKNOWN"
    } else {
        "UP"
    }
}

fn next_hop(hop: HopRow) -> NextHopRow {
    NextHopRow {
        via: hop.via,
        port: (!hop.link_name.is_empty()).then_some(hop.link_name),
        weight: hop.weight,
        onlink: hop.onlink,
        usable: hop.unusable.is_none(),
        reason: hop.unusable.map(|reason| reason.to_string()),
    }
}

const fn kind(kind: RouteType) -> RouteKind {
    match kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::Broadcast => RouteKind::Broadcast,
        RouteType::Anycast => RouteKind::Anycast,
        RouteType::Multicast => RouteKind::Multicast,
        RouteType::Blackhole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Throw => RouteKind::Throw,
    }
}

/// Whether a route may be meant by a filter, judged before a row is made of it: nothing that is meant is left out.
fn may_match(filter: &RouteFilter, held: &fib::writer::RouteRow) -> bool {
    filter.family.is_none_or(|family| family == Family::of(held.prefix.addr()))
        && match &filter.table {
            TableFilter::NotLocal => held.table != LOCAL_TABLE,
            TableFilter::All => true,
            TableFilter::Named(name) => names::table(held.table) == name.as_str(),
        }
}

/// `RT_TABLE_LOCAL`.
const LOCAL_TABLE: u32 = 255;

/// A protocol as `ip rule` names it, or by number.
fn protocol(number: u8) -> Cow<'static, str> {
    match names::flow_protocol(number) {
        "icmpv6" => "ipv6-icmp".into(),
        "unknown" => Cow::Owned(number.to_string()),
        name => name.into(),
    }
}
