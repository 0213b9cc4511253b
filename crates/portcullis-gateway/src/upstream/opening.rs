//! Opening a conversation: which era the server speaks, and the handshake of that era.
//!
//! The era is a property of the server (2026-07-28, versioning). Over HTTP a server may speak both, and then each
//! client is served in its own era, because what only one era can express (streams that a client resumes, say) would
//! otherwise be lost for no reason. A child is asked once and spoken to in one era for as long as it lives.
//!
//! A server behind a URL that takes no `initialize` by POST may be one of HTTP+SSE (2024-11-05): its stream is opened
//! last, or first where the configuration or the URL says so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use portcullis_config::{EraPin, HttpTransport};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Limits as JsonLimits, Raw};
use portcullis_mcp::message::{Message, Response, RpcError, code, write_notification};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_mcp::translate::{Hop, modern_params};
use portcullis_model::{ErrorKind, ServerId};

use super::Surroundings;
use super::channel::{Channel, Lost, Told, Wants};
use super::connection::{Peer, encode};
use super::credentials;
use super::event_stream::{EventStream, StreamEnd};
use super::http::{Head, HttpError, HttpLink, SharedLink, read_body};
use super::pages::Pages;
use super::questions::Questions;
use super::sse::{self, NoStream};
use crate::call::Refusal;

/// A silent child is taken for a legacy one after this long; servers written in Python take up to 6 s to start.
const PROBE: Duration = Duration::from_secs(10);
/// A package runner may download a server before it starts it.
const START: Duration = Duration::from_mins(2);

/// Ids of the handshake; calls use others.
const DISCOVER: u64 = 1;
const INITIALIZE: u64 = 2;

/// What a server turned out to speak over HTTP.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// The modern revision and the `DiscoverResult`.
    pub(super) modern: Option<Peer>,
    /// Whether it (also) has the handshake.
    pub(super) legacy: Handshake,
}

/// Whether a server answers `initialize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// It does, or said that it does.
    Yes,
    /// It does, over HTTP+SSE.
    Sse,
    /// It is modern, and servers of both eras need not say so: a legacy client's first call finds out.
    Untried,
    /// It does not, or is not to be asked.
    No,
}

/// What one question over HTTP brought.
struct Reply {
    status: StatusCode,
    session: Option<HeaderValue>,
    response: Option<Response>,
}

// ---- Streamable HTTP ----

/// Finds out what a server behind a URL speaks (2026-07-28, "Backward compatibility"). Only `server/discover` is sent:
/// a real method might be carried out by a lenient server.
pub(super) async fn probe_http(
    server: &ServerId,
    link: &SharedLink,
    pin: EraPin,
    transport: HttpTransport,
    env: &Arc<Surroundings>,
) -> Result<Verdict, Refusal> {
    let looks_like_sse = transport == HttpTransport::Auto && link.url().path().ends_with("/sse");
    if transport == HttpTransport::Sse
        // A stream that is opened and left is a session that nobody used; it ends with the stream.
        || looks_like_sse && pin != EraPin::Modern && sse::open(server, link, env, ignore(server)).await.is_ok()
    {
        return Ok(Verdict { modern: None, legacy: Handshake::Sse });
    }
    if pin == EraPin::Legacy {
        return Ok(Verdict { modern: None, legacy: Handshake::Yes });
    }
    let mut revision = Revision::NEWEST;
    for _ in 0..2 {
        let reply = ask(
            link,
            env,
            discover(revision, env),
            Head { revision: Some(revision), method: Some(&Method::Discover), ..Head::default() },
        );
        let reply = reply.await.map_err(|error| unreachable(server, &error))?;
        match judge(&reply, pin) {
            Judgement::Modern(hello) => return modern_verdict(server, pin, &hello),
            Judgement::Retry(other) => revision = other,
            Judgement::Legacy => return Ok(Verdict { modern: None, legacy: Handshake::Yes }),
            Judgement::Unclear(kind) => return Err(unclear(server, kind, reply.status)),
        }
    }
    Err(Refusal::new(
        ErrorKind::UpstreamProtocol,
        format!("server `{server}` offers no protocol revision in common"),
    ))
}

