//! Takes a packet's route from its flow, so that nothing has to be looked up.

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, Kind, Packet, Recalled};

/// Right behind connection tracking: what the flow remembers of the way is put at the packet's side. Routing judges it
/// when the hooks before it are through, by what they have made of the packet: its mark, its destination.
#[derive(Default)]
pub struct RouteFromFlow;

impl Hook for RouteFromFlow {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if let Some((flow, direction)) = packet.track.followed() {
            let memory = &flow.user;
            let own = memory.history(direction).route_mode();
            let mode = own.unwrap_or(context.flow_cache.of(Kind::Route));
            if let Some(trust) = mode.trust() {
                packet.recalled = Some(Recalled { kept: memory.kept(direction), trust });
            }
        }
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}
