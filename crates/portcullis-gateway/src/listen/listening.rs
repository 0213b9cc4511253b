//! `subscriptions/listen` (2026-07-28, subscriptions): a stream that tells of changes until its client leaves.
//!
//! The first message acknowledges what is accepted, and everything names the request that opened the stream. When the
//! gateway stops, a server that the stream tells about is replaced, or the caller's token ends, the request is answered, which says that the end is
//! meant, and the client opens another stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use http::Response;
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{Id, write_result};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::sse;
use portcullis_mcp::subscription::{Filter, closing_result, write_acknowledged, write_task};
use portcullis_mcp::translate::Payload;
use portcullis_model::ErrorKind;
use portcullis_telemetry::metrics::Held;

use super::body::Body;
use super::context::Context;
use super::response::{self, Accepts};
use crate::answer::reply;
use crate::call::{Call, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::pipeline::record_own;
use crate::record::{Lasting, Open};
use crate::subscribe::{MOST_URIS, StreamPlace, Subscriber, accept};
use crate::tasks::watch;

const MODERN: Era = Era::Modern;

/// Answers the request.
pub(super) async fn listen(context: &Context, mut entry: Open, id: Id, accepts: Accepts) -> Response<Body> {
    let call = entry.call().clone();
    let recorder = record_own(&context.gateway, &call);
    let (stream, outcome) = match open(context, &call, &id, accepts).await {
        Ok(stream) => {
            let done = Payload { result: Raw::from_static("{}").into(), era: MODERN };
            (Some(stream), Outcome::Complete(done))
        }
        Err(refusal) => (None, Outcome::Refused(refusal)),
    };
    recorder.finish(&outcome);
    let reply = reply(MODERN, &Method::Listen, entry.answer(outcome).await);
    match stream.filter(|_| reply.answer.is_ok()) {
        Some(stream) => response::stream(Body::stream(stream.into_bytes())),
        None => response::one(&reply, &id, accepts),
    }
}

async fn open(context: &Context, call: &Arc<Call>, id: &Id, accepts: Accepts) -> Result<Listening, Refusal> {
    if !accepts.stream {
        let message = "subscriptions/listen answers with text/event-stream; accept it";
        return Err(Refusal::new(ErrorKind::NotAcceptable, message));
    }
    let filter = Filter::read(call.params.as_deref())
        .map_err(|error| Refusal::new(ErrorKind::InvalidParams, error.to_string()))?;
    if filter.uris.len() > MOST_URIS {
        let message = format!("a stream tells about at most {MOST_URIS} resources; open several");
        return Err(Refusal::new(ErrorKind::InvalidParams, message));
    }
    let gateway = &context.gateway;
    let place = gateway.subscribers.take_place(&call.caller.principal)?;
    let subscriber = gateway.subscribers.add(gateway, &call.endpoint, &call.caller, filter.lists);
    let tasks = watch::known(gateway, call, &filter.tasks)?;
    let accepted = Filter { tasks, ..accept(gateway, &subscriber, filter).await? };
    let tasks = accepted.tasks.iter().map(|id| watch::follow(gateway, call, id).boxed());
    Ok(Listening {
        tasks: tasks.collect(),
        stage: Stage::Acknowledge(accepted),
        id: id.clone(),
        pause: gateway.env.limits().keep_alive_interval,
        gateway: gateway.clone(),
        subscriber,
        _lasts: Lasting::new(call, "stream closed"),
        over: context.until_over().boxed(),
        _place: place,
        _open: gateway.metrics().streams().hold(),
    })
}

/// An open stream. The client that drops it has unsubscribed.
struct Listening {
    stage: Stage,
    id: Id,
    pause: Duration,
    gateway: Arc<Gateway>,
    subscriber: Arc<Subscriber>,
    /// The credential does not count any more.
    over: BoxFuture<'static, ()>,
    /// Tasks that it tells about.
    tasks: SelectAll<BoxStream<'static, Raw>>,
    _place: StreamPlace,
    _open: Held,
    _lasts: Lasting,
}

enum Stage {
    Acknowledge(Filter),
    Open,
    /// There is nothing to tell, or not here any more.
    Close,
    Over,
}

impl Listening {
    fn into_bytes(self) -> impl futures_util::Stream<Item = Bytes> + Send {
        futures_util::stream::unfold(self, |mut listening| async {
            listening.next().await.map(|bytes| (bytes, listening))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        let mut tell = |message: &[u8]| sse::event(&mut out, None, None, None, message);
        match &self.stage {
            Stage::Acknowledge(accepted) => {
                let mut message = Vec::new();
                write_acknowledged(&mut message, &self.id, accepted);
                tell(&message);
                self.stage = if accepted.is_empty() { Stage::Close } else { Stage::Open };
            }
            Stage::Open => tokio::select! {
                () = self.gateway.draining.cancelled() => self.close(&mut tell),
                () = self.subscriber.ended.cancelled() => self.close(&mut tell),
                () = &mut self.over => self.close(&mut tell),
                batch = self.subscriber.mailbox.next() => {
                    batch.messages(Some(&self.id)).for_each(|message| tell(&message));
                }
                Some(task) = self.tasks.next(), if !self.tasks.is_empty() => {
                    let mut message = Vec::new();
                    write_task(&mut message, &task, &self.id);
                    tell(&message);
                }
                () = tokio::time::sleep(self.pause) => sse::comment(&mut out, "keep-alive"),
            },
            Stage::Close => self.close(&mut tell),
            Stage::Over => return None,
        }
        Some(out.into())
    }

    fn close(&mut self, tell: &mut impl FnMut(&[u8])) {
        let info = self.gateway.server_info(&self.subscriber.endpoint, &self.subscriber.caller());
        let mut message = Vec::new();
        write_result(&mut message, &self.id, &closing_result(&self.id, &info));
        tell(&message);
        self.stage = Stage::Over;
    }
}
