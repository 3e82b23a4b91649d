//! Which flows and routes are meant: filters as `conntrack` and `ip route` have them.

use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, FlowRow, FlowStatus, RouteRow};

/// Which flows are meant: those that agree with everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowFilter {
    /// [`FlowRow::id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Protocol number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_number: Option<u8>,
    /// The original direction's source lies within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpNet>,
    /// The original direction's destination lies within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<IpNet>,
    /// The reply direction's source lies within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_source: Option<IpNet>,
    /// The reply direction's destination lies within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_destination: Option<IpNet>,
    /// The original direction's source port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// The original direction's destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// The reply direction's source port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_source_port: Option<u16>,
    /// The reply direction's destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_destination_port: Option<u16>,
    /// The original direction's ICMP type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// The original direction's ICMP code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// The original direction's ICMP identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_id: Option<u16>,
    /// State, in capitals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Facts that must all hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<FlowStatusFilter>,
    /// Connection mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<MaskedMark>,
    /// Zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
}

/// A fact to be asked for (`conntrack -u`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowStatusFilter {
    /// [`FlowStatus::SeenReply`].
    SeenReply,
    /// Not [`FlowStatus::SeenReply`].
    Unreplied,
    /// [`FlowStatus::Assured`].
    Assured,
    /// [`FlowStatus::Confirmed`].
    Confirmed,
}

/// A mark, compared under a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedMark {
    /// Value, under the mask.
    pub value: u32,
    /// Bits that count.
    pub mask: u32,
}

/// Which routes are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteFilter {
    /// Family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Table.
    pub table: TableFilter,
    /// The route's prefix lies within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<IpNet>,
}

/// Which tables are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFilter {
    /// Every table but `local`, which holds the namespace's own addresses.
    #[default]
    NotLocal,
    /// Every table.
    All,
    /// The table of this name, or number if it has no name.
    Named(String),
}

/// Why a filter cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Addresses of both families, or other than the family asked for.
    #[error("{0} and {1} are of different families: no flow has both")]
    Families(String, String),
    /// Not a mark.
    #[error("{0:?} is not a mark: write VALUE or VALUE/MASK, in decimal or 0x… hexadecimal")]
    Mark(String),
}

impl FlowFilter {
    /// Whether nothing is given, so that every flow is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Finds contradictions, which would otherwise look like an empty table.
    ///
    /// # Errors
    /// [`FilterError::Families`].
    pub fn check(&self) -> Result<(), FilterError> {
        let mut seen = self.family.map(|family| (family, family.name().to_owned()));
        let networks = [self.source, self.destination, self.reply_source, self.reply_destination];
        for network in networks.into_iter().flatten() {
            let family = Family::of(network.addr());
            match &seen {
                Some((other, text)) if *other != family => {
                    return Err(FilterError::Families(text.clone(), network.to_string()));
                }
                _ => seen = Some((family, network.to_string())),
            }
        }
        Ok(())
    }

    /// Whether `flow` is meant.
    #[must_use]
    pub fn matches(&self, flow: &FlowRow) -> bool {
        let (original, reply) = (&flow.original, &flow.reply);
        agrees(self.id, flow.id)
            && agrees(self.family, flow.family)
            && agrees(self.protocol_number, flow.protocol_number)
            && agrees(self.zone, flow.zone)
            && self.source.is_none_or(|network| network.contains(&original.source))
            && self.destination.is_none_or(|network| network.contains(&original.destination))
            && self.reply_source.is_none_or(|network| network.contains(&reply.source))
            && self.reply_destination.is_none_or(|network| network.contains(&reply.destination))
            && present_and_agrees(self.source_port, original.source_port)
            && present_and_agrees(self.destination_port, original.destination_port)
            && present_and_agrees(self.reply_source_port, reply.source_port)
            && present_and_agrees(self.reply_destination_port, reply.destination_port)
            && present_and_agrees(self.icmp_type, original.icmp_type)
            && present_and_agrees(self.icmp_code, original.icmp_code)
            && present_and_agrees(self.icmp_id, original.icmp_id)
            && self.state.as_deref().is_none_or(|state| flow.state.as_deref() == Some(state))
            && self.mark.is_none_or(|mark| mark.matches(flow.mark))
            && self.status.iter().all(|fact| match fact {
                FlowStatusFilter::SeenReply => flow.is(FlowStatus::SeenReply),
                FlowStatusFilter::Unreplied => !flow.is(FlowStatus::SeenReply),
                FlowStatusFilter::Assured => flow.is(FlowStatus::Assured),
                FlowStatusFilter::Confirmed => flow.is(FlowStatus::Confirmed),
            })
    }
}

impl MaskedMark {
    /// Whether `mark` agrees in the bits that count.
    #[must_use]
    pub const fn matches(self, mark: u32) -> bool {
        mark & self.mask == self.value & self.mask
    }
}

impl FromStr for MaskedMark {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let number = |digits: &str| {
            digits
                .strip_prefix("0x")
                .map_or_else(|| digits.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
                .ok_or_else(|| FilterError::Mark(text.into()))
        };
        let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
        Ok(Self { value: number(value)?, mask: number(mask)? })
    }
}

