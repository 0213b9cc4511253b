//! Evidence logs in a database ([`portcullis_model::Journal`]): where many events are searched, or a disk of one's own is not
//! at hand.
//!
//! A record is kept as the bytes that are hashed, and beside it, in columns with indexes, what it is found by. Those columns
//! are derived and nobody trusts them: they are given back with the record, and the verifier makes them again and compares.
//! [`SqliteJournal`] is a file with one log; [`PostgresJournal`] one of the logs that several gateways keep in one database.
//!
//! Deliberately absent: hashes, signatures and the meaning of a record. A database is storage here, as a folder is.

mod postgres;
mod query;
mod sqlite;

pub use postgres::PostgresJournal;
pub use sqlite::SqliteJournal;

use portcullis_model::{Marks, Unavailable};

/// What reading gives at once, in bytes.
const READ: usize = 8 << 20;
/// Entries that are removed in one turn, so that what is added has its turn in between.
const REMOVE: i64 = 5000;
/// Around and between the rules that found something: no byte of a text.
const BETWEEN: u8 = 0xff;

/// A number as databases have them.
fn number(seq: u64) -> Result<i64, Unavailable> {
    i64::try_from(seq).map_err(|_| Unavailable(format!("there is no event {seq}")))
}

/// A number as it was kept. What is none was put there by somebody else, and the verifier tells of it.
fn seq(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn refuse_reader<T>(writable: Option<T>) -> Result<T, Unavailable> {
    writable.ok_or_else(|| Unavailable("the evidence log was opened for reading".to_owned()))
}

fn cannot_follow(first: u64, next: u64) -> Unavailable {
    Unavailable(format!("event {first} cannot follow {next} events: somebody else writes to this log"))
}

/// The hashes over 256 entries each, each with the number of its last, up to where one is missing.
fn without_holes(first: u64, found: Vec<(i64, Vec<u8>)>) -> Vec<[u8; 32]> {
    let expected = (1..).map(|tiles| first + 256 * tiles - 1);
    let whole = expected
        .zip(found)
        .map_while(|(expected, (at, tile))| (seq(at) == expected).then(|| tile.try_into().ok()).flatten());
    whole.collect()
}

/// The rules that found something, as one value; nothing where none did.
fn join(findings: &[String]) -> Option<Vec<u8>> {
    let mut joined = vec![BETWEEN];
    for rule in findings {
        joined.extend_from_slice(rule.as_bytes());
        joined.push(BETWEEN);
    }
    (!findings.is_empty()).then_some(joined)
}

/// What an entry is found by, as it was kept.
struct Columns<'a> {
    ended: i64,
    kind: &'a [u8],
    person: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    tool: Option<&'a [u8]>,
    verdict: Option<&'a [u8]>,
    findings: Option<&'a [u8]>,
}

impl Columns<'_> {
    fn marks(&self) -> Marks {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let maybe = |bytes: Option<&[u8]>| bytes.map(text);
        let findings = self.findings.map(|joined| {
            let inner = joined.strip_prefix(&[BETWEEN]).and_then(|rest| rest.strip_suffix(&[BETWEEN]));
            inner.unwrap_or(joined).split(|byte| *byte == BETWEEN).map(text).collect()
        });
        Marks {
            time: self.ended,
            kind: text(self.kind),
            person: maybe(self.person),
            server: maybe(self.server),
            tool: maybe(self.tool),
            decision: maybe(self.verdict),
            findings: findings.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_apart_again() {
        assert_eq!(join(&[]), None);
        for findings in [vec!["IBAN"], vec!["IBAN", "e,mail", ""], vec![""]] {
            let findings: Vec<String> = findings.into_iter().map(str::to_owned).collect();
            let joined = join(&findings);
            let columns = Columns {
                ended: 0,
                kind: b"",
                person: None,
                server: None,
                tool: None,
                verdict: None,
                findings: joined.as_deref(),
            };
            assert_eq!(columns.marks().findings, findings);
        }
    }
}
