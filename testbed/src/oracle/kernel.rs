//! The kernel's side: a namespace that forwards between two wires, and rules that write on each packet what connection
//! tracking made of it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::bytes::{self, CLASS_LOST, CLASS_NO_TRACK, CLASS_ZONE, Place, number_of};
use super::ctnetlink::Ctnetlink;
use super::flow::{Fate, Mark, Seen};
use super::mode::Mode;
use super::sequence::{Body, Packet, Sequence, Side, Step, Treatment};
use crate::compare::run::pin;
use crate::frames::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Link};
use crate::lab::{Lab, Plan, Role};
use crate::wire::{Wire, wait_any};

const ROUTER: &str = "router";
const WIRES: &str = "wires";

/// Packets that are on their way at the same time; the kernel's queue of a device holds a thousand.
const BURST: usize = 64;
/// How long a marker may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Numbers of sequences are used again after so many: none of their packets is on its way any more then.
const NUMBERS: u16 = 60_000;

/// Longer than all that is sent, in bytes.
const MTU: usize = 4000;

/// Kernels made so far: they take turns on the processors.
static LABS: AtomicUsize = AtomicUsize::new(0);

/// The most sequences that are played at the same time.
pub const BATCH_MAX: usize = 1000;

/// A kernel that tracks connections.
pub struct Kernel {
    lab: Lab,
    wires: [Wire; 2],
    ctnetlink: Ctnetlink,
    /// Number of the next sequence.
    number: u16,
    markers: u32,
}

/// What the kernel did with a step, and when; points in time count from the beginning of the batch.
#[derive(Clone, Debug)]
pub struct Played {
    /// What was seen.
    pub seen: Seen,
    /// When it was sent.
    pub sent: Duration,
    /// When the flows were listed.
    pub listed: Duration,
    /// How much later than said either may have happened.
    pub slack: Duration,
}

/// A batch of sequences as it went through the kernel.
pub struct Batch {
    /// Number of the first sequence; the others follow.
    pub number: u16,
    /// Steps by sequence.
    pub played: Vec<Vec<Played>>,
}

impl Kernel {
    /// Builds the namespace. The thread stays on one processor from now on, so that frames keep their order.
    ///
    /// # Errors
    /// The lab cannot be built, or the kernel lacks something.
    pub fn new() -> Result<Self> {
        let processor = LABS.fetch_add(1, Ordering::Relaxed);
        pin(processor)?;
        let lab = Lab::build(&plan())?;
        let router = lab.at(ROUTER);
        router.nft(&rules())?;
        router.sysctl("ipv4/ip_forward", "1")?;
        router.sysctl("ipv6/conf/all/forwarding", "1")?;
        let wires = [Wire::open(lab.at(WIRES), "w0")?, Wire::open(lab.at(WIRES), "w1")?];
        let ctnetlink = Ctnetlink::open(router)?;
        Ok(Self { lab, wires, ctnetlink, number: 1, markers: 0 })
    }

    /// Turns the kernel's switches.
    ///
    /// # Errors
    /// It lacks one of them.
    pub fn set(&mut self, mode: &Mode) -> Result<()> {
        mode.sysctls().iter().try_for_each(|(key, value)| self.lab.at(ROUTER).sysctl(key, value))
    }

    /// Plays sequences, at most [`BATCH_MAX`], at the same time: first step of each, second step of each, …
    ///
    /// # Errors
    /// The kernel does not forward any more.
    pub fn play(&mut self, sequences: &[&Sequence]) -> Result<Batch> {
        ensure!(sequences.len() <= BATCH_MAX, "{} sequences at once", sequences.len());
        if usize::from(NUMBERS - self.number) < sequences.len() {
            self.number = 1;
        }
        let number = self.number;
        self.number += sequences.len() as u16;
        self.ctnetlink.flush()?;
        let start = Instant::now();
        let mut played = vec![Vec::new(); sequences.len()];
        let steps = sequences.iter().map(|sequence| sequence.steps.len()).max().unwrap_or(0);
        for step in 0..steps {
            self.step(sequences, step, number, start, &mut played)?;
        }
        Ok(Batch { number, played })
    }

