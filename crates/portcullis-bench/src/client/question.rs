//! What a server asks in the middle of a call: the one form elicitation of the bench's tool that asks.
//!
//! It must be the question of this very call: a gateway that hands a question to a neighbour fails the bench.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::WrongAnswer;
use crate::echo::Arguments;

/// A modern result that asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Round<'m> {
    #[serde(borrow)]
    input_requests: BTreeMap<Cow<'m, str>, Request<'m>>,
    /// To be brought back as it came.
    #[serde(borrow)]
    pub(crate) request_state: Option<&'m RawValue>,
}

#[derive(Debug, Deserialize)]
struct Request<'m> {
    /// In the legacy form alone.
    #[serde(borrow)]
    id: Option<&'m RawValue>,
    #[serde(borrow)]
    method: Cow<'m, str>,
    #[serde(borrow)]
    params: Option<Params<'m>>,
}

#[derive(Debug, Deserialize)]
struct Params<'m> {
    #[serde(borrow)]
    message: Option<Cow<'m, str>>,
}

#[derive(Deserialize)]
struct Message<'m> {
    #[serde(borrow)]
    result: Option<&'m RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind<'m> {
    #[serde(borrow)]
    result_type: Option<Cow<'m, str>>,
}

impl<'m> Round<'m> {
    /// Reads a modern answer; `None` when it asks nothing.
    pub(crate) fn read(message: &'m [u8], arguments: &Arguments) -> Result<Option<Self>, WrongAnswer> {
        let Some(result) = serde_json::from_slice::<Message<'_>>(message)?.result else {
            return Ok(None);
        };
        let kind: Kind<'_> = serde_json::from_str(result.get())?;
        if kind.result_type.as_deref() != Some("input_required") {
            return Ok(None);
        }
        let round: Self = serde_json::from_str(result.get())?;
        match round.input_requests.values().next() {
            Some(request) if round.input_requests.len() == 1 => request.check(arguments)?,
            _ => return Err(wrong(arguments, result.get())),
        }
        Ok(Some(round))
    }

    /// Under which key it asks.
    pub(crate) fn key(&self) -> &str {
        self.input_requests.keys().next().map_or("", |key| key)
    }
}

/// Looks for a question among the messages of a legacy call's stream, and gives its id.
pub(crate) fn find(
    messages: &[Vec<u8>],
    arguments: &Arguments,
) -> Result<Option<Box<RawValue>>, WrongAnswer> {
    for message in messages {
        // What is no request is the answer, or a notification.
        if let Ok(request) = serde_json::from_slice::<Request<'_>>(message)
            && let Some(id) = request.id
        {
            request.check(arguments)?;
            return Ok(Some(id.to_owned()));
        }
    }
    Ok(None)
}

impl Request<'_> {
    fn check(&self, arguments: &Arguments) -> Result<(), WrongAnswer> {
        let asked = self.params.as_ref().and_then(|params| params.message.as_deref());
        if self.method == "elicitation/create" && asked == Some(&*arguments.question()) {
            return Ok(());
        }
        Err(wrong(arguments, &format!("{} {}", self.method, asked.unwrap_or_default())))
    }
}

fn wrong(arguments: &Arguments, asked: &str) -> WrongAnswer {
    WrongAnswer::Question { call: arguments.serial, asked: asked.chars().take(200).collect() }
}

#[cfg(test)]
mod tests;
