//! What the router hangs on a tracked connection, and the connection types with it hung on.

use conntrack::CtState;
use fib::cache::CachedRoute;
use parking_lot::Mutex;

/// What this router keeps with each connection beyond what tracking keeps.
///
/// Lock order: a route's lock is taken last and held over nothing.
#[derive(Debug, Default)]
pub struct Extension {
    routes: [Mutex<Option<CachedRoute>>; 2],
}

impl Extension {
    /// The kept route of one direction.
    pub fn route(&self, direction: conntrack::Direction) -> &Mutex<Option<CachedRoute>> {
        &self.routes[direction.index()]
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
        direction: conntrack::Direction,
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
    pub const fn followed(&self) -> Option<(&Flow, conntrack::Direction)> {
        match self {
            Self::Flow { state: CtState::Related | CtState::RelatedReply, .. } => None,
            Self::Flow { flow, direction, .. } => Some((flow, *direction)),
            Self::Unseen | Self::Invalid | Self::Untracked => None,
        }
    }
}
