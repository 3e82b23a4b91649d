//! The table of flows: finds a packet's flow, or starts one, and keeps it up to date (`nf_conntrack_in`).
//!
//! Locks: each shard has one, taken for the length of a search or an insertion. Who needs two takes the lower shard
//! first; a shelf of sources comes after shards. Expectations have a lock of their own, and so have subscribers; neither
//! is taken while another is held. A flow's state has a lock of its own, the last in order: nothing is locked under it.

mod ahead;
mod expected;
mod member;
mod offload;
mod tell;
#[cfg(test)]
mod tests;
mod translate;
mod walk;

pub use self::ahead::Foreseen;
pub use self::member::Confirmed;
pub use self::walk::{Cursor, Page};

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::conn::{Conn, Reservation, Shared, Status, Tentative};
use crate::events::{Change, End, Event, Subscribers};
use crate::expect::{ExpectationEvent, Store};
use crate::l4::{Check, ErasedL4, Outcome, Seen, Shift};
use crate::packet::{Datagram, Packet};
use crate::registry::Registry;
use crate::related::answered_tuple;
use crate::shard::{Shard, Sought};
use crate::sources::Sources;
use crate::stats::{Counters, InvalidReason, Stats, count};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, TupleHasher};
use crate::zone::Zone;

/// Settings of a table.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The most flows there may be, those not confirmed yet included (`nf_conntrack_max`).
    pub flows_max: usize,
    /// Secret of the hash; random, or fixed in a test.
    pub seed: [u64; 2],
    /// Whether transport checksums are verified (`nf_conntrack_checksum`).
    pub checksum: bool,
    /// The most flows that may be expected at a time (`nf_conntrack_expect_max`).
    pub expectations_max: usize,
}

impl Default for Config {
    /// Linux's defaults, and a seed of zero.
    fn default() -> Self {
        Self { flows_max: 262_144, seed: [0, 0], checksum: true, expectations_max: 4096 }
    }
}

/// All tracked flows. Shared by all workers; `X` is what they keep with each flow.
pub struct Table<X> {
    config: Config,
    registry: Registry,
    hasher: TupleHasher,
    shards: Box<[Aligned<Mutex<Shard<X>>>]>,
    /// Flows by their source, where sources are translated.
    sources: Sources<X>,
    /// Places taken: flows in the table and tentative ones.
    taken: Arc<AtomicUsize>,
    next_id: AtomicU64,
    sweep: member::Sweep,
    counters: Counters,
    subscribers: Subscribers<Event<X>>,
    expected: Store<X>,
    expectation_subscribers: Subscribers<ExpectationEvent<X>>,
}

/// What tracking makes of a packet.
#[derive(Debug)]
pub enum Tracked<X> {
    /// It belongs to a flow, or starts one.
    Flow {
        /// The flow.
        flow: Flow<X>,
        /// The packet's direction in it.
        direction: Direction,
        /// What the packet is to the flow.
        state: CtState,
    },
    /// It belongs to no flow (`ct state invalid`).
    Invalid(InvalidReason),
    /// It is not to be tracked (`ct state untracked`).
    Untracked,
    /// It would start a flow, but the table is full: Linux drops it here.
    Full,
    /// It would start a flow, but whoever was asked refused ([`Table::track_unless`]).
    Refused,
}

/// A packet's flow.
#[derive(Debug)]
pub enum Flow<X> {
    /// It starts with this packet; [`Table::confirm`] it when the packet leaves.
    Tentative(Tentative<X>),
    /// It is in the table.
    Conn(Shared<Conn<X>>),
}

impl<X> Flow<X> {
    /// The flow, to be kept beyond its packet. A tentative one that somebody else holds can be translated no more.
    #[must_use]
    pub const fn shared(&self) -> &Shared<Conn<X>> {
        match self {
            Self::Tentative(tentative) => &tentative.conn,
            Self::Conn(conn) => conn,
        }
    }
}

impl<X> Deref for Flow<X> {
    type Target = Conn<X>;

