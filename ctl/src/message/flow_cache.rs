//! The flow cache: what may be done to it, how it is, and what has changed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Counters, FlowFilter, RoutePolicy};

/// A kind of what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowCacheKind {
    /// Routes of flows.
    Route,
    /// What rules have made of a flow's packets.
    Verdict,
    /// Drops of packets that would have begun a flow.
    Negative,
    /// Routes of packets without a flow.
    Untracked,
}

/// Whether something is remembered, and how long it is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowCacheMode {
    /// It is kept and trusted while nothing has changed.
    #[default]
    On,
    /// It is asked for with every packet.
    Off,
    /// It is kept and trusted whatever changes.
    Hold,
}

/// What is in force for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCacheModes {
    /// [`FlowCacheKind::Route`].
    pub route: FlowCacheMode,
    /// [`FlowCacheKind::Verdict`].
    #[serde(default)]
    pub verdict: FlowCacheMode,
    /// [`FlowCacheKind::Negative`].
    #[serde(default)]
    pub negative: FlowCacheMode,
    /// [`FlowCacheKind::Untracked`].
    #[serde(default)]
    pub untracked: FlowCacheMode,
}

/// What may be done to the flow cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowCacheAction {
    /// It is kept and used.
    On,
    /// Every packet asks.
    Off,
    /// It is kept, and trusted whatever changes.
    Hold,
    /// It is forgotten once.
    Flush,
}

/// What is done to which part of the flow cache. In JSON a word, `"off"`, or an object,
/// `{"action":"off","kinds":["route"],"filter":{"protocol_number":17}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowCacheChange {
    /// What is done.
    pub action: FlowCacheAction,
    /// To which kinds; none named for all to which it can be done.
    pub kinds: BTreeSet<FlowCacheKind>,
    /// The flows of now to which it is done; a filter without conditions stands for the router as a whole.
    pub filter: FlowFilter,
}

/// Why a change of the flow cache cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowCacheError {
    /// `hold` of what changes of the routing state do not void.
    #[error(
        "`hold` trusts routes whatever changes: it can be said of route and untracked, not of {}",
        .0.name()
    )]
    NothingToHold(FlowCacheKind),
    /// A filter of flows, and a kind that is not kept by flows.
    #[error("no flow keeps what is {}: it cannot be told of some flows only", .0.name())]
    NotOfFlows(FlowCacheKind),
}

/// How the flow cache is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowCacheRow {
    /// What is in force, kind by kind.
    #[serde(flatten)]
    pub modes: FlowCacheModes,
    /// Routing generation.
    pub generation: u64,
    /// Lookups made in the FIB.
    pub fib_lookups: u64,
    /// Packets that used a route their flow keeps.
    pub flow_cache_hits: u64,
    /// Kept routes that were looked up again.
    pub flow_cache_revalidated: u64,
    /// Kept routes that a change did not concern: found still true without a lookup.
    #[serde(default)]
    pub flow_cache_unaffected: u64,
    /// Kept routes that a change concerned and that stayed, as their prefix's policy is `keep`.
    #[serde(default)]
    pub flow_cache_kept_by_policy: u64,
    /// Use and size, kind by kind.
    #[serde(default)]
    pub kinds: BTreeMap<FlowCacheKind, FlowCacheUse>,
    /// Why kept routes were looked up again: reason to number.
    #[serde(default)]
    pub renewals: Counters,
    /// How far back changes of the routing state are known.
    #[serde(default)]
    pub journal: JournalDepth,
}

/// How one kind is used, and what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowCacheUse {
    /// Packets that used what was kept.
    pub hits: u64,
    /// Packets that could have and found nothing, or nothing good.
    pub misses: u64,
    /// Hits among both, from 0 to 1; null before the first.
    pub hit_rate: Option<f64>,
    /// Entries kept: ways of routes, passages of verdicts, denied flows, questions without a flow.
    pub entries: u64,
    /// The most there can be.
    pub entries_max: u64,
    /// Times that there was no room for another.
    pub full: u64,
    /// Memory for them in bytes, beyond what each flow has.
    pub memory_bytes: u64,
}

/// How far back changes of the routing state are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalDepth {
    /// Changes since routerd started.
    pub changes: u64,
    /// Changes that are known one by one.
    pub depth: u64,
    /// The most that are.
    pub depth_max: u64,
    /// How often it had to forget when prefixes changed last, so that flows near them look up once more.
    pub overruns: u64,
}

/// What became of a change that was made to some flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsTouched {
    /// Flows that it was made to.
    pub touched: u64,
}

