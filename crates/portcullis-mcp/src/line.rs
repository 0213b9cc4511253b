//! Messages on a byte stream: one JSON text per line (MCP basic/transports/stdio).
//!
//! The decoder cuts, it does not parse: a line is whatever stands before a line feed. It searches every byte once, so
//! a peer that dribbles single bytes costs no more than one that sends a page.
//!
//! A line above the limit ends the decoder for good. It could skip to the next line feed, but the line that was lost
//! may have been the answer that somebody waits for, and a peer that writes such lines is out of step or hostile: the
//! channel is closed and its owner (the supervisor of the child) starts afresh, which every caller can see.

use bytes::{Bytes, BytesMut};

use crate::json::Raw;

/// A line longer than the decoder's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit, in bytes before the line feed.
    pub limit: usize,
}

/// Cuts a byte stream into lines.
///
/// Feed it with [`push`](Self::push), then take lines with [`next`](Self::next) until there is none. It holds at most
/// the limit plus what was pushed and not yet taken.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// So much of the buffer holds no line feed.
    searched: usize,
    limit: usize,
    broken: bool,
}

impl Decoder {
    /// A decoder for lines of up to `limit` bytes, not counting the line feed.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, limit, broken: false }
    }

    /// Adds what was read. After an error it is dropped.
    pub fn push(&mut self, chunk: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(chunk);
        }
    }

    /// The next line, without its line feed or carriage return and line feed; blank lines are skipped. `None` means
    /// that more bytes are needed.
    ///
    /// # Errors
    /// [`TooLong`], once; from then on `None`.
    #[allow(clippy::should_implement_trait, reason = "`None` is not the end: more may be pushed")]
    pub fn next(&mut self) -> Option<Result<Bytes, TooLong>> {
        loop {
            let found = memchr::memchr(b'\n', &self.buffer[self.searched..]).map(|at| self.searched + at);
            if found.unwrap_or(self.buffer.len()) > self.limit {
                self.broken = true;
                self.buffer = BytesMut::new();
                self.searched = 0;
                return Some(Err(TooLong { limit: self.limit }));
            }
            let Some(end) = found else {
                self.searched = self.buffer.len();
                return None;
            };
            self.searched = 0;
            let line = self.buffer.split_to(end + 1).freeze();
            if let Some(line) = content(&line) {
                return Some(Ok(line));
            }
        }
    }

    /// What stands after the last line feed when the stream has ended: a message whose sender left out the line feed,
    /// or half a message. Whether it is JSON tells which.
    pub fn finish(self) -> Option<Bytes> {
        content(&self.buffer.freeze())
    }
}

/// The line without the white space at its end, unless it is blank.
fn content(line: &Bytes) -> Option<Bytes> {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))?;
    Some(line.slice(..=end))
}

/// Appends `message` as one line.
///
/// A message that came pretty-printed loses its line breaks, never its meaning: JSON strings cannot hold a bare line
/// break (RFC 8259 section 7), so all of them stand between tokens and a space does as well.
pub fn encode(out: &mut Vec<u8>, message: &Raw) {
    let start = out.len();
    out.reserve(message.as_bytes().len() + 1);
    out.extend_from_slice(message.as_bytes());
    let written = &mut out[start..];
    let mut at = 0;
    while let Some(step) = memchr::memchr2(b'\n', b'\r', &written[at..]) {
        at += step;
        written[at] = b' ';
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
