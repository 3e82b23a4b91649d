//! Sets and maps: declared, with the elements that a user gave them. What packets add lives in [`state::LiveSet`].

use std::sync::Arc;

use super::{Statement, Type, Value, Verdict};
use crate::rules::state;

/// Names a set of the same table; anonymous ones have generated names (`__set0`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetRef(pub Arc<str>);

/// A set or a map.
#[derive(Clone, Debug)]
pub struct Set {
    /// Name.
    pub name: Arc<str>,
    /// Handle.
    pub handle: u64,
    /// It belongs to one rule and is listed there.
    pub anonymous: bool,
    /// Comment.
    pub comment: Option<Arc<str>>,
    /// Types of the key's parts.
    pub key: Vec<Type>,
    /// As it was declared, for listing, if by `typeof`: `ip saddr . tcp dport`, and of the data.
    pub typeof_text: Option<(Arc<str>, Option<Arc<str>>)>,
    /// What elements lead to; `None` for a set.
    pub data: Option<DataType>,
    /// Flags.
    pub flags: SetFlags,
    /// Milliseconds elements live unless they say otherwise.
    pub timeout_ms: Option<u64>,
    /// `gc-interval` in milliseconds.
    pub gc_interval_ms: Option<u64>,
    /// Most elements (`size`).
    pub size: Option<u32>,
    /// `policy memory` instead of `performance`; listed, both run alike.
    pub policy_memory: bool,
    /// Overlapping intervals are merged.
    pub auto_merge: bool,
    /// Statements that each element gets one of its own of (`counter` in the declaration).
    pub element_state: Vec<Statement>,
    /// Elements in order of their keys. Of sets that packets change or whose elements end ([`SetFlags::is_live`]) they
    /// are in `live` instead, and this is empty.
    pub elements: Arc<Vec<Element>>,
    /// The elements of a set that changes by itself.
    pub live: Option<Arc<state::LiveSet>>,
}

/// Flags of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetFlags {
    /// `constant`
    pub constant: bool,
    /// `interval`
    pub interval: bool,
    /// `timeout`
    pub timeout: bool,
    /// `dynamic`
    pub dynamic: bool,
}

/// What a map leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataType {
    /// Values of these types.
    Values {
        /// Types of the parts.
        types: Vec<Type>,
        /// The data are intervals (`interval ipv4_addr`).
        interval: bool,
    },
    /// Verdicts.
    Verdict,
    /// Objects of this kind (`counter`, `quota`, `limit`, `ct helper`).
    Object(&'static str),
}

/// An element.
#[derive(Clone, Debug)]
pub struct Element {
    /// Key.
    pub key: ElementKey,
    /// What it leads to, in maps.
    pub data: Option<Data>,
    /// Comment.
    pub comment: Option<Arc<str>>,
    /// Milliseconds it lives from when it was added.
    pub timeout_ms: Option<u64>,
    /// State of its own: counters and limits.
    pub state: Vec<Statement>,
}

/// The key of an element: a value; an interval in sets of intervals; of a concatenation each part may be an interval.
/// Parts of a concatenation stand one after another, each padded to four bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementKey {
    /// One value.
    Value(Value),
    /// From, to, both included; of a concatenation, part by part.
    Range(Value, Value),
    /// What no other element has (`*`).
    CatchAll,
}

/// What an element of a map leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A value; parts as in keys.
    Value(Value),
    /// From, to.
    Range(Value, Value),
    /// A verdict.
    Verdict(Verdict),
    /// The object of this name.
    Object(Arc<str>),
}

impl SetFlags {
    /// Whether its elements change without a command.
    #[must_use]
    pub const fn is_live(self) -> bool {
        self.timeout || self.dynamic
    }
}
