//! A frame in the router's hands: its bytes with room around them, and what the port knew of them.

use fib::adjacency::PortId;

use crate::packet::ethernet;

/// Room kept free before a received frame, for link headers, the vnet header and IPv4 options.
pub const HEADROOM: usize = 128;

/// The largest frame: a 64 KiB IP packet, an Ethernet header and two VLAN tags.
pub const FRAME_MAX: usize = 65_535 + 14 + 8;

/// Bytes of a [`Frame`]'s storage.
pub const STORAGE: usize = HEADROOM + FRAME_MAX + 1;

/// A frame that owns its storage. Frames are made once, handed on by move, and returned to their worker's [`Pool`].
#[derive(Debug)]
pub struct Frame {
    storage: Box<[u8]>,
    start: usize,
    end: usize,
    /// Port it came in by.
    pub input: PortId,
    /// The outermost VLAN tag, which the port has taken out of the bytes and puts back when the frame is sent.
    pub vlan: Option<VlanTag>,
    /// State of the transport checksum.
    pub checksum: Checksum,
    /// Set when the frame stands for several segments still to be cut.
    pub segmentation: Option<Segmentation>,
}

/// A VLAN tag (IEEE 802.1Q, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// EtherType of the tag: 0x8100 of a customer's, 0x88a8 of a provider's.
    pub protocol: u16,
    /// Priority (three bits), drop eligibility (one bit), id (twelve bits).
    pub control: u16,
}

impl VlanTag {
    /// Bytes of a tag.
    pub const LEN: usize = 4;

    /// A customer's tag (802.1Q) with this id, without priority.
    #[must_use]
    pub const fn customer(id: u16) -> Self {
        Self { protocol: ethernet::VLAN, control: id & 0xfff }
    }

    /// The VLAN; 0 for a tag that carries a priority only.
    #[must_use]
    pub const fn id(self) -> u16 {
        self.control & 0xfff
    }

    /// The priority (PCP), 0 to 7.
    #[must_use]
    pub const fn priority(self) -> u8 {
        (self.control >> 13) as u8
    }

    /// The tag as it stands in a frame.
    #[must_use]
    pub const fn bytes(self) -> [u8; Self::LEN] {
        let [p0, p1] = self.protocol.to_be_bytes();
        let [c0, c1] = self.control.to_be_bytes();
        [p0, p1, c0, c1]
    }
}

/// State of a frame's transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checksum {
    /// The bytes are what will be on the wire; nobody has verified them.
    #[default]
    Unknown,
    /// Verified by the sender's side (`VIRTIO_NET_HDR_F_DATA_VALID`).
    Valid,
    /// The checksum is to be finished from `start` to the end and stored at `start + offset`
    /// (`VIRTIO_NET_HDR_F_NEEDS_CSUM`). Offsets count from the first byte of the network header.
    Partial {
        /// Where summing starts.
        start: u16,
        /// Where the sum is stored, from `start`.
        offset: u16,
    },
}

/// How a large frame is to be cut into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Which protocol.
    pub kind: SegmentationKind,
    /// Payload bytes of each segment (`gso_size`).
    pub size: u16,
    /// Bytes of network and transport header repeated in each segment.
    pub header_len: u16,
    /// TCP with ECN (`VIRTIO_NET_HDR_GSO_ECN`): CWR is set on the first segment only.
    pub ecn: bool,
}

/// Which protocol a large frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentationKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP to be cut into datagrams (`VIRTIO_NET_HDR_GSO_UDP_L4`).
    Udp,
}

