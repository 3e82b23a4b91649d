//! A way: where flows go, with everything that rests on, and the judgement whether it is still to be taken.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Staleness, Stamp, Trust};
use crate::adjacency::PortId;
use crate::change::NeighborState;
use crate::journal::{Indexed, Mark, Marks, Position, Routes};
use crate::snapshot::{
    Adjacency, Answer, Depends, Generation, Hop, Place, Query, Snapshot, SourceAnswer, WayBack,
};

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

/// A change that could make an answer another.
struct Affected {
    mark: Mark,
    /// It concerns routes alone, so that a policy may say to stay.
    may_stay: bool,
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

    /// Whether a packet that asks `query` may take this way now, which was known to be good at `stamp`. Addresses,
    /// protocol and L4 ports are those it was learned for.
    #[must_use]
    pub fn judge(&self, stamp: Stamp, snapshot: &Snapshot, query: &Query, trust: Trust) -> Judgement {
        if let Some(reason) = self.difference(query) {
            return Judgement::Stale(Renewal { reason, change: None });
        }
        let present = snapshot.generation();
        let since = stamp.generation(present);
        if let Some(reason) = self.obstacle(snapshot) {
            let affected = self.change_since(since, snapshot, query);
            return Judgement::Stale(Renewal { reason, change: affected.and_then(|by| by.mark.change()) });
        }
        if since >= present || trust == Trust::Hold {
            return Judgement::Good;
        }
        match self.change_since(since, snapshot, query) {
            None => Judgement::Unaffected,
            Some(Affected { may_stay: true, .. }) if self.keep => Judgement::KeptByPolicy,
            Some(Affected { mark, .. }) => {
                Judgement::Stale(Renewal { reason: mark.reason, change: mark.change() })
            }
        }
    }

    /// The prefix that answered, for the destination the way is kept for.
    #[must_use]
    pub fn prefix(&self, destination: IpAddr) -> Option<IpNet> {
        IpNet::new(destination, self.prefix_length?).ok().map(|prefix| prefix.trunc())
    }

    #[cfg(test)]
    pub(super) fn place(&self) -> Option<Place> {
        self.place
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
            return Some(Staleness::PortDown);
        }
        let view = snapshot.neighbors().get(self.hop.neighbor?);
        match view {
            None => Some(Staleness::NeighborReused),
            // A way that is kept may be one that no route leads over: nobody would notice that nobody answers there.
            Some(view) if self.keep && view.state == NeighborState::Failed => Some(Staleness::NextHopGone),
            Some(_) => None,
        }
    }

    /// A change after `since` that could make the answer another. What lets flows stay comes last.
    fn change_since(&self, since: Generation, snapshot: &Snapshot, query: &Query) -> Option<Affected> {
        let marks = snapshot.journal().marks();
        let family = marks.family(query.destination.is_ipv6());
        if family.any <= since {
            return None;
        }
        let decided = family
            .settings
            .after(since)
            .or_else(|| marks.binding(self.hop.port).after(since))
            .or_else(|| self.input_since(since, marks))
            .or_else(|| self.addresses_since(since, marks, query))
            .or_else(|| marks.policies.of_any(since, |prefix| prefix.contains(&query.destination)));
        if let Some(mark) = decided {
            return Some(Affected { mark, may_stay: false });
        }
        let routes = routes_since(since, snapshot, query, self.place)
            .or_else(|| family.rules.after(since))
            .or_else(|| path_since(since, marks, self.place))
            .or_else(|| family.path_returned.after(since))
            .or_else(|| family.link_returned.after(since).filter(|_| query.is_for_one_link()))
            .or_else(|| self.way_back_since(since, snapshot, query));
        routes.map(|mark| Affected { mark, may_stay: true })
    }

    fn input_since(&self, since: Generation, marks: &Marks) -> Option<Mark> {
        let input = self.input?;
        marks.binding(input).after(since).or_else(|| marks.port_settings(input).after(since))
    }

    /// An address that became the router's own, or no longer is: of either end.
    fn addresses_since(&self, since: Generation, marks: &Marks, query: &Query) -> Option<Mark> {
        let of = |address| marks.addresses.of(address, since);
        of(&query.source).or_else(|| of(&query.destination))
    }

    /// A change of what the judgement of the source rests on.
    fn way_back_since(&self, since: Generation, snapshot: &Snapshot, query: &Query) -> Option<Mark> {
        let WayBack { found, again } = self.reverse?;
        let marks = snapshot.journal().marks();
        let returned = marks.family(query.source.is_ipv6()).link_returned.after(since);
        let back = query.back(Some(self.hop.port));
        let change =
            |place| routes_since(since, snapshot, &back, place).or_else(|| path_since(since, marks, place));
        returned.or_else(|| change(found)).or_else(|| again.and_then(change))
    }
}

/// A change of a prefix that could win over what was found at `place`, in the tables that were asked.
fn routes_since(since: Generation, snapshot: &Snapshot, query: &Query, place: Option<Place>) -> Option<Mark> {
    let marks = snapshot.journal().marks();
    match query.destination {
        IpAddr::V4(address) => routes_near(&marks.routes_v4, address.into(), since, snapshot, query, place),
        IpAddr::V6(address) => routes_near(&marks.routes_v6, address.into(), since, snapshot, query, place),
    }
}

fn routes_near<A: Indexed>(
    routes: &Routes<A>,
    address: A,
    since: Generation,
    snapshot: &Snapshot,
    query: &Query,
    place: Option<Place>,
) -> Option<Mark> {
    let touched = routes.touched(address, since)?;
    let mut found = None;
    let mut length_min = u8::MAX;
    let answered = snapshot.tables_asked(query, place, |slot| {
        length_min = 0;
        found = found.or_else(|| routes.longest(slot, address, 0, touched));
    });
    if let Some(place) = answered {
        length_min = length_min.min(place.length);
        let own_prefix = || {
            let change = routes.of(place.slot, address, place.length, touched);
            change.filter(|_| !snapshot.is_first_choice(place, query.destination))
        };
        found = found
            .or_else(|| routes.longest(place.slot, address, place.length + 1, touched))
            .or_else(own_prefix);
    }
    found.or_else(|| routes.overrun(length_min, touched))
}

fn path_since(since: Generation, marks: &Marks, place: Option<Place>) -> Option<Mark> {
    marks.path(place?.path).after(since)
}
