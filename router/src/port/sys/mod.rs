//! The system calls that no library wraps safely: raw packet sockets in batches, their rings, and TUN devices.
//!
//! The only place in the workspace with `unsafe`. What is exported is safe to call with any arguments.

#![allow(unsafe_code)]

use std::io;

pub mod mmsg;
pub mod packet;
pub mod prefetch;
pub mod ring;
pub mod tun;

/// A system call's answer: negative means that `errno` says why.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
