//! A checked JSON value that is still its own bytes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;

use super::outline::{Entry, Span};
use super::run::plain_run;
use super::scan::{self, JsonError, Limits, unescape};

/// One JSON value as it came: valid, in bounds, no white space around it. Clones share the bytes.
///
/// Two values are equal when their bytes are; `1` and `1.0` are not.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw(pub(super) Bytes);

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the six JSON types")]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Raw {
    /// Checks that `bytes` hold exactly one JSON value.
    ///
    /// # Errors
    /// What is wrong and where; see [`JsonError`].
    #[allow(clippy::needless_pass_by_value, reason = "the value shares the bytes: it takes them over")]
    pub fn parse(bytes: Bytes, limits: Limits) -> Result<Self, JsonError> {
        let checked = scan::check(&bytes, limits, 0)?;
        Ok(Self(bytes.slice(checked.start..checked.end)))
    }

    /// A value that the program itself wrote.
    ///
    /// # Panics
    /// In debug builds, when `bytes` are not one JSON value: that is a bug of the writer.
    pub fn trusted(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        debug_assert!(
            scan::check(&bytes, Limits { depth: 512 }, 0).is_ok(),
            "not JSON: {}",
            String::from_utf8_lossy(&bytes)
        );
        Self(bytes)
    }

    /// A constant.
    pub fn from_static(text: &'static str) -> Self {
        Self::trusted(Bytes::from_static(text.as_bytes()))
    }

    /// Any serialisable value.
    ///
    /// # Panics
    /// When `value` cannot be JSON (a map with keys that are no strings).
    pub fn from_value(value: &serde_json::Value) -> Self {
        Self(serde_json::to_vec(value).expect("a JSON value prints").into())
    }

    /// A JSON string that says `text`.
    pub fn from_text(text: &str) -> Self {
        let mut out = Vec::with_capacity(text.len() + 2);
        super::write_string(&mut out, text);
        Self(out.into())
    }

    /// The bytes, as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text, as it came.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked text is UTF-8")
    }

    /// The type of this value.
    pub fn kind(&self) -> Kind {
        match self.0[0] {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The decoded string, if this is one.
    pub fn string(&self) -> Option<Cow<'_, str>> {
        (self.kind() == Kind::String).then(|| unescape(&self.0[1..self.0.len() - 1]))
    }

    /// Whether this is a string that says `text`.
    pub fn is_text(&self, text: &str) -> bool {
        self.kind() == Kind::String && says(&self.0[1..self.0.len() - 1], text)
    }

    /// The boolean, if this is one.
    pub fn bool(&self) -> Option<bool> {
        match self.0[0] {
            b't' => Some(true),
            b'f' => Some(false),
            _ => None,
        }
    }

    /// The number as `u64`, if this is one written as a plain integer in range.
    pub fn u64(&self) -> Option<u64> {
        if self.kind() == Kind::Number { self.as_str().parse().ok() } else { None }
    }

    /// The number as `f64`, if this is one.
    pub fn f64(&self) -> Option<f64> {
        if self.kind() == Kind::Number { self.as_str().parse().ok() } else { None }
    }

    /// The members of an object in order; none when this is no object.
    pub fn members(&self) -> Members<'_> {
        let at = if self.kind() == Kind::Object { 1 } else { usize::MAX };
        Members { owner: self, source: Source::Walk { at } }
    }

    /// The elements of an array in order; none when this is no array.
    pub fn elements(&self) -> Elements<'_> {
        Elements { owner: self, at: if self.kind() == Kind::Array { 1 } else { usize::MAX } }
    }

    /// The value of a member, if this is an object that has it.
    pub fn find(&self, key: &str) -> Option<Raw> {
        self.members().named(key).map(|member| member.value())
    }

    /// The values of several members, in one pass.
    pub fn pick<const N: usize>(&self, keys: [&str; N]) -> [Option<Raw>; N] {
        self.members().pick(keys)
    }

    /// The value behind a chain of keys.
    pub fn find_path(&self, path: &[&str]) -> Option<Raw> {
        path.iter().try_fold(self.clone(), |value, key| value.find(key))
    }

    /// The decoded string of a member.
    pub fn find_string(&self, key: &str) -> Option<String> {
        self.find(key)?.string().map(Cow::into_owned)
    }

    /// A typed view.
    ///
    /// # Errors
    /// When the value does not have the type's shape.
    pub fn to<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    fn slice(&self, from: usize, to: usize) -> Raw {
        Raw(self.0.slice(from..to))
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Iterator over an object's members.
pub struct Members<'a> {
    owner: &'a Raw,
    source: Source<'a>,
}

/// How the members are found.
enum Source<'a> {
    /// By going through the text.
    Walk { at: usize },
    /// By what the check noted: the entries of the object, more deeply nested ones among them.
    Noted { entries: &'a [Entry], at: usize, depth: u8, base: usize },
}

/// One member of an object, by position in its owner.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    owner: &'a Raw,
    key: (usize, usize),
    value: (usize, usize),
    escaped: bool,
    /// Which of the noted entries it is.
    place: Option<usize>,
}

impl<'a> Members<'a> {
    /// The members of `owner`, which starts at `base` of the document and whose members are the entries at `depth`.
    pub(super) fn noted(owner: &'a Raw, entries: &'a [Entry], depth: u8, base: usize) -> Self {
        Self { owner, source: Source::Noted { entries, at: 0, depth, base } }
    }

