//! The log against its own surface: written, crashed, altered, removed, proved.

mod anchors;
mod bundles;
mod databases;
mod fixture;
mod handovers;
mod packs;
mod payloads;
mod retention;
mod tampering;
mod writing;

/// Of the store's own tests: a database to keep logs in.
#[path = "../../../portcullis-store/tests/it/server.rs"]
#[allow(dead_code, reason = "the store's tests ask more of it")]
mod server;
