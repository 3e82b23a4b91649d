//! Datagrams at an even pace through a router, and how long each was on its way.

use std::fs;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

use crate::lab::Namespace;

/// Time between datagrams.
const PACE: Duration = Duration::from_micros(500);
/// Flows they belong to, in turn.
const FLOWS: usize = 32;
/// A datagram whose sending took longer says nothing: its sender was put aside in the middle of it.
const SENDING_MAX: Duration = Duration::from_micros(200);
/// How often the workers' accounts are read.
const ACCOUNT_EVERY: Duration = Duration::from_millis(2);
/// Receive queue, in bytes.
const QUEUE: usize = 8 << 20;
/// How long the last ones may be on their way.
const LAST_ONES: Duration = Duration::from_millis(500);

/// Probes under way.
#[derive(Debug)]
pub struct Probes {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<Vec<Sent>>>,
    receiver: JoinHandle<Result<Vec<(u64, SystemTime)>>>,
    accountant: JoinHandle<Vec<Account>>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: SystemTime,
    took: Duration,
}

/// How long the workers had waited for a processor by then.
#[derive(Clone, Copy, Debug)]
struct Account {
    at: SystemTime,
    waited: Duration,
}

/// One datagram.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// When it was sent.
    pub sent: SystemTime,
    /// How long it was on its way, until the receiver's device had it; `None` if it was lost.
    pub delay: Option<Duration>,
    /// The same without what the router's workers waited for a processor meanwhile; `None` if nothing can be said.
    pub own: Option<Duration>,
}

impl Probes {
    /// Begins to send from one namespace to `address` of another. `router` is the process that forwards, if it is one.
    ///
    /// # Errors
    /// No more sockets.
    pub fn start(from: &Namespace, to: &Namespace, address: IpAddr, router: Option<u32>) -> Result<Self> {
        let receiver = to.inside(|| UdpSocket::bind((address, 0))).context("receiver of probes")?;
        setsockopt(&receiver, sockopt::ReceiveTimestampns, &true)?;
        // Without the privilege to force it the queue stays at the machine's limit, which holds some hundred probes.
        let _ = setsockopt(&receiver, sockopt::RcvBufForce, &QUEUE);
        receiver.set_read_timeout(Some(LAST_ONES))?;
        let target = receiver.local_addr()?;
        let senders = from.inside(|| {
            (0..FLOWS).map(|_| UdpSocket::bind(("0.0.0.0", 0))).collect::<std::io::Result<Vec<_>>>()
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stop_sending, stop_accounts) = (Arc::clone(&stop), Arc::clone(&stop));
        Ok(Self {
            stop: Arc::clone(&stop),
            sender: thread::spawn(move || send(&senders, target, &stop_sending)),
            receiver: thread::spawn(move || receive(&receiver, &stop)),
            accountant: thread::spawn(move || accounts(router, &stop_accounts)),
        })
    }

    /// Sends no more, and says what became of all.
    ///
    /// # Errors
    /// A socket refused its work.
    pub fn finish(self) -> Result<Vec<Probe>> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("a sender does not panic")?;
        let arrived = self.receiver.join().expect("a receiver does not panic")?;
        let accounts = self.accountant.join().expect("an accountant does not panic");
        let mut arrivals = vec![None; sent.len()];
        for (number, at) in arrived {
            arrivals[number as usize] = Some(at);
        }
        Ok(sent.iter().zip(arrivals).map(|(sent, arrival)| judge(sent, arrival, &accounts)).collect())
    }
}

fn judge(sent: &Sent, arrival: Option<SystemTime>, accounts: &[Account]) -> Probe {
    let delay = arrival.map(|at| at.duration_since(sent.at).unwrap_or_default());
    let own = arrival
        .zip(delay)
        .filter(|_| sent.took <= SENDING_MAX)
        .map(|(arrival, delay)| delay.saturating_sub(waited(accounts, sent.at, arrival)));
    Probe { sent: sent.at, delay, own }
}

