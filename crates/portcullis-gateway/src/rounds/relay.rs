//! Modern clients before modern servers, and the one thing that a legacy server says like them.
//!
//! The server's `requestState` goes to the client inside a sealed one and comes back byte for byte; a server that gives
//! none gets none. Answers pass as they are. A legacy server that sends the user to a web page first (-32042) has ended the
//! call: the client is told in its own era, and when it comes back the call is made again.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Object, Raw};
use portcullis_mcp::message::RpcError;
use portcullis_mcp::method::Method;
use portcullis_mcp::translate::{input_requests, input_required};
use portcullis_model::ErrorKind;
use portcullis_oversight::server_of;

use super::state::{Identity, State, refuse};
use super::{RESPONSES, STATE};
use crate::call::{Call, Outcome, Refusal};
use crate::seal::{ROTATION, Sealer};
use crate::upstream::Server;

/// The params to send to a server for a call that brings a state back.
///
/// # Errors
/// The state is of no use here, or the user did not agree.
pub(crate) fn reopen(
    sealer: &Sealer,
    call: &Arc<Call>,
    server: &Server,
    params: &Object,
) -> Result<Option<Raw>, Refusal> {
    let Some(state) = params.find(STATE) else { return Ok(None) };
    let elsewhere = || refuse("was given for another server");
    match Identity::of(call).open(sealer, &state)? {
        State::Relayed { whose, inner } if whose == *server.scope() || *whose == *server.id().as_str() => {
            Ok(Some(params.with(&[(STATE, Change::Set(inner.as_bytes()))])))
        }
        // Also of another version, where the one that sent them there is gone by then.
        State::Visited { whose } if server_of(&whose) == server.id().as_str() => {
            if !agreed(params) {
                let message = "the user did not agree to open the page that the server needs";
                return Err(Refusal::new(ErrorKind::InputRefused, message));
            }
            Ok(Some(params.with(&[(STATE, Change::Remove), (RESPONSES, Change::Remove)])))
        }
        State::Parked(_) | State::Asked { .. } => Err(refuse("was used already")),
        State::Relayed { .. } | State::Visited { .. } => Err(elsewhere()),
    }
}

/// Whether no answer says anything but yes.
fn agreed(params: &Object) -> bool {
    let Some(responses) = params.find(RESPONSES) else { return true };
    responses
        .members()
        .all(|member| member.value().find("action").is_none_or(|action| action.is_text("accept")))
}

/// What is needed to speak of rounds to a modern client.
pub(crate) struct Wrapping {
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) identity: Identity,
    pub(crate) server: Arc<Server>,
    /// How long a user may take for a web page.
    pub(crate) patience: Duration,
}

/// An `input_required` result of a modern server for the client.
pub(crate) fn wrap(wrapping: &Wrapping, result: &Raw) -> Raw {
    let Some(inner) = result.find(STATE) else { return result.clone() };
    let state = State::Relayed { whose: wrapping.server.scope().clone(), inner };
    let sealed = wrapping.identity.seal(&wrapping.sealer, ROTATION, &state);
    result.with(&[(STATE, Change::Set(Raw::from_text(&sealed).as_bytes()))])
}

/// `-32042` of a legacy server for the client: `None` when it does not say where to go.
pub(crate) fn wrap_url_elicitation(
    wrapping: &Wrapping,
    error: &RpcError,
    server_info: &Raw,
) -> Option<Outcome> {
    let pages: Vec<Raw> = error.data()?.find("elicitations")?.elements().collect();
    if pages.is_empty() || pages.len() > super::MOST_ASKED {
        return None;
    }
    if !wrapping.identity.caller().caps.has(ClientCaps::ELICIT_URL) {
        let data = Raw::from_static(r#"{"requiredCapabilities":{"elicitation":{"url":{}}}}"#);
        let message = "the server needs the user to open a page, which this client did not say it can show";
        return Some(Refusal::new(ErrorKind::MissingCapability, message).with_data(data).into());
    }
    let keys: Vec<String> = (1..=pages.len()).map(|number| format!("q{number}")).collect();
    let requests = input_requests(keys.iter().zip(&pages).map(|(key, page)| {
        let page = page.with(&[("mode", Change::Set(b"\"url\"")), ("elicitationId", Change::Remove)]);
        (key.as_str(), &Method::CreateElicitation, Some(page))
    }));
    let state = State::Visited { whose: wrapping.server.scope().clone() };
    let sealed = wrapping.identity.seal(&wrapping.sealer, wrapping.patience, &state);
    Some(Outcome::InputRequired(input_required(&requests, &sealed, server_info)))
}

/// Under which key a client is sent to a page of the gateway's own.
const CONNECT: &str = "portcullis-connect";

/// Sends the user to the page that a refusal names, before the call is made again.
pub(crate) fn ask_to_visit(
    wrapping: Option<&Wrapping>,
    refusal: &Refusal,
    server_info: &Raw,
) -> Option<Outcome> {
    let url = refusal.data.as_ref()?.find("url")?;
    let message = Raw::from_text(&refusal.message);
    let page = Raw::from_static(r#"{"mode":"url"}"#)
        .with(&[("message", Change::Set(message.as_bytes())), ("url", Change::Set(url.as_bytes()))]);
    let requests = input_requests([(CONNECT, &Method::CreateElicitation, Some(page))]);
    let result = match wrapping {
        Some(wrapping) => {
            let state = State::Visited { whose: wrapping.server.scope().clone() };
            let sealed = wrapping.identity.seal(&wrapping.sealer, wrapping.patience, &state);
            input_required(&requests, &sealed, server_info)
        }
        None => Raw::trusted(format!("{{\"resultType\":\"input_required\",\"inputRequests\":{requests}}}")),
    };
    Some(Outcome::InputRequired(result))
}

/// The params of a legacy client's call whose user was sent to a page of the gateway's own; `None` for all others.
///
/// # Errors
/// The user did not agree.
pub(crate) fn visited(params: &Object) -> Result<Option<Raw>, Refusal> {
    let Some(responses) = params.find(RESPONSES) else { return Ok(None) };
    if responses.find(CONNECT).is_none() {
        return Ok(None);
    }
    if !agreed(params) {
        let message = "the user did not agree to open the page on which an account is connected";
        return Err(Refusal::new(ErrorKind::InputRefused, message));
    }
    Ok(Some(params.with(&[(RESPONSES, Change::Remove)])))
}
