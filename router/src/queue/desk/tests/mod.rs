mod local;

use std::sync::atomic::{AtomicU64, Ordering};

use ctl::queue::message::Ct;
use serde_json::{Value, json};
use smoltcp::wire::TcpControl;

use super::*;
use crate::chain::{Family, Hook, Place, Point, Registration, Verdict as HookVerdict, priority};
use crate::engine::{Context, Packet};
use crate::flow::Track;
use crate::packet::ethernet;
use crate::queue::Losses;
use crate::tabletop::Tabletop;
use crate::tabletop::frames::{Ends, HOST as CLIENT};

const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];
const ONE: ProgramId = ProgramId(1);
const OTHER: ProgramId = ProgramId(2);
/// No error.
const NONE: [Value; 0] = [];
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A router on the table whose hooks queue, and the desk of its queues.
struct Ground {
    table: Tabletop,
    desk: Desk,
}

/// Always says the same.
struct Says(HookVerdict);

impl Hook for Says {
    fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> HookVerdict {
        self.0
    }
}

/// Counts what it sees, and passes it.
#[derive(Default)]
struct Seen(AtomicU64);

impl Hook for Seen {
    fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> HookVerdict {
        self.0.fetch_add(1, Ordering::Relaxed);
        HookVerdict::Accept
    }
}

impl Seen {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Queues what bears no mark, and so each packet once if its program gives it one.
struct QueueUnmarked;

impl Hook for QueueUnmarked {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> HookVerdict {
        if packet.mark == 0 { to(3) } else { HookVerdict::Accept }
    }
}

const fn to(number: u16) -> HookVerdict {
    HookVerdict::Queue { number, bypass: false }
}

impl Ground {
    /// 10.0.0.0/24 on port 0, 10.0.1.0/24 on port 1, and nobody queues yet.
    fn new() -> Self {
        let mut table = Tabletop::new(&["r0", "r1"]);
        table.address(0, "10.0.0.1/24");
        table.address(1, "10.0.1.1/24");
        table.neighbor(0, "10.0.0.2", Some(CLIENT.0));
        table.neighbor(1, "10.0.1.2", Some(SERVER));
        Self::on(table)
    }

    fn on(table: Tabletop) -> Self {
        let shared = table.shared();
        let desk = Desk::new(shared.queues.clone(), shared.ports.clone(), ANSWER_WAIT);
        Self { table, desk }
    }

    /// Where program one has queue 3, and a hook at `point` sends all IPv4 packets there.
    fn with_queue(point: Point) -> Self {
        let mut ground = Self::new();
        ground.seat(point, "queue", priority::FILTER, to(3));
        ground.bind(ONE, json!({"bind": 3}));
        ground
    }

    fn seat(&self, point: Point, name: &str, priority: i32, verdict: HookVerdict) {
        self.register(point, name, priority, Arc::new(Says(verdict)));
    }

    fn register(&self, point: Point, name: &str, priority: i32, hook: Arc<dyn Hook>) {
        self.register_for(Family::Ipv4, point, name, priority, hook);
    }

    fn register_for(&self, family: Family, point: Point, name: &str, priority: i32, hook: Arc<dyn Hook>) {
        let place = Place::new(family, point, name);
        self.table.hooks().register([Registration { place, priority, hook }]).unwrap();
    }

    fn bind(&mut self, program: ProgramId, bind: Value) {
        self.desk.welcome(program, Peer { pid: Some(100 + program.0 as u32), name: Some("third.py".into()) });
        assert_eq!(self.say(program, &bind, None), NONE);
    }

    /// A program says something; what it hears that is no packet and no `bound`.
    fn say(&mut self, program: ProgramId, line: &Value, bytes: Option<&[u8]>) -> Vec<Value> {
        let mut message = line.to_string().into_bytes();
        if let Some(bytes) = bytes {
            message.push(b'\n');
            message.extend_from_slice(bytes);
        }
        let _ = self.desk.hear(program, &message);
        self.table.settle();
        let heard = self.hear(program);
        heard.into_iter().map(|(line, _)| line).filter(|line| line.get("error").is_some()).collect()
    }

