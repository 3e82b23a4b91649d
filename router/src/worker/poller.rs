//! Waiting until a port has frames, a deadline passes or somebody calls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use fib::adjacency::PortId;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

use super::Ready;

/// Wakes a worker from its sleep; any thread may hold a copy.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A waker of somebody else than a worker: who is to be woken waits until it is readable, and then clears it.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
    }

    /// Makes it unreadable until the next call.
    pub(crate) fn clear(&self) {
        // Nothing to read is as good.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }

    /// Makes the worker take a turn now. Many calls before it does are as good as one.
    pub fn wake(&self) {
        // Refused only when 2^64 - 2 calls are pending, and then the worker wakes anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The files a worker waits for.
pub(super) struct Poller {
    epoll: OwnedFd,
    waker: Waker,
    events: Vec<Event>,
}

const EVENTS_MAX: usize = 64;
const WAKER: u64 = u64::MAX;

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let waker = Waker::new()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &waker.0, EventData::new_u64(WAKER), EventFlags::IN)?;
        Ok(Self { epoll, waker, events: Vec::with_capacity(EVENTS_MAX) })
    }

    pub(super) fn add(&self, port: PortId, file: impl AsFd) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, file, EventData::new_u64(port.0.into()), EventFlags::IN)?)
    }

    pub(super) fn remove(&self, file: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, file)?)
    }

    /// Waits until a file is readable or `timeout_ns` have passed (`None`: for ever), and adds the readable ports to
    /// `ready`. A signal may end it early.
    pub(super) fn wait(&mut self, timeout_ns: Option<u64>, ready: &mut Ready) {
        let timeout = timeout_ns.map(|ns| Timespec {
            tv_sec: (ns / 1_000_000_000).cast_signed(),
            tv_nsec: (ns % 1_000_000_000).cast_signed(),
        });
        self.events.clear();
        if epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()).is_err() {
            // Only a signal can be the reason: the arguments are of our own making.
            return;
        }
        for event in &self.events {
            match event.data.u64() {
                WAKER => self.waker.clear(),
                port => ready.insert(PortId(port as u16)),
            }
        }
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }
}
