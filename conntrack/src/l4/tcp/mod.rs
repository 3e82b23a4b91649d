//! TCP: the state of a connection as somebody in the middle can know it (`nf_conntrack_proto_tcp.c`).
//!
//! Sequence numbers are not held against the windows of the two ends: [`Tcp::update`] marks the place where that check
//! belongs, and what depends on its memory (resets that miss the window, unacknowledged data, retransmissions) with it.

use std::time::Duration;

use smoltcp::wire::TcpPacket;
use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use self::Next::{Ignore, Invalid, To};
use self::TcpState::{
    Close, CloseWait, Established, FinWait, LastAck, None as NoState, SynReceived, SynSent, SynSent2,
    TimeWait,
};
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
}

/// How long a connection lives after a packet that left it in a state. Defaults are Linux's.
#[derive(Clone, Copy, Debug)]
pub struct TcpTimeouts {
    /// A SYN was seen (120 s).
    pub syn_sent: Duration,
    /// A SYN-ACK was seen (60 s).
    pub syn_recv: Duration,
    /// Both ends have acknowledged (5 days).
    pub established: Duration,
    /// One end has sent a FIN (120 s).
    pub fin_wait: Duration,
    /// That FIN is acknowledged (60 s).
    pub close_wait: Duration,
    /// Both ends have sent a FIN (30 s).
    pub last_ack: Duration,
    /// Both FINs are acknowledged (120 s).
    pub time_wait: Duration,
    /// A reset was seen (10 s).
    pub close: Duration,
    /// Picked up in the middle and not answered yet (300 s).
    pub unacknowledged: Duration,
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self {
            syn_sent: Duration::from_secs(120),
            syn_recv: Duration::from_secs(60),
            established: Duration::from_secs(5 * 24 * 3600),
            fin_wait: Duration::from_secs(120),
            close_wait: Duration::from_secs(60),
            last_ack: Duration::from_secs(30),
            time_wait: Duration::from_secs(120),
            close: Duration::from_secs(10),
            unacknowledged: Duration::from_secs(300),
        }
    }
}

impl TcpTimeouts {
    const fn of(&self, state: TcpState) -> Duration {
        match state {
            NoState | Close => self.close,
            SynSent | SynSent2 => self.syn_sent,
            SynReceived => self.syn_recv,
            Established => self.established,
            FinWait => self.fin_wait,
            CloseWait => self.close_wait,
            LastAck => self.last_ack,
            TimeWait => self.time_wait,
        }
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self { timeouts: TcpTimeouts::default(), loose: true }
    }
}

/// State of a connection, in the order of Linux's `enum tcp_conntrack`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(u8)]
pub enum TcpState {
    /// Nothing seen.
    None,
    /// A SYN.
    SynSent,
    /// A SYN-ACK.
    SynReceived,
    /// The handshake is over.
    Established,
    /// A FIN.
    FinWait,
    /// An ACK after a FIN.
    CloseWait,
    /// A FIN from the other end too.
    LastAck,
    /// The last ACK.
    TimeWait,
    /// A reset.
    Close,
    /// SYNs from both ends (simultaneous open).
    SynSent2,
}

impl TcpState {
    /// As `conntrack -L` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
        }
    }

    const fn is_closing(self) -> bool {
        matches!(self, FinWait | LastAck | TimeWait | Close | CloseWait)
    }
}

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct TcpFlow {
    state: TcpState,
    last_kind: Kind,
    last_direction: u8,
    notes: u8,
    /// Sequence number after the last packet that was let pass without being believed.
    last_end: u32,
}

/// Either end has sent a FIN as the first of the two.
const CLOSE_STARTED: u8 = 1;
/// SYNs crossed.
const SIMULTANEOUS_OPEN: u8 = 1 << 1;
/// A SYN in a closing connection may be answered by a challenge ACK (RFC 5961 section 4.2).
const EXPECT_CHALLENGE: u8 = 1 << 2;

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
        let kind = Kind::of(&TcpPacket::new_unchecked(packet.transport()));
        match next(Direction::Original, kind, NoState) {
            To(SynSent) => {}
            To(_) if self.loose => {}
            _ => return Err(InvalidReason::NotFirst),
        }
        Ok(TcpFlow { state: NoState, last_kind: Kind::Other, last_direction: 0, notes: 0, last_end: 0 })
    }

    fn update(&self, flow: &mut TcpFlow, packet: &Packet<'_>, seen: Seen) -> Outcome {
        let header = TcpPacket::new_unchecked(packet.transport());
        let kind = Kind::of(&header);
        let (old, mut new) = match next(seen.direction, kind, flow.state) {
            To(SynSent) if flow.state >= TimeWait && flow.has_ended(seen.direction) => {
                return Outcome::Reopen;
            }
            To(state) if state != SynSent || flow.state < TimeWait => (flow.state, state),
            Invalid => return Outcome::Invalid(InvalidReason::State),
            To(_) | Ignore => {
                if !flow.resumes(&header, kind, seen.direction) {
                    flow.note_passed(&header, kind, seen.direction);
                    return Outcome::Pass;
                }
                (SynSent, SynReceived)
            }
        };
        match new {
            TimeWait if flow.is_challenge(kind, seen.direction) => {
                flow.notes &= !EXPECT_CHALLENGE;
                return Outcome::Pass;
            }
            SynSent2 => flow.notes |= SIMULTANEOUS_OPEN,
            // The table alone does not get out of a simultaneous open.
            SynReceived
                if seen.direction == Direction::Reply
                    && kind == Kind::Ack
                    && flow.notes & SIMULTANEOUS_OPEN != 0 =>
            {
                new = Established;
            }
            _ => {}
        }

        // The segment is held against the windows of both ends here, except for a reset that answers a packet let pass
        // before (`nf_conntrack_tcp_packet`, `tcp_in_window`).

        flow.last_kind = kind;
        flow.last_direction = seen.direction as u8;
        flow.state = new;
        if old != new && new == FinWait {
            flow.notes |= CLOSE_STARTED;
        }
        self.judge(kind, old, new, seen.status)
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
}

