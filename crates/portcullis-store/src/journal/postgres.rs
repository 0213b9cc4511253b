//! An evidence log in PostgreSQL, for gateways that share a database: each has a log of its own there, by its name.
//!
//! Calls block, and come from threads that have nothing to do with the connections: those live on a thread of their own. One
//! connection writes, and holds a lock of the session for as long as it lives, so that one gateway at a time writes to a log.
//! A batch is one statement, so one round trip and one wait for the server's disk. Others read and search, so that nobody who
//! reads holds up an answer that waits for its event. A connection that was lost is opened again by whoever needs it next;
//! what was under way then may have been done or not, and whoever asked finds out.

mod lane;

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use portcullis_model::{Batch, Entry, Extent, Journal, Search, Unavailable};
use rustls::ClientConfig;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::query::{Dialect, Query, Value};
use super::{Columns, READ, REMOVE, cannot_follow, join, number, refuse_reader, seq};
use crate::migrations::EVIDENCE;
use crate::postgres::address::{Address, PATIENCE, Parameter, prepare};
use crate::{Access, OpenError, bounds};
use lane::Lane;

/// For reading and searching.
const READING: Duration = Duration::from_mins(1);
/// How long another writer is waited for at the start: one that was killed is gone within moments.
const TAKING_OVER: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(200);
const COLUMNS: &str = "seq, record, ended, kind, person, server, tool, verdict, findings, payload";
const FOUND: &str =
    "seq, record, ended, kind, person, server, tool, verdict, findings, NULL::bytea AS payload";

/// An evidence log in PostgreSQL.
pub struct PostgresJournal {
    inner: Arc<Inner>,
    runtime: Handle,
    /// The thread of the connections ends with it.
    _alive: oneshot::Sender<()>,
}

struct Inner {
    log: i32,
    write: Option<Lane>,
    read: Lane,
    search: Lane,
}

impl PostgresJournal {
    /// Opens a log by the URL of its database and its name; `tls` says whom to trust. To serve, what is missing is made.
    /// Without a name it is the one log that is there. Blocks.
    ///
    /// # Errors
    /// The URL is none, the database cannot be reached or made ready, there is no such log, or another gateway writes to it.
    pub fn open(url: &str, tls: ClientConfig, log: Option<&str>, access: Access) -> Result<Self, OpenError> {
        let address = Address::parse(url, tls)?;
        let (runtime, alive) = own_thread()?;
        let name = log.map(str::to_owned);
        let inner = wait(&runtime, async move { find_log(&address, name, access).await });
        let inner = inner.map_err(|error| OpenError::Database(error.0))??;
        let journal = Self { inner: Arc::new(inner), runtime, _alive: alive };
        if access == Access::Serve {
            journal.take_over()?;
        }
        Ok(journal)
    }

    /// Waits until nobody else writes.
    fn take_over(&self) -> Result<(), OpenError> {
        let began = Instant::now();
        loop {
            let asked = self.ask(|inner| async move {
                refuse_reader(inner.write.as_ref())?.query(PATIENCE, "SELECT 1", &[]).await
            });
            match asked {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() >= TAKING_OVER => return Err(OpenError::Database(error.0)),
                Err(_) => std::thread::sleep(RETRY),
            }
        }
    }

    /// Has something done on the thread of the connections, and waits for it.
    fn ask<T, F>(&self, act: impl FnOnce(Arc<Inner>) -> F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Unavailable>> + Send + 'static,
    {
        wait(&self.runtime, act(self.inner.clone()))?
    }
}

fn own_thread() -> Result<(Handle, oneshot::Sender<()>), OpenError> {
    let failed = |error: std::io::Error| OpenError::Database(error.to_string());
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let (alive, ended) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name("evidence-db".to_owned());
    thread.spawn(move || runtime.block_on(ended)).map_err(failed)?;
    Ok((handle, alive))
}

fn wait<T: Send + 'static>(
    runtime: &Handle,
    act: impl Future<Output = T> + Send + 'static,
) -> Result<T, Unavailable> {
    let (answer, answered) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // Whoever asked waits.
        let _ = answer.send(act.await);
    });
    answered.recv().map_err(|_| Unavailable("the connections to the database are closed".to_owned()))
}

