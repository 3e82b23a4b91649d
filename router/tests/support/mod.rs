//! A network namespace of a test's own, and commands inside it.

// Each test program uses its part.
#![allow(dead_code)]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread in a fresh network namespace, which ends with it. Without root it says loudly that nothing
/// was tested, and fails where nothing may be skipped (`CI=true`).
pub fn in_namespace(test: impl FnOnce() + Send) {
    if !nix::unistd::geteuid().is_root() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "this test needs root, and CI may skip nothing"
        );
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

/// Another namespace, for a host at the other end of a link. Ends when dropped.
pub struct Host {
    thread_id: i32,
    work: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

type Work = Box<dyn FnOnce() + Send>;

impl Host {
    /// Makes the namespace.
    pub fn new() -> Self {
        let (work, orders) = mpsc::channel::<Work>();
        let (said, thread_id) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make namespaces");
            ip("link set lo up");
            said.send(nix::unistd::gettid().as_raw()).expect("the maker waits");
            for order in orders {
                order();
            }
        });
        let thread_id = thread_id.recv().expect("the thread has started");
        Self { thread_id, work: Some(work), thread: Some(thread) }
    }

    /// Moves a device of the calling thread's namespace here.
    pub fn adopt(&self, device: &str) {
        ip(&format!("link set {device} netns {}", self.thread_id));
    }

    /// Does something inside.
    pub fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let order: Work = Box::new(move || {
            let _ = done.send(work());
        });
        self.work.as_ref().expect("not yet dropped").send(order).expect("the host runs");
        result.recv().expect("the work does not panic")
    }

    /// Runs one line of `ip` inside.
    pub fn ip(&self, line: &str) {
        let line = line.to_owned();
        self.inside(move || ip(&line));
    }

    /// The link address of a device.
    pub fn mac(&self, device: &str) -> [u8; 6] {
        let line = format!("-br link show dev {device}");
        let output = self.inside(move || run("ip", &line, ""));
        let text = String::from_utf8(output.stdout).unwrap();
        let mac = text.split_whitespace().nth(2).expect("name, state, link address");
        let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }

    /// Whether one of the echo requests to the address is answered: as soon as it is, else after five seconds.
    pub fn reaches(&self, address: &str) -> bool {
        self.ping(address, "-w 5")
    }

    /// Whether no echo request to the address is answered for a second.
    pub fn misses(&self, address: &str) -> bool {
        !self.ping(address, "-w 1")
    }

    fn ping(&self, address: &str, deadline: &str) -> bool {
        let arguments = format!("-n -c 1 -i 0.2 {deadline} {address}");
        self.inside(move || run("ping", &arguments, "").status.success())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
