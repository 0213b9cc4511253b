//! An evidence log in an SQLite file, for a single gateway.
//!
//! One process writes; it holds a lock on a file beside the database, for SQLite itself would let others write in between. A
//! batch is one transaction and one wait for the disk (`synchronous = FULL`, in WAL mode). Connections of their own read and
//! search, so that nobody who reads holds up an answer that waits for its event.
//!
//! What is removed is overwritten (`secure_delete`), and the write-ahead log emptied after a key was: otherwise an erased
//! person's keys would lie there for a while.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_model::{Batch, Entry, Extent, Journal, Search, Unavailable};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Row, ToSql, TransactionBehavior, params, params_from_iter,
};

use super::query::{Dialect, Query, Value};
use super::{Columns, READ, REMOVE, cannot_follow, join, number, refuse_reader, seq};
use crate::migrations::EVIDENCE;
use crate::{Access, OpenError, bounds};

/// How long one process waits for another that has the file.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tells a file of an evidence log from any other of SQLite: "pcev" in ASCII.
const APPLICATION: i64 = 0x7063_6576;
/// What every file of SQLite begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Pages of the write-ahead log (of 4 KiB) after which it is written to its place. More makes stalls rarer and longer.
const CHECKPOINT: i64 = 4096;
const COLUMNS: &str = "seq, record, ended, kind, person, server, tool, verdict, findings, payload";
const FOUND: &str = "seq, record, ended, kind, person, server, tool, verdict, findings, NULL AS payload";

/// An evidence log in an SQLite file.
pub struct SqliteJournal {
    path: PathBuf,
    search: Mutex<Connection>,
    read: Mutex<Connection>,
    /// Closed last: it alone can bring what is in the write-ahead log to its place.
    write: Option<Mutex<Connection>>,
    /// Held while this one may write.
    _lock: Option<File>,
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Number(number) => ValueRef::Integer(*number),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl SqliteJournal {
    /// Opens a file. To serve, it is made when it is missing, readable by its owner alone; one process at a time can.
    ///
    /// # Errors
    /// The file cannot be used, is something else, or another process writes there.
    pub fn open(path: &Path, access: Access) -> Result<Self, OpenError> {
        let failed = |why: String| OpenError::File { path: path.to_owned(), why };
        let database = |error: rusqlite::Error| failed(error.to_string());
        let (mut write, mut lock) = (None, None);
        if access == Access::Serve {
            lock = Some(take_lock(path).map_err(failed)?);
            // SQLite gives the files beside it the same permissions.
            let made = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
            drop(made.map_err(|error| failed(error.to_string()))?);
            write = Some(Mutex::new(make_ready(path)?));
        }
        let read = look_into(path).map_err(database)?;
        is_log(&read, path)?;
        let search = look_into(path).map_err(database)?;
        Ok(Self {
            path: path.to_owned(),
            write,
            read: Mutex::new(read),
            search: Mutex::new(search),
            _lock: lock,
        })
    }

    /// Whether a file is one of SQLite, of whatever kind.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        let mut start = [0; 16];
        File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *MAGIC
    }

    fn writer(&self) -> Result<MutexGuard<'_, Connection>, Unavailable> {
        Ok(lock(refuse_reader(self.write.as_ref())?))
    }

    /// What is short is asked where nobody reads for long.
    fn short(&self) -> MutexGuard<'_, Connection> {
        lock(self.write.as_ref().unwrap_or(&self.read))
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Unavailable + '_ {
        |error| Unavailable(format!("{}: {error}", self.path.display()))
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_lock(path: &Path) -> Result<File, String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&beside);
    let file = file.map_err(|error| format!("{}: {error}", Path::new(&beside).display()))?;
    file.try_lock().map_err(|error| format!("another process writes here: {error}"))?;
    Ok(file)
}

fn make_ready(path: &Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| OpenError::File { path: path.to_owned(), why: error.to_string() };
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(failed)?;
    if pages > 0 {
        is_log(&connection, path).or_else(|error| match error {
            OpenError::NotReady { found, .. } if found > 0 => Ok(()),
            error => Err(error),
        })?;
    }
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("secure_delete", "ON")] {
        connection.pragma_update(None, name, value).map_err(failed)?;
    }
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT).map_err(failed)?;
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let ahead = EVIDENCE.ahead(found)?;
    for step in ahead {
        change.execute_batch(step.sqlite).map_err(failed)?;
    }
    if !ahead.is_empty() {
        change.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
        change.pragma_update(None, "user_version", EVIDENCE.known()).map_err(failed)?;
    }
    change.commit().map_err(failed)?;
    Ok(connection)
}

