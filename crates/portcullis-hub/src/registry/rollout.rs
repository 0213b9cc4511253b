//! A version that is rolled out gradually: to some callers first, to more of them, to all, or back.
//!
//! A share stands with the version itself, so a step is one change of one record: of two that are taken at the same time, one
//! is refused, and gateways that share a store see the same. The version that all others have is the one that was approved for
//! all last, and a roll-out is one beside that: where another takes its place, the roll-out is over for good. Whoever is let in by a share stays in when it grows: each caller has a place from 0 to 9,999 that follows from the server,
//! the version and who they are, and nothing else, so it is the same in every process, and with another version others come first.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_model::Unavailable;
use serde::{Deserialize, Serialize};

use super::entry::{Change, Entry, Refused, Stage};
use super::shelf::{Registry, Shelved};

/// How many of a server's callers a version is for, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u8);

/// A text that is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no share of callers: say 1% to 100%; `rollback` takes a version from all of them")]
pub struct NoShare(String);

impl Share {
    /// All callers.
    pub const ALL: Self = Self(100);

    /// So many hundredths; `None` for none, and for more than there are.
    pub fn new(percent: u8) -> Option<Self> {
        (1..=100).contains(&percent).then_some(Self(percent))
    }

    /// How many hundredths.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// Whether it lets a caller in who has this place.
    pub fn has(self, place: u16) -> bool {
        place < u16::from(self.0) * 100
    }
}

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim().trim_end_matches('%').trim_end();
        number.parse().ok().and_then(Self::new).ok_or_else(|| NoShare(text.to_owned()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A caller's place among all that a version of a server may have, from 0 to 9,999.
pub fn place(server: &str, version: &str, who: &str) -> u16 {
    let mut context = Context::new(&SHA256);
    for part in [server, version, who] {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    let first = digest.as_ref().first_chunk::<8>().expect("SHA-256 has 32 bytes");
    u16::try_from(u64::from_be_bytes(*first) % 10_000).expect("it is smaller")
}

/// What is in use of one server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InUse<'a> {
    /// The version that callers have.
    pub entry: &'a Entry,
    /// The one that some of them have instead, and how many.
    pub next: Option<(&'a Entry, Share)>,
}

/// What a version was rolled out beside. The roll-out goes on for as long as that stays so, and once it is over nothing brings it back.
/// It is counted and not timed: those who take steps have clocks of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beside {
    /// The version that all others had.
    version: String,
    /// How often any version of the server had been given to all by then. That only grows, so where it has grown, one was since.
    given: usize,
}

impl Beside {
    /// What is so now; `versions` are all of one server.
    fn now(base: &Entry, versions: &[&Entry]) -> Self {
        let version = base.version().to_owned();
        Self { version, given: versions.iter().map(|entry| entry.times_given_to_all()).sum() }
    }
}

/// The versions of each server that are reached. Of those that may be used by all, it is the one that was approved last; and beside it
/// the one that is rolled out beside that. Where the other one was taken away meanwhile, what some have all have. Of a server,
/// `entries` have to have all versions that were ever approved, retired ones too.
pub fn in_use<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<InUse<'a>> {
    let mut servers: Vec<Vec<&Entry>> = Vec::new();
    let mut places = HashMap::new();
    for entry in entries {
        let place = *places.entry(entry.slug.as_str()).or_insert(servers.len());
        match servers.get_mut(place) {
            Some(versions) => versions.push(entry),
            None => servers.push(vec![entry]),
        }
    }
    servers.iter().filter_map(|versions| in_use_of(versions)).collect()
}

/// The versions of one server that are reached, of all that it has.
fn in_use_of<'a>(versions: &[&'a Entry]) -> Option<InUse<'a>> {
    let given = versions.iter().copied().filter(|entry| entry.stage().is_in_use() && entry.is_given());
    let (some, all): (Vec<&Entry>, Vec<&Entry>) = given.partition(|entry| entry.share().is_some());
    // Of two, the one that comes first.
    let last = |of: Vec<&'a Entry>| of.into_iter().rev().max_by_key(|entry| entry.approved());
    // Where only such are left that some had, all have one of them; also while another is rolled out beside that.
    let beside = |base: &&Entry| {
        let now = Beside::now(base, versions);
        some.iter().any(|next| next.beside.as_ref() == Some(&now))
    };
    let entry = last(all).or_else(|| some.iter().copied().find(beside)).or_else(|| last(some.clone()))?;
    let now = Beside::now(entry, versions);
    let goes_on = |next: &&Entry| match &next.beside {
        Some(beside) => *beside == now,
        // It was kept before that was; its next step says it.
        None => next.version() != entry.version() && next.approved() >= entry.approved(),
    };
    let next = last(some.into_iter().filter(goes_on).collect());
    Some(InUse { entry, next: next.and_then(|next| Some((next, next.share()?))) })
}

