//! TCP: the state of a connection as somebody in the middle can know it (`nf_conntrack_proto_tcp.c`).
//!
//! [`state`] has the table of states, [`window`] holds segments against what the two ends have sent and allowed, and
//! here is what surrounds both: which connections are picked up, what is let pass without being believed, which resets
//! count (RFC 5961), and how long a connection lives.

mod segment;
mod state;
#[cfg(test)]
mod tests;
mod timeouts;
mod window;

pub use self::state::TcpState;
pub use self::timeouts::TcpTimeouts;

use std::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use self::TcpState::{
    Close, Established, FinWait, LastAck, None as NoState, SynReceived, SynSent, SynSent2, TimeWait,
};
use self::segment::{ACK, FIN, HEADER_MIN, Kind, RST, SYN, Segment, URG, before};
use self::state::Next::{Ignore, Invalid, To};
use self::state::next;
use self::window::{End, Fit, Flags, judge};
use super::{Check, L4Tracker, Outcome, Seen, Timeout, ports};
use crate::conn::Status;
use crate::packet::{Packet, PseudoHeader};
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::{Direction, Ids};

/// The TCP tracker.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    /// How long connections live in each state.
    pub timeouts: TcpTimeouts,
    /// Whether a connection whose start was not seen is picked up by a bare ACK (`nf_conntrack_tcp_loose`; yes).
    pub loose: bool,
    /// Whether segments outside the window fit all the same (`nf_conntrack_tcp_be_liberal`; no).
    pub be_liberal: bool,
    /// How often an ACK may be repeated before [`TcpTimeouts::max_retrans`] applies (`nf_conntrack_tcp_max_retrans`; 3).
    pub max_retrans: u8,
    /// Whether a reset from before what was acknowledged counts (`nf_conntrack_tcp_ignore_invalid_rst`; no).
    pub ignore_invalid_rst: bool,
}

impl Default for Tcp {
    /// As Linux.
    fn default() -> Self {
        Self {
            timeouts: TcpTimeouts::default(),
            loose: true,
            be_liberal: false,
            max_retrans: 3,
            ignore_invalid_rst: false,
        }
    }
}

/// What is remembered of a connection (`struct ip_ct_tcp`).
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, packed)]
pub struct TcpFlow {
    /// Who started it, and the other.
    ends: [End; 2],
    last: Last,
    state: TcpState,
}

/// The last segment that says something about those after it: one that fitted, or one that was let pass.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, packed)]
struct Last {
    sequence: u32,
    acknowledgement: u32,
    /// Sequence number after it.
    end: u32,
    /// Window, not scaled.
    window: u16,
    kind: Kind,
    direction: u8,
    /// What a SYN that was let pass offered, and what its answer may be.
    flags: Flags,
    scale: u8,
    /// How often the same ACK has come again.
    repeats: u8,
}

impl L4Tracker for Tcp {
    type State = TcpFlow;

