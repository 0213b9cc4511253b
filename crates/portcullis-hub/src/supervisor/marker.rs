//! The marker: an environment variable by which everything that a child started is found again.
//!
//! Its value is `<instance>.<server>.<n>`: one running gateway, one server, its n-th process. Environments are
//! inherited over `fork`, `exec`, `setsid` and double forks, which process groups and parents are not. The
//! instance is unique per supervisor, so that two gateways of one user never end each other's children.
//!
//! It is a label, not a secret, and it is no proof against a program that wants to lose it.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hasher},
    process,
};

use portcullis_model::ServerId;

/// The name of the variable.
pub(crate) const VARIABLE: &str = "PORTCULLIS_CHILD";

/// One supervisor: `<pid>-<16 hex digits>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance(String);

impl Instance {
    /// One that no other supervisor on this machine has. The digits come from the random keys that the
    /// standard library draws from the system for its hash maps.
    pub(super) fn unique() -> Self {
        Self(format!("{}-{:016x}", process::id(), RandomState::new().build_hasher().finish()))
    }

    /// Reads one back from the keeper's command line; `None` if it is not the whole of an instance. A keeper
    /// that took less would kill other gateways' children.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (pid, digits) = text.split_once('-')?;
        let whole = !pid.is_empty()
            && pid.bytes().all(|byte| byte.is_ascii_digit())
            && digits.len() == 16
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        whole.then(|| Self(text.to_owned()))
    }

    /// The marker of the `number`-th child, which runs `server`.
    pub(super) fn child(&self, server: &ServerId, number: u64) -> Marker {
        Marker(format!("{self}.{server}.{number}"))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The variable's value for one child.
#[derive(Clone, Debug)]
pub(super) struct Marker(String);

impl Marker {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whose processes are meant: one child's, or all of a supervisor's.
#[derive(Debug)]
pub(super) struct Mark {
    entry: Vec<u8>,
    whole: bool,
}

impl Mark {
    /// `environ` is the content of `/proc/PID/environ`: entries that each end in a NUL byte.
    pub(super) fn is_on(&self, environ: &[u8]) -> bool {
        environ
            .split(|&byte| byte == 0)
            .any(|entry| if self.whole { entry == self.entry } else { entry.starts_with(&self.entry) })
    }
}

impl From<&Marker> for Mark {
    fn from(marker: &Marker) -> Self {
        Self { entry: format!("{VARIABLE}={}", marker.0).into_bytes(), whole: true }
    }
}

impl From<&Instance> for Mark {
    fn from(instance: &Instance) -> Self {
        Self { entry: format!("{VARIABLE}={instance}.").into_bytes(), whole: false }
    }
}

#[cfg(test)]
mod tests;
