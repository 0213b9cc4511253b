//! Where an evidence log is kept: entries in a row, what they are found by, and what lies beside them.
//!
//! The shape is small so that files and databases can both have it. Whatever is in it can be altered by whoever owns the
//! disk: nothing here is trusted, and the log's hashes say whether it is as it was written. Calls block, for the one
//! thread that writes a log and for those who read it from outside. `portcullis-audit` keeps a journal in files,
//! `portcullis-store` in SQLite and PostgreSQL.

use crate::Unavailable;

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its number; the first is 0, and none is left out.
    pub seq: u64,
    /// What was recorded, as the bytes that are hashed.
    pub record: Vec<u8>,
    /// What the record holds the digest of: sealed, and removable.
    pub payload: Option<Vec<u8>>,
    /// What it is found by. Not asked for when an entry is read.
    pub marks: Marks,
    /// The hash of the record as a leaf of the log's tree, where somebody knows it already.
    pub leaf: Option<[u8; 32]>,
    /// The hash over 256 entries that this is the last of. Derived; it spares reading all of them at a start.
    pub tile: Option<[u8; 32]>,
}

/// What an entry is found by; all of it is in the record, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// When it ended, in microseconds since 1970.
    pub time: i64,
    /// What kind of event.
    pub kind: String,
    /// The pseudonym of the person.
    pub person: Option<String>,
    /// The server.
    pub server: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The decision.
    pub decision: Option<String>,
    /// Rules that found something.
    pub findings: Vec<String>,
}

/// Which entries are looked for. What is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Not before this time, in microseconds since 1970.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of the person with this pseudonym.
    pub person: Option<String>,
    /// Of this server.
    pub server: Option<String>,
    /// Of this tool.
    pub tool: Option<String>,
    /// With this decision.
    pub decision: Option<String>,
    /// In which this rule found something.
    pub finding: Option<String>,
    /// From this number on; when the newest come first, below it.
    pub from: Option<u64>,
    /// The newest first.
    pub newest_first: bool,
}

impl Search {
    /// Whether an entry with these marks is looked for. Its number does not matter here.
    #[must_use]
    pub fn matches(&self, marks: &Marks) -> bool {
        fn same(wanted: Option<&String>, found: Option<&String>) -> bool {
            wanted.is_none_or(|wanted| found == Some(wanted))
        }
        self.since.is_none_or(|since| marks.time >= since)
            && self.until.is_none_or(|until| marks.time < until)
            && same(self.kind.as_ref(), Some(&marks.kind))
            && same(self.person.as_ref(), marks.person.as_ref())
            && same(self.server.as_ref(), marks.server.as_ref())
            && same(self.tool.as_ref(), marks.tool.as_ref())
            && same(self.decision.as_ref(), marks.decision.as_ref())
            && self.finding.as_ref().is_none_or(|finding| marks.findings.contains(finding))
    }
}

/// Which entries are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The first; those before it were removed.
    pub first: u64,
    /// The one that will be written next.
    pub next: u64,
}

/// Keeps one log.
pub trait Journal: Send + Sync {
    /// Whether what entries are found by is kept beside them; where it is not, it is not made.
    fn has_marks(&self) -> bool {
        true
    }

    /// Which entries are there.
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn extent(&self) -> Result<Extent, Unavailable>;

    /// Adds entries: all or none of them, on the disk when it returns. The first has to be the next there is; if it is
    /// not, somebody else writes to this log, and nothing is added.
    ///
    /// # Errors
    /// They were not added, or nobody knows whether they were: ask for the extent again.
    fn append(&self, entries: &[Entry]) -> Result<(), Unavailable>;

    /// Entries in their order from a number on, `most` of them at most (and fewer where they are large).
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn read(&self, from: u64, most: usize) -> Result<Vec<Entry>, Unavailable>;

    /// Entries that are looked for, `most` of them at most.
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn find(&self, search: &Search, most: usize) -> Result<Vec<Entry>, Unavailable>;

    /// The hashes over 256 entries each, from the first that is there on; as many as are known.
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn tiles(&self) -> Result<Vec<[u8; 32]>, Unavailable>;

    /// Removes the entries before a number, for good.
    ///
    /// # Errors
    /// Not all of them were removed.
    fn remove_before(&self, seq: u64) -> Result<(), Unavailable>;

    /// Puts something beside the entries, in place of what has this kind and name; on the disk when it returns.
    ///
    /// # Errors
    /// It was not put there.
    fn put(&self, kind: &'static str, name: &str, value: &[u8]) -> Result<(), Unavailable>;

    /// What lies there under a name.
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn get(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable>;

    /// All of a kind whose names begin with `prefix`, in the order of their names.
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn list(&self, kind: &'static str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Unavailable>;

    /// Removes something for good.
    ///
    /// # Errors
    /// It may still be there.
    fn remove(&self, kind: &'static str, name: &str) -> Result<(), Unavailable>;
}