/// Something that has changed in the flow cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum FlowCacheEvent {
    /// Kinds were switched for the router as a whole; what is in force now.
    Modes(FlowCacheModes),
    /// Kinds were forgotten for the router as a whole.
    Flushed {
        /// Which.
        kinds: BTreeSet<FlowCacheKind>,
    },
    /// Something was done to some flows.
    Touched {
        /// What.
        action: FlowCacheAction,
        /// To which kinds.
        kinds: BTreeSet<FlowCacheKind>,
        /// To how many flows.
        flows: u64,
    },
    /// Flows were told to look up again because of the way they kept.
    Invalidated {
        /// How many.
        flows: u64,
    },
    /// A prefix has another policy for its established flows.
    Policy {
        /// The prefix.
        prefix: IpNet,
        /// The policy; null when it has none of its own any more.
        policy: Option<RoutePolicy>,
    },
    /// The routing state has changed, and packets have come since: sums since this was told last.
    Followed {
        /// Routing generation now.
        generation: u64,
        /// Changes of the routing state.
        changes: u64,
        /// Kept routes that were looked up again: reason to number.
        renewals: Counters,
        /// Flows that found another way because of a change.
        moved: u64,
        /// Kept routes that no change concerned.
        unaffected: u64,
        /// Kept routes that stayed by policy.
        kept_by_policy: u64,
    },
}

/// A change that is more than a word.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    action: FlowCacheAction,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    kinds: BTreeSet<FlowCacheKind>,
    #[serde(default, skip_serializing_if = "FlowFilter::is_everything")]
    filter: FlowFilter,
}

impl FlowCacheKind {
    /// All kinds, in the order they are told.
    pub const ALL: [Self; 4] = [Self::Route, Self::Verdict, Self::Negative, Self::Untracked];

    /// As written in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Verdict => "verdict",
            Self::Negative => "negative",
            Self::Untracked => "untracked",
        }
    }

    /// Whether flows keep it, so that it can be told of some flows only.
    #[must_use]
    pub const fn is_of_flows(self) -> bool {
        matches!(self, Self::Route | Self::Verdict)
    }

    /// Whether changes of the routing state void it, so that it can be held.
    #[must_use]
    pub const fn can_be_held(self) -> bool {
        matches!(self, Self::Route | Self::Untracked)
    }
}

impl FlowCacheMode {
    /// As written in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Hold => "hold",
        }
    }
}

impl FlowCacheModes {
    /// The same for all kinds.
    #[must_use]
    pub const fn all(mode: FlowCacheMode) -> Self {
        Self { route: mode, verdict: mode, negative: mode, untracked: mode }
    }

    /// What is in force for a kind.
    #[must_use]
    pub const fn of(&self, kind: FlowCacheKind) -> FlowCacheMode {
        match kind {
            FlowCacheKind::Route => self.route,
            FlowCacheKind::Verdict => self.verdict,
            FlowCacheKind::Negative => self.negative,
            FlowCacheKind::Untracked => self.untracked,
        }
    }

    /// Puts a mode in force for a kind.
    pub const fn set(&mut self, kind: FlowCacheKind, mode: FlowCacheMode) {
        *match kind {
            FlowCacheKind::Route => &mut self.route,
            FlowCacheKind::Verdict => &mut self.verdict,
            FlowCacheKind::Negative => &mut self.negative,
            FlowCacheKind::Untracked => &mut self.untracked,
        } = mode;
    }
}

impl FlowCacheAction {
    /// As written in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Hold => "hold",
            Self::Flush => "flush",
        }
    }

    /// The mode it puts in force, if it does.
    #[must_use]
    pub const fn mode(self) -> Option<FlowCacheMode> {
        match self {
            Self::On => Some(FlowCacheMode::On),
            Self::Off => Some(FlowCacheMode::Off),
            Self::Hold => Some(FlowCacheMode::Hold),
            Self::Flush => None,
        }
    }
}

impl From<FlowCacheAction> for FlowCacheChange {
    /// To all kinds, and to the router as a whole.
    fn from(action: FlowCacheAction) -> Self {
        Self { action, kinds: BTreeSet::new(), filter: FlowFilter::default() }
    }
}

impl FlowCacheChange {
    /// Whether it is done to the router as a whole, and not to some flows.
    #[must_use]
    pub fn is_of_the_router(&self) -> bool {
        self.filter.is_everything()
    }

    /// The kinds to which it is done: those that are named, or all to which it can be done.
    #[must_use]
    pub fn kinds_meant(&self) -> BTreeSet<FlowCacheKind> {
        if self.kinds.is_empty() {
            FlowCacheKind::ALL.into_iter().filter(|kind| self.refusal_of(*kind).is_none()).collect()
        } else {
            self.kinds.clone()
        }
    }

    /// Finds what cannot be meant.
    ///
    /// # Errors
    /// [`FlowCacheError`].
    pub fn check(&self) -> Result<(), FlowCacheError> {
        self.kinds.iter().find_map(|kind| self.refusal_of(*kind)).map_or(Ok(()), Err)
    }

    fn refusal_of(&self, kind: FlowCacheKind) -> Option<FlowCacheError> {
        if self.action == FlowCacheAction::Hold && !kind.can_be_held() {
            Some(FlowCacheError::NothingToHold(kind))
        } else if !self.is_of_the_router() && !kind.is_of_flows() {
            Some(FlowCacheError::NotOfFlows(kind))
        } else {
            None
        }
    }
}

