//! What passes a device, byte by byte, as `tcpdump` sees it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::lab::{Lab, Process, SECONDS_5, wait_until};

/// Which frames of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Those that the device's namespace receives.
    In,
    /// Those that it sends.
    Out,
    /// All.
    Both,
}

/// A running `tcpdump`. Dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Process,
    file: PathBuf,
    _folder: TempDir,
}

impl Capture {
    /// Begins to capture what passes `device` of `station` and fits `filter` (pcap-filter(7)); nothing is missed after
    /// this.
    ///
    /// # Errors
    /// `tcpdump` does not start or does not understand the filter.
    pub fn start(lab: &Lab, station: &str, device: &str, way: Way, filter: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rb-pcap-").tempdir()?;
        let file = folder.path().join("frames.pcap");
        let way = match way {
            Way::In => "in",
            Way::Out => "out",
            Way::Both => "inout",
        };
        // As root it would give up being root, and could not write into the folder.
        let line = format!(
            "tcpdump -i {device} -Q {way} -n -U -s 0 -B 65536 --immediate-mode -Z root -w {} {filter}",
            file.display()
        );
        let mut tcpdump = lab.start(station, &line)?;
        tcpdump.wait_line("listening on", SECONDS_5)?;
        Ok(Self { tcpdump, file, _folder: folder })
    }

    /// The frames so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn frames(&self) -> Result<Vec<Vec<u8>>> {
        Ok(frames_of(&fs::read(&self.file)?))
    }

    /// Waits until so many frames are there.
    ///
    /// # Errors
    /// They are not within five seconds.
    pub fn wait_frames(&self, count: usize) -> Result<Vec<Vec<u8>>> {
        wait_until(&format!("{count} captured frames"), SECONDS_5, || {
            self.frames().ok().filter(|frames| frames.len() >= count)
        })
        .with_context(|| format!("{} came", self.frames().map_or(0, |frames| frames.len())))
    }

    /// Ends it and says what it has seen.
    ///
    /// # Errors
    /// It lost frames, or did not end well.
    pub fn finish(self) -> Result<Vec<Vec<u8>>> {
        let said = self.tcpdump.stop(Signal::SIGINT)?;
        ensure!(said.error.contains("0 packets dropped by kernel"), "tcpdump lost frames: {}", said.error);
        Ok(frames_of(&fs::read(&self.file)?))
    }
}

/// The whole frames of a capture file of this machine (pcap-savefile(5)).
fn frames_of(file: &[u8]) -> Vec<Vec<u8>> {
    const FILE_HEADER: usize = 24;
    const FRAME_HEADER: usize = 16;
    let mut frames = Vec::new();
    let mut rest = file.get(FILE_HEADER..).unwrap_or_default();
    while let Some((header, after)) = rest.split_at_checked(FRAME_HEADER) {
        let length = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some((frame, after)) = after.split_at_checked(length) else { break };
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}

/// A frame as two columns of bytes, for a person to compare.
pub fn hex(frame: &[u8]) -> String {
    frame.chunks(16).fold(String::new(), |text, row| {
        text + &row.iter().map(|byte| format!("{byte:02x} ")).collect::<String>() + "\n"
    })
}

/// Whether a frame holds these bytes anywhere.
pub fn holds(frame: &[u8], bytes: &[u8]) -> bool {
    frame.windows(bytes.len()).any(|window| window == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_last_whole_frame() {
        let mut file = vec![0; 24];
        for frame in [&b"one"[..], b"second"] {
            file.extend([0; 8]);
            file.extend((frame.len() as u32).to_ne_bytes());
            file.extend([0; 4]);
            file.extend(frame);
        }
        assert_eq!(frames_of(&file), [b"one".to_vec(), b"second".to_vec()]);
        assert_eq!(frames_of(&file[..file.len() - 1]), [b"one".to_vec()]);
        assert_eq!(frames_of(&file[..24 + 16]), Vec::<Vec<u8>>::new());
        assert_eq!(frames_of(&[]), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn bytes_are_found_wherever_they_are() {
        assert!(
            holds(b"abc", b"bc") && holds(b"abc", b"abc") && !holds(b"abc", b"cb") && !holds(b"a", b"ab")
        );
    }
}
