//! Flows as rows: what tracking knows of a connection, and whether what it remembers still holds.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use conntrack::{Direction, Instant, Picture, Tuple, Zone, ZoneScope};
use ctl::message::{
    Family, FlowDirection, FlowFilter, FlowRoute, FlowRow, FlowStatus, FlowVerdict, RoutePolicy, RouteSource,
    TrackerLayer, TrackerRow,
};
use ctl::names;
use fib::adjacency::{Mac, PortId};
use fib::cache::{Judgement, Way};
use fib::snapshot::Snapshot;
use ipnet::IpNet;

use super::super::last_hop;
use super::words;
use crate::engine::{FlowCache, Kind, Modes, Shared};
use crate::flow::{Conn, FlowTable, asked};
use crate::interned::Interned;
use crate::last_hop::Row;
use crate::verdict::{End, Known, Passage, Passages};

/// From where flows are looked at: the same moment and the same routing state for all of a page.
pub(in crate::daemon) struct View<'a> {
    flows: &'a FlowTable,
    shared: &'a Shared,
    routing: &'a Snapshot,
    ways: Arc<Interned<Way>>,
    passages: Arc<Passages>,
    /// What is done with what flows remember of which nothing else is said.
    modes: Modes,
    now: Instant,
}

/// Which kept ways are meant: those that agree with everything that is given.
#[derive(Clone, Copy, Debug)]
pub(in crate::daemon) struct Ways {
    pub(in crate::daemon) via: Option<IpAddr>,
    pub(in crate::daemon) port: Option<PortId>,
    pub(in crate::daemon) prefix: Option<IpNet>,
    pub(in crate::daemon) mac: Option<Mac>,
}

impl<'a> View<'a> {
    pub(in crate::daemon) fn new(shared: &'a Shared, routing: &'a Snapshot, now: Instant) -> Self {
        Self {
            flows: &shared.flows,
            shared,
            routing,
            ways: shared.ways.present(),
            passages: shared.hooks.chains().passages().clone(),
            modes: shared.flow_cache(),
            now,
        }
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
            last_hop: self.last_hop(conn).map(|row| {
                last_hop::of_flow(&row, self.shared.ports.name(row.port), conn.user.came_by().is_used())
            }),
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
            route: self.route(conn, direction),
            verdict: self.verdict(conn, direction),
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

    /// Whether a flow is meant by a filter.
    pub(in crate::daemon) fn is_meant(&self, conn: &Conn, filter: &FlowFilter) -> bool {
        filter.is_everything() || may_match(filter, conn) && filter.matches(&self.row(conn))
    }

    /// Whether a direction keeps a way that is meant: by this gateway or neighbor, out of this port, to a destination within
    /// this prefix, to this Ethernet address.
    pub(in crate::daemon) fn keeps(&self, conn: &Conn, direction: Direction, wanted: &Ways) -> bool {
        let kept = conn.user.kept(direction);
        let Some(way) = kept.way().and_then(|number| self.ways.get(number)) else { return false };
        let destination = asked(conn, direction, way).destination;
        let mac = || Some(self.routing.neighbors().get(way.hop.neighbor?)?.mac);
        wanted.via.is_none_or(|via| via == way.hop.gateway.unwrap_or(destination))
            && wanted.port.is_none_or(|port| port == way.hop.port)
            && wanted.prefix.is_none_or(|prefix| prefix.contains(&destination))
            && wanted.mac.is_none_or(|wanted| mac() == Some(wanted))
    }

    /// What a direction remembers of its way, and what has become of it.
    fn route(&self, conn: &Conn, direction: Direction) -> FlowRoute {
        let history = conn.user.history(direction);
        let row = FlowRoute {
            hits: history.hits(),
            renewals: history.renewals().into(),
            last_renewal: history.last_renewal().map(|reason| reason.name().into()),
            mode: history.route_mode().map(words::of_mode),
            ..FlowRoute::default()
        };
        if direction == Direction::Reply
            && conn.user.came_by().is_used()
            && let Some(hop) = self.last_hop(conn)
            && let Some(mac) = hop.answers_to
        {
            return FlowRoute {
                port: Some(self.routing.ports().name(hop.port).to_owned()),
                next_hop: hop.neighbor.map(|bound| bound.address),
                neighbor: (mac != Mac::default()).then(|| mac.to_string()),
                valid: true,
                source: RouteSource::LastHop,
                ..row
            };
        }
        let kept = conn.user.kept(direction);
        let Some(way) = kept.way().and_then(|number| self.ways.get(number)) else { return row };
        let query = asked(conn, direction, way);
        let judged = |trust| way.judge(kept.stamp(), self.routing, &query, trust);
        let trust = history.route_mode().unwrap_or(self.modes.of(Kind::Route)).trust();
        let neighbor = way.hop.neighbor.and_then(|id| self.routing.neighbors().get(id));
        FlowRoute {
            port: Some(self.routing.ports().name(way.hop.port).to_owned()),
            next_hop: Some(way.hop.gateway.unwrap_or(query.destination)),
            neighbor: neighbor.filter(|view| view.state.is_valid()).map(|view| view.mac.to_string()),
            prefix: way.prefix(query.destination),
            table: Some(names::table(way.table)),
            policy: Some(if way.keep { RoutePolicy::Keep } else { RoutePolicy::Move }),
            generation: kept.stamp().generation(self.routing.generation()).0,
            valid: trust.is_some_and(|trust| !matches!(judged(trust), Judgement::Stale(_))),
            source: RouteSource::Fib,
            ..row
        }
    }

    /// By which last hop a flow came.
    fn last_hop(&self, conn: &Conn) -> Option<Row> {
        let Shared { last_hops, ports, neighbors, .. } = self.shared;
        last_hops.row_of(conn.user.came_by(), ports, neighbors, self.now)
    }

    /// What a direction remembers of what rules make of its packets.
    fn verdict(&self, conn: &Conn, direction: Direction) -> FlowVerdict {
        let mode = conn.user.history(direction).verdict_mode();
        let row = FlowVerdict { mode: mode.map(words::of_mode), ..FlowVerdict::default() };
        let number = conn.user.verdict(direction);
        match self.passages.find(number) {
            Known::Nothing => FlowVerdict { cached: number != 0, ..row },
            Known::Unfit { .. } => FlowVerdict { unfit: true, ..row },
            Known::Passage(passage) => FlowVerdict {
                cached: true,
                valid: mode.unwrap_or(self.modes.of(Kind::Verdict)) != FlowCache::Off,
                outcome: Some(outcome(passage).into()),
                counters: passage.sections().iter().map(|section| section.counters() as u64).sum(),
                ..row
            },
        }
    }
}

/// How a passage ends, in a word.
fn outcome(passage: &Passage) -> &'static str {
    match passage.end() {
        End::Passed => "accept",
        End::Dropped(_, None) => "drop",
        End::Dropped(_, Some(_)) => "reject",
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
