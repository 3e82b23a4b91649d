//! libFuzzer's way to the target `netlink`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| testbed::fuzz::feed("netlink", input));
