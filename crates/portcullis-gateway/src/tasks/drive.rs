//! Waiting for what comes of a task at its server: for a client that asked for the result of a task (`tasks/result`), or
//! for one that is to know of no task at all.
//!
//! A server of 2025-11-25 has a request for that, which also carries what it asks. One with the extension is asked again
//! and again, at the pace that it wishes; what it asks stands in the task and is answered by `tasks/update`.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use portcullis_mcp::json::{Change, Raw, write_string};
use portcullis_mcp::message::{Notification, RpcError, code};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_mcp::translate::task::{self, Status};
use portcullis_model::ErrorKind;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hop::{CancelTask, Hop};
use crate::call::{Event, Exchange, Outcome, Question, Refusal};
use crate::crossing::Crossing;

/// Bounds on a server's wish for how often it is asked.
const QUICKEST: Duration = Duration::from_millis(50);
const SLOWEST: Duration = Duration::from_secs(30);
/// How often it is asked that has no wish.
const USUAL: Duration = Duration::from_millis(500);
/// Questions of one task over its life; beyond that it is given up.
const MOST_ASKED: usize = 256;
/// Their keys are kept, lest one is asked twice.
const LONGEST_KEY: usize = 1024;

/// How an outcome gets to the client.
pub(super) struct Way {
    /// In which era the server has the task.
    pub(super) era: Era,
    pub(super) crossing: Crossing,
    /// The client's id for the task, when it is to be told that the result is the task's.
    pub(super) related: Option<String>,
    /// Nobody else knows of the task: it is cancelled when nobody waits any more.
    pub(super) ours: bool,
}

impl Way {
    fn outcome(&self, outcome: Outcome) -> Outcome {
        match (self.crossing.outcome(outcome), &self.related) {
            (Outcome::Complete(Payload { result, era }), Some(id)) => {
                Outcome::Complete(Payload { result: task::with_related(&result, id).into(), era })
            }
            (Outcome::Complete(Payload { result, era }), None) => {
                Outcome::Complete(Payload { result: task::without_related(&result).into(), era })
            }
            (outcome, _) => outcome,
        }
    }

    /// Params of a question, saying to which of the client's tasks it belongs.
    fn params(&self, method: &Method, params: Option<&Raw>) -> Option<Raw> {
        let params = self.crossing.asked(method, params).map(|params| task::without_related(&params));
        match &self.related {
            Some(id) => Some(task::with_related(&params.unwrap_or_else(|| Raw::from_static("{}")), id)),
            None => params,
        }
    }
}

/// Waits for what comes of a task. `known` is the task as the server described it, if it has.
pub(super) fn drive(hop: Hop, way: Way, known: Option<&Raw>) -> Exchange {
    let mut guard = CancelTask::armed(&hop);
    if !way.ours {
        guard.disarm();
    }
    let last = Instant::now() + hop.server.env().limits().call_max;
    match way.era {
        Era::Legacy => {
            let start = Legacy { hop, way, exchange: None, guard, last };
            let events = futures_util::stream::unfold(Some(start), |legacy| async { legacy?.next().await });
            Exchange::live(events, true)
        }
        Era::Modern => {
            let poll = Poll {
                next: Instant::now() + known.map_or(Duration::ZERO, pace),
                hop,
                way,
                guard,
                last,
                told: None,
                steps: 0,
                asked: HashSet::new(),
                answers: FuturesUnordered::new(),
                events: VecDeque::new(),
            };
            let events = futures_util::stream::unfold(Some(poll), |poll| async { poll?.event().await });
            Exchange::live(events, false)
        }
    }
}

/// `tasks/result` of 2025-11-25.
struct Legacy {
    hop: Hop,
    way: Way,
    exchange: Option<Exchange>,
    guard: CancelTask,
    last: Instant,
}

impl Legacy {
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        let next = async {
            if self.exchange.is_none() {
                self.exchange = Some(self.hop.exchange(Method::TasksResult).await);
            }
            match &mut self.exchange {
                Some(exchange) => exchange.next().await,
                None => None,
            }
        };
        let event = tokio::time::timeout_at(self.last, next).await;
        match event {
            Ok(Some(Event::Asked(mut question))) => {
                question.params = self.way.params(&question.method, question.params.as_ref());
                Some((Event::Asked(question), Some(self)))
            }
            Ok(Some(Event::Done(outcome))) => {
                if !matches!(outcome, Outcome::Refused(_)) {
                    self.guard.disarm();
                }
                Some((Event::Done(self.way.outcome(outcome)), None))
            }
            Ok(Some(event)) => Some((event, Some(self))),
            Ok(None) => {
                let refusal = Refusal::new(ErrorKind::UpstreamClosed, "the server broke off its answer");
                Some((Event::Done(refusal.into()), None))
            }
            Err(_) => Some((Event::Done(too_long()), None)),
        }
    }
}

type Answered = (String, Method, Result<Raw, RpcError>);

/// `tasks/get` of the extension, until there is an end.
struct Poll {
    hop: Hop,
    way: Way,
    guard: CancelTask,
    next: Instant,
    last: Instant,
    /// The server's last word on how it goes.
    told: Option<String>,
    steps: u64,
    /// Keys of what the client was asked.
    asked: HashSet<String>,
    answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    events: VecDeque<Event>,
}