    /// Plays the step of that index of each sequence that has so many.
    fn step(
        &mut self,
        sequences: &[&Sequence],
        step: usize,
        number: u16,
        start: Instant,
        played: &mut [Vec<Played>],
    ) -> Result<()> {
        let waits = sequences.iter().filter_map(|sequence| match sequence.steps.get(step) {
            Some(Step::Wait(milliseconds)) => Some(*milliseconds),
            _ => None,
        });
        if let Some(longest) = waits.max() {
            std::thread::sleep(Duration::from_millis(longest.into()));
        }
        let due: Vec<usize> =
            (0..sequences.len()).filter(|index| sequences[*index].steps.len() > step).collect();
        for burst in due.chunks(BURST) {
            let sent = start.elapsed();
            for index in burst {
                if let Step::Send(packet) = &sequences[*index].steps[step] {
                    let place = Place { sequence: number + *index as u16, step: step as u8 };
                    self.send(sequences[*index], packet, place)?;
                }
            }
            let marks = self.settle()?;
            let slack = start.elapsed() - sent;
            for index in burst {
                let place = Place { sequence: number + *index as u16, step: step as u8 };
                let fate = match sequences[*index].steps[step] {
                    Step::Wait(_) => None,
                    Step::Send(_) => Some(match marks.get(&place) {
                        None => Fate::Dropped,
                        Some(class) => Fate::Passed(mark(*class).with_context(|| {
                            format!("{}: class of service {class} came out", sequences[*index].name)
                        })?),
                    }),
                };
                let seen = Seen { fate, flows: Vec::new() };
                played[*index].push(Played { seen, sent, listed: Duration::ZERO, slack });
            }
        }
        let listed = start.elapsed();
        let rows = self.ctnetlink.list()?;
        let took = start.elapsed() - listed;
        for row in rows {
            let index = usize::from(number_of(row.original.source)).wrapping_sub(number.into());
            if let Some(steps) = played.get_mut(index)
                && let Some(last) = steps.get_mut(step)
            {
                last.seen.flows.push(row);
            }
        }
        for index in due {
            let last = &mut played[index][step];
            last.listed = listed;
            last.slack += took;
            last.seen.sort();
        }
        Ok(())
    }

    fn send(&self, sequence: &Sequence, packet: &Packet, place: Place) -> Result<()> {
        let wire = packet.side.index();
        let ether_type = if sequence.ipv6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        for datagram in bytes::datagrams(sequence, packet, place) {
            self.wires[wire].send(&link(wire).around(ether_type, &datagram).into())?;
        }
        Ok(())
    }

    /// Waits until all that was sent has been dealt with, and says what came out, by place.
    fn settle(&mut self) -> Result<HashMap<Place, u8>> {
        let mut marks = HashMap::new();
        let markers = [Side::Left, Side::Right].map(|side| {
            self.markers = (self.markers + 1) % 250;
            (side, self.markers as u8)
        });
        for (side, marker) in markers {
            let body = Body::Other { protocol: 253, length: 8 };
            let packet = Packet { treatment: Treatment::NoTrack, ..Packet::new(side, body) };
            let sequence = Sequence::new(String::new(), Vec::new());
            self.send(&sequence, &packet, Place { sequence: 0, step: marker })?;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            for wire in &mut self.wires {
                while let Some(frame) = wire.receive()? {
                    if let Some((place, class)) = read(&frame.bytes) {
                        marks.entry(place).or_insert(class);
                    }
                }
            }
            let came = |marker| marks.contains_key(&Place { sequence: 0, step: marker });
            if markers.iter().all(|(_, marker)| came(*marker)) {
                return Ok(marks);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the kernel forwards nothing any more");
            wait_any(self.wires.iter(), left)?;
        }
    }
}

fn mark(class: u8) -> Option<Mark> {
    Mark::ALL.into_iter().find(|mark| *mark as u8 == class)
}

/// Place and class of service of a frame that a sequence sent, of the first piece if it is fragmented.
fn read(frame: &[u8]) -> Option<(Place, u8)> {
    let packet = frame.get(14..)?;
    let half = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?));
    let (sequence, step, class) = match frame.get(12..14)? {
        [0x08, 0x00] if packet.get(16)? == &10 && half(6)? & 0x1fff == 0 => {
            (half(18)?, half(4)?, packet.get(1)? >> 2)
        }
        [0x86, 0xdd] if packet.get(24..26)? == [0xfd, 0x00] => {
            let head = u32::from_be_bytes(*packet.first_chunk()?);
            (half(38)?, head as u16, (head >> 22 & 0x3f) as u8)
        }
        _ => return None,
    };
    Some((Place { sequence, step: step as u8 }, class))
}

