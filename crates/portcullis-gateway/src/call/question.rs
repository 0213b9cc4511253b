//! What a server asks the client in the middle of a call, with the one way to answer it.
//!
//! A question that is dropped unanswered is answered all the same: the user cancelled, or there was nobody to ask. So no
//! server waits for an answer that nobody will give, whichever way the client goes.

use std::fmt;

use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{RpcError, code};
use portcullis_mcp::method::Method;
use portcullis_mcp::translate::cancelled;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Answer = Box<dyn FnOnce(Result<Raw, RpcError>) + Send>;

/// A question of a server.
pub struct Question {
    /// `sampling/createMessage`, `elicitation/create` or `roots/list`.
    pub method: Method,
    /// As the server wrote them.
    pub params: Option<Raw>,
    answer: Option<Answer>,
    withdrawn: CancellationToken,
    /// Counts the question while it is open.
    counted: Option<Open>,
}

impl Question {
    /// A question whose answer goes to `answer`; `withdrawn` fires when the server does not want it any more.
    pub(crate) fn new(
        method: Method,
        params: Option<Raw>,
        withdrawn: CancellationToken,
        answer: impl FnOnce(Result<Raw, RpcError>) + Send + 'static,
    ) -> Self {
        Self { method, params, answer: Some(Box::new(answer)), withdrawn, counted: None }
    }

    /// The same question with other params, whose answer goes through `back` first. One that is dropped is answered as
    /// before.
    pub(crate) fn through(
        mut self,
        params: Option<Raw>,
        back: impl FnOnce(Result<Raw, RpcError>) -> Result<Raw, RpcError> + Send + 'static,
    ) -> Self {
        self.params = params;
        if let Some(give) = self.answer.take() {
            self.answer = Some(Box::new(move |answer| give(back(answer))));
        }
        self
    }

    /// The same where that takes a while: the answer is given when `back` is through with it.
    pub(crate) fn through_later<F>(
        mut self,
        params: Option<Raw>,
        back: impl FnOnce(Result<Raw, RpcError>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Raw, RpcError>> + Send + 'static,
    {
        self.params = params;
        if let Some(give) = self.answer.take() {
            self.answer = Some(Box::new(move |answer| {
                let back = back(answer);
                match tokio::runtime::Handle::try_current() {
                    Ok(here) => drop(here.spawn(async move { give(back.await) })),
                    Err(_) => give(Err(RpcError::new(code::INTERNAL, "the gateway ends", None))),
                }
            }));
        }
        self
    }

    /// Answers it, with a result or a JSON-RPC error.
    pub(crate) fn answer(mut self, answer: Result<Raw, RpcError>) {
        if let Some(give) = self.answer.take() {
            give(answer);
        }
    }

    /// Fires when the server does not want the answer any more.
    pub(crate) fn withdrawn(&self) -> &CancellationToken {
        &self.withdrawn
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(give) = self.answer.take() {
            give(cancelled(&self.method, "the client gave no answer"));
        }
    }
}

impl fmt::Debug for Question {
    /// The method alone: what is asked is the user's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("method", &self.method).finish_non_exhaustive()
    }
}

/// How many questions of a call wait for an answer.
#[derive(Debug)]
pub(crate) struct OpenQuestions(watch::Sender<usize>);

/// One of them; no longer when dropped.
#[derive(Debug)]
struct Open(watch::Sender<usize>);

impl Default for OpenQuestions {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl OpenQuestions {
    /// Counts a question until it is answered.
    pub(crate) fn count(&self, question: &mut Question) {
        self.0.send_modify(|open| *open += 1);
        question.counted = Some(Open(self.0.clone()));
    }

    /// Whether any is open.
    pub(crate) fn any(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Ends when none is open any more.
    pub(crate) async fn settled(&self) {
        // The sender is this one: it cannot be gone.
        let _ = self.0.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