    /// All that is in store for a program.
    fn hear(&mut self, program: ProgramId) -> Vec<(Value, Vec<u8>)> {
        let mut heard = Vec::new();
        let mut message = Vec::new();
        while self.desk.next_message(program, &mut message) {
            self.desk.told(program);
            let end = message.iter().position(|byte| *byte == b'\n').unwrap_or(message.len());
            let bytes = message.get(end + 1..).unwrap_or_default().to_vec();
            heard.push((serde_json::from_slice(&message[..end]).unwrap(), bytes));
        }
        heard
    }

    /// Sends packets to port 0; what program one is given of them.
    fn pass(&mut self, frames: &[Vec<u8>]) -> Vec<(Value, Vec<u8>)> {
        frames.iter().for_each(|frame| self.table.pass(0, &frame[..]));
        self.given()
    }

    /// What program one is given now.
    fn given(&mut self) -> Vec<(Value, Vec<u8>)> {
        self.desk.take_handed(self.table.now());
        self.hear(ONE)
    }

    /// As [`Self::pass`]; the number of the one packet.
    fn pass_one(&mut self) -> u64 {
        let given = self.pass(&[udp(b"question")]);
        assert_eq!(given.len(), 1, "{given:?}");
        given[0].0["packet"].as_u64().unwrap()
    }

    /// Packets that leave by port 1, without their link headers.
    fn leaving(&mut self) -> Vec<Vec<u8>> {
        let parcels = self.table.take(1).into_iter();
        parcels.map(|parcel| parcel.bytes[ethernet::HEADER_LEN..].to_vec()).collect()
    }

    fn advance(&mut self, time: Duration) {
        self.table.advance(time);
        self.desk.expire(self.table.now());
        self.table.settle();
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.table.counters().drops(reason)
    }

