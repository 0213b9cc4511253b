//! The metadata of endpoints as protected resources (RFC 9728): public, and the same whether an endpoint exists or not.

use http::{Response, StatusCode};
use portcullis_identity::ProtectedResource;

use super::body::Body;
use super::response;
use crate::call::Endpoint;
use crate::gateway::Gateway;
use crate::identity::{Form, base, identifier, path_of};

/// Where the documents are; the path of the endpoint follows.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The path of the endpoint that a path asks about. `None` when it asks for something else.
pub(super) fn subject<'a>(gateway: &Gateway, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(WELL_KNOWN)?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    // Behind a proxy that cuts the path of `public_url` off, clients still ask with it (RFC 9728 section 3.1).
    let settings = gateway.settings.load();
    let base = settings.public_url.as_deref().map(path_of).unwrap_or_default();
    let rest =
        rest.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(rest);
    Some(if rest.is_empty() || rest == "/" { "/mcp" } else { rest })
}

/// The document; `None` where nobody logs in with a token of an issuer.
pub(super) fn document(gateway: &Gateway, endpoint: &Endpoint, form: Form) -> Option<Response<Body>> {
    let settings = gateway.settings.load();
    if settings.identity.issuers.is_empty() && settings.identity.facade.is_none() {
        return None;
    }
    let identifier = identifier(&base(&settings, gateway.address.get().copied()), endpoint, form);
    let certificates = settings.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let resource = ProtectedResource { identifier: &identifier, certificates };
    let document = gateway.identity.with_settings(|settings| resource.document(settings));
    Some(response::json(StatusCode::OK, document))
}
