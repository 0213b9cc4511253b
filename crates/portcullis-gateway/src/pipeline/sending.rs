//! A call on its way to its server, once everything is settled.

use std::time::Duration;

use portcullis_mcp::json::Raw;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;

use crate::call::{Call, Exchange, Outcome};
use crate::route::{self, ListKind, Route, Variant};
use crate::upstream::{Outgoing, Server};

/// Sends the call; when the server finds that the mirrored headers do not fit its schema, the schema is fetched again
/// and the call sent once more (the first was refused before it was carried out).
pub(super) async fn send(call: &Call, route: &Route, out: &mut Outgoing) -> Exchange {
    let server = &route.catalogue.server;
    let era = call.caller.revision.era();
    if route.connects {
        Box::pin(server.until_connected(CONNECTING.min(server.settings().call_timeout / 2))).await;
    }
    if route.connecting {
        return Exchange::done(Box::pin(connect(server, era)).await);
    }
    let refused = match server.call(era, &call.caller.conversation, out).await {
        Ok(exchange) => return exchange,
        Err(outcome) => outcome,
    };
    tracing::info!(server.id = %server.id(), "the server refused mirrored headers; fetching its tools again");
    let variant = Variant::of(&call.caller);
    let fetched = route.catalogue.refetch(ListKind::Tools, variant).await;
    let (Ok(listing), Some(name)) = (fetched, &route.subject) else { return Exchange::done(refused) };
    // What the new schema says may not be what was approved.
    if let Some(refusal) = route::held(&route.catalogue, variant, ListKind::Tools, name) {
        return Exchange::done(refusal);
    }
    if let Some(mirror) = listing.find(name).and_then(|item| item.mirror.as_ref()) {
        let arguments = out.content.params().and_then(|params| params.find("arguments"));
        out.mirrored = mirror.headers(arguments.as_ref()).into_iter().collect();
    } else {
        out.mirrored.clear();
    }
    server.call(era, &call.caller.conversation, out).await.unwrap_or_else(Exchange::done)
}

/// A user who comes back from a page may still be at it for so long.
const CONNECTING: Duration = Duration::from_mins(1);

/// Answers the call of the tool that leads to an account.
async fn connect(server: &Server, era: Era) -> Outcome {
    match server.is_connected().await {
        Ok(()) => {
            let result = Raw::from_static(match era {
                Era::Modern => {
                    r#"{"content":[{"type":"text","text":"An account is connected. List the tools again."}],"resultType":"complete"}"#
                }
                Era::Legacy => {
                    r#"{"content":[{"type":"text","text":"An account is connected. List the tools again."}]}"#
                }
            });
            Outcome::Complete(Payload { result: result.into(), era })
        }
        Err(refusal) => refusal.into(),
    }
}
