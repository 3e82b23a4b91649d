//! Finds flows by where they come from (`nf_nat_bysource`): whoever translates sources wants one client port to look the
//! same to all it talks to.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::conn::{Conn, Shared};
use crate::sync::Mutex;

/// Flows of a table whose source translation has been decided, by their source, the newest of each source first.
///
/// Each shelf has a lock; nothing is locked under it. In `Sources::find` it is held while a flow's tuples are looked at.
pub(crate) struct Sources<X> {
    shelves: Box<[Mutex<Shelf<X>>]>,
}

/// The sources that hash to one shelf. A chain holds all flows of one hash: who walks it compares the sources.
struct Shelf<X> {
    heads: HashTable<Head>,
    nodes: Vec<Node<X>>,
    free: Vec<u32>,
}

struct Head {
    hash: u64,
    newest: u32,
}

struct Node<X> {
    conn: Option<Shared<Conn<X>>>,
    newer: u32,
    older: u32,
}

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// Flows of one source that are looked at. Linux looks at all; the newest are those that matter.
const LOOKED_AT_MAX: usize = 256;

impl<X> Sources<X> {
    pub(crate) fn new(shelves: usize) -> Self {
        assert!(shelves.is_power_of_two(), "shelves are chosen by a mask");
        let shelf = || Shelf { heads: HashTable::new(), nodes: Vec::new(), free: Vec::new() };
        Self { shelves: (0..shelves).map(|_| Mutex::new(shelf())).collect() }
    }

    /// Adds a flow as the newest of its source; `hash` is that of [`crate::Tuple::source_only`].
    pub(crate) fn insert(&self, hash: u64, conn: &Shared<Conn<X>>) {
        let mut shelf = self.shelf(hash).lock();
        let slot = shelf.take_node(Shared::clone(conn));
        conn.set_source_slot(slot);
        let Shelf { heads, nodes, .. } = &mut *shelf;
        match heads.entry(hash, |head| head.hash == hash, |head| head.hash) {
            Entry::Occupied(mut entry) => {
                let older = std::mem::replace(&mut entry.get_mut().newest, slot);
                nodes[older as usize].newer = slot;
                nodes[slot as usize].older = older;
            }
            Entry::Vacant(entry) => {
                entry.insert(Head { hash, newest: slot });
            }
        }
    }

    /// Takes out a flow that was inserted under this hash.
    pub(crate) fn remove(&self, hash: u64, conn: &Shared<Conn<X>>) {
        let mut shelf = self.shelf(hash).lock();
        let slot = conn.source_slot();
        let Shelf { heads, nodes, free } = &mut *shelf;
        let node = &mut nodes[slot as usize];
        let removed = node.conn.take().expect("a flow knows its place among those of its source");
        assert!(Shared::ptr_eq(&removed, conn), "a flow knows its place among those of its source");
        let (newer, older) = (node.newer, node.older);
        free.push(slot);
        if older != NONE {
            nodes[older as usize].newer = newer;
        }
        if newer != NONE {
            nodes[newer as usize].older = older;
            return;
        }
        match heads.entry(hash, |head| head.hash == hash, |head| head.hash) {
            Entry::Occupied(mut entry) if older != NONE => entry.get_mut().newest = older,
            Entry::Occupied(entry) => drop(entry.remove()),
            Entry::Vacant(_) => panic!("every chain has a head"),
        }
    }

    /// The first of the newest flows under this hash of which `pick` makes something.
    pub(crate) fn find<R>(&self, hash: u64, mut pick: impl FnMut(&Conn<X>) -> Option<R>) -> Option<R> {
        let shelf = self.shelf(hash).lock();
        let mut slot = shelf.heads.find(hash, |head| head.hash == hash)?.newest;
        for _ in 0..LOOKED_AT_MAX {
            let node = shelf.nodes.get(slot as usize)?;
            if let Some(picked) = node.conn.as_deref().and_then(&mut pick) {
                return Some(picked);
            }
            slot = node.older;
        }
        None
    }

    fn shelf(&self, hash: u64) -> &Mutex<Shelf<X>> {
        let middle = usize::try_from((hash >> 32) & 0xffff).expect("16 bits");
        &self.shelves[middle & (self.shelves.len() - 1)]
    }
}

impl<X> Shelf<X> {
    fn take_node(&mut self, conn: Shared<Conn<X>>) -> u32 {
        let node = Node { conn: Some(conn), newer: NONE, older: NONE };
        if let Some(slot) = self.free.pop() {
            self.nodes[slot as usize] = node;
            return slot;
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).expect("fewer flows than slot numbers")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::conn::ProtocolState;
    use crate::tuple::{Addresses, Family, Ids, Tuple};

    fn conn(id: u64) -> Shared<Conn<()>> {
        let addresses = Addresses { source: [1; 16], destination: [2; 16] };
        let tuple = Tuple::new(Family::Ipv6, 0, 17, addresses, Ids { source: 1, destination: 2 });
        Shared::new(Conn::new(tuple, tuple.mirrored(), id, ProtocolState::of(&())))
    }

    fn ids(sources: &Sources<()>, hash: u64) -> Vec<u64> {
        let mut ids = Vec::new();
        let _ = sources.find(hash, |conn| {
            ids.push(conn.id());
            None::<()>
        });
        ids
    }

    #[test]
    fn only_the_newest_flows_of_a_source_are_looked_at() {
        let sources = Sources::new(1);
        for id in 0..1000 {
            sources.insert(7, &conn(id));
        }
        let seen = ids(&sources, 7);
        assert_eq!(seen.len(), LOOKED_AT_MAX);
        assert_eq!(seen[0], 999);
    }

    proptest! {
        #[test]
        fn flows_come_newest_first_whatever_comes_and_goes(
            steps in prop::collection::vec((any::<bool>(), 0..3_u64, any::<prop::sample::Index>()), 0..200),
        ) {
            let sources = Sources::new(2);
            let mut slow: Vec<(u64, Shared<Conn<()>>)> = Vec::new();
            for (number, (comes, hash, which)) in steps.into_iter().enumerate() {
                let hash = hash << 32 | hash;
                if comes || slow.is_empty() {
                    let conn = conn(number as u64);
                    sources.insert(hash, &conn);
                    slow.push((hash, conn));
                } else {
                    let (hash, conn) = slow.remove(which.index(slow.len()));
                    sources.remove(hash, &conn);
                }
                for hash in (0..3).map(|hash| hash << 32 | hash) {
                    let expected: Vec<u64> =
                        slow.iter().rev().filter(|(of, _)| *of == hash).map(|(_, conn)| conn.id()).collect();
                    prop_assert_eq!(ids(&sources, hash), expected);
                }
            }
        }
    }
}
