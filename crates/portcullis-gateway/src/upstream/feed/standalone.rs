//! The standalone stream of a legacy conversation: what the server says outside of answers, where it has one (2025-11-25,
//! "Listening for Messages from the Server").

use std::sync::Arc;

use bytes::Bytes;
use portcullis_mcp::json::Limits as JsonLimits;
use portcullis_mcp::message::Message;
use portcullis_mcp::method::Method;

use crate::upstream::batch;
use crate::upstream::connection::{Connection, Link};
use crate::upstream::event_stream::EventStream;

/// Why there is no stream.
pub(super) enum Unopened {
    /// The server has none (405), or no such session any more (404).
    Refused { maybe_gone: bool },
    /// There was no answer.
    Failed,
}

/// Opens the stream, or goes on with it after an event.
pub(super) async fn open(
    connection: &Connection,
    last_event_id: Option<&str>,
) -> Result<EventStream, Unopened> {
    let Link::Http { link, session } = &connection.link else {
        return Err(Unopened::Refused { maybe_gone: false });
    };
    let head = connection.stream_head(session.as_ref(), last_event_id);
    let reply = link.get(connection.env.control_worker(), head).await;
    connection.listens.cancel();
    match reply {
        Ok(reply) if reply.is_stream() => {
            Ok(EventStream::new(reply.into_body(), connection.env.limits().response_bytes))
        }
        Ok(reply) if reply.status().is_client_error() || reply.status().is_success() => {
            Err(Unopened::Refused { maybe_gone: reply.status() == 404 && session.is_some() })
        }
        Ok(_) | Err(_) => Err(Unopened::Failed),
    }
}

/// Takes what the server says on the stream.
pub(super) fn hear(connection: &Arc<Connection>, said: Bytes) {
    let depth = connection.env.limits().json_depth;
    for message in batch::messages(connection.peer.revision, said, depth) {
        take(connection, message, depth);
    }
}

/// Takes one message that is part of no call.
pub(in crate::upstream) fn take(connection: &Arc<Connection>, message: Bytes, depth: usize) {
    match Message::parse(message, JsonLimits { depth }) {
        Ok(Message::Request(request)) => {
            connection.questions.take(request, &connection.respond());
        }
        Ok(Message::Notification(notification)) if notification.method == Method::Cancelled => {
            connection.questions.withdraw(notification.params.as_ref());
        }
        Ok(Message::Notification(notification)) if notification.method == Method::ElicitationComplete => {
            connection.questions.page_done(notification.params.as_ref());
        }
        Ok(Message::Notification(notification)) => connection.notice(&notification),
        Ok(Message::Response(_)) | Err(_) => {}
    }
}
