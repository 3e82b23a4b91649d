//! What workers notice of a bridge and users are to hear: noted in words that are overwritten, told now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{Mac, PortId};
use parking_lot::Mutex;

/// A bridge's own frames that come back are told of this often at most.
pub const LOOP_TOLD_EVERY: Duration = Duration::from_secs(10);

/// A full table is told of this often at most.
pub const FULL_TOLD_EVERY: Duration = Duration::from_secs(10);

/// What users are to hear of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A frame that bears an own address as its source came in.
    Loop {
        /// Link address of this router that it bears.
        mac: Mac,
        /// Member it came in by.
        port: PortId,
    },
    /// A host is behind another member than before.
    Moved {
        /// The host.
        mac: Mac,
        /// Member it was behind.
        before: PortId,
        /// Member it is behind.
        port: PortId,
    },
    /// Link addresses found no room in the table.
    Full {
        /// How many frames from such addresses there were since this was told last.
        refused: u64,
    },
}

/// What was noticed. Of several moves between two looks the last is told.
#[derive(Debug, Default)]
pub struct Observed {
    loops: AtomicU64,
    /// Link address in the upper 48 bits, port below.
    looped: AtomicU64,
    moves: AtomicU64,
    /// As `looped`.
    moved: AtomicU64,
    moved_from: AtomicU64,
    refused: AtomicU64,
    told: Mutex<Told>,
}

/// What users have heard.
#[derive(Debug, Default)]
struct Told {
    loops: u64,
    loop_at: Option<Instant>,
    moves: u64,
    refused: u64,
    refused_at: Option<Instant>,
}

impl Observed {
    /// A frame from an own link address came in.
    pub fn note_loop(&self, mac: Mac, port: PortId) {
        self.looped.store(pack(mac, port), Ordering::Relaxed);
        self.loops.fetch_add(1, Ordering::Release);
    }

    /// A host is behind another member.
    pub fn note_move(&self, mac: Mac, before: PortId, port: PortId) {
        self.moved_from.store(before.0.into(), Ordering::Relaxed);
        self.moved.store(pack(mac, port), Ordering::Relaxed);
        self.moves.fetch_add(1, Ordering::Release);
    }

    /// A link address found no room.
    pub fn note_full(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What is to be told now.
    #[must_use]
    pub fn news(&self, now: Instant) -> Vec<News> {
        let mut told = self.told.lock();
        let mut news = Vec::new();
        let due = |last: Option<Instant>, every: Duration| last.is_none_or(|last| now - last >= every);
        let loops = self.loops.load(Ordering::Acquire);
        if loops != told.loops && due(told.loop_at, LOOP_TOLD_EVERY) {
            (told.loops, told.loop_at) = (loops, Some(now));
            let (mac, port) = unpack(self.looped.load(Ordering::Relaxed));
            news.push(News::Loop { mac, port });
        }
        let moves = self.moves.load(Ordering::Acquire);
        if moves != told.moves {
            told.moves = moves;
            let (mac, port) = unpack(self.moved.load(Ordering::Relaxed));
            let before = PortId(self.moved_from.load(Ordering::Relaxed) as u16);
            news.push(News::Moved { mac, before, port });
        }
        let refused = self.refused.load(Ordering::Relaxed);
        if refused != told.refused && due(told.refused_at, FULL_TOLD_EVERY) {
            news.push(News::Full { refused: refused - told.refused });
            (told.refused, told.refused_at) = (refused, Some(now));
        }
        news
    }
}

fn pack(mac: Mac, port: PortId) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([a, b, c, d, e, f, 0, 0]) | u64::from(port.0)
}

fn unpack(word: u64) -> (Mac, PortId) {
    let [a, b, c, d, e, f, _, _] = word.to_be_bytes();
    (Mac([a, b, c, d, e, f]), PortId(word as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0xff, 9]);

    #[test]
    fn what_is_noticed_is_told_once_and_loops_not_too_often() {
        let observed = Observed::default();
        assert_eq!(observed.news(Instant::ZERO), []);
        observed.note_loop(MAC, PortId(3));
        observed.note_move(MAC, PortId(1), PortId(2));
        observed.note_full();
        observed.note_full();
        let looped = News::Loop { mac: MAC, port: PortId(3) };
        let moved = News::Moved { mac: MAC, before: PortId(1), port: PortId(2) };
        assert_eq!(observed.news(Instant::from_secs(1)), [looped, moved, News::Full { refused: 2 }]);
        assert_eq!(observed.news(Instant::from_secs(2)), []);
        observed.note_loop(MAC, PortId(3));
        observed.note_full();
        assert_eq!(observed.news(Instant::from_secs(10)), []);
        assert_eq!(observed.news(Instant::from_secs(11)), [looped, News::Full { refused: 1 }]);
    }
}
