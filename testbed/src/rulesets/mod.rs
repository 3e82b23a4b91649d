//! The same file of rules loaded into the kernel and into routerd: every probe has the same fate and comes out the same,
//! and afterwards every counter, quota and element is the same.

pub mod command;
mod corpus;
mod listing;
pub mod probe;
mod script;

use std::thread;

use anyhow::{Context, Result, ensure};

pub use corpus::{RuleFile, corpus, corpus_of_bridges, corpus_of_local, corpus_of_owned};

use crate::compare::ground::{Ground, PORTS, ROUTER};
use crate::compare::run::{Scene, pin};
use crate::compare::{Outcome, difference};
use crate::lab::Lab;
use crate::router::{Router, Running, TRACKING};
use crate::wire::Frame;
use probe::{Act, Probe, answer};

/// What a file of rules came to.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Probes sent.
    pub probes: usize,
    /// Frames that came out of the kernel: a file that lets nothing pass would prove little.
    pub frames: usize,
    /// Where the two differ, for a person to read.
    pub differences: Vec<String>,
}

/// Loads each of `files` into the kernel and into `router` and probes both, at the same time in twin labs. The kernel
/// tracks connections whether or not a file asks for it, as routerd does.
///
/// # Errors
/// A lab cannot be built, a router does not start, the kernel refuses a file.
pub fn compare(files: &[RuleFile], router: &Router) -> Result<Vec<Verdict>> {
    compare_loaded(files, router, Loaded::AsWritten)
}

/// As [`compare`], but `router` lists the rules and loads its own listing in their place before it is probed.
///
/// # Errors
/// As [`compare`].
pub fn compare_relisted(files: &[RuleFile], router: &Router) -> Result<Vec<Verdict>> {
    compare_loaded(files, router, Loaded::AsListed)
}

/// How the rules of a file come into a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loaded {
    /// As the file has them.
    AsWritten,
    /// As the router lists them once it has loaded the file.
    AsListed,
}

fn compare_loaded(files: &[RuleFile], router: &Router, how: Loaded) -> Result<Vec<Verdict>> {
    let kernel = Router::Kernel { tracking: false };
    let (oracle, tried) = thread::scope(|scope| {
        let oracle = scope.spawn(|| run(files, &kernel, 0, Loaded::AsWritten));
        let tried = scope.spawn(|| run(files, router, 1, how));
        [oracle, tried].map(|thread| thread.join().expect("a run ends with a result")).into()
    });
    let (oracle, tried) = (oracle?, tried?);
    Ok(files
        .iter()
        .zip(oracle.iter().zip(&tried))
        .map(|(file, (one, other))| judge(file, one, other, router))
        .collect())
}

/// What became of one file's probes in one router.
struct Trial {
    probes: Vec<(String, Outcome)>,
    /// The rules afterwards, with all that they have counted, as they are to be compared.
    listing: serde_json::Value,
    /// Why the file was refused.
    refused: Option<String>,
}

fn judge(file: &RuleFile, oracle: &Trial, tried: &Trial, router: &Router) -> Verdict {
    let mut verdict = Verdict { probes: oracle.probes.len(), ..Verdict::default() };
    if let Some(why) = &tried.refused {
        verdict.differences.push(format!("  refused by {}: {why}\n", router.name()));
        return verdict;
    }
    for ((name, one), (_, other)) in oracle.probes.iter().zip(&tried.probes) {
        verdict.frames += one.ports.iter().map(Vec::len).sum::<usize>();
        let [one, other] = [one, other].map(|outcome| script::masked(outcome, &file.script));
        if let Some(report) = difference(&one, &other, router.name(), true) {
            verdict.differences.push(format!("  {name}\n{report}"));
        }
    }
    let listings = [&oracle.listing, &tried.listing];
    let [one, other] =
        listings.map(|whole| if file.script.counted_only { listing::counted(whole) } else { whole.clone() });
    verdict.differences.extend(listing::difference(&one, &other, router.name()));
    verdict
}

fn run(files: &[RuleFile], router: &Router, cpu: usize, how: Loaded) -> Result<Vec<Trial>> {
    pin(cpu)?;
    let (plan, router) = router.clone().settle(Ground::DefaultRoute.plan(), ROUTER);
    let lab = Lab::build(&plan)?;
    let running = router.start(&lab, ROUTER, &PORTS)?;
    let mut scene = Scene::open(&lab)?;
    scene.asks_router();
    files
        .iter()
        .map(|file| try_file(file, &Rules { router: &router, lab: &lab, running: &running }, how, &mut scene))
        .collect()
}

