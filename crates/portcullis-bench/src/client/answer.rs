//! Is this the answer to that call?
//!
//! Status, id, error, `resultType` and the whole text are compared, for every single answer: a fast gateway
//! that now and then hands out a neighbour's answer must fail the bench, not win it.

use std::borrow::Cow;

use serde::Deserialize;
use thiserror::Error;

use super::response::Response;
use crate::echo::Arguments;
use crate::wire::Era;

/// What is wrong with an answer.
#[derive(Debug, Error)]
pub(crate) enum WrongAnswer {
    /// Not 200.
    #[error("HTTP status {status}: {body}")]
    Status {
        /// The status that came.
        status: u16,
        /// The body's beginning.
        body: String,
    },
    /// Not one JSON-RPC response.
    #[error("unreadable answer: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The id of another request.
    #[error("the answer has id {got}, the call {expected}")]
    Id {
        /// What came.
        got: u64,
        /// What was sent.
        expected: u64,
    },
    /// A JSON-RPC error, or a tool result with `isError`.
    #[error("the answer is an error: {0}")]
    Failed(String),
    /// A modern result without `resultType: complete`.
    #[error("resultType is {0:?}")]
    ResultType(Option<String>),
    /// A text other than the one that these arguments give.
    #[error("the answer's text is not that of call {0}")]
    Text(u64),
    /// A question that is not this call's.
    #[error("call {call} was asked: {asked}")]
    Question {
        /// The call's serial.
        call: u64,
        /// What it was asked.
        asked: String,
    },
    /// The tool was to ask, and did not.
    #[error("call {0} was answered without a question")]
    NotAsked(u64),
}

#[derive(Deserialize)]
struct Message<'a> {
    id: u64,
    #[serde(borrow)]
    result: Option<CallResult<'a>>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(default)]
    is_error: bool,
    result_type: Option<String>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// Compares `response` with what the request `id` with `arguments` must give; `scratch` is kept for its capacity.
pub(crate) fn check(
    response: &Response<'_>,
    era: Era,
    id: u64,
    arguments: &Arguments,
    scratch: &mut String,
) -> Result<(), WrongAnswer> {
    if response.status != 200 {
        let body = String::from_utf8_lossy(&response.message).chars().take(300).collect();
        return Err(WrongAnswer::Status { status: response.status, body });
    }
    let message: Message<'_> = serde_json::from_slice(&response.message)?;
    if message.id != id {
        return Err(WrongAnswer::Id { got: message.id, expected: id });
    }
    let Some(result) = message.result else {
        return Err(WrongAnswer::Failed(message.error.unwrap_or_default().to_string()));
    };
    if result.is_error {
        return Err(WrongAnswer::Failed(result.content.into_iter().map(|block| block.text).collect()));
    }
    if era == Era::Modern && result.result_type.as_deref() != Some("complete") {
        return Err(WrongAnswer::ResultType(result.result_type));
    }
    arguments.answer_into(scratch);
    match result.content.as_slice() {
        [block] if block.text == *scratch => Ok(()),
        _ => Err(WrongAnswer::Text(arguments.serial)),
    }
}

#[cfg(test)]
mod tests;
