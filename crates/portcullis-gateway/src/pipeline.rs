//! The life of a call, on one screen.

mod held;
mod patience;
mod sending;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::code;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_telemetry::{SpanKind, SpanName};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use self::held::Holding;
use self::patience::{Stop, Timing};
use crate::admit::{Admitted, Pass, Places, Ruled, admit};
use crate::call::{Call, Endpoint, Event, Exchange, OpenQuestions, Outcome, Refusal};
use crate::crossing::Crossing;
use crate::discovery;
use crate::gateway::Gateway;
use crate::inspect::{Content, Inspection, Subject};
use crate::oversight::{self, Recalled};
use crate::record::Recorder;
use crate::rounds::{self, Identity, Wrapping};
use crate::route::{self, ListKind, Listed, Route, resolve};
use crate::tasks::{self, Plan};
use crate::upstream::{Asker, Outgoing, Server};

/// Carries a call out: admit, route, send, and on the way back translate and record. Listening and answering are the
/// edges'. The outcome is in the caller's era.
pub(crate) async fn run(gateway: &Arc<Gateway>, call: Arc<Call>) -> Exchange {
    let call = match discovery::meant(gateway, call) {
        Ok(call) => call,
        Err((call, refusal)) => return refuse(gateway, &call, refusal),
    };
    let admitted = match admit(call, &gateway.under_way, &gateway.env.limits()) {
        Ok(admitted) => admitted,
        Err((call, refusal)) => return refuse(gateway, &call, refusal),
    };
    let kind = ListKind::of(&admitted.method);
    if let Endpoint::Server(server) = &admitted.endpoint
        && let Some(refusal) = gateway.env.oversight.stopped(&admitted.caller.principal, Some(server), None)
    {
        return refuse(gateway, &admitted, refusal);
    }
    if admitted.method.is_about_tasks() {
        return Box::pin(tasks::answer(gateway, admitted, |call, server| record_for(gateway, call, server)))
            .await;
    }
    let own = discovery::asked(gateway, &admitted);
    if kind.is_none() && own.is_none() && admitted.method != Method::Discover {
        // Pinned where it is made: to move it costs more than most of its steps.
        return pin!(forward(gateway, admitted)).await;
    }
    // A search may be a request to a service that wants to be paid.
    let target = own.and_then(|own| own.target(&admitted));
    let _taken = match target.map(|target| gateway.quotas.take(&target)).transpose() {
        Ok(taken) => taken,
        Err(refusal) => return refuse(gateway, &admitted, refusal),
    };
    let recorder = record_own(gateway, &admitted);
    // Boxed, lest every call carries the room that a list needs.
    let answered = match (kind, own) {
        (Some(kind), _) => Box::pin(route::list(gateway, &admitted, kind)).await,
        (None, Some(own)) => Box::pin(discovery::answer(gateway, &admitted, own)).await,
        (None, None) => Box::pin(discover(gateway, &admitted)).await,
    };
    let exchange = answered.unwrap_or_else(Exchange::done);
    if let Some(outcome) = exchange.ready() {
        recorder.finish(outcome);
    }
    exchange
}

/// The server's label in the metrics of what the gateway answers itself for all servers; no slug has an underscore.
const ALL_SERVERS: &str = "_all";

/// Starts the record of a call that no server is asked for.
pub(crate) fn record_own(gateway: &Gateway, call: &Call) -> Recorder {
    record_for(gateway, call, None)
}

/// Starts the record of a call that is about nothing a server lists.
fn record_for(gateway: &Gateway, call: &Call, named: Option<&ServerId>) -> Recorder {
    let server = match (named, &call.endpoint) {
        (Some(id), _) | (None, Endpoint::Server(id)) => id.as_str(),
        (None, Endpoint::Aggregate | Endpoint::Toolset(_)) => ALL_SERVERS,
    };
    if let Some(id) = named {
        call.record.is_about(id);
    }
    // What a client makes up is no label.
    let method = if matches!(call.method, Method::Other(_)) { "_other" } else { call.method.as_str() };
    let series = gateway.metrics().call_series(server, method, "");
    let tracer = gateway.tracer.load();
    let mut span = tracer.start(SpanName::new(method, None), SpanKind::Server, call.trace.as_ref());
    span.set("mcp.protocol.version", call.caller.revision.as_str());
    Recorder::start(series, vec![span], call, server, None)
}

