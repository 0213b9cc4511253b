//! What is kept: small values by kind and key, each with a version and perhaps an end.
//!
//! The one shape is enough for all that identity keeps (connected accounts, codes, refresh tokens, consents, registered
//! clients): what happens once is taken, what two write at the same time is told apart by its version, what ends is gone.
//! Whoever keeps something seals it first; a store never sees a secret in the clear. `portcullis-store` implements this.

use std::pin::Pin;
use std::time::SystemTime;

/// A value that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was put, sealed by whoever put it.
    pub value: Vec<u8>,
    /// Grows with every change of the record.
    pub version: u64,
    /// From then on it is not there.
    pub expires: Option<SystemTime>,
}

/// What must be so for a value to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// There is no such record.
    Absent,
    /// The record has this version.
    Version(u64),
}

/// Whether a value was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was, and this is its version.
    Kept(u64),
    /// It was not: what was expected is not so.
    Conflict,
}

/// The store cannot be asked or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is unavailable: {0}")]
pub struct Unavailable(pub String);

/// An answer of the store under way.
pub type Keeping<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// Keeps records. Kinds are words of the code (`connection`, `refresh-token`), keys are up to 512 bytes of UTF-8, values up
/// to 1 MiB.
pub trait Records: Send + Sync {
    /// The record of a key.
    fn get<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>>;

    /// Puts a value in place of what is there, if that is as expected.
    fn put<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        value: Vec<u8>,
        expires: Option<SystemTime>,
        expected: Expected,
    ) -> Keeping<'a, Put>;

    /// Removes a record and gives it to exactly one of those who take it at the same time.
    fn take<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>>;

    /// The records whose keys begin with `prefix` and come after `after`, in the order of keys (by bytes), `most` of them at
    /// most.
    fn list<'a>(
        &'a self,
        kind: &'static str,
        prefix: &'a str,
        after: &'a str,
        most: usize,
    ) -> Keeping<'a, Vec<(String, Record)>>;

    /// Removes some of what has ended, which nobody sees any more; says how much that was. When it was much, there is more.
    fn sweep(&self) -> Keeping<'_, usize>;
}
