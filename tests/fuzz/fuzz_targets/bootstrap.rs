#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ninon_tests::fuzz::run("bootstrap", data));
