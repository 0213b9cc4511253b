//! Legacy clients before modern servers: the rounds of one call, driven here.
//!
//! `input_required` becomes questions, all at once, and their answers go into the next attempt, together with the server's
//! state byte for byte. The client sees one call. A refused elicitation is an answer; a refused sampling or roots request
//! has no form in this era, so it ends the call. A server that asks for nothing but another attempt gets it after a pause.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Raw, write_string};
use portcullis_mcp::message::{Notification, RpcError};
use portcullis_mcp::method::Method;
use portcullis_mcp::translate::cancelled;
use portcullis_model::ErrorKind;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::{RESPONSES, STATE, Wanted};
use crate::call::{Call, Event, Exchange, Outcome, Question, Refusal};
use crate::gateway::Gateway;
use crate::pipeline;

/// Attempts of one call; that of the SDKs' own drivers.
const MOST_ROUNDS: u32 = 10;
/// Before an attempt for which nothing was asked.
const PACE: Duration = Duration::from_millis(250);

/// Carries out a call of a legacy client.
pub(crate) async fn drive(gateway: &Arc<Gateway>, call: Arc<Call>) -> Exchange {
    if !call.method.has_rounds() {
        return pipeline::run(gateway, call).await;
    }
    let exchange = pipeline::run(gateway, call.clone()).await;
    if exchange.ready().is_some_and(|outcome| !matches!(outcome, Outcome::InputRequired(_))) {
        return exchange;
    }
    resume(gateway, call, exchange)
}

/// Goes on with an exchange of a legacy client's call that may end, or has ended, in a server's wish for input.
pub(crate) fn resume(gateway: &Arc<Gateway>, call: Arc<Call>, exchange: Exchange) -> Exchange {
    let limits = gateway.env.limits();
    let again = gateway.clone();
    let drive = Drive {
        again: Box::new(move |call| {
            let gateway = again.clone();
            async move { pipeline::run(&gateway, call).await }.boxed()
        }),
        streamed: exchange.is_streamed(),
        leg: Leg::Open(exchange),
        call,
        round: 0,
        let_through: false,
        deadline: Instant::now() + limits.call_max + limits.ask_timeout,
        progress: Steady::default(),
    };
    drive.into_exchange()
}

type Again = Box<dyn Fn(Arc<Call>) -> BoxFuture<'static, Exchange> + Send>;

struct Drive {
    again: Again,
    call: Arc<Call>,
    streamed: bool,
    leg: Leg,
    round: u32,
    /// An earlier attempt has reached the server.
    let_through: bool,
    /// Of all rounds together.
    deadline: Instant,
    progress: Steady,
}

