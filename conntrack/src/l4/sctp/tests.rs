//! The tracker held against Linux's table as it is printed there, and against what associations do.

use super::state::ROWS;
use super::*;
use crate::test_packets::{finished, packet};

const STATES: [SctpState; 9] = [
    SctpState::None,
    SctpState::Closed,
    SctpState::CookieWait,
    SctpState::CookieEchoed,
    SctpState::Established,
    SctpState::ShutdownSent,
    SctpState::ShutdownReceived,
    SctpState::ShutdownAckSent,
    SctpState::HeartbeatSent,
];
const NAMES: [&str; 9] = ["sNO", "sCL", "sCW", "sCE", "sES", "sSS", "sSR", "sSA", "sHS"];

/// `sctp_conntracks`, transcribed from the kernel: for each direction the chunks of [`ROWS`].
const LINUX: [[&str; 11]; 2] = [
    [
        "sCL, sCL, sCW, sCE, sES, sCL, sCL, sSA, sCW",
        "sCL, sCL, sCW, sCE, sES, sSS, sSR, sSA, sCL",
        "sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL",
        "sCL, sCL, sCW, sCE, sSS, sSS, sSR, sSA, sCL",
        "sSA, sCL, sCW, sCE, sES, sSA, sSA, sSA, sSA",
        "sCL, sCL, sCW, sCE, sES, sSS, sSR, sSA, sCL",
        "sCL, sCL, sCE, sCE, sES, sSS, sSR, sSA, sCL",
        "sCL, sCL, sCW, sES, sES, sSS, sSR, sSA, sCL",
        "sCL, sCL, sCW, sCE, sES, sSS, sSR, sCL, sCL",
        "sHS, sCL, sCW, sCE, sES, sSS, sSR, sSA, sHS",
        "sCL, sCL, sCW, sCE, sES, sSS, sSR, sSA, sHS",
    ],
    [
        "sIV, sCL, sCW, sCE, sES, sSS, sSR, sSA, sIV",
        "sIV, sCW, sCW, sCE, sES, sSS, sSR, sSA, sIV",
        "sIV, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sIV",
        "sIV, sCL, sCW, sCE, sSR, sSS, sSR, sSA, sIV",
        "sIV, sCL, sCW, sCE, sES, sSA, sSA, sSA, sIV",
        "sIV, sCL, sCW, sCL, sES, sSS, sSR, sSA, sIV",
        "sIV, sCL, sCE, sCE, sES, sSS, sSR, sSA, sIV",
        "sIV, sCL, sCW, sES, sES, sSS, sSR, sSA, sIV",
        "sIV, sCL, sCW, sCE, sES, sSS, sSR, sCL, sIV",
        "sIV, sCL, sCW, sCE, sES, sSS, sSR, sSA, sHS",
        "sIV, sCL, sCW, sCE, sES, sSS, sSR, sSA, sES",
    ],
];

const THERE: Direction = Direction::Original;
const BACK: Direction = Direction::Reply;

/// Tags of packets to the server and to the client.
const SERVER: u32 = 0x5e5e_5e5e;
const CLIENT: u32 = 0xc1c1_c1c1;

/// A packet with this tag and these chunks: kind, flags, value.
fn sctp(tag: u32, chunks: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0, 7, 0, 9];
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    for (kind, flags, value) in chunks {
        bytes.extend([*kind, *flags]);
        bytes.extend(u16::try_from(4 + value.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let sum = plain_crc32c(&bytes).to_le_bytes();
    bytes[8..12].copy_from_slice(&sum);
    finished("10.0.0.1", "10.0.0.2", 132, bytes, None)
}

/// CRC32c bit by bit.
fn plain_crc32c(bytes: &[u8]) -> u32 {
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| u32::from(byte >> bit & 1)));
    !bits.fold(!0_u32, |sum, bit| if (sum ^ bit) & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
}

/// The value of an INIT or INIT ACK that announces `tag`.
fn announcing(tag: u32) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &[0; 12]].concat()
}

/// An association and what the table would remember of it.
#[derive(Clone)]
struct Association {
    flow: SctpFlow,
    status: Status,
}

impl Association {
    fn start(bytes: &[u8]) -> Result<(Self, Outcome), InvalidReason> {
        let flow = Sctp::default().start(&packet(bytes), Instant::ZERO)?;
        let mut association = Self { flow, status: Status::default() };
        let outcome = association.sees(THERE, bytes);
        association.status = Status::CONFIRMED;
        Ok((association, outcome))
    }

    fn sees(&mut self, direction: Direction, bytes: &[u8]) -> Outcome {
        assert_eq!(Sctp::default().check(&packet(bytes)), Ok(Check::Track));
        let seen = Seen::new(direction, self.status, Instant::ZERO);
        Sctp::default().update(&mut self.flow, &packet(bytes), seen)
    }

    /// A packet of one chunk.
    fn see(&mut self, direction: Direction, tag: u32, kind: u8, value: &[u8]) -> Outcome {
        self.sees(direction, &sctp(tag, &[(kind, 0, value)]))
    }

