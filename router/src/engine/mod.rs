//! The whole path of a packet: a function of the frame, the moment, the routing state, the hooks and the flows.
//!
//! `Walk::walk` is the path from top to bottom; each of its steps is in a file of its own. What ends at this host or
//! begins there goes the way of `local/`, if the kernel does not see to it, and frames of bridged ports that of `bridge/`.
//! Nothing here opens a socket, reads a clock or logs; every packet ends in a [`Disposition`].

mod ahead;
mod answer;
#[cfg(test)]
mod as_linux;
mod bridge;
mod ends;
mod flow_cache;
mod forward;
pub mod fragment;
pub mod hold;
pub mod icmp;
mod local;
mod neighborhood;
mod packet;
mod queue;
pub mod rate;
#[cfg(test)]
mod recorded;
mod refuse;
mod route;
mod shared;
#[cfg(test)]
mod tests;
mod transmit;
mod untracked;

use std::sync::Arc;

use conntrack::Instant;
use fib::adjacency::PortId;
use fib::cache::Way;
use fib::change::NeighborState;
use fib::publish::{Loaded, Reader};
use fib::snapshot::Snapshot;

pub use ends::Disposition;
pub use flow_cache::{FlowCache, Kind, Modes};
pub(crate) use fragment::MTU_MIN;
pub use neighborhood::{Discovery, Heard, routed_by};
pub use packet::{LinkTarget, Packet, Recalled, Refusal, Stale};
pub use route::{Learned, Routed};
pub use shared::{Host, Resolver, Shared};
pub(crate) use transmit::LinkHeader;

use crate::chain::{Chains, Family, Outcome, Point};
use crate::drops::DropReason;
use crate::flow::Track;
use crate::frame::Frame;
use crate::interned::Interned;
use crate::last_hop::Around;
use crate::offload::{Epoch, Offer, Offloads};
use crate::packet::ethernet::{self, Cast};
use crate::packet::hop_by_hop::{self, Limits, Refused};
use crate::packet::parse::{Parsed, Unfit, parse};
use crate::port::{Framing, HOST};
use crate::stats::Counters;
use crate::verdict::negative::Negative;
use crate::verdict::{Passages, Recording};
use crate::worker::{Datapath, Outputs};
use ends::{Off, unfit_disposition};
use hold::Hold;
use icmp::Error6;
use queue::{Away, Queued};
use untracked::Untracked;
pub use untracked::{PLACES as UNTRACKED_MAX, TABLE_BYTES as UNTRACKED_BYTES};

/// What a hook may use of the world around its packet.
pub struct Context<'a> {
    /// The moment this turn began.
    pub now: Instant,
    /// The routing state of this turn.
    pub routing: &'a Snapshot,
    /// Who answers for this router's addresses.
    pub host: Host,
    /// The worker's counters.
    pub counters: &'a Counters,
    /// What the user said of what is remembered of flows.
    pub flow_cache: Modes,
    /// Who hears of flows; `None` while nobody does.
    pub offloads: Option<&'a Offloads>,
    /// Whether packets wait for their next hop: those that come later are to wait behind them.
    pub holding: bool,
    /// The ways that flows remember, by number.
    pub ways: &'a Interned<Way>,
    /// Where frames leave, and where empty ones come from.
    pub out: &'a mut Outputs,
    /// The hooks.
    pub chains: &'a Chains,
    /// What rules of these chains have made of packets.
    pub passages: &'a Passages,
    /// What rules tell of a packet whose flow is to remember it.
    pub recording: &'a mut Recording,
    /// What rules have dropped a moment ago.
    pub negative: &'a mut Negative,
}

/// One worker's datapath: what is shared with the others, and what is its own.
pub struct Engine {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    reader: Reader<Snapshot>,
    routing: Option<Loaded<Snapshot>>,
    chains: Arc<Chains>,
    flow_cache: Modes,
    epoch: Option<Epoch>,
    ways: Arc<Interned<Way>>,
    untracked: Untracked,
    now: Instant,
    handover: bool,
    hold: Hold,
    away: Away,
    neighbor_changes: u64,
    recording: Recording,
    negative: Negative,
}

/// One packet's walk: the engine's parts, borrowed for the time of a packet.
struct Walk<'a> {
    context: Context<'a>,
    chains: &'a Chains,
    shared: &'a Shared,
    /// Whether what is for this host is handed over.
    handover: bool,
    hold: &'a mut Hold,
    away: &'a mut Away,
    /// When the turn began, if anybody hears of flows.
    epoch: Option<Epoch>,
    untracked: &'a mut Untracked,
}

