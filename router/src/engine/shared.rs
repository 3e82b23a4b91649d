//! What all workers of a router share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use conntrack::Instant;
use fib::adjacency::{Neighbors, PortId, Ports};
use fib::snapshot::Snapshot;
use parking_lot::Mutex;

use super::flow_cache::{FlowCache, Kind, Modes, Switches};
use super::neighborhood::Discovery;
use super::rate::Limiter;
use crate::bridge::Bridges;
use crate::chain::Registry;
use crate::flow::{FlowTable, Ways};
use crate::last_hop::{self, LastHops};
use crate::offload::{Invalidation, Offloads};
use crate::queue::Queues;

/// Who finds out the link address of a neighbor: the kernel, or whoever stands in for it.
pub trait Resolver: Send + Sync {
    /// Asks for `address` on `port`, or has a stale entry confirmed. Never blocks; the answer arrives as a change
    /// of the neighbor. False when too many questions are open.
    fn ask(&self, port: PortId, address: IpAddr) -> bool;
}

/// Who answers for this router's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The kernel of this namespace, on the ports themselves. It takes its own copy of what is for the router.
    Kernel,
    /// The router itself; the kernel is kept quiet on the ports.
    Owned {
        /// Whether there is a TUN device at [`crate::port::HOST`] by which local packets pass to and from the kernel's
        /// sockets. Without one there are the built-in answers alone.
        tun: bool,
    },
}

impl Host {
    /// Whether the router is its own host.
    #[must_use]
    pub const fn is_owned(self) -> bool {
        matches!(self, Self::Owned { .. })
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Owned { tun: true } => "tun",
            Self::Owned { tun: false } => "none",
        }
    }
}

/// One router's shared parts.
pub struct Shared {
    /// Who answers for this router's addresses.
    pub host: Host,
    /// Bridges; none until they are put here.
    pub bridges: Bridges,
    /// Who hears of messages about neighbors, if the router is its own host.
    pub discovery: Discovery,
    /// Hooks.
    pub hooks: Registry,
    /// Flows.
    pub flows: Arc<FlowTable>,
    /// Ports.
    pub ports: Arc<Ports>,
    /// Neighbors.
    pub neighbors: Arc<Neighbors>,
    /// Whom to ask for neighbors.
    pub resolver: Box<dyn Resolver>,
    /// Who hears of flows, and which they have taken over.
    pub offloads: Arc<Offloads>,
    /// How often ICMP errors may be sent. Taken only when one is due.
    pub limiter: Mutex<Limiter>,
    /// What makes flow labels of ICMPv6 errors hard to foresee.
    pub secret: [u64; 2],
    /// The ways that flows remember.
    pub ways: Ways,
    /// Packets that programs judge.
    pub queues: Arc<Queues>,
    /// Where on their links flows come from.
    pub last_hops: Arc<LastHops>,
    flow_cache: Switches,
    untracked_flushes: AtomicU64,
    workers: AtomicUsize,
    negative_flushes: AtomicU64,
    handover: AtomicBool,
    midnight_ms: AtomicU32,
}

impl Shared {
    /// The shared parts; hooks are registered afterwards.
    #[must_use]
    pub fn new(
        host: Host,
        flows: Arc<FlowTable>,
        ports: Arc<Ports>,
        neighbors: Arc<Neighbors>,
        resolver: Box<dyn Resolver>,
        limiter: Limiter,
        secret: [u64; 2],
    ) -> Self {
        let hooks = Registry::default();
        let offloads = Arc::new(Offloads::new(flows.clone()));
        let watching = offloads.clone();
        hooks.watch(move || watching.void(Invalidation::Hooks));
        Self {
            host,
            bridges: Bridges::default(),
            discovery: Discovery::default(),
            hooks,
            offloads,
            flows,
            ports,
            neighbors,
            resolver,
            limiter: Mutex::new(limiter),
            secret,
            ways: Ways::default(),
            queues: Arc::default(),
            last_hops: Arc::default(),
            flow_cache: Switches::new(Modes::all(FlowCache::On)),
            untracked_flushes: AtomicU64::new(0),
            workers: AtomicUsize::new(0),
            negative_flushes: AtomicU64::new(0),
            handover: AtomicBool::new(false),
            midnight_ms: AtomicU32::new(0),
        }
    }

    /// Switches the use of all that is remembered of flows; workers follow at their next turn.
    pub fn set_flow_cache(&self, mode: FlowCache) {
        self.flow_cache.set(Modes::all(mode));
        self.offloads.void(Invalidation::FlowCache);
    }

    /// Switches the use of one kind. Only the control thread may.
    pub fn set_flow_cache_of(&self, kind: Kind, mode: FlowCache) {
        self.flow_cache.set(self.flow_cache().with(kind, mode));
        self.offloads.void(Invalidation::FlowCache);
    }

    /// Says anew which flows are answered where they came from.
    pub fn set_last_hop(&self, settings: last_hop::Settings) {
        self.last_hops.configure(settings);
        self.offloads.void(Invalidation::FlowCache);
    }

    /// Has flows given up that were taken over and whose way has changed. Control calls this after each change of the
    /// routing state, of ports or of neighbors, before the change is acknowledged.
    pub fn follow_routing(&self, routing: &Snapshot) {
        self.offloads.follow(routing);
    }

    /// What is in force.
    #[must_use]
    pub fn flow_cache(&self) -> Modes {
        self.flow_cache.get()
    }

    /// Has workers forget the routes of packets without a flow, at their next turn.
    pub fn flush_untracked(&self) {
        self.untracked_flushes.fetch_add(1, Ordering::Relaxed);
    }

    /// Has workers forget what rules have dropped a moment ago, at their next turn.
    pub fn flush_negative(&self) {
        self.negative_flushes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn negative_flushes(&self) -> u64 {
        self.negative_flushes.load(Ordering::Relaxed)
    }

    /// A number for a worker's datapath that no other has.
    pub(super) fn take_worker_number(&self) -> usize {
        self.workers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn untracked_flushes(&self) -> u64 {
        self.untracked_flushes.load(Ordering::Relaxed)
    }

    /// Switches the hand-over of packets for and from this host ([`crate::port::HOST`]); workers follow at their next
    /// turn. Whoever switches it on has put something at that place first, and sees to it that the kernel takes no
    /// copy of its own ([`crate::guard`]).
    pub fn set_handover(&self, on: bool) {
        self.handover.store(on, Ordering::Release);
    }

    /// Whether packets for this host are handed over.
    #[must_use]
    pub fn handover(&self) -> bool {
        self.handover.load(Ordering::Acquire)
    }

    /// Says what time of day it is at `now`, in milliseconds since midnight UTC; timestamp options tell it.
    pub fn set_time_of_day_ms(&self, now: Instant, time_of_day_ms: u32) {
        let passed = (now.nanos() / 1_000_000 % u64::from(DAY_MS)) as u32;
        self.midnight_ms.store((time_of_day_ms + DAY_MS - passed) % DAY_MS, Ordering::Relaxed);
    }

    /// Milliseconds since midnight UTC at `now` (RFC 791, timestamp option).
    #[must_use]
    pub fn time_of_day_ms(&self, now: Instant) -> u32 {
        let passed = (now.nanos() / 1_000_000 % u64::from(DAY_MS)) as u32;
        (self.midnight_ms.load(Ordering::Relaxed) + passed) % DAY_MS
    }
}

/// Milliseconds of a day.
const DAY_MS: u32 = 86_400_000;
