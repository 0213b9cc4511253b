//! A task that the gateway itself carries on: an exchange under way, what is asked in it, and what came of it.
//!
//! Either the whole call, for a client that wants a task where the server makes none, or the request by which a server
//! of 2025-11-25 asks and answers (`tasks/result`), held open for a client that polls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_mcp::translate::task::{Ending, Status};
use portcullis_mcp::translate::{Asked, input_requests, question_for};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock;
use crate::call::{Event, Exchange, Outcome, Question};

/// Questions that are open at once in one task; what is asked beyond is cancelled.
const MOST_OPEN: usize = 64;
/// Bytes of their params.
const MOST_ASKED: usize = 4 << 20;
/// Characters of a server's word on how it goes.
const MOST_SAID: usize = 1024;
/// How often clients are advised to ask.
const POLL_MS: u64 = 500;

/// The work.
pub(super) struct Work {
    state: Mutex<State>,
    /// Counts changes, for those who wait for one.
    changed: watch::Sender<u64>,
    stop: CancellationToken,
    created: String,
}

#[derive(Default)]
struct State {
    /// By key; keys are never used twice.
    questions: BTreeMap<u64, Question>,
    next: u64,
    message: Option<String>,
    ending: Option<Ending>,
    /// It was cancelled, or is lost: nothing comes any more.
    over: bool,
    updated: String,
}

impl State {
    /// Bytes of what waits for an answer.
    fn asked(&self) -> usize {
        self.questions.values().map(size).sum()
    }
}

fn size(question: &Question) -> usize {
    question.params.as_ref().map_or(0, |params| params.as_bytes().len())
}

/// What an exchange's outcome means for the work.
pub(super) enum Next {
    /// It goes on.
    Goes(Exchange),
    /// It is done.
    Ended(Ending),
    /// Nobody knows; whoever asks next has to look anew.
    Lost,
}

impl Work {
    pub(super) fn new() -> Arc<Self> {
        let created = clock::now();
        Arc::new(Self {
            state: Mutex::new(State { updated: created.clone(), ..State::default() }),
            changed: watch::Sender::new(0),
            stop: CancellationToken::new(),
            created,
        })
    }

    /// Carries the exchange on to its end.
    pub(super) fn run(
        self: &Arc<Self>,
        mut exchange: Exchange,
        asked: Option<Question>,
        mut next: impl FnMut(Outcome) -> Next + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let work = self.clone();
        if let Some(question) = asked {
            work.ask(question);
        }
        async move {
            loop {
                let event = tokio::select! {
                    event = exchange.next() => event,
                    () = work.stop.cancelled() => return,
                };
                match event {
                    Some(Event::Notification(notification)) if notification.method == Method::Progress => {
                        work.tell(
                            notification.params.as_ref().and_then(|params| params.find_string("message")),
                        );
                    }
                    Some(Event::Notification(_) | Event::Paused { .. }) => {}
                    Some(Event::Asked(question)) => work.ask(question),
                    Some(Event::Done(outcome)) => match next(outcome) {
                        Next::Goes(other) => exchange = other,
                        Next::Ended(ending) => return work.end(ending),
                        Next::Lost => return work.lose(),
                    },
                    None => return work.lose(),
                }
            }
        }
    }

    /// It has ended so.
    pub(super) fn end(&self, ending: Ending) {
        self.change(|state| state.ending = Some(ending));
    }

    fn lose(&self) {
        self.change(|state| state.over = true);
    }

    fn tell(&self, message: Option<String>) {
        if message.is_some() {
            let message = message.map(|message| message.chars().take(MOST_SAID).collect());
            self.change(|state| state.message = message);
        }
    }

    fn ask(&self, question: Question) {
        let mut too_many = Some(question);
        self.change(|state| {
            let asked = state.asked() + too_many.as_ref().map_or(0, size);
            if state.questions.len() < MOST_OPEN && asked <= MOST_ASKED {
                state.next += 1;
                let key = state.next;
                state.questions.extend(too_many.take().map(|question| (key, question)));
            }
        });
        // Dropped, and thereby answered, without the lock.
        drop(too_many);
    }

