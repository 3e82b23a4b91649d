//! libFuzzer's way to the target `queue`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("queue", input));
