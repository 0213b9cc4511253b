//! What a server with sessions asks of its client, and whose call that is for.
//!
//! On the stream of a POST nothing is in doubt: what is asked there belongs to that call. On a channel that all calls
//! share, and on the standalone stream, nothing says so. There a question goes to the only call that it can belong to; what
//! becomes of it while there are several is in `unclear.rs`. A call that was cancelled a moment ago counts, for the
//! server may still be at work on it, and another caller must not see its question. And a server that asks like this gets
//! one call at a time from then on in each conversation (`lanes.rs`).
//!
//! Waiting for the result of a task is the exception: what is asked in a task says in which (2025-11-25, related-task), so
//! such waits need no turn, and what names no task is not theirs. A server that breaks this rule shows it when it asks
//! while there are only such waits; from then on they are like all others.

mod unclear;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{Id, Request, RpcError, code, write_error, write_result};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::task::RELATED_TASK;
use portcullis_mcp::translate::{answer_for, refused};
use portcullis_model::ServerId;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::unclear::Held;
use super::lanes::{About, Asks};
use super::outgoing::Outgoing;
use super::pages::Pages;
use crate::call::{Outcome, Question};

/// Questions of one conversation that are open at once; a server that asks more is refused.
const MOST_OPEN: usize = 64;
/// So long after a call was cancelled a question may still be its.
pub(super) const AFTERMATH: Duration = Duration::from_secs(5);
const MOST_LEFT: usize = 64;

/// Sends one message to the server. With a place it is the answer to an open question and must not get lost: the place
/// is given back when it was sent. Without, it may be dropped when there are too many.
pub(super) type Respond = Arc<dyn Fn(Raw, Option<OwnedSemaphorePermit>) + Send + Sync>;

/// The questions of one conversation.
pub(super) struct Questions {
    server: ServerId,
    /// What the handshake declared.
    caps: ClientCaps,
    revision: OnceLock<Revision>,
    /// Shared with the other conversations.
    asks: Arc<Asks>,
    /// Where the server has sent users.
    pages: Pages,
    turn: Arc<Semaphore>,
    /// Places for open questions.
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The calls under way whose client can be asked.
    calls: HashMap<u64, Listener>,
    /// Calls that were cancelled a moment ago, with their owners.
    left: VecDeque<(Instant, Arc<str>)>,
    held: Vec<Held>,
    /// What a client has been asked, by the server's id.
    open: HashMap<Id, CancellationToken>,
    /// Somebody looks after what is held.
    sweeping: bool,
}

struct Listener {
    owner: Arc<str>,
    /// The owner is one client, and can be asked in any of its calls.
    one_client: bool,
    /// The task whose result it waits for.
    task: Option<Arc<str>>,
    asked: mpsc::Sender<Question>,
    /// How many questions it was given that may be another's.
    lent: usize,
    /// There is nothing more to ask.
    answered: Arc<AtomicBool>,
}

/// The place of a call among those that can be asked.
pub(super) struct Floor {
    questions: Arc<Questions>,
    id: u64,
    owner: Arc<str>,
    /// What the call is about.
    about: About,
    asked: mpsc::Receiver<Question>,
    answered: Arc<AtomicBool>,
    turn: Option<Turn>,
}

