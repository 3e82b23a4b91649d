//! Rows of `show flows`: a tracked connection and what is remembered of it in each direction.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, FlowCacheMode, FlowLastHop, RoutePolicy};

/// A flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRow {
    /// Number that no other flow of this routerd has had.
    pub id: u64,
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// Name of the protocol as `conntrack -L` writes it, `unknown` where it has none.
    pub protocol: Cow<'static, str>,
    /// Number of the protocol (IANA).
    pub protocol_number: u8,
    /// State in its tracker's words (`ESTABLISHED`), null where the protocol has no states.
    pub state: Option<Cow<'static, str>>,
    /// Facts known of the flow.
    pub status: Vec<FlowStatus>,
    /// Seconds until it ends if no packet comes.
    pub timeout_s: u64,
    /// Connection mark.
    pub mark: u32,
    /// Conntrack zone, 0 by default and where it holds one direction only.
    pub zone: u16,
    /// Name of the helper that watches the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<Cow<'static, str>>,
    /// Numbers of the labels that are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<u8>,
    /// Number of the flow that announced this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<u64>,
    /// Whom it came from, if that is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_hop: Option<FlowLastHop>,
    /// The direction of the first packet.
    pub original: FlowDirection,
    /// The other direction, as its packets arrive.
    pub reply: FlowDirection,
}

/// One direction of a flow. Which of the optional keys are there depends on the protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowDirection {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port, for protocols with ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Destination port, for protocols with ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// ICMP type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// ICMP code.
    #[serde(default, rename = "code", skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// ICMP identifier.
    #[serde(default, rename = "id", skip_serializing_if = "Option::is_none")]
    pub icmp_id: Option<u16>,
    /// Conntrack zone that holds this direction only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
    /// Packets seen.
    pub packets: u64,
    /// Bytes seen, IP headers included.
    pub bytes: u64,
    /// What the flow remembers of this direction's route.
    pub route: FlowRoute,
    /// What the flow remembers of what rules make of this direction's packets.
    #[serde(default)]
    pub verdict: FlowVerdict,
}

/// The route a flow keeps for one direction. All keys are there also when nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowRoute {
    /// Name of the output port.
    pub port: Option<String>,
    /// Gateway, or the destination itself when it is on the link.
    pub next_hop: Option<IpAddr>,
    /// Ethernet address frames go to now; null when it is not known or the port needs none.
    pub neighbor: Option<String>,
    /// Prefix that answered; null when a policy rule or nothing did.
    #[serde(default)]
    pub prefix: Option<IpNet>,
    /// Table that answered, as `ip` names it.
    #[serde(default)]
    pub table: Option<Cow<'static, str>>,
    /// What becomes of it when a better one turns up.
    #[serde(default)]
    pub policy: Option<RoutePolicy>,
    /// Routing generation for which the route is known to be true.
    pub generation: u64,
    /// Whether the next packet will use it without looking up, judged by the routing state of now.
    pub valid: bool,
    /// Where it comes from.
    pub source: RouteSource,
    /// Packets that used it.
    pub hits: u64,
    /// How many times it was looked up again.
    pub renewals: u64,
    /// Why it was looked up last.
    pub last_renewal: Option<Cow<'static, str>>,
    /// Mode that was set for this flow; left out when the router's is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FlowCacheMode>,
}

/// What a flow remembers, for one direction, of what rules make of its packets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowVerdict {
    /// Whether anything is remembered.
    pub cached: bool,
    /// Whether it holds for the rules of now.
    pub valid: bool,
    /// Whether rules look at more than stays the same from packet to packet, so that nothing is remembered and each
    /// packet is judged.
    #[serde(default)]
    pub unfit: bool,
    /// What becomes of the packets: `accept`, `drop`, `reject`; null when nothing is remembered.
    pub outcome: Option<Cow<'static, str>>,
    /// Counters of rules and sets that each packet counts at.
    pub counters: u64,
    /// Mode that was set for this flow; left out when the router's is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FlowCacheMode>,
}

/// Where a kept route comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteSource {
    /// A lookup in the FIB.
    Fib,
    /// The neighbor the flow came from.
    LastHop,
    /// Nothing is kept.
    #[default]
    None,
}

/// A fact known of a flow (`IPS_*` of the kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowStatus {
    /// It was expected because of another flow.
    Expected,
    /// Packets went both ways.
    SeenReply,
    /// It is not dropped early when room is needed.
    Assured,
    /// Its first packet has left.
    Confirmed,
    /// Its source is translated.
    SourceNat,
    /// Its destination is translated.
    DestinationNat,
    /// TCP sequence numbers are adjusted.
    SequenceAdjusted,
    /// Source translation was decided.
    SourceNatDone,
    /// Destination translation was decided.
    DestinationNatDone,
    /// It is being removed.
    Dying,
    /// Packets do not prolong it.
    FixedTimeout,
    /// It is a template, not a flow.
    Template,
    /// Its translation clashed with another's.
    NatClash,
    /// A helper watches it.
    Helper,
    /// Packets take a short cut.
    Offload,
    /// Hardware forwards it.
    HardwareOffload,
}

impl FlowStatus {
    /// All of them, in the order of the kernel's bits (`enum ip_conntrack_status`).
    pub const ALL: [Self; 16] = [
        Self::Expected,
        Self::SeenReply,
        Self::Assured,
        Self::Confirmed,
        Self::SourceNat,
        Self::DestinationNat,
        Self::SequenceAdjusted,
        Self::SourceNatDone,
        Self::DestinationNatDone,
        Self::Dying,
        Self::FixedTimeout,
        Self::Template,
        Self::NatClash,
        Self::Helper,
        Self::Offload,
        Self::HardwareOffload,
    ];

    /// The facts whose bits are set in `bits` (`IPS_*`, `linux/netfilter/nf_conntrack_common.h`).
    #[must_use]
    pub fn from_bits(bits: u32) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| bits >> bit & 1 == 1)
            .map(|(_, fact)| fact)
            .collect()
    }
}

impl FlowRow {
    /// Whether `fact` is known of the flow.
    #[must_use]
    pub fn is(&self, fact: FlowStatus) -> bool {
        self.status.contains(&fact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_bits_are_the_kernels() {
        assert_eq!(
            FlowStatus::from_bits(0x18e),
            [
                FlowStatus::SeenReply,
                FlowStatus::Assured,
                FlowStatus::Confirmed,
                FlowStatus::SourceNatDone,
                FlowStatus::DestinationNatDone
            ]
        );
        assert_eq!(FlowStatus::from_bits(1 << 9), [FlowStatus::Dying]);
        assert_eq!(FlowStatus::from_bits(1 << 15), [FlowStatus::HardwareOffload]);
        assert_eq!(FlowStatus::from_bits(0), []);
    }
}
