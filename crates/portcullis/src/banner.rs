//! What a person sees at the start.

use std::fmt::Write as _;
use std::net::SocketAddr;

use portcullis_config::Settings;
use portcullis_gateway::{ServerReport, ServerState};

use crate::stdout::print;

/// The URL of the aggregate.
pub(crate) fn endpoint(settings: &Settings, address: SocketAddr) -> String {
    match &settings.public_url {
        Some(url) => format!("{url}/mcp"),
        None => here(settings, address),
    }
}

fn here(settings: &Settings, address: SocketAddr) -> String {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}/mcp")
}

/// The first line: where it listens, and under which name when that is another.
pub(crate) fn listening(settings: &Settings, address: SocketAddr) {
    let (version, here) = (env!("CARGO_PKG_VERSION"), here(settings, address));
    match &settings.public_url {
        Some(url) => print(format_args!("Portcullis {version} listens on {here} as {url}/mcp")),
        None => print(format_args!("Portcullis {version} listens on {here}")),
    }
}

/// What each server offers, and how to connect.
pub(crate) fn offers(endpoint: &str, servers: &[ServerReport]) {
    print(describe(endpoint, servers).trim_end());
}

fn describe(endpoint: &str, servers: &[ServerReport]) -> String {
    let mut out = String::from("\n");
    let width = servers.iter().map(|server| server.id.as_str().len()).max().unwrap_or(0);
    for server in servers {
        let id = server.id.as_str();
        let _ = match &server.state {
            ServerState::Down { why } => writeln!(out, "  {id:width$}  DOWN: {why}"),
            ServerState::Idle | ServerState::Up => {
                let words = ["tools", "resources", "templates", "prompts"];
                let offers: Vec<_> = words
                    .iter()
                    .zip(server.offers)
                    .filter_map(|(word, count)| {
                        count.filter(|count| *count > 0).map(|count| format!("{count} {word}"))
                    })
                    .collect();
                let revision = server.revision.unwrap_or("not reached");
                let offers = if offers.is_empty() { "nothing".to_owned() } else { offers.join(", ") };
                writeln!(out, "  {id:width$}  {offers}  (MCP {revision})")
            }
        };
    }
    let base = endpoint.trim_end_matches("/mcp");
    let _ = write!(
        out,
        "\nConnect a client, for example:\n  claude mcp add --transport http portcullis {endpoint}\n\
         or paste into its configuration:\n  {{\"mcpServers\":{{\"portcullis\":{{\"type\":\"http\",\"url\":\"{endpoint}\"}}}}}}\n\
         A host that speaks only stdio: portcullis connect {endpoint}\n\
         One server alone: {base}/mcp/s/NAME    Health: {base}/readyz    Metrics: {base}/metrics\n"
    );
    out
}

#[cfg(test)]
mod tests;
