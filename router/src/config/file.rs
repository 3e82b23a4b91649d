//! The form of `routerd.toml`: what serde reads, each value within its bounds, before it is put together.

use std::collections::BTreeMap;
use std::time::Duration;

use conntrack::{Generic, Icmp, Icmpv6, Tcp, TcpTimeouts, Udp};
use ctl::address::Address;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::arguments::log_filter;
use super::{BufferConfig, ConntrackConfig, OnOff, WORKERS_MAX};
use crate::sysctl::{LinkOverrides, NamespaceOverrides};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) ports: Vec<Spanned<String>>,
    pub(super) host: Option<Spanned<String>>,
    #[serde(deserialize_with = "bounded::<_, _, 1, { WORKERS_MAX as u64 }>")]
    pub(super) workers: Option<u16>,
    #[serde(deserialize_with = "control")]
    pub(super) control: Option<Address>,
    pub(super) flow_cache: Option<OnOff>,
    pub(super) handover: Option<OnOff>,
    #[serde(deserialize_with = "log")]
    pub(super) log: Option<String>,
    pub(super) sysctl: NamespaceOverrides,
    pub(super) port: BTreeMap<String, Spanned<LinkOverrides>>,
    pub(super) conntrack: Conntrack,
    pub(super) buffers: Buffers,
}

/// `[conntrack]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Conntrack {
    pub(super) enabled: Option<bool>,
    #[serde(deserialize_with = "bounded::<_, _, 1, 100_000_000>")]
    pub(super) flows_max: Option<usize>,
    pub(super) checksum: Option<bool>,
    pub(super) tcp_loose: Option<bool>,
    pub(super) timeouts_s: Timeouts,
}

/// `[conntrack.timeouts_s]`, seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timeouts {
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_syn_sent: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_syn_recv: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_established: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_fin_wait: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_close_wait: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_last_ack: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_time_wait: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_close: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) tcp_unacknowledged: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) udp_unreplied: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) udp_stream: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) icmp: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) icmpv6: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub(super) generic: Option<Duration>,
}

/// `[buffers]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Buffers {
    #[serde(deserialize_with = "bounded::<_, _, 65_536, 1_073_741_824>")]
    pub(super) port_bytes: Option<i32>,
    #[serde(deserialize_with = "bounded::<_, _, 256, 1_048_576>")]
    pub(super) frames_max: Option<usize>,
    #[serde(deserialize_with = "bounded::<_, _, 16, 1_048_576>")]
    pub(super) neighbors_max: Option<usize>,
}

impl From<Conntrack> for ConntrackConfig {
    fn from(section: Conntrack) -> Self {
        let defaults = Self::default();
        let Conntrack { enabled, flows_max, checksum, tcp_loose, timeouts_s: given } = section;
        let tcp = defaults.tcp.timeouts;
        Self {
            enabled: enabled.unwrap_or(defaults.enabled),
            flows_max: flows_max.unwrap_or(defaults.flows_max),
            checksum: checksum.unwrap_or(defaults.checksum),
            tcp: Tcp {
                loose: tcp_loose.unwrap_or(defaults.tcp.loose),
                timeouts: TcpTimeouts {
                    syn_sent: given.tcp_syn_sent.unwrap_or(tcp.syn_sent),
                    syn_recv: given.tcp_syn_recv.unwrap_or(tcp.syn_recv),
                    established: given.tcp_established.unwrap_or(tcp.established),
                    fin_wait: given.tcp_fin_wait.unwrap_or(tcp.fin_wait),
                    close_wait: given.tcp_close_wait.unwrap_or(tcp.close_wait),
                    last_ack: given.tcp_last_ack.unwrap_or(tcp.last_ack),
                    time_wait: given.tcp_time_wait.unwrap_or(tcp.time_wait),
                    close: given.tcp_close.unwrap_or(tcp.close),
                    unacknowledged: given.tcp_unacknowledged.unwrap_or(tcp.unacknowledged),
                    ..tcp
                },
                ..defaults.tcp
            },
            udp: Udp {
                unreplied: given.udp_unreplied.unwrap_or(defaults.udp.unreplied),
                stream: given.udp_stream.unwrap_or(defaults.udp.stream),
            },
            icmp: Icmp { timeout: given.icmp.unwrap_or(defaults.icmp.timeout) },
            icmpv6: Icmpv6 { timeout: given.icmpv6.unwrap_or(defaults.icmpv6.timeout) },
            generic: Generic { timeout: given.generic.unwrap_or(defaults.generic.timeout) },
        }
    }
}

impl From<Buffers> for BufferConfig {
    fn from(section: Buffers) -> Self {
        let defaults = Self::default();
        Self {
            port_bytes: section.port_bytes.unwrap_or(defaults.port_bytes),
            frames_max: section.frames_max.unwrap_or(defaults.frames_max),
            neighbors_max: section.neighbors_max.unwrap_or(defaults.neighbors_max),
        }
    }
}

/// A number between `LOW` and `HIGH`.
pub(crate) fn bounded<'de, D, N, const LOW: u64, const HIGH: u64>(
    deserializer: D,
) -> Result<Option<N>, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64>,
{
    let number = i64::deserialize(deserializer)?;
    u64::try_from(number)
        .ok()
        .filter(|number| (LOW..=HIGH).contains(number))
        .and_then(|number| N::try_from(number).ok())
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{number} is out of range; expected {LOW} to {HIGH}")))
}

/// Whole seconds, one at least, ten years at most.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds: Option<u64> = bounded::<_, _, 1, 315_360_000>(deserializer)?;
    Ok(seconds.map(Duration::from_secs))
}

fn control<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

fn log<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    log_filter(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}
