//! What the sender left to be done: finishing a checksum, cutting a large packet into segments.
//!
//! Needed only when a frame leaves by a port that cannot pass the work on. The results are what Linux makes of the
//! same packets (`skb_checksum_help`, `tcp_gso_segment`, `__udp_gso_segment`, `inet_gso_segment`).

use thiserror::Error;

use super::checksum;
use crate::frame::{Checksum, Frame, Pool, Segmentation, SegmentationKind};

/// Why a frame's unfinished work cannot be done; the frame is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OffloadError {
    /// The checksum's place, or the headers to be repeated, lie outside the frame.
    #[error("offsets outside the frame")]
    OutsideFrame,
    /// The frame does not carry the protocol that its segmentation names.
    #[error("not the protocol its segmentation names")]
    WrongProtocol,
    /// The pool ran out of frames; segments made so far have been handed on.
    #[error("no frames left for segments")]
    NoFrames,
}

/// Finishes a partial checksum: sums the bytes and stores the result. A result of 0 is stored as 0xffff, which means
/// the same and which UDP does not take for "none". `network_offset` is where the network header begins in the frame.
///
/// A frame whose checksum is not partial is left as it is.
///
/// # Errors
/// [`OffloadError::OutsideFrame`]; the frame is unchanged.
pub fn finish_checksum(frame: &mut Frame, network_offset: usize) -> Result<(), OffloadError> {
    let Checksum::Partial { start, offset } = frame.checksum else { return Ok(()) };
    let start = network_offset + usize::from(start);
    let field = start + usize::from(offset);
    let bytes = frame.bytes_mut();
    if field + 2 > bytes.len() {
        return Err(OffloadError::OutsideFrame);
    }
    let finished = never_zero(checksum::checksum(&bytes[start..]));
    bytes[field..field + 2].copy_from_slice(&finished.to_be_bytes());
    frame.checksum = Checksum::Unknown;
    Ok(())
}

/// Cuts a frame with [`Frame::segmentation`] into finished frames and hands each to `emit`, in order. Headers before
/// `network_offset` are repeated in each. Returns the number of segments.
///
/// IPv4 ids count up from the frame's; TCP sequence numbers follow the payload, FIN and PSH stay on the last segment,
/// CWR on the first; lengths and checksums are those of each segment. A UDP datagram without a checksum stays so.
///
/// # Errors
/// See [`OffloadError`]. Except for [`OffloadError::NoFrames`] nothing has been emitted.
pub fn segment(
    frame: &Frame,
    network_offset: usize,
    pool: &mut Pool,
    mut emit: impl FnMut(&mut Pool, Frame),
) -> Result<usize, OffloadError> {
    let Some(segmentation) = frame.segmentation else { return Err(OffloadError::WrongProtocol) };
    let layout = Layout::of(frame, segmentation, network_offset)?;
    let (headers, payload) = frame.bytes().split_at(layout.payload);
    let count = payload.len().div_ceil(usize::from(segmentation.size)).max(1);
    for (index, chunk) in payload.chunks(usize::from(segmentation.size)).enumerate() {
        let mut piece = pool.take().ok_or(OffloadError::NoFrames)?;
        let room = piece.receive_buffer();
        room[..headers.len()].copy_from_slice(headers);
        room[headers.len()..headers.len() + chunk.len()].copy_from_slice(chunk);
        piece.set_len(headers.len() + chunk.len());
        piece.input = frame.input;
        piece.vlan = frame.vlan;
        layout.finish(piece.bytes_mut(), index, index + 1 == count, segmentation.size);
        emit(pool, piece);
    }
    Ok(count)
}

/// Where things are in a frame that is to be cut.
struct Layout {
    kind: SegmentationKind,
    network: usize,
    transport: usize,
    payload: usize,
    ipv6: bool,
    no_checksum: bool,
}

