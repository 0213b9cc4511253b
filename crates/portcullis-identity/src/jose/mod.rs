//! Signed tokens (RFC 7515), keys (RFC 7517) and algorithms (RFC 7518), as far as they are needed to verify, and to sign
//! what is the gateway's own (`sign.rs`).
//!
//! Nothing here encrypts, or follows what a token says about where its key is.

mod algorithm;
mod compact;
mod jwk;
mod key_set;
mod sign;

pub use algorithm::Algorithm;

pub(crate) use compact::{Compact, Object};
pub(crate) use jwk::Jwk;
pub(crate) use key_set::KeySet;
pub(crate) use sign::SigningKey;
