//! What became of a call of a tool, as its client is prepared for it.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_mcp::translate::task::{self, Ending};
use portcullis_model::ErrorKind;
use tokio::time::Instant;

use super::drive::{Way, drive};
use super::handle::{Handle, Place};
use super::hop::Hop;
use super::plan::{Plan, Wish};
use super::requests::output_schema;
use super::store::{New, Owner, kept_for};
use super::work::{Next, Work};
use crate::answer::answer_of;
use crate::call::{Call, Event, Exchange, Outcome, Question, Refusal};
use crate::crossing::Crossing;
use crate::gateway::Gateway;
use crate::rounds;
use crate::upstream::Server;

/// How long a client that wants a task waits for its server to make one, or to answer, before the gateway hosts one.
const GRACE: Duration = Duration::from_secs(1);

/// A task that a server made of a call, told from a result: a server of 2025-11-25 marks it by nothing but its shape,
/// and only where one was asked for.
pub(crate) fn recognise(asked: bool, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Complete(payload)
            if asked
                && payload.era == Era::Legacy
                && task::created(Era::Legacy, &payload.result).is_some() =>
        {
            Outcome::Task(payload.result.into_raw())
        }
        other => other,
    }
}

/// Makes of an exchange what the client is prepared for. `held` is what the call holds until it has been answered.
pub(crate) async fn receive<H: Send + 'static>(
    gateway: &Arc<Gateway>,
    call: Arc<Call>,
    server: Arc<Server>,
    crossing: Crossing,
    plan: &Plan,
    exchange: Exchange,
    held: H,
) -> Exchange {
    let reception = Reception {
        gateway: gateway.clone(),
        call,
        server,
        crossing,
        tool: plan.tool.clone(),
        caps: plan.caps,
    };
    match plan.wish {
        Wish::Task(ttl) => reception.into_task(exchange, ttl, held).await,
        Wish::Either => reception.follow(exchange, true, held),
        Wish::Answer => reception.follow(exchange, false, held),
    }
}

#[derive(Clone)]
struct Reception {
    gateway: Arc<Gateway>,
    call: Arc<Call>,
    server: Arc<Server>,
    crossing: Crossing,
    /// The tool that was called, by the server's own name.
    tool: String,
    /// What the server was told of the client.
    caps: ClientCaps,
}

