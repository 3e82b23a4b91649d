//! Whether a TCP segment lies where its receiver may take it (`tcp_in_window`).
//!
//! After "Real Stateful TCP Packet Filtering in IP Filter" by Guido van Rooij, as Linux has it. Whoever stands in the
//! middle knows of each [`End`] what it has sent, and of the other what that has been allowed. A segment fits if
//!
//! 1. it does not begin after all that its sender may send: `sequence <= sender.end_max`,
//! 2. it does not end a whole window before what was sent already: `end >= sender.end - receiver.window_max`,
//! 3. it acknowledges nothing that was not sent: `acknowledged <= receiver.end`,
//! 4. nor what was acknowledged long ago: `acknowledged >= receiver.end - `[`behind_max`],
//!
//! where `acknowledged` is the highest edge of a selective acknowledgement if there is one.

use std::ops::BitOr;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::TcpFlow;
use super::segment::{Kind, Offer, Segment, after, before};
use super::state::TcpState;
use crate::l4::Shift;
use crate::tuple::Direction;

/// What is known of one end of a connection (`struct ip_ct_tcp_state`).
#[derive(Clone, Copy, Debug, Default, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, packed)]
pub(super) struct End {
    /// Sequence number after all that it has sent (`td_end`).
    pub(super) end: u32,
    /// Sequence number after all that the other end lets it send (`td_maxend`).
    pub(super) end_max: u32,
    /// The largest window it has offered, in bytes; 0 if nothing of it was seen (`td_maxwin`).
    pub(super) window_max: u32,
    /// The highest acknowledgement it has sent; see [`Flags::HAS_ACKNOWLEDGED`] (`td_maxack`).
    pub(super) acknowledged_max: u32,
    /// How many bits its windows are shifted by (`td_scale`).
    pub(super) scale: u8,
    pub(super) flags: Flags,
}

/// `IP_CT_TCP_FLAG_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub(super) struct Flags(u8);

impl Flags {
    /// It has offered to scale its windows.
    pub(super) const WINDOW_SCALE: Self = Self(0x01);
    /// It takes selective acknowledgements.
    pub(super) const SACK_PERMITTED: Self = Self(0x02);
    /// It has sent the first FIN.
    pub(super) const CLOSE_STARTED: Self = Self(0x04);
    /// Its windows are not known well enough to call anything invalid.
    pub(super) const LIBERAL: Self = Self(0x08);
    /// It has sent what is not acknowledged yet.
    pub(super) const UNACKNOWLEDGED: Self = Self(0x10);
    /// `acknowledged_max` means something.
    pub(super) const HAS_ACKNOWLEDGED: Self = Self(0x20);
    /// A SYN in a closing connection may be answered by a challenge ACK (RFC 5961 section 4.2).
    pub(super) const EXPECT_CHALLENGE: Self = Self(0x40);
    /// SYNs crossed.
    pub(super) const SIMULTANEOUS_OPEN: Self = Self(0x80);

    pub(super) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(super) const fn set(&mut self, flag: Self) {
        self.0 |= flag.0;
    }

    pub(super) const fn clear(&mut self, flag: Self) {
        self.0 &= !flag.0;
    }

