//! The pages by which users connect accounts, and what authorization servers read about the gateway.
//!
//! Whoever opens a link must be the user that it was made for; so must whoever comes back. A link is looked up before anybody
//! is asked who they are: nobody logs in for one that is over, or that no login makes theirs. Who somebody is who opens a page
//! is found out as for any request: by certificate or token, or nobody in particular where anonymous callers are served. A
//! browser that shows nothing is sent to log in, where the operator says how, and known for a while.
//! Pages show nothing of what a request brought.

use std::sync::Arc;
use std::time::Duration;

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, REFERRER_POLICY,
    SET_COOKIE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Method as HttpMethod, Response, StatusCode};
use portcullis_audit::Kind;
use portcullis_identity::Circumstances;
use portcullis_identity::outbound::{Begun, Needed, Source};
use portcullis_mcp::method::Method;
use portcullis_mcp::subscription::Lists;
use portcullis_model::{Principal, ServerId};
use serde_json::json;

use super::authentication::authenticate;
use super::body::Body;
use super::context::Context;
use super::request::Head;
use super::response;
use crate::call::{Endpoint, Refusal};
use crate::gateway::Gateway;
use crate::identity::{Form, base, identifier};
use crate::route::Catalogue;
use crate::seal::Purpose;

/// How long a browser may take, in seconds.
const ERRAND: u32 = 600;
/// How long it is known who sits at it.
const SITTING: Duration = Duration::from_mins(15);
/// Where links to connect an account lead.
const LINKS: &str = "/connect/";
/// What authorization servers read about the gateway, and where they send browsers back to: the digest of the issuer follows.
const DOCUMENTS: &str = "/oauth/client/";
const CALLBACKS: &str = "/oauth/callback/";

/// Answers what is asked here; `None` when it is something else.
pub(super) async fn answer(context: &Arc<Context>, head: &Head) -> Option<Response<Body>> {
    let gateway = &context.gateway;
    let is_get = head.method == HttpMethod::GET;
    let acts =
        ["/oauth/login", CALLBACKS, LINKS, "/connections/"].iter().any(|path| head.path.starts_with(path));
    if let Some(evidence) = gateway.evidence.as_ref().filter(|_| acts)
        && let Err(refusal) = evidence.may_begin()
    {
        return Some(unrecorded(&refusal));
    }
    Some(match head.path.as_str() {
        "/.well-known/jwks.json" if is_get => keys(gateway),
        "/oauth/login" if is_get => logged_in(context, head).await,
        "/connections" if is_get => connections(context, head).await,
        path => {
            if let Some(id) = path.strip_prefix(LINKS).filter(|_| is_get) {
                begin(context, head, id).await
            } else if let Some(issuer) = path.strip_prefix(CALLBACKS).filter(|_| is_get) {
                callback(context, head, issuer).await
            } else if let Some(issuer) = path.strip_prefix(DOCUMENTS).filter(|_| is_get) {
                let issuer = issuer.strip_suffix(".json")?;
                response::json(StatusCode::OK, gateway.env.office.client_document(issuer)?)
            } else if let Some(server) = path.strip_prefix("/connections/")
                && head.method == HttpMethod::DELETE
            {
                disconnect(context, head, server).await
            } else {
                return None;
            }
        }
    })
}

fn keys(gateway: &Gateway) -> Response<Body> {
    let servers = gateway.servers.load();
    let keys: Vec<_> = servers.iter().filter_map(|catalogue| catalogue.server.signing_key()).collect();
    response::json(StatusCode::OK, gateway.env.office.key_set(keys.iter().map(|key| &**key)))
}

