//! A bridge with rules: the kernel's and routerd's are given the same file and the same frames. The same frames come out,
//! and afterwards both list the same rules with the same counters.

mod frames;
mod ground;

use frames::Probe;
use ground::{Bench, Bridge, Heard, build};
use testbed::lab;
use testbed::rulesets::{RuleFile, corpus_of_bridges};

/// What the kernel's bridge and routerd's do otherwise with the same file.
fn differences(file: &RuleFile, probes: &[Probe]) -> String {
    let run = |bridge, expected: Option<&[Heard]>| -> (Vec<Heard>, String) {
        let (lab, router) = build(bridge).unwrap();
        let mut bench = Bench::open(&lab, router.as_ref()).unwrap();
        bench.load(file.text).unwrap_or_else(|error| panic!("{}: {error:#}", file.name));
        let heard = probes.iter().enumerate().map(|(at, probe)| {
            let wanted = expected.map_or(0, |expected| expected[at].count());
            bench
                .send(probe, wanted)
                .unwrap_or_else(|error| panic!("{}: {}: {error:#}", file.name, probe.name))
        });
        (heard.collect(), bench.listing().unwrap())
    };
    let (theirs, their_rules) = run(Bridge::Kernel, None);
    let (ours, our_rules) = run(Bridge::Routerd, Some(&theirs));
    let mut told = String::new();
    for (probe, (ours, theirs)) in probes.iter().zip(ours.iter().zip(&theirs)) {
        if ours != theirs {
            told.push_str(&format!(
                "\n{}: {}\n  kernel:  {theirs}\n  routerd: {ours}",
                file.name, probe.name
            ));
        }
    }
    for (ours, theirs) in our_rules.lines().zip(their_rules.lines()).filter(|(ours, theirs)| ours != theirs) {
        told.push_str(&format!("\n{}:\n  kernel:  {}\n  routerd: {}", file.name, theirs.trim(), ours.trim()));
    }
    if our_rules.lines().count() != their_rules.lines().count() {
        told.push_str(&format!("\n{}: listings differ in length", file.name));
    }
    let frames: usize = theirs.iter().map(Heard::count).sum();
    assert!(frames > 40, "{}: the kernel let {frames} frames pass, which proves little", file.name);
    told
}

#[test]
fn a_bridge_with_rules_does_with_every_frame_as_the_kernels_does() {
    if !lab::labs_can_run() {
        return;
    }
    let files = corpus_of_bridges().unwrap();
    assert!(files.len() >= 3);
    let told: String = files.iter().map(|file| differences(file, &frames::all())).collect();
    assert!(told.is_empty(), "{told}");
}
