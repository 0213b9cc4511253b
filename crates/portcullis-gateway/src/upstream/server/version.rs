//! Which version of a server it is, and how it does while it is rolled out.
//!
//! Two versions of one server have its name in common, and nothing else: lists, conversations, processes, what is trusted of their
//! definitions, and their health are each one's own. While one is rolled out, the calls of both are counted, so that it can be
//! taken back when it does worse than the other (`route/trial.rs` has the rule).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use portcullis_config as config;
use portcullis_model::{Principal, ServerId};
use portcullis_oversight::scope;

use super::{Server, ServerState, certificates};
use crate::call::Outcome;
use crate::route::Tally;

/// A version, as all its users share it.
pub(crate) struct Version {
    pub(super) id: ServerId,
    name: Option<Arc<str>>,
    scope: Arc<str>,
    /// Only some callers have it: what becomes of it is not what becomes of the server.
    trial: AtomicBool,
    /// Why nobody is led to it any more, where it did badly.
    tripped: OnceLock<String>,
    tally: Tally,
}

impl Version {
    pub(crate) fn new(id: ServerId, name: Option<&str>) -> Arc<Self> {
        let scope = scope(id.as_str(), name).into();
        let (trial, tripped, tally) = (AtomicBool::default(), OnceLock::new(), Tally::default());
        Arc::new(Self { id, name: name.map(Arc::from), scope, trial, tripped, tally })
    }
}

impl Server {
    /// Which version of the registry it is.
    pub(crate) fn version(&self) -> Option<&Arc<str>> {
        self.version.name.as_ref()
    }

    /// What its definitions are kept under.
    pub(crate) fn scope(&self) -> &Arc<str> {
        &self.version.scope
    }

    /// How its calls ended lately, while that is counted.
    pub(crate) fn tally(&self) -> &Tally {
        &self.version.tally
    }

    /// A call of it has ended.
    pub(crate) fn ended(&self, caller: &Principal, outcome: &Outcome) {
        self.version.tally.note(caller, outcome);
    }

    /// Whether only some callers have it.
    pub(crate) fn put_on_trial(&self, trial: bool) {
        let was = self.version.trial.swap(trial, Ordering::Relaxed);
        if was && !trial {
            // From now on it is what is said of the server.
            let up = self.state() == ServerState::Up;
            self.env.metrics.set_server_up(self.id.as_str(), up);
        }
    }

    /// Whether how it is, is how the server is.
    pub(super) fn is_counted(&self) -> bool {
        self.owner.is_none() && !self.version.trial.load(Ordering::Relaxed)
    }

    /// It did badly: leads nobody to it any more. Says whether anybody was.
    pub(crate) fn trip(&self, why: &str) -> bool {
        self.version.tripped.set(why.to_owned()).is_ok()
    }

    /// Whether it did badly.
    pub(crate) fn is_tripped(&self) -> bool {
        self.tripped().is_some()
    }

    /// Why nobody is led to it any more.
    pub(crate) fn tripped(&self) -> Option<&str> {
        self.version.tripped.get().map(String::as_str)
    }

    /// Why it cannot be used, and how often in a row that was found out.
    pub(crate) fn failures(&self) -> Option<(String, u32)> {
        let health = self.health();
        health.down.as_ref().map(|(why, _)| (why.clone(), health.backoff.failures()))
    }

    /// Whether a server made of `settings` would be no other than this one.
    pub(crate) fn is_as(&self, version: Option<&str>, settings: &config::Server) -> bool {
        !self.worn.load(Ordering::Relaxed)
            && self.version.name.as_deref() == version
            && self.settings == *settings
            && self.certificates == certificates(settings)
    }

    /// Another is to take its place with the next update.
    pub(crate) fn wear_out(&self) {
        self.worn.store(true, Ordering::Relaxed);
        if let Some(deployed) = &self.deployed {
            deployed.wear_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_document_that_is_edited_makes_no_other_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let document = folder.path().join("api.json");
        let write = |text: &str| std::fs::write(&document, text).expect("written");
        write("{}");
        let text = serde_json::json!({"servers": {"x": {
            "openapi": {"document": document, "base_url": "https://api.example"},
        }}});
        let loaded = portcullis_config::parse(
            "test.json",
            &text.to_string(),
            config::Format::Json,
            &BTreeMap::new(),
            &config::Overrides::default(),
        );
        let settings = loaded.expect("well-formed").settings;
        let server = settings.servers.values().next().expect("it is there");
        let before = certificates(server);
        write(r#"{"openapi": "3.1.0"}"#);
        assert!(before.is_some() && before == certificates(server));
    }
}
