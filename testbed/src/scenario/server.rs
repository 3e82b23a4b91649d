//! A web server inside a lab, for downloads whose every byte is known.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use crate::lab::Namespace;

/// The TCP port it listens on unless told otherwise.
pub const PORT: u16 = 8080;

/// A server that answers each request with the same bytes. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

/// What a server answers.
#[derive(Clone, Debug)]
enum Answer {
    /// The same to each.
    Content(Arc<Vec<u8>>),
    /// To each the address and TCP port that it seems to call from, and those it has called.
    Ends,
}

impl Server {
    /// Listens on every address of `namespace`, both families, and serves `content`.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(namespace: &Namespace, content: Arc<Vec<u8>>) -> Result<Self> {
        Self::start_at(namespace, PORT, content)
    }

    /// The same at another TCP port.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_at(namespace: &Namespace, port: u16, content: Arc<Vec<u8>>) -> Result<Self> {
        Self::listen(namespace, port, Answer::Content(content))
    }

    /// Listens at a TCP port and tells each caller how the connection looks from here: `from ADDRESS to ADDRESS PORT`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn telling_ends(namespace: &Namespace, port: u16) -> Result<Self> {
        Self::listen(namespace, port, Answer::Ends)
    }

    fn listen(namespace: &Namespace, port: u16, answer: Answer) -> Result<Self> {
        let listener = namespace.inside(|| TcpListener::bind(("::", port))).context("web server")?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let acceptor = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((connection, _)) => {
                        let answer = answer.clone();
                        // A client that goes away in the middle is its own business.
                        thread::spawn(move || drop(serve(connection, &answer)));
                    }
                    Err(_) => thread::sleep(crate::lab::LOOK_EVERY),
                }
            }
        });
        Ok(Self { stop, acceptor: Some(acceptor) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(mut connection: TcpStream, answer: &Answer) -> std::io::Result<()> {
    connection.set_nonblocking(false)?;
    let ends;
    let content: &[u8] = match answer {
        Answer::Content(content) => content,
        Answer::Ends => {
            let [from, to] = [connection.peer_addr()?, connection.local_addr()?];
            let [caller, called] = [from, to].map(|end| end.ip().to_canonical());
            ends = format!("from {caller} to {called} {}\n", to.port());
            ends.as_bytes()
        }
    };
    let request = BufReader::new(connection.try_clone()?);
    for line in request.lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    connection.write_all(content)
}

/// `length` bytes that look random and are the same each time (xorshift64).
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
