//! What a worker promises its datapath, its ports and control.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver as Notices, channel};

use super::*;
use crate::frame::{Checksum, Pool, Segmentation, SegmentationKind};
use crate::port::memory::{self, MemoryPort, Parcel, Settings, Wire};
use crate::port::pcap::Pcap;
use crate::port::{Framing, Offloads};

/// Sends what comes in by port 0 out by port 1 and the other way, and remembers what it was told.
#[derive(Default)]
struct Cross {
    began: Vec<u64>,
    /// What the first bytes of the next frames are to be, as far as they have been foreseen.
    foreseen: VecDeque<u8>,
    processed: usize,
    idled: usize,
    deadline: Option<Instant>,
}

impl Datapath for Cross {
    fn begin_turn(&mut self, now: Instant) {
        self.began.push(now.nanos());
    }

    fn foresee(&mut self, frames: &[Frame], _: &Outputs) {
        assert!(self.foreseen.is_empty(), "the last ones have been processed");
        assert!((1..=FRAMES_AHEAD).contains(&frames.len()));
        self.foreseen.extend(frames.iter().map(|frame| frame.bytes()[0]));
    }

    fn process(&mut self, frame: Frame, out: &mut Outputs) {
        assert_eq!(self.foreseen.pop_front(), Some(frame.bytes()[0]), "frames come as foreseen");
        self.processed += 1;
        out.send(PortId(1 - frame.input.0), frame);
    }

    fn end_turn(&mut self, _: &mut Outputs) -> Option<Instant> {
        self.deadline
    }

    fn idle(&mut self) {
        self.idled += 1;
    }
}

struct Bench {
    worker: Worker<Cross>,
    handle: WorkerHandle,
    notices: Notices<Notice>,
}

fn bench() -> Bench {
    let (sender, notices) = channel(16);
    let config = WorkerConfig { frames_max: 100, ..WorkerConfig::default() };
    let (worker, handle) = Worker::new(Cross::default(), &config, sender).unwrap();
    Bench { worker, handle, notices }
}

fn port(offloads: Offloads) -> (Box<MemoryPort>, Wire) {
    let (port, wire) = memory::wired(Settings { offloads, ..Settings::default() }).unwrap();
    (Box::new(port), wire)
}

fn at(ns: u64) -> impl FnOnce() -> Instant {
    move || Instant::from_nanos(ns)
}

#[test]
fn a_frame_crosses_from_port_to_port() {
    let mut bench = bench();
    let (left, left_wire) = port(Offloads::ALL);
    let (right, right_wire) = port(Offloads::ALL);
    bench.handle.attach(PortId(0), left).unwrap();
    bench.handle.attach(PortId(1), right).unwrap();
    left_wire.push(&[1; 60][..]);
    right_wire.push(&[2; 70][..]);
    assert_eq!(bench.worker.turn(at(5)), Turn { frames: 2, deadline: None });
    assert_eq!(right_wire.pop().unwrap().bytes, [1; 60]);
    assert_eq!(left_wire.pop().unwrap().bytes, [2; 70]);
    let counters = bench.handle.stats().port(PortId(0));
    assert_eq!((counters.received_bytes, counters.sent_bytes), (60, 70));
}

#[test]
fn every_frame_is_foreseen_a_few_at_a_time() {
    let mut bench = bench();
    let (left, wire) = port(Offloads::ALL);
    bench.handle.attach(PortId(0), left).unwrap();
    let frames = 2 * FRAMES_AHEAD + 3;
    for number in 0..frames {
        wire.push(&[number as u8; 60][..]);
    }
    assert_eq!(bench.worker.turn(at(1)).frames, frames);
    assert_eq!(bench.worker.datapath().processed, frames);
    assert!(bench.worker.datapath().foreseen.is_empty());
}

#[test]
fn frames_are_received_before_the_turn_begins() {
    let mut bench = bench();
    let (left, wire) = port(Offloads::ALL);
    bench.handle.attach(PortId(0), left).unwrap();
    wire.push(&[1; 60][..]);
    bench.worker.turn(|| {
        wire.push(&[2; 60][..]);
        Instant::from_nanos(1)
    });
    assert_eq!(
        bench.worker.datapath().processed,
        1,
        "a frame that arrives with the clock read belongs to the next turn"
    );
    bench.worker.turn(at(2));
    assert_eq!((bench.worker.datapath().processed, bench.worker.datapath().began.clone()), (2, vec![1, 2]));
}