    fn initiated() -> Self {
        Self::start(&sctp(0, &[(chunk::INIT, 0, &announcing(CLIENT))])).unwrap().0
    }

    fn established() -> Self {
        let mut association = Self::initiated();
        association.see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER));
        association.see(THERE, SERVER, chunk::COOKIE_ECHO, b"cookie");
        association.see(BACK, CLIENT, chunk::COOKIE_ACK, b"");
        assert_eq!(association.flow.state, SctpState::Established);
        association
    }
}

fn accepted(seconds: u64, assured: bool, changed: bool) -> Outcome {
    Outcome::Accept { timeout: Duration::from_secs(seconds), assured, changed }
}

const WRONG_TAG: Outcome = Outcome::Invalid(InvalidReason::Tag);

#[test]
fn every_transition_is_linux_s() {
    for direction in Direction::ALL {
        for (row, kind) in ROWS.into_iter().enumerate() {
            for (column, state) in STATES.into_iter().enumerate() {
                let name = LINUX[direction.index()][row].split(", ").nth(column).unwrap();
                let expected = NAMES.iter().position(|known| *known == name).map(|to| STATES[to]);
                assert_eq!(next(direction, state, kind), expected, "{direction:?} {kind} in {state:?}");
            }
        }
        for state in STATES {
            assert_eq!(next(direction, state, chunk::DATA), Some(state));
        }
    }
}

#[test]
fn an_association_lives_from_init_to_shutdown_complete_with_linux_s_timeouts() {
    let init = sctp(0, &[(chunk::INIT, 0, &announcing(CLIENT))]);
    let (mut association, first) = Association::start(&init).unwrap();
    assert_eq!(first, accepted(10, false, true));
    assert_eq!(association.sees(THERE, &init), Outcome::Pass, "repeated");
    assert_eq!(association.see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER)), accepted(3, false, true));
    assert_eq!(association.see(THERE, SERVER, chunk::COOKIE_ECHO, b"cookie"), accepted(3, false, true));
    assert_eq!(association.see(BACK, CLIENT, chunk::COOKIE_ACK, b""), accepted(210, true, true));
    assert_eq!(association.see(THERE, SERVER, chunk::DATA, b"hello"), accepted(210, true, false));
    assert_eq!(association.see(THERE, SERVER, chunk::SHUTDOWN, &[0; 4]), accepted(3, false, true));
    assert_eq!(association.see(BACK, CLIENT, chunk::SHUTDOWN_ACK, b""), accepted(3, false, true));
    assert!(Sctp::default().may_drop_early(&association.flow));
    assert_eq!(association.see(THERE, SERVER, chunk::SHUTDOWN_COMPLETE, b""), accepted(10, false, true));
    assert_eq!(association.flow.state, SctpState::Closed);
}

#[test]
fn a_packet_must_bear_the_tag_that_its_receiver_announced() {
    let mut association = Association::established();
    assert_eq!(association.see(THERE, CLIENT, chunk::DATA, b"x"), WRONG_TAG);
    assert_eq!(association.see(BACK, SERVER, chunk::DATA, b"x"), WRONG_TAG);
    assert_eq!(association.see(BACK, CLIENT, chunk::DATA, b"x"), accepted(210, true, false));
    assert_eq!(association.see(THERE, 7, chunk::INIT, &announcing(1)), WRONG_TAG);
    let mut waiting = Association::initiated();
    waiting.see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER));
    assert_eq!(waiting.see(THERE, CLIENT, chunk::COOKIE_ECHO, b"c"), WRONG_TAG);
}

#[test]
fn an_abort_bears_its_receiver_s_tag_or_returns_the_sender_s() {
    for (tag, flags, expected) in [
        (SERVER, 0, accepted(10, false, true)),
        (CLIENT, 0, WRONG_TAG),
        (CLIENT, 1, accepted(10, false, true)),
        (SERVER, 1, WRONG_TAG),
    ] {
        let abort = sctp(tag, &[(chunk::ABORT, flags, b"")]);
        assert_eq!(Association::established().sees(THERE, &abort), expected, "{tag:x}, flags {flags}");
    }
}

#[test]
fn an_association_that_was_established_within_a_packet_is_assured() {
    let mut association = Association::initiated();
    association.see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER));
    association.see(THERE, SERVER, chunk::COOKIE_ECHO, b"cookie");
    let both = sctp(CLIENT, &[(chunk::COOKIE_ACK, 0, b""), (chunk::ABORT, 0, b"")]);
    assert_eq!(association.sees(BACK, &both), accepted(10, true, true));
}

