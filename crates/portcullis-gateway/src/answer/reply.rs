//! An outcome as the client of one call reads it.

use http::StatusCode;
use portcullis_mcp::json::{Raw, write_string};
use portcullis_mcp::message::{Id, RpcError, code, write_error, write_result};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::upstream_error;
use portcullis_model::{ErrorKind, Fault};

use super::{error, retry_after, status};
use crate::call::{Challenge, Outcome, Refusal};
use crate::record::OnRecord;

/// The answer to one request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// HTTP status, when nothing of the answer has been sent yet.
    pub(crate) status: StatusCode,
    /// The result, or the error.
    pub(crate) answer: Result<Raw, RpcError>,
    /// The seconds of `Retry-After`, on 429 and 503.
    pub(crate) retry_after: Option<u64>,
    /// With which token the answer would be another, on 401 and 403.
    pub(crate) challenge: Option<Challenge>,
}

impl Reply {
    /// As a JSON-RPC response.
    pub(crate) fn write(&self, out: &mut Vec<u8>, id: &Id) {
        match &self.answer {
            Ok(result) => write_result(out, id, result),
            Err(error) => write_error(out, Some(id), error),
        }
    }
}

/// Turns an outcome, already in the client's era and on record, into its answer.
pub(crate) fn reply(era: Era, method: &Method, recorded: OnRecord) -> Reply {
    written(era, method, recorded.into_outcome())
}

/// What a client would be answered, for whom keeps it until the client asks for it.
pub(crate) fn answer_of(era: Era, method: &Method, outcome: Outcome) -> Result<Raw, RpcError> {
    written(era, method, outcome).answer
}

fn written(era: Era, method: &Method, outcome: Outcome) -> Reply {
    let ok = |answer| Reply { status: StatusCode::OK, answer, retry_after: None, challenge: None };
    match outcome {
        Outcome::Complete(payload) => ok(Ok(payload.result.into_raw())),
        // A legacy client's rounds are driven before this.
        Outcome::InputRequired(result) => ok(Ok(result)),
        Outcome::Task(_) => untranslatable(era, method, "the server made a task of the call"),
        Outcome::Failed { error, .. } => failed(era, error),
        Outcome::Refused(refusal) => refused(era, method, &refusal),
    }
}

fn failed(era: Era, error: RpcError) -> Reply {
    let (status, error) = match (era, error.code()) {
        (Era::Modern, code::METHOD_NOT_FOUND) => (StatusCode::NOT_FOUND, error),
        (Era::Modern, code::MISSING_CLIENT_CAPABILITY) => (StatusCode::BAD_REQUEST, error),
        // These are about the gateway's own hop; to the client they would start a negotiation.
        (Era::Modern, code::UNSUPPORTED_VERSION | code::HEADER_MISMATCH) => {
            (StatusCode::OK, upstream_error(&error))
        }
        _ => (StatusCode::OK, error),
    };
    Reply { status, answer: Err(error), retry_after: None, challenge: None }
}

fn untranslatable(era: Era, method: &Method, why: &str) -> Reply {
    let message =
        format!("{why}, and this client's protocol revision has no way for that through this gateway yet");
    refused(era, method, &Refusal::new(ErrorKind::Untranslatable, message))
}

/// A tool whose server failed, did not get what it asked for, or may not say or get what it would, is a tool that failed: said
/// in the result, so that the model reads it.
fn refused(era: Era, method: &Method, refusal: &Refusal) -> Reply {
    let is_failure = refusal.kind.fault() == Fault::Upstream
        || matches!(refusal.kind, ErrorKind::InputRefused | ErrorKind::ContentBlocked);
    if *method == Method::ToolsCall && is_failure {
        return Reply {
            status: StatusCode::OK,
            answer: Ok(tool_error(era, &refusal.message)),
            retry_after: None,
            challenge: None,
        };
    }
    Reply {
        status: status(era, refusal.kind),
        answer: Err(error(era, refusal)),
        retry_after: retry_after(refusal),
        challenge: refusal.challenge.clone(),
    }
}

fn tool_error(era: Era, message: &str) -> Raw {
    let mut out = b"{\"content\":[{\"type\":\"text\",\"text\":".to_vec();
    write_string(&mut out, message);
    out.extend_from_slice(b"}],\"isError\":true");
    if era == Era::Modern {
        out.extend_from_slice(b",\"resultType\":\"complete\"");
    }
    out.push(b'}');
    Raw::trusted(out)
}
