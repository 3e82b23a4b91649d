//! Labs in network namespaces: described as data, built, driven, and gone without trace.

mod ground;
mod guardian;
mod links;
mod namespace;
mod owned;
mod plan;
mod process;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use ground::{entered, labs_can_run, prepare};
pub use guardian::sweep;
pub use namespace::Namespace;
pub use owned::Owned;
pub use plan::{Plan, Role};
pub use process::{Finished, Process};

/// Patience for what takes milliseconds on an idle machine.
pub const SECONDS_5: Duration = Duration::from_secs(5);

/// How often a condition is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Numbers the labs of one process.
static LABS: AtomicU32 = AtomicU32::new(1);

/// A built lab: one namespace for each station of its [`Plan`]. Dropping it removes everything.
#[derive(Debug)]
pub struct Lab {
    stations: BTreeMap<String, Namespace>,
}

impl Lab {
    /// Builds `plan`: namespaces, settings, links, addresses, then its lines of `ip`.
    ///
    /// # Errors
    /// What the kernel or `ip` refused. What was built until then is removed.
    pub fn build(plan: &Plan) -> Result<Self> {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let mut lab = Self { stations: BTreeMap::new() };
        for (name, _) in plan.stations() {
            let full_name = format!("{}{}-{number}-{name}", guardian::PREFIX, std::process::id());
            lab.stations.insert(name.to_owned(), Namespace::create(&full_name)?);
        }
        for (name, role) in plan.stations() {
            for (key, value) in role.settings() {
                lab.at(name).sysctl(key, value)?;
            }
            for (key, value) in role.settings_if_there() {
                if lab.at(name).read_sysctl(key).is_ok() {
                    lab.at(name).sysctl(key, value)?;
                }
            }
        }
        for link in plan.links() {
            let [one, other] = link.ends.each_ref().map(|end| lab.at(&end.station));
            links::make(link, one, other)?;
        }
        for (name, key, value) in plan.settings() {
            lab.at(name).sysctl(key, value)?;
        }
        for end in plan.links().flat_map(|link| &link.ends) {
            links::configure(end, lab.at(&end.station))?;
        }
        for (name, lines) in plan.lines() {
            lab.at(name).batch(&lines).with_context(|| format!("station {name}"))?;
        }
        Ok(lab)
    }

    /// The namespace of a station.
    ///
    /// # Panics
    /// The plan has no such station.
    pub fn at(&self, station: &str) -> &Namespace {
        self.stations.get(station).unwrap_or_else(|| panic!("the lab has no station {station}"))
    }

    /// Starts a program, its words separated by blanks, at a station.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, station: &str, line: &str) -> Result<Process> {
        Process::start(self.at(station), &line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a program at a station to its end, at most `patience`.
    ///
    /// # Errors
    /// It cannot be started, or takes longer.
    pub fn run(&self, station: &str, line: &str, patience: Duration) -> Result<Finished> {
        self.start(station, line)?.finish(patience)
    }

    /// The stations' names in the plan and their namespaces.
    pub fn stations(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        self.stations.iter().map(|(name, namespace)| (name.as_str(), namespace))
    }
}

/// Looks at `condition` until it answers, at most `patience`.
///
/// # Errors
/// It did not; the error says what was waited for.
pub fn wait_until<T>(what: &str, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = condition() {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {patience:?} for {what}");
        }
        thread::sleep(LOOK_EVERY);
    }
}
