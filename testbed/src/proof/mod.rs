//! The property that judges all that is remembered of flows: a router that remembers does, packet by packet, what one
//! does that remembers nothing; and whoever reads its rules' counters, its sets and its flows reads the same.
//!
//! A [`Story`] is what one seed makes: a ground, flows, and steps in which packets arrive, routing and rules change, time
//! passes. [`play()`] has the same happen to two routers in memory and compares after every step. [`shrink()`] makes
//! a story that tells them apart as small as it can; what it leaves is kept in `fixtures` and played with every test.

pub mod command;
mod fixtures;
mod generate;
mod hosts;
mod play;
mod send;
mod shrink;
mod story;
mod world;

pub use fixtures::fixtures;
pub use generate::{Taste, story};
pub use play::{Difference, Tally, play};
pub use shrink::shrink;
pub use story::Story;
pub use world::Memory;

/// Stories one after another: `count` of them from the seed `first` on, each told from its own seed.
///
/// # Errors
/// The first story that tells the two routers apart, made small, with its seed.
pub fn prove(first: u64, count: u64, taste: Taste) -> Result<Tally, Box<Failure>> {
    let mut total = Tally::default();
    for seed in first..first + count {
        let told = story(seed, taste);
        match play(&told) {
            Ok(tally) => total.add(&tally),
            Err(difference) => {
                let (story, difference) = shrink(told, difference);
                return Err(Box::new(Failure { seed, taste, story, difference }));
            }
        }
    }
    Ok(total)
}

/// A story that tells the routers apart.
#[derive(Debug)]
pub struct Failure {
    /// What the story was made of.
    pub seed: u64,
    /// What it was to contain.
    pub taste: Taste,
    /// The smallest story found that still does.
    pub story: Story,
    /// Where they differ.
    pub difference: Difference,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, taste, story, difference } = self;
        let taste = taste.name();
        writeln!(
            formatter,
            "the story of seed {seed} ({taste}) tells a router that remembers from one that does not.\n{difference}\n\
             What is left of it, to be kept as a file in testbed/src/proof/fixtures:\n{}",
            story.to_text()
        )?;
        write!(formatter, "again: testbed cache-proof --taste {taste} --seed {seed} --runs 1")
    }
}