    fn deref(&self) -> &Conn<X> {
        match self {
            Self::Tentative(tentative) => tentative,
            Self::Conn(conn) => conn,
        }
    }
}

/// What a packet is to its flow (`enum ip_conntrack_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtState {
    /// The flow has seen no reply yet.
    New,
    /// Both directions have been seen.
    Established,
    /// As `Established`, in the reply direction.
    EstablishedReply,
    /// An error about the flow, or the start of one that another announced.
    Related,
    /// As `Related`, in the reply direction.
    RelatedReply,
}

impl<X: Default> Table<X> {
    /// An empty table.
    #[must_use]
    pub fn new(config: Config, registry: Registry) -> Self {
        let shards = shards_for(config.flows_max);
        assert!(shards.is_power_of_two(), "shards are chosen by a mask");
        let expected = config.flows_max.div_ceil(shards).min(FLOWS_PER_SHARD_RESERVED);
        Self {
            config,
            registry,
            hasher: TupleHasher::new(config.seed),
            shards: (0..shards).map(|_| Aligned(Mutex::new(Shard::new(expected)))).collect(),
            sources: Sources::new(shards),
            taken: Arc::new(AtomicUsize::new(0)),
            next_id: AtomicU64::new(1),
            sweep: member::Sweep::new(),
            counters: Counters::new(),
            subscribers: Subscribers::new(),
            expected: Store::new(config.expectations_max, TupleHasher::new(config.seed)),
            expectation_subscribers: Subscribers::new(),
        }
    }

    /// Finds the flow of a packet, or starts one; counts the packet, updates the protocol's state, prolongs the flow.
    /// For packets of known flows nothing is allocated.
    pub fn track(&self, datagram: &Datagram<'_>, now: Instant) -> Tracked<X> {
        self.track_unless(datagram, now, |_| false)
    }

    /// As [`Self::track`], but before a flow is begun that nobody has announced, `refuse` is asked with its original
    /// tuple. If it says yes the packet is [`Tracked::Refused`], and nothing was allocated, reserved or counted.
    pub fn track_unless(
        &self,
        datagram: &Datagram<'_>,
        now: Instant,
        refuse: impl FnOnce(&Tuple) -> bool,
    ) -> Tracked<X> {
        let tracked = self.resolve(datagram, now, refuse);
        match &tracked {
            Tracked::Flow { .. } | Tracked::Refused => {}
            Tracked::Invalid(reason) => self.counters.count_invalid(*reason),
            Tracked::Untracked => count(&self.counters.untracked),
            Tracked::Full => count(&self.counters.drop),
        }
        tracked
    }

    fn resolve(
        &self,
        datagram: &Datagram<'_>,
        now: Instant,
        refuse: impl FnOnce(&Tuple) -> bool,
    ) -> Tracked<X> {
        let Some(network) = self.registry.l3(datagram.family) else {
            return Tracked::Invalid(InvalidReason::Network);
        };
        let located = match network.locate(datagram.bytes) {
            Ok(located) => located,
            Err(reason) => return Tracked::Invalid(reason),
        };
        let packet = Packet { datagram: *datagram, located, verify: self.config.checksum };
        let tracker = self.registry.l4(datagram.family, located.protocol);
        match tracker.check(&packet) {
            Ok(Check::Track) => {}
            Ok(Check::Untracked) => return Tracked::Untracked,
            Ok(Check::Quotes(quote)) => return self.relate(&packet, quote, now),
            Err(reason) => return Tracked::Invalid(reason),
        }
        let Some(ids) = tracker.ids(packet.transport()) else {
            return Tracked::Invalid(InvalidReason::Truncated);
        };
        let zone = datagram.zone.of(Direction::Original);
        let tuple = Tuple::new(datagram.family, zone, located.protocol, located.addresses, ids);
        let sought = Sought::new(&self.hasher, &tuple);
        if let Some((conn, direction)) = self.find_in(datagram.zone, &sought, now)
            && let Some(tracked) = self.follow(conn, direction, tracker, &packet, now)
        {
            return tracked;
        }
        self.begin(&sought, tracker, &packet, now, refuse)
    }

