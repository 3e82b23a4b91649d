//! What a flow remembers of its route, and when that is still to be believed.

use ipnet::IpNet;

use crate::adjacency::PortId;
use crate::snapshot::{Adjacency, Answer, Depends, Generation, Hop, Query, Snapshot};

/// A kept route, one per flow and direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CachedRoute {
    /// Generation of the state that was asked: read with the answer, never later.
    pub stamp: Generation,
    /// The way on.
    pub hop: Hop,
    /// Which parts of the question the answer rests on.
    pub depends: Depends,
    /// The question.
    pub asked: Query,
    /// The packet left by the port it came from, and its sender is to be told of a better way.
    pub redirect: bool,
    /// Packets that took it since it was learned.
    pub hits: u64,
    /// How often it was asked for anew.
    pub renewals: u32,
    /// Why, the last time.
    pub last_renewal: Option<Staleness>,
    /// Table that answered.
    pub table: u32,
    /// Prefix that answered.
    pub prefix: Option<IpNet>,
}

/// Whether a kept route may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Good,
    /// It has to be asked for anew, for this reason.
    Stale(Staleness),
}

/// Why a kept route is no longer believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Staleness {
    /// The routing state has changed since.
    Generation,
    /// Another destination, after NAT.
    Destination,
    /// Another source, and the answer rests on it.
    Source,
    /// Another port of entry, and the answer rests on it.
    Input,
    /// Another mark, and the answer rests on it.
    Mark,
    /// Another TOS, and the answer rests on it.
    Tos,
    /// Another protocol or L4 ports, and the answer rests on them.
    Ports,
    /// Its port is down.
    PortDown,
    /// The neighbor's place has been given to another.
    NeighborReused,
}

/// How much a kept route is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Trust {
    /// While the routing state it was learned from is in force.
    #[default]
    Generation,
    /// Whatever becomes of the routing state: `flow-cache hold`.
    Hold,
}

impl CachedRoute {
    /// Keeps the answer to a question; `None` when the answer is not a way on. `depends` is what the answer and the
    /// judgement of the source ([`Snapshot::validate_source`]) rest on together.
    #[must_use]
    pub fn learn(query: &Query, answer: &Answer, depends: Depends, redirect: bool) -> Option<Self> {
        let Adjacency::Forward(hop) = answer.adjacency else { return None };
        Some(Self {
            stamp: answer.generation,
            hop,
            depends,
            asked: *query,
            redirect,
            hits: 0,
            renewals: 0,
            last_renewal: None,
            table: answer.table,
            prefix: answer.prefix,
        })
    }

    /// Takes the place of `self` after a renewal for this reason; the flow's history goes on.
    #[must_use]
    pub fn renewed_by(&self, next: Self, reason: Staleness) -> Self {
        Self { renewals: self.renewals.saturating_add(1), last_renewal: Some(reason), ..next }
    }

    /// Whether a packet that asks `query` may take this route now. Any change of the routing state since it was learned
    /// makes it stale.
    #[must_use]
    pub fn judge(&self, snapshot: &Snapshot, query: &Query, trust: Trust) -> Verdict {
        let stale = if trust == Trust::Generation && self.stamp != snapshot.generation() {
            Staleness::Generation
        } else if let Some(difference) = self.difference(query) {
            difference
        } else if !snapshot.ports().get(self.hop.port).up {
            Staleness::PortDown
        } else if self.hop.neighbor.is_some_and(|neighbor| snapshot.neighbors().get(neighbor).is_none()) {
            Staleness::NeighborReused
        } else {
            return Verdict::Good;
        };
        Verdict::Stale(stale)
    }

    /// What the packet asks otherwise than was asked, if the answer rests on it.
    fn difference(&self, query: &Query) -> Option<Staleness> {
        let Self { asked, depends, .. } = self;
        if query.destination != asked.destination {
            Some(Staleness::Destination)
        } else if depends.source && query.source != asked.source {
            Some(Staleness::Source)
        } else if query.input != asked.input && (depends.input || self.turns_back(query.input)) {
            Some(Staleness::Input)
        } else if depends.mark && query.mark != asked.mark {
            Some(Staleness::Mark)
        } else if depends.tos && query.tos != asked.tos {
            Some(Staleness::Tos)
        } else if depends.ports && transport(query) != transport(asked) {
            Some(Staleness::Ports)
        } else {
            None
        }
    }

    /// Whether leaving by the port of entry is at stake: then a redirect is due, and the source is looked at harder.
    fn turns_back(&self, input: Option<PortId>) -> bool {
        let out = Some(self.hop.port);
        input == out || self.asked.input == out
    }
}

fn transport(query: &Query) -> (u8, u16, u16) {
    (query.protocol, query.source_port, query.destination_port)
}
