//! TCP and UDP streams between namespaces, made by this program itself: no other has to be installed.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::lab::{Namespace, SECONDS_5};

/// How much is handed to a TCP socket at once, in bytes.
const CHUNK: usize = 256 << 10;
/// Bytes of a datagram.
const DATAGRAM: usize = 1200;

/// What a stream came to.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Bytes that arrived.
    pub bytes: u64,
    /// From the first byte to the last.
    pub time: Duration,
}

impl Carried {
    /// Gigabits a second.
    pub fn gigabits(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.time.as_secs_f64() / 1e9
    }
}

/// A TCP stream under way.
#[derive(Debug)]
pub struct Stream {
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    started: Instant,
    sender: JoinHandle<Result<()>>,
    receiver: JoinHandle<Result<()>>,
}

impl Stream {
    /// Begins to send from one namespace to `address` of another, as fast as it goes, for at most `longest`.
    ///
    /// # Errors
    /// The connection does not come about within five seconds.
    pub fn start(from: &Namespace, to: &Namespace, address: IpAddr, longest: Duration) -> Result<Self> {
        let listener = to.inside(|| TcpListener::bind((address, 0)))?;
        let target = listener.local_addr()?;
        let connection = from
            .inside(|| TcpStream::connect_timeout(&target, SECONDS_5))
            .with_context(|| format!("tcp from {} to {address}", from.name()))?;
        let (accepted, _) = listener.accept()?;
        let received = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let (count, stopped) = (Arc::clone(&received), Arc::clone(&stop));
        let sender = thread::spawn(move || send(connection, &stopped, started + longest));
        let receiver = thread::spawn(move || receive(accepted, &count));
        Ok(Self { received, stop, started, sender, receiver })
    }

    /// Bytes that have arrived so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Sends no more, waits for the rest, and says what was carried.
    ///
    /// # Errors
    /// The connection broke.
    pub fn finish(self) -> Result<Carried> {
        self.stop.store(true, Ordering::Relaxed);
        for end in [self.sender, self.receiver] {
            end.join().expect("a stream's ends do not panic")?;
        }
        Ok(Carried { bytes: self.received.load(Ordering::Relaxed), time: self.started.elapsed() })
    }
}

fn send(mut connection: TcpStream, stop: &AtomicBool, deadline: Instant) -> Result<()> {
    let chunk = vec![0x5a; CHUNK];
    connection.set_write_timeout(Some(SECONDS_5))?;
    while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
        connection.write_all(&chunk).context("the stream got stuck")?;
    }
    Ok(())
}

fn receive(mut connection: TcpStream, count: &AtomicU64) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    connection.set_read_timeout(Some(2 * SECONDS_5))?;
    loop {
        match connection.read(&mut chunk).context("the stream got stuck")? {
            0 => return Ok(()),
            bytes => count.fetch_add(bytes as u64, Ordering::Relaxed),
        };
    }
}

/// Sends `count` datagrams at `rate` a second from one namespace to `address` of another, and says how many arrived.
///
/// # Errors
/// A socket refused its work.
pub fn datagrams(from: &Namespace, to: &Namespace, address: IpAddr, count: u32, rate: u32) -> Result<u32> {
    let receiver = to.inside(|| UdpSocket::bind((address, 0)))?;
    let target = receiver.local_addr()?;
    let sender = from.inside(|| UdpSocket::bind(any_like(target)))?;
    receiver.set_read_timeout(Some(Duration::from_millis(500)))?;
    let counter = thread::spawn(move || {
        let mut buffer = [0; DATAGRAM];
        let mut arrived = 0;
        while arrived < count {
            match receiver.recv(&mut buffer) {
                Ok(_) => arrived += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(arrived)
    });
    let started = Instant::now();
    for number in 0..count {
        let due = started + Duration::from_secs(1) * number / rate;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = sender.send_to(&[0xa5; DATAGRAM], target)?;
        ensure!(sent == DATAGRAM, "a datagram went out in part");
    }
    Ok(counter.join().expect("the receiver does not panic")?)
}

fn any_like(address: SocketAddr) -> SocketAddr {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    SocketAddr::new(any, 0)
}
