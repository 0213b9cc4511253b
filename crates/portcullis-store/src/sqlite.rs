//! Records in an SQLite file, for a single gateway.
//!
//! One thread has the file open and does one thing after the other; whoever wants something waits for its turn without
//! holding up anything else. A change is on the disk when it is reported (`synchronous = FULL`): a code that was taken is
//! taken, whatever happens to the power. Other processes may use the same file meanwhile; they wait for each other.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use portcullis_model::{Expected, Keeping, Put, Record, Records, Unavailable};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use crate::migrations::RECORDS;
use crate::{Access, OpenError, bounds, moment};

/// How long one process waits for another that has the file.
const PATIENCE: Duration = Duration::from_secs(5);
/// What may wait for the thread; more is refused.
const WAITING: usize = 1024;
/// Records that one turn removes, so that others have theirs.
const AT_ONCE: usize = 1000;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Records in an SQLite file.
pub struct Sqlite {
    jobs: mpsc::Sender<Job>,
}

impl Sqlite {
    /// Opens a file. To serve, it is made when it is missing, readable by its owner alone.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(path: &Path, access: Access) -> Result<Self, OpenError> {
        let failed = |why: String| OpenError::File { path: path.to_owned(), why };
        let opened = match access {
            Access::Serve => {
                // SQLite gives the files beside it the same permissions.
                let made = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
                drop(made.map_err(|error| failed(error.to_string()))?);
                make_ready(path)
            }
            Access::Read => look_into(path),
        };
        let mut connection = opened.map_err(|error| match error {
            Unready::Step(error) => error,
            Unready::Failed(error) => failed(error.to_string()),
        })?;
        let (jobs, mut queue) = mpsc::channel::<Job>(WAITING);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut connection);
            }
        });
        thread.map_err(|error| failed(error.to_string()))?;
        Ok(Self { jobs })
    }

    /// Has something done by the thread.
    fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Keeping<'_, T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Whoever asked may have gone.
            let _ = answer.send(act(connection));
        });
        let sent = self.jobs.try_send(job);
        Box::pin(async move {
            sent.map_err(|_| Unavailable(format!("more than {WAITING} wait for the SQLite file")))?;
            let done = answered.await.map_err(|_| Unavailable("the SQLite file was closed".to_owned()))?;
            done.map_err(|error| Unavailable(error.to_string()))
        })
    }
}

enum Unready {
    Step(OpenError),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Unready {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

fn look_into(path: &Path) -> Result<Connection, Unready> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(PATIENCE)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    RECORDS.is_ready(found).map_err(Unready::Step)?;
    Ok(connection)
}

fn make_ready(path: &Path) -> Result<Connection, Unready> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let ahead = RECORDS.ahead(found).map_err(Unready::Step)?;
    for step in ahead {
        change.execute_batch(step.sqlite)?;
    }
    if !ahead.is_empty() {
        change.pragma_update(None, "user_version", RECORDS.known())?;
    }
    change.commit()?;
    Ok(connection)
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let (version, expires): (i64, Option<i64>) = (row.get("version")?, row.get("expires")?);
    let version = u64::try_from(version).unwrap_or(0);
    Ok(Record { value: row.get("value")?, version, expires: expires.map(moment::read) })
}

impl Records for Sqlite {
    fn get<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        let key = key.as_bytes().to_vec();
        self.ask(move |connection| {
            let sql = "SELECT value, version, expires FROM portcullis_records
                       WHERE kind = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)";
            connection.query_row(sql, params![kind, key, moment::now()], record).optional()
        })
    }

    fn put<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        value: Vec<u8>,
        expires: Option<SystemTime>,
        expected: Expected,
    ) -> Keeping<'a, Put> {
        if let Err(error) = bounds::check(kind, key, &value) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let (key, expires) = (key.as_bytes().to_vec(), expires.map(moment::kept));
        self.ask(move |connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let next = "UPDATE portcullis_version SET last = last + 1 RETURNING last";
            let version: i64 = change.query_row(next, [], |row| row.get(0))?;
            let now = moment::now();
            let put = match expected {
                Expected::Any => change.execute(
                    "INSERT INTO portcullis_records (kind, key, value, version, expires) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (kind, key) DO UPDATE SET value = ?3, version = ?4, expires = ?5",
                    params![kind, key, value, version, expires],
                ),
                Expected::Absent => change.execute(
                    "INSERT INTO portcullis_records (kind, key, value, version, expires) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (kind, key) DO UPDATE SET value = ?3, version = ?4, expires = ?5
                     WHERE portcullis_records.expires <= ?6",
                    params![kind, key, value, version, expires, now],
                ),
                Expected::Version(there) => change.execute(
                    "UPDATE portcullis_records SET value = ?3, version = ?4, expires = ?5
                     WHERE kind = ?1 AND key = ?2 AND version = ?7 AND (expires IS NULL OR expires > ?6)",
                    params![kind, key, value, version, expires, now, i64::try_from(there).unwrap_or(-1)],
                ),
            };
            if put? == 0 {
                return Ok(Put::Conflict);
            }
            change.commit()?;
            Ok(Put::Kept(u64::try_from(version).unwrap_or(0)))
        })
    }

    fn take<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        let key = key.as_bytes().to_vec();
        self.ask(move |connection| {
            let sql = "DELETE FROM portcullis_records WHERE kind = ?1 AND key = ?2 RETURNING value, version, expires";
            let taken = connection.query_row(sql, params![kind, key], record).optional()?;
            Ok(taken.filter(|record| record.expires.is_none_or(|end| SystemTime::now() < end)))
        })
    }

    fn list<'a>(
        &'a self,
        kind: &'static str,
        prefix: &'a str,
        after: &'a str,
        most: usize,
    ) -> Keeping<'a, Vec<(String, Record)>> {
        let (from, end) = (prefix.as_bytes().to_vec(), bounds::end_of(prefix));
        let after = after.as_bytes().to_vec();
        self.ask(move |connection| {
            // A key is a page's first when nothing came before it: the empty text is not after itself.
            let mut found = connection.prepare(
                "SELECT key, value, version, expires FROM portcullis_records
                 WHERE kind = ?1 AND key >= ?2 AND (?3 < ?2 OR key > ?3) AND (?4 IS NULL OR key < ?4)
                   AND (expires IS NULL OR expires > ?5)
                 ORDER BY key LIMIT ?6",
            )?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let rows = found.query_map(params![kind, from, after, end, moment::now(), most], |row| {
                let key: Vec<u8> = row.get("key")?;
                Ok((String::from_utf8_lossy(&key).into_owned(), record(row)?))
            })?;
            rows.collect()
        })
    }

    fn sweep(&self) -> Keeping<'_, usize> {
        self.ask(|connection| {
            let sql = "DELETE FROM portcullis_records WHERE rowid IN
                       (SELECT rowid FROM portcullis_records WHERE expires <= ?1 LIMIT ?2)";
            connection.execute(sql, params![moment::now(), i64::try_from(AT_ONCE).unwrap_or(i64::MAX)])
        })
    }
}
