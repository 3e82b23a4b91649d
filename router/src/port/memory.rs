//! Ports without a device: two queues in memory, for tests and for simulated networks.
//!
//! [`pair`] makes two ports that are each other's far side, like the ends of a veth; [`wired`] makes one port and the
//! [`Wire`] by which a test or a simulation plays everything beyond it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::{Framing, Offloads, Port, PortCounters};
use crate::frame::{Checksum, Frame, Pool, Segmentation, VlanTag};

/// How a memory port behaves.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Frames that wait in one direction; more are dropped and counted by the sender.
    pub queue_frames_max: usize,
    /// What the port's far side is able to finish.
    pub offloads: Offloads,
    /// What frames begin with.
    pub framing: Framing,
}

impl Default for Settings {
    fn default() -> Self {
        Self { queue_frames_max: 1024, offloads: Offloads::ALL, framing: Framing::Ethernet }
    }
}

/// Two ports, each receiving what the other sends.
///
/// # Errors
/// The process has no file descriptors left.
pub fn pair(settings: Settings) -> io::Result<(MemoryPort, MemoryPort)> {
    let (near, far) = wired(settings)?;
    Ok((near, MemoryPort { wire: far, settings, counters: PortCounters::default() }))
}

/// A port, and the wire that leads to it.
///
/// # Errors
/// The process has no file descriptors left.
pub fn wired(settings: Settings) -> io::Result<(MemoryPort, Wire)> {
    let inward = Arc::new(Queue::new(settings.queue_frames_max)?);
    let outward = Arc::new(Queue::new(settings.queue_frames_max)?);
    let near = Wire { outgoing: outward.clone(), incoming: inward.clone() };
    let far = Wire { outgoing: inward, incoming: outward };
    Ok((MemoryPort { wire: near, settings, counters: PortCounters::default() }, far))
}

/// A port whose device is a queue.
#[derive(Debug)]
pub struct MemoryPort {
    wire: Wire,
    settings: Settings,
    counters: PortCounters,
}

/// The far side of a [`MemoryPort`].
#[derive(Debug)]
pub struct Wire {
    outgoing: Arc<Queue>,
    incoming: Arc<Queue>,
}

/// A frame on its way: its bytes, and what a port tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// The bytes, beginning with what the port's [`Framing`] says.
    pub bytes: Vec<u8>,
    /// See [`Frame::vlan`].
    pub vlan: Option<VlanTag>,
    /// See [`Frame::checksum`].
    pub checksum: Checksum,
    /// See [`Frame::segmentation`].
    pub segmentation: Option<Segmentation>,
}

impl From<&[u8]> for Parcel {
    fn from(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), ..Self::default() }
    }
}

impl Wire {
    /// Sends towards the port. `false` when the queue is full and the frame is lost.
    pub fn push(&self, parcel: impl Into<Parcel>) -> bool {
        let parcel = parcel.into();
        self.outgoing.push(|place| *place = parcel)
    }

    /// Takes the oldest frame that the port has sent.
    #[must_use]
    pub fn pop(&self) -> Option<Parcel> {
        self.incoming.pop(|parcel| parcel.clone())
    }

    /// Takes the device away (`true`) or gives it back: a port without its device answers `ENETDOWN`.
    pub fn set_down(&self, down: bool) {
        self.outgoing.down.store(down, Ordering::Relaxed);
        self.outgoing.state.lock().ring(&self.outgoing.bell);
    }
}

impl Port for MemoryPort {
    fn receive(&mut self, pool: &mut Pool, into: &mut Vec<Frame>, max: usize) -> io::Result<usize> {
        if self.wire.incoming.down.load(Ordering::Relaxed) {
            return Err(Errno::NETDOWN.into());
        }
        for count in 0..max {
            let Some(mut frame) = pool.take() else { return Ok(count) };
            let Some(bytes) = self.wire.incoming.pop(|parcel| parcel.write_to(&mut frame)) else {
                pool.give(frame);
                return Ok(count);
            };
            self.counters.received_frames += 1;
            self.counters.received_bytes += bytes as u64;
            into.push(frame);
        }
        Ok(max)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            if self.wire.outgoing.push(|parcel| parcel.read_from(&frame)) {
                self.counters.sent_frames += 1;
                self.counters.sent_bytes += frame.len() as u64;
            } else {
                self.counters.send_dropped += 1;
            }
            pool.give(frame);
        }
    }

    fn offloads(&self) -> Offloads {
        self.settings.offloads
    }

    fn framing(&self) -> Framing {
        self.settings.framing
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.wire.incoming.bell.as_fd())
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }
}

impl Parcel {
    fn write_to(&self, frame: &mut Frame) -> usize {
        frame.copy_from(&self.bytes);
        frame.vlan = self.vlan;
        frame.checksum = self.checksum;
        frame.segmentation = self.segmentation;
        self.bytes.len()
    }

