//! Many frames in one system call: recvmmsg(2) and sendmmsg(2) on packet sockets.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::super::vnet;
use super::{check, stripped_tag};
use crate::frame::{Frame, VlanTag};

/// The tables that the kernel reads for one call, made once.
pub struct Batch {
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    control: Vec<Control>,
}

// SAFETY: the pointers inside are set anew from exclusive borrows before each call and never used after it.
unsafe impl Send for Batch {}

/// Room for one `PACKET_AUXDATA` message, aligned as a control message must be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// `struct tpacket_auxdata` (linux/if_packet.h), of integers only.
#[derive(Clone, Copy)]
#[repr(C)]
struct AuxiliaryData {
    status: u32,
    len: u32,
    snapped_len: u32,
    link: u16,
    network: u16,
    vlan_tci: u16,
    vlan_protocol: u16,
}

const CONTROL_LEN: usize = 40;
const PACKET_AUXDATA: i32 = 8;

// SAFETY: CMSG_SPACE computes with its argument only.
const _: () = assert!(unsafe { libc::CMSG_SPACE(size_of::<AuxiliaryData>() as u32) } as usize <= CONTROL_LEN);

impl Batch {
    /// For at most `frames_max` frames a call.
    #[must_use]
    pub fn new(frames_max: usize) -> Self {
        // SAFETY: all-zero bytes are a valid mmsghdr and iovec: integers and null pointers.
        let (header, vector) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            headers: vec![header; frames_max],
            vectors: vec![vector; frames_max],
            control: vec![Control([0; CONTROL_LEN]); frames_max],
        }
    }

    /// Receives into the front of `frames`, each with its vnet header right before it, without blocking. Returns how
    /// many were received; `told` is called for each with its bytes (vnet header included) and a stripped tag.
    /// A frame larger than its storage is reported with its true length.
    ///
    /// # Errors
    /// What the kernel answers, `EWOULDBLOCK` when nothing is there.
    pub fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        frames: &mut [Frame],
        mut told: impl FnMut(&mut Frame, usize, Option<VlanTag>),
    ) -> io::Result<usize> {
        let count = frames.len().min(self.headers.len());
        for (index, frame) in frames[..count].iter_mut().enumerate() {
            let buffer = frame.receive_buffer_with_header(vnet::LEN);
            self.vectors[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.control[index]).cast();
            header.msg_controllen = CONTROL_LEN as _;
        }
        let table = self.headers.as_mut_ptr();
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the first `count` headers point to vectors, control buffers and frame storage of the lengths given,
        // all of which are borrowed exclusively until the call returns; no timeout is passed.
        let received = check(unsafe {
            libc::recvmmsg(socket.as_raw_fd(), table, count as u32, flags, std::ptr::null_mut())
        })?
        .cast_unsigned() as usize;
        for (index, frame) in frames[..received].iter_mut().enumerate() {
            told(frame, self.headers[index].msg_len as usize, self.vlan(index));
        }
        Ok(received)
    }

    /// Sends `frames`, each beginning with its vnet header, without blocking. Returns how many were taken; fewer than
    /// all are only taken when the next one is refused.
    ///
    /// # Errors
    /// The first frame was refused: why.
    pub fn send(&mut self, socket: BorrowedFd<'_>, frames: &mut [Frame]) -> io::Result<usize> {
        let count = frames.len().min(self.headers.len());
        for (index, frame) in frames[..count].iter_mut().enumerate() {
            let bytes = frame.bytes_mut();
            self.vectors[index] = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
        }
        let table = self.headers.as_mut_ptr();
        // SAFETY: as in `receive`; the kernel only reads the frames.
        let sent =
            check(unsafe { libc::sendmmsg(socket.as_raw_fd(), table, count as u32, libc::MSG_DONTWAIT) })?;
        Ok(sent.cast_unsigned() as usize)
    }

    fn vlan(&self, index: usize) -> Option<VlanTag> {
        let header = &raw const self.headers[index].msg_hdr;
        // SAFETY: `header` was filled by recvmmsg, whose control message, if there is one, lies in `self.control`;
        // the length is checked before the data, plain integers that need not be aligned, are read.
        let data = unsafe {
            let message = libc::CMSG_FIRSTHDR(header);
            if message.is_null()
                || (*message).cmsg_level != libc::SOL_PACKET
                || (*message).cmsg_type != PACKET_AUXDATA
                || ((*message).cmsg_len as usize) < libc::CMSG_LEN(size_of::<AuxiliaryData>() as u32) as usize
            {
                return None;
            }
            libc::CMSG_DATA(message).cast::<AuxiliaryData>().read_unaligned()
        };
        stripped_tag(data.status, data.vlan_protocol, data.vlan_tci)
    }
}
