//! Clients of 2026-07-28: every request says all that is to be known; nothing is remembered between two of them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Response;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::header;
use portcullis_mcp::json::{Change, Kind, Raw};
use portcullis_mcp::message::{Id, Request, write_notification};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::sse;
use portcullis_mcp::translate::key;
use portcullis_model::ErrorKind;

use super::body::Body;
use super::context::{Context, trace_context};
use super::fields::Fields;
use super::listening::listen;
use super::response::{self, Accepts};
use crate::answer::reply;
use crate::call::{Call, Caller, Endpoint, Event, Exchange, LogLevel, Refusal};
use crate::record::{Entry, Open, Transport};
use crate::rounds;

const MODERN: Era = Era::Modern;

/// Answers one request.
pub(super) async fn request(
    context: &Context,
    endpoint: Endpoint,
    fields: &Fields,
    request: Request,
) -> Response<Body> {
    let accepts = Accepts::of(fields);
    let id = request.id.clone();
    let method = request.method.clone();
    match read(context, endpoint, fields, request) {
        Ok(call) if call.method == Method::Listen => {
            listen(context, Open::new(call.into()), id, accepts).await
        }
        Ok(call) => answer(context, Open::new(call.into()), id, method, accepts).await,
        Err(refusal) => response::refusal(MODERN, Some(&id), &refusal),
    }
}

/// Checks a request in the specification's order and makes a call of it.
fn read(context: &Context, endpoint: Endpoint, fields: &Fields, request: Request) -> Result<Call, Refusal> {
    let missing = |key: &str, what: &str| {
        Refusal::new(ErrorKind::MissingMetadata, format!("`params._meta[\"{key}\"]` must be {what}"))
    };
    let member = request.method.name_member();
    let params = request.params.as_ref();
    let subject = member.and_then(|member| params?.find(member));
    let meta = params.and_then(|params| params.find_object("_meta"));
    let meta = meta.filter(|meta| meta.kind() == Kind::Object);
    let meta =
        meta.ok_or_else(|| Refusal::new(ErrorKind::MissingMetadata, "`params._meta` must be an object"))?;
    let [version, capabilities, client, level, progress_token, traceparent, tracestate] = meta.pick([
        key::PROTOCOL_VERSION,
        key::CLIENT_CAPABILITIES,
        key::CLIENT_INFO,
        key::LOG_LEVEL,
        key::PROGRESS_TOKEN,
        key::TRACEPARENT,
        key::TRACESTATE,
    ]);
    let version = version.as_ref().and_then(Raw::string);
    let version = version.ok_or_else(|| missing(key::PROTOCOL_VERSION, "a string"))?;
    let capabilities = capabilities.filter(|value| value.kind() == Kind::Object);
    let capabilities = capabilities.ok_or_else(|| missing(key::CLIENT_CAPABILITIES, "an object"))?;

    check_header(fields, &header::PROTOCOL_VERSION, &version, key::PROTOCOL_VERSION)?;
    if Revision::parse(&version).is_none_or(|revision| revision.era() == Era::Legacy) {
        return Err(unsupported(&version));
    }
    check_header(fields, &header::METHOD, request.method.as_str(), "method")?;
    let subject = subject.as_ref().and_then(Raw::string).map(Cow::into_owned);
    if let Some(member) = member {
        let subject = subject.as_ref().ok_or_else(|| {
            Refusal::new(ErrorKind::InvalidParams, format!("`params.{member}` must be a string"))
        })?;
        check_encoded(fields, subject, member)?;
    }
    if !is_served(&request.method) {
        let message = format!("there is no method `{:.64}` in {}", request.method, Revision::NEWEST);
        return Err(Refusal::new(ErrorKind::UnknownMethod, message));
    }
    let caller = Caller {
        principal: context.principal.clone(),
        subject: context.subject.clone(),
        peer: context.peer,
        revision: Revision::NEWEST,
        caps: ClientCaps::read(&capabilities),
        client,
        conversation: context.conversation.clone(),
        under_way: context.share.calls.clone(),
        recognised: context.recognised.clone(),
        connection: context.connection,
        held_to: None,
    };
    let mirrored = (request.method == Method::ToolsCall).then(|| fields.with_prefix(header::PARAM_PREFIX));
    Ok(Call {
        endpoint,
        caller: Arc::new(caller),
        worker: context.worker,
        log_level: level.map(|level| log_level(&level)).transpose()?,
        progress_token: progress_token.map(checked_token).transpose()?,
        trace: trace_context(fields, [traceparent, tracestate]),
        mirrored,
        let_through: false,
        request_id: request.id.raw().as_str().into(),
        record: Entry::begin(context.gateway.evidence.as_ref(), Transport::Http),
        method: request.method,
        params: request.params,
        subject,
    })
}

fn is_served(method: &Method) -> bool {
    matches!(
        method,
        Method::Discover
            | Method::ToolsList
            | Method::ToolsCall
            | Method::ResourcesList
            | Method::ResourcesTemplatesList
            | Method::ResourcesRead
            | Method::PromptsList
            | Method::PromptsGet
            | Method::Complete
            | Method::Listen
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
    ) || method.is_of_skills()
}

/// `-32022` names what is supported and what was asked for; both are required (2026-07-28, error codes).
fn unsupported(version: &str) -> Refusal {
    let supported: Vec<_> = Revision::ALL.iter().map(|revision| format!("\"{revision}\"")).collect();
    let supported = format!("[{}]", supported.join(","));
    let requested: String = version.chars().take(64).collect();
    let data = Raw::from_static("{}").with(&[
        ("supported", Change::Set(supported.as_bytes())),
        ("requested", Change::Set(Raw::from_text(&requested).as_bytes())),
    ]);
    let message = format!("protocol version `{requested}` is not supported; see `data.supported`");
    Refusal::new(ErrorKind::UnsupportedVersion, message).with_data(data)
}

