//! Batches of JSON-RPC messages: 2025-03-26 alone has them.
//!
//! All requests of a batch are carried out at once, and their answers leave together, in their order. That may take as
//! long as the slowest of them: a client that takes an event stream gets signs of life meanwhile. Like a single call, a
//! batch goes on when its client has left. Progress and log messages of its calls are left out.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{Malformed, Message, Request};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_model::ErrorKind;

use super::body::Body;
use super::context::Context;
use super::fields::Fields;
use super::legacy::{self, answer_one};
use super::reading::{self, Pace};
use super::response::{self, Accepts};
use super::session::Session;
use super::until_done::UntilDone;
use crate::call::{Endpoint, Refusal};

/// What is answered in a batch.
enum Part {
    /// A request.
    Request(Request),
    /// What was none; with its answer.
    Answer(Vec<u8>),
}

/// What a batch holds, in its order.
type Messages = Vec<Result<Message, Malformed>>;

/// The messages of a batch, and the session in which it is sent.
///
/// # Errors
/// The client may not send batches, or not this one.
pub(super) fn read(
    context: &Context,
    session: Option<Arc<Session>>,
    batch: &Raw,
) -> Result<(Arc<Session>, Messages), Refusal> {
    let refuse = |why: String| Refusal::new(ErrorKind::InvalidRequest, why);
    let session = session.filter(|session| session.caller.revision == Revision::V2025_03_26);
    let session = session.ok_or_else(|| {
        let why = "batches exist in sessions of protocol revision 2025-03-26 only; send one message";
        refuse(why.to_owned())
    })?;
    let limit = context.gateway.env.limits().batch;
    let messages: Vec<Raw> = batch.elements().take(limit + 1).collect();
    if messages.is_empty() || messages.len() > limit {
        return Err(refuse(format!("a batch holds 1 to {limit} messages (limits.batch)")));
    }
    let messages: Vec<_> = messages.iter().map(Message::from_raw).collect();
    if messages
        .iter()
        .any(|message| matches!(message, Ok(Message::Request(it)) if it.method == Method::Initialize))
    {
        return Err(refuse("`initialize` must not be part of a batch".to_owned()));
    }
    Ok((session, messages))
}

/// Takes a batch of Streamable HTTP.
pub(super) async fn take(
    context: &Arc<Context>,
    endpoint: &Endpoint,
    fields: &Fields,
    batch: &Raw,
) -> Response<Body> {
    let session = match legacy::find_session(context, endpoint, fields) {
        Ok(session) => Ok(Some(session)),
        Err(refusal) if refusal.kind == ErrorKind::SessionRequired => Ok(None),
        Err(refusal) => Err(refusal),
    };
    let (session, messages) = match session.and_then(|session| read(context, session, batch)) {
        Ok(read) => read,
        Err(refusal) => return response::refusal(Era::Legacy, None, &refusal),
    };
    if let Err(refusal) = context.refuse_when_stopping()
        && messages.iter().any(|message| matches!(message, Ok(Message::Request(_))))
    {
        return response::refusal(Era::Legacy, None, &refusal);
    }
    let mut parts = Vec::new();
    for message in messages {
        match message {
            Ok(Message::Request(request)) => parts.push(Part::Request(request)),
            Ok(Message::Notification(notification)) => legacy::notification(&session, &notification),
            Ok(Message::Response(answer)) => legacy::response(&session, answer),
            // It is told so in its place, and the others are carried out (JSON-RPC 2.0 section 6).
            Err(error) => parts.push(Part::Answer(response::malformed_part(error))),
        }
    }
    if parts.is_empty() {
        return response::empty(StatusCode::ACCEPTED);
    }
    answer(context, &session, fields, parts).await
}

/// Answers a batch.
async fn answer(
    context: &Context,
    session: &Arc<Session>,
    fields: &Fields,
    parts: Vec<Part>,
) -> Response<Body> {
    let answers = parts.into_iter().map(|part| {
        let (context, session, fields) = (context.clone(), session.clone(), fields.clone());
        async move {
            match part {
                Part::Request(request) => answer_one(&context, &session, &fields, request).await,
                Part::Answer(answer) => answer,
            }
        }
    });
    let mut all = UntilDone::new(join_all(answers).map(|answers| array(&answers)));
    let accepts = Accepts::of(fields);
    if !accepts.stream {
        return response::json(StatusCode::OK, all.await);
    }
    // The one revision that has batches is not polled.
    let pace = Pace::of(context, session);
    let early = if accepts.json { tokio::time::timeout(pace.pause, &mut all).await.ok() } else { None };
    if let Some(answers) = early {
        return response::json(StatusCode::OK, answers);
    }
    let stream = session.open_stream();
    let reader = stream.reader(None);
    tokio::spawn(async move {
        stream.send(&all.await).await;
        stream.finish();
    });
    response::stream(Body::stream(reading::read(reader, pace)))
}

fn array(answers: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for answer in answers {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(answer);
    }
    out.push(b']');
    out
}