/// The id of whoever makes the request: by what a call would show, or as the browser was logged in. Where it is for `owner`,
/// who shows nothing is not taken for anybody else without being asked.
///
/// # Errors
/// The way to log in, or the page that says that it must be somebody.
async fn visitor(context: &Arc<Context>, head: &Head, owner: Option<&str>) -> Result<String, Response<Body>> {
    let gateway = &context.gateway;
    let (name, _) = cookie(context, "browser");
    if let Some(sealed) = brought(head, &name)
        && let Ok(id) = gateway.sealer.open_in_time(Purpose::Browser, &Principal::Anonymous, sealed)
        && let Ok(id) = String::from_utf8(id)
    {
        return Ok(id);
    }
    let login = gateway.login.load_full().filter(|_| !head.fields.has(&AUTHORIZATION));
    let login = login.filter(|login| owner.is_some_and(|owner| login.may_be(owner)));
    let answer = match authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await {
        Ok(context) if login.is_none() || !context.principal.is_anonymous() => {
            return Ok(context.principal.id());
        }
        Ok(_) => None,
        Err(answer) => Some(answer),
    };
    let Some(login) = login else {
        let mut page = page(
            StatusCode::UNAUTHORIZED,
            "Who are you?",
            "This page is for somebody whom the gateway knows. Log in, then open it again.",
        );
        if let Some(challenge) = answer.as_ref().and_then(|answer| answer.headers().get(WWW_AUTHENTICATE)) {
            page.headers_mut().insert(WWW_AUTHENTICATE, challenge.clone());
        }
        return Err(page);
    };
    let base = base(&gateway.settings.load(), gateway.address.get().copied());
    let resource = identifier(&base, &Endpoint::Aggregate, Form::Streamable);
    Err(match login.begin(&head.path, &resource).await {
        Ok(begun) => send(context, begun, "login"),
        Err(needed) => trouble(&needed),
    })
}

/// A browser comes back from the issuer at which its user logged in.
async fn logged_in(context: &Arc<Context>, head: &Head) -> Response<Body> {
    let gateway = &context.gateway;
    let Some(login) = gateway.login.load_full() else { return over() };
    let (name, gone) = cookie(context, "login");
    let query = head.query.as_deref().unwrap_or_default();
    let done = match login.finish(query, brought(head, &name)).await {
        Ok(done) => done,
        Err(why) => {
            let reference = reference();
            tracing::warn!(%why, reference, "a browser was not logged in");
            let detail =
                [("what", "a browser was not logged in".to_owned()), ("why", why.reason().to_owned())];
            if let Err(page) = on_record(context, Kind::Login, &context.principal, &detail).await {
                return page;
            }
            let text = why.for_user().unwrap_or_else(|| told_of(FAILED, &reference));
            return page(StatusCode::BAD_REQUEST, "Not logged in", &text);
        }
    };
    let base = base(&gateway.settings.load(), gateway.address.get().copied());
    let identifiers = [identifier(&base, &Endpoint::Aggregate, Form::Streamable)];
    let around = Circumstances {
        identifiers: &identifiers,
        base: &base,
        method: head.method.as_str(),
        path: &head.path,
        proof: None,
        certificate: context.shown.as_ref().map(|shown| &shown.sha256),
        source: context.peer,
    };
    let verified = match gateway.identity.authenticate(&done.token.presented(), &around).await {
        Ok(verified) => verified,
        Err(refused) => {
            tracing::warn!(reason = %refused, "a browser was logged in with a token that is not accepted");
            let detail = [("what", "a browser was logged in with a token that is not accepted".to_owned())];
            if let Err(page) = on_record(context, Kind::Login, &context.principal, &detail).await {
                return page;
            }
            let text = "The token that you logged in with is not accepted here.";
            return page(StatusCode::FORBIDDEN, "Not logged in", text);
        }
    };
    let detail = [("what", "a browser was logged in".to_owned())];
    if let Err(page) = on_record(context, Kind::Login, &verified.principal, &detail).await {
        return page;
    }
    let id = verified.id.as_bytes();
    let sealed = gateway.sealer.seal_for(SITTING, Purpose::Browser, &Principal::Anonymous, id);
    let mut answer = response::empty(StatusCode::SEE_OTHER);
    // A path of ours, as it was when the browser left.
    let place = HeaderValue::try_from(format!("{base}{}", done.wanted));
    let Ok(place) = place else { return over() };
    answer.headers_mut().insert(LOCATION, place);
    let (browser, attributes) = cookie(context, "browser");
    let set = format!("{browser}={sealed}; {attributes}; Max-Age={}", SITTING.as_secs());
    for set in [set, format!("{name}=; {gone}; Max-Age=0")] {
        let set = HeaderValue::try_from(set).expect("a cookie of ours is base64url");
        answer.headers_mut().append(SET_COOKIE, set);
    }
    guard(&mut answer);
    answer
}

