//! The engine alone, in memory: what a packet costs between its port and the next, with routes kept in flows and
//! without, for few flows and many, small tables and large.
//!
//! Frames are written and thrown away without a device; the row `nothing` has the cost of that, and the others are
//! shown without it. Figures of one run may be compared with each other.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant as Clock};

use conntrack::{Config, Instant, Registry};
use fib::adjacency::PortId;
use fib::change::Change;
use router::engine::FlowCache;
use router::frame::{Checksum, Frame, Pool};
use router::port::memory::Settings;
use router::port::{Framing, Offloads, Port, PortCounters};
use router::tabletop::{Tabletop, gateway_route, port_mac};
use router::worker::{Datapath, Outputs};

/// Numbers of flows that are measured.
const FLOWS: [u32; 4] = [1, 1_000, 64_000, 500_000];
/// Numbers of prefixes.
const PREFIXES: [u32; 3] = [10, 100_000, 1_000_000];
/// The table under the rows of flows, and the flows over the rows of tables.
const USUAL: (u32, u32) = (1_000, 100_000);
/// Packets of a turn.
const BATCH: usize = 64;
/// Packets of a stretch of time that is taken.
const STRETCH: u32 = 1 << 12;
/// How long each figure is measured, at least.
const TIME: Duration = Duration::from_millis(400);

/// Measures everything; takes less than a minute.
///
/// # Panics
/// If the engine does not forward what it is given.
#[must_use]
pub fn run() -> String {
    let mut text = String::new();
    let nothing = nanoseconds(&mut Reflector, &mut outputs(), &Load { flows: USUAL.0, prefixes: USUAL.1 });
    let mut line = |row: std::fmt::Arguments<'_>| writeln!(text, "{row}").expect("a string takes all");
    line(format_args!("nothing: {nothing:.0} ns/packet, left out of the figures below"));
    line(format_args!(
        "{:>8} {:>9}  {:>8} {:>6}  {:>8} {:>6}  {:>8}",
        "flows", "prefixes", "on ns", "Mpps", "off ns", "Mpps", "off : on"
    ));
    let (usual_flows, usual_prefixes) = USUAL;
    let by_flows = FLOWS.map(|flows| Load { flows, prefixes: usual_prefixes });
    let by_prefixes = PREFIXES.map(|prefixes| Load { flows: usual_flows, prefixes });
    let mut bench = Bench::new();
    for load in by_prefixes
        .iter()
        .filter(|load| load.prefixes < usual_prefixes)
        .chain(&by_flows)
        .chain(by_prefixes.iter().filter(|load| load.prefixes > usual_prefixes))
    {
        bench.grow_table(load.prefixes);
        let [on, off] = [FlowCache::On, FlowCache::Off].map(|mode| bench.measure(load, mode) - nothing);
        let rate = |ns: f64| 1_000.0 / ns;
        let Load { flows, prefixes } = load;
        line(format_args!(
            "{flows:>8} {prefixes:>9}  {on:>8.0} {:>6.2}  {off:>8.0} {:>6.2}  {:>8.2}",
            rate(on),
            rate(off),
            off / on
        ));
    }
    line(format_args!("new flows: {:.2} million/s", bench.new_flows(500_000) / 1e6));
    text
}

/// What packets there are.
struct Load {
    flows: u32,
    prefixes: u32,
}

/// A router, and how large its table is by now.
struct Bench {
    table: Tabletop,
    prefixes: u32,
}

impl Bench {
    fn new() -> Self {
        let flows = Config { flows_max: 2_000_000, seed: [1, 2], ..Config::default() };
        let trackers = Registry::builtin().build();
        let mut table = Tabletop::with_ports(&["r0", "r1"], Settings::default(), flows, trackers);
        table.address(0, "10.0.0.1/8");
        table.address(1, "11.0.0.1/24");
        table.neighbor(1, "11.0.0.2", Some([2, 0, 0, 0, 2, 2]));
        Self { table, prefixes: 0 }
    }

    /// Announces prefixes until there are so many.
    fn grow_table(&mut self, prefixes: u32) {
        let more = (self.prefixes..prefixes).map(|number| {
            let prefix = format!("{}/24", std::net::Ipv4Addr::from(prefix(number)));
            Change::Route(gateway_route(&prefix, "11.0.0.2", 1))
        });
        self.table.apply(more);
        self.prefixes = self.prefixes.max(prefixes);
    }

    /// Nanoseconds a packet of flows that are known, everything included.
    fn measure(&mut self, load: &Load, mode: FlowCache) -> f64 {
        self.table.shared().set_flow_cache(mode);
        let (mut engine, counters) = self.table.assembly.engine();
        let mut outputs = outputs();
        let now = Instant::from_secs(10);
        turns(&mut engine, &mut outputs, load.prefixes, 0..load.flows, now);
        let before = counters.fib_lookups.get();
        let nanoseconds = nanoseconds(&mut engine, &mut outputs, load);
        let searched = counters.fib_lookups.get() > before;
        assert!(searched == (mode == FlowCache::Off), "{mode:?} is in force");
        assert_eq!(counters.forwarded.get(), counters.received.get(), "everything is forwarded");
        self.table.shared().flows.flush();
        nanoseconds
    }

    /// New flows a second into a table that grows.
    fn new_flows(&mut self, flows: u32) -> f64 {
        self.table.shared().set_flow_cache(FlowCache::On);
        let (mut engine, _) = self.table.assembly.engine();
        let mut outputs = outputs();
        let began = Clock::now();
        turns(&mut engine, &mut outputs, self.prefixes, 0..flows, Instant::from_secs(10));
        let rate = f64::from(flows) / began.elapsed().as_secs_f64();
        assert_eq!(self.table.shared().flows.len(), flows as usize);
        rate
    }
}

/// Nanoseconds a packet, flows in an order that is no order. Time is taken in short stretches, and the figure is one that
/// a quarter of them stayed below: what else the machine does falls into the others.
fn nanoseconds(datapath: &mut impl Datapath, outputs: &mut Outputs, load: &Load) -> f64 {
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
fn turns(
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
const fn prefix(number: u32) -> u32 {
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
fn outputs() -> Outputs {
    let mut outputs = Outputs::new(1024);
    for port in [0, 1] {
        outputs.attach(PortId(port), Box::new(Sink(PortCounters::default())));
    }
    outputs
}

struct Sink(PortCounters);

impl Port for Sink {
    fn receive(&mut self, _: &mut Pool, _: &mut Vec<Frame>, _: usize) -> io::Result<usize> {
        Ok(0)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) {
        self.0.sent_frames += frames.len() as u64;
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
        self.0
    }
}

/// Sends every frame on as it is.
struct Reflector;

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
