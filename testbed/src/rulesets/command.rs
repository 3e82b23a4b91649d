//! `testbed rulesets`: files of rules through the kernel and through routerd, for a person to look at.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::{RuleFile, compare, compare_relisted, corpus};
use crate::router::Router;

/// What to compare.
#[derive(Args)]
pub struct Options {
    /// Only files whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Files of your own instead of those that come with the testbed.
    files: Vec<PathBuf>,
    /// Compare the kernel with itself, to see whether the comparison is sound.
    #[arg(long)]
    kernel: bool,
    /// Have routerd list the rules and load its own listing before it is probed.
    #[arg(long)]
    relisted: bool,
    /// Differences shown of each file.
    #[arg(long, default_value_t = 5)]
    shown: usize,
}

/// Runs the comparison and prints it. Says whether all was alike.
///
/// # Errors
/// A lab cannot be built, routerd does not start, a file cannot be read or is refused by the kernel.
pub fn run(options: &Options) -> Result<bool> {
    let mut files = Vec::new();
    for path in &options.files {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        files.push(RuleFile::new(path.display().to_string().leak(), text.leak())?);
    }
    if options.files.is_empty() {
        files = corpus()?.into_iter().filter(|file| file.name.contains(&options.only)).collect();
    }
    let router = if options.kernel { Router::Kernel { tracking: false } } else { Router::routerd(&[])? };
    let verdicts =
        if options.relisted { compare_relisted(&files, &router)? } else { compare(&files, &router)? };
    let (mut probes, mut differing) = (0, 0);
    for (file, verdict) in files.iter().zip(&verdicts) {
        let differences = &verdict.differences;
        println!(
            "{:32} {:4} probes, {:5} frames, {} differences",
            file.name,
            verdict.probes,
            verdict.frames,
            differences.len()
        );
        differences.iter().take(options.shown).for_each(|report| println!("{report}"));
        probes += verdict.probes;
        differing += usize::from(!differences.is_empty());
    }
    println!("{} files, {probes} probes, {differing} files differ", files.len());
    Ok(differing == 0)
}
