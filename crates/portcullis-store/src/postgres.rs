//! Records in PostgreSQL, for gateways that share them.
//!
//! One connection carries all questions, one behind the other without waiting for answers (they are short, and few); it is
//! opened again when it is lost. A question is answered within a bounded time or given up, and a connection on which one was
//! given up is replaced. What changes something is never sent twice: it may have been done.
//!
//! Every change is one statement, and the database decides who came first. Off this machine TLS is demanded, and the
//! server's certificate is verified, unless the URL says `sslmode=disable`.

pub(crate) mod address;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_model::{Expected, Keeping, Put, Record, Records, Unavailable};
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio::sync::Mutex as Turns;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::migrations::RECORDS;
use crate::{Access, OpenError, bounds, moment};
use address::{Address, PATIENCE, Parameter, prepare, tell};

/// How long nobody tries to connect after it failed.
const REST: Duration = Duration::from_millis(500);
/// Records that one turn removes.
const AT_ONCE: i64 = 1000;

/// Records in PostgreSQL.
pub struct Postgres {
    address: Address,
    /// Where the connection lives.
    runtime: Handle,
    client: Mutex<Option<Arc<Client>>>,
    /// Whoever connects; when it failed last, and why.
    connecting: Turns<Option<(Instant, Unavailable)>>,
}

impl Postgres {
    /// Opens a database by its URL. Its connection lives on `runtime`; `tls` says whom to trust.
    ///
    /// # Errors
    /// The URL is none, the database cannot be reached, or it cannot be made ready.
    pub async fn open(
        url: &str,
        tls: ClientConfig,
        runtime: Handle,
        access: Access,
    ) -> Result<Self, OpenError> {
        let store = Self {
            address: Address::parse(url, tls)?,
            runtime,
            client: Mutex::default(),
            connecting: Turns::default(),
        };
        let mut client = store.connect().await.map_err(|error| OpenError::Database(error.0))?;
        prepare(&mut client, access, &RECORDS).await?;
        store.keep(Some(Arc::new(client)));
        Ok(store)
    }

    async fn connect(&self) -> Result<Client, Unavailable> {
        let address = self.address.clone();
        let connecting = self.runtime.spawn(async move { address.connect("the store").await });
        connecting.await.unwrap_or_else(|_| Err(Unavailable("the gateway is stopping".to_owned())))
    }

