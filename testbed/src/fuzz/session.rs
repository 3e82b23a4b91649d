//! A short run without coverage: seeds are changed at random until time is up or a target fails.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{process, thread};

use anyhow::{Context, Result};
use fastrand::Rng;

use super::Target;
use super::mutate::mutated;

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long inputs are made; the seeds themselves are always fed.
    pub time: Duration,
    /// Seed of the changes.
    pub seed: u64,
    /// Longest that one input may take; one that takes longer hangs, and ends the process.
    pub input_time_max: Duration,
    /// Where a failing input is written.
    pub failures: PathBuf,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing was wrong with any of this many inputs.
    Clean(u64),
    /// The target failed on the input in this file. What it said stands on stderr.
    Failed(PathBuf),
}

/// Feeds a target for a while.
///
/// # Errors
/// A failing input cannot be written.
///
/// # Panics
/// If the target has no seeds.
pub fn run(target: &'static Target, settings: &Settings) -> Result<Ending> {
    let seeds = (target.seeds)();
    let mut random = Rng::with_seed(settings.seed);
    let current = Arc::new(Mutex::new(Current { input: Vec::new(), since: Instant::now() }));
    let (running, ended) = channel();
    let watched = (current.clone(), settings.clone());
    let watch = thread::spawn(move || watch(target, &watched.0, &watched.1, &ended));

    let end = Instant::now() + settings.time;
    let mut first = seeds.iter();
    let mut inputs = 0;
    let ending = loop {
        let input = match first.next() {
            Some(seed) => seed.clone(),
            None if Instant::now() < end => mutated(&seeds, &mut random),
            None => break Ending::Clean(inputs),
        };
        current.lock().expect("no thread panics with it").set(&input);
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            break Ending::Failed(keep(target, &input, &settings.failures)?);
        }
        inputs += 1;
    };
    drop(running);
    watch.join().expect("the watch does not panic");
    Ok(ending)
}

/// Writes an input to a file whose name it determines.
///
/// # Errors
/// The file cannot be written.
pub fn keep(target: &Target, input: &[u8], directory: &Path) -> Result<PathBuf> {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = directory.join(format!("fuzz-{}-{hash:016x}", target.name));
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&path, input))
        .with_context(|| format!("{}: a failing input cannot be written", path.display()))?;
    Ok(path)
}

/// The input that is being fed.
struct Current {
    input: Vec<u8>,
    since: Instant,
}

impl Current {
    fn set(&mut self, input: &[u8]) {
        self.input.clear();
        self.input.extend_from_slice(input);
        self.since = Instant::now();
    }
}

/// Ends the process when an input takes too long: a thread that hangs cannot be ended alone.
fn watch(target: &Target, current: &Mutex<Current>, settings: &Settings, ended: &Receiver<()>) {
    while ended.recv_timeout(settings.input_time_max / 4) == Err(RecvTimeoutError::Timeout) {
        let current = current.lock().expect("no thread panics with it");
        if current.since.elapsed() > settings.input_time_max {
            let said = match keep(target, &current.input, &settings.failures) {
                Ok(path) => failure(target, &path),
                Err(error) => format!("{error:#}"),
            };
            eprintln!("an input takes longer than {} s\n{said}", settings.input_time_max.as_secs());
            process::exit(1);
        }
    }
}

/// What a person is to be told of a failing input.
#[must_use]
pub fn failure(target: &Target, path: &Path) -> String {
    format!(
        "{name} failed on {path}\n  again: cargo run -p testbed -- fuzz {name} --input {path}",
        name = target.name,
        path = path.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(failures: &Path) -> Settings {
        Settings {
            time: Duration::from_secs(60),
            seed: 1,
            input_time_max: Duration::from_secs(60),
            failures: failures.to_owned(),
        }
    }

    #[test]
    fn an_input_that_makes_a_target_panic_is_found_and_kept() {
        static FRAGILE: Target = Target {
            name: "fragile",
            about: "",
            run: |bytes| assert_ne!(bytes.last(), Some(&0xff), "as it was to be"),
            seeds: || vec![vec![0xfe; 4]],
        };
        let directory = tempfile::tempdir().unwrap();
        let Ending::Failed(path) = run(&FRAGILE, &settings(directory.path())).unwrap() else {
            panic!("nothing was found")
        };
        assert_eq!(fs::read(path).unwrap().last(), Some(&0xff));
    }

    #[test]
    fn without_time_the_seeds_are_fed_nevertheless() {
        static STURDY: Target =
            Target { name: "sturdy", about: "", run: |_| (), seeds: || vec![vec![1], vec![2], vec![3]] };
        let settings = Settings { time: Duration::ZERO, ..settings(Path::new("unused")) };
        assert_eq!(run(&STURDY, &settings).unwrap(), Ending::Clean(3));
    }
}
