//! A TCP download at an even pace, whose every byte is looked at: what goes on while routers change their minds.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::lab::{Namespace, SECONDS_5, wait_until};

/// Bytes that are sent at once, each time in a packet of their own.
const CHUNK: usize = 1000;
/// Time between them.
const PACE: Duration = Duration::from_micros(250);
/// How long nothing may come: what TCP needs to find back after some seconds without a way.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Where the client of a [`Download`] is and whom it asks.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'lab> {
    /// The namespace that serves.
    pub server: &'lab Namespace,
    /// The address it serves at.
    pub at: IpAddr,
    /// The namespace that fetches.
    pub client: &'lab Namespace,
    /// The client's address.
    pub from: IpAddr,
}

/// A download under way: about 4 MB a second, one packet each 250 µs.
#[derive(Debug)]
pub struct Download {
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    client_port: u16,
    /// The server's end.
    server: TcpStream,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<()>>,
}

impl Download {
    /// Connects, and begins.
    ///
    /// # Errors
    /// The connection does not come about within five seconds.
    pub fn start(ends: &Ends<'_>) -> Result<Self> {
        Self::start_at(ends, 0)
    }

    /// The same from this port of the server's; 0 is any that is free.
    ///
    /// # Errors
    /// As [`Self::start`]; or the port is taken.
    pub fn start_at(ends: &Ends<'_>, port: u16) -> Result<Self> {
        let what = || format!("tcp from {} to {} port {port}", ends.from, ends.at);
        let listener = ends.server.inside(|| TcpListener::bind((ends.at, port))).with_context(what)?;
        let target = listener.local_addr()?;
        let client = ends.client.inside(|| connect(ends.from, target)).with_context(what)?;
        let client_port = client.local_addr()?.port();
        let (server, _) = listener.accept()?;
        server.set_nodelay(true)?;
        let sending = server.try_clone()?;
        let received = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, stopped) = (Arc::clone(&received), Arc::clone(&stop));
        let sender = thread::spawn(move || send(sending, &stopped));
        let receiver = thread::spawn(move || receive(client, &count));
        Ok(Self { received, stop, client_port, server, sender, receiver })
    }

    /// The client's TCP port.
    pub fn client_port(&self) -> u16 {
        self.client_port
    }

    /// Has the server's packets bear this TOS or traffic class from now on.
    ///
    /// # Errors
    /// The system does not take it.
    pub fn set_tos(&self, tos: u8) -> Result<()> {
        let socket = SockRef::from(&self.server);
        match self.server.local_addr()? {
            SocketAddr::V4(_) => socket.set_tos_v4(tos.into())?,
            SocketAddr::V6(_) => socket.set_tclass_v6(tos.into())?,
        }
        Ok(())
    }

    /// Bytes that have arrived, all of them right.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until so many more bytes have come.
    ///
    /// # Errors
    /// They do not within twenty seconds, or one was wrong.
    pub fn goes_on(&self, bytes: u64) -> Result<()> {
        let aim = self.received() + bytes;
        let came = wait_until(&format!("{bytes} bytes more of a download"), SILENCE_MAX, || {
            (self.received() >= aim || self.receiver.is_finished()).then(|| self.received() >= aim)
        })?;
        ensure!(came, "the download has ended after {} bytes", self.received());
        Ok(())
    }

    /// Has the server send no more, waits for the rest, and says how many bytes there were.
    ///
    /// # Errors
    /// A byte was wrong or missing, or the connection broke.
    pub fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.server);
        let sent = self.sender.join().expect("a server does not panic").context("sending")?;
        self.receiver.join().expect("a client does not panic").context("receiving")?;
        let received = self.received.load(Ordering::Relaxed);
        ensure!(sent == received, "{sent} bytes were sent and {received} arrived");
        Ok(received)
    }

    /// Gives it up: the connection is not expected to live.
    pub fn abandon(self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Connects with an address of its own choice.
fn connect(from: IpAddr, to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    socket.connect_timeout(&SockAddr::from(to), SECONDS_5)?;
    Ok(socket.into())
}

/// The byte at a place of the download.
fn byte_at(place: u64) -> u8 {
    let mixed = (place ^ (place >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
}

fn send(mut connection: TcpStream, stop: &AtomicBool) -> Result<u64> {
    connection.set_write_timeout(Some(SILENCE_MAX))?;
    let (mut sent, mut due) = (0, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let chunk: [u8; CHUNK] = std::array::from_fn(|place| byte_at(sent + place as u64));
        connection.write_all(&chunk)?;
        sent += CHUNK as u64;
        // Time that was lost is not made good by a burst.
        due = (due + PACE).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(sent)
}

fn receive(mut connection: TcpStream, count: &AtomicU64) -> Result<()> {
    connection.set_read_timeout(Some(SILENCE_MAX))?;
    let mut buffer = vec![0; 64 << 10];
    let mut place = 0;
    loop {
        let length = match connection.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => bail!("nothing came for {SILENCE_MAX:?}"),
            Err(error) => return Err(error.into()),
        };
        for byte in &buffer[..length] {
            ensure!(*byte == byte_at(place), "byte {place} is wrong");
            place += 1;
        }
        count.store(place, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_download_tell_their_places_apart() {
        let first: Vec<u8> = (0..CHUNK as u64).map(byte_at).collect();
        for shift in 1..256 {
            let shifted: Vec<u8> = (shift..shift + CHUNK as u64).map(byte_at).collect();
            let alike = first.iter().zip(&shifted).filter(|(one, other)| one == other).count();
            assert!(alike < CHUNK / 2, "shifted by {shift}, {alike} bytes are alike");
        }
    }
}
