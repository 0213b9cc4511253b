//! The steps that make a database ready, each for both kinds. A step that was released is never changed; another is added.
//!
//! Keys are bytes, so that both databases order them as Rust does. Versions are given by the database and never twice, not
//! even to a key that was removed in between, and so none is mistaken for another that was at its place before.

/// One step.
pub(crate) struct Step {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// All of them, in order.
pub(crate) const STEPS: &[Step] = &[Step {
    sqlite: "CREATE TABLE portcullis_records (
               kind TEXT NOT NULL,
               key BLOB NOT NULL,
               value BLOB NOT NULL,
               version INTEGER NOT NULL,
               expires INTEGER,
               PRIMARY KEY (kind, key)
             );
             CREATE INDEX portcullis_records_end ON portcullis_records (expires) WHERE expires IS NOT NULL;
             CREATE TABLE portcullis_version (last INTEGER NOT NULL);
             INSERT INTO portcullis_version VALUES (0);",
    postgres: "CREATE TABLE portcullis_records (
                 kind TEXT NOT NULL,
                 key BYTEA NOT NULL,
                 value BYTEA NOT NULL,
                 version BIGINT NOT NULL,
                 expires BIGINT,
                 PRIMARY KEY (kind, key)
               );
               CREATE INDEX portcullis_records_end ON portcullis_records (expires) WHERE expires IS NOT NULL;
               CREATE SEQUENCE portcullis_version;",
}];

/// The last step that is known.
pub(crate) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Whether a database at `found` can be looked into as it is.
///
/// # Errors
/// It is not ready, or further than anything known here.
pub(crate) fn is_ready(found: i64) -> Result<(), super::OpenError> {
    if ahead(found)?.is_empty() { Ok(()) } else { Err(super::OpenError::NotReady { found, known: known() }) }
}

/// The steps that are still to be taken by a database that is at `found`.
///
/// # Errors
/// It is further than anything known here.
pub(crate) fn ahead(found: i64) -> Result<&'static [Step], super::OpenError> {
    let taken = usize::try_from(found).unwrap_or(0);
    STEPS.get(taken..).ok_or(super::OpenError::Newer { found, known: known() })
}
