//! Who listens, what is taken over, and when it has to be given up.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use conntrack::{Change, Direction, EventKind as FlowEventKind, Instant, Listener, Status, TrafficCount};
use fib::cache::Staleness;
use fib::snapshot::Snapshot;
use parking_lot::{Mutex, MutexGuard};

use super::complete::{Devices, Ground};
use super::{Event, EventKind, Invalidation, Offer, Rewrite, SharedFlow};
use crate::flow::{Conn, Extension, FlowTable};

/// Who hears what becomes of flows, and may forward some of them itself.
///
/// It is called by workers and by the control thread, under a lock: it is quick, and calls nothing of [`Offloads`] and
/// nothing that ends a flow.
pub trait Consumer: Send + Sync {
    /// Hears of a flow. What is told of one flow comes in order. Of [`EventKind::Invalidated`] and
    /// [`EventKind::Destroyed`] those that are not concerned hear as well.
    ///
    /// When this returns for one of the two, packets that arrive from then on are not forwarded by the old rewrite.
    fn tell(&self, event: &Event<'_>);

    /// Whether it forwards the packets of one direction of a flow from now on. Asked with each packet that was walked
    /// from end to end while nobody does; the first who says yes has it.
    fn take(&self, flow: &SharedFlow, rewrite: &Arc<Rewrite>) -> bool {
        let _ = (flow, rewrite);
        false
    }
}

/// A moment in the life of hooks, routing state and switches; another begins with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

/// A direction of a flow that is taken over, for people to look at.
#[derive(Clone, Debug)]
pub struct TakenRow {
    /// The flow's id.
    pub flow: u64,
    /// What becomes of its packets.
    pub rewrite: Arc<Rewrite>,
}

/// Which flows are taken over, and who hears of flows.
///
/// Control calls [`Self::follow`] or [`Self::void`] after each change, before the change is acknowledged.
pub struct Offloads {
    flows: Arc<FlowTable>,
    listening: AtomicBool,
    epoch: AtomicU64,
    /// Directions taken; kept beside the lock so that a full registry costs a load.
    taken: AtomicUsize,
    flows_max: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    consumers: Vec<Arc<dyn Consumer>>,
    /// What the flow table tells; it stops when this is dropped.
    bell: Option<Arc<Bell>>,
    /// What is taken over, and gaps.
    slots: Vec<Option<Taken>>,
    gaps: Vec<usize>,
    places: HashMap<Key, usize>,
}

/// Slots that are judged under one lock: workers that have something to tell wait no longer.
const SLOTS_PER_LOCK: usize = 512;

/// A direction of a flow: its id, then one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(u64);

struct Taken {
    flow: SharedFlow,
    rewrite: Arc<Rewrite>,
    ground: Ground,
    /// Its ports when it was taken.
    devices: Devices,
    by: Arc<dyn Consumer>,
}

/// Rings when something becomes of a flow in the table.
struct Bell(Weak<Offloads>);

impl Offloads {
    /// Flows taken over at most, unless [`Self::set_flows_max`] says otherwise.
    pub const FLOWS_MAX: usize = 65_536;

    /// Nobody listens yet.
    #[must_use]
    pub fn new(flows: Arc<FlowTable>) -> Self {
        Self {
            flows,
            listening: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            taken: AtomicUsize::new(0),
            flows_max: AtomicUsize::new(Self::FLOWS_MAX),
            inner: Mutex::default(),
        }
    }

    /// Bounds the directions of flows that are taken over at a time. Those beyond are walked.
    pub fn set_flows_max(&self, directions: usize) {
        self.flows_max.store(directions, Ordering::Relaxed);
    }

    /// Has `consumer` hear of flows from now on, behind those who joined before.
    pub fn join(self: &Arc<Self>, consumer: Arc<dyn Consumer>) {
        let bell = {
            let mut inner = self.inner.lock();
            inner.consumers.push(consumer);
            self.listening.store(true, Ordering::Release);
            let is_first = inner.bell.is_none();
            is_first.then(|| inner.bell.insert(Arc::new(Bell(Arc::downgrade(self)))).clone())
        };
        if let Some(bell) = bell {
            let bell: Arc<dyn Listener<conntrack::Event<Extension>>> = bell;
            self.flows.listen(&bell);
        }
    }

    /// Has `consumer` hear no more; it is told to give up what it has. Says whether it had joined.
    pub fn leave(&self, consumer: &Arc<dyn Consumer>) -> bool {
        let mut inner = self.inner.lock();
        let Some(place) = inner.consumers.iter().position(|other| Arc::ptr_eq(other, consumer)) else {
            return false;
        };
        let all = 0..inner.slots.len();
        self.give_up_where(&mut inner, all, |taken| {
            Arc::ptr_eq(&taken.by, consumer).then_some(Invalidation::Left)
        });
        inner.consumers.remove(place);
        if inner.consumers.is_empty() {
            self.listening.store(false, Ordering::Release);
            inner.bell = None;
        }
        true
    }