    fn keep(&self, client: Option<Arc<Client>>) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    fn kept(&self) -> Option<Arc<Client>> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        client.filter(|client| !client.is_closed())
    }

    async fn client(&self) -> Result<Arc<Client>, Unavailable> {
        if let Some(client) = self.kept() {
            return Ok(client);
        }
        let mut failed = self.connecting.lock().await;
        if let Some(client) = self.kept() {
            return Ok(client);
        }
        if let Some((at, error)) = failed.as_ref().filter(|(at, _)| at.elapsed() < REST) {
            tracing::debug!(seconds = at.elapsed().as_secs_f32(), "the store was tried a moment ago");
            return Err(error.clone());
        }
        match self.connect().await {
            Ok(client) => {
                let client = Arc::new(client);
                self.keep(Some(client.clone()));
                *failed = None;
                Ok(client)
            }
            Err(error) => {
                tracing::warn!(error = error.0, "cannot connect to the store");
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn query(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Unavailable> {
        let client = self.client().await?;
        match tokio::time::timeout(PATIENCE, client.query_typed(sql, parameters)).await {
            Ok(rows) => rows.map_err(|error| Unavailable(tell(&error))),
            Err(_) => {
                // What hangs holds up all that is behind it.
                let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &client)) {
                    *kept = None;
                }
                Err(Unavailable("no answer in time".to_owned()))
            }
        }
    }
}

fn record(row: &Row) -> Record {
    let (version, expires): (i64, Option<i64>) = (row.get("version"), row.get("expires"));
    let version = u64::try_from(version).unwrap_or(0);
    Record { value: row.get("value"), version, expires: expires.map(moment::read) }
}

impl Records for Postgres {
    fn get<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        Box::pin(async move {
            let sql = "SELECT value, version, expires FROM portcullis_records
                       WHERE kind = $1 AND key = $2 AND (expires IS NULL OR expires > $3)";
            let (key, now) = (key.as_bytes(), moment::now());
            let parameters: [Parameter<'_>; 3] =
                [(&kind, Type::TEXT), (&key, Type::BYTEA), (&now, Type::INT8)];
            Ok(self.query(sql, &parameters).await?.first().map(record))
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
        Box::pin(async move {
            bounds::check(kind, key, &value)?;
            let (key, expires, now) = (key.as_bytes(), expires.map(moment::kept), moment::now());
            let there = match expected {
                Expected::Version(version) => i64::try_from(version).unwrap_or(-1),
                Expected::Any | Expected::Absent => 0,
            };
            let mut parameters: Vec<Parameter<'_>> =
                vec![(&kind, Type::TEXT), (&key, Type::BYTEA), (&value, Type::BYTEA), (&expires, Type::INT8)];
            // The version is given when the row is locked: whoever comes second has the greater one.
            let sql = match expected {
                Expected::Any => {
                    "INSERT INTO portcullis_records (kind, key, value, version, expires)
                     VALUES ($1, $2, $3, nextval('portcullis_version'), $4)
                     ON CONFLICT (kind, key) DO UPDATE
                       SET value = $3, version = nextval('portcullis_version'), expires = $4
                     RETURNING version"
                }
                Expected::Absent => {
                    parameters.push((&now, Type::INT8));
                    "INSERT INTO portcullis_records (kind, key, value, version, expires)
                     VALUES ($1, $2, $3, nextval('portcullis_version'), $4)
                     ON CONFLICT (kind, key) DO UPDATE
                       SET value = $3, version = nextval('portcullis_version'), expires = $4
                       WHERE portcullis_records.expires <= $5
                     RETURNING version"
                }
                Expected::Version(_) => {
                    parameters.extend([(&now as _, Type::INT8), (&there as _, Type::INT8)]);
                    "UPDATE portcullis_records
                     SET value = $3, version = nextval('portcullis_version'), expires = $4
                     WHERE kind = $1 AND key = $2 AND version = $6 AND (expires IS NULL OR expires > $5)
                     RETURNING version"
                }
            };
            let rows = self.query(sql, &parameters).await?;
            Ok(rows
                .first()
                .map_or(Put::Conflict, |row| Put::Kept(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))))
        })
    }

    fn take<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        Box::pin(async move {
            let sql = "DELETE FROM portcullis_records WHERE kind = $1 AND key = $2 RETURNING value, version, expires";
            let key = key.as_bytes();
            let parameters: [Parameter<'_>; 2] = [(&kind, Type::TEXT), (&key, Type::BYTEA)];
            let taken = self.query(sql, &parameters).await?.first().map(record);
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
        Box::pin(async move {
            let sql = "SELECT key, value, version, expires FROM portcullis_records
                       WHERE kind = $1 AND key >= $2 AND ($3 < $2 OR key > $3) AND ($4 IS NULL OR key < $4)
                         AND (expires IS NULL OR expires > $5)
                       ORDER BY key LIMIT $6";
            let (from, end, after) = (prefix.as_bytes(), bounds::end_of(prefix), after.as_bytes());
            let (now, most) = (moment::now(), i64::try_from(most).unwrap_or(i64::MAX));
            let parameters: [Parameter<'_>; 6] = [
                (&kind, Type::TEXT),
                (&from, Type::BYTEA),
                (&after, Type::BYTEA),
                (&end, Type::BYTEA),
                (&now, Type::INT8),
                (&most, Type::INT8),
            ];
            let rows = self.query(sql, &parameters).await?;
            let one = |row: &Row| {
                let key: Vec<u8> = row.get("key");
                (String::from_utf8_lossy(&key).into_owned(), record(row))
            };
            Ok(rows.iter().map(one).collect())
        })
    }

    fn sweep(&self) -> Keeping<'_, usize> {
        Box::pin(async move {
            // What another gateway is removing is left to it.
            let sql = "DELETE FROM portcullis_records WHERE (kind, key) IN
                       (SELECT kind, key FROM portcullis_records WHERE expires <= $1
                        LIMIT $2 FOR UPDATE SKIP LOCKED)
                       RETURNING 1";
            let (now, most) = (moment::now(), AT_ONCE);
            let parameters: [Parameter<'_>; 2] = [(&now, Type::INT8), (&most, Type::INT8)];
            Ok(self.query(sql, &parameters).await?.len())
        })
    }
}
