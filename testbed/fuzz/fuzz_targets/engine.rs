//! libFuzzer's way to the target `engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("engine", input));