impl Tcp {
    /// What a packet that was believed does to the flow's life.
    fn judge(&self, kind: Kind, old: TcpState, new: TcpState, status: Status) -> Outcome {
        let mut timeout = if kind == Kind::Reset { self.timeouts.close } else { self.timeouts.of(new) };
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
}

impl TcpFlow {
    /// Whether a SYN may start the connection anew: it was closed in an orderly way, or reset from the same side.
    fn has_ended(&self, direction: Direction) -> bool {
        self.notes & CLOSE_STARTED != 0
            || (self.last_direction == direction as u8 && self.last_kind == Kind::Reset)
    }

    /// Whether a SYN-ACK acknowledges a SYN that was let pass: then both ends agree, and the handshake is followed from
    /// there.
    fn resumes(&self, header: &TcpPacket<&[u8]>, kind: Kind, direction: Direction) -> bool {
        kind == Kind::SynAck
            && self.last_kind == Kind::Syn
            && self.last_direction != direction as u8
            && header.ack_number().0.cast_unsigned() == self.last_end
    }

    /// Notes a packet that may be valid to its receiver although it fits nothing known here: the answer will tell.
    fn note_passed(&mut self, header: &TcpPacket<&[u8]>, kind: Kind, direction: Direction) {
        self.last_kind = kind;
        self.last_direction = direction as u8;
        self.last_end = end_of(header);
        if kind == Kind::Syn && direction == Direction::Original {
            self.notes &= !EXPECT_CHALLENGE;
            if self.state == LastAck {
                self.notes |= EXPECT_CHALLENGE;
            }
        }
    }

    /// Whether this ACK answers the SYN just let pass, and so does not acknowledge the last FIN.
    fn is_challenge(&self, kind: Kind, direction: Direction) -> bool {
        self.state == LastAck
            && kind == Kind::Ack
            && self.last_direction != direction as u8
            && self.last_kind == Kind::Syn
            && self.notes & EXPECT_CHALLENGE != 0
    }
}

const HEADER_MIN: usize = 20;

/// Flags that a valid combination is made of: FIN, SYN, RST, ACK, URG. PSH, ECE and CWR go with any.
const FLAGS_CHECKED: u8 = 0b11_0111;

/// Bit `n` is set if the flags `n` may stand together.
const FLAGS_VALID: u64 = {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    const URG: u8 = 32;
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

/// What a segment is, by the most telling of its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
enum Kind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Reset,
    Other,
}

impl Kind {
    fn of(header: &TcpPacket<&[u8]>) -> Self {
        if header.rst() {
            Self::Reset
        } else if header.syn() {
            if header.ack() { Self::SynAck } else { Self::Syn }
        } else if header.fin() {
            Self::Fin
        } else if header.ack() {
            Self::Ack
        } else {
            Self::Other
        }
    }
}

/// Where a segment leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    To(TcpState),
    /// It may be valid or not; its receiver knows.
    Ignore,
    Invalid,
}

fn next(direction: Direction, kind: Kind, state: TcpState) -> Next {
    TRANSITIONS[direction.index()][kind as usize][state as usize]
}

/// The sequence number after the segment.
fn end_of(header: &TcpPacket<&[u8]>) -> u32 {
    let length = header.payload().len() + usize::from(header.syn()) + usize::from(header.fin());
    let length = u32::try_from(length).expect("a segment is shorter than 4 GiB");
    header.seq_number().0.cast_unsigned().wrapping_add(length)
}

/// `tcp_conntracks` of Linux: direction, kind of segment, state.
const TRANSITIONS: [[[Next; 10]; 6]; 2] = {
    const NO: Next = Invalid;
    const IG: Next = Ignore;
    const SS: Next = To(SynSent);
    const SR: Next = To(SynReceived);
    const ES: Next = To(Established);
    const FW: Next = To(FinWait);
    const CW: Next = To(CloseWait);
    const LA: Next = To(LastAck);
    const TW: Next = To(TimeWait);
    const CL: Next = To(Close);
    const S2: Next = To(SynSent2);
    [
        // Original direction, from: none, syn_sent, syn_recv, established, fin_wait, close_wait, last_ack, time_wait,
        // close, syn_sent2.
        [
            [SS, SS, IG, IG, IG, IG, IG, SS, SS, S2],
            [NO, NO, SR, NO, NO, NO, NO, NO, NO, SR],
            [NO, NO, FW, FW, LA, LA, LA, TW, CL, NO],
            [ES, NO, ES, ES, CW, CW, TW, TW, CL, NO],
            [NO, CL, CL, CL, CL, CL, CL, CL, CL, CL],
            [NO; 10],
        ],
        // Reply direction.
        [
            [NO, S2, NO, NO, NO, NO, NO, SS, NO, S2],
            [NO, SR, IG, IG, IG, IG, IG, IG, IG, SR],
            [NO, NO, FW, FW, LA, LA, LA, TW, CL, NO],
            [NO, IG, SR, ES, CW, CW, TW, TW, CL, IG],
            [NO, CL, CL, CL, CL, CL, CL, CL, CL, CL],
            [NO; 10],
        ],
    ]
};

#[cfg(test)]
mod tests;
