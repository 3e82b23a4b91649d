//! Every fuzz target is fed for a second; needs no privileges.

use std::process::Command;

#[test]
fn nothing_that_reads_bytes_from_outside_minds_what_they_are() {
    let failures = env!("CARGO_TARGET_TMPDIR");
    let output = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .args(["fuzz", "--seconds", "1", "--failures", failures])
        .output()
        .expect("the program is built");
    let (told, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{wrong}");
    assert_eq!(told.lines().count(), testbed::fuzz::TARGETS.len(), "{told}");
}

#[test]
fn seeds_are_written_for_libfuzzer_and_can_be_fed_alone() {
    let directory = tempfile::tempdir().unwrap();
    let testbed = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_testbed")).arg("fuzz").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    testbed(&["command", "--seeds-to", directory.path().to_str().unwrap()]);
    let seeds: Vec<_> = directory.path().join("command").read_dir().unwrap().collect();
    assert!(seeds.len() > 10, "{seeds:?}");
    let seed = seeds[0].as_ref().unwrap().path();
    let told = testbed(&["command", "--input", seed.to_str().unwrap()]);
    assert!(told.contains("nothing wrong with"), "{told}");
}