    /// An error: it is related to the flow of the packet it quotes, and changes nothing in it.
    fn relate(&self, packet: &Packet<'_>, quote: usize, now: Instant) -> Tracked<X> {
        let tuple = match answered_tuple(&self.registry, packet, quote) {
            Ok(tuple) => tuple,
            Err(reason) => return Tracked::Invalid(reason),
        };
        let sought = Sought::new(&self.hasher, &tuple);
        let Some((conn, direction)) = self.find_in(packet.datagram.zone, &sought, now) else {
            return Tracked::Invalid(InvalidReason::Unrelated);
        };
        if packet.addresses().destination != conn.tuple(direction).addresses().destination {
            return Tracked::Invalid(InvalidReason::Misdirected);
        }
        count(&self.counters.related);
        let state = match direction {
            Direction::Original => CtState::Related,
            Direction::Reply => CtState::RelatedReply,
        };
        Tracked::Flow { flow: Flow::Conn(conn), direction, state }
    }

    /// A packet of a known flow. `None`: it ended the flow and wants to start it anew.
    fn follow(
        &self,
        conn: Shared<Conn<X>>,
        direction: Direction,
        tracker: &dyn ErasedL4,
        packet: &Packet<'_>,
        now: Instant,
    ) -> Option<Tracked<X>> {
        let status = conn.status();
        let outcome = {
            let opposite_shift = if status.contains(Status::SEQ_ADJUST) {
                conn.shifts()[direction.opposite().index()]
            } else {
                Shift::NONE
            };
            let left = conn.timeout_at(now);
            let mut progress = conn.progress();
            let seen = Seen { left, opposite_shift, ..Seen::new(direction, status, now) };
            let outcome = tracker.update(&mut progress.state, packet, seen);
            if matches!(outcome, Outcome::Accept { .. } | Outcome::Kill) {
                conn.count(&mut progress, direction, 1, packet.bytes().len() as u64);
            }
            outcome
        };
        match outcome {
            Outcome::Accept { timeout, assured, changed } => {
                if status.contains(Status::NAT_CLASH) && direction == Direction::Reply {
                    self.remove_at(&conn, End::Deleted, now);
                }
                let accepted = Accepted { timeout, assured, changed };
                let state = self.accept(&conn, direction, status, accepted, now);
                return Some(Tracked::Flow { flow: Flow::Conn(conn), direction, state });
            }
            Outcome::Pass => {}
            Outcome::PassChanged { assured } => {
                self.announce(&conn, Change::State);
                if assured {
                    self.raise(&conn, Status::ASSURED, Change::Assured);
                }
            }
            Outcome::Kill => {
                self.remove_at(&conn, End::Deleted, now);
            }
            Outcome::Reopen => {
                count(&self.counters.reopened);
                self.remove_at(&conn, End::Deleted, now);
                return None;
            }
            Outcome::Invalid(reason) => return Some(Tracked::Invalid(reason)),
            Outcome::InvalidChanged { reason, assured } => {
                self.announce(&conn, Change::State);
                if assured {
                    self.raise(&conn, Status::ASSURED, Change::Assured);
                }
                return Some(Tracked::Invalid(reason));
            }
            Outcome::Doubt { reason, timeout } => {
                self.prolong(&conn, now + timeout);
                return Some(Tracked::Invalid(reason));
            }
        }
        let state = self.place_in(&conn, direction, status);
        Some(Tracked::Flow { flow: Flow::Conn(conn), direction, state })
    }

