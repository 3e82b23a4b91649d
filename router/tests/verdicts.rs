//! The six verdicts, each used by a hook, and told apart: what may be observed of one is true of no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use router::chain::{Family, Hook, Place, Point, Registration, Verdict, priority};
use router::drops::DropReason;
use router::engine::{Context, Packet};
use router::queue::{Desk, ProgramId};
use router::tabletop::Tabletop;
use router::tabletop::frames::{Ends, HOST};

const QUEUE: u16 = 7;
const PROGRAM: ProgramId = ProgramId(1);

/// Decides the first time, and the second time too; lets pass from then on. Repeats would go on for ever otherwise.
struct Decider {
    verdict: Verdict,
    calls: AtomicU64,
}

impl Hook for Decider {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if self.calls.fetch_add(1, Ordering::Relaxed) > 1 {
            return Verdict::Accept;
        }
        if self.verdict == Verdict::Stolen {
            let frame = packet.steal();
            context.out.recycle(frame);
        }
        self.verdict
    }
}

/// Counts who comes by.
#[derive(Default)]
struct Witness(AtomicU64);

impl Hook for Witness {
    fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        self.0.fetch_add(1, Ordering::Relaxed);
        Verdict::Accept
    }
}

/// What a verdict comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// How often the hook was called.
    calls: u64,
    /// How often the next one at its point was called, before a program has answered.
    next: u64,
    /// How often one at the following point was called, before that.
    beyond: u64,
    /// Packets that left, before that.
    left: usize,
    /// Packets that were dropped by the hook's reason.
    dropped: u64,
    /// Packets that a hook has.
    stolen: u64,
    /// Packets that a program was given.
    given: u64,
    /// The same when the program has let go what it was given: the next hook, the following point, packets that left.
    after: (u64, u64, usize),
}

/// What becomes of one packet when a hook at forward says `verdict` of it.
fn observe(verdict: Verdict) -> Seen {
    let mut table = Tabletop::new(&["r0", "r1"]);
    table.address(0, "10.0.0.1/24");
    table.address(1, "10.0.1.1/24");
    table.neighbor(0, "10.0.0.2", Some(HOST.0));
    table.neighbor(1, "10.0.1.2", Some([2, 0, 0, 0, 2, 2]));
    let decider = Arc::new(Decider { verdict, calls: AtomicU64::new(0) });
    let (next, beyond) = (Arc::new(Witness::default()), Arc::new(Witness::default()));
    let seat = |point, name, priority, hook: Arc<dyn Hook>| Registration {
        place: Place::new(Family::Ipv4, point, name),
        priority,
        hook,
    };
    let batch = [
        seat(Point::Forward, "decider", priority::FILTER, decider.clone()),
        seat(Point::Forward, "next", priority::FILTER + 1, next.clone()),
        seat(Point::Postrouting, "beyond", priority::FILTER, beyond.clone()),
    ];
    table.hooks().register(batch).unwrap();
    let shared = table.shared();
    let mut desk = Desk::new(shared.queues.clone(), shared.ports.clone(), Duration::from_secs(10));
    desk.welcome(PROGRAM, router::queue::Peer::default());
    let _ = desk.hear(PROGRAM, format!(r#"{{"bind": {QUEUE}}}"#).as_bytes());

    let frames = table.frames_available();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:2").udp(b"judge me")[..]);
    desk.take_handed(table.now());
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut seen = Seen {
        calls: count(&decider.calls),
        next: count(&next.0),
        beyond: count(&beyond.0),
        left: table.take(1).len(),
        dropped: table.counters().drops(DropReason::Rule),
        stolen: table.counters().stolen.get(),
        ..Seen::default()
    };
    let mut message = Vec::new();
    while desk.next_message(PROGRAM, &mut message) {
        desk.told(PROGRAM);
        if message.starts_with(br#"{"packet":1,"#) {
            seen.given += 1;
            let _ = desk.hear(PROGRAM, br#"{"packet": 1, "verdict": "accept"}"#);
        }
    }
    table.settle();
    seen.after = (count(&next.0), count(&beyond.0), table.take(1).len());
    assert_eq!(table.frames_available(), frames, "{verdict:?}: no frame is lost");
    seen
}

#[test]
fn each_verdict_does_what_its_name_says_and_none_does_what_another_does() {
    let passed = Seen { calls: 1, next: 1, beyond: 1, left: 1, after: (1, 1, 0), ..Seen::default() };
    let ended = Seen { calls: 1, ..Seen::default() };
    let table = [
        (Verdict::Accept, passed),
        (Verdict::Drop(DropReason::Rule), Seen { dropped: 1, ..ended }),
        (Verdict::Stolen, Seen { stolen: 1, ..ended }),
        (Verdict::Queue { number: QUEUE, bypass: false }, Seen { given: 1, after: (1, 1, 1), ..ended }),
        // Twice the same verdict, then it lets pass: called three times, and the others once.
        (Verdict::Repeat, Seen { calls: 3, ..passed }),
        (Verdict::Stop, Seen { next: 0, after: (0, 1, 0), ..passed }),
    ];
    for (verdict, expected) in table {
        assert_eq!(observe(verdict), expected, "{verdict:?}");
    }
    for (place, (verdict, seen)) in table.iter().enumerate() {
        for (other, like) in &table[..place] {
            assert_ne!(seen, like, "{verdict:?} could be {other:?}");
        }
    }
}