#[test]
fn a_busy_port_does_not_keep_another_from_its_turn() {
    let mut bench = bench();
    let (left, left_wire) = port(Offloads::ALL);
    let (right, right_wire) = port(Offloads::ALL);
    bench.handle.attach(PortId(0), left).unwrap();
    bench.handle.attach(PortId(1), right).unwrap();
    (0..200).for_each(|_| assert!(left_wire.push(&[1; 60][..])));
    assert_eq!(bench.worker.turn(at(1)).frames, 64);
    right_wire.push(&[2; 60][..]);
    assert_eq!(bench.worker.turn(at(2)).frames, 65);
    assert_eq!(left_wire.pop().unwrap().bytes, [2; 60]);
    assert_eq!(bench.worker.turn(at(3)).frames, 64);
    assert_eq!(bench.worker.turn(at(4)).frames, 8);
    assert_eq!(bench.worker.turn(at(5)).frames, 0);
}

#[test]
fn a_port_whose_device_is_gone_is_closed_and_the_others_go_on() {
    let mut bench = bench();
    let (left, left_wire) = port(Offloads::ALL);
    let (right, right_wire) = port(Offloads::ALL);
    bench.handle.attach(PortId(0), left).unwrap();
    bench.handle.attach(PortId(1), right).unwrap();
    left_wire.push(&[1; 60][..]);
    bench.worker.turn(at(1));
    left_wire.set_down(true);
    right_wire.push(&[2; 60][..]);
    assert_eq!(bench.worker.turn(at(2)).frames, 1);
    assert_eq!(bench.handle.stats().unattached.get(), 1, "the answer's port is gone: dropped and counted");
    for expected in [PortId(0), PortId(1)] {
        assert!(matches!(bench.notices.try_recv(), Ok(Notice::Attached { port }) if port == expected));
    }
    assert!(matches!(bench.notices.try_recv(), Ok(Notice::Lost { port: PortId(0), .. })));

    let (again, again_wire) = port(Offloads::ALL);
    bench.handle.attach(PortId(0), again).unwrap();
    again_wire.push(&[3; 60][..]);
    assert_eq!(bench.worker.turn(at(3)).frames, 1);
    assert_eq!(bench.handle.stats().port(PortId(0)).received_frames, 2, "counting goes on where it was");
}

#[test]
fn a_full_channel_of_notices_is_counted_and_holds_up_nobody() {
    let (sender, _notices) = channel(1);
    let (mut worker, handle) = Worker::new(Cross::default(), &WorkerConfig::default(), sender).unwrap();
    handle.detach(PortId(7)).unwrap();
    handle.detach(PortId(8)).unwrap();
    worker.turn(at(1));
    assert_eq!(handle.stats().notices_lost.get(), 1);
}

#[test]
fn a_port_that_cannot_segment_gets_segments() {
    let mut bench = bench();
    let (left, left_wire) = port(Offloads::ALL);
    let (right, right_wire) = port(Offloads::NONE);
    bench.handle.attach(PortId(0), left).unwrap();
    bench.handle.attach(PortId(1), right).unwrap();
    let mut bytes = vec![0; 14];
    bytes
        .extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 38, 0, 0]);
    bytes.extend([7; 30]);
    let kind = SegmentationKind::Udp;
    left_wire.push(Parcel {
        bytes,
        vlan: None,
        checksum: Checksum::Partial { start: 20, offset: 6 },
        segmentation: Some(Segmentation { kind, size: 10, header_len: 28, ecn: false }),
    });
    left_wire
        .push(Parcel { checksum: Checksum::Partial { start: 20, offset: 6 }, ..Parcel::from(&[1; 30][..]) });
    bench.worker.turn(at(1));
    let lengths: Vec<_> = std::iter::from_fn(|| right_wire.pop()).map(|parcel| parcel.bytes.len()).collect();
    assert_eq!(lengths, [14 + 38; 3]);
    assert_eq!(bench.handle.stats().unfinishable.get(), 1, "the short frame's checksum has no place in it");
    assert_eq!(bench.handle.stats().port(PortId(1)).sent_frames, 3);
}

#[test]
fn no_frame_is_lost_from_the_pool() {
    let mut bench = bench();
    let (left, left_wire) = port(Offloads::ALL);
    bench.handle.attach(PortId(0), left).unwrap();
    for turn in 0..50 {
        (0..10).for_each(|_| assert!(left_wire.push(&[1; 60][..])));
        assert_eq!(bench.worker.turn(at(turn)).frames, 10);
    }
    assert_eq!(bench.handle.stats().unattached.get(), 500);
}

#[test]
fn the_set_of_ports_is_walked_in_order_without_repetition() {
    let mut ready = Ready::default();
    for port in [200, 3, 63, 64, 3, 255, 0] {
        ready.insert(PortId(port));
    }
    ready.remove(PortId(63));
    let walked: Vec<_> = ready.take().map(|port| port.0).collect();
    assert_eq!((walked, ready.is_empty()), (vec![0, 3, 64, 200, 255], true));
}

