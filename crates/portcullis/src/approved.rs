//! The servers that were approved in the registry, beside those of the configuration.
//!
//! The registry is in the store, where other gateways and the command line change it; what it comes to is looked up once a
//! second. A server of the configuration stays what it is when one of the registry has its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_config::{Environment, Format, Overrides, ProcessEnvironment, Server, Settings};
use portcullis_hub::registry::{Entry, Registry, running};
use portcullis_model::{Records, ServerId, Unavailable};
use serde_json::json;

/// What is in use of the registry.
pub(crate) struct Approved {
    registry: Registry,
    /// As it was last looked up.
    epoch: Option<u64>,
    /// The store did not answer, and that was said.
    away: bool,
    entries: Vec<Entry>,
    servers: BTreeMap<ServerId, Server>,
}

impl Approved {
    pub(crate) fn new(records: Arc<dyn Records>) -> Self {
        let (entries, servers) = (Vec::new(), BTreeMap::new());
        Self { registry: Registry::new(records), epoch: None, away: false, entries, servers }
    }

    /// Looks whether something has changed. While the store is away, what was approved stays so.
    pub(crate) async fn look(&mut self) -> bool {
        match self.look_up().await {
            Ok(changed) => {
                self.away = false;
                changed
            }
            Err(error) => {
                if !self.away {
                    tracing::warn!(%error, "the registry of servers cannot be looked up; what was approved stays so");
                }
                self.away = true;
                false
            }
        }
    }

    async fn look_up(&mut self) -> Result<bool, Unavailable> {
        let epoch = self.registry.epoch().await?;
        if self.epoch == Some(epoch) {
            return Ok(false);
        }
        let mut entries = Vec::new();
        // Of each name the newest first, as they are shown.
        let mut all: Vec<_> = self.registry.all().await?.into_iter().map(|shelved| shelved.entry).collect();
        all.dedup_by(|one, other| one.name() == other.name());
        for name in all.iter().map(Entry::name) {
            entries.extend(self.registry.versions(name).await?.into_iter().map(|shelved| shelved.entry));
        }
        let servers = running(&entries).into_iter().filter_map(settings_of).collect();
        let changed = self.servers != servers || self.entries != entries;
        (self.entries, self.servers, self.epoch) = (entries, servers, Some(epoch));
        Ok(changed)
    }

    /// All versions, in the order in which they are shown.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    /// The settings with the servers that were approved.
    pub(crate) fn with(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        for (id, server) in &self.servers {
            if settings.servers.contains_key(id) {
                tracing::warn!(server.id = %id, "the registry has a server of this name, too; that of the configuration counts");
                continue;
            }
            settings.servers.insert(id.clone(), server.clone());
        }
        settings
    }
}

/// What a version comes to as a server.
fn settings_of(entry: &Entry) -> Option<(ServerId, Server)> {
    match server_of(&entry.slug, &entry.launch) {
        Ok(server) => Some(server),
        Err(problems) => {
            tracing::error!(
                server.id = entry.slug,
                problems,
                "an approved version cannot be reached as it says"
            );
            None
        }
    }
}

/// A server under its name, checked as if it stood in the configuration.
pub(crate) fn server_of(slug: &str, launch: &serde_json::Value) -> Result<(ServerId, Server), String> {
    server_in(slug, launch, &ProcessEnvironment)
}

/// Whether it would be one for a gateway in whose environment nothing is missing.
pub(crate) fn would_be_one(slug: &str, launch: &serde_json::Value) -> Result<(), String> {
    server_in(slug, launch, &Elsewhere).map(|_| ())
}

/// The environment of a gateway that runs elsewhere: whatever is asked for is there, and nobody knows what it is.
pub(crate) struct Elsewhere;

impl Environment for Elsewhere {
    fn var(&self, name: &str) -> Option<String> {
        // What configures the program itself is nobody else's.
        (!name.starts_with("PORTCULLIS_")).then(|| "unknown".to_owned())
    }
}

fn server_in(
    slug: &str,
    launch: &serde_json::Value,
    environment: &dyn Environment,
) -> Result<(ServerId, Server), String> {
    let text = json!({ "servers": { slug: launch } }).to_string();
    let (name, overrides) = (format!("registry: {slug}"), Overrides::default());
    let loaded = portcullis_config::parse(&name, &text, Format::Json, environment, &overrides);
    let loaded = loaded.map_err(|problems| {
        problems
            .0
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect::<Vec<_>>()
            .join("; ")
    })?;
    loaded.settings.servers.into_iter().next().ok_or_else(|| "it is no server".to_owned())
}
