//! The connections of one worker to one server.
//!
//! A call takes an idle connection or opens one, and its answer's body gives it back when it has been read to its end;
//! dropped earlier, it closes the connection, which is how a modern server learns that nobody waits any more. All of
//! this happens on the worker's own thread and in the call's own task.
//!
//! HTTP/2 is spoken when TLS agrees on it; then there is one connection for all calls.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portcullis_identity::is_global;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::h1::{self, Failure, Line, More};
use super::http::{HttpError, explain};
use super::reply::{HttpReply, Kept};
use crate::moment::Moment;

/// Node closes idle connections after 5 s; a connection is not used again when that may just be happening.
const IDLE: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(10);
/// So many idle connections are kept.
const MOST_IDLE: usize = 256;

/// Where to connect, and how.
#[derive(Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// For HTTP/1.1: the path as it stands in the request line, and what follows it.
    path: String,
    start: String,
    /// For HTTP/2.
    uri: Uri,
    /// Nobody but a document says where it is: what is not on the public internet is not connected to.
    is_outside: bool,
}

impl Target {
    /// A target for an `http` or `https` URL; `name` is the server name to expect instead of the URL's host.
    pub(super) fn new(uri: &Uri, tls: ClientConfig, name: Option<&str>) -> Result<Self, String> {
        let authority = uri.authority().ok_or("the URL has no host")?;
        let secure = uri.scheme_str() == Some("https");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if secure {
            let name =
                ServerName::try_from(name.unwrap_or(&host).to_owned()).map_err(|error| error.to_string())?;
            Some((TlsConnector::from(Arc::new(tls)), name))
        } else {
            None
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            tls,
            path: path.to_owned(),
            start: format!(" HTTP/1.1\r\nhost: {authority}\r\n"),
            uri: uri.clone(),
            is_outside: false,
        })
    }

    /// The same, as far as it is on the public internet.
    pub(super) fn outside(self) -> Self {
        Self { is_outside: true, ..self }
    }
}

impl Target {
    fn uri_at(&self, path: Option<&PathAndQuery>) -> Uri {
        let mut parts = self.uri.clone().into_parts();
        if let Some(path) = path {
            parts.path_and_query = Some(path.clone());
        }
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }
}

/// Calls its argument with the name, in lower case, and the value of each header.
pub(super) type Headers<'a> = dyn Fn(&mut dyn FnMut(&str, &[u8])) + Sync + 'a;

/// A request before it is written down: HTTP/1.1 and HTTP/2 write it differently.
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    /// Another path than the target's, on the same server.
    pub(super) path: Option<&'a PathAndQuery>,
    pub(super) headers: &'a Headers<'a>,
    pub(super) body: Bytes,
}

/// The connections.
pub(crate) struct Pool {
    target: Target,
    idle: Mutex<Vec<Idle>>,
    shared: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

struct Idle {
    line: Line,
    since: Moment,
}

enum Opened {
    One(Line),
    Shared(http2::SendRequest<Full<Bytes>>),
}

impl Pool {
    pub(super) fn new(target: Target) -> Arc<Self> {
        Arc::new(Self { target, idle: Mutex::default(), shared: Mutex::default() })
    }

    /// Sends a request. What has been written is never written twice.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: &Outgoing<'_>,
    ) -> Result<HttpReply<Answer>, HttpError> {
        if let Some(sender) = self.shared_connection() {
            match Box::pin(self.send_shared(sender, request)).await {
                Err(HttpError::NotSent) => {}
                done => return done,
            }
        }
        loop {
            let idle = self.take_idle();
            let was_idle = idle.is_some();
            let line = match idle {
                Some(line) => line,
                // Boxed, for its handshakes are large and every call would carry the room for them.
                None => match Box::pin(self.open()).await? {
                    Opened::One(line) => line,
                    Opened::Shared(sender) => return Box::pin(self.send_shared(sender, request)).await,
                },
            };
            match self.send_on(line, request).await {
                Err(HttpError::NotSent) if was_idle => {}
                done => return done,
            }
        }
    }

    async fn send_on(
        self: &Arc<Self>,
        line: Line,
        request: &Outgoing<'_>,
    ) -> Result<HttpReply<Answer>, HttpError> {
        let head = self.head(request);
        match line.exchange(head, &request.body).await {
            Ok(response) => Ok(response.map(|body| Answer::One { pool: self.clone(), body })),
            Err(Failure::NotSent) => Err(HttpError::NotSent),
            Err(failure) => Err(HttpError::Broken(explain(&failure))),
        }
    }

