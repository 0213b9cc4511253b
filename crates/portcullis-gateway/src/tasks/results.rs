//! `tasks/result` of 2025-11-25 for a task that the gateway carries on: waits for its end, and asks the client on the way
//! what the task asks.

use std::sync::Arc;

use portcullis_mcp::json::Raw;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_mcp::translate::task;
use tokio::sync::watch;

use super::drive::cancelled;
use super::work::Work;
use crate::call::{Event, Exchange, Outcome};

/// Waits for the end of the work. `id` is the client's for the task.
pub(super) fn result_of(work: Arc<Work>, id: String) -> Exchange {
    if let Some(outcome) = ended(&work, &id) {
        return Exchange::done(outcome);
    }
    let changes = work.watch();
    let start = Some(Waiting { work, id, changes });
    Exchange::live(futures_util::stream::unfold(start, |waiting| async { waiting?.next().await }), false)
}

struct Waiting {
    work: Arc<Work>,
    id: String,
    changes: watch::Receiver<u64>,
}

impl Waiting {
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        loop {
            self.changes.borrow_and_update();
            if let Some(mut question) = self.work.take_question() {
                let params = question.params.clone().unwrap_or_else(|| Raw::from_static("{}"));
                question.params = Some(task::with_related(&params, &self.id));
                return Some((Event::Asked(question), Some(self)));
            }
            if let Some(outcome) = ended(&self.work, &self.id) {
                return Some((Event::Done(outcome), None));
            }
            // The work holds the sender, and this the work.
            let _ = self.changes.changed().await;
        }
    }
}

fn ended(work: &Work, id: &str) -> Option<Outcome> {
    match work.ending() {
        Some(Ok(result)) => {
            let result = task::with_related(&result, id).into();
            Some(Outcome::Complete(Payload { result, era: Era::Legacy }))
        }
        Some(Err(error)) => Some(Outcome::Failed { error, era: Era::Legacy }),
        None if work.is_over() => Some(cancelled()),
        None => None,
    }
}
