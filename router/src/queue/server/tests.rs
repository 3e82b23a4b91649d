use std::io::Read as _;
use std::time::Instant as RealInstant;

use serde_json::{Value, json};
use socket2::Domain;

use ctl::queue::address_of;

use super::*;
use crate::chain::{Family, Hook, Place, Point, Registration, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::tabletop::Tabletop;
use crate::tabletop::frames::{Ends, HOST as CLIENT};

/// How long a test waits for what is to happen at once.
const PATIENCE: Duration = Duration::from_secs(20);
const ANSWER_WAIT: Duration = Duration::from_secs(300);

/// Queues what it sees.
struct Queue;

impl Hook for Queue {
    fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        Verdict::Queue { number: 3, bypass: false }
    }
}

/// A router on the table whose queues are served.
struct Ground {
    table: Tabletop,
    address: Address,
    news: Arc<News>,
    _server: Server,
    _directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let mut table = Tabletop::new(&["r0", "r1"]);
        table.address(0, "10.0.0.1/24");
        table.address(1, "10.0.1.1/24");
        table.neighbor(0, "10.0.0.2", Some(CLIENT.0));
        table.neighbor(1, "10.0.1.2", Some([2, 0, 0, 0, 2, 2]));
        let place = Place::new(Family::Ipv4, Point::Forward, "queue");
        table.hooks().register([Registration { place, priority: 0, hook: Arc::new(Queue) }]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let address = address_of(&Address::Path(directory.path().join("control")));
        let (queues, ports) = (table.shared().queues.clone(), table.shared().ports.clone());
        let news = Arc::new(News::default());
        let server = Server::start(&address, queues, ports, news.clone(), ANSWER_WAIT).unwrap();
        Self { table, address, news, _server: server, _directory: directory }
    }

    fn program(&self) -> Program {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        socket.connect(&self.address.to_socket_address().unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Program(socket)
    }

    fn listener(&self) -> Program {
        let mut program = self.program();
        program.say(json!({"bind": 3}));
        assert_eq!(program.hear(), json!({"bound": 3}));
        program
    }

    /// Sends packets; they are queued when it returns.
    fn pass(&mut self, count: usize) {
        let frame = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:53").udp(b"x");
        (0..count).for_each(|_| self.table.pass(0, &frame[..]));
    }

    /// Lets the worker work until something holds.
    fn until(&mut self, holds: impl Fn(&Tabletop) -> bool) {
        let begun = RealInstant::now();
        while !holds(&self.table) {
            assert!(begun.elapsed() < PATIENCE, "it never came about");
            self.table.settle();
            thread::yield_now();
        }
    }

    fn until_forwarded(&mut self, count: u64) {
        self.until(|table| table.counters().forwarded.get() == count);
    }

    fn until_dropped(&mut self, reason: DropReason, count: u64) {
        self.until(|table| table.counters().drops(reason) == count);
    }
}

struct Program(Socket);

impl Program {
    fn say(&mut self, line: Value) {
        self.say_bytes(line.to_string().as_bytes());
    }

    fn say_bytes(&mut self, message: &[u8]) {
        assert_eq!(self.0.send(message).unwrap(), message.len());
    }

    /// The line of the next message; null if routerd has hung up.
    fn hear(&mut self) -> Value {
        let mut message = vec![0; MESSAGE_BYTES_MAX];
        let len = self.0.read(&mut message).unwrap();
        let end = message[..len].iter().position(|byte| *byte == b'\n').unwrap_or(len);
        if len == 0 { Value::Null } else { serde_json::from_slice(&message[..end]).unwrap() }
    }

