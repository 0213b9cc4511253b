//! The name of a toolset in paths, policies and evidence.
//!
//! The grammar is that of servers' slugs. Names of tools never carry it, so it may be longer.

use std::fmt;
use std::sync::Arc;

/// Longest name, in characters.
const MAX_LEN: usize = 40;

/// A toolset's name: `[a-z0-9]+(-[a-z0-9]+)*`, 1 to 40 characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolsetId(Arc<str>);

/// A text that is not a [`ToolsetId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a toolset name: use 1 to 40 of a-z and 0-9, with single dashes inside, for example `support-desk`"
)]
pub struct InvalidToolsetId {
    /// What was given.
    pub given: String,
}

impl ToolsetId {
    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidToolsetId`] when `text` does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, InvalidToolsetId> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut labels = text.split('-');
        let well_formed =
            text.len() <= MAX_LEN && labels.all(|label| !label.is_empty() && label.bytes().all(is_plain));
        if well_formed { Ok(Self(text.into())) } else { Err(InvalidToolsetId { given: text.to_owned() }) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ToolsetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ToolsetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolsetId({})", self.0)
    }
}

impl std::borrow::Borrow<str> for ToolsetId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_refuses_the_rest() {
        let longest = "a".repeat(MAX_LEN);
        for good in ["a", "support-desk", "a1-b2", &longest] {
            assert_eq!(ToolsetId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        let too_long = "a".repeat(MAX_LEN + 1);
        for bad in ["", "-", "a-", "a--b", "A", "a_b", "a/b", "é", "../a", &too_long] {
            assert_eq!(ToolsetId::parse(bad), Err(InvalidToolsetId { given: bad.to_owned() }), "{bad:?}");
        }
    }
}
