//! libFuzzer's way to the target `control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("control", input));