    /// The next member with this key.
    pub(super) fn named(&mut self, key: &str) -> Option<Member<'a>> {
        self.find(|member| member.key_is(key))
    }

    /// The values of several members, in one pass.
    pub(super) fn pick<const N: usize>(self, keys: [&str; N]) -> [Option<Raw>; N] {
        let mut found = [const { None }; N];
        let mut open = N;
        for member in self {
            if let Some(at) = keys.iter().position(|key| member.key_is(key)) {
                found[at] = Some(member.value());
                open -= 1;
                if open == 0 {
                    break;
                }
            }
        }
        found
    }
}

impl<'a> Member<'a> {
    /// The decoded key.
    pub fn key(&self) -> Cow<'a, str> {
        unescape(&self.owner.0[self.key.0 + 1..self.key.1 - 1])
    }

    /// The key as a JSON string; shares the owner's bytes.
    pub fn key_raw(&self) -> Raw {
        self.owner.slice(self.key.0, self.key.1)
    }

    /// The decoded key, when it has no escapes.
    pub(crate) fn plain_key(&self) -> Option<&'a [u8]> {
        (!self.escaped).then(|| &self.owner.0[self.key.0 + 1..self.key.1 - 1])
    }

    /// Whether the decoded key is `text`.
    pub fn key_is(&self, text: &str) -> bool {
        let inner = &self.owner.0[self.key.0 + 1..self.key.1 - 1];
        if self.escaped { unescape(inner) == text } else { inner == text.as_bytes() }
    }

    /// The value; shares the owner's bytes.
    pub fn value(&self) -> Raw {
        self.owner.slice(self.value.0, self.value.1)
    }

    /// The bytes of the value.
    pub fn value_bytes(&self) -> &'a [u8] {
        &self.owner.0[self.value.0..self.value.1]
    }

    /// Where the value stands in the owner.
    pub(super) fn value_span(&self) -> (usize, usize) {
        self.value
    }

    /// Which of the noted entries it is, counted from its owner's first.
    pub(super) fn place(&self) -> Option<usize> {
        self.place
    }

    /// Key, colon and value as they came.
    pub(super) fn text(&self) -> &'a [u8] {
        &self.owner.0[self.key.0..self.value.1]
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let owner = self.owner;
        match &mut self.source {
            Source::Walk { at } => {
                let text = owner.as_bytes();
                let start = next_token(text, *at)?;
                let (end, escaped) = skip_string(text, start);
                let value = next_token(text, end)?;
                *at = skip_value(text, value);
                Some(Member { owner, key: (start, end), value: (value, *at), escaped, place: None })
            }
            Source::Noted { entries, at, depth, base } => loop {
                let place = *at;
                let entry = entries.get(place).filter(|entry| entry.depth >= *depth)?;
                *at += 1;
                if entry.depth == *depth {
                    let here = |span: Span| (span.0 as usize - *base, span.1 as usize - *base);
                    return Some(Member {
                        owner,
                        key: here(entry.key),
                        value: here(entry.value),
                        escaped: entry.escaped,
                        place: Some(place),
                    });
                }
            },
        }
    }
}

/// Iterator over an array's elements.
pub struct Elements<'a> {
    owner: &'a Raw,
    at: usize,
}

impl Iterator for Elements<'_> {
    type Item = Raw;

    fn next(&mut self) -> Option<Raw> {
        let text = self.owner.as_bytes();
        let start = next_token(text, self.at)?;
        let end = skip_value(text, start);
        self.at = end;
        Some(self.owner.slice(start, end))
    }
}

/// Whether the inside of a JSON string, decoded, is `text`.
fn says(inner: &[u8], text: &str) -> bool {
    // Escapes only make a text longer.
    match inner.len().cmp(&text.len()) {
        Ordering::Less => false,
        Ordering::Equal => inner == text.as_bytes(),
        Ordering::Greater => inner.contains(&b'\\') && unescape(inner) == text,
    }
}

// What follows walks text that `scan` has checked, so it only looks for ends.

/// The next byte that starts a key or value; `None` at the closing bracket.
fn next_token(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *text.get(at)? {
            b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => at += 1,
            b'}' | b']' => return None,
            _ => return Some(at),
        }
    }
}

/// Where a string ends, and whether it has escapes.
fn skip_string(text: &[u8], start: usize) -> (usize, bool) {
    let mut at = start + 1;
    let mut escaped = false;
    loop {
        at += plain_run(&text[at..]) + 1;
        if text[at - 1] == b'"' {
            return (at, escaped);
        }
        escaped = true;
        at += 1;
    }
}

fn skip_value(text: &[u8], start: usize) -> usize {
    match text[start] {
        b'"' => skip_string(text, start).0,
        b'{' | b'[' => skip_container(text, start),
        _ => {
            let rest = &text[start..];
            let len =
                rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
            start + len.unwrap_or(rest.len())
        }
    }
}

fn skip_container(text: &[u8], start: usize) -> usize {
    let mut depth = 0usize;
    let mut at = start;
    loop {
        match text[at] {
            b'"' => {
                at = skip_string(text, at).0;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
}