    /// Whether anybody listens: one load.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    /// The moment it is; `None` while nobody listens. A worker asks before it takes its snapshots, so that an offer it
    /// makes rests on nothing older than that.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.listens().then(|| Epoch(self.epoch.load(Ordering::Acquire)))
    }

    /// Routing state, ports or neighbors have changed: what does not hold any more is given up, before this returns.
    pub fn follow(&self, routing: &Snapshot) {
        self.change(|taken| taken.judge(routing));
    }

    /// Everything is given up, before this returns.
    pub fn void(&self, reason: Invalidation) {
        self.change(|_| Some(reason));
    }

    /// What `concerned` picks is given up, before this returns.
    pub fn void_where(&self, reason: Invalidation, concerned: impl Fn(&Conn, &Rewrite) -> bool) {
        self.change(|taken| concerned(&taken.flow, &taken.rewrite).then_some(reason));
    }

    /// Both directions of a flow are given up, before this returns.
    pub fn void_flow(&self, flow: &Conn, reason: Invalidation) {
        if !self.listens() {
            return;
        }
        let mut inner = self.inner.lock();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        for direction in Direction::ALL {
            self.give_up(&mut inner, flow, direction, reason);
        }
    }

    /// A consumer gives one direction of a flow up by itself; it is told nothing.
    pub fn release(&self, flow: &Conn, direction: Direction) {
        let mut inner = self.inner.lock();
        if inner.remove(Key::of(flow, direction)) {
            self.note_released(&inner, flow);
        }
    }

    /// Counts what was forwarded by `rewrite`, as if it had been walked: in its flow, which lives on from `last_seen`, and
    /// in the counters of rules. To be called by whoever forwards packets without observing each of them, at least as
    /// often as the flow would end by itself, and a last time when it is told to give the rewrite up. Says whether the
    /// flow is still there.
    ///
    /// Trackers of some protocols have to see every packet ([`conntrack::Table::must_see_every_packet`]): of their flows,
    /// the state is not followed while packets are only counted.
    pub fn report(
        &self,
        flow: &SharedFlow,
        rewrite: &Rewrite,
        traffic: TrafficCount,
        last_seen: Instant,
    ) -> bool {
        let TrafficCount { packets, bytes } = traffic;
        rewrite.passed.count(packets, bytes);
        self.flows.account(flow, rewrite.direction, packets, bytes, last_seen)
    }

