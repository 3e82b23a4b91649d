//! A worker: one thread that takes frames from ports, has them processed, sends the results, and sleeps in between.
//!
//! A turn receives a batch from every port that has frames, *then* lets the [`Datapath`] look at what control has
//! published, then processes every frame to its end, and sends. A frame that arrives after a change was acknowledged
//! is therefore always judged by that change.
//!
//! The worker's lists are made once; a turn allocates nothing. It waits for nothing but frames, its deadline and its
//! [`Waker`]: control speaks to it through a bounded channel and atomics.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use fib::adjacency::PortId;

use crate::frame::Frame;
use crate::port::{PLACES_MAX, Port};
use conntrack::Instant;

mod handle;
mod outputs;
mod poller;
mod stats;

pub use handle::{CommandError, Notice, WorkerHandle, spawn};
pub use outputs::Outputs;
pub use poller::Waker;
pub use stats::{Counter, WorkerStats};

use handle::Command;
use poller::Poller;

/// What is done with frames. The engine is one; so is a forwarder that does nothing else, and a test's double.
pub trait Datapath {
    /// A turn begins: its frames have been received, and everything in it happens at `now`.
    fn begin_turn(&mut self, now: Instant);

    /// These frames, at most [`FRAMES_AHEAD`], are processed next, in this order: what they will need may be fetched.
    fn foresee(&mut self, frames: &[Frame], out: &Outputs) {
        let _ = (frames, out);
    }

    /// Processes one frame. What is to be sent goes to `out`; storage that is not sent must be given back with
    /// [`Outputs::recycle`].
    fn process(&mut self, frame: Frame, out: &mut Outputs);

    /// Sends a frame of the router's own by a port.
    fn originate(&mut self, port: PortId, frame: &[u8], out: &mut Outputs) {
        if let Some(mut own) = out.take() {
            own.copy_from(frame);
            out.send(port, own);
        }
    }

    /// The turn's frames are processed; what time has brought (expiry, retries) is done now. Returns when to be called
    /// again even if no frame arrives.
    fn end_turn(&mut self, out: &mut Outputs) -> Option<Instant>;

    /// The worker is about to sleep: snapshots are to be let go, so that control can free what they hold.
    fn idle(&mut self);
}

/// Frames that the datapath is told of before the first of them is processed: enough for their memory to arrive
/// together, and few enough to stay in the nearest cache.
pub const FRAMES_AHEAD: usize = 16;

/// How a worker is to work.
#[derive(Clone, Copy, Debug)]
pub struct WorkerConfig {
    /// Frames taken from one port in one turn.
    pub batch_frames: NonZeroUsize,
    /// Frames the worker owns: those in a turn, those held by the datapath, those being built. Each has room for the
    /// largest packet, but memory is used only as far as packets fill it.
    pub frames_max: usize,
    /// The CPU the thread stays on; `None` leaves it to the scheduler.
    pub cpu: Option<usize>,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { batch_frames: NonZeroUsize::new(64).expect("64 is not 0"), frames_max: 4096, cpu: None }
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Frames received and processed.
    pub frames: usize,
    /// When the datapath wants its next turn at the latest.
    pub deadline: Option<Instant>,
}

/// The worker itself. [`spawn`] gives it a thread; a simulation calls [`Worker::turn`] with a time of its own.
pub struct Worker<D> {
    datapath: D,
    outputs: Outputs,
    poller: Poller,
    /// Ports that may have frames.
    ready: Ready,
    arrived: Vec<Frame>,
    batch_frames: usize,
    commands: Receiver<Command>,
    /// Frames that control wants sent, until the turn begins.
    originated: Vec<(PortId, Box<[u8]>)>,
    notices: tokio::sync::mpsc::Sender<Notice>,
    stats: Arc<WorkerStats>,
    refreshed: Instant,
    stopped: bool,
}

/// Frames that control has a worker send in one turn at most.
const ORIGINATED_MAX: usize = 64;

/// How often counters that cost a system call are brought up to date.
const REFRESH_EVERY: Duration = Duration::from_millis(100);

