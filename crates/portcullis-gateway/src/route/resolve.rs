//! Which server has what a call names, and under which name.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::mirror::Mirror;
use portcullis_mcp::uris;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_telemetry::CallSeries;

use super::catalogue::{Catalogue, Found, Need, Variant};
use super::listing::{ListKind, Listing};
use super::servers::unknown_server;
use crate::call::{Call, Endpoint, Refusal};
use crate::gateway::Gateway;

/// Where a call goes.
pub(crate) struct Route {
    pub(crate) catalogue: Arc<Catalogue>,
    /// The params in the server's own names.
    pub(crate) params: Option<Raw>,
    /// The tool's or prompt's own name, if the server lists it: fit for labels.
    pub(crate) target: Option<String>,
    /// Counts the call.
    pub(crate) series: Arc<CallSeries>,
    /// The list and the tool whose schema mirrors arguments into headers.
    pub(crate) mirrored: Option<(Arc<Listing>, String)>,
    /// Whether names and URIs in the answer have to be mapped.
    pub(crate) aggregate: bool,
}

impl Route {
    pub(crate) fn mirror(&self) -> Option<&Mirror> {
        let (listing, name) = self.mirrored.as_ref()?;
        listing.find(name)?.mirror.as_ref()
    }
}

/// A list whose time is over is asked for again when a name is not in it, but not one that was fetched a moment ago:
/// unknown names must not make a server list without end.
const UNKNOWN: Need = Need::Recent { age: Duration::from_secs(1), patience: Duration::from_secs(5) };

/// Finds the server of a call.
pub(crate) async fn resolve(gateway: &Gateway, call: &Call) -> Result<Route, Refusal> {
    match &call.method {
        Method::ToolsCall => by_name(gateway, call, ListKind::Tools).await,
        Method::PromptsGet => by_name(gateway, call, ListKind::Prompts).await,
        Method::ResourcesRead => by_uri(gateway, call).await,
        Method::Complete => by_reference(gateway, call).await,
        other => Err(Refusal::new(ErrorKind::UnknownMethod, format!("there is no method `{other}` here"))),
    }
}

async fn by_name(gateway: &Gateway, call: &Call, kind: ListKind) -> Result<Route, Refusal> {
    let name = param(call, "name")?;
    let variant = Variant::of(&call.caller);
    if let Endpoint::Server(id) = &call.endpoint {
        let catalogue = find_server(gateway, id)?;
        // The server itself is the judge of its names; the list is only for labels and mirrored headers.
        let found = catalogue.list(kind, variant, Need::Known).await.ok();
        return Ok(plain(&catalogue, call, kind, &name, found.map(|found| found.listing)));
    }
    let unknown = || Refusal::new(ErrorKind::InvalidParams, format!("there is no {} `{name:.128}` here", noun(kind)));
    // The slug has no underscore, so it ends at the first one. It only says in whose table to look.
    let slug = name.split_once("__").ok_or_else(unknown)?.0;
    let servers = gateway.servers.load();
    let catalogue = servers.find(slug).ok_or_else(unknown)?.clone();
    let known = catalogue.list(kind, variant, Need::Known).await?.listing;
    let listing = match known.find_exposed(&name) {
        Some(_) => known,
        None => catalogue.list(kind, variant, UNKNOWN).await?.listing,
    };
    let original = listing.find_exposed(&name).ok_or_else(unknown)?.key.clone();
    let mut route = plain(&catalogue, call, kind, &original, Some(listing));
    let own = Raw::from_text(&original);
    route.params = route.params.map(|params| params.with(&[("name", Change::Set(own.as_bytes()))]));
    route.aggregate = true;
    Ok(route)
}

fn noun(kind: ListKind) -> &'static str {
    if kind == ListKind::Tools { "tool" } else { "prompt" }
}

fn plain(
    catalogue: &Arc<Catalogue>,
    call: &Call,
    kind: ListKind,
    name: &str,
    listing: Option<Arc<Listing>>,
) -> Route {
    let item = listing.as_ref().and_then(|listing| listing.find(name));
    let series = match item {
        Some(item) => item.series.clone(),
        None => unlisted(catalogue, call),
    };
    let (target, is_mirrored) = (item.map(|item| item.key.clone()), item.is_some_and(|item| item.mirror.is_some()));
    let mirrored = listing.filter(|_| kind == ListKind::Tools && is_mirrored).map(|listing| (listing, name.to_owned()));
    Route { catalogue: catalogue.clone(), params: call.params.clone(), target, series, mirrored, aggregate: false }
}

/// The series of calls for things that no list has: one per server and method.
fn unlisted(catalogue: &Catalogue, call: &Call) -> Arc<CallSeries> {
    let server = &catalogue.server;
    server.env().metrics.call_series(server.id().as_str(), call.method.as_str(), "")
}

