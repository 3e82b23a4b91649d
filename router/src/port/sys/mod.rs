//! The system calls that no library wraps safely: raw packet sockets in batches, their rings, and TUN devices.
//!
//! The only place in the workspace with `unsafe`. What is exported is safe to call with any arguments.

#![allow(unsafe_code)]

use std::io;

use crate::frame::VlanTag;
use crate::packet::ethernet;

pub mod mmsg;
pub mod packet;
pub mod prefetch;
pub mod ring;
pub mod tun;

/// The tag that the kernel says it has taken out of a frame (linux/if_packet.h, `tp_status`).
fn stripped_tag(status: u32, protocol: u16, control: u16) -> Option<VlanTag> {
    const VLAN_VALID: u32 = 1 << 4;
    const VLAN_PROTOCOL_VALID: u32 = 1 << 6;
    let protocol = if status & VLAN_PROTOCOL_VALID == 0 { ethernet::VLAN } else { protocol };
    (status & VLAN_VALID != 0).then_some(VlanTag { protocol, control })
}

/// A system call's answer: negative means that `errno` says why.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
