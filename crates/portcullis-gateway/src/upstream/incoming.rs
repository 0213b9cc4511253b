//! What a server's messages mean for a call: the one place where both transports read answers.

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::message::{Notification, Response};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::Payload;
use portcullis_model::{ErrorKind, ServerId};

use crate::call::{LogLevel, Outcome, Refusal};

/// The outcome that a response means. In the modern era `resultType` says what kind of result it is; absent means
/// complete, an unknown one is invalid (2026-07-28, basic protocol).
pub(super) fn outcome(era: Era, response: Response) -> Outcome {
    let result = match response.answer {
        Ok(result) => result,
        Err(error) => return Outcome::Failed { error, era },
    };
    if era == Era::Legacy {
        return Outcome::Complete(Payload { result, era });
    }
    let kind = result.find("resultType");
    match kind.as_ref().map(Raw::as_bytes) {
        None | Some(b"\"complete\"") => Outcome::Complete(Payload { result, era }),
        Some(b"\"input_required\"") => Outcome::InputRequired(result.into_raw()),
        Some(b"\"task\"") => Outcome::Task(result.into_raw()),
        Some(_) => Refusal::new(
            ErrorKind::UpstreamProtocol,
            "the server answered with a `resultType` that nobody declared",
        )
        .into(),
    }
}

/// A notification as the client of one call may see it; `None` when it is not that client's business.
pub(super) fn relevant(
    notification: Notification,
    id: u64,
    progress_token: Option<&Raw>,
    log_level: Option<LogLevel>,
) -> Option<Notification> {
    match notification.method {
        Method::Progress => {
            let params = notification.params?;
            if params.find("progressToken")?.u64() != Some(id) {
                return None;
            }
            let params = params.with(&[("progressToken", Change::Set(progress_token?.as_bytes()))]);
            Some(Notification { method: Method::Progress, params: Some(params) })
        }
        Method::LogMessage => {
            let level = notification.params.as_ref()?.find_string("level")?;
            (LogLevel::parse(&level)? >= log_level?).then_some(notification)
        }
        _ => None,
    }
}

/// The server asked in the middle of a call what its client had not declared (2026-07-28, -32021).
pub(super) fn undeclared(server: &ServerId, needed: ClientCaps) -> Refusal {
    let message = format!("server `{server}` needs a client that declares other capabilities; see `data`");
    let needed = format!("{{\"requiredCapabilities\":{}}}", needed.write(Revision::NEWEST));
    Refusal::new(ErrorKind::MissingCapability, message).with_data(Raw::trusted(needed))
}
