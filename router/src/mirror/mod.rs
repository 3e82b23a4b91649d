//! The mirror: what the kernel knows of links, addresses, routes, rules and neighbors, told as [`Change`]s.
//!
//! It subscribes first and dumps second, so that nothing falls between the two, then passes on what the kernel
//! announces. Where the kernel's word is not enough it takes the complete picture again (a *resync*): after an
//! overrun (messages lost), and after a link or an IPv4 address has changed, because IPv4 routes that go with them go
//! without a word. Resyncs are coalesced and never take more than half of the time.
//!
//! Picture and news travel on one bounded channel, so a slow reader slows the reading of the kernel's queue; when
//! that overflows, it is an overrun like any other.

mod dump;
mod host;
mod interpreter;
mod request;
mod resolve;
mod socket;
pub mod translate;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fib::change::Change;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::sysctl::Sysctl;
use dump::{Dump, DumpError, Dumped, TABLES, Table};
use interpreter::{Interpreter, Wish};
use socket::Socket;

pub use host::{HostDevice, OwnDevice};
pub use resolve::{ResolveError, Resolver};

/// Most changes in one batch.
pub const BATCH_CHANGES_MAX: usize = 4096;
/// Most batches waiting for the reader.
pub const BATCHES_MAX: usize = 16;
/// Datagrams taken from the kernel's queue before the batch they make is handed on.
const DATAGRAMS_PER_TURN: usize = 256;
/// Receive buffer for announcements, bytes. A burst of 100,000 routes takes about 60 MB of it.
const EVENT_BUFFER: usize = 128 * 1024 * 1024;
/// Receive buffer for dumps, bytes: the kernel writes the next part when the last was taken.
const DUMP_BUFFER: usize = 1024 * 1024;
/// How long news that ask for a resync are gathered: a link going down is told in several messages.
const RESYNC_DELAY: Duration = Duration::from_millis(20);
/// Least time between the end of one resync and the next; the time the last one took, if that was longer.
const RESYNC_PAUSE_MIN: Duration = Duration::from_millis(100);
/// How often a table that changed while it was dumped is dumped again before the next resync has to do.
const DUMP_ATTEMPTS_MAX: u32 = 3;
/// Wait after a dump the kernel refused (out of memory, say).
const DUMP_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Multicast groups (`RTNLGRP_*`, include/uapi/linux/rtnetlink.h): link, neighbor, addresses, routes and rules of both
/// families, netconf of both, nexthop.
const GROUPS: [u32; 11] = [1, 3, 5, 7, 8, 9, 11, 19, 24, 25, 32];

/// A running mirror: the changes it tells, and a handle to it. Ends when the receiver is dropped.
#[derive(Debug)]
pub struct Mirror {
    /// Batches in order. A complete picture begins with [`Change::DumpBegin`], spans any number of batches and ends
    /// with [`Change::DumpEnd`]. A picture that could not be finished is begun anew with another
    /// [`Change::DumpBegin`]; what came of the unfinished one is void. No news is told inside a picture.
    pub changes: mpsc::Receiver<Vec<Change>>,
    /// To ask for a resync and to read the counters.
    pub handle: MirrorHandle,
}

/// Asks things of a running mirror; clones ask the same one.
#[derive(Clone, Debug)]
pub struct MirrorHandle {
    commands: mpsc::Sender<Command>,
    counters: Arc<Counters>,
}

/// What a running mirror is told.
#[derive(Debug)]
enum Command {
    Resync,
    RereadSettings(Option<Box<Sysctl>>),
}

/// A mirror that cannot start, or that had to end.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// No socket to the kernel's routing tables.
    #[error("the kernel's routing tables cannot be watched (rtnetlink socket): {0}")]
    Socket(#[source] io::Error),
}

/// What the mirror did since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounters {
    /// Announcements received (messages, not counting dumps).
    pub events: u64,
    /// Entries received in dumps.
    pub dump_entries: u64,
    /// Times announcements were lost because the receive queue was full.
    pub overruns: u64,
    /// Complete pictures taken, the first included.
    pub resyncs: u64,
    /// Tables dumped again because they changed meanwhile.
    pub dumps_repeated: u64,
    /// Dumps the kernel refused.
    pub dumps_failed: u64,
    /// Time the last complete picture took, microseconds.
    pub last_dump_us: u64,
    /// Messages not understood, and not applied.
    pub unreadable: u64,
    /// Announcements of things this router has no notion of (see the log for which), not applied.
    pub unsupported: u64,
}

