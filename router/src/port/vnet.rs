//! The header by which Linux hands offload state over: `struct virtio_net_hdr` (linux/virtio_net.h, virtio 1.3
//! section 5.1.6), ten bytes in the machine's byte order.

use thiserror::Error;

use super::Framing;
use crate::frame::{Checksum, Frame, Segmentation, SegmentationKind};

/// Bytes of the header.
pub const LEN: usize = 10;

/// A header that cannot be true of its frame, or that asks for a segmentation the router does not know
/// (`VIRTIO_NET_HDR_GSO_UDP`, the fragmentation offload that Linux dropped in 4.14, is one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the vnet header does not fit the frame")]
pub struct Malformed;

/// Takes over into the frame's metadata what `header` says of it.
///
/// # Errors
/// [`Malformed`]; the frame is to be dropped.
pub fn decode(header: [u8; LEN], frame: &mut Frame, framing: Framing) -> Result<(), Malformed> {
    let [flags, kind, rest @ ..] = header;
    if flags | kind == 0 {
        return Ok(());
    }
    let link_header_len = framing.network_offset(frame.bytes());
    let half = |place: usize| u16::from_ne_bytes([rest[place], rest[place + 1]]);
    let (size, start, offset) = (half(2), half(4), half(6));
    frame.checksum = if flags & NEEDS_CHECKSUM != 0 {
        let start = usize::from(start).checked_sub(link_header_len).ok_or(Malformed)?;
        if link_header_len + start + usize::from(offset) + 2 > frame.len() {
            return Err(Malformed);
        }
        Checksum::Partial { start: start as u16, offset }
    } else if flags & DATA_VALID != 0 {
        Checksum::Valid
    } else {
        Checksum::Unknown
    };
    if kind != GSO_NONE {
        frame.segmentation = Some(segmentation(frame, kind, size, link_header_len)?);
    }
    Ok(())
}