impl RouteFilter {
    /// Whether `route` is meant.
    #[must_use]
    pub fn matches(&self, route: &RouteRow) -> bool {
        agrees(self.family, route.family)
            && self.within.is_none_or(|network| network.contains(&route.prefix))
            && match &self.table {
                TableFilter::NotLocal => route.table != "local",
                TableFilter::All => true,
                TableFilter::Named(name) => route.table == name.as_str(),
            }
    }
}

fn agrees<T: PartialEq>(wanted: Option<T>, actual: T) -> bool {
    wanted.is_none_or(|wanted| wanted == actual)
}

fn present_and_agrees<T: PartialEq>(wanted: Option<T>, actual: Option<T>) -> bool {
    wanted.is_none() || wanted == actual
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    /// A filter with one thing given, as JSON.
    fn filter(json: &str) -> FlowFilter {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn everything_given_has_to_agree() {
        for (yes, no) in [
            (r#"{"id":1}"#, r#"{"id":2}"#),
            (r#"{"family":"ipv4"}"#, r#"{"family":"ipv6"}"#),
            (r#"{"protocol_number":6}"#, r#"{"protocol_number":17}"#),
            (r#"{"source":"127.0.0.0/8"}"#, r#"{"source":"10.0.0.0/8"}"#),
            (r#"{"destination":"127.0.0.1/32"}"#, r#"{"destination":"127.0.0.2/32"}"#),
            (r#"{"reply_source":"0.0.0.0/0"}"#, r#"{"reply_source":"::/0"}"#),
            (r#"{"reply_destination":"127.0.0.0/31"}"#, r#"{"reply_destination":"127.0.0.2/31"}"#),
            (r#"{"source_port":38986}"#, r#"{"source_port":7777}"#),
            (r#"{"destination_port":7777}"#, r#"{"destination_port":38986}"#),
            (r#"{"reply_source_port":7777}"#, r#"{"reply_source_port":38986}"#),
            (r#"{"reply_destination_port":38986}"#, r#"{"reply_destination_port":7777}"#),
            (r#"{"state":"ESTABLISHED"}"#, r#"{"state":"TIME_WAIT"}"#),
            (r#"{"status":["assured","seen_reply"]}"#, r#"{"status":["assured","unreplied"]}"#),
            (r#"{"status":["confirmed"]}"#, r#"{"status":["unreplied"]}"#),
            (r#"{"mark":{"value":17,"mask":4294967295}}"#, r#"{"mark":{"value":16,"mask":4294967295}}"#),
            (r#"{"mark":{"value":49,"mask":31}}"#, r#"{"mark":{"value":49,"mask":63}}"#),
            (r#"{"zone":0}"#, r#"{"zone":1}"#),
            ("{}", r#"{"icmp_type":8}"#),
            ("{}", r#"{"icmp_code":0}"#),
            ("{}", r#"{"icmp_id":0}"#),
        ] {
            let flow = samples::tcp();
            assert!(filter(yes).matches(&flow), "{yes}");
            assert!(!filter(no).matches(&flow), "{no}");
        }
        let echo = samples::icmpv6();
        assert!(filter(r#"{"icmp_type":128,"icmp_code":0,"icmp_id":9161}"#).matches(&echo));
        assert!(!filter(r#"{"icmp_type":129}"#).matches(&echo), "the original direction counts");
        assert!(!filter(r#"{"source_port":0}"#).matches(&echo), "what has no ports has no port 0");
    }

    #[test]
    fn a_key_that_is_no_filter_is_refused_and_not_taken_for_all_flows() {
        assert!(serde_json::from_str::<FlowFilter>(r#"{"sourcd":"10.0.0.0/8"}"#).is_err());
        assert!(serde_json::from_str::<RouteFilter>(r#"{"tabel":"all"}"#).is_err());
    }

    #[test]
    fn marks_are_decimal_or_hexadecimal() {
        let mark = |text: &str| text.parse::<MaskedMark>();
        assert_eq!(mark("16"), Ok(MaskedMark { value: 16, mask: u32::MAX }));
        assert_eq!(mark("0x10/0xff"), Ok(MaskedMark { value: 16, mask: 255 }));
        for text in ["", "x", "1/", "0x", "4294967296", "-1", "1/2/3"] {
            assert_eq!(mark(text), Err(FilterError::Mark(text.into())), "{text:?}");
        }
    }

    #[test]
    fn routes_pass_by_table_family_and_prefix() {
        let route = samples::route();
        let filter = |json: &str| serde_json::from_str::<RouteFilter>(json).unwrap();
        for passes in
            ["{}", r#"{"within":"10.0.0.0/8"}"#, r#"{"table":{"named":"main"}}"#, r#"{"table":"all"}"#]
        {
            assert!(filter(passes).matches(&route), "{passes}");
        }
        for fails in [r#"{"family":"ipv6"}"#, r#"{"within":"10.10.0.0/17"}"#, r#"{"table":{"named":"100"}}"#]
        {
            assert!(!filter(fails).matches(&route), "{fails}");
        }
        let local = RouteRow { table: "local".into(), ..route };
        assert!(!filter("{}").matches(&local) && filter(r#"{"table":"all"}"#).matches(&local));
    }
}
