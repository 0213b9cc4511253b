//! What comes into the registry of servers, and where its packages come from: `registry`, checked.

use std::path::PathBuf;
use std::sync::Arc;

/// What is heeded when somebody works on the registry, and when a server of it is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerRegistry {
    /// What may be imported; `None` is nothing.
    pub import: Option<RegistryImport>,
    /// The folder with advisories (OSV); `None` holds nothing against any.
    pub advisories: Option<PathBuf>,
    /// Where packages come from, and where they are installed.
    pub packages: RegistryPackages,
}

/// Where packages come from, and where they are installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryPackages {
    /// A registry of npm; `None` leaves that to npm.
    pub npm: Option<String>,
    /// An index of PyPI; `None` leaves that to uv.
    pub pypi: Option<String>,
    /// The folder in which they are installed, each under the digest of its lock.
    pub folder: PathBuf,
}

/// The packages that a server of the registry is started from. No file says it: the program adds it to the settings of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackages {
    /// Every file of them by name, version and digest, as the registry keeps that.
    pub lock: Arc<str>,
    /// The digest of that text.
    pub digest: String,
    /// Where they come from, and where they are installed.
    pub packages: RegistryPackages,
}

/// What may be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryImport {
    /// Namespaces: `com.example`, `com.example.*`, `*`.
    pub namespaces: Vec<String>,
    /// Registries of packages: `npm`, or a URL.
    pub packages: Vec<String>,
    /// Hosts of remotes: `mcp.example.com`, `*.example.com`, `*`.
    pub remotes: Vec<String>,
}