    /// Stops it; what it is about is cancelled.
    pub(super) fn cancel(&self) {
        self.stop.cancel();
        let mut questions = BTreeMap::new();
        self.change(|state| {
            state.over = true;
            questions = std::mem::take(&mut state.questions);
        });
        drop(questions);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.updated = clock::now();
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Whether a question waits for an answer.
    pub(super) fn is_asking(&self) -> bool {
        !self.state().questions.is_empty()
    }

    /// Whether it goes on.
    pub(super) fn is_running(&self) -> bool {
        let state = self.state();
        state.ending.is_none() && !state.over
    }

    /// Whether it was stopped or lost before it came to an end.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state();
        state.ending.is_none() && state.over
    }

    /// What came of it, once it has ended.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.state().ending.clone()
    }

    /// How many bytes are kept of what it asks and of what came of it.
    pub(super) fn weight(&self) -> usize {
        let state = self.state();
        let ending = match &state.ending {
            Some(Ok(result)) => result.as_bytes().len(),
            Some(Err(error)) => error.raw().as_bytes().len(),
            None => 0,
        };
        ending + state.asked()
    }

    /// Where it stands, in the words of 2025-11-25.
    fn status(&self) -> Status {
        let state = self.state();
        match &state.ending {
            Some(Ok(result)) if result.find("isError").and_then(|flag| flag.bool()) == Some(true) => {
                Status::Failed
            }
            Some(Ok(_)) => Status::Completed,
            Some(Err(_)) => Status::Failed,
            None if state.over => Status::Cancelled,
            None if !state.questions.is_empty() => Status::InputRequired,
            None => Status::Working,
        }
    }

    /// The work as a task of 2025-11-25.
    pub(super) fn describe(&self, id: &str, ttl: u64) -> Raw {
        let status = self.status();
        let state = self.state();
        let (id, message) = (Raw::from_text(id), state.message.as_deref().map(Raw::from_text));
        let task = Raw::trusted(format!(
            "{{\"taskId\":{id},\"status\":\"{}\",\"createdAt\":\"{}\",\"lastUpdatedAt\":\"{}\",\"ttl\":{ttl},\"pollInterval\":{POLL_MS}}}",
            status.as_str(),
            self.created,
            state.updated,
        ));
        match message {
            Some(message) => task.with(&[("statusMessage", Change::Set(message.as_bytes()))]),
            None => task,
        }
    }

    /// The questions that wait for an answer, as `inputRequests`; `None` when there are none. What the client's revision
    /// cannot be asked is answered on the way.
    pub(super) fn requests(&self) -> Option<Raw> {
        let mut answered = Vec::new();
        let mut state = self.state();
        let mut members = Vec::new();
        for (key, question) in &state.questions {
            match question_for(Revision::NEWEST, &question.method, question.params.as_ref(), "") {
                Asked::With(given) => members.push((key.to_string(), question.method.clone(), given)),
                Asked::Answered(answer) => answered.push((*key, answer)),
            }
        }
        let answered: Vec<_> = answered
            .into_iter()
            .filter_map(|(key, answer)| Some((state.questions.remove(&key)?, answer)))
            .collect();
        drop(state);
        for (question, answer) in answered {
            question.answer(Ok(answer));
        }
        let asked = members.iter().map(|(key, method, given)| (key.as_str(), method, given.clone()));
        (!members.is_empty()).then(|| input_requests(asked))
    }

    /// Answers a question; a key that is unknown or was answered is nobody's business (SEP-2663).
    pub(super) fn answer(&self, key: &str, answer: Raw) {
        let question = key.parse().ok().and_then(|key: u64| self.state().questions.remove(&key));
        if let Some(question) = question {
            question.answer(Ok(answer));
            self.change(|_| {});
        }
    }

    /// The oldest question, for whoever asks it on a stream of his own.
    pub(super) fn take_question(&self) -> Option<Question> {
        self.state().questions.pop_first().map(|(_, question)| question)
    }

    /// Waits until it does not go on any more.
    pub(super) async fn stopped(&self) {
        let mut changes = self.watch();
        while self.is_running() {
            // The sender is this one's own.
            let _ = changes.changed().await;
        }
    }

    /// Tells of changes from now on.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
