//! The kernel's connection tracking is the oracle: what ours makes of sequences of packets is compared step by step.

use testbed::lab;
use testbed::oracle::{Judge, MODES, Mode, USUAL, known_sequences, sequences_for, text};
use testbed::sim::seed;

/// Random sequences that are played with Linux's defaults, and with each other mode.
const RANDOM: usize = 5000;
const RANDOM_BESIDES: usize = 1500;

/// Sequences that differ of which each failing test shows the smallest form.
const SHOWN: usize = 5;

/// The seed of this run; a failing test names it.
fn chosen_seed() -> u64 {
    std::env::var(seed::VARIABLE).map_or(1, |text| text.parse().expect("the seed is a number"))
}

fn play(mode: Mode, random: usize) {
    if !lab::labs_can_run() {
        return;
    }
    let mut judge = Judge::new().unwrap();
    judge.set(mode).unwrap();
    let sequences = sequences_for(&mode, chosen_seed(), random).unwrap();
    let (played, found) = judge.judge(&sequences, SHOWN).unwrap();
    let shown: String = found.iter().take(SHOWN).map(|difference| format!("\n{difference}")).collect();
    assert!(
        found.is_empty(),
        "{} of {played} sequences differ, seed {}\n{shown}",
        found.len(),
        chosen_seed()
    );
    assert!(played > random);
}

#[test]
fn with_linuxs_defaults_both_do_the_same() {
    play(USUAL, RANDOM);
}

#[test]
fn with_each_switch_turned_both_do_the_same() {
    for mode in MODES.into_iter().filter(|mode| *mode != USUAL) {
        play(mode, RANDOM_BESIDES);
    }
}

#[test]
fn random_sequences_tell_each_mode_from_the_usual_one() {
    if !lab::labs_can_run() {
        return;
    }
    let mut judge = Judge::new().unwrap();
    for mode in MODES.into_iter().filter(|mode| *mode != USUAL) {
        judge.pretend(mode);
        let mut sequences = testbed::oracle::generate::sequences(chosen_seed(), RANDOM_BESIDES);
        sequences.retain(|sequence| !sequence.waits());
        let (_, found) = judge.judge(&sequences, 0).unwrap();
        assert!(!found.is_empty(), "{}: nobody would notice", mode.name);
    }
}

#[test]
fn a_difference_is_found_and_made_small() {
    if !lab::labs_can_run() {
        return;
    }
    let mut judge = Judge::new().unwrap();
    // Ours believes that nothing is picked up in the middle.
    judge.pretend(Mode { loose: false, ..USUAL });
    let long = "sequence: a long one
        > udp len 10
        < udp len 10
        > tcp A seq 100 ack 100 win 500 len 10
        < tcp A seq 100 ack 110 win 500
        > udp len 20";
    let (played, found) = judge.judge(&text::parse(long).unwrap(), 10).unwrap();
    assert_eq!((played, found.len()), (1, 1));
    assert_eq!(found[0].sequence.steps.len(), 1, "{}", found[0]);
    let text = found[0].sequence.to_string();
    assert!(text.contains("> tcp A"), "{text}");
    assert_eq!(text::parse(&text).unwrap(), [found[0].sequence.clone()], "a difference is a fixture");
}

#[test]
fn a_difference_that_is_meant_and_gone_is_a_failure() {
    if !lab::labs_can_run() {
        return;
    }
    let mut judge = Judge::new().unwrap();
    let same = text::parse("sequence: none\ndiffers: so they say\n> udp len 10\n").unwrap();
    let (_, found) = judge.judge(&same, 10).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().contains("not what is meant"), "{}", found[0]);
}

#[test]
fn what_is_written_by_hand_can_be_read_and_has_a_name_of_its_own() {
    let sequences = known_sequences().unwrap();
    let mut names: Vec<_> = sequences.iter().map(|sequence| &sequence.name).collect();
    names.sort();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None);
}
