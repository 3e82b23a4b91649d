//! Where the router's two programs are: beside this one, built anew when cargo runs us.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

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