enum Judgement {
    Modern(Raw),
    Retry(Revision),
    Legacy,
    Unclear(ErrorKind),
}

fn judge(reply: &Reply, pin: EraPin) -> Judgement {
    match reply.status.as_u16() {
        401 | 403 => return Judgement::Unclear(ErrorKind::UpstreamDenied),
        // A server in trouble says nothing about its era, whatever it says.
        429 | 500.. => return Judgement::Unclear(ErrorKind::UpstreamUnavailable),
        _ => {}
    }
    match reply.response.as_ref().map(|response| &response.answer) {
        Some(Ok(result)) if result.find("supportedVersions").is_some() => {
            Judgement::Modern(result.raw().clone())
        }
        Some(Err(error)) => judge_error(error, pin),
        // It answered, but not to the question: a legacy server out of protocol.
        Some(Ok(_)) => Judgement::Legacy,
        None if matches!(reply.status.as_u16(), 400 | 404 | 405 | 406) => Judgement::Legacy,
        None => Judgement::Unclear(ErrorKind::UpstreamUnavailable),
    }
}

fn judge_error(error: &RpcError, pin: EraPin) -> Judgement {
    match error.code() {
        code::UNSUPPORTED_VERSION => {
            let supported = error.data().and_then(|data| data.find("supported"));
            match supported.as_ref().and_then(newest_modern) {
                Some(revision) => Judgement::Retry(revision),
                None => Judgement::Legacy,
            }
        }
        _ if pin == EraPin::Modern => Judgement::Modern(assumed_discovery()),
        code::HEADER_MISMATCH | code::MISSING_CLIENT_CAPABILITY => Judgement::Modern(assumed_discovery()),
        _ => Judgement::Legacy,
    }
}

/// For a server that is modern but does not answer `server/discover`: it may offer anything.
fn assumed_discovery() -> Raw {
    Raw::from_static(
        r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"resources":{},"prompts":{},"completions":{},"logging":{}},"ttlMs":0,"cacheScope":"private"}"#,
    )
}

fn modern_verdict(server: &ServerId, pin: EraPin, hello: &Raw) -> Result<Verdict, Refusal> {
    let versions = hello.find("supportedVersions").unwrap_or_else(|| Raw::from_static("[]"));
    let legacy = match pin {
        EraPin::Modern => Handshake::No,
        _ if any_legacy(&versions) => Handshake::Yes,
        _ => Handshake::Untried,
    };
    let modern = newest_modern(&versions).map(|revision| Peer::read(revision, hello));
    if modern.is_none() && legacy != Handshake::Yes {
        let message = format!("server `{server}` supports only the protocol revisions {versions}");
        return Err(Refusal::new(ErrorKind::UpstreamProtocol, message));
    }
    Ok(Verdict { modern, legacy })
}

fn revisions(versions: &Raw) -> impl Iterator<Item = Revision> {
    versions.elements().filter_map(|version| Revision::parse(&version.string()?))
}

fn newest_modern(versions: &Raw) -> Option<Revision> {
    revisions(versions).filter(|revision| *revision >= Revision::V2026_07_28).max()
}

fn any_legacy(versions: &Raw) -> bool {
    revisions(versions).any(|revision| revision < Revision::V2026_07_28)
}

fn ignore(server: &ServerId) -> Told {
    let pages = Pages::new(Arc::new(|_, _| {}));
    Told { questions: Questions::new(server.clone(), ClientCaps::NONE, Arc::default(), pages) }
}

/// A legacy conversation that was opened over HTTP.
pub(super) enum Opened {
    /// Streamable HTTP, with the session if the server keeps one.
    Streamable(Peer, Option<HeaderValue>),
    /// HTTP+SSE.
    Sse(Peer, Arc<Channel>),
}

impl Opened {
    /// Whether each legacy request stands alone: then the server can neither ask nor notify in this era, and nothing is
    /// lost by speaking the modern one to it where it speaks that too.
    pub(super) fn keeps_no_session(&self) -> bool {
        matches!(self, Self::Streamable(_, None))
    }
}

