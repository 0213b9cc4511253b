//! The one way to a server, and back through the guard.
//!
//! What the server answers is handed to the inspection that came with the request before anybody else sees it. Only the
//! handshake, feeds, and what the gateway sends on nobody's behalf do without, and what they learn is read elsewhere.

use std::sync::Arc;

use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;

use super::Server;
use crate::call::{Exchange, Outcome, Refusal};
use crate::upstream::connection::{Sent, Stale};
use crate::upstream::outgoing::Outgoing;

impl Server {
    /// Sends a call. `Err` is the server's verdict that the mirrored headers do not fit its schema: the caller has to
    /// look at the schema again.
    pub(crate) async fn call(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
        out: &Outgoing,
    ) -> Result<Exchange, Outcome> {
        let inspection = out.content.inspection();
        match self.call_unread(era, conversation, out).await {
            Ok(exchange) => Ok(inspection.exchange(exchange).await),
            Err(outcome) => Err(inspection.outcome(outcome).await),
        }
    }

    /// The same, and what the server answers has not been inspected.
    async fn call_unread(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
        out: &Outgoing,
    ) -> Result<Exchange, Outcome> {
        let mut last = String::new();
        for _ in 0..2 {
            let (connection, turn) = match self.conversation(era, conversation, out).await {
                Ok(found) => found,
                Err(refusal) => return Ok(Exchange::done(refusal)),
            };
            match connection.exchange_in_turn(out, turn).await {
                Sent::Answered(exchange) => return Ok(exchange),
                Sent::Stale(Stale::Headers(outcome)) => return Err(outcome),
                Sent::Stale(Stale::Gone(why)) => {
                    // Whoever lost the session may have been replaced by something newer.
                    self.verdict.store(None);
                    self.forget(&connection);
                    last = why;
                }
                Sent::Stale(Stale::Era(why)) => {
                    self.verdict.store(None);
                    self.forget_era(&connection);
                    last = why;
                }
            }
        }
        let message = format!("server `{}`: {last}; a second attempt ended the same way", self.id);
        Ok(Exchange::done(Refusal::new(ErrorKind::UpstreamUnavailable, message)))
    }
}
