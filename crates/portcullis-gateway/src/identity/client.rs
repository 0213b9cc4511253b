//! The HTTP client with which identity providers are asked: one request for each connection, and nobody else's.
//!
//! It follows no redirect, sends no cookie, heeds no proxy of the environment, takes an answer of bounded size within a
//! bounded time. An address that was only learned from a document must be `https` on its usual port, and lead to the public
//! internet: names are resolved here, and the addresses that were looked at are those that are connected to, so that a
//! name which means something else a moment later changes nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis_config::UpstreamTls;
use portcullis_identity::doctor::{Asking, Probe, Question, Told};
use portcullis_identity::{Fetch, FetchError, Fetched, Fetching, Trust, Wanted, is_global};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::bounded::{self, Unread};
use crate::upstream::TlsError;
use crate::upstream::tls::client_config;

/// From the first question for a name to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// For one address to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Largest answer that a doctor looks at, in bytes.
const MOST_TOLD: usize = 256 * 1024;
/// Addresses of one name that are tried.
const TRIES: usize = 4;

/// Asks the outside.
pub(super) struct Outside(Arc<ClientConfig>);

impl Outside {
    /// A client that trusts the authorities of a file, or those of the system.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        let settings = UpstreamTls { ca: ca.map(Path::to_owned), ..UpstreamTls::default() };
        let mut config = client_config(&settings)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl Fetch for Outside {
    fn fetch(&self, wanted: Wanted) -> Fetching {
        let tls = self.0.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(PATIENCE, ask(tls, wanted));
            asked.await.unwrap_or_else(|_| Err(failed("it took too long")))
        })
    }
}

/// What a doctor asks is the operator's own doing: anything may be asked, and any answer tells something.
impl Probe for Outside {
    fn send(&self, question: Question) -> Asking {
        let tls = self.0.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(PATIENCE, tell(tls, question));
            match asked.await {
                Ok(told) => told.map_err(|error| error.to_string()),
                Err(_) => Err("it took too long".to_owned()),
            }
        })
    }
}