    /// Directions of flows that are taken over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most `rows_max` of what is taken over, in no order.
    #[must_use]
    pub fn rows(&self, rows_max: usize) -> Vec<TakenRow> {
        let inner = self.inner.lock();
        let row = |taken: &Taken| TakenRow { flow: taken.flow.id(), rewrite: taken.rewrite.clone() };
        inner.slots.iter().flatten().take(rows_max).map(row).collect()
    }

    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.flows_max.load(Ordering::Relaxed)
    }

    /// Tells of a flow whose first packet is on its way.
    pub(crate) fn tell_new(&self, flow: &Conn) {
        self.inner.lock().tell(&Event { flow, kind: EventKind::New });
    }

    /// Tells of a way that was found and kept.
    pub(crate) fn tell_routed(
        &self,
        flow: &Conn,
        direction: Direction,
        instead: Option<Staleness>,
        rewrite: Option<&Rewrite>,
    ) {
        let kind = EventKind::Routed { direction, instead, rewrite };
        self.inner.lock().tell(&Event { flow, kind });
    }

    /// Asks consumers whether they take a direction of a flow over.
    pub(crate) fn offer(&self, offer: Offer<'_>) {
        let Offer { flow, rewrite, ground, devices, epoch } = offer;
        let mut inner = self.inner.lock();
        // What has changed since the worker took its snapshots, the offer does not know. A flow that ends from now on
        // finds itself in the registry.
        let is_over = flow.status().contains(Status::DYING);
        if epoch.0 != self.epoch.load(Ordering::Acquire) || is_over || !self.has_room() {
            return;
        }
        let key = Key::of(flow, rewrite.direction);
        if inner.places.contains_key(&key) {
            return;
        }
        let rewrite = Arc::new(rewrite);
        let Some(by) = inner.consumers.iter().find(|consumer| consumer.take(flow, &rewrite)).cloned() else {
            return;
        };
        self.flows.set_offloaded(flow, true);
        self.taken.fetch_add(1, Ordering::Relaxed);
        inner.insert(key, Taken { flow: flow.clone(), rewrite, ground, devices, by });
    }

    /// Whether somebody has this direction.
    pub(crate) fn has(&self, flow: &Conn, direction: Direction) -> bool {
        flow.status().contains(Status::OFFLOAD)
            && self.inner.lock().places.contains_key(&Key::of(flow, direction))
    }

    /// A new epoch begins; what `judge` finds a reason for is given up. What is taken over meanwhile is of the new epoch.
    fn change(&self, judge: impl Fn(&mut Taken) -> Option<Invalidation>) {
        if !self.listens() {
            return;
        }
        let slots = {
            let inner = self.inner.lock();
            self.epoch.fetch_add(1, Ordering::AcqRel);
            inner.slots.len()
        };
        for first in (0..slots).step_by(SLOTS_PER_LOCK) {
            let mut inner = self.inner.lock();
            let end = inner.slots.len().min(first + SLOTS_PER_LOCK);
            self.give_up_where(&mut inner, first..end, &judge);
            MutexGuard::unlock_fair(inner);
        }
    }

    fn give_up_where(
        &self,
        inner: &mut Inner,
        slots: Range<usize>,
        judge: impl Fn(&mut Taken) -> Option<Invalidation>,
    ) {
        for slot in slots {
            let Some(taken) = &mut inner.slots[slot] else { continue };
            if let Some(reason) = judge(taken) {
                let (flow, direction) = (taken.flow.clone(), taken.rewrite.direction);
                self.give_up(inner, &flow, direction, reason);
            }
        }
    }

    /// One direction of a flow is given up.
    fn give_up(&self, inner: &mut Inner, flow: &Conn, direction: Direction, reason: Invalidation) {
        if inner.remove(Key::of(flow, direction)) {
            self.note_released(inner, flow);
            let kind = EventKind::Invalidated { direction, reason };
            inner.tell(&Event { flow, kind });
        }
    }

    /// One direction of `flow` is not taken over any more.
    fn note_released(&self, inner: &Inner, flow: &Conn) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        let is_taken = |direction| inner.places.contains_key(&Key::of(flow, direction));
        if !Direction::ALL.into_iter().any(is_taken) {
            self.flows.set_offloaded(flow, false);
        }
    }
}

impl Inner {
    fn insert(&mut self, key: Key, taken: Taken) {
        let slot = self.gaps.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(taken);
        self.places.insert(key, slot);
    }

    /// Says whether it was there.
    fn remove(&mut self, key: Key) -> bool {
        let Some(slot) = self.places.remove(&key) else { return false };
        self.slots[slot] = None;
        self.gaps.push(slot);
        true
    }

    fn tell(&self, event: &Event<'_>) {
        for consumer in &self.consumers {
            consumer.tell(event);
        }
    }
}

impl Key {
    fn of(flow: &Conn, direction: Direction) -> Self {
        Self(flow.id() << 1 | direction.index() as u64)
    }
}

impl Taken {
    /// Why it does not hold any more, if so.
    fn judge(&mut self, routing: &Snapshot) -> Option<Invalidation> {
        if let Some(reason) = self.ground.judge(routing) {
            return Some(Invalidation::Route(reason));
        }
        if Devices::of(&self.rewrite, routing.ports()) != self.devices {
            return Some(Invalidation::Port);
        }
        let neighbor = self.rewrite.neighbor?;
        let view = routing.neighbors().get(neighbor);
        (!view.is_some_and(|view| view.state.is_valid())).then_some(Invalidation::Neighbor)
    }
}

impl Listener<conntrack::Event<Extension>> for Bell {
    fn tell(&self, event: &conntrack::Event<Extension>) {
        let Some(offloads) = self.0.upgrade() else { return };
        let mut inner = offloads.inner.lock();
        let flow = &*event.conn;
        match event.kind {
            FlowEventKind::New => inner.tell(&Event { flow, kind: EventKind::Confirmed }),
            FlowEventKind::Update(changes) => {
                inner.tell(&Event { flow, kind: EventKind::Updated(changes) });
                if changes.contains(Change::Reply) {
                    // What its packets were to it before, they are no longer.
                    offloads.give_up(&mut inner, flow, Direction::Original, Invalidation::State);
                }
                if changes.contains(Change::Mark) {
                    for direction in Direction::ALL {
                        offloads.give_up(&mut inner, flow, direction, Invalidation::Mark);
                    }
                }
            }
            FlowEventKind::Destroy(end) => {
                for direction in Direction::ALL {
                    if inner.remove(Key::of(flow, direction)) {
                        offloads.note_released(&inner, flow);
                    }
                }
                inner.tell(&Event { flow, kind: EventKind::Destroyed(end) });
            }
        }
    }
}
