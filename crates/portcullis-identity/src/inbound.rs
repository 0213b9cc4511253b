//! What a caller presents, and where it ends.
//!
//! An [`InboundToken`] is made from the `Authorization` field and can be read inside this crate only: it implements no
//! `AsRef`, `Display` or `Clone`, and its `Debug` shows nothing. So no code outside can log it or send it on, which MCP
//! forbids (2026-07-28, authorization, "access token usage": a server must not pass on the token it received).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use crate::refused::Refused;

/// Longest credential that is looked at, in bytes (check 1 of the list).
pub(crate) const LONGEST: usize = 16 * 1024;

/// A token that somebody presents: borrowed from the request, and unreadable outside this crate.
pub struct InboundToken<'a>(&'a str);

impl<'a> InboundToken<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &'a str {
        self.0
    }

    /// SHA-256 over all of it: the key of every cache.
    pub(crate) fn digest(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }
}

impl fmt::Debug for InboundToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InboundToken(***)")
    }
}

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has it may use it (RFC 6750).
    Bearer,
    /// With a proof that the caller has the key it is bound to (RFC 9449).
    Dpop,
}

/// An `Authorization` field.
#[derive(Debug)]
pub struct Presented<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) token: InboundToken<'a>,
}

impl<'a> Presented<'a> {
    /// Reads the value of an `Authorization` field.
    ///
    /// # Errors
    /// It is of no scheme that is known here, or no single token (RFC 6750 section 2.1).
    pub fn read(value: &'a [u8]) -> Result<Self, Refused> {
        let text =
            std::str::from_utf8(value).map_err(|_| Refused::Malformed("`Authorization` is no text"))?;
        let text = text.trim();
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        let scheme = match scheme {
            scheme if scheme.eq_ignore_ascii_case("Bearer") => Scheme::Bearer,
            scheme if scheme.eq_ignore_ascii_case("DPoP") => Scheme::Dpop,
            // Of no kind that says anything here.
            _ => return Err(Refused::Missing),
        };
        let token = token.trim_start();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.is_empty() || !token.bytes().all(fits) {
            return Err(Refused::Malformed("`Authorization` must hold one token"));
        }
        Ok(Self { scheme, token: InboundToken::new(token) })
    }

    /// How it is presented.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_token_of_a_known_scheme_and_nothing_else() {
        for good in ["Bearer abc", "bearer abc", "BEARER  abc", "DPoP a.b-c_d~e+f/g=="] {
            assert!(Presented::read(good.as_bytes()).is_ok(), "{good}");
        }
        for other in ["", "Basic abc", "abc"] {
            assert!(matches!(Presented::read(other.as_bytes()), Err(Refused::Missing)), "{other}");
        }
        for bad in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer \u{e9}"] {
            assert!(matches!(Presented::read(bad.as_bytes()), Err(Refused::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn shows_nothing_of_a_token() {
        let presented = Presented::read(b"Bearer canary").unwrap();
        assert!(!format!("{presented:?}").contains("canary"));
    }
}
