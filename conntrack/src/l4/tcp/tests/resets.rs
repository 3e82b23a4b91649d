//! Which resets end a connection, and what segments that miss the window do to its life.

use super::*;

#[test]
fn a_refused_connection_ends_at_once() {
    for (flags, acknowledged) in [(RST | ACK, 1), (RST, 0)] {
        let mut connection = Connection::syn_sent(Tcp::default(), &[]);
        let mut refusal = piece(BACK, flags, 0, acknowledged);
        // Its sequence number is 0 indeed.
        refusal.sequence = 0_u32.wrapping_sub(FIRST[1]);
        assert_eq!(connection.sees(&refusal), Outcome::Kill, "flags {flags}");
    }
}

#[test]
fn a_reset_with_the_awaited_number_ends_a_connection_soon() {
    let mut connection = Connection::opened();
    assert_eq!(connection.see(BACK, RST, 1, 0), accepted(10, false, true));
    assert_eq!(connection.flow.state, Close);
    assert_eq!(connection.see(BACK, RST, 900_000, 0), accepted(10, false, false));
}

#[test]
fn a_reset_somewhere_in_the_window_leaves_the_state_but_not_the_life() {
    let mut connection = Connection::opened();
    assert_eq!(connection.see(BACK, RST, 500, 0), accepted(10, true, false));
    assert_eq!(connection.flow.state, Established);
    // The challenge ACK that answers it.
    assert_eq!(connection.see(THERE, ACK, 1, 1), accepted(300, true, false));
}

#[test]
fn a_reset_right_after_data_of_the_same_end_closes() {
    let mut connection = Connection::opened();
    connection.sees(&piece(BACK, ACK, 1, 1).length(19));
    assert_eq!(connection.see(BACK, RST, 20, 0), accepted(10, false, true));
    assert_eq!(connection.flow.state, Close);
}

#[test]
fn a_reset_before_what_was_acknowledged_is_invalid_unless_that_is_asked_for() {
    let mut connection = Connection::opened();
    connection.sees(&piece(BACK, ACK, 1, 1).length(19));
    connection.see(THERE, ACK, 1, 20);
    assert_eq!(connection.clone().see(BACK, RST, 19, 0), MISSES);
    connection.tcp.ignore_invalid_rst = true;
    assert_eq!(connection.see(BACK, RST, 19, 0), accepted(10, true, false));
}

#[test]
fn a_reset_beyond_the_window_proves_nothing() {
    let mut connection = Connection::opened();
    assert_eq!(connection.see(BACK, RST, 30_000, 0), MISSES);
    assert_eq!(connection.see(BACK, RST, 10_002, 0), Outcome::Pass);
    assert_eq!(connection.flow.state, Established);
    assert_eq!(connection.see(BACK, RST, 10_001, 0), accepted(10, true, false));
}

#[test]
fn a_connection_reset_by_its_client_may_be_reopened_by_it_only() {
    let mut connection = Connection::opened();
    connection.see(THERE, RST, 1, 0);
    assert_eq!(connection.see(THERE, SYN, 9000, 0), Outcome::Reopen);
    let mut connection = Connection::opened();
    connection.see(BACK, RST, 1, 0);
    assert_eq!(connection.see(THERE, SYN, 9000, 0), Outcome::Pass);
}

#[test]
fn the_reset_that_answers_a_syn_let_pass_is_trusted_wherever_it_lies() {
    let mut connection = Connection::opened();
    connection.see(BACK, ACK, 1, 1);
    assert_eq!(connection.see(THERE, SYN, 70_000, 0), Outcome::Pass);
    assert_eq!(connection.clone().see(BACK, RST | ACK, 900_000, 70_002), MISSES);
    assert_eq!(connection.see(BACK, RST | ACK, 900_000, 70_001), accepted(10, false, true));
}

#[test]
fn the_reset_that_answers_a_challenge_ends_a_half_open_connection() {
    let mut connection = Connection::syn_sent(Tcp::default(), &[]);
    // The server still has an older connection: its ACK passes, and the client resets that.
    assert_eq!(connection.see(BACK, ACK, 800_000, 70_000), Outcome::Pass);
    assert_eq!(connection.clone().see(THERE, RST, 69_999, 0), MISSES);
    assert_eq!(connection.see(THERE, RST, 70_000, 0), accepted(10, false, true));
}

#[test]
fn a_reset_of_zero_outside_an_established_connection_is_no_guess() {
    let mut connection = Connection::opened();
    connection.see(THERE, FIN | ACK, 1, 1);
    assert_eq!(connection.flow.state, FinWait);
    assert_eq!(connection.see(BACK, RST, 900_000, 0), accepted(10, false, true));

    let (mut connection, _) = Connection::start(Tcp::default(), &piece(THERE, ACK, 500, 700)).unwrap();
    connection.see(BACK, ACK, 700, 500);
    let mut reset = piece(BACK, RST, 0, 0);
    reset.sequence = 0_u32.wrapping_sub(FIRST[1]);
    assert_eq!(connection.sees(&reset), accepted(10, false, true));
}

#[test]
fn ends_that_close_outside_the_window_make_the_connection_doubtful() {
    let doubt = Outcome::Doubt { reason: InvalidReason::Window, timeout: Duration::from_secs(300) };
    let mut connection = Connection::opened();
    assert_eq!(connection.see(THERE, FIN | ACK, 900_000, 1), MISSES);
    assert_eq!(connection.see(THERE, FIN | ACK, 900_000, 1), MISSES);
    assert_eq!(connection.see(BACK, RST, 900_000, 0), doubt);
    assert_eq!(connection.see(BACK, RST, 900_000, 0), MISSES, "it is cut short already");
    assert_eq!(connection.flow.state, Established);

    let mut connection = Connection::opened();
    connection.see(THERE, FIN | ACK, 900_000, 1);
    connection.status = connection.status | Status::FIXED_TIMEOUT;
    assert_eq!(connection.see(BACK, RST, 900_000, 0), MISSES);
}