enum Leg {
    Sending(BoxFuture<'static, Exchange>),
    Open(Exchange),
    Asking(Asking),
    Pausing(Pin<Box<Sleep>>, Option<Raw>),
    Over,
}

/// What was asked under which key, and the answer.
type Answered = (String, Method, Result<Raw, RpcError>);

struct Asking {
    to_ask: VecDeque<Question>,
    waiting: FuturesUnordered<BoxFuture<'static, Answered>>,
    answers: Vec<(String, Raw)>,
    state: Option<Raw>,
}

impl Drive {
    fn into_exchange(self) -> Exchange {
        let streamed = self.streamed;
        let events = futures_util::stream::unfold(self, |mut drive| async {
            drive.next().await.map(|event| (event, drive))
        });
        Exchange::live(events, streamed)
    }

    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let step = match &mut self.leg {
                Leg::Over => return None,
                Leg::Sending(sending) => {
                    self.leg = Leg::Open(sending.await);
                    continue;
                }
                Leg::Pausing(pause, state) => {
                    pause.await;
                    let state = state.take();
                    self.send(&[], state.as_ref());
                    continue;
                }
                Leg::Open(exchange) => match exchange.next().await? {
                    Event::Done(Outcome::InputRequired(result)) => self.begin_round(&result),
                    Event::Notification(notification) => match self.progress.pass(notification) {
                        Some(notification) => return Some(Event::Notification(notification)),
                        None => continue,
                    },
                    event => {
                        if matches!(event, Event::Done(_)) {
                            self.leg = Leg::Over;
                        }
                        return Some(event);
                    }
                },
                Leg::Asking(asking) => {
                    if let Some(question) = asking.to_ask.pop_front() {
                        return Some(Event::Asked(question));
                    }
                    match tokio::time::timeout_at(self.deadline, asking.waiting.next()).await {
                        Ok(Some((key, method, answer))) => asking.take(key, &method, answer),
                        Ok(None) => {
                            let (answers, state) = (std::mem::take(&mut asking.answers), asking.state.take());
                            self.send(&answers, state.as_ref());
                            Ok(())
                        }
                        Err(_) => Err(Refusal::new(ErrorKind::InputRefused, "the client took too long")),
                    }
                }
            };
            if let Err(refusal) = step {
                self.leg = Leg::Over;
                return Some(Event::Done(refusal.into()));
            }
        }
    }

    /// The server wants input.
    fn begin_round(&mut self, result: &Raw) -> Result<(), Refusal> {
        let wrong = |why: &str| Refusal::new(ErrorKind::UpstreamProtocol, format!("the server {why}"));
        self.round += 1;
        if self.round >= MOST_ROUNDS || Instant::now() >= self.deadline {
            return Err(wrong(&format!("still wants input after {} attempts", self.round)));
        }
        self.progress.begin();
        let wanted = Wanted::read(result).map_err(wrong)?;
        // Once a server asks, the call has been let through to it.
        self.let_through |= !super::leave::is_asked(result);
        if wanted.requests.is_empty() {
            self.leg = Leg::Pausing(Box::pin(tokio::time::sleep(PACE)), wanted.state);
            return Ok(());
        }
        let caller = &self.call.caller;
        let caps = caller.caps.known_in(caller.revision);
        let mut asking = Asking {
            to_ask: VecDeque::new(),
            waiting: FuturesUnordered::new(),
            answers: Vec::new(),
            state: wanted.state,
        };
        for entry in wanted.requests {
            let needed = ClientCaps::needed(&entry.method, entry.params.as_ref());
            if needed.is_none_or(|needed| !caps.has(needed)) {
                let why = format!("asks for `{:.64}`, which this client did not offer", entry.method);
                return Err(wrong(&why));
            }
            let (give, answer) = oneshot::channel();
            let (key, method) = (entry.key, entry.method.clone());
            asking.waiting.push(
                async move {
                    let answer = answer.await.unwrap_or_else(|_| cancelled(&method, "no answer"));
                    (key, method, answer)
                }
                .boxed(),
            );
            let withdrawn = CancellationToken::new();
            asking.to_ask.push_back(Question::new(entry.method, entry.params, withdrawn, move |answer| {
                let _ = give.send(answer);
            }));
        }
        self.leg = Leg::Asking(asking);
        Ok(())
    }

    /// Begins the next attempt.
    fn send(&mut self, answers: &[(String, Raw)], state: Option<&Raw>) {
        let mut call = Call::clone(&self.call);
        call.let_through |= self.let_through;
        let params = call.params.take().unwrap_or_else(|| Raw::from_static("{}").into());
        let responses = write(answers);
        let responses = if answers.is_empty() { Change::Remove } else { Change::Set(&responses) };
        let state = state.map_or(Change::Remove, |state| Change::Set(state.as_bytes()));
        call.params = Some(params.with(&[(RESPONSES, responses), (STATE, state)]).into());
        self.leg = Leg::Sending((self.again)(Arc::new(call)));
    }
}

impl Asking {
    /// Takes one answer. An elicitation that was refused with an error was cancelled.
    fn take(&mut self, key: String, method: &Method, answer: Result<Raw, RpcError>) -> Result<(), Refusal> {
        let answer = match answer {
            Ok(answer) => Ok(answer),
            Err(error) => cancelled(method, &error.message()),
        };
        match answer {
            Ok(answer) => {
                self.answers.push((key, answer));
                Ok(())
            }
            Err(error) => {
                let message = format!("the client refused `{method}`: {:.200}", error.message());
                Err(Refusal::new(ErrorKind::InputRefused, message))
            }
        }
    }
}

fn write(answers: &[(String, Raw)]) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (key, answer) in answers {
        if out.len() > 1 {
            out.push(b',');
        }
        write_string(&mut out, key);
        out.push(b':');
        out.extend_from_slice(answer.as_bytes());
    }
    out.push(b'}');
    out
}

/// Keeps the progress of several attempts rising: what a later one repeats is not told again.
#[derive(Default)]
struct Steady {
    again: bool,
    highest: Option<f64>,
}

impl Steady {
    /// Another attempt begins.
    fn begin(&mut self) {
        self.again = true;
    }

    fn pass(&mut self, notification: Notification) -> Option<Notification> {
        if notification.method != Method::Progress {
            return Some(notification);
        }
        let progress = notification.params.as_ref().and_then(|params| params.find("progress")?.f64());
        let Some(progress) = progress else { return Some(notification) };
        if self.again && self.highest.is_some_and(|highest| progress <= highest) {
            return None;
        }
        self.highest = Some(self.highest.map_or(progress, |highest| highest.max(progress)));
        Some(notification)
    }
}

#[cfg(test)]
mod tests;