#[test]
fn what_its_receiver_would_discard_starts_nothing() {
    let start = |tag, kind, value: &[u8]| Association::start(&sctp(tag, &[(kind, 0, value)])).map(|_| ());
    for kind in [chunk::ABORT, chunk::SHUTDOWN_COMPLETE, chunk::COOKIE_ACK, chunk::DATA, 3, 200] {
        assert_eq!(start(5, kind, b"x"), Err(InvalidReason::NotFirst), "chunk {kind}");
    }
    assert_eq!(start(5, chunk::INIT, &announcing(1)), Err(InvalidReason::Tag));
    assert_eq!(start(0, chunk::INIT, &[0; 12]), Err(InvalidReason::Truncated));
    assert_eq!(start(0, chunk::INIT, &announcing(1)), Ok(()));
}

#[test]
fn a_heartbeat_starts_a_second_path_and_its_answer_establishes_it() {
    let heartbeat = sctp(SERVER, &[(chunk::HEARTBEAT, 0, b"path")]);
    let (mut path, first) = Association::start(&heartbeat).unwrap();
    assert_eq!(first, accepted(30, false, true));
    assert_eq!(path.see(BACK, CLIENT, chunk::HEARTBEAT_ACK, b"path"), accepted(210, true, true));
    assert_eq!(path.see(THERE, SERVER, chunk::DATA, b"x"), accepted(210, true, false));
    assert_eq!(path.see(BACK, CLIENT + 1, chunk::DATA, b"x"), WRONG_TAG);
}

#[test]
fn a_heartbeat_with_a_strange_tag_passes_and_its_answer_brings_the_new_tag() {
    let mut association = Association::established();
    assert_eq!(association.clone().see(BACK, 77, chunk::HEARTBEAT_ACK, b"p"), WRONG_TAG, "unasked");
    assert_eq!(association.see(THERE, 66, chunk::HEARTBEAT, b"p"), Outcome::Pass);
    assert_eq!(association.clone().see(THERE, 77, chunk::HEARTBEAT_ACK, b"p"), WRONG_TAG, "of the asker");
    assert_eq!(association.see(BACK, 77, chunk::HEARTBEAT_ACK, b"p"), accepted(210, true, false));
    assert_eq!(association.see(BACK, 77, chunk::DATA, b"x"), accepted(210, true, false));
    assert_eq!(association.see(THERE, 66, chunk::HEARTBEAT, b"p"), accepted(210, true, false));
    assert_eq!(association.see(THERE, 66, chunk::DATA, b"x"), accepted(210, true, false));

    let with_data = sctp(66, &[(chunk::HEARTBEAT, 0, b"p"), (chunk::DATA, 0, b"x")]);
    assert_eq!(Association::established().sees(THERE, &with_data), WRONG_TAG);
}

#[test]
fn an_init_ack_must_answer_the_init_that_was_seen() {
    let mut association = Association::established();
    assert_eq!(association.see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER + 1)), WRONG_TAG);
    assert_eq!(association.see(THERE, 0, chunk::INIT, &announcing(CLIENT + 1)), accepted(210, true, false));
    let restart = association.see(BACK, CLIENT + 1, chunk::INIT_ACK, &announcing(SERVER + 1));
    assert_eq!(restart, accepted(210, true, false));
    assert_eq!(association.see(THERE, SERVER + 1, chunk::DATA, b"x"), accepted(210, true, false));
}

#[test]
fn a_repeated_init_begins_nothing() {
    let mut association = Association::established();
    assert_eq!(association.see(THERE, 0, chunk::INIT, &announcing(CLIENT)), accepted(210, true, false));
    assert_eq!(association.see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER + 1)), WRONG_TAG);

    let mut colliding = Association::initiated();
    colliding.see(BACK, 0, chunk::INIT, &announcing(SERVER));
    colliding.see(THERE, 0, chunk::INIT, &announcing(CLIENT));
    assert_eq!(colliding.see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER + 1)), WRONG_TAG);
}

#[test]
fn inits_may_collide() {
    let mut association = Association::initiated();
    assert_eq!(association.see(BACK, 0, chunk::INIT, &announcing(SERVER)), Outcome::Pass);
    let strange = association.clone().see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER + 1));
    assert_eq!(strange, WRONG_TAG);
    let answer = association.see(BACK, CLIENT, chunk::INIT_ACK, &announcing(SERVER));
    assert_eq!(answer, accepted(3, false, true));
}

#[test]
fn headers_checksums_and_orders_that_make_no_sense_are_refused() {
    let check = |bytes: &[u8]| Sctp::default().check(&packet(bytes));
    let good = sctp(SERVER, &[(chunk::DATA, 3, b"hello"), (3, 0, &[0; 12])]);
    assert_eq!(check(&good), Ok(Check::Track));
    assert_eq!(check(&good[..31]), Err(InvalidReason::Truncated));
    for bit in 20 * 8..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(check(&damaged), Err(InvalidReason::Checksum), "bit {bit}");
    }
    assert_eq!(check(&sctp(SERVER, &[])), Err(InvalidReason::Flags));
    let init_and_data = sctp(0, &[(chunk::INIT, 0, &announcing(1)), (chunk::DATA, 0, b"x")]);
    assert_eq!(check(&init_and_data), Err(InvalidReason::Flags));
}
