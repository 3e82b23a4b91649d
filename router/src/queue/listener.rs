//! A program's place at a queue: what it has asked for, and how much waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ctl::queue::message::Bind;

use super::Numbers;

/// Bytes that may wait in one queue.
pub const BYTES_MAX: u64 = 16 << 20;

/// The process at the other end of a program's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its number; `None` if it is outside this pid namespace.
    pub pid: Option<u32>,
    /// Its name as `ps` shows it, where that is known.
    pub name: Option<String>,
}

/// A program's place at a queue.
#[derive(Debug)]
pub struct Listener {
    /// Number of the queue.
    pub number: u16,
    /// The program.
    pub peer: Peer,
    /// Bytes of each packet that it wants at most.
    pub copy_bytes: usize,
    /// Packets that do not get its verdict go on, and are not dropped.
    pub fail_open: bool,
    /// Packets that may wait.
    pub packets_max: u64,
    /// How long a packet waits for its verdict.
    pub answer_wait: Duration,
    /// What has become of the queue's packets.
    pub numbers: Arc<Numbers>,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
}

impl Listener {
    pub(super) fn new(bind: &Bind, peer: Peer, answer_wait: Duration, numbers: Arc<Numbers>) -> Self {
        Self {
            number: bind.bind,
            peer,
            copy_bytes: bind.copy_bytes as usize,
            fail_open: bind.fail_open,
            packets_max: bind.packets_max.into(),
            answer_wait,
            numbers,
            waiting: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
        }
    }

    /// Packets that wait for the program.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a place for a packet of `bytes`; false if all are taken.
    pub(crate) fn admit(&self, bytes: usize) -> bool {
        let bytes_before = self.waiting_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let has_room = before < self.packets_max && bytes_before + bytes as u64 <= BYTES_MAX;
        if !has_room {
            self.release(bytes);
        }
        has_room
    }

    /// Gives a packet's place back.
    pub(crate) fn release(&self, bytes: usize) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_so_many_packets_and_so_many_bytes() {
        let bind = Bind { packets_max: 3, ..Bind::new(1) };
        let listener = Listener::new(&bind, Peer::default(), Duration::ZERO, Arc::default());
        let half = BYTES_MAX as usize / 2;
        assert!(listener.admit(half) && listener.admit(half));
        assert!(!listener.admit(1), "that is a byte too many");
        listener.release(half);
        assert!(listener.admit(1) && listener.admit(1));
        assert!(!listener.admit(1), "that is a packet too many");
        assert_eq!(listener.waiting(), 3);
    }
}
