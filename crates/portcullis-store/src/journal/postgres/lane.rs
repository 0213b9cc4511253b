//! One connection, opened when it is needed and again when it was lost; who asks on it waits for who asked before.

use std::time::Duration;

use portcullis_model::Unavailable;
use tokio::sync::Mutex;
use tokio_postgres::{Client, Row};

use crate::postgres::address::{Address, PATIENCE, Parameter, tell};

/// The first half of the lock on a log, which keeps others from writing to it; the second is its number. "port" in ASCII.
const WRITES: i32 = 0x706f_7274;
/// A gateway whose machine is gone writes no more: the server finds out within half a minute. What is reported as written is on
/// the server's disk, whatever is usual there.
const WRITER: &str =
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

pub(super) struct Lane {
    address: Address,
    /// The log that it alone may write to.
    writes: Option<i32>,
    client: Mutex<Option<Client>>,
}

impl Lane {
    pub(super) fn new(address: Address) -> Self {
        Self { address, writes: None, client: Mutex::default() }
    }

    /// For whoever writes to a log: while it is connected, nobody else is.
    pub(super) fn writing(address: Address, log: i32) -> Self {
        Self { address, writes: Some(log), client: Mutex::default() }
    }

    async fn connect(&self) -> Result<Client, Unavailable> {
        let client = self.address.connect("the database of the evidence log").await?;
        if let Some(log) = self.writes {
            let failed = |error: tokio_postgres::Error| Unavailable(tell(&error));
            client.batch_execute(WRITER).await.map_err(failed)?;
            let lock = "SELECT pg_try_advisory_lock($1, $2)";
            if !client.query_one(lock, &[&WRITES, &log]).await.map_err(failed)?.get::<_, bool>(0) {
                return Err(Unavailable("another gateway writes to this log".to_owned()));
            }
        }
        Ok(client)
    }

    pub(super) async fn query(
        &self,
        patience: Duration,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Unavailable> {
        let mut kept = self.client.lock().await;
        if kept.as_ref().is_some_and(Client::is_closed) {
            *kept = None;
        }
        let client = match kept.take() {
            Some(client) => client,
            None => tokio::time::timeout(PATIENCE, self.connect())
                .await
                .map_err(|_| Unavailable("no connection in time".to_owned()))??,
        };
        // Given up, it is closed: what hangs would hold up all that is behind it.
        let asked = tokio::time::timeout(patience, client.query_typed(sql, parameters)).await;
        let asked = asked.map_err(|_| Unavailable("no answer in time".to_owned()))?;
        *kept = Some(client);
        asked.map_err(|error| Unavailable(tell(&error)))
    }
}
