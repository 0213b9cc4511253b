//! Whether the server of an open conversation still answers, asked by MCP itself.
//!
//! What it answers does not matter, only that it does: an error is an answer. To be asked is no use of a conversation, so one
//! that is idle stays so.

use std::sync::Arc;

use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;

use super::channel::{Lost, Wants};
use super::connection::{Connection, Link, Sent, encode};
use super::outgoing::Outgoing;
use crate::call::Outcome;

impl Connection {
    /// The question that a server of the conversation's era has for this.
    pub(super) fn question(&self) -> Method {
        match self.era() {
            Era::Modern => Method::Discover,
            Era::Legacy => Method::Ping,
        }
    }

    /// Waits for an answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn answers(self: &Arc<Self>) -> Result<(), String> {
        let out = Outgoing::internal(self.env.control_worker(), self.question(), None);
        let id = self.next_id();
        let Link::Channel(channel) = &self.link else {
            return match self.send(id, &out).await {
                Sent::Answered(exchange) => match exchange.outcome().await {
                    Outcome::Refused(refusal) => Err(refusal.message),
                    _ => Ok(()),
                },
                Sent::Stale(_) => Err(format!("server `{}` does not know the conversation", self.server)),
            };
        };
        let lost = |lost: Lost| lost.into_refusal(&self.server).message;
        let message = encode(id, &out.method, self.params(id, &out).as_ref());
        let mut ticket = channel.begin(id, message, Wants::default()).await.map_err(lost)?;
        ticket.answer().await.map(drop).map_err(lost)
    }
}
