//! Tells subscribers what becomes of flows. Nobody waits for a subscriber: what finds no room is lost and counted.
//! Events of one flow that two workers cause at the same time may arrive in either order.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::conn::Conn;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// Something that happened to a flow.
#[derive(Debug)]
pub struct Event<X> {
    /// What happened.
    pub kind: EventKind,
    /// To whom. Its counters and state go on changing while it lives.
    pub conn: Arc<Conn<X>>,
}

impl<X> Clone for Event<X> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, conn: Arc::clone(&self.conn) }
    }
}

/// What can happen to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It has been confirmed.
    New,
    /// It has changed.
    Update(Change),
    /// It has left the table.
    Destroy(End),
}

/// What has changed in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The first packet of the reply direction came.
    Reply,
    /// It is worth keeping now.
    Assured,
    /// The protocol's state as shown.
    State,
    /// Its mark.
    Mark,
}

/// Why a flow left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// No packet came in time.
    Expired,
    /// Its protocol or a person ended it.
    Deleted,
    /// It made room for another in a full table.
    EarlyDrop,
}

/// A subscriber's end of the channel. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription<X> {
    receiver: Receiver<Event<X>>,
    lost: Arc<AtomicU64>,
}

impl<X> Subscription<X> {
    /// The next event, if there is one.
    pub fn try_next(&self) -> Option<Event<X>> {
        self.receiver.try_recv().ok()
    }

    /// Waits for the next event, at most for `timeout`.
    ///
    /// # Errors
    /// None came in time, or the table is gone.
    pub fn next_within(&self, timeout: Duration) -> Result<Event<X>, RecvTimeoutError> {
        self.receiver.recv_timeout(timeout)
    }

    /// Events that this subscriber had no room for so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The table's end of all channels.
pub(crate) struct Subscribers<X> {
    /// Whether there are any, so that a table without costs its packets one load.
    any: AtomicBool,
    list: Mutex<Vec<Subscriber<X>>>,
    lost: AtomicU64,
}

struct Subscriber<X> {
    sender: SyncSender<Event<X>>,
    lost: Arc<AtomicU64>,
}

impl<X> Subscribers<X> {
    pub(crate) fn new() -> Self {
        Self { any: AtomicBool::new(false), list: Mutex::new(Vec::new()), lost: AtomicU64::new(0) }
    }

    /// Opens a channel that holds `events_max` events.
    pub(crate) fn subscribe(&self, events_max: usize) -> Subscription<X> {
        let (sender, receiver) = sync_channel(events_max);
        let lost = Arc::new(AtomicU64::new(0));
        let mut list = self.list.lock();
        list.push(Subscriber { sender, lost: Arc::clone(&lost) });
        self.any.store(true, Ordering::Release);
        Subscription { receiver, lost }
    }

    pub(crate) fn publish(&self, kind: EventKind, conn: &Arc<Conn<X>>) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        // Held for the length of a few sends, none of which waits.
        let mut list = self.list.lock();
        list.retain(|subscriber| match subscriber.sender.try_send(Event { kind, conn: Arc::clone(conn) }) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                subscriber.lost.fetch_add(1, Ordering::Relaxed);
                self.lost.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
        if list.is_empty() {
            self.any.store(false, Ordering::Release);
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