/// For reading. A copy on a disk that nobody can write to is read as it is.
fn look_into(path: &Path) -> rusqlite::Result<Connection> {
    let ask = |connection: Connection| {
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
        Ok(connection)
    };
    let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(ask);
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let alone = File::open(&log).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if opened.is_ok() || !alone || !path.is_file() {
        return opened;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let escaped: String = path.to_string_lossy().chars().fold(String::new(), |mut text, c| {
        match c {
            '%' => text.push_str("%25"),
            '?' => text.push_str("%3f"),
            '#' => text.push_str("%23"),
            c => text.push(c),
        }
        text
    });
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags).and_then(ask)
}

fn is_log(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let ask = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let failed = |why: String| OpenError::File { path: path.to_owned(), why };
    let (application, found) = ask("application_id")
        .and_then(|application| Ok((application, ask("user_version")?)))
        .map_err(|error| failed(error.to_string()))?;
    if application != APPLICATION {
        return Err(failed("it is a file of SQLite, and no evidence log".to_owned()));
    }
    EVIDENCE.is_ready(found)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let bytes = |name: &str| row.get_ref(name).and_then(|value| Ok(value.as_bytes_or_null()?));
    let columns = Columns {
        ended: row.get("ended")?,
        kind: bytes("kind")?.unwrap_or_default(),
        person: bytes("person")?,
        server: bytes("server")?,
        tool: bytes("tool")?,
        verdict: bytes("verdict")?,
        findings: bytes("findings")?,
    };
    let marks = columns.marks();
    let record = bytes("record")?.unwrap_or_default().to_vec();
    Ok(Entry { seq: seq(row.get("seq")?), record, payload: row.get("payload")?, marks })
}

fn next(connection: &Connection) -> rusqlite::Result<Extent> {
    let sql = "SELECT first, (SELECT max(seq) FROM portcullis_events) FROM portcullis_log";
    let found = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (first, last): (i64, Option<i64>) = found.optional()?.unwrap_or_default();
    let first = seq(first);
    Ok(Extent { first, next: last.map_or(first, |last| seq(last) + 1).max(first) })
}

