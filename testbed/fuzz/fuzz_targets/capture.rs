//! libFuzzer's way to the target `capture`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("capture", input));
