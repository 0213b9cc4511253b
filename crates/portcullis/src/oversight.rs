//! `portcullis definitions`, `halt` and `approval`: what people decide about tools, from a terminal.
//!
//! They work on the store that the gateway has, whether it runs or not; one that runs looks there four times a second. With
//! a store in memory there is nothing that a second process could reach.

mod approval;
mod definitions;
mod halt;

use std::path::Path;
use std::sync::Arc;

use portcullis_config::{Overrides, Settings, Store};
use portcullis_model::Records;

use crate::Usage;
use crate::policy::with_store;
use crate::secrets::Secrets;

pub(crate) use approval::run as approval;
pub(crate) use definitions::run as definitions;
pub(crate) use halt::run as halt;

/// Asks the store of a configuration, which stays as it is.
pub(crate) fn ask<T>(
    config: &Path,
    ask: impl AsyncFnOnce(Arc<dyn Records>, &Settings) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let settings = settings(config)?;
    with_store(&settings, async |records| ask(records, &settings).await)
}

/// Changes something in the store of a configuration; what is decided before a gateway first starts is there for it.
pub(crate) fn change<T>(
    config: &Path,
    change: impl AsyncFnOnce(Arc<dyn Records>, &Settings) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let settings = settings(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let records = crate::store::open(&settings).await?;
        change(records, &settings).await
    })
}

fn settings(config: &Path) -> anyhow::Result<Settings> {
    let settings = Secrets::load(config, &Overrides::default())?.0.settings;
    if settings.store == Store::Memory {
        let message = "the store is in memory, where only the gateway itself can reach it; set `store: { kind: sqlite }` or \
                       `postgres`";
        return Err(Usage(message.to_owned()).into());
    }
    Ok(settings)
}

/// A time of the store, as people read it.
pub(crate) fn moment(at_ms: u64) -> String {
    format!("{}Z", portcullis_model::date_time(std::time::Duration::from_millis(at_ms)))
}
