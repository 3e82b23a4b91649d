//! Rows of the router itself: status, ports, hooks, trackers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Counters, Family, FlowCacheModes};

/// How the router is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of routerd.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it was ready.
    pub uptime_s: u64,
    /// Who owns addresses and local traffic: `kernel`, `tun`, `none`.
    pub host: String,
    /// Name of the TUN device by which local packets pass to and from the kernel; null unless `host` is `tun`.
    #[serde(default)]
    pub host_device: Option<String>,
    /// Whether packets are forwarded (routes are known and the workers run).
    pub forwarding: bool,
    /// Number of worker threads.
    pub workers: u32,
    /// Names of the ports, as configured.
    pub ports: Vec<String>,
    /// Routing generation.
    pub generation: u64,
    /// What is remembered of flows.
    pub flow_cache: FlowCacheModes,
    /// Number of flows tracked.
    pub flows: u64,
    /// The most flows that will be tracked.
    pub flows_max: u64,
    /// Rules in force.
    #[serde(default)]
    pub rules: RulesCount,
    /// Whether packets for and from the router itself pass routerd.
    #[serde(default)]
    pub handover: bool,
    /// Whether the guard keeps the kernel from forwarding a second copy: `on`, `off`; `handover` if packets for and from
    /// the router itself pass routerd as well.
    pub guard: String,
    /// Settings of the namespace in force.
    pub settings: Settings,
}

/// How many rules there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesCount {
    /// Tables.
    pub tables: u64,
    /// Chains.
    pub chains: u64,
    /// Rules.
    pub rules: u64,
    /// Named sets and maps.
    pub sets: u64,
}

/// Settings by the names they have in the configuration file.
pub type Settings = BTreeMap<String, Setting>;

/// Value of a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// On or off.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A word.
    Word(Cow<'static, str>),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(true) => formatter.write_str("on"),
            Self::Flag(false) => formatter.write_str("off"),
            Self::Number(number) => number.fmt(formatter),
            Self::Word(word) => word.fmt(formatter),
        }
    }
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortRow {
    /// Name.
    pub name: String,
    /// The kernel's interface index; null when there is no such device now.
    pub index: Option<u32>,
    /// How frames pass: `af_packet`, `tun`, `memory`, `pcap`; `bridge` joins others; `host` is the device by which packets for and from the
    /// router itself pass.
    pub kind: Cow<'static, str>,
    /// Ethernet address; null for ports without one.
    pub mac: Option<String>,
    /// MTU in bytes.
    pub mtu: u32,
    /// State.
    pub state: PortState,
    /// Why it is not up; null when it is.
    pub reason: Option<String>,
    /// Settings in force on it.
    pub settings: Settings,
    /// Counters since routerd started: `received_frames`, `received_bytes`, `receive_dropped`, `receive_malformed`, `sent_frames`,
    /// `sent_bytes`, `send_dropped`, `system_calls`.
    pub counters: Counters,
}

/// State of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// Frames pass.
    Up,
    /// The device is there but down or without carrier.
    Down,
    /// There is no such device now.
    Absent,
}

impl PortState {
    /// As written in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Absent => "absent",
        }
    }
}

/// A registered hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookRow {
    /// Family whose packets it sees.
    pub family: Family,
    /// `prerouting`, `input`, `forward`, `output`, `postrouting`.
    pub point: Cow<'static, str>,
    /// Order at the point; the smaller is earlier.
    pub priority: i32,
    /// Its name.
    pub name: Cow<'static, str>,
}

/// A registered tracker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackerRow {
    /// What it reads.
    pub layer: TrackerLayer,
    /// Its name.
    pub name: Cow<'static, str>,
    /// Family it is for; null for both.
    pub family: Option<Family>,
    /// Protocol number it is for; null for those that nobody else tracks.
    pub protocol_number: Option<u8>,
    /// Timeouts in seconds by state.
    pub timeouts_s: BTreeMap<String, u64>,
}

/// What a tracker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackerLayer {
    /// The network header.
    Network,
    /// The transport header.
    Transport,
}