/// A refusal of a call that goes no further, on the record.
pub(crate) fn refuse(gateway: &Gateway, call: &Call, refusal: Refusal) -> Exchange {
    let outcome = Outcome::Refused(refusal);
    record_own(gateway, call).finish(&outcome);
    Exchange::done(outcome)
}

/// The same for one in which the guard has found something.
fn stop(gateway: &Gateway, call: &Call, inspection: Inspection, outcome: impl Into<Outcome>) -> Exchange {
    let outcome = outcome.into();
    let mut recorder = record_own(gateway, call);
    recorder.inspect(inspection, call);
    recorder.finish(&outcome);
    Exchange::done(outcome)
}

async fn discover(gateway: &Gateway, call: &Call) -> Result<Exchange, Refusal> {
    let result = route::discover(gateway, &call.endpoint, &call.caller).await?;
    Ok(Exchange::done(Outcome::Complete(Payload { result: result.into(), era: Era::Modern })))
}

/// Whether a call that waited for its client may still be carried out.
///
/// # Errors
/// What was permitted when it began is not any more, or not there.
pub(crate) async fn permit_again(gateway: &Gateway, call: &Call) -> Result<(), Refusal> {
    // What stops it meanwhile ends the call itself, and it is no new call that what it is about were looked at again.
    let Some(pass) = gateway.gate.pass(&call.caller) else { return Ok(()) };
    let route = resolve(gateway, call, pass.enforced()).await?;
    let ruled = pass.rule(&call.caller, route.act(call).as_ref());
    let denied = (!ruled.allowed()).then(|| ruled.step_up().unwrap_or_else(|| route::not_there(call)));
    call.record.ruled(ruled);
    denied.map_or(Ok(()), Err)
}

/// What a caller is told whose token lacks nothing but scopes for a call, before the call begins: for clients that are answered
/// where they can be told no more which. In a toolset, which decides of arguments, it is left to the call.
pub(crate) async fn step_up(gateway: &Gateway, call: &Call) -> Option<Outcome> {
    let pass = gateway.gate.pass(&call.caller)?;
    let enforced = pass.enforced().filter(|pass| pass.could_step_up())?;
    if matches!(call.endpoint, Endpoint::Toolset(_)) {
        return None;
    }
    let route = resolve(gateway, call, Some(enforced)).await.ok()?;
    let ruled = pass.rule(&call.caller, route.act(call).as_ref());
    let outcome = Outcome::Refused(ruled.step_up()?);
    call.record.goes_to(&route.catalogue.server, route.listed());
    call.record.ruled(ruled);
    record_own(gateway, call).finish(&outcome);
    Some(outcome)
}

/// What keeps a call from being made that the caller may make: it was stopped, or what it is about is held back.
fn barred(gateway: &Gateway, call: &Call, route: &Route) -> Option<Refusal> {
    let (oversight, server) = (&gateway.env.oversight, route.catalogue.server.id());
    let stopped = oversight.stopped(&call.caller.principal, Some(server), route.tool(call));
    stopped.or_else(|| route.held(call))
}

