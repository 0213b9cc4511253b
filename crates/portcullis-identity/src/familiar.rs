//! The credential that a connection showed last, and what was made of it: clients show the same with every request.
//!
//! It saves the digest of a token and all that follows from it, and believes nothing for longer than the memory of tokens
//! does (`authenticate.rs`): what was made ends with that, with the next reload and with any login that ends. What has to be
//! shown anew with each request, a proof of possession, makes nothing familiar.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::constant_time;

use crate::authenticate::{Identity, LONGEST_REMEMBERED};
use crate::verified::{Binding, Verified};

/// What one connection is known by. The credential cannot be read from it.
pub struct Familiar<T>(Mutex<Option<Seen<T>>>);

struct Seen<T> {
    credential: Box<[u8]>,
    mark: Mark,
    until: u64,
    made: T,
}

/// A state of who is let in: it counts until something is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub(crate) u64);

impl<T> Default for Familiar<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Familiar<T> {
    /// What was made of the very same value of `Authorization`, while that counts.
    pub fn recall(&self, identity: &Identity, credential: &[u8]) -> Option<T> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen =
            seen.as_ref().filter(|seen| seen.mark == identity.mark() && seen.until > identity.now())?;
        // Behind a proxy, callers may share a connection.
        let same = constant_time::verify_slices_are_equal(&seen.credential, credential).is_ok();
        same.then(|| seen.made.clone())
    }

    /// Keeps what was made of one. `mark` is of before it was verified.
    pub fn keep(&self, mark: Mark, credential: &[u8], verified: &Verified, made: T) {
        if matches!(verified.binding, Binding::Key(_)) || credential.len() > LONGEST_REMEMBERED {
            return;
        }
        let seen = Seen { credential: credential.into(), mark, until: verified.fresh_until, made };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}
