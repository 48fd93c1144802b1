#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::TARGETS[4].1(data));
