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

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use ctl::queue::message::Ct;
use fib::adjacency::PortId;
use parking_lot::Mutex;

pub use desk::{Desk, Heard, ProgramId};
pub use listener::{BYTES_MAX, Listener, Numbers};

use crate::chain::{Family, Point};
use crate::drops::DropReason;
use crate::packet::parse::Ip;
use crate::worker::Waker;

/// Packets that workers have handed over and the desk has not looked at yet, at most.
pub const HANDED_MAX: usize = 4096;

/// The queues of a router: who listens where, and the channels between workers and the desk.
pub struct Queues {
    listeners: ArcSwap<BTreeMap<u16, Arc<Listener>>>,
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
            listeners: ArcSwap::default(),
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
        self.listeners.load().get(&number).cloned()
    }

    /// Everybody who listens, by number.
    #[must_use]
    pub fn listeners(&self) -> Vec<Arc<Listener>> {
        self.listeners.load().values().cloned().collect()
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

    fn seat(&self, listener: Arc<Listener>) {
        self.edit(|listeners| drop(listeners.insert(listener.number, listener)));
    }

    fn unseat(&self, number: u16) {
        self.edit(|listeners| drop(listeners.remove(&number)));
    }

    /// Only the desk calls this, so that nobody else's edit is lost.
    fn edit(&self, edit: impl FnOnce(&mut BTreeMap<u16, Arc<Listener>>)) {
        let mut listeners = BTreeMap::clone(&self.listeners.load());
        edit(&mut listeners);
        self.listeners.store(Arc::new(listeners));
    }
}
