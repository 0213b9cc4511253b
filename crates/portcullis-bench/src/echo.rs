//! What a bench call says and what its answer must say back.
//!
//! Both ends of the bench share this file: the load generator makes arguments from a serial number, the
//! upstream turns arguments into a text of as many bytes as they ask for, and the generator compares the whole
//! text. A gateway that mixes up two answers, cuts one short or alters an argument therefore cannot pass.
//!
//! The digest covers the meaning of the arguments, not their bytes, so that a proxy which re-serialises JSON
//! is slow but not wrong. It is no cryptographic digest: nobody here is an adversary.
//!
//! A tool that asks is told a word that belongs to the call, and its answer is that of the arguments and the word
//! together: what was asked or answered in another call shows in the text.

use std::fmt::Write as _;

use serde::Deserialize;

/// Length of the answer's text block, in bytes, where no other is asked for: the "1 KB answer" of the performance targets.
pub(crate) const TEXT_BYTES: usize = 1024;

/// Plain ASCII without a character that JSON escapes, so that one text byte is one wire byte.
const FILL: &str = "All that is sent comes back, and what comes back belongs to the call that asked for it. ";

/// The arguments of every bench tool.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Unique within one load run; also used as the JSON-RPC id.
    pub(crate) serial: u64,
    /// Text derived from the serial, so that no two calls look alike to a cache or a compressor.
    pub(crate) note: String,
    /// Length of the answer's text.
    #[serde(default = "usual")]
    pub(crate) bytes: usize,
}

fn usual() -> usize {
    TEXT_BYTES
}

impl Arguments {
    /// The arguments of call number `serial`.
    pub(crate) fn numbered(serial: u64) -> Self {
        let mut arguments = Self { serial: 0, note: String::with_capacity(16), bytes: TEXT_BYTES };
        arguments.renumber(serial);
        arguments
    }

    /// Turns these into the arguments of call number `serial` without a new allocation.
    pub(crate) fn renumber(&mut self, serial: u64) {
        self.serial = serial;
        self.note.clear();
        write!(self.note, "{:016x}", scramble(serial)).expect("writing to a String cannot fail");
    }

    /// The same, which ask for an answer of another length.
    pub(crate) fn asking_for(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// Writes the answer's text over `text`: exactly so many bytes of ASCII.
    pub(crate) fn answer_into(&self, text: &mut String) {
        text.clear();
        write!(text, "serial={} digest={:016x} ", self.serial, self.digest())
            .expect("writing to a String cannot fail");
        while text.len() < self.bytes {
            let wanted = (self.bytes - text.len()).min(FILL.len());
            text.push_str(&FILL[..wanted]);
        }
    }

    /// What a tool asks in the middle of the call with these arguments.
    pub(crate) fn question(&self) -> String {
        format!("What is the word of call {}?", self.serial)
    }

    /// What the client says when it is asked that.
    pub(crate) fn word(&self) -> String {
        format!("{:016x}", scramble(!self.serial))
    }

    /// The arguments whose answer a tool gives that was told `word`.
    pub(crate) fn with_word(&self, word: &str) -> Self {
        Self { serial: self.serial, note: format!("{}{word}", self.note), bytes: self.bytes }
    }

    /// FNV-1a over the serial (little endian) and the note.
    fn digest(&self) -> u64 {
        let bytes = self.serial.to_le_bytes();
        bytes.iter().chain(self.note.as_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// The finaliser of SplitMix64: neighbouring serials give unlike notes.
fn scramble(serial: u64) -> u64 {
    let mut z = serial.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