    fn judge(&mut self, head: &Value, verdict: &str) {
        self.say(json!({"packet": head["packet"], "verdict": verdict}));
    }
}

#[test]
fn a_program_judges_packets_through_its_socket() {
    let mut ground = Ground::new();
    let mut program = ground.listener();
    ground.pass(2);
    let [first, second] = [program.hear(), program.hear()];
    assert_eq!(first["input"], "r0");
    program.judge(&first, "accept");
    program.judge(&second, "drop");
    ground.until_forwarded(1);
    ground.until_dropped(DropReason::QueueVerdict, 1);
    let bound = ground.news.take().into_iter().next();
    let own = std::process::id();
    let is_own = matches!(bound, Some(ctl::message::HostEvent::QueueBound { queue: 3, pid, program: Some(_) }) if pid == own);
    assert!(is_own, "{bound:?}");
}

#[test]
fn several_programs_have_several_queues_and_none_has_anothers() {
    let mut ground = Ground::new();
    let mut one = ground.listener();
    let mut other = ground.program();
    other.say(json!({"bind": 4}));
    assert_eq!(other.hear(), json!({"bound": 4}));
    other.say(json!({"bind": 3}));
    let refused = other.hear();
    let expected = format!("queue 3 is held by process {}", std::process::id());
    assert_eq!(refused, json!({"error": expected, "queue": 3}));
    ground.pass(1);
    let head = one.hear();
    other.judge(&head, "accept");
    assert!(other.hear()["error"].as_str().unwrap().contains("does not wait for your answer"));
    one.judge(&head, "accept");
    ground.until_forwarded(1);
}

#[test]
fn the_packets_of_a_program_that_dies_are_dropped_and_its_queue_is_free() {
    let mut ground = Ground::new();
    let mut program = ground.listener();
    ground.pass(3);
    program.hear();
    drop(program);
    ground.until_dropped(DropReason::QueueProgramGone, 3);
    ground.listener();
}

#[test]
fn a_program_that_reads_nothing_holds_up_nobody() {
    let mut ground = Ground::new();
    let mut silent = ground.program();
    silent.say(json!({"bind": 3, "packets_max": 5000, "fail_open": true}));
    assert_eq!(silent.hear(), json!({"bound": 3}));
    // More than its socket takes.
    ground.pass(4000);
    let mut other = ground.program();
    other.say(json!({"bind": 4}));
    assert_eq!(other.hear(), json!({"bound": 4}));
    drop(silent);
    ground.until_forwarded(4000);
}

#[test]
fn a_program_that_reads_no_replies_is_sent_away() {
    let ground = Ground::new();
    let mut program = ground.program();
    program.0.set_nonblocking(true).unwrap();
    let begun = RealInstant::now();
    let message = json!({"bind": 3}).to_string();
    // Being told that the queue is taken is no error of its own.
    loop {
        assert!(begun.elapsed() < PATIENCE, "it is borne for ever");
        match program.0.send(message.as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => {
                assert!(matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET)), "{error}");
                break;
            }
        }
    }
    let mut first = [0; 100];
    let len = program.0.read(&mut first).unwrap();
    assert_eq!(&first[..len], br#"{"bound":3}"#);
}

#[test]
fn garbage_and_messages_that_are_too_long_are_answered_until_it_is_enough() {
    let ground = Ground::new();
    let mut program = ground.program();
    program.say_bytes(&vec![b'x'; MESSAGE_BYTES_MAX + 100]);
    assert!(program.hear()["error"].as_str().unwrap().contains("longer"));
    program.say_bytes(&[0; 3]);
    assert!(program.hear()["error"].as_str().unwrap().contains("JSON"));
    for _ in 2..super::super::desk::ERRORS_MAX {
        program.say_bytes(b"\xff\n\xff");
        assert!(program.hear()["error"].is_string());
    }
    assert_eq!(program.hear(), Value::Null, "routerd has hung up");
}

#[test]
fn there_is_place_for_so_many_programs() {
    let ground = Ground::new();
    let mut programs: Vec<Program> = (0..PROGRAMS_MAX).map(|_| ground.program()).collect();
    for (number, program) in programs.iter_mut().enumerate() {
        program.say(json!({"bind": number}));
        assert_eq!(program.hear(), json!({"bound": number}));
    }
    let mut late = ground.program();
    assert!(late.hear()["error"].as_str().unwrap().contains("no more at once"));
    assert_eq!(late.hear(), Value::Null);
}

#[test]
fn a_second_server_is_told_who_has_the_address_and_it_is_free_when_that_ends() {
    let ground = Ground::new();
    let table = Tabletop::new(&["r0"]);
    let start = || {
        let (queues, ports) = (table.shared().queues.clone(), table.shared().ports.clone());
        Server::start(&ground.address, queues, ports, Arc::default(), ANSWER_WAIT)
    };
    let error = start().unwrap_err();
    assert!(matches!(error, BindError::Taken { pid: Some(pid), .. } if pid == std::process::id() as i32));
    let Ground { address, _server, _directory, .. } = ground;
    let Address::Path(path) = &address else { unreachable!("it was made a path") };
    assert!(path.ends_with("control-queue") && path.exists());
    drop(_server);
    assert!(!path.exists());
}