/// What was waited between two times: from the last account before to the first one after.
fn waited(accounts: &[Account], from: SystemTime, to: SystemTime) -> Duration {
    let first = accounts.partition_point(|account| account.at <= from).saturating_sub(1);
    let last = accounts.partition_point(|account| account.at < to).min(accounts.len().saturating_sub(1));
    match (accounts.get(first), accounts.get(last)) {
        (Some(first), Some(last)) => last.waited.saturating_sub(first.waited),
        _ => Duration::ZERO,
    }
}

fn send(senders: &[UdpSocket], target: SocketAddr, stop: &AtomicBool) -> Result<Vec<Sent>> {
    let mut sent = Vec::new();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let number = sent.len();
        let (at, began) = (SystemTime::now(), Instant::now());
        senders[number % senders.len()].send_to(&(number as u64).to_ne_bytes(), target)?;
        sent.push(Sent { at, took: began.elapsed() });
        // Time that was lost is not made good by a burst.
        due = (due + PACE).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(sent)
}

fn receive(socket: &UdpSocket, stop: &AtomicBool) -> Result<Vec<(u64, SystemTime)>> {
    let mut arrived = Vec::new();
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    loop {
        let mut number = [0; 8];
        let mut parts = [IoSliceMut::new(&mut number)];
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()) {
            Ok(message) => {
                let stamp = message.cmsgs()?.find_map(|control| match control {
                    ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                    _ => None,
                });
                let stamp = stamp.context("the kernel stamps datagrams")?;
                arrived.push((u64::from_ne_bytes(number), SystemTime::UNIX_EPOCH + stamp));
            }
            Err(Errno::EAGAIN) if stop.load(Ordering::Relaxed) => return Ok(arrived),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn accounts(router: Option<u32>, stop: &AtomicBool) -> Vec<Account> {
    let files = router.map(accounts_of_workers).unwrap_or_default();
    let mut accounts = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let waited = files
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok()?.split_whitespace().nth(1)?.parse::<u64>().ok());
        accounts.push(Account { waited: Duration::from_nanos(waited.sum()), at: SystemTime::now() });
        thread::sleep(ACCOUNT_EVERY);
    }
    accounts
}

/// Where the kernel accounts for the workers of a routerd: time run, time waited, times put on a processor.
fn accounts_of_workers(pid: u32) -> Vec<std::path::PathBuf> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let threads = threads.filter_map(|thread| Some(thread.ok()?.path()));
    let is_worker = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("worker-"))
    };
    threads.filter(is_worker).map(|thread| thread.join("schedstat")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millisecond)
    }

    fn account(at_ms: u64, waited_ms: u64) -> Account {
        Account { at: at(at_ms), waited: Duration::from_millis(waited_ms) }
    }

    #[test]
    fn what_a_worker_waited_while_a_probe_was_on_its_way_is_no_delay_of_its_own() {
        let accounts = [account(0, 0), account(10, 0), account(20, 7), account(30, 7)];
        let sent = |millisecond| Sent { at: at(millisecond), took: Duration::ZERO };
        let own = |from, to| judge(&sent(from), Some(at(to)), &accounts).own;
        assert_eq!(own(11, 19), Some(Duration::from_millis(1)));
        assert_eq!(own(21, 29), Some(Duration::from_millis(8)));
        assert_eq!(own(1, 9), Some(Duration::from_millis(8)));
        assert_eq!(own(29, 40), Some(Duration::from_millis(11)), "no account came later");
        assert!(judge(&sent(1), None, &accounts).delay.is_none());
        let put_aside = Sent { at: at(1), took: Duration::from_millis(1) };
        assert!(judge(&put_aside, Some(at(9)), &accounts).own.is_none());
        assert_eq!(judge(&sent(1), Some(at(9)), &[]).own, Some(Duration::from_millis(8)));
    }
}