fn add(change: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    fn bytes(text: Option<&String>) -> Option<&[u8]> {
        text.map(String::as_bytes)
    }
    let mut add = change.prepare(
        "INSERT INTO portcullis_events
           (seq, record, payload, ended, kind, person, server, tool, verdict, findings, tile)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for entry in batch.entries() {
        let marks = entry.marks();
        add.execute(params![
            i64::try_from(entry.seq).unwrap_or(i64::MAX),
            entry.record,
            entry.payload,
            marks.time,
            marks.kind.as_bytes(),
            bytes(marks.person.as_ref()),
            bytes(marks.server.as_ref()),
            bytes(marks.tool.as_ref()),
            bytes(marks.decision.as_ref()),
            join(&marks.findings),
            entry.hashes.tile.as_ref().map(<[u8; 32]>::as_slice),
        ])?;
    }
    Ok(())
}

impl Journal for SqliteJournal {
    fn extent(&self) -> Result<Extent, Unavailable> {
        next(&self.short()).map_err(self.failed())
    }

    fn append(&self, batch: &mut Batch) -> Result<(), Unavailable> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut connection = self.writer()?;
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let change = change.map_err(self.failed())?;
        let extent = next(&change).map_err(self.failed())?;
        if batch.first() != extent.next {
            return Err(cannot_follow(batch.first(), extent.next));
        }
        add(&change, batch).map_err(self.failed())?;
        change.commit().map_err(self.failed())
    }

    fn read(&self, from: u64, most: usize) -> Result<Vec<Entry>, Unavailable> {
        let connection = lock(&self.read);
        let read = || {
            let sql = format!(
                "SELECT {COLUMNS} FROM portcullis_events
                 WHERE seq >= max(?1, (SELECT first FROM portcullis_log)) ORDER BY seq LIMIT ?2"
            );
            let mut asked = connection.prepare(&sql)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let mut rows = asked.query(params![i64::try_from(from).unwrap_or(i64::MAX), most])?;
            let (mut entries, mut bytes) = (Vec::new(), 0);
            while bytes < READ
                && let Some(row) = rows.next()?
            {
                let entry = entry(row)?;
                bytes += entry.record.len() + entry.payload.as_ref().map_or(0, Vec::len);
                entries.push(entry);
            }
            Ok(entries)
        };
        read().map_err(self.failed())
    }

    fn find(&self, search: &Search, most: usize) -> Result<Vec<Entry>, Unavailable> {
        let text =
            format!("SELECT {FOUND} FROM portcullis_events WHERE seq >= (SELECT first FROM portcullis_log)");
        let mut query = Query { dialect: Dialect::Sqlite, text, values: Vec::new() };
        query.looks_for(search)?;
        query.at_most(most);
        let connection = lock(&self.search);
        let find = || {
            let mut asked = connection.prepare(&query.text)?;
            asked.query_map(params_from_iter(&query.values), entry)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        find().map_err(self.failed())
    }

    fn tiles(&self) -> Result<Vec<[u8; 32]>, Unavailable> {
        let first = self.extent()?.first;
        let connection = lock(&self.read);
        let read = || {
            let sql =
                "SELECT seq, tile FROM portcullis_events WHERE tile IS NOT NULL AND seq >= ?1 ORDER BY seq";
            let mut asked = connection.prepare(sql)?;
            let first = i64::try_from(first).unwrap_or(i64::MAX);
            asked
                .query_map([first], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(super::without_holes(first, read().map_err(self.failed())?))
    }

    fn remove_before(&self, before: u64) -> Result<(), Unavailable> {
        let before = number(before)?;
        if before > number(self.extent()?.next)? {
            return Err(Unavailable(format!("there is no event {before}")));
        }
        let sql = "UPDATE portcullis_log SET first = max(first, ?1)";
        self.writer()?.execute(sql, [before]).map_err(self.failed())?;
        loop {
            let sql = "DELETE FROM portcullis_events WHERE seq IN
                       (SELECT seq FROM portcullis_events WHERE seq < ?1 ORDER BY seq LIMIT ?2)";
            let removed = self.writer()?.execute(sql, [before, REMOVE]).map_err(self.failed())?;
            if removed == 0 {
                return Ok(());
            }
        }
    }

    fn put(&self, kind: &'static str, name: &str, value: &[u8]) -> Result<(), Unavailable> {
        let sql = "INSERT INTO portcullis_beside (kind, name, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (kind, name) DO UPDATE SET value = ?3";
        let put = self.writer()?.execute(sql, params![kind, name.as_bytes(), value]);
        put.map(drop).map_err(self.failed())
    }

    fn get(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let sql = "SELECT value FROM portcullis_beside WHERE kind = ?1 AND name = ?2";
        let found = self.short().query_row(sql, params![kind, name.as_bytes()], |row| row.get(0));
        found.optional().map_err(self.failed())
    }

    fn list(&self, kind: &'static str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Unavailable> {
        let connection = lock(&self.read);
        let list = || {
            let mut asked = connection.prepare(
                "SELECT name, value FROM portcullis_beside
                 WHERE kind = ?1 AND name >= ?2 AND (?3 IS NULL OR name < ?3) ORDER BY name",
            )?;
            let asked = asked.query_map(params![kind, prefix.as_bytes(), bounds::end_of(prefix)], |row| {
                let name: Vec<u8> = row.get(0)?;
                Ok((String::from_utf8_lossy(&name).into_owned(), row.get(1)?))
            })?;
            asked.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().map_err(self.failed())
    }

    fn remove(&self, kind: &'static str, name: &str) -> Result<(), Unavailable> {
        let connection = self.writer()?;
        let sql = "DELETE FROM portcullis_beside WHERE kind = ?1 AND name = ?2";
        let removed = connection.execute(sql, params![kind, name.as_bytes()]).map_err(self.failed())?;
        if removed > 0 && kind == "data-key" {
            // Busy where somebody reads just now: then it is emptied when they are done.
            let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            emptied.map_err(self.failed())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_lists_waits_for_nobody_who_writes() {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("log.db"), Access::Serve).unwrap();
        journal.put("hold", "case-1", b"x").unwrap();
        let (send, listed) = mpsc::channel();
        std::thread::scope(|scope| {
            let writing = journal.writer().unwrap();
            scope.spawn(|| send.send(journal.list("hold", "")).unwrap());
            let listed = listed.recv_timeout(PATIENCE);
            drop(writing);
            assert_eq!(listed.unwrap().unwrap(), [("case-1".to_owned(), b"x".to_vec())]);
        });
    }
}
