//! The kernel as oracle: the same frames go through twin labs, and what comes out is compared byte by byte.

pub mod case;
mod cases;
pub mod command;
pub mod describe;
pub mod ground;
pub mod mask;
pub mod run;

use std::fmt::Write;
use std::thread;

use anyhow::Result;

pub use case::{Case, Chapter, Deviation};
pub use cases::chapters;
pub use run::Outcome;

use crate::router::Router;

/// A case in which two routers differ, or in which the first did not do what the case says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Chapter and name of the case.
    pub case: String,
    /// What differs, for a person to read.
    pub report: String,
}

/// What a chapter's comparison came to.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Cases run.
    pub cases: usize,
    /// Cases in which the second router differs from the first.
    pub differences: Vec<Difference>,
    /// Cases in which the first router, the oracle, does not do what the case says of it.
    pub surprises: Vec<Difference>,
}

/// Runs the cases of `chapter` for which `wanted` holds through the kernel and through `router`, at the same time in
/// twin labs. Whether the kernel tracks connections is the chapter's ground to say; `router` has to be told.
///
/// # Errors
/// A lab cannot be built, a router does not start.
pub fn compare(
    chapter: &Chapter,
    router: &Router,
    wanted: impl Fn(&Case) -> bool + Sync,
) -> Result<Comparison> {
    let kernel = Router::Kernel { tracking: chapter.ground.tracking() };
    let (oracle, tried) = thread::scope(|scope| {
        let oracle = scope.spawn(|| run::run(chapter, &kernel, 0, &wanted));
        let tried = scope.spawn(|| run::run(chapter, router, 1, &wanted));
        [oracle, tried].map(|thread| thread.join().expect("a run ends with a result")).into()
    });
    let (oracle, tried) = (oracle?, tried?);
    let mut comparison = Comparison { cases: oracle.len(), ..Comparison::default() };
    let cases = chapter.cases.iter().filter(|case| wanted(case));
    for ((case, oracle), tried) in cases.zip(&oracle).zip(&tried) {
        let name = format!("{}: {}", chapter.name, case.name);
        let did = describe::outcome(oracle);
        if did != case.expected {
            let report = format!("  expected of Linux: {}\n  and it did:        {did}\n", case.expected);
            comparison.surprises.push(Difference { case: name.clone(), report });
        }
        let report = difference(oracle, tried, router.name(), chapter.ground.tracking());
        let report = match case.deviation {
            Some(meant) if router.deviates(meant.without_kernel) => {
                otherwise_than_meant(meant, tried, report)
            }
            _ => report,
        };
        if let Some(report) = report {
            comparison.differences.push(Difference { case: name, report });
        }
    }
    Ok(comparison)
}

/// The report of a difference that is not the one that is meant, or not there any more.
fn otherwise_than_meant(meant: Deviation, tried: &Outcome, report: Option<String>) -> Option<String> {
    let did = describe::outcome(tried);
    match report {
        Some(_) if did == meant.outcome => None,
        Some(report) => Some(report),
        None => Some(format!(
            "  meant:   {} ({})\n  and it did as the kernel: {did}\n",
            meant.outcome, meant.reason
        )),
    }
}

/// Unlike frames of a port that are shown.
const UNLIKE_MAX: usize = 3;

/// How `tried` differs from `oracle`, with what cannot be alike masked.
pub(crate) fn difference(oracle: &Outcome, tried: &Outcome, name: &str, tracking: bool) -> Option<String> {
    let comparable =
        |outcome: &Outcome| outcome.ports.each_ref().map(|frames| mask::comparable(frames, tracking));
    let (one, other) = (comparable(oracle), comparable(tried));
    if oracle.stuck == tried.stuck && one == other {
        return None;
    }
    let mut text =
        format!("  kernel:  {}\n  {name}: {}\n", describe::outcome(oracle), describe::outcome(tried));
    for ((port, one), other) in ground::PORTS.iter().zip(&one).zip(&other) {
        let unlike = one.iter().zip(other).filter(|(one, other)| one != other);
        for (one, other) in unlike.take(UNLIKE_MAX) {
            if one.offload != other.offload {
                let _ = writeln!(text, "    {port}: {:?}, and {name}'s {:?}", one.offload, other.offload);
            }
            let (one, other) = (&one.bytes, &other.bytes);
            let Some(at) = first_difference(one, other) else { continue };
            let _ = writeln!(text, "    {port}, byte {at}, {}", describe::field(one, at));
            text.push_str(&describe::unlike_rows(one, other, name));
        }
    }
    Some(text)
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    if one == other {
        return None;
    }
    let common = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    Some(common)
}

#[cfg(test)]
mod tests {
    use super::{Outcome, difference};
    use crate::compare::ground::Key;
    use crate::frames::V4;

    fn forwarded(ttl: u8) -> Outcome {
        let key = Key { number: 0 };
        let mut outcome = Outcome::default();
        outcome.ports[1].push(key.frame4(&V4 { ttl, ..key.udp4() }).into());
        outcome
    }

    #[test]
    fn like_outcomes_do_not_differ() {
        assert_eq!(difference(&forwarded(63), &forwarded(63), "routerd", true), None);
    }

    #[test]
    fn one_byte_is_found_and_its_field_named() {
        let report = difference(&forwarded(63), &forwarded(64), "routerd", true).unwrap();
        assert!(report.contains("byte 22, TTL"), "{report}");
    }

    #[test]
    fn a_frame_too_many_is_a_difference() {
        let report = difference(&Outcome::default(), &forwarded(63), "routerd", true).unwrap();
        assert!(report.contains("kernel:  nothing") && report.contains("routerd: r1 udp"), "{report}");
    }
}