impl Poll {
    async fn event(mut self) -> Option<(Event, Option<Self>)> {
        loop {
            match self.events.pop_front() {
                Some(event @ Event::Done(_)) => return Some((event, None)),
                Some(event) => return Some((event, Some(self))),
                None => {}
            }
            let ended = tokio::select! {
                Some(answered) = self.answers.next(), if !self.answers.is_empty() => self.give(answered).await,
                () = tokio::time::sleep_until(self.next) => self.look().await,
                () = tokio::time::sleep_until(self.last) => Some(too_long()),
            };
            self.events.extend(ended.map(Event::Done));
        }
    }

    /// Asks how it goes.
    async fn look(&mut self) -> Option<Outcome> {
        let task = match self.hop.ask(Method::TasksGet, &[]).await {
            Ok(payload) => payload.result.into_raw(),
            Err(outcome) => return Some(self.way.outcome(outcome)),
        };
        self.next = Instant::now() + pace(&task);
        let status = Status::of(&task);
        if status.is_none_or(Status::is_terminal) {
            self.guard.disarm();
        }
        if let Some(ending) = task::ending(&task) {
            return Some(self.way.outcome(match ending {
                Ok(result) => Outcome::Complete(Payload { result: result.into(), era: Era::Modern }),
                Err(error) => Outcome::Failed { error, era: Era::Modern },
            }));
        }
        match status {
            Some(Status::Working) => self.tell(&task),
            Some(Status::InputRequired) => return self.ask(&task),
            Some(Status::Cancelled) => return Some(cancelled()),
            _ => {
                let message = "the server gave a task a status that there is not";
                return Some(Refusal::new(ErrorKind::UpstreamProtocol, message).into());
            }
        }
        None
    }

    /// A word on how it goes is as good as progress.
    fn tell(&mut self, task: &Raw) {
        let message = task.find_string("statusMessage");
        let (Some(token), Some(message)) = (self.hop.progress_token(), message) else { return };
        if self.told.as_deref() == Some(message.as_str()) {
            return;
        }
        self.steps += 1;
        let mut params =
            format!("{{\"progressToken\":{token},\"progress\":{},\"message\":", self.steps).into_bytes();
        write_string(&mut params, &message);
        params.push(b'}');
        let params = Some(Raw::trusted(params));
        self.events.push_back(Event::Notification(Notification { method: Method::Progress, params }));
        self.told = Some(message);
    }

    /// Asks the client what it was not asked yet.
    fn ask(&mut self, task: &Raw) -> Option<Outcome> {
        let requests = task.find("inputRequests")?;
        for member in requests.members() {
            let (key, request) = (member.key().into_owned(), member.value());
            let Some(method) = request.find_string("method").map(|method| Method::parse(&method)) else {
                continue;
            };
            if self.asked.contains(&key) {
                continue;
            }
            if self.asked.len() >= MOST_ASKED || key.len() > LONGEST_KEY {
                let message = "the server asks without end in one task";
                return Some(Refusal::new(ErrorKind::UpstreamProtocol, message).into());
            }
            self.asked.insert(key.clone());
            let (answer, answered) = oneshot::channel();
            let params = self.way.params(&method, request.find("params").as_ref());
            let question = Question::new(method.clone(), params, CancellationToken::new(), move |given| {
                let _ = answer.send(given);
            });
            self.events.push_back(Event::Asked(question));
            self.answers.push(Box::pin(async move {
                let answer = answered
                    .await
                    .unwrap_or_else(|_| portcullis_mcp::translate::cancelled(&method, "no answer"));
                (key, method, answer)
            }));
        }
        None
    }

    /// Gives the server an answer of the client's.
    async fn give(&mut self, (key, method, answer): Answered) -> Option<Outcome> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) if method == Method::CreateElicitation => Raw::from_static(r#"{"action":"cancel"}"#),
            // The extension has no word for a refusal of these (SEP-2322).
            Err(error) => {
                self.hop.cancel_aside();
                self.guard.disarm();
                let message = format!("the client did not answer {method}: {:.200}", error.message());
                return Some(self.way.outcome(failed(&message)));
            }
        };
        let responses = Raw::from_static("{}").with(&[(&key, Change::Set(answer.as_bytes()))]);
        // Soon, for the server has what it waited for.
        self.next = self.next.min(Instant::now() + QUICKEST);
        let given = self.hop.ask(Method::TasksUpdate, &[("inputResponses", &responses)]).await;
        given.err().map(|outcome| self.way.outcome(outcome))
    }
}

/// How long to wait before the server is asked again.
pub(super) fn pace(task: &Raw) -> Duration {
    let wish = task.find("pollIntervalMs").or_else(|| task.find("pollInterval"));
    wish.and_then(|wish| wish.u64()).map_or(USUAL, Duration::from_millis).clamp(QUICKEST, SLOWEST)
}

/// A result that says that the tool failed.
fn failed(message: &str) -> Outcome {
    let mut out = b"{\"content\":[{\"type\":\"text\",\"text\":".to_vec();
    write_string(&mut out, message);
    out.extend_from_slice(b"}],\"isError\":true,\"resultType\":\"complete\"}");
    Outcome::Complete(Payload { result: Raw::trusted(out).into(), era: Era::Modern })
}

/// The answer to who waits for a task that was cancelled.
pub(super) fn cancelled() -> Outcome {
    Outcome::Failed { error: RpcError::new(code::INTERNAL, "the task was cancelled", None), era: Era::Legacy }
}

fn too_long() -> Outcome {
    let message = "the task takes longer than a request may last (limits.call_max); ask again";
    Refusal::new(ErrorKind::UpstreamTimeout, message).into()
}
