//! See `openapi::openapi`.
#![no_main]

#[path = "../src/openapi.rs"]
mod openapi;

libfuzzer_sys::fuzz_target!(|data: &[u8]| openapi::openapi(data));
