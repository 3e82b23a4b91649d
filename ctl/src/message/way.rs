//! Ways that flows have kept: which of them are meant, what the user wants of them, and what has changed under them.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Family;

/// Which kept ways are meant: those that agree with everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WayFilter {
    /// They go by this gateway, or straight to this neighbor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// They leave by the port of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// They lead to a destination within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<IpNet>,
    /// They go to a neighbor with this Ethernet address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// Not an Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an Ethernet address; write it as 02:00:00:00:00:01")]
pub struct MacError(String);

/// How many flows were told to look up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsInvalidated {
    /// Flows that look up again with their next packet.
    pub invalidated: u64,
}

/// What becomes of an established flow when a better way than its own turns up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutePolicy {
    /// It takes the new way with its next packet.
    #[default]
    Move,
    /// It keeps its way while that can be used.
    Keep,
}

/// A prefix whose established flows have a policy of their own; of several that cover a destination the longest
/// counts, and without any they move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutePolicyRow {
    /// Destinations.
    pub prefix: IpNet,
    /// Their policy.
    pub policy: RoutePolicy,
}

/// A change of the routing state, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRow {
    /// Routing generation that it was part of.
    pub generation: u64,
    /// When it was taken over, in milliseconds since 1970 (UTC); null when that is no longer known.
    pub time_unix_ms: Option<u64>,
    /// What changed, in the words of [`super::FlowRoute::last_renewal`].
    pub change: Cow<'static, str>,
    /// Family; null for what is of both.
    pub family: Option<Family>,
    /// Table, as `ip` names it; null for what is of no table.
    pub table: Option<Cow<'static, str>>,
    /// Prefix; null for what is of none.
    pub prefix: Option<IpNet>,
    /// Gateway; null for what is of none.
    pub via: Option<IpAddr>,
    /// Name of the port; null for what is of none.
    pub port: Option<String>,
    /// The router's own address; null for what is of none.
    pub address: Option<IpAddr>,
    /// Flows that found another way because of it, in either direction.
    pub moved: u64,
}

impl WayFilter {
    /// Whether nothing is given, so that every way is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

impl Mac {
    /// Whether it is that of a group, or of everybody (the lowest bit of the first octet).
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl RoutePolicy {
    /// As written in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::Keep => "keep",
        }
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let wrong = || MacError(text.into());
        let mut octets = [0; 6];
        let mut words = text.split(':');
        for octet in &mut octets {
            let word = words.next().filter(|word| matches!(word.len(), 1 | 2)).ok_or_else(wrong)?;
            if !word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *octet = u8::from_str_radix(word, 16).map_err(|_| wrong())?;
        }
        if words.next().is_some() { Err(wrong()) } else { Ok(Self(octets)) }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_addresses_are_six_octets() {
        let mac: Mac = "2:0:5e:00:01:0A".parse().unwrap();
        assert_eq!(mac, Mac([2, 0, 0x5e, 0, 1, 10]));
        assert_eq!(mac.to_string(), "02:00:5e:00:01:0a");
        for text in ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:+1", "02:00:00:00:00:001"]
        {
            assert_eq!(text.parse::<Mac>(), Err(MacError(text.into())), "{text}");
        }
    }

    #[test]
    fn ways_are_meant_by_what_is_given() {
        let json = r#"{"via":"10.0.12.2","port":"r1","prefix":"10.2.0.0/16","mac":"02:00:00:00:00:02"}"#;
        let filter: WayFilter = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&filter).unwrap(), json);
        assert!(!filter.is_everything() && WayFilter::default().is_everything());
        assert!(serde_json::from_str::<WayFilter>(r#"{"gateway":"10.0.12.2"}"#).is_err());
    }
}
