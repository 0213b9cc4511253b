//! Questions of which it is not clear whose they are.
//!
//! A question that may belong to several calls is kept until all but one were answered. That is a short while as a rule,
//! since most calls are short. But where a tool that never asked does so in two calls at once, each waits for its own
//! answer, and neither is ever answered. So after a moment:
//!
//! - Calls of one session have one client, which is asked all the same, in one of them: its answer goes to the question and
//!   not to the call. Should that call be answered while its client still thinks, the question was another's. It comes
//!   back, and the client is asked once more.
//! - Of the calls of different clients, or of a user who may have several, none is taken for another. Once each may have
//!   asked something, waiting is in vain, and what they asked is refused; what else is unclear, when it was kept for too
//!   long.
//!
//! By then the server is known to ask, so the next calls are kept apart (`lanes.rs`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use portcullis_mcp::translate::cancelled;
use tokio::runtime::Handle;

use super::{Questions, State};
use crate::call::Question;

/// Questions that are kept at once.
pub(super) const MOST_HELD: usize = 16;
/// Most calls are answered within it.
pub(super) const MOMENT: Duration = Duration::from_millis(500);
/// The longest that a question is kept.
pub(super) const HOLD: Duration = Duration::from_secs(30);

const UNCLEAR: &str = "several calls are under way, and nothing says which of them this is about; call again, and they \
                       are kept apart";

pub(super) struct Held {
    pub(super) since: Instant,
    pub(super) question: Question,
    /// The calls that it may belong to.
    pub(super) of: Vec<u64>,
    /// The task that it belongs to, for whose result nobody waits yet.
    pub(super) task: Option<String>,
}

impl Questions {
    /// Keeps a question for a while; comes back when it cannot be kept.
    pub(super) fn hold(
        self: &Arc<Self>,
        state: &mut State,
        question: Question,
        of: Vec<u64>,
        task: Option<String>,
    ) -> Option<Question> {
        let Ok(runtime) = Handle::try_current() else { return Some(question) };
        if state.held.len() >= MOST_HELD {
            return Some(question);
        }
        state.held.push(Held { since: Instant::now(), question, of, task });
        if !std::mem::replace(&mut state.sweeping, true) {
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
        None
    }

    /// Goes through what is held; says whether anything still is.
    pub(super) fn look_through(self: &Arc<Self>) -> bool {
        let mut state = self.state();
        let now = state.unhold(|held| held.since.elapsed() >= MOMENT && held.task.is_none());
        let (mut refused, mut dropped) = (Vec::new(), Vec::new());
        let asked = now.len();
        for held in now {
            if state.is_one_client(&held.of) {
                dropped.extend(self.lend(&mut state, &held.of, held.question));
            } else if asked >= held.of.len() || held.since.elapsed() >= HOLD {
                refused.push(held.question);
            } else {
                state.held.push(held);
            }
        }
        let late = state.unhold(|held| held.since.elapsed() >= HOLD);
        state.sweeping = !state.held.is_empty();
        let goes_on = state.sweeping;
        drop(state);
        // Answering questions, as dropping does, takes the lock.
        drop((dropped, late));
        for question in refused {
            tracing::info!(
                server.id = %self.server, rpc.method = %question.method,
                "what the server asked may be about several calls, and was refused; from now on they are kept apart"
            );
            let answer = cancelled(&question.method, UNCLEAR);
            question.answer(answer);
        }
        goes_on
    }

    /// Gives a question to one of the calls that it may belong to, which are all of one client.
    fn lend(self: &Arc<Self>, state: &mut State, of: &[u64], question: Question) -> Option<Question> {
        let calls = state.calls.iter_mut().filter(|(id, _)| of.contains(id));
        let Some((id, call)) = calls.min_by_key(|(id, call)| (call.lent, **id)) else {
            return Some(question);
        };
        call.lent += 1;
        let (questions, answered) = (Arc::downgrade(self), call.answered.clone());
        let (method, params) = (question.method.clone(), question.params.clone());
        let lent = Question::new(method, params, question.withdrawn().clone(), move |answer| match questions
            .upgrade()
            .filter(|_| answered.load(Ordering::Relaxed))
        {
            Some(questions) => questions.take_back(question),
            None => question.answer(answer),
        });
        let id = *id;
        state.deliver(id, lent)
    }

    /// The call that was given a question did not ask it: it is over.
    fn take_back(self: &Arc<Self>, question: Question) {
        if question.withdrawn().is_cancelled() {
            return;
        }
        let mut state = self.state();
        let nobodys = self.attribute(&mut state, question);
        drop(state);
        // Dropping a question answers it, which takes the lock.
        drop(nobodys);
    }
}

impl State {
    pub(super) fn unhold(&mut self, which: impl Fn(&Held) -> bool) -> Vec<Held> {
        self.held.extract_if(.., |held| which(held)).collect()
    }

    /// A call was answered: what is held is none of its business any more. What could not be given to its call after
    /// all comes back.
    pub(super) fn settle(&mut self, id: u64) -> Vec<Question> {
        for held in &mut self.held {
            held.of.retain(|call| *call != id);
        }
        let clear = self.unhold(|held| held.of.len() == 1);
        clear.into_iter().filter_map(|held| self.deliver(held.of[0], held.question)).collect()
    }

    /// Whether one client answers for all of these calls.
    fn is_one_client(&mut self, of: &[u64]) -> bool {
        self.owners(of) == 1 && of.iter().filter_map(|id| self.calls.get(id)).all(|call| call.one_client)
    }
}

/// Looks through what is held until nothing is.
async fn sweep(questions: Weak<Questions>) {
    loop {
        match questions.upgrade() {
            Some(questions) if questions.look_through() => {}
            _ => return,
        }
        tokio::time::sleep(MOMENT).await;
    }
}