/// The handshake over HTTP. A server that does not take it by POST is tried for a stream of HTTP+SSE (2026-07-28,
/// streamable HTTP, "Backward compatibility").
pub(super) async fn initialize_http(
    server: &ServerId,
    link: &SharedLink,
    transport: HttpTransport,
    env: &Arc<Surroundings>,
    told: Told,
) -> Result<Opened, Refusal> {
    let caps = told.questions.caps();
    match initialize_streamable(server, link, caps, env).await {
        Ok((peer, session)) => Ok(Opened::Streamable(peer, session)),
        Err(Refused::Otherwise(refusal)) => Err(refusal),
        Err(Refused::Post(refusal)) if transport == HttpTransport::Streamable => Err(refusal),
        Err(Refused::Post(refusal)) => match sse::open(server, link, env, told).await {
            Ok(channel) => {
                let peer = initialize_or_close(server, &channel, caps, env).await?;
                Ok(Opened::Sse(peer, channel))
            }
            // It has no such stream either: the first answer says more.
            Err(_) => Err(refusal),
        },
    }
}

/// The handshake with a server that is known to speak HTTP+SSE.
pub(super) async fn initialize_sse(
    server: &ServerId,
    link: &SharedLink,
    env: &Arc<Surroundings>,
    told: Told,
) -> Result<(Peer, Arc<Channel>), Refusal> {
    let caps = told.questions.caps();
    let channel = sse::open(server, link, env, told).await.map_err(|error| match error {
        NoStream::Unreachable(error) => unreachable(server, &error),
        NoStream::Answered(status) => match status.as_u16() {
            401 | 403 => unclear(server, ErrorKind::UpstreamDenied, status),
            429 | 500.. => unclear(server, ErrorKind::UpstreamUnavailable, status),
            _ => {
                let message = format!(
                    "server `{server}` answered {status} and opened no event stream: is the URL that of its HTTP+SSE \
                     stream?"
                );
                Refusal::new(ErrorKind::UpstreamProtocol, message)
            }
        },
        NoStream::Other(why) => {
            Refusal::new(ErrorKind::UpstreamProtocol, format!("server `{server}`: {why}"))
        }
    })?;
    let peer = initialize_or_close(server, &channel, caps, env).await?;
    Ok((peer, channel))
}

async fn initialize_or_close(
    server: &ServerId,
    channel: &Arc<Channel>,
    caps: ClientCaps,
    env: &Surroundings,
) -> Result<Peer, Refusal> {
    let greeted = initialize_channel(server, channel, caps, env).await;
    if greeted.is_err() {
        channel.close().await;
    }
    greeted
}

/// Why there was no handshake by POST.
enum Refused {
    /// The server does not take it there.
    Post(Refusal),
    Otherwise(Refusal),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Otherwise(refusal)
    }
}

async fn initialize_streamable(
    server: &ServerId,
    link: &HttpLink,
    caps: ClientCaps,
    env: &Surroundings,
) -> Result<(Peer, Option<HeaderValue>), Refused> {
    let reply = ask(link, env, initialize(caps, env), Head::default())
        .await
        .map_err(|error| unreachable(server, &error))?;
    let hello = match reply.response.map(|response| response.answer) {
        Some(Ok(hello)) => hello,
        Some(Err(error)) => {
            let refusal = initialize_refused(server, &error);
            let by_transport = matches!(reply.status.as_u16(), 400 | 404 | 405);
            return Err(if by_transport { Refused::Post(refusal) } else { Refused::Otherwise(refusal) });
        }
        None if matches!(reply.status.as_u16(), 401 | 403) => {
            return Err(unclear(server, ErrorKind::UpstreamDenied, reply.status).into());
        }
        None if matches!(reply.status.as_u16(), 400 | 404 | 405) => {
            let message = format!(
                "server `{server}` answered {} to `initialize`: is the URL its MCP endpoint?",
                reply.status
            );
            return Err(Refused::Post(Refusal::new(ErrorKind::UpstreamProtocol, message)));
        }
        None => return Err(unclear(server, ErrorKind::UpstreamUnavailable, reply.status).into()),
    };
    let peer = legacy_peer(server, &hello)?;
    let session = reply.session;
    let mut initialized = Vec::new();
    write_notification(&mut initialized, &Method::Initialized, None);
    let revision = Some(peer.revision).filter(|revision| *revision >= Revision::V2025_06_18);
    let head = Head { revision, session: session.as_ref(), ..Head::default() };
    let reply = link.post(env.control_worker(), head, initialized.into()).await;
    reply.map_err(|error| unreachable(server, &error))?;
    Ok((peer, session))
}