/// The turn of one call.
pub(super) struct Turn(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// What became of a request of the server.
pub(super) enum Taken {
    /// A client has to be asked.
    Question(Question),
    /// It was refused: the client did not declare that it can be asked this.
    Undeclared(ClientCaps),
    /// It was answered here.
    Answered,
}

/// It is somebody else's turn.
#[derive(Debug)]
pub(super) struct Busy;

impl Questions {
    /// For a conversation in which `caps` are declared. `asks` is what all conversations with the server know of it.
    pub(super) fn new(server: ServerId, caps: ClientCaps, asks: Arc<Asks>, pages: Pages) -> Arc<Self> {
        Arc::new(Self {
            server,
            caps,
            revision: OnceLock::new(),
            asks,
            pages,
            turn: Arc::new(Semaphore::new(1)),
            places: Arc::new(Semaphore::new(MOST_OPEN)),
            state: Mutex::default(),
        })
    }

    /// What the handshake declared, or is to declare.
    pub(super) fn caps(&self) -> ClientCaps {
        self.caps
    }

    /// Whether a call that can be asked is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.state().calls.is_empty()
    }

    /// The handshake has agreed on a revision.
    pub(super) fn agreed(&self, revision: Revision) {
        let _ = self.revision.set(revision);
    }

    /// The revision in use; before the handshake, the newest that has one.
    pub(super) fn revision(&self) -> Revision {
        self.revision.get().copied().unwrap_or(Revision::NEWEST_LEGACY)
    }

    /// Whether the server can ask in this conversation.
    pub(super) fn can_ask(&self) -> bool {
        self.revision().era() == Era::Legacy && self.caps.answers()
    }

    /// The turn of a call of `owner`; `Ok(None)` where none is needed.
    ///
    /// # Errors
    /// Another call is under way, or another caller's was cancelled a moment ago.
    pub(super) fn try_turn(&self, owner: &Arc<str>) -> Result<Option<Turn>, Busy> {
        if !self.can_ask() {
            return Ok(None);
        }
        let mut state = self.state();
        state.forget_left();
        if !state.candidates(self.asks.names_tasks()).is_empty()
            || state.left.iter().any(|(_, left)| left != owner)
        {
            return Err(Busy);
        }
        self.turn.clone().try_acquire_owned().map(|permit| Some(Turn(permit))).map_err(|_| Busy)
    }

    /// A place for a call whose client can be asked; `None` for all others.
    pub(super) fn enter(self: &Arc<Self>, id: u64, out: &Outgoing, turn: Option<Turn>) -> Option<Floor> {
        let asker = out.asker.as_ref()?;
        if !self.can_ask() {
            return None;
        }
        let (give, take) = mpsc::channel(MOST_OPEN);
        let mut state = self.state();
        let answered = Arc::<AtomicBool>::default();
        let listener = Listener {
            owner: asker.owner.clone(),
            one_client: asker.one_client,
            task: asker.task.clone(),
            asked: give,
            lent: 0,
            answered: answered.clone(),
        };
        state.calls.insert(id, listener);
        let own = asker.task.as_deref().map(|task| state.unhold(|held| held.task.as_deref() == Some(task)));
        let own = own.into_iter().flatten();
        let left_over: Vec<_> = own.filter_map(|held| state.deliver(id, held.question)).collect();
        drop(state);
        // Dropping questions answers them, which takes the lock.
        drop(left_over);
        let (owner, about) = (asker.owner.clone(), self.asks.about(out));
        Some(Floor { questions: self.clone(), id, owner, about, asked: take, answered, turn })
    }

    /// A request of the server that names no call. Comes back with what was asked although no client declared it. Must
    /// run where tasks can be spawned.
    pub(super) fn take(self: &Arc<Self>, request: Request, respond: &Respond) -> Option<ClientCaps> {
        let question = match self.take_own(request, respond) {
            Taken::Question(question) => question,
            Taken::Undeclared(needed) => return Some(needed),
            Taken::Answered => return None,
        };
        self.asks.note();
        let mut state = self.state();
        let left_over = match related_task(&question) {
            Some(task) => match state.waits_for(&task) {
                Some(call) => state.deliver(call, question),
                None => self.hold(&mut state, question, Vec::new(), Some(task)),
            },
            None => self.attribute(&mut state, question),
        };
        // Dropping a question answers it, which takes the lock.
        drop(state);
        drop(left_over);
        None
    }

    /// Gives a question that names nothing to the call that it must belong to, or keeps it; comes back when it is nobody's.
    fn attribute(self: &Arc<Self>, state: &mut State, question: Question) -> Option<Question> {
        let mut of = state.candidates(self.asks.names_tasks());
        if of.is_empty() && state.calls.values().any(|call| call.task.is_some()) {
            // It can only have been asked in a task.
            self.asks.note_nameless();
            of = state.candidates(false);
        }
        let owners = state.owners(&of);
        match of.as_slice() {
            [only] if owners == 1 => state.deliver(*only, question),
            // Outside any call, or maybe for one that is over: there is nobody to ask.
            [] | [_] => Some(question),
            _ if owners > 1 && !state.left.is_empty() => Some(question),
            _ => self.hold(state, question, of, None),
        }
    }

    /// A request of the server in the middle of a call: a question for the client of that call, unless it is answered
    /// here.
    pub(super) fn take_own(self: &Arc<Self>, request: Request, respond: &Respond) -> Taken {
        if self.revision().era() == Era::Modern {
            tracing::debug!(server.id = %self.server, "a server of 2026-07-28 sent a request, which it must not");
            return Taken::Answered;
        }
        let params = request.params.map(Raw::from);
        let needed = ClientCaps::needed(&request.method, params.as_ref());
        let refusal = match needed {
            _ if request.method == Method::Ping => Some(Ok(Raw::from_static("{}"))),
            None => Some(Err(RpcError::new(code::METHOD_NOT_FOUND, "this client has no such method", None))),
            Some(needed) if !self.caps.has(needed) => Some(refused(&request.method)),
            Some(_) => None,
        };
        if let Some(refusal) = refusal {
            respond(response(&request.id, refusal), None);
            return match needed {
                Some(needed) if !self.caps.has(needed) => Taken::Undeclared(needed),
                _ => Taken::Answered,
            };
        }
        let withdrawn = CancellationToken::new();
        let place = self.places.clone().try_acquire_owned().ok();
        let place = place.filter(|_| self.state().note(&request.id, &withdrawn));
        let Some(place) = place else {
            let error = RpcError::new(code::INVALID_REQUEST, "too many open requests, or one id twice", None);
            respond(response(&request.id, Err(error)), None);
            return Taken::Answered;
        };
        let (questions, respond, id) = (Arc::downgrade(self), respond.clone(), request.id);
        let (revision, method) = (self.revision(), request.method.clone());
        let gone = withdrawn.clone();
        let answer = move |answer: Result<Raw, RpcError>| {
            // What was withdrawn is not open any more; another question may be under its id.
            if gone.is_cancelled() {
                return;
            }
            if let Some(questions) = questions.upgrade() {
                questions.state().open.remove(&id);
            }
            let answer = answer.map(|result| answer_for(revision, &method, &result));
            respond(response(&id, answer), Some(place));
        };
        Taken::Question(Question::new(request.method, params, withdrawn, answer))
    }

    /// The server says that a user is done with a page.
    pub(super) fn page_done(&self, params: Option<&Raw>) {
        self.pages.done(params);
    }

    /// The server does not want the answer to one of its requests any more.
    pub(super) fn withdraw(&self, params: Option<&Raw>) {
        let id = params.and_then(|params| params.find("requestId")).and_then(|id| Id::from_raw(&id));
        let withdrawn = id.and_then(|id| self.state().open.remove(&id));
        if let Some(withdrawn) = withdrawn {
            withdrawn.cancel();
            let over = self.state().unhold(|held| held.question.withdrawn().is_cancelled());
            drop(over);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes an open question; `false` when its id is taken.
    fn note(&mut self, id: &Id, withdrawn: &CancellationToken) -> bool {
        let fresh = !self.open.contains_key(id);
        if fresh {
            self.open.insert(id.clone(), withdrawn.clone());
        }
        fresh
    }

    /// The calls that a question may belong to which names no task.
    fn candidates(&self, tasks_are_named: bool) -> Vec<u64> {
        let open = self.calls.iter().filter(|(_, call)| !call.answered.load(Ordering::Relaxed));
        let calls = open.filter(|(_, call)| !(tasks_are_named && call.task.is_some()));
        calls.map(|(id, _)| *id).collect()
    }

    /// The oldest call that waits for a task's result.
    fn waits_for(&self, task: &str) -> Option<u64> {
        let waits = self.calls.iter().filter(|(_, call)| call.task.as_deref() == Some(task));
        waits.map(|(id, _)| *id).min()
    }

    /// How many different callers a question may be for that belongs to one of these calls.
    fn owners(&mut self, of: &[u64]) -> usize {
        self.forget_left();
        let mut owners: Vec<&Arc<str>> =
            of.iter().filter_map(|id| self.calls.get(id)).map(|call| &call.owner).collect();
        owners.extend(self.left.iter().map(|(_, owner)| owner));
        owners.sort_unstable();
        owners.dedup();
        owners.len()
    }

    fn forget_left(&mut self) {
        self.left.retain(|(since, _)| since.elapsed() < AFTERMATH);
    }

    /// Gives a question to its call; comes back when that cannot take it.
    fn deliver(&self, id: u64, question: Question) -> Option<Question> {
        match self.calls.get(&id) {
            Some(call) => call.asked.try_send(question).err().map(TrySendError::into_inner),
            None => Some(question),
        }
    }
}

impl Floor {
    /// The next question for this call; waits for ever when there is none.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn asked(&mut self) -> Question {
        match self.asked.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }

    /// A question of this call goes to its client.
    pub(super) fn note(&self, question: &Question) {
        self.questions.pages.asked(&self.owner, question);
    }

    /// The call was answered.
    pub(super) fn answered(&mut self, outcome: Option<&Outcome>) {
        self.answered.store(true, Ordering::Relaxed);
        match outcome {
            Some(Outcome::Failed { error, .. }) => self.questions.pages.failed(&self.owner, error),
            Some(Outcome::Complete(payload)) => self.questions.asks.note_quiet(self.about, payload),
            _ => {}
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let mut state = self.questions.state();
        let listener = state.calls.remove(&self.id);
        let over = if self.answered.load(Ordering::Relaxed) {
            state.settle(self.id)
        } else {
            // Whatever is held may have been this call's.
            let named = self.questions.asks.names_tasks();
            if let Some(listener) = listener.as_ref().filter(|listener| !(named && listener.task.is_some())) {
                if state.left.len() >= MOST_LEFT {
                    state.left.pop_front();
                }
                state.left.push_back((Instant::now(), listener.owner.clone()));
            }
            let over = state.unhold(|held| held.of.contains(&self.id));
            over.into_iter().map(|held| held.question).collect()
        };
        drop(state);
        // Dropping questions answers them, which takes the lock.
        drop(over);
        drop(self.turn.take());
        self.questions.asks.free();
    }
}

/// The task that a question says it belongs to.
fn related_task(question: &Question) -> Option<String> {
    question.params.as_ref()?.find_path(&["_meta", RELATED_TASK])?.find_string("taskId")
}

/// A response to a request of the server.
fn response(id: &Id, answer: Result<Raw, RpcError>) -> Raw {
    let mut message = Vec::new();
    match answer {
        Ok(result) => write_result(&mut message, id, &result),
        Err(error) => write_error(&mut message, Some(id), &error),
    }
    Raw::trusted(message)
}

#[cfg(test)]
mod tests;
