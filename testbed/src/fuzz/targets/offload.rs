//! What a device says of a frame's checksum and segments is taken over, done, and said again.

use router::frame::{Checksum, FRAME_MAX, Frame, Pool};
use router::packet::offload::{finish_checksum, segment};
use router::port::{Framing, vnet};

use crate::fuzz::input::{Input, Recipe};
use crate::fuzz::seeds;

/// Whether there is an Ethernet header, the vnet header, and the frame.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let framing = if input.byte() & 1 == 0 { Framing::Network } else { Framing::Ethernet };
    let mut header = [0; vnet::LEN];
    header.fill_with(|| input.byte());
    let bytes = input.take(FRAME_MAX);
    let mut frame = Frame::empty();
    frame.copy_from(bytes);
    let link = framing.network_offset(bytes);
    if vnet::decode(header, &mut frame, framing).is_err() {
        return;
    }
    check_that_it_is_said_again(&frame, framing);
    if let Some(segmentation) = frame.segmentation {
        let mut pool = Pool::new(1);
        let mut payload = 0;
        let headers = link + usize::from(segmentation.header_len);
        let cut = segment(&frame, link, &mut pool, |pool, piece| {
            assert!(piece.len() <= frame.len() && piece.segmentation.is_none());
            assert_eq!(piece.checksum, Checksum::Unknown);
            payload += piece.len();
            pool.give(piece);
        });
        if let Ok(count) = cut {
            assert!(
                payload >= frame.len() || count == 0,
                "{payload} bytes in segments of {headers} and more"
            );
        }
        assert_eq!(pool.available(), 1, "a segment was lost");
    }
    let partial = matches!(frame.checksum, Checksum::Partial { .. });
    if finish_checksum(&mut frame, link).is_ok() && partial {
        assert_eq!(frame.checksum, Checksum::Unknown);
    }
}

/// What was read from one header stands in the header that is written.
fn check_that_it_is_said_again(frame: &Frame, framing: Framing) {
    let mut again = Frame::empty();
    again.copy_from(frame.bytes());
    vnet::decode(vnet::encode(frame, framing), &mut again, framing).expect("what was read can be written");
    assert_eq!((again.checksum, again.segmentation), (frame.checksum, frame.segmentation));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let header = |flags: u8, kind: u8, start: u16, offset: u16| {
        let [size, start, offset] = [40_u16, start, offset].map(u16::to_ne_bytes);
        [&[flags, kind, 0, 0][..], &size, &start, &offset].concat()
    };
    let mut seeds = Vec::new();
    for packet in seeds::packets() {
        let (transport, protocol, tcp) = match packet.first().map(|byte| byte >> 4) {
            Some(4) => (20, packet.get(9), 1),
            _ => (40, packet.get(6), 4),
        };
        let (kind, offset) = match protocol {
            Some(6) => (tcp, 16),
            Some(17) => (5, 6),
            _ => continue,
        };
        seeds.push(
            Recipe::default().bytes(&[0]).bytes(&header(1, kind, transport, offset)).bytes(&packet).done(),
        );
        let framed = [&[2; 14][..], &packet].concat();
        let header = header(1, kind | 0x80, transport + 14, offset);
        seeds.push(Recipe::default().bytes(&[1]).bytes(&header).bytes(&framed).done());
    }
    seeds
}
