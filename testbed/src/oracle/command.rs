//! `testbed oracle`: sequences of packets through the kernel's connection tracking and through ours.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{Difference, Judge, MODES, Mode, Sequence, sequences_for, text};

/// Differing sequences that are named, besides those that are shown.
const NAMED_MAX: usize = 40;

/// What to play.
#[derive(Args)]
pub struct Options {
    /// Seed of the random sequences; drawn and printed if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Random sequences in each mode.
    #[arg(long, default_value_t = 5000)]
    sequences: usize,
    /// Only sequences whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Only this mode [default: all].
    #[arg(long, value_name = "NAME", value_parser = parse_mode)]
    mode: Option<Mode>,
    /// Plays the sequences of this file and no others.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Shows what both make of each step instead of comparing.
    #[arg(long)]
    trace: bool,
    /// Differing sequences that are made small and shown.
    #[arg(long, default_value_t = 10)]
    show: usize,
}

/// Plays and prints what differs. Says whether all was alike.
///
/// # Errors
/// The lab cannot be built, or a file cannot be read.
pub fn run(options: &Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut judge = Judge::new()?;
    let mut differing = 0;
    for mode in MODES.into_iter().filter(|mode| options.mode.is_none_or(|only| only == *mode)) {
        judge.set(mode)?;
        let sequences = sequences(options, &mode, seed)?;
        if options.trace {
            sequences.iter().try_for_each(|sequence| trace(&mut judge, sequence))?;
            continue;
        }
        let (played, differences) = judge.judge(&sequences, options.show)?;
        println!("{:14} {played} sequences, seed {seed}: {} differ", mode.name, differences.len());
        show(&differences, options.show);
        differing += differences.len();
    }
    Ok(differing == 0)
}

fn sequences(options: &Options, mode: &Mode, seed: u64) -> Result<Vec<Sequence>> {
    let mut sequences = match &options.file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            text::parse(&text).with_context(|| path.display().to_string())?
        }
        None => sequences_for(mode, seed, options.sequences)?,
    };
    sequences.retain(|sequence| sequence.name.contains(&options.only));
    Ok(sequences)
}

fn trace(judge: &mut Judge, sequence: &Sequence) -> Result<()> {
    println!("{}", sequence.name);
    for (step, (kernel, ours)) in sequence.steps.iter().zip(judge.trace(sequence)?) {
        println!("{step}\n    kernel: {kernel}\n    ours:   {ours}");
    }
    Ok(())
}

fn show(differences: &[Difference], shown_max: usize) {
    for difference in differences.iter().take(shown_max) {
        println!("\n{difference}");
    }
    for difference in differences.iter().skip(shown_max).take(NAMED_MAX) {
        println!("also: {}", difference.sequence.name);
    }
}

fn parse_mode(name: &str) -> Result<Mode> {
    let Some(mode) = Mode::named(name) else {
        bail!("none of {}", MODES.map(|mode| mode.name).join(", "));
    };
    Ok(mode)
}
