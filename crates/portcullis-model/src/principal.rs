//! For whom a call is made.
//!
//! A principal is who somebody is, and what was vouched for about them at the moment of the call. The two are kept
//! apart: principals are equal when they are the same somebody, whatever groups or scopes the last token had. Sessions,
//! cursors, request states and tasks are bound to that identity and are worthless to anybody else. It is never an e-mail
//! address or a name, which change hands: a user is the pair of issuer and subject, a key is its id, a workload its SPIFFE
//! id, and everything else with a certificate is that certificate.

mod claim;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use claim::Claim;

/// Who calls. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A caller on loopback that proved nothing.
    Anonymous,
    /// A caller that presented a certificate which the configured client CA signed.
    Certificate {
        /// SHA-256 over the DER certificate, lower-case hex (RFC 8705 section 3.1's thumbprint, in hex).
        fingerprint: Arc<str>,
    },
    /// A caller whose certificate is an X.509-SVID: its certificates change, its SPIFFE id stays.
    Workload {
        /// `spiffe://trust-domain/path`.
        spiffe_id: Arc<str>,
    },
    /// Somebody for whom an identity provider issued an access token: a person, or a client on its own behalf.
    User(Arc<User>),
    /// A machine with one of our own API keys.
    Key(Arc<Key>),
}

/// What an access token says of the one it was issued for.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// The issuer's identifier, as configured.
    pub issuer: String,
    /// `sub`: unique for the issuer, and never used for somebody else.
    pub subject: String,
    /// The client software that the token was issued to.
    pub client_id: Option<String>,
    /// What the token may be used for.
    pub scopes: Vec<String>,
    /// The groups that the issuer says the user is in.
    pub groups: Vec<String>,
    /// All claims that are not the token's own mechanics (`exp`, `jti`, `cnf` and the like).
    pub claims: BTreeMap<String, Claim>,
}

/// What the operator says of an API key.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// Its name in the file of keys.
    pub id: String,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// What it may be used for.
    pub scopes: Vec<String>,
}

impl Principal {
    /// A user.
    pub fn user(user: User) -> Self {
        Self::User(Arc::new(user))
    }

    /// A user of whom no more is known than who they are: as the issuer calls them.
    pub fn of(issuer: &str, subject: &str) -> Self {
        Self::user(User { issuer: issuer.to_owned(), subject: subject.to_owned(), ..User::default() })
    }

    /// An API key.
    pub fn key(key: Key) -> Self {
        Self::Key(Arc::new(key))
    }

    /// The stable id, the same for as long as this is the same somebody, and never anybody else's: `anonymous`,
    /// `cert:<fingerprint>`, `spiffe://<domain>/<path>`, `user:<issuer>#<subject>` (an issuer has no fragment, RFC 8414
    /// section 2) or `key:<id>`.
    pub fn id(&self) -> String {
        self.to_string()
    }

    /// Whether it is the same somebody, of whom the same is vouched for.
    pub fn is_vouched_as(&self, other: &Self) -> bool {
        self == other
            && match (self, other) {
                (Self::User(one), Self::User(two)) => {
                    Arc::ptr_eq(one, two)
                        || (one.client_id == two.client_id
                            && one.scopes == two.scopes
                            && one.groups == two.groups
                            && one.claims == two.claims)
                }
                (Self::Key(one), Self::Key(two)) => one.groups == two.groups && one.scopes == two.scopes,
                _ => true,
            }
    }

    /// Whether the caller proved nothing.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// The groups that somebody vouched for.
    pub fn groups(&self) -> &[String] {
        match self {
            Self::User(user) => &user.groups,
            Self::Key(key) => &key.groups,
            Self::Anonymous | Self::Certificate { .. } | Self::Workload { .. } => &[],
        }
    }

    /// What the credential may be used for; `None` where the kind of credential knows no scopes, which restricts nothing.
    pub fn scopes(&self) -> Option<&[String]> {
        match self {
            Self::User(user) => Some(&user.scopes),
            Self::Key(key) => Some(&key.scopes),
            Self::Anonymous | Self::Certificate { .. } | Self::Workload { .. } => None,
        }
    }
}

impl PartialEq for Principal {
    /// Whether it is the same somebody; what is vouched for about them does not count.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Certificate { fingerprint: one }, Self::Certificate { fingerprint: other })
            | (Self::Workload { spiffe_id: one }, Self::Workload { spiffe_id: other }) => one == other,
            (Self::User(one), Self::User(other)) => {
                one.subject == other.subject && one.issuer == other.issuer
            }
            (Self::Key(one), Self::Key(other)) => one.id == other.id,
            _ => false,
        }
    }
}

impl Eq for Principal {}

impl Hash for Principal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Anonymous => {}
            Self::Certificate { fingerprint } => fingerprint.hash(state),
            Self::Workload { spiffe_id } => spiffe_id.hash(state),
            Self::User(user) => (&user.issuer, &user.subject).hash(state),
            Self::Key(key) => key.id.hash(state),
        }
    }
}

impl fmt::Display for Principal {
    /// The stable id, for logs, limits and seals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Certificate { fingerprint } => write!(f, "cert:{fingerprint}"),
            Self::Workload { spiffe_id } => f.write_str(spiffe_id),
            Self::User(user) => write!(f, "user:{}#{}", user.issuer, user.subject),
            Self::Key(key) => write!(f, "key:{}", key.id),
        }
    }
}

#[cfg(test)]
mod tests;
