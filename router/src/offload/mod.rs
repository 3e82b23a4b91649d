//! Flows for others to forward: what becomes of flows is told, with the complete rewrite of their packets, and who takes
//! one over hears when it has to be given up. `docs/offload.md` is the way in.
//!
//! Locks: [`Offloads`] has one, under which consumers are told, one event at a time. It comes after the flow table's
//! lock of subscribers and before whatever a consumer locks. A consumer that is being told ends no flow, joins or leaves
//! nothing, and gives nothing up: what it is told is enough.

pub mod card;
mod complete;
mod passed;
mod registry;
mod rewrite;

use conntrack::{Changes, Direction, End};
use fib::cache::Staleness;

pub use card::Card;
pub(crate) use complete::Offer;
pub use passed::Passed;
pub use registry::{Consumer, Epoch, Offloads, TakenRow};
pub use rewrite::{Endpoint, Matching, Rewrite};

use crate::flow::Conn;

/// A flow in the table, to be kept.
pub type SharedFlow = conntrack::Shared<Conn>;

/// Something that became of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The flow: its id, its tuples, its status now.
    pub flow: &'a Conn,
    /// What became of it.
    pub kind: EventKind<'a>,
}

/// What can become of a flow.
#[derive(Clone, Copy, Debug)]
pub enum EventKind<'a> {
    /// Its first packet is on its way. It is in nobody's table yet, and may never be.
    New,
    /// Its first packet has left: it is in the table.
    Confirmed,
    /// Status, mark, labels or the protocol's state have changed.
    Updated(Changes),
    /// A packet was forwarded by a way that was looked up for it, and that way is kept: the first one, or another.
    Routed {
        /// Of which direction.
        direction: Direction,
        /// Why the way before was given up; `None` if there was none.
        instead: Option<Staleness>,
        /// All that becomes of further packets, unless they have to be walked.
        rewrite: Option<&'a Rewrite>,
    },
    /// Whoever has taken this direction over has to give it up at once: its rewrite no longer holds.
    Invalidated {
        /// Of which direction.
        direction: Direction,
        /// Why.
        reason: Invalidation,
    },
    /// It has left the table. Both directions are given up with it.
    Destroyed(End),
}

/// Why a rewrite no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// The way is not to be believed any more.
    Route(Staleness),
    /// The next hop's link address is not known any more.
    Neighbor,
    /// The port it leaves by has another MTU, or one of its ports is another device.
    Port,
    /// It has another mark.
    Mark,
    /// Hooks or rules came or went, or rules' sets have changed.
    Hooks,
    /// What is remembered of flows is not to be used, or was thrown away.
    FlowCache,
    /// Its packets mean something else to their flow now: the first reply has come.
    State,
    /// Who had it has left.
    Left,
}

impl std::fmt::Display for Invalidation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Route(reason) => reason.fmt(formatter),
            Self::Neighbor => formatter.write_str("neighbor lost"),
            Self::Port => formatter.write_str("port changed"),
            Self::Mark => formatter.write_str("mark changed"),
            Self::Hooks => formatter.write_str("rules changed"),
            Self::FlowCache => formatter.write_str("flow cache switched or flushed"),
            Self::State => formatter.write_str("reply seen"),
            Self::Left => formatter.write_str("consumer left"),
        }
    }
}
