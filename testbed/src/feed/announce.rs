//! Announces routes to a kernel as a routing daemon does: many messages of rtnetlink in one datagram.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::lab::Namespace;

/// Messages of one datagram: zebra's batches hold about as many (`nl_batch` of 16 KiB).
const BATCH: usize = 256;
/// Bytes of one message of ours.
const MESSAGE: usize = 52;
/// `RTPROT_BGP`.
const BGP: u8 = 186;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// A route to one of the announced prefixes, by number: `20.0.0.0/24` is the first, and others follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is there from now on, by this gateway.
    By(u32, Ipv4Addr),
    /// It is gone.
    Gone(u32),
}

/// An address of the announced prefix of that number.
pub fn address_in(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(network(number) + 1)
}

fn network(number: u32) -> u32 {
    (20 << 24) + (number << 8)
}

/// Speaks to the kernel of one namespace.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    sequence: u32,
}

impl Announcer {
    /// Opens the way to the kernel of `namespace`.
    ///
    /// # Errors
    /// No more sockets.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let open = || {
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
        };
        Ok(Self { socket: namespace.inside(open).context("rtnetlink")?, sequence: 0 })
    }

    /// Announces all of it; the kernel has taken it when this returns.
    ///
    /// # Errors
    /// The kernel refused something: a gateway that is not on a link, a route that is not there to go.
    pub fn tell(&mut self, news: &[News]) -> Result<()> {
        news.chunks(BATCH).try_for_each(|batch| self.tell_batch(batch))
    }

    fn tell_batch(&mut self, batch: &[News]) -> Result<()> {
        let mut bytes = Vec::with_capacity(BATCH * MESSAGE);
        for (place, news) in batch.iter().enumerate() {
            self.sequence += 1;
            let acknowledged = if place + 1 == batch.len() { NLM_F_ACK } else { 0 };
            write(&mut bytes, *news, acknowledged, self.sequence);
        }
        let sent = sendto(self.socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())
            .context("batch")?;
        ensure!(sent == bytes.len(), "a batch was sent in part");
        self.acknowledged()
    }

    /// Reads answers until the one to the last message.
    fn acknowledged(&self) -> Result<()> {
        let mut answers = [0; 16 << 10];
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut answers, MsgFlags::empty())?;
            let mut rest = &answers[..length];
            while let Some(header) = rest.first_chunk::<20>() {
                let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"));
                let kind = u16::from_ne_bytes([header[4], header[5]]);
                let error = word(16) as i32;
                if kind == NLMSG_ERROR && error != 0 {
                    let error = std::io::Error::from_raw_os_error(-error);
                    bail!("message {} of {} was refused: {error}", word(8), self.sequence);
                }
                if word(8) == self.sequence {
                    return Ok(());
                }
                rest = rest.get((word(0) as usize).next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// Writes `struct nlmsghdr`, `struct rtmsg` and its attributes.
fn write(bytes: &mut Vec<u8>, news: News, flags: u16, sequence: u32) {
    let (kind, more, number, gateway) = match news {
        News::By(number, gateway) => (RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, number, Some(gateway)),
        News::Gone(number) => (RTM_DELROUTE, 0, number, None),
    };
    let begin = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend([kind, NLM_F_REQUEST | more | flags].map(u16::to_ne_bytes).concat());
    bytes.extend([sequence, 0].map(u32::to_ne_bytes).concat());
    // Family, length of the prefix, of the source's, TOS, table main, protocol, scope universe, type unicast, flags.
    bytes.extend([2, 24, 0, 0, 254, BGP, 0, 1, 0, 0, 0, 0]);
    attribute(bytes, 1, network(number).to_be_bytes());
    if let Some(gateway) = gateway {
        attribute(bytes, 5, gateway.octets());
    }
    let length = (bytes.len() - begin) as u32;
    bytes[begin..begin + 4].copy_from_slice(&length.to_ne_bytes());
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    bytes.extend([8, kind].map(u16::to_ne_bytes).concat());
    bytes.extend(value);
}
