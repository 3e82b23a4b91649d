//! What an offloading network card does for its host: segments glued into super-packets, and super-packets cut.
//! Independent of the router's own code.

use router::frame::{Checksum, Segmentation, SegmentationKind};
use router::port::memory::Parcel;

use crate::frames::checksum;

/// Bytes of an Ethernet header.
const LINK: usize = 14;
/// Payload that a super-packet carries at most, in bytes.
const PAYLOAD_MAX: usize = 60_000;
const TCP: u8 = 6;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Where a TCP segment's parts are in its frame.
#[derive(Clone, Copy)]
struct Segment {
    ipv6: bool,
    transport: usize,
    payload: usize,
}

impl Segment {
    /// Reads a frame; `None` if it holds no plain TCP data that may be glued.
    fn read(frame: &[u8]) -> Option<Self> {
        let (ipv6, transport, protocol) = match frame.get(12..14)? {
            [0x08, 0x00] if frame[LINK] == 0x45 => (false, LINK + 20, frame[LINK + 9]),
            [0x86, 0xdd] => (true, LINK + 40, frame[LINK + 6]),
            _ => return None,
        };
        let header = frame.get(transport..transport + 20)?;
        let payload = transport + usize::from(header[12] >> 4) * 4;
        let plain = header[13] & !PSH == ACK;
        (protocol == TCP && plain && frame.len() > payload).then_some(Self { ipv6, transport, payload })
    }

    fn sequence(self, frame: &[u8]) -> u32 {
        let at = self.transport + 4;
        u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"))
    }

    /// Everything that must be alike in segments that are glued: headers without lengths, ids, sequence and sums.
    fn key(self, frame: &[u8]) -> Vec<u8> {
        let addresses = if self.ipv6 { LINK + 8..LINK + 40 } else { LINK + 12..LINK + 20 };
        let transport = &frame[self.transport..self.payload];
        [
            &frame[..LINK],
            &frame[addresses],
            &transport[..4],
            &transport[8..13],
            &transport[14..16],
            &transport[20..],
        ]
        .concat()
    }
}

/// A super-packet in the making.
struct Glued {
    bytes: Vec<u8>,
    /// Payload of each segment; `None` if it holds no TCP data.
    size: Option<usize>,
    /// No short segment has ended it yet.
    open: bool,
}

/// Glues segments that follow each other in `frames`, as a sender with TCP segmentation offload hands them over.
pub(super) fn glue(frames: Vec<Vec<u8>>) -> Vec<Parcel> {
    let mut glued: Vec<Glued> = Vec::new();
    for frame in frames {
        let segment = Segment::read(&frame);
        if let (Some(segment), Some(last)) = (segment, glued.last_mut())
            && follows(last, &frame, segment)
        {
            last.open = Some(frame.len() - segment.payload) == last.size;
            last.bytes.extend(&frame[segment.payload..]);
            let flags = segment.transport + 13;
            last.bytes[flags] |= frame[flags];
            continue;
        }
        let size = segment.map(|segment| frame.len() - segment.payload);
        glued.push(Glued { bytes: frame, size, open: size.is_some() });
    }
    glued.into_iter().map(Glued::handed_over).collect()
}

fn follows(last: &Glued, frame: &[u8], segment: Segment) -> bool {
    let (Some(before), Some(size), true) = (Segment::read(&last.bytes), last.size, last.open) else {
        return false;
    };
    let carried = last.bytes.len() - before.payload;
    let more = frame.len() - segment.payload;
    before.key(&last.bytes) == segment.key(frame)
        && before.sequence(&last.bytes).wrapping_add(carried as u32) == segment.sequence(frame)
        && more <= size
        && carried + more <= PAYLOAD_MAX
        // What pushed ends a super-packet.
        && last.bytes[before.transport + 13] & PSH == 0
}

