//! Where a body ends on an HTTP/1.1 connection (RFC 9112 sections 6 and 7), the same for both ends of the gateway.
//!
//! Anything that could be read two ways (two lengths, a length beside chunks, an unknown coding) is refused, for what
//! follows on the connection would be guesswork, and guesswork is how requests are smuggled.

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderName;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// Longest line in a chunked body: the size of a chunk with its extensions, or a trailer; in bytes.
const LINE: usize = 8 * 1024;
/// So many bytes of extensions and trailers one body may have. Nobody needs them, and without a bound a body of a few
/// bytes could be wrapped in any number of them.
const EXTRA: usize = 16 * 1024;

/// The fields that say where the body ends.
#[derive(Debug, Default)]
pub(crate) struct Lengths {
    length: Option<u64>,
    chunked: bool,
}

impl Lengths {
    /// Reads a field, if it is one of those.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn take(&mut self, name: &str, value: &[u8]) -> Result<bool, &'static str> {
        let text = |value| std::str::from_utf8(value).unwrap_or_default().trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()) {
            let text = text(value);
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let length = text.parse().ok().filter(|_| digits).ok_or("its length cannot be read")?;
            if self.length.is_some_and(|other| other != length) {
                return Err("two lengths");
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(TRANSFER_ENCODING.as_str()) {
            if self.chunked || !text(value).eq_ignore_ascii_case("chunked") {
                return Err("an unknown transfer coding");
            }
            self.chunked = true;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Where the body ends; `None` when no field says so.
    ///
    /// # Errors
    /// The fields contradict each other.
    pub(crate) fn framing(&self) -> Result<Option<Framing>, &'static str> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err("both a length and chunks"),
            (true, None) => Ok(Some(Framing::Chunked(Chunks::default()))),
            (false, Some(length)) => Ok(Some(Framing::Length(length))),
            (false, None) => Ok(None),
        }
    }
}

/// Where a body ends (RFC 9112 section 6.3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked(Chunks),
    /// With the connection.
    UntilClose,
}

/// A chunked body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunks {
    next: Chunk,
    /// Bytes of extensions and trailers so far.
    extra: usize,
}

/// What comes next in a chunked body.
#[derive(Debug, Default, PartialEq, Eq)]
enum Chunk {
    #[default]
    Size,
    Data(u64),
    /// The line end after the data.
    End,
    Trailer,
    /// Nothing: the last trailer was read.
    Over,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Data(Bytes),
    End,
    NeedsMore,
}

impl Framing {
    /// Takes what there is of the body from `buffer`.
    pub(crate) fn take(&mut self, buffer: &mut BytesMut) -> Result<Progress, &'static str> {
        match self {
            Self::Length(0) => Ok(Progress::End),
            Self::Length(left) => Ok(take_data(left, buffer)),
            Self::UntilClose if buffer.is_empty() => Ok(Progress::NeedsMore),
            Self::UntilClose => Ok(Progress::Data(buffer.split().freeze())),
            Self::Chunked(chunks) => chunks.take(buffer),
        }
    }
}

fn take_data(left: &mut u64, buffer: &mut BytesMut) -> Progress {
    if buffer.is_empty() {
        return Progress::NeedsMore;
    }
    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= take as u64;
    Progress::Data(buffer.split_to(take).freeze())
}

impl Chunks {
    /// Whether the last trailer was read.
    pub(crate) fn are_over(&self) -> bool {
        self.next == Chunk::Over
    }

    fn take(&mut self, buffer: &mut BytesMut) -> Result<Progress, &'static str> {
        loop {
            match &mut self.next {
                Chunk::Size => {
                    let Some(end) = line_end(buffer)? else { return Ok(Progress::NeedsMore) };
                    let size = size(&buffer[..end]);
                    let (size, extension) = size.ok_or("the size of a chunk cannot be read")?;
                    buffer.advance(end + 2);
                    self.next = if size == 0 { Chunk::Trailer } else { Chunk::Data(size) };
                    self.pass(extension)?;
                }
                Chunk::Data(0) => self.next = Chunk::End,
                Chunk::Data(left) => return Ok(take_data(left, buffer)),
                Chunk::End if buffer.len() < 2 => return Ok(Progress::NeedsMore),
                Chunk::End if buffer.starts_with(b"\r\n") => {
                    buffer.advance(2);
                    self.next = Chunk::Size;
                }
                Chunk::End => return Err("a chunk is longer than its size"),
                Chunk::Trailer => {
                    let Some(end) = line_end(buffer)? else { return Ok(Progress::NeedsMore) };
                    if end == 0 {
                        self.next = Chunk::Over;
                    } else if !is_field(&buffer[..end]) {
                        return Err("a trailer cannot be read");
                    }
                    buffer.advance(end + 2);
                    self.pass(end)?;
                }
                Chunk::Over => return Ok(Progress::End),
            }
        }
    }

    /// Counts what is passed over.
    fn pass(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.extra += bytes;
        if self.extra > EXTRA { Err("the extensions and trailers are too large") } else { Ok(()) }
    }
}

/// Where the first line of `buffer` ends; `None` when it is not complete. It has to end with CR LF: a line feed alone ends
/// a line for some and is a part of it for others, and so is a return.
fn line_end(buffer: &[u8]) -> Result<Option<usize>, &'static str> {
    match memchr::memchr2(b'\r', b'\n', buffer) {
        Some(end) if end <= LINE && buffer[end..].starts_with(b"\r\n") => Ok(Some(end)),
        Some(end) if end <= LINE && &buffer[end..] == b"\r" => Ok(None),
        None if buffer.len() <= LINE => Ok(None),
        Some(end) if end <= LINE => Err("a line between chunks does not end with CR LF"),
        _ => Err("a line between chunks is too long"),
    }
}

/// The size that a line gives for the next chunk, and how much of the line is something else. There must be a size: a
/// parser that takes nothing for 0 ends the body where others do not.
fn size(line: &[u8]) -> Option<(u64, usize)> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = &line[digits..];
    let extension = rest.trim_ascii_start();
    if !(1..=16).contains(&digits) || !matches!(extension, [] | [b';', ..]) {
        return None;
    }
    let text = std::str::from_utf8(&line[..digits]).ok()?;
    Some((u64::from_str_radix(text, 16).ok()?, rest.len()))
}

/// Whether a trailer is one: after `0` and a line end, the next request is none.
fn is_field(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len() && HeaderName::from_bytes(name).is_ok()
}

#[cfg(test)]
mod tests;