async fn forward(gateway: &Arc<Gateway>, admitted: Admitted) -> Exchange {
    let pass = gateway.gate.pass(&admitted.caller);
    let mut route = match resolve(gateway, &admitted, pass.as_ref().and_then(Pass::enforced)).await {
        Ok(route) => route,
        Err(refusal) => {
            if let Some(ruled) = pass.as_ref().and_then(Pass::hides) {
                admitted.record.ruled(ruled);
            }
            return refuse(gateway, &admitted, refusal);
        }
    };
    admitted.record.goes_to(&route.catalogue.server, route.listed());
    let (admitted, meddled) = route.fix(admitted);
    let target = (route.catalogue.server.id().as_str(), route.tool(&admitted));
    let permitted = match admitted.permit(pass.as_ref(), |call| route.act(call), &gateway.quotas, target) {
        Ok(permitted) => permitted,
        Err(refused) => {
            let (call, refusal) = *refused;
            if let Some(refusal) = refusal {
                return refuse(gateway, &call, refusal);
            }
            Box::pin(route.look_again(&call)).await;
            return refuse(gateway, &call, route::not_there(&call));
        }
    };
    if let Some(refusal) = barred(gateway, &permitted, &route).or(meddled) {
        return refuse(gateway, &permitted, refusal);
    }
    let inspection = inspection(gateway, &permitted, &route, permitted.ruled());
    if gateway.env.oversight.asks() {
        if let Some(exchange) = Box::pin(held::recall(gateway, permitted.call(), &route)).await {
            return exchange;
        }
        if let Err(outcome) = Box::pin(held::leave(gateway, permitted.call(), &mut route, &inspection)).await
        {
            return stop(gateway, &permitted, inspection, outcome);
        }
    }
    if let Err(refusal) = reopen(gateway, permitted.call(), &mut route) {
        return refuse(gateway, &permitted, refusal);
    }
    if let Some(outcome) = nothing_to_complete(&permitted, &route) {
        record_own(gateway, &permitted).finish(&outcome);
        return Exchange::done(outcome);
    }
    if let Err(refusal) = check_mirrored(&permitted, &route) {
        return refuse(gateway, &permitted, refusal);
    }
    let (call, places) = permitted.into_parts();
    let server = route.catalogue.server.clone();
    let settings = server.settings();
    let (longest, patience) = {
        let limits = gateway.env.limits();
        (limits.call_max, limits.ask_timeout)
    };
    let plan = tasks::plan(gateway, &call, &route);
    let content = match inspection.outgoing(plan.params.clone().or_else(|| route.params.take())).await {
        Ok(content) => content,
        Err(refusal) => return stop(gateway, &call, inspection, refusal),
    };
    let holding = Holding::of(gateway, &route, content.inspection());
    let (recorder, mut out) = open(gateway, &call, &route, &plan, content);
    let began = recorder.started().into();
    let timing = Timing::new(began, settings.call_timeout, longest, patience);
    let (places, shared) = if plan.may_become_task() {
        let places = Arc::new(places);
        (Held::Together(places.clone()), Some(places))
    } else {
        (Held::Alone(places), None)
    };
    let way_back = Box::new(WayBack {
        crossing: crossing(gateway, &call, &server),
        recorder: Some(recorder),
        timing,
        open: None,
        rounds: rounds(gateway, &call, &server, patience),
        stop: Stop { call: call.clone(), server: server.clone(), tool: route.tool(&call).map(str::to_owned) },
        holding,
        tasked: plan.task.is_some(),
        visits: shows_pages(&call),
        unsent: false,
        _places: places,
        permit: None,
    });
    if plan.wants_task() {
        // Whoever wants a task need not wait until the server begins to answer.
        let (owned, crossing) = (call.clone(), way_back.crossing.clone());
        let exchange = Exchange::later(async move { carry_out(&owned, &route, &mut out, way_back).await });
        return Box::pin(tasks::receive(gateway, call, server, crossing, &plan, exchange, shared)).await;
    }
    let exchange = pin!(carry_out(&call, &route, &mut out, way_back)).await;
    if plan.is_plain(&exchange) {
        return exchange;
    }
    let crossing = crossing(gateway, &call, &server);
    Box::pin(tasks::receive(gateway, call, server, crossing, &plan, exchange, shared)).await
}

