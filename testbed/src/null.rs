//! The null forwarder: frames cross from one port to the other with new MAC addresses, and nothing else happens.
//!
//! It runs on the router's own ports and worker, so that what it achieves is what a router built on them can achieve
//! at most.

use anyhow::{Context, Result, ensure};
use conntrack::Instant;
use fib::adjacency::{Mac, PortId};
use router::frame::Frame;
use router::port::af_packet::{AfPacket, Settings, index_of};
use router::worker::{self, Datapath, Notice, Outputs, WorkerConfig, WorkerHandle};
use tokio::sync::mpsc::Receiver;

/// One side of the forwarder.
#[derive(Clone, Debug)]
pub struct Side {
    /// The device.
    pub device: String,
    /// The device's own MAC address: frames for others are not forwarded.
    pub own: Mac,
    /// The MAC address of the only station beyond it.
    pub neighbor: Mac,
}

/// Sends every IPv4 and IPv6 frame for one side's own MAC out by the other side.
pub struct Null {
    sides: [Side; 2],
}

impl Null {
    /// A forwarder between ports 0 and 1.
    pub const fn new(sides: [Side; 2]) -> Self {
        Self { sides }
    }
}

impl Datapath for Null {
    fn begin_turn(&mut self, _: Instant) {}

    fn process(&mut self, mut frame: Frame, out: &mut Outputs) {
        let other = 1 - usize::from(frame.input.0);
        let own = self.sides[1 - other].own.0;
        let bytes = frame.bytes();
        let ip = bytes.len() > 14 && matches!(bytes[12..14], [0x08, 0x00] | [0x86, 0xdd]);
        if ip && bytes[..6] == own {
            let bytes = frame.bytes_mut();
            bytes[..6].copy_from_slice(&self.sides[other].neighbor.0);
            bytes[6..12].copy_from_slice(&self.sides[other].own.0);
            out.send(PortId(other as u16), frame);
            return;
        }
        out.recycle(frame);
    }

    fn end_turn(&mut self, _: &mut Outputs) -> Option<Instant> {
        None
    }

    fn idle(&mut self) {}
}

/// Opens both devices in this thread's network namespace and forwards between them until the handle is dropped.
///
/// # Errors
/// A device cannot be opened.
pub fn start(
    sides: [Side; 2],
    settings: &Settings,
    config: WorkerConfig,
) -> Result<(WorkerHandle, Receiver<Notice>)> {
    let mut ports = Vec::new();
    for side in &sides {
        let index = index_of(&side.device)?;
        ports.push(AfPacket::open(index, settings).with_context(|| format!("port {}", side.device))?);
    }
    let (notices, receiver) = tokio::sync::mpsc::channel(16);
    let handle = worker::spawn("null", config, notices, move || Null::new(sides))?;
    for (id, port) in ports.into_iter().enumerate() {
        handle.attach(PortId(id as u16), Box::new(port))?;
    }
    Ok((handle, receiver))
}

/// Forwards until the process is ended or a port is lost.
///
/// # Errors
/// A device cannot be opened, or one was lost.
pub fn run(sides: [Side; 2]) -> Result<()> {
    let (_handle, mut notices) = start(sides, &Settings::default(), WorkerConfig::default())?;
    println!("forwarding");
    while let Some(notice) = notices.blocking_recv() {
        ensure!(matches!(notice, Notice::Attached { .. }), "the forwarder has ended: {notice:?}");
    }
    Ok(())
}

/// Reads `DEVICE=OWN_MAC,NEIGHBOR_MAC`.
///
/// # Errors
/// Says what is missing.
pub fn parse_side(text: &str) -> Result<Side> {
    let (device, macs) = text.split_once('=').context("write DEVICE=OWN_MAC,NEIGHBOR_MAC")?;
    let (own, neighbor) =
        macs.split_once(',').context("two MAC addresses are needed: the device's, the neighbor's")?;
    Ok(Side { device: device.to_owned(), own: parse_mac(own)?, neighbor: parse_mac(neighbor)? })
}

fn parse_mac(text: &str) -> Result<Mac> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map(Mac).with_context(|| format!("{text} is not a MAC address like 02:00:00:00:01:02"))
}

#[cfg(test)]
mod tests {
    use router::port::memory::{Settings as MemorySettings, wired};

    use super::*;

    fn sides() -> [Side; 2] {
        ["a=02:00:00:00:00:01,02:00:00:00:00:02", "b=02:00:00:00:00:03,02:00:00:00:00:04"]
            .map(|text| parse_side(text).unwrap())
    }

    #[test]
    fn only_packets_for_the_forwarder_cross_and_get_new_macs() {
        let mut out = Outputs::new(4);
        let (port, wire) = wired(MemorySettings::default()).unwrap();
        out.attach(PortId(1), Box::new(port));
        let mut null = Null::new(sides());
        let own = [2, 0, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9];
        for (macs, kind) in [(own, [8, 0]), (own, [8, 6]), ([0xff; 12], [8, 0]), (own, [0x86, 0xdd])] {
            let mut frame = out.take().unwrap();
            frame.copy_from(&[&macs[..], &kind, &[0x45; 20]].concat());
            null.process(frame, &mut out);
        }
        out.flush();
        let left: Vec<_> = std::iter::from_fn(|| wire.pop()).map(|parcel| parcel.bytes).collect();
        assert_eq!(left.len(), 2);
        for bytes in &left {
            assert_eq!(bytes[..12], [2, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 3]);
        }
        assert_eq!((&left[0][12..14], &left[1][12..14]), (&[8, 0][..], &[0x86, 0xdd][..]));
    }

    #[test]
    fn a_side_is_written_with_two_macs() {
        assert_eq!(sides()[1].neighbor, Mac([2, 0, 0, 0, 0, 4]));
        for wrong in ["a", "a=02:00:00:00:00:01", "a=02:00:00:00:00:01,x", "a=1:2:3:4:5,1:2:3:4:5:6"] {
            assert!(parse_side(wrong).is_err(), "{wrong}");
        }
    }
}
