//! Transport protocols: which packets belong together, which may start a flow, and how long a flow lives.

mod generic;
mod gre;
mod icmp;
mod sctp;
mod tcp;
mod udp;
mod udplite;

pub use self::generic::Generic;
pub use self::gre::Gre;
pub use self::icmp::{Icmp, Icmpv6};
pub use self::sctp::{Sctp, SctpState, SctpTimeouts};
pub use self::tcp::{Tcp, TcpState, TcpTimeouts};
pub use self::udp::Udp;
pub use self::udplite::UdpLite;

use std::time::Duration;

pub use zerocopy;
use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::conn::{ProtocolState, Status};
use crate::packet::Packet;
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::{Direction, Ids};

/// A transport protocol (what `nf_conntrack_l4proto` is). Everything it is given is borrowed; it keeps its settings and
/// nothing else, so one tracker serves every flow of every worker.
pub trait L4Tracker: Send + Sync + 'static {
    /// What is remembered of each flow: at most [`crate::conn::STATE_SIZE`] bytes, which the compiler checks.
    /// Derive the traits from [`zerocopy`]; `()` if there is nothing to remember.
    type State: TryFromBytes + IntoBytes + KnownLayout + Immutable;

    /// Name for listings, such as `tcp`.
    fn name(&self) -> &'static str;

    /// The ids in a transport header, of which `header` may hold only the first eight bytes (a packet quoted in an ICMP
    /// error). `None` if too little is there.
    fn ids(&self, header: &[u8]) -> Option<Ids>;

    /// The ids that an answer bears; `None` if there is none.
    fn invert(&self, ids: Ids) -> Option<Ids> {
        Some(ids.swapped())
    }

    /// Looks at a packet for itself, before its flow is looked up.
    ///
    /// # Errors
    /// Why it can belong to no flow.
    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason>;

    /// What is to be remembered of a flow that starts with this packet; [`Self::update`] sees the packet right after.
    ///
    /// # Errors
    /// Why no flow may start with it.
    fn start(&self, packet: &Packet<'_>, now: Instant) -> Result<Self::State, InvalidReason>;

    /// Judges a packet of a flow and notes what it changes. Called with the state locked: it must not wait.
    fn update(&self, state: &mut Self::State, packet: &Packet<'_>, seen: Seen) -> Outcome;

    /// Whether each packet of a flow must be shown to [`Self::update`]. If not, an engine that forwards packets by itself
    /// may report sums ([`Self::pass_unseen`]).
    fn must_see_every_packet(&self) -> bool {
        true
    }

    /// What packets do to a flow that fitted, the last of them seen at `seen.now`, but were not shown to
    /// [`Self::update`]. They are counted in any case. Called with the state locked: it must not wait.
    fn pass_unseen(&self, state: &mut Self::State, seen: Seen) -> Outcome {
        let _ = (state, seen);
        Outcome::Pass
    }

    /// The timeouts it works with.
    fn timeouts(&self) -> Vec<Timeout>;

    /// Name of a flow's state for listings, if the protocol has states.
    fn state_name(&self, state: &Self::State) -> Option<&'static str> {
        let _ = state;
        None
    }

    /// Whether two workers that started the same flow at once may share it; otherwise the later packet is dropped.
    fn allows_clash(&self) -> bool {
        false
    }

    /// Whether the flow is as good as over, so that it may make room in a full table although it is assured.
    fn may_drop_early(&self, state: &Self::State) -> bool {
        let _ = state;
        false
    }

    /// Whether a flow in `state` is over for so long that a new one, in the state `new`, may have its reply tuple without
    /// anybody taking one for the other. Asked only when ids run short.
    fn yields_to(&self, state: &Self::State, new: &Self::State) -> bool {
        let _ = (state, new);
        false
    }
}

/// What to do with a packet that is well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Look up its flow.
    Track,
    /// Leave it alone.
    Untracked,
    /// It reports an error about another packet, which starts at this offset from the network header.
    Quotes(usize),
}

/// What is known when a packet of a flow arrives.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Direction of the packet.
    pub direction: Direction,
    /// The flow's status before the packet.
    pub status: Status,
    /// Time of arrival.
    pub now: Instant,
    /// How long the flow would live on without the packet.
    pub left: Duration,
    /// How the numbers in the other direction's TCP stream are shifted on their way, and so what this packet
    /// acknowledges.
    pub opposite_shift: Shift,
}

impl Seen {
    /// A packet of a flow that nobody shifts, with no lifetime left.
    #[must_use]
    pub const fn new(direction: Direction, status: Status, now: Instant) -> Self {
        Self { direction, status, now, left: Duration::ZERO, opposite_shift: Shift::NONE }
    }
}

/// How the sequence numbers of a stream are shifted because somebody has changed the length of what is sent
/// (`struct nf_ct_seqadj`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Sequence number, before any shift, of the last change.
    pub position: u32,
    /// Added to numbers up to and including `position`.
    pub before: i32,
    /// Added to numbers after it.
    pub after: i32,
}

impl Shift {
    /// Nothing is shifted.
    pub const NONE: Self = Self { position: 0, before: 0, after: 0 };

