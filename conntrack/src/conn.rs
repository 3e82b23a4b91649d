//! A tracked flow: its two tuples, what was counted, what its protocol remembers, and what its user hangs on it.

use std::fmt;
use std::ops::{BitOr, Deref};
use std::sync::Arc;
use std::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::time::Instant;
use crate::tuple::{Direction, Family, Tuple};

/// Bytes that a protocol may remember of a flow. Room for both ends' TCP windows.
pub const STATE_SIZE: usize = 72;

/// A flow. Reached through a [`Tentative`] until it is in the table, through an `Arc` afterwards.
///
/// Fields stand in the order in which a packet needs them, so that few cache lines are touched: a table of many flows is
/// as fast as memory is.
#[repr(C)]
pub struct Conn<X> {
    status: AtomicU32,
    mark: AtomicU32,
    expires: AtomicU64,
    progress: Mutex<Progress>,
    /// What the user of the table keeps with the flow (routes, translations, verdicts).
    pub user: X,
    tuples: [Tuple; 2],
    id: u64,
    slot: AtomicU32,
    source_slot: AtomicU32,
}

/// What every packet changes.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) traffic: [TrafficCount; 2],
    pub(crate) state: ProtocolState,
}

impl<X> Conn<X> {
    /// Unique in its table and never reused.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The tuple of packets of `direction`.
    #[must_use]
    pub const fn tuple(&self, direction: Direction) -> &Tuple {
        &self.tuples[direction.index()]
    }

    /// Network protocol family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.tuples[0].family()
    }

    /// Transport protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.tuples[0].protocol()
    }

    /// Zone of the flow.
    #[must_use]
    pub const fn zone(&self) -> u16 {
        self.tuples[0].zone()
    }

    /// What has happened to the flow so far.
    #[must_use]
    pub fn status(&self) -> Status {
        Status(self.status.load(Ordering::Acquire))
    }

    /// The flow's mark (`ct mark`).
    #[must_use]
    pub fn mark(&self) -> u32 {
        self.mark.load(Ordering::Relaxed)
    }

    /// Sets the mark and says whether that changed it. Subscribers learn of it by [`crate::Table::announce`].
    pub fn set_mark(&self, mark: u32) -> bool {
        self.mark.swap(mark, Ordering::Relaxed) != mark
    }

    /// Packets and bytes seen in `direction`.
    #[must_use]
    pub fn traffic(&self, direction: Direction) -> TrafficCount {
        self.progress.lock().traffic[direction.index()]
    }

    /// When the flow ends if no packet comes before.
    #[must_use]
    pub fn expires(&self) -> Instant {
        Instant::from_nanos(self.expires.load(Ordering::Relaxed))
    }

    /// Time left at `now`.
    #[must_use]
    pub fn timeout_at(&self, now: Instant) -> Duration {
        self.expires() - now
    }

    /// Whether the flow has ended by `now`.
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires() <= now
    }

    pub(crate) fn new(tuples: [Tuple; 2], id: u64, state: ProtocolState) -> Self
    where
        X: Default,
    {
        Self {
            status: AtomicU32::new(0),
            mark: AtomicU32::new(0),
            expires: AtomicU64::new(0),
            progress: Mutex::new(Progress { traffic: [TrafficCount::default(); 2], state }),
            user: X::default(),
            tuples,
            id,
            slot: AtomicU32::new(0),
            source_slot: AtomicU32::new(0),
        }
    }

    /// Sets `bits`; returns what was set before.
    pub(crate) fn set_status(&self, bits: Status) -> Status {
        Status(self.status.fetch_or(bits.0, Ordering::AcqRel))
    }

    /// Whether lookups should find it: in the table and not on its way out.
    pub(crate) fn is_live(&self) -> bool {
        let status = self.status();
        status.contains(Status::CONFIRMED) && !status.contains(Status::DYING)
    }

    pub(crate) fn set_expires(&self, at: Instant) {
        self.expires.store(at.nanos(), Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock()
    }

    /// Where the flow stands in its home shard; means something only while it is in the table.
    pub(crate) fn slot(&self) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }

    pub(crate) fn set_slot(&self, slot: u32) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    /// Where the flow stands among those of its source; means something only while it is there.
    pub(crate) fn source_slot(&self) -> u32 {
        self.source_slot.load(Ordering::Relaxed)
    }

    pub(crate) fn set_source_slot(&self, slot: u32) {
        self.source_slot.store(slot, Ordering::Relaxed);
    }
}

