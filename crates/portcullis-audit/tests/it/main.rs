//! The log against its own surface: written, crashed, altered, removed, proved.

mod anchors;
mod bundles;
mod fixture;
mod handovers;
mod payloads;
mod retention;
mod tampering;
mod writing;
