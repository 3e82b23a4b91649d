//! Ground to build labs on: as root the machine itself, otherwise a user namespace of our own, entered by running anew.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Set for the process that already runs inside a user namespace of our own.
const INSIDE: &str = "ROUTER_TESTBED_INSIDE";

/// Makes the way free for labs. An ordinary user's process is run anew inside user, mount and network namespaces of
/// its own, where it may do to the network what it likes and cannot touch the machine's. Call it before there are
/// threads; it returns in the process that may build labs.
///
/// # Errors
/// The machine does not let ordinary users make user namespaces.
pub fn prepare() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        super::sweep()?;
        return Ok(());
    }
    if entered() {
        bail!("inside a user namespace of our own this process should be root, and is not");
    }
    let program = std::env::current_exe().context("where this program is")?;
    // `ip netns` keeps its names below /run: an empty one of our own takes the place of the machine's.
    let error = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\"")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context(
        "run as root, or allow user namespaces (package util-linux, sysctl user.max_user_namespaces)",
    )
}

/// Whether this process lives in a user namespace that [`prepare`] made.
pub fn entered() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Whether labs can be built in this process. A test that needs them returns at once when not; it says so on
/// standard error, and panics where nothing may be skipped (`CI=true`).
///
/// # Panics
/// When labs cannot be built and the environment has `CI=true`.
pub fn labs_can_run() -> bool {
    if nix::unistd::geteuid().is_root() {
        super::sweep().expect("leftovers of ended labs can be removed");
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test needs root, and CI may skip nothing");
    eprintln!("SKIPPED: needs root");
    false
}
