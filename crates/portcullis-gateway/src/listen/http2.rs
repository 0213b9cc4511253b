//! HTTP/2 on one client connection (RFC 9113): the library's, with our way of a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::body::{self, Body};
use super::context::Context;
use super::fields::Fields;
use super::http1::LAST_WORDS;
use super::request::Head;
use super::response::JSON;
use super::router::{self, Routed};

/// Streams of one connection at once.
const STREAMS: u32 = 256;

/// Serves a connection until it ends.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    context: &Arc<Context>,
) {
    let limits = context.gateway.env.limits_to_keep();
    let spoke = Arc::new(AtomicBool::new(false));
    let silent = silent(limits.header_read, spoke.clone());
    let leave = leave(context.gateway.draining.clone(), context.over(), spoke.clone());
    let service = {
        let context = context.clone();
        service_fn(move |request| {
            spoke.store(true, Ordering::Relaxed);
            let context = context.clone();
            async move { Ok::<_, std::convert::Infallible>(answer(&context, request).await) }
        })
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let header_bytes = limits.header_bytes.max(8 * 1024);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silent => return tracing::debug!("closed a connection that made no request in time"),
        () = leave => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}

async fn answer(context: &Arc<Context>, request: Request<Incoming>) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let head = Head {
        fields: Fields::from(&parts.headers),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        authority: parts.uri.authority().map(ToString::to_string),
        method: parts.method,
    };
    let mut response = match router::route(context, &head).await {
        Routed::Answer(response) => response,
        Routed::Post(context, post) => {
            let gateway = &context.gateway;
            let limits = gateway.env.limits_to_keep();
            let body = body::read(incoming, &post.limits(&limits), &gateway.bodies).await;
            router::post(&context, &head, post, body).await
        }
    };
    if let Body::Json(_) = response.body() {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
    }
    if head.method == Method::HEAD { without_body(response) } else { response }
}

/// What HEAD is answered: all that a GET is, except the body (RFC 9110 section 9.3.2). The library does not see to it.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let length = match body {
        Body::Whole(body) => Some(body.map_or(0, |body| body.len())),
        Body::Json(body) => Some(body.len()),
        Body::Stream(_) | Body::Complete(_) => None,
    };
    if let Some(length) = length {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

/// Ends when the connection is to be closed, or the gateway drains: a moment later for a client that has not made its first request: it is on its way, and
/// is to be answered.
async fn leave(draining: CancellationToken, over: impl Future<Output = ()>, spoke: Arc<AtomicBool>) {
    tokio::select! {
        () = draining.cancelled() => {}
        () = over => return,
    }
    if !spoke.load(Ordering::Relaxed) {
        tokio::time::sleep(LAST_WORDS).await;
    }
}

/// Ends when `time` has passed and the client still has made no request.
async fn silent(time: Duration, spoke: Arc<AtomicBool>) {
    tokio::time::sleep(time).await;
    if spoke.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
