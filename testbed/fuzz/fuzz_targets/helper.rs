//! libFuzzer's way to the target `helper`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("helper", input));
