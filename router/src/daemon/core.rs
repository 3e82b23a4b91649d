//! What the control thread holds: the pen of the routing state, the workers, and where each port stands.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use conntrack::{ExpectationEvent, Instant, Subscription};
use fib::adjacency::PortId;
use fib::publish::Reader;
use fib::snapshot::Snapshot;
use fib::writer::Writer;

use super::chronicle::Chronicle;
use super::handover::Handover;
use super::host::Own;
use super::rules::Rules;
use crate::engine::Shared;
use crate::flow::Extension;
use crate::guard::Guard;
use crate::hooks::Defragment;
use crate::host::neighborhood::Neighborhood;
use crate::mirror::MirrorHandle;
use crate::nat::Masquerades;
use crate::news::News;
use crate::port::af_packet::Settings;
use crate::port::keeper::Keeper;
use crate::port::tun::Tun;
use crate::stats::Counters;
use crate::sysctl::Sysctl;
use crate::worker::WorkerHandle;

/// The running router, seen from the control thread. Cells and not locks: only that thread has it, and nothing is
/// borrowed across an `await`.
pub struct Core {
    /// The guard. First, so that it goes before the device that it hands packets over to.
    pub guard: RefCell<Guard>,
    /// The routing state's writer.
    pub writer: RefCell<Writer>,
    /// A reader of the routing state as workers have it: settings in force, `route get`.
    pub reader: Reader<Snapshot>,
    /// What workers share.
    pub shared: Arc<Shared>,
    /// Watches the addresses that masqueraded flows have borrowed.
    pub masquerades: RefCell<Masquerades>,
    /// The hook that holds fragments.
    pub defragment: Arc<Defragment>,
    /// The workers.
    pub workers: RefCell<Vec<Seat>>,
    /// Which device each port stands for.
    pub keeper: RefCell<Keeper>,
    /// What kind of port each is, by [`PortId`].
    pub kinds: Vec<PortKind>,
    /// How packet sockets are opened.
    pub port_settings: Settings,
    /// TUN devices that were made and are not attached yet.
    pub tuns: RefCell<HashMap<PortId, Tun>>,
    /// The mirror of the kernel's tables.
    pub mirror: MirrorHandle,
    /// What only a router has that is its own host.
    pub own: Own,
    /// The neighbors, if the router is its own host.
    pub neighborhood: RefCell<Neighborhood>,
    /// Events of flows, while somebody watches them.
    pub subscription: RefCell<Option<Subscription<conntrack::Event<Extension>>>>,
    /// Events of announced flows, while somebody watches them.
    pub expectation_subscription: RefCell<Option<Subscription<ExpectationEvent<Extension>>>>,
    /// When generations began, and what is to be told of the flow cache.
    pub chronicle: Chronicle,
    /// What befalls the router as a host and is to be told.
    pub news: Arc<News>,
    /// When news of last hops were told last, in milliseconds of the router's clock.
    pub last_hops_told_ms: Cell<u64>,
    /// Whether packets for this host pass routerd, and by what device.
    pub handover: Handover,
    /// The rules in force.
    pub rules: Rules,
    /// Where settings of the kernel come from.
    pub sysctl: RefCell<Sysctl>,
    /// What is asked of the outside world by hooks and `show`: the moment, from the one clock.
    pub clock: fn() -> Instant,
    /// When the router became ready; `None` before.
    pub ready_since: Cell<Option<Instant>>,
}

/// A worker and its counters.
pub struct Seat {
    /// Commands, and counters of its ports.
    pub handle: WorkerHandle,
    /// Counters of its datapath.
    pub counters: Arc<Counters>,
}

/// How a port passes frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A raw packet socket on a device of the kernel's.
    AfPacket,
    /// A TUN device whose program is this router.
    Tun,
    /// Ports joined to one.
    Bridge,
}

impl PortKind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfPacket => "af_packet",
            Self::Tun => "tun",
            Self::Bridge => "bridge",
        }
    }
}

impl Core {
    /// The datapath counters of all workers, added up by name; all names are there.
    #[must_use]
    pub fn totals(&self) -> std::collections::BTreeMap<&'static str, u64> {
        let mut totals: std::collections::BTreeMap<_, _> = Counters::new().named().collect();
        for seat in &*self.workers.borrow() {
            for (name, count) in seat.counters.named() {
                *totals.entry(name).or_default() += count;
            }
        }
        totals
    }

    /// The ports, in the order of the configuration.
    pub fn port_ids(&self) -> impl Iterator<Item = PortId> + use<> {
        self.shared.ports.ids()
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        (self.clock)()
    }
}
