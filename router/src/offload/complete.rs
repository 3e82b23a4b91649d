//! Whether what the walk has just done to a packet is all that it will do to those that follow, and then what that is.

use conntrack::{CtState, Direction, Status, Zone, protocol};
use fib::adjacency::{LinkIndex, PortId, Ports};
use fib::cache::{Judgement, Staleness, Stamp, Trust, Way};
use fib::snapshot::{Query, Snapshot};

use super::{Endpoint, Epoch, Matching, Passed, Rewrite, SharedFlow};
use crate::chain::{Chains, Walked};
use crate::engine::{Context, LinkTarget, Packet, Routed};
use crate::flow::{CameBy, Conn, Flow, Track, asked};

/// A direction of a flow whose packets may be forwarded without a walk.
pub(crate) struct Offer<'a> {
    pub(crate) flow: &'a SharedFlow,
    pub(crate) rewrite: Rewrite,
    /// What the way rests on.
    pub(crate) ground: Ground,
    /// Its ports as they are.
    pub(crate) devices: Devices,
    /// When the turn began that forwarded the packet.
    pub(crate) epoch: Epoch,
}

impl<'a> Offer<'a> {
    /// The offer to be made of a packet that came in by `input` and has just been forwarded; its frame is gone. `None`: those that follow have to be walked.
    pub(crate) fn of(
        packet: &'a Packet,
        input: PortId,
        routed: &Routed,
        chains: &Chains,
        context: &Context<'_>,
        epoch: Epoch,
    ) -> Option<Self> {
        let (flow, direction, state) = eligible(packet)?;
        // Its replies may go back there, and its packets tell where that is.
        if flow.user.came_by() != CameBy::NOTHING {
            return None;
        }
        if routed.redirect
            || routed.chosen.is_some()
            || !is_plain(packet)
            || !is_foreseen(flow, state, chains.walked(packet.family()))
        {
            return None;
        }
        let passed = Passed::of(packet, chains)?;
        // A bridge finds its port frame by frame.
        context.out.framing(routed.hop.port)?;
        // Without it, the flow's way is not to be used.
        let trust = packet.recalled?.trust;
        let kept = flow.user.kept(direction);
        let way = *context.ways.get(kept.way()?)?;
        let is_present = trust == Trust::Hold || kept.stamp() == Stamp::of(context.routing.generation());
        if way.hop != routed.hop || !is_present {
            return None;
        }
        let ground = Ground { way, stamp: kept.stamp(), query: asked(flow, direction, &way), trust };
        let tuple = flow.tuple(direction);
        let (from, to) = ends(packet);
        let ids = tuple.ids();
        let came_from = Endpoint { address: tuple.source(), port: ids.source };
        let went_to = Endpoint { address: tuple.destination(), port: ids.destination };
        let rewrite = Rewrite {
            direction,
            state,
            matching: Matching {
                input,
                tuple,
                tos: (way.depends.tos || passed.rests_on_tos()).then_some(packet.header.tos),
            },
            source: (from != came_from).then_some(from),
            destination: (to != went_to).then_some(to),
            output: routed.hop.port,
            neighbor: routed.hop.neighbor,
            next_hop: routed.hop.gateway.unwrap_or(to.address),
            route_mtu: routed.hop.route_mtu,
            mark: flow.mark(),
            passed,
        };
        let devices = Devices::of(&rewrite, context.routing.ports());
        Some(Self { flow, rewrite, ground, devices, epoch })
    }
}

/// What is to stay the same of the ports of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Devices {
    links: [Option<LinkIndex>; 2],
    mtu: u32,
}

impl Devices {
    pub(crate) fn of(rewrite: &Rewrite, ports: &Ports) -> Self {
        let [input, output] = [rewrite.matching.input, rewrite.output].map(|port| ports.get(port));
        Self { links: [input.link, output.link], mtu: output.mtu }
    }
}

/// What the way of a direction rests on.
pub(crate) struct Ground {
    way: Way,
    stamp: Stamp,
    /// What its packets ask.
    query: Query,
    /// How far it is trusted.
    trust: Trust,
}

impl Ground {
    /// Why the way does not hold any more, if so.
    pub(crate) fn judge(&mut self, routing: &Snapshot) -> Option<Staleness> {
        match self.way.judge(self.stamp, routing, &self.query, self.trust) {
            Judgement::Good => None,
            Judgement::Unaffected | Judgement::KeptByPolicy => {
                self.stamp = Stamp::of(routing.generation());
                None
            }
            Judgement::Stale(renewal) => Some(renewal.reason),
        }
    }
}

/// The flow whose way a packet goes, if its packets differ in nothing but what they carry: of a protocol with ports, not
/// watched, not shifted, not about to end.
fn eligible(packet: &Packet) -> Option<(&SharedFlow, Direction, CtState)> {
    const UDP_LITE: u8 = 136;
    const SCTP: u8 = 132;
    let Track::Flow { flow: Flow::Conn(flow), direction, state } = &packet.track else { return None };
    let is_its_way = matches!(state, CtState::New | CtState::Established | CtState::EstablishedReply);
    let has_ports = matches!(flow.protocol(), protocol::TCP | protocol::UDP | UDP_LITE | SCTP);
    let status = flow.status();
    let stays = status.contains(Status::CONFIRMED)
        && !status.intersects(Status::DYING | Status::FIXED_TIMEOUT | Status::NAT_CLASH)
        && flow.is_plain();
    (is_its_way && has_ports && stays && flow.zone() == Zone::DEFAULT).then_some((flow, *direction, *state))
}

/// Whether hooks have nothing to say of further packets that they have not said.
fn is_foreseen(flow: &Conn, state: CtState, walked: Walked) -> bool {
    let decided = Status::SRC_NAT_DONE | Status::DST_NAT_DONE;
    let is_decided = state != CtState::New || flow.status().contains(decided);
    !walked.all && (is_decided || !walked.undecided)
}

/// Whether a packet is like those that need no walk.
fn is_plain(packet: &Packet) -> bool {
    packet.input_port().is_some()
        && packet.target() == LinkTarget::Host
        && packet.packet_type.is_none()
        && packet.gathered.is_none()
        && packet.has_bare_header()
}

fn ends(packet: &Packet) -> (Endpoint, Endpoint) {
    let header = &packet.header;
    (
        Endpoint { address: header.source, port: header.source_port },
        Endpoint { address: header.destination, port: header.destination_port },
    )
}
