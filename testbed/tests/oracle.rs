//! The kernel's connection tracking is the oracle: what ours makes of sequences of packets is compared step by step.

use testbed::lab;
use testbed::oracle::{Judge, Mode, USUAL, known_sequences, text};

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