async fn tell(tls: Arc<ClientConfig>, question: Question) -> Result<Told, FetchError> {
    let wanted = Wanted::get(&question.url, Trust::Configured, MOST_TOLD);
    let place = Place::read(&wanted)?;
    let mut builder = Request::builder()
        .uri(place.path.as_str())
        .header(HOST, place.authority.as_str())
        .header(ACCEPT, "application/json, text/event-stream, text/html;q=0.5");
    if let Some(authorization) = &question.authorization {
        let mut value = HeaderValue::try_from(authorization).map_err(|_| failed("no such credentials"))?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    let request = match question.post {
        Some((media, text)) => builder.method("POST").header(CONTENT_TYPE, media).body(Full::from(text)),
        None => builder.method("GET").body(Full::default()),
    };
    let request = request.map_err(|error| failed(&error.to_string()))?;
    let stream = connect(&place).await?;
    if !place.secure {
        return converse(stream, request, read_any).await;
    }
    let name = ServerName::try_from(place.host.clone()).map_err(|_| failed("no server name"))?;
    let stream = TlsConnector::from(tls).connect(name, stream).await;
    converse(stream.map_err(|error| failed(&error.to_string()))?, request, read_any).await
}

/// Status, fields, and the beginning of what comes: a stream without end is cut.
async fn read_any(response: Response<Incoming>) -> Result<Told, FetchError> {
    let status = response.status().as_u16();
    let fields = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let fields = fields.collect();
    let is_stream = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
    if is_stream {
        return Ok(Told { status, fields, body: Vec::new() });
    }
    match bounded::collect(response.into_body(), MOST_TOLD).await {
        Ok(body) => Ok(Told { status, fields, body: body.to_vec() }),
        Err(Unread::TooLarge) => Ok(Told { status, fields, body: Vec::new() }),
        Err(Unread::Broken(error)) => Err(failed(&error.to_string())),
    }
}

async fn ask(tls: Arc<ClientConfig>, wanted: Wanted) -> Result<Fetched, FetchError> {
    let place = Place::read(&wanted)?;
    let stream = connect(&place).await?;
    if !place.secure {
        return exchange(stream, &place, wanted).await;
    }
    let name = ServerName::try_from(place.host.clone()).map_err(|_| failed("no server name"))?;
    let stream = TlsConnector::from(tls).connect(name, stream).await;
    exchange(stream.map_err(|error| failed(&error.to_string()))?, &place, wanted).await
}

/// Where a URL leads.
struct Place {
    secure: bool,
    host: String,
    port: u16,
    /// What `Host` says.
    authority: String,
    path: String,
    trust: Trust,
}

impl Place {
    fn read(wanted: &Wanted) -> Result<Self, FetchError> {
        let url: Uri = wanted.url.parse().map_err(|_| FetchError::Forbidden("not a URL"))?;
        let authority = url.authority().ok_or(FetchError::Forbidden("not an absolute URL"))?;
        let secure = match url.scheme_str() {
            Some("https") => true,
            Some("http") if wanted.trust == Trust::Configured => false,
            _ => return Err(FetchError::Forbidden("not an `https` URL")),
        };
        if authority.as_str().contains('@') {
            return Err(FetchError::Forbidden("a URL with a user"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let usual = if secure { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(usual);
        if wanted.trust == Trust::Learned {
            if port != usual {
                return Err(FetchError::Forbidden("an unusual port that a document names"));
            }
            if host.parse::<IpAddr>().is_ok() || host.ends_with('.') {
                return Err(FetchError::Forbidden("an address that a document names in place of a host"));
            }
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { secure, host, port, authority: authority.to_string(), path, trust: wanted.trust })
    }

    fn may_be(&self, address: IpAddr) -> bool {
        self.trust == Trust::Configured || is_global(address)
    }
}

async fn connect(place: &Place) -> Result<TcpStream, FetchError> {
    let find = async |host: &str, port| Ok(tokio::net::lookup_host((host, port)).await?.collect());
    reach(place, find, async |address| TcpStream::connect(address).await).await
}

/// Asks for the addresses of a name once, and connects to one of those that were looked at.
async fn reach<S>(
    place: &Place,
    find: impl AsyncFnOnce(&str, u16) -> io::Result<Vec<SocketAddr>>,
    dial: impl AsyncFn(SocketAddr) -> io::Result<S>,
) -> Result<S, FetchError> {
    let found = find(&place.host, place.port).await.map_err(|error| failed(&error.to_string()))?;
    let allowed = found.iter().filter(|address| place.may_be(address.ip())).take(TRIES);
    let mut last = FetchError::Forbidden("a document names a host that is not on the public internet");
    for address in allowed {
        match tokio::time::timeout(CONNECT, dial(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = failed(&error.to_string()),
            Err(_) => last = failed("no connection in time"),
        }
    }
    Err(last)
}

async fn exchange<S>(stream: S, place: &Place, wanted: Wanted) -> Result<Fetched, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (most, any_status) = (wanted.most, wanted.any_status);
    let request = request(place, wanted)?;
    converse(stream, request, move |response| read(response, most, any_status)).await
}

/// One request and its answer.
async fn converse<S, T, R>(
    stream: S,
    request: Request<Full<Bytes>>,
    read: impl FnOnce(Response<Incoming>) -> R,
) -> Result<T, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Future<Output = Result<T, FetchError>>,
{
    let broke = |error: hyper::Error| failed(&error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    // Both at once: the connection ends when the answer has been read or is given up.
    let answer = async move {
        let response = sender.send_request(request).await.map_err(broke)?;
        read(response).await
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended.map_err(broke)?;
            answer.await
        }
    }
}

fn request(place: &Place, wanted: Wanted) -> Result<Request<Full<Bytes>>, FetchError> {
    let builder = Request::builder()
        .uri(place.path.as_str())
        .header(HOST, place.authority.as_str())
        .header(ACCEPT, "application/json");
    let request = match wanted.form {
        None => builder.method("GET").body(Full::default()),
        Some(form) => {
            let mut builder = builder;
            let media = if form.json { "application/json" } else { "application/x-www-form-urlencoded" };
            if !form.authorization.is_empty() {
                let mut authorization =
                    HeaderValue::try_from(form.authorization).map_err(|_| failed("no such credentials"))?;
                authorization.set_sensitive(true);
                builder = builder.header(AUTHORIZATION, authorization);
            }
            if let Some(proof) = form.proof {
                builder = builder.header("dpop", proof);
            }
            if form.body.is_empty() {
                builder.method("GET").body(Full::default())
            } else {
                builder.method("POST").header(CONTENT_TYPE, media).body(Full::from(form.body))
            }
        }
    };
    request.map_err(|error| failed(&error.to_string()))
}

async fn read(response: Response<Incoming>, most: usize, any_status: bool) -> Result<Fetched, FetchError> {
    if response.status() != StatusCode::OK && !any_status {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let max_age = response.headers().get(CACHE_CONTROL).and_then(|value| max_age(value.to_str().ok()?));
    let (status, nonce) = (response.status().as_u16(), response.headers().get("dpop-nonce"));
    let nonce = nonce.and_then(|nonce| nonce.to_str().ok()).map(str::to_owned);
    match bounded::collect(response.into_body(), most).await {
        Ok(body) => Ok(Fetched { status, body: body.to_vec(), max_age, nonce }),
        Err(Unread::TooLarge) => Err(FetchError::TooLarge),
        Err(Unread::Broken(error)) => Err(failed(&error.to_string())),
    }
}

fn max_age(value: &str) -> Option<Duration> {
    let mut directives = value.split(',').map(str::trim);
    let seconds = directives.find_map(|it| it.strip_prefix("max-age="))?;
    Some(Duration::from_secs(seconds.trim_matches('"').parse().ok()?))
}

fn failed(why: &str) -> FetchError {
    FetchError::Failed(why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    fn place(url: &str, trust: Trust) -> Result<Place, FetchError> {
        Place::read(&Wanted::get(url, trust, 1))
    }

    #[test]
    fn a_document_cannot_send_it_inside() {
        for url in [
            "http://idp.example.com/keys",
            "https://10.0.0.1/keys",
            "https://[::1]/keys",
            "https://localhost./keys",
            "https://idp.example.com:8443/keys",
            "https://user@idp.example.com/keys",
            "file:///etc/passwd",
            "ftp://idp.example.com/",
            "/keys",
        ] {
            assert!(matches!(place(url, Trust::Learned), Err(FetchError::Forbidden(_))), "{url}");
        }
        assert!(place("https://idp.example.com/keys", Trust::Learned).is_ok());
        assert!(place("http://127.0.0.1:8080/keys", Trust::Configured).is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        // Whatever form of the name the system's resolver understands: the address decides.
        for host in ["localhost", "127.1", "0x7f.1", "2130706433"] {
            let place = Place { host: host.into(), ..place("https://h/keys", Trust::Learned).unwrap() };
            assert!(connect(&place).await.is_err(), "{host}");
        }
        let place = Place { host: "localhost".into(), ..place("https://h/keys", Trust::Learned).unwrap() };
        assert!(matches!(connect(&place).await, Err(FetchError::Forbidden(_))));
    }

    /// A name that leads to the internet when it is looked at, and inside ever after (DNS rebinding).
    #[tokio::test]
    async fn what_was_looked_at_is_what_is_connected_to() {
        let (global, inside) = ("8.8.8.8:443", "127.0.0.1:443");
        let parse = |addresses: &[&str]| addresses.iter().map(|it| it.parse().unwrap()).collect::<Vec<_>>();
        for (first, expected) in [
            (vec![global], vec![global]),
            (vec![inside, global, "[::ffff:10.0.0.1]:443"], vec![global]),
            (vec![inside], vec![]),
            (vec!["[2002:7f00:1::]:443", "[64:ff9b::7f00:1]:443", "[fd00::1]:443"], vec![]),
        ] {
            let (asked, dialed) = (Cell::new(0), RefCell::new(Vec::new()));
            let find = async |host: &str, port: u16| {
                assert_eq!((host, port), ("rebinds.example", 443));
                asked.set(asked.get() + 1);
                Ok(if asked.get() == 1 { parse(&first) } else { parse(&[inside]) })
            };
            let dial = async |address: SocketAddr| -> io::Result<()> {
                dialed.borrow_mut().push(address);
                Err(io::Error::other("nobody is there"))
            };
            let place = place("https://rebinds.example/keys", Trust::Learned).unwrap();
            let reached = reach(&place, find, dial).await;
            assert_eq!(matches!(reached, Err(FetchError::Forbidden(_))), expected.is_empty(), "{reached:?}");
            assert_eq!((asked.get(), dialed.take()), (1, parse(&expected)), "{first:?}");
        }
    }

    #[test]
    fn reads_how_long_an_answer_may_be_kept() {
        for (value, seconds) in
            [("max-age=60", Some(60)), ("public, max-age=\"7\"", Some(7)), ("no-store", None)]
        {
            assert_eq!(max_age(value), seconds.map(Duration::from_secs));
        }
    }
}
