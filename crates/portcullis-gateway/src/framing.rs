//! Where a body ends on an HTTP/1.1 connection (RFC 9112 sections 6 and 7), the same for both ends of the gateway.
//!
//! Anything that could be read two ways (two lengths, a length beside chunks, an unknown coding) is refused, for what
//! follows on the connection would be guesswork, and guesswork is how requests are smuggled.

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use httparse::Status;

/// Longest line in a chunked body: the size of a chunk with its extensions, or a trailer; in bytes.
const LINE: usize = 64 * 1024;

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
            (true, None) => Ok(Some(Framing::Chunked(Chunk::Size))),
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
    Chunked(Chunk),
    /// With the connection.
    UntilClose,
}

/// What comes next in a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
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
            Self::Chunked(chunk) => chunk.take(buffer),
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

impl Chunk {
    /// Whether the last trailer was read.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    fn take(&mut self, buffer: &mut BytesMut) -> Result<Progress, &'static str> {
        loop {
            match self {
                Self::Size => match httparse::parse_chunk_size(buffer) {
                    Ok(Status::Complete((line, size))) => {
                        buffer.advance(line);
                        *self = if size == 0 { Self::Trailer } else { Self::Data(size) };
                    }
                    Ok(Status::Partial) if buffer.len() <= LINE => return Ok(Progress::NeedsMore),
                    _ => return Err("the size of a chunk cannot be read"),
                },
                Self::Data(0) => *self = Self::End,
                Self::Data(left) => return Ok(take_data(left, buffer)),
                Self::End if buffer.len() < 2 => return Ok(Progress::NeedsMore),
                Self::End if buffer.starts_with(b"\r\n") => {
                    buffer.advance(2);
                    *self = Self::Size;
                }
                Self::End => return Err("a chunk is longer than its size"),
                Self::Trailer => match memchr::memchr(b'\n', buffer) {
                    Some(end) => {
                        let is_last = matches!(&buffer[..end], b"\r" | b"");
                        buffer.advance(end + 1);
                        if is_last {
                            *self = Self::Over;
                        }
                    }
                    None if buffer.len() <= LINE => return Ok(Progress::NeedsMore),
                    None => return Err("the trailer is too large"),
                },
                Self::Over => return Ok(Progress::End),
            }
        }
    }
}