    /// The first packet of a flow.
    fn begin(
        &self,
        sought: &Sought,
        tracker: &dyn ErasedL4,
        packet: &Packet<'_>,
        now: Instant,
        refuse: impl FnOnce(&Tuple) -> bool,
    ) -> Tracked<X> {
        let tuple = &sought.tuple;
        let Some(inverted) = tracker.invert(tuple.ids()) else {
            return Tracked::Invalid(InvalidReason::NotFirst);
        };
        let mut state = match tracker.start(packet, now) {
            Ok(state) => state,
            Err(reason) => return Tracked::Invalid(reason),
        };
        let direction = Direction::Original;
        let status = Status::default();
        let zone = packet.datagram.zone;
        if refuse(tuple) && !self.expected.awaits(tuple, zone, now) {
            let first = tracker.update(&mut state.clone(), packet, Seen::new(direction, status, now));
            if matches!(first, Outcome::Accept { .. } | Outcome::Pass | Outcome::PassChanged { .. }) {
                return Tracked::Refused;
            }
        }
        let Some(reservation) = self.reserve(sought.hash, now) else {
            return Tracked::Full;
        };
        let timeout = match tracker.update(&mut state, packet, Seen::new(direction, status, now)) {
            Outcome::Accept { timeout, .. } => timeout,
            Outcome::Pass | Outcome::PassChanged { .. } | Outcome::Kill => Duration::ZERO,
            Outcome::Reopen => return Tracked::Invalid(InvalidReason::State),
            Outcome::Invalid(reason)
            | Outcome::InvalidChanged { reason, .. }
            | Outcome::Doubt { reason, .. } => return Tracked::Invalid(reason),
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let answer = tuple.inverted(inverted).in_zone(zone.of(Direction::Reply));
        let conn = Conn::new(*tuple, answer, id, state);
        conn.count(&mut conn.progress(), direction, 1, packet.bytes().len() as u64);
        count(&self.counters.new);
        let expectation = self.answer_expectation(&conn, zone, now);
        let state = original_state(conn.status());
        let conn = Shared::new(conn);
        let flow = Flow::Tentative(Tentative { conn, timeout, reservation, expectation });
        Tracked::Flow { flow, direction, state }
    }
}

impl<X> Table<X> {
    /// The trackers.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Name of the protocol's state as listings show it, such as `ESTABLISHED`.
    #[must_use]
    pub fn state_name(&self, conn: &Conn<X>) -> Option<&'static str> {
        let state = conn.progress().state;
        self.registry.l4(conn.family(), conn.protocol()).state_name(&state)
    }

