//! What is to be done with one document, and what was done.
//!
//! The caller makes a plan for a call out of its rules: who calls which tool, in which direction. The engine carries it
//! out and knows nothing of callers.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;

use crate::{Action, Entity, EntitySet, Finding, Limit, Path};

/// What happens to what is found in one document.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For each entity, in the order of [`Entity::ALL`].
    pub actions: [Action; Entity::COUNT],
    /// Rules for places. Of those that lead to one place, the last one that says something counts.
    pub fields: Vec<FieldRule>,
    /// When given, only these fields pass; everything else in the data is dropped. See [`Plan::data`].
    pub only: Option<Vec<Path>>,
    /// Where data begins inside the document: `$` in [`Plan::fields`] and [`Plan::only`] is meant from the document's
    /// own root, from each of these places, and from the root of each JSON document inside a string. With
    /// [`Plan::only`], only what is inside these is narrowed; when none is given, the whole document is.
    pub data: Vec<Path>,
    /// Texts that repeat the data (`$.content[*].text`). With [`Plan::only`], a text there that is no JSON
    /// document is replaced: which columns it repeats cannot be known.
    pub texts: Vec<Path>,
    /// The key of [`Action::Hash`]: one for each tenant, so that hashes join there and nowhere else.
    pub key: hmac::Key,
}

impl Plan {
    /// A plan that does `action` for everything that is found.
    pub fn all(action: Action, key: hmac::Key) -> Self {
        Self {
            actions: [action; Entity::COUNT],
            fields: Vec::new(),
            only: None,
            data: Vec::new(),
            texts: Vec::new(),
            key,
        }
    }

    /// The same with another action for `entities`.
    #[must_use]
    pub fn with(mut self, entities: EntitySet, action: Action) -> Self {
        for entity in entities.iter() {
            self.actions[entity as usize] = action;
        }
        self
    }

    /// Whether anything may be taken out of a document.
    pub(crate) fn may_drop(&self) -> bool {
        self.only.is_some()
            || self.actions.contains(&Action::Drop)
            || self.fields.iter().any(|rule| rule.action == Action::Drop)
    }

    /// What happens to an entity where no field rule says otherwise.
    pub fn action(&self, entity: Entity) -> Action {
        self.actions[entity as usize]
    }
}

/// A rule for the places that a path leads to and for what is inside them.
#[derive(Clone, Debug)]
pub struct FieldRule {
    /// Where.
    pub path: Path,
    /// What is meant there: what is found of these entities; `None` is the field itself, whatever it holds.
    pub entities: Option<EntitySet>,
    /// What happens.
    pub action: Action,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It passes as it is.
    Unchanged {
        /// What was found and allowed.
        report: Report,
    },
    /// These bytes pass instead: JSON again, the same outside of what was changed.
    Changed {
        /// The document.
        bytes: Vec<u8>,
        /// What was done.
        report: Report,
    },
    /// It does not pass: a finding says so, or a limit was exceeded.
    Blocked {
        /// What was found.
        report: Report,
    },
    /// It waits for approval.
    Held {
        /// What was found.
        report: Report,
    },
}

impl Outcome {
    /// What was found and done.
    pub fn report(&self) -> &Report {
        match self {
            Self::Unchanged { report }
            | Self::Changed { report, .. }
            | Self::Blocked { report }
            | Self::Held { report } => report,
        }
    }
}

/// What was found and done; holds no values.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Report {
    /// Every finding with what was done about it. Its place is the one in the original document.
    pub applied: Vec<Applied>,
    /// Paths of fields that field rules or [`Plan::only`] changed or dropped, each with what was done; beyond
    /// [`crate::Limits::findings`] of them, what was done without the path.
    pub fields: Vec<(String, Action)>,
    /// Set when the document was not looked at in full; it is then blocked.
    pub exceeded: Option<Limit>,
}

/// A finding and what was done about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// What was found where.
    pub finding: Finding,
    /// What was done.
    pub action: Action,
}

impl Report {
    /// How often which action was taken for which entity.
    pub fn counts(&self) -> BTreeMap<(Entity, Action), usize> {
        let mut counts = BTreeMap::new();
        for applied in &self.applied {
            *counts.entry((applied.finding.entity, applied.action)).or_default() += 1;
        }
        counts
    }
}

/// Reversible names for values. The gateway seals them; a test keeps a map.
pub trait Pseudonyms {
    /// A name for `value`: 8 to 512 characters of `A-Z a-z 0-9 _ -`, the same for the same value as long as it is
    /// to be recognised as the same. `None` when none can be made: the value is then redacted.
    fn seal(&mut self, entity: Entity, value: &str) -> Option<String>;

    /// The value behind a name that [`Pseudonyms::seal`] gave; `None` for any other.
    fn open(&mut self, entity: Entity, name: &str) -> Option<String>;
}

/// For plans without [`Action::Pseudonym`].
impl Pseudonyms for () {
    fn seal(&mut self, _: Entity, _: &str) -> Option<String> {
        None
    }

    fn open(&mut self, _: Entity, _: &str) -> Option<String> {
        None
    }
}
