//! libFuzzer's way to the target `offload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("offload", input));
