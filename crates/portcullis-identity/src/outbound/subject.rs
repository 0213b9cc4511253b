//! A caller's token, kept to be exchanged for another: the one use of it after the caller was let in.
//!
//! It is made of what was verified, can be read in this crate alone, and goes to the token endpoint that the operator
//! named. Whatever is sent to a server is a [`super::Credential`], and nothing makes one of a subject.

use std::fmt;

use crate::inbound::{InboundToken, Presented, Scheme};

/// The token of a caller who was let in with it.
pub struct SubjectToken(String);

impl SubjectToken {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The token, to be looked at as any that is presented.
    pub fn presented(&self) -> Presented<'_> {
        Presented { scheme: Scheme::Bearer, token: InboundToken::new(&self.0) }
    }
}

impl Presented<'_> {
    /// Keeps what is presented for an exchange. Only for what was verified.
    pub fn subject(&self) -> SubjectToken {
        SubjectToken(self.token.expose().to_owned())
    }
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectToken(***)")
    }
}
