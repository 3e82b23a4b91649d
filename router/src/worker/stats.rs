//! What a worker counts, in cells that control reads while the worker writes.

use std::sync::atomic::{AtomicU64, Ordering};

use fib::adjacency::PortId;

use crate::port::{PLACES_MAX, PortCounters};

/// A number that one thread raises and any thread reads. Reads may be a moment old, never torn.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Raises the number. Only the thread that owns the counter may.
    pub(super) fn add(&self, by: u64) {
        self.0.store(self.get().wrapping_add(by), Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of a worker.
#[derive(Debug)]
pub struct WorkerStats {
    /// Turns taken.
    pub turns: Counter,
    /// Frames processed.
    pub frames: Counter,
    /// Batches that were as large as a batch may be.
    pub full_batches: Counter,
    /// Times the worker found nothing to do and slept.
    pub sleeps: Counter,
    /// Notices that found the channel to control full.
    pub notices_lost: Counter,
    /// Frames for a port that is not attached; dropped.
    pub unattached: Counter,
    /// Frames whose checksum or segments could not be finished for a port that needs that; dropped.
    pub unfinishable: Counter,
    ports: Box<[PortStats]>,
}

impl Default for WorkerStats {
    fn default() -> Self {
        Self {
            turns: Counter::default(),
            frames: Counter::default(),
            full_batches: Counter::default(),
            sleeps: Counter::default(),
            notices_lost: Counter::default(),
            unattached: Counter::default(),
            unfinishable: Counter::default(),
            ports: (0..PLACES_MAX).map(|_| PortStats::default()).collect(),
        }
    }
}

impl WorkerStats {
    /// What passed through this worker's side of a port, since the worker started: a port that is closed and opened
    /// again goes on counting. [`PortCounters::receive_dropped`] lags by up to 100 ms.
    ///
    /// # Panics
    /// If `port` is not below [`PLACES_MAX`].
    #[must_use]
    pub fn port(&self, port: PortId) -> PortCounters {
        self.ports[usize::from(port.0)].get()
    }

    pub(super) fn port_cell(&self, port: PortId) -> &PortStats {
        &self.ports[usize::from(port.0)]
    }
}

/// [`PortCounters`] in cells.
#[derive(Debug, Default)]
pub(super) struct PortStats {
    received_frames: Counter,
    received_bytes: Counter,
    receive_dropped: Counter,
    receive_malformed: Counter,
    sent_frames: Counter,
    sent_bytes: Counter,
    send_dropped: Counter,
    system_calls: Counter,
}

impl PortStats {
    /// Adds what was counted between `from` and `to`.
    pub(super) fn add(&self, from: &PortCounters, to: &PortCounters) {
        self.received_frames.add(to.received_frames.wrapping_sub(from.received_frames));
        self.received_bytes.add(to.received_bytes.wrapping_sub(from.received_bytes));
        self.receive_dropped.add(to.receive_dropped.wrapping_sub(from.receive_dropped));
        self.receive_malformed.add(to.receive_malformed.wrapping_sub(from.receive_malformed));
        self.sent_frames.add(to.sent_frames.wrapping_sub(from.sent_frames));
        self.sent_bytes.add(to.sent_bytes.wrapping_sub(from.sent_bytes));
        self.send_dropped.add(to.send_dropped.wrapping_sub(from.send_dropped));
        self.system_calls.add(to.system_calls.wrapping_sub(from.system_calls));
    }

    fn get(&self) -> PortCounters {
        PortCounters {
            received_frames: self.received_frames.get(),
            received_bytes: self.received_bytes.get(),
            receive_dropped: self.receive_dropped.get(),
            receive_malformed: self.receive_malformed.get(),
            sent_frames: self.sent_frames.get(),
            sent_bytes: self.sent_bytes.get(),
            send_dropped: self.send_dropped.get(),
            system_calls: self.system_calls.get(),
        }
    }
}