impl Frame {
    /// An empty frame with storage for the largest packet.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            storage: vec![0; STORAGE].into_boxed_slice(),
            start: HEADROOM,
            end: HEADROOM,
            input: PortId(0),
            vlan: None,
            checksum: Checksum::Unknown,
            segmentation: None,
        }
    }

    /// A frame without storage, to stand where a frame was taken from.
    #[must_use]
    pub fn hollow() -> Self {
        Self {
            storage: Box::default(),
            start: 0,
            end: 0,
            input: PortId(0),
            vlan: None,
            checksum: Checksum::Unknown,
            segmentation: None,
        }
    }

    /// A copy in storage of its own size, to be kept for a while; it goes back into no pool.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            storage: self.bytes().into(),
            start: 0,
            end: self.len(),
            input: self.input,
            vlan: self.vlan,
            checksum: self.checksum,
            segmentation: self.segmentation,
        }
    }

    /// Empties the frame for reuse.
    pub fn clear(&mut self) {
        self.start = HEADROOM;
        self.end = HEADROOM;
        self.vlan = None;
        self.checksum = Checksum::Unknown;
        self.segmentation = None;
    }

    /// All bytes from [`HEADROOM`] on, to receive into; follow with [`Self::set_len`].
    pub fn receive_buffer(&mut self) -> &mut [u8] {
        &mut self.storage[HEADROOM..]
    }

    /// The bytes `before` [`HEADROOM`] and all after it, so that a port can receive a header of its own right
    /// before the frame.
    ///
    /// # Panics
    /// If `before` is larger than [`HEADROOM`].
    pub fn receive_buffer_with_header(&mut self, before: usize) -> &mut [u8] {
        &mut self.storage[HEADROOM - before..]
    }

    /// The `N` bytes before [`HEADROOM`], into which a port has received a header of its own.
    ///
    /// # Panics
    /// If `N` is larger than [`HEADROOM`].
    #[must_use]
    pub fn received_header<const N: usize>(&self) -> [u8; N] {
        self.storage[HEADROOM - N..HEADROOM].try_into().expect("N bytes are N bytes")
    }

    /// Says that the frame is the `len` bytes from [`HEADROOM`] on.
    ///
    /// # Panics
    /// If `len` is larger than the storage.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.storage.len() - HEADROOM, "frame longer than its storage");
        self.start = HEADROOM;
        self.end = HEADROOM + len;
    }

    /// Replaces the bytes.
    ///
    /// # Panics
    /// If `bytes` are more than [`FRAME_MAX`].
    pub fn copy_from(&mut self, bytes: &[u8]) {
        self.storage[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(bytes);
        self.set_len(bytes.len());
    }

    /// Replaces bytes and metadata by those of `other`.
    pub fn copy_frame(&mut self, other: &Self) {
        self.copy_from(other.bytes());
        self.input = other.input;
        self.vlan = other.vlan;
        self.checksum = other.checksum;
        self.segmentation = other.segmentation;
    }

    /// Takes `count` bytes off the front.
    ///
    /// # Panics
    /// If the frame is shorter.
    pub fn trim_front(&mut self, count: usize) {
        assert!(count <= self.len(), "trimmed more than there is");
        self.start += count;
    }

    /// Puts `count` bytes (of any content) before the front, and returns them.
    ///
    /// # Panics
    /// If there is no room left before the front.
    pub fn grow_front(&mut self, count: usize) -> &mut [u8] {
        assert!(count <= self.start, "no headroom left");
        self.start -= count;
        &mut self.storage[self.start..self.start + count]
    }

    /// Puts a tag that the port has taken out back into the bytes, behind the link addresses.
    ///
    /// # Panics
    /// If the frame is shorter than two link addresses, or there is no room left before the front.
    pub fn put_tag_back(&mut self) {
        let Some(tag) = self.vlan.take() else { return };
        self.grow_front(VlanTag::LEN);
        let bytes = self.bytes_mut();
        bytes.copy_within(VlanTag::LEN..VlanTag::LEN + 12, 0);
        bytes[12..12 + VlanTag::LEN].copy_from_slice(&tag.bytes());
    }

    /// Makes the frame `len` bytes long, from where it starts now; what is added is of any content.
    ///
    /// # Panics
    /// If the storage ends before that.
    pub fn resize(&mut self, len: usize) {
        assert!(self.start + len <= self.storage.len(), "frame longer than its storage");
        self.end = self.start + len;
    }

    /// Cuts the frame to `len` bytes; longer is left as it is.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    /// Bytes that the frame can have from where it starts now.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.storage.len() - self.start
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// The bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.end]
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes free before the front.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        self.start
    }
}

/// A worker's stock of empty frames; grows to its bound on first use and allocates nothing afterwards.
#[derive(Debug)]
pub struct Pool {
    free: Vec<Frame>,
    made: usize,
    frames_max: usize,
}

impl Pool {
    /// A stock that will hold at most `frames_max` frames, made when first asked for.
    #[must_use]
    pub fn new(frames_max: usize) -> Self {
        Self { free: Vec::with_capacity(frames_max), made: 0, frames_max }
    }

    /// An empty frame, or `None` when all are out.
    pub fn take(&mut self) -> Option<Frame> {
        if let Some(frame) = self.free.pop() {
            return Some(frame);
        }
        if self.made == self.frames_max {
            return None;
        }
        self.made += 1;
        Some(Frame::empty())
    }

    /// Takes a frame back. One with other storage than the stock's, or that finds the stock full, is dropped.
    pub fn give(&mut self, mut frame: Frame) {
        if self.free.len() < self.frames_max && frame.storage.len() == STORAGE {
            frame.clear();
            self.free.push(frame);
        }
    }

    /// Frames that can still be taken.
    #[must_use]
    pub fn available(&self) -> usize {
        self.free.len() + (self.frames_max - self.made)
    }
}
