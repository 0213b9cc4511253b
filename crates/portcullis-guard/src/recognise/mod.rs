//! From a candidate to a finding: check sums, forms, and the words around.
//!
//! `sweep` comes upon something and asks here. Each recogniser looks at a bounded stretch of text, so that the whole stays
//! linear; what it finds it adds to [`Subject::hits`].

pub(crate) mod assigned;
pub(crate) mod card;
pub(crate) mod date;
pub(crate) mod digits;
pub(crate) mod email;
pub(crate) mod formats;
pub(crate) mod hidden;
pub(crate) mod iban;
pub(crate) mod injection;
pub(crate) mod lettered;
pub(crate) mod national;
pub(crate) mod network;
pub(crate) mod number;
pub(crate) mod person;
pub(crate) mod phone;
pub(crate) mod secret;

use crate::context::{Topics, Words};
use crate::{Entity, EntitySet};

/// A finding in the text at hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) entity: Entity,
    pub(crate) detail: &'static str,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) score: f32,
}

/// What is being looked at.
pub(crate) struct Subject<'a> {
    pub(crate) text: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) words: &'a Words,
    pub(crate) wanted: EntitySet,
    /// What the key says under which the text stands.
    pub(crate) field: Topics,
    pub(crate) hits: Vec<Hit>,
}

impl Subject<'_> {
    pub(crate) fn hit(&mut self, entity: Entity, detail: &'static str, start: usize, end: usize, score: f32) {
        if self.wanted.contains(entity) {
            self.hits.push(Hit { entity, detail, start, end, score });
        }
    }

    /// Where the last finding ends: words before it belong to it.
    pub(crate) fn last_end(&self) -> usize {
        self.hits.last().map_or(0, |hit| hit.end)
    }

    /// What the words around say, the key's among them.
    pub(crate) fn around(&self, start: usize, end: usize) -> Topics {
        self.words.around(self.text, start, end).or(self.field)
    }

    /// What the word next to `start` says of those that name a kind of number.
    pub(crate) fn nearest(&self, start: usize) -> Topics {
        let nearest = self.words.nearest(self.text, start);
        if nearest == Topics::NONE { self.field } else { nearest }
    }
}
