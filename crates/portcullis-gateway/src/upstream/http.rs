//! The Streamable HTTP link to a server: one POST per message.
//!
//! Every worker thread has its own pooled client, so a call never crosses threads on its way. Bodies are bounded.
//! What the HTTP answer *means* for a call is `answer.rs`; this file only moves bytes.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Uri};
use portcullis_config::{HttpUpstream, UpstreamTls};
use portcullis_identity::outbound::{Credential, Needed, Refusal, Source};
use portcullis_mcp::header;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use rustls::CertificateError;

pub(crate) use super::pool::Answer;
use super::pool::{Outgoing, Pool, Target};
use super::reply::HttpReply;
use super::tls::{TlsError, client_config};
use crate::bounded::{self, Unread};
use crate::call::Worker;

/// Where a server is and how to get there.
pub(crate) struct HttpLink {
    url: Uri,
    pools: Arc<[Arc<Pool>]>,
    headers: Arc<HeaderMap>,
    /// As whom it is called.
    source: Option<Arc<Source>>,
}

/// Where a server was put, and the connections to it.
#[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "only a cluster moves servers"))]
pub(super) struct Place {
    url: Uri,
    pools: Arc<[Arc<Pool>]>,
}

#[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "only a cluster moves servers"))]
impl Place {
    /// A place with one client for each of `workers` threads; plain `http`.
    pub(super) fn new(url: &Uri, workers: usize) -> Result<Self, TlsError> {
        let target =
            Target::new(url, client_config(&UpstreamTls::default())?, None).map_err(TlsError::Name)?;
        let pools = (0..workers).map(|_| Pool::new(target.clone())).collect();
        Ok(Self { url: url.clone(), pools })
    }
}

/// A request that got no answer at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The connection was gone before anything was sent.
    #[error("the connection was closed")]
    NotSent,
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request may have been read.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// It is not called before something else has happened.
    #[error("something is needed first")]
    Needed(Needed),
    /// The body is larger than `limits.response_bytes`.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl HttpLink {
    /// A link with one client for each of `workers` threads.
    pub(crate) fn new(settings: &HttpUpstream, workers: usize) -> Result<Self, TlsError> {
        let tls = client_config(&settings.tls)?;
        let target = Target::new(settings.url.expose(), tls, settings.tls.server_name.as_deref());
        let target = target.map_err(TlsError::Name)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::try_from(name.as_str()).expect("the configuration checked header names");
            let mut value =
                HeaderValue::try_from(value.expose()).expect("the configuration checked header values");
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let pools = (0..workers).map(|_| Pool::new(target.clone())).collect();
        Ok(Self { url: settings.url.expose().clone(), pools, headers: Arc::new(headers), source: None })
    }

    /// A link to where a document says that its API is.
    pub(super) fn learned(url: &Uri, workers: usize, may_be_inside: bool) -> Result<Self, TlsError> {
        let target =
            Target::new(url, client_config(&UpstreamTls::default())?, None).map_err(TlsError::Name)?;
        let target = if may_be_inside { target } else { target.outside() };
        let pools = (0..workers).map(|_| Pool::new(target.clone())).collect();
        Ok(Self { url: url.clone(), pools, headers: Arc::default(), source: None })
    }

    /// The same server, called in the same way, at another place.
    #[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "only a cluster moves servers"))]
    pub(super) fn moved(&self, place: &Place) -> Self {
        let (url, pools) = (place.url.clone(), place.pools.clone());
        Self { url, pools, headers: self.headers.clone(), source: self.source.clone() }
    }

    /// The same server over the same connections, called with the credentials of this source.
    pub(super) fn called_as(&self, source: Option<Arc<Source>>) -> Self {
        let (url, pools, headers) = (self.url.clone(), self.pools.clone(), self.headers.clone());
        Self { url, pools, headers, source }
    }

    /// Where credentials come from.
    pub(super) fn source(&self) -> Option<&Arc<Source>> {
        self.source.as_ref()
    }

    /// Where it leads.
    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// Sends one message.
    pub(crate) fn post<'a>(
        &'a self,
        worker: Worker,
        head: Head<'a>,
        body: Bytes,
    ) -> impl Future<Output = Result<HttpReply<Answer>, HttpError>> + 'a {
        self.send(worker, HttpMethod::POST, None, head, body)
    }

    /// Sends one message to another path of the same server (2024-11-05, HTTP with SSE).
    pub(super) async fn post_to(
        &self,
        worker: Worker,
        path: &PathAndQuery,
        body: Bytes,
    ) -> Result<HttpReply<Answer>, HttpError> {
        self.send(worker, HttpMethod::POST, Some(path), Head::default(), body).await
    }

    /// Sends a request that is no message of MCP.
    pub(super) async fn request(
        &self,
        worker: Worker,
        request: portcullis_openapi::Request,
    ) -> Result<HttpReply<Answer>, HttpError> {
        let head = Head { plain: Some(&request.headers), ..Head::default() };
        let body = request.body.unwrap_or_default();
        self.send(worker, request.method, Some(&request.path), head, body).await
    }

    /// Opens the server's standalone stream, or resumes a broken one (2025-03-26 to 2025-11-25).
    pub(crate) async fn get(&self, worker: Worker, head: Head<'_>) -> Result<HttpReply<Answer>, HttpError> {
        self.send(worker, HttpMethod::GET, None, head, Bytes::new()).await
    }

    /// Ends a session.
    pub(crate) async fn delete(
        &self,
        worker: Worker,
        head: Head<'_>,
    ) -> Result<HttpReply<Answer>, HttpError> {
        self.send(worker, HttpMethod::DELETE, None, head, Bytes::new()).await
    }

    async fn send(
        &self,
        worker: Worker,
        method: HttpMethod,
        path: Option<&PathAndQuery>,
        head: Head<'_>,
        body: Bytes,
    ) -> Result<HttpReply<Answer>, HttpError> {
        match &self.source {
            None => pin!(self.send_with(worker, &method, path, &head, body, None)).await,
            // Boxed, for few servers need it and every call would carry the room for it.
            Some(source) => Box::pin(self.send_as(source, worker, &method, path, &head, body)).await,
        }
    }

    /// Sends one message with a credential. A server that refuses it has not carried the message out: it is sent again when
    /// there is another credential, or a nonce, to send it with.
    async fn send_as(
        &self,
        source: &Arc<Source>,
        worker: Worker,
        method: &HttpMethod,
        path: Option<&PathAndQuery>,
        head: &Head<'_>,
        body: Bytes,
    ) -> Result<HttpReply<Answer>, HttpError> {
        let mut again = 0;
        loop {
            let credential = source.credential().await.map_err(HttpError::Needed)?;
            let with = credential.as_deref();
            let reply = self.send_with(worker, method, path, head, body.clone(), with).await?;
            let status = reply.status().as_u16();
            if !matches!(status, 401 | 403) {
                // The nonce of the next proof comes with an answer, too (RFC 9449 section 8.2).
                if let Some(nonce) = reply.said().and_then(|said| said.nonce.as_deref()) {
                    source.take_nonce(credential.as_ref(), Some(nonce));
                }
                return Ok(reply);
            }
            let said = reply.said().cloned().unwrap_or_default();
            let (challenge, nonce) = (said.challenge.as_deref(), said.nonce.as_deref());
            let refusal = Refusal { status, challenge, nonce, again };
            source.challenged(credential.as_ref(), refusal).await.map_err(HttpError::Needed)?;
            again += 1;
        }
    }

    async fn send_with(
        &self,
        worker: Worker,
        method: &HttpMethod,
        path: Option<&PathAndQuery>,
        head: &Head<'_>,
        body: Bytes,
        credential: Option<&Credential>,
    ) -> Result<HttpReply<Answer>, HttpError> {
        let shown = credential.map(|credential| {
            let address = if credential.is_bound() { self.address_of(path) } else { String::new() };
            credential.headers(method.as_str(), &address)
        });
        let headers = |put: &mut dyn FnMut(&str, &[u8])| {
            if let Some(shown) = &shown {
                put(shown.credential.0, shown.credential.1.as_bytes());
                if let Some(proof) = &shown.proof {
                    put("dpop", proof.as_bytes());
                }
            }
            // What the operator set is in force.
            for (name, value) in &*self.headers {
                put(name.as_str(), value.as_bytes());
            }
            let put = &mut |name: &str, value: &[u8]| {
                if self.headers.is_empty() || !self.headers.contains_key(name) {
                    put(name, value);
                }
            };
            match *method {
                _ if head.plain.is_some() => put("accept", PLAIN),
                HttpMethod::POST => {
                    put("content-type", b"application/json");
                    put("accept", b"application/json, text/event-stream");
                }
                HttpMethod::GET => put("accept", b"text/event-stream"),
                _ => {}
            }
            head.write(put);
        };
        pin!(self.pools[worker.0].send(&Outgoing { method: method.clone(), path, headers: &headers, body }))
            .await
    }

    /// The URL of a path of the server.
    fn address_of(&self, path: Option<&PathAndQuery>) -> String {
        match path {
            None => self.url.to_string(),
            Some(path) => {
                let scheme = self.url.scheme_str().unwrap_or_default();
                let authority = self.url.authority().map_or("", |authority| authority.as_str());
                format!("{scheme}://{authority}{path}")
            }
        }
    }
}

