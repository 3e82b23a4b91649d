//! A tracked flow: its two tuples, what was counted, what its protocol remembers, and what its user hangs on it.

use std::fmt;
use std::ops::{BitOr, Deref};
use std::sync::Arc;
use std::time::Duration;

use once_cell::race::OnceBox;
use zerocopy::{Immutable, IntoBytes, TryFromBytes};

use crate::events::{Change, Changes};
use crate::expect::Expectation;
use crate::extra::{Extra, Help, Rare};
use crate::helper::Helper;
use crate::l4::Shift;
use crate::sync::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::time::Instant;
use crate::tuple::{Direction, Family, Tuple};
use crate::zone::Zone;

/// Bytes that a protocol may remember of a flow. Room for both ends' TCP windows.
pub const STATE_SIZE: usize = 56;

/// How a flow is held by the many who have it in hand. As [`Arc`], but without weak references, which nobody needs.
pub type Shared<T> = triomphe::Arc<T>;

/// A flow. Reached through a [`Tentative`] until it is in the table, through a [`Shared`] afterwards.
///
/// There may be millions, so every byte counts: what few flows have is in a box of its own, and fields stand where they
/// leave no gaps. With a user's 48 bytes and the count of its holders a flow fills 208 bytes, of the 216 that the
/// allocator hands out in one piece.
#[repr(C)]
pub struct Conn<X> {
    /// [`Status`] in the low half; in the high half the [`Changes`] that subscribers are still to be told of.
    status: AtomicU32,
    mark: AtomicU32,
    expires: AtomicU64,
    progress: Mutex<Progress>,
    /// Whether the reply tuple is not the original one's mirror; then it is in `extra`.
    has_own_reply: bool,
    tag: AtomicU16,
    slot: AtomicU32,
    /// What the user of the table keeps with the flow (routes, translations, verdicts).
    pub user: X,
    original: Tuple,
    id: u64,
    extra: OnceBox<Extra<X>>,
}

#[cfg(not(feature = "shuttle"))]
const _: () = assert!(size_of::<Conn<[u64; 6]>>() == 200, "with its count a flow is 208 bytes");

/// What every packet changes. Made of bytes, so that it stands beside its lock without a gap.
#[derive(Debug)]
pub(crate) struct Progress {
    traffic: [LowCount; 2],
    pub(crate) state: ProtocolState,
}

/// The lower halves of a direction's packets and bytes; the upper ones are with what few flows have.
#[derive(Clone, Copy, Debug, Default)]
struct LowCount {
    packets: [u8; 4],
    bytes: [u8; 4],
}

impl<X> Conn<X> {
    /// Unique in its table and never reused.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The tuple of packets of `direction`.
    #[must_use]
    pub fn tuple(&self, direction: Direction) -> Tuple {
        match direction {
            Direction::Original => self.original,
            Direction::Reply => self.own_reply().copied().unwrap_or_else(|| self.original.mirrored()),
        }
    }

