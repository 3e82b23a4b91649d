//! A netlink route socket: requests out, datagrams of messages in, losses reported.

use std::future::poll_fn;
use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, TokioSocket};

/// Bytes of `struct nlmsghdr`.
const HEADER_SIZE: usize = 16;
/// The largest datagram taken. The kernel fills at most 32 KiB in a dump; one announcement is little more than 64 KiB
/// at most, as an attribute's length has 16 bits.
const DATAGRAM_MAX: usize = 128 * 1024;

/// A bound socket with strict checking of requests, so that the kernel filters dumps as asked.
pub(super) struct Socket {
    inner: TokioSocket,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket with a receive buffer of `receive_buffer` bytes if the privileges allow, else as large as
    /// `net.core.rmem_max` lets it be. Must be called inside a tokio runtime.
    pub(super) fn open(receive_buffer: usize) -> io::Result<Self> {
        let mut inner = TokioSocket::new(NETLINK_ROUTE)?;
        let socket = inner.socket_mut();
        prepare(socket)?;
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&*socket, receive_buffer).is_err() {
            rustix::net::sockopt::set_socket_recv_buffer_size(&*socket, receive_buffer)?;
        }
        socket.bind_auto()?;
        Ok(Self { inner, buffer: Vec::with_capacity(DATAGRAM_MAX) })
    }

    /// Joins a multicast group (`RTNLGRP_*`).
    pub(super) fn subscribe(&mut self, group: u32) -> io::Result<()> {
        self.inner.socket_mut().add_membership(group)
    }

    /// Sends one request; the kernel has taken it when this returns.
    pub(super) fn send(&self, request: &[u8]) -> io::Result<()> {
        let sent = self.inner.socket_ref().send(request, 0)?;
        if sent == request.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Waits for one datagram. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// `ENOBUFS` when announcements were lost, or when one was larger than any the kernel is known to send.
    pub(super) async fn next(&mut self) -> io::Result<Messages<'_>> {
        let (socket, buffer) = (&self.inner, &mut self.buffer);
        buffer.clear();
        poll_fn(|context| socket.poll_recv(context, buffer)).await?;
        self.received()
    }

    /// Takes one datagram that is already there; `None` when there is none.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) fn try_next(&mut self) -> io::Result<Option<Messages<'_>>> {
        self.buffer.clear();
        match self.inner.socket_ref().recv(&mut self.buffer, libc::MSG_DONTWAIT) {
            Ok(_) => self.received().map(Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What stands in the buffer. A datagram that fills it was probably cut off, and is as good as lost.
    fn received(&self) -> io::Result<Messages<'_>> {
        if self.buffer.len() == self.buffer.capacity() {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        Ok(Messages(&self.buffer))
    }
}

/// Asks for extended error reports without the request in them, and for strict checking.
pub(super) fn prepare(socket: &netlink_sys::Socket) -> io::Result<()> {
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    socket.set_netlink_get_strict_chk(true)
}

/// The messages of one datagram, in order. Ends early at a header that cannot be.
#[derive(Clone, Copy)]
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Type (`RTM_*`, `NLMSG_*`).
    pub(super) kind: u16,
    /// `NLM_F_*`.
    pub(super) flags: u16,
    /// Sequence number of the request this answers, 0 for announcements nobody asked for.
    pub(super) sequence: u32,
    /// What follows the header.
    pub(super) payload: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = self.0.first_chunk::<HEADER_SIZE>()?;
        let length =
            usize::try_from(u32::from_ne_bytes([header[0], header[1], header[2], header[3]])).ok()?;
        let payload = self.0.get(HEADER_SIZE..length)?;
        let message = Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

impl Message<'_> {
    /// What an `NLMSG_ERROR` or `NLMSG_DONE` says: `Ok` for an acknowledgement or the end of a dump.
    pub(super) fn outcome(&self) -> io::Result<()> {
        let code = self.payload.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
        if code < 0 { Err(io::Error::from_raw_os_error(code.saturating_neg())) } else { Ok(()) }
    }
}

/// Writes one request: header, then `body` (the family's header and its attributes).
pub(super) fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_SIZE + body.len()).expect("requests are a few dozen bytes");
    let mut bytes = Vec::with_capacity(HEADER_SIZE + body.len());
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    // The kernel fills in the sender's address.
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_datagram_is_taken_apart_into_its_messages() {
        let mut datagram = request(16, 2, 7, &[1, 2, 3, 4, 5]);
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram.extend(request(3, 0, 7, &(-19_i32).to_ne_bytes()));
        let messages: Vec<_> = Messages(&datagram).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0], Message { kind: 16, flags: 2, sequence: 7, payload: &[1, 2, 3, 4, 5] });
        assert_eq!(messages[1].outcome().unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn a_length_shorter_than_a_header_ends_the_datagram() {
        let mut datagram = request(16, 2, 7, &[]);
        datagram[0] = 15;
        assert_eq!(Messages(&datagram).count(), 0);
        datagram[0] = 0;
        assert_eq!(Messages(&datagram).count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let covered: usize = Messages(&bytes).map(|message| message.payload.len() + HEADER_SIZE).sum();
            prop_assert!(covered <= bytes.len());
        }
    }
}
