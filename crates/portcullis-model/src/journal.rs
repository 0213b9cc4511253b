//! Where an evidence log is kept: entries in a row, what they are found by, and what lies beside them.
//!
//! The shape is small so that files and databases can both have it. Whatever is in it can be altered by whoever owns the
//! disk: nothing here is trusted, and the log's hashes say whether it is as it was written. Calls block, for the one
//! thread that writes a log and for those who read it from outside. `portcullis-audit` keeps a journal in files,
//! `portcullis-store` in SQLite and PostgreSQL.

use std::borrow::Cow;

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
    /// What it is found by. Not asked for when an entry is read, but where it is kept beside the record.
    pub marks: Marks,
}

/// Entries that are to be added: their numbers follow one another, and so do their records' bytes.
///
/// Before each record there is room for what a journal puts there, so that one in files writes all of them as they lie here.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    first: u64,
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// How many bytes of payloads there are.
    payloads: usize,
    /// Whether no answer waits until they are on the disk. If so, a journal lets others go first.
    pub unhurried: bool,
}

/// Where the record of an entry begins and ends, and what else is known of it.
#[derive(Clone, Debug)]
struct Place {
    record: (usize, usize),
    hashes: Hashes,
    payload: Option<Vec<u8>>,
    marks: Option<Box<Marks>>,
}

/// The hashes of an entry that is to be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// Its record's own, as a leaf of the log's tree.
    pub leaf: [u8; 32],
    /// The hash over 256 entries that it is the last of. Derived; it spares reading all of them at a start.
    pub tile: Option<[u8; 32]>,
}

/// An entry of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Added<'a> {
    /// Its number.
    pub seq: u64,
    /// What was recorded.
    pub record: &'a [u8],
    /// What the record holds the digest of.
    pub payload: Option<&'a [u8]>,
    /// Its hashes.
    pub hashes: &'a Hashes,
    marks: Option<&'a Marks>,
}

impl Added<'_> {
    /// What it is found by; nothing where the journal has no marks.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.marks.map(Marks::bounded).unwrap_or_default()
    }
}

impl Batch {
    /// The bytes before each record that are the journal's.
    pub const ROOM: usize = 16;

    /// None yet; the next is to have this number. What there was is gone, its memory is used again.
    pub fn begin(&mut self, first: u64) {
        self.first = first;
        self.bytes.clear();
        self.places.clear();
        self.payloads = 0;
    }

    /// Adds an entry. `write` is given the bytes of all, which end with the room before its record, puts the record there, and
    /// says what its hashes are.
    pub fn push(
        &mut self,
        payload: Option<Vec<u8>>,
        marks: Option<Box<Marks>>,
        write: impl FnOnce(&mut Vec<u8>) -> Hashes,
    ) {
        self.bytes.extend_from_slice(&[0; Self::ROOM]);
        let start = self.bytes.len();
        let hashes = write(&mut self.bytes);
        let record = (start, self.bytes.len());
        self.payloads += payload.as_ref().map_or(0, Vec::len);
        self.places.push(Place { record, hashes, payload, marks });
    }

    /// A copy of these, whose numbers follow one another.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>, hashes: impl Fn(&Entry) -> Hashes) -> Self {
        let mut batch = Self::default();
        for entry in entries {
            if batch.is_empty() {
                batch.begin(entry.seq);
            }
            batch.push(entry.payload.clone(), Some(Box::new(entry.marks.clone())), |bytes| {
                bytes.extend_from_slice(&entry.record);
                hashes(entry)
            });
        }
        batch
    }

    /// The number of the first.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number after the last.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many bytes there are, those of the payloads and the rooms with them.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.payloads
    }

    /// All bytes: before each record its room, after it its payload. As they lie where there is none.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        if self.payloads == 0 {
            return Cow::Borrowed(&self.bytes);
        }
        let (mut all, mut from) = (Vec::with_capacity(self.size()), 0);
        for Place { record: (_, end), payload, .. } in &self.places {
            all.extend_from_slice(&self.bytes[from..*end]);
            all.extend_from_slice(payload.as_deref().unwrap_or_default());
            from = *end;
        }
        Cow::Owned(all)
    }

    /// The entries, in their order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Added<'_>> + ExactSizeIterator {
        self.places.iter().enumerate().map(|(at, place)| self.added(at, place))
    }

    fn added<'a>(&'a self, at: usize, place: &'a Place) -> Added<'a> {
        Added {
            seq: self.first + at as u64,
            record: &self.bytes[place.record.0..place.record.1],
            payload: place.payload.as_deref(),
            hashes: &place.hashes,
            marks: place.marks.as_deref(),
        }
    }

    /// Fills the room before each record.
    pub fn fill(&mut self, room: impl Fn(&Added<'_>) -> [u8; Self::ROOM]) {
        for at in 0..self.places.len() {
            let place = &self.places[at];
            let filled = room(&self.added(at, place));
            let start = place.record.0;
            self.bytes[start - Self::ROOM..start].copy_from_slice(&filled);
        }
    }

    /// Gives memory back of which there is more than for so many bytes and entries.
    pub fn shrink(&mut self, bytes: usize, entries: usize) {
        self.bytes.shrink_to(bytes);
        self.places.shrink_to(entries);
    }
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

/// The bytes of a text that count where something is found by it: an index has no place for more.
const LONGEST: usize = 255;

impl Marks {
    /// As databases keep them: texts that callers chose can be longer than an index takes, and are cut.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let cut = |text: &String| bounded(text).to_owned();
        let maybe = |text: &Option<String>| text.as_ref().map(cut);
        Self {
            time: self.time,
            kind: cut(&self.kind),
            person: maybe(&self.person),
            server: maybe(&self.server),
            tool: maybe(&self.tool),
            decision: maybe(&self.decision),
            findings: self.findings.iter().map(cut).collect(),
        }
    }
}

/// The beginning of a text, as it is kept for being found.
#[must_use]
pub fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
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
    /// not, somebody else writes to this log, and nothing is added. Of the batch only the room is changed.
    ///
    /// # Errors
    /// They were not added, or nobody knows whether they were: ask for the extent again.
    fn append(&self, batch: &mut Batch) -> Result<(), Unavailable>;

    /// Entries in their order from a number on, `most` of them at most (and fewer where they are large).
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn read(&self, from: u64, most: usize) -> Result<Vec<Entry>, Unavailable>;

    /// Entries that are looked for, `most` of them at most, without their payloads. Where texts are [`bounded`], those that
    /// begin alike are not told apart.
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn find(&self, search: &Search, most: usize) -> Result<Vec<Entry>, Unavailable>;

    /// The hashes over 256 entries each, from the first that is there on; as many as are known.
    ///
    /// # Errors
    /// The journal cannot be asked.
    fn tiles(&self) -> Result<Vec<[u8; 32]>, Unavailable>;

    /// Removes the entries before a number, for good. That may take long; what is added meanwhile does not wait for it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_for_an_index_is_cut_between_letters() {
        assert_eq!(bounded("files"), "files");
        let long = format!("a{}", "é".repeat(200));
        assert_eq!(bounded(&long).len(), 255);
        assert_eq!(bounded(&long[1..]).len(), 254);
        let marks = Marks { tool: Some(long.clone()), findings: vec![long.clone()], ..Marks::default() };
        assert_eq!(marks.bounded().tool.as_deref(), Some(bounded(&long)));
        assert_eq!(marks.bounded().bounded(), marks.bounded());
    }
}
