//! Packets that wait for their next hop's address: bounded as in Linux, oldest dropped first, newest kept in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{Mac, NeighborId};
use fib::snapshot::Hop;

use super::Packet;

/// A packet waits no longer than this, whatever the kernel says of its next hop. Linux gives up after three
/// questions one second apart (`mcast_solicit`, `retrans_time_ms`).
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// Next hops that may be waited for at once by one worker.
pub const NEIGHBORS_MAX: usize = 1024;

/// What the kernel counts for a packet beyond its bytes, so that `unres_qlen_bytes` means the same here
/// (`SKB_TRUESIZE`): 212,992 bytes hold 256 small packets.
const OVERHEAD: usize = 576;

/// A packet that waits, with its way.
pub struct Held {
    /// The packet, in storage of its own size.
    pub packet: Packet,
    /// The way it will take.
    pub hop: Hop,
}

/// The packets waiting in one worker. Kept in order, so that the same packets always leave in the same order.
#[derive(Default)]
pub struct Hold {
    waiting: BTreeMap<NeighborId, Queue>,
    deadline: Option<Instant>,
}

struct Queue {
    packets: VecDeque<Held>,
    bytes: usize,
    until: Instant,
}

impl Hold {
    /// Lets a packet wait for `neighbor`. Returns those that must go to make room: older ones of the same next hop,
    /// or the packet itself when too many next hops are waited for.
    pub fn push(
        &mut self,
        neighbor: NeighborId,
        held: Held,
        bytes_max: usize,
        now: Instant,
        mut evicted: impl FnMut(Held),
    ) {
        if !self.waiting.contains_key(&neighbor) && self.waiting.len() == NEIGHBORS_MAX {
            return evicted(held);
        }
        let queue = self.waiting.entry(neighbor).or_insert_with(|| Queue {
            packets: VecDeque::new(),
            bytes: 0,
            until: now + WAIT_MAX,
        });
        let size = true_size(held.packet.frame().len());
        while queue.bytes + size > bytes_max {
            let Some(oldest) = queue.packets.pop_front() else { return evicted(held) };
            queue.bytes -= true_size(oldest.packet.frame().len());
            evicted(oldest);
        }
        queue.bytes += size;
        queue.packets.push_back(held);
        self.deadline = Some(self.deadline.map_or(queue.until, |deadline| deadline.min(queue.until)));
    }

    /// Whether packets wait for `neighbor`, so that later ones must not overtake them.
    #[must_use]
    pub fn waits_for(&self, neighbor: NeighborId) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&neighbor)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes out the queues that `settled` says something of (a link address, or that there is none), and as lost
    /// those whose time is over.
    pub fn take_settled(
        &mut self,
        now: Instant,
        mut settled: impl FnMut(NeighborId) -> Option<Option<Mac>>,
    ) -> Vec<(Option<Mac>, VecDeque<Held>)> {
        let mut taken = Vec::new();
        self.waiting.retain(|neighbor, queue| {
            let answer = settled(*neighbor).or((queue.until <= now).then_some(None));
            if let Some(mac) = answer {
                taken.push((mac, std::mem::take(&mut queue.packets)));
            }
            answer.is_none()
        });
        self.deadline = self.waiting.values().map(|queue| queue.until).min();
        taken
    }

    /// When the first of the waiting ones has waited long enough.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// Bytes a frame of `len` counts for.
fn true_size(len: usize) -> usize {
    OVERHEAD + len.next_multiple_of(256).max(256)
}
