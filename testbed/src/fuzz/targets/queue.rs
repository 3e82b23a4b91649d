//! Programs that judge packets: any messages from two of them, while packets come, time passes and they come and go.

use std::sync::Arc;
use std::time::Duration;

use router::chain::{Family, Hook, Place, Point, Registration, Verdict};
use router::engine::{Context, Packet};
use router::queue::{Desk, Farewell, Heard, Peer, ProgramId};
use router::tabletop::Tabletop;
use router::tabletop::frames::Ends;

use crate::fuzz::input::{Input, Recipe};

/// A frame comes.
const FRAME: u8 = 0;
/// A program says something.
const SAY: u8 = 1;
/// A program judges the packet that it was given first of those left, and sends bytes.
const JUDGE: u8 = 2;
/// Seconds pass.
const WAIT: u8 = 3;
/// A program ends, and another comes in its place.
const LEAVE: u8 = 4;

const ANSWER_WAIT: Duration = Duration::from_secs(10);
const VERDICTS: [&str; 6] = ["accept", "drop", "repeat", "queue", "stop", "nonsense"];

/// Says that packets go to a queue, by their mark: marks are a program's way of ending the round.
struct Queue(u16);

impl Hook for Queue {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        if packet.mark == u32::from(self.0) {
            return Verdict::Accept;
        }
        Verdict::Queue { number: self.0, bypass: true }
    }
}

/// A router and two programs.
struct Ground {
    table: Tabletop,
    desk: Desk,
    given: [Vec<u64>; 2],
}

impl Ground {
    fn new() -> Self {
        let mut table = Tabletop::new(&["r0", "r1"]);
        for (port, [v4, v6]) in
            [["10.0.0.1/24", "fd00::1/64"], ["10.0.1.1/24", "fd01::1/64"]].iter().enumerate()
        {
            table.address(port, v4);
            table.address(port, v6);
        }
        table.neighbor(0, "10.0.0.2", Some([2, 0, 0, 0, 1, 2]));
        table.neighbor(1, "10.0.1.2", Some([2, 0, 0, 0, 2, 2]));
        table.neighbor(1, "fd01::2", Some([2, 0, 0, 0, 2, 2]));
        let points =
            [(Point::Prerouting, 1), (Point::Forward, 2), (Point::Output, 1), (Point::Postrouting, 3)];
        let seats = [Family::Ipv4, Family::Ipv6].into_iter().flat_map(|family| {
            points.map(|(point, number)| Registration {
                place: Place::new(family, point, "queue"),
                priority: 0,
                hook: Arc::new(Queue(number)),
            })
        });
        table.hooks().register(seats).expect("the seats are free");
        let shared = table.shared();
        let mut desk = Desk::new(shared.queues.clone(), shared.ports.clone(), ANSWER_WAIT);
        for program in 0..2 {
            desk.welcome(ProgramId(program), Peer::default());
        }
        Self { table, desk, given: Default::default() }
    }

    fn say(&mut self, program: usize, message: &[u8]) {
        let id = ProgramId(program as u64);
        if let Heard::Goes(why) = self.desk.hear(id, message) {
            self.leave(program, why);
        }
    }

    fn leave(&mut self, program: usize, why: Farewell) {
        let id = ProgramId(program as u64);
        self.desk.part(id, why);
        self.desk.welcome(id, Peer::default());
        self.given[program].clear();
    }

    /// Lets everybody do what there is to do.
    fn settle(&mut self) {
        self.table.settle();
        self.desk.take_handed(self.table.now());
        self.desk.expire(self.table.now());
        let mut message = Vec::new();
        for program in 0..2 {
            let id = ProgramId(program as u64);
            while self.desk.next_message(id, &mut message) {
                self.desk.told(id);
                let line = message.split(|byte| *byte == b'\n').next().expect("there is always a first");
                let line: serde_json::Value = serde_json::from_slice(line).expect("routerd speaks JSON");
                if let Some(packet) = line["packet"].as_u64().filter(|_| line.get("queue").is_some()) {
                    self.given[program].push(packet);
                }
            }
        }
        self.table.settle();
        for port in 0..2 {
            self.table.take(port);
        }
    }
}

