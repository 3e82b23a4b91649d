//! `[conntrack]`: limits, switches and timeouts of connection tracking. Keys are Linux's `nf_conntrack_*` settings, with
//! the unit of those that have one.

use std::time::Duration;

use conntrack::{Builtin, Generic, Gre, Icmp, Icmpv6, Sctp, SctpTimeouts, Tcp, TcpTimeouts, Udp, UdpLite};
use serde::{Deserialize, Deserializer};

use super::bounded;

/// Limits of connection tracking, and the settings of its trackers.
#[derive(Clone, Copy, Debug)]
pub struct ConntrackConfig {
    /// Whether connections are tracked at all.
    pub enabled: bool,
    /// Most flows (`nf_conntrack_max`).
    pub flows_max: usize,
    /// Most flows announced at a time (`nf_conntrack_expect_max`).
    pub expectations_max: usize,
    /// Whether transport checksums are verified.
    pub checksum: bool,
    /// Timeouts and switches of each protocol.
    pub trackers: Builtin,
}

impl Default for ConntrackConfig {
    /// Linux's limits and timeouts.
    fn default() -> Self {
        let limits = conntrack::Config::default();
        Self {
            enabled: true,
            flows_max: limits.flows_max,
            expectations_max: limits.expectations_max,
            checksum: limits.checksum,
            trackers: Builtin::default(),
        }
    }
}

/// The section as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    enabled: Option<bool>,
    #[serde(deserialize_with = "bounded::<_, _, 1, 100_000_000>")]
    flows_max: Option<usize>,
    #[serde(deserialize_with = "bounded::<_, _, 1, 1_000_000>")]
    expectations_max: Option<usize>,
    checksum: Option<bool>,
    tcp_loose: Option<bool>,
    tcp_be_liberal: Option<bool>,
    tcp_ignore_invalid_rst: Option<bool>,
    #[serde(deserialize_with = "bounded::<_, _, 0, 255>")]
    tcp_max_retrans: Option<u8>,
    tcp_timeout_syn_sent_s: Option<Seconds>,
    tcp_timeout_syn_recv_s: Option<Seconds>,
    tcp_timeout_established_s: Option<Seconds>,
    tcp_timeout_fin_wait_s: Option<Seconds>,
    tcp_timeout_close_wait_s: Option<Seconds>,
    tcp_timeout_last_ack_s: Option<Seconds>,
    tcp_timeout_time_wait_s: Option<Seconds>,
    tcp_timeout_close_s: Option<Seconds>,
    tcp_timeout_max_retrans_s: Option<Seconds>,
    tcp_timeout_unacknowledged_s: Option<Seconds>,
    udp_timeout_s: Option<Seconds>,
    udp_timeout_stream_s: Option<Seconds>,
    sctp_timeout_closed_s: Option<Seconds>,
    sctp_timeout_cookie_wait_s: Option<Seconds>,
    sctp_timeout_cookie_echoed_s: Option<Seconds>,
    sctp_timeout_established_s: Option<Seconds>,
    sctp_timeout_shutdown_sent_s: Option<Seconds>,
    sctp_timeout_shutdown_recd_s: Option<Seconds>,
    sctp_timeout_shutdown_ack_sent_s: Option<Seconds>,
    sctp_timeout_heartbeat_sent_s: Option<Seconds>,
    gre_timeout_s: Option<Seconds>,
    gre_timeout_stream_s: Option<Seconds>,
    icmp_timeout_s: Option<Seconds>,
    icmpv6_timeout_s: Option<Seconds>,
    generic_timeout_s: Option<Seconds>,
}

