//! The edges of the window: what fits by a byte, what misses by one, and what passes without being believed.

use super::*;

const SACK_PERMITTED: [u8; 4] = [4, 2, 1, 1];

fn fits(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Accept { .. })
}

#[test]
fn a_segment_may_begin_up_to_the_right_edge_of_what_was_offered() {
    for (sequence, expected) in [
        (1, accepted(LONG_S, true, false)),
        (5000, accepted(300, true, false)),
        (10_001, accepted(300, true, false)),
        (10_002, Outcome::Pass),
        (20_000, Outcome::Pass),
        (20_001, MISSES),
        (0x7000_0000, MISSES),
    ] {
        assert_eq!(Connection::opened().see(THERE, ACK, sequence, 1), expected, "{sequence}");
    }
}

#[test]
fn data_beyond_the_window_passes_and_its_acknowledgement_fits() {
    let mut connection = Connection::opened();
    connection.see(BACK, ACK, 1, 1);
    // Not in the window at all, but no more than a window beyond it.
    let greedy = piece(THERE, ACK, 10_002, 1).length(500);
    assert_eq!(connection.sees(&greedy), Outcome::Pass);
    assert_eq!(connection.see(BACK, ACK, 1, 10_502), accepted(LONG_S, true, false));
    assert_eq!(connection.see(BACK, ACK, 1, 10_503), MISSES);
    let wild = piece(THERE, ACK, 70_000, 1).length(500);
    assert_eq!(connection.sees(&wild), MISSES);
}

#[test]
fn nothing_may_be_acknowledged_that_was_not_sent() {
    let mut connection = Connection::opened();
    connection.sees(&piece(THERE, ACK, 1, 1).length(100));
    assert!(fits(connection.see(BACK, ACK, 1, 101)));
    assert_eq!(connection.see(BACK, ACK, 1, 102), MISSES);
}

#[test]
fn a_segment_that_ends_a_window_before_the_last_passes() {
    let mut connection = Connection::opened();
    for sequence in [1, 5001, 10_001] {
        assert!(fits(connection.sees(&piece(THERE, ACK, sequence, 1).length(5000))));
        assert!(fits(connection.see(BACK, ACK, 1, sequence + 5000)));
    }
    // Sent: 15001; the largest window: 10000.
    assert!(fits(connection.see(THERE, ACK, 5001, 1)));
    assert_eq!(connection.see(THERE, ACK, 5000, 1), Outcome::Pass);
}

#[test]
fn an_acknowledgement_may_be_66000_behind() {
    let mut connection = Connection::opened();
    let mut sent = 1;
    while sent < 100_001 {
        connection.sees(&piece(THERE, ACK, sent, 1).length(10_000));
        sent += 10_000;
        assert!(fits(connection.see(BACK, ACK, 1, sent)));
    }
    assert!(fits(connection.see(BACK, ACK, 1, sent - 66_000)));
    assert_eq!(connection.see(BACK, ACK, 1, sent - 66_001), Outcome::Pass);
}

#[test]
fn windows_are_scaled_when_both_ends_offer_it() {
    let wide = Connection::opened_with(Tcp::default(), &[1, 3, 3, 4]);
    assert!(fits(wide.clone().see(THERE, ACK, 10_001, 1)));
    assert_eq!(wide.clone().see(THERE, ACK, 10_002, 1), Outcome::Pass, "that of a SYN is not scaled");
    let mut wide = wide;
    wide.see(BACK, ACK, 1, 1);
    assert!(fits(wide.see(THERE, ACK, 160_001, 1)));
    assert_eq!(wide.see(THERE, ACK, 160_002, 1), Outcome::Pass);

    let mut narrow = Connection::syn_sent(Tcp::default(), &[1, 3, 3, 4]);
    narrow.see(BACK, SYN | ACK, 0, 1);
    narrow.see(THERE, ACK, 1, 1);
    narrow.see(BACK, ACK, 1, 1);
    assert_eq!(narrow.see(THERE, ACK, 10_002, 1), Outcome::Pass);
}

