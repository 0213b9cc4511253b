//! What an event is called.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Canonical, since_epoch};
use crate::{read_hex, write_hex};

/// A UUID of version 7 (RFC 9562, section 5.7); the nil UUID where an event has none yet. It is written in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct EventId([u8; 16]);

/// Bytes that no event is called by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no UUID in lower case: {0:?}")]
pub struct InvalidId(String);

/// Where digits begin and end, and where they stand in the text.
const GROUPS: [(usize, usize, usize); 5] = [(0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)];

impl EventId {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// A new one of something that happened then.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        let mut bytes = [0; 16];
        random(&mut bytes[6..]);
        let millis = u64::try_from(since_epoch(time).as_millis()).unwrap_or(0);
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        bytes[6] = 0x70 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Self(bytes)
    }

    fn text(self) -> [u8; 36] {
        let (mut digits, mut text) = ([0; 32], [b'-'; 36]);
        write_hex(&self.0, &mut digits);
        for (from, to, at) in GROUPS {
            text[at..at + to - from].copy_from_slice(&digits[from..to]);
        }
        text
    }
}

impl Canonical for EventId {
    fn write(&self, into: &mut Vec<u8>) {
        into.push(b'"');
        into.extend_from_slice(&self.text());
        into.push(b'"');
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.to_string()
    }
}

impl FromStr for EventId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidId(text.to_owned());
        let mut digits = [0; 32];
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(invalid());
        }
        for (from, to, at) in GROUPS {
            digits[from..to].copy_from_slice(&bytes[at..at + to - from]);
        }
        let mut id = Self::default();
        read_hex(&digits, &mut id.0).ok_or_else(invalid)?;
        if id.text() == bytes { Ok(id) } else { Err(invalid()) }
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::deserialize_text(deserializer)
    }
}

/// Fills a few bytes from a supply of random ones: asking the system's generator costs more than the rest of an id.
fn random(bytes: &mut [u8]) {
    const SUPPLY: usize = 1024;
    thread_local! {
        static LEFT: RefCell<([u8; SUPPLY], usize)> = const { RefCell::new(([0; SUPPLY], 0)) };
    }
    LEFT.with_borrow_mut(|(supply, left)| {
        if *left < bytes.len() {
            // Without randomness from the system nothing else here works either; the time alone still orders.
            let _ = aws_lc_rs::rand::fill(supply);
            *left = SUPPLY;
        }
        *left -= bytes.len();
        bytes.copy_from_slice(&supply[*left..*left + bytes.len()]);
    });
}
