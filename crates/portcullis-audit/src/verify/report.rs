//! What a verification found.

use serde::Serialize;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An event is not what was signed.
    Altered,
    /// Events are missing.
    Missing,
    /// An event is where it does not belong.
    Misplaced,
    /// An event of another log.
    Foreign,
    /// Bytes that are no event.
    Unreadable,
    /// The end is missing, which was signed.
    RolledBack,
    /// There are two histories.
    Fork,
    /// A checkpoint is none, or is not by the key that is trusted.
    Checkpoint,
    /// There is no key.
    Key,
    /// Not enough witnesses.
    Unwitnessed,
    /// A time stamp is none, or of something else.
    TimeStamp,
    /// No time stamp by an authority that is trusted.
    Unstamped,
    /// A payload is not what was sealed, or is gone.
    Payload,
    /// What a database finds an event by is not what it records.
    Index,
    /// What was removed was not removed in order.
    Truncation,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What.
    pub kind: Kind,
    /// With which events: from the first up to, and without, the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<(u64, u64)>,
    /// In words.
    pub text: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whose log.
    pub origin: String,
    /// The first event that is there.
    pub first: u64,
    /// The number after the last.
    pub next: u64,
    /// How many events a proof has, which need not follow each other; `None` of a log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proved: Option<u64>,
    /// When the first ended, and the last: microseconds since 1970.
    pub times_us: Option<(i64, i64)>,
    /// How many checkpoints fit.
    pub checkpoints: u64,
    /// How many events the last of them is over.
    pub covered: u64,
    /// How many checkpoints are over events that were removed since.
    pub before_first: u64,
    /// How many checkpoints could not be held against the tree, because events before them are missing.
    pub unchecked: u64,
    /// How many events the last checkpoint is over that enough witnesses signed.
    pub witnessed: u64,
    /// Who they are.
    pub witnesses: Vec<String>,
    /// How many events the last time stamp is over, and when it was made, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamped: Option<(u64, u64)>,
    /// Nobody asked who made it.
    pub stamped_by_anybody: bool,
    /// The log's key was taken from beside the log: it proves nothing about the log's writer.
    pub key_from_log: bool,
    /// How often the log got another key.
    pub handovers: u64,
    /// Intents without an outcome.
    pub open_intents: u64,
    /// Payloads that are there.
    pub payloads: u64,
    /// Events that tell of others that were lost, and of how many.
    pub lost: u64,
    /// What the log says was removed in order: before which event, and the root over all before it.
    #[serde(skip)]
    pub truncations: Vec<(String, String)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// How many more things are wrong than are listed.
    pub more_problems: u64,
}

/// How many problems are listed.
const LISTED: usize = 100;

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn add(&mut self, kind: Kind, events: Option<(u64, u64)>, text: String) {
        if self.problems.len() < LISTED {
            self.problems.push(Problem { kind, events, text });
        } else {
            self.more_problems += 1;
        }
    }
}
