//! `testbed compare`: the crafted frames through a router and through the kernel, for a person to look at.

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::{Chapter, chapters, compare};
use crate::router::Router;

/// What to compare.
#[derive(Args)]
pub struct Options {
    /// The router that is compared with the kernel; the kernel itself shows whether the comparison is sound.
    #[arg(long, value_enum, default_value = "routerd")]
    router: Which,
    /// Only cases whose chapter and name contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Leave the kernel's own forwarding on, for routerd's guard to stop.
    #[arg(long)]
    guarded: bool,
    /// Only say which cases there are and what Linux makes of them.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Routerd,
    Kernel,
}

/// Runs the comparison and prints it. Says whether all was alike.
///
/// # Errors
/// A lab cannot be built, routerd does not start.
pub fn run(options: &Options) -> Result<bool> {
    let (mut cases, mut differing) = (0, 0);
    for chapter in chapters() {
        let wanted = |name: &str| format!("{}: {name}", chapter.name).contains(&options.only);
        if !chapter.cases.iter().any(|case| wanted(case.name)) {
            continue;
        }
        if options.list {
            list(&chapter, wanted);
            continue;
        }
        let router = match options.router {
            Which::Kernel => Router::Kernel { tracking: true },
            Which::Routerd if options.guarded => Router::routerd(&[])?.guarded(),
            Which::Routerd => Router::routerd(&[])?,
        };
        let router = router.tracking(chapter.ground.tracking());
        let found = compare(&chapter, &router, |case| wanted(case.name))?;
        println!("{:28} {:4} cases, {} differ", chapter.name, found.cases, found.differences.len());
        for surprise in &found.surprises {
            println!("\nLinux surprises: {}\n{}", surprise.case, surprise.report);
        }
        for difference in &found.differences {
            println!("\n{}\n{}", difference.case, difference.report);
        }
        cases += found.cases;
        differing += found.differences.len();
    }
    if !options.list {
        println!("{cases} cases, {differing} differ");
    }
    Ok(differing == 0)
}

fn list(chapter: &Chapter, wanted: impl Fn(&str) -> bool) {
    println!("{} ({:?})", chapter.name, chapter.ground);
    for case in chapter.cases.iter().filter(|case| wanted(case.name)) {
        println!("  {:70} {}", case.name, case.expected);
    }
}
