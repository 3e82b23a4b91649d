//! Packets for programs: rules send packets to a queue, and a program that listens there says what becomes of them.
//!
//! A worker keeps the packet itself (`engine/queue.rs`) and hands a copy of its bytes over by a bounded channel; it waits
//! for nobody. A thread of its own ([`Server`]) moves messages between the programs' sockets and the [`Desk`], which
//! knows who listens where and which packets wait for whose answer. Answers go to the worker that keeps the packet,
//! which goes on with it at its next turn.
//!
//! What is bounded: packets and bytes that wait in one queue ([`Listener`]), packets handed over and not yet looked at
//! ([`HANDED_MAX`]), programs, queues of a program, what it has not read yet, and its errors (`desk`).

mod desk;
mod listener;
mod mend;
mod record;
mod server;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use conntrack::Instant;
use ctl::queue::message::Ct;
use fib::adjacency::PortId;
use parking_lot::Mutex;

pub use desk::{Desk, Farewell, Heard, ProgramId};
pub use listener::{BYTES_MAX, Listener, Peer};
pub(crate) use record::raise;
pub use record::{Losses, Numbers, Record};
pub use server::Server;

use crate::chain::{Family, Point};
use crate::drops::DropReason;
use crate::packet::parse::Ip;
use crate::worker::Waker;

/// Packets that workers have handed over and the desk has not looked at yet, at most.
pub const HANDED_MAX: usize = 4096;

/// Queues that are known at one time: bound, or sent packets to since the start.
pub const RECORDS_MAX: usize = 1024;

/// How often it is told what queues did not get judged.
const LOSSES_EVERY: Duration = Duration::from_secs(1);

/// The queues of a router: who listens where, and the channels between workers and the desk.
pub struct Queues {
    records: ArcSwap<BTreeMap<u16, Arc<Record>>>,
    edits: Mutex<()>,
    losses_told: Mutex<Instant>,
    packets: AtomicU64,
    handed: SyncSender<Handed>,
    to_desk: Mutex<Option<Receiver<Handed>>>,
    desk: OnceLock<Waker>,
    workers: Mutex<Vec<Arc<Outlet>>>,
}

/// A packet as the desk gets it.
pub struct Handed {
    /// Its number.
    pub number: u64,
    /// The worker that keeps it.
    pub worker: usize,
    /// Whose it is to be.
    pub listener: Arc<Listener>,
    /// Family of the hook that has queued it.
    pub family: Family,
    /// Where that hook is.
    pub point: Point,
    /// Port of entry.
    pub input: Option<PortId>,
    /// Port it will leave by.
    pub output: Option<PortId>,
    /// Its mark.
    pub mark: u32,
    /// Bytes of the whole packet.
    pub length: usize,
    /// What tracking says of it.
    pub ct: Option<Ct>,
    /// As many of its bytes as the listener has asked for.
    pub bytes: Box<[u8]>,
}

/// What is to become of a packet that a worker keeps.
#[derive(Debug)]
pub struct Answer {
    /// The packet's number.
    pub number: u64,
    /// What is to become of it.
    pub judgement: Judgement,
    /// Its new mark.
    pub mark: Option<u32>,
    /// Its new bytes.
    pub change: Option<Change>,
}

/// What is to become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It goes on behind the hook that queued it.
    Accept,
    /// It ends.
    Drop(DropReason),
    /// It is shown to that hook again.
    Repeat,
    /// It goes to another queue.
    Queue(u16),
    /// It goes on behind all hooks of the point.
    Stop,
}

/// New bytes of a packet, found sound.
#[derive(Debug)]
pub struct Change {
    /// From where the bytes of [`Handed`] began.
    pub bytes: Box<[u8]>,
    /// Where the network header begins in them.
    pub network: usize,
    /// What the IP headers say; [`Ip::NONE`] if there are none.
    pub header: Ip,
}

/// A worker's end of its answers' channel, as others see it.
struct Outlet {
    answers: Sender<Answer>,
    waker: OnceLock<Waker>,
}

impl Default for Queues {
    fn default() -> Self {
        let (handed, to_desk) = sync_channel(HANDED_MAX);
        Self {
            records: ArcSwap::default(),
            edits: Mutex::default(),
            losses_told: Mutex::new(Instant::ZERO),
            packets: AtomicU64::new(0),
            handed,
            to_desk: Mutex::new(Some(to_desk)),
            desk: OnceLock::new(),
            workers: Mutex::default(),
        }
    }
}

