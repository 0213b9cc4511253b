//! `resources/subscribe` and `resources/unsubscribe` of a session (until 2025-11-25).

use std::sync::Arc;

use portcullis_mcp::json::Raw;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_model::ErrorKind;

use super::{Subscriber, accept};
use crate::admit::admit;
use crate::call::{Call, Exchange, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::pipeline::record_own;
use crate::route;

/// Answers either method.
pub(crate) async fn session_request(
    gateway: &Gateway,
    subscriber: &Arc<Subscriber>,
    call: Arc<Call>,
) -> Exchange {
    let admitted = match admit(call, &gateway.under_way, &gateway.env.limits()) {
        Ok(admitted) => admitted,
        Err((call, refusal)) => {
            let outcome = Outcome::Refused(refusal);
            record_own(gateway, &call).finish(&outcome);
            return Exchange::done(outcome);
        }
    };
    let recorder = record_own(gateway, &admitted);
    let outcome = match answer(gateway, subscriber, &admitted).await {
        Ok(()) => Outcome::Complete(Payload { result: Raw::from_static("{}").into(), era: Era::Legacy }),
        Err(refusal) => Outcome::Refused(refusal),
    };
    recorder.finish(&outcome);
    Exchange::done(outcome)
}

async fn answer(gateway: &Gateway, subscriber: &Arc<Subscriber>, call: &Call) -> Result<(), Refusal> {
    let offered = route::offered(gateway, &call.endpoint, &call.caller).await?;
    if !offered.subscribe {
        let message = format!("there is no method `{}` here", call.method);
        return Err(Refusal::new(ErrorKind::UnknownMethod, message));
    }
    let uri = call.params.as_ref().and_then(|params| params.find_string("uri"));
    let uri = uri.ok_or_else(|| Refusal::new(ErrorKind::InvalidParams, "`params.uri` must be a string"))?;
    if call.method == Method::ResourcesUnsubscribe {
        subscriber.unsubscribe(&uri);
        return Ok(());
    }
    accept::subscribe(gateway, subscriber, &uri).await
}