#[derive(Debug, Default)]
struct Counters {
    events: AtomicU64,
    dump_entries: AtomicU64,
    overruns: AtomicU64,
    resyncs: AtomicU64,
    dumps_repeated: AtomicU64,
    dumps_failed: AtomicU64,
    last_dump_us: AtomicU64,
    unreadable: AtomicU64,
    unsupported: AtomicU64,
}

impl Mirror {
    /// Starts mirroring the network namespace of the calling thread, as a task of the tokio runtime it is called in.
    /// `sysctl` is where the settings come from that netlink does not carry.
    ///
    /// # Errors
    /// The sockets cannot be opened or subscribed.
    pub fn start(sysctl: Sysctl) -> Result<Self, MirrorError> {
        let mut events = Socket::open(EVENT_BUFFER).map_err(MirrorError::Socket)?;
        for group in GROUPS {
            match events.subscribe(group) {
                // A kernel without nexthop objects or IPv6 has no such group.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                other => other.map_err(MirrorError::Socket)?,
            }
        }
        let dumps = Socket::open(DUMP_BUFFER).map_err(MirrorError::Socket)?;
        let counters = Arc::new(Counters::default());
        let (batches, changes) = mpsc::channel(BATCHES_MAX);
        let (commands, told) = mpsc::channel(8);
        let runner = Runner {
            events,
            dumps,
            sequence: 0,
            outbox: Outbox { batch: Vec::new(), batches },
            interpreter: Interpreter::new(sysctl),
            resync_due: Some(Instant::now()),
            resync_allowed: Instant::now(),
            counters: Arc::clone(&counters),
        };
        tokio::spawn(runner.run(told));
        Ok(Self { changes, handle: MirrorHandle { commands, counters } })
    }
}

impl MirrorHandle {
    /// A handle to a mirror that is not running: nothing is asked, nothing was counted.
    #[cfg(test)]
    pub(crate) fn unattached() -> Self {
        Self { commands: mpsc::channel(1).0, counters: Arc::default() }
    }

    /// Asks for the complete picture to be taken again.
    pub fn resync(&self) {
        // A full queue means that a resync is already asked for.
        let _ = self.commands.try_send(Command::Resync);
    }

    /// Reads all settings again, from `sysctl` if the configuration has changed. The answer comes as changes. Waits
    /// only while other wishes stand before this one.
    pub async fn reread_settings(&self, sysctl: Option<Sysctl>) {
        // The mirror has ended when this fails, and its reader knows.
        let _ = self.commands.send(Command::RereadSettings(sysctl.map(Box::new))).await;
    }

    /// The counters now.
    #[must_use]
    pub fn counters(&self) -> MirrorCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MirrorCounters {
            events: read(&self.counters.events),
            dump_entries: read(&self.counters.dump_entries),
            overruns: read(&self.counters.overruns),
            resyncs: read(&self.counters.resyncs),
            dumps_repeated: read(&self.counters.dumps_repeated),
            dumps_failed: read(&self.counters.dumps_failed),
            last_dump_us: read(&self.counters.last_dump_us),
            unreadable: read(&self.counters.unreadable),
            unsupported: read(&self.counters.unsupported),
        }
    }
}

/// The task behind a [`Mirror`].
struct Runner {
    events: Socket,
    dumps: Socket,
    sequence: u32,
    outbox: Outbox,
    interpreter: Interpreter,
    /// When the complete picture is to be taken again, if it is.
    resync_due: Option<Instant>,
    /// Not before this.
    resync_allowed: Instant,
    counters: Arc<Counters>,
}

/// Changes on their way to the reader.
struct Outbox {
    batch: Vec<Change>,
    batches: mpsc::Sender<Vec<Change>>,
}

/// The reader has gone.
struct Closed;

/// Why a picture was not finished.
enum Unfinished {
    Dump(DumpError),
    Closed,
}

impl From<Closed> for Unfinished {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Runner {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let due = self.resync_due;
            tokio::select! {
                biased;
                () = self.outbox.batches.closed() => return,
                () = wait_until(due), if due.is_some() => {
                    if self.resync().await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(command) = commands.recv() => match command {
                    Command::Resync => self.want_resync(),
                    Command::RereadSettings(sysctl) => {
                        self.interpreter.reread_settings(sysctl.map(|sysctl| *sysctl), &mut self.outbox.batch);
                    }
                },
                received = self.events.next() => match received {
                    Ok(messages) => {
                        let wish = self.interpreter.take(messages, &mut self.outbox.batch, &self.counters);
                        self.heed(wish);
                        self.take_more();
                    }
                    Err(error) => self.lost(&error),
                },
            }
            if self.outbox.flush().await.is_err() {
                return;
            }
        }
    }

