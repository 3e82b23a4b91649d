//! `testbed fuzz`: runs targets for a while, repeats a failing input, writes seeds for libFuzzer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::session::{self, Ending, Settings};
use super::{TARGETS, Target, find};

/// What to feed, and for how long.
#[derive(Args)]
pub struct Options {
    /// Targets; all if none is named.
    #[arg(value_name = "TARGET", value_parser = parse_target)]
    targets: Vec<&'static Target>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Seed of the random changes; drawn and printed if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds that one input may take.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    input_seconds_max: u32,
    /// Where failing inputs are written [default: the directory for temporary files].
    #[arg(long, value_name = "DIRECTORY")]
    failures: Option<PathBuf>,
    /// Feeds the one target this file and nothing else.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds_to"])]
    input: Option<PathBuf>,
    /// Writes the seeds into a folder for each target, and feeds nothing.
    #[arg(long, value_name = "DIRECTORY")]
    seeds_to: Option<PathBuf>,
}

/// Does what was asked. Returns whether nothing was found.
///
/// # Errors
/// A file cannot be read or written, or no target is named where one is needed.
pub fn run(options: &Options) -> Result<bool> {
    let targets: Vec<&Target> =
        if options.targets.is_empty() { TARGETS.iter().collect() } else { options.targets.clone() };
    if let Some(path) = &options.input {
        ensure!(targets.len() == 1, "--input {}: name the one target that it is for", path.display());
        let input = fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        (targets[0].run)(&input);
        println!("{}: nothing wrong with {}", targets[0].name, path.display());
        return Ok(true);
    }
    if let Some(directory) = &options.seeds_to {
        for target in targets {
            write_seeds(target, &directory.join(target.name))?;
        }
        return Ok(true);
    }
    feed(&targets, options)
}

fn feed(targets: &[&'static Target], options: &Options) -> Result<bool> {
    let settings = Settings {
        time: Duration::from_secs(options.seconds.into()),
        seed: options.seed.unwrap_or_else(|| fastrand::u64(..)),
        input_time_max: Duration::from_secs(options.input_seconds_max.into()),
        failures: options.failures.clone().unwrap_or_else(std::env::temp_dir),
    };
    let mut clean = true;
    for target in targets {
        match session::run(target, &settings)? {
            Ending::Clean(inputs) => {
                println!("{:10} {inputs:9} inputs, seed {}", target.name, settings.seed);
            }
            Ending::Failed(path) => {
                clean = false;
                eprintln!("{}", session::failure(target, &path));
            }
        }
    }
    Ok(clean)
}

fn write_seeds(target: &Target, directory: &Path) -> Result<()> {
    for seed in (target.seeds)() {
        session::keep(target, &seed, directory)?;
    }
    Ok(())
}

fn parse_target(name: &str) -> Result<&'static Target> {
    let Some(target) = find(name) else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        bail!("none of {}", names.join(", "));
    };
    Ok(target)
}
