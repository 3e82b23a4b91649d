//! A card in software: a consumer with an exact-match table of its own that forwards whole packets at prerouting.
//!
//! What a packet needs of the rest of its walk is done here as well: it is tracked, so that its flow's state, windows and
//! counters are what they would be; all that is counted elsewhere is counted. A packet of which the table does not know
//! everything, or whose tracking says something new, goes the whole way, as if there were no card.

mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use conntrack::{CtState, Direction, Ids, Tuple, protocol};
use fib::adjacency::{Mac, Neighbors, PortView, Ports};
use fib::change::NeighborState;

use super::{Consumer, Event, EventKind, Rewrite, SharedFlow};
use crate::chain::{Family, Hook, Needs, Place, Point, Refused, Registration, Verdict, priority};
use crate::engine::{Context, LinkHeader, LinkTarget, MTU_MIN, Packet, Shared};
use crate::flow::{Flow, FlowTable, Track};
use crate::hooks::datagram;
use crate::nat::{Manip, write_end};
use table::{Entry, Table};

/// The card.
pub struct Card {
    table: Table,
    flows: Arc<FlowTable>,
    ports: Arc<Ports>,
    neighbors: Arc<Neighbors>,
}

impl Card {
    /// What its seats at prerouting are called.
    pub const NAME: &'static str = "card";

    /// A card with room for `directions` directions of flows, its table keyed with `seed`.
    #[must_use]
    pub fn new(shared: &Shared, directions: usize, seed: [u64; 2]) -> Self {
        Self {
            table: Table::new(directions, seed),
            flows: shared.flows.clone(),
            ports: shared.ports.clone(),
            neighbors: shared.neighbors.clone(),
        }
    }

    /// Puts a card into a router: it hears of flows and sits before all other hooks.
    ///
    /// # Errors
    /// There is one already.
    pub fn install(shared: &Shared, directions: usize, seed: [u64; 2]) -> Result<Arc<Self>, Refused> {
        let card = Arc::new(Self::new(shared, directions, seed));
        shared.hooks.register([Family::Ipv4, Family::Ipv6].map(|family| Registration {
            place: Self::place(family),
            priority: priority::OFFLOAD,
            hook: card.clone(),
        }))?;
        shared.offloads.set_flows_max(directions);
        shared.offloads.join(card.clone());
        Ok(card)
    }

    /// Takes the card out of a router; its flows are walked from then on.
    ///
    /// # Errors
    /// It is not in.
    pub fn remove(self: Arc<Self>, shared: &Shared) -> Result<(), Refused> {
        shared.hooks.unregister([Family::Ipv4, Family::Ipv6].map(Self::place))?;
        let consumer: Arc<dyn Consumer> = self;
        shared.offloads.leave(&consumer);
        Ok(())
    }

    /// Directions of flows in its table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn place(family: Family) -> Place {
        Place::new(family, Point::Prerouting, Self::NAME)
    }
}

impl Consumer for Card {
    fn tell(&self, event: &Event<'_>) {
        match event.kind {
            EventKind::Invalidated { direction, .. } => self.table.remove(event.flow, direction),
            EventKind::Destroyed(_) => {
                for direction in Direction::ALL {
                    self.table.remove(event.flow, direction);
                }
            }
            _ => {}
        }
    }

    fn take(&self, flow: &SharedFlow, rewrite: &Arc<Rewrite>) -> bool {
        self.table.insert(Entry { flow: flow.clone(), rewrite: rewrite.clone() })
    }
}

impl Hook for Card {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if self.table.is_empty() || context.holding || !may_be_known(packet) {
            return Verdict::Accept;
        }
        let tuple = tuple_of(packet);
        let found = self.table.find(&tuple);
        let Some(entry) = found.as_ref() else { return Verdict::Accept };
        let Some(way) = self.way(entry, packet, context) else { return Verdict::Accept };
        let direction = entry.rewrite.direction;
        let Some(state) = self.flows.observe(&entry.flow, direction, &datagram(packet), context.now) else {
            return Verdict::Accept;
        };
        if !entry.holds_in(state) {
            // Tracked it is, so the walk does not track it again.
            packet.track = Track::Flow { flow: Flow::Conn(entry.flow.clone()), direction, state };
            return Verdict::Accept;
        }
        entry.count(packet, context);
        let is_written = write(packet, &entry.rewrite);
        assert!(is_written, "the transport header is there");
        way.send(packet, context)
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}

