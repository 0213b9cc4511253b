//! What the process of a server may reach of the machine.

use super::Check;
use crate::node::Path;
use crate::{Sandbox, SandboxNetwork, raw};

/// No runtime starts in less memory, and none that starts writes smaller files only.
const LEAST: usize = 1 << 20;

pub(super) fn sandbox(check: &mut Check<'_>, path: &Path, raw: &raw::Sandbox) -> Sandbox {
    let any = matches!(raw.network, Some(raw::Network::Any));
    if any && !raw.ports.is_empty() {
        check.error(&path.key("ports"), "`network: any` opens every port already; keep one of the two");
    }
    if let Some(index) = raw.ports.iter().position(|&port| port == 0) {
        check.error(&path.key("ports").index(index), "no port has the number 0");
    }
    let mut size = |key: &str, raw: &Option<raw::Size>| {
        let raw = raw.as_ref()?;
        u64::try_from(check.size(&path.key(key), Some(raw), LEAST, LEAST)).ok()
    };
    let (memory, file_size) = (size("memory", &raw.memory), size("file_size", &raw.file_size));
    let mut paths = |key: &str, given: &[String]| {
        let mut paths = Vec::with_capacity(given.len());
        for (index, text) in given.iter().enumerate() {
            let resolved = check.resolve(text);
            if text.trim().is_empty() || text.contains('\0') {
                check.error(&path.key(key).index(index), "expected the path of a file or folder");
            } else if !resolved.exists() {
                let found = format!("there is no {}; create it or correct the path", resolved.display());
                check.warn(&path.key(key).index(index), found);
            }
            paths.push(resolved);
        }
        paths
    };
    let (read, write) = (paths("read", &raw.read), paths("write", &raw.write));
    if raw.user.as_deref().is_some_and(|user| user.trim().is_empty()) {
        check.error(&path.key("user"), "expected the name or number of a user");
    }
    Sandbox {
        read,
        write,
        network: if any {
            SandboxNetwork::Any
        } else if raw.ports.is_empty() {
            SandboxNetwork::None
        } else {
            SandboxNetwork::Ports(raw.ports.clone())
        },
        memory,
        processes: raw.processes,
        open_files: raw.open_files,
        file_size,
        user: raw.user.clone(),
        best_effort: matches!(raw.missing, Some(raw::Missing::Allow)),
    }
}
