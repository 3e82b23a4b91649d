//! Routes, policy rules, neighbors and addresses as `ip` prints them.

use std::io::{self, Write};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::message::{
    AddressRow, AnswerKind, Dad, NeighborRow, NextHopRow, PolicyRuleRow, RouteAnswer, RouteKind, RouteRow,
};

/// As `ip route` prints it, with the reason behind it if packets do not use it.
pub(super) fn route(out: &mut impl Write, route: &RouteRow) -> io::Result<()> {
    if route.kind != RouteKind::Unicast {
        write!(out, "{} ", route.kind.name())?;
    }
    write!(out, "{}", prefix(route.prefix))?;
    if route.tos != 0 {
        write!(out, " tos 0x{:02x}", route.tos)?;
    }
    if let Some(object) = route.nexthop_object {
        write!(out, " nhid {object}")?;
    }
    let single = if let [single] = &route.next_hops[..] { Some(single) } else { None };
    if let Some(hop) = single {
        way(out, route.prefix, hop)?;
    }
    if route.table != "main" {
        write!(out, " table {}", route.table)?;
    }
    // A route without a protocol of its own is `boot`, which `ip` leaves out too.
    if route.protocol != "boot" {
        write!(out, " proto {}", route.protocol)?;
    }
    if route.scope != "global" {
        write!(out, " scope {}", route.scope)?;
    }
    if let Some(source) = route.preferred_source {
        write!(out, " src {source}")?;
    }
    if route.metric != 0 {
        write!(out, " metric {}", route.metric)?;
    }
    if single.is_some_and(|hop| hop.onlink) {
        out.write_all(b" onlink")?;
    }
    if let Some(mtu) = route.mtu {
        write!(out, " mtu {mtu}")?;
    }
    if !route.usable {
        not_used(out, route.reason.as_deref())?;
    }
    writeln!(out)?;
    if route.next_hops.len() > 1 {
        for hop in &route.next_hops {
            out.write_all(b"\tnexthop")?;
            way(out, route.prefix, hop)?;
            write!(out, " weight {}", hop.weight)?;
            out.write_all(if hop.onlink { b" onlink" } else { b"" })?;
            if !hop.usable {
                not_used(out, hop.reason.as_deref())?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

/// As `ip rule` prints it.
pub(super) fn policy_rule(out: &mut impl Write, rule: &PolicyRuleRow) -> io::Result<()> {
    let any = || "all".to_owned();
    write!(out, "{}:\t{}from ", rule.priority, if rule.inverted { "not " } else { "" })?;
    write!(out, "{}", rule.from.map_or_else(any, host_or_prefix))?;
    if let Some(to) = rule.to {
        write!(out, " to {}", host_or_prefix(to))?;
    }
    if rule.tos != 0 {
        write!(out, " tos 0x{:02x}", rule.tos)?;
    }
    match (rule.mark, rule.mark_mask) {
        (Some(mark), Some(mask)) if mask != u32::MAX => write!(out, " fwmark 0x{mark:x}/0x{mask:x}")?,
        (Some(mark), _) => write!(out, " fwmark 0x{mark:x}")?,
        (None, _) => {}
    }
    if let Some(port) = &rule.input_port {
        write!(out, " iif {port}")?;
    }
    if let Some(port) = &rule.output_port {
        write!(out, " oif {port}")?;
    }
    if let Some(protocol) = &rule.protocol {
        write!(out, " ipproto {protocol}")?;
    }
    for (word, ports) in [("sport", rule.source_ports), ("dport", rule.destination_ports)] {
        match ports {
            Some((first, last)) if first == last => write!(out, " {word} {first}")?,
            Some((first, last)) => write!(out, " {word} {first}-{last}")?,
            None => {}
        }
    }
    if rule.l3mdev {
        out.write_all(b" lookup [l3mdev-table]")?;
    } else {
        write!(out, " {}", rule.action)?;
    }
    if let Some(table) = &rule.table {
        write!(out, " {table}")?;
    }
    if let Some(length) = rule.suppress_prefix_length {
        write!(out, " suppress_prefixlength {length}")?;
    }
    if let Some(priority) = rule.goto {
        write!(out, " {priority}")?;
    }
    writeln!(out)
}

/// As `ip neigh` prints it.
pub(super) fn neighbor(out: &mut impl Write, neighbor: &NeighborRow) -> io::Result<()> {
    write!(out, "{} dev {}", neighbor.address, neighbor.port)?;
    if let Some(mac) = &neighbor.mac {
        write!(out, " lladdr {mac}")?;
    }
    for flag in &neighbor.flags {
        write!(out, " {}", flag.name())?;
    }
    writeln!(out, " {}", neighbor.state)
}

/// As `ip -br address` prints them: a line for each link. Own addresses that are not used say why behind them.
pub(super) fn addresses(out: &mut impl Write, rows: &[AddressRow]) -> io::Result<()> {
    for link in rows.chunk_by(|one, next| one.port == next.port) {
        write!(out, "{:<16} {:<14}", link[0].port, link[0].state)?;
        for row in link {
            write!(out, " {}", row.address)?;
            if let Some(peer) = row.peer {
                write!(out, " peer {peer}")?;
            }
            write!(out, "/{}", row.prefix_length)?;
            if let Some(dad) = row.dad.filter(|dad| *dad != Dad::Ready) {
                write!(out, " {}", dad.name())?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// An answer as `ip route get` prints it, and under it what it rests on.
pub(super) fn answer(out: &mut impl Write, answer: &RouteAnswer) -> io::Result<()> {
    let kind = match answer.kind {
        AnswerKind::Unicast => "",
        AnswerKind::Local => "local ",
        AnswerKind::Broadcast => "broadcast ",
        AnswerKind::Multicast => "multicast ",
        AnswerKind::Blackhole => "blackhole ",
        AnswerKind::Unreachable => "unreachable ",
        AnswerKind::Prohibit => "prohibit ",
        AnswerKind::NoRoute => "no route to ",
    };
    write!(out, "{kind}{}", answer.destination)?;
    if let Some(source) = answer.source {
        write!(out, " from {source}")?;
    }
    if let Some(via) = answer.via {
        write!(out, " via {}{via}", other_family(answer.destination, via))?;
    }
    if let Some(port) = &answer.port {
        write!(out, " dev {port}")?;
    }
    match &answer.table {
        Some(table) if table != "main" => write!(out, " table {table}")?,
        _ => {}
    }
    if let Some(source) = answer.preferred_source {
        write!(out, " src {source}")?;
    }
    match answer.mark {
        0 => {}
        mark @ 1..16 => write!(out, " mark {mark}")?,
        mark => write!(out, " mark 0x{mark:x}")?,
    }
    if let Some(port) = &answer.input_port {
        write!(out, " iif {port}")?;
    }
    writeln!(out)?;
    match (answer.prefix, &answer.table) {
        (Some(matched), Some(table)) => write!(out, "    by {} of table {table}", prefix(matched))?,
        (None, Some(table)) => write!(out, "    by table {table}")?,
        (_, None) if answer.kind == AnswerKind::NoRoute => out.write_all(b"    nothing matches")?,
        (_, None) => out.write_all(b"    by a policy rule")?,
    }
    write!(out, ", generation {}", answer.generation)?;
    if let Some(mtu) = answer.mtu {
        write!(out, ", mtu {mtu}")?;
    }
    writeln!(out)?;
    if let Some(neighbor) = &answer.neighbor {
        write!(out, "    neighbor {}", neighbor.address)?;
        if let Some(mac) = &neighbor.mac {
            write!(out, " lladdr {mac}")?;
        }
        writeln!(out, " {}", neighbor.state)?;
    }
    if !answer.depends_on.is_empty() {
        writeln!(out, "    would be asked again for another {}", answer.depends_on.join(", "))?;
    }
    Ok(())
}

fn way(out: &mut impl Write, destination: IpNet, hop: &NextHopRow) -> io::Result<()> {
    if let Some(via) = hop.via {
        write!(out, " via {}{via}", other_family(destination.addr(), via))?;
    }
    match &hop.port {
        Some(port) => write!(out, " dev {port}"),
        None => Ok(()),
    }
}

fn not_used(out: &mut impl Write, reason: Option<&str>) -> io::Result<()> {
    match reason {
        Some(reason) => write!(out, " [not used: {reason}]"),
        None => out.write_all(b" [not used]"),
    }
}

/// What `ip` writes before a gateway of another family than the destination's.
const fn other_family(destination: IpAddr, via: IpAddr) -> &'static str {
    match (destination, via) {
        (IpAddr::V4(_), IpAddr::V6(_)) => "inet6 ",
        (IpAddr::V6(_), IpAddr::V4(_)) => "inet ",
        _ => "",
    }
}

fn prefix(prefix: IpNet) -> String {
    if prefix.prefix_len() == 0 { "default".into() } else { host_or_prefix(prefix) }
}

fn host_or_prefix(prefix: IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use crate::message::{Family, NeighborFlag, NeighborOfAnswer};
    use crate::samples;

    fn route_text(change: impl FnOnce(&mut RouteRow)) -> String {
        let mut row = samples::route();
        change(&mut row);
        text(|out| route(out, &row))
    }

    // The expected lines are what `ip` (iproute2 6.1.0) printed of such routes and rules, less the blank at the end.

    #[test]
    fn routes_read_as_ip_prints_them() {
        assert_eq!(route_text(|_| {}), "10.10.0.0/16 via 10.9.0.5 dev v0\n");
        let connected = route_text(|row| {
            row.prefix = "10.9.0.0/24".parse().unwrap();
            row.protocol = "kernel".into();
            row.scope = "link".into();
            row.preferred_source = Some("10.9.0.1".parse().unwrap());
            row.next_hops[0].via = None;
        });
        assert_eq!(connected, "10.9.0.0/24 dev v0 proto kernel scope link src 10.9.0.1\n");
        let other_family = route_text(|row| {
            row.protocol = "ospf".into();
            row.mtu = Some(1400);
            row.next_hops[0].via = Some("fd00:9::7".parse().unwrap());
        });
        assert_eq!(other_family, "10.10.0.0/16 via inet6 fd00:9::7 dev v0 proto ospf mtu 1400\n");
        let onlink = route_text(|row| row.next_hops[0].onlink = true);
        assert_eq!(onlink, "10.10.0.0/16 via 10.9.0.5 dev v0 onlink\n");
        let object = route_text(|row| row.nexthop_object = Some(5));
        assert_eq!(object, "10.10.0.0/16 nhid 5 via 10.9.0.5 dev v0\n");
        let local = route_text(|row| {
            row.kind = RouteKind::Local;
            row.prefix = "10.9.0.1/32".parse().unwrap();
            row.table = "local".into();
            row.protocol = "kernel".into();
            row.scope = "host".into();
            row.preferred_source = Some("10.9.0.1".parse().unwrap());
            row.next_hops[0].via = None;
        });
        assert_eq!(local, "local 10.9.0.1 dev v0 table local proto kernel scope host src 10.9.0.1\n");
        let default = route_text(|row| {
            row.prefix = "::/0".parse().unwrap();
            row.metric = 1024;
            row.next_hops[0].via = Some("fe80::1".parse().unwrap());
        });
        assert_eq!(default, "default via fe80::1 dev v0 metric 1024\n");
        let blackhole = route_text(|row| {
            row.kind = RouteKind::Blackhole;
            row.table = "100".into();
            row.next_hops.clear();
        });
        assert_eq!(blackhole, "blackhole 10.10.0.0/16 table 100\n");
    }

    #[test]
    fn several_next_hops_stand_under_the_route() {
        let multipath = |row: &mut RouteRow| {
            row.metric = 20;
            row.next_hops[0].weight = 2;
            let second = NextHopRow {
                via: Some("10.9.0.6".parse().unwrap()),
                weight: 1,
                usable: false,
                reason: Some("port v0 is down".into()),
                ..row.next_hops[0].clone()
            };
            row.next_hops.push(second);
        };
        assert_eq!(
            route_text(multipath),
            "10.10.0.0/16 metric 20\n\tnexthop via 10.9.0.5 dev v0 weight 2\n\
             \tnexthop via 10.9.0.6 dev v0 weight 1 [not used: port v0 is down]\n"
        );
    }

    #[test]
    fn a_route_that_is_not_used_says_why() {
        let unused = route_text(|row| {
            row.usable = false;
            row.reason = Some("port v0 is down".into());
        });
        assert_eq!(unused, "10.10.0.0/16 via 10.9.0.5 dev v0 [not used: port v0 is down]\n");
    }

    #[test]
    fn rules_read_as_ip_prints_them() {
        let rule = |change: &dyn Fn(&mut PolicyRuleRow)| {
            let mut row = samples::policy_rule();
            change(&mut row);
            text(|out| policy_rule(out, &row))
        };
        assert_eq!(rule(&|_| {}), "32766:\tfrom all lookup main\n");
        assert_eq!(
            rule(&|row| {
                row.priority = 100;
                row.from = Some("10.0.0.0/8".parse().unwrap());
                row.mark = Some(0x10);
                row.mark_mask = Some(0xff);
                row.input_port = Some("v0".into());
                row.table = Some("100".into());
            }),
            "100:\tfrom 10.0.0.0/8 fwmark 0x10/0xff iif v0 lookup 100\n"
        );
        assert_eq!(
            rule(&|row| {
                row.priority = 101;
                row.inverted = true;
                row.to = Some("10.1.0.0/16".parse().unwrap());
                row.protocol = Some("tcp".into());
                row.destination_ports = Some((80, 90));
                row.action = "prohibit".into();
                row.table = None;
            }),
            "101:\tnot from all to 10.1.0.0/16 ipproto tcp dport 80-90 prohibit\n"
        );
        assert_eq!(
            rule(&|row| {
                row.priority = 102;
                row.source_ports = Some((53, 53));
                row.suppress_prefix_length = Some(0);
            }),
            "102:\tfrom all sport 53 lookup main suppress_prefixlength 0\n"
        );
        assert_eq!(
            rule(&|row| {
                row.priority = 103;
                row.tos = 0x10;
                row.action = "goto".into();
                row.table = None;
                row.goto = Some(32766);
            }),
            "103:\tfrom all tos 0x10 goto 32766\n"
        );
        assert_eq!(
            rule(&|row| {
                row.priority = 105;
                row.l3mdev = true;
                row.table = None;
            }),
            "105:\tfrom all lookup [l3mdev-table]\n"
        );
    }

    #[test]
    fn neighbors_and_addresses_read_as_ip_prints_them() {
        let mut row = samples::neighbor();
        assert_eq!(text(|out| neighbor(out, &row)), "10.9.0.6 dev v0 lladdr 02:00:00:00:00:06 STALE\n");
        row.flags = vec![NeighborFlag::Router, NeighborFlag::Static];
        row.state = "PERMANENT".into();
        assert_eq!(
            text(|out| neighbor(out, &row)),
            "10.9.0.6 dev v0 lladdr 02:00:00:00:00:06 router static PERMANENT\n"
        );
        row = NeighborRow { flags: Vec::new(), ..row };
        row.mac = None;
        row.state = "FAILED".into();
        assert_eq!(text(|out| neighbor(out, &row)), "10.9.0.6 dev v0 FAILED\n");
        let address = |port: &str, address: &str, prefix_length, peer: Option<&str>| AddressRow {
            port: port.into(),
            state: "UP".into(),
            family: Family::Ipv4,
            address: address.parse().unwrap(),
            prefix_length,
            scope: "global".into(),
            peer: peer.map(|peer| peer.parse().unwrap()),
            broadcast: None,
            flags: Vec::new(),
            dad: None,
        };
        let rows = [
            address("v0", "10.9.0.1", 24, None),
            address("v0", "fd00:9::1", 64, None),
            address("v1", "10.0.0.1", 32, Some("10.0.0.2")),
        ];
        assert_eq!(
            text(|out| addresses(out, &rows)),
            "v0               UP             10.9.0.1/24 fd00:9::1/64\n\
             v1               UP             10.0.0.1 peer 10.0.0.2/32\n"
        );
        let mut own = rows;
        own[0].dad = Some(Dad::Ready);
        own[1].dad = Some(Dad::Duplicate);
        own[2].dad = Some(Dad::Tentative);
        assert_eq!(
            text(|out| addresses(out, &own)),
            "v0               UP             10.9.0.1/24 fd00:9::1/64 duplicate\n\
             v1               UP             10.0.0.1 peer 10.0.0.2/32 tentative\n"
        );
    }

    #[test]
    fn an_answer_says_what_it_rests_on() {
        let mut row = RouteAnswer {
            destination: "10.10.0.1".parse().unwrap(),
            source: Some("10.9.0.7".parse().unwrap()),
            input_port: Some("v1".into()),
            mark: 3,
            kind: AnswerKind::Unicast,
            table: Some("main".into()),
            prefix: Some("10.10.0.0/16".parse().unwrap()),
            via: Some("10.9.0.5".parse().unwrap()),
            port: Some("v0".into()),
            preferred_source: None,
            mtu: Some(1500),
            neighbor: Some(NeighborOfAnswer {
                address: "10.9.0.5".parse().unwrap(),
                mac: Some("02:00:00:00:00:05".into()),
                state: "REACHABLE".into(),
            }),
            generation: 7,
            depends_on: vec!["mark".into()],
        };
        assert_eq!(
            text(|out| answer(out, &row)),
            "10.10.0.1 from 10.9.0.7 via 10.9.0.5 dev v0 mark 3 iif v1\n    \
             by 10.10.0.0/16 of table main, generation 7, mtu 1500\n    \
             neighbor 10.9.0.5 lladdr 02:00:00:00:00:05 REACHABLE\n    \
             would be asked again for another mark\n"
        );
        row = RouteAnswer {
            kind: AnswerKind::NoRoute,
            source: None,
            input_port: None,
            mark: 0x20,
            table: None,
            prefix: None,
            via: None,
            port: None,
            mtu: None,
            neighbor: None,
            depends_on: Vec::new(),
            ..row
        };
        assert_eq!(
            text(|out| answer(out, &row)),
            "no route to 10.10.0.1 mark 0x20\n    nothing matches, generation 7\n"
        );
    }
}