/// Whether the table may know all that becomes of such a packet.
fn may_be_known(packet: &Packet) -> bool {
    const UDP_LITE: u8 = 136;
    const SCTP: u8 = 132;
    let header = &packet.header;
    let is_usual = match header.protocol {
        protocol::TCP => is_midstream(packet),
        protocol::UDP | UDP_LITE | SCTP => header.len >= header.transport + 8,
        _ => false,
    };
    is_usual
        && header.ttl > 1
        && packet.has_bare_header()
        && packet.target() == LinkTarget::Host
        && packet.packet_type.is_none()
        && matches!(packet.track, Track::Unseen)
        && (packet.mark, packet.zone) == (0, conntrack::Zone::DEFAULT)
}

/// Whether a TCP segment neither begins nor ends anything.
fn is_midstream(packet: &Packet) -> bool {
    const FLAGS: usize = 13;
    const FIN_SYN_RST: u8 = 0x07;
    const HEADER: usize = 20;
    let transport = packet.ip().get(packet.header.transport..).unwrap_or_default();
    transport.len() >= HEADER && transport[FLAGS] & FIN_SYN_RST == 0
}

fn tuple_of(packet: &Packet) -> Tuple {
    let header = &packet.header;
    let ids = Ids { source: header.source_port, destination: header.destination_port };
    Tuple::between(header.source, header.destination, header.protocol, ids)
}

/// Writes what the walk would have written.
fn write(packet: &mut Packet, rewrite: &Rewrite) -> bool {
    let write = |packet: &mut Packet, manip, end: Option<super::Endpoint>| {
        end.is_none_or(|end| write_end(packet, manip, end.address, end.port))
    };
    write(packet, Manip::Destination, rewrite.destination) && write(packet, Manip::Source, rewrite.source)
}

/// How a packet leaves.
struct Way {
    port: fib::adjacency::PortId,
    header: LinkHeader,
}

impl Card {
    /// How a packet leaves that is as its entry wants it; `None` if there is more to do than to send it.
    fn way(&self, entry: &Entry, packet: &Packet, context: &Context<'_>) -> Option<Way> {
        let rewrite = &*entry.rewrite;
        let matching = &rewrite.matching;
        if matching.input != packet.input() || matching.tos.is_some_and(|tos| tos != packet.header.tos) {
            return None;
        }
        let port = self.ports.get(rewrite.output);
        if !port.up || !fits(packet, rewrite, &port) {
            return None;
        }
        let destination = match rewrite.neighbor {
            None => Mac::default(),
            Some(neighbor) => {
                let view = self.neighbors.get(neighbor)?;
                let is_known = view.state.is_valid() && view.state != NeighborState::Stale;
                is_known.then_some(view.mac)?
            }
        };
        let framing = context.out.framing(rewrite.output)?;
        let header = LinkHeader { framing, destination, source: port.mac, family: packet.family() };
        Some(Way { port: rewrite.output, header })
    }
}

/// Whether a packet, or each segment of a super-packet, fits into its way.
fn fits(packet: &Packet, rewrite: &Rewrite, port: &PortView) -> bool {
    let len = packet.wire_length();
    let of_port = port.mtu as usize;
    let of_route = if rewrite.route_mtu == 0 { of_port } else { rewrite.route_mtu as usize };
    let may_enter = match packet.source() {
        IpAddr::V4(_) => true,
        IpAddr::V6(_) => len <= of_port.max(MTU_MIN),
    };
    may_enter && len <= of_route
}

impl Way {
    fn send(self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        packet.lower_ttl();
        let network = packet.network_offset();
        self.header.write(packet.frame_mut(), network);
        context.out.send(self.port, packet.steal());
        packet.note_sent(self.port);
        Verdict::Stolen
    }
}

impl Entry {
    /// Counts a packet as the walk would have counted it.
    fn count(&self, packet: &Packet, context: &Context<'_>) {
        context.counters.flow_cache_hits.raise();
        self.flow.user.count_hit(self.rewrite.direction);
        if self.rewrite.passed.passage().is_some() {
            context.counters.verdict_cache_hits.raise();
        }
        self.rewrite.passed.count(1, packet.ip().len() as u64);
    }

    /// Whether a packet that was observed just now is to its flow what packets were when the flow was taken over, and
    /// nobody has to be told of anything.
    fn holds_in(&self, state: CtState) -> bool {
        state == self.rewrite.state && self.flow.mark() == self.rewrite.mark && self.flow.is_plain()
    }
}
