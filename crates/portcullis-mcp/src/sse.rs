//! Server-sent events (WHATWG HTML, section 9.2): the frames of MCP's HTTP answers.
//!
//! [`event`], [`retry`] and [`comment`] write, [`Decoder`] reads. The decoder follows the standard's interpretation to
//! the letter (BOM, the three line ends, even when a chunk border splits one, ids that outlive their event) and adds
//! what a standard for browsers leaves out: a limit. It looks at every byte once, however the stream was cut.
//!
//! It does not reconnect and does not know what is in `data`.

mod decoder;

use std::time::Duration;

pub use decoder::{Decoder, Event, SseError};

/// Appends one event.
///
/// Every line of `data` (ended by line feed, carriage return or both) becomes a `data` field; empty `data` is an event
/// with empty data. An `id` or `name` with a line break in it, and an `id` with a NUL, cannot be said in this format
/// and is left out. `retry` has the unit milliseconds on the wire; finer parts are dropped.
pub fn event(out: &mut Vec<u8>, id: Option<&str>, name: Option<&str>, retry: Option<Duration>, data: &[u8]) {
    out.reserve(data.len() + 64);
    if let Some(id) = id.filter(|id| !id.contains(['\r', '\n', '\0'])) {
        field(out, "id", id.as_bytes());
    }
    if let Some(name) = name.filter(|name| !name.contains(['\r', '\n'])) {
        field(out, "event", name.as_bytes());
    }
    if let Some(retry) = retry {
        field(out, "retry", retry.as_millis().to_string().as_bytes());
    }
    for line in lines(data) {
        field(out, "data", line);
    }
    out.push(b'\n');
}

/// Appends a block that only sets the delay before the client may reconnect; it is no event.
pub fn retry(out: &mut Vec<u8>, delay: Duration) {
    field(out, "retry", delay.as_millis().to_string().as_bytes());
    out.push(b'\n');
}

/// Appends a comment, which readers skip: a sign of life on a quiet stream.
pub fn comment(out: &mut Vec<u8>, text: &str) {
    for line in lines(text.as_bytes()) {
        field(out, "", line);
    }
    out.push(b'\n');
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    // Always with the space: readers drop one, so a value that starts with a space keeps it.
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The lines of `text`; there is always one, and a line end at the end begins another.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = memchr::memchr2(b'\n', b'\r', text) else {
            rest = None;
            return Some(text);
        };
        let width = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests;
