//! What the gateway asks the user before a call is made, or before its result is given, and the answer.
//!
//! The question is one of a server that says `input_required`, so clients of both eras are asked in their own way. What comes
//! back counts only with the state that was given for exactly this request.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::json::{Change, Object, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::translate::{input_requests, input_required};
use portcullis_oversight::Matter;

use super::state::{Identity, State};
use super::{REQUESTS, RESPONSES, STATE};
use crate::call::{Call, Outcome};
use crate::seal::Sealer;

/// Under which key the gateway asks.
const APPROVE: &str = "portcullis-approve";
/// The one thing that is asked.
const MEMBER: &str = "approve";

/// How a call comes.
pub(crate) enum Came {
    /// For the first time.
    Anew,
    /// Back, with what its server asked for.
    Further,
    /// Back, with what the user said to the gateway's question.
    Answered { approved: bool, nonce: u64, matter: Matter },
}

/// How a call comes.
pub(crate) fn came(sealer: &Sealer, call: &Arc<Call>) -> Came {
    let otherwise = || if call.let_through { Came::Further } else { Came::Anew };
    let Some(params) = &call.params else { return otherwise() };
    let Some(state) = params.find(STATE) else { return otherwise() };
    match Identity::of(call).open(sealer, &state) {
        Ok(State::Asked { nonce, matter }) => {
            let answer = params.find(RESPONSES).and_then(|responses| responses.find(APPROVE));
            Came::Answered { approved: answer.is_some_and(|answer| approves(&answer)), nonce, matter }
        }
        Ok(State::Relayed { .. } | State::Visited { .. } | State::Parked(_)) => Came::Further,
        // It is its server's own, or it is refused where states are opened.
        Err(_) => otherwise(),
    }
}

/// The params of a call without what came back with it.
pub(crate) fn without_answers(params: &Object) -> Raw {
    params.with(&[(STATE, Change::Remove), (RESPONSES, Change::Remove)])
}

/// Nothing but a clear yes is one.
fn approves(answer: &Raw) -> bool {
    let said = answer.find_path(&["content", MEMBER]).and_then(|said| said.bool());
    answer.find("action").is_some_and(|action| action.is_text("accept")) && said == Some(true)
}

/// Whether a result asks what the gateway asks.
pub(super) fn is_asked(result: &Raw) -> bool {
    result.find(REQUESTS).is_some_and(|requests| requests.find(APPROVE).is_some())
}

/// Asks whether a call may be made.
pub(crate) fn ask_for_leave(
    sealer: &Sealer,
    call: &Arc<Call>,
    question: &str,
    (nonce, matter, lifetime): (u64, Matter, Duration),
    server_info: &Raw,
) -> Outcome {
    let form = Raw::from_static(match matter {
        Matter::Call => {
            r#"{"mode":"form","requestedSchema":{"type":"object","properties":{"approve":{"type":"boolean","title":"Approve this call","description":"Only this call, with these arguments, once.","default":false}},"required":["approve"]}}"#
        }
        Matter::Result => {
            r#"{"mode":"form","requestedSchema":{"type":"object","properties":{"approve":{"type":"boolean","title":"Approve this result","description":"Only this result, once.","default":false}},"required":["approve"]}}"#
        }
    });
    let form = form.with(&[("message", Change::Set(Raw::from_text(question).as_bytes()))]);
    let requests = input_requests([(APPROVE, &Method::CreateElicitation, Some(form))]);
    let state = Identity::of(call).seal(sealer, lifetime, &State::Asked { nonce, matter });
    Outcome::InputRequired(input_required(&requests, &state, server_info))
}