    fn head(&self, request: &Outgoing<'_>) -> Vec<u8> {
        let mut head = Vec::with_capacity(512 + request.body.len().min(16 * 1024));
        head.extend_from_slice(request.method.as_str().as_bytes());
        head.push(b' ');
        head.extend_from_slice(request.path.map_or(&*self.target.path, PathAndQuery::as_str).as_bytes());
        head.extend_from_slice(self.target.start.as_bytes());
        (request.headers)(&mut |name, value| {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        });
        let has_length = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
        if has_length || !request.body.is_empty() {
            head.extend_from_slice(b"content-length: ");
            head.extend_from_slice(itoa::Buffer::new().format(request.body.len()).as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    async fn send_shared(
        &self,
        mut sender: http2::SendRequest<Full<Bytes>>,
        request: &Outgoing<'_>,
    ) -> Result<HttpReply<Answer>, HttpError> {
        if sender.ready().await.is_err() {
            *self.lock_shared() = None;
            return Err(HttpError::NotSent);
        }
        let mut message = Request::new(Full::new(request.body.clone()));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = self.target.uri_at(request.path);
        (request.headers)(&mut |name, value| {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                message.headers_mut().insert(name, value);
            }
        });
        match sender.try_send_request(message).await {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                Ok(HttpReply::new(parts.status, Kept::from(&parts.headers), Answer::Shared(body)))
            }
            Err(mut error) => Err(match error.take_message() {
                Some(_) => HttpError::NotSent,
                None => HttpError::Broken(explain(error.error())),
            }),
        }
    }

    async fn open(&self) -> Result<Opened, HttpError> {
        let opened = tokio::time::timeout(CONNECT, self.connect()).await;
        opened.unwrap_or_else(|_| Err(HttpError::Connect("no connection within 10 s".to_owned())))
    }

    async fn connect(&self) -> Result<Opened, HttpError> {
        let connect = |error: std::io::Error| HttpError::Connect(explain(&error));
        let place = (self.target.host.as_str(), self.target.port);
        let stream = if self.target.is_outside {
            connect_outside(place).await?
        } else {
            TcpStream::connect(place).await.map_err(connect)?
        };
        stream.set_nodelay(true).map_err(connect)?;
        let Some((connector, name)) = &self.target.tls else {
            return Ok(Opened::One(Line::new(stream)));
        };
        let stream = connector.connect(name.clone(), stream).await.map_err(connect)?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
            let handshake = builder.handshake(TokioIo::new(stream)).await;
            let (sender, connection) = handshake.map_err(|error| HttpError::Connect(explain(&error)))?;
            tokio::spawn(connection);
            *self.lock_shared() = Some(sender.clone());
            return Ok(Opened::Shared(sender));
        }
        Ok(Opened::One(Line::new(stream)))
    }

    fn shared_connection(&self) -> Option<http2::SendRequest<Full<Bytes>>> {
        self.target.tls.as_ref()?;
        self.lock_shared().clone()
    }

    /// The connection that was used last: the others may then grow old and go.
    fn take_idle(&self) -> Option<Line> {
        let mut idle = self.lock_idle();
        while let Some(mut last) = idle.pop() {
            if last.since.elapsed() >= IDLE {
                idle.clear();
                return None;
            }
            if last.line.is_quiet() {
                return Some(last.line);
            }
        }
        None
    }

    fn give_back(&self, line: Line) {
        let mut idle = self.lock_idle();
        let since = Moment::now();
        if idle.first().is_some_and(|first| since.since(first.since) >= IDLE) {
            idle.retain(|idle| since.since(idle.since) < IDLE);
        }
        if idle.len() < MOST_IDLE {
            idle.push(Idle { line, since });
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_shared(&self) -> MutexGuard<'_, Option<http2::SendRequest<Full<Bytes>>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to an address of a name that is on the public internet. The addresses that are looked at are those that are
/// connected to, so a name that means something else a moment later changes nothing.
async fn connect_outside(place: (&str, u16)) -> Result<TcpStream, HttpError> {
    let connect = |error: std::io::Error| HttpError::Connect(explain(&error));
    let mut last = HttpError::Connect(
        "only a document says that it is there, and it is not on the public internet; if it is meant, say so with \
         `openapi.base_url`"
            .to_owned(),
    );
    let found = tokio::net::lookup_host(place).await.map_err(connect)?;
    for address in found.filter(|address| is_global(address.ip())).take(4) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = connect(error),
        }
    }
    Err(last)
}

/// The body of an answer. Read to its end, it gives its connection back; dropped before, it closes it.
pub(crate) enum Answer {
    /// HTTP/1.1.
    One {
        /// Where the connection belongs.
        pool: Arc<Pool>,
        /// What is read from it.
        body: h1::Body,
    },
    /// HTTP/2.
    Shared(Incoming),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let broken = |error: &(dyn std::error::Error + 'static)| HttpError::Broken(explain(error));
        match &mut *self {
            Self::One { pool, body } => Poll::Ready(match ready!(body.poll_more(context)) {
                Ok(More::Data(data)) => Some(Ok(Frame::data(data))),
                Ok(More::End(line)) => {
                    if let Some(line) = line {
                        pool.give_back(line);
                    }
                    None
                }
                Err(failure) => Some(Err(broken(&failure))),
            }),
            Self::Shared(body) => {
                let polled = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(polled.map(|frame| frame.map_err(|error| broken(&error))))
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Self::One { pool, body } = self
            && body.is_at_end()
            && let Some(line) = body.take_line()
        {
            pool.give_back(line);
        }
    }
}