impl<X> fmt::Debug for Conn<X> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Conn")
            .field("id", &self.id)
            .field("original", &self.tuples[0])
            .field("reply", &self.tuples[1])
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// A flow that is not in the table yet: its first packet is still on its way through the router. Dropped, it leaves
/// nothing behind; [`crate::Table::confirm`] makes a [`Conn`] of it that others can find.
#[derive(Debug)]
pub struct Tentative<X> {
    pub(crate) conn: Arc<Conn<X>>,
    /// Lifetime of the flow, counted from its confirmation.
    pub(crate) timeout: Duration,
    pub(crate) reservation: Reservation,
}

impl<X> Tentative<X> {
    /// Makes `reply` the tuple by which replies are known (`nf_conntrack_alter_reply`).
    ///
    /// # Panics
    /// If somebody else holds the flow already: it is its packet's alone until it is confirmed.
    pub fn set_reply(&mut self, reply: Tuple) {
        let conn = Arc::get_mut(&mut self.conn).expect("a tentative flow is its packet's alone");
        conn.tuples[Direction::Reply.index()] = reply;
    }

    /// Notes what translation has decided: any of [`Status::NAT`].
    ///
    /// # Panics
    /// If there are other bits.
    pub fn note_translation(&self, bits: Status) {
        assert!(Status::NAT.contains(bits), "{bits:?} is more than translation may decide");
        self.conn.set_status(bits);
    }
}

impl<X> Deref for Tentative<X> {
    type Target = Conn<X>;

    fn deref(&self) -> &Conn<X> {
        &self.conn
    }
}

/// A place in the table, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation(Option<Arc<AtomicUsize>>);

impl Reservation {
    /// Takes a place, and says how many are taken now.
    pub(crate) fn take(places: &Arc<AtomicUsize>) -> (Self, usize) {
        let taken = places.fetch_add(1, Ordering::Relaxed) + 1;
        (Self(Some(Arc::clone(places))), taken)
    }

    /// The place stays taken; whoever removes the flow from the table gives it back.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(places) = &self.0 {
            places.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Packets and bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCount {
    /// Packets. A super-packet that stands for several segments counts once, as in Linux.
    pub packets: u64,
    /// Bytes from the network header on.
    pub bytes: u64,
}

impl Progress {
    pub(crate) fn count(&mut self, direction: Direction, packets: u64, bytes: u64) {
        let traffic = &mut self.traffic[direction.index()];
        traffic.packets += packets;
        traffic.bytes += bytes;
    }
}

/// What has happened to a flow; the bits are those of Linux's `IPS_*`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Status(u32);

impl Status {
    /// Announced by another flow.
    pub const EXPECTED: Self = Self(1);
    /// A packet came the other way.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// Traffic was seen that makes it worth keeping when the table is full.
    pub const ASSURED: Self = Self(1 << 2);
    /// Its first packet has left the router.
    pub const CONFIRMED: Self = Self(1 << 3);
    /// Its source is translated.
    pub const SRC_NAT: Self = Self(1 << 4);
    /// Its destination is translated.
    pub const DST_NAT: Self = Self(1 << 5);
    /// TCP sequence numbers are shifted.
    pub const SEQ_ADJUST: Self = Self(1 << 6);
    /// Source translation has been decided.
    pub const SRC_NAT_DONE: Self = Self(1 << 7);
    /// Destination translation has been decided.
    pub const DST_NAT_DONE: Self = Self(1 << 8);
    /// It has been taken out of the table.
    pub const DYING: Self = Self(1 << 9);
    /// Packets do not prolong it.
    pub const FIXED_TIMEOUT: Self = Self(1 << 10);

    /// All that translation decides.
    pub const NAT: Self =
        Self(Self::SRC_NAT.0 | Self::DST_NAT.0 | Self::SRC_NAT_DONE.0 | Self::DST_NAT_DONE.0);

