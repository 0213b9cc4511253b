//! Where a database is, how it is connected to, and how it is made ready.

use std::time::Duration;

use portcullis_model::Unavailable;
use rustls::ClientConfig;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config};

use super::tls::Tls;
use crate::migrations::Schema;
use crate::{Access, OpenError};

/// For one question.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// For one connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Which lock keeps two gateways from making a database ready at once: "portcull" in ASCII.
const LOCK: i64 = 0x706f_7274_6375_6c6c;

/// What a question is asked with.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A database that can be connected to.
#[derive(Clone)]
pub(crate) struct Address {
    config: Config,
    tls: Tls,
}

impl Address {
    /// Off this machine TLS is demanded, unless the URL says that it is not.
    ///
    /// # Errors
    /// The URL is none.
    pub(crate) fn parse(url: &str, tls: ClientConfig) -> Result<Self, OpenError> {
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            // Its text names a parameter at most; the URL holds a password.
            OpenError::Url(error.to_string())
        })?;
        config.connect_timeout(CONNECT).keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(PATIENCE);
        if config.get_application_name().is_none() {
            config.application_name("portcullis");
        }
        if config.get_ssl_mode() == SslMode::Prefer && config.get_hosts().iter().any(is_elsewhere) {
            config.ssl_mode(SslMode::Require);
        }
        Ok(Self { config, tls: Tls::new(tls) })
    }

    /// Connects; the connection lives on the runtime that this runs on. `to` says in the log what was connected to.
    ///
    /// # Errors
    /// It cannot be reached, refuses, or takes too long.
    pub(crate) async fn connect(&self, to: &'static str) -> Result<Client, Unavailable> {
        let connecting = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(error = tell(&error), "the connection to {to} was lost");
                }
            });
            // Whatever the server's own defaults are: each statement sees what others have committed.
            client.batch_execute("SET default_transaction_isolation TO 'read committed'").await?;
            Ok::<_, tokio_postgres::Error>(client)
        };
        match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(connected) => connected.map_err(|error| Unavailable(tell(&error))),
            Err(_) => Err(Unavailable("no connection in time".to_owned())),
        }
    }
}

fn is_elsewhere(host: &Host) -> bool {
    match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => {
            name != "localhost"
                && !name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

/// What went wrong, with what the server says about it.
pub(crate) fn tell(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => format!("{}: {}", said.severity(), said.message()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

/// Makes a database ready, or finds out whether it is.
///
/// # Errors
/// It is not, and cannot be made so.
pub(crate) async fn prepare(client: &mut Client, access: Access, schema: &Schema) -> Result<(), OpenError> {
    tokio::time::timeout(PATIENCE, take_steps(client, access, schema))
        .await
        .map_err(|_| OpenError::Database("it took too long to be made ready".to_owned()))?
}

async fn take_steps(client: &mut Client, access: Access, schema: &Schema) -> Result<(), OpenError> {
    let table = schema.table;
    let failed = |error: tokio_postgres::Error| OpenError::Database(tell(&error));
    let there = format!("SELECT to_regclass('{table}') IS NOT NULL");
    let step = format!("SELECT COALESCE(MAX(step), 0) FROM {table}");
    let found: i64 = if client.query_one(&there, &[]).await.map_err(failed)?.get(0) {
        client.query_one(&step, &[]).await.map_err(failed)?.get(0)
    } else {
        0
    };
    // A role that may not create anything can use what is ready.
    if access == Access::Read || schema.ahead(found)?.is_empty() {
        return schema.is_ready(found);
    }
    let change = client.transaction().await.map_err(failed)?;
    change.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let steps = format!("CREATE TABLE IF NOT EXISTS {table} (step BIGINT NOT NULL PRIMARY KEY)");
    change.batch_execute(&steps).await.map_err(failed)?;
    let found: i64 = change.query_one(&step, &[]).await.map_err(failed)?.get(0);
    for (next, step) in (found + 1..).zip(schema.ahead(found)?) {
        change.batch_execute(step.postgres).await.map_err(failed)?;
        let insert = format!("INSERT INTO {table} VALUES ($1)");
        change.execute(&insert, &[&next]).await.map_err(failed)?;
    }
    change.commit().await.map_err(failed)
}
