//! A caller's token, kept to be exchanged for another: the one use of it after the caller was let in.
//!
//! It is made of what was verified, can be read in this crate alone, and goes to the token endpoint that the operator
//! named. Whatever is sent to a server is a [`super::Credential`], and nothing makes one of a subject.

use std::fmt;
use std::sync::Arc;

use crate::clock::now;
use crate::facade::Brought;
use crate::inbound::{InboundToken, Presented, Scheme, sha256};
use crate::jose::Compact;
use crate::verified::Verified;
use serde_json::Value;

/// The token of a caller who was let in with it.
pub struct SubjectToken {
    text: String,
    /// In seconds since 1970; 0 where that is not known.
    expires: u64,
    /// When it was issued, as far as it says.
    issued: Option<u64>,
    /// What it is good for, in order: whoever shows a token of other scopes is called for with another one.
    scopes: Arc<[String]>,
    /// Whose it is, in the words of its issuer: an ID token of somebody who logged in at the gateway.
    person: Option<(String, String)>,
}

impl SubjectToken {
    pub(super) fn expose(&self) -> &str {
        &self.text
    }

    pub(super) fn new(text: String) -> Self {
        Self { text, expires: 0, issued: None, scopes: Arc::default(), person: None }
    }

    /// A token that ends and was issued so many seconds from now.
    #[cfg(test)]
    pub(super) fn of(text: &str, ends: i64, issued: Option<i64>) -> Self {
        let at = |seconds: i64| now().saturating_add_signed(seconds);
        let issued = issued.map(at);
        Self { text: text.to_owned(), expires: at(ends), issued, scopes: Arc::default(), person: None }
    }

    /// What it is good for, in order.
    pub fn scopes(&self) -> &Arc<[String]> {
        &self.scopes
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        sha256(self.text.as_bytes())
    }

    /// Whether it has expired.
    pub(super) fn is_over(&self) -> bool {
        self.expires != 0 && self.expires <= now()
    }

    /// Whether it is to be used in place of another one: what waited may bring older tokens than what comes now, and what is
    /// over has no place to keep. By when they were issued, where both say so, for the newer one may be the shorter.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        if self.text == other.text || self.is_over() {
            return false;
        }
        other.is_over()
            || match (self.issued, other.issued) {
                (Some(own), Some(others)) if own != others => own > others,
                _ => self.expires >= other.expires,
            }
    }

    /// The ID token of somebody who logged in at the gateway itself, and was let in with its token.
    pub(crate) fn brought(brought: &Brought, verified: &Verified) -> Self {
        let Brought { id_token, expires, issued, .. } = brought;
        let claims = Compact::parse(id_token).map(|it| it.claims).unwrap_or_default();
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (expires, issued) = (*expires, *issued);
        let person = Some((text("iss"), text("sub")));
        Self { text: id_token.clone(), expires, issued, scopes: scopes_of(verified), person }
    }

    /// What it is (RFC 8693 section 3), where that is not an access token.
    pub(super) fn id_token(&self) -> Option<&'static str> {
        self.person.as_ref().map(|_| "urn:ietf:params:oauth:token-type:id_token")
    }

    /// Its issuer and subject, where it is an ID token.
    pub(super) fn person(&self) -> Option<(&str, &str)> {
        self.person.as_ref().map(|(issuer, subject)| (issuer.as_str(), subject.as_str()))
    }

    /// The token, to be looked at as any that is presented.
    pub fn presented(&self) -> Presented<'_> {
        Presented { scheme: Scheme::Bearer, token: InboundToken::new(&self.text) }
    }
}

impl Presented<'_> {
    /// Keeps what is presented, and was verified, for an exchange.
    pub fn subject(&self, verified: &Verified) -> SubjectToken {
        SubjectToken {
            text: self.token.expose().to_owned(),
            expires: verified.expires,
            issued: verified.issued,
            scopes: scopes_of(verified),
            person: None,
        }
    }
}

fn scopes_of(verified: &Verified) -> Arc<[String]> {
    let mut scopes = verified.principal.scopes().unwrap_or_default().to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into()
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, ends: i64, issued: Option<i64>) -> SubjectToken {
        SubjectToken::of(text, ends, issued)
    }

    #[test]
    fn the_newest_valid_token_counts() {
        assert!(of("b", 20, None).replaces(&of("a", 10, None)));
        assert!(!of("a", 10, None).replaces(&of("b", 20, None)));
        assert!(!of("a", 10, None).replaces(&of("a", 10, None)), "the same is no news");
        assert!(of("b", 10, Some(-1)).replaces(&of("a", 1000, Some(-60))), "a newer one that is shorter");
        assert!(!of("a", 1000, Some(-60)).replaces(&of("b", 10, Some(-1))), "and no older one after it");
        assert!(of("b", 10, None).replaces(&of("a", -1, None)), "what is over keeps no place");
        assert!(of("b", 10, Some(-60)).replaces(&of("a", -1, Some(-1))), "however new it was");
        assert!(!of("b", -1, Some(-1)).replaces(&of("a", 10, Some(-60))), "and takes none");
        assert!(!format!("{:?}", of("canary", 1, None)).contains("canary"));
    }
}