    fn listener(&self) -> Arc<Listener> {
        self.table.shared().queues.listener(3).unwrap()
    }
}

fn udp(payload: &[u8]) -> Vec<u8> {
    Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:53").udp(payload)
}

/// The same packet as it leaves, without its link header.
fn forwarded(payload: &[u8]) -> Vec<u8> {
    let mut packet = udp(payload)[ethernet::HEADER_LEN..].to_vec();
    crate::packet::ipv4::decrease_ttl(&mut packet);
    packet
}

fn verdict(packet: u64, verdict: &str) -> Value {
    json!({"packet": packet, "verdict": verdict})
}

fn number(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[test]
fn a_program_is_given_the_packet_and_what_is_known_of_it_and_lets_it_go_on() {
    let mut ground = Ground::with_queue(Point::Forward);
    let given = ground.pass(&[udp(b"question")]);
    let [(head, bytes)] = &given[..] else { panic!("{given:?}") };
    let flow = head["ct"]["id"].as_u64().unwrap();
    let expected = json!({
        "packet": 1, "queue": 3, "family": "ipv4", "hook": "forward", "input": "r0", "output": "r1",
        "mark": 0, "length": 36, "ct": {"state": "new", "id": flow, "direction": "original", "mark": 0},
    });
    assert_eq!(*head, expected);
    assert_eq!(*bytes, forwarded(b"question"), "the TTL is lowered before the hooks for forwarding");
    assert_eq!(ground.leaving(), Vec::<Vec<u8>>::new());
    assert_eq!(ground.listener().waiting(), 1);
    assert_eq!(ground.say(ONE, &verdict(1, "accept"), None), NONE);
    assert_eq!(ground.leaving(), [forwarded(b"question")]);
    assert_eq!(ground.table.shared().flows.len(), 1, "it is confirmed on its way on");
    let (listener, counters) = (ground.listener(), ground.table.counters());
    assert_eq!(
        (listener.waiting(), number(&listener.numbers.given), number(&listener.numbers.accepted)),
        (0, 1, 1)
    );
    assert_eq!((counters.received.get(), counters.queued.get(), counters.forwarded.get()), (1, 1, 1));
}

#[test]
fn a_packet_goes_on_wherever_it_was_queued() {
    for point in [Point::Prerouting, Point::Forward, Point::Postrouting] {
        let mut ground = Ground::with_queue(point);
        let packet = ground.pass_one();
        assert_eq!(ground.say(ONE, &verdict(packet, "accept"), None), NONE, "{point:?}");
        assert_eq!(ground.leaving(), [forwarded(b"question")], "{point:?}");
        assert_eq!(ground.table.shared().flows.len(), 1, "{point:?}");
    }
}

#[test]
fn a_dropped_packet_is_counted_and_leaves_no_flow_and_no_frame_behind() {
    let mut ground = Ground::with_queue(Point::Forward);
    let available = ground.table.frames_available();
    let packet = ground.pass_one();
    assert_eq!(ground.table.frames_available(), available, "what waits is in storage of its own");
    ground.say(ONE, &verdict(packet, "drop"), None);
    assert_eq!(ground.leaving(), Vec::<Vec<u8>>::new());
    assert_eq!(ground.drops(DropReason::QueueVerdict), 1);
    assert_eq!(ground.table.shared().flows.len(), 0);
    assert_eq!(ground.table.frames_available(), available);
    assert_eq!(number(&ground.listener().numbers.dropped), 1);
}

#[test]
fn hooks_behind_see_a_packet_once_it_comes_back_and_hooks_before_not_again() {
    let ground = &mut Ground::with_queue(Point::Forward);
    let (before, behind) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    ground.register(Point::Forward, "before", -1, before.clone());
    ground.register(Point::Forward, "behind", 1, behind.clone());
    let packet = ground.pass_one();
    assert_eq!((before.count(), behind.count()), (1, 0));
    ground.say(ONE, &verdict(packet, "accept"), None);
    assert_eq!((before.count(), behind.count()), (1, 1));
    let packet = ground.pass_one();
    ground.say(ONE, &verdict(packet, "stop"), None);
    assert_eq!((before.count(), behind.count()), (2, 1), "the rest of the point is passed by");
    assert_eq!(ground.leaving().len(), 2);
}

#[test]
fn a_packet_goes_on_behind_its_hook_wherever_that_is_then_or_behind_its_priority_if_it_has_gone() {
    let ground = &mut Ground::with_queue(Point::Forward);
    let (equal, behind) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let packets = [ground.pass_one(), ground.pass_one()];
    ground.register(Point::Forward, "first", -5, Arc::new(Seen::default()));
    ground.register(Point::Forward, "equal", priority::FILTER, equal.clone());
    ground.register(Point::Forward, "behind", 1, behind.clone());
    ground.say(ONE, &verdict(packets[0], "accept"), None);
    assert_eq!((equal.count(), behind.count()), (1, 1));
    ground.table.hooks().unregister([Place::new(Family::Ipv4, Point::Forward, "queue")]).unwrap();
    ground.say(ONE, &verdict(packets[1], "accept"), None);
    assert_eq!((equal.count(), behind.count()), (1, 2));
    assert_eq!(ground.leaving().len(), 2);
}

#[test]
fn a_repeated_packet_meets_the_hook_again_with_its_new_mark() {
    let mut ground = Ground::new();
    ground.register(Point::Forward, "queue", 0, Arc::new(QueueUnmarked));
    ground.bind(ONE, json!({"bind": 3}));
    let first = ground.pass_one();
    ground.say(ONE, &verdict(first, "repeat"), None);
    ground.desk.take_handed(ground.table.now());
    let again = ground.hear(ONE);
    assert_eq!(again.len(), 1, "it bears no mark still");
    let second = again[0].0["packet"].as_u64().unwrap();
    assert!(second > first, "numbers are never given twice");
    ground.say(ONE, &json!({"packet": second, "verdict": "repeat", "mark": 7}), None);
    assert_eq!(ground.leaving().len(), 1);
}

#[test]
fn a_packet_may_go_on_to_another_programs_queue_and_not_to_one_that_nobody_has() {
    let mut ground = Ground::with_queue(Point::Forward);
    ground.bind(OTHER, json!({"bind": 4}));
    let packets = [ground.pass_one(), ground.pass_one()];
    ground.say(ONE, &json!({"packet": packets[0], "verdict": "queue", "to": 4, "mark": 9}), None);
    ground.desk.take_handed(ground.table.now());
    let given = ground.hear(OTHER);
    assert_eq!((&given[0].0["queue"], &given[0].0["mark"]), (&json!(4), &json!(9)));
    let packet = given[0].0["packet"].as_u64().unwrap();
    ground.say(OTHER, &verdict(packet, "accept"), None);
    assert_eq!(ground.leaving().len(), 1);
    ground.say(ONE, &json!({"packet": packets[1], "verdict": "queue", "to": 5}), None);
    assert_eq!(ground.drops(DropReason::QueueWithoutListener), 1);
}

#[test]
fn new_bytes_take_the_packets_place_for_all_that_follows() {
    let mut ground = Ground::with_queue(Point::Prerouting);
    let given = ground.pass(&[udp(b"question")]);
    let (head, mut bytes) = given.into_iter().next().unwrap();
    bytes.truncate(28);
    bytes.extend_from_slice(b"something much longer");
    let line = json!({"packet": head["packet"], "verdict": "accept", "fix_checksums": true});
    assert_eq!(ground.say(ONE, &line, Some(&bytes)), NONE);
    assert_eq!(ground.leaving(), [forwarded(b"something much longer")]);
    assert_eq!(number(&ground.listener().numbers.changed), 1);
}

#[test]
fn new_bytes_may_send_a_packet_elsewhere() {
    let mut ground = Ground::with_queue(Point::Prerouting);
    ground.table.neighbor(1, "10.0.1.9", Some([2, 0, 0, 0, 9, 9]));
    let packet = ground.pass_one();
    let other = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.9:53").udp(b"x");
    ground.say(ONE, &verdict(packet, "accept"), Some(&other[ethernet::HEADER_LEN..]));
    let parcels = ground.table.take(1);
    assert_eq!(parcels[0].bytes[..6], [2, 0, 0, 0, 9, 9]);
}

#[test]
fn bytes_that_are_no_packet_end_it() {
    let mut ground = Ground::with_queue(Point::Forward);
    let packet = ground.pass_one();
    let errors = ground.say(ONE, &verdict(packet, "accept"), Some(b"nonsense"));
    assert_eq!(errors[0]["packet"], packet);
    assert!(errors[0]["error"].as_str().unwrap().contains("no sound packet"), "{errors:?}");
    assert_eq!(ground.drops(DropReason::QueueMalformed), 1);
    assert_eq!(ground.leaving(), Vec::<Vec<u8>>::new());
    assert_eq!(ground.listener().waiting(), 0);
}

#[test]
fn lies_and_garbage_are_told_counted_and_borne_for_a_while_only() {
    let mut ground = Ground::with_queue(Point::Forward);
    ground.bind(OTHER, json!({"bind": 4}));
    let packet = ground.pass_one();
    let told = |ground: &mut Ground, program, line: Value| {
        let errors = ground.say(program, &line, None);
        errors[0]["error"].as_str().unwrap().to_owned()
    };
    assert!(told(&mut ground, ONE, verdict(packet + 1, "accept")).contains("does not wait for your answer"));
    assert!(told(&mut ground, OTHER, verdict(packet, "accept")).contains("does not wait for your answer"));
    assert!(told(&mut ground, ONE, verdict(packet, "queue")).contains("needs \"to\""));
    assert!(told(&mut ground, ONE, json!({"packet": packet, "verdict": "drop", "to": 1})).contains("only"));
    assert!(told(&mut ground, ONE, json!({"unbind": 4})).contains("not yours"));
    assert!(told(&mut ground, OTHER, json!({"bind": 3})).contains("held by process 101"));
    assert!(told(&mut ground, ONE, json!({"bind": 5, "packets_max": 0})).contains("packets_max"));
    assert!(told(&mut ground, ONE, json!({"bind": 5, "copy_bytes": 1_000_000})).contains("copy_bytes"));
    assert!(told(&mut ground, ONE, json!("garbage")).contains("this one does not"));
    assert_eq!(ground.say(ONE, &verdict(packet, "accept"), None), NONE, "it waits in spite of all that");
    assert_eq!(ground.leaving().len(), 1);
    let before = number(&ground.listener().numbers.refused);
    assert_eq!(before, 7);
    for _ in before + 1..ERRORS_MAX {
        assert_eq!(ground.desk.hear(ONE, b"\xff"), Heard::Stays);
    }
    assert_eq!(ground.desk.hear(ONE, b"\xff"), Heard::Goes(Farewell::Errors));
}

#[test]
fn a_queue_takes_no_more_than_it_holds_and_a_program_may_have_the_rest_go_on() {
    for (fail_open, passed) in [(false, 0), (true, 3)] {
        let mut ground = Ground::new();
        ground.seat(Point::Forward, "queue", 0, to(3));
        ground.bind(ONE, json!({"bind": 3, "packets_max": 2, "fail_open": fail_open}));
        let given = ground.pass(&[&b"1"[..], b"2", b"3", b"4", b"5"].map(udp));
        assert_eq!(given.len(), 2);
        assert_eq!(ground.leaving().len(), passed);
        assert_eq!(ground.drops(DropReason::QueueFull), 3 - passed as u64);
        assert_eq!((ground.listener().waiting(), number(&ground.listener().numbers.full)), (2, 3));
    }
}

#[test]
fn packets_are_given_up_when_their_time_is_over_and_late_answers_do_no_harm() {
    for (fail_open, passed) in [(false, 0), (true, 1)] {
        let mut ground = Ground::new();
        ground.seat(Point::Forward, "queue", 0, to(3));
        ground.bind(ONE, json!({"bind": 3, "fail_open": fail_open}));
        let packet = ground.pass_one();
        ground.advance(ANSWER_WAIT - Duration::from_millis(1));
        assert_eq!((ground.listener().waiting(), ground.leaving().len()), (1, 0));
        ground.advance(Duration::from_millis(1));
        assert_eq!((ground.listener().waiting(), ground.leaving().len()), (0, passed));
        assert_eq!(ground.drops(DropReason::QueueUnanswered), 1 - passed as u64);
        assert_eq!(number(&ground.listener().numbers.timed_out), 1);
        assert_eq!(ground.say(ONE, &verdict(packet, "accept"), None), NONE);
        assert_eq!((ground.leaving().len(), number(&ground.listener().numbers.refused)), (0, 0));
    }
}

#[test]
fn what_was_given_up_before_it_was_its_turn_is_not_given_any_more() {
    let mut ground = Ground::with_queue(Point::Forward);
    ground.table.pass(0, &udp(b"x")[..]);
    ground.desk.take_handed(ground.table.now());
    assert!(ground.desk.has_message(ONE));
    ground.advance(ANSWER_WAIT);
    assert_eq!(ground.hear(ONE), []);
    assert_eq!(number(&ground.listener().numbers.given), 0);
}

#[test]
fn with_its_program_a_queue_ends_and_what_waits_is_dropped_or_goes_on() {
    for (fail_open, passed) in [(false, 0), (true, 3)] {
        let mut ground = Ground::new();
        ground.seat(Point::Forward, "queue", 0, to(3));
        ground.bind(ONE, json!({"bind": 3, "fail_open": fail_open}));
        ground.pass(&[&b"1"[..], b"2"].map(udp));
        // One that the desk has not seen yet.
        ground.table.pass(0, &udp(b"3")[..]);
        let listener = ground.listener();
        ground.desk.part(ONE, Farewell::HungUp);
        ground.desk.take_handed(ground.table.now());
        ground.table.settle();
        assert_eq!(ground.leaving().len(), passed);
        assert_eq!(ground.drops(DropReason::QueueProgramGone), 3 - passed as u64);
        assert_eq!(listener.waiting(), 0);
        let losses = ground.table.shared().queues.losses(ground.table.now());
        assert_eq!(losses, [Losses { number: 3, dropped: 3 - passed as u64, bypassed: passed as u64 }]);
        let news = ground.desk.take_news();
        let gone = HostEvent::QueueGone { queue: 3, pid: 101, reason: "hung_up".into(), waiting: 2 };
        assert_eq!(news.last(), Some(&gone));
        assert!(ground.table.shared().queues.listener(3).is_none());
        ground.table.pass(0, &udp(b"4")[..]);
        assert_eq!(ground.drops(DropReason::QueueWithoutListener), 1);
        ground.bind(OTHER, json!({"bind": 3}));
    }
}

#[test]
fn a_queue_that_is_given_up_goes_to_whoever_asks_next() {
    let mut ground = Ground::with_queue(Point::Forward);
    ground.bind(OTHER, json!({"bind": 4}));
    let packet = ground.pass_one();
    assert_eq!(ground.say(ONE, &json!({"unbind": 3}), None), NONE);
    assert_eq!(ground.drops(DropReason::QueueProgramGone), 1);
    assert_eq!(ground.say(OTHER, &json!({"bind": 3}), None), NONE);
    assert_eq!(ground.say(ONE, &verdict(packet, "accept"), None), NONE, "late, and no lie");
    assert_eq!(ground.pass(&[udp(b"x")]), [], "it is the other's now");
    assert_eq!(ground.hear(OTHER).len(), 1);
}

#[test]
fn where_nobody_listens_a_packet_passes_if_the_hook_says_so_and_meets_the_hooks_behind() {
    let mut ground = Ground::new();
    ground.seat(Point::Forward, "queue", 0, HookVerdict::Queue { number: 3, bypass: true });
    let behind = Arc::new(Seen::default());
    ground.register(Point::Forward, "behind", 1, behind.clone());
    ground.table.pass(0, &udp(b"x")[..]);
    assert_eq!((ground.leaving().len(), behind.count()), (1, 1));
    ground.bind(ONE, json!({"bind": 3}));
    ground.pass_one();
    assert_eq!((ground.leaving().len(), behind.count()), (0, 1), "somebody listens now");
}

#[test]
fn a_program_sees_as_many_bytes_as_it_asks_for_and_the_packet_stays_whole() {
    let mut ground = Ground::new();
    ground.seat(Point::Forward, "queue", 0, to(3));
    ground.bind(ONE, json!({"bind": 3, "copy_bytes": 20}));
    let given = ground.pass(&[udp(b"question")]);
    assert_eq!((given[0].1.len(), &given[0].0["length"]), (20, &json!(36)));
    ground.say(ONE, &verdict(1, "accept"), None);
    assert_eq!(ground.leaving(), [forwarded(b"question")]);
}

#[test]
fn two_first_packets_of_a_flow_may_wait_at_once() {
    let mut ground = Ground::with_queue(Point::Forward);
    let packets = [ground.pass_one(), ground.pass_one()];
    for packet in packets {
        ground.say(ONE, &verdict(packet, "accept"), None);
    }
    assert_eq!(ground.leaving().len(), 2);
    assert_eq!(ground.table.shared().flows.len(), 1, "the second has joined the first");
}

#[test]
fn a_flow_that_is_deleted_meanwhile_does_not_keep_its_packet_from_leaving() {
    let mut ground = Ground::with_queue(Point::Forward);
    let first = ground.pass_one();
    ground.say(ONE, &verdict(first, "accept"), None);
    let second = ground.pass_one();
    let flows = &ground.table.shared().flows;
    assert_eq!(flows.delete(|_| true), 1);
    ground.say(ONE, &verdict(second, "accept"), None);
    assert_eq!(ground.leaving().len(), 2);
}

#[test]
fn a_port_that_is_down_or_a_route_that_is_gone_meanwhile_is_met_as_it_is_then() {
    let mut ground = Ground::with_queue(Point::Forward);
    let packet = ground.pass_one();
    let down = fib::change::Link { carrier: false, admin_up: false, ..crate::tabletop::link(1, "r1") };
    ground.table.apply([fib::change::Change::Link(down)]);
    ground.say(ONE, &verdict(packet, "accept"), None);
    assert_eq!(ground.drops(DropReason::PortDown), 1);
    assert_eq!(ground.listener().waiting(), 0);
}

/// Remembers what tracking said of the last packet.
struct Tracked(parking_lot::Mutex<Option<bool>>);

impl Hook for Tracked {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> HookVerdict {
        *self.0.lock() = Some(matches!(packet.track, Track::Flow { .. }));
        HookVerdict::Accept
    }
}

#[test]
fn the_routers_own_errors_may_be_queued_and_are_counted_as_such() {
    let mut ground = Ground::new();
    ground.seat(Point::Output, "queue", priority::FILTER, to(3));
    let tracked = Arc::new(Tracked(parking_lot::Mutex::new(None)));
    ground.register(Point::Postrouting, "tracked", 0, tracked.clone());
    ground.bind(ONE, json!({"bind": 3}));
    let mut expiring = udp(b"x");
    expiring[ethernet::HEADER_LEN + 8] = 1;
    crate::packet::ipv4::write_checksum(&mut expiring[ethernet::HEADER_LEN..]);
    let given = ground.pass(&[expiring]);
    assert_eq!((&given[0].0["hook"], given[0].0.get("input")), (&json!("output"), None));
    assert_eq!(ground.table.counters().icmp_sent.get(), 0);
    ground.say(ONE, &verdict(1, "accept"), None);
    assert_eq!(ground.table.take(0).len(), 1);
    let counters = ground.table.counters();
    assert_eq!((counters.icmp_sent.get(), counters.forwarded.get()), (1, 0));
    assert!(tracked.0.lock().is_some());
}

#[test]
fn a_super_packet_is_given_in_finished_segments() {
    let mut ground = Ground::with_queue(Point::Forward);
    let ends = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:80");
    ground.pass(&[ends.tcp(TcpControl::Syn, 1, None, b"")]);
    ground.say(ONE, &verdict(1, "accept"), None);
    ground.leaving();
    let parcel = ends.tcp_super_packet(2, 1, &[7; 2500], 1000);
    ground.table.pass(0, parcel);
    ground.desk.take_handed(ground.table.now());
    let given = ground.hear(ONE);
    let lengths: Vec<u64> = given.iter().map(|(head, _)| head["length"].as_u64().unwrap()).collect();
    assert_eq!(lengths, [1040, 1040, 540]);
    for (head, bytes) in &given {
        let tcp = &bytes[20..];
        let pseudo = crate::packet::checksum::pseudo_header_v4(
            "10.0.0.2".parse().unwrap(),
            "10.0.1.2".parse().unwrap(),
            6,
            tcp.len() as u16,
        );
        let sum = crate::packet::checksum::add(pseudo, crate::packet::checksum::sum(tcp));
        assert_eq!(sum, 0xffff, "{head}");
        ground.say(ONE, &verdict(head["packet"].as_u64().unwrap(), "accept"), None);
    }
    assert_eq!(ground.leaving().len(), 3);
}

#[test]
fn what_tracking_says_is_told_as_rules_call_it() {
    let mut ground = Ground::with_queue(Point::Forward);
    let there = ground.pass(&[udp(b"x")]);
    ground.say(ONE, &verdict(1, "accept"), None);
    ground.table.pass(1, &Ends::to_port(1, "10.0.1.2:53", "10.0.0.2:1000").udp(b"y")[..]);
    ground.desk.take_handed(ground.table.now());
    let back = ground.hear(ONE);
    let ct = |given: &[(Value, Vec<u8>)]| -> Ct { serde_json::from_value(given[0].0["ct"].clone()).unwrap() };
    let (there, back) = (ct(&there), ct(&back));
    assert_eq!((there.state.as_str(), there.direction.as_deref()), ("new", Some("original")));
    assert_eq!((back.state.as_str(), back.direction.as_deref()), ("established", Some("reply")));
    assert_eq!(there.id, back.id);
}

#[test]
fn queues_that_nobody_has_bound_are_known_when_packets_were_sent_there() {
    let mut ground = Ground::new();
    let queues = ground.table.shared().queues.clone();
    ground.seat(Point::Prerouting, "bypass", 0, HookVerdict::Queue { number: 7, bypass: true });
    ground.seat(Point::Forward, "queue", 0, to(9));
    ground.table.pass(0, &udp(b"x")[..]);
    let counted = |number: u16, name: &str| {
        let records = queues.records();
        let record = records.iter().find(|record| record.number == number).expect("it is known");
        record.numbers.named().find(|(named, _)| *named == name).map(|(_, count)| count)
    };
    assert_eq!((counted(7, "bypassed"), counted(9, "unbound")), (Some(1), Some(1)));
    let now = ground.table.now();
    let expected =
        [(7, 0, 1), (9, 1, 0)].map(|(number, dropped, bypassed)| Losses { number, dropped, bypassed });
    assert_eq!(queues.losses(now), expected);
    ground.table.pass(0, &udp(b"x")[..]);
    assert_eq!(queues.losses(now + Duration::from_millis(999)), [], "once a second is enough");
    assert_eq!(queues.losses(now + Duration::from_secs(1)), expected);
    assert_eq!(queues.losses(now + Duration::from_secs(2)), []);
}

/// Masquerades what leaves by r1.
struct Masquerade(Arc<crate::flow::FlowTable>);

impl Hook for Masquerade {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> HookVerdict {
        crate::nat::masquerade(packet, context, &self.0, None, crate::nat::Flags::default())
    }
}

#[test]
fn in_a_translated_connection_numbers_follow_what_a_program_has_made_longer() {
    for (translated, shifted) in [(true, 5), (false, 0)] {
        let mut ground = Ground::with_queue(Point::Forward);
        let flows = ground.table.shared().flows.clone();
        if translated {
            let chain = crate::hooks::NatChain {
                family: Family::Ipv4,
                point: Point::Postrouting,
                priority: priority::SOURCE_NAT,
                hook: Arc::new(Masquerade(flows.clone())),
            };
            ground.table.hooks().register(crate::hooks::Nat::seats(&flows, &[chain])).unwrap();
        }
        let here = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:80");
        let sequence = |packet: &[u8]| u32::from_be_bytes(packet[24..28].try_into().unwrap());
        let mut leaves = |port, segment: Vec<u8>, more: &[u8]| {
            ground.table.pass(port, &segment[..]);
            let (head, bytes) = ground.given().pop().unwrap();
            let line = json!({"packet": head["packet"], "verdict": "accept", "fix_checksums": true});
            let changed = (!more.is_empty()).then(|| [&bytes, more].concat());
            assert_eq!(ground.say(ONE, &line, changed.as_deref()), NONE);
            ground.table.take(0);
            ground.leaving().pop()
        };
        leaves(0, here.tcp(TcpControl::Syn, 100, None, b""), b"");
        let back =
            Ends::to_port(1, "10.0.1.2:80", if translated { "10.0.1.1:1000" } else { "10.0.0.2:1000" });
        leaves(1, back.tcp(TcpControl::Syn, 0, Some(101), b""), b"");
        let first = leaves(0, here.tcp(TcpControl::Psh, 101, Some(1), b"some"), b" more").unwrap();
        assert_eq!((sequence(&first), &first[40..]), (101, &b"some more"[..]), "translated {translated}");
        let second = leaves(0, here.tcp(TcpControl::Psh, 105, Some(1), b"rest"), b"").unwrap();
        assert_eq!(sequence(&second), 105 + shifted, "translated {translated}");
    }
}
