//! The same rules in the kernel and in routerd: packets fare the same, and afterwards both have counted the same.

use testbed::lab;
use testbed::router::Router;
use testbed::rulesets::{RuleFile, Verdict, compare, compare_relisted, corpus, corpus_of_local};

/// What differs, file by file.
fn told(files: &[RuleFile], verdicts: &[Verdict]) -> String {
    let differing = files.iter().zip(verdicts).filter(|(_, verdict)| !verdict.differences.is_empty());
    let report = |(file, verdict): (&RuleFile, &Verdict)| {
        let shown: String = verdict.differences.iter().take(3).map(|report| format!("{report}\n")).collect();
        format!("\n{}: {} differences\n{shown}", file.name, verdict.differences.len())
    };
    differing.map(report).collect()
}

#[test]
fn the_kernel_is_like_itself_and_lets_something_through() {
    if !lab::labs_can_run() {
        return;
    }
    let files = corpus().unwrap();
    assert!(files.len() >= 100, "{} files", files.len());
    let verdicts = compare(&files, &Router::Kernel { tracking: false }).unwrap();
    let report = told(&files, &verdicts);
    assert!(report.is_empty(), "{report}");
    for (file, verdict) in files.iter().zip(&verdicts) {
        assert!(verdict.probes >= 80 && verdict.frames >= 20, "{}: {verdict:?}", file.name);
    }
}

#[test]
fn routerd_does_with_every_ruleset_as_the_kernel_does() {
    if !lab::labs_can_run() {
        return;
    }
    let files = corpus().unwrap();
    let verdicts = compare(&files, &Router::routerd(&[]).unwrap()).unwrap();
    let report = told(&files, &verdicts);
    assert!(report.is_empty(), "{report}");
}

#[test]
fn what_routerd_lists_does_the_same_when_it_is_loaded_again() {
    if !lab::labs_can_run() {
        return;
    }
    let files = corpus().unwrap();
    let verdicts = compare_relisted(&files, &Router::routerd(&[]).unwrap()).unwrap();
    let report = told(&files, &verdicts);
    assert!(report.is_empty(), "{report}");
}

#[test]
fn rules_at_input_and_output_do_with_local_packets_as_in_the_kernel() {
    if !lab::labs_can_run() {
        return;
    }
    let files = corpus_of_local().unwrap();
    // Neighbors are not asked again meanwhile, as the kernel asks nobody it has just heard.
    let patient = "[host.discovery]\nreachable-s = 3600\n";
    let router = Router::routerd(&[]).unwrap().owned("none").configured(patient);
    let verdicts = compare(&files, &router).unwrap();
    let report = told(&files, &verdicts);
    assert!(report.is_empty(), "{report}");
    for (file, verdict) in files.iter().zip(&verdicts) {
        assert!(verdict.probes >= 10 && verdict.frames >= 10, "{}: {verdict:?}", file.name);
    }
}
