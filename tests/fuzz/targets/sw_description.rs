#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ics_tests::fuzz::run("sw_description", bytes));
