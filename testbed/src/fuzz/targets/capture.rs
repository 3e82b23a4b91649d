//! A capture file is replayed to its end.

use std::fs;

use router::frame::{FRAME_MAX, Pool};
use router::port::Port;
use router::port::pcap::Pcap;
use tempfile::NamedTempFile;

use crate::fuzz::seeds;

const FRAMES: usize = 4;

/// The file.
pub fn run(bytes: &[u8]) {
    let file = NamedTempFile::new().expect("there is room for a file");
    fs::write(file.path(), bytes).expect("a file of our own can be written");
    let Ok(mut port) = Pcap::open(Some(file.path()), None) else { return };
    let mut pool = Pool::new(FRAMES);
    let mut frames = Vec::new();
    // Each packet takes 16 bytes of the file at least.
    for _ in 0..=bytes.len() / 16 {
        let count = port.receive(&mut pool, &mut frames, FRAMES).expect("a replay does not fail");
        assert!(count == frames.len() && frames.iter().all(|frame| frame.len() <= FRAME_MAX));
        frames.drain(..).for_each(|frame| pool.give(frame));
        assert_eq!(pool.available(), FRAMES, "a frame was lost");
    }
    let count = port.receive(&mut pool, &mut frames, FRAMES).expect("a replay does not fail");
    assert_eq!(count, 0, "more packets than the file has room for");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let packets = seeds::packets();
    let file = |little_endian: bool, magic: u32, link_type: u32, packets: &[Vec<u8>]| {
        let word = |word: u32| if little_endian { word.to_le_bytes() } else { word.to_be_bytes() };
        let version = if little_endian { [2, 0, 4, 0] } else { [0, 2, 0, 4] };
        let mut file = [word(magic), version, word(0), word(0), word(65_535), word(link_type)].concat();
        for packet in packets {
            let len = word(packet.len() as u32);
            file.extend([word(1), word(2), len, len].concat());
            file.extend(packet);
        }
        file
    };
    const MICROSECONDS: u32 = 0xa1b2_c3d4;
    const NANOSECONDS: u32 = 0xa1b2_3c4d;
    vec![
        file(true, MICROSECONDS, 1, &packets[..3]),
        file(false, MICROSECONDS, 1, &packets[..3]),
        file(true, NANOSECONDS, 101, &packets[..6]),
        file(true, MICROSECONDS, 228, &packets[..1]),
        file(true, MICROSECONDS, 147, &[]),
    ]
}