/// Sends one message of the gateway's own and reads the answer, be it JSON or a stream.
async fn ask(link: &HttpLink, env: &Surroundings, message: Raw, head: Head<'_>) -> Result<Reply, HttpError> {
    let limits = env.limits_to_keep();
    let reply = link.post(env.control_worker(), head, message.bytes().clone()).await?;
    let (status, session, is_stream) = (reply.status(), reply.session().cloned(), reply.is_stream());
    let (limit, depth) = (limits.response_bytes, limits.json_depth);
    let response = if is_stream {
        first_response(EventStream::new(reply.into_body(), limit), limit, depth).await?
    } else {
        parse(read_body(reply.into_body(), limit).await?, depth)
    };
    Ok(Reply { status, session, response })
}

async fn first_response(
    mut events: EventStream,
    limit: usize,
    depth: usize,
) -> Result<Option<Response>, HttpError> {
    loop {
        match events.next().await {
            Ok(event) => {
                if let Some(response) = parse(event.data, depth) {
                    return Ok(Some(response));
                }
            }
            Err(StreamEnd::Closed) => return Ok(None),
            Err(StreamEnd::Broken(error)) => return Err(error),
            Err(StreamEnd::Unreadable(_)) => return Err(HttpError::TooLarge(limit)),
        }
    }
}

fn parse(body: Bytes, depth: usize) -> Option<Response> {
    match Message::parse(body, JsonLimits { depth }) {
        Ok(Message::Response(response)) => Some(response),
        _ => None,
    }
}

// ---- channels ----

/// What a child made of the first question.
pub(super) enum Greeting {
    /// It speaks.
    Peer(Peer),
    /// It left when it was asked something before `initialize`: start it again and do not ask.
    LeftDuringProbe,
    /// It has both eras, and was taken for a silent one before it had started: start it again and wait for it.
    SlowToStart,
}

/// The handshake with a child (2026-07-28, stdio "Backward compatibility"): `server/discover` first; any error, or
/// silence, means legacy. After silence both questions are open, and the first good answer decides; a child that answers both
/// well is one of both eras that took long to start. With `patience`, silence is waited out.
pub(super) async fn greet(
    server: &ServerId,
    channel: &Arc<Channel>,
    pin: EraPin,
    patience: bool,
    caps: ClientCaps,
    env: &Surroundings,
) -> Result<Greeting, Refusal> {
    let broken = |lost: Lost| opening_lost(server, lost);
    if pin == EraPin::Legacy {
        return initialize_channel(server, channel, caps, env).await.map(Greeting::Peer);
    }
    let mut question =
        channel.begin(DISCOVER, discover(Revision::NEWEST, env), Wants::default()).await.map_err(broken)?;
    let patience = patience || pin == EraPin::Modern;
    let wait = if patience { START } else { PROBE };
    match tokio::time::timeout(wait, question.answer()).await {
        Ok(Ok(response)) => match take_discovery(server, pin, response)? {
            Some(peer) => Ok(Greeting::Peer(peer)),
            None => initialize_channel(server, channel, caps, env).await.map(Greeting::Peer),
        },
        Ok(Err(_)) if pin == EraPin::Auto => Ok(Greeting::LeftDuringProbe),
        Ok(Err(why)) => Err(broken(why)),
        Err(_) if patience => Err(silent(server)),
        Err(_) => {
            let handshake = initialize_channel(server, channel, caps, env);
            tokio::pin!(handshake);
            let response = tokio::select! {
                biased;
                Ok(response) = question.answer() => response,
                peer = &mut handshake => return peer.map(Greeting::Peer),
            };
            let Some(peer) = take_discovery(server, pin, response)? else {
                return handshake.await.map(Greeting::Peer);
            };
            // It has read both. One of both eras may go by the last, and then answers in a form that nobody expects.
            match tokio::time::timeout(PROBE, handshake).await {
                Ok(Ok(_)) => Ok(Greeting::SlowToStart),
                Ok(Err(refusal)) if refusal.kind != ErrorKind::UpstreamProtocol => Err(refusal),
                Ok(Err(_)) | Err(_) => Ok(Greeting::Peer(peer)),
            }
        }
    }
}

