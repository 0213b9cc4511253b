//! Clients that do it by the book: HTTP/1.1 and HTTP/2, in clear text and over TLS; and a TLS front for a server.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::client::{Modern, initialize};
use super::{Upstream, within};

/// One connection.
pub(crate) struct Client {
    sender: Sender,
    base: String,
    /// What the server's certificate was, over TLS.
    pub(crate) peer: Option<Vec<u8>>,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) session: Option<String>,
    pub(crate) body: Value,
}

/// Which HTTP is offered in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    H1,
    H2,
}

impl Client {
    /// HTTP/2 in clear text, with prior knowledge (RFC 9113 section 3.3).
    pub(crate) async fn h2c(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await.unwrap();
        let sender = two(stream).await.unwrap();
        Self { sender: Sender::Two(sender), base: format!("http://{address}"), peer: None }
    }

    /// Over TLS.
    ///
    /// # Errors
    /// The handshake's; in TLS 1.3 a client learns only from its first request that its certificate was not liked.
    pub(crate) async fn tls(
        address: SocketAddr,
        mut config: ClientConfig,
        offer: Offer,
    ) -> std::io::Result<Self> {
        let protocol: &[u8] = if offer == Offer::H2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = within("a connection", TcpStream::connect(address)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = Box::pin(TlsConnector::from(Arc::new(config)).connect(name, stream));
        let stream = within("a handshake", connecting).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        let peer = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
        let sender = match offer {
            Offer::H1 => Sender::One(one(stream).await.map_err(std::io::Error::other)?),
            Offer::H2 => Sender::Two(two(stream).await.map_err(std::io::Error::other)?),
        };
        Ok(Self { sender, base: format!("https://localhost:{}", address.port()), peer })
    }

    /// Sends a request; the body is still to be read.
    pub(crate) async fn open(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let target = match &self.sender {
            Sender::One(_) => path.to_owned(),
            Sender::Two(_) => format!("{}{path}", self.base),
        };
        let mut request = Request::builder().method(method).uri(target);
        if let Sender::One(_) = self.sender {
            request = request.header("host", self.base.trim_start_matches("https://"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let sent = async {
            match &mut self.sender {
                Sender::One(sender) => sender.send_request(request).await,
                Sender::Two(sender) => sender.send_request(request).await,
            }
        };
        within("an answer", sent).await
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answered, hyper::Error> {
        read(self.open(method, path, headers, body).await?).await
    }

    /// A request of a 2026-07-28 client.
    pub(crate) async fn modern(&mut self, method: &str, params: Value) -> Result<Answered, hyper::Error> {
        let body = Modern::new().body(method, params);
        let headers = Modern::headers(&body);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send("POST", "/mcp", &headers, body.to_string()).await
    }

    /// A tool call of such a client; its text.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> String {
        let answered =
            self.modern("tools/call", json!({"name": tool, "arguments": arguments})).await.unwrap();
        let text = &answered.body["result"]["content"][0]["text"];
        text.as_str().unwrap_or_else(|| panic!("no text: {answered:?}")).to_owned()
    }

    /// A message of a session.
    pub(crate) async fn in_session(
        &mut self,
        session: &str,
        message: &Value,
    ) -> Result<Answered, hyper::Error> {
        let mut headers = super::gateway::JSON.to_vec();
        headers.push(("mcp-session-id", session));
        self.send("POST", "/mcp", &headers, message.to_string()).await
    }

    /// Opens a session of a 2025-11-25 client.
    pub(crate) async fn session(&mut self) -> String {
        let body = initialize("2025-11-25").to_string();
        let answered = self.send("POST", "/mcp", &super::gateway::JSON, body).await.unwrap();
        answered.session.unwrap_or_else(|| panic!("no session: {:?}", answered.body))
    }

    /// Requests can be sent at once over HTTP/2.
    pub(crate) fn twin(&self) -> Self {
        match &self.sender {
            Sender::Two(sender) => {
                Self { sender: Sender::Two(sender.clone()), base: self.base.clone(), peer: self.peer.clone() }
            }
            Sender::One(_) => panic!("HTTP/1.1 has one request at a time"),
        }
    }
}

/// Reads a body as JSON; null when it is none.
async fn read(response: Response<Incoming>) -> Result<Answered, hyper::Error> {
    let status = response.status().as_u16();
    let session = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    let body = within("a body", response.into_body().collect()).await?.to_bytes();
    Ok(Answered { status, session, body: serde_json::from_slice(&body).unwrap_or_default() })
}

async fn one(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<http1::SendRequest<Full<Bytes>>, hyper::Error> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn two(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<http2::SendRequest<Full<Bytes>>, hyper::Error> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Speaks TLS in front of a server that does not.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    /// The certificate of each client that came through, if it had one.
    pub(crate) clients: mpsc::UnboundedReceiver<Option<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Front {
    pub(crate) async fn before(upstream: &Upstream, config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = upstream.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (seen, clients) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind, seen) = (acceptor.clone(), behind.clone(), seen.clone());
                tokio::spawn(async move {
                    // Who does not like the certificate, or has none that is liked, leaves here.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let _ = seen.send(stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec()));
                    let mut server = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Self { address, clients, task }
    }

    /// Its URL under a name.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/mcp", self.address.port())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}