// Not `untagged`, whose errors do not say what is wrong.
impl<'de> Deserialize<'de> for FlowCacheChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = FlowCacheChange;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an action, or an object of `action`, `kinds` and `filter`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<FlowCacheChange, E> {
                FlowCacheAction::deserialize(word.into_deserializer()).map(Into::into)
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<FlowCacheChange, M::Error> {
                let Whole { action, kinds, filter } = Whole::deserialize(MapAccessDeserializer::new(map))?;
                Ok(FlowCacheChange { action, kinds, filter })
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for FlowCacheChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { action, kinds, filter } = self.clone();
        if kinds.is_empty() && self.is_of_the_router() {
            action.serialize(serializer)
        } else {
            Whole { action, kinds, filter }.serialize(serializer)
        }
    }
}

impl FlowCacheUse {
    /// Use as counted, with its hit rate.
    #[must_use]
    pub fn counted(hits: u64, misses: u64) -> Self {
        let asked = hits.saturating_add(misses);
        let hit_rate = (asked > 0).then(|| hits as f64 / asked as f64);
        Self { hits, misses, hit_rate, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(json: &str) -> FlowCacheChange {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn a_change_is_a_word_or_an_object() {
        for json in [
            r#""hold""#,
            r#"{"action":"off","kinds":["verdict","negative"]}"#,
            r#"{"action":"flush","filter":{"protocol_number":17}}"#,
            r#"{"action":"hold","kinds":["route"],"filter":{"source":"10.0.0.0/8"}}"#,
        ] {
            assert_eq!(serde_json::to_string(&change(json)).unwrap(), json);
        }
        assert_eq!(change(r#"{"action":"on"}"#), FlowCacheAction::On.into());
        assert_eq!(change(r#"{"action":"on","kinds":[],"filter":{}}"#), FlowCacheAction::On.into());
        for json in
            [r#""of""#, r#"{"action":"on","kind":["route"]}"#, r#"{"action":"on","kinds":["routes"]}"#]
        {
            assert!(serde_json::from_str::<FlowCacheChange>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn what_is_not_said_means_all_that_can_be_meant() {
        let kinds = |json: &str| -> Vec<&str> {
            change(json).kinds_meant().into_iter().map(FlowCacheKind::name).collect()
        };
        assert_eq!(kinds(r#""off""#), ["route", "verdict", "negative", "untracked"]);
        assert_eq!(kinds(r#""flush""#), ["route", "verdict", "negative", "untracked"]);
        assert_eq!(kinds(r#""hold""#), ["route", "untracked"]);
        assert_eq!(kinds(r#"{"action":"off","filter":{"id":1}}"#), ["route", "verdict"]);
        assert_eq!(kinds(r#"{"action":"hold","filter":{"id":1}}"#), ["route"]);
        assert_eq!(kinds(r#"{"action":"on","kinds":["negative"]}"#), ["negative"]);
    }

    #[test]
    fn what_cannot_be_meant_is_said_to_be() {
        assert_eq!(change(r#""hold""#).check(), Ok(()));
        assert_eq!(
            change(r#"{"action":"hold","kinds":["route","verdict"]}"#).check(),
            Err(FlowCacheError::NothingToHold(FlowCacheKind::Verdict))
        );
        assert_eq!(
            change(r#"{"action":"flush","kinds":["untracked"],"filter":{"id":1}}"#).check(),
            Err(FlowCacheError::NotOfFlows(FlowCacheKind::Untracked))
        );
    }

    #[test]
    fn a_kind_has_a_mode_of_its_own() {
        let mut modes = FlowCacheModes::default();
        for kind in FlowCacheKind::ALL {
            assert_eq!(modes.of(kind), FlowCacheMode::On);
            modes.set(kind, FlowCacheMode::Hold);
            let held = FlowCacheKind::ALL.into_iter().filter(|kind| modes.of(*kind) == FlowCacheMode::Hold);
            assert_eq!(held.collect::<Vec<_>>(), [kind]);
            modes.set(kind, FlowCacheMode::On);
        }
        let before_kinds = r#"{"route":"off"}"#;
        let read: FlowCacheModes = serde_json::from_str(before_kinds).unwrap();
        assert_eq!(read, FlowCacheModes { route: FlowCacheMode::Off, ..FlowCacheModes::default() });
    }

    #[test]
    fn a_hit_rate_is_a_share_of_those_that_asked() {
        assert_eq!(FlowCacheUse::counted(0, 0).hit_rate, None);
        assert_eq!(FlowCacheUse::counted(3, 1).hit_rate, Some(0.75));
        assert_eq!(FlowCacheUse::counted(u64::MAX, u64::MAX).hit_rate, Some(1.0));
    }
}
