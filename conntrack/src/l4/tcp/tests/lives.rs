//! Whole connections: how they open, live, close and come again.

use super::*;

#[test]
fn a_connection_lives_from_handshake_to_time_wait_with_linux_s_timeouts() {
    let (mut connection, first) = Connection::start(Tcp::default(), &piece(THERE, SYN, 0, 0)).unwrap();
    assert_eq!(first, accepted(120, false, true));
    assert_eq!(connection.see(THERE, SYN, 0, 0), Outcome::Pass);
    assert_eq!(connection.see(BACK, SYN | ACK, 0, 1), accepted(60, false, true));
    assert_eq!(connection.see(BACK, SYN | ACK, 0, 1), Outcome::Pass);
    assert_eq!(connection.see(THERE, ACK, 1, 1), accepted(LONG_S, true, true));
    assert_eq!(connection.sees(&piece(THERE, ACK, 1, 1).length(100)), accepted(300, true, false));
    assert_eq!(connection.see(BACK, ACK, 1, 101), accepted(LONG_S, true, false));
    assert_eq!(connection.see(THERE, FIN | ACK, 101, 1), accepted(120, false, true));
    assert_eq!(connection.see(BACK, ACK, 1, 102), accepted(60, false, true));
    assert_eq!(connection.see(BACK, FIN | ACK, 1, 102), accepted(30, false, true));
    assert_eq!(connection.see(THERE, ACK, 102, 2), accepted(120, false, true));
    assert_eq!(connection.flow.state, TimeWait);
    assert_eq!(connection.see(THERE, ACK, 102, 2), accepted(120, false, false));
    assert_eq!(connection.see(THERE, SYN, 9000, 0), Outcome::Reopen);
}

#[test]
fn the_server_may_close_first_and_reopen_too() {
    let mut connection = Connection::opened();
    assert_eq!(connection.see(BACK, FIN | ACK, 1, 1), accepted(120, false, true));
    assert_eq!(connection.see(THERE, FIN | ACK, 1, 2), accepted(30, false, true));
    assert_eq!(connection.see(BACK, ACK, 2, 2), accepted(120, false, true));
    assert_eq!(connection.see(BACK, SYN, 9000, 0), Outcome::Reopen);
}

#[test]
fn a_picked_up_connection_lives_shorter_until_it_is_answered() {
    let (mut connection, first) = Connection::start(Tcp::default(), &piece(THERE, ACK, 500, 700)).unwrap();
    assert_eq!(first, accepted(300, false, true));
    assert_eq!(connection.see(BACK, ACK, 700, 500), accepted(300, false, false));
    assert_eq!(connection.see(THERE, ACK, 500, 700), accepted(LONG_S, true, false));
}

#[test]
fn nothing_misses_the_window_of_a_connection_picked_up() {
    let (mut connection, _) = Connection::start(Tcp::default(), &piece(THERE, ACK, 500, 700)).unwrap();
    connection.see(BACK, ACK, 700, 500);
    for (direction, sequence, acknowledged) in
        [(THERE, 0x4000_0000, 0x5000_0000), (BACK, 0x6000_0000, 0x7000_0000), (THERE, 1, 1)]
    {
        let outcome = connection.see(direction, ACK, sequence, acknowledged);
        assert!(matches!(outcome, Outcome::Accept { .. }), "{direction:?} {sequence}: {outcome:?}");
    }
}

#[test]
fn a_syn_let_pass_and_answered_resumes_as_a_handshake() {
    let mut connection = Connection::opened();
    connection.see(BACK, ACK, 1, 1);
    assert_eq!(connection.sees(&piece(THERE, SYN, 70_000, 0).options(&[3, 3, 7, 1])), Outcome::Pass);
    let mut other = connection.clone();
    assert_eq!(other.see(BACK, SYN | ACK, 80_000, 70_000), Outcome::Pass);
    assert_eq!(other.flow.state, Established);

    let answer = piece(BACK, SYN | ACK, 80_000, 70_001).options(&[3, 3, 2, 1]);
    assert_eq!(connection.sees(&answer), accepted(60, false, true));
    assert_eq!(connection.flow.state, SynReceived);
    assert_eq!(connection.see(THERE, ACK, 70_001, 80_001), accepted(LONG_S, true, true));
    assert_eq!(connection.flow.ends.map(|end| end.scale), [7, 2]);
    assert_eq!(connection.see(THERE, ACK, 1, 1), Outcome::Pass, "it belongs to what was before");
}

