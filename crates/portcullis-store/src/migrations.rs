//! The steps that make a database ready, each for both kinds. A step that was released is never changed; another is added.
//!
//! Keys are bytes, so that both databases order them as Rust does. Versions are given by the database and never twice, not
//! even to a key that was removed in between, and so none is mistaken for another that was at its place before.

/// One step.
pub(crate) struct Step {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// What belongs together and is made ready on its own. Two may share a database of PostgreSQL, and not a file of SQLite.
pub(crate) struct Schema {
    /// The table in which PostgreSQL keeps the steps that were taken.
    pub(crate) table: &'static str,
    steps: &'static [Step],
}

/// Records by kind and key.
pub(crate) const RECORDS: Schema = Schema { table: "portcullis_schema", steps: RECORDS_STEPS };
/// Evidence logs.
pub(crate) const EVIDENCE: Schema = Schema { table: "portcullis_evidence_schema", steps: EVIDENCE_STEPS };

const RECORDS_STEPS: &[Step] = &[Step {
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

// What events are found by is bytes, too: a caller may have chosen it, and nothing is no text to PostgreSQL. Most events are
// exchanges and allowed, so only the others are worth a place in an index.
const EVIDENCE_STEPS: &[Step] = &[Step {
    sqlite: "CREATE TABLE portcullis_log (first INTEGER NOT NULL);
             INSERT INTO portcullis_log VALUES (0);
             CREATE TABLE portcullis_events (
               seq INTEGER NOT NULL PRIMARY KEY,
               record BLOB NOT NULL,
               payload BLOB,
               ended INTEGER NOT NULL,
               kind BLOB NOT NULL,
               person BLOB,
               server BLOB,
               tool BLOB,
               verdict BLOB,
               findings BLOB,
               tile BLOB
             );
             CREATE INDEX portcullis_events_person ON portcullis_events (person, seq) WHERE person IS NOT NULL;
             CREATE INDEX portcullis_events_tool ON portcullis_events (tool, seq) WHERE tool IS NOT NULL;
             CREATE INDEX portcullis_events_ended ON portcullis_events (ended);
             CREATE INDEX portcullis_events_kind ON portcullis_events (kind, seq) WHERE kind <> x'65786368616e6765';
             CREATE INDEX portcullis_events_verdict ON portcullis_events (verdict, seq) WHERE verdict <> x'616c6c6f77';
             CREATE INDEX portcullis_events_findings ON portcullis_events (seq) WHERE findings IS NOT NULL;
             CREATE INDEX portcullis_events_tile ON portcullis_events (seq) WHERE tile IS NOT NULL;
             CREATE TABLE portcullis_beside (
               kind TEXT NOT NULL,
               name BLOB NOT NULL,
               value BLOB NOT NULL,
               PRIMARY KEY (kind, name)
             );",
    postgres: "CREATE TABLE portcullis_logs (
                 log INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                 name TEXT NOT NULL UNIQUE,
                 first BIGINT NOT NULL DEFAULT 0
               );
               CREATE TABLE portcullis_events (
                 log INTEGER NOT NULL,
                 seq BIGINT NOT NULL,
                 record BYTEA NOT NULL,
                 payload BYTEA,
                 ended BIGINT NOT NULL,
                 kind BYTEA NOT NULL,
                 person BYTEA,
                 server BYTEA,
                 tool BYTEA,
                 verdict BYTEA,
                 findings BYTEA,
                 tile BYTEA,
                 PRIMARY KEY (log, seq)
               );
               CREATE INDEX portcullis_events_person ON portcullis_events (log, person, seq) WHERE person IS NOT NULL;
               CREATE INDEX portcullis_events_tool ON portcullis_events (log, tool, seq) WHERE tool IS NOT NULL;
               CREATE INDEX portcullis_events_ended ON portcullis_events USING brin (ended);
               CREATE INDEX portcullis_events_kind ON portcullis_events (log, kind, seq)
                 WHERE kind <> '\\x65786368616e6765'::bytea;
               CREATE INDEX portcullis_events_verdict ON portcullis_events (log, verdict, seq)
                 WHERE verdict <> '\\x616c6c6f77'::bytea;
               CREATE INDEX portcullis_events_findings ON portcullis_events (log, seq) WHERE findings IS NOT NULL;
               CREATE INDEX portcullis_events_tile ON portcullis_events (log, seq) WHERE tile IS NOT NULL;
               CREATE TABLE portcullis_beside (
                 log INTEGER NOT NULL,
                 kind TEXT NOT NULL,
                 name BYTEA NOT NULL,
                 value BYTEA NOT NULL,
                 PRIMARY KEY (log, kind, name)
               );",
}];

impl Schema {
    /// The last step that is known.
    pub(crate) fn known(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }

    /// Whether a database at `found` can be looked into as it is.
    ///
    /// # Errors
    /// It is not ready, or further than anything known here.
    pub(crate) fn is_ready(&self, found: i64) -> Result<(), super::OpenError> {
        if self.ahead(found)?.is_empty() {
            Ok(())
        } else {
            Err(super::OpenError::NotReady { found, known: self.known() })
        }
    }

    /// The steps that are still to be taken by a database that is at `found`.
    ///
    /// # Errors
    /// It is further than anything known here.
    pub(crate) fn ahead(&self, found: i64) -> Result<&'static [Step], super::OpenError> {
        let taken = usize::try_from(found).unwrap_or(0);
        self.steps.get(taken..).ok_or(super::OpenError::Newer { found, known: self.known() })
    }
}
