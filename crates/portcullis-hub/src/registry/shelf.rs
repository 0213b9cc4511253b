//! Where versions are kept, and how they are looked through.

use std::sync::Arc;

use portcullis_model::{Expected, Put, Records, Unavailable};

use super::entry::Entry;
use super::version::compare;
use crate::packages::Sealed;

/// The kind of the records.
pub const REGISTRY: &str = "registry";
/// The kind of the one record that changes with every change: whoever watches looks at that.
const EPOCH: &str = "registry-epoch";
/// The kind of the locks of packages, each by its digest: what is kept under one never changes.
const LOCKS: &str = "registry-lock";
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

    /// All of them, in the order of names and with the newest version of each first.
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
        self.under(&key(name, "")).await
    }

    async fn under(&self, prefix: &str) -> Result<Vec<Shelved>, Unavailable> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.records.list(REGISTRY, prefix, &after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            for (key, record) in page {
                match serde_json::from_slice(&record.value) {
                    Ok(entry) => found.push(Shelved { entry, revision: record.version }),
                    // Of a later program, or damaged: the others are as good as before.
                    Err(error) => tracing::warn!(key, %error, "a version in the registry cannot be read"),
                }
            }
        }
        found.sort_by(|one: &Shelved, other: &Shelved| {
            let (one, other) = (&one.entry, &other.entry);
            let newest_first =
                || compare((other.version(), other.published()), (one.version(), one.published()));
            one.name().cmp(other.name()).then_with(newest_first)
        });
        Ok(found)
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

    /// Adds versions as [`add`](Self::add) does, and says how many were not there; whoever watches is told once.
    ///
    /// # Errors
    /// The store cannot be asked; some of them may be there by then.
    pub async fn add_all(&self, entries: &[Entry]) -> Result<usize, Unavailable> {
        let mut added = 0;
        for entry in entries {
            added += usize::from(self.put_quietly(entry, Expected::Absent).await?);
        }
        self.tell().await?;
        Ok(added)
    }

    async fn put(&self, entry: &Entry, expected: Expected) -> Result<bool, Unavailable> {
        let put = self.put_quietly(entry, expected).await?;
        if put {
            self.tell().await?;
        }
        Ok(put)
    }

    async fn tell(&self) -> Result<(), Unavailable> {
        self.records.put(EPOCH, EPOCH, Vec::new(), None, Expected::Any).await.map(drop)
    }

    async fn put_quietly(&self, entry: &Entry, expected: Expected) -> Result<bool, Unavailable> {
        let value = serde_json::to_vec(entry).map_err(|error| Unavailable(error.to_string()))?;
        let key = key(entry.name(), entry.version());
        Ok(self.records.put(REGISTRY, &key, value, None, expected).await? != Put::Conflict)
    }

    /// Keeps the lock of a version's packages, before the version has it.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn keep_lock(&self, lock: &Sealed) -> Result<(), Unavailable> {
        let text = lock.text().as_bytes().to_vec();
        self.records.put(LOCKS, lock.digest(), text, None, Expected::Any).await.map(drop)
    }

    /// The lock with this digest; `None` where it is not there as it was kept.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn lock(&self, digest: &str) -> Result<Option<Sealed>, Unavailable> {
        let record = self.records.get(LOCKS, digest).await?;
        let text = record.and_then(|record| String::from_utf8(record.value).ok());
        Ok(text.and_then(|text| Sealed::parse(&text, digest).ok()))
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

/// A version among those that somebody may see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listed<'a> {
    /// The version.
    pub entry: &'a Entry,
    /// Of its name it is the newest that may be used; or the newest of all, where none may be.
    pub latest: bool,
}

/// All of `entries`, which are in the order of names with the newest version of each first.
pub fn listed(entries: &[Entry]) -> impl Iterator<Item = Listed<'_>> {
    entries.chunk_by(|one, other| one.name() == other.name()).flat_map(|versions| {
        let latest = versions.iter().position(|entry| entry.stage().is_in_use()).unwrap_or(0);
        versions.iter().enumerate().map(move |(index, entry)| Listed { entry, latest: index == latest })
    })
}

/// Some of what was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<'a> {
    /// In the order of names, and the newest version of each first.
    pub entries: Vec<Listed<'a>>,
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
        let mut found: Vec<Listed<'_>> = Vec::new();
        let mut more = false;
        for it in listed(entries).skip(start).filter(|it| self.is_for(*it)) {
            if found.len() == self.limit {
                more = true;
                break;
            }
            found.push(it);
        }
        let next = if more { found.last().map(|it| place(it.entry)) } else { None };
        Page { entries: found, next }
    }

    fn is_for(&self, Listed { entry, latest }: Listed<'_>) -> bool {
        let holds = |text: &str, words: &str| text.to_lowercase().contains(&words.to_lowercase());
        (self.deleted || entry.stage().is_in_use())
            && self.updated_since.is_none_or(|since| entry.changed() >= since)
            && self
                .search
                .as_ref()
                .is_none_or(|words| holds(entry.name(), words) || holds(entry.description(), words))
            && match self.version.as_deref() {
                None => true,
                Some("latest") => latest,
                Some(version) => entry.version() == version,
            }
    }
}