/// What stands around packets that come in by the wire.
fn link(wire: usize) -> Link {
    Link {
        destination: [2, 0, 0, 0, wire as u8 + 1, 1],
        source: [2, 0, 0, 0, wire as u8 + 1, 2],
        tags: Vec::new(),
        trailer: Vec::new(),
    }
}

/// Two ports; client and a router behind the first, server and a router behind the second.
fn plan() -> Plan {
    let mut plan = Plan::new().station(ROUTER, Role::Router).station(WIRES, Role::Wire);
    for wire in 0..2_u8 {
        plan = plan.link(
            &format!("{ROUTER}:r{wire} 192.168.{wire}.1/24 fd01:{wire}::1/64"),
            &format!("{WIRES}:w{wire}"),
        );
    }
    for wire in 0..2_u8 {
        let mac = format!("02:00:00:00:0{}:02", wire + 1);
        let [gateway4, gateway6] = [format!("192.168.{wire}.2"), format!("fd01:{wire}::2")];
        for gateway in [&gateway4, &gateway6] {
            plan = plan
                .ip(ROUTER, &format!("neighbor replace {gateway} dev r{wire} lladdr {mac} nud permanent"));
        }
        for net in [wire + 1, wire + 3] {
            plan = plan
                .ip(ROUTER, &format!("route add 10.{net}.0.0/16 via {gateway4}"))
                .ip(ROUTER, &format!("route add fd00:{net}::/32 via {gateway6}"));
        }
    }
    for wire in 0..2 {
        plan = plan.ip(ROUTER, &format!("link set r{wire} mtu {MTU}"));
        plan = plan.ip(WIRES, &format!("link set w{wire} mtu {MTU}"));
    }
    plan.sysctl(ROUTER, "ipv4/conf/all/send_redirects", "0")
}

/// Rules that do what classes of service ask for, and write what connection tracking made of a packet in its place.
fn rules() -> String {
    let mut text = String::new();
    for (family, header) in [("ip", "ip"), ("ip6", "ip6")] {
        let _ = writeln!(text, "table {family} oracle {{\n chain raw {{");
        let _ = writeln!(text, "  type filter hook prerouting priority raw");
        let _ = writeln!(text, "  {header} dscp {CLASS_NO_TRACK} notrack");
        for zone in 1..=7 {
            let _ = writeln!(text, "  {header} dscp {} ct zone set {zone}", CLASS_ZONE + zone);
        }
        let _ = writeln!(text, " }}\n chain forward {{\n  type filter hook forward priority filter");
        let _ = writeln!(text, "  {header} dscp {CLASS_LOST} drop");
        for mark in Mark::ALL {
            let (state, direction) = mark.words();
            let direction = direction.map(|word| format!("ct direction {word} ")).unwrap_or_default();
            let _ = writeln!(text, "  ct state {state} {direction}{header} dscp set {} accept", mark as u8);
        }
        let _ = writeln!(text, " }}\n}}");
    }
    text
}