impl Layout {
    fn of(frame: &Frame, segmentation: Segmentation, network: usize) -> Result<Self, OffloadError> {
        let bytes = frame.bytes();
        let header =
            bytes.get(network..).filter(|rest| rest.len() >= 20).ok_or(OffloadError::OutsideFrame)?;
        let (ipv6, first_transport, protocol) = match header[0] >> 4 {
            4 if header[0] & 0xf >= 5 => (false, usize::from(header[0] & 0xf) * 4, header[9]),
            6 if header.len() >= 40 => (true, 40, header[6]),
            _ => return Err(OffloadError::WrongProtocol),
        };
        let (transport, protocol) = match frame.checksum {
            Checksum::Partial { start, .. } if ipv6 => (usize::from(start), None),
            _ => (first_transport, Some(protocol)),
        };
        let (wanted, least) = match segmentation.kind {
            SegmentationKind::Tcp4 if !ipv6 => (6, 20),
            SegmentationKind::Tcp6 if ipv6 => (6, 20),
            SegmentationKind::Udp => (17, 8),
            _ => return Err(OffloadError::WrongProtocol),
        };
        if protocol.is_some_and(|protocol| protocol != wanted) {
            return Err(OffloadError::WrongProtocol);
        }
        let transport = network + transport;
        if transport < network + first_transport || bytes.len() < transport + least || segmentation.size == 0
        {
            return Err(OffloadError::OutsideFrame);
        }
        let transport_len = if wanted == 6 { usize::from(bytes[transport + 12] >> 4) * 4 } else { least };
        let payload = transport + transport_len;
        if transport_len < least || bytes.len() <= payload {
            return Err(OffloadError::OutsideFrame);
        }
        let no_checksum = wanted == 17
            && !ipv6
            && !matches!(frame.checksum, Checksum::Partial { .. })
            && bytes[transport + 6..transport + 8] == [0, 0];
        Ok(Self { kind: segmentation.kind, network, transport, payload, ipv6, no_checksum })
    }

    /// Makes the repeated headers in `bytes` those of segment `index`.
    fn finish(&self, bytes: &mut [u8], index: usize, last: bool, size: u16) {
        self.finish_network(bytes, index);
        let transport_len = bytes.len() - self.transport;
        let transport = &mut bytes[self.transport..];
        let (protocol, field) = match self.kind {
            SegmentationKind::Udp => {
                transport[4..6].copy_from_slice(&(transport_len as u16).to_be_bytes());
                (17, 6)
            }
            SegmentationKind::Tcp4 | SegmentationKind::Tcp6 => {
                let sequence = u32::from_be_bytes([transport[4], transport[5], transport[6], transport[7]])
                    .wrapping_add(index as u32 * u32::from(size));
                transport[4..8].copy_from_slice(&sequence.to_be_bytes());
                if !last {
                    transport[13] &= !(TCP_FIN | TCP_PSH);
                }
                if index > 0 {
                    transport[13] &= !TCP_CWR;
                }
                (6, 16)
            }
        };
        if self.no_checksum {
            return;
        }
        transport[field..field + 2].fill(0);
        let total = checksum::add(
            pseudo_header(&bytes[self.network..], self.ipv6, protocol, transport_len as u32),
            checksum::sum(&bytes[self.transport..]),
        );
        let finished = never_zero(!total).to_be_bytes();
        bytes[self.transport + field..self.transport + field + 2].copy_from_slice(&finished);
    }

