//! What an endpoint says of itself: `server/discover` and the result of `initialize`.
//!
//! On a server's own endpoint that is the server, under its own name. On the aggregate it is the gateway with the union
//! of what the servers offer; a server that has not been reached in time is assumed to offer everything, since the
//! capabilities of a legacy session cannot grow later and an empty list is always a valid answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_config::Discovery;
use portcullis_mcp::caps::{ClientCaps, ServerCaps, merge_instructions};
use portcullis_mcp::json::{Raw, write_string};
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::key;

use super::catalogue::{Catalogue, Variant, conversation};
use super::connecting;
use super::listing::ListKind;
use crate::admit::Pass;
use crate::call::{Caller, Endpoint, Refusal};
use crate::discovery;
use crate::gateway::Gateway;
use crate::upstream::Peer;

/// How long the aggregate's greeting waits for servers that nobody has reached yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything about an endpoint.
struct Hello {
    capabilities: ServerCaps,
    instructions: Option<String>,
}

/// `DiscoverResult` (2026-07-28).
pub(crate) async fn discover(
    gateway: &Gateway,
    endpoint: &Endpoint,
    caller: &Caller,
) -> Result<Raw, Refusal> {
    let hello = greet(gateway, endpoint, caller).await?;
    let versions: Vec<String> = Revision::ALL.iter().map(|revision| format!("\"{revision}\"")).collect();
    let mut out = format!(
        "{{\"resultType\":\"complete\",\"supportedVersions\":[{}],\"capabilities\":{}",
        versions.join(","),
        hello.capabilities.declare_tasks(hello.capabilities.write(), Revision::NEWEST)
    )
    .into_bytes();
    write_instructions(&mut out, hello.instructions.as_deref());
    // What is behind an endpoint can change with the next reload, so no time is promised.
    out.extend_from_slice(
        format!(
            ",\"ttlMs\":0,\"cacheScope\":\"private\",\"_meta\":{{\"{}\":{}}}}}",
            key::SERVER_INFO,
            gateway.server_info(endpoint, caller)
        )
        .as_bytes(),
    );
    Ok(Raw::trusted(out))
}

/// `InitializeResult` for a client that asked for `version` (2025-11-25 and before): the same revision if it is
/// served, else the newest with sessions.
pub(crate) async fn initialize_result(
    gateway: &Gateway,
    endpoint: &Endpoint,
    caller: &Caller,
) -> Result<Raw, Refusal> {
    let hello = greet(gateway, endpoint, caller).await?;
    let mut out = format!(
        "{{\"protocolVersion\":\"{}\",\"capabilities\":{},\"serverInfo\":{}",
        caller.revision,
        hello.capabilities.declare_tasks(hello.capabilities.write(), caller.revision),
        gateway.server_info(endpoint, caller)
    )
    .into_bytes();
    write_instructions(&mut out, hello.instructions.as_deref());
    out.push(b'}');
    Ok(Raw::trusted(out))
}

/// What the endpoint offers.
pub(crate) async fn offered(
    gateway: &Gateway,
    endpoint: &Endpoint,
    caller: &Caller,
) -> Result<ServerCaps, Refusal> {
    Ok(greet(gateway, endpoint, caller).await?.capabilities)
}

fn write_instructions(out: &mut Vec<u8>, instructions: Option<&str>) {
    if let Some(instructions) = instructions {
        out.extend_from_slice(b",\"instructions\":");
        write_string(out, instructions);
    }
}

