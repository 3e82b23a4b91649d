//! A port that is a TUN or TAP device: what the kernel sends into the device arrives here, what is sent here arrives in
//! the kernel. Frames of a TUN device begin with the network header, those of a TAP device with an Ethernet header.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::io::Errno;
use thiserror::Error;

use super::sys::tun::{Kind, Layer, Which};
use super::{Framing, Offloads, Port, PortCounters, sys, vnet};
use crate::frame::{Frame, Pool};

/// Why a TUN or TAP device cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The name is empty, longer than 15 bytes, or holds what a device's name cannot.
    #[error("\"{0}\" is no name for a device: 1 to 15 bytes, no slash, no space")]
    BadName(String),
    /// The process may not make such devices.
    #[error("no permission to open TUN device {0}: CAP_NET_ADMIN is missing")]
    NoPermission(String),
    /// This user may not make any.
    #[error(
        "device {0} cannot be made: /dev/net/tun is closed to this user (run as root, or `chmod 666 /dev/net/tun`)"
    )]
    Closed(String),
    /// Another process has the device.
    #[error("TUN device {0} is in use by another process")]
    Busy(String),
    /// A device of this name exists and is no TUN device, or one of several queues.
    #[error("{0} exists and is not a TUN device with one queue")]
    OtherKind(String),
    /// A device of this name exists, where a new one is wanted.
    #[error("a device named {0} exists already")]
    Exists(String),
    /// Something else.
    #[error("TUN device {name}: {error}")]
    Failed {
        /// The device.
        name: String,
        /// What the kernel answered.
        error: io::Error,
    },
}

/// A port on a TUN or TAP device. A device that was made for it goes away with it; a persistent one stays.
pub struct Tun {
    file: File,
    framing: Framing,
    offloads: Offloads,
    counters: PortCounters,
}

impl Tun {
    /// Attaches to the TUN device `name`, making it if there is none. The device's addresses and its being up are
    /// left to whoever configures devices.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(name: &str) -> Result<Self, OpenError> {
        Self::attach(name, Kind { layer: Layer::Network, which: Which::Any, several: false })
    }

    /// Makes the TUN device `name` with `queues` queues, at least one. It is down, and goes away with the last of them.
    ///
    /// # Errors
    /// See [`OpenError`]; above all [`OpenError::Exists`].
    pub fn make(name: &str, queues: usize) -> Result<Vec<Self>, OpenError> {
        Self::make_new(name, Layer::Network, queues)
    }

    /// Makes the TAP device `name`, likewise.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn make_tap(name: &str, queues: usize) -> Result<Vec<Self>, OpenError> {
        Self::make_new(name, Layer::Ethernet, queues)
    }

    fn make_new(name: &str, layer: Layer, queues: usize) -> Result<Vec<Self>, OpenError> {
        let kind = |which| Kind { layer, which, several: queues > 1 };
        let first = Self::attach(name, kind(Which::New)).map_err(|error| match error {
            OpenError::Busy(name) | OpenError::OtherKind(name) => OpenError::Exists(name),
            other => other,
        })?;
        let more = (1..queues).map(|_| Self::attach(name, kind(Which::Any)));
        std::iter::once(Ok(first)).chain(more).collect()
    }

    fn attach(name: &str, kind: Kind) -> Result<Self, OpenError> {
        let valid = (1..=15).contains(&name.len()) && !name.contains(['/', ' ', '%', '\0']);
        let bad = || OpenError::BadName(name.to_owned());
        let device = CString::new(name).ok().filter(|_| valid).ok_or_else(bad)?;
        let explain = |error: io::Error| match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => OpenError::NoPermission(name.to_owned()),
            Some(Errno::BUSY) => OpenError::Busy(name.to_owned()),
            Some(Errno::INVAL | Errno::EXIST) => OpenError::OtherKind(name.to_owned()),
            _ => OpenError::Failed { name: name.to_owned(), error },
        };
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nonblocking)
            .open("/dev/net/tun")
            .map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => OpenError::Closed(name.to_owned()),
            _ => explain(error),
        })?;
        sys::tun::attach(&file, &device, kind).map_err(explain)?;
        let udp_segmentation = sys::tun::set_offloads(&file).map_err(explain)?;
        let offloads = Offloads { udp_segmentation, ..Offloads::ALL };
        let framing = match kind.layer {
            Layer::Network => Framing::Network,
            Layer::Ethernet => Framing::Ethernet,
        };
        Ok(Self { file, framing, offloads, counters: PortCounters::default() })
    }

    /// The same device once more: each packet is read by one of the two.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let file = self.file.try_clone()?;
        Ok(Self { file, framing: self.framing, offloads: self.offloads, counters: PortCounters::default() })
    }

    /// Reads one packet; `Ok(None)` when there is none, `Ok(Some(0))` for one that was malformed.
    fn receive_one(&mut self, frame: &mut Frame) -> io::Result<Option<usize>> {
        self.counters.system_calls += 1;
        let len = match rustix::io::read(&self.file, frame.receive_buffer_with_header(vnet::LEN)) {
            Ok(len) => len.saturating_sub(vnet::LEN),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        frame.set_len(len);
        let header = frame.received_header();
        let sound = vnet::decode(header, frame, self.framing).is_ok();
        Ok(Some(if sound { len } else { 0 }))
    }
}

impl Port for Tun {
    fn receive(&mut self, pool: &mut Pool, into: &mut Vec<Frame>, max: usize) -> io::Result<usize> {
        for taken in 0..max {
            let Some(mut frame) = pool.take() else { return Ok(taken) };
            match self.receive_one(&mut frame) {
                Ok(Some(0)) => {
                    self.counters.receive_malformed += 1;
                    pool.give(frame);
                }
                Ok(Some(bytes)) => {
                    self.counters.received_frames += 1;
                    self.counters.received_bytes += bytes as u64;
                    into.push(frame);
                }
                Ok(None) => {
                    pool.give(frame);
                    return Ok(taken);
                }
                Err(error) => {
                    pool.give(frame);
                    return Err(error);
                }
            }
        }
        Ok(max)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) {
        for mut frame in frames.drain(..) {
            frame.put_tag_back();
            let bytes = frame.len();
            let header = vnet::encode(&frame, self.framing);
            frame.grow_front(vnet::LEN).copy_from_slice(&header);
            self.counters.system_calls += 1;
            match rustix::io::write(&self.file, frame.bytes()) {
                Ok(_) => {
                    self.counters.sent_frames += 1;
                    self.counters.sent_bytes += bytes as u64;
                }
                Err(_) => self.counters.send_dropped += 1,
            }
            pool.give(frame);
        }
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_device_can_have_are_refused() {
        for name in ["", "sixteen-letters-", "a/b", "a b", "tun%d", "a\0b"] {
            assert!(matches!(Tun::open(name), Err(OpenError::BadName(_))), "{name:?}");
        }
    }
}