/// Why a version is not rolled out, or back.
#[derive(Debug, thiserror::Error)]
pub enum NotRolled {
    /// It is not there.
    #[error("there is no version {version} of `{server}` in the registry, which has {known}")]
    Unknown {
        /// Of which server.
        server: String,
        /// Which.
        version: String,
        /// What is there.
        known: String,
    },
    /// Nobody has any version yet, or all have this one.
    #[error("{0}")]
    Nothing(String),
    /// From where it is, no way leads there.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It may not be used as things are configured.
    #[error("{0}")]
    KeptOut(String),
    /// Somebody else was faster.
    #[error("somebody else changed it meanwhile; look at it and try again")]
    Meanwhile,
    /// The store cannot be asked.
    #[error("the store cannot be asked: {0}")]
    Store(#[from] Unavailable),
}

/// Who rolls out, when and why.
#[derive(Clone, Debug)]
pub struct Word<'a> {
    /// Who.
    pub by: &'a str,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Why.
    pub note: Option<String>,
}

impl Registry {
    /// Gives a version of a server, by the server's name here, to so many of its callers. `hold` says why a version may not
    /// be used as things are configured.
    ///
    /// # Errors
    /// Why it is not; nothing has changed then.
    pub async fn roll_out(
        &self,
        server: &str,
        version: &str,
        share: Share,
        word: Word<'_>,
        hold: impl FnOnce(&Entry) -> Result<(), String>,
    ) -> Result<Entry, NotRolled> {
        let all = self.of_slug(server).await?;
        let Some(mut shelved) = all.iter().find(|it| it.entry.version() == version).cloned() else {
            return Err(unknown(server, version, &all));
        };
        let entries: Vec<_> = all.iter().map(|it| &it.entry).collect();
        let now = in_use(entries.iter().copied()).into_iter().next();
        let nothing = |what: String| Err(NotRolled::Nothing(what));
        match now {
            None if shelved.entry.may_be_given() => {
                return nothing(format!(
                    "nobody has any version of `{server}` yet; `portcullis server approve {server}@{version}` gives \
                     this one to all"
                ));
            }
            Some(InUse { entry, next: None }) if entry.version() == version && shelved.entry.is_given() => {
                return nothing(format!("all callers of `{server}` have version {version} already"));
            }
            Some(InUse { entry, next: Some((next, given)) }) => {
                if entry.version() == version {
                    return nothing(format!(
                        "version {version} of `{server}` is what callers have who do not have {} yet; `portcullis \
                         server rollback {server}` takes that one back",
                        next.version()
                    ));
                }
                if next.version() != version {
                    return nothing(format!(
                        "version {} of `{server}` is rolled out to {given}; roll it out to 100% or back first",
                        next.version()
                    ));
                }
            }
            _ => {}
        }
        hold(&shelved.entry).map_err(NotRolled::KeptOut)?;
        let begins = now.is_none_or(|now| now.next.is_none());
        // What is not beside anything is refused for what it is.
        let base = now.map_or(&shelved.entry, |now| now.entry);
        let beside = Beside::now(base, &entries);
        shelved.entry.roll_out(share, (beside, begins), word)?;
        self.changed(shelved).await
    }

