//! A receive ring shared with the kernel: `TPACKET_V2` (linux/Documentation/networking/packet_mmap.rst).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::vnet;
use super::{check, stripped_tag};
use crate::frame::{Frame, VlanTag};

/// The ring of one socket: slots that the kernel fills and the reader hands back, in order.
pub struct Ring {
    memory: NonNull<u8>,
    next: usize,
}

// SAFETY: the mapping belongs to this value alone and is not tied to a thread.
unsafe impl Send for Ring {}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The whole frame, now in the reader's hands; with a stripped tag.
    Whole(Option<VlanTag>),
    /// A frame too large for a slot, which waits in the socket's queue to be received.
    Queued,
    /// A frame too large for a slot, lost because the socket's queue was full.
    Lost,
}

/// Bytes of a slot: an Ethernet frame of the usual 1500 bytes with all headers that the kernel adds.
const SLOT_LEN: usize = 2048;
const SLOTS: usize = 4096;
const BLOCK_LEN: usize = 1 << 16;
const RING_LEN: usize = SLOT_LEN * SLOTS;

const TPACKET_V2: i32 = 1;
const PACKET_RX_RING: i32 = 5;
const STATUS_USER: u32 = 1 << 0;
const STATUS_COPY: u32 = 1 << 1;

/// `struct tpacket2_hdr`; the first field is `tp_status`, through which a slot changes hands.
#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    status: u32,
    len: u32,
    snapped_len: u32,
    link: u16,
    network: u16,
    seconds: u32,
    nanoseconds: u32,
    vlan_tci: u16,
    vlan_protocol: u16,
    padding: [u8; 4],
}

const _: () = assert!(size_of::<Header>() == 32, "the kernel's layout");
const _: () = assert!(RING_LEN.is_multiple_of(BLOCK_LEN) && BLOCK_LEN.is_multiple_of(SLOT_LEN));

impl Ring {
    /// Gives the socket a ring; before it is bound, and after its vnet header is switched on.
    ///
    /// # Errors
    /// What the kernel answers, `ENOMEM` above all.
    pub fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        super::packet::set_option(socket, super::packet::PacketOption::Version, TPACKET_V2)?;
        let request = [BLOCK_LEN as u32, (RING_LEN / BLOCK_LEN) as u32, SLOT_LEN as u32, SLOTS as u32];
        let len = size_of_val(&request) as libc::socklen_t;
        let place = (&raw const request).cast();
        // SAFETY: `request` is a tpacket_req, four unsigned ints, of `len` bytes, and outlives the call.
        check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, PACKET_RX_RING, place, len) })?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice disturbs no memory in use.
        let memory = unsafe {
            libc::mmap(std::ptr::null_mut(), RING_LEN, protection, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).expect("the kernel maps nothing at address 0 unasked");
        Ok(Self { memory, next: 0 })
    }

    /// Takes the next slot's frame, its vnet header right before it, and hands the slot back. `None`: nothing there.
    /// For [`Slot::Whole`] the frame's length is set.
    pub fn take(&mut self, frame: &mut Frame) -> Option<Slot> {
        let status = self.status().load(Ordering::Acquire);
        if status & STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the slot lies inside the mapping and begins with a Header; the kernel has handed it over (the
        // acquiring load of STATUS_USER above) and does not write to it until the store below.
        let header = unsafe { self.slot().cast::<Header>().read() };
        let taken = if header.snapped_len == header.len {
            self.copy(&header, frame);
            Slot::Whole(stripped_tag(status, header.vlan_protocol, header.vlan_tci))
        } else if status & STATUS_COPY != 0 {
            Slot::Queued
        } else {
            Slot::Lost
        };
        self.status().store(0, Ordering::Release);
        self.next = (self.next + 1) % SLOTS;
        Some(taken)
    }

    fn copy(&self, header: &Header, frame: &mut Frame) {
        let begin = usize::from(header.link) - vnet::LEN;
        let len = header.snapped_len as usize + vnet::LEN;
        assert!(begin + len <= SLOT_LEN, "the kernel keeps a frame inside its slot");
        let buffer = &mut frame.receive_buffer_with_header(vnet::LEN)[..len];
        // SAFETY: source and length were checked to lie inside the slot, which is ours now; the frame's storage is
        // not part of the ring.
        unsafe { std::ptr::copy_nonoverlapping(self.slot().add(begin), buffer.as_mut_ptr(), len) };
        frame.set_len(header.snapped_len as usize);
    }

    fn slot(&self) -> *mut u8 {
        // SAFETY: `next` is below SLOTS, so the place is inside the mapping.
        unsafe { self.memory.as_ptr().add(self.next * SLOT_LEN) }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: a slot begins with its 32-bit status, is aligned to SLOT_LEN, and lives as long as the mapping;
        // both sides access it as one word.
        unsafe { AtomicU32::from_ptr(self.slot().cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and no reference to it outlives `self`.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), RING_LEN) };
    }
}
