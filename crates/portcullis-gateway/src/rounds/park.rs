//! Modern clients before servers that ask in the middle of a call.
//!
//! What a server asks is collected for a moment, the call is parked, and the client is told `input_required`. It comes
//! back with answers and the sealed state, gets its call back, and the same call goes on. Progress and log messages that
//! arrive while nobody listens are dropped. A client that leaves the stream of a later round has cancelled the call.

use std::sync::Arc;

use futures_util::FutureExt as _;
use portcullis_mcp::json::{Change, Kind, Raw};
use portcullis_mcp::message::Notification;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_mcp::translate::{Asked, input_requests, input_required, question_for};
use portcullis_model::ErrorKind;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::habits::Whose;
use super::lot::{Bounds, Full, Parked, Place};
use super::state::{Identity, State, refuse};
use super::{MOST_ASKED, RESPONSES, STATE};
use crate::call::{Call, Caller, Event, Exchange, LogLevel, Outcome, Question, Refusal};
use crate::gateway::Gateway;
use crate::pipeline;
use crate::route::HeldTo;

/// What arrived while the call was parked is looked through up to so many messages.
const MOST_MISSED: usize = 10_000;
/// Rounds of one call.
const MOST_ROUNDS: u32 = 100;

/// Carries out a call of a modern client.
pub(crate) async fn run(gateway: &Arc<Gateway>, mut call: Arc<Call>) -> Exchange {
    if !call.method.has_rounds() {
        return pipeline::run(gateway, call).await;
    }
    let state = call.params.as_ref().and_then(|params| params.find(STATE));
    if let Some(state) = state {
        let identity = Identity::of(&call);
        match identity.open(&gateway.sealer, &state) {
            Ok(State::Parked(place)) => {
                // What was permitted when the call began may not be any more.
                if let Err(refusal) = Box::pin(pipeline::permit_again(gateway, &call)).await {
                    drop(gateway.lot.claim(place));
                    return pipeline::refuse(gateway, &call, refusal);
                }
                return resume(gateway, &call, identity, place);
            }
            // The rest is between the client and the server.
            Ok(State::Relayed { whose, .. } | State::Visited { whose }) => {
                // The version that asked is the one that can go on, and that the page was for.
                if let Some(held_to) = HeldTo::of(&whose) {
                    let caller = Caller { held_to: Some(held_to.into()), ..Caller::clone(&call.caller) };
                    call = Arc::new(Call { caller: caller.into(), ..Call::clone(&call) });
                }
            }
            Ok(State::Asked { .. }) => {}
            Err(refusal) => return pipeline::refuse(gateway, &call, refusal),
        }
    }
    if !call.caller.caps.answers() {
        return pipeline::run(gateway, call).await;
    }
    let (identity, whose) = (Identity::of(&call), gateway.lot.habits.whose(&call));
    let record = call.record.clone();
    let exchange = pipeline::run(gateway, call).await;
    if exchange.is_ready() {
        return exchange;
    }
    let streamed = exchange.is_streamed();
    let round = Round {
        gateway: gateway.clone(),
        identity,
        parked: Some(Parked { asked: Vec::new(), exchange, keys: 0, alone: false, record }),
        place: Place::new(),
        whose,
        until: None,
        listens: None,
    };
    Exchange::live(round.into_events(), streamed)
}

/// The client has come back to a parked call.
fn resume(gateway: &Arc<Gateway>, call: &Call, identity: Identity, place: Place) -> Exchange {
    let Some(mut parked) = gateway.lot.claim(place) else {
        let gone = refuse("was used already, or its call is over");
        return pipeline::refuse(gateway, call, gone);
    };
    call.record.continues(&parked.record);
    parked.record = call.record.clone();
    let (habits, whose) = (&gateway.lot.habits, gateway.lot.habits.whose(call));
    let outcome = parked.catch_up();
    // What it asked before anything was answered, it asked together.
    habits.note(whose, parked.alone && parked.asked.len() == 1);
    if let Some(outcome) = outcome {
        return Exchange::done(outcome);
    }
    parked.answer(call.params.as_ref().and_then(|params| params.find(RESPONSES)).as_ref());
    // What was not answered is asked again; what else the server asks now goes along.
    let until = (!parked.asked.is_empty()).then(|| Instant::now() + habits.moment(whose));
    let round = Round {
        gateway: gateway.clone(),
        identity,
        parked: Some(parked),
        place: place.next(),
        whose,
        until,
        listens: Some(Listens { progress_token: call.progress_token.clone(), log_level: call.log_level }),
    };
    Exchange::live(round.into_events(), true)
}

impl Parked {
    fn ask(&mut self, question: Question) {
        self.keys += 1;
        self.asked.push((format!("q{}", self.keys), question));
    }

    /// Looks through what came while the call was parked: the outcome, if it is there; what else was asked is kept.
    fn catch_up(&mut self) -> Option<Outcome> {
        for _ in 0..MOST_MISSED {
            match self.exchange.next().now_or_never()? {
                Some(Event::Done(outcome)) => return Some(outcome),
                Some(Event::Asked(question)) if self.asked.len() < MOST_ASKED => self.ask(question),
                Some(Event::Asked(_) | Event::Notification(_) | Event::Paused { .. }) => {}
                None => {
                    let closed = Refusal::new(ErrorKind::UpstreamClosed, "the server broke off its answer");
                    return Some(closed.into());
                }
            }
        }
        None
    }

