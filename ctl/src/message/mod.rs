//! What routerctl asks and routerd answers.
//!
//! A client sends an [`Envelope`] and reads [`Reply`] messages: rows as they are made, then [`Reply::End`], or
//! [`Reply::Failure`] in place of what would have followed. [`Request::Monitor`] is answered until the client
//! hangs up. A connection may carry many requests, one after the other.
//!
//! The JSON of the rows is a promise to users (`docs/control.md`): keys are added within a version, never renamed,
//! removed or given another meaning.

mod bridge;
mod event;
mod expectation;
mod filter;
mod flow;
mod flow_cache;
mod host;
mod last_hop;
mod own;
mod question;
mod queue;
mod router;
mod routing;
mod rules;
mod way;

use std::collections::BTreeMap;

pub use bridge::{BridgePortRow, BridgeRow, MacFilter, MacKind, MacRow};
pub use event::{Event, EventKind, Subject};
pub use expectation::{ExpectationRow, MasterOfExpectation};
pub use filter::{FilterError, FlowFilter, FlowStatusFilter, MaskedMark, RouteFilter, TableFilter};
pub use flow::{FlowDirection, FlowRoute, FlowRow, FlowStatus, FlowVerdict, RouteSource};
pub use flow_cache::{
    FlowCacheAction, FlowCacheChange, FlowCacheError, FlowCacheEvent, FlowCacheKind, FlowCacheMode,
    FlowCacheModes, FlowCacheRow, FlowCacheUse, FlowsTouched, JournalDepth,
};
pub use host::HostEvent;
pub use last_hop::{FlowLastHop, LastHopKind, LastHopRow};
pub use own::{
    AddDel, AddressChange, ChangeError, ChangeVerb, Changed, Dad, NEXT_HOPS_MAX, NeighborChange,
    NeighborFlush, NeighborsFlushed, NextHopChange, PolicyAction, PolicyRuleChange, RouteChange, WEIGHT_MAX,
};
pub use question::{Action, JournalQuery, Question, RouteQuery, Topic, Topics};
pub use queue::QueueRow;
pub use router::{
    HookRow, PortRow, PortState, RulesCount, Setting, Settings, Status, TrackerLayer, TrackerRow,
};
pub use routing::{
    AddressRow, AnswerKind, NeighborFlag, NeighborOfAnswer, NeighborRow, NextHopRow, PolicyRuleRow,
    RouteAnswer, RouteKind, RouteRow,
};
pub use rules::{LogRow, RulesFile, RulesFilter, RulesLoaded};
use serde::{Deserialize, Serialize};
pub use way::{FlowsInvalidated, JournalRow, Mac, MacError, RoutePolicy, RoutePolicyRow, WayFilter};

/// Version of these messages. Another version is refused in words, before anything else is looked at.
pub const VERSION: u32 = 1;

/// Named counters. The names are part of the contract.
pub type Counters = BTreeMap<String, u64>;

/// A request with the version it was written in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// What is wanted.
    pub request: Request,
}

/// The part of an [`Envelope`] that every version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// [`VERSION`] of the sender.
    pub version: u32,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// To be told something. Changes nothing.
    Ask(Question),
    /// To have something changed.
    Do(Action),
    /// To be told what happens from now on.
    Monitor(Topics),
}

/// One message of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A row of what was asked for.
    Row(Row),
    /// Something happened (monitor).
    Event(Box<Event>),
    /// The client reads slower than things happen: this many events are missing here (monitor).
    Lost(u64),
    /// The answer is complete.
    End,
    /// There is no answer, or no more of it.
    Failure(Failure),
}

/// A row: what one line or object of a listing tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is named after its row type, which is documented")]
pub enum Row {
    Status(Box<Status>),
    Port(Box<PortRow>),
    Address(Box<AddressRow>),
    Route(Box<RouteRow>),
    PolicyRule(Box<PolicyRuleRow>),
    Neighbor(NeighborRow),
    Flow(Box<FlowRow>),
    Expectation(Box<ExpectationRow>),
    Hook(HookRow),
    Tracker(TrackerRow),
    Counters(Counters),
    Drops(Counters),
    FlowCache(Box<FlowCacheRow>),
    Journal(JournalRow),
    RoutePolicy(RoutePolicyRow),
    RouteAnswer(Box<RouteAnswer>),
    FlowsDeleted(FlowsDeleted),
    FlowsTouched(FlowsTouched),
    FlowsInvalidated(FlowsInvalidated),
    RulesLoaded(RulesLoaded),
    Bridge(Box<BridgeRow>),
    Mac(MacRow),
    Queue(Box<QueueRow>),
    LastHop(Box<LastHopRow>),
    Changed(Changed),
    NeighborsFlushed(NeighborsFlushed),
    /// Lines of a listing of rules, in nft's syntax.
    RulesText(String),
    /// One object of libnftables' JSON schema.
    RulesObject(Box<serde_json::Value>),
}

/// What became of a request to delete flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsDeleted {
    /// Number of flows deleted.
    pub deleted: u64,
}

/// Why there is no answer, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What a program can go by.
    pub kind: FailureKind,
    /// What was wrong and what can be done.
    pub message: String,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request is not one.
    BadRequest,
    /// The client speaks another version.
    Version,
    /// The peer may not ask this routerd.
    Forbidden,
    /// All places for clients are taken.
    Busy,
    /// The client sent no request for too long.
    TimedOut,
    /// What was named does not exist.
    NotFound,
    /// This routerd could not do it.
    Failed,
}

/// Address family of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// ARP (hooks only).
    Arp,
    /// Bridged frames (hooks only).
    Bridge,
}

impl Envelope {
    /// Puts the current version on a request.
    #[must_use]
    pub const fn new(request: Request) -> Self {
        Self { version: VERSION, request }
    }
}

