//! Where the router's two programs are: beside this one, built anew when cargo runs us; and which others there are.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::User;

/// Names a folder that holds `routerd` and `routerctl`, ready to use.
const FOLDER: &str = "ROUTER_PROGRAMS";

/// The path of `routerd` or `routerctl`.
///
/// Run by cargo (as a test or with `cargo run`), the programs are brought up to date first, once a process; with
/// `ROUTER_PROGRAMS` in the environment, that folder's are taken as they are.
///
/// # Errors
/// They cannot be built, or are not there.
pub fn program(name: &str) -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOUND.get_or_init(|| folder().map_err(|error| format!("{error:#}")));
    let folder = folder.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let path = folder.join(name);
    ensure!(path.exists(), "{} is not there: build it with `cargo build -p router -p ctl`", path.display());
    Ok(path)
}

/// Whether these programs are installed, and the user that they want to be exists in this user namespace. A test that
/// needs them returns at once when not; why is said on standard error.
///
/// # Panics
/// When not, and the environment has `CI=true`: there nothing may be skipped.
pub fn can_run(names: &[&str], user: Option<&str>) -> bool {
    let reason = names
        .iter()
        .find(|name| !is_installed(name))
        .map(|name| format!("{name} is not installed"))
        .or_else(|| user.and_then(why_not_to_be));
    let Some(reason) = reason else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}, and CI may skip nothing");
    eprintln!("SKIPPED: {reason}");
    false
}

/// Whether a program is in a folder of PATH, or of those that only root's has, or is where an absolute name says.
fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(others).any(|folder| folder.join(name).is_file())
}

/// Why a program cannot give up being root to be `user`.
fn why_not_to_be(user: &str) -> Option<String> {
    match User::from_name(user) {
        Ok(Some(known)) if is_mapped(known.uid.as_raw()) => None,
        Ok(Some(_)) => Some(format!("user {user} does not exist in this user namespace")),
        _ => Some(format!("there is no user {user}")),
    }
}

/// Whether the user namespace of this process has that user.
fn is_mapped(uid: u32) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if uid >= first && uid - first < count)
    })
}

fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Ok(PathBuf::from(folder));
    }
    let own = std::env::current_exe().context("where this program is")?;
    let mut folder = own.parent().context("a program lies in a folder")?.to_owned();
    if folder.ends_with("deps") {
        folder.pop();
    }
    if let Some(cargo) = std::env::var_os("CARGO") {
        build(cargo.as_ref(), folder.ends_with("release"))?;
    }
    Ok(folder)
}

fn build(cargo: &std::ffi::OsStr, release: bool) -> Result<()> {
    let mut command = Command::new(cargo);
    // With the testbed named too, the libraries are those it was built with itself, and need not be built again.
    command.args(["build", "--quiet", "--bins", "-p", "router", "-p", "ctl", "-p", "testbed"]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if release {
        command.arg("--release");
    }
    let output = command.output().context("cargo build of routerd and routerctl")?;
    if !output.status.success() {
        bail!("routerd and routerctl do not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