async fn by_uri(gateway: &Gateway, call: &Call) -> Result<Route, Refusal> {
    let uri = param(call, "uri")?;
    let (catalogue, own) = server_of_uri(gateway, call, &uri).await?;
    Ok(uri_route(&catalogue, call, call.params.clone().map(|params| set(&params, "uri", &own))))
}

async fn by_reference(gateway: &Gateway, call: &Call) -> Result<Route, Refusal> {
    let wrong = || Refusal::new(ErrorKind::InvalidParams, "`ref` must be a ref/prompt with `name` or a ref/resource with `uri`");
    let params = call.params.clone().ok_or_else(wrong)?;
    let reference = params.find("ref").ok_or_else(wrong)?;
    if let Endpoint::Server(id) = &call.endpoint {
        return Ok(uri_route(&find_server(gateway, id)?, call, Some(params)));
    }
    let (catalogue, reference) = match reference.find_string("type").as_deref() {
        Some("ref/prompt") => {
            let name = reference.find_string("name").ok_or_else(wrong)?;
            let named = Raw::from_static("{}").with(&[("name", Change::Set(Raw::from_text(&name).as_bytes()))]);
            let stand_in = Call { method: Method::PromptsGet, params: Some(named), ..call.clone() };
            let route = by_name(gateway, &stand_in, ListKind::Prompts).await?;
            let own = route.target.ok_or_else(wrong)?;
            (route.catalogue, set(&reference, "name", &own))
        }
        Some("ref/resource") => {
            let uri = reference.find_string("uri").ok_or_else(wrong)?;
            let (catalogue, own) = server_of_uri(gateway, call, &uri).await?;
            (catalogue, set(&reference, "uri", &own))
        }
        _ => return Err(wrong()),
    };
    let params = params.with(&[("ref", Change::Set(reference.as_bytes()))]);
    Ok(uri_route(&catalogue, call, Some(params)))
}

fn uri_route(catalogue: &Arc<Catalogue>, call: &Call, params: Option<Raw>) -> Route {
    Route {
        catalogue: catalogue.clone(),
        params,
        target: None,
        series: unlisted(catalogue, call),
        mirrored: None,
        aggregate: call.endpoint == Endpoint::Aggregate,
    }
}

/// The server that has a URI, and its own form of it.
async fn server_of_uri(gateway: &Gateway, call: &Call, uri: &str) -> Result<(Arc<Catalogue>, String), Refusal> {
    if let Endpoint::Server(id) = &call.endpoint {
        return Ok((find_server(gateway, id)?, uri.to_owned()));
    }
    let servers = gateway.servers.load_full();
    if let Some((id, own)) = uris::map_in(uri)
        && let Some(catalogue) = servers.find(id.as_str())
    {
        return Ok((catalogue.clone(), own));
    }
    // Web addresses keep their form, and texts may hold unmapped ones: whoever lists it has it, the first by slug.
    let variant = Variant::of(&call.caller);
    let all: Vec<_> = servers.iter().cloned().collect();
    let kinds = [ListKind::Resources, ListKind::Templates];
    let knows = |catalogue: &Arc<Catalogue>, kind| {
        catalogue.peek(kind, variant, Need::Known).is_some_and(|listing| listing.find(uri).is_some())
    };
    if let Some(owner) = all.iter().find(|catalogue| kinds.iter().any(|kind| knows(catalogue, *kind))) {
        return Ok((owner.clone(), uri.to_owned()));
    }
    let asked = all.iter().flat_map(|catalogue| kinds.map(|kind| catalogue.list(kind, variant, UNKNOWN)));
    let listed = join_all(asked).await;
    let has = |found: &Found| found.listing.find(uri).is_some();
    if let Some(place) = listed.iter().position(|found| found.as_ref().is_ok_and(has)) {
        return Ok((all[place / kinds.len()].clone(), uri.to_owned()));
    }
    let data = Raw::from_static("{}").with(&[("uri", Change::Set(Raw::from_text(uri).as_bytes()))]);
    Err(Refusal::new(ErrorKind::UnknownResource, "no server here has that resource").with_data(data))
}

fn find_server(gateway: &Gateway, id: &ServerId) -> Result<Arc<Catalogue>, Refusal> {
    gateway.servers.load().find(id.as_str()).cloned().ok_or_else(|| unknown_server(id))
}

fn param(call: &Call, key: &str) -> Result<String, Refusal> {
    let value = call.params.as_ref().and_then(|params| params.find_string(key));
    value.ok_or_else(|| Refusal::new(ErrorKind::InvalidParams, format!("`params.{key}` must be a string")))
}

fn set(object: &Raw, key: &str, text: &str) -> Raw {
    object.with(&[(key, Change::Set(Raw::from_text(text).as_bytes()))])
}
