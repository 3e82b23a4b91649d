//! Where ways are kept that flows share: a flow remembers the number of its way.

use std::sync::Arc;

use arc_swap::ArcSwap;
use conntrack::{Cursor, Direction, Instant};
use fib::adjacency::PortId;
use fib::cache::Way;
use fib::snapshot::Query;

use super::{Conn, FlowTable, Kept};
use crate::interned::Interned;

/// Ways that are told apart at one time. There are far fewer: a way is a next hop, what its answer rests on, and the
/// length of the prefix that gave it, whatever the number of prefixes and flows.
pub const WAYS_MAX: u32 = 1 << 18;

/// A store's numbers all lie in one stretch of this length; the stretch of zero is left out.
const STRETCHES: u32 = 1 << (Kept::NUMBER_BITS - WAYS_MAX.trailing_zeros());

/// The ways that flows remember.
///
/// A store that is full keeps no new ways until control takes the next one ([`Self::tend`]): flows then ask anew, each
/// once. Numbers come back after 63 stores; the flows have been swept of them long before.
#[derive(Debug)]
pub struct Ways {
    present: ArcSwap<Interned<Way>>,
}

impl Default for Ways {
    fn default() -> Self {
        Self { present: ArcSwap::from_pointee(Interned::new(WAYS_MAX, WAYS_MAX)) }
    }
}

impl Ways {
    /// The ways of the present. Workers take them once a turn.
    #[must_use]
    pub fn present(&self) -> Arc<Interned<Way>> {
        self.present.load_full()
    }

    /// Puts an empty store in place of one that is full, and has every flow forget what it remembers by numbers of others.
    /// To be called now and then; says whether it was due.
    pub fn tend(&self, flows: &FlowTable, now: Instant) -> bool {
        let full = self.present.load();
        if full.len() < full.capacity() {
            return false;
        }
        let next = Arc::new(Interned::new(stretch_after(full.first()), WAYS_MAX));
        self.present.store(next.clone());
        let _ = flows.list(Cursor::default(), 1, now, |conn| {
            for direction in Direction::ALL {
                let kept = conn.user.kept(direction);
                if kept.way().is_some_and(|way| next.get(way).is_none()) {
                    conn.user.keep(direction, kept, Kept::NOTHING);
                }
            }
            false
        });
        true
    }
}

/// Where the numbers of the store after the one that begins at `first` begin.
const fn stretch_after(first: u32) -> u32 {
    (first / WAYS_MAX % (STRETCHES - 1) + 1) * WAYS_MAX
}

/// Whether a packet that asks `query` when it is routed asks what its flow asks, as far as `way` rests on it. A rule may
/// have given this packet alone another destination, which is nothing for the flow to remember, or to be asked.
#[must_use]
pub fn is_asked_by(flow: &Conn, direction: Direction, query: &Query, way: &Way) -> bool {
    let usual = asked(flow, direction, way);
    let ports = |query: &Query| (query.source_port, query.destination_port);
    // Of protocols without ports the question has none, whatever ids the flow is known by.
    let ports_matter = way.depends.ports && ports(query) != (0, 0);
    query.destination == usual.destination
        && query.source == usual.source
        && (!ports_matter || ports(query) == ports(&usual))
}

/// What packets of a direction ask of routing, as far as the way rests on it.
#[must_use]
pub fn asked(conn: &Conn, direction: Direction, way: &Way) -> Query {
    let (arriving, answers) = (conn.tuple(direction), conn.tuple(direction.opposite()));
    Query {
        destination: answers.source(),
        source: arriving.source(),
        // One that does not matter, where none is noted.
        input: Some(way.input.unwrap_or(PortId(way.hop.port.0.wrapping_add(1)))),
        mark: way.mark,
        tos: way.tos,
        protocol: arriving.protocol(),
        source_port: arriving.ids().source,
        destination_port: answers.ids().source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_ways_fit_their_word_and_come_back_late() {
        let mut first = WAYS_MAX;
        let mut seen = std::collections::HashSet::new();
        for _ in 1..STRETCHES {
            assert!(first != 0 && (first + WAYS_MAX - 1) >> Kept::NUMBER_BITS == 0);
            assert!(seen.insert(first));
            first = stretch_after(first);
        }
        assert_eq!(first, WAYS_MAX);
    }
}
