//! HTTP+SSE, the transport of 2024-11-05, for clients that know no other.
//!
//! `GET /sse` opens the client's one stream, whose first event says where to post; everything the client says is
//! posted there and answered with 202, everything it is told is an event of the stream. The stream is the session:
//! when it ends, the client's calls are cancelled and nothing is kept. It ends with the token of the last message. Which revision is spoken is `initialize`'s
//! matter: newer clients use this transport too.
//!
//! Sessions, calls and their translation are those of `legacy.rs`; only where messages are written differs.

mod connections;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{Response, StatusCode};
use portcullis_mcp::json::{Limits as JsonLimits, Raw};
use portcullis_mcp::message::{Id, Malformed, Message, Request};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::sse;
use portcullis_model::ErrorKind;
use tokio::time::Instant;

use self::connections::Held;
use super::asked::{Local, call, call_in, complete};
use super::batch;
use super::body::Body;
use super::context::{Context, certificate_over};
use super::fields::Fields;
use super::legacy;
use super::response::{self, Accepts};
use super::session::{self, Session, Wire};
use super::shown::Shown;
use crate::answer::{Reply, reply};
use crate::call::{Endpoint, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::pipeline;
use crate::record::Open;
use crate::subscribe::follow;

pub(crate) use self::connections::{Connection, Connections};

const LEGACY: Era = Era::Legacy;
/// How often a stream that is to end looks whether its calls have ended.
const LOOK: Duration = Duration::from_millis(20);

/// GET: opens a stream.
///
/// # Errors
/// The client does not take event streams, or there are too many.
pub(super) fn open(
    context: &Context,
    endpoint: Endpoint,
    fields: &Fields,
) -> Result<Response<Body>, Refusal> {
    let held = connect(context, endpoint, fields)?;
    let over = over(held.gateway.clone(), held.connection.clone(), context.shown.clone());
    let (gateway, connection) = (held.gateway.clone(), held.connection.clone());
    let over = async move {
        tokio::select! {
            () = over => {}
            _ = gateway.env.oversight.until_stopped(&connection.principal, None, None) => {}
        }
    };
    Ok(response::stream(Body::stream(events(held).take_until(Box::pin(over)))))
}

fn connect(context: &Context, endpoint: Endpoint, fields: &Fields) -> Result<Held, Refusal> {
    let gateway = &context.gateway;
    if !Accepts::of(fields).stream {
        let message = "GET answers with text/event-stream; accept it";
        return Err(Refusal::new(ErrorKind::NotAcceptable, message));
    }
    context.refuse_when_stopping()?;
    let limits = gateway.env.limits();
    // A client that takes nothing while two signs of life are due is not there any more.
    let wire = Arc::new(Wire::new(limits.keep_alive_interval * 2));
    let place = if context.principal.is_anonymous() { None } else { Some(context.take_session()?) };
    let id = session::new_id(&gateway.sealer, &context.principal, &endpoint);
    let connection = Connection::new(id, context.principal.clone(), endpoint, wire);
    connection.renew(context.verified.as_ref());
    let connection = Arc::new(connection);
    if !gateway.connections.add(connection.clone(), limits.sessions) {
        let message = format!("{} sessions are open (limits.sessions); try again later", limits.sessions);
        return Err(Refusal::new(ErrorKind::Overloaded, message));
    }
    Ok(Held::new(gateway.clone(), connection, place))
}

/// Ends when the client's credential does not count any more. One that is presented with a later message counts instead.
async fn over(gateway: Arc<Gateway>, connection: Arc<Connection>, shown: Option<Arc<Shown>>) {
    let Some(mut credential) = connection.credential() else {
        return certificate_over(&gateway, &connection.principal, shown.as_deref()).await;
    };
    loop {
        gateway.identity.until_over(&credential).await;
        match connection.credential() {
            Some(newer) if !Arc::ptr_eq(&newer, &credential) => credential = newer,
            _ => return,
        }
    }
}

/// Where the client is to post.
fn address(connection: &Connection) -> String {
    format!("{}/messages?sessionId={}", connection.endpoint.place(), connection.id)
}

/// What the client reads.
fn events(held: Held) -> impl Stream<Item = Bytes> + Send {
    let limits = held.gateway.env.limits();
    let (pause, patience) = (limits.keep_alive_interval, limits.session_idle);
    let counted = held.gateway.metrics().streams().hold();
    let mut first = Vec::new();
    sse::event(&mut first, None, Some("endpoint"), None, address(&held.connection).as_bytes());
    let opened = Instant::now();
    futures_util::stream::unfold((held, Some(first), counted), move |(held, first, counted)| async move {
        if let Some(first) = first {
            return Some((first.into(), (held, None, counted)));
        }
        let connection = &held.connection;
        let out = tokio::select! {
            biased;
            () = connection.wire.closed.cancelled() => return None,
            out = connection.wire.take() => out,
            () = finished(&held.gateway, connection) => return None,
            () = tokio::time::sleep_until(opened + patience), if connection.is_fresh() => return None,
            () = tokio::time::sleep(pause) => {
                let mut out = Vec::new();
                sse::comment(&mut out, "keep-alive");
                out.into()
            }
        };
        Some((out, (held, None, counted)))
    })
}

/// Waits until the gateway drains and the client has got all its answers.
async fn finished(gateway: &Gateway, connection: &Connection) {
    gateway.draining.cancelled().await;
    while connection.session().is_some_and(|session| session.is_busy()) || !connection.wire.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
}

/// The connection that a POST names.
///
/// # Errors
/// It names none, or none that is this client's on this endpoint.
pub(super) fn find(
    context: &Context,
    endpoint: &Endpoint,
    query: Option<&str>,
) -> Result<Arc<Connection>, Refusal> {
    let pairs = query.unwrap_or_default().split('&');
    let id = pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == "sessionId");
    let (_, id) = id.ok_or_else(|| {
        let message = "no session: open the event stream first; its `endpoint` event says where to post";
        Refusal::new(ErrorKind::SessionRequired, message)
    })?;
    let connection = context.gateway.connections.find(id, &context.principal, endpoint);
    connection.ok_or_else(|| {
        let ended = session::has_ended(&context.gateway.sealer, &context.principal, endpoint, id);
        let message = if ended {
            "the session ended with its event stream: open another"
        } else {
            "no session of yours here has that id: open the event stream, which says where to post"
        };
        Refusal::new(ErrorKind::UnknownSession, message)
    })
}