/// A server as the user with this id knows it, where users connect accounts to it.
fn of_owner(context: &Context, id: &str, server: &str) -> Option<(Arc<Catalogue>, Arc<Source>)> {
    let catalogue = context.gateway.servers.load().find(server)?.of_id(id)?;
    if catalogue.server.owner().is_some_and(|owner| context.gateway.identity.is_revoked(owner)) {
        return None;
    }
    let source = catalogue.server.source()?.clone();
    catalogue.server.takes_accounts().then_some((catalogue, source))
}

/// A server as a user knows it, where users connect accounts to it.
fn own(context: &Context, principal: &Principal, server: &str) -> Option<(Arc<Catalogue>, Arc<Source>)> {
    let id = ServerId::parse(server).ok()?;
    if !context.gateway.gate.shows(
        (principal, &context.recognised),
        context.peer,
        &Endpoint::Server(id.clone()),
    ) {
        return None;
    }
    let catalogue = context.gateway.servers.load().find(server)?.of_user(principal)?;
    let source = catalogue.server.source()?.clone();
    catalogue.server.takes_accounts().then_some((catalogue, source))
}

/// Somebody opens a link.
async fn begin(context: &Arc<Context>, head: &Head, id: &str) -> Response<Body> {
    let link = match context.gateway.env.office.link(id).await {
        Ok(Some(link)) => link,
        Ok(None) => return over(),
        Err(needed) => return trouble(&needed),
    };
    let visitor = match visitor(context, head, Some(&link.owner)).await {
        Ok(visitor) => visitor,
        Err(page) => return page,
    };
    if link.owner != visitor {
        tracing::warn!(server.id = link.server, "a link to connect an account was opened by somebody else");
        let why = Some("somebody else opened the link");
        return note(context, None, &link.server, NOT_CONNECTED, why).await.err().unwrap_or_else(foreign);
    }
    let Some((_, source)) = of_owner(context, &visitor, &link.server) else { return over() };
    match source.begin(&link).await {
        Ok(begun) => send(context, begun, &format!("to-{}", link.server)),
        Err(needed) => {
            let why = "its authorization server cannot be used";
            let noted = note(context, None, &link.server, NOT_CONNECTED, Some(why)).await;
            noted.err().unwrap_or_else(|| trouble(&needed))
        }
    }
}

/// Sends a browser away; its cookie shows later that it is the same.
fn send(context: &Context, begun: Begun, errand: &str) -> Response<Body> {
    let mut answer = response::empty(StatusCode::SEE_OTHER);
    let Ok(location) = HeaderValue::try_from(begun.url) else { return over() };
    answer.headers_mut().insert(LOCATION, location);
    let (name, attributes) = cookie(context, errand);
    let set = format!("{name}={}; {attributes}; Max-Age={ERRAND}", begun.cookie);
    let set = HeaderValue::try_from(set).expect("a cookie of ours is base64url");
    answer.headers_mut().insert(SET_COOKIE, set);
    guard(&mut answer);
    answer
}

/// The value of a cookie.
fn brought<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    let all = head.fields.all(&COOKIE).filter_map(|value| std::str::from_utf8(value).ok());
    let mut all = all.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    });
    all.next()
}