    /// Takes what else is in the queue, up to a bound, so that a burst becomes one batch.
    fn take_more(&mut self) {
        for _ in 1..DATAGRAMS_PER_TURN {
            if self.outbox.batch.len() >= BATCH_CHANGES_MAX {
                return;
            }
            match self.events.try_next() {
                Ok(Some(messages)) => {
                    let wish = self.interpreter.take(messages, &mut self.outbox.batch, &self.counters);
                    self.heed(wish);
                }
                Ok(None) => return,
                Err(error) => return self.lost(&error),
            }
        }
    }

    fn heed(&mut self, wish: Wish) {
        if wish == Wish::Resync {
            self.want_resync();
        }
    }

    fn want_resync(&mut self) {
        self.resync_due.get_or_insert_with(|| (Instant::now() + RESYNC_DELAY).max(self.resync_allowed));
    }

    /// Announcements were lost. Those still queued are older than the picture to come, and the kernel drops further
    /// ones until the queue is empty (`NETLINK_S_CONGESTED`): so they go before it is asked for.
    fn lost(&mut self, error: &io::Error) {
        if error.raw_os_error() == Some(libc::ENOBUFS) {
            self.counters.overruns.fetch_add(1, Ordering::Relaxed);
        } else {
            tracing::warn!(%error, "reading the kernel's announcements failed; taking the complete picture again");
        }
        self.empty_queue();
        self.want_resync();
    }

    /// Empties the queue of announcements. Bounded, as a flood may refill it as fast as it is emptied: then the next
    /// overrun is noticed and the picture taken again.
    fn empty_queue(&mut self) {
        for _ in 0..1_000_000 {
            if matches!(self.events.try_next(), Ok(None)) {
                return;
            }
        }
    }

    /// Takes the complete picture.
    async fn resync(&mut self) -> Result<(), Closed> {
        let began = Instant::now();
        self.resync_due = None;
        let pause = match self.picture().await {
            Ok(whole) => {
                let took = began.elapsed();
                self.counters.resyncs.fetch_add(1, Ordering::Relaxed);
                let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.counters.last_dump_us.store(took_us, Ordering::Relaxed);
                if !whole {
                    self.resync_due = Some(Instant::now());
                }
                took.max(RESYNC_PAUSE_MIN)
            }
            Err(Unfinished::Closed) => return Err(Closed),
            Err(Unfinished::Dump(error)) => {
                tracing::warn!(%error, "mirror out of step with the kernel; trying again");
                self.counters.dumps_failed.fetch_add(1, Ordering::Relaxed);
                self.resync_due = Some(Instant::now());
                // What came of it is void once the next begins.
                self.outbox.batch.clear();
                DUMP_RETRY_PAUSE
            }
        };
        self.resync_allowed = Instant::now() + pause;
        self.resync_due = self.resync_due.map(|due| due.max(self.resync_allowed));
        Ok(())
    }

    /// Dumps all tables; false when one kept changing underneath, so that the picture may miss something.
    async fn picture(&mut self) -> Result<bool, Unfinished> {
        self.interpreter.begin_picture();
        self.outbox.batch.push(Change::DumpBegin);
        let mut whole = true;
        for table in &TABLES {
            let mut attempts = 1;
            while self.dump(table).await? == Dumped::Interrupted {
                self.counters.dumps_repeated.fetch_add(1, Ordering::Relaxed);
                attempts += 1;
                if attempts > DUMP_ATTEMPTS_MAX {
                    whole = false;
                    break;
                }
            }
        }
        self.interpreter.end_picture(&mut self.outbox.batch);
        self.outbox.batch.push(Change::DumpEnd);
        self.outbox.flush().await?;
        Ok(whole)
    }

    async fn dump(&mut self, table: &Table) -> Result<Dumped, Unfinished> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut dump = Dump::begin(table, &self.dumps, self.sequence).map_err(Unfinished::Dump)?;
        loop {
            let messages = match self.dumps.next().await {
                Ok(messages) => messages,
                Err(error) => return Err(Unfinished::Dump(DumpError { table: table.name, error })),
            };
            let (interpreter, batch, counters) =
                (&mut self.interpreter, &mut self.outbox.batch, &*self.counters);
            let ended = dump
                .take(messages, |kind, payload| interpreter.take_entry(kind, payload, batch, counters))
                .map_err(Unfinished::Dump)?;
            if let Some(dumped) = ended {
                return Ok(dumped);
            }
            if self.outbox.batch.len() >= BATCH_CHANGES_MAX / 2 {
                self.outbox.flush().await?;
            }
        }
    }
}

impl Outbox {
    /// Hands the batch on, waiting for room.
    async fn flush(&mut self) -> Result<(), Closed> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batches.send(std::mem::take(&mut self.batch)).await.map_err(|_| Closed)
    }
}

async fn wait_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}
