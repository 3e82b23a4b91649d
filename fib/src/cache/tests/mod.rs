//! Kept ways against the oracle: ask afresh, as the walk asks, and compare what becomes of the packet.

mod changes;
mod policy;
mod precision;
mod property;
mod question;

use super::{Judgement, Renewal, Staleness, Stamp, Trust, Way};
use crate::rig::{Rig, query};
use crate::snapshot::{Adjacency, Hop, Query, Snapshot, SourceAnswer, SourceCheck};

/// What routing makes of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fate {
    adjacency: Adjacency,
    source: SourceCheck,
    /// Its sender hears of a better way.
    redirect: bool,
}

/// Asks as the walk asks: the way on, then whether the source may be where it is. `keep` is the way of its flow so far.
fn ask(snapshot: &Snapshot, query: &Query, keep: Option<Hop>) -> (Fate, Option<Way>) {
    let answer = snapshot.lookup_keeping(query, keep);
    let output = match answer.adjacency {
        Adjacency::Forward(hop) => Some(hop.port),
        _ => None,
    };
    let source = match query.destination.is_ipv4() {
        true => snapshot.check_source(query, output),
        false => SourceAnswer::UNASKED,
    };
    let turns = output.is_some() && output == query.input;
    let redirect = match (source.check, query.input) {
        (SourceCheck::Valid { direct }, Some(input)) if query.destination.is_ipv4() => {
            turns && direct && snapshot.link_settings(input).send_redirects
        }
        (SourceCheck::Valid { .. }, _) => turns,
        (SourceCheck::Martian(_), _) => false,
    };
    // Whether it is directly on that link matters for redirects alone.
    let check = match source.check {
        SourceCheck::Valid { .. } => SourceCheck::Valid { direct: true },
        martian => martian,
    };
    let accepted = matches!(check, SourceCheck::Valid { .. });
    let way = accepted.then(|| Way::learn(query, &answer, &source, redirect)).flatten();
    (Fate { adjacency: answer.adjacency, source: check, redirect }, way)
}

/// A way and the state up to which it is known to be good, as a flow keeps them.
#[derive(Clone, Copy, Debug)]
struct Kept {
    way: Way,
    stamp: Stamp,
}

fn learn(rig: &Rig, query: &Query) -> Kept {
    let snapshot = rig.load();
    Kept { way: ask(&snapshot, query, None).1.expect("a way on"), stamp: Stamp::of(snapshot.generation()) }
}

/// A rig with these routes, and the way to a destination in it.
fn kept_to(destination: &str, routes: &[&str]) -> (Rig, Query, Kept) {
    let rig = Rig::with(routes);
    let query = query(destination);
    let kept = learn(&rig, &query);
    (rig, query, kept)
}

impl Kept {
    fn judge(&self, rig: &Rig, query: &Query) -> Judgement {
        self.way.judge(self.stamp, &rig.load(), query, Trust::Generation)
    }

    fn held(&self, rig: &Rig, query: &Query) -> Judgement {
        self.way.judge(self.stamp, &rig.load(), query, Trust::Hold)
    }

    /// Why it is stale, if it is.
    fn reason(&self, rig: &Rig, query: &Query) -> Option<Staleness> {
        match self.judge(rig, query) {
            Judgement::Stale(Renewal { reason, .. }) => Some(reason),
            _ => None,
        }
    }
}
