//! The slug that names a server in paths, prefixes, logs and metrics.
//!
//! Its grammar has no `_`, no upper case and a length bound, so that `slug__tool` can never be read two ways and a
//! case-folding client cannot make two servers one. It is the operator's name for the server, never the server's
//! own claim (`serverInfo.name` is neither unique nor trusted).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest slug, in characters: leaves 42 of the 64 that model APIs accept for the tool's own name.
const MAX_LEN: usize = 20;

/// A server's slug: `[a-z0-9]+(-[a-z0-9]+)*`, 1 to 20 characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(Arc<str>);

/// A text that is not a [`ServerId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a server name: use 1 to 20 of a-z and 0-9, with single dashes inside, for example `my-files`"
)]
pub struct InvalidServerId {
    /// What was given.
    pub given: String,
}

impl ServerId {
    /// Reads a slug.
    ///
    /// # Errors
    /// [`InvalidServerId`] when `text` does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, InvalidServerId> {
        let well_formed = text.len() <= MAX_LEN
            && text.split('-').all(|label| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            });
        if well_formed { Ok(Self(text.into())) } else { Err(InvalidServerId { given: text.to_owned() }) }
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerId({})", self.0)
    }
}

impl FromStr for ServerId {
    type Err = InvalidServerId;
    fn from_str(text: &str) -> Result<Self, InvalidServerId> {
        Self::parse(text)
    }
}

impl AsRef<str> for ServerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ServerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