    /// Network protocol family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.original.family()
    }

    /// Transport protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.original.protocol()
    }

    /// Zone of the flow.
    #[must_use]
    pub fn zone(&self) -> Zone {
        Zone::from_numbers(self.original.zone(), self.tuple(Direction::Reply).zone())
    }

    /// What has happened to the flow so far.
    #[must_use]
    pub fn status(&self) -> Status {
        Status(self.status.load(Ordering::Acquire) & Status::MASK)
    }

    /// Whether a packet of the flow needs no attention beyond its tracking: no helper, no shifted sequence numbers,
    /// nothing to tell.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        const SPECIAL: u32 = Status::HELPER.0 | Status::SEQ_ADJUST.0 | !Status::MASK;
        self.status.load(Ordering::Acquire) & SPECIAL == 0
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

    /// A number that the user of the table keeps with the flow; 0 until it is set.
    #[must_use]
    pub fn tag(&self) -> u16 {
        self.tag.load(Ordering::Relaxed)
    }

    /// Sets the number that [`Self::tag`] says.
    pub fn set_tag(&self, tag: u16) {
        self.tag.store(tag, Ordering::Relaxed);
    }

    /// The flow's labels (`ct label`): bit 0 is label 0.
    #[must_use]
    pub fn labels(&self) -> u128 {
        self.rare().map_or(0, Rare::labels)
    }

    /// Sets the labels in `mask` as they are in `labels`, and says whether that changed any. Subscribers learn of it by
    /// [`crate::Table::announce`].
    pub fn set_labels(&self, labels: u128, mask: u128) -> bool {
        if labels & mask == 0 && self.rare().is_none() {
            return false;
        }
        self.extra_or_new().rare_or_new().set_labels(labels, mask)
    }

    /// The flow that announced this one.
    #[must_use]
    pub fn master(&self) -> Option<&Shared<Self>> {
        self.rare()?.master.get()
    }

    /// The helper that watches the flow.
    #[must_use]
    pub fn helper(&self) -> Option<&Arc<dyn Helper>> {
        self.help().map(|help| &help.helper)
    }

    /// How the sequence numbers of each direction's stream are shifted.
    #[must_use]
    pub fn shifts(&self) -> [Shift; 2] {
        self.rare().map_or([Shift::NONE; 2], Rare::shifts)
    }

    /// Notes that the packet of `direction` that begins with `sequence` has grown by `growth` bytes, which may be
    /// negative: what follows is shifted (`nf_ct_seqadj_set`).
    pub fn shift(&self, direction: Direction, sequence: u32, growth: i32) {
        if growth != 0 {
            self.extra_or_new().rare_or_new().shift(direction, sequence, growth);
            self.set_status(Status::SEQ_ADJUST);
        }
    }

    /// Packets and bytes seen in `direction`.
    #[must_use]
    pub fn traffic(&self, direction: Direction) -> TrafficCount {
        let progress = self.progress.lock();
        let LowCount { packets, bytes } = progress.traffic[direction.index()];
        let upper = self.rare().map_or(TrafficCount::default(), |rare| rare.upper_traffic(direction));
        TrafficCount {
            packets: upper.packets << 32 | u64::from(u32::from_ne_bytes(packets)),
            bytes: upper.bytes << 32 | u64::from(u32::from_ne_bytes(bytes)),
        }
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

    /// A flow with these tuples of packets and of answers.
    pub(crate) fn new(original: Tuple, reply: Tuple, id: u64, state: ProtocolState) -> Self
    where
        X: Default,
    {
        let own_reply = (reply != original.mirrored()).then_some(reply);
        Self {
            status: AtomicU32::new(0),
            mark: AtomicU32::new(0),
            expires: AtomicU64::new(0),
            progress: Mutex::new(Progress { traffic: [LowCount::default(); 2], state }),
            has_own_reply: own_reply.is_some(),
            tag: AtomicU16::new(0),
            slot: AtomicU32::new(0),
            user: X::default(),
            original,
            id,
            extra: own_reply.map_or_else(OnceBox::new, |reply| {
                OnceBox::with_value(Box::new(Extra::with_reply(Some(reply), None)))
            }),
        }
    }

    /// Sets `bits`; returns what was set before.
    pub(crate) fn set_status(&self, bits: Status) -> Status {
        Status(self.status.fetch_or(bits.0 & Status::MASK, Ordering::AcqRel) & Status::MASK)
    }

    /// Takes `bits` back.
    pub(crate) fn clear_status(&self, bits: Status) {
        self.status.fetch_and(!(bits.0 & Status::MASK), Ordering::AcqRel);
    }

    /// Keeps `change` in mind until [`Self::take_changes`].
    pub(crate) fn note(&self, change: Change) {
        self.status.fetch_or(u32::from(Changes::of(change).bits()) << Status::BITS, Ordering::AcqRel);
    }

    /// What was noted since the last time.
    pub(crate) fn take_changes(&self) -> Changes {
        let word = self.status.fetch_and(Status::MASK, Ordering::AcqRel);
        Changes::from_bits(u16::try_from(word >> Status::BITS).expect("the high half"))
    }

    pub(crate) fn help(&self) -> Option<&Help> {
        self.rare()?.help.get()
    }

    /// Has `helper` watch the flow; says no if another does.
    pub(crate) fn set_helper(&self, helper: Arc<dyn Helper>) -> bool {
        let set = self.extra_or_new().rare_or_new().help.set(Help::new(helper)).is_ok();
        if set {
            self.set_status(Status::HELPER);
        }
        set
    }

    /// Makes the flow one that `master` announced.
    pub(crate) fn set_master(&self, master: Shared<Self>) {
        let set = self.extra_or_new().rare_or_new().master.set(master);
        assert!(set.is_ok(), "a flow is announced before anybody knows it");
        self.set_status(Status::EXPECTED);
    }

    /// The reply tuple, if it is not the original one's mirror.
    fn own_reply(&self) -> Option<&Tuple> {
        if self.has_own_reply { self.extra.get()?.reply.as_ref() } else { None }
    }

    fn rare(&self) -> Option<&Rare<X>> {
        self.extra.get()?.rare()
    }

    fn extra_or_new(&self) -> &Extra<X> {
        self.extra.get_or_init(|| Box::new(Extra::with_reply(None, None)))
    }

    /// Whether the reply tuple is not the original one's mirror, so that one does not find the other.
    pub(crate) const fn has_own_reply(&self) -> bool {
        self.has_own_reply
    }

    /// The direction in which packets with this tuple find the flow; `mirror` is the tuple's mirror.
    pub(crate) fn direction_of(&self, tuple: &Tuple, mirror: &Tuple) -> Option<Direction> {
        if self.original == *tuple && !self.status().contains(Status::NAT_CLASH) {
            return Some(Direction::Original);
        }
        let is_reply = self.own_reply().map_or(self.original == *mirror, |reply| reply == tuple);
        is_reply.then_some(Direction::Reply)
    }

    /// Counts packets of one direction. Who holds `progress` has it from this flow.
    pub(crate) fn count(&self, progress: &mut Progress, direction: Direction, packets: u64, bytes: u64) {
        let LowCount { packets: low_packets, bytes: low_bytes } = &mut progress.traffic[direction.index()];
        let upper = TrafficCount { packets: add(low_packets, packets), bytes: add(low_bytes, bytes) };
        if upper != TrafficCount::default() {
            self.extra_or_new().rare_or_new().add_upper_traffic(direction, upper);
        }
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
        self.extra.get().map_or(0, |extra| extra.source_slot.load(Ordering::Relaxed))
    }

    pub(crate) fn set_source_slot(&self, slot: u32) {
        self.extra_or_new().source_slot.store(slot, Ordering::Relaxed);
    }
}

