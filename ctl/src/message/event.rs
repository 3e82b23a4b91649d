//! What `monitor` tells: something began, changed or ended.

use serde::{Deserialize, Serialize};

use super::{ExpectationRow, FlowCacheEvent, FlowRow, HostEvent, LogRow, NeighborRow, RouteRow, Topic};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub event: EventKind,
    /// What it happened to, under the key `flow`, `route`, `neighbor`, `log`, `expectation`, `flow_cache` or `host`.
    #[serde(flatten)]
    pub subject: Subject,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It is there and was not.
    New,
    /// It is different.
    Changed,
    /// It is gone.
    Gone,
}

/// What it happened to, as it is now; as it last was for [`EventKind::Gone`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is named after its row type, which is documented")]
pub enum Subject {
    Flow(Box<FlowRow>),
    Route(Box<RouteRow>),
    Neighbor(NeighborRow),
    Log(Box<LogRow>),
    Expectation(Box<ExpectationRow>),
    FlowCache(Box<FlowCacheEvent>),
    Host(Box<HostEvent>),
}

impl Event {
    /// The topic it belongs to.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        match self.subject {
            Subject::Flow(_) => Topic::Flows,
            Subject::Route(_) => Topic::Routes,
            Subject::Neighbor(_) => Topic::Neighbors,
            Subject::Log(_) => Topic::Log,
            Subject::Expectation(_) => Topic::Expectations,
            Subject::FlowCache(_) => Topic::FlowCache,
            Subject::Host(_) => Topic::Host,
        }
    }
}
