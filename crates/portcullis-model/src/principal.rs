//! For whom a call is made.
//!
//! Sessions and cursors are bound to a principal and are worthless to another one. Tokens and API keys add their
//! kinds here when identity grows; today a caller is either anonymous on loopback or proven by a client certificate.

use std::fmt;
use std::sync::Arc;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A caller on loopback that proved nothing.
    Anonymous,
    /// A caller that presented a certificate which the configured client CA signed.
    Certificate {
        /// SHA-256 over the DER certificate, lower-case hex (RFC 8705 section 3.1's thumbprint, in hex).
        fingerprint: Arc<str>,
    },
}

impl fmt::Display for Principal {
    /// The stable id for logs, limits and seals: `anonymous` or `cert:<fingerprint>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Certificate { fingerprint } => write!(f, "cert:{fingerprint}"),
        }
    }
}
