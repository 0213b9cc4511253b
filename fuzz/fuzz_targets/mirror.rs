//! See `portcullis_fuzz::mirror`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::mirror(data));
