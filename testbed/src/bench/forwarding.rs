//! routerd beside the kernel's own forwarding and the null forwarder, with the targets that it is to reach.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use router::port::af_packet::Settings;
use router::worker::WorkerConfig;

use super::{Effort, Measured, Report, measure, plan, set_kernel_forwarding, sides};
use crate::lab::Lab;
use crate::null;
use crate::router::Router;

/// How long to measure. The defaults take about one and a half minutes.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// How often everything is measured; what is told is the median.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Seconds of each load.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    seconds: u32,
}

/// Who forwards, in the order in which they are measured.
const SUBJECTS: [&str; 3] = ["kernel", "null", "routerd"];

/// What each subject achieved in one round.
type Round = [Measured; SUBJECTS.len()];

/// All rounds. Displayed, it tells medians, ratios and which targets are met.
#[derive(Clone, Debug)]
pub struct Outcome(Vec<Round>);

/// Measures all subjects on one lab, round after round.
///
/// # Errors
/// The lab cannot be built, or a subject does not forward.
pub fn run(options: &Options) -> Result<Outcome> {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build, whose figures say little: use `cargo run --release`");
    }
    let effort = Effort {
        pings: 400 * options.seconds,
        transfer_s: options.seconds,
        flood: Duration::from_secs(options.seconds.into()),
    };
    let lab = Lab::build(&plan())?;
    let rounds = (1..=options.rounds).map(|number| {
        let began = Instant::now();
        let round = [kernel(&lab, &effort)?, null(&lab, &effort)?, routerd(&lab, &effort)?];
        eprintln!("round {number} of {}: {:.0} s", options.rounds, began.elapsed().as_secs_f64());
        Ok(round)
    });
    rounds.collect::<Result<_>>().map(Outcome)
}

fn kernel(lab: &Lab, effort: &Effort) -> Result<Measured> {
    set_kernel_forwarding(lab, true)?;
    let measured = measure(lab, effort)?;
    set_kernel_forwarding(lab, false)?;
    Ok(measured)
}

fn null(lab: &Lab, effort: &Effort) -> Result<Measured> {
    let start = || null::start(sides(), &Settings::default(), WorkerConfig::default());
    let (_handle, _notices) = lab.at("r1").inside(start)?;
    measure(lab, effort)
}

/// routerd sets a guard of its own; the one that stands there for the null forwarder changes nothing.
fn routerd(lab: &Lab, effort: &Effort) -> Result<Measured> {
    let running = Router::routerd(&[])?.start(lab, "r1", &["r0", "r1"])?;
    let measured = measure(lab, effort)?;
    running.stop()?;
    Ok(measured)
}

/// Something that routerd is to achieve, seen from another subject of the same round.
struct Target {
    name: &'static str,
    beside: usize,
    compare: fn(routerd: &Measured, other: &Measured) -> f64,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const KERNEL: usize = 0;
const NULL: usize = 1;
const ROUTERD: usize = 2;

const TARGETS: [Target; 6] = [
    Target {
        name: "TCP throughput, of the kernel's",
        beside: KERNEL,
        compare: |routerd, other| routerd.tcp_gbit_s / other.tcp_gbit_s,
        bound: Bound::AtLeast(0.5),
    },
    Target {
        name: "TCP throughput, of null's",
        beside: NULL,
        compare: |routerd, other| routerd.tcp_gbit_s / other.tcp_gbit_s,
        bound: Bound::AtLeast(0.8),
    },
    Target {
        name: "64-byte packets of 1 flow, of null's",
        beside: NULL,
        compare: |routerd, other| routerd.one_flow_kpps / other.one_flow_kpps,
        bound: Bound::AtLeast(0.75),
    },
    Target {
        name: "64-byte packets of 10,000 flows, of null's",
        beside: NULL,
        compare: |routerd, other| routerd.many_flows_kpps / other.many_flows_kpps,
        bound: Bound::AtLeast(0.75),
    },
    Target {
        name: "new TCP connections, of null's",
        beside: NULL,
        compare: |routerd, other| routerd.connections_k_s / other.connections_k_s,
        bound: Bound::AtLeast(0.8),
    },
    Target {
        name: "idle ping, microseconds above the kernel's",
        beside: KERNEL,
        compare: |routerd, other| routerd.ping_us - other.ping_us,
        bound: Bound::AtMost(40.0),
    },
];

impl Target {
    /// What was achieved: compared round by round, as a machine's speed changes between rounds.
    fn achieved(&self, rounds: &[Round]) -> f64 {
        median(rounds.iter().map(|round| (self.compare)(&round[ROUTERD], &round[self.beside])))
    }

