//! What is kept between calls: records, in memory or in a database.
//!
//! Evidence logs can be kept in a database, too ([`SqliteJournal`], [`PostgresJournal`]).
//!
//! Every kind of store does the same ([`portcullis_model::Records`]); one suite of tests asks all of them. [`Memory`] is gone
//! with the process. [`Sqlite`] is a file beside a single gateway. [`Postgres`] is for gateways that share what they keep:
//! what two of them do at the same time has one winner, as within one.
//!
//! The statements are plain SQL, the same for both databases where they can be. A database is made ready by `migrations`,
//! one step after the other, and one that a newer version has made ready is left alone. What has ended is not there for
//! anybody, and [`portcullis_model::Records::sweep`] removes it in the end.
//!
//! Deliberately absent: secrets in the clear (whoever keeps something seals it first), and queries by what is in a value.

mod bounds;
mod journal;
mod memory;
mod migrations;
mod moment;
mod postgres;
mod sqlite;

pub use journal::{PostgresJournal, SqliteJournal};
pub use memory::Memory;
pub use postgres::Postgres;
pub use sqlite::Sqlite;

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For a gateway: it is made ready first.
    Serve,
    /// For a look at what is kept: it is left as it is, and must be ready.
    Read,
}

/// A store that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be used.
    #[error("cannot open the store {path}: {why}")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The URL is none.
    #[error("the URL of the store is not one of PostgreSQL (postgres://user@host/database): {0}")]
    Url(String),
    /// The database cannot be reached, or refuses.
    #[error("cannot open the store: {0}")]
    Database(String),
    /// No gateway of this version has made it ready.
    #[error("the store is not ready (step {found} of {known}); the gateway makes it so when it starts")]
    NotReady {
        /// The step that it is at.
        found: i64,
        /// The last step.
        known: i64,
    },
    /// A newer version of this program was here.
    #[error("the store was made ready by a newer version (step {found}, known here: {known}); run that one")]
    Newer {
        /// The step that it is at.
        found: i64,
        /// The last step that is known here.
        known: i64,
    },
}