impl<X> fmt::Debug for Conn<X> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Conn")
            .field("id", &self.id)
            .field("original", &self.original)
            .field("reply", &self.tuple(Direction::Reply))
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// A flow that is not in the table yet: its first packet is still on its way through the router. Dropped, it leaves
/// nothing behind; [`crate::Table::confirm`] makes a [`Conn`] of it that others can find.
#[derive(Debug)]
pub struct Tentative<X> {
    pub(crate) conn: Shared<Conn<X>>,
    /// Lifetime of the flow, counted from its confirmation.
    pub(crate) timeout: Duration,
    pub(crate) reservation: Reservation,
    pub(crate) expectation: Option<Arc<Expectation<X>>>,
}

impl<X> Tentative<X> {
    /// Makes `reply` the tuple by which replies are known (`nf_conntrack_alter_reply`). They stay in their zone.
    ///
    /// # Panics
    /// If somebody else holds the flow already: it is its packet's alone until it is confirmed.
    pub fn set_reply(&mut self, reply: Tuple) {
        let conn = Shared::get_mut(&mut self.conn).expect("a tentative flow is its packet's alone");
        let before = conn.tuple(Direction::Reply);
        let reply = reply.in_zone(before.zone());
        if reply != before {
            let own = (reply != conn.original.mirrored()).then_some(reply);
            conn.has_own_reply = own.is_some();
            let extra = Extra::with_reply(own, conn.rare().cloned());
            conn.extra = OnceBox::with_value(Box::new(extra));
        }
    }

