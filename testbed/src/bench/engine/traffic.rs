//! Frames for the engine without a device: written, walked, thrown away, and the time of it.

use std::hint::black_box;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Clock};

use conntrack::Instant;
use fib::adjacency::PortId;
use router::frame::{Checksum, Frame, Pool};
use router::port::{Framing, Offloads, Port, PortCounters};
use router::tabletop::port_mac;
use router::worker::{Datapath, Outputs};

/// Packets of a turn.
const BATCH: usize = 64;
/// Packets of a stretch of time that is taken.
const STRETCH: u32 = 1 << 12;
/// How long each figure is measured, at least.
const TIME: Duration = Duration::from_millis(400);

/// What packets there are.
pub struct Load {
    pub flows: u32,
    pub prefixes: u32,
}

/// Nanoseconds a packet, flows in an order that is no order. Time is taken in short stretches, and the figure is one that
/// a quarter of them stayed below: what else the machine does falls into the others.
pub fn nanoseconds(datapath: &mut impl Datapath, outputs: &mut Outputs, load: &Load) -> f64 {
    let began = Clock::now();
    let mut packets = 0_u32;
    let mut stretches = Vec::new();
    while began.elapsed() < TIME {
        let start = Clock::now();
        let now = Instant::from_secs(10) + began.elapsed();
        let next = packets.wrapping_add(STRETCH);
        let flows = (packets..next).map(|number| (number.wrapping_mul(ODD) >> 4) % load.flows);
        turns(datapath, outputs, load.prefixes, flows, now);
        packets = next;
        stretches.push(start.elapsed());
    }
    stretches.sort();
    stretches[stretches.len() / 4].as_nanos() as f64 / f64::from(STRETCH)
}

/// Gives the datapath a packet of each of `flows`, a batch a turn.
pub fn turns(
    datapath: &mut impl Datapath,
    outputs: &mut Outputs,
    prefixes: u32,
    mut flows: impl Iterator<Item = u32>,
    now: Instant,
) {
    let mut frames = Vec::with_capacity(BATCH);
    loop {
        for flow in flows.by_ref().take(BATCH) {
            let mut frame = outputs.take().expect("all frames are back");
            write(&mut frame, flow, prefixes);
            frames.push(frame);
        }
        if frames.is_empty() {
            return;
        }
        datapath.begin_turn(now);
        for frame in frames.drain(..) {
            datapath.process(frame, outputs);
        }
        black_box(datapath.end_turn(outputs));
        outputs.flush();
    }
}

/// Spreads numbers that follow each other.
const ODD: u32 = 0x9e37_79b1;

/// The prefix of this number, from 20.0.0.0/24 on.
pub const fn prefix(number: u32) -> u32 {
    (20 << 24) + (number << 8)
}

/// Writes a UDP packet of 64 bytes on the wire, whose checksum the card has verified.
fn write(frame: &mut Frame, flow: u32, prefixes: u32) {
    const LENGTH: usize = 60;
    frame.set_len(LENGTH);
    let bytes = frame.bytes_mut();
    bytes[..6].copy_from_slice(&port_mac(0).0);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 1, 1]);
    bytes[12..14].copy_from_slice(&[8, 0]);
    let ip = &mut bytes[14..];
    ip[..12].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    // No network and no broadcast address among the sources.
    ip[12..16].copy_from_slice(&((10 << 24) + (1 << 16) + (flow & 0xfffff)).to_be_bytes());
    let destination = prefix(flow.wrapping_mul(ODD) % prefixes) + 1 + flow % 200;
    ip[16..20].copy_from_slice(&destination.to_be_bytes());
    ip[20..28].copy_from_slice(&[0x10, 0, 0, 53, 0, 26, 0, 0]);
    let sum: u32 =
        ip[..20].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.input = PortId(0);
    frame.checksum = Checksum::Valid;
}

/// Two ports that take everything and keep nothing.
pub fn outputs() -> Outputs {
    sinks(None)
}

/// Gives the datapath a packet of each flow from 0 on, and the answer to what comes out: the flows are established then.
/// The first packet that came out is handed back, without its link header.
pub fn establish(datapath: &mut impl Datapath, load: &Load, now: Instant) -> Vec<u8> {
    let sent = Arc::new(Mutex::new(Vec::new()));
    turns(datapath, &mut sinks(Some(sent.clone())), load.prefixes, 0..load.flows, now);
    let sent = std::mem::take(&mut *sent.lock().expect("nobody panicked"));
    assert_eq!(sent.len(), load.flows as usize, "everything is forwarded");
    let mut outputs = outputs();
    for batch in sent.chunks(BATCH) {
        datapath.begin_turn(now);
        for question in batch {
            let mut frame = outputs.take().expect("all frames are back");
            answer(&mut frame, question);
            datapath.process(frame, &mut outputs);
        }
        datapath.end_turn(&mut outputs);
        outputs.flush();
    }
    sent[0][ETHERNET_LEN..].to_vec()
}

/// Writes the answer to a packet that came out of the second port: there its ends change places.
fn answer(frame: &mut Frame, question: &[u8]) {
    frame.set_len(question.len());
    let bytes = frame.bytes_mut();
    bytes.copy_from_slice(question);
    bytes[..6].copy_from_slice(&port_mac(1).0);
    bytes[6..12].copy_from_slice(&question[..6]);
    let ip = &mut bytes[ETHERNET_LEN..];
    for (one, other, length) in [(12, 16, 4), (20, 22, 2)] {
        let (before, behind) = ip.split_at_mut(other);
        before[one..one + length].swap_with_slice(&mut behind[..length]);
    }
    frame.input = PortId(1);
    frame.checksum = Checksum::Valid;
}

/// Bytes of the link header.
const ETHERNET_LEN: usize = 14;

/// Two ports that take everything; what leaves by the second is kept if there is room for it.
fn sinks(kept: Option<Sent>) -> Outputs {
    let mut outputs = Outputs::new(1024);
    outputs.attach(PortId(0), Box::new(Sink { counters: PortCounters::default(), kept: None }));
    outputs.attach(PortId(1), Box::new(Sink { counters: PortCounters::default(), kept }));
    outputs
}

/// Frames that were sent.
type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

struct Sink {
    counters: PortCounters,
    kept: Option<Sent>,
}

impl Port for Sink {
    fn receive(&mut self, _: &mut Pool, _: &mut Vec<Frame>, _: usize) -> io::Result<usize> {
        Ok(0)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) {
        self.counters.sent_frames += frames.len() as u64;
        if let Some(kept) = &self.kept {
            let sent = frames.iter().map(|frame| frame.bytes().to_vec());
            kept.lock().expect("nobody panicked").extend(sent);
        }
        frames.drain(..).for_each(|frame| pool.give(frame));
    }

    fn offloads(&self) -> Offloads {
        Offloads::ALL
    }

    fn framing(&self) -> Framing {
        Framing::Ethernet
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }
}

/// Sends every frame on as it is: what frames cost by themselves.
pub struct Reflector;

impl Datapath for Reflector {
    fn begin_turn(&mut self, _: Instant) {}

    fn process(&mut self, frame: Frame, out: &mut Outputs) {
        out.send(PortId(1), frame);
    }

    fn end_turn(&mut self, _: &mut Outputs) -> Option<Instant> {
        None
    }

    fn idle(&mut self) {}
}
