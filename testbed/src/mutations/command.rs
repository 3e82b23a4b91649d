//! `testbed mutations`: makes known mistakes one by one, and says which test notices.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use super::Mutation;
use super::list::MUTATIONS;
use super::scratch::{Ending, Scratch, top};

/// Which mistakes.
#[derive(Args)]
pub struct Options {
    /// Mistakes; all if none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only lists them.
    #[arg(long)]
    list: bool,
    /// Where the sources are copied to and built [default: target/mutations].
    #[arg(long, value_name = "DIRECTORY")]
    scratch: Option<PathBuf>,
}

/// Does what was asked. Returns whether every mistake was noticed.
///
/// # Errors
/// The sources cannot be copied, there is no cargo, or a name is unknown.
pub fn run(options: &Options) -> Result<bool> {
    let chosen = chosen(&options.names)?;
    if options.list {
        for mutation in chosen {
            println!("{:32} {}\n{:32} {}", mutation.name, mutation.mistake, "", mutation.file);
        }
        return Ok(true);
    }
    let folder = options.scratch.clone().unwrap_or_else(|| top().join("target/mutations"));
    let scratch = Scratch::new(&folder)?;
    // What fails anyway notices nothing.
    let (without, told) = scratch.run(chosen.iter().flat_map(|mutation| mutation.noticed_by))?;
    if without != Ending::Passed {
        bail!("tests do not pass without any mistake:\n{told}");
    }
    let mut noticed = true;
    for mutation in chosen {
        noticed &= judge(&scratch, mutation)?;
    }
    Ok(noticed)
}

/// Whether a mistake is noticed.
fn judge(scratch: &Scratch, mutation: &Mutation) -> Result<bool> {
    let began = Instant::now();
    let (ending, told) = scratch.with(mutation)?;
    let took = began.elapsed().as_secs();
    let names: Vec<_> = mutation.noticed_by.iter().map(|test| test.name).collect();
    let (name, names) = (mutation.name, names.join(", "));
    match ending {
        Ending::Failed => println!("noticed      {name:32} by {names} ({took} s)"),
        Ending::Passed => println!("NOT NOTICED  {name:32} by {names} ({took} s)"),
        Ending::Broken => println!("BROKEN       {name:32}\n{told}"),
    }
    Ok(ending == Ending::Failed)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Mutation>> {
    if names.is_empty() {
        return Ok(MUTATIONS.iter().collect());
    }
    let find = |name: &String| match MUTATIONS.iter().find(|mutation| mutation.name == *name) {
        Some(mutation) => Ok(mutation),
        None => bail!("there is no mutation {name}; --list shows all"),
    };
    names.iter().map(find).collect()
}
