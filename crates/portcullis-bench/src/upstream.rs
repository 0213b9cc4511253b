//! `portcullis-bench upstream`: a minimal, fast MCP server to put behind whatever is measured.
//!
//! One current-thread runtime, keep-alive connections, `TCP_NODELAY`, and answers whose constant parts are
//! rendered once: the upstream must not be what limits a run. It speaks both eras on one endpoint, and it is
//! strict where a careless gateway would slip: modern headers are compared with the body, a legacy session
//! that it minted is required back. One tool, offered on demand, asks its client in the middle of the call. What it
//! leaves out: paging, notifications, standalone streams, authorization.

mod asking;
mod body;
mod catalogue;
mod rpc;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use self::body::Body;
pub(crate) use self::catalogue::CHANGES;
use self::catalogue::Catalogue;
use self::rpc::{Headers, Reply, Server};
use crate::wire::SESSION_HEADER;

/// More than any bench request needs, in bytes.
const BODY_LIMIT: usize = 4 << 20;

/// What to serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1; 0 takes a free one. The endpoint is printed on standard output.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Number of tools of each server, named tool_01, tool_02 …
    #[arg(long, default_value_t = 20)]
    tools: usize,
    /// Name that the server reports of itself.
    #[arg(long, default_value = "bench")]
    name: String,
    /// Besides /mcp, serve this many servers at /s1/mcp, /s2/mcp …, each with its own tools.
    #[arg(long, value_name = "N", default_value_t = 0)]
    serve_many: usize,
    /// Give every legacy client a session id at `initialize` and require it afterwards.
    #[arg(long)]
    sessions: bool,
    /// Offer one more tool, `ask`, which asks its client for a value. Implies --sessions: answers need one.
    #[arg(long)]
    asks: bool,
}

/// Serves until the process is ended.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let servers = Arc::new(servers(options));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        println!("http://{}/mcp", listener.local_addr()?);
        accept(&listener, &servers).await
    })
}

/// Every server by the path of its endpoint.
fn servers(options: &Options) -> HashMap<String, Server> {
    let catalogue = Catalogue::new(options.tools, options.asks);
    let server = |name: &str| Server::new(name, catalogue.clone(), options.sessions || options.asks);
    let many = (1..=options.serve_many)
        .map(|number| (format!("/s{number}/mcp"), server(&format!("{}-{number}", options.name))));
    many.chain([("/mcp".to_owned(), server(&options.name))]).collect()
}

async fn accept(listener: &TcpListener, servers: &Arc<HashMap<String, Server>>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept a connection")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        tokio::spawn(serve(stream, Arc::clone(servers)));
    }
}

/// Serves one connection; an error on it is the peer's business and shows in the peer's own figures.
async fn serve(stream: TcpStream, servers: Arc<HashMap<String, Server>>) {
    let service = service_fn(move |request| {
        let servers = Arc::clone(&servers);
        async move { Ok::<_, Infallible>(handle(request, &servers).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await
        && !error.is_incomplete_message()
    {
        eprintln!("connection ended: {error}");
    }
}

async fn handle(request: Request<Incoming>, servers: &HashMap<String, Server>) -> Response<Body> {
    let Some(server) = servers.get(request.uri().path()) else {
        return empty(StatusCode::NOT_FOUND);
    };
    if request.method() != Method::POST {
        let mut refusal = empty(StatusCode::METHOD_NOT_ALLOWED);
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return refusal;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return empty(StatusCode::PAYLOAD_TOO_LARGE);
    };
    respond(server.answer(&headers(&parts.headers), &body.to_bytes()))
}

fn headers(map: &HeaderMap) -> Headers<'_> {
    let text = |name: &str| map.get(name).and_then(|value| value.to_str().ok());
    Headers {
        version: text("mcp-protocol-version"),
        method: text("mcp-method"),
        name: text("mcp-name"),
        session: text(SESSION_HEADER),
    }
}

fn respond(reply: Reply) -> Response<Body> {
    let media = if reply.then.is_some() { "text/event-stream" } else { "application/json" };
    let mut response = Response::new(Body::new(reply.body, reply.then));
    *response.status_mut() = reply.status;
    if reply.status != StatusCode::ACCEPTED {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    }
    if let Some(session) = reply.session {
        let value = HeaderValue::from_str(&session).expect("session ids are ASCII letters and digits");
        response.headers_mut().insert(SESSION_HEADER, value);
    }
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::new(String::new(), None));
    *response.status_mut() = status;
    response
}
