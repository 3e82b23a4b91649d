//! Where frames pass: raw packet sockets, TUN devices, memory and capture files behind one trait.

use std::io;
use std::os::fd::BorrowedFd;

use fib::adjacency::{Mac, PORTS_MAX, PortId};

use crate::frame::{Checksum, Frame, Pool, SegmentationKind};
use crate::packet::ethernet;

pub mod af_packet;
pub mod keeper;
pub mod memory;
pub mod pcap;
pub(crate) mod sys;
pub mod tun;
pub mod vnet;

/// The place of the host's own packets beside the ports: what is written there the kernel receives, what is read there
/// its programs have sent. Frames have an Ethernet header. Nobody sits there unless local packets are handed over.
pub const HOST: PortId = PortId(PORTS_MAX as u16);

/// Places that a worker has: the ports', [`HOST`], and some that stay empty.
pub const PLACES_MAX: usize = PORTS_MAX + 64;

/// The mark (`SO_MARK`) of all that routerd sends by packet sockets; the guard tells it from what others send.
pub const OWN_MARK: u32 = 0x726f_7574;

/// The link address that stands for a port in frames between routerd and [`HOST`]: on the way out it is written over
/// the source, so that the kernel's choice of a port is known.
#[must_use]
pub const fn tag_of(port: PortId) -> Mac {
    let [high, low] = port.0.to_be_bytes();
    Mac([TAG[0], TAG[1], TAG[2], TAG[3], high, low])
}

/// The port that a link address stands for.
#[must_use]
pub fn port_of(tag: Mac) -> Option<PortId> {
    let (prefix, [high, low]) = tag.0.split_last_chunk()?;
    let port = PortId(u16::from_be_bytes([*high, *low]));
    (*prefix == TAG && usize::from(port.0) < PORTS_MAX).then_some(port)
}

/// What link addresses that stand for ports begin with: a locally administered address.
const TAG: [u8; 4] = [0x02, b'r', b't', b'd'];

/// A place where frames enter and leave.
pub trait Port: Send {
    /// Takes what has arrived, at most `max` frames, appending them to `into`. Never blocks; nothing there is `Ok(0)`.
    ///
    /// # Errors
    /// The device is gone or down; the worker drops the port until it is opened again.
    fn receive(&mut self, pool: &mut Pool, into: &mut Vec<Frame>, max: usize) -> io::Result<usize>;

    /// Sends all of `frames` in order, each with [`vnet::LEN`] bytes of headroom at least, giving their storage back to `pool`. What the device refuses is counted in
    /// [`PortCounters`] and dropped. Never blocks.
    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>);

    /// What the port can leave to the other side. A frame handed to [`Self::send`] asks for no more than this.
    fn offloads(&self) -> Offloads;

    /// Whether frames begin with an Ethernet header, or with the network header.
    fn framing(&self) -> Framing;

    /// What becomes readable when frames arrive; `None` for ports that have no file.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Gives back the empty frames that the port keeps for its next receive. Called before the port is closed.
    fn release(&mut self, _pool: &mut Pool) {}

    /// Counters of the port since it was opened. Cheap: asked once a turn.
    fn counters(&self) -> PortCounters;

    /// Brings up to date those counters that only the device knows ([`PortCounters::receive_dropped`]). May cost a
    /// system call: asked now and then, not once a turn.
    fn refresh_counters(&mut self) {}
}

/// What a port can leave to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offloads {
    /// Unfinished transport checksums.
    pub partial_checksum: bool,
    /// TCP segmentation, both families.
    pub tcp_segmentation: bool,
    /// UDP segmentation (`GSO_UDP_L4`).
    pub udp_segmentation: bool,
}

impl Offloads {
    /// Everything.
    pub const ALL: Self = Self { partial_checksum: true, tcp_segmentation: true, udp_segmentation: true };

    /// Nothing: finished frames only.
    pub const NONE: Self = Self { partial_checksum: false, tcp_segmentation: false, udp_segmentation: false };

    /// Whether `frame` asks for no more than this.
    #[must_use]
    pub fn cover(&self, frame: &Frame) -> bool {
        let checksum = self.partial_checksum || !matches!(frame.checksum, Checksum::Partial { .. });
        checksum
            && match frame.segmentation.map(|segmentation| segmentation.kind) {
                None => true,
                Some(SegmentationKind::Tcp4 | SegmentationKind::Tcp6) => self.tcp_segmentation,
                Some(SegmentationKind::Udp) => self.udp_segmentation,
            }
    }
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// An Ethernet header.
    Ethernet,
    /// The network header (TUN).
    Network,
}

impl Framing {
    /// Where the network header begins in `frame`.
    #[must_use]
    pub fn network_offset(self, frame: &[u8]) -> usize {
        match self {
            Self::Ethernet => ethernet::network_offset(frame),
            Self::Network => 0,
        }
    }

    /// Bytes before the network header.
    #[must_use]
    pub const fn link_header_len(self) -> usize {
        match self {
            Self::Ethernet => 14,
            Self::Network => 0,
        }
    }
}

/// Counters of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PortCounters {
    /// Frames received.
    pub received_frames: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Frames the kernel dropped because the receive queue was full (`PACKET_STATISTICS`).
    pub receive_dropped: u64,
    /// Frames sent.
    pub sent_frames: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Frames the device did not take.
    pub send_dropped: u64,
    /// Frames received that said of themselves what cannot be true, or that ask for what the router does not know.
    pub receive_malformed: u64,
    /// System calls made to receive and to send.
    pub system_calls: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_leads_back_to_its_port_and_no_other_address_does() {
        for port in [PortId(0), PortId(1), PortId(255)] {
            assert_eq!(port_of(tag_of(port)), Some(port));
        }
        for mac in [tag_of(HOST), Mac([2, 0, 0, 0, 0, 1]), Mac::default()] {
            assert_eq!(port_of(mac), None);
        }
    }
}
