//! `portcullis connect URL`

use std::process::ExitCode;

use portcullis_config::{HttpUpstream, Overrides, Problem, ProcessEnvironment, Transport};
use portcullis_gateway::bridge;
use portcullis_telemetry::{LogFormat, init_logs};
use serde_json::json;

use crate::Usage;
use crate::args::{Access, Connect};

/// Bridges standard input and output to the endpoint.
pub(crate) fn run(connect: &Connect) -> anyhow::Result<ExitCode> {
    init_logs(LogFormat::Auto, "warn").map_err(|error| Usage(error.to_string()))?;
    let endpoint = endpoint(&connect.url, &connect.access)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(bridge::run(&endpoint, tokio::io::stdin(), tokio::io::stdout()));
    // Standard input is read by a thread that nothing can interrupt.
    runtime.shutdown_background();
    done?;
    Ok(ExitCode::SUCCESS)
}

/// The endpoint as a server's settings, checked like any other.
pub(crate) fn endpoint(url: &str, access: &Access) -> anyhow::Result<HttpUpstream> {
    let headers = match &access.token_env {
        Some(name) => json!({"authorization": format!("Bearer {}", token(name)?)}),
        None => json!({}),
    };
    let in_full = |said: &str| Usage(format!("`{url}` {said}"));
    if !url.contains("://") {
        return Err(in_full(&format!("is not the URL of an endpoint; write `http://{url}`")).into());
    }
    let text = json!({"mcpServers": {"endpoint": {"url": url, "headers": headers}}}).to_string();
    // Warnings would be about a file that nobody has written.
    let loaded = portcullis_config::import("command line", &text, &ProcessEnvironment, &Overrides::default());
    // The settings are ours, and the problems of what was typed.
    let loaded = loaded.map_err(|problems| {
        let wrong = |problem: &Problem| {
            let of_token = problem.path.contains(".headers");
            if of_token { format!("--token-env: {}", problem.message) } else { in_full(&problem.message).0 }
        };
        Usage(problems.0.iter().map(wrong).collect::<Vec<_>>().join("\n"))
    });
    let servers = loaded?.settings.servers;
    match servers.into_values().next().map(|server| server.transport) {
        Some(Transport::Http(mut http)) => {
            http.tls.ca.clone_from(&access.ca);
            http.tls.cert.clone_from(&access.cert);
            http.tls.key.clone_from(&access.key);
            Ok(http)
        }
        _ => Err(Usage(format!("`{url}` is not the URL of an MCP endpoint")).into()),
    }
}

/// The token that an environment variable holds.
pub(crate) fn token(name: &str) -> anyhow::Result<String> {
    std::env::var(name)
        .map_err(|_| Usage(format!("--token-env: the environment variable {name} is not set")).into())
}
