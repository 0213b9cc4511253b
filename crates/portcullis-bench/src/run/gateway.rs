//! The gateway under test, started as a user starts it: `portcullis serve --config FILE`, all defaults.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::service::Service;
use crate::client::Endpoint;

/// A running gateway.
pub(crate) struct Gateway(Service);

impl Gateway {
    /// Starts `program` in front of `upstream`: with one server `up` and the same one again as `old`, pinned to
    /// the legacy era; or, with `many` above zero, with the upstream's servers `s1`, `s2` … instead.
    pub(crate) fn start(
        program: &Path,
        scratch: &Path,
        upstream: &Endpoint,
        many: usize,
    ) -> anyhow::Result<Self> {
        let config = scratch.join("portcullis.yaml");
        fs::write(&config, configuration(upstream, many))?;
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

fn configuration(upstream: &Endpoint, many: usize) -> String {
    let authority = &upstream.authority;
    let mut yaml = "listen: 127.0.0.1:0\nservers:\n".to_owned();
    if many == 0 {
        let _ = writeln!(yaml, "  up: {{ url: \"http://{authority}/mcp\" }}");
        let _ = writeln!(yaml, "  old: {{ url: \"http://{authority}/mcp\", era: legacy }}");
    }
    for number in 1..=many {
        let _ = writeln!(yaml, "  s{number}: {{ url: \"http://{authority}/s{number}/mcp\" }}");
    }
    yaml
}