async fn greet(gateway: &Gateway, endpoint: &Endpoint, caller: &Caller) -> Result<Hello, Refusal> {
    let pass = gateway.gate.pass(caller);
    let pass = pass.as_ref().and_then(Pass::enforced);
    let (catalogues, toolset) = {
        let servers = gateway.servers.load();
        (servers.behind(endpoint, pass, caller)?, servers.toolset(endpoint, pass)?.cloned())
    };
    let Variant { era, caps } = Variant::of(caller);
    if let (Endpoint::Server(_), [only]) = (endpoint, catalogues.as_slice()) {
        only.server.expect(era, caps);
        let peer = match peer_of(only, era, caps).await {
            // What it has is not known before its user has connected an account.
            Err(refusal) if connecting::is_for_the_user(&refusal) => {
                return Ok(Hello { capabilities: everything(), instructions: None });
            }
            peer => peer?,
        };
        let capabilities = ServerCaps::read(&peer.capabilities);
        return Ok(Hello { capabilities, instructions: instructions_of(only, &peer).await });
    }
    let peers = join_all(catalogues.iter().map(|catalogue| peer_in_time(catalogue, era, caps))).await;
    let mut capabilities = ServerCaps::default();
    let mut instructions = Vec::new();
    for (catalogue, peer) in catalogues.iter().zip(&peers) {
        match peer {
            Some(peer) => {
                capabilities.absorb(&ServerCaps::read(&peer.capabilities));
                let text = instructions_of(catalogue, peer).await;
                instructions.extend(text.map(|text| (catalogue.server.id().as_str(), text)));
            }
            None => capabilities.absorb(&everything()),
        }
    }
    if let Some(toolset) = &toolset {
        capabilities.tools = toolset.has(ListKind::Tools);
        capabilities.prompts &= toolset.has(ListKind::Prompts);
        // Views are read as resources.
        let resources = toolset.has(ListKind::Resources);
        capabilities.resources &= resources || capabilities.ui.is_some();
        capabilities.subscribe &= resources;
        capabilities.completions &= resources || toolset.has(ListKind::Prompts);
    }
    capabilities.tools |= discovery::offered(gateway, endpoint, caller) != Discovery::Off;
    if let Some(toolset) = &toolset {
        return Ok(Hello { capabilities, instructions: toolset.instructions().map(str::to_owned) });
    }
    let instructions = merge_instructions(instructions.iter().map(|(name, text)| (*name, text.as_str())));
    Ok(Hello { capabilities, instructions })
}

/// What a server tells models of itself, as they may read it, unless that is held back.
async fn instructions_of(catalogue: &Catalogue, peer: &Peer) -> Option<String> {
    let (server, text) = (&catalogue.server, peer.instructions.as_ref()?);
    let env = server.env();
    if env.oversight.is_hidden(server.id(), None) {
        return None;
    }
    let (shown, suspect) = env.definitions(server.id()).text(text)?;
    let lets = env.oversight.lets_instruct(env, server, text.to_be_judged(), suspect).await;
    lets.then_some(shown)
}

fn everything() -> ServerCaps {
    ServerCaps {
        tools: true,
        resources: true,
        subscribe: true,
        prompts: true,
        completions: true,
        logging: true,
        ..ServerCaps::default()
    }
}

/// The same, within [`PATIENCE`]. A server that hangs holds up one greeting, not every one: until it has been reached
/// after all, nobody waits for it again.
async fn peer_in_time(catalogue: &Arc<Catalogue>, era: Era, caps: ClientCaps) -> Option<Arc<Peer>> {
    if catalogue.server.about().is_none() && catalogue.awaited.load(Ordering::Relaxed) {
        return None;
    }
    let peer = tokio::time::timeout(PATIENCE, peer_of(catalogue, era, caps)).await;
    catalogue.awaited.fetch_or(peer.is_err(), Ordering::Relaxed);
    peer.ok()?.ok()
}

/// What a server says of itself to such a client, asked now if nobody has yet.
async fn peer_of(catalogue: &Arc<Catalogue>, era: Era, caps: ClientCaps) -> Result<Arc<Peer>, Refusal> {
    if let Some(peer) = catalogue.server.about_to(era, &conversation(), caps).await {
        return Ok(peer);
    }
    if let Some(peer) = catalogue.server.about() {
        return Ok(peer);
    }
    let connection = catalogue.server.connection(era, &conversation()).await?;
    Ok(Arc::new(connection.peer().clone()))
}
