//! libFuzzer's way to the target `packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("packet", input));
