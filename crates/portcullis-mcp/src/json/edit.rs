//! Changing members of an object without touching the others.

use bytes::Bytes;

use super::{Kind, Member, Members, Object, Raw};

/// What becomes of one member.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// The member has this JSON text, in its old place or at the end when it is new.
    Set(&'a [u8]),
    /// The member is gone.
    Remove,
}

impl Raw {
    /// This object with some members changed. Members that `changes` does not name keep their bytes and their order;
    /// white space between members may go. Values given to [`Change::Set`] must be JSON.
    ///
    /// On a value that is no object, nothing changes.
    #[must_use]
    pub fn with(&self, changes: &[(&str, Change<'_>)]) -> Raw {
        changed(self, self.members(), changes)
    }

    /// This object with the value of one member made from the old one, which is `None` when there is no such member: all
    /// bytes around it stay. On a value that is no object, nothing changes.
    #[must_use]
    pub fn map_member(&self, key: &str, map: impl FnOnce(Option<Raw>) -> Raw) -> Raw {
        mapped(self, self.members(), key, |member| map(member.map(Member::value)))
    }

    /// This array with every element mapped; elements mapped to `None` go. On a value that is no array, nothing
    /// changes.
    #[must_use]
    pub fn map_elements(&self, mut map: impl FnMut(Raw) -> Option<Raw>) -> Raw {
        if self.kind() != Kind::Array {
            return self.clone();
        }
        let mut out = Vec::with_capacity(self.0.len() + 16);
        out.push(b'[');
        for element in self.elements() {
            if let Some(element) = map(element) {
                if out.len() > 1 {
                    out.push(b',');
                }
                out.extend_from_slice(element.as_bytes());
            }
        }
        out.push(b']');
        Raw(Bytes::from(out))
    }
}

impl Object {
    /// As [`Raw::with`].
    #[must_use]
    pub fn with(&self, changes: &[(&str, Change<'_>)]) -> Raw {
        changed(self.raw(), self.members(), changes)
    }

    /// As [`Raw::map_member`].
    #[must_use]
    pub fn map_member(&self, key: &str, map: impl FnOnce(Option<Object>) -> Raw) -> Raw {
        mapped(self.raw(), self.members(), key, |member| map(member.map(|member| self.inside(member))))
    }
}

fn changed(owner: &Raw, members: Members<'_>, changes: &[(&str, Change<'_>)]) -> Raw {
    if owner.kind() != Kind::Object {
        return owner.clone();
    }
    let size = |(key, change): &(&str, Change<'_>)| match change {
        Change::Set(value) => key.len() + value.len() + 8,
        Change::Remove => 0,
    };
    let extra: usize = changes.iter().map(size).sum();
    let mut out = Vec::with_capacity(owner.0.len() + extra);
    out.push(b'{');
    // Up to 64 changes at once; there are never more than a handful.
    let mut met = 0u64;
    for member in members {
        match changes.iter().position(|(key, _)| member.key_is(key)) {
            None => {
                comma(&mut out);
                out.extend_from_slice(member.text());
            }
            Some(index) => {
                met |= 1 << index;
                if let (key, Change::Set(value)) = changes[index] {
                    set(&mut out, key, value);
                }
            }
        }
    }
    for (index, (key, change)) in changes.iter().enumerate() {
        if let Change::Set(value) = change
            && met & 1 << index == 0
        {
            set(&mut out, key, value);
        }
    }
    out.push(b'}');
    Raw(Bytes::from(out))
}

fn mapped(owner: &Raw, members: Members<'_>, key: &str, map: impl FnOnce(Option<&Member<'_>>) -> Raw) -> Raw {
    if owner.kind() != Kind::Object {
        return owner.clone();
    }
    let mut found = None;
    // Where the last member ends; 1 in an empty object.
    let mut last = 1;
    for member in members {
        if member.key_is(key) {
            found = Some(member);
            break;
        }
        last = member.value_span().1;
    }
    let value = map(found.as_ref());
    let value = value.as_bytes();
    let text = owner.as_bytes();
    let mut out = Vec::with_capacity(text.len() + value.len() + key.len() + 4);
    if let Some(member) = found {
        let (start, end) = member.value_span();
        out.extend_from_slice(&text[..start]);
        out.extend_from_slice(value);
        out.extend_from_slice(&text[end..]);
    } else {
        out.extend_from_slice(&text[..last]);
        if last > 1 {
            out.push(b',');
        }
        write_string(&mut out, key);
        out.push(b':');
        out.extend_from_slice(value);
        out.extend_from_slice(&text[last..]);
    }
    Raw(Bytes::from(out))
}

fn comma(out: &mut Vec<u8>) {
    if out.len() > 1 {
        out.push(b',');
    }
}

fn set(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    comma(out);
    write_string(out, key);
    out.push(b':');
    out.extend_from_slice(value);
}

/// Appends `text` as a JSON string, escaping what RFC 8259 section 7 demands and nothing else.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    // Without a branch, so that it is done many bytes at a time.
    let special = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    let escapes = bytes.iter().fold(0, |found, byte| found | special(*byte)) != 0;
    if !escapes {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => *byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        if short == 0 {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}
