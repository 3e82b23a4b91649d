//! The form of `routerd.toml`: what serde reads, each value within its bounds, before it is put together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ctl::address::Address;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::arguments::log_filter;
use super::{
    BufferConfig, OffloadConfig, OnOff, QueueConfig, WORKERS_MAX, bridge, flow_cache, host, last_hop,
    tracking,
};
use crate::sysctl::{LinkOverrides, NamespaceOverrides};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) ports: Vec<Spanned<String>>,
    pub(super) host: Option<Spanned<host::Value>>,
    #[serde(deserialize_with = "bounded::<_, _, 1, { WORKERS_MAX as u64 }>")]
    pub(super) workers: Option<u16>,
    #[serde(deserialize_with = "control")]
    pub(super) control: Option<Address>,
    pub(super) rules: Option<PathBuf>,
    pub(super) flow_cache: Option<OnOff>,
    pub(super) handover: Option<OnOff>,
    #[serde(deserialize_with = "log")]
    pub(super) log: Option<String>,
    pub(super) sysctl: NamespaceOverrides,
    pub(super) port: BTreeMap<String, Spanned<LinkOverrides>>,
    pub(super) bridge: Vec<bridge::Section>,
    pub(super) conntrack: tracking::Section,
    pub(super) buffers: Buffers,
    pub(super) offload: Offload,
    pub(super) queue: Queue,
    #[serde(rename = "flow-cache")]
    pub(super) flow_cache_section: flow_cache::Section,
    #[serde(rename = "last-hop")]
    pub(super) last_hop: Option<Spanned<last_hop::Section>>,
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

/// `[queue]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Queue {
    #[serde(deserialize_with = "bounded::<_, _, 1, 3600>")]
    pub(super) answer_s: Option<u64>,
}

/// `[offload]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Offload {
    pub(super) card: bool,
    #[serde(deserialize_with = "bounded::<_, _, 1, 10_000_000>")]
    pub(super) flows_max: Option<usize>,
}

impl From<Offload> for OffloadConfig {
    fn from(section: Offload) -> Self {
        let defaults = Self::default();
        Self { card: section.card, flows_max: section.flows_max.unwrap_or(defaults.flows_max) }
    }
}

impl From<Queue> for QueueConfig {
    fn from(section: Queue) -> Self {
        Self { answer_s: section.answer_s.unwrap_or(Self::default().answer_s) }
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

fn control<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

fn log<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    log_filter(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}
