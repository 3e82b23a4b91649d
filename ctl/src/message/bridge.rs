//! Rows of bridges: their ports, and the table of which Ethernet address is behind which.

use serde::{Deserialize, Serialize};

use super::{Counters, Mac, PortState};

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeRow {
    /// Name; it is the name of a port, too, which has addresses and routes.
    pub name: String,
    /// Its own Ethernet address.
    pub mac: Mac,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether frames pass: at least one member does.
    pub state: PortState,
    /// Members, as configured.
    pub ports: Vec<BridgePortRow>,
    /// Entries of its MAC table.
    pub macs: u64,
    /// The most there can be.
    pub macs_max: u64,
    /// Seconds after which a learned address is forgotten if no frame comes from it.
    pub ageing_s: u64,
    /// Frames since routerd started: `received_*`, `sent_*` by the port that the bridge is; `forwarded`, `flooded` with their
    /// `copies` and `copies_lost`, `too_big`; `pulled_up` into the hooks of IP, and `not_pulled_up` that were to be; addresses
    /// `learned` and `moved`; `macs_full`, `fixed_elsewhere`; `looped`.
    pub counters: Counters,
}

/// A member of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePortRow {
    /// Name of the port.
    pub port: String,
    /// State of the port.
    pub state: PortState,
    /// Why no frames pass; null when they do.
    pub reason: Option<String>,
    /// Addresses learned behind it.
    pub macs: u64,
}

/// An Ethernet address in the table of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacRow {
    /// The address.
    pub mac: Mac,
    /// Name of the bridge.
    pub bridge: String,
    /// Name of the member it is behind; null for an address of the bridge itself.
    pub port: Option<String>,
    /// Seconds since a frame came from it; null where that does not count.
    pub age_s: Option<u64>,
    /// How it came to be known.
    pub kind: MacKind,
}

/// How an Ethernet address came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacKind {
    /// A frame came from it.
    Learned,
    /// It was configured.
    Static,
    /// It is the bridge's own, or that of a member.
    Own,
}

/// Which entries of MAC tables are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MacFilter {
    /// Those of the bridge of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
}

impl MacKind {
    /// As written in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Static => "static",
            Self::Own => "own",
        }
    }
}
