//! Requests to the kernel that are answered at once: done, or why not.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::socket::{Messages, prepare, request};

/// Room for the kernel's answer with its explanation.
const ANSWER_MAX: usize = 4096;

/// A socket for requests, one at a time.
#[derive(Debug)]
pub(super) struct Requests {
    socket: Socket,
    answer: Vec<u8>,
    sequence: u32,
}

impl Requests {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        prepare(&socket)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel answers before `send` returns; if ever it should not, this must not wait for it.
        socket.set_non_blocking(true)?;
        Ok(Self { socket, answer: Vec::with_capacity(ANSWER_MAX), sequence: 0 })
    }

    /// Makes a request (`RTM_*`) of `body`, with `flags` besides the usual ones. The outer error is the socket's, the
    /// inner one the kernel's.
    pub(super) fn make(&mut self, kind: u16, flags: i32, body: &[u8]) -> io::Result<io::Result<()>> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags);
        let flags = flags.expect("message flags have 16 bits");
        self.socket.send(&request(kind, flags, self.sequence, body), 0)?;
        loop {
            self.answer.clear();
            self.socket.recv(&mut self.answer, 0)?;
            let answer = Messages(&self.answer)
                .find(|message| {
                    message.sequence == self.sequence && i32::from(message.kind) == libc::NLMSG_ERROR
                })
                .map(|message| message.outcome());
            // Without one it was the answer to an earlier request that was given up.
            if let Some(outcome) = answer {
                return Ok(outcome);
            }
        }
    }
}

/// Appends an attribute and fills up to where the next one may begin.
pub(super) fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("attributes are a few dozen bytes");
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}
