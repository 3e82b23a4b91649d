//! TCP connections opened and closed, one after the other on a few threads: what a router pays for new flows.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use socket2::SockRef;

use crate::lab::Lab;

/// Clients at work at the same time; each has a server of its own.
const CLIENTS: u16 = 8;

/// The servers' address, and the port of the first.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const FIRST_PORT: u16 = 7000;

/// Has `h1` connect to `h2` as often as it can for `duration`. The server closes as soon as it has accepted, the
/// client when it hears of that. Returns connections that were closed by both sides, in thousands a second.
///
/// # Errors
/// A server cannot listen, or a client cannot connect for another reason than that time is up.
pub fn connect(lab: &Lab, duration: Duration) -> Result<f64> {
    let listeners = lab.at("h2").inside(listen)?;
    thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(|| while listener.accept().is_ok() {});
        }
        let clients = lab.at("h1").inside(|| run_clients(duration));
        // On Linux this wakes whoever waits in accept.
        for listener in &listeners {
            SockRef::from(listener).shutdown(std::net::Shutdown::Both).context("a server to be stopped")?;
        }
        Ok(clients? as f64 / duration.as_secs_f64() / 1000.0)
    })
}

fn listen() -> Result<Vec<TcpListener>> {
    let listen = |client| TcpListener::bind((SERVER, FIRST_PORT + client));
    (0..CLIENTS).map(listen).collect::<Result<_, _>>().context("servers of a bench")
}

/// Runs all clients on threads of this thread's namespace; returns how many connections they had together.
fn run_clients(duration: Duration) -> Result<u64> {
    let deadline = Instant::now() + duration;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || run_client((SERVER, FIRST_PORT + client).into(), deadline)))
            .collect();
        clients.into_iter().map(|client| client.join().expect("clients do not panic")).sum()
    })
}

fn run_client(server: SocketAddr, deadline: Instant) -> Result<u64> {
    let mut done = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(done);
        }
        match connect_once(server, left) {
            Ok(()) => done += 1,
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                return Ok(done);
            }
            Err(error) => bail!("a connection to {server}: {error}"),
        }
    }
}

fn connect_once(server: SocketAddr, patience: Duration) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.read(&mut [0; 1]).map(drop)
}