    const NAMES: [(Self, &str); 11] = [
        (Self::EXPECTED, "expected"),
        (Self::SEEN_REPLY, "seen_reply"),
        (Self::ASSURED, "assured"),
        (Self::CONFIRMED, "confirmed"),
        (Self::SRC_NAT, "src_nat"),
        (Self::DST_NAT, "dst_nat"),
        (Self::SEQ_ADJUST, "seq_adjust"),
        (Self::SRC_NAT_DONE, "src_nat_done"),
        (Self::DST_NAT_DONE, "dst_nat_done"),
        (Self::DYING, "dying"),
        (Self::FIXED_TIMEOUT, "fixed_timeout"),
    ];

    /// Whether all of `bits` are set.
    #[must_use]
    pub const fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// The bits, as in `IPS_*`.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Names of the bits that are set, lowest first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(bit, _)| self.contains(*bit)).map(|(_, name)| name)
    }
}

impl BitOr for Status {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.names()).finish()
    }
}

/// What a protocol remembers of a flow, in place and without knowing its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtocolState([u64; STATE_SIZE / 8]);

impl ProtocolState {
    pub(crate) fn of<S: IntoBytes + Immutable>(state: &S) -> Self {
        const { assert!(size_of::<S>() <= STATE_SIZE) };
        const { assert!(align_of::<S>() <= align_of::<u64>()) };
        let mut words = [0; STATE_SIZE / 8];
        state.write_to_prefix(words.as_mut_bytes()).expect("asserted to fit");
        Self(words)
    }

    /// The state as `S`.
    ///
    /// # Panics
    /// If it was not made of an `S`.
    pub(crate) fn as_mut<S: TryFromBytes + IntoBytes + KnownLayout>(&mut self) -> &mut S {
        match S::try_mut_from_prefix(self.0.as_mut_bytes()) {
            Ok((state, _)) => state,
            Err(_) => panic!("a flow's state is written by the tracker that reads it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::{Addresses, Ids};

    fn conn() -> Conn<()> {
        let addresses = Addresses { source: [1; 16], destination: [2; 16] };
        let tuple = Tuple::new(Family::Ipv6, 5, 17, addresses, Ids { source: 1, destination: 2 });
        Conn::new([tuple, tuple.inverted(tuple.ids().swapped())], 9, ProtocolState::of(&()))
    }

    #[test]
    fn traffic_is_counted_by_direction() {
        let conn = conn();
        conn.progress().count(Direction::Original, 1, 100);
        conn.progress().count(Direction::Original, 1, 50);
        conn.progress().count(Direction::Reply, 1, 7);
        assert_eq!(conn.traffic(Direction::Original), TrafficCount { packets: 2, bytes: 150 });
        assert_eq!(conn.traffic(Direction::Reply), TrafficCount { packets: 1, bytes: 7 });
    }

    #[test]
    fn status_bits_are_linux_s_and_named() {
        let conn = conn();
        assert_eq!(conn.set_status(Status::CONFIRMED | Status::ASSURED), Status::default());
        assert_eq!(conn.set_status(Status::SEEN_REPLY).bits(), 0b1100);
        assert_eq!(conn.status().names().collect::<Vec<_>>(), ["seen_reply", "assured", "confirmed"]);
        assert!(conn.is_live());
        conn.set_status(Status::DYING);
        assert!(!conn.is_live());
    }

    #[test]
    fn a_mark_says_whether_it_changed() {
        let conn = conn();
        assert!(conn.set_mark(7));
        assert!(!conn.set_mark(7));
        assert_eq!(conn.mark(), 7);
    }

    #[test]
    fn a_reservation_comes_back_unless_it_is_kept() {
        let places = Arc::new(AtomicUsize::new(0));
        let (first, taken) = Reservation::take(&places);
        assert_eq!(taken, 1);
        let (second, taken) = Reservation::take(&places);
        assert_eq!(taken, 2);
        drop(first);
        second.keep();
        assert_eq!(places.load(Ordering::Relaxed), 1);
    }

    #[test]
    #[should_panic(expected = "written by the tracker that reads it")]
    fn state_of_another_type_is_refused() {
        #[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy)]
        #[repr(u8)]
        #[allow(dead_code, reason = "only the layout matters")]
        enum Two {
            A,
            B,
        }
        ProtocolState::of(&7_u8).as_mut::<Two>();
    }
}
