//! The tracker held against Linux's table as it is printed there, and against what real connections do.

use proptest::prelude::*;

use super::*;
use crate::test_packets::{ACK, FIN, RST, SYN, packet, tcp, tcp_with};

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
    TcpFlow { state, last_kind: Kind::Other, last_direction: 0, notes: 0, last_end: 0 }
}

fn seen(direction: Direction, status: Status) -> Seen {
    Seen::new(direction, status, Instant::ZERO)
}

/// A connection and what the table would remember of it.
struct Connection {
    tcp: Tcp,
    flow: TcpFlow,
    status: Status,
}

impl Connection {
    fn start(tcp: Tcp, bytes: &[u8]) -> Result<(Self, Outcome), InvalidReason> {
        let flow = tcp.start(&packet(bytes), Instant::ZERO)?;
        let mut connection = Self { tcp, flow, status: Status::default() };
        let outcome = connection.packet(Direction::Original, bytes);
        connection.status = Status::CONFIRMED;
        Ok((connection, outcome))
    }

    fn packet(&mut self, direction: Direction, bytes: &[u8]) -> Outcome {
        let outcome = self.tcp.update(&mut self.flow, &packet(bytes), seen(direction, self.status));
        if let Outcome::Accept { assured: true, .. } = outcome {
            self.status = self.status | Status::ASSURED;
        }
        if direction == Direction::Reply && !matches!(outcome, Outcome::Invalid(_)) {
            self.status = self.status | Status::SEEN_REPLY;
        }
        outcome
    }

    fn there(&mut self, flags: u8) -> Outcome {
        self.packet(Direction::Original, &tcp(A, B, 1, 80, flags))
    }

    fn back(&mut self, flags: u8) -> Outcome {
        self.packet(Direction::Reply, &tcp(B, A, 80, 1, flags))
    }

    fn opened() -> Self {
        let (mut connection, _) = Self::start(Tcp::default(), &tcp(A, B, 1, 80, SYN)).unwrap();
        connection.back(SYN | ACK);
        connection.there(ACK);
        assert_eq!(connection.flow.state, Established);
        connection
    }
}

fn accepted(seconds: u64, assured: bool, changed: bool) -> Outcome {
    Outcome::Accept { timeout: Duration::from_secs(seconds), assured, changed }
}

