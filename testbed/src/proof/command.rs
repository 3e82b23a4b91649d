//! `testbed cache-proof`: tells many stories to a router that remembers and to one that does not.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::{Story, Tally, Taste, play, prove};

/// Stories that are told between two lines of output.
const ROUND: u64 = 2_000;

/// Which stories, and how many.
#[derive(Args)]
pub struct Options {
    /// How many stories.
    #[arg(long, default_value_t = 10_000)]
    runs: u64,
    /// Seed of the first; drawn and printed if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// What stories contain.
    #[arg(long, default_value = "all", value_parser = parse_taste)]
    taste: Taste,
    /// Tells the story in this file and no other.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "runs"])]
    story: Option<PathBuf>,
    /// Prints the story of the first seed, and tells none.
    #[arg(long)]
    print: bool,
}

/// Does what was asked. Returns whether no story told the routers apart.
///
/// # Errors
/// A file cannot be read, or holds no story.
pub fn run(options: &Options) -> Result<bool> {
    if let Some(path) = &options.story {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let story = Story::from_text(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        let played = play(&story);
        if let Err(difference) = &played {
            eprintln!("{difference}");
        }
        return Ok(played.is_ok());
    }
    let first = options.seed.unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    if options.print {
        print!("{}", super::story(first, options.taste).to_text());
        return Ok(true);
    }
    println!("{} stories ({}) from seed {first} on", options.runs, options.taste.name());
    let began = Instant::now();
    let mut total = Tally::default();
    while total.stories < options.runs {
        let count = ROUND.min(options.runs - total.stories);
        match prove(first + total.stories, count, options.taste) {
            Ok(tally) => total.add(&tally),
            Err(failure) => {
                eprintln!("{failure}");
                return Ok(false);
            }
        }
        println!("{:8} alike after {:.0} s", total.stories, began.elapsed().as_secs_f64());
    }
    println!("{} packets left; rules were loaded {} times, and refused", total.left, total.loaded);
    for (said, count) in &total.refused {
        println!("{count:10}  {said}");
    }
    for (name, count) in total.counted.iter().filter(|(_, count)| **count > 0) {
        println!("{name:24} {count:10}");
    }
    Ok(true)
}

fn parse_taste(name: &str) -> Result<Taste> {
    let names = || Taste::ALL.map(Taste::name).join(", ");
    Taste::ALL.into_iter().find(|taste| taste.name() == name).ok_or_else(|| anyhow!("none of {}", names()))
}
