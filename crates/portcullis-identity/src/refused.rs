//! Why a credential is refused: what the caller is told, and what the log says.
//!
//! Outward there is one error, `invalid_token` (RFC 6750 section 3.1): the precise reason would tell a forger how far it
//! got. It is for the log.

use std::fmt;

/// A credential that does not let its caller in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is none.
    Missing,
    /// The request is no well-formed one (`invalid_request`).
    Malformed(&'static str),
    /// The token (`invalid_token`).
    Invalid(Reason),
    /// The proof of possession (`invalid_dpop_proof`, RFC 9449 section 7.1).
    Proof(Reason),
    /// A proof has to hold the nonce that the answer gives (`use_dpop_nonce`, RFC 9449 section 9).
    Nonce,
    /// The token is good, and not good for this (`insufficient_scope`).
    Scope,
    /// Whoever could tell cannot be asked now. Nobody is let in for that.
    Unavailable,
}

impl Refused {
    /// The code of RFC 6750 and RFC 9449, where there is one.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::Unavailable => None,
            Self::Malformed(_) => Some("invalid_request"),
            Self::Invalid(_) => Some("invalid_token"),
            Self::Proof(_) => Some("invalid_dpop_proof"),
            Self::Nonce => Some("use_dpop_nonce"),
            Self::Scope => Some("insufficient_scope"),
        }
    }
}

impl fmt::Display for Refused {
    /// For the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no credential"),
            Self::Malformed(why) => f.write_str(why),
            Self::Invalid(reason) => write!(f, "{reason}"),
            Self::Proof(reason) => write!(f, "DPoP proof: {reason}"),
            Self::Nonce => f.write_str("DPoP proof without the nonce of this gateway"),
            Self::Scope => f.write_str("the token lacks a scope"),
            Self::Unavailable => f.write_str("the identity provider cannot be asked"),
        }
    }
}

/// What is wrong with a token or a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Longer than any token.
    #[error("too large")]
    TooLarge,
    /// Neither an API key nor a token that anybody here could read.
    #[error("no token of a kind that is accepted here")]
    UnknownKind,
    /// Not three parts of base64url with JSON in the first two.
    #[error("not a well-formed JWS")]
    Unreadable,
    /// `crit`, `zip` or `b64`: asks for what is not done here.
    #[error("a header parameter that changes how the token is read")]
    UnknownCritical,
    /// `none`, a symmetric one, or one that is not in the issuer's list.
    #[error("an algorithm that is not allowed")]
    Algorithm,
    /// No configured issuer.
    #[error("an issuer that is not configured")]
    Issuer,
    /// No key of the issuer fits.
    #[error("no key of the issuer fits")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature does not verify")]
    Signature,
    /// Not said to be an access token.
    #[error("`typ` is not that of an access token")]
    Type,
    /// An ID token.
    #[error("an ID token, which is no access token")]
    IdToken,
    /// `exp`, `nbf` or `iat` is absent or no number.
    #[error("a time that is missing or no number")]
    Time,
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is to come.
    #[error("not valid yet")]
    NotYet,
    /// Longer than the issuer's tokens live.
    #[error("lives longer than is allowed")]
    Lifetime,
    /// Made for somebody else.
    #[error("made for another audience")]
    Audience,
    /// Another tenant of the issuer.
    #[error("of a tenant that is not allowed")]
    Tenant,
    /// Nobody in particular.
    #[error("without a subject")]
    Subject,
    /// The claim of groups is no text and no list of texts.
    #[error("the claim that lists groups is no list of texts")]
    Groups,
    /// The groups are somewhere else, as Entra says it of users with very many.
    #[error(
        "the token does not hold the user's groups (too many for it); have the issuer send fewer, or roles"
    )]
    GroupsElsewhere,
    /// Bound to a key, and presented without.
    #[error("bound to a key, and presented as a bearer token")]
    BoundAsBearer,
    /// Presented with a proof, and bound to no key.
    #[error("presented with a proof, and not bound to a key")]
    NotBound,
    /// Bound in a way that is not known here.
    #[error("bound in a way that is not known here")]
    UnknownBinding,
    /// Bound to another certificate than the connection's.
    #[error("bound to another client certificate")]
    Certificate,
    /// On the operator's list.
    #[error("revoked")]
    Revoked,
    /// The identity provider says that it is not active.
    #[error("not active")]
    Inactive,
    /// An API key that does not exist.
    #[error("an API key that does not exist")]
    UnknownApiKey,
    /// There is no proof.
    #[error("missing, or there is more than one")]
    NoProof,
    /// The embedded key.
    #[error("the embedded key is no public key that is accepted")]
    ProofKey,
    /// Another method or URL.
    #[error("made for another request")]
    ProofTarget,
    /// Too old, or from the future.
    #[error("made at another time")]
    ProofTime,
    /// Seen before.
    #[error("used before")]
    Replayed,
    /// Made for another token.
    #[error("made for another token")]
    ProofToken,
    /// Made with another key than the token's.
    #[error("made with another key than the token is bound to")]
    ProofThumbprint,
    /// More proofs than can be remembered.
    #[error("too many proofs to remember")]
    TooManyProofs,
}
