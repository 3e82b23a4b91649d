//! What may be asked, what may be done, and what may be watched.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    AddressChange, FlowCacheChange, FlowFilter, MacFilter, NeighborChange, NeighborFlush, PolicyRuleChange,
    RouteChange, RouteFilter, RoutePolicyRow, RulesFile, RulesFilter, WayFilter,
};

/// What may be asked. Answering changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// How the router is; one [`super::Status`].
    Status,
    /// [`super::PortRow`] of each port.
    Ports,
    /// [`super::AddressRow`] of each address, ordered by link.
    Addresses,
    /// [`super::RouteRow`] of each route that passes the filter.
    Routes(RouteFilter),
    /// [`super::PolicyRuleRow`] of each policy rule, both families.
    PolicyRules,
    /// [`super::NeighborRow`] of each neighbor.
    Neighbors,
    /// [`super::FlowRow`] of each flow that passes the filter.
    Flows(Box<FlowFilter>),
    /// [`super::ExpectationRow`] of each flow that another has announced, those that end first before the others.
    Expectations,
    /// [`super::HookRow`] of each registered hook, in the order packets meet them.
    Hooks,
    /// [`super::TrackerRow`] of each registered tracker.
    Trackers,
    /// Named counters, one object.
    Counters,
    /// Dropped packets by reason, one object.
    Drops,
    /// What the flow cache does; one [`super::FlowCacheRow`].
    FlowCache,
    /// The last changes of the routing state, [`super::JournalRow`] of each, the newest first.
    Journal(JournalQuery),
    /// [`super::RoutePolicyRow`] of each prefix that has a policy for its established flows.
    RoutePolicies,
    /// Where a packet would go; one [`super::RouteAnswer`].
    RouteGet(RouteQuery),
    /// The rules: [`super::Row::RulesText`], or [`super::Row::RulesObject`] of each object.
    Rules(RulesFilter),
    /// What would become of the rules if this file were loaded; one [`super::RulesLoaded`].
    CheckRules(Box<RulesFile>),
    /// [`super::BridgeRow`] of each bridge.
    Bridges,
    /// [`super::MacRow`] of each Ethernet address that the bridges meant know.
    Macs(MacFilter),
    /// [`super::QueueRow`] of each queue that is bound or was queued to.
    Queues,
    /// [`super::LastHopRow`] of each last hop that flows remember.
    LastHops,
}

impl Question {
    /// Whether the answer is a list (a JSON array) or one object.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        !matches!(
            self,
            Self::Status
                | Self::Counters
                | Self::Drops
                | Self::FlowCache
                | Self::RouteGet(_)
                | Self::CheckRules(_)
        )
    }
}

/// How many changes of the routing state are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalQuery {
    /// At most this many; without it all that are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_max: Option<u64>,
}

/// The packet that `route get` asks about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteQuery {
    /// Where to.
    pub destination: IpAddr,
    /// `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// `iif`: name of the port of entry; without it the packet is the router's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_port: Option<String>,
    /// `mark`.
    #[serde(default)]
    pub mark: u32,
}

/// What may be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Switches or flushes the flow cache; answered by one [`super::FlowCacheRow`], or by one
    /// [`super::FlowsTouched`] if it was done to some flows only.
    FlowCache(Box<FlowCacheChange>),
    /// Has the flows that keep such a way look up again with their next packet; answered by one
    /// [`super::FlowsInvalidated`].
    InvalidateFlows(Box<WayFilter>),
    /// Sets the policy of a prefix; answered by its [`RoutePolicyRow`].
    SetRoutePolicy(RoutePolicyRow),
    /// Leaves a prefix without a policy of its own; answered by the [`RoutePolicyRow`] it had.
    UnsetRoutePolicy(IpNet),
    /// Deletes the flows that pass the filter; answered by one [`super::FlowsDeleted`].
    DeleteFlows(Box<FlowFilter>),
    /// Carries a file of rules out, whole or not at all; answered by one [`super::RulesLoaded`].
    LoadRules(Box<RulesFile>),
    /// Gives a port an own address, or takes it; answered by one [`super::Changed`].
    ChangeAddress(AddressChange),
    /// Makes, replaces or deletes an own route; answered by one [`super::Changed`].
    ChangeRoute(Box<RouteChange>),
    /// Adds or deletes an own policy rule; answered by one [`super::Changed`].
    ChangePolicyRule(Box<PolicyRuleChange>),
    /// Sets a neighbor by hand, or no longer; answered by one [`super::Changed`].
    ChangeNeighbor(NeighborChange),
    /// Forgets neighbors that are not set by hand; answered by one [`super::NeighborsFlushed`].
    FlushNeighbors(NeighborFlush),
}

/// Something that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Flows that begin, change state and end.
    Flows,
    /// Routes that come and go.
    Routes,
    /// Neighbors that are learned, change and fail.
    Neighbors,
    /// What rules log.
    Log,
    /// Flows that are announced, and announcements that end.
    Expectations,
    /// What changes in the flow cache.
    FlowCache,
    /// What befalls the router as a host, its bridges, its queues, and last hops.
    Host,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    /// [`Topic::Flows`].
    pub flows: bool,
    /// [`Topic::Routes`].
    pub routes: bool,
    /// [`Topic::Neighbors`].
    pub neighbors: bool,
    /// [`Topic::Log`].
    #[serde(default)]
    pub log: bool,
    /// [`Topic::Expectations`].
    #[serde(default)]
    pub expectations: bool,
    /// [`Topic::FlowCache`].
    #[serde(default)]
    pub flow_cache: bool,
    /// [`Topic::Host`].
    #[serde(default)]
    pub host: bool,
}

impl Topics {
    /// Everything.
    pub const ALL: Self = Self {
        flows: true,
        routes: true,
        neighbors: true,
        log: true,
        expectations: true,
        flow_cache: true,
        host: true,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        flows: false,
        routes: false,
        neighbors: false,
        log: false,
        expectations: false,
        flow_cache: false,
        host: false,
    };

    /// Whether `topic` is among them.
    #[must_use]
    pub const fn contains(self, topic: Topic) -> bool {
        match topic {
            Topic::Flows => self.flows,
            Topic::Routes => self.routes,
            Topic::Neighbors => self.neighbors,
            Topic::Log => self.log,
            Topic::Expectations => self.expectations,
            Topic::FlowCache => self.flow_cache,
            Topic::Host => self.host,
        }
    }

    /// Adds a topic.
    pub const fn add(&mut self, topic: Topic) {
        *match topic {
            Topic::Flows => &mut self.flows,
            Topic::Routes => &mut self.routes,
            Topic::Neighbors => &mut self.neighbors,
            Topic::Log => &mut self.log,
            Topic::Expectations => &mut self.expectations,
            Topic::FlowCache => &mut self.flow_cache,
            Topic::Host => &mut self.host,
        } = true;
    }
}

impl From<Topic> for Topics {
    fn from(topic: Topic) -> Self {
        let mut topics = Self::NONE;
        topics.add(topic);
        topics
    }
}
