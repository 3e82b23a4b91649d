//! libFuzzer's way to the target `rules`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("rules", input));
