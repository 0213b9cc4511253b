//! Objects, member by member.

use super::write_string;

/// Writes an object to the end of some bytes. Keys are escaped; values are JSON already, or written by the caller.
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Writer<'o> {
    /// An object that has no members yet.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    /// Writes a key; the value is to be written next, to what this gives.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        write_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// A member whose value is JSON.
    pub fn put(&mut self, key: &str, value: &[u8]) {
        self.key(key).extend_from_slice(value);
    }

    /// A member whose value is a string.
    pub fn text(&mut self, key: &str, value: &str) {
        write_string(self.key(key), value);
    }

    /// No more members.
    pub fn end(self) {
        self.out.push(b'}');
    }
}