    fn name(&self) -> &'static str {
        "tcp"
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        ports(header)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        let segment = packet.transport();
        if segment.len() < HEADER_MIN {
            return Err(InvalidReason::Truncated);
        }
        let header_length = usize::from(segment[12] >> 4) * 4;
        if header_length < HEADER_MIN || header_length > segment.len() {
            return Err(InvalidReason::Truncated);
        }
        if packet.checksum_is_wrong(PseudoHeader::Included) {
            return Err(InvalidReason::Checksum);
        }
        if FLAGS_VALID & (1 << (segment[13] & FLAGS_CHECKED)) == 0 {
            return Err(InvalidReason::Flags);
        }
        Ok(Check::Track)
    }

    fn start(&self, packet: &Packet<'_>, _now: Instant) -> Result<TcpFlow, InvalidReason> {
        let segment = Segment::of(packet.transport());
        let other = match next(Direction::Original, segment.kind, NoState) {
            To(SynSent) => End::default(),
            To(_) if self.loose => End::picked_up(),
            _ => return Err(InvalidReason::NotFirst),
        };
        let ends = [End::starting(&segment), other];
        Ok(TcpFlow { ends, last: Last::nothing(), state: NoState })
    }

    fn update(&self, flow: &mut TcpFlow, packet: &Packet<'_>, seen: Seen) -> Outcome {
        let segment = Segment::of(packet.transport());
        let step = self.step(flow, &segment, seen);
        let (old, new) = match step {
            Step::Done(outcome) => return outcome,
            Step::Trust { old, new } => (old, new),
            Step::Check { old, new } => {
                match judge(flow, &segment, seen.direction, seen.opposite_shift, self.be_liberal) {
                    Fit::Fits => (old, new),
                    Fit::Passes => return Outcome::Pass,
                    Fit::Misses => return self.refuse(flow, segment.kind, seen),
                }
            }
        };
        flow.last.kind = segment.kind;
        flow.last.direction = seen.direction as u8;
        flow.state = new;
        if old != new && new == FinWait {
            flow.ends[seen.direction.index()].flags.set(Flags::CLOSE_STARTED);
        }
        self.accept(flow, segment.kind, (old, new), seen.status)
    }

    /// The connection lives on as its state has it; what the segments said is not known.
    fn pass_unseen(&self, flow: &mut TcpFlow, _seen: Seen) -> Outcome {
        Outcome::refresh(self.timeouts.of(flow.state))
    }

    fn timeouts(&self) -> Vec<Timeout> {
        let timeouts = &self.timeouts;
        [
            ("syn_sent", timeouts.syn_sent),
            ("syn_recv", timeouts.syn_recv),
            ("established", timeouts.established),
            ("fin_wait", timeouts.fin_wait),
            ("close_wait", timeouts.close_wait),
            ("last_ack", timeouts.last_ack),
            ("time_wait", timeouts.time_wait),
            ("close", timeouts.close),
            ("max_retrans", timeouts.max_retrans),
            ("unacknowledged", timeouts.unacknowledged),
        ]
        .map(|(name, duration)| Timeout { name, duration })
        .to_vec()
    }

    fn state_name(&self, flow: &TcpFlow) -> Option<&'static str> {
        Some(flow.state.name())
    }

    fn may_drop_early(&self, flow: &TcpFlow) -> bool {
        flow.state.is_closing()
    }

    /// A closed connection yields to a SYN whose sequence numbers lie ahead of its own: what the other end may still send
    /// is invalid for the new one (`nf_nat_may_kill`, `nf_seq_has_advanced`).
    fn yields_to(&self, flow: &TcpFlow, new: &TcpFlow) -> bool {
        let [old_end, new_end] = [flow, new].map(|flow| flow.ends[Direction::Original.index()].end);
        flow.state >= TimeWait && new.state == SynSent && before(old_end, new_end)
    }
}

/// What a segment comes to by the table of states and what surrounds it.
enum Step {
    /// It is judged.
    Done(Outcome),
    /// It leads on if it lies in the window.
    Check { old: TcpState, new: TcpState },
    /// It leads on wherever it lies.
    Trust { old: TcpState, new: TcpState },
}

impl Tcp {
    fn step(&self, flow: &mut TcpFlow, segment: &Segment<'_>, seen: Seen) -> Step {
        let (old, kind, direction) = (flow.state, segment.kind, seen.direction);
        match next(direction, kind, old) {
            Invalid => Step::Done(Outcome::Invalid(InvalidReason::State)),
            Ignore => flow.let_pass(segment, direction),
            // A SYN may reopen what has ended (RFC 9293 section 3.6.1), or be let pass.
            To(SynSent) if old >= TimeWait => {
                if flow.has_ended(direction) {
                    Step::Done(Outcome::Reopen)
                } else {
                    flow.let_pass(segment, direction)
                }
            }
            To(TimeWait) if flow.is_challenge(kind, direction) => {
                flow.last.flags.clear(Flags::EXPECT_CHALLENGE);
                Step::Done(Outcome::Pass)
            }
            To(SynSent2) => {
                flow.last.flags.set(Flags::SIMULTANEOUS_OPEN);
                Step::Check { old, new: SynSent2 }
            }
            // The table alone does not get out of a simultaneous open.
            To(SynReceived)
                if direction == Direction::Reply
                    && kind == Kind::Ack
                    && flow.last.flags.has(Flags::SIMULTANEOUS_OPEN) =>
            {
                Step::Check { old, new: Established }
            }
            To(Close) if kind == Kind::Reset => self.step_by_reset(flow, segment, seen),
            To(new) => Step::Check { old, new },
        }
    }

