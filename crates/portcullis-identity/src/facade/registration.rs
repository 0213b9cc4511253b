//! Clients that register themselves (RFC 7591): for older clients, off unless the operator turns it on.
//!
//! Whoever asks gets an id. So there is a pace, a bound on what is said, and an end: an hour for what nobody logs in with, and
//! three months after the last login.

use portcullis_model::Expected;
use serde_json::{Value, json};

use super::client::{Client, Kind, Proof};
use super::kept::secret;
use super::refusal::Refusal;
use super::wire::{FacadeAnswer, FacadeRequest};
use super::{CLIENTS, Facade, now};
use crate::inbound::sha256;

/// How the ids of such clients begin.
const PREFIX: &str = "dcr-";
/// Largest request, in bytes.
const LARGEST: usize = 16 * 1024;
/// How long one is kept that nobody has logged in with, in seconds.
const KEPT: u64 = 3600;
/// How long after a login, in seconds.
pub(super) const KEPT_IN_USE: u64 = 90 * 24 * 3600;

/// Whether an id is of such a client.
pub(super) fn is_one(id: &str) -> bool {
    id.starts_with(PREFIX) && id.len() == PREFIX.len() + 43
}

impl Facade {
    pub(super) async fn register(&self, request: &FacadeRequest<'_>) -> FacadeAnswer {
        match self.registered(request).await {
            Ok(answer) => answer,
            Err(refusal) => FacadeAnswer::error(&refusal),
        }
    }

    async fn registered(&self, request: &FacadeRequest<'_>) -> Result<FacadeAnswer, Refusal> {
        if !self.registrations.allows(request.peer, None) {
            return Err(Refusal::too_often());
        }
        let bad = |reason| Refusal::new(400, "invalid_client_metadata", reason);
        if request.body.len() > LARGEST {
            return Err(bad("the registration is too large"));
        }
        let metadata = serde_json::from_slice::<Value>(request.body).ok().filter(Value::is_object);
        let metadata = metadata.ok_or(bad("the body is no JSON object"))?;
        let id = format!("{PREFIX}{}", secret());
        let mut client = Client::read(id, Kind::Registered, &metadata)?;
        let method = metadata["token_endpoint_auth_method"].as_str().unwrap_or("client_secret_basic");
        let given = match method {
            "none" => None,
            "client_secret_basic" | "client_secret_post" => Some(secret()),
            _ => return Err(bad("the way to authenticate is not known here; `none` is")),
        };
        if let Some(secret) = &given {
            client.proof = Proof::Secret(sha256(secret.as_bytes()));
        }
        let now = now();
        self.kept.put(CLIENTS, &client.id, &client, now + KEPT, Expected::Absent).await?;
        let mut answer = json!({
            "client_id": client.id,
            "client_id_issued_at": now,
            "client_name": client.name,
            "redirect_uris": client.redirect_uris,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
            "dpop_bound_access_tokens": client.bound,
        });
        if let Some(secret) = given {
            answer["client_secret"] = json!(secret);
            // The client ends, not the secret.
            answer["client_secret_expires_at"] = json!(0);
        }
        Ok(FacadeAnswer::json(201, &answer))
    }
}