fn check_header(
    fields: &Fields,
    name: &http::HeaderName,
    expected: &str,
    source: &str,
) -> Result<(), Refusal> {
    match sole(fields, name)? {
        Some(value) if value == expected.as_bytes() => Ok(()),
        Some(_) => Err(mismatch(format!("the header {name} does not match `{source}`"))),
        None => Err(mismatch(format!("the header {name} is required and must equal `{source}`"))),
    }
}

fn check_encoded(fields: &Fields, expected: &str, member: &str) -> Result<(), Refusal> {
    let name = header::NAME;
    let value = sole(fields, &name)?
        .ok_or_else(|| mismatch(format!("the header {name} is required and must equal `params.{member}`")))?;
    match header::decode_value(value) {
        Ok(decoded) if decoded == expected => Ok(()),
        Ok(_) => Err(mismatch(format!("the header {name} does not match `params.{member}`"))),
        Err(error) => Err(mismatch(format!("the header {name} is malformed: {error}"))),
    }
}

/// The one value of a header that repeats what the body says. Of two, somebody on the way may have believed the other.
fn sole<'a>(fields: &'a Fields, name: &'a http::HeaderName) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = fields.all(name);
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(mismatch(format!("the header {name} is there twice"))),
    }
}

fn mismatch(message: String) -> Refusal {
    Refusal::new(ErrorKind::HeaderMismatch, message)
}

fn log_level(level: &Raw) -> Result<LogLevel, Refusal> {
    let parsed = level.string().and_then(|level| LogLevel::parse(&level));
    parsed.ok_or_else(|| Refusal::new(ErrorKind::InvalidParams, "unknown log level"))
}

/// A progress token is a string or an integer; it is echoed as it came.
pub(super) fn checked_token(token: Raw) -> Result<Raw, Refusal> {
    match Id::from_raw(&token) {
        Some(_) => Ok(token),
        None => Err(Refusal::new(ErrorKind::InvalidParams, "`progressToken` must be a string or an integer")),
    }
}

/// Carries the call out and answers as late as possible: in plain JSON when the outcome is the first thing that comes,
/// with a stream when something precedes it or it takes longer than a keep-alive.
async fn answer(context: &Context, open: Open, id: Id, method: Method, accepts: Accepts) -> Response<Body> {
    let (gateway, call) = (context.gateway.clone(), open.call().clone());
    let pause = gateway.env.limits().keep_alive_interval;
    let opening = async move { rounds::run(&gateway, call).await }.boxed();
    let mut streaming =
        Streaming { source: Source::Opening(opening), open, first: None, id, method, pause, over: false };
    let first = if accepts.stream {
        tokio::time::timeout(pause, streaming.event()).await
    } else {
        Ok(streaming.last_event().await)
    };
    match first {
        Ok(Some(Event::Done(outcome))) => {
            let recorded = streaming.open.answer(outcome).await;
            response::one(&reply(MODERN, &streaming.method, recorded), &streaming.id, accepts)
        }
        // Something precedes the outcome, or it takes longer than a keep-alive.
        first => {
            streaming.first = first.unwrap_or(None);
            response::stream(Body::stream(streaming.into_bytes()))
        }
    }
}

enum Source {
    Opening(BoxFuture<'static, Exchange>),
    Open(Exchange),
}

/// An answer on an event stream. The client that drops it cancels the call (2026-07-28, cancellation).
struct Streaming {
    /// Before its entry, so that what a server that is cancelled has taken is in it.
    source: Source,
    open: Open,
    first: Option<Event>,
    id: Id,
    method: Method,
    pause: Duration,
    over: bool,
}

impl Streaming {
    fn into_bytes(self) -> impl futures_util::Stream<Item = Bytes> + Send {
        futures_util::stream::unfold(self, |mut streaming| async {
            streaming.next().await.map(|bytes| (bytes, streaming))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let mut out = Vec::new();
        match tokio::time::timeout(self.pause, self.event()).await {
            // Requests that can be answered by `input_required` have no questions left; others have nobody to ask.
            // Streams of this era cannot be left and resumed: the client waits while the gateway fetches the rest.
            Err(_) | Ok(Some(Event::Asked(_) | Event::Paused { .. })) => sse::comment(&mut out, "keep-alive"),
            Ok(Some(Event::Notification(notification))) => {
                let mut message = Vec::new();
                write_notification(&mut message, &notification.method, notification.params.as_ref());
                sse::event(&mut out, None, None, None, &message);
            }
            Ok(Some(Event::Done(outcome))) => {
                self.over = true;
                let recorded = self.open.answer(outcome).await;
                let mut message = Vec::new();
                reply(MODERN, &self.method, recorded).write(&mut message, &self.id);
                sse::event(&mut out, None, None, None, &message);
            }
            Ok(None) => return None,
        }
        Some(out.into())
    }

    /// The outcome, for a client that can be told nothing else.
    async fn last_event(&mut self) -> Option<Event> {
        loop {
            match self.event().await {
                Some(Event::Notification(_) | Event::Paused { .. } | Event::Asked(_)) => {}
                last => return last,
            }
        }
    }

    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn event(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if let Source::Opening(opening) = &mut self.source {
            self.source = Source::Open(opening.await);
        }
        match &mut self.source {
            Source::Open(exchange) => exchange.next().await,
            Source::Opening(_) => None,
        }
    }
}