impl Walk<'_> {
    /// The way of a packet, from the first hook to the last.
    fn walk(&mut self, packet: &mut Packet) -> Result<Routed, Off> {
        self.may_enter(packet)?;
        self.hooks(Point::Prerouting, packet)?;
        self.walk_behind_prerouting(packet)
    }

    /// From there, as also a packet that comes back from a queue.
    fn walk_behind_prerouting(&mut self, packet: &mut Packet) -> Result<Routed, Off> {
        Self::take_port_of_pull_up(packet);
        let fate = self.route(packet)?;
        let routed = self.take_options(packet, fate)?;
        self.forward(packet, &routed)?;
        self.hooks(Point::Forward, packet)?;
        self.walk_behind_forward(packet, routed)
    }

    /// From there, likewise.
    fn walk_behind_forward(&mut self, packet: &mut Packet, routed: Routed) -> Result<Routed, Off> {
        self.finish_options(packet);
        self.hooks(Point::Postrouting, packet)?;
        Ok(routed)
    }

    /// From a frame to its end. The packet is large, so it stays in one place all the way.
    fn run(&mut self, frame: Frame) -> Disposition {
        if frame.input == HOST {
            return self.run_from_host(frame);
        }
        self.hear(&frame);
        let shared = self.shared;
        if let Some(bridge) = shared.bridges.of_member(frame.input) {
            return self.run_bridged(bridge, frame);
        }
        match &mut self.receive(frame, None) {
            Ok(packet) => self.run_received(packet),
            Err(disposition) => *disposition,
        }
    }

    /// From a packet that is this router's to handle to its end.
    fn run_received(&mut self, packet: &mut Packet) -> Disposition {
        let walked = self.walk(packet);
        self.finish(packet, walked)
    }

    /// Takes notice of what a frame tells of who is on its link, if anybody wants to know.
    fn hear(&self, frame: &Frame) {
        let is_of_link = || self.context.out.framing(frame.input) == Some(Framing::Ethernet);
        if self.shared.last_hops.is_on() && frame.vlan.is_none_or(|tag| tag.id() == 0) && is_of_link() {
            let Context { routing, counters, now, .. } = self.context;
            let bridge = self.shared.bridges.of_member(frame.input);
            let port = bridge.map_or(frame.input, |bridge| bridge.description.port);
            self.shared.last_hops.hear(port, frame.bytes(), &Around { routing, counters, now });
        }
    }

    /// From the end of its walk to a packet's end.
    fn finish(&mut self, packet: &mut Packet, walked: Result<Routed, Off>) -> Disposition {
        match walked {
            Ok(routed) => {
                let input = packet.input();
                let disposition = self.transmit(packet, &routed);
                if let (Some(epoch), Disposition::Forwarded(_)) = (self.epoch, disposition) {
                    self.offer(packet, input, &routed, epoch);
                }
                disposition
            }
            Err(off) => self.leave(packet, off),
        }
    }

    /// Makes a packet of a frame, if it is a sound one and this router's to handle. `target` is set if a bridge has found
    /// out whom the frame is for.
    fn receive(&mut self, mut frame: Frame, target: Option<LinkTarget>) -> Result<Packet, Disposition> {
        let port = self.shared.ports.get(frame.input);
        let framing = self.framing(frame.input).unwrap_or(Framing::Ethernet);
        if frame.vlan.is_some_and(|tag| tag.id() != 0) {
            return Err(self.give_back(frame, Disposition::Ignored));
        }
        frame.vlan = None;
        let cast = || match framing {
            Framing::Ethernet => {
                ethernet::Header::read(frame.bytes()).map_or(Cast::OtherHost, |h| h.cast(port.mac))
            }
            Framing::Network => Cast::Host,
        };
        let target = target.unwrap_or_else(|| match cast() {
            Cast::Host => LinkTarget::Host,
            Cast::Broadcast | Cast::Multicast => LinkTarget::Many,
            Cast::OtherHost => LinkTarget::Other,
        });
        if target == LinkTarget::Other {
            return Err(self.give_back(frame, Disposition::Ignored));
        }
        let Parsed { network, ip: header, .. } = match parse(frame.bytes(), framing) {
            Ok(parsed) => parsed,
            Err(Unfit::NotIp) if self.shared.host.is_owned() && ethernet::is_arp(frame.bytes()) => {
                return Err(self.receive_arp(frame, target));
            }
            Err(unfit) => {
                let disposition = unfit_disposition(unfit);
                return Err(self.give_back(frame, disposition));
            }
        };
        let mut packet = Packet::new(frame, network, target, header);
        if self.handover {
            self.note_arrival(&mut packet);
        }
        Ok(packet)
    }

    /// What IPv6 asks for before the first hook: the port's switch and hop-by-hop options (`ip6_rcv_core`).
    fn may_enter(&self, packet: &Packet) -> Result<(), Off> {
        if packet.family() != Family::Ipv6 {
            return Ok(());
        }
        if self.context.routing.link_settings(packet.input()).ipv6_disabled {
            return Err(Off::Drop(DropReason::Ipv6Disabled));
        }
        if !packet.header.has_options {
            return Ok(());
        }
        match hop_by_hop::check(packet.ip(), &Limits::default()) {
            Ok(_) => Ok(()),
            Err(Refused::Drop(_)) => Err(Off::Drop(DropReason::HopByHop)),
            Err(Refused::ParameterProblem { code, pointer }) => {
                Err(Off::Answer6(DropReason::HopByHop, Error6::ParameterProblem { code, pointer }))
            }
        }
    }

    /// Ends a packet that left the straight way.
    fn leave(&mut self, packet: &mut Packet, off: Off) -> Disposition {
        let disposition = match off {
            Off::Drop(reason) => Disposition::Dropped(reason),
            Off::Answer4(reason, error) => {
                self.answer4(packet, reason, error);
                Disposition::Dropped(reason)
            }
            Off::Answer6(reason, error) => {
                self.answer6(packet, error);
                Disposition::Dropped(reason)
            }
            Off::Refuse(reason, refusal) => {
                self.refuse(packet, refusal);
                Disposition::Dropped(reason)
            }
            Off::Local if self.shared.host.is_owned() || self.is_to_hand_over(packet) => {
                return self.deliver(packet);
            }
            Off::Group if self.shared.host.is_owned() => return self.deliver_to_group(packet),
            Off::Local | Off::Group => Disposition::Local,
            Off::Queued(queued) => return self.queue(packet, &queued),
            Off::Stolen => packet.sent_by.map_or(Disposition::Stolen, Disposition::Offloaded),
        };
        self.give_back(packet.steal(), disposition)
    }

    /// Tells of a packet's way if it is a new one, and offers its flow to whoever forwards packets without a walk.
    /// `packet` has left already, and its frame with it; it came in by `input`.
    fn offer(&self, packet: &Packet, input: PortId, routed: &Routed, epoch: Epoch) {
        let Some(offloads) = self.context.offloads else { return };
        let Track::Flow { flow, direction, .. } = &packet.track else { return };
        let is_wanted = offloads.has_room() && !offloads.has(flow, *direction);
        if !is_wanted && packet.learned.is_none() {
            return;
        }
        let offer = Offer::of(packet, input, routed, self.chains, &self.context, epoch);
        if packet.learned.is_some() && packet.track.followed().is_some() {
            let rewrite = offer.as_ref().map(|offer| &offer.rewrite);
            offloads.tell_routed(flow, *direction, packet.stale.map(|stale| stale.renewal.reason), rewrite);
        }
        if let Some(offer) = offer
            && is_wanted
        {
            offloads.offer(offer);
        }
    }

    fn give_back(&mut self, frame: Frame, disposition: Disposition) -> Disposition {
        self.context.out.recycle(frame);
        disposition
    }

    fn hooks(&mut self, point: Point, packet: &mut Packet) -> Result<(), Off> {
        self.hooks_from(0, point, packet)
    }

    /// The hooks from link `first` on.
    fn hooks_from(&mut self, first: usize, point: Point, packet: &mut Packet) -> Result<(), Off> {
        let chain = self.chains.at(packet.family(), point);
        match chain.run(first, packet, &mut self.context) {
            Outcome::Passed => Ok(()),
            Outcome::Dropped(reason) => Err(match packet.reject.take() {
                Some(refusal) => Off::Refuse(reason, refusal),
                None => Off::Drop(reason),
            }),
            Outcome::Stolen => Err(Off::Stolen),
            Outcome::Queued { number, bypass, by } => match self.shared.queues.seek(number, bypass) {
                Some(listener) => Err(Off::Queued(Box::new(Queued::new(listener, point, chain.seat(by))))),
                None if bypass => self.hooks_from(by + 1, point, packet),
                None => Err(Off::Drop(DropReason::QueueWithoutListener)),
            },
        }
    }
}

