//! The store that the settings ask for.

use std::sync::Arc;

use anyhow::Context as _;
use portcullis_config::{Settings, Store};
use portcullis_model::Records;
use portcullis_store::{Access, Memory, OpenError, Postgres, Sqlite};
use tokio::runtime::Handle;

use crate::Usage;

/// Opens it, and makes it ready; a database's connection lives on this runtime.
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Arc<dyn Records>> {
    open_to(settings, Access::Serve).await
}

/// Opens it as it is: nothing is made or changed.
pub(crate) async fn open_for_reading(settings: &Settings) -> anyhow::Result<Arc<dyn Records>> {
    open_to(settings, Access::Read).await
}

async fn open_to(settings: &Settings, access: Access) -> anyhow::Result<Arc<dyn Records>> {
    match &settings.store {
        Store::Memory => Ok(Arc::new(Memory::default())),
        Store::Sqlite { path } => Ok(Arc::new(Sqlite::open(path, access)?)),
        Store::Postgres { url, ca } => {
            let tls = portcullis_gateway::client_tls(ca.as_deref());
            let tls = tls.map_err(|error| Usage(format!("store: {error}")))?;
            let opened = Postgres::open(url.expose(), tls, Handle::current(), access).await;
            let store = opened.map_err(|error| match error {
                OpenError::Url(_) => Usage(error.to_string()).into(),
                error => anyhow::Error::new(error),
            });
            Ok(Arc::new(store.context("`store`")?))
        }
    }
}
