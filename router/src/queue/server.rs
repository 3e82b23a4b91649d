//! The thread that programs talk to: their sockets on one side, the desk on the other.
//!
//! It never blocks on a program: what one does not read stays with the desk, which gives packets up when their time is
//! over; what one says at once is taken a bounded piece at a time, each in turn.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use conntrack::Instant;
use ctl::address::Address;
use ctl::queue::message::{Failed, MESSAGE_BYTES_MAX, Told};
use fib::adjacency::Ports;
use nix::sys::socket::{UnixCredentials, getsockopt, sockopt::PeerCredentials};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Socket, Type};

use super::{Desk, Farewell, Heard, Peer, ProgramId, Queues};
use crate::clock;
use crate::control::{BindError, Claim};
use crate::news::News;
use crate::worker::Waker;

/// Programs at once.
pub const PROGRAMS_MAX: usize = 64;

/// Messages of one program that are taken before it is another's turn.
const MESSAGES_MAX: usize = 64;

/// How long nobody is accepted after `accept(2)` has failed (no file descriptors left, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves programs until it is dropped.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Takes `address` and serves programs there. Packets are given up after `answer_wait`.
    ///
    /// # Errors
    /// [`BindError`], which names the process that holds the address.
    ///
    /// # Panics
    /// If these queues have a server already.
    pub fn start(
        address: &Address,
        queues: Arc<Queues>,
        ports: Arc<Ports>,
        news: Arc<News>,
        answer_wait: Duration,
    ) -> Result<Self, BindError> {
        let refused = |source| BindError::Refused { address: address.clone(), source };
        let listener = Claim::new(address, Type::SEQPACKET)?;
        let own_user = own_user().map_err(refused)?;
        let waker = Waker::new().map_err(refused)?;
        queues.set_desk_waker(waker.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let serving = Serving {
            listener,
            own_user,
            desk: Desk::new(queues, ports, answer_wait),
            news,
            programs: BTreeMap::new(),
            next: 0,
            accept_after: Instant::ZERO,
            waker: waker.clone(),
            stop: stop.clone(),
            message: vec![0; MESSAGE_BYTES_MAX + 1],
        };
        let thread =
            thread::Builder::new().name("queue".to_owned()).spawn(|| serving.run()).map_err(refused)?;
        Ok(Self { stop, waker, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// What the thread holds.
struct Serving {
    listener: Claim,
    own_user: u32,
    desk: Desk,
    news: Arc<News>,
    programs: BTreeMap<ProgramId, Socket>,
    next: u64,
    accept_after: Instant,
    waker: Waker,
    stop: Arc<AtomicBool>,
    /// Room for a message, and for one byte that says that it is too long.
    message: Vec<u8>,
}

/// What a wait was for.
#[derive(Clone, Copy)]
enum Source {
    Waker,
    Listener,
    Program(ProgramId),
}

impl Serving {
    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let now = clock::now();
            self.desk.take_handed(now);
            let due = self.desk.expire(now);
            for program in self.programs.keys().copied().collect::<Vec<_>>() {
                if self.tell(program).is_err() {
                    self.part(program, Farewell::HungUp);
                }
            }
            self.desk.wake_workers();
            self.desk.take_news().into_iter().for_each(|event| self.news.note(event));
            for source in self.wait(now, due) {
                match source {
                    Source::Waker => self.waker.clear(),
                    Source::Listener => self.accept(),
                    Source::Program(program) => self.listen_to(program),
                }
            }
        }
    }

    /// Waits until somebody has something to say or can be told something, or something is due.
    fn wait(&self, now: Instant, due: Option<Instant>) -> Vec<Source> {
        let mut files = vec![PollFd::new(&self.waker, PollFlags::IN)];
        let mut sources = vec![Source::Waker];
        let accepts = self.accept_after <= now;
        if accepts {
            files.push(PollFd::from_borrowed_fd(self.listener.socket().as_fd(), PollFlags::IN));
            sources.push(Source::Listener);
        }
        for (program, socket) in &self.programs {
            let can_be_told = self.desk.has_message(*program);
            let wanted = if can_be_told { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            files.push(PollFd::from_borrowed_fd(socket.as_fd(), wanted));
            sources.push(Source::Program(*program));
        }
        let accept_due = (!accepts).then_some(self.accept_after);
        let due = [due, accept_due].into_iter().flatten().min();
        let timeout = due.map(|due| {
            let left = due - now;
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        if poll(&mut files, timeout.as_ref()).is_err() {
            // Only a signal can be the reason: the arguments are of our own making.
            return Vec::new();
        }
        let told = files.iter().zip(sources);
        // What can be told is told at the next turn in any case.
        let is_news = |file: &PollFd<'_>| file.revents().intersects(!PollFlags::OUT);
        told.filter(|(file, _)| is_news(file)).map(|(_, source)| source).collect()
    }

    /// Takes a new program, if its user may talk to this router and there is a place for it.
    fn accept(&mut self) {
        let socket = match self.listener.socket().accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                tracing::warn!(%error, "no program can be accepted for queues now");
                self.accept_after = clock::now() + ACCEPT_PAUSE;
                return;
            }
        };
        let credentials = socket.set_nonblocking(true).and_then(|()| peer(&socket.as_fd()));
        let user = credentials.as_ref().ok().map(UnixCredentials::uid);
        if user.is_none_or(|user| user != 0 && user != self.own_user) {
            let own_user = self.own_user;
            let error = format!(
                "permission denied: this routerd gives packets to root and the user it runs as (uid {own_user})"
            );
            return turn_away(&socket, error);
        }
        if self.programs.len() == PROGRAMS_MAX {
            return turn_away(
                &socket,
                format!("routerd serves {PROGRAMS_MAX} programs, and no more at once"),
            );
        }
        self.next += 1;
        let program = ProgramId(self.next);
        // A process outside our pid namespace has number 0 here.
        let pid = credentials.ok().and_then(|of| u32::try_from(of.pid()).ok()).filter(|pid| *pid != 0);
        let name = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
        let name = name.map(|name| name.trim_end().to_owned());
        self.desk.welcome(program, Peer { pid, name });
        self.programs.insert(program, socket);
    }

    /// Takes what a program says, a bounded number of messages.
    fn listen_to(&mut self, program: ProgramId) {
        for _ in 0..MESSAGES_MAX {
            let Some(mut socket) = self.programs.get(&program) else { return };
            let heard = match socket.read(&mut self.message) {
                // An empty message says as much as none.
                Ok(0) => Heard::Goes(Farewell::HungUp),
                Ok(len) => self.desk.hear(program, &self.message[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Heard::Goes(Farewell::HungUp),
            };
            if let Heard::Goes(why) = heard {
                // It may have gone, or may not read; then it hears nothing more.
                let _ = self.tell(program);
                return self.part(program, why);
            }
        }
    }

    /// Tells a program what is in store for it, as far as it reads.
    fn tell(&mut self, program: ProgramId) -> io::Result<()> {
        let Some(mut socket) = self.programs.get(&program) else { return Ok(()) };
        let mut message = std::mem::take(&mut self.message);
        let mut told = Ok(());
        while self.desk.next_message(program, &mut message) {
            match socket.write(&message) {
                Ok(_) => self.desk.told(program),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    told = Err(error);
                    break;
                }
            }
        }
        message.resize(MESSAGE_BYTES_MAX + 1, 0);
        self.message = message;
        told
    }

    fn part(&mut self, program: ProgramId, why: Farewell) {
        self.programs.remove(&program);
        self.desk.part(program, why);
    }
}

/// Says why and hangs up, without waiting.
fn turn_away(mut socket: &Socket, error: String) {
    let mut message = Vec::new();
    Told::Failed(Failed { error, packet: None, queue: None }).write(&mut message);
    // A fresh socket has room for a sentence; a program that has gone needs none.
    drop(socket.write(&message));
}

fn peer(socket: &BorrowedFd<'_>) -> io::Result<UnixCredentials> {
    Ok(getsockopt(socket, PeerCredentials)?)
}

/// The user this process runs as, seen the way a peer is seen.
fn own_user() -> io::Result<u32> {
    let (one, _other) = Socket::pair(socket2::Domain::UNIX, Type::SEQPACKET, None)?;
    Ok(peer(&one.as_fd())?.uid())
}

#[cfg(test)]
mod tests;