    /// A reset closes the connection only if it comes with the number that its receiver waits for: anybody can guess one
    /// that merely lies in the window (RFC 5961 section 3).
    fn step_by_reset(&self, flow: &TcpFlow, segment: &Segment<'_>, seen: Seen) -> Step {
        let (old, last, sequence) = (flow.state, &flow.last, segment.sequence);
        let closing = Step::Check { old, new: Close };
        if old.is_closing() {
            // Its tuple may be in use again, and nothing of what is known be right.
            return Step::Trust { old, new: Close };
        }
        let mut new = Close;
        let receiver = &flow.ends[seen.direction.opposite().index()];
        // After a SYN that was let pass, what was acknowledged before says nothing.
        if receiver.flags.has(Flags::HAS_ACKNOWLEDGED) && last.kind != Kind::Syn {
            let established = old == Established && seen.status.contains(Status::ASSURED);
            if !established && sequence == 0 {
                return closing;
            }
            if before(sequence, receiver.acknowledged_max) && !self.ignore_invalid_rst {
                return Step::Done(Outcome::Invalid(InvalidReason::Window));
            }
            let follows_data = last.kind == Kind::Ack && last.is_from(seen.direction) && sequence == last.end;
            if !established || sequence == receiver.acknowledged_max || follows_data {
                return closing;
            }
            // The answer may be a challenge; until then the connection is there.
            new = old;
        }
        let answers_syn = seen.status.contains(Status::SEEN_REPLY)
            && last.kind == Kind::Syn
            && !last.is_from(seen.direction);
        let answers_ack = !seen.status.contains(Status::ASSURED) && last.kind == Kind::Ack;
        if (answers_syn || answers_ack) && segment.acknowledgement == last.end {
            return Step::Trust { old, new };
        }
        let answers_challenge = old == SynSent
            && last.kind == Kind::Ack
            && last.is_from(Direction::Reply)
            && sequence == last.acknowledgement;
        if answers_challenge { Step::Trust { old, new } } else { Step::Check { old, new } }
    }

    /// A segment that misses the window. FIN or reset of both ends: the connection is over for them, and soon for us
    /// (`nf_tcp_handle_invalid`).
    fn refuse(&self, flow: &mut TcpFlow, kind: Kind, seen: Seen) -> Outcome {
        let reason = InvalidReason::Window;
        let ends = matches!(kind, Kind::Fin | Kind::Reset);
        if !ends || !seen.status.contains(Status::ASSURED) || seen.status.contains(Status::FIXED_TIMEOUT) {
            return Outcome::Invalid(reason);
        }
        if flow.last.is_from(seen.direction) || !matches!(flow.last.kind, Kind::Fin | Kind::Reset) {
            flow.last.kind = kind;
            flow.last.direction = seen.direction as u8;
            return Outcome::Invalid(reason);
        }
        let timeout = self.timeouts.unacknowledged;
        if seen.left >= LONG && seen.left > timeout {
            Outcome::Doubt { reason, timeout }
        } else {
            Outcome::Invalid(reason)
        }
    }

    /// What a segment that fits does to the connection's life, which went from one state to another.
    fn accept(
        &self,
        flow: &TcpFlow,
        kind: Kind,
        (old, new): (TcpState, TcpState),
        status: Status,
    ) -> Outcome {
        let mut timeout = self.timeout(flow, kind, new);
        let mut assured = false;
        if !status.contains(Status::SEEN_REPLY) {
            // A connection that was only ever refused is none.
            if kind == Kind::Reset {
                return Outcome::Kill;
            }
            // Repeated SYNs do not keep an entry alive, or a reused port would never be free again.
            if kind == Kind::Syn && old == SynSent {
                return if new == old { Outcome::Pass } else { Outcome::PassChanged { assured: false } };
            }
            if new == Established {
                timeout = timeout.min(self.timeouts.unacknowledged);
            }
        } else if matches!(old, SynReceived | Established) && new == Established {
            assured = true;
        }
        Outcome::Accept { timeout, assured, changed: old != new }
    }

    fn timeout(&self, flow: &TcpFlow, kind: Kind, new: TcpState) -> Duration {
        let timeouts = &self.timeouts;
        let usual = timeouts.of(new);
        let [one, other] = &flow.ends;
        if flow.last.repeats >= self.max_retrans && usual > timeouts.max_retrans {
            timeouts.max_retrans
        } else if kind == Kind::Reset {
            timeouts.close
        } else if (one.flags | other.flags).has(Flags::UNACKNOWLEDGED) && usual > timeouts.unacknowledged {
            timeouts.unacknowledged
        } else if flow.last.window == 0 && usual > timeouts.max_retrans {
            timeouts.max_retrans
        } else {
            usual
        }
    }
}

/// Lifetimes below this are not cut short by segments that miss the window.
const LONG: Duration = Duration::from_secs(120);

