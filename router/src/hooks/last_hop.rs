//! Learns where on their links flows come from, and sends replies back there.

use std::sync::Arc;

use conntrack::{CtState, Direction};

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, LinkTarget, Packet};
use crate::flow::Track;
use crate::last_hop::{Around, LastHops};

/// At prerouting and output, right behind the rules that give packets their marks.
pub struct LastHopHook {
    last_hops: Arc<LastHops>,
}

impl LastHopHook {
    /// Learns into `last_hops`, and asks them.
    #[must_use]
    pub const fn new(last_hops: Arc<LastHops>) -> Self {
        Self { last_hops }
    }
}

impl Hook for LastHopHook {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if !self.last_hops.is_on() {
            return Verdict::Accept;
        }
        let around = Around { routing: context.routing, counters: context.counters, now: context.now };
        let is_received = packet.input_port().is_some();
        let chosen = match &packet.track {
            Track::Flow { flow, direction: Direction::Original, state } => {
                // What is for many is not answered as one flow.
                let is_for_one = packet.target() != LinkTarget::Many;
                if is_received && is_for_one && *state != CtState::Related {
                    self.last_hops.learn(packet, flow, &around);
                }
                None
            }
            Track::Flow { flow, direction: Direction::Reply, state } => {
                let is_way = *state != CtState::RelatedReply || is_to_source(packet, flow);
                is_way.then(|| self.last_hops.answer(packet, flow, &around)).flatten()
            }
            Track::Unseen | Track::Invalid | Track::Untracked => None,
        };
        let chosen =
            chosen.or_else(|| if is_received { None } else { self.last_hops.go_on(packet, &around) });
        if let Some(routed) = chosen {
            packet.route = Some(routed);
        }
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}

/// Whether an error about a flow is for who began it, as that is known on either side of a translation.
fn is_to_source(packet: &Packet, flow: &crate::flow::Conn) -> bool {
    let destination = packet.destination();
    destination == flow.tuple(Direction::Original).source()
        || destination == flow.tuple(Direction::Reply).destination()
}
