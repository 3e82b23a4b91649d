//! Takes a packet's route from its flow, so that nothing has to be looked up.

use fib::cache::{Trust, Verdict as Judgement};

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, FlowCache, Kind, Packet, Routed, Stale};
use crate::nat;

/// Right behind connection tracking: the flow's route is set if it is still good for the packet as its flow's translation
/// will have made it.
#[derive(Default)]
pub struct RouteFromFlow;

impl Hook for RouteFromFlow {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        let trust = match context.flow_cache.of(Kind::Route) {
            FlowCache::On => Trust::Generation,
            FlowCache::Hold => Trust::Hold,
            FlowCache::Off => return Verdict::Accept,
        };
        let Some((flow, direction)) = packet.track.followed() else { return Verdict::Accept };
        let query = nat::asked_after_translation(packet.query(), flow, direction);
        let mut kept = flow.user.route(direction).lock();
        let Some(cached) = kept.as_mut() else { return Verdict::Accept };
        match cached.judge(context.routing, &query, trust) {
            Judgement::Good => {
                cached.hits += 1;
                let routed = Routed { hop: cached.hop, redirect: cached.redirect };
                drop(kept);
                packet.set_route_for(routed, &query);
            }
            Judgement::Stale(reason) => {
                context.counters.flow_cache_revalidated.raise();
                let stale = Stale { hop: cached.hop, reason };
                drop(kept);
                packet.stale = Some(stale);
            }
        }
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}