impl Reception {
    /// Passes an exchange on; should it end in a task, the client gets the task if it knows what that is, else what comes
    /// of it.
    fn follow<H: Send + 'static>(self, exchange: Exchange, knows: bool, held: H) -> Exchange {
        let streamed = exchange.is_streamed();
        match exchange.ready() {
            Some(Outcome::Task(made)) if knows => return Exchange::done(self.adopt(&made.clone())),
            Some(Outcome::Task(_)) | None => {}
            Some(_) => return exchange,
        }
        let start = (Some(self), exchange, held);
        let events =
            futures_util::stream::unfold(start, move |(mut reception, mut exchange, held)| async move {
                loop {
                    match (exchange.next().await?, reception.take()) {
                        (Event::Done(Outcome::Task(made)), Some(reception)) if knows => {
                            let outcome = reception.adopt(&made);
                            return Some((Event::Done(outcome), (None, exchange, held)));
                        }
                        (Event::Done(Outcome::Task(made)), Some(reception)) => {
                            exchange = reception.drive(&made);
                        }
                        (event, reception) => return Some((event, (reception, exchange, held))),
                    }
                }
            });
        Exchange::live(events, streamed)
    }

    /// Makes a task of an exchange: the server's, if it makes one, else the gateway's.
    async fn into_task<H: Send + 'static>(
        self,
        mut exchange: Exchange,
        ttl: Option<u64>,
        held: H,
    ) -> Exchange {
        let deadline = Instant::now() + GRACE;
        let mut asked = None;
        let outcome = loop {
            match tokio::time::timeout_at(deadline, exchange.next()).await {
                Ok(Some(Event::Done(outcome))) => break outcome,
                Ok(Some(Event::Asked(question))) => asked = Some(question),
                // Progress has no request to come with once the task is made.
                Ok(Some(_)) => continue,
                Ok(None) => {
                    break Refusal::new(ErrorKind::UpstreamClosed, "the server broke off its answer").into();
                }
                Err(_) => {}
            }
            return Exchange::done(self.host(exchange, asked, ttl, held));
        };
        let ending = match outcome {
            Outcome::Task(made) => return Exchange::done(self.adopt(&made)),
            // What a server wants to know before it makes a task is asked before there is one.
            Outcome::InputRequired(_) => return Exchange::done(outcome),
            other => answer_of(Era::Legacy, &Method::ToolsCall, other.clone()).map_err(|_| other),
        };
        match ending {
            Ok(result) => Exchange::done(self.host_ended(Ok(result), ttl)),
            // No task was made, and the client is told why.
            Err(outcome) => Exchange::done(outcome),
        }
    }

    /// Tells the client of a task that its server made.
    fn adopt(&self, made: &Raw) -> Outcome {
        let Some((era, id, task)) = Self::read(made) else { return no_task() };
        let to = self.crossing.to.era();
        let ttl = kept(era, &task);
        self.server.made_task(ttl);
        let place = Place::There { era, caps: self.caps, id };
        let handle = self.handle(place, ttl);
        let ours = handle.seal(&self.gateway, &self.call.caller.principal);
        let shown = |to| handle.promise(to, &task::reshape(era, to, &task, &ours));
        let result = match (era, to) {
            (Era::Legacy, Era::Legacy) => made.with(&[("task", Change::Set(shown(to).as_bytes()))]),
            (Era::Modern, Era::Modern) => {
                let id = Raw::from_text(&ours);
                handle.promise(to, &made.with(&[("taskId", Change::Set(id.as_bytes()))]))
            }
            _ => task::create_result(to, &shown(to), self.crossing.server_info().as_str()),
        };
        let legacy = shown(Era::Legacy);
        self.record(&ours, handle, legacy, ttl, None);
        Outcome::Complete(Payload { result: result.into(), era: to })
    }

    /// Waits for what comes of a task, for a client that is to know of no task.
    fn drive(self, made: &Raw) -> Exchange {
        let Some((era, id, task)) = Self::read(made) else { return Exchange::done(no_task()) };
        self.server.made_task(kept(era, &task));
        let whose = (self.server.id(), self.server.version());
        let schema = output_schema(&self.gateway, &self.call.caller, whose, &self.tool);
        let hop = Hop::new(self.server, era, id, &self.tool, &self.call).with_schema(schema);
        drive(hop, Way { era, crossing: self.crossing, related: None, ours: true }, Some(&task))
    }

    fn read(made: &Raw) -> Option<(Era, String, Raw)> {
        let era = if made.find("task").is_some() { Era::Legacy } else { Era::Modern };
        let (id, task) = task::created(era, made)?;
        Handle::is_fit(&id).then_some((era, id, task))
    }

    /// A task of the gateway's own that goes on.
    fn host<H: Send + 'static>(
        self,
        exchange: Exchange,
        asked: Option<Question>,
        ttl: Option<u64>,
        held: H,
    ) -> Outcome {
        let work = Work::new();
        let outcome = self.create(&work, ttl);
        if let Outcome::Complete(_) = &outcome {
            let next = move |outcome| {
                // The call counts among those under way until the end.
                let _ = &held;
                match outcome {
                    Outcome::Task(made) => Next::Goes(self.clone().drive(&made)),
                    Outcome::InputRequired(_) => Next::Goes(self.ask(outcome)),
                    outcome => Next::Ended(answer_of(Era::Legacy, &Method::ToolsCall, outcome)),
                }
            };
            tokio::spawn(work.run(exchange, asked, next));
        }
        outcome
    }

    /// Goes on with a call whose server wants input first.
    fn ask(&self, wanted: Outcome) -> Exchange {
        let mut call = Call::clone(&self.call);
        // It is a task already.
        call.params = call.params.map(|params| params.with(&[("task", Change::Remove)]).into());
        rounds::resume(&self.gateway, call.into(), Exchange::done(wanted))
    }

    /// A task of the gateway's own that is over already.
    fn host_ended(&self, ending: Ending, ttl: Option<u64>) -> Outcome {
        let work = Work::new();
        work.end(ending);
        self.create(&work, ttl)
    }

    fn create(&self, work: &Arc<Work>, ttl: Option<u64>) -> Outcome {
        let number = self.gateway.tasks.number();
        let ttl = kept_for(ttl);
        let handle = self.handle(Place::Here(number), Some(ttl));
        let ours = handle.seal(&self.gateway, &self.call.caller.principal);
        let legacy = work.describe(&ours, ttl);
        if !self.record(&ours, handle, legacy.clone(), Some(ttl), Some(work)) {
            let message = "as many tasks are under way for this client as may; wait for one to end";
            return Refusal::new(ErrorKind::TooManyRequests, message).into();
        }
        let result = task::create_result(Era::Legacy, &legacy, self.crossing.server_info().as_str());
        Outcome::Complete(Payload { result: result.into(), era: Era::Legacy })
    }

    fn handle(&self, place: Place, ttl: Option<u64>) -> Handle {
        let whose = (self.server.id(), self.server.version());
        Handle::new(&self.call.endpoint, whose, &self.tool, place, ttl)
    }

    fn record(
        &self,
        id: &str,
        handle: Handle,
        task: Raw,
        ttl: Option<u64>,
        work: Option<&Arc<Work>>,
    ) -> bool {
        let new = New {
            id: id.into(),
            owner: Owner::of(&self.call.caller),
            handle,
            task,
            ttl,
            work: work.cloned(),
        };
        self.gateway.tasks.add(new).is_some()
    }
}

/// How long its server keeps a task, in milliseconds; `None` is without end.
fn kept(era: Era, task: &Raw) -> Option<u64> {
    task.find(if era == Era::Legacy { "ttl" } else { "ttlMs" })?.u64()
}

fn no_task() -> Outcome {
    Refusal::new(ErrorKind::UpstreamProtocol, "the server made a task without a usable id or status").into()
}
