//! A port on a network device, by a raw packet socket with a vnet header both ways.
//!
//! The device stays what it is to the kernel, which sees every frame too. Offloads stay on: half-made checksums and
//! large packets pass in the frames' metadata. Frames of a device without link addresses (a TUN device of another
//! program, WireGuard's) begin with the network header.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use socket2::{SockFilter, SockRef};
use thiserror::Error;

use super::sys::mmsg::Batch;
use super::sys::packet::{self, Membership, PacketOption};
use super::sys::ring::{Ring, Slot};
use super::{Framing, OWN_MARK, Offloads, Port, PortCounters, vnet};
use crate::frame::{Frame, Pool};

/// How a socket is set up. The defaults are what `testbed bench ports` measured best: with a ring 1.6 times the small
/// packets of recvmmsg arrive, TCP and the delay are the same; bypassing the queueing discipline gains nothing on veth.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How frames are received.
    pub receive: Receive,
    /// Whether frames go to the driver without passing a queueing discipline.
    pub qdisc_bypass: bool,
    /// Whose frames are received.
    pub hears: Hears,
    /// Bytes of frames that may wait to be received, and to be sent, as the kernel counts them.
    pub buffer_bytes: i32,
}

/// Whose frames a port receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// Those that the kernel would take itself: for the device's address, for everybody, for groups that the host has
    /// joined. Others are left out already in the kernel.
    Own,
    /// Those of all groups too: the router joins groups without the kernel.
    OwnAndGroups,
    /// All, as a bridge needs it.
    All,
}

/// How frames are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// By recvmmsg, a batch a call.
    Calls,
    /// From a ring in shared memory; frames too large for a slot by a call each.
    Ring,
}

impl Default for Settings {
    fn default() -> Self {
        Self { receive: Receive::Ring, qdisc_bypass: false, hears: Hears::Own, buffer_bytes: 16 << 20 }
    }
}

/// Why a device cannot be opened as a port.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is no such device in this network namespace.
    #[error("there is no device {name} in this network namespace (see `ip link`)")]
    NoDevice {
        /// Name that was asked for.
        name: String,
    },
    /// The process may not open raw sockets.
    #[error(
        "no permission to open a raw socket: CAP_NET_RAW is missing (run as root, or `setcap cap_net_admin,cap_net_raw+ep`)"
    )]
    NoPermission,
    /// Frames of the device begin with a header that the router does not know.
    #[error(
        "frames of this device begin with neither an Ethernet nor an IP header (link type {0} of linux/if_arp.h)"
    )]
    OtherLink(u16),
    /// A step that should have worked did not.
    #[error("{step}: {error}")]
    Failed {
        /// What was tried.
        step: &'static str,
        /// What the kernel answered.
        error: io::Error,
    },
}

/// A device's index by its name, in this network namespace.
///
/// # Errors
/// [`OpenError::NoDevice`], or no socket could be opened to ask.
pub fn index_of(name: &str) -> Result<u32, OpenError> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)
        .map_err(|error| OpenError::Failed { step: "a socket to ask for devices", error: error.into() })?;
    name_to_index(&socket, name).map_err(|_| OpenError::NoDevice { name: name.to_owned() })
}

/// A port on a device of the kernel's.
pub struct AfPacket {
    socket: OwnedFd,
    framing: Framing,
    batch: Batch,
    ring: Option<Ring>,
    /// Empty frames for the next receive.
    spare: Vec<Frame>,
    counters: PortCounters,
}

/// Frames of one system call.
const BATCH_FRAMES: usize = 64;

const PACKET_FANOUT_HASH: u32 = 0;
const PACKET_FANOUT_FLAG_UNIQUEID: u32 = 0x2000;
const PACKET_FANOUT_FLAG_IGNORE_OUTGOING: u32 = 0x4000;

