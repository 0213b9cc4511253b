//! What somebody else has found in texts: handed in, since the engine asks nobody.
//!
//! [`Engine::texts`] says what there is to be looked at in a document, and [`Told`] what was found in each. Places are in
//! bytes of the text as it reads, without the escapes of JSON.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use portcullis_mcp::json::Raw;

use crate::json::walk::Walk;
use crate::recognise::Hit;
use crate::{Engine, Entity, Limit};

/// A place in a text, and what is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// What.
    pub entity: Entity,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// How sure that is, from 0 to 1.
    pub score: f32,
}

/// What was found in each text. A document with a text that is not among them was not looked at in full, and does not pass.
#[derive(Clone, Debug, Default)]
pub struct Told(HashMap<String, Arc<[Span]>>);

impl FromIterator<(String, Arc<[Span]>)> for Told {
    fn from_iter<I: IntoIterator<Item = (String, Arc<[Span]>)>>(texts: I) -> Self {
        Self(texts.into_iter().collect())
    }
}

impl Told {
    /// What was found in a text.
    pub fn spans(&self, text: &str) -> &[Span] {
        self.0.get(text).map_or(&[], |spans| &spans[..])
    }

    /// Whether a text should have been looked at, and was not.
    pub fn is_unread(&self, text: &str) -> bool {
        !self.0.contains_key(text) && is_worth_asking(text)
    }

    /// # Errors
    /// The text should have been looked at, and was not.
    pub(crate) fn in_text(&self, text: &str) -> Result<impl Iterator<Item = Hit>, Limit> {
        if self.is_unread(text) {
            return Err(Limit::Unread);
        }
        let fits = |span: &&Span| span.start < span.end && text.get(span.start..span.end).is_some();
        Ok(self.spans(text).iter().filter(fits).map(|span| Hit {
            entity: span.entity,
            detail: "told",
            start: span.start,
            end: span.end,
            score: span.score,
        }))
    }
}

impl Engine {
    /// The texts of a value in which somebody else may find something, each once.
    pub fn texts(&self, value: &Raw) -> Vec<String> {
        if value.as_bytes().len() > self.limits.bytes {
            return Vec::new();
        }
        let mut nobody = ();
        let mut walk = Walk::new(self, None, &mut nobody, None, value.as_bytes().len());
        walk.texts = Some(HashSet::default());
        walk.document(value.as_str());
        walk.texts.unwrap_or_default().into_iter().collect()
    }
}

/// Whether there is a word in a text.
pub(crate) fn is_worth_asking(text: &str) -> bool {
    text.chars().filter(|c| c.is_alphabetic()).nth(1).is_some()
}
