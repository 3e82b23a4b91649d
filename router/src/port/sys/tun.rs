//! TUN and TAP devices: the ioctls of linux/if_tun.h.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::check;

/// Which device to attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What frames begin with.
    pub layer: Layer,
    /// Which devices will do.
    pub which: Which,
    /// The device has several queues, each attached by a file of its own.
    pub several: bool,
}

/// What frames of a device begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The network header: TUN.
    Network,
    /// An Ethernet header: TAP.
    Ethernet,
}

/// Which devices will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One that exists, or a new one.
    Any,
    /// A new one alone.
    New,
}

impl Kind {
    const fn flags(self) -> i32 {
        let layer = match self.layer {
            Layer::Network => libc::IFF_TUN,
            Layer::Ethernet => libc::IFF_TAP,
        };
        let which = match self.which {
            Which::Any => 0,
            Which::New => libc::IFF_TUN_EXCL,
        };
        let several = if self.several { libc::IFF_MULTI_QUEUE } else { 0 };
        layer | which | several | libc::IFF_NO_PI | libc::IFF_VNET_HDR
    }
}

/// Attaches `file` (`/dev/net/tun`, opened for reading and writing) to the device `name`, which is made if it does not
/// exist and then lives as long as the last of its files. Frames have a vnet header.
///
/// # Errors
/// `EBUSY` when somebody else has the device, `EINVAL` when it is of another kind, `EPERM` without CAP_NET_ADMIN.
///
/// # Panics
/// If `name` is longer than 15 bytes.
pub fn attach(file: &File, name: &CStr, kind: Kind) -> io::Result<()> {
    let name = name.to_bytes();
    assert!(name.len() < libc::IFNAMSIZ, "a device's name has at most 15 bytes");
    // SAFETY: all-zero bytes are a valid ifreq: integers, and a union of such.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = kind.flags() as i16;
    // SAFETY: `request` is a whole ifreq and outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(())
}

/// Tells the kernel that `file`'s reader takes unfinished checksums and large packets. Returns whether that goes for
/// UDP too, which kernels before 6.2 do not offer.
///
/// # Errors
/// What the kernel answers.
pub fn set_offloads(file: &File) -> io::Result<bool> {
    let set = |flags: u32| {
        // SAFETY: the argument is a number, not a pointer.
        check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(flags)) })
    };
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    if set(tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6).is_ok() {
        return Ok(true);
    }
    set(tcp)?;
    Ok(false)
}
