//! Packages of npm and PyPI, as the files that they were when somebody looked at them.
//!
//! What a package depends on is decided by whoever installs it, when they do. So that is done once: a [`Lock`] has every file
//! by name, version and digest, for good, and [`Packages`] makes of it a folder that has these files or is not there. npm and uv
//! do the work, for they know how; what they come to is read here, and whatever is not a file of a registry with a digest is
//! refused. Neither runs anything that is in a package: no script of an installation, no build.
//!
//! Which files are trusted is not decided here, nor are packages taken away that nobody uses any more.

mod folder;
mod lock;
mod npm;
mod pypi;
mod tool;

pub(crate) use folder::Turns;
pub use folder::{Installed, Packages};
#[cfg(test)]
pub(crate) use lock::sha256;
pub use lock::{Lock, Locked, Root, Sealed, Unreadable};

use std::time::Duration;

use tool::Tool;

use crate::registry::Start;

/// Why packages could not be locked or installed, for people, with what the tool that was to do it said last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failed {
    /// What is wrong, and what to do.
    pub what: String,
    /// Lines of npm or uv.
    pub words: Vec<String>,
    /// How long nothing is tried anew, and this is told to whoever comes.
    pub again: Option<Duration>,
}

impl Failed {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), words: Vec::new(), again: None }
    }
}

/// Where packages come from, when nothing else is said; `None` leaves that to npm and uv.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors {
    /// A registry of npm.
    pub npm: Option<String>,
    /// An index of PyPI.
    pub pypi: Option<String>,
}

impl Mirrors {
    /// The one of a registry, `npm` or `pypi`.
    fn of(&self, registry: &str) -> Option<&str> {
        if registry == "npm" { self.npm.as_deref() } else { self.pypi.as_deref() }
    }
}

impl Packages {
    /// What `start` comes to today: all that would be installed. `command` is the program that would start it, `npx` or `uvx`.
    ///
    /// # Errors
    /// It comes to nothing, or to what could be something else tomorrow.
    pub async fn resolve(&self, command: &str, start: &Start, mirrors: &Mirrors) -> Result<Lock, Failed> {
        let making = self.making().await?;
        let registry = start.packages.first().map(|package| package.registry.as_str()).unwrap_or_default();
        let from = start.from.as_deref().or_else(|| mirrors.of(registry));
        let tool = Tool::beside(command, registry, making.path(), from, self.marker.as_deref());
        let resolved = match registry {
            "npm" => npm::resolve(&tool, start).await,
            _ => pypi::resolve(&tool, start).await,
        };
        making.remove().await;
        resolved
    }
}

#[cfg(test)]
mod tests;