/// The header that says of `frame` what its metadata says.
#[must_use]
pub fn encode(frame: &Frame, framing: Framing) -> [u8; LEN] {
    let mut header = [0; LEN];
    if frame.checksum == Checksum::Unknown && frame.segmentation.is_none() {
        return header;
    }
    let mut put = |place: usize, value: u16| header[place..place + 2].copy_from_slice(&value.to_ne_bytes());
    let link = framing.network_offset(frame.bytes()) as u16;
    let mut flags = 0;
    let mut kind = GSO_NONE;
    match frame.checksum {
        Checksum::Unknown => {}
        Checksum::Valid => flags = DATA_VALID,
        Checksum::Partial { start, offset } => {
            flags = NEEDS_CHECKSUM;
            put(6, start.saturating_add(link));
            put(8, offset);
        }
    }
    if let Some(segmentation) = frame.segmentation {
        kind = match segmentation.kind {
            SegmentationKind::Tcp4 => GSO_TCP4,
            SegmentationKind::Tcp6 => GSO_TCP6,
            SegmentationKind::Udp => GSO_UDP_L4,
        } | if segmentation.ecn { GSO_ECN } else { 0 };
        put(2, segmentation.header_len.saturating_add(link));
        put(4, segmentation.size);
    }
    header[0] = flags;
    header[1] = kind;
    header
}

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// What the header says of segmentation. Its `hdr_len` is only a hint (Linux stores how much of the packet lies in
/// one piece), so the length of the headers is read from the headers.
fn segmentation(frame: &Frame, kind: u8, size: u16, link: usize) -> Result<Segmentation, Malformed> {
    let ecn = kind & GSO_ECN != 0;
    let kind = match kind & !GSO_ECN {
        GSO_TCP4 => SegmentationKind::Tcp4,
        GSO_TCP6 => SegmentationKind::Tcp6,
        GSO_UDP_L4 => SegmentationKind::Udp,
        _ => return Err(Malformed),
    };
    let network = frame.bytes().get(link..).ok_or(Malformed)?;
    let transport = match (frame.checksum, network.first().map(|byte| byte >> 4)) {
        (Checksum::Partial { start, .. }, _) => usize::from(start),
        (_, Some(4)) => usize::from(network[0] & 0xf) * 4,
        (_, Some(6)) => 40,
        _ => return Err(Malformed),
    };
    let header_len = match kind {
        SegmentationKind::Udp => transport + 8,
        SegmentationKind::Tcp4 | SegmentationKind::Tcp6 => {
            transport + usize::from(network.get(transport + 12).ok_or(Malformed)? >> 4) * 4
        }
    };
    if size == 0 || header_len > network.len() {
        return Err(Malformed);
    }
    Ok(Segmentation { kind, size, header_len: header_len as u16, ecn })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::VlanTag;

    fn frame_of(bytes: &[u8]) -> Frame {
        let mut frame = Frame::empty();
        frame.copy_from(bytes);
        frame
    }

    /// 14 + 20 + 20 bytes: a TCP header whose own length is 20, after an IPv4 header.
    fn tcp4(len: usize) -> Frame {
        let mut bytes = vec![0; len];
        bytes[14] = 0x45;
        bytes[14 + 20 + 12] = 0x50;
        frame_of(&bytes)
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let partial = Checksum::Partial { start: 20, offset: 16 };
        let cut = |ecn| Some(Segmentation { kind: SegmentationKind::Tcp4, size: 1448, header_len: 40, ecn });
        for (checksum, segmentation) in [
            (Checksum::Unknown, None),
            (Checksum::Valid, None),
            (partial, None),
            (partial, cut(false)),
            (partial, cut(true)),
        ] {
            let mut frame = tcp4(3000);
            frame.checksum = checksum;
            frame.segmentation = segmentation;
            let mut again = tcp4(3000);
            decode(encode(&frame, Framing::Ethernet), &mut again, Framing::Ethernet).unwrap();
            assert_eq!((again.checksum, again.segmentation), (checksum, segmentation));
        }
    }

    #[test]
    fn offsets_follow_tags_in_the_bytes() {
        let mut frame = tcp4(3000);
        frame.checksum = Checksum::Partial { start: 20, offset: 16 };
        frame.segmentation =
            Some(Segmentation { kind: SegmentationKind::Tcp4, size: 1448, header_len: 40, ecn: false });
        let plain = frame.bytes().to_vec();
        frame.vlan = Some(VlanTag { protocol: 0x88a8, control: 0x7005 });
        frame.put_tag_back();
        assert_eq!(&frame.bytes()[12..18], [0x88, 0xa8, 0x70, 5, plain[12], plain[13]]);
        assert_eq!((&frame.bytes()[..12], &frame.bytes()[18..]), (&plain[..12], &plain[14..]));
        let header = encode(&frame, Framing::Ethernet);
        assert_eq!(u16::from_ne_bytes([header[6], header[7]]), 18 + 20, "where the checksum begins");
        let mut again = frame_of(frame.bytes());
        decode(header, &mut again, Framing::Ethernet).unwrap();
        assert_eq!((again.checksum, again.segmentation), (frame.checksum, frame.segmentation));
    }

    #[test]
    fn the_header_length_is_read_from_the_headers_and_not_from_the_hint() {
        let mut header = [NEEDS_CHECKSUM, GSO_TCP4, 0, 0, 0, 0, 0, 0, 0, 0];
        for (place, value) in [(2, 2000_u16), (4, 1000), (6, 34), (8, 16)] {
            header[place..place + 2].copy_from_slice(&value.to_ne_bytes());
        }
        let mut frame = tcp4(3000);
        decode(header, &mut frame, Framing::Ethernet).unwrap();
        assert_eq!(frame.segmentation.unwrap().header_len, 40);
    }

    #[test]
    fn headers_that_do_not_fit_are_refused() {
        let refuse = |flags, kind, size: u16, start: u16, offset: u16| {
            let mut header = [flags, kind, 0, 0, 0, 0, 0, 0, 0, 0];
            for (place, value) in [(4, size), (6, start), (8, offset)] {
                header[place..place + 2].copy_from_slice(&value.to_ne_bytes());
            }
            assert_eq!(decode(header, &mut tcp4(100), Framing::Ethernet), Err(Malformed));
        };
        refuse(NEEDS_CHECKSUM, GSO_NONE, 0, 13, 16);
        refuse(NEEDS_CHECKSUM, GSO_NONE, 0, 34, 65);
        refuse(NEEDS_CHECKSUM, GSO_NONE, 0, u16::MAX, u16::MAX);
        refuse(NEEDS_CHECKSUM, GSO_TCP4, 0, 34, 16);
        refuse(NEEDS_CHECKSUM, 3, 1000, 34, 6);
        refuse(NEEDS_CHECKSUM, 77, 1000, 34, 6);
        refuse(NEEDS_CHECKSUM, GSO_TCP4, 1000, 95, 1);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_and_what_is_accepted_lies_inside(
            header in any::<[u8; LEN]>(), bytes in prop::collection::vec(any::<u8>(), 0..200), ethernet in any::<bool>(),
        ) {
            let framing = if ethernet { Framing::Ethernet } else { Framing::Network };
            let mut frame = frame_of(&bytes);
            let link = framing.network_offset(&bytes);
            if decode(header, &mut frame, framing).is_ok() {
                if let Checksum::Partial { start, offset } = frame.checksum {
                    prop_assert!(link + usize::from(start) + usize::from(offset) + 2 <= bytes.len());
                }
                if let Some(segmentation) = frame.segmentation {
                    prop_assert!(link + usize::from(segmentation.header_len) <= bytes.len());
                }
                let _ = encode(&frame, framing);
            }
        }
    }
}