impl AfPacket {
    /// Opens the device with this index. It should be up: the first receive on one that is down tells so.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(index: u32, settings: &Settings) -> Result<Self, OpenError> {
        let socket = packet::open().map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => OpenError::NoPermission,
            _ => OpenError::Failed { step: "a packet socket", error },
        })?;
        let ring = set_up(socket.as_fd(), settings)?;
        packet::bind(socket.as_fd(), index).map_err(failed("binding to the device"))?;
        let membership = match settings.hears {
            Hears::Own => None,
            Hears::OwnAndGroups => Some(Membership::AllGroups),
            Hears::All => Some(Membership::Everything),
        };
        membership
            .map_or(Ok(()), |membership| packet::join(socket.as_fd(), index, membership))
            .map_err(failed("PACKET_ADD_MEMBERSHIP"))?;
        let link_type = packet::link_type(socket.as_fd()).map_err(failed("the device's kind of link"))?;
        Ok(Self {
            socket,
            framing: framing_of(link_type).ok_or(OpenError::OtherLink(link_type))?,
            batch: Batch::new(BATCH_FRAMES),
            ring,
            spare: Vec::with_capacity(BATCH_FRAMES),
            counters: PortCounters::default(),
        })
    }

    /// Opens the device once for each of `count` workers: its frames are spread over them by a hash of the flow that
    /// is the same for both directions. Fragments are spread by addresses alone.
    ///
    /// # Errors
    /// See [`OpenError`]; a device that is down cannot be opened so.
    pub fn open_group(index: u32, count: usize, settings: &Settings) -> Result<Vec<Self>, OpenError> {
        let mut ports: Vec<Self> = Vec::with_capacity(count);
        for _ in 0..count {
            let port = Self::open(index, settings)?;
            if count > 1 {
                let group = ports.first().map(|first| packet::fanout_group(first.socket.as_fd())).transpose();
                let group = group.map_err(failed("the group's number"))?;
                port.join(group.unwrap_or(PACKET_FANOUT_FLAG_UNIQUEID << 16))?;
            }
            ports.push(port);
        }
        Ok(ports)
    }

    fn join(&self, group: u32) -> Result<(), OpenError> {
        // The group has a hook of its own, which the sockets' PACKET_IGNORE_OUTGOING does not reach.
        let flags = PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
        let value = (group & (0xffff | PACKET_FANOUT_FLAG_UNIQUEID << 16)) | flags << 16;
        packet::set_option(self.socket.as_fd(), PacketOption::Fanout, value.cast_signed())
            .map_err(failed("joining the group of sockets that share the device"))
    }

    fn receive_by_calls(&mut self, pool: &mut Pool, into: &mut Vec<Frame>, max: usize) -> io::Result<usize> {
        let mut taken = 0;
        while taken < max {
            let wanted = (max - taken).min(BATCH_FRAMES);
            let received = self.receive_by_call(pool, into, wanted)?;
            taken += received;
            if received < wanted {
                break;
            }
        }
        Ok(taken)
    }

    /// Returns how many frames the kernel had, which those that were malformed are part of.
    fn receive_by_call(
        &mut self,
        pool: &mut Pool,
        into: &mut Vec<Frame>,
        wanted: usize,
    ) -> io::Result<usize> {
        while self.spare.len() < wanted {
            let Some(frame) = pool.take() else { break };
            self.spare.push(frame);
        }
        let wanted = wanted.min(self.spare.len());
        if wanted == 0 {
            return Ok(0);
        }
        self.counters.system_calls += 1;
        let received =
            self.batch.receive(self.socket.as_fd(), &mut self.spare[..wanted], |frame, len, vlan| {
                // A length of 0 marks what is not to be delivered: no port delivers empty frames.
                let whole = len.checked_sub(vnet::LEN).filter(|len| *len <= frame.receive_buffer().len());
                frame.set_len(whole.unwrap_or(0));
                frame.vlan = vlan;
            });
        let received = match received {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error),
        };
        for frame in self.spare.drain(..received) {
            deliver(&mut self.counters, self.framing, frame, pool, into);
        }
        Ok(received)
    }

    fn receive_from_ring(&mut self, pool: &mut Pool, into: &mut Vec<Frame>, max: usize) -> io::Result<usize> {
        for taken in 0..max {
            let Some(mut frame) = pool.take() else { return Ok(taken) };
            match self.ring.as_mut().and_then(|ring| ring.take(&mut frame)) {
                Some(Slot::Whole(vlan)) => {
                    frame.vlan = vlan;
                    deliver(&mut self.counters, self.framing, frame, pool, into);
                }
                Some(Slot::Queued) => {
                    pool.give(frame);
                    self.receive_by_call(pool, into, 1)?;
                }
                Some(Slot::Lost) => {
                    pool.give(frame);
                    self.counters.receive_dropped += 1;
                }
                None => {
                    pool.give(frame);
                    return if taken == 0 { self.pending_error().map(|()| 0) } else { Ok(taken) };
                }
            }
        }
        Ok(max)
    }

    /// A ring never answers with an error; the socket has to be asked.
    fn pending_error(&mut self) -> io::Result<()> {
        self.counters.system_calls += 1;
        SockRef::from(&self.socket).take_error()?.map_or(Ok(()), Err)
    }
}

