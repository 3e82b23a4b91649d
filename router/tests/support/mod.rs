//! A network namespace of a test's own, and commands inside it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread in a fresh network namespace, which ends with it. Without root it says loudly that nothing
/// was tested, and fails where nothing may be skipped (`CI=true`).
pub fn in_namespace(test: impl FnOnce() + Send) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "this test needs root, and CI may skip nothing");
        eprintln!("SKIPPED: needs root");
        return;
    }
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make namespaces");
            ip("link set lo up");
            test();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs one line of `ip`, which must succeed.
#[track_caller]
pub fn ip(line: &str) {
    let output = run("ip", line, "");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a program with arguments split at blanks and `input` on its standard input.
pub fn run(program: &str, arguments: &str, input: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("asked for");
    stdin.write_all(input.as_bytes()).expect("the program reads its input");
    drop(stdin);
    child.wait_with_output().expect("the program was started")
}