    /// What is added to `sequence` (`nf_ct_seq_offset`).
    #[must_use]
    pub const fn at(self, sequence: u32) -> i32 {
        if self.position.wrapping_sub(sequence).cast_signed() < 0 { self.after } else { self.before }
    }
}

/// A tracker's judgement of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It fits. It is counted, and the flow lives on for `timeout`.
    Accept {
        /// Lifetime from now on.
        timeout: Duration,
        /// The flow is worth keeping from now on ([`Status::ASSURED`]).
        assured: bool,
        /// The state as shown has changed; subscribers are told.
        changed: bool,
    },
    /// It belongs to the flow but proves nothing: it passes, is not counted and does not prolong the flow.
    Pass,
    /// As [`Self::Pass`], but it has changed the state as shown.
    PassChanged {
        /// As in [`Self::Accept`].
        assured: bool,
    },
    /// It fits, is counted, and ends the flow at once.
    Kill,
    /// The flow is over and this packet wants to start it anew: delete it and look up again.
    Reopen,
    /// It does not fit.
    Invalid(InvalidReason),
    /// It does not fit, but a part of it did and has changed the state as shown.
    InvalidChanged {
        /// Why it does not fit.
        reason: InvalidReason,
        /// As in [`Self::Accept`].
        assured: bool,
    },
    /// It does not fit, and makes it doubtful that the ends know of the flow what is known here.
    Doubt {
        /// Why it does not fit.
        reason: InvalidReason,
        /// Lifetime from now on.
        timeout: Duration,
    },
}

impl Outcome {
    /// An accepted packet that changes nothing but the flow's lifetime.
    #[must_use]
    pub const fn refresh(timeout: Duration) -> Self {
        Self::Accept { timeout, assured: false, changed: false }
    }
}

/// A timeout of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// When it applies, such as `established`.
    pub name: &'static str,
    /// How long.
    pub duration: Duration,
}

/// A tracker without the type of its state, as the registry keeps it.
pub(crate) trait ErasedL4: Send + Sync {
    fn name(&self) -> &'static str;
    fn ids(&self, header: &[u8]) -> Option<Ids>;
    fn invert(&self, ids: Ids) -> Option<Ids>;
    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason>;
    fn start(&self, packet: &Packet<'_>, now: Instant) -> Result<ProtocolState, InvalidReason>;
    fn update(&self, state: &mut ProtocolState, packet: &Packet<'_>, seen: Seen) -> Outcome;
    fn must_see_every_packet(&self) -> bool;
    fn pass_unseen(&self, state: &mut ProtocolState, seen: Seen) -> Outcome;
    fn timeouts(&self) -> Vec<Timeout>;
    fn state_name(&self, state: &ProtocolState) -> Option<&'static str>;
    fn allows_clash(&self) -> bool;
    fn may_drop_early(&self, state: &ProtocolState) -> bool;
    fn yields_to(&self, state: &ProtocolState, new: &ProtocolState) -> bool;
}

/// Makes an [`ErasedL4`] of a tracker.
pub(crate) struct Erased<T>(pub(crate) T);

impl<T: L4Tracker> ErasedL4 for Erased<T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        self.0.ids(header)
    }

    fn invert(&self, ids: Ids) -> Option<Ids> {
        self.0.invert(ids)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        self.0.check(packet)
    }

    fn start(&self, packet: &Packet<'_>, now: Instant) -> Result<ProtocolState, InvalidReason> {
        self.0.start(packet, now).map(|state| ProtocolState::of(&state))
    }

    fn update(&self, state: &mut ProtocolState, packet: &Packet<'_>, seen: Seen) -> Outcome {
        state.update(|state| self.0.update(state, packet, seen))
    }

    fn must_see_every_packet(&self) -> bool {
        self.0.must_see_every_packet()
    }

    fn pass_unseen(&self, state: &mut ProtocolState, seen: Seen) -> Outcome {
        state.update(|state| self.0.pass_unseen(state, seen))
    }

    fn timeouts(&self) -> Vec<Timeout> {
        self.0.timeouts()
    }

    fn state_name(&self, state: &ProtocolState) -> Option<&'static str> {
        self.0.state_name(&state.get())
    }

    fn allows_clash(&self) -> bool {
        self.0.allows_clash()
    }

    fn may_drop_early(&self, state: &ProtocolState) -> bool {
        self.0.may_drop_early(&state.get())
    }

    fn yields_to(&self, state: &ProtocolState, new: &ProtocolState) -> bool {
        self.0.yields_to(&state.get(), &new.get())
    }
}

/// The two port numbers that TCP, UDP and their like begin with.
pub(crate) fn ports(header: &[u8]) -> Option<Ids> {
    let (ports, _) = header.split_first_chunk::<4>()?;
    Some(Ids {
        source: u16::from_be_bytes([ports[0], ports[1]]),
        destination: u16::from_be_bytes([ports[2], ports[3]]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shifted_by_where_they_stand_to_the_last_change() {
        let shift = Shift { position: u32::MAX, before: 3, after: -4 };
        assert_eq!([u32::MAX - 1, u32::MAX, 0, 5].map(|sequence| shift.at(sequence)), [3, 3, -4, -4]);
        assert_eq!(Shift::NONE.at(7), 0);
    }
}
