//! Expectations: flows that others have announced, such as the data connections of FTP.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Family;

/// A flow that another has announced and that has not come yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectationRow {
    /// Unique among those this routerd has had.
    pub id: u64,
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// Name of the protocol, `unknown` where it has none.
    pub protocol: Cow<'static, str>,
    /// Number of the protocol (IANA).
    pub protocol_number: u8,
    /// Seconds until it ends if the flow does not come.
    pub timeout_s: u64,
    /// Whom the flow must come from; null for anybody.
    pub source: Option<IpAddr>,
    /// Where it goes.
    pub destination: IpAddr,
    /// Source port that it must have; null for any.
    pub source_port: Option<u16>,
    /// Its destination port.
    pub destination_port: u16,
    /// Conntrack zone.
    pub zone: u16,
    /// Name of the helper that read the announcement.
    pub helper: Cow<'static, str>,
    /// Which of the helper's bounds it counts under.
    pub class: u8,
    /// Any number of flows may answer to it; else the first one uses it up.
    pub permanent: bool,
    /// It does not hold yet.
    pub inactive: bool,
    /// The flow that announced it.
    pub master: MasterOfExpectation,
}

/// The flow that announced another, in its original direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterOfExpectation {
    /// Its `id` among the flows.
    pub id: u64,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}
