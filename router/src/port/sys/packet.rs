//! Raw packet sockets: made, bound and set up (packet(7), linux/if_packet.h).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// `SOL_PACKET` options that take an `int`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub enum PacketOption {
    /// Frames too large for a ring's slot are also queued, whole.
    CopyThreshold = 7,
    /// Tags stripped from a frame come as ancillary data.
    AuxiliaryData = 8,
    /// Layout of the ring.
    Version = 10,
    /// A `virtio_net_hdr` before each frame, in and out.
    VnetHeader = 15,
    /// Frames are spread over the sockets of a group.
    Fanout = 18,
    /// Frames go to the driver without a queueing discipline.
    QdiscBypass = 20,
    /// What this host sends is not received.
    IgnoreOutgoing = 23,
}

/// A raw packet socket that receives nothing until it is bound.
///
/// # Errors
/// `EPERM` without CAP_NET_RAW; no file descriptors left.
pub fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is passed.
    let descriptor = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the descriptor was made in the line above and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Binds a packet socket to the device with this index, for frames of every protocol.
///
/// # Errors
/// `ENODEV` when there is no such device.
pub fn bind(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sockaddr_ll, which is made of integers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index.cast_signed();
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a whole sockaddr_ll of `len` bytes and outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(())
}

/// The kind of link that a bound socket's device is (`ARPHRD_*`, linux/if_arp.h).
///
/// # Errors
/// What the kernel answers.
pub fn link_type(socket: BorrowedFd<'_>) -> io::Result<u16> {
    // SAFETY: all-zero bytes are a valid sockaddr_ll, which is made of integers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `address`, which has so many, all of integers.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut len) })?;
    Ok(address.sll_hatype)
}

/// Frames that a device is to pass up beside those for its own address, while the socket is open
/// (`PACKET_ADD_MEMBERSHIP`).
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub enum Membership {
    /// All (`PACKET_MR_PROMISC`).
    Everything = 1,
    /// Those of all groups (`PACKET_MR_ALLMULTI`).
    AllGroups = 2,
}

/// Has the device with this index pass up more than its own frames.
///
/// # Errors
/// What the kernel answers.
pub fn join(socket: BorrowedFd<'_>, index: u32, membership: Membership) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: index.cast_signed(),
        mr_type: membership as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    let len = size_of_val(&request) as libc::socklen_t;
    let place = (&raw const request).cast();
    let option = libc::PACKET_ADD_MEMBERSHIP;
    // SAFETY: `request` is a whole packet_mreq of `len` bytes and outlives the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, place, len) })?;
    Ok(())
}

/// Sets a `SOL_PACKET` option.
///
/// # Errors
/// What the kernel answers.
pub fn set_option(socket: BorrowedFd<'_>, option: PacketOption, value: i32) -> io::Result<()> {
    set(socket, libc::SOL_PACKET, option as i32, value)
}

/// The group that a socket is in, in the form `PACKET_FANOUT` takes.
///
/// # Errors
/// What the kernel answers.
pub fn fanout_group(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut value = 0_u32;
    get(socket, PacketOption::Fanout as i32, &mut value)?;
    Ok(value)
}

/// Makes the receive (or send) buffer `bytes` large, beyond the system's limit if the process may
/// (`SO_RCVBUFFORCE` asks for CAP_NET_ADMIN in the first user namespace), else as large as the limit lets.
///
/// # Errors
/// What the kernel answers.
pub fn set_buffer(socket: BorrowedFd<'_>, receive: bool, bytes: i32) -> io::Result<()> {
    let (force, plain) = if receive {
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)
    } else {
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)
    };
    set(socket, libc::SOL_SOCKET, force, bytes).or_else(|_| set(socket, libc::SOL_SOCKET, plain, bytes))
}

/// Frames dropped because the socket's queue or ring was full, since this was last asked (`PACKET_STATISTICS`).
///
/// # Errors
/// What the kernel answers.
pub fn take_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut statistics = [0_u32; 2];
    get(socket, libc::PACKET_STATISTICS, &mut statistics)?;
    Ok(statistics[1])
}

/// Types that a socket option may fill with any bytes.
trait Plain {}
impl Plain for u32 {}
impl Plain for [u32; 2] {}

fn get<T: Plain>(socket: BorrowedFd<'_>, option: i32, value: &mut T) -> io::Result<()> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let place = std::ptr::from_mut(value).cast();
    // SAFETY: the kernel writes at most `len` bytes to `value`, for which any bytes are valid (`Plain`).
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, place, &raw mut len) })?;
    Ok(())
}

pub(super) fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` is a whole int of `len` bytes and outlives the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len) })?;
    Ok(())
}