/// Makes the database ready if it may, and finds the log's number.
async fn find_log(address: &Address, name: Option<String>, access: Access) -> Result<Inner, OpenError> {
    let failed = |error: Unavailable| OpenError::Database(error.0);
    let mut client = address.connect("the database of the evidence log").await.map_err(failed)?;
    prepare(&mut client, access, &EVIDENCE).await?;
    drop(client);
    let read = Lane::new(address.clone());
    if let Some(name) = name.as_ref().filter(|_| access == Access::Serve) {
        let sql = "INSERT INTO portcullis_logs (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
        read.query(PATIENCE, sql, &[(name, Type::TEXT)]).await.map_err(failed)?;
    }
    let sql = "SELECT log, name FROM portcullis_logs ORDER BY name";
    let logs = read.query(PATIENCE, sql, &[]).await.map_err(failed)?;
    let logs: Vec<(i32, String)> = logs.iter().map(|row| (row.get(0), row.get(1))).collect();
    let found = match &name {
        Some(name) => logs.iter().find(|(_, found)| found == name),
        None => logs.first().filter(|_| logs.len() == 1),
    };
    let Some((log, _)) = found else {
        let wanted = name.map_or_else(
            || "which log it is has to be said".to_owned(),
            |it| format!("there is no log {it}"),
        );
        let names: Vec<_> = logs.iter().map(|(_, name)| name.as_str()).collect();
        return Err(OpenError::Database(format!("{wanted}; there are: {}", names.join(", "))));
    };
    let write = (access == Access::Serve).then(|| Lane::writing(address.clone(), *log));
    Ok(Inner { log: *log, write, read, search: Lane::new(address.clone()) })
}

impl Inner {
    /// What is short is asked where nobody reads for long.
    fn short(&self) -> &Lane {
        self.write.as_ref().unwrap_or(&self.read)
    }

    async fn extent(&self, lane: &Lane) -> Result<Extent, Unavailable> {
        let sql = "SELECT first, (SELECT max(seq) FROM portcullis_events WHERE log = $1)
                   FROM portcullis_logs WHERE log = $1";
        let rows = lane.query(PATIENCE, sql, &[(&self.log, Type::INT4)]).await?;
        let Some(row) = rows.first() else { return Ok(Extent::default()) };
        let (first, last): (i64, Option<i64>) = (row.get(0), row.get(1));
        let first = seq(first);
        Ok(Extent { first, next: last.map_or(first, |last| seq(last) + 1).max(first) })
    }

