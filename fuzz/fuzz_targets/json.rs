//! See `portcullis_fuzz::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::json(data));