#[test]
fn a_challenge_ack_does_not_acknowledge_the_last_fin() {
    let mut connection = Connection::opened();
    connection.see(THERE, FIN | ACK, 1, 1);
    connection.see(BACK, FIN | ACK, 1, 2);
    assert_eq!(connection.flow.state, LastAck);
    assert_eq!(connection.see(THERE, SYN, 70_000, 0), Outcome::Pass);
    assert_eq!(connection.see(BACK, ACK, 2, 2), Outcome::Pass);
    assert_eq!(connection.flow.state, LastAck);
    assert_eq!(connection.see(THERE, ACK, 2, 2), accepted(120, false, true));
    assert_eq!(connection.flow.state, TimeWait);
}

#[test]
fn a_simultaneous_open_gets_established() {
    let mut connection = Connection::syn_sent(Tcp::default(), &[]);
    assert_eq!(connection.see(BACK, SYN, 0, 0), Outcome::PassChanged { assured: false });
    assert_eq!(connection.flow.state, SynSent2);
    assert_eq!(connection.see(BACK, SYN, 0, 0), accepted(120, false, false));
    assert_eq!(connection.see(THERE, SYN | ACK, 0, 1), accepted(60, false, true));
    assert_eq!(connection.flow.state, SynReceived);
    assert_eq!(connection.see(BACK, ACK, 1, 1), accepted(LONG_S, true, true));
    assert_eq!(connection.flow.state, Established);
}

#[test]
fn a_later_syn_starts_the_handshake_over() {
    let mut connection = Connection::syn_sent(Tcp::default(), &[3, 3, 7, 1]);
    assert_eq!(connection.sees(&piece(THERE, SYN, 90_000, 0).options(&[3, 3, 1, 1])), Outcome::Pass);
    assert_eq!(connection.flow.ends[0].scale, 1);
    assert_eq!(connection.see(BACK, SYN | ACK, 0, 90_001), accepted(60, false, true));
    assert_eq!(connection.see(THERE, ACK, 90_001, 1), accepted(LONG_S, true, true));
}

#[test]
fn an_ack_that_comes_again_and_again_shortens_the_life() {
    let mut connection = Connection::opened();
    for (times, seconds) in [(1, LONG_S), (2, LONG_S), (3, 300), (4, 300)] {
        assert_eq!(connection.see(THERE, ACK, 1, 1), accepted(seconds, true, false), "again, {times} times");
    }
    assert_eq!(connection.see(BACK, ACK, 1, 1), accepted(LONG_S, true, false));

    let mut patient = Connection::opened_with(Tcp { max_retrans: 4, ..Tcp::default() }, &[]);
    (0..3).for_each(|_| assert_eq!(patient.see(THERE, ACK, 1, 1), accepted(LONG_S, true, false)));
    assert_eq!(patient.see(THERE, ACK, 1, 1), accepted(300, true, false));
}

#[test]
fn a_closed_window_shortens_the_life_until_it_opens() {
    let mut connection = Connection::opened();
    assert_eq!(connection.sees(&piece(BACK, ACK, 1, 1).window(0)), accepted(300, true, false));
    assert_eq!(connection.see(BACK, ACK, 1, 1), accepted(LONG_S, true, false));
}

#[test]
fn data_shortens_the_life_until_all_of_it_is_acknowledged() {
    let mut connection = Connection::opened();
    assert_eq!(connection.sees(&piece(BACK, ACK, 1, 1).length(900)), accepted(300, true, false));
    assert_eq!(connection.see(THERE, ACK, 1, 401), accepted(300, true, false));
    assert_eq!(connection.see(THERE, ACK, 1, 901), accepted(LONG_S, true, false));
}

#[test]
fn no_timeout_is_lengthened_by_what_shortens_others() {
    let timeouts = TcpTimeouts { established: Duration::from_secs(7), ..TcpTimeouts::default() };
    let mut connection = Connection::opened_with(Tcp { timeouts, ..Tcp::default() }, &[]);
    assert_eq!(connection.sees(&piece(BACK, ACK, 1, 1).length(900)), accepted(7, true, false));
    assert_eq!(connection.sees(&piece(THERE, ACK, 1, 1).window(0)), accepted(7, true, false));
    (0..5).for_each(|_| assert_eq!(connection.see(THERE, ACK, 1, 1), accepted(7, true, false)));
}
