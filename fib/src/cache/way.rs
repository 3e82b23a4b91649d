//! A way: where flows go, with everything that rests on, and the judgement whether it is still to be taken.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Staleness, Stamp, Trust};
use crate::adjacency::PortId;
use crate::journal::Position;
use crate::snapshot::{Adjacency, Answer, Depends, Hop, Place, Query, Snapshot, SourceAnswer, WayBack};

/// An answer that leads on, kept for whoever asks alike.
///
/// It knows the parts of a question that may differ between packets of one flow and direction, and only where the
/// answer rests on them, so that equal ways are equal. Addresses, protocol and L4 ports do not: whoever keeps a way
/// keeps it for one set of these, as they are after translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// The way on.
    pub hop: Hop,
    /// The packet leaves by the port it came from, and its sender is to be told of a better way.
    pub redirect: bool,
    /// Established flows stay on it while it can be used, whatever routes change (`route policy keep`).
    pub keep: bool,
    /// Which parts of the question the answer rests on, and the judgement of the source with it.
    pub depends: Depends,
    /// Port of entry asked with, where it matters.
    pub input: Option<PortId>,
    /// Mark asked with, where it matters; else 0.
    pub mark: u32,
    /// Bits of the TOS asked with that routing looks at, where they matter; else 0.
    pub tos: u8,
    /// Number of the table that answered.
    pub table: u32,
    /// Length of the prefix that answered.
    pub prefix_length: Option<u8>,
    /// The question was the router's own: it has no port of entry, and nobody judges its source.
    own: bool,
    place: Option<Place>,
    reverse: Option<WayBack>,
}

/// Whether a way may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may.
    Good,
    /// It may: nothing that matters has changed since the stamp. Stamp it again.
    Unaffected,
    /// It may: what matters has changed, but the policy is to stay. Stamp it again, and count it apart.
    KeptByPolicy,
    /// It has to be asked for anew.
    Stale(Renewal),
}

/// Why a way has to be asked for anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The reason.
    pub reason: Staleness,
    /// The change that did it, if it was one and the journal has a place for it.
    pub change: Option<Position>,
}

impl Way {
    /// Keeps the answer to a question; `None` when the answer is not a way on. `source` is what
    /// [`Snapshot::check_source`] said, or [`SourceAnswer::UNASKED`] where nobody asks that.
    #[must_use]
    pub fn learn(query: &Query, answer: &Answer, source: &SourceAnswer, redirect: bool) -> Option<Self> {
        let Adjacency::Forward(hop) = answer.adjacency else { return None };
        let depends = answer.depends.union(source.depends);
        let turns_back = query.input == Some(hop.port);
        Some(Self {
            hop,
            redirect,
            keep: answer.keep,
            depends,
            input: query.input.filter(|_| depends.input || turns_back),
            mark: if depends.mark { query.mark } else { 0 },
            tos: if depends.tos { query.routed_tos() } else { 0 },
            table: answer.table,
            prefix_length: answer.prefix.map(|prefix| prefix.prefix_len()),
            own: query.input.is_none(),
            place: answer.place,
            reverse: source.reverse,
        })
    }

    /// Whether a packet that asks `query` may take this way now, which was known to be good at `stamp`.
    #[must_use]
    pub fn judge(&self, stamp: Stamp, snapshot: &Snapshot, query: &Query, trust: Trust) -> Judgement {
        if let Some(reason) = self.difference(query).or_else(|| self.obstacle(snapshot)) {
            return Judgement::Stale(Renewal { reason, change: None });
        }
        let present = snapshot.generation();
        let since = stamp.generation(present);
        if since >= present || trust == Trust::Hold {
            return Judgement::Good;
        }
        Judgement::Stale(Renewal { reason: Staleness::Generation, change: None })
    }

    /// The prefix that answered, for the destination the way is kept for.
    #[must_use]
    pub fn prefix(&self, destination: IpAddr) -> Option<IpNet> {
        IpNet::new(destination, self.prefix_length?).ok().map(|prefix| prefix.trunc())
    }

    /// What the packet asks otherwise than was asked, if the answer rests on it.
    fn difference(&self, query: &Query) -> Option<Staleness> {
        let by_input = self.depends.input || self.input.is_some();
        let turns_back = query.input == Some(self.hop.port);
        if query.input.is_none() != self.own || if by_input { query.input != self.input } else { turns_back }
        {
            Some(Staleness::Input)
        } else if self.depends.mark && query.mark != self.mark {
            Some(Staleness::Mark)
        } else if self.depends.tos && query.routed_tos() != self.tos {
            Some(Staleness::Tos)
        } else {
            None
        }
    }

    /// Why nothing can go this way now, whatever the routing state says.
    fn obstacle(&self, snapshot: &Snapshot) -> Option<Staleness> {
        if !snapshot.ports().is_up(self.hop.port) {
            Some(Staleness::PortDown)
        } else if self.hop.neighbor.is_some_and(|neighbor| snapshot.neighbors().get(neighbor).is_none()) {
            Some(Staleness::NeighborReused)
        } else {
            None
        }
    }
}
