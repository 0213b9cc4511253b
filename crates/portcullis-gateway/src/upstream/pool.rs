//! The connections of one worker to one server.
//!
//! A call takes an idle connection or opens one, and its answer's body gives it back when it has been read to its end;
//! dropped earlier, it closes the connection, which is how a modern server learns that nobody waits any more. All of
//! this happens on the worker's own thread, without a task of its own per call: with a general client's pool in its
//! place (hyper-util), a call costs a sixth more.
//!
//! HTTP/2 is spoken when TLS agrees on it; then there is one connection for all calls.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::http::{HttpError, explain};

/// Node closes idle connections after 5 s; a connection is not used again when that may just be happening.
const IDLE: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(10);
/// So many idle connections are kept.
const MOST_IDLE: usize = 256;

type Outgoing = Request<Full<Bytes>>;

/// Where to connect, and how.
#[derive(Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// For HTTP/1.1, which names the host in a header and only the path in the request line.
    host_header: HeaderValue,
    path: Uri,
    /// For HTTP/2, which has them in the URI.
    uri: Uri,
}

impl Target {
    /// A target for an `http` or `https` URL; `name` is the server name to expect instead of the URL's host.
    pub(super) fn new(uri: &Uri, tls: ClientConfig, name: Option<&str>) -> Result<Self, String> {
        let authority = uri.authority().ok_or("the URL has no host")?;
        let secure = uri.scheme_str() == Some("https");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if secure {
            let name = ServerName::try_from(name.unwrap_or(&host).to_owned()).map_err(|error| error.to_string())?;
            Some((TlsConnector::from(Arc::new(tls)), name))
        } else {
            None
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            tls,
            host_header: HeaderValue::try_from(authority.as_str()).map_err(|error| error.to_string())?,
            path: Uri::try_from(path).map_err(|error| error.to_string())?,
            uri: uri.clone(),
        })
    }
}

/// The connections.
pub(super) struct Pool {
    target: Target,
    idle: Mutex<Vec<Idle>>,
    shared: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

struct Idle {
    sender: http1::SendRequest<Full<Bytes>>,
    since: Instant,
}

enum Opened {
    One(http1::SendRequest<Full<Bytes>>),
    Shared(http2::SendRequest<Full<Bytes>>),
}

/// A request that was not sent comes back, to be sent on another connection.
enum Attempt {
    Answered(Response<Answer>),
    NotSent(Outgoing),
}

impl Pool {
    pub(super) fn new(target: Target) -> Arc<Self> {
        Arc::new(Self { target, idle: Mutex::default(), shared: Mutex::default() })
    }

    /// Sends a request. What has been written is never written twice.
    pub(super) async fn send(self: &Arc<Self>, mut request: Outgoing) -> Result<Response<Answer>, HttpError> {
        if let Some(sender) = self.shared_connection() {
            match self.send_shared(sender, request).await? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::NotSent(unsent) => request = unsent,
            }
        }
        while let Some(sender) = self.take_idle() {
            match self.send_one(sender, request).await? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::NotSent(unsent) => request = unsent,
            }
        }
        // Boxed, for its handshakes are large and every call would carry the room for them.
        let opened = tokio::time::timeout(CONNECT, Box::pin(self.open())).await;
        let opened = opened.map_err(|_| HttpError::Connect("no connection within 10 s".to_owned()))??;
        let attempt = match opened {
            Opened::One(sender) => self.send_one(sender, request).await?,
            Opened::Shared(sender) => self.send_shared(sender, request).await?,
        };
        match attempt {
            Attempt::Answered(answer) => Ok(answer),
            Attempt::NotSent(_) => Err(HttpError::Broken("closed as soon as it was open".to_owned())),
        }
    }

    async fn send_one(
        self: &Arc<Self>,
        mut sender: http1::SendRequest<Full<Bytes>>,
        mut request: Outgoing,
    ) -> Result<Attempt, HttpError> {
        if sender.ready().await.is_err() {
            return Ok(Attempt::NotSent(request));
        }
        *request.uri_mut() = self.target.path.clone();
        request.headers_mut().insert(HOST, self.target.host_header.clone());
        match sender.try_send_request(request).await {
            Ok(answer) => Ok(Attempt::Answered(answer.map(|body| Answer { body, lease: Some((self.clone(), sender)) }))),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Ok(Attempt::NotSent(unsent)),
                None => Err(HttpError::Broken(explain(error.error()))),
            },
        }
    }

    async fn send_shared(
        &self,
        mut sender: http2::SendRequest<Full<Bytes>>,
        mut request: Outgoing,
    ) -> Result<Attempt, HttpError> {
        if sender.ready().await.is_err() {
            *self.lock_shared() = None;
            return Ok(Attempt::NotSent(request));
        }
        *request.uri_mut() = self.target.uri.clone();
        request.headers_mut().remove(HOST);
        match sender.try_send_request(request).await {
            Ok(answer) => Ok(Attempt::Answered(answer.map(|body| Answer { body, lease: None }))),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Ok(Attempt::NotSent(unsent)),
                None => Err(HttpError::Broken(explain(error.error()))),
            },
        }
    }

    async fn open(&self) -> Result<Opened, HttpError> {
        let connect = |error: std::io::Error| HttpError::Connect(explain(&error));
        let stream = TcpStream::connect((self.target.host.as_str(), self.target.port)).await.map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        let Some((connector, name)) = &self.target.tls else {
            return shake_hands(stream).await.map(Opened::One);
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
        shake_hands(stream).await.map(Opened::One)
    }

    fn shared_connection(&self) -> Option<http2::SendRequest<Full<Bytes>>> {
        self.target.tls.as_ref()?;
        self.lock_shared().clone()
    }

    /// The connection that was used last: the others may then grow old and go.
    fn take_idle(&self) -> Option<http1::SendRequest<Full<Bytes>>> {
        let mut idle = self.lock_idle();
        while let Some(last) = idle.pop() {
            if last.since.elapsed() >= IDLE {
                idle.clear();
                return None;
            }
            if !last.sender.is_closed() {
                return Some(last.sender);
            }
        }
        None
    }

    fn give_back(&self, sender: http1::SendRequest<Full<Bytes>>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.lock_idle();
        let since = Instant::now();
        if idle.first().is_some_and(|first| since - first.since >= IDLE) {
            idle.retain(|idle| since - idle.since < IDLE);
        }
        if idle.len() < MOST_IDLE {
            idle.push(Idle { sender, since });
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_shared(&self) -> MutexGuard<'_, Option<http2::SendRequest<Full<Bytes>>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn shake_hands<S>(stream: S) -> Result<http1::SendRequest<Full<Bytes>>, HttpError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| HttpError::Connect(explain(&error)))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The body of an answer. Read to its end, it gives its connection back; dropped before, it closes it.
pub(crate) struct Answer {
    body: Incoming,
    lease: Option<(Arc<Pool>, http1::SendRequest<Full<Bytes>>)>,
}

impl Answer {
    fn give_back(&mut self) {
        if let Some((pool, sender)) = self.lease.take() {
            pool.give_back(sender);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}