/// Waits for a place at the server, sends the call, and sees the answer on its way back.
async fn carry_out(call: &Call, route: &Route, out: &mut Outgoing, mut way_back: Box<WayBack>) -> Exchange {
    let (server, timing) = (&route.catalogue.server, way_back.timing);
    let sent = {
        // Pinned here, lest the timer moves it.
        let sending = pin!(async {
            way_back.permit = Some(server.admit().await?);
            call.record.intent(call).await?;
            Ok(sending::send(call, route, out).await)
        });
        tokio::select! {
            biased;
            sent = tokio::time::timeout_at(timing.first, sending) => sent,
            refusal = way_back.stop.wait() => Ok(Err(refusal)),
        }
    };
    match sent {
        Ok(sent) => way_back.carry(sent.unwrap_or_else(Exchange::done)).await,
        Err(_) => {
            let outcome = Outcome::Refused(timed_out(server.id(), timing.quiet));
            way_back.finish(&outcome);
            Exchange::done(outcome)
        }
    }
}

/// What is done to all that is said in a call.
fn inspection(gateway: &Gateway, call: &Call, route: &Route, ruled: Option<&Ruled>) -> Inspection {
    let inspection = Inspection::new(&gateway.env.guard(), || Subject {
        caller: call.caller.clone(),
        server: route.catalogue.server.id().clone(),
        method: call.method.clone(),
        tool: route.subject.clone().filter(|_| call.method == Method::ToolsCall),
        output_schema: route.output_schema(),
        holds: oversight::can_wait(&call.method),
        ruled: ruled.cloned(),
    });
    if call.record.is_kept() && ruled.is_some() {
        call.record.obliged(inspection.obligations());
    }
    inspection
}

/// A modern client that comes back brings the state that it was given, and the server gets its own.
fn reopen(gateway: &Gateway, call: &Arc<Call>, route: &mut Route) -> Result<(), Refusal> {
    let Some(params) = &route.params else { return Ok(()) };
    let server = &route.catalogue.server;
    let reopened = if speaks_of_rounds(call) {
        rounds::reopen(&gateway.sealer, call, server, params)?
    } else if server.takes_accounts() {
        rounds::visited(params)?
    } else {
        None
    };
    if let Some(params) = reopened {
        route.connects = server.takes_accounts();
        route.params = Some(params.into());
    }
    Ok(())
}

fn speaks_of_rounds(call: &Call) -> bool {
    call.caller.revision.era() == Era::Modern && call.method.has_rounds()
}

fn shows_pages(call: &Call) -> bool {
    let caller = &call.caller;
    call.method.has_rounds() && caller.caps.known_in(caller.revision).has(ClientCaps::ELICIT_URL)
}

fn rounds(gateway: &Gateway, call: &Arc<Call>, server: &Arc<Server>, patience: Duration) -> Option<Wrapping> {
    speaks_of_rounds(call).then(|| Wrapping {
        sealer: gateway.sealer.clone(),
        identity: Identity::of(call),
        server: server.clone(),
        patience,
    })
}

fn crossing(gateway: &Arc<Gateway>, call: &Call, server: &Arc<Server>) -> Crossing {
    let uri = if call.method == Method::ResourcesRead { call.subject.clone() } else { None };
    Crossing::new(gateway, server, &call.endpoint, &call.caller, call.method.clone(), uri)
}

/// The aggregate declares `completions` when any server has them; one that has none completes nothing.
fn nothing_to_complete(call: &Call, route: &Route) -> Option<Outcome> {
    if call.method != Method::Complete || !route.aggregate {
        return None;
    }
    let peer = route.catalogue.server.about()?;
    if peer.capabilities.find("completions").is_some() {
        return None;
    }
    let era = call.caller.revision.era();
    let result = Raw::from_static(match era {
        Era::Modern => r#"{"completion":{"values":[]},"resultType":"complete"}"#,
        Era::Legacy => r#"{"completion":{"values":[]}}"#,
    });
    Some(Outcome::Complete(Payload { result: result.into(), era }))
}

/// 2026-07-28: a mirrored header that is missing or says something else than the body is refused. Held against the
/// schema that the client was shown.
fn check_mirrored(call: &Call, route: &Route) -> Result<(), Refusal> {
    let (Some(headers), Some(mirror)) = (&call.mirrored, route.mirror_shown()) else { return Ok(()) };
    let arguments = call.params.as_ref().and_then(|params| params.find("arguments"));
    mirror
        .check(headers, arguments.as_ref())
        .map_err(|mismatch| Refusal::new(ErrorKind::HeaderMismatch, mismatch.to_string()))
}

