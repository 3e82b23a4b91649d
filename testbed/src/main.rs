//! The lab tool: demo, benches and scenarios on simulated ground and in real namespaces.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Labs for routerd: in namespaces of their own, beside the kernel as router.
#[derive(Parser)]
#[command(name = "testbed", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends crafted frames through the kernel and through routerd, and compares what comes out.
    Compare(testbed::compare::command::Options),
    /// Removes what killed labs have left behind.
    Sweep,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    testbed::lab::prepare()?;
    match command {
        Command::Compare(options) => {
            let alike = testbed::compare::command::run(&options)?;
            Ok(if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Sweep => {
            println!("{} namespaces of ended labs removed", testbed::lab::sweep()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
