//! The standalone stream of a session (2025-03-26 to 2025-11-25): what belongs to no request.
//!
//! That is changes of lists and of resources that the session is subscribed to. While no stream is open they wait in the
//! session's mailbox, each once. What has been sent is kept for a while, so that a client that lost its connection reads
//! on from the last event that it saw. So are the streams of calls that broke off. Both end with the credential that they
//! were asked for with.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream as FutureStream, StreamExt as _};
use http::{Response, StatusCode};
use portcullis_mcp::header;
use portcullis_mcp::revision::Era;
use portcullis_mcp::sse;
use portcullis_model::ErrorKind;
use portcullis_telemetry::metrics::Held;

use super::body::Body;
use super::context::Context;
use super::fields::Fields;
use super::reading::{Pace, Reading, read};
use super::response::{self, Accepts};
use super::session::{Place, Session, Stream};
use crate::call::Refusal;
use crate::gateway::Gateway;
use crate::record::Evidence;
use crate::subscribe::{Batch, Subscriber, follow};

/// GET: the standalone stream, or the rest of one that broke off.
pub(super) fn listen(context: &Context, session: &Arc<Session>, fields: &Fields) -> Response<Body> {
    if !Accepts::of(fields).stream {
        let refusal = Refusal::new(ErrorKind::NotAcceptable, "GET answers with text/event-stream; accept it");
        return response::refusal(Era::Legacy, None, &refusal);
    }
    let pace = Pace::of(context, session);
    let Some(last) = fields.text(&header::LAST_EVENT_ID) else {
        let stream = standalone(context, session, None, pace);
        return response::stream(Body::stream(stream.take_until(Box::pin(context.until_over()))));
    };
    let seen = Place::parse(last);
    if let Some(place) = seen.filter(|place| session.is_standalone(place.stream)) {
        let stream = standalone(context, session, Some(place.event), pace);
        return response::stream(Body::stream(stream.take_until(Box::pin(context.until_over()))));
    }
    match seen.and_then(|place| Some((session.find_stream(place.stream)?, place.event))) {
        Some((stream, event)) => {
            let reader = stream.reader(Some(event));
            session.client_is_back(&stream);
            let stream = read(reader, pace);
            response::stream(Body::stream(stream.take_until(Box::pin(context.until_over()))))
        }
        None => {
            let message = "the stream of that Last-Event-ID is not kept any more; send the request again";
            response::refusal(Era::Legacy, None, &Refusal::new(ErrorKind::InvalidParams, message))
                .with_status(400)
        }
    }
}

/// The stream, from now on or from after an event that the client has seen. It takes the place of one that is open.
fn standalone(
    context: &Context,
    session: &Arc<Session>,
    after: Option<u64>,
    pace: Pace,
) -> impl FutureStream<Item = Bytes> + Send + use<> {
    let gateway = context.gateway.clone();
    let stream = session.standalone();
    if let Some(subscriber) = session.subscriber() {
        follow(&gateway, subscriber);
    }
    let reader = stream.reader_on(after);
    if pace.polls() && after.is_none() {
        // Something to come back with.
        stream.prime();
    }
    let standalone = Standalone {
        reading: Reading::new(reader, pace),
        stream,
        subscriber: session.subscriber().cloned(),
        open: Open::new(session, gateway.evidence.clone()),
        // A comment at once: some clients wait for the first bytes before they take the stream for open.
        first: Some("open"),
        _counted: gateway.metrics().streams().hold(),
        gateway,
    };
    futures_util::stream::unfold(standalone, |mut standalone| async {
        standalone.next().await.map(|bytes| (bytes, standalone))
    })
}

struct Standalone {
    reading: Reading,
    stream: Arc<Stream>,
    subscriber: Option<Arc<Subscriber>>,
    open: Open,
    first: Option<&'static str>,
    gateway: Arc<Gateway>,
    _counted: Held,
}

impl Standalone {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            let mut out = Vec::new();
            sse::comment(&mut out, first);
            return Some(out.into());
        }
        loop {
            // Before the client may be sent away: what there is to be told is not to wait for its return.
            if let Some(batch) = next(self.subscriber.as_deref()).now_or_never() {
                self.write(&batch);
            }
            tokio::select! {
                biased;
                () = self.open.session.ended.cancelled() => return None,
                read = self.reading.next() => {
                    self.open.comes_back = self.reading.has_left();
                    return read;
                }
                () = self.gateway.draining.cancelled() => return None,
                // Written into the stream before it is read: whoever reads next finds it there.
                batch = next(self.subscriber.as_deref()) => self.write(&batch),
            }
        }
    }

    fn write(&self, batch: &Batch) {
        batch.messages(None).for_each(|message| self.stream.push(&message));
    }
}

async fn next(subscriber: Option<&Subscriber>) -> Batch {
    match subscriber {
        Some(subscriber) => subscriber.mailbox.next().await,
        None => std::future::pending().await,
    }
}

/// Keeps its session from being idle, and is on record: a client that leaves in order and comes back listens all the time.
struct Open {
    session: Arc<Session>,
    evidence: Option<Arc<Evidence>>,
    /// Its client has been told to come back.
    comes_back: bool,
}

impl Open {
    fn new(session: &Arc<Session>, evidence: Option<Arc<Evidence>>) -> Self {
        let begins = session.listener_came();
        let open = Self { session: session.clone(), evidence, comes_back: false };
        if begins {
            open.tell("stream opened");
        }
        open
    }

    fn tell(&self, what: &'static str) {
        if let Some(evidence) = &self.evidence {
            evidence.session(&self.session.caller, &self.session.id, what);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.session.listener_left(self.comes_back) {
            self.tell("stream closed");
        }
    }
}

trait WithStatus {
    fn with_status(self, status: u16) -> Self;
}

impl WithStatus for Response<Body> {
    fn with_status(mut self, status: u16) -> Self {
        *self.status_mut() = StatusCode::from_u16(status).expect("a literal status");
        self
    }
}
