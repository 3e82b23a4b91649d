//! What the router hangs on a tracked connection, and the connection types with it hung on.

use std::sync::atomic::{AtomicU32, Ordering};

use conntrack::{CtState, Direction};
use fib::adjacency::PortId;
use fib::cache::CachedRoute;
use parking_lot::Mutex;

/// What this router keeps with each connection beyond what tracking keeps.
///
/// Lock order: a route's lock is taken last and held over nothing.
#[derive(Debug, Default)]
pub struct Extension {
    routes: [Mutex<Option<CachedRoute>>; 2],
    /// One more than the port, 0 if there is none.
    masqueraded_by: AtomicU32,
    verdicts: [AtomicU32; 2],
}

impl Extension {
    /// The kept route of one direction.
    pub fn route(&self, direction: Direction) -> &Mutex<Option<CachedRoute>> {
        &self.routes[direction.index()]
    }

    /// The number of what rules make of a direction's packets, 0 if it is not known.
    #[must_use]
    pub fn verdict(&self, direction: Direction) -> u32 {
        self.verdicts[direction.index()].load(Ordering::Relaxed)
    }

    /// Keeps what rules make of a direction's packets by its number, or forgets it (0).
    pub fn set_verdict(&self, direction: Direction, number: u32) {
        self.verdicts[direction.index()].store(number, Ordering::Relaxed);
    }

    /// The port whose address the flow bears as its source, if it is masqueraded.
    #[must_use]
    pub fn masqueraded_by(&self) -> Option<PortId> {
        let port = self.masqueraded_by.load(Ordering::Relaxed).checked_sub(1)?;
        Some(PortId(port as u16))
    }

    /// Remembers the port whose address the flow bears.
    pub fn set_masqueraded_by(&self, port: PortId) {
        self.masqueraded_by.store(u32::from(port.0) + 1, Ordering::Relaxed);
    }
}

/// The table of connections, as this router uses it.
pub type FlowTable = conntrack::Table<Extension>;
/// A connection a packet belongs to, in the table or not yet.
pub type Flow = conntrack::Flow<Extension>;
/// A connection that is not in the table yet.
pub type Tentative = conntrack::Tentative<Extension>;
/// A connection in the table.
pub type Conn = conntrack::Conn<Extension>;

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
