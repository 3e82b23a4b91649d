//! Runs cases through a router and gathers what comes out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::case::{Case, Chapter, Step};
use super::ground::{Key, OWN4, PORTS, ROUTER, WIRES, neighbor_mac};
use super::mask;
use crate::frames::{Checksum, ETHERTYPE_ARP, Icmp, Payload, Udp, V4, arp};
use crate::lab::Lab;
use crate::router::Router;
use crate::wire::{Frame, Wire, wait_any};

/// How long a router may take to forward a marker.
const PATIENCE: Duration = Duration::from_secs(3);
/// The last byte of the addresses that ask the router itself, 172.20.254.9 and so on.
const QUESTIONER: u8 = 9;
/// What markers carry, before their number.
const MARK: &[u8] = b"marker of the testbed ";

/// What came out for one case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Frames by port, in order, as they were.
    pub ports: [Vec<Frame>; PORTS.len()],
    /// Whether the router forwarded no more afterwards.
    pub stuck: bool,
}

/// Runs the cases of `chapter` for which `wanted` holds through `router`, on a lab of their own, pinned to the
/// `cpu`th processor so that frames keep their order.
///
/// # Errors
/// The lab cannot be built or the router does not start. A router that stops forwarding is no error but an outcome.
pub fn run(
    chapter: &Chapter,
    router: &Router,
    cpu: usize,
    wanted: impl Fn(&Case) -> bool,
) -> Result<Vec<Outcome>> {
    pin(cpu)?;
    let (plan, router) = router.clone().settle(chapter.ground.plan(), ROUTER);
    let lab = Lab::build(&plan)?;
    let _running = router.start(&lab, ROUTER, &PORTS)?;
    let mut scene = Scene::open(&lab)?;
    if router.is_owned() {
        scene.asks = Asks::ForAddress;
    }
    let numbered = chapter.cases.iter().enumerate().filter(|(_, case)| wanted(case));
    numbered
        .map(|(number, case)| {
            let key = Key { number: number as u16 };
            scene.play(&(case.steps)(key)).with_context(|| format!("case `{}`", case.name))
        })
        .collect()
}

/// The wires at the ports of a router at work.
pub(crate) struct Scene {
    wires: Vec<Wire>,
    markers: u64,
    /// Questions for neighbors that the router has put so far, by port; how often it repeats them is a matter of time.
    asked: [Vec<Frame>; PORTS.len()],
    /// What came out last, and by which port.
    last: Option<(usize, Vec<u8>)>,
    /// Whether the router itself is asked too whether it has dealt with everything.
    asks: Asks,
}

/// What is asked of the router itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Nothing,
    /// An echo.
    ForEcho,
    /// Its link address: what it says of its own links may come later than all else.
    ForAddress,
}

impl Scene {
    /// Opens the wires of a lab whose router is at work.
    pub(crate) fn open(lab: &Lab) -> Result<Self> {
        let wires: Result<Vec<Wire>> =
            (0..PORTS.len()).map(|number| Wire::open(lab.at(WIRES), &format!("w{number}"))).collect();
        let mut scene =
            Self { wires: wires?, markers: 0, asked: Default::default(), last: None, asks: Asks::Nothing };
        let warm = scene.play(&[])?;
        anyhow::ensure!(!warm.stuck, "the router forwards nothing on a lab just built");
        Ok(scene)
    }

    /// Has the router itself answer too before anything counts as dealt with: what it answers for itself may come later
    /// than what it forwards.
    pub(crate) fn asks_router(&mut self) {
        self.asks = Asks::ForEcho;
    }

    /// Sends a frame and gathers what comes out of it.
    pub(crate) fn exchange(&mut self, port: usize, frame: &Frame) -> Result<Outcome> {
        let outcome = self.play(&[Step::SendOffloaded(port, frame.clone())])?;
        let ports = (0..PORTS.len()).filter(|exit| *exit != port).chain([port]);
        let mut came = ports.filter_map(|exit| Some((exit, outcome.ports[exit].last()?.bytes.clone())));
        self.last = came.next();
        Ok(outcome)
    }

    /// What the last [`Self::exchange`] let out, and by which port; by another than it came in if there is a choice.
    pub(crate) fn last(&self) -> Option<(usize, Vec<u8>)> {
        self.last.clone()
    }

    /// Nothing has come out yet.
    pub(crate) fn forget_last(&mut self) {
        self.last = None;
    }