impl TcpFlow {
    /// Whether a SYN may start the connection anew: it was closed in an orderly way, or reset from the same side.
    fn has_ended(&self, direction: Direction) -> bool {
        let [one, other] = &self.ends;
        (one.flags | other.flags).has(Flags::CLOSE_STARTED)
            || (self.last.is_from(direction) && self.last.kind == Kind::Reset)
    }

    /// A segment that may be valid to its receiver although it fits nothing known here. The answer will tell, so it is
    /// noted; and this may be the answer to one noted before.
    fn let_pass(&mut self, segment: &Segment<'_>, direction: Direction) -> Step {
        if self.resumes(segment, direction) {
            self.resume(direction);
            return Step::Check { old: SynSent, new: SynReceived };
        }
        let last = &mut self.last;
        last.kind = segment.kind;
        last.direction = direction as u8;
        last.sequence = segment.sequence;
        last.end = segment.end;
        last.window = segment.window;
        if segment.kind == Kind::Syn && direction == Direction::Original {
            let offer = segment.offer().unwrap_or_default();
            last.flags = Flags::of(offer);
            last.scale = offer.scale.unwrap_or(0);
            // Otherwise the answer would be taken for that to the last FIN (RFC 5961 section 4).
            if self.state == LastAck {
                last.flags.set(Flags::EXPECT_CHALLENGE);
            }
        }
        if self.state == SynSent && segment.kind == Kind::Ack && direction == Direction::Reply {
            last.acknowledgement = segment.acknowledgement;
        }
        Step::Done(Outcome::Pass)
    }

    /// Whether a SYN-ACK acknowledges a SYN that was let pass: then both ends agree.
    fn resumes(&self, segment: &Segment<'_>, direction: Direction) -> bool {
        segment.kind == Kind::SynAck
            && self.last.kind == Kind::Syn
            && !self.last.is_from(direction)
            && segment.acknowledgement == self.last.end
    }

    /// Follows the handshake from the SYN that was let pass; `direction` is that of its answer.
    fn resume(&mut self, direction: Direction) {
        self.last.flags.clear(Flags::EXPECT_CHALLENGE);
        let opener = &mut self.ends[direction.opposite().index()];
        opener.end = self.last.end;
        opener.end_max = self.last.end;
        opener.window_max = u32::from(self.last.window).max(1);
        opener.scale = self.last.scale;
        opener.flags = self.last.flags;
        self.ends[direction.index()].forget();
    }

    /// Whether this ACK answers the SYN just let pass, and so does not acknowledge the last FIN.
    fn is_challenge(&self, kind: Kind, direction: Direction) -> bool {
        self.state == LastAck
            && kind == Kind::Ack
            && !self.last.is_from(direction)
            && self.last.kind == Kind::Syn
            && self.last.flags.has(Flags::EXPECT_CHALLENGE)
    }
}

impl Last {
    fn nothing() -> Self {
        Self {
            sequence: 0,
            acknowledgement: 0,
            end: 0,
            window: 0,
            kind: Kind::Other,
            direction: Direction::Original as u8,
            flags: Flags::default(),
            scale: 0,
            repeats: 0,
        }
    }

    const fn is_from(&self, direction: Direction) -> bool {
        self.direction == direction as u8
    }

    /// Notes an ACK that fits, and how often it has come already.
    fn count_repeats(&mut self, segment: &Segment<'_>, direction: Direction, acknowledgement: u32) {
        if self.is_from(direction)
            && self.sequence == segment.sequence
            && self.acknowledgement == acknowledgement
            && self.end == segment.end
            && self.window == segment.window
        {
            // Linux counts in a byte too.
            self.repeats = self.repeats.wrapping_add(1);
        } else {
            self.direction = direction as u8;
            self.sequence = segment.sequence;
            self.acknowledgement = acknowledgement;
            self.end = segment.end;
            self.window = segment.window;
            self.repeats = 0;
        }
    }
}

/// Flags that a valid combination is made of: FIN, SYN, RST, ACK, URG. PSH, ECE and CWR go with any.
const FLAGS_CHECKED: u8 = 0b11_0111;

/// Bit `n` is set if the flags `n` may stand together.
const FLAGS_VALID: u64 = {
    1 << SYN
        | 1 << (SYN | URG)
        | 1 << (SYN | ACK)
        | 1 << RST
        | 1 << (RST | ACK)
        | 1 << (FIN | ACK)
        | 1 << (FIN | ACK | URG)
        | 1 << ACK
        | 1 << (ACK | URG)
};