/// Accepted by every base chain, for the markers by which a router is known to have dealt with what came before: those it
/// forwards, and the questions to itself and their answers.
const MARKERS: [&str; 3] = [
    "udp sport 9 udp dport 9 accept",
    "ip saddr & 0.0.255.255 == 0.0.254.9 accept",
    "ip daddr & 0.0.255.255 == 0.0.254.9 accept",
];

fn try_file(file: &RuleFile, rules: &Rules<'_>, how: Loaded, scene: &mut Scene) -> Result<Trial> {
    rules.forget()?;
    if let Err(error) = rules.load_file(file.text, how) {
        ensure!(matches!(rules.router, Router::Routerd { .. }), "{}: {error:#}", file.name);
        let listing = serde_json::Value::Null;
        return Ok(Trial { probes: Vec::new(), listing, refused: Some(format!("{error:#}")) });
    }
    rules.load(&listing::at_the_head_of_base_chains(&rules.listing()?, &MARKERS))?;
    let mut probes = Vec::new();
    for probe in file.script.probes() {
        let outcome = play(scene, &probe).with_context(|| format!("{}: {}", file.name, probe.name))?;
        probes.push((probe.name, outcome));
    }
    let listing = listing::comparable(&rules.listing()?);
    Ok(Trial { probes, listing, refused: None })
}

/// Sends a probe, and answers what comes out.
fn play(scene: &mut Scene, probe: &Probe) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for act in &probe.acts {
        let (port, frame) = match act {
            Act::Send(port, frame) => (*port, Frame::from(frame.clone())),
            Act::SendOffloaded(port, frame) => (*port, frame.clone()),
            Act::Answer(how) => {
                let Some((port, last)) = scene.last() else { continue };
                let Some(frame) = answer(port, &last, *how) else { continue };
                (port, frame.into())
            }
        };
        let came = scene.exchange(port, &frame)?;
        for (all, came) in outcome.ports.iter_mut().zip(came.ports) {
            all.extend(came);
        }
        outcome.stuck |= came.stuck;
        if outcome.stuck {
            break;
        }
    }
    scene.forget_last();
    Ok(outcome)
}

/// The rules of a router in a lab, whichever it is.
struct Rules<'a> {
    router: &'a Router,
    lab: &'a Lab,
    running: &'a Running<'a>,
}

impl Rules<'_> {
    /// Takes all rules and all flows away, and what the kernel has learned by them.
    fn forget(&self) -> Result<()> {
        match self.router {
            Router::Kernel { .. } => {
                let namespace = self.lab.at(ROUTER);
                namespace.nft(&format!("flush ruleset\n{TRACKING}"))?;
                namespace.run("conntrack", &["-F"])?;
                // Path MTUs, which it has learned when rules gave it packets of its own.
                namespace.run("ip", &["route", "flush", "cache"])?;
                namespace.run("ip", &["-6", "route", "flush", "cache"]).map(drop)
            }
            Router::Routerd { .. } => {
                self.load("flush ruleset")?;
                self.running.tell("flows flush").map(drop)
            }
        }
    }

    fn load_file(&self, text: &str, how: Loaded) -> Result<()> {
        self.load(text)?;
        if how == Loaded::AsWritten {
            return Ok(());
        }
        let listed = self.text()?;
        self.forget()?;
        self.load(&listed).with_context(|| format!("its own listing:\n{listed}"))
    }

    /// The rules as the router tells them in nft's language.
    fn text(&self) -> Result<String> {
        match self.router {
            Router::Kernel { .. } => {
                let text = self.lab.at(ROUTER).run("nft", &["list", "ruleset"])?;
                // The table that has the kernel track comes first.
                Ok(text.split_once("\n}\n").map(|(_, rest)| rest.to_owned()).unwrap_or(text))
            }
            Router::Routerd { .. } => self.running.tell("show rules"),
        }
    }

    fn load(&self, text: &str) -> Result<()> {
        match self.router {
            Router::Kernel { .. } => self.lab.at(ROUTER).nft(text),
            Router::Routerd { .. } => self.running.load_rules(text).map(drop),
        }
    }

    fn listing(&self) -> Result<serde_json::Value> {
        match self.router {
            Router::Kernel { .. } => {
                let text = self.lab.at(ROUTER).run("nft", &["-j", "list", "ruleset"])?;
                Ok(listing::without_table(serde_json::from_str(&text)?, "tracking"))
            }
            Router::Routerd { .. } => self.running.ask("show rules"),
        }
    }
}
