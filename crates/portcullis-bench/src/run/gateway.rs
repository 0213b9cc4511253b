//! The gateway under test, started as a user starts it: `portcullis serve --config FILE`, all defaults.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::service::Service;
use crate::client::Endpoint;
use crate::wire::Era;

/// A running gateway.
pub(crate) struct Gateway(Service);

impl Gateway {
    /// Starts `program` with these `servers`, as its configuration names them.
    pub(crate) fn start(program: &Path, scratch: &Path, servers: &str) -> anyhow::Result<Self> {
        let config = scratch.join("portcullis.yaml");
        fs::write(&config, format!("listen: 127.0.0.1:0\nservers:\n{servers}"))?;
        // A working folder of its own, so that a store, if it keeps one, is fresh.
        let folder = tempfile::Builder::new().prefix("gateway-").tempdir_in(scratch)?.keep();
        let program =
            fs::canonicalize(program).with_context(|| format!("no gateway at {}", program.display()))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&config).current_dir(folder);
        let log = scratch.join("portcullis.log");
        Ok(Self(Service::start("portcullis", command, Some(&log), Duration::from_secs(30))?))
    }

    /// The aggregate endpoint.
    pub(crate) fn aggregate(&self) -> Endpoint {
        self.0.endpoint.at("/mcp")
    }

    /// The endpoint of one server.
    pub(crate) fn server(&self, name: &str) -> Endpoint {
        self.0.endpoint.at(&format!("/mcp/s/{name}"))
    }

    /// The gateway's own process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.pid()
    }
}

/// One server `up`, and the same one again as `old`, pinned to the legacy era.
pub(crate) fn either_era(upstream: &Endpoint) -> String {
    let authority = &upstream.authority;
    format!(
        "  up: {{ url: \"http://{authority}/mcp\" }}\n  old: {{ url: \"http://{authority}/mcp\", era: legacy }}\n"
    )
}

/// One server twice, pinned to the era that it is named after.
pub(crate) fn pinned(upstream: &Endpoint) -> String {
    let server =
        |era: Era| format!("  {era}: {{ url: \"http://{}/mcp\", era: {era} }}\n", upstream.authority);
    [Era::Modern, Era::Legacy].map(server).concat()
}

/// The servers `s1`, `s2` … of an upstream.
pub(crate) fn many(upstream: &Endpoint, count: usize) -> String {
    let mut servers = String::new();
    for number in 1..=count {
        let _ = writeln!(servers, "  s{number}: {{ url: \"http://{}/s{number}/mcp\" }}", upstream.authority);
    }
    servers
}
