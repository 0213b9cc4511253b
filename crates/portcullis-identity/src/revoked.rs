//! What is not accepted any more, although it has not expired: the operator's list.

use std::collections::BTreeSet;

use portcullis_model::Principal;

use crate::verified::Verified;

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Tokens by `jti`.
    pub tokens: BTreeSet<String>,
    /// Principals by id: `user:<issuer>#<subject>`, `key:<id>`, `cert:<fingerprint>`, `spiffe://…`.
    pub principals: BTreeSet<String>,
}

impl Revoked {
    /// Whether a principal is on it.
    pub fn has(&self, principal: &Principal) -> bool {
        !self.principals.is_empty() && self.principals.contains(&principal.id())
    }

    pub(crate) fn has_verified(&self, verified: &Verified) -> bool {
        self.principals.contains(&*verified.id)
            || verified.token_id.as_ref().is_some_and(|id| self.tokens.contains(id))
    }
}
