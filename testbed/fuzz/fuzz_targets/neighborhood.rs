//! libFuzzer's way to the target `neighborhood`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("neighborhood", input));
