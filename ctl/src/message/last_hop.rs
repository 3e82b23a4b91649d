//! Rows of last hops: whom flows came from, and where their replies go unrouted.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Mac;

/// A last hop that flows remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHopRow {
    /// Number by which flows refer to it.
    pub number: u32,
    /// Port that packets of the original direction come in by.
    pub port: String,
    /// Ethernet address they came from; null where the port has none.
    pub source_mac: Option<Mac>,
    /// Address of the neighbor that it stands for, if it is known; that neighbor's Ethernet address is followed.
    pub neighbor: Option<IpAddr>,
    /// Ethernet address that replies go to now; null where the port has none, and while they are routed.
    pub answers_to: Option<Mac>,
    /// Ethernet address they were sent to; null where the port has none.
    pub destination_mac: Option<Mac>,
    /// What kind of address the source is.
    pub kind: LastHopKind,
    /// Number of the virtual router or group, of kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_id: Option<u16>,
    /// Name of the group of gateways it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Flows that remember it.
    pub flows: u64,
    /// Seconds since something was heard from the source.
    pub silent_s: u64,
    /// Packets of local programs with the mark of original packets go to its destination.
    pub is_newest: bool,
    /// Whether replies go there.
    pub alive: bool,
    /// Why not, so that replies are routed; null when they go there.
    pub reason: Option<String>,
}

/// What kind of Ethernet address a last hop has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastHopKind {
    /// One interface's.
    #[default]
    Physical,
    /// A virtual router's of VRRP (RFC 9568 section 7.3: `00:00:5e:00:01:…`, `00:00:5e:00:02:…`).
    Vrrp,
    /// A virtual router's of HSRP (`00:00:0c:07:ac:…`, `00:00:0c:9f:f…`, `00:05:73:a0:0…`).
    Hsrp,
    /// A virtual forwarder's of GLBP (`00:07:b4:00:…`).
    Glbp,
    /// One of a group of gateways that was declared.
    Group,
}

/// What a flow remembers of whom it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLastHop {
    /// Port that packets of the original direction come in by.
    pub port: String,
    /// Ethernet address they came from; null where the port has none.
    pub source_mac: Option<Mac>,
    /// Ethernet address they were sent to; null where the port has none.
    pub destination_mac: Option<Mac>,
    /// Address of the neighbor that the source stands for, if it is known.
    pub neighbor: Option<IpAddr>,
    /// Ethernet address that replies go to now; null where the port has none, and while they are routed.
    pub answers_to: Option<Mac>,
    /// Whether the newest reply went there.
    pub used: bool,
}

impl LastHopKind {
    /// As written in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Physical => "physical",
            Self::Vrrp => "vrrp",
            Self::Hsrp => "hsrp",
            Self::Glbp => "glbp",
            Self::Group => "group",
        }
    }
}