    /// Gives the server the answers that the client brought. Keys that nobody asked for are passed over.
    fn answer(&mut self, responses: Option<&Raw>) {
        let asked = std::mem::take(&mut self.asked);
        for (key, question) in asked {
            let answer = responses.and_then(|responses| responses.find(&key));
            match answer.filter(|answer| answer.kind() == Kind::Object) {
                Some(answer) => question.answer(Ok(answer)),
                None => self.asked.push((key, question)),
            }
        }
    }
}

/// What the client of a later round listens to; the call itself was made for the first one's.
struct Listens {
    progress_token: Option<Raw>,
    log_level: Option<LogLevel>,
}

impl Listens {
    fn hear(&self, notification: Notification) -> Option<Notification> {
        match notification.method {
            Method::Progress => {
                let token = self.progress_token.as_ref()?;
                let params = notification.params?.with(&[("progressToken", Change::Set(token.as_bytes()))]);
                Some(Notification { method: Method::Progress, params: Some(params) })
            }
            Method::LogMessage => {
                let level = notification.params.as_ref()?.find_string("level")?;
                (LogLevel::parse(&level)? >= self.log_level?).then_some(notification)
            }
            _ => Some(notification),
        }
    }
}

/// One round of a call, up to its outcome or the next questions.
struct Round {
    gateway: Arc<Gateway>,
    identity: Identity,
    /// `None` once the round is over.
    parked: Option<Parked>,
    place: Place,
    whose: Whose,
    /// Until when questions are collected.
    until: Option<Instant>,
    listens: Option<Listens>,
}

impl Round {
    fn into_events(self) -> impl futures_util::Stream<Item = Event> + Send {
        futures_util::stream::unfold(self, |mut round| async {
            round.next().await.map(|event| (event, round))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let parked = self.parked.as_mut()?;
            let next = parked.exchange.next();
            let event = match self.until {
                None => next.await,
                Some(until) => {
                    let event = if until > Instant::now() {
                        timeout_at(until, next).await.ok()
                    } else {
                        // Nothing is waited for, but what has arrived goes along.
                        tokio::select! {
                            biased;
                            event = next => Some(event),
                            () = yield_now() => None,
                        }
                    };
                    let Some(event) = event else {
                        self.until = None;
                        parked.asked.retain(|(_, question)| !question.withdrawn().is_cancelled());
                        if parked.asked.is_empty() {
                            continue;
                        }
                        return self.park().map(Event::Done);
                    };
                    event
                }
            };
            match event {
                Some(Event::Asked(question)) => {
                    if parked.asked.len() < MOST_ASKED {
                        parked.ask(question);
                    }
                    let moment = self.gateway.lot.habits.moment(self.whose);
                    self.until.get_or_insert_with(|| Instant::now() + moment);
                }
                Some(Event::Notification(notification)) => {
                    let heard = match &self.listens {
                        Some(listens) => listens.hear(notification),
                        None => Some(notification),
                    };
                    if let Some(heard) = heard {
                        return Some(Event::Notification(heard));
                    }
                }
                Some(Event::Paused { .. }) if self.until.is_some() => {}
                Some(Event::Done(outcome)) => {
                    self.parked = None;
                    return Some(Event::Done(outcome));
                }
                other => return other,
            }
        }
    }

    /// Parks the call and says what the client is asked.
    fn park(&mut self) -> Option<Outcome> {
        let mut parked = self.parked.take()?;
        parked.alone = parked.asked.len() == 1;
        let gateway = &self.gateway;
        let limits = gateway.env.limits();
        if self.place.round >= MOST_ROUNDS {
            let message = format!("the server asked in more than {MOST_ROUNDS} rounds");
            return Some(Refusal::new(ErrorKind::UpstreamProtocol, message).into());
        }
        let patience = limits.ask_timeout;
        let state = self.identity.seal(&gateway.sealer, patience, &State::Parked(self.place));
        let info = gateway.server_info(self.identity.endpoint(), self.identity.caller());
        let result = write(&parked.asked, &state, &info);
        let bounds = Bounds { all: limits.parked_calls, each: limits.parked_per_client, patience };
        let owner = &self.identity.caller().principal;
        Some(match gateway.lot.park(self.place, owner, parked, bounds, &gateway.env.control) {
            Ok(()) => Outcome::InputRequired(result),
            Err(full) => too_many(full).into(),
        })
    }
}

fn too_many(full: Full) -> Refusal {
    match full {
        Full::All => {
            let message = "too many calls wait for their clients' answers; try again later";
            Refusal::new(ErrorKind::Overloaded, message)
        }
        Full::Caller => {
            let message = "too many of your calls wait for your answers; give some of them first";
            Refusal::new(ErrorKind::TooManyRequests, message)
        }
    }
}

/// What a modern client is told.
fn write(asked: &[(String, Question)], state: &str, server_info: &Raw) -> Raw {
    let requests = asked.iter().map(|(name, Question { method, params, .. })| {
        // The newest revision has words for everything.
        let params = match question_for(Revision::NEWEST, method, params.as_ref(), "") {
            Asked::With(params) => params,
            Asked::Answered(_) => None,
        };
        (name.as_str(), method, params)
    });
    input_required(&input_requests(requests), state, server_info)
}
