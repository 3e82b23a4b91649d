//! A last hop: where on which link packets of a flow came from, and where on that link they were sent to.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use fib::adjacency::{Mac, PortId};
use hashbrown::Equivalent;

use super::news::{Board, News, TOLD_AGAIN_MS, What};
use super::station::{Bound, Dead, Station};

/// Where packets came from, shared by all flows that came the same way.
#[derive(Debug)]
pub struct LastHop {
    /// Who sent them on the link.
    pub source: Arc<Station>,
    /// To whom.
    pub destination: Arc<Station>,
    /// Whether a program's packets can go on there: it is neither this router's own nor a group.
    pub is_target: bool,
    /// The source itself, if it is on the link: the neighbor that answers for it.
    pub own: Option<Bound>,
    /// What has become of the way back to the source.
    pub back: Course,
    /// What has become of the way on to the destination.
    pub onward: Course,
}

/// What tells one last hop from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) port: PortId,
    pub(super) source: Mac,
    pub(super) destination: Mac,
    pub(super) own: Option<IpAddr>,
}

/// What has become of sending to a station.
#[derive(Debug, Default)]
pub struct Course {
    /// For each family, as the next.
    dead: [AtomicU8; 2],
    /// The link address sent to last, in the low 48 bits; 0 before.
    sent_to: [AtomicU64; 2],
    told_ms: AtomicU64,
}

impl LastHop {
    pub(super) fn key(&self) -> Key {
        Key {
            port: self.source.port,
            source: self.source.mac,
            destination: self.destination.mac,
            own: self.own.map(|own| own.address),
        }
    }

    /// Another of the same, which begins where this one is.
    pub(super) fn again(&self) -> Self {
        Self {
            source: self.source.clone(),
            destination: self.destination.clone(),
            is_target: self.is_target,
            own: self.own,
            back: self.back.again(),
            onward: self.onward.again(),
        }
    }

    /// Whether a packet of a flow that came this way before has come the same way.
    pub(super) fn is(&self, port: PortId, source: Mac, destination: Mac) -> bool {
        self.source.port == port && self.source.mac == source && self.destination.mac == destination
    }

    /// The neighbor whose link address is used, if one is known.
    #[must_use]
    pub fn neighbor(&self) -> Option<Bound> {
        self.own.or_else(|| self.source.any_bound())
    }
}

impl PartialEq for LastHop {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for LastHop {}

impl Hash for LastHop {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Equivalent<LastHop> for Key {
    fn equivalent(&self, held: &LastHop) -> bool {
        *self == held.key()
    }
}

impl Course {
    /// Why nothing can be sent there, as the last packet has found it.
    #[must_use]
    pub fn dead(&self, ipv6: bool) -> Option<Dead> {
        Dead::from_bits(self.dead[usize::from(ipv6)].load(Ordering::Relaxed))
    }

    /// The link address that was sent to last.
    #[must_use]
    pub fn sent_to(&self, ipv6: bool) -> Option<Mac> {
        let word = self.sent_to[usize::from(ipv6)].load(Ordering::Relaxed);
        let [_, _, a, b, c, d, e, f] = word.to_be_bytes();
        (word != 0).then_some(Mac([a, b, c, d, e, f]))
    }

    /// Notes that a packet goes to `mac`, which is the neighbor's at `address` by a move of it.
    pub(super) fn note_sent(
        &self,
        ipv6: bool,
        station: &Station,
        mac: Mac,
        moved: Option<IpAddr>,
        board: &Board,
    ) {
        let [a, b, c, d, e, f] = mac.0;
        let word = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let (sent_to, dead) = (&self.sent_to[usize::from(ipv6)], &self.dead[usize::from(ipv6)]);
        if sent_to.load(Ordering::Relaxed) != word {
            sent_to.store(word, Ordering::Relaxed);
            if let Some(address) = moved {
                let what = What::Followed { address, to: mac };
                board.post(News { port: station.port, mac: station.mac, what });
            }
        }
        if dead.load(Ordering::Relaxed) != 0 && dead.swap(0, Ordering::Relaxed) != 0 {
            board.post(News { port: station.port, mac: station.mac, what: What::Alive });
        }
    }

    /// Notes that nothing can be sent there, and who stands in.
    pub(super) fn note_dead(
        &self,
        ipv6: bool,
        station: &Station,
        dead: Dead,
        instead: Option<Mac>,
        now_ms: u64,
        board: &Board,
    ) {
        let bits = Dead::bits(Some(dead));
        let noted = &self.dead[usize::from(ipv6)];
        if noted.load(Ordering::Relaxed) == bits || noted.swap(bits, Ordering::Relaxed) == bits {
            return;
        }
        let told = self.told_ms.load(Ordering::Relaxed);
        if told != 0 && now_ms.saturating_sub(told) < TOLD_AGAIN_MS {
            return;
        }
        self.told_ms.store(now_ms.max(1), Ordering::Relaxed);
        let what = instead.map_or(What::Dead(dead), |by| What::Replaced { dead, by });
        board.post(News { port: station.port, mac: station.mac, what });
    }

    fn again(&self) -> Self {
        let copy = |word: &AtomicU64| AtomicU64::new(word.load(Ordering::Relaxed));
        Self {
            dead: self.dead.each_ref().map(|byte| AtomicU8::new(byte.load(Ordering::Relaxed))),
            sent_to: self.sent_to.each_ref().map(copy),
            told_ms: copy(&self.told_ms),
        }
    }
}
