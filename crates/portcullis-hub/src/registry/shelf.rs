//! Where versions are kept, and how they are looked through.

use std::sync::Arc;

use portcullis_model::{Expected, Put, Records, Unavailable};

use super::entry::Entry;
use super::version::compare;

/// The kind of the records.
pub const REGISTRY: &str = "registry";
/// The kind of the one record that changes with every change: whoever watches looks at that.
const EPOCH: &str = "registry-epoch";
const PAGE: usize = 500;

/// The versions of a store.
#[derive(Clone)]
pub struct Registry {
    records: Arc<dyn Records>,
}

/// A version as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Shelved {
    /// The version.
    pub entry: Entry,
    /// Grows with every change of what is kept.
    revision: u64,
}

impl Registry {
    /// Those of `records`.
    pub fn new(records: Arc<dyn Records>) -> Self {
        Self { records }
    }

    /// All of them, by name and then as they were added.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn all(&self) -> Result<Vec<Shelved>, Unavailable> {
        self.under("").await
    }

    /// Those of one name, the newest first.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn versions(&self, name: &str) -> Result<Vec<Shelved>, Unavailable> {
        let mut found = self.under(&key(name, "")).await?;
        found.sort_by(|one, other| {
            let place = |it: &Shelved| (it.entry.version().to_owned(), it.entry.published());
            let (one, other) = (place(one), place(other));
            compare((&other.0, other.1), (&one.0, one.1))
        });
        Ok(found)
    }

    async fn under(&self, prefix: &str) -> Result<Vec<Shelved>, Unavailable> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.records.list(REGISTRY, prefix, &after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            after.clone_from(last);
            for (key, record) in page {
                match serde_json::from_slice(&record.value) {
                    Ok(entry) => found.push(Shelved { entry, revision: record.version }),
                    // Of a later program, or damaged: the others are as good as before.
                    Err(error) => tracing::warn!(key, %error, "a version in the registry cannot be read"),
                }
            }
        }
    }

    /// One version.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn get(&self, name: &str, version: &str) -> Result<Option<Shelved>, Unavailable> {
        let Some(record) = self.records.get(REGISTRY, &key(name, version)).await? else { return Ok(None) };
        let entry = serde_json::from_slice(&record.value)
            .map_err(|error| Unavailable(format!("version {version} of {name} cannot be read: {error}")))?;
        Ok(Some(Shelved { entry, revision: record.version }))
    }

    /// Adds a version; `false` if it is there already, for what was published never changes.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn add(&self, entry: &Entry) -> Result<bool, Unavailable> {
        self.put(entry, Expected::Absent).await
    }

    /// Puts a changed version back; `false` if somebody else changed it meanwhile.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn change(&self, shelved: &Shelved) -> Result<bool, Unavailable> {
        self.put(&shelved.entry, Expected::Version(shelved.revision)).await
    }

    async fn put(&self, entry: &Entry, expected: Expected) -> Result<bool, Unavailable> {
        let value = serde_json::to_vec(entry).map_err(|error| Unavailable(error.to_string()))?;
        let key = key(entry.name(), entry.version());
        let put = self.records.put(REGISTRY, &key, value, None, expected).await?;
        if put == Put::Conflict {
            return Ok(false);
        }
        self.records.put(EPOCH, EPOCH, Vec::new(), None, Expected::Any).await?;
        Ok(true)
    }

    /// Grows with every change of any version.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn epoch(&self) -> Result<u64, Unavailable> {
        Ok(self.records.get(EPOCH, EPOCH).await?.map_or(0, |record| record.version))
    }
}

/// A name has no space in it, so no version of one can be taken for one of another.
fn key(name: &str, version: &str) -> String {
    format!("{name} {version}")
}

/// What is looked for, as the registry's API has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// In the name or the description, whatever their case.
    pub search: Option<String>,
    /// Changed at this time or later, in milliseconds since 1970.
    pub updated_since: Option<u64>,
    /// `latest` or a version; `None` is every version.
    pub version: Option<String>,
    /// Those that are there no more, too.
    pub deleted: bool,
    /// Behind this one: a name and a version, with a colon between.
    pub cursor: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// Some of what was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<'a> {
    /// In the order of names, and the newest version of each first.
    pub entries: Vec<&'a Entry>,
    /// Where the next begins; `None` at the end.
    pub next: Option<String>,
}

impl Question {
    /// Looks through `entries`: what their readers may see, in the order of names with the newest version of each first.
    pub fn of<'a>(&self, entries: &'a [Entry]) -> Page<'a> {
        let place = |entry: &Entry| format!("{}:{}", entry.name(), entry.version());
        let start = match &self.cursor {
            None => 0,
            // One that is gone was not the last of its name only by chance: go on behind its name.
            Some(cursor) => match entries.iter().position(|entry| place(entry) == *cursor) {
                Some(index) => index + 1,
                None => {
                    let name = cursor.split_once(':').map_or(cursor.as_str(), |(name, _)| name);
                    entries.iter().position(|entry| entry.name() > name).unwrap_or(entries.len())
                }
            },
        };
        let mut found: Vec<&Entry> = Vec::new();
        let mut more = false;
        for (index, entry) in entries.iter().enumerate().skip(start) {
            if !self.is_looked_for(entries, index) {
                continue;
            }
            if found.len() == self.limit {
                more = true;
                break;
            }
            found.push(entry);
        }
        let next = if more { found.last().map(|entry| place(entry)) } else { None };
        Page { entries: found, next }
    }

    fn is_looked_for(&self, entries: &[Entry], index: usize) -> bool {
        let entry = &entries[index];
        let deleted = !entry.stage().is_in_use();
        let holds = |text: &str, words: &str| text.to_lowercase().contains(&words.to_lowercase());
        let description =
            || entry.document().map(|document| document.description().to_owned()).unwrap_or_default();
        (self.deleted || !deleted)
            && self.updated_since.is_none_or(|since| entry.changed() >= since)
            && self
                .search
                .as_ref()
                .is_none_or(|words| holds(entry.name(), words) || holds(&description(), words))
            && match self.version.as_deref() {
                None => true,
                Some("latest") => is_latest(entries, index),
                Some(version) => entry.version() == version,
            }
    }
}

/// Whether no other version of the same name that may be used is newer. `entries` have the newest first.
pub(crate) fn is_latest(entries: &[Entry], index: usize) -> bool {
    let entry = &entries[index];
    let first = entries.iter().position(|it| it.name() == entry.name() && it.stage().is_in_use());
    first.is_none_or(|first| first == index)
}
