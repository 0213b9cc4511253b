//! Printing results.
//!
//! A reader that has heard enough (`portcullis config schema | head`) is no error, and above all no reason for a
//! gateway to end that has just said where it listens; `println!` would panic.

use std::fmt::Display;
use std::io::{self, Write as _};

use portcullis_oversight::visible_line;

/// Writes `text` and a line break, whether anybody reads it or not.
pub(crate) fn print(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes a line for people, whoever wrote what is in it: what would act on a terminal, or begin another line, is written out.
pub(crate) fn line(text: impl Display) {
    print(visible_line(&text.to_string()));
}
