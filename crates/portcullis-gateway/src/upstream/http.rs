//! The Streamable HTTP link to a server: one POST per message.
//!
//! Every worker thread has its own pooled client, so a call never crosses threads on its way. Bodies are bounded.
//! What the HTTP answer *means* for a call is `answer.rs`; this file only moves bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use portcullis_config::HttpUpstream;
use portcullis_mcp::header;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;

use super::tls::{TlsError, client_config};
use crate::call::Worker;

/// Node closes idle connections after 5 s; a connection is not reused when that may just be happening.
const IDLE: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(10);

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Where a server is and how to get there.
pub(crate) struct HttpLink {
    clients: Vec<HttpClient>,
    uri: Uri,
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
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let builder = match settings.tls.server_name.as_deref().map(|name| name.to_owned().try_into()) {
            Some(Ok(name)) => builder
                .with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name))
                .enable_all_versions()
                .wrap_connector(http),
            _ => builder.enable_all_versions().wrap_connector(http),
        };
        let client = || {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .build(builder.clone())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::try_from(name.as_str()).expect("the configuration checked header names");
            let mut value = HeaderValue::try_from(value.expose()).expect("the configuration checked header values");
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self { clients: (0..workers).map(|_| client()).collect(), uri: settings.url.expose().clone(), headers })
    }

    /// Sends one message.
    pub(crate) async fn post(
        &self,
        worker: Worker,
        headers: Head<'_>,
        body: Bytes,
    ) -> Result<Response<Incoming>, HttpError> {
        let mut request = self.request(HttpMethod::POST, headers, Full::new(body));
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        request.headers_mut().insert(ACCEPT, JSON_OR_STREAM);
        self.send(worker, request).await
    }

    /// Opens the server's standalone stream, or resumes a broken one (2025-03-26 to 2025-11-25).
    pub(crate) async fn get(&self, worker: Worker, headers: Head<'_>) -> Result<Response<Incoming>, HttpError> {
        let mut request = self.request(HttpMethod::GET, headers, Full::default());
        request.headers_mut().insert(ACCEPT, STREAM);
        self.send(worker, request).await
    }

    /// Ends a session.
    pub(crate) async fn delete(&self, worker: Worker, headers: Head<'_>) -> Result<Response<Incoming>, HttpError> {
        self.send(worker, self.request(HttpMethod::DELETE, headers, Full::default())).await
    }

    fn request(&self, method: HttpMethod, head: Head<'_>, body: Full<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
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
        request
    }

    async fn send(&self, worker: Worker, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        self.clients[worker.0].request(request).await.map_err(|error| {
            let text = chain(&error);
            if error.is_connect() { HttpError::Connect(text) } else { HttpError::Broken(text) }
        })
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
    pub(crate) extra: Option<&'a HeaderMap>,
}

/// Reads a whole body of up to `limit` bytes.
pub(crate) async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, HttpError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(HttpError::TooLarge(limit)),
        Err(error) => Err(HttpError::Broken(error.to_string())),
    }
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

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Shared by all connections of a server.
pub(crate) type SharedLink = Arc<HttpLink>;