#[test]
fn a_selective_acknowledgement_counts_by_its_highest_edge_if_it_was_permitted() {
    let sack = |right: u32| {
        let right = FIRST[0].wrapping_add(right);
        [&[1, 1, 5, 10][..], &right.wrapping_sub(50).to_be_bytes(), &right.to_be_bytes()].concat()
    };
    let sent = |options: &[u8]| {
        let mut connection = Connection::opened_with(Tcp::default(), options);
        connection.sees(&piece(THERE, ACK, 1, 1).length(100));
        connection.sees(&piece(THERE, ACK, 201, 1).length(100));
        connection
    };
    let with = |right| piece(BACK, ACK, 1, 101).options(&sack(right));
    assert!(fits(sent(&SACK_PERMITTED).sees(&with(301))));
    assert_eq!(sent(&SACK_PERMITTED).sees(&with(302)), MISSES);
    assert!(fits(sent(&[]).sees(&with(302))), "nobody will look at it");

    // What is acknowledged selectively opens the window as far.
    let mut connection = sent(&SACK_PERMITTED);
    connection.sees(&with(301));
    assert!(fits(connection.see(THERE, ACK, 10_301, 1)));
    assert_eq!(connection.see(THERE, ACK, 10_302, 1), Outcome::Pass);
}

#[test]
fn the_right_edge_never_moves_back() {
    let mut connection = Connection::opened();
    assert!(fits(connection.sees(&piece(BACK, ACK, 1, 1).window(100))));
    assert!(fits(connection.see(THERE, ACK, 10_001, 1)));
}

#[test]
fn a_closed_window_lets_a_probe_of_one_byte_through() {
    let mut connection = Connection::opened();
    connection.sees(&piece(THERE, ACK, 1, 1).length(10_000));
    connection.sees(&piece(BACK, ACK, 1, 10_001).window(0));
    assert!(fits(connection.sees(&piece(THERE, ACK, 10_001, 1).length(1))));
    assert!(fits(connection.sees(&piece(THERE, ACK, 10_000, 1))), "a keepalive");
}

#[test]
fn liberal_lets_everything_pass_for_fitting_but_resets_before_what_was_acknowledged() {
    let mut connection = Connection::opened_with(Tcp { be_liberal: true, ..Tcp::default() }, &[]);
    assert_eq!(connection.see(THERE, ACK, 500_000, 900_000), accepted(LONG_S, true, false));
    assert_eq!(connection.see(BACK, FIN | ACK, 500_000, 900_000), accepted(120, false, true));
    let mut connection = Connection::opened_with(Tcp { be_liberal: true, ..Tcp::default() }, &[]);
    assert_eq!(connection.see(BACK, RST, 0, 0), MISSES);
}

#[test]
fn numbers_that_are_shifted_on_their_way_are_held_against_what_was_sent() {
    let mut connection = Connection::opened();
    connection.sees(&piece(THERE, ACK, 1, 1).length(100));
    // From 51 on the receiver sees numbers that are 9 higher, and acknowledges those.
    connection.shift = Shift { position: FIRST[0].wrapping_add(51), before: 0, after: 9 };
    assert_eq!(connection.see(BACK, ACK, 1, 111), MISSES);
    assert_eq!(connection.see(BACK, ACK, 1, 110), accepted(LONG_S, true, false));
    connection.shift = Shift { position: FIRST[0].wrapping_add(200), before: 9, after: 30 };
    assert_eq!(connection.see(BACK, ACK, 1, 110), accepted(LONG_S, true, false));
}

#[test]
fn a_super_packet_counts_with_all_its_bytes() {
    let mut connection = Connection::opened_with(Tcp::default(), &[1, 3, 3, 4]);
    connection.see(BACK, ACK, 1, 1);
    assert!(fits(connection.sees(&piece(THERE, ACK, 1, 1).length(64_000))));
    assert!(fits(connection.see(BACK, ACK, 1, 64_001)));
    assert_eq!(connection.see(BACK, ACK, 1, 64_002), MISSES);
}