impl Queues {
    /// Who listens on a queue.
    #[must_use]
    pub fn listener(&self, number: u16) -> Option<Arc<Listener>> {
        self.records.load().get(&number)?.listener()
    }

    /// All queues that were bound or that packets were sent to, by number.
    #[must_use]
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.records.load().values().cloned().collect()
    }

    /// What queues did not get judged since this was asked last, if that was a second ago.
    pub fn losses(&self, now: Instant) -> Vec<Losses> {
        let mut told = self.losses_told.lock();
        if now - *told < LOSSES_EVERY {
            return Vec::new();
        }
        *told = now;
        self.records.load().values().filter_map(|record| record.losses()).collect()
    }

    /// Who is to have a packet; nobody is counted as the queue's loss, the packet's way on as `bypass` says.
    pub(crate) fn seek(&self, number: u16, bypass: bool) -> Option<Arc<Listener>> {
        let records = self.records.load();
        let record = records.get(&number);
        let listener = record.and_then(|record| record.listener());
        if listener.is_none() {
            let count = |record: &Record| {
                raise(if bypass { &record.numbers.bypassed } else { &record.numbers.unbound });
            };
            match record {
                Some(record) => count(record),
                // A worker waits for nobody: if others make records now, this packet goes without.
                None => drop(self.edits.try_lock().map(|_lock| self.record(number).map(|new| count(&new)))),
            }
        }
        listener
    }

    /// Says what wakes worker `number`, so that it takes its answers at once and not at its next turn only.
    pub fn set_waker(&self, number: usize, waker: Waker) {
        if let Some(outlet) = self.workers.lock().get(number) {
            // Another one is of the same worker.
            let _ = outlet.waker.set(waker);
        }
    }

    /// A number for a packet, never given twice.
    pub(crate) fn number_packet(&self) -> u64 {
        self.packets.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A worker's number here, and where its answers arrive.
    pub(crate) fn seat_worker(&self) -> (usize, Receiver<Answer>) {
        let (answers, inbox) = channel();
        let mut workers = self.workers.lock();
        workers.push(Arc::new(Outlet { answers, waker: OnceLock::new() }));
        (workers.len() - 1, inbox)
    }

    /// Gives a packet to the desk, which hears of it with [`Self::call_desk`]; false if too many wait there.
    pub(crate) fn hand_over(&self, handed: Handed) -> bool {
        self.handed.try_send(handed).is_ok()
    }

    /// Has the desk look at what was handed over.
    pub(crate) fn call_desk(&self) {
        if let Some(waker) = self.desk.get() {
            waker.wake();
        }
    }

    /// Says what wakes the desk.
    fn set_desk_waker(&self, waker: Waker) {
        // There is one desk, which says so once.
        let _ = self.desk.set(waker);
    }

    /// The desk's end of the packets' channel. There is one desk.
    fn take_desk_place(&self) -> Option<Receiver<Handed>> {
        self.to_desk.lock().take()
    }

    /// Sends an answer to the worker that keeps the packet. One that has ended needs none.
    fn post(&self, worker: usize, answer: Answer) {
        let outlet = self.workers.lock().get(worker).cloned();
        if let Some(outlet) = outlet {
            let _ = outlet.answers.send(answer);
        }
    }

    /// Wakes a worker.
    fn wake(&self, worker: usize) {
        let outlet = self.workers.lock().get(worker).cloned();
        if let Some(waker) = outlet.as_ref().and_then(|outlet| outlet.waker.get()) {
            waker.wake();
        }
    }

    /// The record of a queue that is to be bound; `None` if there are too many.
    fn record_for_binding(&self, number: u16) -> Option<Arc<Record>> {
        let _lock = self.edits.lock();
        self.record(number)
    }

    /// The record of a queue, made if there is none yet. Whoever calls this holds the lock of edits.
    fn record(&self, number: u16) -> Option<Arc<Record>> {
        let records = self.records.load();
        if let Some(record) = records.get(&number) {
            return Some(record.clone());
        }
        if records.len() == RECORDS_MAX {
            return None;
        }
        let record = Arc::new(Record::new(number));
        let mut more = BTreeMap::clone(&records);
        more.insert(number, record.clone());
        self.records.store(Arc::new(more));
        Some(record)
    }

    fn unseat(&self, number: u16) {
        if let Some(record) = self.records.load().get(&number) {
            record.set_listener(None);
        }
    }
}