    fn read_from(&mut self, frame: &Frame) {
        self.bytes.clear();
        self.bytes.extend_from_slice(frame.bytes());
        self.vlan = frame.vlan;
        self.checksum = frame.checksum;
        self.segmentation = frame.segmentation;
    }
}

/// One direction. Emptied parcels are kept for the next frame, so that a queue in use allocates nothing.
#[derive(Debug)]
struct Queue {
    state: Mutex<Parcels>,
    /// Readable while frames wait.
    bell: OwnedFd,
    down: AtomicBool,
}

#[derive(Debug)]
struct Parcels {
    waiting: VecDeque<Parcel>,
    empty: Vec<Parcel>,
    frames_max: usize,
    rung: bool,
}

impl Queue {
    fn new(frames_max: usize) -> io::Result<Self> {
        let waiting = VecDeque::with_capacity(frames_max);
        Ok(Self {
            state: Mutex::new(Parcels { waiting, empty: Vec::new(), frames_max, rung: false }),
            bell: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            down: AtomicBool::new(false),
        })
    }

    fn push(&self, fill: impl FnOnce(&mut Parcel)) -> bool {
        let mut state = self.state.lock();
        if state.waiting.len() == state.frames_max {
            return false;
        }
        let mut parcel = state.empty.pop().unwrap_or_default();
        fill(&mut parcel);
        state.waiting.push_back(parcel);
        state.ring(&self.bell);
        true
    }

    fn pop<T>(&self, take: impl FnOnce(&Parcel) -> T) -> Option<T> {
        let mut state = self.state.lock();
        let taken = state.waiting.pop_front().map(|parcel| {
            let taken = take(&parcel);
            state.empty.push(parcel);
            taken
        });
        if state.waiting.is_empty() {
            state.silence(&self.bell);
        }
        taken
    }
}

impl Parcels {
    fn ring(&mut self, bell: &OwnedFd) {
        if !self.rung {
            rustix::io::write(bell, &1_u64.to_ne_bytes()).expect("a silent eventfd takes a 1");
            self.rung = true;
        }
    }

    fn silence(&mut self, bell: &OwnedFd) {
        if self.rung {
            rustix::io::read(bell, &mut [0; 8]).expect("a rung eventfd can be read");
            self.rung = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(port: &mut MemoryPort, pool: &mut Pool) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        port.receive(pool, &mut frames, 64).unwrap();
        frames.into_iter().map(|frame| frame.bytes().to_vec()).collect()
    }

    #[test]
    fn frames_arrive_in_order_at_the_other_end() {
        let (mut left, mut right) = pair(Settings::default()).unwrap();
        let mut pool = Pool::new(8);
        let mut frames = Vec::new();
        for byte in 0..3_u8 {
            let mut frame = pool.take().unwrap();
            frame.copy_from(&[byte; 60]);
            frame.checksum = Checksum::Partial { start: 20, offset: byte.into() };
            frames.push(frame);
        }
        left.send(&mut pool, &mut frames);
        assert_eq!(pool.available(), 8);
        right.receive(&mut pool, &mut frames, 64).unwrap();
        for (byte, frame) in frames.iter().enumerate() {
            assert_eq!(frame.bytes(), [byte as u8; 60]);
            assert_eq!(frame.checksum, Checksum::Partial { start: 20, offset: byte as u16 });
        }
        assert_eq!((left.counters().sent_frames, right.counters().received_bytes), (3, 180));
    }

    #[test]
    fn a_full_queue_drops_the_newest_and_counts_them() {
        let (mut port, wire) = wired(Settings { queue_frames_max: 2, ..Settings::default() }).unwrap();
        let mut pool = Pool::new(3);
        let mut frames: Vec<Frame> = std::iter::from_fn(|| pool.take()).collect();
        for (byte, frame) in frames.iter_mut().enumerate() {
            frame.copy_from(&[byte as u8]);
        }
        port.send(&mut pool, &mut frames);
        assert_eq!((port.counters().sent_frames, port.counters().send_dropped), (2, 1));
        let left = [wire.pop(), wire.pop(), wire.pop()].map(|parcel| parcel.map(|parcel| parcel.bytes));
        assert_eq!(left, [Some(vec![0]), Some(vec![1]), None]);
    }

    #[test]
    fn without_frames_in_the_pool_nothing_is_taken_from_the_queue() {
        let (mut port, wire) = wired(Settings::default()).unwrap();
        assert!(wire.push(&[1; 60][..]));
        assert_eq!(receive(&mut port, &mut Pool::new(0)), Vec::<Vec<u8>>::new());
        assert_eq!(receive(&mut port, &mut Pool::new(1)), vec![vec![1; 60]]);
    }

    #[test]
    fn a_port_without_its_device_says_so() {
        let (mut port, wire) = wired(Settings::default()).unwrap();
        wire.set_down(true);
        let error = port.receive(&mut Pool::new(1), &mut Vec::new(), 1).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NETDOWN));
    }
}
