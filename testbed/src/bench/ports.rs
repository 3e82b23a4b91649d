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
        for (name, settings, batch) in subjects().into_iter().filter(|(name, ..)| name.contains(only)) {
            let config = WorkerConfig { batch_frames: batch, ..WorkerConfig::default() };
            let began = Instant::now();
            let (handle, _notices) = lab.at("r1").inside(|| null::start(sides(), &settings, config))?;
            report.add(&name, measure(&lab, effort)?, began);
            drop(handle);
        }
    }
    Ok(report)
}

fn subjects() -> Vec<(String, Settings, NonZeroUsize)> {
    let mut subjects = Vec::new();
    for receive in [Receive::Calls, Receive::Ring] {
        for qdisc_bypass in [false, true] {
            for batch in [32, 64, 256] {
                let way = match receive {
                    Receive::Calls => "recvmmsg",
                    Receive::Ring => "ring",
                };
                let bypass = if qdisc_bypass { ", bypass" } else { "" };
                let batch = NonZeroUsize::new(batch).expect("no batch is 0");
                let settings = Settings { receive, qdisc_bypass, ..Settings::default() };
                subjects.push((format!("null: {way} {batch}{bypass}"), settings, batch));
            }
        }
    }
    subjects
}
