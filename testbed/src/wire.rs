//! The far end of a router's port: frames are put on the wire and taken off it, byte by byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvmsg,
    sendmsg, setsockopt, socket, sockopt,
};

use crate::frames::{OFFLOAD_LEN, Offload};
use crate::lab::Namespace;

/// The longest frame that can be taken off a wire, in bytes.
const FRAME_MAX: usize = 1 << 17;
/// Receive queue of a wire, in bytes.
const QUEUE: usize = 8 << 20;

/// A raw socket on one device, which sees each arriving frame and sends frames as they are.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    address: LinkAddr,
    buffer: Vec<u8>,
}

/// `PACKET_AUXDATA`: tells what the kernel took out of a frame.
#[derive(Clone, Copy)]
struct AuxiliaryData;
nix::setsockopt_impl!(AuxiliaryData, libc::SOL_PACKET, libc::PACKET_AUXDATA, bool, sockopt::SetBool);

/// `PACKET_VNET_HDR`: each frame comes and goes behind what is left to the device.
#[derive(Clone, Copy)]
struct VnetHeader;
nix::setsockopt_impl!(VnetHeader, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool, sockopt::SetBool);

/// A frame as it is on a wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// From its link header to its end.
    pub bytes: Vec<u8>,
    /// What is left to the device.
    pub offload: Offload,
}

impl From<Vec<u8>> for Frame {
    /// A frame that is finished.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, offload: Offload::default() }
    }
}

impl Wire {
    /// Opens the wire at `device` of `namespace`.
    ///
    /// # Errors
    /// No such device, or no CAP_NET_RAW.
    pub fn open(namespace: &Namespace, device: &str) -> Result<Self> {
        namespace
            .inside(|| Self::open_here(device))
            .with_context(|| format!("{}: {device}", namespace.name()))
    }

    fn open_here(device: &str) -> Result<Self> {
        let address = nix::ifaddrs::getifaddrs()?
            .filter(|interface| interface.interface_name == device)
            .find_map(|interface| interface.address?.as_link_addr().copied())
            .context("no such device")?;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        bind(socket.as_raw_fd(), &address)?;
        setsockopt(&socket, AuxiliaryData, &true)?;
        setsockopt(&socket, VnetHeader, &true)?;
        // Without the privilege to force it the queue stays at the machine's limit, which a lab does not fill.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &QUEUE);
        let mut wire = Self { socket, address, buffer: vec![0; FRAME_MAX] };
        wire.clear()?;
        Ok(wire)
    }

    /// Puts `frame` on the wire.
    ///
    /// # Errors
    /// The device does not take it, for one as longer than its MTU allows.
    pub fn send(&self, frame: &Frame) -> Result<()> {
        let bytes = &frame.bytes;
        let header = frame.offload.header(headers_length(bytes));
        let parts = [IoSlice::new(&header), IoSlice::new(bytes)];
        loop {
            let sent = sendmsg(self.socket.as_raw_fd(), &parts, &[], MsgFlags::empty(), Some(&self.address));
            match sent {
                Ok(_) => return Ok(()),
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => std::thread::yield_now(),
                Err(error) => return Err(error).with_context(|| format!("frame of {} bytes", bytes.len())),
            }
        }
    }

    /// The next frame that arrived, a VLAN tag back in its place; `None` when there is none now.
    ///
    /// # Errors
    /// The device is down or gone.
    pub fn receive(&mut self) -> Result<Option<Frame>> {
        let mut header = [0; OFFLOAD_LEN];
        let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(&mut self.buffer)];
        let mut space = vec![0; 128];
        let received =
            recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty());
        let (bytes, tag) = match received {
            Ok(message) => (message.bytes, message.cmsgs()?.find_map(|control| vlan_tag(&control))),
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let mut bytes = self.buffer[..bytes.saturating_sub(OFFLOAD_LEN)].to_vec();
        let mut offload = Offload::read(header);
        if let Some(tag) = tag {
            bytes.splice(12..12, tag);
            offload.checksum = offload.checksum.map(|(start, place)| (start + tag.len() as u16, place));
        }
        Ok(Some(Frame { bytes, offload }))
    }

    /// Throws away what has arrived so far.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn clear(&mut self) -> Result<()> {
        while self.receive()?.is_some() {}
        Ok(())
    }
}

/// Waits until one of `wires` has something, at most `patience`. Says whether one has.
///
/// # Errors
/// The system refused to wait.
pub fn wait_any<'w>(wires: impl Iterator<Item = &'w Wire>, patience: Duration) -> Result<bool> {
    let mut waits: Vec<_> = wires.map(|wire| PollFd::new(wire.socket.as_fd(), PollFlags::POLLIN)).collect();
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    match poll(&mut waits, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Bytes of a frame before the payload of its segments, if it is TCP or UDP without extension headers.
fn headers_length(frame: &[u8]) -> usize {
    let byte = |at: usize| usize::from(frame.get(at).copied().unwrap_or_default());
    let mut network = 14;
    while let Some([0x81, 0x00] | [0x88, 0xa8]) = frame.get(network - 2..network) {
        network += 4;
    }
    let (protocol, transport) = match frame.get(network - 2..network) {
        Some([0x86, 0xdd]) => (byte(network + 6), network + 40),
        _ => (byte(network + 9), network + (byte(network) & 15) * 4),
    };
    transport + if protocol == 6 { (byte(transport + 12) >> 4) * 4 } else { 8 }
}

/// The tag that the kernel took out of a frame, from `struct tpacket_auxdata` of linux/if_packet.h.
fn vlan_tag(control: &ControlMessageOwned) -> Option<[u8; 4]> {
    let ControlMessageOwned::Unknown(unknown) = control else { return None };
    let data = &unknown.data_bytes;
    let word = |at: usize| Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_ne_bytes(data.get(at..at + 2)?.try_into().ok()?));
    if word(0)? & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let [tag, protocol] = [half(16)?, half(18)?].map(u16::to_be_bytes);
    Some([protocol[0], protocol[1], tag[0], tag[1]])
}
