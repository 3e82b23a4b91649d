//! Seeds: every run depends on one number alone, a failure names it, and naming it again gives the same run.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Name of the variable that chooses the seed.
pub const VARIABLE: &str = "ROUTER_SEED";

/// Runs `run` with each seed from 1 to `count`, or with the one that `ROUTER_SEED` names. When a run panics, the seed
/// is printed before the panic goes on.
///
/// # Panics
/// When a run does, or `ROUTER_SEED` is no number.
pub fn for_each(count: u64, run: impl Fn(u64)) {
    let seeds = match std::env::var(VARIABLE) {
        Ok(text) => vec![text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text} is no number"))],
        Err(_) => (1..=count).collect(),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("failed with seed {seed}; {VARIABLE}={seed} repeats it");
            resume_unwind(panic);
        }
    }
}
