//! The tracker held against Linux's table as it is printed there, and against what real connections do.

mod lives;
mod resets;
mod windows;

use proptest::prelude::*;

use super::TcpState::CloseWait;
use super::*;
use crate::l4::Shift;
use crate::test_packets::{ACK, FIN, RST, SYN, finished, packet, tcp};

const A: &str = "10.0.0.1";
const B: &str = "10.0.1.2";
const STATES: [TcpState; 10] =
    [NoState, SynSent, SynReceived, Established, FinWait, CloseWait, LastAck, TimeWait, Close, SynSent2];
const NAMES: [&str; 10] = ["sNO", "sSS", "sSR", "sES", "sFW", "sCW", "sLA", "sTW", "sCL", "sS2"];
const SEEN: [u8; 6] = [SYN, SYN | ACK, FIN | ACK, ACK, RST, 0];

/// `tcp_conntracks`, transcribed from the kernel: for each direction SYN, SYN-ACK, FIN, ACK, RST, none.
const LINUX: [[&str; 6]; 2] = [
    [
        "sSS, sSS, sIG, sIG, sIG, sIG, sIG, sSS, sSS, sS2",
        "sIV, sIV, sSR, sIV, sIV, sIV, sIV, sIV, sIV, sSR",
        "sIV, sIV, sFW, sFW, sLA, sLA, sLA, sTW, sCL, sIV",
        "sES, sIV, sES, sES, sCW, sCW, sTW, sTW, sCL, sIV",
        "sIV, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL",
        "sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV",
    ],
    [
        "sIV, sS2, sIV, sIV, sIV, sIV, sIV, sSS, sIV, sS2",
        "sIV, sSR, sIG, sIG, sIG, sIG, sIG, sIG, sIG, sSR",
        "sIV, sIV, sFW, sFW, sLA, sLA, sLA, sTW, sCL, sIV",
        "sIV, sIG, sSR, sES, sCW, sCW, sTW, sTW, sCL, sIG",
        "sIV, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL",
        "sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV, sIV",
    ],
];

fn linux(direction: Direction, kind: usize, state: usize) -> &'static str {
    LINUX[direction.index()][kind].split(", ").nth(state).unwrap()
}

fn flow(state: TcpState) -> TcpFlow {
    TcpFlow { ends: [End::default(); 2], last: Last::nothing(), state }
}

/// Where the numbers of each direction start.
const FIRST: [u32; 2] = [0xffff_fe00, 5000];

/// Which way a segment goes.
const THERE: Direction = Direction::Original;
const BACK: Direction = Direction::Reply;

/// A segment, with numbers counted from the first of each direction: the SYN has 0.
#[derive(Clone, Debug)]
struct Piece {
    direction: Direction,
    flags: u8,
    sequence: u32,
    acknowledged: u32,
    length: usize,
    window: u16,
    options: Vec<u8>,
}

fn piece(direction: Direction, flags: u8, sequence: u32, acknowledged: u32) -> Piece {
    Piece { direction, flags, sequence, acknowledged, length: 0, window: 10_000, options: Vec::new() }
}

impl Piece {
    fn length(self, length: usize) -> Self {
        Self { length, ..self }
    }

    fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    fn options(self, options: &[u8]) -> Self {
        Self { options: options.to_vec(), ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let (source, destination, ports) = match self.direction {
            Direction::Original => (A, B, [0, 1, 0, 80]),
            Direction::Reply => (B, A, [0, 80, 0, 1]),
        };
        let own = self.direction.index();
        let acknowledged =
            if self.flags & ACK == 0 { 0 } else { FIRST[1 - own].wrapping_add(self.acknowledged) };
        let words = u8::try_from(5 + self.options.len().div_ceil(4)).unwrap();
        let mut segment = ports.to_vec();
        segment.extend(FIRST[own].wrapping_add(self.sequence).to_be_bytes());
        segment.extend(acknowledged.to_be_bytes());
        segment.extend([words << 4, self.flags]);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend_from_slice(&self.options);
        segment.resize(usize::from(words) * 4 + self.length, 0);
        finished(source, destination, 6, segment, Some(16))
    }
}

/// A connection and what the table would remember of it.
#[derive(Clone)]
struct Connection {
    tcp: Tcp,
    flow: TcpFlow,
    status: Status,
    left: Duration,
    shift: Shift,
}

impl Connection {
    fn start(tcp: Tcp, first: &Piece) -> Result<(Self, Outcome), InvalidReason> {
        let flow = tcp.start(&packet(&first.bytes()), Instant::ZERO)?;
        let status = Status::default();
        let mut connection = Self { tcp, flow, status, left: Duration::ZERO, shift: Shift::NONE };
        let outcome = connection.sees(first);
        connection.status = Status::CONFIRMED;
        Ok((connection, outcome))
    }

