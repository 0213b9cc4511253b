//! The gateway's own authorization server on the wire: paths, and plain values in and out.
//!
//! What is asked and answered is `portcullis-identity`'s. It is asked after every other path, so that no call to an MCP
//! endpoint pays for it.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use portcullis_identity::{Facade, FacadeAnswer, FacadeRequest};
use portcullis_mcp::revision::Era;
use portcullis_model::Principal;

use super::authentication::DPOP;
use super::body::Body;
use super::context::Context;
use super::request::Head;
use super::response;
use crate::identity::{ISSUER_PATH, path_of};

/// Where the document of an authorization server is (RFC 8414 section 3.1); the path of the issuer follows.
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// Largest body that it reads, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;

/// Whether a request is for the authorization server.
pub(super) fn is_for(context: &Context, head: &Head) -> bool {
    let ours = below(&head.path).is_some() || head.path.starts_with(WELL_KNOWN);
    ours && context.gateway.facade.load().is_some()
}

/// Answers a request; `None` when there is nothing at its path.
pub(super) async fn answer(context: &Context, head: &Head, body: Bytes) -> Option<Response<Body>> {
    let facade = context.gateway.facade.load_full()?;
    if is_document(&facade, &head.path) {
        let asks = matches!(head.method, Method::GET | Method::HEAD);
        return asks.then(|| written(facade.document()));
    }
    let path = below(&head.path)?;
    let cookies = head.fields.cookies();
    let dpop = DPOP;
    let mut proofs = head.fields.all(&dpop);
    let proof = proofs.next().map(|proof| match proofs.next() {
        None => std::str::from_utf8(proof).unwrap_or_default(),
        Some(_) => "",
    });
    let request = FacadeRequest {
        method: head.method.as_str(),
        path,
        query: head.query.as_deref(),
        cookie: cookies.as_deref(),
        authorization: head.fields.text(&AUTHORIZATION),
        proof,
        content_type: head.fields.text(&CONTENT_TYPE),
        body: &body,
        peer: context.peer,
    };
    if let Some(Err(refusal)) = context.gateway.evidence.as_ref().map(|evidence| evidence.may_begin()) {
        return Some(response::refusal(Era::Modern, None, &refusal));
    }
    let answer = facade.answer(&request).await?;
    if let Some(reason) = answer.refused {
        // Both are words of ours: a path that is answered is one of a few.
        tracing::info!(step = path, reason, "the authorization server refused");
    }
    if let Some(evidence) = &context.gateway.evidence {
        let mut detail = vec![("step", path.to_owned()), ("status", answer.status.to_string())];
        detail.extend(answer.refused.map(|reason| ("reason", reason.to_owned())));
        let issuer = &facade.settings().issuer;
        let whom =
            answer.whom.as_deref().map_or(Principal::Anonymous, |subject| Principal::of(issuer, subject));
        // What the answer carries, a code or a token, leaves only with it.
        if let Err(refusal) = evidence.login(&whom, context.peer, &detail).await {
            return Some(response::refusal(Era::Modern, None, &refusal));
        }
    }
    Some(written(answer))
}

/// What follows the path of the issuer.
fn below(path: &str) -> Option<&str> {
    path.strip_prefix(ISSUER_PATH).filter(|rest| rest.starts_with('/'))
}

/// Clients ask with the whole path of the issuer, which a proxy in front may have cut; those of 2025-03-26 ask at the root.
fn is_document(facade: &Facade, path: &str) -> bool {
    let issuer = path_of(&facade.settings().issuer);
    path.strip_prefix(WELL_KNOWN).is_some_and(|rest| rest.is_empty() || rest == issuer || rest == ISSUER_PATH)
}

fn written(answer: FacadeAnswer) -> Response<Body> {
    let mut written = Response::new(Body::whole(answer.body));
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return response::empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    *written.status_mut() = status;
    for (name, value) in answer.fields {
        let Ok(value) = HeaderValue::try_from(value) else {
            return response::empty(StatusCode::INTERNAL_SERVER_ERROR);
        };
        written.headers_mut().append(HeaderName::from_static(name), value);
    }
    written
}