/// POST: takes what the client says.
pub(super) async fn post(
    context: &Context,
    connection: &Arc<Connection>,
    fields: &Fields,
    body: Bytes,
) -> Response<Body> {
    connection.renew(context.verified.as_ref());
    let depth = JsonLimits { depth: context.gateway.env.limits().json_depth };
    let taken = if body.trim_ascii_start().first() == Some(&b'[') {
        match Raw::parse(body, depth) {
            Ok(raw) => batch(context, connection, fields, &raw),
            Err(error) => Err(Box::new(response::malformed(LEGACY, Malformed::Json(error)))),
        }
    } else {
        match Message::parse(body, depth) {
            Ok(message) => match takes(context, connection, &message) {
                Ok(()) => match Box::pin(challenged(context, connection, fields, &message)).await {
                    Some(challenge) => Err(Box::new(challenge)),
                    None => {
                        take(context, connection, fields, message);
                        Ok(())
                    }
                },
                Err(refused) => Err(refused),
            },
            Err(error) => Err(Box::new(response::malformed(LEGACY, error))),
        }
    };
    match taken {
        Ok(()) => response::empty(StatusCode::ACCEPTED),
        Err(refused) => *refused,
    }
}

/// Whether a message may be sent now: answers and cancellations may be for as long as calls run.
fn takes(context: &Context, connection: &Connection, message: &Message) -> Result<(), Box<Response<Body>>> {
    let Message::Request(request) = message else { return Ok(()) };
    context
        .refuse_when_stopping()
        .map_err(|refusal| Box::new(response::refusal(LEGACY, Some(&request.id), &refusal)))?;
    check_behind(connection, Some(&request.id))
}

/// What a caller is told at once whose token lacks scopes: the stream that answers come on has no header for it.
async fn challenged(
    context: &Context,
    connection: &Connection,
    fields: &Fields,
    message: &Message,
) -> Option<Response<Body>> {
    let (Message::Request(request), Some(session)) = (message, connection.session()) else { return None };
    if !context.gateway.gate.could_step_up(&context.principal, &context.recognised) {
        return None;
    }
    let call = call_in(context, &session, fields, request.clone()).ok()?;
    let outcome = pipeline::step_up(&context.gateway, &call).await?;
    let recorded = Open::new(call.into()).answer(outcome).await;
    let json = Accepts { json: true, stream: false };
    Some(response::one(&reply(LEGACY, &request.method, recorded), &request.id, json))
}

