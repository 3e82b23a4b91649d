//! The kernel's flows over ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`): all of them listed, all of them deleted.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
};

use super::flow::{Ends, FlowRow, Ids};
use crate::lab::Namespace;

/// A connection to ctnetlink of one namespace.
#[derive(Debug)]
pub struct Ctnetlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 16 + 4;

impl Ctnetlink {
    /// Opens it in `namespace`.
    ///
    /// # Errors
    /// The kernel has no ctnetlink.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let socket = namespace.inside(|| -> Result<OwnedFd> {
            let protocol = SockProtocol::NetlinkNetFilter;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(socket)
        });
        let socket = socket.context("ctnetlink")?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; 1 << 17] })
    }

    /// Every flow there is.
    ///
    /// # Errors
    /// The kernel refused, or said what is not understood.
    pub fn list(&mut self) -> Result<Vec<FlowRow>> {
        let dump = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
        self.ask(GET, dump)?;
        let mut rows = Vec::new();
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            let mut messages = &self.buffer[..length];
            while let Some((message, rest)) = next_message(messages) {
                messages = rest;
                match kind(message) {
                    NEW => rows.push(row(message).context("a flow of ctnetlink is cut off")?),
                    DONE => return Ok(rows),
                    ERROR => bail!("ctnetlink: {}", std::io::Error::from_raw_os_error(-error(message))),
                    other => bail!("ctnetlink sent a message of type {other}"),
                }
            }
        }
    }

    /// Deletes every flow.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn flush(&mut self) -> Result<()> {
        self.ask(DELETE, (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16)?;
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        let (message, _) = next_message(&self.buffer[..length]).context("ctnetlink sent no message")?;
        match (kind(message), error(message)) {
            (ERROR, 0) => Ok(()),
            (_, code) => bail!("ctnetlink: {}", std::io::Error::from_raw_os_error(-code)),
        }
    }

    fn ask(&mut self, kind: u16, flags: u16) -> Result<()> {
        self.sequence += 1;
        let mut message = (HEADERS as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 8]);
        sendto(self.socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        Ok(())
    }
}

const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

/// The first message of `bytes` and what follows it.
fn next_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let message = bytes.get(..length.max(HEADERS))?;
    Some((message, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn kind(message: &[u8]) -> u16 {
    u16::from_ne_bytes([message[4], message[5]])
}

/// The negative number in an error message.
fn error(message: &[u8]) -> i32 {
    message[16..].first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes))
}

/// The attributes in `bytes`: type without its flags, and payload.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let payload = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

fn number<const N: usize>(bytes: Option<&[u8]>) -> Option<u64> {
    let bytes = bytes?.first_chunk::<N>()?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOCOL_INFO: u16 = 4;
const TIMEOUT: u16 = 7;
const COUNTERS_ORIGINAL: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const ZONE: u16 = 18;

fn row(message: &[u8]) -> Option<FlowRow> {
    let body = message.get(HEADERS..)?;
    let (protocol, original) = tuple(attribute(body, TUPLE_ORIGINAL)?)?;
    let (_, reply) = tuple(attribute(body, TUPLE_REPLY)?)?;
    let counters = |kind| {
        let counters = attribute(body, kind)?;
        Some([number::<8>(attribute(counters, 1))?, number::<8>(attribute(counters, 2))?])
    };
    Some(FlowRow {
        protocol,
        zone: number::<2>(attribute(body, ZONE)).unwrap_or(0) as u16,
        original,
        reply,
        status: number::<4>(attribute(body, STATUS))? as u32,
        state: attribute(body, PROTOCOL_INFO).and_then(state).map(str::to_owned),
        timeout_ms: number::<4>(attribute(body, TIMEOUT)).unwrap_or(0) * 1000,
        traffic: [counters(COUNTERS_ORIGINAL)?, counters(COUNTERS_REPLY)?],
    })
}

/// Protocol number and ends of a tuple.
fn tuple(bytes: &[u8]) -> Option<(u8, Ends)> {
    let addresses = attribute(bytes, 1)?;
    let protocol = attribute(bytes, 2)?;
    let address = |ipv4: u16, ipv6: u16| {
        let found = attribute(addresses, ipv4).or(attribute(addresses, ipv6))?;
        match found.len() {
            4 => Some(IpAddr::from(*found.first_chunk::<4>()?)),
            _ => Some(IpAddr::from(*found.first_chunk::<16>()?)),
        }
    };
    let byte = |kind| attribute(protocol, kind).and_then(|bytes| bytes.first().copied());
    let half = |kind| number::<2>(attribute(protocol, kind)).map(|number| number as u16);
    let ids = if let Some(id) = half(4).or(half(7)) {
        Ids::Message { id, kind: byte(5).or(byte(8))?, code: byte(6).or(byte(9))? }
    } else {
        Ids::Ports([half(2).unwrap_or(0), half(3).unwrap_or(0)])
    };
    Some((byte(1)?, Ends { source: address(1, 3)?, destination: address(2, 4)?, ids }))
}

/// Name of the state in a protocol's information.
fn state(info: &[u8]) -> Option<&'static str> {
    const TCP: u16 = 1;
    const SCTP: u16 = 3;
    let (kind, body) = attributes(info).next()?;
    let names: &[&str] = match kind {
        TCP => &TCP_STATES,
        SCTP => &SCTP_STATES,
        _ => return None,
    };
    let number = *attribute(body, 1)?.first()?;
    names.get(usize::from(number)).copied()
}

/// `enum tcp_conntrack`.
const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

/// `enum sctp_conntrack`.
const SCTP_STATES: [&str; 10] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
    "HEARTBEAT_ACKED",
];
