//! The states of a TCP connection and what leads from one to the next (`tcp_conntracks`).

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use self::Next::{Ignore, Invalid, To};
use self::TcpState::{
    Close, CloseWait, Established, FinWait, LastAck, SynReceived, SynSent, SynSent2, TimeWait,
};
use super::segment::Kind;
use crate::tuple::Direction;

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

    pub(super) const fn is_closing(self) -> bool {
        matches!(self, FinWait | LastAck | TimeWait | Close | CloseWait)
    }
}

/// Where a segment leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    To(TcpState),
    /// It may be valid or not; its receiver knows.
    Ignore,
    Invalid,
}

pub(super) fn next(direction: Direction, kind: Kind, state: TcpState) -> Next {
    TRANSITIONS[direction.index()][kind as usize][state as usize]
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
