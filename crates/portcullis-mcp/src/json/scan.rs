//! The check that a text is one JSON value (RFC 8259), within limits, without duplicate keys.
//!
//! Recursive descent, one pass, no allocation on ordinary documents. Depth is bounded by [`Limits`], so the
//! recursion is too.

use std::borrow::Cow;
use std::collections::HashSet;

use super::outline::Outline;
use super::run::plain_run;

/// Bounds on what is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting of arrays and objects; a bare scalar has depth 0. At most 512 is sensible (stack).
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64 }
    }
}

/// Why a text was refused; offsets are bytes from the start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8 (RFC 8259 section 8.1).
    #[error("not UTF-8 at byte {0}")]
    Encoding(usize),
    /// Not JSON.
    #[error("not JSON at byte {0}")]
    Syntax(usize),
    /// A second value follows the first.
    #[error("unexpected text after the JSON value at byte {0}")]
    Trailing(usize),
    /// Nested deeper than [`Limits::depth`].
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// One object has the same key twice.
    #[error("duplicate key `{0}`")]
    DuplicateKey(String),
}

/// Whether `text` is exactly one JSON value, as [`super::Raw::parse`] takes it. For those who only look.
///
/// # Errors
/// What is wrong and where.
pub fn verify(text: &[u8], limits: Limits) -> Result<(), JsonError> {
    check(text, limits, 0).map(drop)
}

/// A checked text.
pub(super) struct Checked {
    /// Where its one value starts and ends.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The members of the upper levels, when the value is an object.
    pub(super) outline: Outline,
}

/// Checks `text`. The members of the upper `levels` of objects are noted on the way.
pub(super) fn check(text: &[u8], limits: Limits, levels: u8) -> Result<Checked, JsonError> {
    // Most documents are ASCII, which is several times faster to see.
    if !text.is_ascii()
        && let Err(error) = std::str::from_utf8(text)
    {
        return Err(JsonError::Encoding(error.valid_up_to()));
    }
    let mut scan = Scan {
        text,
        at: 0,
        limits,
        keys: Vec::with_capacity(PAIRWISE),
        outline: Outline::new(levels, text.len()),
        error: None,
    };
    scan.space();
    let start = scan.at;
    if scan.value(0).is_err() {
        return Err(scan.error.unwrap_or(JsonError::Syntax(scan.at)));
    }
    let end = scan.at;
    scan.space();
    if scan.at == text.len() {
        Ok(Checked { start, end, outline: scan.outline })
    } else {
        Err(JsonError::Trailing(scan.at))
    }
}

/// The text is not acceptable; [`Scan::error`] says why, or else the place does. Empty, because it is handed through
/// every step of the scan and almost never there.
struct Stop;

type Step<T = ()> = Result<T, Stop>;

/// Up to this many keys are compared pairwise; a larger object pays for a hash set.
const PAIRWISE: usize = 16;

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    limits: Limits,
    /// The keys of all objects that are open, innermost last.
    keys: Vec<Text<'a>>,
    outline: Outline,
    error: Option<JsonError>,
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy)]
struct Text<'a> {
    inner: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    fn decode(self) -> Cow<'a, str> {
        unescape(self.inner)
    }

    fn is(self, other: Self) -> bool {
        if self.escaped || other.escaped {
            self.decode() == other.decode()
        } else {
            self.inner == other.inner
        }
    }
}

impl<'a> Scan<'a> {
    fn refuse<T>(&mut self, error: JsonError) -> Step<T> {
        self.error = Some(error);
        Err(Stop)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Step {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(Stop),
        }
    }

    fn word(&mut self, word: &[u8]) -> Step {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(Stop)
        }
    }

    fn digits(&mut self) -> Step {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(Stop) } else { Ok(()) }
    }

    fn number(&mut self) -> Step {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Returns the text between the quotes, still escaped.
    fn string(&mut self) -> Step<Text<'a>> {
        let start = self.at + 1;
        self.at = start;
        let mut escaped = false;
        loop {
            let rest = &self.text[self.at..];
            let end = plain_run(rest);
            self.at += end;
            match rest.get(end) {
                Some(b'"') => {
                    let inner = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Text { inner, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Stop),
            }
        }
    }

    fn escape(&mut self) -> Step {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                // A lone surrogate names no character, yet JavaScript prints one when a text was cut inside an
                // emoji: it passes through as it came and reads as U+FFFD.
                if self.hex4().is_some() { Ok(()) } else { Err(Stop) }
            }
            _ => Err(Stop),
        }
    }

    fn hex4(&mut self) -> Option<()> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(())
    }

    fn enter(&mut self, depth: usize) -> Step {
        if depth > self.limits.depth {
            return self.refuse(JsonError::TooDeep(self.limits.depth));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Step {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Stop),
            }
            self.space();
        }
    }

    fn object(&mut self, depth: usize) -> Step {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let base = self.keys.len();
        let mut seen = None;
        loop {
            if self.peek() != Some(b'"') {
                return Err(Stop);
            }
            let key_start = self.at;
            let key = self.string()?;
            let key_end = self.at;
            self.note_key(base, key, &mut seen)?;
            let noted = self.outline.begin(depth, (key_start, key_end), key.escaped);
            self.space();
            if self.peek() != Some(b':') {
                return Err(Stop);
            }
            self.at += 1;
            self.space();
            let value_start = self.at;
            self.value(depth)?;
            if let Some(noted) = noted {
                self.outline.end(noted, (value_start, self.at));
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    self.keys.truncate(base);
                    return Ok(());
                }
                _ => return Err(Stop),
            }
            self.space();
        }
    }

    fn note_key(&mut self, base: usize, key: Text<'a>, seen: &mut Option<HashSet<Cow<'a, str>>>) -> Step {
        let duplicate = match seen {
            Some(seen) => !seen.insert(key.decode()),
            None => self.keys[base..].iter().any(|other| other.is(key)),
        };
        if duplicate {
            let key = key.decode().chars().take(64).collect();
            return self.refuse(JsonError::DuplicateKey(key));
        }
        if seen.is_none() {
            self.keys.push(key);
            if self.keys.len() - base > PAIRWISE {
                *seen = Some(self.keys[base..].iter().map(|key| key.decode()).collect());
            }
        }
        Ok(())
    }
}

/// Decodes the inside of a checked JSON string.
pub(super) fn unescape(inner: &[u8]) -> Cow<'_, str> {
    let text = std::str::from_utf8(inner).expect("checked text is UTF-8");
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (character, used) = unescape_one(&rest[at + 1..]);
        out.push(character);
        rest = &rest[at + 1 + used..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Decodes what follows a backslash; returns the character and the bytes used.
fn unescape_one(after: &str) -> (char, usize) {
    match after.as_bytes()[0] {
        b'b' => ('\u{8}', 1),
        b'f' => ('\u{c}', 1),
        b'n' => ('\n', 1),
        b'r' => ('\r', 1),
        b't' => ('\t', 1),
        b'u' => unescape_unicode(after),
        other => (char::from(other), 1),
    }
}

fn unescape_unicode(after: &str) -> (char, usize) {
    let unit = |from: usize| after.get(from..from + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let first = unit(1).expect("checked escape");
    if (0xd800..0xdc00).contains(&first)
        && after.get(5..7) == Some("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(7)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).expect("a surrogate pair is a character"), 11);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 5)
}
