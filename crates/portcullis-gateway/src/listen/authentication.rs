//! Who makes a request: its token or API key, else the client certificate of its connection, else nobody.
//!
//! Every request to an endpoint passes here, whatever its method; a session id, cursor or task id is never asked who its
//! holder is. A credential that is presented decides: a bad one is not made up for by a certificate or by loopback.

use std::sync::Arc;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response};
use portcullis_config::Anonymous;
use portcullis_identity::outbound::SubjectToken;
use portcullis_identity::{
    Circumstances, Presented, Refused, Scheme, Verified, challenge, login_challenge, step_up_challenge,
};
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, Principal};

use super::body::Body;
use super::context::Context;
use super::request::Head;
use super::response;
use crate::call::{Challenge, Endpoint, Refusal};
use crate::identity::{Form, base, identifier};

pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The connection as the one who makes this request sees it.
///
/// # Errors
/// The answer for a caller that is not let in.
pub(super) async fn authenticate(
    context: &Arc<Context>,
    endpoint: &Endpoint,
    form: Form,
    head: &Head,
) -> Result<Arc<Context>, Box<Response<Body>>> {
    let gateway = &context.gateway;
    let (takes_tokens, anonymous) = {
        let settings = gateway.settings.load();
        // Where the listener stands counts, not where a configuration that was taken up later would have it.
        let listener = gateway.address.get().copied().unwrap_or(settings.listen);
        let anonymous =
            if listener.ip().is_loopback() { settings.identity.anonymous } else { Anonymous::Deny };
        (settings.identity.takes_tokens(), anonymous)
    };
    let (value, again) = {
        let name = AUTHORIZATION;
        let mut shown = head.fields.all(&name).filter(|_| takes_tokens);
        (shown.next(), shown.next().is_some())
    };
    let Some(value) = value.or_else(|| takes_tokens.then(|| in_query(head)).flatten()) else {
        let shut_out = if context.principal.is_anonymous() {
            anonymous == Anonymous::Deny
        } else {
            !context.certificate_counts()
        };
        if shut_out {
            return Err(Box::new(refuse(context, endpoint, form, None, &Refused::Missing)));
        }
        return held(context, context.clone());
    };
    let mut scheme = None;
    match present(context, (endpoint, form), head, (value, again), &mut scheme).await {
        Ok(made) => {
            gateway.accepted.add(1);
            held(context, made)
        }
        Err(refused) => {
            crate::identity::refused(gateway.metrics(), &refused);
            Err(Box::new(refuse(context, endpoint, form, scheme, &refused)))
        }
    }
}

/// Whoever makes a request, if one more connection may be theirs.
fn held(connection: &Context, who: Arc<Context>) -> Result<Arc<Context>, Box<Response<Body>>> {
    let held = connection.hold(&who);
    held.map_err(|refusal| Box::new(response::refusal(Era::Modern, None, &refusal)))?;
    Ok(who)
}

async fn present(
    context: &Arc<Context>,
    (endpoint, form): (&Endpoint, Form),
    head: &Head,
    (value, again): (&[u8], bool),
    scheme: &mut Option<Scheme>,
) -> Result<Arc<Context>, Refused> {
    if in_query(head).is_some() {
        return Err(Refused::Malformed(
            "a token belongs into the header `Authorization`, never into the URL",
        ));
    }
    if again {
        return Err(Refused::Malformed("`Authorization` is there twice"));
    }
    if let Some(known) = context.recall(endpoint, form, value) {
        return Ok(known);
    }
    let mark = context.gateway.identity.mark();
    let presented = Presented::read(value)?;
    *scheme = Some(presented.scheme());
    let gateway = &context.gateway;
    let base = base(&gateway.settings.load(), gateway.address.get().copied());
    let other = if form == Form::Sse { Form::Streamable } else { Form::Sse };
    let identifiers = [form, other].map(|form| identifier(&base, endpoint, form));
    let proof = head.fields.text(&DPOP).filter(|_| head.fields.all(&DPOP).nth(1).is_none());
    let around = Circumstances {
        identifiers: &identifiers,
        base: &base,
        method: head.method.as_str(),
        path: &head.path,
        proof,
        certificate: context.shown.as_ref().map(|shown| &shown.sha256),
        source: context.peer,
    };
    let verified = gateway.identity.authenticate(&presented, &around).await?;
    // An API key is ours, and of no use to anybody else.
    let wanted = gateway.takes_subjects() && matches!(verified.principal, Principal::User(_));
    let subject = if wanted { subject(context, &presented, &verified).await } else { None };
    let made = Arc::new(context.of(verified, subject));
    context.keep(mark, (endpoint, form), value, &made);
    Ok(made)
}

