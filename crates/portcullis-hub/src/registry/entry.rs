//! One version of a server: what it is, how it is reached, and how far it has come.
//!
//! ```text
//! submitted → scanned → reviewed → approved ⇄ deprecated → retired
//! ```
//!
//! Each step is somebody's, with a time and a word why, and none is taken back: the history only grows. A version that was
//! scanned again, because it was changed or its scan is old, begins after its scan. Anything may be retired, and what is
//! retired stays so: a version's number is used once.

use portcullis_model::ServerId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rollout::{Beside, Share, Word, in_use};
use super::{Document, Package};
use crate::packages::Sealed;

/// How far a version has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Somebody proposed it.
    Submitted,
    /// It was started once, walled in, and what it offers was read.
    Scanned,
    /// Somebody looked at what the scan found.
    Reviewed,
    /// It may be used.
    Approved,
    /// It may be used, and those who do are told to go on to another.
    Deprecated,
    /// It is there no more.
    Retired,
}

impl Stage {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Scanned => "scanned",
            Self::Reviewed => "reviewed",
            Self::Approved => "approved",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        }
    }

    /// Whether a version at this stage may be used.
    pub fn is_in_use(self) -> bool {
        matches!(self, Self::Approved | Self::Deprecated)
    }
}

/// What somebody does with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Says that they looked at the scan.
    Review,
    /// Lets it be used; also again, to go back to it.
    Approve,
    /// Tells its users to go on to another.
    Deprecate,
    /// Takes it away.
    Retire,
}

impl Move {
    fn leads(self, from: Stage) -> Option<Stage> {
        Some(match (self, from) {
            (_, Stage::Retired) => return None,
            (Self::Review, Stage::Scanned) => Stage::Reviewed,
            (Self::Approve, Stage::Reviewed | Stage::Approved | Stage::Deprecated) => Stage::Approved,
            (Self::Deprecate, Stage::Approved) => Stage::Deprecated,
            (Self::Retire, _) => Stage::Retired,
            _ => return None,
        })
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Review => "reviewed",
            Self::Approve => "approved",
            Self::Deprecate => "deprecated",
            Self::Retire => "retired",
        }
    }
}

/// A step that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// From where it is, no way leads there.
    #[error("version {version} of {name} is {} and cannot be {to}: {next}", stage.as_str())]
    NoWay {
        /// Whose.
        name: String,
        /// Which.
        version: String,
        /// Where it is.
        stage: Stage,
        /// What was to be done.
        to: &'static str,
        /// What can be done.
        next: &'static str,
    },
    /// The scan found what nobody has answered for.
    #[error("the scan of {name} {version} found {found}; say with a note why it is approved all the same")]
    Found {
        /// Whose.
        name: String,
        /// Which.
        version: String,
        /// How many things.
        found: usize,
    },
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Who.
    pub by: String,
    /// What it became; a scan of a version that may be used changes nothing in that, and is on record as `Scanned`.
    pub to: Stage,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// To how many callers it was rolled out with that, in hundredths; 0 is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<u8>,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Which revision of MCP it speaks.
    pub revision: String,
    /// What it offers.
    pub offers: Vec<Offer>,
    /// What somebody should look at.
    pub findings: Vec<Finding>,
    /// The walls that it was started in, or why there were none.
    pub walls: String,
    /// The package that it was started from, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
}

/// Something that a server offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// `tool`, `prompt`, `resource` or `template`.
    pub kind: String,
    /// Its name or URI.
    pub name: String,
    /// The digest of its definition, in hexadecimal.
    pub digest: String,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where: `tool add: description`.
    pub at: String,
    /// What.
    pub what: String,
}

/// The files that a version is started from, by name, version and digest; the registry keeps them under this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedTo {
    /// The digest of the lock, in hexadecimal.
    pub digest: String,
    /// How many packages are in it.
    pub packages: usize,
}

