//! What a client of a session is asked in the middle of a call, and what it answers: an event of its own, which names the call's.
//! Clients of the newer era are asked by answers and answer with requests, which say so in their own events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_audit::payloads::Side;
use portcullis_audit::{Event, EventId, Kind, Time};
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::RpcError;

use super::evidence::Evidence;
use super::written::{self, action_of};
use crate::call::{Call, Question};

/// A question, until it is on record how it ended.
pub(crate) struct Questioning {
    question: Option<Question>,
    note: Option<Note>,
}

struct Note {
    evidence: Arc<Evidence>,
    event: Box<Event>,
    began: Instant,
}

impl Questioning {
    pub(crate) fn new(question: Question, call: &Arc<Call>) -> Self {
        let note = call.record.inner().map(|inner| {
            let mut event = written::of(inner, call, &inner.facts(), Kind::Question, EventId::new());
            event.parent = Some(inner.id());
            event.time = Time::now();
            event.request.method = Some(question.method.as_str().to_owned());
            event.input = None;
            if let Some(params) = &question.params {
                inner.evidence.attach(&mut event, Side::Input, params.as_bytes());
            }
            Note { evidence: inner.evidence.clone(), event, began: Instant::now() }
        });
        Self { question: Some(question), note }
    }

    pub(crate) fn question(&self) -> &Question {
        self.question.as_ref().expect("it is there until it is answered, which takes this")
    }

    /// Passes the client's answer on.
    pub(crate) fn answer(mut self, answer: Result<Raw, RpcError>) {
        if let Some(mut note) = self.note.take() {
            let status = match &answer {
                Ok(answer) => {
                    note.evidence.clone().attach(&mut note.event, Side::Output, answer.as_bytes());
                    note.event.human.decision = Some(action_of(answer).to_owned());
                    "completed"
                }
                Err(error) => {
                    note.event.result.error_code = Some(error.code());
                    "failed"
                }
            };
            note.write(status);
        }
        if let Some(question) = self.question.take() {
            question.answer(answer);
        }
    }

    /// The client gave no answer.
    pub(crate) fn unanswered(mut self, why: &'static str) {
        if let Some(mut note) = self.note.take() {
            note.event.detail.insert("why".to_owned(), why.to_owned());
            note.write("cancelled");
        }
    }
}

impl Note {
    fn write(mut self, status: &str) {
        let took = self.began.elapsed();
        self.event.result.status = Some(status.to_owned());
        self.event.human.waited_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let micros = |took: Duration| i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        self.event.time.end_us = self.event.time.start_us.saturating_add(micros(took));
        // The answer is for a server, which waits for nobody's disk.
        self.evidence.append(self.event);
    }
}

impl Drop for Questioning {
    fn drop(&mut self) {
        if let Some(note) = self.note.take() {
            note.write("cancelled");
        }
    }
}
