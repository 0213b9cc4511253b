//! `registry`: what comes into the registry of servers, and what its packages are held against.

use schemars::JsonSchema;
use serde::Deserialize;

/// The registry of servers in `store`. The command line heeds what is here; a gateway that runs needs `packages` alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Registry {
    /// What `portcullis server import` lets in; without it, nothing.
    pub(crate) import: Option<Import>,
    /// A folder of advisories in the format of OSV, as its dumps for npm and PyPI have them: files of JSON or JSON lines.
    /// `portcullis server scan` holds what is started against them.
    pub(crate) advisories: Option<String>,
    /// Where the packages of its servers come from, and where they are installed.
    pub(crate) packages: Packages,
}

/// Where the packages of registered servers come from when they are scanned, and when a gateway installs them. What is asked of
/// a mirror is a package by name and version, and taken is the file that was locked and no other. Credentials for a mirror are
/// npm's own (`~/.npmrc`) and those of `~/.netrc`, or what `UV_…` says.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "RegistryPackages")]
pub(crate) struct Packages {
    /// The URL of a registry of npm, in place of the public one. What a package says of another registry
    /// (`registryBaseUrl`) counts for more.
    pub(crate) npm: Option<String>,
    /// The URL of an index of PyPI, as `https://pypi.example.com/simple`, in place of the public one. As with `npm`, what a
    /// package says counts for more.
    pub(crate) pypi: Option<String>,
    /// The folder in which they are installed, which nobody but the gateway's user may change. `packages` beside the file of
    /// `store`, or beside the configuration where that is no file, unless it is given.
    pub(crate) folder: Option<String>,
}

/// What is let into the registry from files and from other registries. Everything arrives as `submitted`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "RegistryImport")]
pub(crate) struct Import {
    /// Whose servers, by what their names have before the slash: `com.example`, `com.example.*` for all that is below it as
    /// well, or `*` for everybody's.
    pub(crate) namespaces: Vec<String>,
    /// From where their packages may come: `npm`, `pypi` and so on for the public registry of that kind, or the URL of
    /// another, as the package's `registryBaseUrl` has it.
    pub(crate) packages: Vec<String>,
    /// Where they may run, by the host of the remote's URL: `mcp.example.com`, `*.example.com`, or `*` for anywhere.
    pub(crate) remotes: Vec<String>,
}
