//! Whose a URI is.

use std::sync::Arc;

use futures_util::future::join_all;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::uris;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_policy::{Action, Thing, ThingKind};

use super::catalogue::{Catalogue, Found, Need, Variant};
use super::listing::ListKind;
use super::resolve::{UNKNOWN, find_server};
use super::servers::Servers;
use crate::admit::Pass;
use crate::call::{Caller, Endpoint, Refusal};
use crate::gateway::Gateway;

/// A resource that nobody has, or that is not there for the caller.
pub(crate) fn unknown_resource(uri: &str) -> Refusal {
    let data = Raw::from_static("{}").with(&[("uri", Change::Set(Raw::from_text(uri).as_bytes()))]);
    Refusal::new(ErrorKind::UnknownResource, "no server here has that resource").with_data(data)
}

/// The server that has a URI, and its own form of it: one where the caller may do that with it.
pub(crate) async fn server_of_uri(
    gateway: &Gateway,
    endpoint: &Endpoint,
    caller: &Caller,
    uri: &str,
    (pass, action): (Option<&Pass>, Action),
) -> Result<(Arc<Catalogue>, String), Refusal> {
    // What looks like a template may be one of the server's; which of the two it is, is asked when its list is there.
    let template = action == Action::Complete && uri.contains('{');
    let kind = if template { ThingKind::Template } else { ThingKind::Resource };
    let may = |id: &ServerId, own: &str| {
        pass.is_none_or(|pass| pass.could(action, Thing { server: id.as_str(), kind, name: own }))
    };
    if let Endpoint::Server(id) = endpoint {
        let catalogue = find_server(gateway, id, pass, caller)?;
        return if may(id, uri) { Ok((catalogue, uri.to_owned())) } else { Err(unknown_resource(uri)) };
    }
    let servers = gateway.servers.load_full();
    let Some(toolset) = servers.toolset(endpoint, pass)? else {
        return among(&servers, caller, uri, may).await;
    };
    // A view is of a tool that was taken, whichever the lists of resources are.
    let may = |id: &ServerId, own: &str| toolset.draws_on(id.as_str()) && may(id, own);
    let (catalogue, own) = among(&servers, caller, uri, may).await?;
    let reads = toolset.reads(&catalogue, caller, &own, UNKNOWN).await;
    if reads { Ok((catalogue, own)) } else { Err(unknown_resource(uri)) }
}

/// The one of all servers that has a URI, where the caller may do that with it.
async fn among(
    servers: &Servers,
    caller: &Caller,
    uri: &str,
    may: impl Fn(&ServerId, &str) -> bool,
) -> Result<(Arc<Catalogue>, String), Refusal> {
    if let Some((id, own)) = uris::map_in(uri)
        && let Some(catalogue) = servers.find(id.as_str())
    {
        return if may(&id, &own) { Ok((catalogue.of(caller), own)) } else { Err(unknown_resource(uri)) };
    }
    let variant = Variant::of(caller);
    let all: Vec<_> = servers
        .iter()
        .filter(|catalogue| may(catalogue.server.id(), uri))
        .map(|catalogue| catalogue.of(caller))
        .collect();
    // A view that loads another by the name that it was written with.
    let mut with_view = all.iter().filter(|catalogue| {
        catalogue.last(ListKind::Tools, variant).is_some_and(|listing| listing.has_view(uri))
    });
    if let (Some(only), None) = (with_view.next(), with_view.next()) {
        return Ok((only.clone(), uri.to_owned()));
    }
    // Web addresses keep their form, and texts may hold unmapped ones: whoever lists it has it, else whose template makes
    // it, the first by slug.
    let kinds = [ListKind::Resources, ListKind::Templates];
    let knows = |catalogue: &Arc<Catalogue>, kind| {
        catalogue.peek(kind, variant, Need::Known).is_some_and(|listing| listing.find(uri).is_some())
    };
    if let Some(owner) = all.iter().find(|catalogue| kinds.iter().any(|kind| knows(catalogue, *kind))) {
        return Ok((owner.clone(), uri.to_owned()));
    }
    let makes = |catalogue: &&Arc<Catalogue>| {
        let templates = catalogue.peek(ListKind::Templates, variant, Need::Known);
        templates.is_some_and(|listing| listing.makes(uri))
    };
    if let Some(owner) = all.iter().find(makes) {
        return Ok((owner.clone(), uri.to_owned()));
    }
    let asked = all.iter().flat_map(|catalogue| kinds.map(|kind| catalogue.list(kind, variant, UNKNOWN)));
    let listed = join_all(asked).await;
    let has = |found: &Found| found.listing.find(uri).is_some();
    let makes = |found: &Found| found.listing.makes(uri);
    let place = |is: &dyn Fn(&Found) -> bool| listed.iter().position(|found| found.as_ref().is_ok_and(is));
    if let Some(place) = place(&has).or_else(|| place(&makes)) {
        return Ok((all[place / kinds.len()].clone(), uri.to_owned()));
    }
    Err(unknown_resource(uri))
}
