//! The program `routerctl` against a routerd that says what it is told to: output, exit codes, and pipes that break.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use ctl::frame::{self, REPLY_BYTES_MAX, REQUEST_BYTES_MAX};
use ctl::message::{
    Envelope, Failure, FailureKind, FlowCacheModes, NeighborRow, Question, Reply, Request, Row, RulesCount,
    Status,
};

/// A routerd that answers one request. The thread's result says whether the client read everything.
struct Routerd {
    path: PathBuf,
    thread: Option<JoinHandle<(Envelope, bool)>>,
    _directory: tempfile::TempDir,
}

impl Routerd {
    fn saying(replies: impl Iterator<Item = Reply> + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routerd");
        let listener = UnixListener::bind(&path).unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = Vec::new();
            let request = frame::read(&mut stream, REQUEST_BYTES_MAX, &mut buffer).unwrap().unwrap();
            let request = frame::decode(request).unwrap();
            (request, say(&mut stream, replies))
        });
        Self { path, thread: Some(thread), _directory: directory }
    }

    fn routerctl(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routerctl"));
        command.args(line.split_whitespace()).arg("--control").arg(&self.path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn ask(&self, line: &str) -> Output {
        self.routerctl(line).output().unwrap()
    }

    fn heard(&mut self) -> (Request, bool) {
        let (envelope, all_read) = self.thread.take().expect("asked once").join().unwrap();
        (envelope.request, all_read)
    }
}

fn say(stream: &mut UnixStream, replies: impl Iterator<Item = Reply>) -> bool {
    let mut bytes = Vec::new();
    for reply in replies {
        bytes.clear();
        frame::encode(&reply, REPLY_BYTES_MAX, &mut bytes).unwrap();
        if stream.write_all(&bytes).is_err() {
            return false;
        }
    }
    true
}

fn neighbors(count: u32) -> impl Iterator<Item = Reply> {
    let row = |number: u32| NeighborRow {
        address: std::net::Ipv4Addr::from(0x0a00_0000 + number).into(),
        port: "r0".into(),
        mac: None,
        state: "FAILED".into(),
        flags: Vec::new(),
    };
    (0..count).map(move |number| Reply::Row(Row::Neighbor(row(number)))).chain([Reply::End])
}

fn status(forwarding: bool) -> impl Iterator<Item = Reply> {
    let status = Status {
        version: "0.1.0".into(),
        pid: 7,
        uptime_s: 0,
        host: "kernel".into(),
        host_device: None,
        forwarding,
        workers: 1,
        ports: Vec::new(),
        generation: 1,
        flow_cache: FlowCacheModes::default(),
        flows: 0,
        flows_max: 1,
        rules: RulesCount::default(),
        handover: false,
        guard: "on".into(),
        settings: std::collections::BTreeMap::new(),
    };
    [Reply::Row(Row::Status(Box::new(status))), Reply::End].into_iter()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn rows_are_printed_as_text_or_as_one_array() {
    let mut routerd = Routerd::saying(neighbors(2));
    let output = routerd.ask("show neigh");
    assert_eq!(text(&output.stdout), "10.0.0.0 dev r0 FAILED\n10.0.0.1 dev r0 FAILED\n");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    assert_eq!(routerd.heard(), (Request::Ask(Question::Neighbors), true));
    let output = Routerd::saying(neighbors(10_000)).ask("show neigh -j");
    let rows: Vec<NeighborRow> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 10_000);
    assert_eq!(text(&Routerd::saying(neighbors(0)).ask("show neigh -j").stdout), "[]\n");
    assert_eq!(text(&Routerd::saying(neighbors(0)).ask("show neigh").stdout), "");
}

#[test]
fn status_exits_with_0_once_it_forwards() {
    assert_eq!(Routerd::saying(status(true)).ask("status").status.code(), Some(0));
    let output = Routerd::saying(status(false)).ask("status");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("routerd 0.1.0 does not forward yet (pid 7"));
}

#[test]
fn a_refusal_is_one_line_and_exit_code_1() {
    let failure = Reply::Failure(Failure::new(FailureKind::NotFound, "no port named eth9 in this router"));
    let output = Routerd::saying([failure].into_iter()).ask("route get 10.0.0.1 iif eth9");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "routerctl: no port named eth9 in this router\n");
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    let output = Routerd::saying(neighbors(3).take(2)).ask("show neigh");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("hung up in the middle of its answer"));
}

#[test]
fn where_there_is_no_routerd_it_says_how_to_start_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_routerctl"))
        .args(["status", "--control", "/nonexistent/routerd"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("routerctl: no routerd answers at /nonexistent/routerd"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for line in ["", "sho everything", "flows delete", "route get", "show flows -p tpc"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_routerctl")).args(line.split_whitespace()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert_eq!(text(&output.stdout), "", "{line}");
    }
}

#[test]
fn an_unknown_namespace_is_named() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_routerctl")).args(["-n", "nowhere", "status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("routerctl: there is no network namespace \"nowhere\""));
}

#[test]
fn a_pipe_that_breaks_ends_it_in_silence_and_stops_the_answer() {
    let mut routerd = Routerd::saying(neighbors(u32::MAX));
    let mut child = routerd.routerctl("show neigh").spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let (_, all_read) = routerd.heard();
    assert!(!all_read, "it cannot have read four billion rows");
}