    fn finish_network(&self, bytes: &mut [u8], index: usize) {
        let header_len = self.transport - self.network;
        let network = &mut bytes[self.network..];
        let total = network.len();
        if self.ipv6 {
            network[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
        } else {
            let id = u16::from_be_bytes([network[4], network[5]]).wrapping_add(index as u16);
            network[2..4].copy_from_slice(&(total as u16).to_be_bytes());
            network[4..6].copy_from_slice(&id.to_be_bytes());
            network[10..12].fill(0);
            let finished = checksum::checksum(&network[..header_len]);
            network[10..12].copy_from_slice(&finished.to_be_bytes());
        }
    }
}

const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;

const fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

fn pseudo_header(network: &[u8], ipv6: bool, protocol: u8, length: u32) -> u16 {
    let addresses = if ipv6 { &network[8..40] } else { &network[12..20] };
    let rest = checksum::add(u16::from(protocol), checksum::add((length >> 16) as u16, length as u16));
    checksum::add(checksum::sum(addresses), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::HEADROOM;

    const LINK: usize = 14;

    /// A frame as a sender with offloads leaves it: lengths of the whole, the pseudo header's sum as checksum.
    fn large(
        kind: SegmentationKind,
        ipv6: bool,
        flags: u8,
        options: usize,
        payload: &[u8],
        size: u16,
    ) -> Frame {
        let tcp = kind != SegmentationKind::Udp;
        let transport_len = if tcp { 20 + options } else { 8 };
        let network_len = if ipv6 { 40 } else { 20 };
        let mut bytes = vec![0x11; LINK];
        let length = transport_len + payload.len();
        let protocol = if tcp { 6 } else { 17 };
        if ipv6 {
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend((length as u16).to_be_bytes());
            bytes.extend([protocol, 64]);
            bytes.extend([0xfd; 32]);
        } else {
            bytes.extend([0x45, 0x02]);
            bytes.extend(((network_len + length) as u16).to_be_bytes());
            bytes.extend([0xff, 0xfe, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            let finished = checksum::checksum(&bytes[LINK..]).to_be_bytes();
            bytes[LINK + 10..LINK + 12].copy_from_slice(&finished);
        }
        let pseudo = pseudo_header(&bytes[LINK..], ipv6, protocol, length as u32).to_be_bytes();
        let mut transport = vec![0; transport_len];
        transport[..4].copy_from_slice(&[0x30, 0x39, 0, 80]);
        let field = if tcp {
            transport[4..8].copy_from_slice(&[0xff, 0xff, 0xff, 0xf0]);
            transport[12] = ((transport_len / 4) << 4) as u8;
            transport[13] = flags;
            16
        } else {
            transport[4..6].copy_from_slice(&(length as u16).to_be_bytes());
            6
        };
        transport[field..field + 2].copy_from_slice(&pseudo);
        bytes.extend(transport);
        bytes.extend(payload);
        let mut frame = Frame::empty();
        frame.copy_from(&bytes);
        frame.checksum = Checksum::Partial { start: network_len as u16, offset: field as u16 };
        let header_len = (network_len + transport_len) as u16;
        frame.segmentation = Some(Segmentation { kind, size, header_len, ecn: false });
        frame
    }

    fn segments_of(frame: &Frame) -> Vec<Vec<u8>> {
        let mut pool = Pool::new(100);
        let mut pieces = Vec::new();
        let count = segment(frame, LINK, &mut pool, |pool, piece| {
            assert_eq!((piece.checksum, piece.segmentation), (Checksum::Unknown, None));
            pieces.push(piece.bytes().to_vec());
            pool.give(piece);
        });
        assert_eq!(count, Ok(pieces.len()));
        pieces
    }

    fn word(bytes: &[u8], place: usize) -> u16 {
        u16::from_be_bytes([bytes[place], bytes[place + 1]])
    }

    fn verify(piece: &[u8], ipv6: bool, protocol: u8) {
        let network = &piece[LINK..];
        let network_len = if ipv6 { 40 } else { 20 };
        if ipv6 {
            assert_eq!(usize::from(word(network, 4)), network.len() - 40);
        } else {
            assert_eq!(usize::from(word(network, 2)), network.len());
            assert_eq!(checksum::checksum(&network[..20]), 0);
        }
        let length = (network.len() - network_len) as u32;
        let sum = checksum::sum(&network[network_len..]);
        assert_eq!(checksum::add(pseudo_header(network, ipv6, protocol, length), sum), 0xffff);
    }

    proptest! {
        #[test]
        fn tcp_segments_put_together_are_the_packet_again(
            ipv6 in any::<bool>(), flags in any::<u8>(), options in 0..=10_usize, size in 1..300_u16,
            payload in prop::collection::vec(any::<u8>(), 1..2000),
        ) {
            let size = size.max((payload.len() / 90) as u16 + 1);
            let kind = if ipv6 { SegmentationKind::Tcp6 } else { SegmentationKind::Tcp4 };
            let pieces = segments_of(&large(kind, ipv6, flags, options * 4, &payload, size));
            let network_len = if ipv6 { 40 } else { 20 };
            let transport = LINK + network_len;
            let headers = transport + 20 + options * 4;
            let mut together = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                verify(piece, ipv6, 6);
                let sequence = u32::from(word(piece, transport + 4)) << 16 | u32::from(word(piece, transport + 6));
                prop_assert_eq!(sequence, 0xffff_fff0_u32.wrapping_add(together.len() as u32));
                if !ipv6 {
                    prop_assert_eq!(word(piece, LINK + 4), 0xfffe_u16.wrapping_add(index as u16));
                }
                let only_last = if index + 1 == pieces.len() { 0 } else { TCP_FIN | TCP_PSH };
                let only_first = if index == 0 { 0 } else { TCP_CWR };
                prop_assert_eq!(piece[transport + 13], flags & !only_last & !only_first);
                let full = index + 1 < pieces.len();
                prop_assert!(piece.len() - headers <= usize::from(size));
                prop_assert!(!full || piece.len() - headers == usize::from(size));
                together.extend_from_slice(&piece[headers..]);
            }
            prop_assert_eq!(together, payload);
        }

        #[test]
        fn udp_segments_put_together_are_the_payload_again(
            ipv6 in any::<bool>(), size in 1..300_u16, payload in prop::collection::vec(any::<u8>(), 1..2000),
        ) {
            let size = size.max((payload.len() / 90) as u16 + 1);
            let pieces = segments_of(&large(SegmentationKind::Udp, ipv6, 0, 0, &payload, size));
            let transport = LINK + if ipv6 { 40 } else { 20 };
            let mut together = Vec::new();
            for piece in &pieces {
                verify(piece, ipv6, 17);
                prop_assert_eq!(usize::from(word(piece, transport + 4)), piece.len() - transport);
                together.extend_from_slice(&piece[transport + 8..]);
            }
            prop_assert_eq!(together, payload);
        }

        #[test]
        fn a_finished_checksum_verifies(ipv6 in any::<bool>(), payload in prop::collection::vec(any::<u8>(), 1..200)) {
            let mut frame = large(SegmentationKind::Udp, ipv6, 0, 0, &payload, 1);
            finish_checksum(&mut frame, LINK).unwrap();
            verify(frame.bytes(), ipv6, 17);
            prop_assert_eq!(frame.checksum, Checksum::Unknown);
        }

        #[test]
        fn no_bytes_and_no_offsets_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..120), start in any::<u16>(), offset in any::<u16>(),
            size in any::<u16>(), kind in 0..3_usize, first in prop::sample::select(vec![0x45_u8, 0x4f, 0x40, 0x60, 0]),
        ) {
            let mut frame = Frame::empty();
            frame.copy_from(&bytes);
            if let Some(byte) = frame.bytes_mut().get_mut(LINK) {
                *byte = first;
            }
            let kind = [SegmentationKind::Tcp4, SegmentationKind::Tcp6, SegmentationKind::Udp][kind];
            frame.checksum = Checksum::Partial { start: start % 100, offset: offset % 30 };
            frame.segmentation = Some(Segmentation { kind, size, header_len: 0, ecn: true });
            let mut pool = Pool::new(200);
            let _ = segment(&frame, LINK, &mut pool, |pool, piece| pool.give(piece));
            frame.checksum = Checksum::Partial { start, offset };
            let _ = segment(&frame, LINK, &mut pool, |pool, piece| pool.give(piece));
            let _ = finish_checksum(&mut frame, LINK);
        }
    }

    #[test]
    fn a_checksum_that_comes_out_as_zero_is_stored_as_all_ones() {
        let mut frame = Frame::empty();
        frame.copy_from(&[0, 0, 0xff, 0xff]);
        frame.checksum = Checksum::Partial { start: 0, offset: 0 };
        finish_checksum(&mut frame, 0).unwrap();
        assert_eq!(frame.bytes(), [0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_checksum_place_outside_the_frame_is_an_error() {
        let mut frame = Frame::empty();
        frame.copy_from(&[0; 40]);
        frame.checksum = Checksum::Partial { start: 30, offset: 9 };
        assert_eq!(finish_checksum(&mut frame, 0), Err(OffloadError::OutsideFrame));
    }

    #[test]
    fn a_udp_datagram_without_checksum_is_cut_into_datagrams_without() {
        let mut frame = large(SegmentationKind::Udp, false, 0, 0, &[7; 30], 10);
        frame.checksum = Checksum::Unknown;
        frame.bytes_mut()[LINK + 26..LINK + 28].fill(0);
        for piece in segments_of(&frame) {
            assert_eq!(word(&piece, LINK + 26), 0);
        }
    }

    #[test]
    fn an_empty_pool_is_an_error_and_not_a_panic() {
        let frame = large(SegmentationKind::Udp, false, 0, 0, &[7; 30], 10);
        let mut pool = Pool::new(1);
        let mut kept = Vec::new();
        assert_eq!(
            segment(&frame, LINK, &mut pool, |_, piece| kept.push(piece)),
            Err(OffloadError::NoFrames)
        );
        assert_eq!(kept.len(), 1);
        assert!(kept[0].headroom() >= HEADROOM);
    }
}