/// What can be exchanged for whoever was let in: their token, or the one that they logged in with at the gateway's own
/// authorization server, whose tokens are nothing to anybody else.
async fn subject(
    context: &Context,
    presented: &Presented<'_>,
    verified: &Verified,
) -> Option<Arc<SubjectToken>> {
    match context.gateway.facade.load_full().filter(|facade| facade.has_issued(verified)) {
        Some(facade) => facade.subject(verified).await.map(Arc::new),
        None => Some(Arc::new(presented.subject(verified))),
    }
}

/// Tells a caller whose token was good that another one is needed for what they asked.
pub(super) fn challenged(
    context: &Context,
    endpoint: &Endpoint,
    form: Form,
    (head, challenge): (&Head, &Challenge),
    answer: &mut Response<Body>,
) {
    let gateway = &context.gateway;
    let identifier =
        identifier(&base(&gateway.settings.load(), gateway.address.get().copied()), endpoint, form);
    let shown = head.fields.all(&AUTHORIZATION).next();
    let scheme = shown.and_then(|value| Presented::read(value).ok()).map(|shown| shown.scheme());
    let value = gateway.identity.with_settings(|settings| match challenge {
        Challenge::Scope(scope) => step_up_challenge(settings, &identifier, scheme, scope),
        Challenge::Login(claims) => login_challenge(settings, &identifier, scheme, claims.as_deref()),
    });
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
}

/// A token in the query ends up in logs and histories (RFC 6750 section 5.3); whoever sends one is to stop.
fn in_query(head: &Head) -> Option<&[u8]> {
    let pairs = head.query.as_deref()?.split('&');
    pairs.filter_map(|pair| pair.strip_prefix("access_token=")).map(str::as_bytes).next()
}

fn refuse(
    context: &Context,
    endpoint: &Endpoint,
    form: Form,
    scheme: Option<Scheme>,
    refused: &Refused,
) -> Response<Body> {
    let gateway = &context.gateway;
    let settings = gateway.settings.load();
    let takes_tokens = settings.identity.takes_tokens();
    if *refused != Refused::Missing {
        tracing::info!(reason = %refused, "refused a credential");
    }
    let (kind, message) = match refused {
        Refused::Missing if takes_tokens && !settings.identity.logs_in() => (
            ErrorKind::Unauthenticated,
            "who are you? Send an API key of this gateway, as `Authorization: Bearer pcl_…`",
        ),
        Refused::Missing if takes_tokens => (
            ErrorKind::Unauthenticated,
            "who are you? Send an access token; `WWW-Authenticate` says where to get one",
        ),
        Refused::Missing => {
            (ErrorKind::Unauthenticated, "who are you? This listener wants a client certificate of its CA")
        }
        Refused::Malformed(why) => (ErrorKind::InvalidRequest, *why),
        Refused::Invalid(_) => {
            (ErrorKind::Unauthenticated, "this credential is not accepted here; get a new one")
        }
        Refused::Proof(_) | Refused::Nonce => {
            (ErrorKind::Unauthenticated, "the DPoP proof is not accepted; `WWW-Authenticate` says more")
        }
        Refused::Scope => (
            ErrorKind::InsufficientScope,
            "the token lacks a scope; `WWW-Authenticate` names all that are needed",
        ),
        Refused::Unavailable => {
            (ErrorKind::IdentityUnavailable, "the identity provider cannot be asked now; try again")
        }
    };
    let mut answer = response::refusal(Era::Modern, None, &Refusal::new(kind, message));
    if *refused != Refused::Missing {
        response::of_credential(&mut answer, refused.to_string());
    }
    if !takes_tokens || *refused == Refused::Unavailable {
        return answer;
    }
    let identifier = identifier(&base(&settings, gateway.address.get().copied()), endpoint, form);
    let value = gateway.identity.with_settings(|settings| challenge(settings, &identifier, scheme, refused));
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    if let Some(nonce) = gateway.identity.nonce() {
        let nonce = HeaderValue::try_from(nonce).expect("a nonce is base64url");
        answer.headers_mut().insert(DPOP_NONCE, nonce);
    }
    answer
}