/// One version of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its `server.json`.
    document: Value,
    /// What it is called here.
    pub slug: String,
    /// How it is reached: an entry as clients write them (`command` and `args`, or `url`); `null` as long as that takes what
    /// nobody has given.
    pub launch: Value,
    /// Who answers for it.
    #[serde(default)]
    pub owners: Vec<String>,
    /// Words that it is found and sorted by. Policies and flows have labels of their own, in the configuration.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Which kinds of data it handles.
    #[serde(default)]
    pub data: Vec<String>,
    /// Whether it came from elsewhere, as far as the configuration let it in; it is held to that for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// How far it has come.
    stage: Stage,
    /// How many callers have it, in hundredths; all that it is for, where it does not say. Nobody has what was rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) given: Option<u8>,
    /// What it is rolled out beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) beside: Option<Beside>,
    /// What its packages were when it was first scanned, where it is started from packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock: Option<LockedTo>,
    /// What its last scan found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scan: Option<Scan>,
    /// What it was seen to offer before it was approved, where it was scanned again since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offered: Option<Vec<Offer>>,
    /// All that was done, oldest first.
    history: Vec<Change>,
}

impl Entry {
    /// A version that `by` proposes.
    pub fn submitted(document: &Document, slug: &ServerId, launch: Value, by: &str, at: u64) -> Self {
        Self {
            document: document.value(),
            slug: slug.to_string(),
            launch,
            owners: vec![by.to_owned()],
            labels: Vec::new(),
            data: Vec::new(),
            imported: false,
            stage: Stage::Submitted,
            given: None,
            beside: None,
            lock: None,
            scan: None,
            offered: None,
            history: vec![Change { at, by: by.to_owned(), to: Stage::Submitted, note: None, share: None }],
        }
    }

    /// A server of the configuration, which is the operator's word that it may be used.
    pub fn configured(document: &Document, slug: &ServerId, at: u64) -> Self {
        let mut entry = Self::submitted(document, slug, Value::Null, "configuration", at);
        entry.owners.clear();
        entry.history.clear();
        entry.step(at, "configuration", Stage::Approved, None);
        entry
    }

    /// Its `server.json`; `None` where somebody else changed what is kept into something that is none.
    pub fn document(&self) -> Option<Document> {
        Document::new(self.document.clone()).ok()
    }