    /// Name of the tracker of the flow's transport protocol.
    #[must_use]
    pub fn protocol_name(&self, conn: &Conn<X>) -> &'static str {
        self.registry.l4(conn.family(), conn.protocol()).name()
    }

    /// The flow in the table that has this tuple, and the direction it has it in.
    #[must_use]
    pub fn get(&self, tuple: &Tuple, now: Instant) -> Option<(Shared<Conn<X>>, Direction)> {
        let (conn, direction) = self.search(&self.sought(tuple))?;
        (!conn.is_expired(now)).then_some((conn, direction))
    }

    /// Flows there are, tentative ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All counters. Each is right by itself; together they are from about one moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.counters.snapshot();
        for shard in &self.shards {
            let shard = shard.0.lock();
            stats.found += shard.found;
            stats.entries += shard.flows.len() as u64;
        }
        stats.events_lost = self.subscribers.lost() + self.expectation_subscribers.lost();
        stats
    }

    fn sought(&self, tuple: &Tuple) -> Sought {
        Sought::new(&self.hasher, tuple)
    }

    /// The flow that a packet with the sought tuple belongs to in `zone`; the tuple bears the number that the zone's
    /// original direction has.
    fn find_in(&self, zone: Zone, sought: &Sought, now: Instant) -> Option<(Shared<Conn<X>>, Direction)> {
        let [original, reply] = Direction::ALL.map(|direction| zone.of(direction));
        if original == reply {
            return self.find(sought, now);
        }
        let found = self.find(sought, now).filter(|(_, direction)| *direction == Direction::Original);
        found.or_else(|| {
            let found = self.find(&self.sought(&sought.tuple.in_zone(reply)), now);
            found.filter(|(_, direction)| *direction == Direction::Reply)
        })
    }

    /// As [`Self::search`], but a flow that has ended is removed, not found.
    fn find(&self, sought: &Sought, now: Instant) -> Option<(Shared<Conn<X>>, Direction)> {
        let found = self.search(sought)?;
        if found.0.is_expired(now) {
            self.remove_expired(&found.0, now);
            return None;
        }
        Some(found)
    }

    fn search(&self, sought: &Sought) -> Option<(Shared<Conn<X>>, Direction)> {
        let mut shard = self.shards[self.shard_of(sought.hash)].0.lock();
        let (conn, direction) = shard.find(sought)?;
        let found = (Shared::clone(conn), direction);
        shard.found += 1;
        Some(found)
    }

    /// What an accepted packet does to its flow beyond its state and counters. Returns what it is to the flow, which had
    /// this status before.
    fn accept(
        &self,
        conn: &Shared<Conn<X>>,
        direction: Direction,
        status: Status,
        accepted: Accepted,
        now: Instant,
    ) -> CtState {
        let Accepted { timeout, assured, changed } = accepted;
        if !status.contains(Status::FIXED_TIMEOUT) {
            self.prolong(conn, now + timeout);
        }
        if changed {
            self.announce(conn, Change::State);
        }
        if assured && !status.contains(Status::ASSURED) {
            self.raise(conn, Status::ASSURED, Change::Assured);
        }
        self.place_in(conn, direction, status)
    }

    /// What a packet is to its flow, which had this status before; a first reply is noted.
    fn place_in(&self, conn: &Shared<Conn<X>>, direction: Direction, status: Status) -> CtState {
        match direction {
            Direction::Reply => {
                if !status.contains(Status::SEEN_REPLY) {
                    self.raise(conn, Status::SEEN_REPLY, Change::Reply);
                }
                CtState::EstablishedReply
            }
            Direction::Original => original_state(status),
        }
    }

    /// Sets a status bit; whoever does it first tells the subscribers.
    fn raise(&self, conn: &Shared<Conn<X>>, bit: Status, change: Change) {
        if !conn.set_status(bit).contains(bit) {
            self.announce(conn, change);
        }
    }

    /// The shard of a hash. The index inside a shard works with the highest and lowest bits; these lie between.
    fn shard_of(&self, hash: u64) -> usize {
        let middle = usize::try_from((hash >> 32) & 0xffff).expect("16 bits");
        middle & (self.shards.len() - 1)
    }
}

impl<X> fmt::Debug for Table<X> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Table")
            .field("flows", &self.len())
            .field("flows_max", &self.config.flows_max)
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

/// [`Outcome::Accept`] by itself.
#[derive(Clone, Copy)]
struct Accepted {
    timeout: Duration,
    assured: bool,
    changed: bool,
}

/// What a packet of the original direction is to a flow of this status.
const fn original_state(status: Status) -> CtState {
    if status.contains(Status::SEEN_REPLY) {
        CtState::Established
    } else if status.contains(Status::EXPECTED) {
        CtState::Related
    } else {
        CtState::New
    }
}

/// Shards of a table: many, so that workers do not wait for each other, but not so many that they crowd the caches; in
/// tables for more than a million flows more again, so that each has few enough to make growing it no pause.
fn shards_for(flows_max: usize) -> usize {
    let usual = (flows_max / FLOWS_PER_SHARD).next_power_of_two().min(SHARDS_USUAL);
    let large = (flows_max / FLOWS_PER_SHARD_RESERVED).next_power_of_two().min(SHARDS_MAX);
    usual.max(large)
}

/// Flows that a shard of a small table is meant for.
const FLOWS_PER_SHARD: usize = 1024;

/// The most flows that a shard has room for before it has to grow.
const FLOWS_PER_SHARD_RESERVED: usize = 4096;

/// Shards of tables for up to a million flows.
const SHARDS_USUAL: usize = 256;

/// Shards of the largest tables.
const SHARDS_MAX: usize = 4096;

/// Keeps locks of neighbors apart, so that two workers do not fight for one cache line.
#[repr(align(128))]
struct Aligned<T>(T);
