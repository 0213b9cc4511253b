//! The evidence log: a record that even whoever runs the gateway cannot quietly change.
//!
//! What happens becomes an [`Event`]; a [`Log`] writes it, by one thread that waits for the disk once for many of them, as a
//! leaf of a Merkle tree (RFC 9162) and signs the tree's head from time to time ([`Checkpoint`], C2SP tlog-checkpoint).
//! Signatures of the writer prove little, since the writer can sign again; so heads go to those who are not the writer: to
//! witnesses that sign only what continues what they saw ([`witness`]), and to a folder that nobody can write twice ([`worm`]).
//! [`mod@verify`] demands from a log, or from a slice that was packed for somebody ([`bundle`]), what it is told to demand, and
//! names the event with which something is wrong.
//!
//! Where a log is kept is a [`portcullis_model::Journal`]: files here ([`Segments`]), databases in `portcullis-store`.
//!
//! Deliberately absent: HTTP (the gateway carries requests to witnesses and authorities), settings (they are handed in), and
//! any trust in what a journal says.

pub mod bundle;
mod checkpoint;
mod content;
mod event;
pub mod export;
pub mod handover;
mod keys;
mod log;
pub mod merkle;
mod note;
pub mod pack;
pub mod payloads;
mod record;
pub mod retention;
mod segments;
mod time;
pub mod timestamp;
pub mod verify;
pub mod witness;
pub mod worm;

pub use checkpoint::Checkpoint;
pub use content::{Content, Digest, Keyring};
pub use event::{
    Data, Decision, Event, EventId, Finding, Guard, Human, Kind, Node, Outcome, Phase, Request, Server,
    System, Time, Tool, Trace, VERSION, Who, Word,
};
pub use log::{Health, Log, Mode, OpenError, Receipt, Recording, Refused, Settings};
pub use note::{InvalidKey, InvalidNote, Signer, VerifierKey};
pub use record::Record;
pub use segments::Segments;
pub use time::parse_time;

/// Bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    labelled("", bytes)
}

/// The same after a few words that say what they are.
fn labelled(label: &str, bytes: &[u8]) -> String {
    let mut text = vec![0; label.len() + bytes.len() * 2];
    let (start, digits) = text.split_at_mut(label.len());
    start.copy_from_slice(label.as_bytes());
    write_hex(bytes, digits);
    String::from_utf8(text).expect("the label is UTF-8, and digits are ASCII")
}

/// Writes two digits for each of the bytes.
fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    // Computed and not looked up, so that several are made at once.
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
}

/// What is written as a text, read from it where it lies: a verifier reads millions.
fn deserialize_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    D: serde::Deserializer<'de>,
{
    struct Text<T>(std::marker::PhantomData<T>);
    impl<T: std::str::FromStr<Err: std::fmt::Display>> serde::de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text(std::marker::PhantomData))
}

/// Reads two digits for each of the bytes, in lower case; `None` where they are none.
fn read_hex(digits: &[u8], bytes: &mut [u8]) -> Option<()> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    for (pair, byte) in digits.as_chunks().0.iter().zip(bytes) {
        let [high, low] = pair;
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(())
}