    /// A packet, and what the table makes of the outcome.
    fn sees(&mut self, piece: &Piece) -> Outcome {
        let seen = Seen {
            left: self.left,
            opposite_shift: self.shift,
            ..Seen::new(piece.direction, self.status, Instant::ZERO)
        };
        let outcome = self.tcp.update(&mut self.flow, &packet(&piece.bytes()), seen);
        match outcome {
            Outcome::Accept { timeout, assured, .. } => {
                self.left = timeout;
                if assured {
                    self.status = self.status | Status::ASSURED;
                }
            }
            Outcome::Doubt { timeout, .. } => self.left = timeout,
            _ => {}
        }
        if piece.direction == BACK && !matches!(outcome, Outcome::Invalid(_) | Outcome::Doubt { .. }) {
            self.status = self.status | Status::SEEN_REPLY;
        }
        outcome
    }

    /// As [`Self::sees`], for segments without payload.
    fn see(&mut self, direction: Direction, flags: u8, sequence: u32, acknowledged: u32) -> Outcome {
        self.sees(&piece(direction, flags, sequence, acknowledged))
    }

    /// After a SYN with these options.
    fn syn_sent(tcp: Tcp, options: &[u8]) -> Self {
        Self::start(tcp, &piece(THERE, SYN, 0, 0).options(options)).unwrap().0
    }

    /// After the handshake, with windows of 10000 that are not scaled.
    fn opened() -> Self {
        Self::opened_with(Tcp::default(), &[])
    }

