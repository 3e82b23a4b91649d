//! `route get`: where a packet would go, asked of the same routing state by the same lookup as packets are.

use std::net::IpAddr;

use ctl::message::{AnswerKind, Failure, FailureKind, NeighborOfAnswer, RouteAnswer, RouteQuery};
use ctl::names;
use fib::adjacency::PortId;
use fib::snapshot::{Adjacency, Answer, Depends, Hop, Martian, Query, Snapshot, SourceCheck};

use super::neighbors;
use crate::packet::ipv4;

/// Answers for a packet without ports and of TOS 0. With a port of entry and a source, the source is judged too, as
/// it is for an IPv4 packet.
///
/// # Errors
/// The port is unknown, the addresses are of two families, or the packet would be dropped for its addresses.
pub(super) fn answer(routing: &Snapshot, asked: &RouteQuery) -> Result<RouteAnswer, Failure> {
    let query = Query {
        destination: asked.destination,
        source: source(asked)?,
        input: input(routing, asked)?,
        mark: asked.mark,
        tos: 0,
        protocol: 0,
        source_port: 0,
        destination_port: 0,
    };
    if let Some(kind) = without_a_table(query.destination) {
        return Ok(RouteAnswer { kind, generation: routing.generation().0, ..nowhere(asked) });
    }
    let mut answer = routing.lookup(&query);
    if let (Some(source), Some(port)) = (asked.source, query.input) {
        judge(routing, &query, &mut answer).map_err(|reason| {
            let port = routing.ports().name(port);
            let text = format!(
                "a packet from {source} to {} that enters by {port} is dropped: {reason}",
                query.destination
            );
            Failure::new(FailureKind::Failed, text)
        })?;
    }
    Ok(explain(routing, asked, &answer))
}

fn input(routing: &Snapshot, asked: &RouteQuery) -> Result<Option<PortId>, Failure> {
    let Some(name) = &asked.input_port else { return Ok(None) };
    let port = routing.ports().by_name(name);
    let unknown = || Failure::new(FailureKind::NotFound, format!("no port named {name} in this router"));
    port.map(Some).ok_or_else(unknown)
}

fn source(asked: &RouteQuery) -> Result<IpAddr, Failure> {
    let unspecified = match asked.destination {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    match asked.source {
        Some(source) if source.is_ipv4() != asked.destination.is_ipv4() => {
            let text =
                format!("{source} and {} are of different families: no packet has both", asked.destination);
            Err(Failure::new(FailureKind::BadRequest, text))
        }
        source => Ok(source.unwrap_or(unspecified)),
    }
}

/// What becomes of destinations that no table is asked for.
fn without_a_table(destination: IpAddr) -> Option<AnswerKind> {
    match destination {
        _ if destination.is_multicast() => Some(AnswerKind::Multicast),
        IpAddr::V4(destination) if destination.is_broadcast() => Some(AnswerKind::Broadcast),
        _ => None,
    }
}

/// Whether a packet that arrives with these addresses gets as far as to be routed, as the walk judges it.
fn judge(routing: &Snapshot, query: &Query, answer: &mut Answer) -> Result<(), String> {
    let (IpAddr::V4(source), IpAddr::V4(destination), Some(input)) =
        (query.source, query.destination, query.input)
    else {
        return Ok(());
    };
    let localnet = routing.link_settings(input).route_localnet;
    if let Err(unfit) = ipv4::martian(source, destination, localnet) {
        return Err(unfit.to_string());
    }
    let output = match answer.adjacency {
        Adjacency::Forward(hop) => Some(hop.port),
        Adjacency::Local => None,
        _ => return Ok(()),
    };
    let source = routing.check_source(query, output);
    answer.depends = answer.depends.union(source.depends);
    match source.check {
        SourceCheck::Valid { .. } => Ok(()),
        SourceCheck::Martian(Martian::OwnAddress) => Err("the source is an address of this router".into()),
        SourceCheck::Martian(Martian::ReversePath) => {
            Err("no route leads back to the source as rp_filter on that port asks for".into())
        }
        SourceCheck::Martian(Martian::Impossible) => Err("no packet on a link may have such a source".into()),
    }
}

fn explain(routing: &Snapshot, asked: &RouteQuery, answer: &Answer) -> RouteAnswer {
    let hop = match answer.adjacency {
        Adjacency::Forward(hop) => Some(hop),
        _ => None,
    };
    RouteAnswer {
        kind: kind(answer.adjacency),
        table: (answer.table != 0).then(|| names::table(answer.table)),
        prefix: answer.prefix,
        via: hop.and_then(|hop| hop.gateway),
        port: hop.map(|hop| routing.ports().name(hop.port).to_owned()),
        preferred_source: hop.and_then(|_| routing.source_address(answer, asked.destination)),
        mtu: hop.map(|hop| mtu(routing, &hop)),
        neighbor: hop.and_then(|hop| neighbor(routing, &hop)),
        generation: answer.generation.0,
        depends_on: depends_on(answer.depends),
        ..nowhere(asked)
    }
}

/// The answer to a question, with nothing found.
fn nowhere(asked: &RouteQuery) -> RouteAnswer {
    RouteAnswer {
        destination: asked.destination,
        source: asked.source,
        input_port: asked.input_port.clone(),
        mark: asked.mark,
        kind: AnswerKind::NoRoute,
        table: None,
        prefix: None,
        via: None,
        port: None,
        preferred_source: None,
        mtu: None,
        neighbor: None,
        generation: 0,
        depends_on: Vec::new(),
    }
}

const fn kind(adjacency: Adjacency) -> AnswerKind {
    match adjacency {
        Adjacency::Forward(_) => AnswerKind::Unicast,
        Adjacency::Local => AnswerKind::Local,
        Adjacency::Broadcast => AnswerKind::Broadcast,
        Adjacency::Multicast => AnswerKind::Multicast,
        Adjacency::Blackhole => AnswerKind::Blackhole,
        Adjacency::Unreachable => AnswerKind::Unreachable,
        Adjacency::Prohibit => AnswerKind::Prohibit,
        Adjacency::NoRoute => AnswerKind::NoRoute,
    }
}

fn mtu(routing: &Snapshot, hop: &Hop) -> u32 {
    match hop.route_mtu {
        0 => routing.ports().get(hop.port).mtu,
        route => route,
    }
}

fn neighbor(routing: &Snapshot, hop: &Hop) -> Option<NeighborOfAnswer> {
    let id = hop.neighbor?;
    let (_, address) = routing.neighbors().address_of(id)?;
    let view = routing.neighbors().get(id)?;
    Some(NeighborOfAnswer {
        address,
        mac: neighbors::known(view.state, Some(view.mac)),
        state: neighbors::state(view.state).into(),
    })
}

fn depends_on(depends: Depends) -> Vec<std::borrow::Cow<'static, str>> {
    let Depends { source, input, mark, tos, ports } = depends;
    [(source, "source"), (input, "input"), (mark, "mark"), (tos, "tos"), (ports, "ports")]
        .into_iter()
        .filter(|(counts, _)| *counts)
        .map(|(_, name)| name.into())
        .collect()
}