impl Engine {
    /// A worker's datapath over what all workers share, counting into `counters`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, counters: Arc<Counters>, reader: Reader<Snapshot>) -> Self {
        let worker = shared.take_worker_number();
        let chains = shared.hooks.chains();
        let ways = shared.ways.present();
        let untracked = Untracked::new(ways.clone());
        let away = Away::new(&shared.queues);
        Self {
            shared,
            counters,
            reader,
            routing: None,
            chains,
            flow_cache: Modes::all(FlowCache::On),
            epoch: None,
            ways,
            untracked,
            handover: false,
            now: Instant::default(),
            hold: Hold::default(),
            away,
            neighbor_changes: 0,
            recording: Recording::of_worker(worker),
            negative: Negative::default(),
        }
    }

    /// Runs `step` with the parts of the engine that a packet needs.
    fn with_walk<R>(&mut self, out: &mut Outputs, step: impl FnOnce(&mut Walk<'_>) -> R) -> R {
        let routing = self.routing.as_deref().expect("a turn has begun");
        let context = Context {
            now: self.now,
            routing,
            host: self.shared.host,
            counters: &self.counters,
            flow_cache: self.flow_cache,
            offloads: self.epoch.map(|_| &*self.shared.offloads),
            holding: !self.hold.is_empty(),
            ways: &self.ways,
            out,
            chains: &self.chains,
            passages: self.chains.passages(),
            recording: &mut self.recording,
            negative: &mut self.negative,
        };
        step(&mut Walk {
            context,
            chains: &self.chains,
            shared: &self.shared,
            handover: self.handover,
            hold: &mut self.hold,
            away: &mut self.away,
            epoch: self.epoch,
            untracked: &mut self.untracked,
        })
    }

    /// Looks after packets that wait for a next hop, when a neighbor has changed or time is up.
    fn settle_held(&mut self, out: &mut Outputs) {
        let changes = self.shared.neighbors.changes();
        let due = self.hold.deadline().is_some_and(|deadline| deadline <= self.now);
        if self.hold.is_empty() || (changes == self.neighbor_changes && !due) {
            return;
        }
        self.neighbor_changes = changes;
        let neighbors = self.shared.neighbors.clone();
        let settled = self.hold.take_settled(self.now, |id| match neighbors.get(id) {
            Some(view) if view.state.is_valid() => Some(Some(view.mac)),
            Some(view) if view.state != NeighborState::Failed => None,
            _ => Some(None),
        });
        for (mac, packets) in settled {
            for held in packets {
                let disposition = self.with_walk(out, |walk| walk.settle(held, mac));
                disposition.count(&self.counters);
            }
        }
    }
}

