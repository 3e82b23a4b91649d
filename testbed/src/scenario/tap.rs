//! A tap on a device: when packets to an address arrived there, to the microsecond.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, recvmsg,
    setsockopt, socket, sockopt,
};

use crate::lab::Namespace;

/// Bytes of a frame that are looked at: link header, IPv6 header.
const LOOK: usize = 54;
/// Receive queue, in bytes.
const QUEUE: usize = 16 << 20;
/// Arrivals that are remembered; later ones are only counted.
const ARRIVALS_MAX: usize = 1 << 20;
/// How often a tap looks whether it is still wanted, in milliseconds.
const LOOK_EVERY_MS: u16 = 20;

/// Listens on one device of one namespace. Dropping it ends that.
#[derive(Debug)]
pub struct Tap {
    seen: Arc<Mutex<Vec<Arrival>>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// A packet that a tap has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When the device was given it, by the kernel's clock of the day. On a veth link that is while its sender sends.
    pub at: SystemTime,
    /// The MAC address it was sent to.
    pub to: [u8; 6],
    /// The MAC address it came from.
    pub from: [u8; 6],
}

impl Tap {
    /// Begins to listen for packets with this destination address.
    ///
    /// # Errors
    /// No such device, or no CAP_NET_RAW.
    pub fn start(namespace: &Namespace, device: &str, destination: IpAddr) -> Result<Self> {
        let socket = namespace
            .inside(|| open(device))
            .with_context(|| format!("tap on {device} of {}", namespace.name()))?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (into, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let listener = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                listen(&socket, destination, &into);
            }
        });
        Ok(Self { seen, stop, listener: Some(listener) })
    }

    /// What has arrived so far, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last that arrived.
    pub fn last(&self) -> Option<Arrival> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last().copied()
    }

    /// How many have arrived.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many have arrived later than that.
    pub fn count_after(&self, when: SystemTime) -> usize {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().rev().take_while(|arrival| arrival.at > when).count()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn open(device: &str) -> Result<OwnedFd> {
    let address = nix::ifaddrs::getifaddrs()?
        .filter(|interface| interface.interface_name == device)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .context("no such device")?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    // Without the privilege to force it the queue stays at the machine's limit.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &QUEUE);
    bind(socket.as_raw_fd(), &address)?;
    // Until it was bound it heard every device.
    while recv(socket.as_raw_fd(), &mut [0; LOOK], MsgFlags::empty()).is_ok() {}
    Ok(socket)
}

/// Takes what is there, after waiting for it a moment.
fn listen(socket: &OwnedFd, destination: IpAddr, into: &Mutex<Vec<Arrival>>) {
    let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], LOOK_EVERY_MS);
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut bytes = [0; LOOK];
    loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
        let stamp = match &received {
            Ok(message) => message.cmsgs().ok().and_then(|mut all| all.find_map(stamp)),
            Err(Errno::EINTR) => continue,
            // Nothing more now, or the device is down for a while.
            Err(_) => return,
        };
        if let Some(at) = stamp
            && destination_of(&bytes) == Some(destination)
        {
            let mac = |from: usize| bytes[from..from + 6].try_into().expect("six bytes");
            let mut seen = into.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() < ARRIVALS_MAX {
                seen.push(Arrival { at, to: mac(0), from: mac(6) });
            }
        }
    }
}

fn stamp(message: ControlMessageOwned) -> Option<SystemTime> {
    let ControlMessageOwned::ScmTimestampns(time) = message else { return None };
    Some(SystemTime::UNIX_EPOCH + Duration::from(time))
}

/// The destination address of a packet without VLAN tag.
fn destination_of(frame: &[u8; LOOK]) -> Option<IpAddr> {
    match frame[12..14] {
        [0x08, 0x00] => Some(IpAddr::from(<[u8; 4]>::try_from(&frame[30..34]).ok()?)),
        [0x86, 0xdd] => Some(IpAddr::from(<[u8; 16]>::try_from(&frame[38..54]).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_is_read_from_either_family() {
        let mut frame = [0; LOOK];
        assert_eq!(destination_of(&frame), None);
        frame[12] = 8;
        frame[30..34].copy_from_slice(&[10, 9, 9, 9]);
        assert_eq!(destination_of(&frame), Some("10.9.9.9".parse().unwrap()));
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[38..54].fill(0);
        frame[53] = 9;
        assert_eq!(destination_of(&frame), Some("::9".parse().unwrap()));
    }
}
