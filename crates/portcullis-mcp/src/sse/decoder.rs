//! The reading half: chunks in, events out.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event with data. (A block without data is none; its id and delay still count, see [`Decoder`].)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `id` that this very event carries; empty says "forget the last id".
    pub id: Option<String>,
    /// The `event` field; see [`Event::name`].
    pub event: Option<String>,
    /// The `data` lines joined by line feeds; may be empty. Not checked to be UTF-8.
    pub data: Bytes,
    /// The `retry` field of this event.
    pub retry: Option<Duration>,
}

impl Event {
    /// The event's type: `message` unless it says otherwise.
    pub fn name(&self) -> &str {
        self.event.as_deref().filter(|name| !name.is_empty()).unwrap_or("message")
    }
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One line, or the fields of one event together, are longer than the limit.
    #[error("a server-sent event is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Reads an event stream.
///
/// Feed it with [`push`](Self::push), then take events with [`next`](Self::next) until there is none. It holds at most
/// twice its limit plus what was pushed and not yet taken. An event that the stream's end cuts off is discarded, as
/// the standard demands.
#[derive(Debug)]
pub struct Decoder {
    pub(super) buffer: BytesMut,
    /// So much of the buffer holds no line end.
    pub(super) searched: usize,
    limit: usize,
    stage: Stage,
    block: Block,
    last_event_id: String,
    retry: Option<Duration>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing consumed yet: a byte order mark may come.
    Start,
    Line,
    /// The last line ended in a carriage return: a line feed that follows belongs to it.
    AfterReturn,
    Broken,
}

/// The fields since the last blank line.
#[derive(Debug, Default)]
struct Block {
    id: Option<String>,
    event: Option<String>,
    data: Option<BytesMut>,
    retry: Option<Duration>,
    /// Bytes of all its lines but comments.
    size: usize,
}

impl Decoder {
    /// A decoder for events whose lines are together up to `limit` bytes long.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            limit,
            stage: Stage::Start,
            block: Block::default(),
            last_event_id: String::new(),
            retry: None,
        }
    }

    /// Adds what was read. After an error it is dropped.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.stage != Stage::Broken {
            self.buffer.extend_from_slice(chunk);
        }
    }

    /// The next event; `None` means that more bytes are needed.
    ///
    /// # Errors
    /// [`SseError`], once; from then on `None`.
    #[allow(clippy::should_implement_trait, reason = "`None` is not the end: more may be pushed")]
    pub fn next(&mut self) -> Option<Result<Event, SseError>> {
        loop {
            let line = match self.line()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Some(Ok(event));
                }
            } else if line[0] != b':' {
                self.block.size += line.len();
                if self.block.size > self.limit {
                    return Some(Err(self.fail()));
                }
                self.field(line);
            }
        }
    }

    /// The id to resume after: the last one given by a complete block, with or without data. Reflects the events taken
    /// so far; an empty id resets it.
    pub fn last_event_id(&self) -> Option<&str> {
        Some(self.last_event_id.as_str()).filter(|id| !id.is_empty())
    }

    /// The latest delay that the server asks for before a reconnection, in any block of this connection, complete or not.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// A decoder for the stream that goes on where this one broke off: what was half read is gone, the id to resume
    /// after stays. The delay is not taken along, so that it can be told whether the server asks for one again.
    #[must_use]
    pub fn resumed(&self) -> Self {
        Self { last_event_id: self.last_event_id.clone(), ..Self::new(self.limit) }
    }

    fn fail(&mut self) -> SseError {
        let limit = self.limit;
        let last_event_id = std::mem::take(&mut self.last_event_id);
        *self = Self { stage: Stage::Broken, last_event_id, retry: self.retry, ..Self::new(limit) };
        SseError::TooLarge { limit }
    }

    /// Takes the next line, without its end.
    fn line(&mut self) -> Option<Result<BytesMut, SseError>> {
        self.skip_mark()?;
        let end = memchr::memchr2(b'\n', b'\r', &self.buffer[self.searched..]).map(|at| self.searched + at);
        if end.unwrap_or(self.buffer.len()) > self.limit {
            return Some(Err(self.fail()));
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let mut line = self.buffer.split_to(end + 1);
        self.stage = if line[end] == b'\r' { Stage::AfterReturn } else { Stage::Line };
        line.truncate(end);
        Some(Ok(line))
    }

    /// Drops a byte order mark at the start, and the line feed of a carriage return and line feed. `None` while it
    /// cannot be told whether there is one.
    fn skip_mark(&mut self) -> Option<()> {
        let skip = match self.stage {
            Stage::Broken => return None,
            Stage::Line => 0,
            Stage::Start if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) => return None,
            Stage::Start => {
                if self.buffer.starts_with(BOM) {
                    BOM.len()
                } else {
                    0
                }
            }
            Stage::AfterReturn => usize::from(*self.buffer.first()? == b'\n'),
        };
        self.stage = Stage::Line;
        self.buffer.advance(skip);
        Some(())
    }

    fn field(&mut self, mut line: BytesMut) {
        let colon = memchr::memchr(b':', &line);
        let value =
            colon.map_or(line.len(), |at| if line.get(at + 1) == Some(&b' ') { at + 2 } else { at + 1 });
        let value = line.split_off(value);
        let name = &line[..colon.unwrap_or(line.len())];
        match name {
            b"data" => match &mut self.block.data {
                None => self.block.data = Some(value),
                Some(data) => {
                    data.extend_from_slice(b"\n");
                    data.extend_from_slice(&value);
                }
            },
            b"event" => self.block.event = Some(String::from_utf8_lossy(&value).into_owned()),
            b"id" if !value.contains(&0) => {
                self.block.id = Some(String::from_utf8_lossy(&value).into_owned());
            }
            b"retry" => {
                if let Some(delay) = milliseconds(&value) {
                    self.block.retry = Some(delay);
                    self.retry = Some(delay);
                }
            }
            _ => {}
        }
    }

    /// Ends the block.
    fn dispatch(&mut self) -> Option<Event> {
        let Block { id, event, data, retry, size: _ } = std::mem::take(&mut self.block);
        if let Some(id) = &id {
            self.last_event_id.clone_from(id);
        }
        Some(Event { id, event, data: data?.freeze(), retry })
    }
}

/// ASCII digits and nothing else; a number beyond `u64` is ignored like any other nonsense.
fn milliseconds(value: &[u8]) -> Option<Duration> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok().map(Duration::from_millis)
}
