//! What a client of a session is asked in the middle of a call, and what it answers: an event of its own, which names the call's.
//! Clients of the newer era are asked by answers and answer with requests, which say so in their own events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_audit::payloads::Side;
use portcullis_audit::{Content, EventId, Kind, Time};
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::RpcError;

use super::entry::Facts;
use super::written::{self, action_of};
use crate::call::{Call, Question};

/// A question, until it is on record how it ended.
pub(crate) struct Questioning {
    question: Option<Question>,
    note: Option<Note>,
}

struct Note {
    call: Arc<Call>,
    facts: Facts,
    id: EventId,
    method: String,
    input: Option<Content>,
    time: Time,
    began: Instant,
}

impl Questioning {
    pub(crate) fn new(question: Question, call: &Arc<Call>) -> Self {
        let note = call.record.inner().map(|inner| {
            let (facts, id, method) = (inner.facts(), EventId::new(), question.method.as_str().to_owned());
            let mut event = written::of(inner, call, &facts, Kind::Question, id);
            event.input = None;
            if let Some(params) = &question.params {
                inner.evidence.attach(&mut event, Side::Input, params.as_bytes());
            }
            let input = event.input.take();
            drop(event);
            Note { call: call.clone(), facts, id, method, input, time: Time::now(), began: Instant::now() }
        });
        Self { question: Some(question), note }
    }

    pub(crate) fn question(&self) -> &Question {
        self.question.as_ref().expect("it is there until it is answered, which takes this")
    }

    /// Passes the client's answer on.
    pub(crate) fn answer(mut self, answer: Result<Raw, RpcError>) {
        if let Some(note) = self.note.take() {
            note.write(Some(&answer), None);
        }
        if let Some(question) = self.question.take() {
            question.answer(answer);
        }
    }

    /// The client gave no answer.
    pub(crate) fn unanswered(mut self, why: &'static str) {
        if let Some(note) = self.note.take() {
            note.write(None, Some(why));
        }
    }
}

impl Note {
    /// Writes down what the client answered, or why it did not.
    fn write(self, answer: Option<&Result<Raw, RpcError>>, why: Option<&'static str>) {
        let Some(inner) = self.call.record.inner() else { return };
        let took = self.began.elapsed();
        let mut event = written::of(inner, &self.call, &self.facts, Kind::Question, self.id);
        event.parent = Some(inner.id());
        event.request.method = Some(self.method.as_str().into());
        event.input = self.input;
        let status = match answer {
            Some(Ok(answer)) => {
                inner.evidence.attach(&mut event, Side::Output, answer.as_bytes());
                event.human.decision = Some(action_of(answer).into());
                "completed"
            }
            Some(Err(error)) => {
                event.result.error_code = Some(error.code());
                "failed"
            }
            None => "cancelled",
        };
        event.detail.extend(why.map(|why| ("why".to_owned(), why.to_owned())));
        event.result.status = Some(status.into());
        event.human.waited_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let micros = |took: Duration| i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        event.time = self.time;
        event.time.end_us = event.time.start_us.saturating_add(micros(took));
        // The answer is for a server, which waits for nobody's disk.
        inner.evidence.append(event);
    }
}

impl Drop for Questioning {
    fn drop(&mut self) {
        if let Some(note) = self.note.take() {
            note.write(None, None);
        }
    }
}