/// The modern peer that a `server/discover` answer shows; `None` means legacy.
fn take_discovery(server: &ServerId, pin: EraPin, response: Response) -> Result<Option<Peer>, Refusal> {
    let reply = Reply { status: StatusCode::OK, session: None, response: Some(response) };
    match judge(&reply, pin) {
        Judgement::Modern(hello) => Ok(modern_verdict(server, pin, &hello)?.modern),
        Judgement::Legacy | Judgement::Retry(_) | Judgement::Unclear(_) => Ok(None),
    }
}

async fn initialize_channel(
    server: &ServerId,
    channel: &Arc<Channel>,
    caps: ClientCaps,
    env: &Surroundings,
) -> Result<Peer, Refusal> {
    let lost = |lost: Lost| opening_lost(server, lost);
    let mut ticket =
        channel.begin(INITIALIZE, initialize(caps, env), Wants::default()).await.map_err(lost)?;
    let answer = tokio::time::timeout(START, ticket.answer()).await.map_err(|_| silent(server))?;
    let hello = answer.map_err(lost)?.answer.map_err(|error| initialize_refused(server, &error))?;
    let peer = legacy_peer(server, &hello)?;
    channel.tell(&Method::Initialized, None).await.map_err(lost)?;
    Ok(peer)
}

/// A server that breaks off its greeting is one that is not there.
fn opening_lost(server: &ServerId, lost: Lost) -> Refusal {
    match lost {
        Lost::Broke(why) => Lost::Unsent(why).into_refusal(server),
        lost => lost.into_refusal(server),
    }
}

// ---- both ----

fn discover(revision: Revision, env: &Surroundings) -> Raw {
    let hop = Hop {
        revision,
        capabilities: ClientCaps::NONE.modern(),
        client_info: &env.client_info,
        log_level: None,
        progress_token: None,
        traceparent: None,
        tracestate: None,
    };
    encode(DISCOVER, &Method::Discover, Some(&modern_params(None, &hop)))
}

fn initialize(caps: ClientCaps, env: &Surroundings) -> Raw {
    let params = format!(
        "{{\"protocolVersion\":\"{}\",\"capabilities\":{},\"clientInfo\":{}}}",
        Revision::NEWEST_LEGACY,
        caps.write(Revision::NEWEST_LEGACY),
        env.client_info
    );
    encode(INITIALIZE, &Method::Initialize, Some(&Raw::trusted(params)))
}

fn legacy_peer(server: &ServerId, hello: &Raw) -> Result<Peer, Refusal> {
    let version = hello.find_string("protocolVersion").unwrap_or_default();
    match Revision::parse(&version).filter(|revision| *revision < Revision::V2026_07_28) {
        Some(revision) => Ok(Peer::read(revision, hello)),
        None => {
            let message =
                format!("server `{server}` answered `initialize` with the protocol version `{version:.32}`");
            Err(Refusal::new(ErrorKind::UpstreamProtocol, message))
        }
    }
}

fn initialize_refused(server: &ServerId, error: &RpcError) -> Refusal {
    let message = format!("server `{server}` refused `initialize`: {:.200}", error.message());
    Refusal::new(ErrorKind::UpstreamProtocol, message)
}

fn silent(server: &ServerId) -> Refusal {
    let message = format!("server `{server}` did not answer within {} s of its start", START.as_secs());
    Refusal::new(ErrorKind::UpstreamTimeout, message)
}

fn unreachable(server: &ServerId, error: &HttpError) -> Refusal {
    if let HttpError::Needed(needed) = error {
        return credentials::refusal(server, needed);
    }
    Refusal::new(ErrorKind::UpstreamUnavailable, format!("server `{server}`: {error}"))
}

fn unclear(server: &ServerId, kind: ErrorKind, status: StatusCode) -> Refusal {
    let hint = if kind == ErrorKind::UpstreamDenied {
        "; check `headers` or `credentials` of this server"
    } else {
        ""
    };
    Refusal::new(kind, format!("server `{server}` answered {status}{hint}"))
}
