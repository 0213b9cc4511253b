//! A call on a Streamable HTTP connection: what the HTTP answer means.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use portcullis_mcp::json::{Limits as JsonLimits, Raw};
use portcullis_mcp::message::{Message, Response, code, write_notification};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_model::ErrorKind;
use tokio::sync::OwnedSemaphorePermit;

use super::batch;
use super::connection::{Connection, Link, Sent, Stale, encode};
use super::credentials;
use super::feed::take;
use super::http::{Answer, Head, HttpError, HttpLink, read_body};
use super::http_stream::HttpStream;
use super::incoming::outcome;
use super::outgoing::Outgoing;
use super::reply::HttpReply;
use crate::call::{Exchange, Outcome, Refusal};

impl Connection {
    pub(super) async fn exchange_http(
        self: &Arc<Self>,
        link: &HttpLink,
        session: Option<&HeaderValue>,
        id: u64,
        out: &Outgoing,
    ) -> Sent {
        let params = self.params(id, out);
        let message = encode(id, &out.method, params.as_ref());
        let cancel = CancelOnDrop::armed(self, id);
        let reply = {
            let modern = self.era() == Era::Modern;
            let head = Head {
                revision: self.version_header(),
                method: modern.then_some(&out.method),
                name: out.subject.as_deref().filter(|_| modern),
                session,
                traceparent: out.trace.as_ref().and_then(|trace| trace.to_string().try_into().ok()),
                tracestate: out.trace.as_ref().and_then(|trace| trace.tracestate()?.try_into().ok()),
                extra: modern.then_some(&out.mirrored),
                ..Head::default()
            };
            pin!(link.post(out.worker, head, message.bytes().clone())).await
        };
        let reply = match reply {
            Ok(reply) => reply,
            // Nothing was sent. Whoever comes back on that address may speak another era: ask again.
            Err(error @ HttpError::Connect(_)) => {
                cancel.disarm();
                return Sent::Stale(Stale::Era(error.to_string()));
            }
            Err(error) => {
                cancel.disarm();
                return Sent::Answered(Exchange::done(self.unreachable(&error)));
            }
        };
        out.record.upstream_answered(reply.status().as_u16());
        if reply.is_stream() {
            let stream = HttpStream::new(self.clone(), reply.into_body(), cancel, id, out);
            return Sent::Answered(Exchange::live(stream.into_events(), true));
        }
        let sent = self.read_plain(reply, id).await;
        cancel.disarm();
        sent
    }

