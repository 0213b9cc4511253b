//! Printing results.
//!
//! A reader that has heard enough (`portcullis config schema | head`) is no error, and above all no reason for a
//! gateway to end that has just said where it listens; `println!` would panic.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes `text` and a line break, whether anybody reads it or not.
pub(crate) fn print(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
