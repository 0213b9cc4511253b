//! What comes into the registry of servers: `registry`, checked.

use std::path::PathBuf;

/// What the command line heeds when it works on the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerRegistry {
    /// What may be imported; `None` is nothing.
    pub import: Option<RegistryImport>,
    /// The folder with advisories (OSV); `None` holds nothing against any.
    pub advisories: Option<PathBuf>,
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