    /// The head of a GET for an event stream: the standalone one, or the one in which an event was the last (2025-11-25,
    /// "Resumability and redelivery").
    pub(super) fn stream_head<'a>(
        &self,
        session: Option<&'a HeaderValue>,
        last_event_id: Option<&str>,
    ) -> Head<'a> {
        Head {
            revision: self.version_header(),
            session,
            last_event_id: last_event_id.and_then(|id| HeaderValue::try_from(id).ok()),
            ..Head::default()
        }
    }

    /// 2025-06-18 brought the version header; a server of 2025-03-26 may not know it.
    pub(super) fn version_header(&self) -> Option<Revision> {
        (self.peer.revision >= Revision::V2025_06_18).then_some(self.peer.revision)
    }

    async fn read_plain(self: &Arc<Self>, reply: HttpReply<Answer>, id: u64) -> Sent {
        let status = reply.status();
        let (most, depth) = {
            let limits = self.env.limits();
            (limits.response_bytes, limits.json_depth)
        };
        let body = match read_body(reply.into_body(), most).await {
            Ok(body) => body,
            Err(error) => return Sent::Answered(Exchange::done(self.unreachable(&error))),
        };
        let (mut response, has_batches) = (None, self.peer.revision == Revision::V2025_03_26);
        for message in batch::messages(self.peer.revision, body, depth) {
            match Message::parse(message.clone(), JsonLimits { depth }) {
                Ok(Message::Response(said)) if said.is_to(id) || response.is_none() => response = Some(said),
                Ok(Message::Request(_) | Message::Notification(_)) if has_batches => {
                    take(self, message, depth);
                }
                _ => {}
            }
        }
        let is_ours = response.as_ref().is_some_and(|response| response.is_to(id));
        match response {
            Some(response) if is_ours => self.take_response(status, response),
            other => self.take_foreign(status, other),
        }
    }

    /// An answer to this very request, whatever its status.
    fn take_response(&self, status: StatusCode, response: Response) -> Sent {
        if status.is_client_error()
            && let Err(error) = &response.answer
        {
            match (error.code(), self.era()) {
                // A server that is modern by now misses the headers of a legacy request before it looks at anything else.
                (code::UNSUPPORTED_VERSION, _) | (code::HEADER_MISMATCH, Era::Legacy) => {
                    return Sent::Stale(Stale::Era(error.message()));
                }
                (code::HEADER_MISMATCH, Era::Modern) => {
                    return Sent::Stale(Stale::Headers(Outcome::Failed {
                        error: error.clone(),
                        era: Era::Modern,
                    }));
                }
                _ => {}
            }
        }
        Sent::Answered(Exchange::done(outcome(self.era(), response)))
    }

    /// An answer that names no request, or another one: the transport refused, or the server lies.
    fn take_foreign(&self, status: StatusCode, response: Option<Response>) -> Sent {
        let said = response.and_then(|response| response.answer.err()).map(|error| error.message());
        let said = said.map_or_else(String::new, |said| format!(": {said}"));
        let in_session = matches!(&self.link, Link::Http { session: Some(_), .. });
        match status.as_u16() {
            // 404 is the protocol's word for a session that ended; some servers say 400.
            400 | 404 if in_session => {
                Sent::Stale(Stale::Gone(format!("its session ended ({status}{said})")))
            }
            400 | 404 | 405 if self.era() == Era::Modern => {
                Sent::Stale(Stale::Era(format!("it no longer answers in the modern era ({status}{said})")))
            }
            401 | 403 => self.refused(
                ErrorKind::UpstreamDenied,
                &format!("refused the gateway's credentials ({status}); check `headers` or `credentials` of this server"),
            ),
            200..300 => self.refused(
                ErrorKind::UpstreamProtocol,
                "answered with something that is no answer to the request",
            ),
            _ => self.refused(ErrorKind::UpstreamUnavailable, &format!("answered {status}{said}")),
        }
    }

    fn refused(&self, kind: ErrorKind, why: &str) -> Sent {
        Sent::Answered(Exchange::done(Refusal::new(kind, format!("server `{}` {why}", self.server))))
    }

    pub(super) fn unreachable(&self, error: &HttpError) -> Outcome {
        let kind = match error {
            HttpError::Needed(needed) => return credentials::refusal(&self.server, needed).into(),
            HttpError::Connect(_) | HttpError::NotSent => ErrorKind::UpstreamUnavailable,
            HttpError::Broken(_) => ErrorKind::UpstreamClosed,
            HttpError::TooLarge(_) => ErrorKind::UpstreamProtocol,
        };
        Refusal::new(kind, format!("server `{}`: {error}", self.server)).into()
    }

    /// Tells a legacy server that nobody waits for an answer any more (closing the connection would not say so).
    fn notify_cancelled(self: &Arc<Self>, id: u64) {
        let params = Raw::trusted(format!("{{\"requestId\":{id},\"reason\":\"the client cancelled\"}}"));
        let mut message = Vec::new();
        write_notification(&mut message, &Method::Cancelled, Some(&params));
        self.post_aside(message);
    }

    /// Posts the answer to a request of the server.
    pub(super) fn post_answer(self: &Arc<Self>, message: Raw, place: OwnedSemaphorePermit) {
        let connection = self.clone();
        self.env.control.spawn(async move {
            connection.post_in_session(message.bytes().clone()).await;
            drop(place);
        });
    }

    async fn post_in_session(&self, message: Bytes) {
        let Link::Http { link, session } = &self.link else { return };
        let head = Head { revision: self.version_header(), session: session.as_ref(), ..Head::default() };
        let post = link.post(self.env.control_worker(), head, message);
        let _ = tokio::time::timeout(ASIDE, post).await;
    }

    /// Posts what nobody waits for. A few at a time: a server that asks without end, or a client that cancels without
    /// end, must not make connections without end. What is beyond that is dropped.
    pub(super) fn post_aside(self: &Arc<Self>, message: Vec<u8>) {
        let Ok(place) = self.asides.clone().try_acquire_owned() else { return };
        let connection = self.clone();
        self.env.control.spawn(async move {
            connection.post_in_session(message.into()).await;
            drop(place);
        });
    }
}

/// How long the server may take to accept what nobody waits for.
const ASIDE: Duration = Duration::from_secs(5);

/// Reads a body as a JSON-RPC response, if it is one.
pub(super) fn parse_response(body: Bytes, depth: usize) -> Option<Response> {
    match Message::parse(body, JsonLimits { depth }) {
        Ok(Message::Response(response)) => Some(response),
        _ => None,
    }
}

/// Cancels a legacy call when it is dropped before its answer. Toward a modern server, dropping the connection says it.
pub(super) struct CancelOnDrop {
    target: Option<(Arc<Connection>, u64)>,
}

impl CancelOnDrop {
    fn armed(connection: &Arc<Connection>, id: u64) -> Self {
        let legacy = connection.era() == Era::Legacy;
        Self { target: legacy.then(|| (connection.clone(), id)) }
    }

    /// The answer is there.
    pub(super) fn disarm(mut self) {
        self.target = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some((connection, id)) = self.target.take() {
            connection.notify_cancelled(id);
        }
    }
}
