//! What is to be changed in a document, and values that are to be changed wherever they stand.

use aho_corasick::AhoCorasick;

use crate::{Action, Entity};

/// Text that takes the place of other text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edit {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) text: String,
}

/// A value that was replaced because of where it stood, and has to be replaced where it stands again.
#[derive(Debug, Clone)]
pub(crate) struct Copied {
    pub(crate) value: String,
    pub(crate) entity: Option<Entity>,
    pub(crate) action: Action,
}

/// Values to look for besides.
pub(crate) struct Copies {
    pub(crate) automaton: AhoCorasick,
    pub(crate) values: Vec<Copied>,
}