    /// After the handshake, in which both ends give these options.
    fn opened_with(tcp: Tcp, options: &[u8]) -> Self {
        let mut connection = Self::syn_sent(tcp, options);
        connection.sees(&piece(BACK, SYN | ACK, 0, 1).options(options));
        connection.see(THERE, ACK, 1, 1);
        assert_eq!(connection.flow.state, Established);
        assert!(connection.status.contains(Status::ASSURED));
        connection
    }
}

fn accepted(seconds: u64, assured: bool, changed: bool) -> Outcome {
    Outcome::Accept { timeout: Duration::from_secs(seconds), assured, changed }
}

/// Linux's lifetime of an established connection, in seconds.
const LONG_S: u64 = 5 * 24 * 3600;

const MISSES: Outcome = Outcome::Invalid(InvalidReason::Window);

#[test]
fn every_transition_is_linux_s() {
    for direction in Direction::ALL {
        for (kind, flags) in SEEN.into_iter().enumerate() {
            for (state, from) in STATES.into_iter().enumerate() {
                let bytes = tcp(A, B, 1, 80, flags);
                let mut flow = flow(from);
                let status = Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED;
                let seen = Seen::new(direction, status, Instant::ZERO);
                let outcome = Tcp::default().update(&mut flow, &packet(&bytes), seen);
                let expected = linux(direction, kind, state);
                let context = format!("{direction:?} flags {flags} in {from:?}: {outcome:?}");
                match expected {
                    "sIV" => assert_eq!(outcome, Outcome::Invalid(InvalidReason::State), "{context}"),
                    "sIG" => assert_eq!((outcome, flow.state), (Outcome::Pass, from), "{context}"),
                    // Neither end is known to have closed in an orderly way.
                    "sSS" if from >= TimeWait => {
                        assert_eq!((outcome, flow.state), (Outcome::Pass, from), "{context}");
                    }
                    name => {
                        let to = STATES[NAMES.iter().position(|known| *known == name).unwrap()];
                        assert!(matches!(outcome, Outcome::Accept { .. }), "{context}");
                        assert_eq!(flow.state, to, "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn only_a_syn_or_a_bare_ack_starts_and_the_ack_only_if_loose() {
    for flags in [SYN, SYN | ACK, FIN | ACK, ACK, RST, RST | ACK, 0] {
        for loose in [true, false] {
            let tcp_tracker = Tcp { loose, ..Tcp::default() };
            let bytes = tcp(A, B, 1, 80, flags);
            let starts = tcp_tracker.start(&packet(&bytes), Instant::ZERO).is_ok();
            assert_eq!(starts, flags == SYN || (flags == ACK && loose), "flags {flags}, loose {loose}");
        }
    }
}

#[test]
fn flags_that_no_stack_sends_together_are_refused() {
    const URG: u8 = 32;
    let valid = [SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG];
    for flags in 0..=255_u8 {
        let bytes = tcp(A, B, 1, 80, flags);
        let plain = flags & (FIN | SYN | RST | ACK | URG);
        let expected = if valid.contains(&plain) { Ok(Check::Track) } else { Err(InvalidReason::Flags) };
        assert_eq!(Tcp::default().check(&packet(&bytes)), expected, "flags {flags:#x}");
    }
}

#[test]
fn headers_that_do_not_fit_are_refused() {
    let bytes = tcp(A, B, 1, 80, ACK);
    assert_eq!(Tcp::default().check(&packet(&bytes[..39])), Err(InvalidReason::Truncated));
    for header_words in [0, 4, 6, 15] {
        let mut wrong = bytes.clone();
        wrong[32] = header_words << 4;
        assert_eq!(Tcp::default().check(&packet(&wrong)), Err(InvalidReason::Truncated));
    }
    let mut wrong = bytes;
    wrong[24] ^= 1;
    assert_eq!(Tcp::default().check(&packet(&wrong)), Err(InvalidReason::Checksum));
}

#[test]
fn closing_connections_may_make_room() {
    for state in STATES {
        let closing = [FinWait, CloseWait, LastAck, TimeWait, Close].contains(&state);
        assert_eq!(Tcp::default().may_drop_early(&flow(state)), closing, "{state:?}");
    }
}

#[test]
fn only_a_closed_connection_yields_and_only_to_a_syn_ahead_of_it() {
    let at = |state, end| {
        let mut flow = flow(state);
        flow.ends[0].end = end;
        flow
    };
    for state in STATES {
        let closed = state >= TimeWait;
        assert_eq!(Tcp::default().yields_to(&at(state, 5), &at(SynSent, 6)), closed, "{state:?}");
        assert!(!Tcp::default().yields_to(&at(state, 6), &at(SynSent, 6)), "{state:?}");
    }
    assert!(Tcp::default().yields_to(&at(TimeWait, u32::MAX), &at(SynSent, 0)));
    assert!(!Tcp::default().yields_to(&at(TimeWait, 5), &at(Established, 6)));
}

proptest! {
    /// Whatever comes, the state moves only along the table's rows and the ways around it.
    #[test]
    fn any_stream_of_segments_stays_on_the_table(
        picked_up: bool,
        steps in prop::collection::vec(
            (any::<bool>(), 0_usize..6, 0_u32..40, 0_u32..40, 0_usize..20, 0_u16..30),
            1..60,
        ),
    ) {
        let first = piece(THERE, if picked_up { ACK } else { SYN }, 0, 0).window(20);
        let (mut connection, _) = Connection::start(Tcp::default(), &first).unwrap();
        for (reply, kind, sequence, acknowledged, length, window) in steps {
            let direction = if reply { BACK } else { THERE };
            let from = connection.flow.state;
            let piece = piece(direction, SEEN[kind], sequence, acknowledged).length(length).window(window);
            let outcome = connection.sees(&piece);
            let to = connection.flow.state;
            let row = linux(direction, kind, from as usize);
            match outcome {
                Outcome::Invalid(InvalidReason::State) => prop_assert!(row == "sIV" && to == from),
                Outcome::Invalid(_) | Outcome::Doubt { .. } => prop_assert!(row != "sIV" && to == from),
                Outcome::InvalidChanged { .. } => prop_assert!(false, "a segment fits or does not"),
                Outcome::Reopen => {
                    prop_assert!(row == "sSS" && from >= TimeWait);
                    break;
                }
                Outcome::Kill => {
                    prop_assert!(kind == 4 && !connection.status.contains(Status::ASSURED));
                    break;
                }
                Outcome::Pass => prop_assert!(row != "sIV" && to == from),
                // The first reply is a SYN: not counted, but it moves the state.
                Outcome::PassChanged { .. } => prop_assert!(row == "sS2" && to == SynSent2 && from == SynSent),
                Outcome::Accept { .. } => {
                    let resumed = row == "sIG" && to == SynReceived && kind == 1;
                    let simultaneous = row == "sSR" && to == Established && reply;
                    let unsure_reset = row == "sCL" && to == from && kind == 4;
                    let along = row == NAMES[to as usize];
                    prop_assert!(along || resumed || simultaneous || unsure_reset, "{from:?} {row} {to:?}");
                }
            }
        }
    }
}
