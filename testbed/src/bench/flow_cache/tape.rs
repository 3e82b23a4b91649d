//! Frames written beforehand that arrive in a fixed order, the worker they arrive at, and the processor time it takes.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::PortId;
use router::frame::{Checksum, Frame, Pool};
use router::port::{Framing, Offloads, Port, PortCounters};
use router::worker::{Datapath, Notice, Worker, WorkerConfig, WorkerHandle};
use rustix::time::{ClockId, clock_gettime};

use super::flows::{Recorded, Way, frame};

/// Packets of a turn: as many as a worker takes from one port.
pub const BATCH: usize = 64;
/// Frames of a tape at least, so that few flows have an order too.
const FRAMES_MIN: usize = 4_096;
/// Time that passes on the table from packet to packet.
const STEP: Duration = Duration::from_nanos(250);
/// When the first packet arrives.
const BEGIN: Instant = Instant::from_secs(10);
/// Turns between two looks at the clock.
const STRETCH_TURNS: usize = 16;

/// Frames in the order in which they arrive. It is read from front to back, as a card's ring is.
pub struct Tape {
    frames: Box<[Recorded]>,
    way: Way,
}

impl Tape {
    /// A frame of each flow from 0 on in an order that is none, as often as makes a tape; the same one in every run.
    #[must_use]
    pub fn shuffled(flows: u32, way: Way) -> Arc<Self> {
        let mut random = fastrand::Rng::with_seed(u64::from(flows));
        let mut order: Vec<u32> = (0..flows).collect();
        let rounds = FRAMES_MIN.div_ceil(order.len());
        let mut frames = Vec::with_capacity(rounds * order.len());
        for _ in 0..rounds {
            random.shuffle(&mut order);
            frames.extend(order.iter().map(|flow| frame(*flow, way)));
        }
        Arc::new(Self { frames: frames.into(), way })
    }

    /// Frames until it begins anew.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames.len()
    }
}

/// A worker between two ports: frames of a tape arrive at one of them, what leaves is thrown away.
pub struct Deck<D> {
    worker: Worker<D>,
    handle: WorkerHandle,
    now: Instant,
    _notices: tokio::sync::mpsc::Receiver<Notice>,
}

impl<D: Datapath> Deck<D> {
    /// A worker at which a tape's frames arrive, over and over again.
    ///
    /// # Panics
    /// If the process has no file descriptors left.
    #[must_use]
    pub fn new(datapath: D, tape: &Arc<Tape>) -> Self {
        let (notify, notices) = tokio::sync::mpsc::channel(16);
        let (worker, handle) =
            Worker::new(datapath, &WorkerConfig::default(), notify).expect("file descriptors are left");
        let mut deck = Self { worker, handle, now: BEGIN, _notices: notices };
        deck.change(tape);
        deck
    }

    /// Puts another tape in.
    pub fn change(&mut self, tape: &Arc<Tape>) {
        let [input, output] = tape.way.ports();
        for (port, tape) in [(input, Some(tape.clone())), (output, None)] {
            let player = Player { tape, next: 0, counters: PortCounters::default() };
            self.handle.attach(PortId(port), Box::new(player)).expect("the worker has room for a command");
        }
    }

    /// Has the worker take turns for so many packets, and says how many it were: a turn is never cut short.
    ///
    /// # Panics
    /// If frames got lost.
    pub fn play(&mut self, packets: usize) -> usize {
        let turns = packets.div_ceil(BATCH);
        for _ in 0..turns {
            let frames = self.turn(self.now);
            assert_eq!(frames, BATCH, "the worker has all its frames back");
            self.now = self.now + STEP * BATCH as u32;
        }
        turns * BATCH
    }

    /// Nanoseconds of the processor for each packet, over this time of it at least.
    pub fn cost(&mut self, time: Duration) -> f64 {
        let began = processor_time();
        let mut packets = 0;
        loop {
            packets += self.play(STRETCH_TURNS * BATCH);
            let passed = processor_time() - began;
            if passed >= time {
                return passed.as_nanos() as f64 / packets as f64;
            }
        }
    }

    /// Has the worker take one turn, at this moment, and says how many packets it had.
    pub fn turn(&mut self, now: Instant) -> usize {
        self.worker.turn(|| now).frames
    }

    /// The moment of the next packet that is played.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Has the worker let go of what it has borrowed, as before it sleeps.
    pub fn rest(&mut self) {
        self.worker.datapath().idle();
    }
}

/// Time that this thread has had the processor: what others do with it does not count.
#[must_use]
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A port that plays a tape, or one where nothing arrives. What is sent is thrown away.
struct Player {
    tape: Option<Arc<Tape>>,
    next: usize,
    counters: PortCounters,
}

impl Port for Player {
    fn receive(&mut self, pool: &mut Pool, into: &mut Vec<Frame>, max: usize) -> io::Result<usize> {
        let Some(tape) = &self.tape else { return Ok(0) };
        for count in 0..max {
            let Some(mut frame) = pool.take() else { return Ok(count) };
            let recorded = &tape.frames[self.next].0;
            frame.set_len(recorded.len());
            frame.bytes_mut().copy_from_slice(recorded);
            frame.checksum = Checksum::Valid;
            into.push(frame);
            self.next = (self.next + 1) % tape.frames.len();
        }
        self.counters.received_frames += max as u64;
        Ok(max)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) {
        self.counters.sent_frames += frames.len() as u64;
        frames.drain(..).for_each(|frame| pool.give(frame));
    }

    fn offloads(&self) -> Offloads {
        Offloads::ALL
    }

    fn framing(&self) -> Framing {
        Framing::Ethernet
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }
}
