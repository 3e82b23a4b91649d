//! Flows as rows: what tracking knows of a connection, and whether the routes it keeps still hold.

use std::borrow::Cow;
use std::sync::Arc;

use conntrack::{Direction, Instant, Picture, Tuple, Zone, ZoneScope};
use ctl::message::{
    Family, FlowDirection, FlowFilter, FlowRoute, FlowRow, FlowStatus, RouteSource, TrackerLayer, TrackerRow,
};
use ctl::names;
use fib::cache::{Judgement, Way};
use fib::snapshot::Snapshot;

use crate::engine::{FlowCache, Kind, Shared};
use crate::flow::{Conn, FlowTable, asked};
use crate::interned::Interned;

/// From where flows are looked at: the same moment and the same routing state for all of a page.
pub(in crate::daemon) struct View<'a> {
    flows: &'a FlowTable,
    routing: &'a Snapshot,
    ways: Arc<Interned<Way>>,
    /// What is done with kept routes of flows of which nothing else is said.
    mode: FlowCache,
    now: Instant,
}

impl<'a> View<'a> {
    pub(in crate::daemon) fn new(shared: &'a Shared, routing: &'a Snapshot, now: Instant) -> Self {
        let mode = shared.flow_cache().of(Kind::Route);
        Self { flows: &shared.flows, routing, ways: shared.ways.present(), mode, now }
    }

    /// The row of a flow as it was when something happened to it. Its routes are as they are.
    pub(in crate::daemon) fn row_then(&self, conn: &Conn, then: &Picture) -> FlowRow {
        let mut row = FlowRow {
            state: then.state.map(Cow::Borrowed),
            status: FlowStatus::from_bits(then.status.bits()),
            timeout_s: then.timeout.as_secs(),
            mark: then.mark,
            labels: labels(then.labels),
            ..self.row(conn)
        };
        for (direction, traffic) in [&mut row.original, &mut row.reply].into_iter().zip(then.traffic) {
            direction.packets = traffic.packets;
            direction.bytes = traffic.bytes;
        }
        row
    }

    /// The row of a flow.
    pub(in crate::daemon) fn row(&self, conn: &Conn) -> FlowRow {
        let zone = conn.zone();
        FlowRow {
            id: conn.id(),
            family: family(conn.family()),
            protocol: names::flow_protocol(conn.protocol()).into(),
            protocol_number: conn.protocol(),
            state: self.flows.state_name(conn).map(Cow::Borrowed),
            status: FlowStatus::from_bits(conn.status().bits()),
            timeout_s: conn.timeout_at(self.now).as_secs(),
            mark: conn.mark(),
            zone: if zone.scope == ZoneScope::Both { zone.id } else { 0 },
            helper: conn.helper().map(|helper| Cow::Borrowed(helper.name())),
            labels: labels(conn.labels()),
            master: conn.master().map(|master| master.id()),
            original: self.direction(conn, Direction::Original),
            reply: self.direction(conn, Direction::Reply),
        }
    }

    fn direction(&self, conn: &Conn, direction: Direction) -> FlowDirection {
        let tuple = conn.tuple(direction);
        let traffic = conn.traffic(direction);
        let mut row = FlowDirection {
            source: tuple.source(),
            destination: tuple.destination(),
            source_port: None,
            destination_port: None,
            icmp_type: None,
            icmp_code: None,
            icmp_id: None,
            zone: own_zone(conn.zone(), direction),
            packets: traffic.packets,
            bytes: traffic.bytes,
            route: self.route(conn, direction).unwrap_or_default(),
        };
        if is_icmp(&tuple) {
            row.icmp_type = Some(tuple.ids().icmp_type());
            row.icmp_code = Some(tuple.ids().icmp_code());
            row.icmp_id = Some(tuple.ids().source);
        } else if self.flows.protocol_name(conn) != GENERIC {
            row.source_port = Some(tuple.ids().source);
            row.destination_port = Some(tuple.ids().destination);
        }
        row
    }

    /// What a direction remembers of its way; `None` if nothing.
    fn route(&self, conn: &Conn, direction: Direction) -> Option<FlowRoute> {
        let memory = &conn.user;
        let kept = memory.kept(direction);
        let way = self.ways.get(kept.way()?)?;
        let history = memory.history(direction);
        let query = asked(conn, direction, way);
        let judged = |trust| way.judge(kept.stamp(), self.routing, &query, trust);
        let trust = history.route_mode().unwrap_or(self.mode).trust();
        let neighbor = way.hop.neighbor.and_then(|id| self.routing.neighbors().get(id));
        Some(FlowRoute {
            port: Some(self.routing.ports().name(way.hop.port).to_owned()),
            next_hop: Some(way.hop.gateway.unwrap_or(query.destination)),
            neighbor: neighbor.filter(|view| view.state.is_valid()).map(|view| view.mac.to_string()),
            generation: kept.stamp().generation(self.routing.generation()).0,
            valid: trust.is_some_and(|trust| !matches!(judged(trust), Judgement::Stale(_))),
            source: RouteSource::Fib,
            hits: history.hits(),
            renewals: history.renewals().into(),
            last_renewal: history.last_renewal().map(|reason| reason.name().into()),
        })
    }
}

/// The zone that holds this direction of a flow only.
fn own_zone(zone: Zone, direction: Direction) -> Option<u16> {
    match (zone.scope, direction) {
        (ZoneScope::Original, Direction::Original) | (ZoneScope::Reply, Direction::Reply) => Some(zone.id),
        _ => None,
    }
}

/// Numbers of the labels that are set.
fn labels(bits: u128) -> Vec<u8> {
    (0..128).filter(|label| bits >> label & 1 == 1).collect()
}

/// Whether a flow may be meant by a filter, judged by what costs nothing: nothing that is meant is left out.
pub(super) fn may_match(filter: &FlowFilter, conn: &Conn) -> bool {
    let original = conn.tuple(Direction::Original);
    filter.id.is_none_or(|id| id == conn.id())
        && filter.family.is_none_or(|wanted| wanted == family(conn.family()))
        && filter.protocol_number.is_none_or(|number| number == conn.protocol())
        && filter.source.is_none_or(|network| network.contains(&original.source()))
        && filter.destination.is_none_or(|network| network.contains(&original.destination()))
}

/// The row of a tracker.
pub(super) fn tracker(row: conntrack::TrackerRow) -> TrackerRow {
    let is_network = row.protocol.is_none() && row.family.is_some();
    TrackerRow {
        layer: if is_network { TrackerLayer::Network } else { TrackerLayer::Transport },
        name: row.name.into(),
        family: row.family.map(family),
        protocol_number: row.protocol,
        timeouts_s: row
            .timeouts
            .iter()
            .map(|timeout| (timeout.name.to_owned(), timeout.duration.as_secs()))
            .collect(),
    }
}

/// Name of the tracker that takes what nobody else does; it reads no ids.
const GENERIC: &str = "generic";

fn is_icmp(tuple: &Tuple) -> bool {
    use conntrack::{Family, protocol};
    matches!(
        (tuple.family(), tuple.protocol()),
        (Family::Ipv4, protocol::ICMP) | (Family::Ipv6, protocol::ICMPV6)
    )
}

pub(super) const fn family(family: conntrack::Family) -> Family {
    match family {
        conntrack::Family::Ipv4 => Family::Ipv4,
        conntrack::Family::Ipv6 => Family::Ipv6,
    }
}
