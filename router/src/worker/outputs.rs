//! The ports as the datapath sees them: a frame is queued for a port and leaves with its batch.

use std::io;

use fib::adjacency::PortId;

use super::Ready;
use super::stats::WorkerStats;
use crate::frame::{Checksum, Frame, Pool};
use crate::packet::offload::{OffloadError, finish_checksum, segment};
use crate::port::{Framing, Offloads, PLACES_MAX, Port, PortCounters};

/// Frames that wait for one port before they are sent.
const BATCH_FRAMES: usize = 64;

/// Where the datapath puts frames, and where it gets empty ones.
pub struct Outputs {
    pool: Pool,
    slots: Vec<Option<Slot>>,
    attached: Ready,
    without_file: Ready,
    unattached: u64,
    unfinishable: u64,
    stale: bool,
}

impl Outputs {
    /// No ports yet, and `frames_max` frames to be had.
    #[must_use]
    pub fn new(frames_max: usize) -> Self {
        Self {
            pool: Pool::new(frames_max),
            slots: (0..PLACES_MAX).map(|_| None).collect(),
            attached: Ready::default(),
            without_file: Ready::default(),
            unattached: 0,
            unfinishable: 0,
            stale: false,
        }
    }

    /// Puts a port in its place; one that was there is closed.
    ///
    /// # Panics
    /// If `id` is not below [`PLACES_MAX`].
    pub fn attach(&mut self, id: PortId, port: Box<dyn Port>) {
        self.attached.insert(id);
        if port.as_fd().is_none() {
            self.without_file.insert(id);
        }
        self.slots[usize::from(id.0)] = Some(Slot {
            offloads: port.offloads(),
            framing: port.framing(),
            queue: Vec::with_capacity(BATCH_FRAMES),
            published: PortCounters::default(),
            port,
        });
    }

    /// Queues a frame. What the port cannot leave to the other side is done here: checksums finished, large frames cut
    /// into segments. A frame for a port that is not there is dropped and counted.
    pub fn send(&mut self, port: PortId, frame: Frame) {
        let Some(slot) = self.slots.get_mut(usize::from(port.0)).and_then(Option::as_mut) else {
            self.unattached += 1;
            self.pool.give(frame);
            return;
        };
        if slot.offloads.cover(&frame) {
            slot.push(&mut self.pool, frame);
        } else if slot.finish(&mut self.pool, frame).is_err() {
            self.unfinishable += 1;
        }
    }

    /// Takes back the storage of a frame that is not to be sent.
    pub fn recycle(&mut self, frame: Frame) {
        self.pool.give(frame);
    }

    /// An empty frame, to build a packet in; `None` when all are out.
    pub fn take(&mut self) -> Option<Frame> {
        self.pool.take()
    }

    /// Cuts a super-packet, whose network header is `network` bytes into it, into its segments.
    ///
    /// # Errors
    /// See [`OffloadError`]; what was cut before goes back.
    pub fn segment(&mut self, frame: &Frame, network: usize) -> Result<Vec<Frame>, OffloadError> {
        let mut segments = Vec::new();
        match segment(frame, network, &mut self.pool, |_, piece| segments.push(piece)) {
            Ok(_) => Ok(segments),
            Err(error) => {
                segments.into_iter().for_each(|piece| self.pool.give(piece));
                Err(error)
            }
        }
    }

    /// Frames that can still be taken.
    #[must_use]
    pub fn frames_available(&self) -> usize {
        self.pool.available()
    }

    /// Sends everything that is queued.
    pub fn flush(&mut self) {
        for port in self.attached.iter() {
            if let Some(slot) = &mut self.slots[usize::from(port.0)] {
                slot.flush(&mut self.pool);
            }
        }
    }

    /// What a port can leave to the other side; `None` when it is not there.
    #[must_use]
    pub fn offloads(&self, port: PortId) -> Option<Offloads> {
        self.slot(port).map(|slot| slot.offloads)
    }

    /// What frames for a port begin with; `None` when it is not there.
    #[must_use]
    pub fn framing(&self, port: PortId) -> Option<Framing> {
        self.slot(port).map(|slot| slot.framing)
    }

    pub(super) fn receive(&mut self, id: PortId, into: &mut Vec<Frame>, max: usize) -> io::Result<usize> {
        self.stale = true;
        match &mut self.slots[usize::from(id.0)] {
            Some(slot) => slot.port.receive(&mut self.pool, into, max),
            None => Ok(0),
        }
    }

    /// Takes a port out of its place; frames queued for it are dropped.
    pub(super) fn detach(&mut self, id: PortId, stats: &WorkerStats) -> Option<Box<dyn Port>> {
        let mut slot = self.slots.get_mut(usize::from(id.0))?.take()?;
        self.attached.remove(id);
        self.without_file.remove(id);
        self.unattached += slot.queue.len() as u64;
        slot.queue.drain(..).for_each(|frame| self.pool.give(frame));
        slot.port.release(&mut self.pool);
        slot.port.refresh_counters();
        slot.publish(id, stats);
        Some(slot.port)
    }

    pub(super) const fn ports_without_file(&self) -> Ready {
        self.without_file
    }

    pub(super) const fn counters_are_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn refresh_counters(&mut self) {
        self.stale = false;
        for port in self.attached.iter() {
            if let Some(slot) = &mut self.slots[usize::from(port.0)] {
                slot.port.refresh_counters();
            }
        }
    }

    pub(super) fn publish_counters(&mut self, stats: &WorkerStats) {
        stats.unattached.add(std::mem::take(&mut self.unattached));
        stats.unfinishable.add(std::mem::take(&mut self.unfinishable));
        for port in self.attached.iter() {
            if let Some(slot) = &mut self.slots[usize::from(port.0)] {
                slot.publish(port, stats);
            }
        }
    }

    fn slot(&self, port: PortId) -> Option<&Slot> {
        self.slots.get(usize::from(port.0))?.as_ref()
    }
}

/// A port and what waits for it.
struct Slot {
    port: Box<dyn Port>,
    offloads: Offloads,
    framing: Framing,
    queue: Vec<Frame>,
    /// What of the port's counters is in the worker's statistics already.
    published: PortCounters,
}

impl Slot {
    fn push(&mut self, pool: &mut Pool, frame: Frame) {
        self.queue.push(frame);
        if self.queue.len() == BATCH_FRAMES {
            self.flush(pool);
        }
    }

    fn flush(&mut self, pool: &mut Pool) {
        if !self.queue.is_empty() {
            self.port.send(pool, &mut self.queue);
        }
    }

    /// Queues what becomes of `frame` when nothing is left for the other side to do.
    fn finish(&mut self, pool: &mut Pool, mut frame: Frame) -> Result<(), OffloadError> {
        let network_offset = self.framing.network_offset(frame.bytes());
        if frame.segmentation.is_some() {
            let cut = segment(&frame, network_offset, pool, |pool, piece| self.push(pool, piece));
            pool.give(frame);
            return cut.map(|_| ());
        }
        match finish_checksum(&mut frame, network_offset) {
            Ok(()) => {
                debug_assert!(!matches!(frame.checksum, Checksum::Partial { .. }));
                self.push(pool, frame);
                Ok(())
            }
            Err(error) => {
                pool.give(frame);
                Err(error)
            }
        }
    }

    fn publish(&mut self, id: PortId, stats: &WorkerStats) {
        let counters = self.port.counters();
        if counters != self.published {
            stats.port_cell(id).add(&self.published, &counters);
            self.published = counters;
        }
    }
}
