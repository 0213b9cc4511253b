//! Asking the client of a session: a server's question becomes a request on the stream of the call that it is about, and
//! the answer comes by a POST of its own.
//!
//! A question ends in one of four ways: the client answers, the server does not want the answer any more, the call is
//! over, or the client takes too long. In all but the first the client is told to forget it.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::message::{Id, write_notification, write_request};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_mcp::translate::{Asked, question_for};
use portcullis_model::ServerId;
use tokio_util::sync::CancellationToken;

use super::session::{Session, Stream};
use crate::crossing;
use crate::gateway::Gateway;
use crate::record::Questioning;
use crate::seal::random_id;

/// Asks one thing and brings the answer back. `over` fires when the call has ended.
pub(super) async fn ask(
    session: Arc<Session>,
    stream: Arc<Stream>,
    questioning: Questioning,
    over: CancellationToken,
    patience: Duration,
) {
    let revision = session.caller.revision;
    let (method, withdrawn, asked) = {
        let question = questioning.question();
        let asked = question_for(revision, &question.method, question.params.as_ref(), &random_id());
        (question.method.clone(), question.withdrawn().clone(), asked)
    };
    let params = match asked {
        Asked::With(params) => params,
        Asked::Answered(answer) => return questioning.answer(Ok(answer)),
    };
    // A client that is asked too much at once gives no answer: dropping the question says that.
    let Some(mut pending) = session.ask() else { return };
    let id = pending.id();
    let mut message = Vec::new();
    write_request(&mut message, &id, &method, params.as_ref());
    stream.send(&message).await;
    let why = tokio::select! {
        biased;
        answer = pending.answer() => {
            if let Some(answer) = answer {
                questioning.answer(answer);
            }
            return;
        }
        () = withdrawn.cancelled() => "the server does not need the answer any more",
        () = over.cancelled() => "the request is over",
        () = tokio::time::sleep(patience) => "no answer in time",
    };
    drop(pending);
    questioning.unanswered(why);
    stream.send(&cancelled(&id, why)).await;
}

/// A server says that the user is done with a page that the client of this session was sent to; the id is the server's.
/// Clients of 2026-07-28 have no session, and no such notification either.
pub(crate) fn page_done(gateway: &Gateway, server: &ServerId, session: &str, id: &str) {
    let Some(session) = gateway.sessions.get(session) else { return };
    if session.caller.revision < Revision::V2025_11_25 {
        return;
    }
    let id = Raw::from_text(&crossing::page_id(&session.endpoint, server, id));
    let params = Raw::from_static("{}").with(&[("elicitationId", Change::Set(id.as_bytes()))]);
    let mut message = Vec::new();
    write_notification(&mut message, &Method::ElicitationComplete, Some(&params));
    session.say(message);
}

fn cancelled(id: &Id, why: &str) -> Vec<u8> {
    let params = Raw::trusted(format!("{{\"requestId\":{},\"reason\":\"{why}\"}}", id.raw()));
    let mut message = Vec::new();
    write_notification(&mut message, &Method::Cancelled, Some(&params));
    message
}
