//! From a candidate to a finding: check sums, forms, and the words around.
//!
//! `sweep` comes upon something and asks here. Each recogniser looks at a bounded stretch of text, so that the whole stays
//! linear; what it finds it adds to [`Subject::hits`].

pub(crate) mod assigned;
pub(crate) mod behind;
pub(crate) mod card;
pub(crate) mod curl;
pub(crate) mod date;
pub(crate) mod digits;
pub(crate) mod email;
pub(crate) mod formats;
pub(crate) mod hidden;
pub(crate) mod iban;
pub(crate) mod injection;
pub(crate) mod jwt;
pub(crate) mod lettered;
pub(crate) mod manifest;
pub(crate) mod mrz;
pub(crate) mod names;
pub(crate) mod national;
pub(crate) mod network;
pub(crate) mod number;
pub(crate) mod parts;
pub(crate) mod person;
pub(crate) mod phone;
pub(crate) mod secret;
mod sentence;

use std::cell::OnceCell;

use names::Names;

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

impl Hit {
    /// Whether it was found for what stands around it, so that it may be missed where it stands again.
    pub(crate) fn is_by_context(&self) -> bool {
        match self.entity {
            Entity::Person
            | Entity::Address
            | Entity::Password
            | Entity::DateOfBirth
            | Entity::Passport
            | Entity::Phone
            | Entity::NationalId => true,
            Entity::Secret => matches!(self.detail, "assigned" | "known"),
            _ => false,
        }
    }
}

/// What is being looked at.
pub(crate) struct Subject<'a> {
    pub(crate) text: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) words: &'a Words,
    pub(crate) names: &'a Names,
    pub(crate) wanted: EntitySet,
    /// What the key says under which the text stands.
    pub(crate) field: Topics,
    pub(crate) hits: Vec<Hit>,
    /// Where the last of [`Subject::APART`] ends, wanted or not: words before it belong to it.
    pub(crate) last_end: usize,
    /// The last run of characters in which a header was looked for.
    header: jwt::Run,
    table: OnceCell<Option<Table>>,
}

/// What a text is that has columns: where its first line ends, and what stands between columns.
#[derive(Clone, Copy)]
struct Table {
    head: usize,
    separator: u8,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        text: &'a str,
        words: &'a Words,
        names: &'a Names,
        wanted: EntitySet,
        field: Topics,
    ) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            words,
            names,
            wanted,
            field,
            hits: Vec::new(),
            last_end: 0,
            header: jwt::Run::default(),
            table: OnceCell::new(),
        }
    }

    /// What each has its own words before it; all of it is looked at where one of it is wanted.
    const APART: EntitySet = EntitySet::NUMBERS.with(Entity::Email).with(Entity::Iban);

    pub(crate) fn hit(&mut self, entity: Entity, detail: &'static str, start: usize, end: usize, score: f32) {
        if Self::APART.contains(entity) {
            self.last_end = end;
        }
        if self.wanted.contains(entity) {
            self.hits.push(Hit { entity, detail, start, end, score });
        }
    }

    /// What the words around say, the key's among them.
    pub(crate) fn around(&self, start: usize, end: usize) -> Topics {
        self.words.around(self.text, start, end).or(self.field)
    }

    /// What the word next to `start` says of those that name a kind of number; in a table, what its column's head says.
    pub(crate) fn nearest(&self, start: usize) -> Topics {
        if let Some(topics) = self.column(start) {
            return topics;
        }
        let nearest = self.words.nearest(self.text, start);
        if nearest == Topics::NONE { self.field } else { nearest }
    }

    /// The topics of the head of the column in which `start` is, when the text is a table with separators.
    fn column(&self, start: usize) -> Option<Topics> {
        let Table { head, separator } = (*self.table.get_or_init(|| self.table()))?;
        let from = start.saturating_sub(LINE).max(head);
        if start <= head {
            return None;
        }
        let line = from + memchr::memrchr(b'\n', &self.bytes[from..start])? + 1;
        let before = memchr::memchr_iter(separator, &self.bytes[line..start]).count();
        let topics = self.words.of(self.text[..head].split(char::from(separator)).nth(before)?);
        topics.any(Topics::KINDS).then_some(topics)
    }

    fn table(&self) -> Option<Table> {
        let end = memchr::memchr(b'\n', &self.bytes[..self.bytes.len().min(LINE)])?;
        let head = &self.bytes[..end];
        let is_between = |mark: &u8| memchr::memchr_iter(*mark, head).count() >= 2;
        let separator = [b',', b';', b'\t', b'|'].into_iter().find(is_between)?;
        let is_data = |byte: &u8| byte.is_ascii_digit() || *byte == b'"' && separator != b',';
        (!head.iter().any(is_data)).then_some(Table { head: end, separator })
    }
}

/// How long a line of a table is.
const LINE: usize = 512;
