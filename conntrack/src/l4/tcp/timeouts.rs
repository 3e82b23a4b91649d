//! How long TCP connections live.

use std::time::Duration;

use super::state::TcpState;

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
    /// At most, while segments are repeated or a window is closed (300 s).
    pub max_retrans: Duration,
    /// At most, while data is not acknowledged, or nothing has answered a connection picked up in the middle (300 s).
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
            max_retrans: Duration::from_secs(300),
            unacknowledged: Duration::from_secs(300),
        }
    }
}

impl TcpTimeouts {
    pub(super) const fn of(&self, state: TcpState) -> Duration {
        match state {
            TcpState::None | TcpState::SynSent => self.syn_sent,
            TcpState::SynSent2 => SYN_SENT2,
            TcpState::Close => self.close,
            TcpState::SynReceived => self.syn_recv,
            TcpState::Established => self.established,
            TcpState::FinWait => self.fin_wait,
            TcpState::CloseWait => self.close_wait,
            TcpState::LastAck => self.last_ack,
            TcpState::TimeWait => self.time_wait,
        }
    }
}

/// SYNs were seen from both ends: no setting changes this one in Linux.
const SYN_SENT2: Duration = Duration::from_secs(120);
