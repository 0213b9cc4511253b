//! A value that must not be seen, and where it came from.
//!
//! Reading it is a visible act (`expose`); printing it in any way shows `***`. It is not wiped from memory:
//! the same bytes are in the process environment or in a file that the process can read again.

use std::fmt;
use std::path::PathBuf;

/// Where a secret was read from: safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// It stands in the configuration file itself.
    Literal,
    /// The environment variables that went into it.
    Env(Vec<String>),
    /// The file that holds it, with one trailing line break removed.
    File(PathBuf),
    /// A Vault. Its value here is empty where it was not read yet.
    Vault(VaultSecret),
}

/// A secret in a Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VaultSecret {
    /// Its path in the API.
    pub path: String,
    /// Its mount keeps versions (KV version 2).
    pub versioned: bool,
    /// Which member of it.
    pub field: String,
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal => f.write_str("literal"),
            Self::Env(names) => write!(f, "env {}", names.join(", ")),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Vault(at) => write!(f, "vault {}#{}", at.path, at.field),
        }
    }
}

/// A value that must not be seen. `Debug` and `Display` show `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    source: SecretSource,
}

impl Secret {
    /// A secret and where it was read from.
    pub fn new(value: impl Into<String>, source: SecretSource) -> Self {
        Self { value: value.into(), source }
    }

    /// The value itself: for the place that sends it, never for a log.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Whether its value is known: of one that a Vault keeps it may not be.
    pub fn is_read(&self) -> bool {
        !self.value.is_empty() || !matches!(self.source, SecretSource::Vault(_))
    }

    /// Where it was read from.
    pub fn source(&self) -> &SecretSource {
        &self.source
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(***, {})", self.source)
    }
}
