//! See `portcullis_fuzz::header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::header(data));