#[test]
fn every_transition_is_linux_s() {
    for direction in Direction::ALL {
        for (kind, flags) in SEEN.into_iter().enumerate() {
            for (state, from) in STATES.into_iter().enumerate() {
                let bytes = tcp(A, B, 1, 80, flags);
                let mut flow = flow(from);
                let status = Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED;
                let outcome = Tcp::default().update(&mut flow, &packet(&bytes), seen(direction, status));
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
fn a_connection_lives_from_handshake_to_time_wait_with_linux_s_timeouts() {
    let (mut connection, first) = Connection::start(Tcp::default(), &tcp(A, B, 1, 80, SYN)).unwrap();
    assert_eq!(first, accepted(120, false, true));
    assert_eq!(connection.there(SYN), Outcome::Pass);
    assert_eq!(connection.back(SYN | ACK), accepted(60, false, true));
    assert_eq!(connection.there(ACK), accepted(5 * 24 * 3600, true, true));
    assert_eq!(connection.back(ACK), accepted(5 * 24 * 3600, true, false));
    assert_eq!(connection.there(FIN | ACK), accepted(120, false, true));
    assert_eq!(connection.back(ACK), accepted(60, false, true));
    assert_eq!(connection.back(FIN | ACK), accepted(30, false, true));
    assert_eq!(connection.there(ACK), accepted(120, false, true));
    assert_eq!(connection.flow.state, TimeWait);
    assert_eq!(connection.there(SYN), Outcome::Reopen);
}

#[test]
fn a_reset_ends_a_connection_soon_or_at_once_if_nothing_answered_before() {
    let mut connection = Connection::opened();
    assert_eq!(connection.back(RST), accepted(10, false, true));
    let (mut connection, _) = Connection::start(Tcp::default(), &tcp(A, B, 1, 80, SYN)).unwrap();
    assert_eq!(connection.back(RST | ACK), Outcome::Kill);
}

#[test]
fn a_connection_reset_by_its_client_may_be_reopened_by_it_only() {
    let mut connection = Connection::opened();
    connection.there(RST);
    assert_eq!(connection.there(SYN), Outcome::Reopen);
    let mut connection = Connection::opened();
    connection.back(RST);
    assert_eq!(connection.there(SYN), Outcome::Pass);
}

#[test]
fn a_picked_up_connection_lives_shorter_until_it_is_answered() {
    let (mut connection, first) = Connection::start(Tcp::default(), &tcp(A, B, 1, 80, ACK)).unwrap();
    assert_eq!(first, accepted(300, false, true));
    assert_eq!(connection.back(ACK), accepted(300, false, false));
    assert_eq!(connection.there(ACK), accepted(5 * 24 * 3600, true, false));
}

#[test]
fn a_syn_let_pass_and_answered_resumes_as_a_handshake() {
    let mut connection = Connection::opened();
    let syn = tcp_with(A, B, 1, 80, SYN, 5000, 0, b"");
    assert_eq!(connection.packet(Direction::Original, &syn), Outcome::Pass);
    let stray = tcp_with(B, A, 80, 1, SYN | ACK, 9000, 4999, b"");
    let mut other = Connection { tcp: connection.tcp, flow: connection.flow, status: connection.status };
    assert_eq!(other.packet(Direction::Reply, &stray), Outcome::Pass);
    let answer = tcp_with(B, A, 80, 1, SYN | ACK, 9000, 5001, b"");
    assert_eq!(connection.packet(Direction::Reply, &answer), accepted(60, false, true));
    assert_eq!(connection.flow.state, SynReceived);
}

#[test]
fn a_challenge_ack_does_not_acknowledge_the_last_fin() {
    let mut connection = Connection::opened();
    connection.there(FIN | ACK);
    connection.back(FIN | ACK);
    assert_eq!(connection.flow.state, LastAck);
    assert_eq!(connection.there(SYN), Outcome::Pass);
    assert_eq!(connection.back(ACK), Outcome::Pass);
    assert_eq!(connection.flow.state, LastAck);
    assert_eq!(connection.there(ACK), accepted(120, false, true));
    assert_eq!(connection.flow.state, TimeWait);
}

#[test]
fn a_simultaneous_open_gets_established() {
    let (mut connection, _) = Connection::start(Tcp::default(), &tcp(A, B, 1, 80, SYN)).unwrap();
    assert_eq!(connection.back(SYN), Outcome::PassChanged { assured: false });
    assert_eq!(connection.flow.state, SynSent2);
    connection.there(SYN | ACK);
    assert_eq!(connection.flow.state, SynReceived);
    connection.back(ACK);
    assert_eq!(connection.flow.state, Established);
}

#[test]
fn closing_connections_may_make_room() {
    for state in STATES {
        let closing = [FinWait, CloseWait, LastAck, TimeWait, Close].contains(&state);
        assert_eq!(Tcp::default().may_drop_early(&flow(state)), closing, "{state:?}");
    }
}

proptest! {
    /// Whatever comes, the state moves only along the table's rows and the three ways around it.
    #[test]
    fn any_stream_of_segments_stays_on_the_table(
        steps in prop::collection::vec((any::<bool>(), 0_usize..6, 0_u32..4, 0_u32..4), 1..60),
    ) {
        let (mut connection, _) = Connection::start(Tcp::default(), &tcp(A, B, 1, 80, SYN)).unwrap();
        for (reply, kind, sequence, acknowledged) in steps {
            let direction = if reply { Direction::Reply } else { Direction::Original };
            let from = connection.flow.state;
            let bytes = tcp_with(A, B, 1, 80, SEEN[kind], sequence, acknowledged, b"");
            let outcome = connection.packet(direction, &bytes);
            let to = NAMES[connection.flow.state as usize];
            let row = linux(direction, kind, from as usize);
            match outcome {
                Outcome::Invalid(_) => prop_assert!(row == "sIV" && connection.flow.state == from),
                Outcome::Reopen => {
                    prop_assert!(row == "sSS" && from >= TimeWait);
                    break;
                }
                Outcome::Kill => break,
                Outcome::Pass => {
                    let ignored = row == "sIG" || row == "sSS" || (row == "sTW" && from == LastAck);
                    prop_assert!(ignored && connection.flow.state == from);
                }
                // The first reply is a SYN: not counted, but it moves the state.
                Outcome::PassChanged { .. } => prop_assert!(row == "sS2" && to == "sS2" && from == SynSent),
                Outcome::Doubt { .. } => prop_assert!(false, "{from:?} {row} {to}"),
                Outcome::Accept { .. } => {
                    let resumed = row == "sIG" && to == "sSR" && kind == 1;
                    let simultaneous = row == "sSR" && to == "sES" && reply;
                    prop_assert!(row == to || resumed || simultaneous, "{from:?} {row} {to}");
                }
            }
        }
    }
}
