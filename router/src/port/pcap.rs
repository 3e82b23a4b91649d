//! Ports on capture files: a capture is replayed in, what is sent is captured out.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::{DataLink, PcapError};
use thiserror::Error;

use super::{Framing, Offloads, Port, PortCounters};
use crate::clock;
use crate::frame::{FRAME_MAX, Frame, Pool};

/// Why a capture cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It cannot be read or written, or is no capture.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: PcapError,
    },
    /// Its packets begin with what the router does not know.
    #[error("{path}: its link type is {link:?}; Ethernet and raw IP can be replayed")]
    LinkType {
        /// Which file.
        path: PathBuf,
        /// What its packets begin with.
        link: DataLink,
    },
}

/// A port whose device is a pair of files in pcap format. Frames are replayed as fast as they are asked for.
pub struct Pcap {
    input: Option<PcapReader<BufReader<File>>>,
    output: Option<PcapWriter<BufWriter<File>>>,
    framing: Framing,
    counters: PortCounters,
}

impl Pcap {
    /// Replays `input` if given, and captures to `output` if given (what was there is replaced). The output is of the
    /// input's link type, Ethernet if there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(input: Option<&Path>, output: Option<&Path>) -> Result<Self, OpenError> {
        let reader = input.map(open_reader).transpose()?;
        let (reader, framing) =
            reader.map_or((None, Framing::Ethernet), |(reader, framing)| (Some(reader), framing));
        let datalink = match framing {
            Framing::Ethernet => DataLink::ETHERNET,
            Framing::Network => DataLink::RAW,
        };
        let header = PcapHeader { datalink, snaplen: SNAPPED_LEN, ..PcapHeader::default() };
        let create = |path: &Path| {
            let failed = |error| OpenError::File { path: path.to_owned(), error };
            let file = File::create(path).map_err(|error| failed(PcapError::IoError(error)))?;
            PcapWriter::with_header(BufWriter::new(file), header).map_err(failed)
        };
        let output = output.map(create).transpose()?;
        Ok(Self { input: reader, output, framing, counters: PortCounters::default() })
    }
}

/// Larger than any frame, as tcpdump writes it.
const SNAPPED_LEN: u32 = 262_144;

fn open_reader(path: &Path) -> Result<(PcapReader<BufReader<File>>, Framing), OpenError> {
    let failed = |error| OpenError::File { path: path.to_owned(), error };
    let file = File::open(path).map_err(|error| failed(PcapError::IoError(error)))?;
    let reader = PcapReader::new(BufReader::new(file)).map_err(failed)?;
    let framing = match reader.header().datalink {
        DataLink::ETHERNET => Framing::Ethernet,
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => Framing::Network,
        link => return Err(OpenError::LinkType { path: path.to_owned(), link }),
    };
    Ok((reader, framing))
}

impl Port for Pcap {
    fn receive(&mut self, pool: &mut Pool, into: &mut Vec<Frame>, max: usize) -> io::Result<usize> {
        let Some(input) = &mut self.input else { return Ok(0) };
        for taken in 0..max {
            let Some(mut frame) = pool.take() else { return Ok(taken) };
            match input.next_packet() {
                Some(Ok(packet)) if packet.data.len() <= FRAME_MAX => {
                    frame.copy_from(&packet.data);
                    self.counters.received_frames += 1;
                    self.counters.received_bytes += frame.len() as u64;
                    into.push(frame);
                }
                Some(Ok(_)) => {
                    self.counters.receive_malformed += 1;
                    pool.give(frame);
                }
                Some(Err(_)) | None => {
                    // A record that makes no sense leaves no way to find the next one.
                    self.counters.receive_malformed += u64::from(input.next_raw_packet().is_some());
                    pool.give(frame);
                    self.input = None;
                    return Ok(taken);
                }
            }
        }
        Ok(max)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) {
        let now = clock::wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        for mut frame in frames.drain(..) {
            frame.put_tag_back();
            let packet = PcapPacket::new(now, frame.len() as u32, frame.bytes());
            match self.output.as_mut().map(|output| output.write_packet(&packet)) {
                Some(Ok(_)) => {
                    self.counters.sent_frames += 1;
                    self.counters.sent_bytes += frame.len() as u64;
                }
                Some(Err(_)) | None => self.counters.send_dropped += 1,
            }
            pool.give(frame);
        }
    }

    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }
}

impl Drop for Pcap {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            // A file that cannot be completed has nobody left to be told; the counters said what was taken.
            let _ = output.into_writer().flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames_of(port: &mut Pcap, pool: &mut Pool) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while port.receive(pool, &mut frames, 2).unwrap() > 0 {}
        frames
            .into_iter()
            .map(|frame| {
                let bytes = frame.bytes().to_vec();
                pool.give(frame);
                bytes
            })
            .collect()
    }

    #[test]
    fn what_was_captured_can_be_replayed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.pcap");
        let mut pool = Pool::new(8);
        let mut port = Pcap::open(None, Some(&path)).unwrap();
        assert_eq!(port.offloads(), Offloads::NONE);
        let mut frames: Vec<_> = (0..5).filter_map(|_| pool.take()).collect();
        for (byte, frame) in frames.iter_mut().enumerate() {
            frame.copy_from(&vec![byte as u8; 60 + byte]);
        }
        port.send(&mut pool, &mut frames);
        assert_eq!(port.counters().sent_frames, 5);
        drop(port);
        let mut port = Pcap::open(Some(&path), None).unwrap();
        let expected: Vec<_> = (0..5).map(|byte| vec![byte; 60 + usize::from(byte)]).collect();
        assert_eq!(frames_of(&mut port, &mut pool), expected);
        assert_eq!((port.counters().received_frames, pool.available()), (5, 8));
    }

    #[test]
    fn a_capture_cut_short_is_replayed_up_to_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cut.pcap");
        let mut pool = Pool::new(8);
        let mut port = Pcap::open(None, Some(&path)).unwrap();
        let mut frames: Vec<_> = (0..2).filter_map(|_| pool.take()).collect();
        frames.iter_mut().for_each(|frame| frame.copy_from(&[1; 60]));
        port.send(&mut pool, &mut frames);
        drop(port);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        let mut port = Pcap::open(Some(&path), None).unwrap();
        assert_eq!(frames_of(&mut port, &mut pool), [vec![1; 60]]);
        assert_eq!((port.counters().receive_malformed, pool.available()), (1, 8));
    }

    #[test]
    fn a_file_that_is_no_capture_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("not.pcap");
        std::fs::write(&path, b"this is not a capture, whatever its name").unwrap();
        let message = Pcap::open(Some(&path), None).err().unwrap().to_string();
        assert!(message.contains("not.pcap"), "{message}");
    }
}
