//! The demo runs through, for an ordinary user too, and leaves nothing behind however it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::lab::{self, SECONDS_5, wait_until};
use testbed::programs;

const PROGRAM: &str = env!("CARGO_BIN_EXE_testbed");
const TOLD: &[&str] = &[
    "│ routerd  │",
    "ping   h1 → h2",
    "tcp    h1 → h2  10.9.9.9",
    "tcp    h1 → h2  fd00:9::9",
    "udp    h1 → h3",
    "via 10.0.4.2 dev r3",
    "via fd00:4::2 dev r3",
    "times the route was taken from the flow",
    "ping   h1 → h2  10.0.2.2    5 of 5 answered, 0 refused",
    "ping   h2 → h1  10.0.1.2    0 of 5 answered",
    "iifname \"r0\" counter packets 1 bytes 84 accept comment \"h1 may begin\"",
];

/// The folder of `routerd` and `routerctl`.
fn programs() -> PathBuf {
    programs::program("routerd").unwrap().parent().unwrap().to_owned()
}

fn demo(more: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--time", "1"]).args(more).env("ROUTER_PROGRAMS", programs());
    command
}

fn namespaces_of(pid: u32) -> usize {
    let prefix = format!("rb-{pid}-");
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).count()
}

fn tells_all(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for words in TOLD {
        assert!(said.contains(words), "no `{words}` in:\n{said}");
    }
    let hidden = said.contains("src=10.0.2.2 dst=10.0.2.1 type=0");
    assert!(hidden || said.contains("/dev/net/tun is closed to this user"), "{said}");
}

#[test]
fn it_shows_pings_and_streams_of_both_families() {
    if !lab::labs_can_run() {
        return;
    }
    let output = demo(&[]).output().unwrap();
    tells_all(&output);
    let may_make_devices = fs::File::options().write(true).open("/dev/net/tun").is_ok();
    let told_closed = String::from_utf8_lossy(&output.stdout).contains("Nothing is translated");
    assert_ne!(may_make_devices, told_closed);
}

#[test]
fn it_shows_a_router_that_is_its_own_host() {
    if !lab::labs_can_run() {
        return;
    }
    for host in ["none", "tun"] {
        let output = demo(&["--host", host]).output().unwrap();
        tells_all(&output);
        let said = String::from_utf8_lossy(&output.stdout);
        for words in ["ping   h1 → r1  10.0.1.1    5 of 5 answered", "10.0.1.1/24", "10.0.1.2 dev r0 lladdr"]
        {
            assert!(said.contains(words), "{host}: no `{words}` in:\n{said}");
        }
    }
}

#[test]
fn an_ordinary_user_can_run_it() {
    if !lab::labs_can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("testbed");
    fs::copy(PROGRAM, &copy).unwrap();
    for name in ["routerd", "routerctl"] {
        fs::copy(programs().join(name), folder.path().join(name)).unwrap();
    }
    let mut command = Command::new(&copy);
    command.args(["demo", "--time", "1"]).env("ROUTER_PROGRAMS", folder.path());
    command.current_dir("/").uid(65534).gid(65534);
    tells_all(&command.output().unwrap());
}

/// Starts a demo that stays, and waits until its lab stands.
fn standing() -> Child {
    let child = demo(&["--keep"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    wait_until("the lab to stand", SECONDS_5, || (namespaces_of(pid) == 4).then_some(())).unwrap();
    child
}

fn ended(child: &mut Child) {
    wait_until("the demo to end", Duration::from_secs(10), || child.try_wait().unwrap()).unwrap();
}

#[test]
fn a_signal_takes_the_lab_down() {
    if !lab::labs_can_run() {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut child = standing();
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        ended(&mut child);
        assert_eq!(namespaces_of(child.id()), 0, "{signal}");
    }
}

#[test]
fn what_a_killed_one_leaves_is_swept_up_by_the_next() {
    if !lab::labs_can_run() {
        return;
    }
    let mut child = standing();
    child.kill().unwrap();
    ended(&mut child);
    assert!(lab::sweep().is_ok());
    assert_eq!(namespaces_of(child.id()), 0);
}
