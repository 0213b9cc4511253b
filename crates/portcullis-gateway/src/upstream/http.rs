//! The Streamable HTTP link to a server: one POST per message.
//!
//! Every worker thread has its own pooled client, so a call never crosses threads on its way. Bodies are bounded.
//! What the HTTP answer *means* for a call is `answer.rs`; this file only moves bytes.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, Response};
use http_body_util::Full;
use portcullis_config::HttpUpstream;
use portcullis_mcp::header;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use rustls::CertificateError;

pub(crate) use super::pool::Answer;
use super::pool::{Pool, Target};
use super::tls::{TlsError, client_config};
use crate::bounded::{self, Unread};
use crate::call::Worker;


/// Where a server is and how to get there.
pub(crate) struct HttpLink {
    pools: Vec<Arc<Pool>>,
    headers: HeaderMap,
}

/// A request that got no answer at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request may have been read.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The body is larger than `limits.response_bytes`.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_OR_STREAM: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

impl HttpLink {
    /// A link with one client for each of `workers` threads.
    pub(crate) fn new(settings: &HttpUpstream, workers: usize) -> Result<Self, TlsError> {
        let tls = client_config(&settings.tls)?;
        let target = Target::new(settings.url.expose(), tls, settings.tls.server_name.as_deref());
        let target = target.map_err(TlsError::Name)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::try_from(name.as_str()).expect("the configuration checked header names");
            let mut value = HeaderValue::try_from(value.expose()).expect("the configuration checked header values");
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self { pools: (0..workers).map(|_| Pool::new(target.clone())).collect(), headers })
    }

    /// Sends one message.
    pub(crate) async fn post(
        &self,
        worker: Worker,
        headers: Head<'_>,
        body: Bytes,
    ) -> Result<Response<Answer>, HttpError> {
        let mut request = self.request(HttpMethod::POST, headers, Full::new(body));
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        request.headers_mut().insert(ACCEPT, JSON_OR_STREAM);
        self.send(worker, request).await
    }

    /// Opens the server's standalone stream, or resumes a broken one (2025-03-26 to 2025-11-25).
    pub(crate) async fn get(&self, worker: Worker, headers: Head<'_>) -> Result<Response<Answer>, HttpError> {
        let mut request = self.request(HttpMethod::GET, headers, Full::default());
        request.headers_mut().insert(ACCEPT, STREAM);
        self.send(worker, request).await
    }

    /// Ends a session.
    pub(crate) async fn delete(&self, worker: Worker, headers: Head<'_>) -> Result<Response<Answer>, HttpError> {
        self.send(worker, self.request(HttpMethod::DELETE, headers, Full::default())).await
    }

    fn request(&self, method: HttpMethod, head: Head<'_>, body: Full<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        let headers = request.headers_mut();
        headers.reserve(self.headers.len() + head.extra.map_or(0, HeaderMap::len) + 8);
        for (name, value) in head.extra.into_iter().flatten().chain(&self.headers) {
            headers.insert(name, value.clone());
        }
        if let Some(revision) = head.revision {
            headers.insert(header::PROTOCOL_VERSION, HeaderValue::from_static(revision.as_str()));
        }
        if let Some(method) = head.method {
            headers.insert(header::METHOD, header::encode_value(method.as_str()));
        }
        if let Some(name) = head.name {
            headers.insert(header::NAME, header::encode_value(name));
        }
        if let Some(session) = head.session {
            headers.insert(header::SESSION_ID, session.clone());
        }
        if let Some(last) = head.last_event_id {
            headers.insert(header::LAST_EVENT_ID, last);
        }
        if let Some(parent) = head.traceparent {
            headers.insert(HeaderName::from_static("traceparent"), parent);
        }
        if let Some(state) = head.tracestate {
            headers.insert(HeaderName::from_static("tracestate"), state);
        }
        request
    }

    async fn send(&self, worker: Worker, request: Request<Full<Bytes>>) -> Result<Response<Answer>, HttpError> {
        self.pools[worker.0].send(request).await
    }
}

/// The MCP headers of one request.
#[derive(Default)]
pub(crate) struct Head<'a> {
    pub(crate) revision: Option<Revision>,
    pub(crate) method: Option<&'a Method>,
    pub(crate) name: Option<&'a str>,
    pub(crate) session: Option<&'a HeaderValue>,
    pub(crate) last_event_id: Option<HeaderValue>,
    pub(crate) traceparent: Option<HeaderValue>,
    pub(crate) tracestate: Option<HeaderValue>,
    pub(crate) extra: Option<&'a HeaderMap>,
}

/// Reads a whole body of up to `limit` bytes.
pub(crate) async fn read_body(body: Answer, limit: usize) -> Result<Bytes, HttpError> {
    bounded::collect(body, limit).await.map_err(|unread| match unread {
        Unread::TooLarge => HttpError::TooLarge(limit),
        Unread::Broken(error) => HttpError::Broken(explain(&error)),
    })
}

/// What an answer's `Content-Type` says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    EventStream,
    Other,
}

impl Media {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return Self::Other };
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case("text/event-stream") {
            Self::EventStream
        } else {
            Self::Other
        }
    }
}

/// What failed, with its causes and what to do about it.
pub(super) fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text + hint(error)
}

/// What to do about a certificate that was not accepted.
fn hint(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                return "; set `tls.ca` of this server to the authority that signed its certificate";
            }
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => return "; call it by a name that its certificate has, or set `tls.server_name`",
            _ => {}
        }
        // What an I/O error wraps is not its source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map_or_else(|| error.source(), |wrapped| Some(wrapped));
    }
    ""
}

/// Shared by all connections of a server.
pub(crate) type SharedLink = Arc<HttpLink>;