/// Again and again a step: what, by which program, and what it asks for.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut ground = Ground::new();
    let frames = ground.table.frames_available();
    while !input.is_empty() {
        let step = input.byte();
        let program = usize::from(step >> 7);
        match step & 7 {
            FRAME => {
                let frame = input.chunk();
                ground.table.pass(0, &frame[..frame.len().min(router::frame::FRAME_MAX)]);
            }
            SAY => ground.say(program, input.chunk()),
            JUDGE => {
                let flags = input.byte();
                let verdict = VERDICTS[usize::from(flags & 7) % VERDICTS.len()];
                let given = &mut ground.given[program];
                let packet = if given.is_empty() { u64::from(flags) } else { given.remove(0) };
                let mut line = serde_json::json!({
                    "packet": packet, "verdict": verdict, "mark": (flags >> 3) & 3, "fix_checksums": flags & 32 != 0,
                });
                if verdict == "queue" {
                    line["to"] = ((flags >> 3) & 3).into();
                }
                let mut message = line.to_string().into_bytes();
                let changed = input.chunk();
                if !changed.is_empty() {
                    message.push(b'\n');
                    message.extend_from_slice(changed);
                }
                ground.say(program, &message);
            }
            WAIT => ground.table.advance(Duration::from_secs(input.byte().into())),
            LEAVE => ground.leave(program, Farewell::HungUp),
            _ => {}
        }
        ground.settle();
    }
    let listeners: Vec<_> =
        (ground.table.shared().queues.records().iter()).filter_map(|record| record.listener()).collect();
    for program in 0..2 {
        ground.leave(program, Farewell::HungUp);
    }
    ground.settle();
    assert!(listeners.iter().all(|listener| listener.waiting() == 0), "packets wait for nobody");
    assert!(ground.table.shared().queues.records().iter().all(|record| record.listener().is_none()));
    // What waits for a neighbor that nobody knows is in storage of its own.
    assert_eq!(ground.table.frames_available(), frames, "frames are lost");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let udp = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:53").udp(b"question");
    let udp6 = Ends::to_port(0, "[fd00::2]:1000", "[fd01::2]:53").udp(b"question");
    let bind = |number: u16, program: u8| {
        Recipe::default().bytes(&[SAY | program << 7]).chunk(format!("{{\"bind\":{number}}}").as_bytes())
    };
    let judge = |recipe: Recipe, flags: u8, bytes: &[u8]| recipe.bytes(&[JUDGE, flags]).chunk(bytes);
    let bound = || {
        [bind(1, 0), bind(2, 0), bind(3, 0)]
            .into_iter()
            .fold(Recipe::default(), |all, one| all.bytes(&one.done()))
    };
    let through = [0, 0, 0]
        .into_iter()
        .fold(bound().bytes(&[FRAME]).chunk(&udp), |recipe, flags| judge(recipe, flags, b""));
    let changed = judge(bound().bytes(&[FRAME]).chunk(&udp), 32, &[&udp[14..], b" and more"].concat());
    let handed_on = judge(bind(1, 0).bytes(&bind(2, 1).done()).bytes(&[FRAME]).chunk(&udp6), 3 | 2 << 3, b"");
    let repeated = judge(judge(bind(1, 0).bytes(&[FRAME]).chunk(&udp), 2, b""), 2 | 1 << 3, b"");
    let late = judge(bind(1, 0).bytes(&[FRAME]).chunk(&udp).bytes(&[WAIT, 11]), 0, b"");
    let open = br#"{"bind":2,"packets_max":1,"fail_open":true,"copy_bytes":20}"#;
    let full = Recipe::default()
        .bytes(&[SAY])
        .chunk(open)
        .bytes(&[FRAME])
        .chunk(&udp)
        .bytes(&[FRAME])
        .chunk(&udp)
        .bytes(&[LEAVE]);
    let unbound = bind(2, 0).bytes(&[FRAME]).chunk(&udp).bytes(&[SAY]).chunk(br#"{"unbind":2}"#);
    [through, changed, handed_on, repeated, late, full, unbound].map(Recipe::done).into()
}
