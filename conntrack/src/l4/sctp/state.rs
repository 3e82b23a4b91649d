//! The states of an SCTP association and what leads from one to the next (`sctp_conntracks`).

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::tuple::Direction;

/// State of an association, in the order of Linux's `enum sctp_conntrack`. They are those of the association as a whole,
/// not of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
pub enum SctpState {
    /// Nothing seen.
    None,
    /// An INIT, an ABORT, or the end.
    Closed,
    /// An INIT ACK.
    CookieWait,
    /// A COOKIE ECHO.
    CookieEchoed,
    /// A COOKIE ACK, or an answered HEARTBEAT.
    Established,
    /// A SHUTDOWN of who started it.
    ShutdownSent,
    /// A SHUTDOWN of the other.
    ShutdownReceived,
    /// A SHUTDOWN ACK.
    ShutdownAckSent,
    /// A HEARTBEAT on a path that is new.
    HeartbeatSent,
}

impl SctpState {
    /// As `conntrack -L` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Closed => "CLOSED",
            Self::CookieWait => "COOKIE_WAIT",
            Self::CookieEchoed => "COOKIE_ECHOED",
            Self::Established => "ESTABLISHED",
            Self::ShutdownSent => "SHUTDOWN_SENT",
            Self::ShutdownReceived => "SHUTDOWN_RECD",
            Self::ShutdownAckSent => "SHUTDOWN_ACK_SENT",
            Self::HeartbeatSent => "HEARTBEAT_SENT",
        }
    }
}

/// Where a chunk leads; `None` if it is invalid there. Chunks without a row, such as DATA, lead nowhere else.
pub(super) fn next(direction: Direction, state: SctpState, chunk: u8) -> Option<SctpState> {
    match ROWS.iter().position(|kind| *kind == chunk) {
        Some(row) => TRANSITIONS[direction.index()][row][state as usize],
        None => Some(state),
    }
}

/// Chunk types (RFC 9260 section 3.2).
pub(super) mod chunk {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
}

/// The chunks of the table's rows.
pub(super) const ROWS: [u8; 11] = [
    chunk::INIT,
    chunk::INIT_ACK,
    chunk::ABORT,
    chunk::SHUTDOWN,
    chunk::SHUTDOWN_ACK,
    chunk::ERROR,
    chunk::COOKIE_ECHO,
    chunk::COOKIE_ACK,
    chunk::SHUTDOWN_COMPLETE,
    chunk::HEARTBEAT,
    chunk::HEARTBEAT_ACK,
];

/// `sctp_conntracks` of Linux: direction, chunk as in [`ROWS`], state.
const TRANSITIONS: [[[Option<SctpState>; 9]; 11]; 2] = {
    const CL: Option<SctpState> = Some(SctpState::Closed);
    const CW: Option<SctpState> = Some(SctpState::CookieWait);
    const CE: Option<SctpState> = Some(SctpState::CookieEchoed);
    const ES: Option<SctpState> = Some(SctpState::Established);
    const SS: Option<SctpState> = Some(SctpState::ShutdownSent);
    const SR: Option<SctpState> = Some(SctpState::ShutdownReceived);
    const SA: Option<SctpState> = Some(SctpState::ShutdownAckSent);
    const HS: Option<SctpState> = Some(SctpState::HeartbeatSent);
    const NO: Option<SctpState> = None;
    [
        // Original direction, from: none, closed, cookie_wait, cookie_echoed, established, shutdown_sent,
        // shutdown_recd, shutdown_ack_sent, heartbeat_sent.
        [
            [CL, CL, CW, CE, ES, CL, CL, SA, CW],
            [CL, CL, CW, CE, ES, SS, SR, SA, CL],
            [CL, CL, CL, CL, CL, CL, CL, CL, CL],
            [CL, CL, CW, CE, SS, SS, SR, SA, CL],
            [SA, CL, CW, CE, ES, SA, SA, SA, SA],
            [CL, CL, CW, CE, ES, SS, SR, SA, CL],
            [CL, CL, CE, CE, ES, SS, SR, SA, CL],
            [CL, CL, CW, ES, ES, SS, SR, SA, CL],
            [CL, CL, CW, CE, ES, SS, SR, CL, CL],
            [HS, CL, CW, CE, ES, SS, SR, SA, HS],
            [CL, CL, CW, CE, ES, SS, SR, SA, HS],
        ],
        // Reply direction.
        [
            [NO, CL, CW, CE, ES, SS, SR, SA, NO],
            [NO, CW, CW, CE, ES, SS, SR, SA, NO],
            [NO, CL, CL, CL, CL, CL, CL, CL, NO],
            [NO, CL, CW, CE, SR, SS, SR, SA, NO],
            [NO, CL, CW, CE, ES, SA, SA, SA, NO],
            [NO, CL, CW, CL, ES, SS, SR, SA, NO],
            [NO, CL, CE, CE, ES, SS, SR, SA, NO],
            [NO, CL, CW, ES, ES, SS, SR, SA, NO],
            [NO, CL, CW, CE, ES, SS, SR, CL, NO],
            [NO, CL, CW, CE, ES, SS, SR, SA, HS],
            [NO, CL, CW, CE, ES, SS, SR, SA, ES],
        ],
    ]
};