impl From<Section> for ConntrackConfig {
    fn from(given: Section) -> Self {
        let defaults = Self::default();
        let udp = given.udp(defaults.trackers.udp);
        Self {
            enabled: given.enabled.unwrap_or(defaults.enabled),
            flows_max: given.flows_max.unwrap_or(defaults.flows_max),
            expectations_max: given.expectations_max.unwrap_or(defaults.expectations_max),
            checksum: given.checksum.unwrap_or(defaults.checksum),
            trackers: Builtin {
                tcp: given.tcp(defaults.trackers.tcp),
                udp,
                // It has no settings of its own in Linux either.
                udplite: UdpLite { unreplied: udp.unreplied, stream: udp.stream },
                sctp: given.sctp(defaults.trackers.sctp),
                gre: given.gre(defaults.trackers.gre),
                icmp: Icmp { timeout: or(given.icmp_timeout_s, defaults.trackers.icmp.timeout) },
                icmpv6: Icmpv6 { timeout: or(given.icmpv6_timeout_s, defaults.trackers.icmpv6.timeout) },
                generic: Generic { timeout: or(given.generic_timeout_s, defaults.trackers.generic.timeout) },
            },
        }
    }
}

impl Section {
    fn tcp(&self, defaults: Tcp) -> Tcp {
        let usual = defaults.timeouts;
        Tcp {
            loose: self.tcp_loose.unwrap_or(defaults.loose),
            be_liberal: self.tcp_be_liberal.unwrap_or(defaults.be_liberal),
            max_retrans: self.tcp_max_retrans.unwrap_or(defaults.max_retrans),
            ignore_invalid_rst: self.tcp_ignore_invalid_rst.unwrap_or(defaults.ignore_invalid_rst),
            timeouts: TcpTimeouts {
                syn_sent: or(self.tcp_timeout_syn_sent_s, usual.syn_sent),
                syn_recv: or(self.tcp_timeout_syn_recv_s, usual.syn_recv),
                established: or(self.tcp_timeout_established_s, usual.established),
                fin_wait: or(self.tcp_timeout_fin_wait_s, usual.fin_wait),
                close_wait: or(self.tcp_timeout_close_wait_s, usual.close_wait),
                last_ack: or(self.tcp_timeout_last_ack_s, usual.last_ack),
                time_wait: or(self.tcp_timeout_time_wait_s, usual.time_wait),
                close: or(self.tcp_timeout_close_s, usual.close),
                max_retrans: or(self.tcp_timeout_max_retrans_s, usual.max_retrans),
                unacknowledged: or(self.tcp_timeout_unacknowledged_s, usual.unacknowledged),
            },
        }
    }

    fn udp(&self, defaults: Udp) -> Udp {
        Udp {
            unreplied: or(self.udp_timeout_s, defaults.unreplied),
            stream: or(self.udp_timeout_stream_s, defaults.stream),
        }
    }

    fn sctp(&self, defaults: Sctp) -> Sctp {
        let usual = defaults.timeouts;
        Sctp {
            timeouts: SctpTimeouts {
                closed: or(self.sctp_timeout_closed_s, usual.closed),
                cookie_wait: or(self.sctp_timeout_cookie_wait_s, usual.cookie_wait),
                cookie_echoed: or(self.sctp_timeout_cookie_echoed_s, usual.cookie_echoed),
                established: or(self.sctp_timeout_established_s, usual.established),
                shutdown_sent: or(self.sctp_timeout_shutdown_sent_s, usual.shutdown_sent),
                shutdown_recd: or(self.sctp_timeout_shutdown_recd_s, usual.shutdown_recd),
                shutdown_ack_sent: or(self.sctp_timeout_shutdown_ack_sent_s, usual.shutdown_ack_sent),
                heartbeat_sent: or(self.sctp_timeout_heartbeat_sent_s, usual.heartbeat_sent),
            },
        }
    }

    fn gre(&self, defaults: Gre) -> Gre {
        Gre {
            unreplied: or(self.gre_timeout_s, defaults.unreplied),
            stream: or(self.gre_timeout_stream_s, defaults.stream),
        }
    }
}

/// Whole seconds, one at least, ten years at most.
#[derive(Clone, Copy, Debug)]
struct Seconds(Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds: Option<u64> = bounded::<_, _, 1, 315_360_000>(deserializer)?;
        Ok(Self(Duration::from_secs(seconds.unwrap_or_default())))
    }
}

fn or(given: Option<Seconds>, usual: Duration) -> Duration {
    given.map_or(usual, |Seconds(duration)| duration)
}
