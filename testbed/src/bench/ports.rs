//! Which way of receiving and sending on a packet socket is best: the measurement behind the router's defaults.

use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::Result;
use router::port::af_packet::{Receive, Settings};
use router::worker::WorkerConfig;

use super::{Effort, Report, measure, plan, set_kernel_forwarding, sides};
use crate::lab::Lab;
use crate::null;

/// Measures the kernel's own forwarding and the null forwarder on differently set up ports, those whose names contain
/// `only`.
///
/// # Errors
/// The lab cannot be built, or a subject does not forward.
pub fn run(effort: &Effort, rounds: u32, only: &str) -> Result<Report> {
    let lab = Lab::build(&plan())?;
    let mut report = Report::default();
    for _ in 0..rounds {
        set_kernel_forwarding(&lab, true)?;
        let began = Instant::now();
        report.add("kernel", measure(&lab, effort)?, began);
        set_kernel_forwarding(&lab, false)?;
        for subject in SUBJECTS.iter().filter(|subject| subject.name.contains(only)) {
            let began = Instant::now();
            let start = || null::start(sides(), &subject.settings(), subject.config());
            let (handle, _notices) = lab.at("r1").inside(start)?;
            report.add(subject.name, measure(&lab, effort)?, began);
            drop(handle);
        }
    }
    Ok(report)
}

/// One way to set up ports and worker, by what differs from the first.
struct Subject {
    name: &'static str,
    receive: Receive,
    batch_frames: usize,
    qdisc_bypass: bool,
    pinned: bool,
}

const PLAIN: Subject = Subject {
    name: "null: recvmmsg, batch 64",
    receive: Receive::Calls,
    batch_frames: 64,
    qdisc_bypass: false,
    pinned: false,
};

const SUBJECTS: &[Subject] = &[
    PLAIN,
    Subject { name: "null: recvmmsg, batch 256", batch_frames: 256, ..PLAIN },
    Subject { name: "null: ring, batch 32", receive: Receive::Ring, batch_frames: 32, ..PLAIN },
    Subject { name: "null: ring, batch 64", receive: Receive::Ring, ..PLAIN },
    Subject { name: "null: ring, batch 256", receive: Receive::Ring, batch_frames: 256, ..PLAIN },
    Subject { name: "null: ring, qdisc bypass", receive: Receive::Ring, qdisc_bypass: true, ..PLAIN },
    Subject { name: "null: ring, pinned", receive: Receive::Ring, pinned: true, ..PLAIN },
];

impl Subject {
    fn settings(&self) -> Settings {
        Settings { receive: self.receive, qdisc_bypass: self.qdisc_bypass, ..Settings::default() }
    }

    fn config(&self) -> WorkerConfig {
        let batch_frames = NonZeroUsize::new(self.batch_frames).expect("no batch is 0");
        let last = std::thread::available_parallelism().map_or(0, |cpus| cpus.get() - 1);
        WorkerConfig { batch_frames, cpu: self.pinned.then_some(last), ..WorkerConfig::default() }
    }
}
