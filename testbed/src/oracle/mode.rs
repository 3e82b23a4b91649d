//! Settings that sequences are played with, on both sides.

use std::time::Duration;

use conntrack::{SctpTimeouts, TcpTimeouts};

/// Switches of connection tracking, by their names below `net.netfilter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// A word for it.
    pub name: &'static str,
    /// `nf_conntrack_tcp_loose`.
    pub loose: bool,
    /// `nf_conntrack_tcp_be_liberal`.
    pub liberal: bool,
    /// `nf_conntrack_checksum`.
    pub checksum: bool,
    /// `nf_conntrack_tcp_ignore_invalid_rst`.
    pub ignore_invalid_reset: bool,
}

/// Linux's defaults.
pub const USUAL: Mode =
    Mode { name: "usual", loose: true, liberal: false, checksum: true, ignore_invalid_reset: false };

/// The defaults, and each switch turned.
pub const MODES: [Mode; 5] = [
    USUAL,
    Mode { name: "strict", loose: false, ..USUAL },
    Mode { name: "liberal", liberal: true, ..USUAL },
    Mode { name: "no-checksum", checksum: false, ..USUAL },
    Mode { name: "ignore-resets", ignore_invalid_reset: true, ..USUAL },
];

/// Timeouts that tell every state from every other, in the order of the defaults: sysctl, seconds.
const TIMEOUTS: [(&str, u64); 22] = [
    ("tcp_timeout_syn_sent", 120),
    ("tcp_timeout_syn_recv", 70),
    ("tcp_timeout_established", 432_000),
    ("tcp_timeout_fin_wait", 130),
    ("tcp_timeout_close_wait", 80),
    ("tcp_timeout_last_ack", 50),
    ("tcp_timeout_time_wait", 140),
    ("tcp_timeout_close", 40),
    ("tcp_timeout_max_retrans", 310),
    ("tcp_timeout_unacknowledged", 290),
    ("udp_timeout", 60),
    ("udp_timeout_stream", 120),
    ("icmp_timeout", 45),
    ("icmpv6_timeout", 55),
    ("sctp_timeout_closed", 40),
    ("sctp_timeout_cookie_wait", 50),
    ("sctp_timeout_cookie_echoed", 60),
    ("sctp_timeout_established", 210),
    ("sctp_timeout_shutdown_sent", 70),
    ("sctp_timeout_shutdown_recd", 80),
    ("sctp_timeout_shutdown_ack_sent", 90),
    ("sctp_timeout_heartbeat_sent", 100),
];

impl Mode {
    /// The mode called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        MODES.into_iter().find(|mode| mode.name == name)
    }

    /// The kernel's switches: sysctl below `/proc/sys/net`, value.
    #[must_use]
    pub fn sysctls(&self) -> Vec<(String, String)> {
        let switches = [
            ("tcp_loose", self.loose),
            ("tcp_be_liberal", self.liberal),
            ("checksum", self.checksum),
            ("tcp_ignore_invalid_rst", self.ignore_invalid_reset),
            ("acct", true),
        ];
        let switches = switches.map(|(name, on)| (name, u64::from(on)));
        let all = switches.into_iter().chain(TIMEOUTS);
        all.map(|(name, value)| (format!("netfilter/nf_conntrack_{name}"), value.to_string())).collect()
    }
}

/// The timeout that the kernel calls `nf_conntrack_NAME`.
///
/// # Panics
/// It is not one that is set here.
#[must_use]
pub fn timeout(name: &str) -> Duration {
    let found = TIMEOUTS.iter().find(|(known, _)| *known == name);
    Duration::from_secs(found.unwrap_or_else(|| panic!("no timeout {name}")).1)
}

/// TCP's timeouts.
#[must_use]
pub fn tcp_timeouts() -> TcpTimeouts {
    TcpTimeouts {
        syn_sent: timeout("tcp_timeout_syn_sent"),
        syn_recv: timeout("tcp_timeout_syn_recv"),
        established: timeout("tcp_timeout_established"),
        fin_wait: timeout("tcp_timeout_fin_wait"),
        close_wait: timeout("tcp_timeout_close_wait"),
        last_ack: timeout("tcp_timeout_last_ack"),
        time_wait: timeout("tcp_timeout_time_wait"),
        close: timeout("tcp_timeout_close"),
        max_retrans: timeout("tcp_timeout_max_retrans"),
        unacknowledged: timeout("tcp_timeout_unacknowledged"),
    }
}

/// SCTP's timeouts.
#[must_use]
pub fn sctp_timeouts() -> SctpTimeouts {
    SctpTimeouts {
        closed: timeout("sctp_timeout_closed"),
        cookie_wait: timeout("sctp_timeout_cookie_wait"),
        cookie_echoed: timeout("sctp_timeout_cookie_echoed"),
        established: timeout("sctp_timeout_established"),
        shutdown_sent: timeout("sctp_timeout_shutdown_sent"),
        shutdown_recd: timeout("sctp_timeout_shutdown_recd"),
        shutdown_ack_sent: timeout("sctp_timeout_shutdown_ack_sent"),
        heartbeat_sent: timeout("sctp_timeout_heartbeat_sent"),
    }
}
