//! Where the life of a call meets what people have decided: before it is sent, and before its result is given.

use std::sync::Arc;

use portcullis_mcp::translate::Payload;

use super::patience::Stop;
use crate::call::{Call, Exchange, Outcome};
use crate::gateway::Gateway;
use crate::inspect::Inspection;
use crate::oversight::{self, Leave, Recalled};
use crate::route::Route;
use crate::tasks;
use crate::upstream::Server;

/// The answer to a call whose result waits already, and which is not made again.
pub(super) async fn recall(gateway: &Arc<Gateway>, call: &Arc<Call>, route: &Route) -> Option<Exchange> {
    let outcome = match oversight::recall(gateway, call, route).await? {
        Recalled::Given(payload) => {
            let server = &route.catalogue.server;
            let payload = super::crossing(gateway, call, server).payload(&payload);
            Outcome::Complete(given(gateway, call, server, route.tool(call), payload).await)
        }
        Recalled::Instead(outcome) => outcome,
    };
    super::record_own(gateway, call).finish(&outcome);
    let exchange = Exchange::done(outcome);
    let plan = tasks::plan(gateway, call, route);
    if !plan.wants_task() {
        return Some(exchange);
    }
    let (call, server) = (call.clone(), route.catalogue.server.clone());
    let crossing = super::crossing(gateway, &call, &server);
    Some(Box::pin(tasks::receive(gateway, call, server, crossing, &plan, exchange, ())).await)
}

/// A result that its client is about to get: what it says of itself counts as read, and it brings the handle of its
/// conversation.
async fn given(
    gateway: &Gateway,
    call: &Call,
    server: &Server,
    tool: Option<&str>,
    payload: Payload,
) -> Payload {
    gateway.env.oversight.read(gateway, call, server.id(), tool, payload.result.raw());
    oversight::handing(gateway, call, payload).await
}

/// Whether the call may be made, with what the guard holds of it.
///
/// # Errors
/// Why not, or the question whether it may.
pub(super) async fn leave(
    gateway: &Gateway,
    call: &Arc<Call>,
    route: &mut Route,
    inspection: &Inspection,
) -> Result<(), Outcome> {
    let held = inspection.holds(route.params.as_ref()).await;
    let outcome = match oversight::leave(gateway, call, route, held.as_ref()).await {
        Leave::Given => {
            if held.is_some() {
                inspection.release();
            }
            return Ok(());
        }
        Leave::Refused(refusal) => refusal.into(),
        Leave::Asked(outcome) => outcome,
    };
    if let Some(held) = &held {
        inspection.note(held);
    }
    Err(outcome)
}

/// What is done to a result before its client gets it, where anything is decided about calls.
pub(super) struct Holding {
    gateway: Arc<Gateway>,
    inspection: Inspection,
    name: Option<String>,
}

impl Holding {
    pub(super) fn of(gateway: &Arc<Gateway>, route: &Route, inspection: &Inspection) -> Option<Self> {
        let (gateway, inspection) = (gateway.clone(), inspection.clone());
        gateway.env.oversight.asks().then(|| Self { gateway, inspection, name: route.subject.clone() })
    }

    /// Keeps a result that the guard holds, and asks for its approval.
    pub(super) async fn hold(&self, of: &Stop) -> Option<Recalled> {
        let (held, name) = (self.inspection.take_held()?, self.name.as_deref()?);
        Some(oversight::hold(&self.gateway, &of.call, (of.server.id(), name), held).await)
    }

    /// The result as its client gets it.
    pub(super) async fn given(&self, of: &Stop, payload: Payload) -> Payload {
        given(&self.gateway, &of.call, &of.server, of.tool.as_deref(), payload).await
    }
}
