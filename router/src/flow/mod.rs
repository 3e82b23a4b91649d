//! What the router hangs on a tracked connection, and the connection types with it hung on.

mod memory;
mod ways;

use conntrack::{CtState, Direction};
use fib::adjacency::PortId;

pub use memory::{CameBy, History, Kept, Memory, Remembered};
pub use ways::{WAYS_MAX, Ways, asked, is_asked_by};

/// What this router keeps with each connection beyond what tracking keeps.
pub type Extension = Memory;

/// The table of connections, as this router uses it.
pub type FlowTable = conntrack::Table<Extension>;
/// A connection a packet belongs to, in the table or not yet.
pub type Flow = conntrack::Flow<Extension>;
/// A connection that is not in the table yet.
pub type Tentative = conntrack::Tentative<Extension>;
/// A connection in the table.
pub type Conn = conntrack::Conn<Extension>;

/// The port whose address a flow bears as its source, if it is masqueraded.
#[must_use]
pub fn masqueraded_by(flow: &Conn) -> Option<PortId> {
    flow.tag().checked_sub(1).map(PortId)
}

/// Notes the port whose address a flow bears.
pub fn set_masqueraded_by(flow: &Conn, port: PortId) {
    flow.set_tag(port.0 + 1);
}

/// What tracking said of a packet.
#[derive(Debug, Default)]
pub enum Track {
    /// Nothing has looked yet, or tracking is not registered.
    #[default]
    Unseen,
    /// The packet belongs to a flow.
    Flow {
        /// Which.
        flow: Flow,
        /// Which way the packet goes.
        direction: Direction,
        /// What `ct state` would say.
        state: CtState,
    },
    /// No tracker accepts it.
    Invalid,
    /// Not to be tracked.
    Untracked,
}

impl Track {
    /// The flow whose way the packet goes. Errors about a flow have a source of their own, so not its way.
    #[must_use]
    pub const fn followed(&self) -> Option<(&Flow, Direction)> {
        match self {
            Self::Flow { state: CtState::Related | CtState::RelatedReply, .. } => None,
            Self::Flow { flow, direction, .. } => Some((flow, *direction)),
            Self::Unseen | Self::Invalid | Self::Untracked => None,
        }
    }

    /// Makes `error` what an error about the packet is to its flow, which the packet gives away for the while
    /// (`nf_ct_attach`). `None`: it has no flow, and the error is on its own.
    pub(crate) fn lend_to_error(&mut self, error: &mut Self) -> Option<Lent> {
        match std::mem::take(self) {
            Self::Flow { flow, direction, state } => {
                let (direction, related) = match direction {
                    Direction::Original => (Direction::Reply, CtState::RelatedReply),
                    Direction::Reply => (Direction::Original, CtState::Related),
                };
                *error = Self::Flow { flow, direction, state: related };
                Some(Lent { state })
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// What an error about the packet is to its flow, if both can have it: one that is in the table.
    pub(crate) fn shared_with_error(&self) -> Self {
        match self {
            Self::Flow { flow: Flow::Conn(conn), direction, .. } => {
                let (direction, state) = match direction {
                    Direction::Original => (Direction::Reply, CtState::RelatedReply),
                    Direction::Reply => (Direction::Original, CtState::Related),
                };
                Self::Flow { flow: Flow::Conn(conn.clone()), direction, state }
            }
            _ => Self::Unseen,
        }
    }

    /// Takes back what was lent.
    pub(crate) fn take_back(&mut self, lent: Lent, error: Self) {
        if let Self::Flow { flow, direction, .. } = error {
            *self = Self::Flow { flow, direction: direction.opposite(), state: lent.state };
        }
    }
}

/// What a packet was to a flow that it has lent.
#[derive(Debug)]
#[must_use = "the packet has no flow until it takes it back"]
pub(crate) struct Lent {
    state: CtState,
}