impl Datapath for Engine {
    fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        // Before the snapshots: an offer must not rest on older ones than its epoch says.
        self.epoch = self.shared.offloads.epoch();
        self.routing = Some(self.reader.load());
        self.chains = self.shared.hooks.chains();
        self.flow_cache = self.shared.flow_cache();
        self.ways = self.shared.ways.present();
        self.untracked.follow(&self.ways, self.shared.untracked_flushes());
        self.negative.follow(self.shared.negative_flushes());
        self.handover = self.shared.handover();
    }

    fn foresee(&mut self, frames: &[Frame], out: &Outputs) {
        self.look_ahead(frames, out);
    }

    fn process(&mut self, frame: Frame, out: &mut Outputs) {
        if frame.input == HOST {
            self.counters.taken_from_host.raise();
        } else {
            self.counters.received.raise();
        }
        let disposition = self.with_walk(out, |walk| walk.run(frame));
        disposition.count(&self.counters);
    }

    fn originate(&mut self, port: PortId, frame: &[u8], out: &mut Outputs) {
        let disposition = self.with_walk(out, |walk| walk.say(port, frame));
        disposition.count(&self.counters);
    }

    fn end_turn(&mut self, out: &mut Outputs) -> Option<Instant> {
        self.settle_held(out);
        let more_answers = self.take_answers(out);
        self.shared.flows.expire(self.now, EXPIRY_BUDGET);
        self.counters.untracked_cache_entries.set(self.untracked.used());
        let drops_end = self.negative.tend(self.now);
        self.counters.negative_cache_entries.set(self.negative.used());
        [self.hold.deadline(), drops_end, more_answers].into_iter().flatten().min()
    }

    fn idle(&mut self) {
        self.routing = None;
    }
}

/// Flows that a worker takes off the table in one turn at most.
const EXPIRY_BUDGET: usize = 64;
