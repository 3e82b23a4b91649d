//! A base chain as a hook.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use conntrack::{Helpers, Instant};
use fib::adjacency::{PortId, Ports};

use super::evaluate::Run;
use super::program::Code;
use crate::bridge::Bridges;
use crate::chain::{Hook, Needs, Point, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::{Flow, FlowTable, Track};
use crate::hooks::keep;
use crate::rules::journal::Journal;
use crate::rules::lookup::number;
use crate::rules::model::{BaseChain, ChainKind, Policy};
use crate::verdict::{End, Passing};

/// What rules look at besides packets. One for a router, whatever rules come and go.
pub struct World {
    /// Flows.
    pub flows: Arc<FlowTable>,
    /// Ports.
    pub ports: Arc<Ports>,
    /// Helpers that rules may assign.
    pub helpers: Helpers,
    /// What rules have logged and traced.
    pub journal: Journal,
    /// Names of the ports as they are compared: sixteen bytes, the first the highest.
    names: Box<[u128]>,
    /// Of each port by its number the bridge that it is a member of.
    bridge_of: Box<[Option<PortId>]>,
    /// Wall time in nanoseconds since 1970 when the router's clock was at zero.
    epoch_ns: AtomicI64,
    random: AtomicU64,
}

impl World {
    /// The world around rules of a router with these flows and ports; `seed` is for `numgen random` and its like.
    #[must_use]
    pub fn new(flows: Arc<FlowTable>, ports: Arc<Ports>, seed: u64) -> Self {
        let names: Box<[u128]> = ports.ids().map(|port| name_number(ports.name(port))).collect();
        Self {
            flows,
            ports,
            helpers: Helpers::builtin(),
            journal: Journal::default(),
            bridge_of: vec![None; names.len()].into(),
            names,
            epoch_ns: AtomicI64::new(0),
            random: AtomicU64::new(seed),
        }
    }

    /// The same with these bridges, for rules that ask which a port belongs to.
    #[must_use]
    pub fn with_bridges(mut self, bridges: &Bridges) -> Self {
        let port_of = |member: PortId| bridges.of_member(member).map(|bridge| bridge.description.port);
        self.bridge_of = self.ports.ids().map(port_of).collect();
        self
    }

    /// Says what wall time it is at `now`, in nanoseconds since 1970; `meta time`, `day` and `hour` tell it.
    pub fn set_wall_time(&self, now: Instant, since_1970_ns: i64) {
        let passed = i64::try_from(now.nanos()).unwrap_or(i64::MAX);
        self.epoch_ns.store(since_1970_ns.saturating_sub(passed), Ordering::Relaxed);
    }

    /// Seconds since 1970 at `now`.
    pub(super) fn wall_time_s(&self, now: Instant) -> u64 {
        let nanos = i128::from(self.epoch_ns.load(Ordering::Relaxed)) + i128::from(now.nanos());
        u64::try_from(nanos.max(0) / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// A number that differs from call to call (SplitMix64).
    pub(super) fn random(&self) -> u32 {
        let state = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 32) as u32
    }

    /// The bridge that a port is a member of, as a port.
    pub(super) fn bridge_of(&self, member: PortId) -> Option<PortId> {
        self.bridge_of.get(usize::from(member.0)).copied().flatten()
    }

    /// A port's name as it is compared; empty for none.
    pub(super) fn name(&self, port: Option<PortId>) -> u128 {
        port.and_then(|port| self.names.get(usize::from(port.0))).copied().unwrap_or(0)
    }

    /// Names of all ports as they are compared, by number.
    pub(super) fn names(&self) -> &[u128] {
        &self.names
    }
}

/// A name of up to sixteen bytes, zero padded, as a number.
pub(super) fn name_number(name: &str) -> u128 {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    number(&padded)
}

/// A base chain in its place.
pub struct RuleHook {
    pub(super) code: Arc<Code>,
    pub(super) world: Arc<World>,
    pub(super) point: Point,
    /// The chain's place in its table.
    chain: u32,
    policy: Policy,
    /// A packet that it changes in what routing looks at is routed anew.
    reroutes: bool,
}

impl RuleHook {
    /// The base chain at place `chain` of the table that `code` was made of.
    #[must_use]
    pub fn new(code: Arc<Code>, world: Arc<World>, base: &BaseChain, chain: u32) -> Self {
        let BaseChain { kind, point, policy, .. } = *base;
        Self { code, world, point, chain, policy, reroutes: kind == ChainKind::Route }
    }
}

impl Hook for RuleHook {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if !self.reroutes {
            return self.pass(packet, context);
        }
        // What is compared in `nf_route_table_hook4`.
        let way = |packet: &Packet| (packet.source(), packet.destination(), packet.mark, packet.header.tos);
        let before = way(packet);
        let verdict = self.pass(packet, context);
        if way(packet) != before {
            packet.reroute = true;
        }
        verdict
    }

    fn needs(&self) -> Needs {
        Needs::Unremembered
    }
}

impl RuleHook {
    fn pass(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        match packet.passing {
            Passing::Judged => self.judge(packet, context, false),
            Passing::Recorded(number) => self.record(packet, context, number),
            // Of a packet that is traced each rule tells.
            Passing::Recalled { .. } if packet.trace => {
                packet.judge_by_rules();
                self.judge(packet, context, false)
            }
            Passing::Recalled { passage, next } => self.recall(packet, context, passage, next),
        }
    }

    fn judge(&self, packet: &mut Packet, context: &mut Context<'_>, recorded: bool) -> Verdict {
        let mut run = Run::new(&self.code, &self.world, self.point, packet, context, recorded);
        run.chain(self.chain).unwrap_or(match self.policy {
            Policy::Accept => Verdict::Accept,
            Policy::Drop => Verdict::Drop(DropReason::Rule),
        })
    }

    /// Judges a packet and tells the worker's recording.
    fn record(&self, packet: &mut Packet, context: &mut Context<'_>, number: u32) -> Verdict {
        let recorded = context.recording.enter(number, self.place(), self.point);
        let verdict = self.judge(packet, context, recorded);
        let end = match verdict {
            Verdict::Accept => End::Passed,
            Verdict::Drop(reason) => End::Dropped(reason, packet.reject),
            _ => return verdict,
        };
        if recorded {
            context.recording.leave(end);
        }
        if end != End::Passed {
            keep(packet, context, number);
        }
        verdict
    }

    /// Does what this chain did to an earlier packet of the flow, if what that rested on is the same; else judges it, and
    /// records it from here on.
    fn recall(&self, packet: &mut Packet, context: &mut Context<'_>, passage: u32, next: u16) -> Verdict {
        let Some(remembered) = context.passages.get(passage) else {
            packet.passing = Passing::Judged;
            return self.judge(packet, context, false);
        };
        let section = remembered.sections().get(usize::from(next));
        let section = section.filter(|section| {
            section.hook() == self.place() && section.seen().holds(packet, context.routing, self.point)
        });
        let Some(section) = section else {
            let number = context.recording.resume(remembered, usize::from(next));
            packet.passing = Passing::Recorded(number);
            return self.record(packet, context, number);
        };
        section.count(context.recording.lane(), packet.ip().len() as u64);
        packet.mark = section.mark().unwrap_or(packet.mark);
        packet.priority = section.priority().unwrap_or(packet.priority);
        packet.passing = Passing::Recalled { passage, next: next + 1 };
        match section.end() {
            End::Passed => Verdict::Accept,
            End::Dropped(reason, refusal) => {
                if matches!(packet.track, Track::Flow { flow: Flow::Tentative(_), .. }) {
                    context.counters.negative_cache_recalled.raise();
                }
                packet.reject = refusal;
                Verdict::Drop(reason)
            }
        }
    }

    /// Where it is in memory, by which passages know it: the chains that they belong to keep it there.
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}
