//! Where the life of a call meets what people have to approve: before it is sent, and before its result is given.

use std::sync::Arc;

use crate::call::{Call, Exchange, Outcome};
use crate::gateway::Gateway;
use crate::inspect::{HeldResult, Inspection};
use crate::oversight::{self, Leave, Recalled};
use crate::route::Route;
use crate::upstream::Server;

/// The answer to a call whose result waits already, and which is not made again.
pub(super) async fn recall(gateway: &Arc<Gateway>, call: &Arc<Call>, route: &Route) -> Option<Exchange> {
    let outcome = match oversight::recall(gateway, call, route).await? {
        Recalled::Given(payload) => {
            let server = &route.catalogue.server;
            gateway.env.oversight.read(
                &gateway.env,
                &call.caller,
                server.id(),
                route.tool(call),
                &payload.result,
            );
            super::crossing(gateway, call, server).outcome(Outcome::Complete(payload))
        }
        Recalled::Instead(outcome) => outcome,
    };
    super::record_own(gateway, call).finish(&outcome);
    Some(Exchange::done(outcome))
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
    let held = inspection.holds(route.params.as_ref());
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

/// Keeps what the guard holds of a result.
pub(super) struct Holding {
    gateway: Arc<Gateway>,
    inspection: Inspection,
    name: String,
}

/// A result that is to be asked about.
pub(super) struct Held<'a> {
    holding: &'a Holding,
    result: HeldResult,
}

impl Holding {
    /// For calls of which anything could be held.
    pub(super) fn of(gateway: &Arc<Gateway>, route: &Route, inspection: &Inspection) -> Option<Self> {
        let name = route.subject.clone()?;
        let (gateway, inspection) = (gateway.clone(), inspection.clone());
        inspection.may_hold().then_some(Self { gateway, inspection, name })
    }

    /// The result that is held, if it is.
    pub(super) fn take(&self) -> Option<Held<'_>> {
        Some(Held { holding: self, result: self.inspection.take_held()? })
    }
}

impl Held<'_> {
    /// What the client is told.
    pub(super) async fn ask(self, call: &Arc<Call>, server: &Arc<Server>) -> Recalled {
        let Holding { gateway, name, .. } = self.holding;
        oversight::hold(gateway, call, (server.id(), name), self.result).await
    }
}
