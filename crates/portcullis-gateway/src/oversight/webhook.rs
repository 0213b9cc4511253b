//! Somebody outside is asked about a call that waits for an operator, once, and may answer at once.
//!
//! What is posted is JSON, with a bearer token; what comes back is `{"approved": true, "by": "…"}` or false. Any other
//! answer, or none in time, decides nothing: the call goes on waiting, and can be granted by command.

use std::sync::Arc;

use portcullis_config as config;
use portcullis_identity::{Fetch, Form, Trust, Wanted};
use portcullis_mcp::json::Raw;
use portcullis_oversight::{Approval, canonical};
use serde_json::{Value, json};

/// Largest answer that is read, in bytes.
const LARGEST: usize = 16 << 10;

/// Whom to ask.
pub(super) struct Webhook {
    url: String,
    authorization: String,
    outside: Arc<dyn Fetch>,
}

impl Webhook {
    pub(super) fn of(webhook: &config::Webhook) -> Option<Self> {
        let outside = crate::identity::outside(webhook.ca.as_deref());
        let outside =
            outside.inspect_err(|error| tracing::error!(%error, "`approvals.webhook` cannot be asked"));
        let authorization = webhook.token.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let authorization = authorization.unwrap_or_default();
        Some(Self { url: webhook.url.clone(), authorization, outside: outside.ok()? })
    }

    /// What is said about a call, and by whom.
    pub(super) async fn ask(&self, approval: &Approval, arguments: Option<&Raw>) -> Option<(bool, String)> {
        let arguments =
            arguments.and_then(|arguments| serde_json::from_str::<Value>(&canonical(arguments)).ok());
        let body = json!({
            "id": approval.id,
            "principal": approval.principal,
            "server": approval.server,
            "name": approval.name,
            "matter": approval.matter,
            "why": approval.why,
            "arguments": arguments,
            "until_ms": approval.until,
        });
        let authorization = self.authorization.clone();
        let form = Form { body: body.to_string(), json: true, authorization, ..Form::default() };
        let fetched = self.outside.fetch(Wanted::post(&self.url, Trust::Configured, form, LARGEST)).await;
        let fetched =
            fetched.inspect_err(|error| tracing::warn!(%error, "`approvals.webhook` gave no answer"));
        let said: Value = serde_json::from_slice(&fetched.ok()?.body).ok()?;
        let by = said["by"].as_str().unwrap_or("unnamed");
        Some((said["approved"].as_bool()?, format!("webhook:{by:.100}")))
    }
}
