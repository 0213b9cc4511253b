//! The standalone stream of a legacy conversation that carries no feed: one in which clients' capabilities were declared.
//!
//! Now and then a question arrives there, and changes of lists do too. Optional for the server (405 means that it has none)
//! and for us.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderValue;
use http_body_util::BodyExt as _;
use portcullis_mcp::json::Limits as JsonLimits;
use portcullis_mcp::message::Message;
use portcullis_mcp::method::Method;
use portcullis_mcp::sse;

use crate::upstream::connection::{Connection, Link};
use crate::upstream::http::Head;

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Follows the stream for as long as the connection lives. Must run on the control runtime.
pub(in crate::upstream) fn follow_sibling(connection: &Arc<Connection>) {
    let connection = Arc::downgrade(connection);
    tokio::spawn(async move {
        let mut pause = SHORTEST_PAUSE;
        let mut last_event_id = None;
        while let Some(followed) = read(&connection, &mut last_event_id).await {
            pause = if followed { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::time::sleep(pause).await;
        }
    });
}

/// Reads one stream to its end; says whether there was one, or `None` when there is no use in trying again.
async fn read(connection: &Weak<Connection>, last_event_id: &mut Option<String>) -> Option<bool> {
    let (mut body, limits) = {
        let connection = connection.upgrade()?;
        let Link::Http { link, session } = &connection.link else { return None };
        let head = Head {
            revision: connection.version_header(),
            session: session.as_ref(),
            last_event_id: last_event_id.as_ref().and_then(|id| HeaderValue::try_from(id.as_str()).ok()),
            ..Head::default()
        };
        let reply = link.get(connection.env.control_worker(), head).await;
        connection.listens.cancel();
        match reply {
            Ok(reply) if reply.is_stream() => (reply.into_body(), connection.env.limits()),
            // No such stream (405), or no such session any more.
            Ok(reply) if reply.status().is_client_error() || reply.status().is_success() => return None,
            Ok(_) | Err(_) => return Some(false),
        }
    };
    let mut decoder = sse::Decoder::new(limits.response_bytes);
    loop {
        // The stream may be silent for hours: it must not keep a connection alive that nobody else holds.
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = dropped(connection) => return None,
        };
        let Some(Ok(frame)) = frame else { return Some(true) };
        if let Some(data) = frame.data_ref() {
            decoder.push(data);
        }
        while let Some(event) = decoder.next() {
            let Ok(event) = event else { return Some(true) };
            *last_event_id = decoder.last_event_id().map(str::to_owned);
            let depth = JsonLimits { depth: limits.json_depth };
            let connection = connection.upgrade()?;
            match Message::parse(event.data, depth) {
                Ok(Message::Request(request)) => {
                    connection.questions.take(request, &connection.respond());
                }
                Ok(Message::Notification(notification)) if notification.method == Method::Cancelled => {
                    connection.questions.withdraw(notification.params.as_ref());
                }
                Ok(Message::Notification(notification)) => {
                    connection.notice(&notification);
                }
                _ => {}
            }
        }
    }
}

async fn dropped(connection: &Weak<Connection>) {
    while connection.strong_count() > 0 {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