    /// Notes what translation has decided: any of [`Status::NAT`].
    ///
    /// # Panics
    /// If there are other bits.
    pub fn note_translation(&self, bits: Status) {
        assert!(Status::NAT.contains(bits), "{bits:?} is more than translation may decide");
        self.conn.set_status(bits);
    }

    /// Has `helper` watch the flow, if it is for the flow's protocol and nobody watches it yet (`ct helper set`).
    /// Says whether it does now.
    pub fn set_helper(&self, helper: Arc<dyn Helper>) -> bool {
        helper.protocol() == self.protocol() && self.conn.set_helper(helper)
    }

    /// What announced the flow.
    #[must_use]
    pub fn expectation(&self) -> Option<&Arc<Expectation<X>>> {
        self.expectation.as_ref()
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

/// Adds to the lower half of a number, and returns what its upper half grows by.
const fn add(low: &mut [u8; 4], number: u64) -> u64 {
    // Of two that may fill 64 bits each, the upper half takes what the sum of the lower ones leaves.
    let sum = u32::from_ne_bytes(*low) as u64 + (number & 0xffff_ffff);
    *low = (sum as u32).to_ne_bytes();
    (number >> 32) + (sum >> 32)
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
    /// Another flow has its original tuple, so that only replies find it.
    pub const NAT_CLASH: Self = Self(1 << 12);
    /// A helper watches it.
    pub const HELPER: Self = Self(1 << 13);
    /// Somebody else forwards packets of it.
    pub const OFFLOAD: Self = Self(1 << 14);

    /// All that translation decides.
    pub const NAT: Self =
        Self(Self::SRC_NAT.0 | Self::DST_NAT.0 | Self::SRC_NAT_DONE.0 | Self::DST_NAT_DONE.0);

    /// Bits there may be.
    const BITS: u32 = 16;
    const MASK: u32 = (1 << Self::BITS) - 1;

    const NAMES: [(Self, &str); 14] = [
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
        (Self::NAT_CLASH, "nat_clash"),
        (Self::HELPER, "helper"),
        (Self::OFFLOAD, "offload"),
    ];

    /// Whether all of `bits` are set.
    #[must_use]
    pub const fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Whether any of `bits` is set.
    #[must_use]
    pub const fn intersects(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
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

/// What a protocol remembers of a flow, without knowing its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtocolState([u8; STATE_SIZE]);

impl ProtocolState {
    pub(crate) fn of<S: IntoBytes + Immutable>(state: &S) -> Self {
        const { assert!(size_of::<S>() <= STATE_SIZE) };
        let mut bytes = [0; STATE_SIZE];
        state.write_to_prefix(&mut bytes).expect("asserted to fit");
        Self(bytes)
    }

    /// The state as `S`.
    ///
    /// # Panics
    /// If it was not made of an `S`.
    pub(crate) fn get<S: TryFromBytes>(&self) -> S {
        match S::try_read_from_prefix(&self.0) {
            Ok((state, _)) => state,
            Err(_) => panic!("a flow's state is written by the tracker that reads it"),
        }
    }

    /// Has `change` work on the state.
    ///
    /// # Panics
    /// As [`Self::get`].
    pub(crate) fn update<S, R>(&mut self, change: impl FnOnce(&mut S) -> R) -> R
    where
        S: TryFromBytes + IntoBytes + Immutable,
    {
        let mut state = self.get::<S>();
        let result = change(&mut state);
        state.write_to_prefix(&mut self.0).expect("it was read from here");
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::{Addresses, Ids};

    fn conn() -> Conn<()> {
        let addresses = Addresses { source: [1; 16], destination: [2; 16] };
        let tuple = Tuple::new(Family::Ipv6, 5, 17, addresses, Ids { source: 1, destination: 2 });
        Conn::new(tuple, tuple.mirrored(), 9, ProtocolState::of(&()))
    }

    fn tentative(conn: Conn<()>) -> Tentative<()> {
        let (reservation, _) = Reservation::take(&Arc::new(AtomicUsize::new(0)));
        Tentative { conn: Shared::new(conn), timeout: Duration::ZERO, reservation, expectation: None }
    }

    #[test]
    fn traffic_is_counted_by_direction() {
        let conn = conn();
        conn.count(&mut conn.progress(), Direction::Original, 1, 100);
        conn.count(&mut conn.progress(), Direction::Original, 1, 50);
        conn.count(&mut conn.progress(), Direction::Reply, 1, 7);
        assert_eq!(conn.traffic(Direction::Original), TrafficCount { packets: 2, bytes: 150 });
        assert_eq!(conn.traffic(Direction::Reply), TrafficCount { packets: 1, bytes: 7 });
    }

    #[test]
    fn counts_go_on_beyond_what_every_flow_has_room_for() {
        let conn = conn();
        let mut sums = [TrafficCount::default(); 2];
        let steps =
            [(1, u64::from(u32::MAX)), (u64::from(u32::MAX), 1), (1, 0), (7 << 32 | 5, 9 << 32), (1, 60)];
        for (step, (packets, bytes)) in steps.into_iter().cycle().take(23).enumerate() {
            let direction = Direction::ALL[step % 2];
            let sum = &mut sums[step % 2];
            sum.packets += packets;
            sum.bytes += bytes;
            conn.count(&mut conn.progress(), direction, packets, bytes);
            assert_eq!(Direction::ALL.map(|direction| conn.traffic(direction)), sums, "{step}");
        }
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
    fn what_only_few_flows_have_costs_the_others_a_pointer() {
        let conn = conn();
        assert!(!conn.set_labels(0, u128::MAX));
        conn.shift(Direction::Original, 5, 0);
        assert!(conn.extra.get().is_none() && conn.is_plain(), "all flows have that");
        assert!(conn.set_labels(1 << 127, 1 << 127));
        assert_eq!(conn.labels(), 1 << 127);
    }

    #[test]
    fn a_reply_tuple_is_the_mirror_until_it_is_set_and_what_else_the_flow_has_stays() {
        let mut flow = tentative(conn());
        let mirror = flow.tuple(Direction::Original).inverted(Ids { source: 2, destination: 1 });
        assert_eq!(flow.tuple(Direction::Reply), mirror);
        flow.set_reply(mirror.in_zone(77));
        assert!(flow.extra.get().is_none(), "the zone stays, and the rest is as it was");
        flow.set_labels(6, u128::MAX);
        let id = |id| mirror.inverted(Ids { source: 2, destination: id });
        for reply in [id(3), id(4), mirror] {
            flow.set_reply(reply);
            assert_eq!(flow.tuple(Direction::Reply), reply);
            assert_eq!(flow.labels(), 6);
        }
    }

    #[test]
    fn a_tag_stays_with_the_flow() {
        let conn = conn();
        assert_eq!(conn.tag(), 0);
        conn.set_tag(513);
        assert_eq!(conn.tag(), 513);
    }

    #[test]
    fn shifted_numbers_ask_for_attention() {
        let conn = conn();
        conn.shift(Direction::Reply, 5, -2);
        assert!(!conn.is_plain());
        assert_eq!(conn.shifts(), [Shift::NONE, Shift { position: 5, before: 0, after: -2 }]);
    }

    #[test]
    fn changes_are_noted_beside_the_status_and_taken_once() {
        let conn = conn();
        conn.set_status(Status::CONFIRMED);
        conn.note(Change::Mark);
        conn.note(Change::Reply);
        assert_eq!(conn.status(), Status::CONFIRMED);
        assert!(!conn.is_plain());
        let changes = conn.take_changes();
        assert!(changes.contains(Change::Mark) && changes.contains(Change::Reply));
        assert!(!changes.contains(Change::State));
        assert!(conn.take_changes().is_empty() && conn.is_plain());
        assert_eq!(conn.status(), Status::CONFIRMED);
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
        #[derive(TryFromBytes, IntoBytes, Immutable, Clone, Copy)]
        #[repr(u8)]
        #[allow(dead_code, reason = "only the layout matters")]
        enum Two {
            A,
            B,
        }
        ProtocolState::of(&7_u8).get::<Two>();
    }
}
