//! Privileges as an ordinary user has them: given by the program's ambient capabilities, or none at all.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use router::guard::Guard;
use router::privileges::{drop_others, require};
use router::sysctl::KernelForwarding;
use support::{in_namespace, ip};

const AS_USER: &str = "ROUTER_TEST_AS_USER";
/// `nobody`, who owns nothing.
const NOBODY: &str = "65534";

/// Runs one test of this program as an ordinary user with these capabilities, in this thread's namespace.
fn as_user(test: &str, capabilities: &str) -> Output {
    // Somewhere an ordinary user may run it.
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("privileges");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .args([&format!("--inh-caps={capabilities}"), &format!("--ambient-caps={capabilities}")])
        .arg(program)
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(AS_USER, "1")
        .current_dir("/")
        .output()
        .unwrap()
}

fn assert_passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

#[test]
fn a_user_with_the_two_capabilities_can_set_the_guard() {
    in_namespace(|| {
        ip("link add r0 type veth peer name r1");
        assert_passed(&as_user("as_user_the_guard_is_set", "+net_admin,+net_raw"));
    });
}

#[test]
fn a_user_without_capabilities_is_told_what_to_do() {
    in_namespace(|| assert_passed(&as_user("as_user_both_are_missing", "-all")));
}

#[test]
#[ignore = "run by a_user_with_the_two_capabilities_can_set_the_guard"]
fn as_user_the_guard_is_set() {
    assert!(std::env::var_os(AS_USER).is_some(), "to be run as another user");
    require().unwrap();
    // The test harness has threads; each has capabilities of its own, and `nft` is started by this one.
    assert!(drop_others().unwrap_err().to_string().contains("threads"));
    let guard = Guard::set(["r0", "r1"], KernelForwarding { ipv4: true, ipv6: true }).unwrap();
    assert!(guard.is_set());
}

#[test]
#[ignore = "run by a_user_without_capabilities_is_told_what_to_do"]
fn as_user_both_are_missing() {
    assert!(std::env::var_os(AS_USER).is_some(), "to be run as another user");
    let error = require().unwrap_err().to_string();
    assert!(error.starts_with("missing CAP_NET_ADMIN, CAP_NET_RAW"), "{error}");
}