impl Head<'_> {
    fn write(&self, put: &mut dyn FnMut(&str, &[u8])) {
        if let Some(revision) = self.revision {
            put(header::PROTOCOL_VERSION.as_str(), revision.as_str().as_bytes());
        }
        if let Some(method) = self.method {
            put(header::METHOD.as_str(), header::encode_value(method.as_str()).as_bytes());
        }
        if let Some(name) = self.name {
            put(header::NAME.as_str(), header::encode_value(name).as_bytes());
        }
        let plain = [
            (header::SESSION_ID, self.session),
            (header::LAST_EVENT_ID, self.last_event_id.as_ref()),
            (HeaderName::from_static("traceparent"), self.traceparent.as_ref()),
            (HeaderName::from_static("tracestate"), self.tracestate.as_ref()),
        ];
        for (name, value) in plain {
            if let Some(value) = value {
                put(name.as_str(), value.as_bytes());
            }
        }
        for (name, value) in self.extra.into_iter().flatten() {
            put(name.as_str(), value.as_bytes());
        }
        for (name, value) in self.plain.into_iter().flatten() {
            put(name.as_str(), value.as_bytes());
        }
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
    /// The headers of a request that is no message of MCP.
    pub(crate) plain: Option<&'a [(HeaderName, HeaderValue)]>,
}

/// What is read of an answer that is no message of MCP.
const PLAIN: &[u8] = b"application/json, text/plain;q=0.8, */*;q=0.5";

/// Reads a whole body of up to `limit` bytes.
pub(crate) async fn read_body(body: Answer, limit: usize) -> Result<Bytes, HttpError> {
    bounded::collect(body, limit).await.map_err(|unread| match unread {
        Unread::TooLarge => HttpError::TooLarge(limit),
        Unread::Broken(error) => error,
    })
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