    async fn append(&self, rows: Rows) -> Result<(), Unavailable> {
        let (lane, first) = (refuse_reader(self.write.as_ref())?, rows.seq[0]);
        let sql = "WITH added AS (
                     INSERT INTO portcullis_events
                       (log, seq, record, payload, ended, kind, person, server, tool, verdict, findings, tile)
                     SELECT $1, * FROM UNNEST($3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bytea[],
                       $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[])
                     WHERE $2 = (SELECT greatest(first, 1 + (SELECT max(seq) FROM portcullis_events WHERE log = $1))
                                 FROM portcullis_logs WHERE log = $1)
                     RETURNING 1)
                   SELECT count(*) FROM added";
        let bytes = || Type::BYTEA_ARRAY;
        let parameters: [Parameter<'_>; 13] = [
            (&self.log, Type::INT4),
            (&first, Type::INT8),
            (&rows.seq, Type::INT8_ARRAY),
            (&rows.record, bytes()),
            (&rows.payload, bytes()),
            (&rows.ended, Type::INT8_ARRAY),
            (&rows.kind, bytes()),
            (&rows.person, bytes()),
            (&rows.server, bytes()),
            (&rows.tool, bytes()),
            (&rows.verdict, bytes()),
            (&rows.findings, bytes()),
            (&rows.tile, bytes()),
        ];
        let added = lane.query(PATIENCE, sql, &parameters).await?;
        if added.first().is_some_and(|row| row.get::<_, i64>(0) > 0) {
            return Ok(());
        }
        Err(cannot_follow(seq(first), self.extent(lane).await?.next))
    }

    async fn read(&self, from: i64, most: i64) -> Result<Vec<Entry>, Unavailable> {
        // Sizes are known without the values: what is more than is given at once is left where it is.
        let sql = format!(
            "SELECT {COLUMNS} FROM portcullis_events WHERE log = $1 AND seq BETWEEN greatest($2,
               (SELECT first FROM portcullis_logs WHERE log = $1)) AND
               (SELECT max(seq) FROM (
                 SELECT seq, size, sum(size) OVER (ORDER BY seq) AS total FROM (
                   SELECT seq, octet_length(record) + coalesce(octet_length(payload), 0) AS size
                   FROM portcullis_events WHERE log = $1 AND seq >= greatest($2,
                     (SELECT first FROM portcullis_logs WHERE log = $1)) ORDER BY seq LIMIT $3) AS next) AS sized
                WHERE total - size < $4)
             ORDER BY seq"
        );
        let bytes = i64::try_from(READ).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 4] =
            [(&self.log, Type::INT4), (&from, Type::INT8), (&most, Type::INT8), (&bytes, Type::INT8)];
        let rows = self.read.query(READING, &sql, &parameters).await?;
        Ok(rows.iter().map(entry).collect())
    }

    async fn find(&self, query: Query) -> Result<Vec<Entry>, Unavailable> {
        let mut parameters: Vec<Parameter<'_>> = vec![(&self.log, Type::INT4)];
        // The first place is the log's.
        parameters.extend(query.values.iter().skip(1).map(|value| -> Parameter<'_> {
            match value {
                Value::Number(number) => (number, Type::INT8),
                Value::Bytes(bytes) => (bytes, Type::BYTEA),
            }
        }));
        let rows = self.search.query(READING, &query.text, &parameters).await?;
        Ok(rows.iter().map(entry).collect())
    }

    async fn remove_before(&self, before: i64) -> Result<(), Unavailable> {
        let lane = refuse_reader(self.write.as_ref())?;
        if before > number(self.extent(lane).await?.next)? {
            return Err(Unavailable(format!("there is no event {before}")));
        }
        let sql = "UPDATE portcullis_logs SET first = greatest(first, $2) WHERE log = $1";
        let parameters: [Parameter<'_>; 2] = [(&self.log, Type::INT4), (&before, Type::INT8)];
        lane.query(PATIENCE, sql, &parameters).await?;
        let sql = "SELECT min(seq) FROM portcullis_events WHERE log = $1";
        let first = self.search.query(READING, sql, &[(&self.log, Type::INT4)]).await?;
        let mut from: i64 = first.first().and_then(|row| row.get(0)).unwrap_or(before);
        while from < before {
            let to = before.min(from.saturating_add(REMOVE));
            let sql = "DELETE FROM portcullis_events WHERE log = $1 AND seq < $2";
            let parameters: [Parameter<'_>; 2] = [(&self.log, Type::INT4), (&to, Type::INT8)];
            self.search.query(READING, sql, &parameters).await?;
            from = to;
        }
        Ok(())
    }

    async fn beside(
        &self,
        kind: &'static str,
        from: Vec<u8>,
        end: Option<Vec<u8>>,
    ) -> Result<Vec<Row>, Unavailable> {
        let sql = "SELECT name, value FROM portcullis_beside
                   WHERE log = $1 AND kind = $2 AND name >= $3 AND ($4 IS NULL OR name < $4) ORDER BY name";
        let parameters: [Parameter<'_>; 4] =
            [(&self.log, Type::INT4), (&kind, Type::TEXT), (&from, Type::BYTEA), (&end, Type::BYTEA)];
        self.read.query(READING, sql, &parameters).await
    }
}

/// A batch, column by column.
#[derive(Default)]
struct Rows {
    seq: Vec<i64>,
    record: Vec<Vec<u8>>,
    payload: Vec<Option<Vec<u8>>>,
    ended: Vec<i64>,
    kind: Vec<Vec<u8>>,
    person: Vec<Option<Vec<u8>>>,
    server: Vec<Option<Vec<u8>>>,
    tool: Vec<Option<Vec<u8>>>,
    verdict: Vec<Option<Vec<u8>>>,
    findings: Vec<Option<Vec<u8>>>,
    tile: Vec<Option<Vec<u8>>>,
}

impl Rows {
    fn of(batch: &Batch) -> Result<Self, Unavailable> {
        let mut rows = Self::default();
        for entry in batch.entries() {
            let marks = entry.marks();
            rows.seq.push(number(entry.seq)?);
            rows.record.push(entry.record.to_vec());
            rows.payload.push(entry.payload.map(<[u8]>::to_vec));
            rows.ended.push(marks.time);
            rows.kind.push(marks.kind.into_bytes());
            rows.person.push(marks.person.map(String::into_bytes));
            rows.server.push(marks.server.map(String::into_bytes));
            rows.tool.push(marks.tool.map(String::into_bytes));
            rows.verdict.push(marks.decision.map(String::into_bytes));
            rows.findings.push(join(&marks.findings));
            rows.tile.push(entry.hashes.tile.map(|tile| tile.to_vec()));
        }
        Ok(rows)
    }
}

fn entry(row: &Row) -> Entry {
    let columns = Columns {
        ended: row.get(2),
        kind: row.get(3),
        person: row.get(4),
        server: row.get(5),
        tool: row.get(6),
        verdict: row.get(7),
        findings: row.get(8),
    };
    let marks = columns.marks();
    Entry { seq: seq(row.get(0)), record: row.get(1), payload: row.get(9), marks }
}

impl Journal for PostgresJournal {
    fn extent(&self) -> Result<Extent, Unavailable> {
        self.ask(|inner| async move { inner.extent(inner.short()).await })
    }

    fn append(&self, batch: &mut Batch) -> Result<(), Unavailable> {
        if batch.is_empty() {
            return Ok(());
        }
        let rows = Rows::of(batch)?;
        self.ask(|inner| async move { inner.append(rows).await })
    }

    fn read(&self, from: u64, most: usize) -> Result<Vec<Entry>, Unavailable> {
        let (from, most) = (i64::try_from(from).unwrap_or(i64::MAX), i64::try_from(most).unwrap_or(i64::MAX));
        self.ask(|inner| async move { inner.read(from, most).await })
    }

    fn find(&self, search: &Search, most: usize) -> Result<Vec<Entry>, Unavailable> {
        let text = format!(
            "SELECT {FOUND} FROM portcullis_events
             WHERE log = $1 AND seq >= (SELECT first FROM portcullis_logs WHERE log = $1)"
        );
        let values = vec![Value::Number(self.inner.log.into())];
        let mut query = Query { dialect: Dialect::Postgres, text, values };
        query.looks_for(search)?;
        query.at_most(most);
        self.ask(|inner| async move { inner.find(query).await })
    }

    fn tiles(&self) -> Result<Vec<[u8; 32]>, Unavailable> {
        self.ask(|inner| async move {
            let first = inner.extent(inner.short()).await?.first;
            let from = number(first)?;
            let sql = "SELECT seq, tile FROM portcullis_events
                       WHERE log = $1 AND tile IS NOT NULL AND seq >= $2 ORDER BY seq";
            let parameters: [Parameter<'_>; 2] = [(&inner.log, Type::INT4), (&from, Type::INT8)];
            let rows = inner.read.query(READING, sql, &parameters).await?;
            Ok(super::without_holes(first, rows.iter().map(|row| (row.get(0), row.get(1))).collect()))
        })
    }

    fn remove_before(&self, before: u64) -> Result<(), Unavailable> {
        let before = number(before)?;
        self.ask(|inner| async move { inner.remove_before(before).await })
    }

    fn put(&self, kind: &'static str, name: &str, value: &[u8]) -> Result<(), Unavailable> {
        let (name, value) = (name.as_bytes().to_vec(), value.to_vec());
        self.ask(|inner| async move {
            let sql = "INSERT INTO portcullis_beside (log, kind, name, value) VALUES ($1, $2, $3, $4)
                       ON CONFLICT (log, kind, name) DO UPDATE SET value = $4";
            let parameters: [Parameter<'_>; 4] =
                [(&inner.log, Type::INT4), (&kind, Type::TEXT), (&name, Type::BYTEA), (&value, Type::BYTEA)];
            refuse_reader(inner.write.as_ref())?.query(PATIENCE, sql, &parameters).await.map(drop)
        })
    }

    fn get(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let name = name.as_bytes().to_vec();
        self.ask(|inner| async move {
            let sql = "SELECT value FROM portcullis_beside WHERE log = $1 AND kind = $2 AND name = $3";
            let parameters: [Parameter<'_>; 3] =
                [(&inner.log, Type::INT4), (&kind, Type::TEXT), (&name, Type::BYTEA)];
            let rows = inner.short().query(PATIENCE, sql, &parameters).await?;
            Ok(rows.first().map(|row| row.get(0)))
        })
    }

    fn list(&self, kind: &'static str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Unavailable> {
        let (from, end) = (prefix.as_bytes().to_vec(), bounds::end_of(prefix));
        self.ask(|inner| async move {
            let rows = inner.beside(kind, from, end).await?;
            let name = |row: &Row| String::from_utf8_lossy(row.get(0)).into_owned();
            Ok(rows.iter().map(|row| (name(row), row.get(1))).collect())
        })
    }

    fn remove(&self, kind: &'static str, name: &str) -> Result<(), Unavailable> {
        let name = name.as_bytes().to_vec();
        self.ask(|inner| async move {
            let sql = "DELETE FROM portcullis_beside WHERE log = $1 AND kind = $2 AND name = $3";
            let parameters: [Parameter<'_>; 3] =
                [(&inner.log, Type::INT4), (&kind, Type::TEXT), (&name, Type::BYTEA)];
            refuse_reader(inner.write.as_ref())?.query(PATIENCE, sql, &parameters).await.map(drop)
        })
    }
}
