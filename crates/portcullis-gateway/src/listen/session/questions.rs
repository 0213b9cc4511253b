//! What the client of a session has been asked, until it answers.
//!
//! Ids are the session's own, and an answer is looked for in its session alone: what another client posts under the same
//! id is nobody's answer.

use std::sync::Arc;

use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{Id, Response, RpcError};
use tokio::sync::oneshot;

use super::Session;

/// Questions of one session that are open at once.
const MOST_OPEN: usize = 64;

/// A question that waits for its answer; forgotten by its session when dropped.
pub(crate) struct Pending {
    session: Arc<Session>,
    id: u64,
    answer: oneshot::Receiver<Result<Raw, RpcError>>,
}

impl Session {
    /// Makes room for a question; `None` when too many are open.
    pub(crate) fn ask(self: &Arc<Self>) -> Option<Pending> {
        let (give, answer) = oneshot::channel();
        let mut state = self.state();
        if state.asked.len() >= MOST_OPEN {
            return None;
        }
        state.next_question += 1;
        let id = state.next_question;
        state.asked.insert(id, give);
        drop(state);
        Some(Pending { session: self.clone(), id, answer })
    }

    /// Takes an answer of the client; one to no open question is nobody's business.
    pub(crate) fn answer(&self, response: Response) {
        let id = response.id.as_ref().and_then(Id::as_number);
        let give = id.and_then(|id| self.state().asked.remove(&id));
        if let Some(give) = give {
            let _ = give.send(response.answer.map(Raw::from));
        }
    }
}

impl Pending {
    /// The id under which the client is asked.
    pub(crate) fn id(&self) -> Id {
        Id::number(self.id)
    }

    /// Waits for the answer; `None` when it will never come.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn answer(&mut self) -> Option<Result<Raw, RpcError>> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.session.state().asked.remove(&self.id);
    }
}