    /// The name in it.
    pub fn name(&self) -> &str {
        self.document.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The version in it.
    pub fn version(&self) -> &str {
        self.document.get("version").and_then(Value::as_str).unwrap_or_default()
    }

    /// What it is for, as the publisher says.
    pub fn description(&self) -> &str {
        self.document.get("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What its packages are locked to, where they are.
    pub fn lock(&self) -> Option<&LockedTo> {
        self.lock.as_ref()
    }

    /// Locks its packages, once and for all that it is: where they were locked before, or it is in use without, nothing changes.
    pub fn lock_to(&mut self, lock: &Sealed) {
        if self.lock.is_none() && !self.stage.is_in_use() {
            self.lock = Some(LockedTo { digest: lock.digest().to_owned(), packages: lock.files.len() });
        }
    }

    /// What its last scan found.
    pub fn scan(&self) -> Option<&Scan> {
        self.scan.as_ref()
    }

    /// What it was seen to offer by the scan that it was approved after.
    pub fn offers(&self) -> &[Offer] {
        let scanned = self.scan.as_ref().map_or(&[][..], |scan| &scan.offers);
        self.offered.as_deref().unwrap_or(scanned)
    }

    /// All that was done, oldest first.
    pub fn history(&self) -> &[Change] {
        &self.history
    }

    /// When it was proposed, in milliseconds since 1970.
    pub fn published(&self) -> u64 {
        self.history.first().map_or(0, |change| change.at)
    }

    /// When something was last done with it.
    pub fn changed(&self) -> u64 {
        self.history.last().map_or(0, |change| change.at)
    }

    /// The step with which it came to its stage.
    pub fn turn(&self) -> Option<&Change> {
        self.history.iter().rev().find(|change| change.to == self.stage)
    }

    /// When it was last approved.
    pub fn approved(&self) -> Option<u64> {
        self.history.iter().rev().find(|change| change.to == Stage::Approved).map(|change| change.at)
    }

    /// Notes what a scan found. A version that is in use stays so, and is not approved by it: what is there now is what was
    /// approved, or its pins hold it back.
    ///
    /// # Errors
    /// When it is retired.
    pub fn scanned(&mut self, scan: Scan, by: &str) -> Result<(), Refused> {
        if self.stage == Stage::Retired {
            return Err(self.no_way("scanned"));
        }
        let note = match scan.findings.len() {
            0 => "scanned: nothing found".to_owned(),
            1 => "scanned: one thing found".to_owned(),
            found => format!("scanned: {found} things found"),
        };
        if !self.stage.is_in_use() {
            self.stage = Stage::Scanned;
        } else if self.offered.is_none() {
            let approved = self.scan.take().map(|scan| scan.offers);
            self.offered = Some(approved.unwrap_or_default());
        }
        let (by, to) = (by.to_owned(), Stage::Scanned);
        self.history.push(Change { at: scan.at, by, to, note: Some(note), share: None });
        self.scan = Some(scan);
        Ok(())
    }

    /// Says how it is reached, before it is used. It begins anew with that: what was scanned was something else.
    ///
    /// # Errors
    /// When it may be used already, or no more.
    pub fn reach(&mut self, launch: Value, by: &str, at: u64) -> Result<(), Refused> {
        if self.stage >= Stage::Approved {
            return Err(self.no_way("configured"));
        }
        self.launch = launch;
        (self.lock, self.scan) = (None, None);
        self.step(at, by, Stage::Submitted, Some("configured".to_owned()));
        Ok(())
    }

    /// Takes a step.
    ///
    /// # Errors
    /// When no way leads there from where it is, or a version is approved in which something was found and nothing is said
    /// about it.
    pub fn take(&mut self, step: Move, by: &str, at: u64, note: Option<String>) -> Result<(), Refused> {
        let to = step.leads(self.stage).ok_or_else(|| self.no_way(step.verb()))?;
        if step == Move::Approve {
            self.answered_for(note.as_deref())?;
            (self.given, self.beside, self.offered) = (None, None, None);
        }
        self.step(at, by, to, note);
        Ok(())
    }

    /// Gives it to so many callers, beside what the others have. The step with which that begins is its approval.
    ///
    /// # Errors
    /// As [`Entry::take`].
    pub(super) fn roll_out(
        &mut self,
        share: Share,
        (beside, begins): (Beside, bool),
        word: Word<'_>,
    ) -> Result<(), Refused> {
        let Word { by, at, note } = word;
        let to = Move::Approve.leads(self.stage).ok_or_else(|| self.no_way("rolled out"))?;
        // With the steps after it, nothing is approved that was not.
        if begins {
            self.answered_for(note.as_deref())?;
            self.offered = None;
        }
        let some = share != Share::ALL;
        (self.given, self.beside) = (some.then_some(share.percent()), some.then_some(beside));
        self.step(at, by, to, note);
        self.note_share(share.percent());
        Ok(())
    }

    /// Takes it from all callers; it stays as approved as it was.
    pub(super) fn step_back(&mut self, word: Word<'_>) {
        let Word { by, at, note } = word;
        (self.given, self.beside) = (Some(0), None);
        self.step(at, by, self.stage, note);
        self.note_share(0);
    }

    fn note_share(&mut self, percent: u8) {
        if let Some(change) = self.history.last_mut() {
            change.share = Some(percent);
        }
    }

    /// # Errors
    /// Something was found in it, and nothing is said about that.
    fn answered_for(&self, note: Option<&str>) -> Result<(), Refused> {
        let found = self.scan.as_ref().map_or(0, |scan| scan.findings.len());
        if found > 0 && note.is_none_or(|note| note.trim().is_empty()) {
            let (name, version) = (self.name().to_owned(), self.version().to_owned());
            return Err(Refused::Found { name, version, found });
        }
        Ok(())
    }

    fn step(&mut self, at: u64, by: &str, to: Stage, note: Option<String>) {
        self.stage = to;
        self.history.push(Change { at, by: by.to_owned(), to, note, share: None });
    }

    fn no_way(&self, to: &'static str) -> Refused {
        let next = match self.stage {
            Stage::Submitted => "scan it first",
            Stage::Scanned => "review what the scan found first",
            Stage::Reviewed => "approve or retire it",
            Stage::Approved => "deprecate or retire it",
            Stage::Deprecated => "approve it again or retire it",
            Stage::Retired => "add another version",
        };
        Refused::NoWay {
            name: self.name().to_owned(),
            version: self.version().to_owned(),
            stage: self.stage,
            to,
            next,
        }
    }
}

/// The version of each server that its callers have: of those that may be used, the one that was approved for all last. To go
/// back is to approve the old one again.
pub fn running<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<&'a Entry> {
    in_use(entries).into_iter().map(|now| now.entry).collect()
}
