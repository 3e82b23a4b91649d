//! How control commands a worker and hears from it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use fib::adjacency::PortId;
use rustix::thread::{CpuSet, sched_setaffinity};
use thiserror::Error;

use super::stats::WorkerStats;
use super::{Datapath, Waker, Worker, WorkerConfig};
use crate::clock;
use crate::port::{PLACES_MAX, Port};

/// Commands that may wait for the worker's next turn.
const COMMANDS_MAX: usize = 256;

/// What a worker tells control.
#[derive(Debug)]
pub enum Notice {
    /// The port forwards from now on.
    Attached {
        /// Which.
        port: PortId,
    },
    /// The port was detached because control asked for it. Its socket is closed.
    Detached {
        /// Which.
        port: PortId,
    },
    /// The port failed and was closed; the other ports go on.
    Lost {
        /// Which.
        port: PortId,
        /// `ENETDOWN`, `ENXIO`, `ENODEV` and the like.
        error: io::Error,
    },
    /// The worker's thread has ended, by command or by a panic.
    Ended,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Too many commands wait already.
    #[error("the worker has not yet carried out the last {COMMANDS_MAX} commands")]
    Busy,
    /// The worker has ended.
    #[error("the worker has ended")]
    Ended,
    /// There is no such place for a port.
    #[error("port numbers end at {}", PLACES_MAX - 1)]
    NoSuchPort,
}

/// The other end of a worker. When it is dropped the worker stops, and its thread is waited for.
#[derive(Debug)]
pub struct WorkerHandle {
    commands: Option<SyncSender<Command>>,
    waker: Waker,
    stats: Arc<WorkerStats>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a worker on a thread called `name`. `make` builds the datapath on that thread.
///
/// # Errors
/// No thread or no file descriptors are left, or the CPU to stay on does not exist.
pub fn spawn<D: Datapath>(
    name: &str,
    config: WorkerConfig,
    notices: tokio::sync::mpsc::Sender<Notice>,
    make: impl FnOnce() -> D + Send + 'static,
) -> io::Result<WorkerHandle> {
    let (answer, started) = sync_channel(1);
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _ended = SayEnded(notices.clone());
        let made = pin(config.cpu).and_then(|()| Worker::new(make(), &config, notices));
        let (result, worker) = match made {
            Ok((worker, handle)) => (Ok(handle), Some(worker)),
            Err(error) => (Err(error), None),
        };
        // Fails only when nobody waits for the worker any more, and then it ends at once.
        let _ = answer.send(result);
        if let Some(mut worker) = worker {
            worker.run(clock::now);
        }
    })?;
    let mut handle =
        started.recv().map_err(|_| io::Error::other("the worker's datapath could not be built"))??;
    handle.thread = Some(thread);
    Ok(handle)
}

impl WorkerHandle {
    pub(super) fn new(waker: Waker, stats: Arc<WorkerStats>) -> (Self, Receiver<Command>) {
        let (sender, receiver) = sync_channel(COMMANDS_MAX);
        (Self { commands: Some(sender), waker, stats, thread: None }, receiver)
    }

    /// Hands a port to the worker; one that has this id already is closed.
    ///
    /// # Errors
    /// See [`CommandError`]; the port is closed.
    pub fn attach(&self, id: PortId, port: Box<dyn Port>) -> Result<(), CommandError> {
        self.command(id, Command::Attach(id, port))
    }

    /// Has the worker close a port.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn detach(&self, id: PortId) -> Result<(), CommandError> {
        self.command(id, Command::Detach(id))
    }

    /// Has the worker send a frame of the router's own by a port, past the hooks for such frames.
    ///
    /// # Errors
    /// See [`CommandError`]; the frame is dropped.
    pub fn originate(&self, id: PortId, frame: Vec<u8>) -> Result<(), CommandError> {
        self.command(id, Command::Originate(id, frame.into()))
    }

    /// Makes the worker take a turn now.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// What wakes the worker, to be handed to whoever has news for it.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The worker's counters.
    #[must_use]
    pub const fn stats(&self) -> &Arc<WorkerStats> {
        &self.stats
    }

    fn command(&self, id: PortId, command: Command) -> Result<(), CommandError> {
        if usize::from(id.0) >= PLACES_MAX {
            return Err(CommandError::NoSuchPort);
        }
        let commands = self.commands.as_ref().ok_or(CommandError::Ended)?;
        let sent = commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Disconnected(_) => CommandError::Ended,
        });
        self.waker.wake();
        sent
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.commands = None;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of the worker has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

pub(super) enum Command {
    Attach(PortId, Box<dyn Port>),
    Detach(PortId),
    Originate(PortId, Box<[u8]>),
}

struct SayEnded(tokio::sync::mpsc::Sender<Notice>);

impl Drop for SayEnded {
    fn drop(&mut self) {
        // With the channel full or closed nobody can be told; the handle finds out with its next command.
        let _ = self.0.try_send(Notice::Ended);
    }
}

fn pin(cpu: Option<usize>) -> io::Result<()> {
    let Some(cpu) = cpu else { return Ok(()) };
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no CPU {cpu}")));
    }
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}
