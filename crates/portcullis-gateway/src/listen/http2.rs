//! HTTP/2 on one client connection (RFC 9113): the library's, with our way of a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

    let mut response = match router::route(context, &head) {
        Routed::Answer(response) => response,
        Routed::Post(post) => {
            let gateway = &context.gateway;
            let body = body::read(incoming, &gateway.env.limits(), &gateway.bodies).await;
            router::post(context, &head, post, body).await
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
        Body::Stream(_) => None,
    };
    if let Some(length) = length {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

/// Ends when the gateway drains, a moment later for a client that has not made its first request: it is on its way, and
/// is to be answered.
async fn leave(draining: CancellationToken, spoke: Arc<AtomicBool>) {
    draining.cancelled().await;
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
