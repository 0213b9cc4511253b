//! Clients up to 2025-11-25: sessions, cancellation by message, streams that can be resumed.
//!
//! A client that goes away has not cancelled anything: its call goes on, and its answer waits in a stream for a while.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, Response};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::header;
use portcullis_mcp::json::{Kind, Raw};
use portcullis_mcp::message::{Id, Notification, Request, Response as RpcResponse};
use portcullis_mcp::message::{write_error, write_notification};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::subscription::Lists;
use portcullis_model::ErrorKind;
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;

use super::asked::{Local, call, call_in, complete, local};
use super::asking;
use super::body::Body;
use super::context::Context;
use super::fields::Fields;
use super::reading::{Pace, read};
use super::response::{self, Accepts};
use super::session::{self, Reader, Running, Session, Stream, Wire};
use super::until_done::UntilDone;
use crate::admit::Place as Counted;
use crate::answer::{self, Reply, reply};
use crate::call::{Caller, Endpoint, Event, Exchange, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::record::{Open, Questioning};
use crate::rounds;
use crate::route;
use crate::subscribe::session_request;
use crate::tasks;

const LEGACY: Era = Era::Legacy;

/// The session that a request names.
///
/// # Errors
/// It names none, or none that is this client's on this endpoint, or a protocol version that is no legacy one.
pub(super) fn find_session(
    context: &Context,
    endpoint: &Endpoint,
    fields: &Fields,
) -> Result<Arc<Session>, Refusal> {
    let id = fields.get(&header::SESSION_ID).ok_or_else(|| {
        let message = "no session: send `initialize` first, then its Mcp-Session-Id with every request \
                       (or speak 2026-07-28, which has none)";
        Refusal::new(ErrorKind::SessionRequired, message)
    })?;
    let id = std::str::from_utf8(id).unwrap_or_default();
    let session = context.gateway.sessions.find(id, &context.principal, endpoint);
    let session = session.ok_or_else(|| {
        let ended = session::has_ended(&context.gateway.sealer, &context.principal, endpoint, id);
        let message = if ended {
            "the session has ended: send `initialize` again"
        } else {
            "no session of yours here has that id: send `initialize`, then the Mcp-Session-Id of its answer"
        };
        Refusal::new(ErrorKind::UnknownSession, message)
    })?;
    if let Some(version) = fields.get(&header::PROTOCOL_VERSION) {
        let known = std::str::from_utf8(version).ok().and_then(Revision::parse);
        if known.is_none_or(|revision| revision.era() == Era::Modern) {
            let message = "the header MCP-Protocol-Version must be the version that `initialize` agreed on";
            return Err(Refusal::new(ErrorKind::UnsupportedVersion, message));
        }
    }
    session.touch();
    Ok(session)
}

/// `initialize`: opens a session.
pub(super) async fn initialize(
    context: &Context,
    endpoint: Endpoint,
    fields: &Fields,
    request: Request,
) -> Response<Body> {
    let id = request.id.clone();
    match open_session(context, endpoint, request, None).await {
        Ok((session, reply)) => {
            let mut response = response::one(&reply, &id, Accepts::of(fields));
            let Some(session) = session else { return response };
            let name = HeaderValue::try_from(&*session.id).expect("a session id is base64url");
            response.headers_mut().insert(header::SESSION_ID, name);
            response
        }
        Err(refusal) => response::refusal(LEGACY, Some(&id), &refusal),
    }
}

/// Opens a session, if it can, and says what the client is answered; `wire` is the client's one stream, if it has one.
///
/// # Errors
/// It is not said who would speak in it.
pub(super) async fn open_session(
    context: &Context,
    endpoint: Endpoint,
    request: Request,
    wire: Option<Arc<Wire>>,
) -> Result<(Option<Arc<Session>>, Reply), Refusal> {
    let wrong = |what: &str| Refusal::new(ErrorKind::InvalidParams, format!("`params.{what}"));
    let params = request.params.as_ref().ok_or_else(|| wrong("protocolVersion` must be a string"))?;
    let version =
        params.find_string("protocolVersion").ok_or_else(|| wrong("protocolVersion` must be a string"))?;
    let asked = Revision::parse(&version).filter(|revision| revision.era() == Era::Legacy);
    let capabilities = params.find("capabilities").filter(|value| value.kind() == Kind::Object);
    let capabilities = capabilities.ok_or_else(|| wrong("capabilities` must be an object"))?;
    let id = session::new_id(&context.gateway.sealer, &context.principal, &endpoint);
    // Whoever is known is counted once, whatever sessions it has; of others, each session is somebody.
    let known = !context.principal.is_anonymous();
    // A client's one stream was counted when it was opened.
    let place = if known && wire.is_none() { Some(context.take_session()?) } else { None };
    let caller = Arc::new(Caller {
        principal: context.principal.clone(),
        subject: context.subject.clone(),
        peer: context.peer,
        revision: asked.unwrap_or(Revision::NEWEST_LEGACY),
        // Under an older revision the extension counts as not declared (SEP-2663).
        caps: ClientCaps::read(&capabilities).without(ClientCaps::TASKS),
        client: params.find("clientInfo"),
        conversation: id.clone(),
        under_way: if known { context.share.calls.clone() } else { Arc::default() },
        recognised: context.recognised.clone(),
        connection: context.connection,
        held_to: None,
    });
    let mut open = Open::new(call(context, (&endpoint, &caller, wire.is_some()), None, request).into());
    let established = establish(context, endpoint, (id, caller), place, wire).await;
    let (session, outcome) = match established {
        Ok((session, result)) => (Some(session), complete(result)),
        Err(refusal) => (None, refusal.into()),
    };
    let reply = reply(LEGACY, &Method::Initialize, open.answer(outcome).await);
    if let (Some(session), true) = (&session, reply.answer.is_err()) {
        delete(&context.gateway, session);
    }
    Ok((session.filter(|_| reply.answer.is_ok()), reply))
}

/// A session that is there from now on, and what the client is told of the endpoint.
async fn establish(
    context: &Context,
    endpoint: Endpoint,
    (id, caller): (Arc<str>, Arc<Caller>),
    place: Option<Counted>,
    wire: Option<Arc<Wire>>,
) -> Result<(Arc<Session>, Raw), Refusal> {
    let gateway = &context.gateway;
    let result = route::initialize_result(gateway, &endpoint, &caller).await?;
    let lists = result.find("capabilities").map_or(Lists::NONE, |declared| Lists::declared(&declared));
    let subscriber = gateway.subscribers.add(gateway, &endpoint, &caller, lists);
    let session = Session::new(id, endpoint, caller, gateway.sessions.replay().clone());
    let session = session.told(subscriber).counted(place);
    let session = Arc::new(match wire {
        Some(wire) => session.on(wire),
        None => session,
    });
    let limit = gateway.env.limits().sessions;
    gateway.sessions.add(session.clone(), limit).map_err(|_| {
        let message = format!("{limit} sessions are open (limits.sessions); try again later");
        Refusal::new(ErrorKind::Overloaded, message)
    })?;
    gateway.metrics().sessions().set(i64::try_from(gateway.sessions.len()).unwrap_or(i64::MAX));
    Ok((session, result))
}

/// One message that wants no answer.
pub(super) fn notification(session: &Session, notification: &Notification) {
    if notification.method == Method::Cancelled
        && let Some(id) = notification.params.as_ref().and_then(|params| params.find("requestId"))
        && let Some(id) = Id::from_raw(&id)
    {
        session.cancel(&id);
    }
}

/// An answer to something that the client was asked.
pub(super) fn response(session: &Session, response: RpcResponse) {
    session.answer(response);
}

/// Ends a session.
pub(super) fn delete(gateway: &Gateway, session: &Session) {
    gateway.sessions.end(session);
    ended(gateway, session);
}

/// What else ends with a session.
pub(crate) fn ended(gateway: &Gateway, session: &Session) {
    let listened = session.ends_listening();
    for catalogue in gateway.servers.load().iter() {
        catalogue.end_session(&session.id);
    }
    gateway.metrics().sessions().set(i64::try_from(gateway.sessions.len()).unwrap_or(i64::MAX));
    if let Some(evidence) = &gateway.evidence {
        if listened {
            evidence.session(&session.caller, &session.id, "stream closed");
        }
        evidence.session(&session.caller, &session.id, "session ended");
    }
}

/// Answers one request of a session.
pub(super) async fn request(
    context: &Context,
    session: &Arc<Session>,
    fields: &Fields,
    request: Request,
) -> Response<Body> {
    let accepts = Accepts::of(fields);
    let id = request.id.clone();
    if let Err(refusal) = context.refuse_when_stopping() {
        return response::refusal(LEGACY, Some(&id), &refusal);
    }
    let work = match Work::begin(context, session, fields, request) {
        Ok(Ok(work)) => work,
        Ok(Err(local)) => return response::one(&local.reply().await, &id, accepts),
        Err(refusal) => return response::refusal(LEGACY, Some(&id), &refusal),
    };
    if !accepts.stream {
        return response::one(&UntilDone::new(work.outcome()).await, &id, accepts);
    }
    let pace = Pace::of(context, session);
    work.open(&pace).await.answer(accepts, pace)
}

/// Answers one request of a client that has one stream for everything.
pub(super) fn start(context: &Context, session: &Arc<Session>, fields: &Fields, request: Request) {
    let (id, session) = (request.id.clone(), session.clone());
    match Work::begin(context, &session, fields, request) {
        Ok(Ok(work)) => drop(tokio::spawn(work.pump(session.open_stream()))),
        Ok(Err(local)) => {
            tokio::spawn(async move {
                let mut message = Vec::new();
                local.reply().await.write(&mut message, &id);
                session.tell(&message);
            });
        }
        Err(refusal) => {
            let context = context.clone();
            tokio::spawn(async move {
                let refusal = context.denied(refusal).await;
                session.tell(&write_answer(&id, &refusal));
            });
        }
    }
}

/// A refusal of what could not be read, for a client that is told it on a stream. [`Context::denied`] has put it on record.
pub(super) fn write_answer(id: &Id, refusal: &Refusal) -> Vec<u8> {
    let mut message = Vec::new();
    write_error(&mut message, Some(id), &answer::error(LEGACY, refusal));
    message
}

/// A call of a session under way.
struct Work {
    session: Arc<Session>,
    running: Running,
    id: Id,
    method: Method,
    /// Before its entry, so that what a server that is cancelled has taken is in it.
    source: Source,
    open: Open,
    /// What has come already and is still to be told.
    first: Option<Event>,
    /// Once the client has been asked anything.
    asking: Option<Asking>,
    gateway: Arc<Gateway>,
}

/// What the client is asked on the way of a call.
#[derive(Default)]
struct Asking {
    open: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Fires when the call has ended, for what is still asked then.
    over: CancellationToken,
}

/// Ends when one question has ended; never where none is open.
async fn one_ended(asking: &mut Option<Asking>) {
    match asking {
        Some(asking) if !asking.open.is_empty() => drop(asking.open.next().await),
        _ => std::future::pending().await,
    }
}

enum Source {
    Opening(BoxFuture<'static, Exchange>),
    Open(Exchange),
    /// The client cancelled.
    Over,
}

impl Source {
    async fn next(&mut self) -> Option<Event> {
        if let Self::Opening(opening) = self {
            *self = Self::Open(opening.await);
        }
        match self {
            Self::Open(exchange) => exchange.next().await,
            Self::Opening(_) | Self::Over => None,
        }
    }
}

impl Work {
    /// Begins a request, or answers it where the gateway does that itself.
    ///
    /// # Errors
    /// It cannot be read.
    fn begin(
        context: &Context,
        session: &Arc<Session>,
        fields: &Fields,
        request: Request,
    ) -> Result<Result<Self, Local>, Refusal> {
        let id = request.id.clone();
        let call = Arc::new(call_in(context, session, fields, request)?);
        let open = Open::new(call.clone());
        if let Some(answer) = local(session, &call) {
            let outcome = answer.map_or_else(Outcome::from, complete);
            return Ok(Err(Local { open, outcome }));
        }
        let Some(running) = session.begin(&id) else {
            let message = "a request with this id is still under way in this session";
            let outcome = Refusal::new(ErrorKind::InvalidRequest, message).into();
            return Ok(Err(Local { open, outcome }));
        };
        let gateway = context.gateway.clone();
        let source = match (&call.method, session.subscriber().cloned()) {
            (Method::ResourcesSubscribe | Method::ResourcesUnsubscribe, Some(subscriber)) => {
                async move { session_request(&gateway, &subscriber, call).await }.boxed()
            }
            (Method::ToolsCall, Some(subscriber)) if tasks::is_wish(&call) => {
                let heard = Arc::downgrade(session);
                let is_heard = move || heard.upgrade().is_some_and(|session| session.is_heard());
                tasks::drive_and_tell(gateway, call, tasks::Session::new(&subscriber, is_heard)).boxed()
            }
            _ => async move { rounds::drive(&gateway, call).await }.boxed(),
        };
        let source = Source::Opening(source);
        Ok(Ok(Self {
            session: session.clone(),
            running,
            id,
            method: open.call().method.clone(),
            source,
            open,
            first: None,
            asking: None,
            gateway: context.gateway.clone(),
        }))
    }

    /// The next event; `None` when the client cancelled, which gets no answer.
    async fn event(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let Self { source, asking, running, .. } = self;
        let next = source.next();
        tokio::pin!(next);
        loop {
            tokio::select! {
                event = &mut next => return event,
                _ = &mut running.cancelled => return None,
                () = one_ended(asking) => {}
            }
        }
    }

    fn is_streamed(&self) -> bool {
        matches!(&self.source, Source::Open(exchange) if exchange.is_streamed())
    }

    async fn reply(&mut self, outcome: Outcome) -> Reply {
        reply(LEGACY, &self.method, self.open.answer(outcome).await)
    }

    /// Waits for the outcome, for a client that can be told nothing else.
    async fn outcome(mut self) -> Reply {
        loop {
            match self.event().await {
                Some(Event::Done(outcome)) => return self.reply(outcome).await,
                Some(_) => {}
                None => return self.reply(cancelled()).await,
            }
        }
    }

    /// Waits for the first event, or as long as a connection may be silent. When the client leaves meanwhile, the call
    /// goes on by itself.
    async fn open(self, pace: &Pace) -> Opened {
        let mut waiting = Waiting { work: Some(self), pace: pace.clone() };
        let first = tokio::time::timeout_at(pace.first(), waiting.work().event()).await;
        let is_streamed = pace.polls() || waiting.work().is_streamed();
        waiting.stayed().opened(first, is_streamed).await
    }

    async fn opened(mut self, first: Result<Option<Event>, Elapsed>, is_streamed: bool) -> Opened {
        match first {
            // A stream has no header for what the caller's next token has to be for.
            Ok(Some(Event::Done(outcome))) if !is_streamed || outcome.is_challenge() => {
                Opened::Plain(self.reply(outcome).await, self.id)
            }
            Ok(None) => Opened::Cancelled,
            first => {
                self.first = first.unwrap_or(None);
                let stream = self.session.open_stream();
                if self.session.caller.revision >= Revision::V2025_11_25 {
                    stream.prime();
                }
                let reader = stream.reader(None);
                tokio::spawn(self.pump(stream));
                Opened::Stream(reader)
            }
        }
    }

    /// Writes the rest of the answer, whether anybody reads it or not.
    async fn pump(mut self, stream: Arc<Stream>) {
        while !stream.is_over() {
            match self.event().await {
                Some(event) => self.write(&stream, event).await,
                None => {
                    // The server is told first that the call is cancelled, then that nobody answers its questions.
                    self.source = Source::Over;
                    self.ask_no_more().await;
                    // Whoever sees the end may use the id again at once.
                    self.running.end();
                    stream.finish();
                }
            }
        }
    }

    /// The call is over: whatever the client is still asked, it is told to forget.
    async fn ask_no_more(&mut self) {
        if let Some(mut asking) = self.asking.take() {
            asking.over.cancel();
            while asking.open.next().await.is_some() {}
        }
    }

    async fn write(&mut self, stream: &Arc<Stream>, event: Event) {
        match event {
            Event::Asked(question) => {
                let asking = self.asking.get_or_insert_default();
                let (session, stream, over) = (self.session.clone(), stream.clone(), asking.over.clone());
                let question = Questioning::new(question, self.open.call());
                let patience = self.gateway.env.limits().ask_timeout;
                asking.open.push(asking::ask(session, stream, question, over, patience).boxed());
            }
            Event::Notification(notification) => {
                let mut message = Vec::new();
                write_notification(&mut message, &notification.method, notification.params.as_ref());
                stream.send(&message).await;
            }
            Event::Done(outcome) => {
                self.ask_no_more().await;
                self.running.end();
                let mut message = Vec::new();
                self.reply(outcome).await.write(&mut message, &self.id);
                stream.send(&message).await;
                stream.finish();
            }
            Event::Paused { retry } => {
                // The gateway is to poll, and so is its client, if its revision knows that and there is time for it.
                let knows = self.session.caller.revision >= Revision::V2025_11_25;
                if knows && stream.is_resumable() && !self.gateway.draining.is_cancelled() {
                    stream.pause(retry);
                }
            }
        }
    }
}

fn cancelled() -> Outcome {
    Refusal::new(ErrorKind::Cancelled, "the client cancelled this request").into()
}

/// A call whose client waits for its first sign of life.
struct Waiting {
    work: Option<Work>,
    pace: Pace,
}

impl Waiting {
    fn work(&mut self) -> &mut Work {
        self.work.as_mut().expect("it is there until the client has stayed")
    }

    /// The client has waited.
    fn stayed(mut self) -> Work {
        self.work.take().expect("a client stays once")
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let pace = self.pace.clone();
            runtime.spawn(async move { drop(work.open(&pace).await) });
        }
    }
}

/// A call's first sign of life.
enum Opened {
    Plain(Reply, Id),
    Stream(Reader),
    Cancelled,
}

impl Opened {
    fn answer(self, accepts: Accepts, pace: Pace) -> Response<Body> {
        match self {
            Self::Plain(reply, id) => response::one(&reply, &id, accepts),
            Self::Stream(reader) => response::stream(Body::stream(read(reader, pace))),
            // A request that was cancelled gets no response: a stream that ends without one says just that.
            Self::Cancelled => response::stream(Body::empty()),
        }
    }
}

/// Answers one request of a batch.
pub(super) async fn answer_one(
    context: &Context,
    session: &Arc<Session>,
    fields: &Fields,
    request: Request,
) -> Vec<u8> {
    let mut out = Vec::new();
    let id = request.id.clone();
    match Work::begin(context, session, fields, request) {
        Ok(Ok(work)) => work.outcome().await.write(&mut out, &id),
        Ok(Err(local)) => local.reply().await.write(&mut out, &id),
        Err(refusal) => return write_answer(&id, &context.denied(refusal).await),
    }
    out
}
