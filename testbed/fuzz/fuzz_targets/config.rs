//! libFuzzer's way to the target `config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("config", input));
