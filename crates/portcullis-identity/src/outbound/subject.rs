//! A caller's token, kept to be exchanged for another: the one use of it after the caller was let in.
//!
//! It is made of what was verified, can be read in this crate alone, and goes to the token endpoint that the operator
//! named. Whatever is sent to a server is a [`super::Credential`], and nothing makes one of a subject.

use std::fmt;

use crate::inbound::{InboundToken, Presented, Scheme};
use crate::verified::Verified;

/// The token of a caller who was let in with it.
pub struct SubjectToken {
    text: String,
    /// In seconds since 1970.
    expires: u64,
}

impl SubjectToken {
    pub(super) fn expose(&self) -> &str {
        &self.text
    }

    pub(super) fn new(text: String) -> Self {
        Self { text, expires: 0 }
    }

    /// Whether it is to be used in place of another one: what waited may bring older tokens than what comes now.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        self.expires >= other.expires && self.text != other.text
    }

    /// The token, to be looked at as any that is presented.
    pub fn presented(&self) -> Presented<'_> {
        Presented { scheme: Scheme::Bearer, token: InboundToken::new(&self.text) }
    }
}

impl Presented<'_> {
    /// Keeps what is presented, and was verified, for an exchange.
    pub fn subject(&self, verified: &Verified) -> SubjectToken {
        SubjectToken { text: self.token.expose().to_owned(), expires: verified.expires }
    }
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_token_takes_no_newer_ones_place() {
        let of = |text: &str, expires| SubjectToken { text: text.into(), expires };
        assert!(of("b", 2).replaces(&of("a", 1)));
        assert!(!of("a", 1).replaces(&of("b", 2)));
        assert!(!of("a", 1).replaces(&of("a", 1)), "the same is no news");
        assert!(!format!("{:?}", of("canary", 1)).contains("canary"));
    }
}
