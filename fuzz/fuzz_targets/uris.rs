//! See `portcullis_fuzz::uris`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::uris(data));