    fn is_met(&self, achieved: f64) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => achieved >= bound,
            Bound::AtMost(bound) => achieved <= bound,
        }
    }
}

impl Outcome {
    /// The figures of one subject, each the median of all rounds.
    fn medians(&self, subject: usize) -> Measured {
        let of = |figure: fn(&Measured) -> f64| median(self.0.iter().map(|round| figure(&round[subject])));
        Measured {
            ping_us: of(|measured| measured.ping_us),
            tcp_gbit_s: of(|measured| measured.tcp_gbit_s),
            connections_k_s: of(|measured| measured.connections_k_s),
            one_flow_kpps: of(|measured| measured.one_flow_kpps),
            many_flows_kpps: of(|measured| measured.many_flows_kpps),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut report = Report::default();
        for (subject, name) in SUBJECTS.iter().enumerate() {
            report.push(name, self.medians(subject));
        }
        writeln!(out, "medians of {} rounds, ratios to {}:\n\n{report}", self.0.len(), SUBJECTS[0])?;
        for target in &TARGETS {
            let achieved = target.achieved(&self.0);
            let verdict = if target.is_met(achieved) { "met" } else { "MISSED" };
            let (words, bound) = match target.bound {
                Bound::AtLeast(bound) => ("at least", bound),
                Bound::AtMost(bound) => ("at most", bound),
            };
            writeln!(out, "{:<44} {achieved:>6.2}  {words} {bound:<5}  {verdict}", target.name)?;
        }
        Ok(())
    }
}

/// The middle one; of an even number the lower of the two in the middle.
///
/// # Panics
/// If there are none.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round in which routerd achieves `share` of what the others do, and adds `more_us` to an echo.
    fn round(scale: f64, share: f64, more_us: f64) -> Round {
        let full = Measured {
            ping_us: 20.0,
            tcp_gbit_s: 10.0 * scale,
            connections_k_s: 5.0 * scale,
            one_flow_kpps: 500.0 * scale,
            many_flows_kpps: 400.0 * scale,
        };
        let routerd = Measured {
            ping_us: full.ping_us + more_us,
            tcp_gbit_s: full.tcp_gbit_s * share,
            connections_k_s: full.connections_k_s * share,
            one_flow_kpps: full.one_flow_kpps * share,
            many_flows_kpps: full.many_flows_kpps * share,
        };
        [full, full, routerd]
    }

    #[test]
    fn a_machine_whose_speed_changes_between_rounds_changes_no_ratio() {
        let rounds = [round(1.0, 0.9, 5.0), round(0.3, 0.9, 5.0), round(2.0, 0.9, 5.0)];
        for target in &TARGETS {
            let achieved = target.achieved(&rounds);
            let expected = if matches!(target.bound, Bound::AtMost(_)) { 5.0 } else { 0.9 };
            assert!((achieved - expected).abs() < 1e-9, "{}: {achieved}", target.name);
        }
    }

    #[test]
    fn one_bad_round_of_three_decides_nothing() {
        let rounds = [round(1.0, 0.9, 5.0), round(1.0, 0.01, 900.0), round(1.0, 0.9, 5.0)];
        assert!(TARGETS.iter().all(|target| target.is_met(target.achieved(&rounds))));
    }

    #[test]
    fn what_is_missed_is_said() {
        let said = Outcome(vec![round(1.0, 0.6, 41.0)]).to_string();
        assert_eq!(said.matches("MISSED").count(), 5, "{said}");
        assert!(said.contains("of the kernel's                0.60  at least 0.5    met"), "{said}");
    }

    #[test]
    fn the_median_is_a_figure_that_was_measured() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.0);
    }
}
