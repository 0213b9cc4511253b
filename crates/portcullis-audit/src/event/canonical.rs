//! An event as JSON in the canonical form, written straight into bytes.
//!
//! `serde` would write the same (the tests hold the two against each other) in three times as long, and writing events is a
//! good part of what evidence costs a call.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// What can stand in an event.
pub(crate) trait Canonical {
    /// Whether a group leaves it out: it is what it is where nothing is known.
    fn is_absent(&self) -> bool {
        false
    }

    fn write(&self, into: &mut Vec<u8>);
}

/// The name of a member as it is written before a value, with the comma after the member before it. Put together when this is
/// compiled: an event has some fifty.
macro_rules! name {
    ($name:expr) => {
        concat!(",\"", $name, "\":")
    };
}
pub(crate) use name;

/// Writes the members of an object. Their names are in order, and made by [`name!`].
pub(crate) struct Members<'a> {
    into: &'a mut Vec<u8>,
    /// Where the object begins.
    from: usize,
}

impl<'a> Members<'a> {
    pub(crate) fn begin(into: &'a mut Vec<u8>) -> Self {
        let from = into.len();
        Self { into, from }
    }

    /// A member that is there in any case. Inlined, so that how long its name is, is known where it is copied.
    #[inline]
    pub(crate) fn always(&mut self, name: &'static str, value: &(impl Canonical + ?Sized)) {
        self.into.extend_from_slice(name.as_bytes());
        value.write(self.into);
    }

    /// One that is left out where nothing is known.
    #[inline]
    pub(crate) fn known(&mut self, name: &'static str, value: &(impl Canonical + ?Sized)) {
        if !value.is_absent() {
            self.always(name, value);
        }
    }

    pub(crate) fn end(self) {
        // The first name came with a comma, in whose place the brace goes.
        match self.into.get_mut(self.from) {
            Some(comma) => *comma = b'{',
            None => self.into.push(b'{'),
        }
        self.into.push(b'}');
    }
}

impl Canonical for str {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.reserve(self.len() + 2);
        into.push(b'"');
        if is_plain(self.as_bytes()) {
            into.extend_from_slice(self.as_bytes());
        } else {
            self.bytes().for_each(|byte| escape(byte, into));
        }
        into.push(b'"');
    }
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Whether all of these bytes are written as they are, as nearly all are.
///
/// Looked at in blocks of a known length, of which the last overlaps the one before it: most words are shorter than what a
/// compiler takes together by itself, and byte by byte this was a sixth of what evidence costs a call.
fn is_plain(bytes: &[u8]) -> bool {
    fn block<const N: usize>(block: &[u8; N]) -> bool {
        block.iter().fold(true, |plain, byte| plain & !is_escaped(*byte))
    }
    fn ends<const N: usize>(bytes: &[u8]) -> Option<bool> {
        Some(block::<N>(bytes.first_chunk()?) & block::<N>(bytes.last_chunk()?))
    }
    let (blocks, _) = bytes.as_chunks::<16>();
    match bytes.last_chunk::<16>() {
        Some(last) => blocks.iter().fold(block(last), |plain, next| plain & block(next)),
        None => ends::<8>(bytes)
            .or_else(|| ends::<4>(bytes))
            .unwrap_or_else(|| !bytes.iter().any(|byte| is_escaped(*byte))),
    }
}

fn escape(byte: u8, into: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        0..b' ' => {
            into.extend_from_slice(b"\\u00");
            return into.extend_from_slice(crate::hex(&[byte]).as_bytes());
        }
        plain => return into.push(plain),
    };
    into.extend_from_slice(&[b'\\', short]);
}

/// What the words of an event can be.
pub trait Word: AsRef<str> {}

impl Word for String {}

impl Word for Cow<'_, str> {}

impl<S: Word> Canonical for S {
    fn is_absent(&self) -> bool {
        self.as_ref().is_empty()
    }

    fn write(&self, into: &mut Vec<u8>) {
        self.as_ref().write(into);
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn write(&self, into: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(into),
            None => into.extend_from_slice(b"null"),
        }
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.push(b'[');
        for (place, item) in self.iter().enumerate() {
            if place > 0 {
                into.push(b',');
            }
            item.write(into);
        }
        into.push(b']');
    }
}

impl Canonical for BTreeMap<String, String> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.push(b'{');
        for (place, (name, value)) in self.iter().enumerate() {
            if place > 0 {
                into.push(b',');
            }
            name.write(into);
            into.push(b':');
            value.write(into);
        }
        into.push(b'}');
    }
}

impl Canonical for bool {
    fn is_absent(&self) -> bool {
        !self
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Canonical for $number {
            fn is_absent(&self) -> bool {
                *self == 0
            }

            fn write(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )*};
}

numbers!(u16, u32, u64, i64);

/// Where something lies: from where on, and how much of it.
impl Canonical for (u64, u64) {
    fn write(&self, into: &mut Vec<u8>) {
        into.push(b'[');
        self.0.write(into);
        into.push(b',');
        self.1.write(into);
        into.push(b']');
    }
}
