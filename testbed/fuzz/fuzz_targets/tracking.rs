//! libFuzzer's way to the target `tracking`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("tracking", input));