/// Starts the record of a call and writes its outgoing form.
fn open(
    gateway: &Gateway,
    call: &Arc<Call>,
    route: &Route,
    plan: &Plan,
    content: Content,
) -> (Recorder, Outgoing) {
    let server = &route.catalogue.server;
    let name = || SpanName::new(call.method.as_str(), route.target());
    let mut trace = call.trace.clone();
    let mut spans = Vec::new();
    let tracer = gateway.tracer.load();
    if tracer.enabled() {
        let mut inner = tracer.start(name(), SpanKind::Server, trace.as_ref());
        inner.set("mcp.protocol.version", call.caller.revision.as_str());
        inner.set("rpc.jsonrpc.request_id", &*call.request_id);
        let mut outer = tracer.start(name(), SpanKind::Client, inner.context().as_ref());
        outer.set("portcullis.server.id", server.id().as_str());
        trace = outer.context();
        call.record.traced(trace.clone());
        spans.extend([outer, inner]);
    }
    let mut recorder =
        Recorder::at_server(route.series.clone(), spans, call, server.id().as_str(), route.target());
    recorder.inspect(content.inspection().clone(), call);
    let out = Outgoing {
        worker: call.worker,
        method: call.method.clone(),
        subject: route.subject.clone(),
        defined: route.listed().and_then(Listed::pin),
        caps: plan.caps,
        // A task that is made of a call asks when it is asked for its result.
        asker: asker(call, plan.caps).filter(|_| plan.task.is_none() || !server.has_tasks()),
        strict: call.caller.revision.era() == Era::Modern,
        task: plan.task.clone(),
        pinned: plan.task.is_some(),
        log_level: call.log_level,
        progress_token: call.progress_token.clone(),
        trace,
        mirrored: mirrored_headers(route, &content),
        record: call.record.clone(),
        content,
    };
    (recorder, out)
}

/// Whom the server can ask in the middle of a call. A modern client is asked by `input_required`, which not every method
/// has.
fn asker(call: &Call, caps: ClientCaps) -> Option<Asker> {
    let has_session = call.caller.revision.era() == Era::Legacy;
    let can_be = caps.answers() && (has_session || call.method.has_rounds());
    can_be.then(|| Asker { owner: call.caller.conversation.clone(), one_client: has_session, task: None })
}

/// What is mirrored is what is sent.
fn mirrored_headers(route: &Route, content: &Content) -> http::HeaderMap {
    let Some(mirror) = route.mirror() else { return http::HeaderMap::new() };
    let arguments = content.params().and_then(|params| params.find("arguments"));
    mirror.headers(arguments.as_ref()).into_iter().collect()
}

fn timed_out(server: &ServerId, after: Duration) -> Refusal {
    let message = format!("server `{server}` gave no answer and no progress for {} s", after.as_secs_f32());
    Refusal::new(ErrorKind::UpstreamTimeout, message)
}

/// What is done to an answer on its way back, and what is held until it is there.
struct WayBack {
    crossing: Crossing,
    recorder: Option<Recorder>,
    timing: Timing,
    /// Once anything has been asked.
    open: Option<OpenQuestions>,
    /// For clients that are asked by `input_required`.
    rounds: Option<Wrapping>,
    /// What ends it before its time.
    stop: Stop,
    /// Where anything is decided about calls.
    holding: Option<Holding>,
    /// A task was asked for.
    tasked: bool,
    /// The client can send its user to a page, and come back.
    visits: bool,
    /// It was never sent, so how it ended says nothing of the server.
    unsent: bool,
    _places: Held,
    permit: Option<OwnedSemaphorePermit>,
}

/// The call's place among those under way; what may become a task goes on holding it after the server's first word.
#[allow(dead_code, reason = "held, not read")]
enum Held {
    Alone(Places),
    Together(Arc<Places>),
}