/// Waits for what a worker on its own thread does; a worker that does not is a failure, not a hang.
fn wait_for(notices: &mut Notices<Notice>) -> Notice {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(10), notices.recv()).await })
        .expect("a notice within ten seconds")
        .expect("the worker still has the channel")
}

/// Tells of every turn by a channel.
struct Telling(std::sync::mpsc::SyncSender<usize>, Cell<usize>, Option<Instant>);

impl Datapath for Telling {
    fn begin_turn(&mut self, _: Instant) {}

    fn process(&mut self, frame: Frame, out: &mut Outputs) {
        self.1.set(self.1.get() + 1);
        out.recycle(frame);
    }

    fn end_turn(&mut self, _: &mut Outputs) -> Option<Instant> {
        let _ = self.0.try_send(self.1.take());
        self.2
    }

    fn idle(&mut self) {}
}

fn telling(deadline: Option<Instant>) -> (WorkerHandle, std::sync::mpsc::Receiver<usize>, Notices<Notice>) {
    let (turns, told) = std::sync::mpsc::sync_channel(1000);
    let (sender, notices) = channel(16);
    let make = move || Telling(turns, Cell::new(0), deadline);
    (spawn("test", WorkerConfig::default(), sender, make).unwrap(), told, notices)
}

#[test]
fn a_sleeping_worker_wakes_for_frames_for_commands_and_when_called() {
    let (handle, told, mut notices) = telling(None);
    handle.wake();
    assert_eq!(
        told.recv_timeout(Duration::from_secs(10)),
        Ok(0),
        "without ports only the call can have woken it"
    );
    let (port, wire) = port(Offloads::ALL);
    handle.attach(PortId(0), port).unwrap();
    assert!(matches!(wait_for(&mut notices), Notice::Attached { port: PortId(0) }));
    wire.push(&[1; 60][..]);
    while told.recv_timeout(Duration::from_secs(10)).expect("a turn with the frame") == 0 {}
    drop(handle);
    assert!(matches!(wait_for(&mut notices), Notice::Ended));
}

#[test]
fn a_deadline_ends_the_sleep() {
    let (handle, told, _notices) = telling(Some(Instant::ZERO));
    handle.wake();
    for _ in 0..3 {
        told.recv_timeout(Duration::from_secs(10)).expect("turn after turn, as the deadline has passed");
    }
}

/// Sends everything out by port 1.
struct OutByOne;

impl Datapath for OutByOne {
    fn begin_turn(&mut self, _: Instant) {}

    fn process(&mut self, frame: Frame, out: &mut Outputs) {
        out.send(PortId(1), frame);
    }

    fn end_turn(&mut self, _: &mut Outputs) -> Option<Instant> {
        None
    }

    fn idle(&mut self) {}
}

#[test]
fn a_capture_is_replayed_to_its_end_though_it_has_no_file_to_wait_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replayed.pcap");
    let mut capture = Pcap::open(None, Some(&path)).unwrap();
    let mut pool = Pool::new(150);
    let mut frames: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
    frames.iter_mut().for_each(|frame| frame.copy_from(&[3; 60]));
    capture.send(&mut pool, &mut frames);
    drop(capture);

    let (sender, mut notices) = channel(16);
    let handle = spawn("test", WorkerConfig::default(), sender, || OutByOne).unwrap();
    let (right, wire) = port(Offloads::ALL);
    handle.attach(PortId(1), right).unwrap();
    handle.attach(PortId(0), Box::new(Pcap::open(Some(&path), None).unwrap())).unwrap();
    for _ in 0..2 {
        assert!(matches!(wait_for(&mut notices), Notice::Attached { .. }));
    }
    let mut arrived = 0;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while arrived < 150 && std::time::Instant::now() < deadline {
        match wire.pop() {
            Some(parcel) => {
                assert_eq!(parcel.bytes, [3; 60]);
                arrived += 1;
            }
            None => std::thread::yield_now(),
        }
    }
    assert_eq!(arrived, 150);
}

#[test]
fn a_cpu_that_does_not_exist_is_an_error() {
    let (sender, _notices) = channel(1);
    let config = WorkerConfig { cpu: Some(usize::MAX), ..WorkerConfig::default() };
    assert!(spawn("test", config, sender, Cross::default).is_err());
}

#[test]
fn a_port_can_have_network_framing() {
    let mut outputs = Outputs::new(1);
    let settings = Settings { framing: Framing::Network, ..Settings::default() };
    outputs.attach(PortId(9), Box::new(memory::wired(settings).unwrap().0));
    assert_eq!(outputs.framing(PortId(9)), Some(Framing::Network));
    assert_eq!(outputs.framing(PortId(8)), None);
}
