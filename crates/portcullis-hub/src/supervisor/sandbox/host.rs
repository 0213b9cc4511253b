//! What this machine's kernel has for sandboxes. It is tried and not looked up: versions lie, and containers take away.

use std::{fmt, fs, os::unix::process::CommandExt as _, path::Path, process::Stdio};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, Scope,
};
use serde::{Deserialize, Serialize};

use super::{Network, VERB, enter::own_namespace};

/// What the kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a kernel has or has not")]
pub struct Host {
    /// Rules for files.
    pub files: bool,
    /// Rules for TCP ports.
    pub ports: bool,
    /// Walls for signals and abstract sockets.
    pub scopes: bool,
    /// Filters for system calls.
    pub calls: bool,
    /// User namespaces, for whom we run as.
    pub namespaces: bool,
    /// We run as root.
    pub root: bool,
}

impl Host {
    /// Asks a process of `program`, which is our own executable: some of it can only be found out by doing it.
    pub(in crate::supervisor) async fn probe(program: &Path) -> Result<Self, String> {
        let mut process = std::process::Command::new(program);
        process.arg(VERB).arg("probe").env_clear().current_dir("/").process_group(0);
        process.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
        let output = tokio::process::Command::from(process)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| error.to_string())?;
        serde_json::from_slice(&output.stdout)
            .map_err(|_| String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Finds out, in a process of its own that does nothing afterwards.
    pub(super) fn here() -> Self {
        Self {
            files: made(rules().handle_access(AccessFs::from_all(ABI::V2))),
            ports: made(rules().handle_access(AccessNet::from_all(ABI::V4))),
            scopes: made(rules().scope(Scope::from_all(ABI::V6))),
            // Every process says of itself whether calls are filtered, where the kernel can.
            calls: fs::read_to_string("/proc/self/status")
                .is_ok_and(|status| status.lines().any(|line| line.starts_with("Seccomp:"))),
            root: rustix::process::geteuid().is_root(),
            // As a child's is made: some systems let a namespace be made and nothing be done with it. The last, since nobody is
            // who they were after it.
            namespaces: own_namespace(&Network::None).is_ok(),
        }
    }
}

/// Rules of which each has to be the kernel's.
fn rules() -> Ruleset {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement)
}

fn made(rules: Result<Ruleset, RulesetError>) -> bool {
    rules.and_then(Ruleset::create).is_ok()
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = [
            ("files", self.files),
            ("ports", self.ports),
            ("signals", self.scopes),
            ("calls", self.calls),
            ("namespaces", self.namespaces),
        ];
        for (index, (what, is)) in has.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(out, "{comma}{what}: {}", if *is { "yes" } else { "no" })?;
        }
        Ok(())
    }
}
