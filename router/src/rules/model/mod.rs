//! A checked ruleset: every name resolved, every type known, nothing in it that cannot run.
//!
//! The checker makes it of the syntax tree; from it rules are compiled, listed as text, and told as JSON. A change makes
//! a new [`Ruleset`] that shares what is unchanged with the old one, so that counters and live sets survive it.

mod data;
mod expression;
mod set;
mod statement;

use std::sync::Arc;

pub use data::{Type, Value};
pub use expression::{
    Base, Ctype, Direction, Expression, ExtensionField, FibBy, FibResult, Field, Hash, MetaKey, NumberSource,
    OptionField, Requires, RouteKey, Selector,
};
pub use set::{Data, DataType, Element, ElementKey, Set, SetFlags, SetRef};
pub use statement::{
    Comparison, Dynamic, DynamicOperation, IdRange, Limit, LimitUnit, Log, Match, Nat, NatAddress, NatKind,
    Queue, Reject, Right, Statement, Target, Verdict,
};

use crate::chain::Point;
use crate::rules::state;

/// All tables, in the order they were made.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// The tables.
    pub tables: Vec<Arc<Table>>,
    /// Handle of the next table.
    pub next_handle: u64,
}

/// Address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableFamily {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// IPv4 and IPv6.
    Inet,
    /// ARP.
    Arp,
    /// Bridged frames.
    Bridge,
}

/// A table: a namespace of chains, sets and objects.
#[derive(Clone, Debug)]
pub struct Table {
    /// Family.
    pub family: TableFamily,
    /// Name.
    pub name: Arc<str>,
    /// Handle.
    pub handle: u64,
    /// Its chains are not called (`flags dormant`).
    pub dormant: bool,
    /// Comment.
    pub comment: Option<Arc<str>>,
    /// Chains, in the order they were made.
    pub chains: Vec<Arc<Chain>>,
    /// Named and anonymous sets and maps; an anonymous one belongs to one rule. [`SetRef`] names one.
    pub sets: Vec<Arc<Set>>,
    /// Named counters, quotas, limits, helpers.
    pub objects: Vec<Arc<Object>>,
    /// Handle of the next thing in this table.
    pub next_handle: u64,
}

/// A chain.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Name.
    pub name: Arc<str>,
    /// Handle.
    pub handle: u64,
    /// Comment.
    pub comment: Option<Arc<str>>,
    /// Where packets enter it; `None` for one that is only jumped to.
    pub base: Option<BaseChain>,
    /// Rules in order.
    pub rules: Vec<Arc<Rule>>,
}

/// What makes a chain a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// `type`.
    pub kind: ChainKind,
    /// `hook`.
    pub point: Point,
    /// `priority`.
    pub priority: i32,
    /// What becomes of packets that no rule decides on.
    pub policy: Policy,
}

/// Type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// `filter`
    Filter,
    /// `nat`: sees the first packet of each flow only.
    Nat,
    /// `route`: output only; a changed mark or address has the route looked up again.
    Route,
}

/// Policy of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// `accept`
    #[default]
    Accept,
    /// `drop`
    Drop,
}

/// A rule. Shared between rulesets while it is unchanged, with its counters.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Handle.
    pub handle: u64,
    /// Comment.
    pub comment: Option<Arc<str>>,
    /// Statements in order. What they need of a packet's protocols is in their selectors ([`Requires`]).
    pub statements: Vec<Statement>,
}

/// A named object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Name; unique among objects of its kind in a table.
    pub name: Arc<str>,
    /// Handle.
    pub handle: u64,
    /// Comment.
    pub comment: Option<Arc<str>>,
    /// What it is.
    pub kind: ObjectKind,
}

/// What an object is. State is shared by all rules that name it.
#[derive(Clone, Debug)]
pub enum ObjectKind {
    /// `counter`
    Counter(Arc<state::Counter>),
    /// `quota`
    Quota(Arc<state::Quota>),
    /// `limit`
    Limit(Arc<state::Limit>),
    /// `ct helper`
    Helper {
        /// Name of the helper, such as `ftp`.
        helper: Arc<str>,
        /// Transport protocol number.
        protocol: u8,
        /// `l3proto`; the table's family if not said.
        family: TableFamily,
    },
}

impl ObjectKind {
    /// The words before its name: `counter`, `quota`, `limit`, `ct helper`.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Quota(_) => "quota",
            Self::Limit(_) => "limit",
            Self::Helper { .. } => "ct helper",
        }
    }
}

impl TableFamily {
    /// The name nft uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
        }
    }

    /// The family of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Ip, Self::Ip6, Self::Inet, Self::Arp, Self::Bridge]
            .into_iter()
            .find(|family| family.name() == name)
    }
}

impl Ruleset {
    /// The table of this family and name.
    #[must_use]
    pub fn table(&self, family: TableFamily, name: &str) -> Option<&Arc<Table>> {
        self.tables.iter().find(|table| table.family == family && *table.name == *name)
    }
}

impl Table {
    /// The chain of this name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Arc<Chain>> {
        self.chains.iter().find(|chain| *chain.name == *name)
    }

    /// The set that a reference names.
    #[must_use]
    pub fn set(&self, reference: &SetRef) -> Option<&Arc<Set>> {
        self.sets.iter().find(|set| set.name == reference.0)
    }
}