    /// What an offer comes to.
    pub(super) const fn of(offer: Offer) -> Self {
        let scale = if offer.scale.is_some() { Self::WINDOW_SCALE.0 } else { 0 };
        let sack = if offer.sack_permitted { Self::SACK_PERMITTED.0 } else { 0 };
        Self(scale | sack)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It lies in the window, and its sender's and receiver's ends are up to date.
    Fits,
    /// It does not, but may be an honest one late, repeated, or sent on in spite of the window: it passes.
    Passes,
    /// It does not.
    Misses,
}

/// Acknowledgements may always be this far behind, however small the windows (`MAXACKWINCONST`).
const BEHIND_MIN: u32 = 66_000;

/// Holds a segment against what is known of both ends, and learns from it if it fits. `shift` is that of the stream
/// which the segment acknowledges; whoever is `liberal` lets everything pass for fitting.
pub(super) fn judge(
    flow: &mut TcpFlow,
    segment: &Segment<'_>,
    direction: Direction,
    shift: Shift,
    liberal: bool,
) -> Fit {
    let TcpFlow { ends: [original, reply], last, state, .. } = flow;
    let (sender, receiver) = match direction {
        Direction::Original => (original, reply),
        Direction::Reply => (reply, original),
    };
    let mut acknowledgement = segment.acknowledgement;
    let mut acknowledged = if receiver.flags.has(Flags::SACK_PERMITTED) {
        segment.highest_acknowledged()
    } else {
        acknowledgement
    };
    let shifted = shift.at(acknowledgement.wrapping_sub(1)).cast_unsigned();
    acknowledgement = acknowledgement.wrapping_sub(shifted);
    acknowledged = acknowledged.wrapping_sub(shifted);

    let opening = matches!(*state, TcpState::SynSent | TcpState::SynReceived);
    if sender.window_max == 0 {
        if segment.has_syn() {
            open(sender, receiver, segment, direction);
            if !segment.has_ack() {
                return Fit::Fits;
            }
        } else {
            pick_up(sender, receiver, segment, acknowledged);
        }
    } else if segment.has_syn() && after(segment.end, sender.end) && opening {
        // A SYN of a later attempt: it may differ in all (RFC 793 section 3.3).
        open(sender, receiver, segment, direction);
        if direction == Direction::Reply && !segment.has_ack() {
            return Fit::Fits;
        }
    }

    // Without an acknowledgement, or with that of stacks that reset with ACK 0, it is taken for a right one.
    if !segment.has_ack() || (segment.has_reset() && acknowledgement == 0) {
        acknowledgement = receiver.end;
        acknowledged = receiver.end;
    }
    let (mut sequence, mut end) = (segment.sequence, segment.end);
    if segment.has_reset() && sequence == 0 && *state == TcpState::SynSent {
        // The refusal of a SYN.
        sequence = sender.end;
        end = sender.end;
    }

    let verdict = place(sender, receiver, sequence, end, acknowledged);
    if verdict != Fit::Fits {
        return if liberal || sender.flags.has(Flags::LIBERAL) { Fit::Fits } else { verdict };
    }

    let mut window = u32::from(segment.window);
    if !segment.has_syn() {
        window <<= sender.scale;
    }
    sender.window_max =
        sender.window_max.max(window.wrapping_add(acknowledged.wrapping_sub(acknowledgement)));
    if after(end, sender.end) {
        sender.end = end;
        sender.flags.set(Flags::UNACKNOWLEDGED);
    }
    if segment.has_ack()
        && (!sender.flags.has(Flags::HAS_ACKNOWLEDGED) || after(acknowledgement, sender.acknowledged_max))
    {
        sender.acknowledged_max = acknowledgement;
        sender.flags.set(Flags::HAS_ACKNOWLEDGED);
    }

    if receiver.window_max != 0 && after(end, sender.end_max) {
        receiver.window_max = receiver.window_max.wrapping_add(end.wrapping_sub(sender.end_max));
    }
    let allowed = acknowledged.wrapping_add(window);
    if after(allowed, receiver.end_max.wrapping_sub(1)) {
        receiver.end_max = if window == 0 { allowed.wrapping_add(1) } else { allowed };
    }
    if acknowledgement == receiver.end {
        receiver.flags.clear(Flags::UNACKNOWLEDGED);
    }
    if segment.kind == Kind::Ack {
        last.count_repeats(segment, direction, acknowledgement);
    }
    Fit::Fits
}

/// Where a segment lies.
fn place(sender: &mut End, receiver: &End, sequence: u32, end: u32, acknowledged: u32) -> Fit {
    let lowest_acknowledged = receiver.end.wrapping_sub(behind_max(sender)).wrapping_sub(1);
    let lowest_end = sender.end.wrapping_sub(receiver.window_max).wrapping_sub(1);
    let acknowledges_what_was_sent = before(acknowledged, receiver.end.wrapping_add(1));

    if !before(sequence, sender.end_max.wrapping_add(1)) {
        let beyond = end.wrapping_sub(sender.end_max).wrapping_add(1);
        if receiver.window_max != 0
            && after(end, lowest_end)
            && after(acknowledged, lowest_acknowledged)
            && beyond <= receiver.window_max
            && acknowledges_what_was_sent
        {
            // Some send more than they may. Should it pass and be acknowledged, that acknowledgement is right.
            sender.end = end;
            sender.flags.set(Flags::UNACKNOWLEDGED);
            return Fit::Passes;
        }
        return Fit::Misses;
    }
    if !acknowledges_what_was_sent {
        return Fit::Misses;
    }
    let is_old = receiver.window_max != 0 && !after(end, lowest_end);
    if is_old || !after(acknowledged, lowest_acknowledged) {
        return Fit::Passes;
    }
    Fit::Fits
}

/// How far behind an acknowledgement of `sender` may be (`MAXACKWINDOW`).
fn behind_max(sender: &End) -> u32 {
    sender.window_max.max(BEHIND_MIN)
}

/// The first SYN of an end, or one that starts over (`tcp_init_sender`).
fn open(sender: &mut End, receiver: &mut End, segment: &Segment<'_>, direction: Direction) {
    sender.end = segment.end;
    sender.end_max = segment.end;
    sender.window_max = u32::from(segment.window).max(1);
    sender.take_offer(segment);
    // Windows are scaled if both want it (RFC 7323 section 2.2).
    let both = sender.flags.has(Flags::WINDOW_SCALE) && receiver.flags.has(Flags::WINDOW_SCALE);
    if direction == Direction::Reply && !both {
        sender.scale = 0;
        receiver.scale = 0;
    }
}

/// The first segment of an end whose SYN was not seen.
fn pick_up(sender: &mut End, receiver: &mut End, segment: &Segment<'_>, acknowledged: u32) {
    sender.end = segment.end;
    sender.window_max = (u32::from(segment.window) << sender.scale).max(1);
    sender.end_max = segment.end.wrapping_add(sender.window_max);
    if receiver.window_max == 0 {
        receiver.end = acknowledged;
        receiver.end_max = acknowledged;
    } else if acknowledged == receiver.end.wrapping_add(1) {
        // Likely the answer to a keepalive.
        receiver.end = acknowledged;
    }
}

impl End {
    /// The end that starts a connection with this segment (`tcp_new`).
    pub(super) fn starting(segment: &Segment<'_>) -> Self {
        let window_max = u32::from(segment.window).max(1);
        let mut end = Self { end: segment.end, end_max: segment.end, window_max, ..Self::default() };
        if segment.kind == Kind::Syn {
            end.take_offer(segment);
        } else {
            end.end_max = segment.end.wrapping_add(window_max);
            end.flags = Self::picked_up().flags;
        }
        end
    }

    /// An end of a connection that is picked up in the middle: what it has agreed to is not known.
    pub(super) fn picked_up() -> Self {
        Self { flags: Flags::SACK_PERMITTED | Flags::LIBERAL, ..Self::default() }
    }

    /// Forgets all but that it is not to be trusted (`nf_ct_tcp_state_reset`).
    pub(super) fn forget(&mut self) {
        let liberal = self.flags.has(Flags::LIBERAL);
        *self = Self::default();
        if liberal {
            self.flags.set(Flags::LIBERAL);
        }
    }

    /// Options of a SYN; without any, what was known before stays.
    fn take_offer(&mut self, segment: &Segment<'_>) {
        if let Some(offer) = segment.offer() {
            let liberal = self.flags.has(Flags::LIBERAL);
            self.scale = offer.scale.unwrap_or(0);
            self.flags = Flags::of(offer);
            if liberal {
                self.flags.set(Flags::LIBERAL);
            }
        }
    }
}
