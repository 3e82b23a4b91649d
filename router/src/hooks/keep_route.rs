//! Keeps the route a packet was given in its flow, for those that follow.

use fib::cache::Stamp;

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, Packet, Recalled};
use crate::flow::Kept;

/// At the end of postrouting, when nothing can change the packet any more.
#[derive(Default)]
pub struct KeepRoute;

impl Hook for KeepRoute {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        let Some(learned) = packet.learned else { return Verdict::Accept };
        // Not looked for in the flow: its routes are not to be used.
        let Some(Recalled { kept: seen, .. }) = packet.recalled else { return Verdict::Accept };
        let Some((flow, direction)) = packet.track.followed() else { return Verdict::Accept };
        let memory = &flow.user;
        if let Some(stale) = packet.stale {
            memory.note_renewal(direction, stale.renewal.reason);
            if let Some(change) = stale.renewal.change
                && stale.hop != learned.way.hop
            {
                context.routing.journal().note_moved(change);
            }
        }
        let next = if learned.has_place(context.routing) { context.ways.number(learned.way) } else { None };
        let next = next.map_or(Kept::NOTHING, |way| Kept::new(way, Stamp::of(learned.generation)));
        memory.keep(direction, seen, next);
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}
