//! The bytes of one event in the log: its place in the chain, then the event.
//!
//! `chain` comes first in the canonical order of members, so where an event is numbered it is put in front of what was written
//! before, and nothing is written as JSON twice. `prev` is the leaf hash of the event before: the tree
//! proves as much, but a chain can be followed with nothing but `sha256sum`.

use serde::{Deserialize, Serialize};

use portcullis_model::Marks;

use crate::event::{Event, Word};
use crate::merkle::{self, Hash};
use crate::write_hex;

/// The place of an event in its log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The log: its origin.
    pub log: String,
    /// The leaf hash of the event before, in hexadecimal digits; empty for the first.
    pub prev: String,
    /// Its number.
    pub seq: u64,
}

/// An event as it is in a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place.
    pub chain: Chain,
    /// What happened.
    pub event: Event,
}

/// Bytes that are no record.
#[derive(Debug, thiserror::Error)]
#[error("not a record: {0}")]
pub struct InvalidRecord(String);

/// Puts a record together at the end of `into`, whose last byte is 0 (which stands before a record where its leaf hash is made),
/// and makes that hash. `log` is written as JSON already.
pub(crate) fn write(log: &str, seq: u64, prev: Option<&Hash>, body: &[u8], into: &mut Vec<u8>) -> Hash {
    debug_assert_eq!(into.last(), Some(&0), "the byte before a leaf");
    let from = into.len() - 1;
    into.extend_from_slice(b"{\"chain\":{\"log\":");
    into.extend_from_slice(log.as_bytes());
    into.extend_from_slice(b",\"prev\":\"");
    if let Some(prev) = prev {
        let mut digits = [0; 64];
        write_hex(prev, &mut digits);
        into.extend_from_slice(&digits);
    }
    into.extend_from_slice(b"\",\"seq\":");
    into.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
    into.extend_from_slice(b"},");
    // The body's own brace is left out.
    into.extend_from_slice(&body[1..]);
    merkle::hash(&into[from..])
}

/// The bytes of a record, for tests.
#[cfg(test)]
pub(crate) fn of(log: &str, seq: u64, prev: Option<&Hash>, event: &Event) -> Vec<u8> {
    let mut record = vec![0];
    let leaf = write(log, seq, prev, &event.to_canonical(), &mut record);
    record.remove(0);
    assert_eq!(leaf, Record::leaf(&record));
    record
}

/// What an event is found by.
pub(crate) fn marks<S: Word>(event: &Event<S>) -> Marks {
    let text = |word: &S| word.as_ref().to_owned();
    let maybe = |word: &Option<S>| word.as_ref().map(text);
    Marks {
        time: event.time.end_us,
        kind: event.kind.as_str().to_owned(),
        person: maybe(&event.who.person),
        server: maybe(&event.server.id),
        tool: maybe(&event.tool.name),
        decision: maybe(&event.decision.verdict),
        findings: event.guard.findings.iter().map(|finding| text(&finding.rule)).collect(),
    }
}

/// What a record is found by: the parts of it that [`marks`] takes, and nothing else is read.
pub(crate) fn marks_of(bytes: &[u8]) -> Result<Marks, InvalidRecord> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Found {
        kind: crate::event::Kind,
        time: crate::event::Time,
        who: Person,
        server: Id,
        tool: Name,
        decision: Verdict,
        guard: crate::event::Guard,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Person {
        person: Option<String>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Id {
        id: Option<String>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Name {
        name: Option<String>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Verdict {
        verdict: Option<String>,
    }
    let found: Found = serde_json::from_slice(bytes).map_err(|error| InvalidRecord(error.to_string()))?;
    Ok(Marks {
        time: found.time.end_us,
        kind: found.kind.as_str().to_owned(),
        person: found.who.person,
        server: found.server.id,
        tool: found.tool.name,
        decision: found.decision.verdict,
        findings: found.guard.findings.into_iter().map(|finding| finding.rule).collect(),
    })
}

/// The place of a record and nothing else: much faster than all of it.
#[derive(Deserialize)]
struct Placed {
    chain: Chain,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let failed = |error: serde_json::Error| InvalidRecord(error.to_string());
        let Placed { chain } = serde_json::from_slice(bytes).map_err(failed)?;
        let event = serde_json::from_slice(bytes).map_err(failed)?;
        Ok(Self { chain, event })
    }

    /// The leaf hash of the bytes of a record.
    #[must_use]
    pub fn leaf(bytes: &[u8]) -> Hash {
        merkle::leaf(bytes)
    }
}