    fn play(&mut self, steps: &[Step]) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut entry = None;
        for step in steps {
            match step {
                Step::Send(port, frame) => {
                    self.send(&mut entry, *port, &frame.clone().into(), &mut outcome)?
                }
                Step::SendOffloaded(port, frame) => self.send(&mut entry, *port, frame, &mut outcome)?,
                Step::Await(port, pattern, patience) => {
                    self.gather(&mut outcome, *patience, |outcome| came(&outcome.ports[*port], *pattern))?;
                }
                Step::AwaitAnywhere(pattern, patience) => {
                    let anywhere = |outcome: &Outcome| outcome.ports.iter().any(|port| came(port, *pattern));
                    self.gather(&mut outcome, *patience, anywhere)?;
                }
            }
        }
        outcome.stuck = !self.settle(entry.unwrap_or(0), &mut outcome)?;
        for (frames, asked) in outcome.ports.iter_mut().zip(&mut self.asked) {
            tidy(frames, asked);
        }
        Ok(outcome)
    }

    /// Puts a frame on a wire. A router has no order between its ports, so what came in by another port is dealt with
    /// first.
    fn send(
        &mut self,
        entry: &mut Option<usize>,
        port: usize,
        frame: &Frame,
        outcome: &mut Outcome,
    ) -> Result<()> {
        if let Some(before) = entry.replace(port).filter(|before| *before != port) {
            self.settle(before, outcome)?;
        }
        self.wires[port].send(frame)
    }

    /// Sends a marker to every port and waits until all have come, so that whatever was sent before has been dealt
    /// with. Says whether they came.
    fn settle(&mut self, entry: usize, outcome: &mut Outcome) -> Result<bool> {
        self.markers += 1;
        let mark = [MARK, &self.markers.to_be_bytes()].concat();
        for exit in 0..PORTS.len() {
            self.wires[entry].send(&marker(entry, exit, &mark).into())?;
        }
        let answer = [&mark[..], b" answered"].concat();
        let inquirer = mask::inquirer(entry, self.markers);
        match self.asks {
            Asks::Nothing => {}
            Asks::ForEcho => self.wires[entry].send(&question(entry, &answer).into())?,
            Asks::ForAddress => self.wires[entry].send(&inquiry(entry, inquirer).into())?,
        }
        let came = |frames: &[Frame], mark: &[u8]| frames.iter().any(|frame| frame.bytes.ends_with(mark));
        let asks = self.asks;
        let told =
            |frame: &Frame| mask::answers_inquirer(&frame.bytes) && frame.bytes[38..42] == inquirer.octets();
        let marked = |outcome: &Outcome| {
            let forwarded = outcome.ports.iter().all(|frames| came(frames, &mark));
            forwarded
                && match asks {
                    Asks::Nothing => true,
                    Asks::ForEcho => came(&outcome.ports[entry], &answer),
                    Asks::ForAddress => outcome.ports[entry].iter().any(told),
                }
        };
        self.gather(outcome, PATIENCE, marked)
    }

    /// Takes frames off the wires until `done`, at most `patience`. Says whether it was done.
    fn gather(
        &mut self,
        outcome: &mut Outcome,
        patience: Duration,
        done: impl Fn(&Outcome) -> bool,
    ) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            for (wire, frames) in self.wires.iter_mut().zip(&mut outcome.ports) {
                while let Some(frame) = wire.receive()? {
                    frames.push(frame);
                }
            }
            if done(outcome) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            wait_any(self.wires.iter(), left)?;
        }
    }
}

/// Whether such a frame, not a marker, is among those that came out of a port.
fn came(frames: &[Frame], pattern: fn(&[u8]) -> bool) -> bool {
    frames.iter().any(|frame| !contains(&frame.bytes, MARK) && pattern(&frame.bytes))
}

/// Leaves of a port's frames what the router made of the case's: no markers nor errors about them, nothing it sends
/// unasked, and no question for a neighbor that is among those `asked` before, in this case or an earlier one.
fn tidy(frames: &mut Vec<Frame>, asked: &mut Vec<Frame>) {
    let is_of_case = |frame: &Frame| {
        !contains(&frame.bytes, MARK) && !mask::unasked(&frame.bytes) && !mask::answers_inquirer(&frame.bytes)
    };
    frames.retain(is_of_case);
    frames.retain(|frame| {
        let asks = mask::asks_for_neighbor(&frame.bytes);
        let repeated = asks && asked.contains(frame);
        if asks && !repeated {
            asked.push(frame.clone());
        }
        !repeated
    });
}

fn contains(frame: &[u8], text: &[u8]) -> bool {
    frame.windows(text.len()).any(|window| window == text)
}

/// UDP that enters at one port and leaves at another.
fn marker(entry: usize, exit: usize, mark: &[u8]) -> Vec<u8> {
    let key = Key { number: 0 };
    let udp = Udp { source: 9, destination: 9, data: mark.to_vec(), ..key.udp() };
    let packet = V4 {
        source: std::net::Ipv4Addr::new(172, 20 + entry as u8, 254, 1),
        destination: std::net::Ipv4Addr::new(172, 20 + exit as u8, 254, 2),
        ..key.v4(Payload::Udp(udp))
    };
    key.link(entry).around(crate::frames::ETHERTYPE_IPV4, &packet.bytes())
}

/// The question for the router's link address.
fn inquiry(entry: usize, inquirer: std::net::Ipv4Addr) -> Vec<u8> {
    let message = arp(1, (neighbor_mac(entry, 2), inquirer), ([0; 6], OWN4[entry]));
    Key { number: 0 }.link(entry).around(ETHERTYPE_ARP, &message)
}

/// An echo request to the router itself.
fn question(entry: usize, mark: &[u8]) -> Vec<u8> {
    let key = Key { number: 0 };

    let echo = Icmp { kind: 8, code: 0, checksum: Checksum::Right, rest: [0, 9, 0, 1], data: mark.to_vec() };
    let packet = V4 {
        source: std::net::Ipv4Addr::new(172, 20 + entry as u8, 254, QUESTIONER),
        destination: OWN4[entry],
        ..key.v4(Payload::Icmp(echo))
    };
    key.link(entry).around(crate::frames::ETHERTYPE_IPV4, &packet.bytes())
}

/// Keeps this thread on one of the processors it may use.
pub(crate) fn pin(index: usize) -> Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let processors: Vec<usize> =
        (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)).collect();
    let mut only = CpuSet::new();
    only.set(processors[index % processors.len()])?;
    Ok(sched_setaffinity(Pid::from_raw(0), &only)?)
}
