//! The inputs beside the file: environment variables, what a Vault keeps, and command line flags.
//!
//! The environment is a trait so that a test states its own; only [`ProcessEnvironment`] reads the real one.

use std::collections::BTreeMap;

use crate::VaultSecret;

/// Environment variables by name.
pub trait Environment {
    /// The value of `name`, or `None` when it is unset or not valid UTF-8.
    fn var(&self, name: &str) -> Option<String>;

    /// A secret that a Vault keeps, or `None` where it was not read: a configuration is good or not without it.
    fn vault(&self, at: &VaultSecret) -> Option<String> {
        let _ = at;
        None
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// What the command line says. A flag wins over the environment, which wins over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`, in the form of the `listen` key; before `PORTCULLIS_LISTEN`.
    pub listen: Option<String>,
    /// `--log`, in the form of `telemetry.log.filter`; before `PORTCULLIS_LOG`.
    pub log_filter: Option<String>,
    /// `--log-format`, in the form of `telemetry.log.format`; before `PORTCULLIS_LOG_FORMAT`.
    pub log_format: Option<String>,
}