impl Port for AfPacket {
    fn receive(&mut self, pool: &mut Pool, into: &mut Vec<Frame>, max: usize) -> io::Result<usize> {
        if self.ring.is_some() {
            self.receive_from_ring(pool, into, max)
        } else {
            self.receive_by_calls(pool, into, max)
        }
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) {
        for frame in &mut *frames {
            frame.put_tag_back();
            let header = vnet::encode(frame, self.framing);
            frame.grow_front(vnet::LEN).copy_from_slice(&header);
        }
        let mut next = 0;
        while next < frames.len() {
            self.counters.system_calls += 1;
            match self.batch.send(self.socket.as_fd(), &mut frames[next..]) {
                Ok(sent) => {
                    let bytes = frames[next..next + sent].iter().map(|frame| frame.len() - vnet::LEN);
                    self.counters.sent_bytes += bytes.sum::<usize>() as u64;
                    self.counters.sent_frames += sent as u64;
                    next += sent;
                }
                Err(error) => {
                    let lost = frames_lost(&error, frames.len() - next);
                    self.counters.send_dropped += lost as u64;
                    next += lost;
                }
            }
        }
        frames.drain(..).for_each(|frame| pool.give(frame));
    }

    fn offloads(&self) -> Offloads {
        Offloads::ALL
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn release(&mut self, pool: &mut Pool) {
        self.spare.drain(..).for_each(|frame| pool.give(frame));
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn refresh_counters(&mut self) {
        self.counters.system_calls += 1;
        // The socket is ours and open, so that it always answers; and a number that is late harms nobody.
        self.counters.receive_dropped += u64::from(packet::take_drops(self.socket.as_fd()).unwrap_or(0));
    }
}

/// Hands a received frame on if its vnet header makes sense, counting either way.
fn deliver(
    counters: &mut PortCounters,
    framing: Framing,
    mut frame: Frame,
    pool: &mut Pool,
    into: &mut Vec<Frame>,
) {
    let header = frame.received_header();
    if frame.is_empty() || vnet::decode(header, &mut frame, framing).is_err() {
        counters.receive_malformed += 1;
        pool.give(frame);
        return;
    }
    counters.received_frames += 1;
    counters.received_bytes += frame.len() as u64;
    into.push(frame);
}

/// What frames of a device of this link type (`ARPHRD_*`) begin with, as a raw packet socket sees them.
const fn framing_of(link_type: u16) -> Option<Framing> {
    /// `ARPHRD_RAWIP`.
    const RAW_IP: u16 = 519;
    match link_type {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Some(Framing::Ethernet),
        libc::ARPHRD_NONE | RAW_IP => Some(Framing::Network),
        _ => None,
    }
}

/// How many of the `waiting` frames an error of sendmmsg costs: those that wait when nothing can be sent at all, the
/// first one when it alone was refused (`ENOBUFS`, `EMSGSIZE`, `EINVAL`), none when it was a signal.
fn frames_lost(error: &io::Error, waiting: usize) -> usize {
    match Errno::from_io_error(error) {
        Some(Errno::INTR) => 0,
        Some(Errno::AGAIN | Errno::NETDOWN | Errno::NXIO | Errno::NODEV) => waiting,
        _ => 1,
    }
}

fn set_up(socket: BorrowedFd<'_>, settings: &Settings) -> Result<Option<Ring>, OpenError> {
    packet::set_option(socket, PacketOption::VnetHeader, 1).map_err(failed("PACKET_VNET_HDR"))?;
    packet::set_option(socket, PacketOption::IgnoreOutgoing, 1).map_err(failed("PACKET_IGNORE_OUTGOING"))?;
    packet::set_option(socket, PacketOption::AuxiliaryData, 1).map_err(failed("PACKET_AUXDATA"))?;
    for receive in [true, false] {
        packet::set_buffer(socket, receive, settings.buffer_bytes).map_err(failed("the socket's buffers"))?;
    }
    SockRef::from(&socket).set_mark(OWN_MARK).map_err(failed("SO_MARK"))?;
    if settings.qdisc_bypass {
        packet::set_option(socket, PacketOption::QdiscBypass, 1).map_err(failed("PACKET_QDISC_BYPASS"))?;
    }
    if settings.hears != Hears::All {
        SockRef::from(&socket).attach_filter(&not_for_other_hosts()).map_err(failed("a socket filter"))?;
    }
    if settings.receive == Receive::Calls {
        return Ok(None);
    }
    packet::set_option(socket, PacketOption::CopyThreshold, 1).map_err(failed("PACKET_COPY_THRESH"))?;
    Ring::new(socket).map(Some).map_err(failed("a receive ring"))
}

/// Classic BPF: everything but what the kernel has classed as `PACKET_OTHERHOST`.
fn not_for_other_hosts() -> [SockFilter; 4] {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const PACKET_TYPE: u32 = 0xffff_f000 + 4;
    const OTHER_HOST: u32 = 3;
    [
        SockFilter::new(LOAD_WORD, 0, 0, PACKET_TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, OTHER_HOST),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |error| OpenError::Failed { step, error }
}
