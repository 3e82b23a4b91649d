//! Whatever happens, a router does with all that it remembers of flows what it does without: packet by packet, and in all
//! that is counted. Stories are told from fixed seeds; `testbed cache-proof` tells more.

use testbed::proof::{Tally, Taste, fixtures, play, prove};

/// Stories of one part of those that contain everything.
const STORIES: u64 = 2_500;
/// Stories of each other test.
const FEWER: u64 = 1_000;

fn alike(first: u64, count: u64, taste: Taste) -> Tally {
    prove(first, count, taste).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Stories that contain everything, in parts that run beside each other; each part has met what it is about.
fn everything(part: u64) {
    let tally = alike(part * STORIES, STORIES, Taste::All);
    for name in USED {
        assert!(tally.counted(name) > STORIES / 10, "{name} is hardly met: {tally:?}");
    }
    assert!(tally.left > STORIES * 10, "hardly anything left: {tally:?}");
    assert!(tally.loaded > 2 * tally.refused.values().sum::<u64>(), "most rules are refused: {tally:?}");
}

/// What a router counts that remembers flows, and that stories are to make it count.
const USED: [&str; 8] = [
    "negative_cache_hits",
    "flow_cache_hits",
    "flow_cache_revalidated",
    "flow_cache_unaffected",
    "untracked_cache_hits",
    "untracked_cache_revalidated",
    "verdict_cache_hits",
    "verdict_cache_unfit",
];

#[test]
fn a_router_that_remembers_does_what_one_does_that_does_not_first_part() {
    everything(0);
}

#[test]
fn a_router_that_remembers_does_what_one_does_that_does_not_second_part() {
    everything(1);
}

#[test]
fn a_router_that_remembers_does_what_one_does_that_does_not_third_part() {
    everything(2);
}

#[test]
fn a_router_that_remembers_does_what_one_does_that_does_not_fourth_part() {
    everything(3);
}

#[test]
fn the_same_holds_where_routes_change_most() {
    alike(10_000, FEWER, Taste::Routes);
}

#[test]
fn a_router_with_a_card_does_what_one_does_that_remembers_nothing() {
    let tally = alike(20_000, FEWER, Taste::Card);
    assert!(tally.counted("offloaded") > FEWER / 10, "the card forwards hardly anything: {tally:?}");
}

#[test]
fn a_router_without_stateful_hooks_does_with_packets_what_one_does_with_them() {
    alike(30_000, FEWER, Taste::Stateless);
}

#[test]
fn stories_that_once_told_the_two_apart_do_so_no_more() {
    for (name, story) in fixtures() {
        if let Err(difference) = play(&story) {
            panic!("{name}: {difference}");
        }
    }
}
