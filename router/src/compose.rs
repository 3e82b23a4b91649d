//! Where everything is put together: which hooks make a router, what its workers share, what each has of its own.

use std::sync::Arc;

use conntrack::{Gather, GatherConfig, Registry as Trackers, Table};
use fib::writer::Writer;

use crate::bridge::{self, Bridges};
use crate::chain::{Family, Place, Point, Refused, Registration, Registry, priority};
use crate::engine::rate::{Limiter, Settings as Limits};
use crate::engine::{Engine, Host, Resolver, Shared};
use crate::flow::FlowTable;
use crate::hooks::{
    Confirm, Defragment, KeepRoute, KeepVerdict, LastHopHook, RouteFromFlow, TrackFlow, VerdictFromFlow,
};
use crate::stats::Counters;

/// The families that are routed.
const IP_FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// Targets of ICMP errors that are remembered for rate limits.
const LIMITED_PEERS_MAX: usize = 4096;

/// What a router is made of.
pub struct Plan {
    /// Who answers for the router's addresses.
    pub host: Host,
    /// Names of the ports, in the order of their [`fib::adjacency::PortId`]s; those of bridges come last.
    pub ports: Vec<String>,
    /// Bridges.
    pub bridges: Vec<bridge::Description>,
    /// Neighbors known at one time.
    pub neighbors_max: usize,
    /// Flow table: bound, seed, checksum verification.
    pub flows: conntrack::Config,
    /// Trackers, in addition to nothing: [`Trackers::builtin`] has the usual ones.
    pub trackers: Trackers,
    /// Who finds neighbors.
    pub resolver: Box<dyn Resolver>,
    /// Secret of the table of rate limits.
    pub seed: [u64; 2],
}

/// A router without ports, mirror and control: what its workers share, and the pen that writes its routing state.
pub struct Assembly {
    /// What workers share.
    pub shared: Arc<Shared>,
    /// The one writer of the routing state.
    pub writer: Writer,
    /// The hook that holds fragments.
    pub defragment: Arc<Defragment>,
}

/// Puts a router together, with the hooks that forwarding is made of.
#[must_use]
pub fn assemble(plan: Plan) -> Assembly {
    let writer = Writer::new(plan.ports, plan.neighbors_max);
    let flows = Arc::new(Table::new(plan.flows, plan.trackers));
    let mut shared = Shared::new(
        plan.host,
        flows,
        writer.ports(),
        writer.neighbors(),
        plan.resolver,
        Limiter::new(Limits::default(), LIMITED_PEERS_MAX, plan.seed),
        plan.seed,
    );
    shared.bridges = Bridges::new(plan.bridges, plan.seed);
    let defragment =
        Defragment::new(Gather::new(GatherConfig { seed: plan.seed, ..GatherConfig::default() }));
    let defragment = Arc::new(defragment);
    let last_hop = LastHopHook::new(shared.last_hops.clone());
    register_forwarding(&shared.hooks, &shared.flows, &defragment, last_hop).expect("nobody sits there yet");
    Assembly { shared: Arc::new(shared), writer, defragment }
}

impl Assembly {
    /// A datapath for one more worker, and its counters.
    #[must_use]
    pub fn engine(&self) -> (Engine, Arc<Counters>) {
        let counters = Arc::new(Counters::new());
        (Engine::new(self.shared.clone(), counters.clone(), self.writer.reader()), counters)
    }

    /// Takes the hooks of stateful forwarding away: no flow is known, fragments pass as they are. Those for the router itself
    /// are still gathered where it is its own host (`ip_local_deliver`).
    pub fn track_nothing(&self) {
        let places: Vec<Place> = self.shared.hooks.rows().into_iter().map(|row| row.place).collect();
        self.shared.hooks.unregister(places).expect("they are seated");
        if self.shared.host.is_owned() {
            let seats = IP_FAMILIES.map(|family| Registration {
                place: Place::new(family, Point::Input, "defragment"),
                priority: priority::DEFRAGMENT,
                hook: self.defragment.clone(),
            });
            self.shared.hooks.register(seats).expect("nobody sits there any more");
        }
    }
}

/// Seats the hooks of stateful forwarding. Without them every packet pays a lookup and all that needs no state still
/// works.
///
/// # Errors
/// Some are seated already.
pub fn register_forwarding(
    hooks: &Registry,
    flows: &Arc<FlowTable>,
    defragment: &Arc<Defragment>,
    last_hop: LastHopHook,
) -> Result<(), Refused> {
    let track = Arc::new(TrackFlow::new(flows.clone()));
    let route_from_flow = Arc::new(RouteFromFlow);
    let keep_route = Arc::new(KeepRoute);
    let verdict_from_flow = Arc::new(VerdictFromFlow);
    let keep_verdict = Arc::new(KeepVerdict);
    let last_hop = Arc::new(last_hop);
    let confirm = Arc::new(Confirm::new(flows.clone()));
    hooks.register(IP_FAMILIES.into_iter().flat_map(|family| {
        let seat = |point, name, priority, hook| Registration {
            place: Place::new(family, point, name),
            priority,
            hook,
        };
        [
            seat(Point::Prerouting, "defragment", priority::DEFRAGMENT, defragment.clone()),
            seat(Point::Prerouting, "track", priority::TRACK, track.clone()),
            seat(Point::Prerouting, "route-from-flow", priority::ROUTE_FROM_FLOW, route_from_flow.clone()),
            seat(
                Point::Prerouting,
                "verdict-from-flow",
                priority::VERDICT_FROM_FLOW,
                verdict_from_flow.clone(),
            ),
            seat(Point::Prerouting, "last-hop", priority::LAST_HOP, last_hop.clone()),
            seat(Point::Input, "keep-verdict", priority::KEEP_VERDICT, keep_verdict.clone()),
            seat(Point::Input, "confirm", priority::CONFIRM, confirm.clone()),
            seat(Point::Output, "defragment", priority::DEFRAGMENT, defragment.clone()),
            seat(Point::Output, "track", priority::TRACK, track.clone()),
            seat(Point::Output, "verdict-from-flow", priority::VERDICT_FROM_FLOW, verdict_from_flow.clone()),
            seat(Point::Output, "last-hop", priority::LAST_HOP, last_hop.clone()),
            seat(Point::Postrouting, "keep-route", priority::KEEP_ROUTE, keep_route.clone()),
            seat(Point::Postrouting, "keep-verdict", priority::KEEP_VERDICT, keep_verdict.clone()),
            seat(Point::Postrouting, "confirm", priority::CONFIRM, confirm.clone()),
        ]
    }))
}