/// A browser comes back from an authorization server.
async fn callback(context: &Arc<Context>, head: &Head, issuer: &str) -> Response<Body> {
    let visitor = match visitor(context, head, None).await {
        Ok(visitor) => visitor,
        Err(page) => return page,
    };
    let gateway = &context.gateway;
    let arrival = match gateway.env.office.arrive(issuer, head.query.as_deref().unwrap_or_default()).await {
        Ok(Some(arrival)) => arrival,
        Ok(None) => return over(),
        Err(needed) => return trouble(&needed),
    };
    if arrival.owner != visitor {
        tracing::warn!(server.id = arrival.server, "somebody else came back to connect an account");
        let why = Some("somebody else came back");
        return note(context, None, &arrival.server, NOT_CONNECTED, why).await.err().unwrap_or_else(foreign);
    }
    let Some((catalogue, source)) = of_owner(context, &visitor, &arrival.server) else { return over() };
    let (name, attributes) = cookie(context, &format!("to-{}", arrival.server));
    let finished = source.finish(&arrival, brought(head, &name)).await;
    let mut answer = match finished {
        Ok(()) => {
            tracing::info!(server.id = arrival.server, "an account was connected");
            changed(gateway, &catalogue);
            let noted = note(context, catalogue.server.owner(), &arrival.server, "connected", None).await;
            let text = "Your account is connected. You can close this page.";
            noted.err().unwrap_or_else(|| page(StatusCode::OK, "Connected", text))
        }
        Err(why) => {
            let reference = reference();
            tracing::warn!(server.id = arrival.server, %why, reference, "no account was connected");
            let text = why.for_user().unwrap_or_else(|| told_of(FAILED, &reference));
            let (owner, reason) = (catalogue.server.owner(), Some(why.reason()));
            let noted = note(context, owner, &arrival.server, NOT_CONNECTED, reason).await;
            noted.err().unwrap_or_else(|| page(StatusCode::BAD_REQUEST, "Not connected", &text))
        }
    };
    let gone = format!("{name}=; {attributes}; Max-Age=0");
    answer.headers_mut().insert(SET_COOKIE, HeaderValue::try_from(gone).expect("it is ASCII"));
    answer
}

const NOT_CONNECTED: &str = "not connected";

/// Puts on record what became of somebody's account at a server, and why nothing did.
///
/// # Errors
/// As [`on_record`]; the account is as it is.
async fn note(
    context: &Context,
    owner: Option<&Principal>,
    server: &str,
    what: &str,
    why: Option<&'static str>,
) -> Result<(), Response<Body>> {
    let mut detail = vec![("server", server.to_owned()), ("what", what.to_owned())];
    detail.extend(why.map(|why| ("why", why.to_owned())));
    on_record(context, Kind::Credential, owner.unwrap_or(&context.principal), &detail).await
}

/// Puts on record what happened here, and about whom.
///
/// # Errors
/// The page that says that it could not be: nothing else may be answered.
async fn on_record(
    context: &Context,
    kind: Kind,
    whom: &Principal,
    detail: &[(&str, String)],
) -> Result<(), Response<Body>> {
    let Some(evidence) = &context.gateway.evidence else { return Ok(()) };
    evidence.changed_by(kind, whom, context.peer, detail).await.map_err(|refusal| unrecorded(&refusal))
}

fn unrecorded(refusal: &Refusal) -> Response<Body> {
    page(StatusCode::SERVICE_UNAVAILABLE, "This does not work now", &refusal.message)
}

/// What a user is shown of a server has become something else.
fn changed(gateway: &Arc<Gateway>, catalogue: &Catalogue) {
    for method in [Method::ToolsListChanged, Method::PromptsListChanged, Method::ResourcesListChanged] {
        catalogue.invalidate(&method, None);
        if let Some(list) = Lists::of(&method) {
            let server = catalogue.server.id().clone();
            let owner = catalogue.server.owner().cloned();
            gateway.subscribers.announce(gateway, server, owner, list);
        }
    }
}

