//! The lab tool: demo, benches and scenarios on simulated ground and in real namespaces.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use testbed::bench::{Effort, flow_cache, forwarding};
use testbed::null::{self, Side};

/// Labs for routerd: in namespaces of their own, beside the kernel as router.
#[derive(Parser)]
#[command(name = "testbed", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Feeds routes to routerd, and to the kernel as router, while flows pass that none of them concerns.
    Feed(testbed::feed::Options),
    /// Sends crafted frames through the kernel and through routerd, and compares what comes out.
    Compare(testbed::compare::command::Options),
    /// Loads files of rules into the kernel and into routerd, and compares what becomes of packets.
    Rulesets(testbed::rulesets::command::Options),
    /// Builds a network, sends traffic through routerd, and shows what became of it.
    Demo(testbed::demo::Options),
    /// Feeds everything that reads bytes from outside with bytes that nobody meant.
    Fuzz(testbed::fuzz::command::Options),
    /// Tells random stories to a router that remembers flows and to one that does not, and compares what they do.
    CacheProof(testbed::proof::command::Options),
    /// Makes known mistakes in a copy of the sources, one by one, and says which test notices.
    Mutations(testbed::mutations::command::Options),
    /// Measures routerd beside the kernel and the null forwarder, on namespaces of its own.
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        #[command(flatten)]
        options: forwarding::Options,
        #[command(subcommand)]
        bench: Option<Bench>,
    },
    /// Forwards every packet between two devices, changing nothing but MAC addresses: the yardstick of the benches.
    Null {
        /// A device, its own MAC address, and that of the station beyond it.
        #[arg(value_name = "DEVICE=OWN_MAC,NEIGHBOR_MAC", value_parser = null::parse_side)]
        sides: Vec<Side>,
    },
    /// Plays sequences of packets to the kernel's connection tracking and to ours, and compares what they see.
    Oracle(testbed::oracle::command::Options),
    /// Removes what killed labs have left behind.
    Sweep,
}

#[derive(Subcommand)]
enum Bench {
    /// The engine alone, in memory: few flows and many, small tables and large, routes kept in flows and not.
    Engine,
    /// A packet's cost by numbers of prefixes, rules and flows, and by what is remembered of flows; in memory.
    FlowCache(flow_cache::Options),
    /// Whether flows notice news about prefixes that are not theirs; in memory.
    Pauses(flow_cache::pauses::Options),
    /// Draws what `bench flow-cache --csv` has written.
    Plot(flow_cache::plot::Options),
    /// Ways to receive and send on packet sockets, behind the null forwarder.
    Ports {
        /// How often everything is measured.
        #[arg(long, default_value_t = 1)]
        rounds: u32,
        /// Leaves out the subjects whose names do not contain this.
        #[arg(long, default_value = "")]
        only: String,
        /// Seconds of each load.
        #[arg(long, default_value_t = 3)]
        seconds: u32,
    },
}

impl Command {
    /// Whether it builds namespaces. The null forwarder works on devices that are there, in the namespace it was started
    /// in; fuzzing, stories and what is measured in memory need none.
    const fn needs_lab(&self) -> bool {
        match self {
            Self::Null { .. } | Self::Fuzz(_) | Self::CacheProof(_) | Self::Mutations(_) => false,
            Self::Bench { bench: Some(bench), .. } => matches!(bench, Bench::Ports { .. }),
            _ => true,
        }
    }
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
    if command.needs_lab() {
        testbed::lab::prepare()?;
    }
    match command {
        Command::Compare(options) => {
            let alike = testbed::compare::command::run(&options)?;
            Ok(if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Rulesets(options) => {
            let alike = testbed::rulesets::command::run(&options)?;
            Ok(if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Feed(options) => {
            print!("{}", testbed::feed::run(&options)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(options) => {
            testbed::demo::run(&options)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Fuzz(options) => {
            let clean = testbed::fuzz::command::run(&options)?;
            Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::CacheProof(options) => {
            let alike = testbed::proof::command::run(&options)?;
            Ok(if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Mutations(options) => {
            let noticed = testbed::mutations::command::run(&options)?;
            Ok(if noticed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Bench { options, bench: None } => {
            print!("{}", forwarding::run(&options)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench { bench: Some(Bench::Engine), .. } => {
            print!("{}", testbed::bench::engine::run());
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench { bench: Some(Bench::FlowCache(options)), .. } => {
            print!("{}", flow_cache::run(&options)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench { bench: Some(Bench::Pauses(options)), .. } => {
            print!("{}", flow_cache::pauses::run(&options)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench { bench: Some(Bench::Plot(options)), .. } => {
            print!("{}", flow_cache::plot::run(&options)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench { bench: Some(Bench::Ports { rounds, only, seconds }), .. } => {
            let flood = Duration::from_secs(seconds.into());
            let effort = Effort { pings: 500, transfer_s: seconds, flood };
            print!("{}", testbed::bench::ports::run(&effort, rounds, &only)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Null { sides } => {
            let sides = sides.try_into().map_err(|_| anyhow!("null needs two sides"))?;
            null::run(sides)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Oracle(options) => {
            let alike = testbed::oracle::command::run(&options)?;
            Ok(if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Sweep => {
            println!("{} namespaces of ended labs removed", testbed::lab::sweep()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
