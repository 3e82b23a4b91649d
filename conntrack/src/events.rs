//! Tells subscribers what becomes of flows and expectations. Nobody waits for a subscriber: what finds no room is lost
//! and counted.
//!
//! What a packet changes in a flow is noted in the flow and told at once when the packet leaves
//! ([`crate::Table::deliver`]), as Linux does. What is told of one flow is in order, whichever workers tell it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::conn::{Conn, Shared, Status, TrafficCount};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// Something that happened to a flow.
#[derive(Debug)]
pub struct Event<X> {
    /// What happened.
    pub kind: EventKind,
    /// To whom. Its counters and state go on changing while it lives.
    pub conn: Shared<Conn<X>>,
    /// What it was like at that moment.
    pub picture: Picture,
}

impl<X> Clone for Event<X> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, conn: Shared::clone(&self.conn), picture: self.picture }
    }
}

/// What a flow was like at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What had happened to it.
    pub status: Status,
    /// Its mark.
    pub mark: u32,
    /// Its labels.
    pub labels: u128,
    /// Name of its protocol's state.
    pub state: Option<&'static str>,
    /// How long it was to live; what was left for one that was ended, zero for one that ended by itself.
    pub timeout: Duration,
    /// Packets and bytes of each direction.
    pub traffic: [TrafficCount; 2],
}

/// What can happen to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It has been confirmed.
    New,
    /// It has changed.
    Update(Changes),
    /// It has left the table.
    Destroy(End),
}

/// What may change in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It is in the table now.
    New,
    /// The first packet of the reply direction came.
    Reply,
    /// It is worth keeping now.
    Assured,
    /// The protocol's state as shown.
    State,
    /// Its mark.
    Mark,
    /// Its labels.
    Labels,
}

/// What has changed in a flow: one or several [`Change`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Changes(u16);

impl Changes {
    /// A single change.
    #[must_use]
    pub const fn of(change: Change) -> Self {
        Self(1 << change as u16)
    }

    /// These and `change`.
    #[must_use]
    pub const fn and(self, change: Change) -> Self {
        Self(self.0 | Self::of(change).0)
    }

    /// Whether `change` is among them.
    #[must_use]
    pub const fn contains(self, change: Change) -> bool {
        self.0 & Self::of(change).0 != 0
    }

    /// Whether nothing has changed.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
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

/// Somebody who is told at once, by whoever makes the event happen and under the lock that keeps events in order: it is
/// quick, and ends, confirms or changes no flow itself.
pub trait Listener<E>: Send + Sync {
    /// Takes notice.
    fn tell(&self, event: &E);
}

/// A subscriber's end of the channel. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription<E> {
    receiver: Receiver<E>,
    lost: Arc<AtomicU64>,
}

impl<E> Subscription<E> {
    /// The next event, if there is one.
    pub fn try_next(&self) -> Option<E> {
        self.receiver.try_recv().ok()
    }

    /// Waits for the next event, at most for `timeout`.
    ///
    /// # Errors
    /// None came in time, or the table is gone.
    pub fn next_within(&self, timeout: Duration) -> Result<E, RecvTimeoutError> {
        self.receiver.recv_timeout(timeout)
    }

    /// Events that this subscriber had no room for so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The table's end of all channels.
pub(crate) struct Subscribers<E> {
    /// Whether there are any, so that a table without costs its packets one load.
    any: AtomicBool,
    list: Mutex<List<E>>,
    lost: AtomicU64,
}

struct List<E> {
    channels: Vec<Subscriber<E>>,
    listeners: Vec<Weak<dyn Listener<E>>>,
}

struct Subscriber<E> {
    sender: SyncSender<E>,
    lost: Arc<AtomicU64>,
}

impl<E: Clone> Subscribers<E> {
    pub(crate) fn new() -> Self {
        Self {
            any: AtomicBool::new(false),
            list: Mutex::new(List { channels: Vec::new(), listeners: Vec::new() }),
            lost: AtomicU64::new(0),
        }
    }

    /// Opens a channel that holds `events_max` events.
    pub(crate) fn subscribe(&self, events_max: usize) -> Subscription<E> {
        let (sender, receiver) = sync_channel(events_max);
        let lost = Arc::new(AtomicU64::new(0));
        let mut list = self.list.lock();
        list.channels.push(Subscriber { sender, lost: Arc::clone(&lost) });
        self.any.store(true, Ordering::Release);
        Subscription { receiver, lost }
    }

    /// Has `listener` told at once, until it is gone.
    pub(crate) fn attach(&self, listener: &Arc<dyn Listener<E>>) {
        self.list.lock().listeners.push(Arc::downgrade(listener));
        self.any.store(true, Ordering::Release);
    }

    /// Whether anybody listens.
    pub(crate) fn listen(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Tells everybody what `events` makes. It is made when nobody else can tell anything, so that two who tell of the
    /// same flow do it one after the other.
    pub(crate) fn publish<const N: usize>(&self, events: impl FnOnce() -> [Option<E>; N]) {
        if !self.listen() {
            return;
        }
        // Held for the length of a few sends, none of which waits.
        let mut list = self.list.lock();
        for event in events().into_iter().flatten() {
            list.listeners.retain(|listener| {
                let listener = listener.upgrade();
                listener.inspect(|listener| listener.tell(&event)).is_some()
            });
            list.channels.retain(|subscriber| match subscriber.sender.try_send(event.clone()) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    subscriber.lost.fetch_add(1, Ordering::Relaxed);
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            });
        }
        if list.channels.is_empty() && list.listeners.is_empty() {
            self.any.store(false, Ordering::Release);
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
