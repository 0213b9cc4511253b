//! The tool that asks: one form elicitation in the middle of each call, in the form of either era.
//!
//! A modern call is answered with `input_required` and comes again with the word; nothing is kept in between, and the state
//! that it has to bring along says whose question it was. A legacy call is answered with an event stream that begins with
//! the question; the word is posted in the same session, and the answer ends the stream.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::rpc::{Refusal, Reply};
use crate::echo::Arguments;

/// Its name.
pub(crate) const TOOL: &str = "ask";

/// Under which key a modern client is asked, and the member of the form.
const WORD: &str = "word";

/// Legacy calls that may wait for their client at once: far more than a bench run has connections.
const MOST_WAITING: usize = 4096;

/// What a modern client brings back.
#[derive(Deserialize)]
struct Responses<'a> {
    #[serde(borrow)]
    word: &'a RawValue,
}

/// `ElicitResult`
#[derive(Deserialize)]
struct Elicited {
    action: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    word: String,
}

/// Where a modern call stands.
pub(crate) enum Step {
    /// The members of an `input_required` result, without `resultType`.
    Ask(String),
    /// Arguments that take the answered word into account.
    Answer(Arguments),
}

/// One step of a modern call, which brings `responses` and `state` the second time.
pub(crate) fn modern(
    arguments: &Arguments,
    responses: Option<&RawValue>,
    state: Option<&str>,
) -> Result<Step, Refusal> {
    let sealed = format!("call-{}", arguments.serial);
    let Some(responses) = responses else {
        let request = json!({ "method": "elicitation/create", "params": elicitation(arguments) });
        let (requests, state) = (json!({ WORD: request }), Value::from(sealed));
        return Ok(Step::Ask(format!(r#""inputRequests":{requests},"requestState":{state}"#)));
    };
    if state != Some(&*sealed) {
        return Err(invalid("requestState is not that of this call"));
    }
    let responses: Responses<'_> =
        serde_json::from_str(responses.get()).map_err(|_| invalid("inputResponses lacks the word"))?;
    word(responses.word).map(|word| Step::Answer(arguments.with_word(&word)))
}

/// Legacy calls that wait for a word.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    /// Questions so far; the id of the last one.
    asked: u64,
    by_question: HashMap<u64, Call>,
}

#[derive(Debug)]
struct Call {
    session: String,
    id: Box<RawValue>,
    arguments: Arguments,
    answer: oneshot::Sender<String>,
}

impl Waiting {
    /// Asks the client of the call `id` in `session`.
    pub(crate) fn ask(&self, session: &str, id: &RawValue, arguments: Arguments) -> Result<Reply, Refusal> {
        let mut calls = self.lock();
        if calls.by_question.len() >= MOST_WAITING {
            calls.by_question.retain(|_, call| !call.answer.is_closed());
            if calls.by_question.len() >= MOST_WAITING {
                return Err(Refusal::new(StatusCode::OK, -32000, "too many calls wait for a word"));
            }
        }
        calls.asked += 1;
        let question = calls.asked;
        let message = json!({
            "jsonrpc": "2.0", "id": question, "method": "elicitation/create", "params": elicitation(&arguments),
        });
        let (answer, then) = oneshot::channel();
        calls
            .by_question
            .insert(question, Call { session: session.to_owned(), id: id.to_owned(), arguments, answer });
        let body = message.to_string();
        Ok(Reply { status: StatusCode::OK, body, session: None, then: Some(then) })
    }

    /// Takes what answers the question `id`; `finish` writes the answer of its call. What comes from another session, or
    /// answers nothing that was asked, is passed over.
    pub(crate) fn take(
        &self,
        session: Option<&str>,
        id: &RawValue,
        outcome: &RawValue,
        finish: impl FnOnce(&RawValue, Result<Arguments, Refusal>) -> String,
    ) {
        let Ok(question) = id.get().parse::<u64>() else { return };
        let call = {
            let mut calls = self.lock();
            if calls.by_question.get(&question).is_none_or(|call| Some(call.session.as_str()) != session) {
                return;
            }
            calls.by_question.remove(&question)
        };
        if let Some(Call { id, arguments, answer, .. }) = call {
            // Whoever called may have left.
            let _ = answer.send(finish(&id, word(outcome).map(|word| arguments.with_word(&word))));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client is refused with that did not say it can be asked.
pub(crate) fn cannot_be_asked() -> Refusal {
    let needed = json!({ "requiredCapabilities": { "elicitation": { "form": {} } } });
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, -32021, "this tool asks its client");
    Refusal { data: Some(needed), ..refusal }
}

fn elicitation(arguments: &Arguments) -> Value {
    json!({
        "mode": "form",
        "message": arguments.question(),
        "requestedSchema": {
            "type": "object",
            "properties": { WORD: { "type": "string", "title": "Word" } },
            "required": [WORD],
        },
    })
}

/// The word of an `ElicitResult`; of nothing else.
fn word(result: &RawValue) -> Result<String, Refusal> {
    match serde_json::from_str(result.get()) {
        Ok(Elicited { action, content: Some(Content { word }) }) if action == "accept" => Ok(word),
        _ => Err(invalid("the question was not answered with a word")),
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, -32602, message)
}

#[cfg(test)]
mod tests;
