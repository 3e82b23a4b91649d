//! Keeps the route a packet was given in its flow, for those that follow.

use fib::cache::CachedRoute;

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, Kind, Packet};

/// At the end of postrouting, when nothing can change the packet any more.
#[derive(Default)]
pub struct KeepRoute;

impl Hook for KeepRoute {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if !context.flow_cache.uses(Kind::Route) {
            return Verdict::Accept;
        }
        let Some(routed) = packet.route else { return Verdict::Accept };
        let Some(learned) = &packet.learned else { return Verdict::Accept };
        let port = context.routing.ports().get(routed.hop.port);
        if routed.hop.neighbor.is_none() && port.needs_resolution {
            // There was no room for its neighbor; the next packet may find some.
            return Verdict::Accept;
        }
        let Some((flow, direction)) = packet.track.followed() else { return Verdict::Accept };
        let mut kept = flow.user.route(direction).lock();
        let next =
            CachedRoute::learn(&learned.query, &learned.answer, learned.answer.depends, routed.redirect);
        *kept = match (next, &*kept, packet.stale) {
            (Some(next), Some(old), Some(stale)) => Some(old.renewed_by(next, stale.reason)),
            (next, ..) => next,
        };
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}