impl Glued {
    /// With what the sender leaves to the card: the rest of the checksum, and the cutting if there is more than one
    /// segment.
    fn handed_over(self) -> Parcel {
        let mut parcel = Parcel { bytes: self.bytes, ..Parcel::default() };
        let (Some(segment), Some(size)) = (Segment::read(&parcel.bytes), self.size) else { return parcel };
        let total = parcel.bytes.len() - LINK;
        write_lengths(&mut parcel.bytes, segment, total);
        let pseudo = !checksum(&[&pseudo_header(&parcel.bytes, segment)]);
        let field = segment.transport + 16;
        parcel.bytes[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
        parcel.checksum = Checksum::Partial { start: (segment.transport - LINK) as u16, offset: 16 };
        if parcel.bytes.len() - segment.payload > size {
            let kind = if segment.ipv6 { SegmentationKind::Tcp6 } else { SegmentationKind::Tcp4 };
            let header_len = (segment.payload - LINK) as u16;
            parcel.segmentation = Some(Segmentation { kind, size: size as u16, header_len, ecn: false });
        }
        parcel
    }
}

/// Cuts a super-packet into what goes over the wire, with all sums finished.
///
/// # Panics
/// If the parcel asks for what no card can do.
pub(super) fn cut(parcel: Parcel) -> Vec<Vec<u8>> {
    let Parcel { bytes, checksum: state, segmentation, .. } = parcel;
    let Some(Segmentation { size, .. }) = segmentation else {
        return vec![finished(bytes, state)];
    };
    let segment = Segment::read(&bytes).expect("a super-packet of TCP");
    let (headers, payload) = bytes.split_at(segment.payload);
    let count = payload.len().div_ceil(size.into());
    let piece = |(number, chunk): (usize, &[u8])| {
        let mut piece = [headers, chunk].concat();
        let sequence = segment.sequence(headers).wrapping_add((number * usize::from(size)) as u32);
        piece[segment.transport + 4..segment.transport + 8].copy_from_slice(&sequence.to_be_bytes());
        if number + 1 < count {
            piece[segment.transport + 13] &= !PSH;
        }
        let total = piece.len() - LINK;
        write_lengths(&mut piece, segment, total);
        finish_tcp(&mut piece, segment);
        piece
    };
    payload.chunks(size.into()).enumerate().map(piece).collect()
}

fn finished(mut bytes: Vec<u8>, state: Checksum) -> Vec<u8> {
    if let Checksum::Partial { start, offset } = state {
        let start = LINK + usize::from(start);
        let field = start + usize::from(offset);
        let sum = checksum(&[&bytes[start..]]);
        bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

fn finish_tcp(bytes: &mut [u8], segment: Segment) {
    let field = segment.transport + 16;
    bytes[field..field + 2].fill(0);
    let sum = checksum(&[&pseudo_header(bytes, segment), &bytes[segment.transport..]]);
    bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

fn write_lengths(bytes: &mut [u8], segment: Segment, total: usize) {
    if segment.ipv6 {
        bytes[LINK + 4..LINK + 6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
        return;
    }
    bytes[LINK + 2..LINK + 4].copy_from_slice(&(total as u16).to_be_bytes());
    bytes[LINK + 10..LINK + 12].fill(0);
    let sum = checksum(&[&bytes[LINK..LINK + 20]]);
    bytes[LINK + 10..LINK + 12].copy_from_slice(&sum.to_be_bytes());
}

fn pseudo_header(bytes: &[u8], segment: Segment) -> Vec<u8> {
    let addresses = if segment.ipv6 { LINK + 8..LINK + 40 } else { LINK + 12..LINK + 20 };
    let length = (bytes.len() - segment.transport) as u32;
    [&bytes[addresses], &length.to_be_bytes(), &[0, 0, 0, TCP]].concat()
}

#[cfg(test)]
mod tests {
    use router::tabletop::frames::Ends;
    use smoltcp::wire::TcpControl;

    use super::*;

    fn segments(addresses: [&str; 2]) -> Vec<Vec<u8>> {
        let ends = Ends::to_port(0, addresses[0], addresses[1]);
        let segment = |(number, size): (i32, usize)| {
            ends.tcp(TcpControl::None, number * 1000, Some(5), &vec![number as u8; size])
        };
        [(0, 1000), (1, 1000), (2, 1000), (3, 400)].into_iter().map(segment).collect()
    }

    #[test]
    fn segments_are_glued_and_cut_into_what_they_were() {
        for addresses in [["10.0.0.2:1", "10.0.1.2:2"], ["[fd00::2]:1", "[fd01::2]:2"]] {
            let segments = segments(addresses);
            let glued = glue(segments.clone());
            assert_eq!(glued.len(), 1);
            assert_eq!(glued[0].segmentation.map(|cut| cut.size), Some(1000));
            assert_eq!(cut(glued[0].clone()), segments);
        }
    }

    #[test]
    fn a_gap_and_a_short_segment_end_a_super_packet() {
        let mut segments = segments(["10.0.0.2:1", "10.0.1.2:2"]);
        segments.remove(1);
        assert_eq!(glue(segments.clone()).len(), 2);
        let again = [segments.clone(), segments].concat();
        assert_eq!(glue(again).len(), 4);
    }

    #[test]
    fn what_is_no_tcp_data_stays_as_it_is() {
        let ends = Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:2");
        let frames = vec![ends.udp(b"x"), ends.echo(1), ends.tcp(TcpControl::Syn, 0, None, b"")];
        let parcels = glue(frames.clone());
        let bytes: Vec<_> = parcels.into_iter().flat_map(cut).collect();
        assert_eq!(bytes, frames);
    }
}
