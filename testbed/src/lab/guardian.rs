//! Sees to it that nothing of a lab outlives it: on signals, and after a lab's process was killed outright.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::namespace::{NAMES, Namespace};

/// Every name of a lab begins with this, the pid of its process, and a dash.
pub(super) const PREFIX: &str = "rb-";

/// The namespaces of this process that are to be removed when a signal ends it.
static OURS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static WATCH: Once = Once::new();

/// Makes the namespace `name` by `make`, to be removed should a signal end this process. No signal comes between.
///
/// # Errors
/// Those of `make`.
pub(super) fn adopt(name: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    WATCH.call_once(watch_signals);
    let mut ours = ours();
    make()?;
    ours.insert(name.to_owned());
    Ok(())
}

/// Forgets the namespace `name`.
pub(super) fn release(name: &str) {
    ours().remove(name);
}

fn ours() -> MutexGuard<'static, BTreeSet<String>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the namespaces of labs whose process is gone, with what still runs in them. Says how many there were.
///
/// # Errors
/// The folder of names cannot be read.
pub fn sweep() -> Result<usize> {
    if !Path::new(NAMES).exists() {
        return Ok(0);
    }
    let entries = fs::read_dir(NAMES).with_context(|| NAMES.to_owned())?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let orphans: Vec<String> =
        names.filter(|name| owner_of(name).is_some_and(|pid| !is_process(pid))).collect();
    for name in &orphans {
        Namespace::destroy(name);
    }
    Ok(orphans.len())
}

/// The pid that a lab's namespace name carries.
fn owner_of(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

fn is_process(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Starts the thread that cleans up and exits when the process is told to end.
fn watch_signals() {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).expect("these signals may be handled");
    let watcher = move || {
        let Some(signal) = signals.forever().next() else { return };
        // Held to the end: nobody makes another one meanwhile.
        let ours = ours();
        for name in &*ours {
            Namespace::destroy(name);
        }
        std::process::exit(128 + signal);
    };
    thread::Builder::new()
        .name("lab-guardian".to_owned())
        .spawn(watcher)
        .expect("one more thread can be had");
}

#[cfg(test)]
mod tests {
    use super::owner_of;

    #[test]
    fn a_name_tells_the_pid_of_its_lab() {
        assert_eq!(owner_of("rb-4711-1-r1"), Some(4711));
        assert_eq!(owner_of("rb-4711"), None);
        assert_eq!(owner_of("rb-x-r1"), None);
        assert_eq!(owner_of("blue"), None);
    }
}
