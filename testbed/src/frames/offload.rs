//! What a sender leaves to the device: the checksum of a packet, and cutting a super-packet into segments.

/// Bytes of `struct virtio_net_hdr`.
pub const OFFLOAD_LEN: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;

/// How a super-packet is cut (`VIRTIO_NET_HDR_GSO_*` of linux/virtio_net.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// TCP over IPv4.
    Tcp4 = 1,
    /// TCP over IPv6.
    Tcp6 = 4,
    /// UDP datagrams of one size.
    Udp = 5,
    /// TCP over IPv4 whose first segment alone bears CWR.
    Tcp4Ecn = 0x81,
}

/// What is left to the device; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Where in the frame the checksum is to be taken from, and where behind that it belongs.
    pub checksum: Option<(u16, u16)>,
    /// How the frame is to be cut, and into segments of how many bytes of payload.
    pub segments: Option<(Cut, u16)>,
}

impl Offload {
    /// Reads `struct virtio_net_hdr`. How long the headers are is left out: it is a hint that depends on how the
    /// frame lies in memory. That a checksum was found right already is, too.
    pub fn read(header: [u8; OFFLOAD_LEN]) -> Self {
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let cut = match header[1] {
            1 => Some(Cut::Tcp4),
            4 => Some(Cut::Tcp6),
            5 => Some(Cut::Udp),
            0x81 => Some(Cut::Tcp4Ecn),
            _ => None,
        };
        Self {
            checksum: (header[0] & NEEDS_CHECKSUM != 0).then(|| (half(6), half(8))),
            segments: cut.map(|cut| (cut, half(4))),
        }
    }

    /// `struct virtio_net_hdr` in front of a frame with `headers` bytes before the payload of its segments.
    pub fn header(self, headers: usize) -> [u8; OFFLOAD_LEN] {
        let (flags, (start, place)) =
            self.checksum.map_or((0, (0, 0)), |checksum| (NEEDS_CHECKSUM, checksum));
        let (cut, headers, size) =
            self.segments.map_or((0, 0, 0), |(cut, size)| (cut as u8, headers as u16, size));
        let mut header = [flags, cut, 0, 0, 0, 0, 0, 0, 0, 0];
        for (at, value) in [(2, headers), (4, size), (6, start), (8, place)] {
            header[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Offload};

    #[test]
    fn what_is_written_is_read() {
        let whole = Offload { checksum: Some((34, 16)), segments: Some((Cut::Tcp4Ecn, 1448)) };
        for offload in [Offload::default(), Offload { segments: None, ..whole }, whole] {
            assert_eq!(Offload::read(offload.header(54)), offload);
        }
    }
}