impl<D: Datapath> Worker<D> {
    /// A worker on the caller's thread, and the handle that commands it.
    ///
    /// `notices` hears of ports that are lost; when it is full the notice is counted in [`WorkerStats`] and dropped.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new(
        datapath: D,
        config: &WorkerConfig,
        notices: tokio::sync::mpsc::Sender<Notice>,
    ) -> io::Result<(Self, WorkerHandle)> {
        let poller = Poller::new()?;
        let stats = Arc::new(WorkerStats::default());
        let (handle, commands) = WorkerHandle::new(poller.waker(), stats.clone());
        let batch_frames = config.batch_frames.get();
        let worker = Self {
            datapath,
            outputs: Outputs::new(config.frames_max),
            poller,
            ready: Ready::default(),
            arrived: Vec::with_capacity(batch_frames * 4),
            batch_frames,
            commands,
            originated: Vec::new(),
            notices,
            stats,
            refreshed: Instant::ZERO,
            stopped: false,
        };
        Ok((worker, handle))
    }

    /// Works until told to stop, or until nobody is left who could tell. `clock` says what time it is.
    pub fn run(&mut self, clock: fn() -> Instant) {
        let mut deadline = None;
        self.obey();
        while !self.stopped {
            let timeout_ns = self.prepare_to_wait(deadline, clock);
            self.poller.wait(timeout_ns, &mut self.ready);
            self.obey();
            deadline = self.work(clock).deadline;
        }
    }

    /// One turn, for those who drive the worker themselves: obeys commands, receives what is there, processes it at
    /// the time that `clock` then tells, sends. Never sleeps.
    pub fn turn(&mut self, clock: impl FnOnce() -> Instant) -> Turn {
        self.obey();
        self.poller.wait(Some(0), &mut self.ready);
        self.work(clock)
    }

    /// The datapath, for those who drive the worker themselves.
    pub const fn datapath(&mut self) -> &mut D {
        &mut self.datapath
    }

    /// Frames that are free, for those who drive the worker themselves and look for leaks.
    #[must_use]
    pub fn frames_available(&self) -> usize {
        self.outputs.frames_available()
    }

    fn work(&mut self, clock: impl FnOnce() -> Instant) -> Turn {
        self.receive();
        let now = clock();
        self.datapath.begin_turn(now);
        for (port, frame) in self.originated.drain(..) {
            self.datapath.originate(port, &frame, &mut self.outputs);
        }
        let frames = self.arrived.len();
        let mut arrived = self.arrived.drain(..);
        while !arrived.as_slice().is_empty() {
            let next = &arrived.as_slice()[..FRAMES_AHEAD.min(arrived.len())];
            self.datapath.foresee(next, &self.outputs);
            for frame in arrived.by_ref().take(FRAMES_AHEAD) {
                self.datapath.process(frame, &mut self.outputs);
            }
        }
        drop(arrived);
        let deadline = self.datapath.end_turn(&mut self.outputs);
        self.outputs.flush();
        self.account(frames, now);
        Turn { frames, deadline }
    }

    /// Takes a batch from every port that may have frames. A port that gave a full batch may have more; so may one
    /// without a file as long as it gives any.
    fn receive(&mut self) {
        let without_file = self.outputs.ports_without_file();
        self.ready.insert_all(without_file);
        for port in self.ready.take() {
            let before = self.arrived.len();
            match self.outputs.receive(port, &mut self.arrived, self.batch_frames) {
                Ok(count) if count == self.batch_frames => {
                    self.stats.full_batches.add(1);
                    self.ready.insert(port);
                }
                Ok(count) if count > 0 && without_file.contains(port) => self.ready.insert(port),
                Ok(_) => {}
                Err(error) => self.lose(port, error),
            }
            for frame in &mut self.arrived[before..] {
                frame.input = port;
            }
        }
    }

    /// Lets go of what a sleeper must not hold, and says how long to sleep; 0 when there is still something to do.
    fn prepare_to_wait(&mut self, deadline: Option<Instant>, clock: fn() -> Instant) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        self.datapath.idle();
        self.stats.sleeps.add(1);
        let refresh = self.outputs.counters_are_stale().then(|| self.refreshed + REFRESH_EVERY);
        let next = match (deadline, refresh) {
            (Some(deadline), Some(refresh)) => deadline.min(refresh),
            (deadline, refresh) => deadline.or(refresh)?,
        };
        Some((next - clock()).as_nanos() as u64)
    }

    /// Carries out what control has asked for.
    fn obey(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Attach(id, port)) => self.attach(id, port),
                Ok(Command::Detach(id)) => {
                    self.remove(id);
                    self.notify(Notice::Detached { port: id });
                }
                Ok(Command::Originate(id, frame)) => {
                    self.originated.push((id, frame));
                    if self.originated.len() == ORIGINATED_MAX {
                        self.poller.waker().wake();
                        return;
                    }
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.stopped = true;
                    return;
                }
            }
        }
    }

    fn attach(&mut self, id: PortId, port: Box<dyn Port>) {
        self.remove(id);
        let watched = port.as_fd().map_or(Ok(()), |file| self.poller.add(id, file));
        match watched {
            Ok(()) => {
                self.outputs.attach(id, port);
                self.notify(Notice::Attached { port: id });
            }
            Err(error) => self.notify(Notice::Lost { port: id, error }),
        }
    }

    fn lose(&mut self, id: PortId, error: io::Error) {
        self.remove(id);
        self.notify(Notice::Lost { port: id, error });
    }

    fn remove(&mut self, id: PortId) {
        self.ready.remove(id);
        if let Some(port) = self.outputs.detach(id, &self.stats) {
            // The file may be closed or unknown already; it is gone from the poller either way.
            let _ = port.as_fd().map_or(Ok(()), |file| self.poller.remove(file));
        }
    }

    fn notify(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.stats.notices_lost.add(1);
        }
    }

    fn account(&mut self, frames: usize, now: Instant) {
        self.stats.turns.add(1);
        self.stats.frames.add(frames as u64);
        if now - self.refreshed >= REFRESH_EVERY {
            self.refreshed = now;
            self.outputs.refresh_counters();
        }
        self.outputs.publish_counters(&self.stats);
    }
}

/// A set of ports, walked in order of their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ready([u64; PLACES_MAX / 64]);

impl Ready {
    fn insert(&mut self, port: PortId) {
        self.0[usize::from(port.0) / 64] |= 1 << (port.0 % 64);
    }

    fn insert_all(&mut self, others: Self) {
        for (word, other) in self.0.iter_mut().zip(others.0) {
            *word |= other;
        }
    }

    fn contains(self, port: PortId) -> bool {
        self.0[usize::from(port.0) / 64] & (1 << (port.0 % 64)) != 0
    }

    fn remove(&mut self, port: PortId) {
        self.0[usize::from(port.0) / 64] &= !(1 << (port.0 % 64));
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Empties the set and walks what was in it.
    fn take(&mut self) -> impl Iterator<Item = PortId> + use<> {
        std::mem::take(self).iter()
    }

    fn iter(self) -> impl Iterator<Item = PortId> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                (bit < 64).then(|| {
                    word &= word - 1;
                    PortId((index * 64) as u16 + bit as u16)
                })
            })
        })
    }
}

const _: () = assert!(PLACES_MAX.is_multiple_of(64), "a port set is made of whole words");

#[cfg(test)]
mod tests;
