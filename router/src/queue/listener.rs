//! A program's place at a queue: what it has asked for, how much waits for it, and what has become of its packets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ctl::queue::message::Bind;

/// Bytes that may wait in one queue.
pub const BYTES_MAX: u64 = 16 << 20;

/// A program's place at a queue.
#[derive(Debug)]
pub struct Listener {
    /// Number of the queue.
    pub number: u16,
    /// The program's process; `None` if it is outside this pid namespace.
    pub pid: Option<i32>,
    /// Bytes of each packet that it wants at most.
    pub copy_bytes: usize,
    /// Packets that do not get its verdict go on, and are not dropped.
    pub fail_open: bool,
    /// Packets that may wait.
    pub packets_max: u64,
    /// What has become of packets.
    pub numbers: Numbers,
    /// Messages of the program that made no sense, on whatever queue.
    pub errors: Arc<AtomicU64>,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
}

/// What has become of a queue's packets.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Given to the program.
    pub given: AtomicU64,
    /// Let go on, by whichever verdict.
    pub accepted: AtomicU64,
    /// Dropped by its verdict.
    pub dropped: AtomicU64,
    /// Changed by it.
    pub changed: AtomicU64,
    /// Given up, as there was no answer in time.
    pub late: AtomicU64,
    /// Not taken, as too many waited.
    pub full: AtomicU64,
}

impl Listener {
    pub(super) fn new(bind: &Bind, pid: Option<i32>, errors: Arc<AtomicU64>) -> Self {
        Self {
            number: bind.bind,
            pid,
            copy_bytes: bind.copy_bytes as usize,
            fail_open: bind.fail_open,
            packets_max: bind.packets_max.into(),
            numbers: Numbers::default(),
            errors,
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

    /// Counts a packet for which there was no place.
    pub(crate) fn note_full(&self) {
        self.numbers.full.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a packet's place back.
    pub(crate) fn release(&self, bytes: usize) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}