impl Failure {
    /// A failure of this kind.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl Family {
    /// Family of an address.
    #[must_use]
    pub const fn of(address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(_) => Self::Ipv4,
            std::net::IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// As written in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
        }
    }
}

impl Row {
    /// Writes what the row tells as one JSON object, without the name of its kind.
    ///
    /// # Errors
    /// Those of `into`.
    pub fn write_json(&self, into: &mut impl std::io::Write) -> serde_json::Result<()> {
        match self {
            Self::Status(row) => serde_json::to_writer(into, row),
            Self::Port(row) => serde_json::to_writer(into, row),
            Self::Address(row) => serde_json::to_writer(into, row),
            Self::Route(row) => serde_json::to_writer(into, row),
            Self::PolicyRule(row) => serde_json::to_writer(into, row),
            Self::Neighbor(row) => serde_json::to_writer(into, row),
            Self::Flow(row) => serde_json::to_writer(into, row),
            Self::Expectation(row) => serde_json::to_writer(into, row),
            Self::Hook(row) => serde_json::to_writer(into, row),
            Self::Tracker(row) => serde_json::to_writer(into, row),
            Self::Counters(row) | Self::Drops(row) => serde_json::to_writer(into, row),
            Self::FlowCache(row) => serde_json::to_writer(into, row),
            Self::RouteAnswer(row) => serde_json::to_writer(into, row),
            Self::Journal(row) => serde_json::to_writer(into, row),
            Self::RoutePolicy(row) => serde_json::to_writer(into, row),
            Self::FlowsDeleted(row) => serde_json::to_writer(into, row),
            Self::FlowsTouched(row) => serde_json::to_writer(into, row),
            Self::FlowsInvalidated(row) => serde_json::to_writer(into, row),
            Self::RulesLoaded(row) => serde_json::to_writer(into, row),
            Self::Bridge(row) => serde_json::to_writer(into, row),
            Self::Mac(row) => serde_json::to_writer(into, row),
            Self::Queue(row) => serde_json::to_writer(into, row),
            Self::LastHop(row) => serde_json::to_writer(into, row),
            Self::Changed(row) => serde_json::to_writer(into, row),
            Self::NeighborsFlushed(row) => serde_json::to_writer(into, row),
            Self::RulesText(text) => serde_json::to_writer(into, text),
            Self::RulesObject(object) => serde_json::to_writer(into, object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_as_documented() {
        for (json, request) in [
            (r#"{"ask":"status"}"#, Request::Ask(Question::Status)),
            (r#"{"ask":{"flows":{}}}"#, Request::Ask(Question::Flows(Box::default()))),
            (
                r#"{"do":{"flow_cache":"flush"}}"#,
                Request::Do(Action::FlowCache(Box::new(FlowCacheAction::Flush.into()))),
            ),
            (
                r#"{"do":{"invalidate_flows":{"port":"r1"}}}"#,
                Request::Do(Action::InvalidateFlows(Box::new(WayFilter {
                    port: Some("r1".into()),
                    ..WayFilter::default()
                }))),
            ),
            (
                r#"{"do":{"set_route_policy":{"prefix":"10.0.0.0/8","policy":"keep"}}}"#,
                Request::Do(Action::SetRoutePolicy(RoutePolicyRow {
                    prefix: "10.0.0.0/8".parse().unwrap(),
                    policy: RoutePolicy::Keep,
                })),
            ),
            (
                r#"{"do":{"unset_route_policy":"10.0.0.0/8"}}"#,
                Request::Do(Action::UnsetRoutePolicy("10.0.0.0/8".parse().unwrap())),
            ),
            (r#"{"ask":{"journal":{}}}"#, Request::Ask(Question::Journal(JournalQuery::default()))),
            (r#"{"do":{"delete_flows":{}}}"#, Request::Do(Action::DeleteFlows(Box::default()))),
            (
                r#"{"monitor":{"flows":true,"routes":true,"neighbors":true,"log":true,"expectations":true,"flow_cache":true,"host":true}}"#,
                Request::Monitor(Topics::ALL),
            ),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), json);
            assert_eq!(serde_json::from_str::<Request>(json).unwrap(), request);
        }
        let before_logs = r#"{"monitor":{"flows":true,"routes":false,"neighbors":false}}"#;
        let topics = Topics::from(Topic::Flows);
        assert_eq!(serde_json::from_str::<Request>(before_logs).unwrap(), Request::Monitor(topics));
        let least = r#"{"version":1,"request":{"ask":{"route_get":{"destination":"10.0.0.1"}}}}"#;
        let envelope: Envelope = serde_json::from_str(least).unwrap();
        assert!(matches!(envelope.request, Request::Ask(Question::RouteGet(query)) if query.mark == 0));
        let routes = Request::Ask(Question::Routes(RouteFilter::default()));
        assert_eq!(serde_json::from_str::<Request>(r#"{"ask":{"routes":{}}}"#).unwrap(), routes);
    }

    #[test]
    fn replies_are_written_as_documented() {
        let failure = Failure::new(FailureKind::Busy, "later");
        for (json, reply) in [
            (r#""end""#, Reply::End),
            (r#"{"lost":3}"#, Reply::Lost(3)),
            (r#"{"failure":{"kind":"busy","message":"later"}}"#, Reply::Failure(failure)),
            (
                r#"{"row":{"flows_deleted":{"deleted":2}}}"#,
                Reply::Row(Row::FlowsDeleted(FlowsDeleted { deleted: 2 })),
            ),
        ] {
            assert_eq!(serde_json::to_string(&reply).unwrap(), json);
            assert_eq!(serde_json::from_str::<Reply>(json).unwrap(), reply);
        }
    }
}
