//! Signed tokens (RFC 7515), keys (RFC 7517) and algorithms (RFC 7518), as far as they are needed to verify.
//!
//! Nothing here signs, encrypts, or follows what a token says about where its key is.

mod algorithm;
mod compact;
mod jwk;
mod key_set;

pub use algorithm::Algorithm;

pub(crate) use compact::{Compact, Object};
pub(crate) use jwk::Jwk;
pub(crate) use key_set::KeySet;