    /// Takes the version that is rolled out from all callers who have it; where none is, the one that all have, for which
    /// there has to be another.
    ///
    /// # Errors
    /// Why it is not; nothing has changed then.
    pub async fn roll_back(&self, server: &str, word: Word<'_>) -> Result<Entry, NotRolled> {
        let all = self.of_slug(server).await?;
        let entries: Vec<_> = all.iter().map(|it| &it.entry).collect();
        let Some(now) = in_use(entries.iter().copied()).into_iter().next() else {
            let what =
                format!("no version of `{server}` is in use; `portcullis server list` shows what is there");
            return Err(NotRolled::Nothing(what));
        };
        let back = now.next.map_or(now.entry, |(next, _)| next).version().to_owned();
        if now.next.is_none() {
            let left = entries.iter().copied().filter(|entry| entry.version() != back);
            if in_use(left).is_empty() {
                let what = format!(
                    "{back} is the only version of `{server}` that may be used; `portcullis server retire \
                     {server}@{back}` takes it away"
                );
                return Err(NotRolled::Nothing(what));
            }
        }
        let shelved = all.into_iter().find(|it| it.entry.version() == back);
        let mut shelved = shelved.expect("it was found among them");
        shelved.entry.step_back(word);
        self.changed(shelved).await
    }

    /// Takes back this version alone, if it is still rolled out; `None` where it is not any more.
    ///
    /// # Errors
    /// The store cannot be asked, or somebody else was faster.
    pub async fn step_back(
        &self,
        server: &str,
        version: &str,
        word: Word<'_>,
    ) -> Result<Option<Entry>, NotRolled> {
        let all = self.of_slug(server).await?;
        let now = in_use(all.iter().map(|it| &it.entry)).into_iter().next();
        let is_next = now.and_then(|now| now.next).is_some_and(|(next, _)| next.version() == version);
        let Some(mut shelved) = all.iter().find(|it| is_next && it.entry.version() == version).cloned()
        else {
            return Ok(None);
        };
        shelved.entry.step_back(word);
        self.changed(shelved).await.map(Some)
    }

    /// All versions of a server, by its name here.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn of_slug(&self, server: &str) -> Result<Vec<Shelved>, Unavailable> {
        let mut all = self.all().await?;
        all.retain(|it| it.entry.slug == server);
        Ok(all)
    }

    async fn changed(&self, shelved: Shelved) -> Result<Entry, NotRolled> {
        if self.change(&shelved).await? { Ok(shelved.entry) } else { Err(NotRolled::Meanwhile) }
    }
}

fn unknown(server: &str, version: &str, all: &[Shelved]) -> NotRolled {
    let known: Vec<_> = all.iter().map(|it| it.entry.version().escape_debug().to_string()).collect();
    let known = if known.is_empty() { "no version of it".to_owned() } else { known.join(", ") };
    NotRolled::Unknown { server: server.to_owned(), version: version.to_owned(), known }
}

impl Entry {
    /// Whether anybody has it, where it may be used at all: it was not rolled back.
    pub(super) fn is_given(&self) -> bool {
        self.given != Some(0)
    }

    /// How many callers have it, where not all have that it is for.
    pub fn share(&self) -> Option<Share> {
        self.given.and_then(Share::new)
    }

    /// Whether it was rolled back, and nobody has it.
    pub fn is_rolled_back(&self) -> bool {
        self.stage().is_in_use() && !self.is_given()
    }

    /// Whether it came from elsewhere, and is held to what may come in.
    pub fn is_held(&self) -> bool {
        self.imported && !self.launch.is_null()
    }

    /// How often it was given to all: approved for them, or rolled out to the last of them.
    fn times_given_to_all(&self) -> usize {
        let to_all = |change: &&Change| {
            change.to == Stage::Approved && change.share.is_none_or(|share| share == Share::ALL.0)
        };
        self.history().iter().filter(to_all).count()
    }

    fn may_be_given(&self) -> bool {
        matches!(self.stage(), Stage::Reviewed | Stage::Approved | Stage::Deprecated)
    }
}

#[cfg(test)]
mod tests;