impl WayBack {
    async fn carry(mut self: Box<Self>, exchange: Exchange) -> Exchange {
        let streamed = exchange.is_streamed();
        self.unsent = exchange.is_unsent();
        match exchange.into_ready() {
            // What is there already needs no timer.
            Ok(outcome) => Exchange::done(self.end(outcome).await),
            Err(exchange) => {
                let events =
                    futures_util::stream::unfold((self, exchange), |(mut back, mut exchange)| async move {
                        let event = back.next(&mut exchange).await?;
                        Some((event, (back, exchange)))
                    });
                Exchange::live(events, streamed)
            }
        }
    }

    async fn next(&mut self, exchange: &mut Exchange) -> Option<Event> {
        // The record is written with the outcome; nothing comes after it.
        self.recorder.as_ref()?;
        let outcome = match self.in_time(exchange).await {
            Ok(Some(Event::Done(outcome))) => return Some(Event::Done(self.end(outcome).await)),
            Ok(Some(Event::Asked(mut question))) => {
                self.open.get_or_insert_default().count(&mut question);
                return Some(Event::Asked(self.crossing.question(question)));
            }
            Ok(Some(event)) => {
                self.timing.heard(&event);
                return Some(event);
            }
            Ok(None) => Refusal::new(ErrorKind::UpstreamClosed, "the server broke off its answer").into(),
            Err(_) => Refusal::new(ErrorKind::UpstreamTimeout, "the server gave no answer in time").into(),
        };
        self.finish(&outcome);
        Some(Event::Done(outcome))
    }

    /// The server's outcome as the client's, on the record.
    async fn end(&mut self, mut outcome: Outcome) -> Outcome {
        if let Some(holding) = &self.holding {
            match Box::pin(holding.hold(&self.stop)).await {
                None => {}
                Some(Recalled::Given(payload)) => outcome = Outcome::Complete(payload),
                Some(Recalled::Instead(outcome)) => {
                    self.finish(&outcome);
                    return outcome;
                }
            }
        }
        let mut outcome = self.translate(tasks::recognise(self.tasked, outcome));
        if let Some(holding) = &self.holding
            && let Outcome::Complete(payload) = outcome
        {
            outcome = Outcome::Complete(Box::pin(holding.given(&self.stop, payload)).await);
        }
        self.finish(&outcome);
        outcome
    }

    /// The next event, unless the server takes too long. While the client is asked something it does not.
    async fn in_time(&mut self, exchange: &mut Exchange) -> Result<Option<Event>, Elapsed> {
        while let Some(open) = self.open.as_ref().filter(|open| open.any()) {
            let began = Instant::now();
            let event = tokio::select! {
                event = self.stop.or(tokio::time::timeout_at(self.timing.thinking(), exchange.next())) => Some(event),
                () = open.settled() => None,
            };
            self.timing.thought(began.elapsed());
            if let Some(event) = event {
                return event;
            }
        }
        self.stop.or(tokio::time::timeout_at(self.timing.next(), exchange.next())).await
    }

    fn translate(&self, outcome: Outcome) -> Outcome {
        if let Outcome::Refused(refusal) = &outcome
            && refusal.kind == ErrorKind::ConnectionRequired
            && self.visits
            && let Some(outcome) =
                rounds::ask_to_visit(self.rounds.as_ref(), refusal, &self.crossing.server_info())
        {
            return outcome;
        }
        let Some(wrapping) = &self.rounds else { return self.crossing.outcome(outcome) };
        if let Outcome::Failed { error, era: Era::Legacy } = &outcome
            && error.code() == code::URL_ELICITATION_REQUIRED
            && let Some(outcome) = rounds::wrap_url_elicitation(wrapping, error, &self.crossing.server_info())
        {
            return outcome;
        }
        match self.crossing.outcome(outcome) {
            Outcome::InputRequired(result) => Outcome::InputRequired(rounds::wrap(wrapping, &result)),
            outcome => outcome,
        }
    }

    fn finish(&mut self, outcome: &Outcome) {
        if let Some(recorder) = self.recorder.take() {
            if !self.unsent {
                self.stop.server.ended(&self.stop.call.caller.principal, outcome);
            }
            recorder.finish(outcome);
        }
    }
}
