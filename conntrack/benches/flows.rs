//! Prints what tracking costs: nanoseconds for each packet of a known flow, and new flows a second.
//!
//! `cargo bench -p conntrack`. Figures of one run may be compared with each other, not with those of other machines.

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use conntrack::{Checksum, Config, Datagram, Family, Flow, Instant, Registry, Table, Tracked};

const UDP: u8 = 17;
const TCP: u8 = 6;
const ACK: u8 = 16;

/// What a router hangs on a flow, in size.
type User = [u64; 5];

fn main() {
    println!("{:>9} {:>6} {:>12} {:>12}", "flows", "", "in order", "at random");
    for flows in [1, 1_000, 64_000, 1_000_000] {
        for (name, protocol) in [("udp", UDP), ("tcp", TCP)] {
            let table = table(flows + 1);
            fill(&table, flows, protocol);
            let in_order = known(&table, flows, protocol, |step| step % flows);
            let at_random = known(&table, flows, protocol, |step| scattered(step) % flows);
            println!("{flows:>9} {name:>6} {in_order:>9.1} ns {at_random:>9.1} ns");
        }
    }
    println!();
    for flows in [1_000, 64_000, 1_000_000] {
        let start = Clock::now();
        let table = table(flows);
        fill(&table, flows, UDP);
        let growing = rate(flows, start.elapsed());
        let start = Clock::now();
        fill_from(&table, flows, flows, UDP);
        let replacing = rate(flows, start.elapsed());
        println!(
            "{flows:>9} new flows: {growing:.2} million/s into an empty table, {replacing:.2} into a full one"
        );
    }
    expiry();
    checksum();
}

fn table(flows_max: usize) -> Table<User> {
    Table::new(Config { flows_max, seed: [1, 2], ..Config::default() }, Registry::builtin().build())
}

/// A packet whose checksum is known, so that tracking alone is measured.
fn packet(protocol: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 0x45;
    bytes[3] = 64;
    bytes[8] = 64;
    bytes[9] = protocol;
    bytes[12..20].copy_from_slice(&[10, 0, 0, 0, 192, 168, 0, 1]);
    if protocol == UDP {
        bytes[25] = 44;
    } else {
        bytes[32] = 0x50;
        bytes[33] = ACK;
    }
    bytes
}

fn address(bytes: &mut [u8; 64], flow: usize) {
    bytes[12..16].copy_from_slice(&(0x0a00_0000 | u32::try_from(flow >> 8).unwrap()).to_be_bytes());
    bytes[20..22].copy_from_slice(&(1024 + u16::try_from(flow & 0xff).unwrap()).to_be_bytes());
}

fn datagram(bytes: &[u8]) -> Datagram<'_> {
    Datagram { checksum: Checksum::Valid, ..Datagram::new(Family::Ipv4, bytes) }
}

fn fill(table: &Table<User>, flows: usize, protocol: u8) {
    fill_from(table, 0, flows, protocol);
}

fn fill_from(table: &Table<User>, first: usize, flows: usize, protocol: u8) {
    let mut bytes = packet(protocol);
    let now = Instant::from_secs(1);
    for flow in first..first + flows {
        address(&mut bytes, flow);
        match table.track(&datagram(&bytes), now) {
            Tracked::Flow { flow: Flow::Tentative(tentative), .. } => {
                black_box(table.confirm(tentative, now));
            }
            other => panic!("flow {flow}: {other:?}"),
        }
    }
}

/// Nanoseconds for a packet of a flow that is in the table: the median of short runs, of which most are undisturbed.
fn known(table: &Table<User>, flows: usize, protocol: u8, pick: impl Fn(usize) -> usize) -> f64 {
    const PACKETS: usize = 1_000;
    const RUNS: usize = 2_001;
    let mut bytes = packet(protocol);
    let now = Instant::from_secs(2);
    let mut step = 0;
    let mut run = |packets: usize, bytes: &mut [u8; 64]| {
        for _ in 0..packets {
            step += 1;
            address(bytes, pick(step));
            black_box(table.track(&datagram(bytes), now));
        }
    };
    run(flows, &mut bytes);
    let before = table.stats().found;
    let mut times: Vec<_> = (0..RUNS)
        .map(|_| {
            let start = Clock::now();
            run(PACKETS, &mut bytes);
            start.elapsed()
        })
        .collect();
    assert_eq!(table.stats().found - before, (RUNS * PACKETS) as u64, "every packet found its flow");
    times.sort_unstable();
    times[RUNS / 2].as_nanos() as f64 / PACKETS as f64
}

fn scattered(step: usize) -> usize {
    step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn rate(flows: usize, elapsed: Duration) -> f64 {
    flows as f64 / elapsed.as_secs_f64() / 1e6
}

fn expiry() {
    let flows = 500_000;
    let table = table(flows);
    fill(&table, flows, UDP);
    let mut longest = Duration::ZERO;
    let start = Clock::now();
    let mut removed = 0;
    while removed < flows {
        let step = Clock::now();
        removed += table.expire(Instant::from_secs(60), 256);
        longest = longest.max(step.elapsed());
    }
    println!();
    println!(
        "expiry of {flows} flows: {:.2} million/s, longest step of 256: {longest:?}",
        rate(flows, start.elapsed())
    );
}

fn checksum() {
    let table = table(10);
    for length in [64_usize, 1500] {
        let mut bytes = vec![0; length];
        bytes[..64].copy_from_slice(&packet(UDP));
        bytes[24..26].copy_from_slice(&u16::try_from(length - 20).unwrap().to_be_bytes());
        // Any other than the right one will do: what is wrong costs as much as what is right.
        bytes[26..28].copy_from_slice(&[1, 1]);
        let start = Clock::now();
        for _ in 0..1_000_000 {
            black_box(table.track(&Datagram::new(Family::Ipv4, black_box(&bytes)), Instant::ZERO));
        }
        println!("checksum of {length} bytes: {:.1} ns", start.elapsed().as_nanos() as f64 / 1e6);
    }
}
