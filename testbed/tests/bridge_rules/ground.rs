//! A bridge of three ports with a wire at each, the kernel's or routerd's.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::frames::Link;
use testbed::lab::{Lab, Plan, Role};
use testbed::router::{Router, Running};
use testbed::wire::{Frame, Wire, wait_any};

use crate::frames::{OWN, Probe};

/// Whose bridge it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bridge {
    Kernel,
    Routerd,
}

const STATION: &str = "box";
const WIRES: &str = "wires";
const PORTS: [&str; 3] = ["r0", "r1", "r2"];
const PATIENCE: Duration = Duration::from_secs(3);
/// The EtherType of markers, which rules let pass: the first one for experiments (RFC 9542).
const MARKER: u16 = 0x88b5;

/// What came out of a bridge for one frame, by port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    ports: [Vec<Frame>; PORTS.len()],
}

impl Heard {
    pub fn count(&self) -> usize {
        self.ports.iter().map(Vec::len).sum()
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (port, frames) in PORTS.iter().zip(&self.ports) {
            for frame in frames {
                let bytes: String = frame.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                write!(formatter, "\n    {port} {bytes}")?;
            }
        }
        Ok(())
    }
}

/// The lab for a bridge, and routerd as it is to be started there.
pub fn build(bridge: Bridge) -> Result<(Lab, Option<Router>)> {
    let plan = Plan::new().station(STATION, Role::Router).station(WIRES, Role::Wire);
    let plan = PORTS.iter().enumerate().fold(plan, |plan, (number, port)| {
        plan.link(&format!("{STATION}:{port}"), &format!("{WIRES}:w{number}"))
    });
    let plan = ["all", "default"]
        .into_iter()
        .fold(plan, |plan, of| plan.sysctl(STATION, &format!("ipv6/conf/{of}/disable_ipv6"), "1"));
    match bridge {
        Bridge::Kernel => {
            let plan =
                plan.ip(STATION, "link add br0 type bridge stp_state 0 mcast_snooping 0 forward_delay 0");
            let plan = PORTS
                .iter()
                .fold(plan, |plan, port| plan.ip(STATION, &format!("link set {port} master br0")));
            Ok((Lab::build(&plan.ip(STATION, "link set br0 up"))?, None))
        }
        Bridge::Routerd => {
            let router = Router::routerd(&["--workers", "1"])?.owned("none").configured(CONFIG);
            let (plan, router) = router.settle(plan, STATION);
            Ok((Lab::build(&plan)?, Some(router)))
        }
    }
}

const CONFIG: &str = "[[bridge]]\nname = \"br0\"\nports = [\"r0\", \"r1\", \"r2\"]\n";

/// A bridge at work, with its wires.
pub struct Bench<'lab> {
    lab: &'lab Lab,
    running: Option<Running<'lab>>,
    wires: Vec<Wire>,
    markers: u16,
}

impl<'lab> Bench<'lab> {
    pub fn open(lab: &'lab Lab, router: Option<&Router>) -> Result<Self> {
        let running = router.map(|router| router.start(lab, STATION, &PORTS)).transpose()?;
        let open = |number| Wire::open(lab.at(WIRES), &format!("w{number}"));
        let wires = (0..PORTS.len()).map(open).collect::<Result<_>>()?;
        let mut bench = Self { lab, running, wires, markers: 0 };
        bench.send(&Probe::nothing(), 0).context("a bridge just built")?;
        Ok(bench)
    }

    /// Puts rules in force.
    pub fn load(&self, text: &str) -> Result<()> {
        match &self.running {
            Some(running) => running.load_rules(text).map(drop),
            None => self.lab.at(STATION).nft(text),
        }
    }

    /// The rules with what they have counted.
    pub fn listing(&self) -> Result<String> {
        match &self.running {
            Some(running) => running.tell("show rules"),
            None => self.lab.at(STATION).run("nft", &["list", "ruleset"]),
        }
    }

    /// Sends a frame; what came out until the bridge had passed what was sent behind it, and so many frames.
    pub fn send(&mut self, probe: &Probe, wanted: usize) -> Result<Heard> {
        if !probe.frame.is_empty() {
            self.wires[probe.port].send(&probe.frame.clone().into())?;
        }
        self.markers += 1;
        let source = [2, 0, 0, 0, 0x99, probe.port as u8];
        let link = Link { destination: [0xff; 6], source, tags: Vec::new(), trailer: vec![0; 44] };
        let marker = link.around(MARKER, &self.markers.to_be_bytes());
        self.wires[probe.port].send(&marker.clone().into())?;
        let mut heard = Heard::default();
        let mut passed = [false; PORTS.len()];
        passed[probe.port] = true;
        let begun = Instant::now();
        while !passed.iter().all(|passed| *passed) || heard.count() < wanted {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            if left.is_zero() {
                ensure!(passed.iter().all(|passed| *passed), "the bridge passes no marker");
                break;
            }
            wait_any(self.wires.iter(), left)?;
            for (port, wire) in self.wires.iter_mut().enumerate() {
                while let Some(frame) = wire.receive()? {
                    if frame.bytes == marker {
                        passed[port] = true;
                    } else if frame.bytes.get(12..14) != Some(&MARKER.to_be_bytes())
                        && !is_announcement(&frame)
                    {
                        heard.ports[port].push(frame);
                    }
                }
            }
        }
        Ok(heard)
    }
}

/// Whether the bridge itself speaks of its link-local address, which only routerd's has here.
fn is_announcement(frame: &Frame) -> bool {
    frame.bytes.starts_with(&[0x33, 0x33]) && frame.bytes[6..].starts_with(&OWN[0])
}