/// The servers to which the caller can connect an account, and whether one is.
async fn connections(context: &Arc<Context>, head: &Head) -> Response<Body> {
    let context = match authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await {
        Ok(context) => context,
        Err(answer) => return *answer,
    };
    let ids: Vec<_> = {
        let servers = context.gateway.servers.load();
        servers.iter().map(|catalogue| catalogue.server.id().to_string()).collect()
    };
    let mut all = Vec::new();
    for id in ids {
        let Some((_, source)) = own(&context, &context.principal, &id) else { continue };
        match source.is_connected().await {
            Ok(connected) => all.push(json!({"server": id, "connected": connected})),
            Err(needed) => return trouble(&needed),
        }
    }
    response::json(StatusCode::OK, json!({ "connections": all }).to_string())
}

/// The caller's account is not to be used any more.
async fn disconnect(context: &Arc<Context>, head: &Head, server: &str) -> Response<Body> {
    let context = match authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await {
        Ok(context) => context,
        Err(answer) => return *answer,
    };
    let Some((catalogue, source)) = own(&context, &context.principal, server) else {
        return response::empty(StatusCode::NOT_FOUND);
    };
    match source.disconnect().await {
        Ok(true) => {
            tracing::info!(server.id = server, "an account was disconnected");
            changed(&context.gateway, &catalogue);
            let noted = note(&context, Some(&context.principal), server, "disconnected", None).await;
            noted.err().unwrap_or_else(|| response::empty(StatusCode::NO_CONTENT))
        }
        Ok(false) => response::empty(StatusCode::NOT_FOUND),
        Err(needed) => trouble(&needed),
    }
}

/// The name and the attributes of the cookie that binds a browser to what it began.
fn cookie(context: &Context, errand: &str) -> (String, &'static str) {
    let gateway = &context.gateway;
    let base = base(&gateway.settings.load(), gateway.address.get().copied());
    if base.starts_with("https://") {
        (format!("__Host-portcullis-connect-{errand}"), "Path=/; Secure; HttpOnly; SameSite=Lax")
    } else {
        (format!("portcullis-connect-{errand}"), "Path=/; HttpOnly; SameSite=Lax")
    }
}

fn over() -> Response<Body> {
    let text = "This link is over, or was used already. Make the call again to get another one.";
    page(StatusCode::NOT_FOUND, "This link is over", text)
}

fn foreign() -> Response<Body> {
    let text = "This link was made for somebody else. Nothing was connected. If somebody sent it to you, tell them off.";
    page(StatusCode::FORBIDDEN, "This link is not for you", text)
}

/// Something that the user can do nothing about. Which addresses were asked and what they answered is in the log: the page has a
/// word by which whoever runs the gateway finds it there.
fn trouble(needed: &Needed) -> Response<Body> {
    let (status, why, text) = match needed {
        Needed::Denied(why) => (StatusCode::BAD_GATEWAY, why.as_str(), AS_IT_IS),
        Needed::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, why.as_str(), FOR_NOW),
        Needed::Connect(_) | Needed::LogIn(_) => {
            return page(StatusCode::CONFLICT, "This does not work now", "Make the call again.");
        }
    };
    let reference = reference();
    tracing::warn!(why, reference, "an account cannot be connected");
    page(status, "This does not work now", &told_of(text, &reference))
}

const AS_IT_IS: &str = "An account cannot be connected here as things are: the server, or what it logs people in with, is not set up for it.";
const FOR_NOW: &str =
    "What is needed to connect an account cannot be reached now. Try again in a few minutes.";
const FAILED: &str = "Something was not as it must be, and nothing was connected.";

fn told_of(text: &str, reference: &str) -> String {
    format!("{text} Whoever runs this gateway finds the reason in its log, under {reference}.")
}

/// A word that is in the log and on the page, and says nothing.
fn reference() -> String {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has randomness");
    crate::record::hex(&bytes)
}

/// A page of text.
fn page(status: StatusCode, title: &str, text: &str) -> Response<Body> {
    let (title, text) = (escape(title), escape(text));
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>"
    );
    let mut answer = Response::new(Body::whole(html));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    guard(&mut answer);
    answer
}

/// Nothing of it is kept, framed, or passed on.
fn guard(answer: &mut Response<Body>) {
    let policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
