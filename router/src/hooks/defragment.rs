//! Gathers fragments, so that everything behind sees one packet (`nf_defrag_ipv4`, `nf_conntrack_reasm`).

use conntrack::{Gather, GatherStats, Gathered, Instant};
use parking_lot::Mutex;

use super::track::datagram;
use crate::chain::{Hook, Needs, Verdict};
use crate::drops::DropReason;
use crate::engine::fragment::Geometry;
use crate::engine::{Context, Packet};
use crate::packet::parse::{Ip, parse_ip};

/// Before everything at prerouting. Fragments of one datagram may reach different workers, so they meet here; only
/// fragments take the lock.
pub struct Defragment {
    gather: Mutex<Gather>,
}

impl Defragment {
    /// Gathers into `gather`.
    #[must_use]
    pub const fn new(gather: Gather) -> Self {
        Self { gather: Mutex::new(gather) }
    }

    /// Gives up datagrams that were not completed in time, at most `budget`; returns how many.
    pub fn expire(&self, now: Instant, budget: usize) -> usize {
        self.gather.lock().expire(now, budget)
    }

    /// What was gathered so far.
    #[must_use]
    pub fn stats(&self) -> GatherStats {
        *self.gather.lock().stats()
    }
}

/// Whether the TCP header does not lie within the first piece. Linux draws it together to look for a socket
/// (`tcp_v4_early_demux`), and then no longer knows where the datagram was cut.
fn cuts_tcp_header(header: &Ip, pieces: &[u16]) -> bool {
    const TCP: u8 = 6;
    const TCP_HEADER_MIN: usize = 20;
    let begins_with = pieces.first().map_or(usize::MAX, |piece| usize::from(*piece));
    header.protocol == TCP && begins_with < TCP_HEADER_MIN && header.len - header.transport >= TCP_HEADER_MIN
}

impl Hook for Defragment {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if packet.header.fragment.is_none() {
            return Verdict::Accept;
        }
        let mut gather = self.gather.lock();
        let assembled = match gather.push(&datagram(packet), u32::from(packet.input().0), context.now) {
            Gathered::NotFragment => return Verdict::Accept,
            Gathered::Held => return Verdict::Stolen,
            Gathered::Dropped(_) => return Verdict::Drop(DropReason::FragmentRefused),
            Gathered::Complete(assembled) => assembled,
        };
        let Ok(header) = parse_ip(assembled.bytes) else {
            return Verdict::Drop(DropReason::FragmentRefused);
        };
        let largest = u32::try_from(assembled.piece_max).expect("no packet is longer than 65,535 bytes");
        let mut geometry = Geometry::new(assembled.pieces.iter().copied(), largest, assembled.dont_fragment);
        if cuts_tcp_header(&header, assembled.pieces) {
            geometry.forget_pieces();
        }
        packet.replace(assembled.bytes, header);
        packet.gathered = Some(Box::new(geometry));
        context.counters.datagrams_gathered.raise();
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}