/// A client that leaves its answers lying has to read before it asks for more. What it answers or cancels is taken.
fn check_behind(connection: &Connection, id: Option<&Id>) -> Result<(), Box<Response<Body>>> {
    if !connection.wire.is_behind() {
        return Ok(());
    }
    let message = "answers wait on your event stream; read them before you ask for more";
    let refusal = Refusal::new(ErrorKind::TooManyRequests, message);
    Err(Box::new(response::refusal(LEGACY, id, &refusal)))
}

fn take(context: &Context, connection: &Arc<Connection>, fields: &Fields, message: Message) {
    let session = connection.session();
    match (message, session) {
        (Message::Request(request), Some(session)) => legacy::start(context, &session, fields, request),
        (Message::Request(request), None) => before_session(context, connection, request),
        (Message::Notification(notification), Some(session)) => legacy::notification(&session, &notification),
        (Message::Response(response), Some(session)) => legacy::response(&session, response),
        // Nobody has been asked anything, and nothing can be cancelled, before there is a session.
        (Message::Notification(_) | Message::Response(_), _) => {}
    }
}

/// 2025-03-26 alone has batches. Their answers come one by one, as it allows.
fn batch(
    context: &Context,
    connection: &Arc<Connection>,
    fields: &Fields,
    messages: &Raw,
) -> Result<(), Box<Response<Body>>> {
    let (_, messages) = batch::read(context, connection.session(), messages)
        .map_err(|refusal| Box::new(response::refusal(LEGACY, None, &refusal)))?;
    // What is no message is answered as well.
    if messages.iter().any(Result::is_err) {
        check_behind(connection, None)?;
    }
    for message in messages.iter().flatten() {
        takes(context, connection, message)?;
    }
    for message in messages {
        match message {
            Ok(message) => take(context, connection, fields, message),
            // It is told so, and the others are carried out (JSON-RPC 2.0 section 6).
            Err(error) => connection.wire.push(&response::malformed_part(error)),
        }
    }
    Ok(())
}

/// A request on a connection that has no session yet: `initialize` opens one.
fn before_session(context: &Context, connection: &Arc<Connection>, request: Request) {
    let outcome = match request.method {
        Method::Initialize if connection.begin_opening() => {
            let (context, connection) = (context.clone(), connection.clone());
            tokio::spawn(async move { initialize(&context, &connection, request).await });
            return;
        }
        Method::Initialize => refused(ErrorKind::InvalidRequest, "`initialize` is being answered already"),
        Method::Ping => complete(Raw::from_static("{}")),
        // Clients of both eras ask this first, and take an unknown method for the older one.
        Method::Discover => refused(ErrorKind::UnknownMethod, "`server/discover` came with 2026-07-28"),
        _ => refused(ErrorKind::InvalidRequest, "no session yet: send `initialize` first"),
    };
    let id = request.id.clone();
    let call = call(context, (&connection.endpoint, &context.stranger(), true), None, request);
    let (open, connection) = (Open::new(call.into()), connection.clone());
    tokio::spawn(async move { tell(&connection, &id, &Local { open, outcome }.reply().await) });
}

fn refused(kind: ErrorKind, why: &str) -> Outcome {
    Refusal::new(kind, why).into()
}

fn tell(connection: &Connection, id: &Id, reply: &Reply) {
    let mut message = Vec::new();
    reply.write(&mut message, id);
    connection.wire.push(&message);
}

async fn initialize(context: &Context, connection: &Arc<Connection>, request: Request) {
    let gateway = &context.gateway;
    let id = request.id.clone();
    let wire = Some(connection.wire.clone());
    match legacy::open_session(context, connection.endpoint.clone(), request, wire).await {
        Ok((Some(session), reply)) => {
            if !connection.opened(session.clone()) {
                return legacy::delete(gateway, &session);
            }
            tell(connection, &id, &reply);
            announce(gateway, session, &connection.wire).await;
        }
        Ok((None, reply)) => {
            connection.failed_opening();
            tell(connection, &id, &reply);
        }
        Err(refusal) => {
            connection.failed_opening();
            let refusal = context.denied(refusal).await;
            connection.wire.push(&legacy::write_answer(&id, &refusal));
        }
    }
}

/// Tells the client what belongs to no request of its own, for as long as its session lives.
async fn announce(gateway: &Gateway, session: Arc<Session>, wire: &Wire) {
    let Some(subscriber) = session.subscriber() else { return };
    follow(gateway, subscriber);
    loop {
        let batch = tokio::select! {
            batch = subscriber.mailbox.next() => batch,
            () = session.ended.cancelled() => return,
        };
        for message in batch.messages(None) {
            // Where there is no room, what else is to be told waits in the mailbox, each thing once.
            wire.send(&message).await;
        }
    }
}
