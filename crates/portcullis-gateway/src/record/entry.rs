//! The entry of one request in the evidence log, from the moment that it came in.
//!
//! An [`Entry`] goes along with its call, and whoever learns something on the way notes it there. Who answers the client holds
//! the [`Open`] entry, and can only answer with what comes out of it, which is [`OnRecord`]: so nothing is answered that is not
//! in the log, and an entry that is dropped unanswered says that the client went away. Where nothing is kept as evidence an
//! entry is empty and costs nothing.
//!
//! What a server says after its client was answered (a task, a parked call that nobody came back to) is an event of its own,
//! which names this one.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use portcullis_audit::{EventId, Finding, Kind, Phase};
use portcullis_config::Direction;
use portcullis_mcp::json::Object;
use portcullis_mcp::method::Method;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_oversight::Approval;

use super::evidence::{Evidence, Pending};
use super::human::{self, Said};
use super::written;
use crate::admit::Ruled;
use crate::call::{Call, Outcome, Refusal};
use crate::inspect::Findings;
use crate::route::Listed;
use crate::upstream::Server;

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Streamable HTTP.
    Http,
    /// HTTP+SSE.
    Sse,
}

/// What is known of a request, for the log. Empty where nothing is kept.
#[derive(Clone, Default)]
pub(crate) struct Entry(Option<Arc<Inner>>);

pub(super) struct Inner {
    pub(super) evidence: Arc<Evidence>,
    pub(super) transport: Transport,
    pub(super) came: SystemTime,
    pub(super) began: Instant,
    id: OnceLock<EventId>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    facts: Facts,
    ended: bool,
    /// The request with which the client came back to the same call.
    continued: Option<Entry>,
}

/// The word of the dictionary for the way that something went.
fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "input",
        Direction::ToClient => "output",
    }
}

/// What was noted on the way.
#[derive(Clone, Default)]
pub(super) struct Facts {
    /// What the client sent, where it is not what the call goes on with.
    pub(super) input: Option<Bytes>,
    pub(super) server: Option<Target>,
    pub(super) listed: Option<Listed>,
    pub(super) decision: Option<Ruled>,
    /// What people said about it.
    pub(super) human: portcullis_audit::Human,
    /// What its caller had read before.
    pub(super) taint: Vec<String>,
    /// The guard's rules that come with the policies that permit it.
    pub(super) obligations: Vec<String>,
    pub(super) findings: Vec<Finding<Cow<'static, str>>>,
    /// Of the span, where the client named none.
    pub(super) trace: Option<portcullis_telemetry::TraceContext>,
    pub(super) attempts: u32,
    pub(super) upstream: Duration,
    /// The HTTP status of its server's last answer.
    pub(super) upstream_status: Option<u16>,
    pub(super) intent: Option<EventId>,
    /// The request that this one continues.
    pub(super) parent: Option<EventId>,
}

/// Whom a call is for.
#[derive(Clone)]
pub(super) enum Target {
    Server(Arc<Server>),
    Id(ServerId),
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry")
    }
}

impl Entry {
    /// Begins the entry of a request that came just now.
    pub(crate) fn begin(evidence: Option<&Arc<Evidence>>, transport: Transport) -> Self {
        Self(evidence.map(|evidence| {
            Arc::new(Inner {
                evidence: evidence.clone(),
                transport,
                came: SystemTime::now(),
                began: Instant::now(),
                id: OnceLock::new(),
                state: Mutex::default(),
            })
        }))
    }

    fn note(&self, note: impl FnOnce(&mut Facts)) {
        if let Some(inner) = &self.0 {
            note(&mut inner.state().facts);
        }
    }

    /// The call goes to this server, and is of this thing of its lists.
    pub(crate) fn goes_to(&self, server: &Arc<Server>, listed: Option<&Listed>) {
        self.note(|facts| {
            facts.server = Some(Target::Server(server.clone()));
            facts.listed = listed.cloned();
        });
    }

    /// These are the params as the client sent them; from now on there is more in them.
    pub(crate) fn sent(&self, params: Option<&Object>) {
        self.note(|facts| facts.input = params.map(written::input));
    }

    /// The request is about something at this server.
    pub(crate) fn is_about(&self, server: &ServerId) {
        self.note(|facts| facts.server = Some(Target::Id(server.clone())));
    }

    /// The policies have spoken.
    pub(crate) fn ruled(&self, ruled: Ruled) {
        self.note(|facts| facts.decision = Some(ruled));
    }

    /// Somebody was asked about the call or its result, or has decided.
    pub(crate) fn said(&self, approval: &Approval, said: Said) {
        if let Some(inner) = &self.0 {
            inner.state().facts.human = human::of_approval(&inner.evidence, approval, said);
        }
    }

    /// What its caller had read before, which it depends on whether it may be made.
    pub(crate) fn after(&self, taint: Vec<String>) {
        self.note(|facts| facts.taint = taint);
    }

    /// The guard's rules that come with the policies that permit it.
    pub(crate) fn obliged(&self, rules: Vec<String>) {
        self.note(|facts| facts.obligations = rules);
    }

    /// The name of the event that this becomes.
    pub(crate) fn event(&self) -> Option<EventId> {
        self.0.as_ref().map(|inner| inner.id())
    }

    /// The trace that the call's own span is in.
    pub(crate) fn traced(&self, context: Option<portcullis_telemetry::TraceContext>) {
        self.note(|facts| facts.trace = context);
    }

    /// What the guard found, and what was done.
    pub(crate) fn found(&self, findings: &Findings) {
        self.note(|facts| {
            facts.findings.extend(findings.counts.iter().map(|((direction, entity, action), count)| {
                Finding {
                    rule: entity.name().into(),
                    action: action.name().into(),
                    count: u64::try_from(*count).unwrap_or(u64::MAX),
                    side: Some(side(*direction).into()),
                }
            }));
        });
    }

    /// The client came back with this request to the call that began with `first`.
    pub(crate) fn continues(&self, first: &Self) {
        let (Some(own), Some(first)) = (&self.0, &first.0) else { return };
        let facts = {
            let mut state = first.state();
            state.continued = Some(self.clone());
            Facts {
                parent: Some(first.id()),
                input: None,
                attempts: 0,
                upstream: Duration::ZERO,
                upstream_status: None,
                ..state.facts.clone()
            }
        };
        own.state().facts = facts;
    }

    /// Before a call is sent that may change something: where answers wait for their events, this waits until it is durable
    /// that the call is about to be made.
    ///
    /// # Errors
    /// That cannot be kept; the call must not be made.
    pub(crate) async fn intent(&self, call: &Call) -> Result<(), Refusal> {
        match self.intend(call) {
            Some(intent) => intent.done().await,
            None => Ok(()),
        }
    }

    fn intend(&self, call: &Call) -> Option<Pending> {
        let inner = self.0.as_ref().filter(|inner| inner.evidence.is_strict())?;
        let mut state = inner.state();
        let facts = &state.facts;
        // Of several rounds, the first says it for all.
        if call.method != Method::ToolsCall || facts.intent.is_some() {
            return None;
        }
        if facts.listed.as_ref().is_some_and(Listed::only_reads) {
            return None;
        }
        let id = EventId::new();
        let mut event = written::of(inner, call, facts, Kind::Exchange, id);
        event.phase = Some(Phase::Intent);
        let intent = inner.evidence.record(event);
        // Noted also should it be refused, or the client leave: the call's own event says how it ended all the same.
        state.facts.intent = Some(id);
        Some(intent)
    }

    /// Whether a call may begin.
    ///
    /// # Errors
    /// Events cannot be kept now, and no answer may leave without one.
    pub(crate) fn may_begin(&self) -> Result<(), Refusal> {
        self.0.as_ref().map_or(Ok(()), |inner| inner.evidence.may_begin())
    }

    /// The server has begun its answer with this HTTP status.
    pub(crate) fn upstream_answered(&self, status: u16) {
        self.note(|facts| facts.upstream_status = Some(status));
    }

    /// An attempt at the server has ended.
    pub(crate) fn attempted(&self, call: &Call, reason: Option<&str>, took: Duration) {
        let Some(inner) = &self.0 else { return };
        let (facts, continued) = {
            let mut state = inner.state();
            if !state.ended {
                state.facts.attempts += 1;
                state.facts.upstream += took;
                return;
            }
            (state.facts.clone(), state.continued.clone())
        };
        if let Some(later) = continued {
            return later.attempted(call, reason, took);
        }
        let mut event = written::of(inner, call, &facts, Kind::Task, EventId::new());
        event.parent = event.parent.or_else(|| Some(inner.id()));
        written::late(&mut event, reason, took, facts.upstream_status);
        // Nobody waits for it: the client has its answer.
        inner.evidence.append(event);
    }

    /// Whether anything is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn inner(&self) -> Option<&Arc<Inner>> {
        self.0.as_ref()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the event that is written when the request has been answered.
    pub(super) fn id(&self) -> EventId {
        *self.id.get_or_init(|| EventId::at(self.came))
    }

    /// What was noted until now.
    pub(super) fn facts(&self) -> Facts {
        self.state().facts.clone()
    }

    /// Marks the end of a call that its client is told of like this, and writes it down.
    fn end(&self, call: &Call, outcome: &Outcome) -> Pending {
        let mut state = self.state();
        state.ended = true;
        // Written under the lock: nobody else has anything to note now, and what was noted need not be copied.
        self.evidence.record(written::answered(self, call, &state.facts, outcome))
    }

    /// The same where nobody is there any more to be told.
    fn abandon(&self, call: &Call, outcome: &Outcome) {
        let mut state = self.state();
        state.ended = true;
        self.evidence.append(written::answered(self, call, &state.facts, outcome));
    }
}

/// The entry of a request that is to be answered. Dropped, it says that the client did not wait for the answer.
pub(crate) struct Open {
    call: Arc<Call>,
    ended: bool,
}

/// How a request ended, on record; made by [`Open::answer`] alone.
pub(crate) struct OnRecord(Outcome);

impl Open {
    pub(crate) fn new(call: Arc<Call>) -> Self {
        Self { call, ended: false }
    }

    pub(crate) fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// Puts the outcome on record. Where answers wait for their events, so does this; an outcome that cannot be kept becomes a
    /// refusal.
    pub(crate) async fn answer(&mut self, outcome: Outcome) -> OnRecord {
        if std::mem::replace(&mut self.ended, true) {
            return OnRecord(outcome);
        }
        let Some(inner) = self.call.record.inner() else { return OnRecord(outcome) };
        let recorded = inner.end(&self.call, &outcome);
        match recorded.done().await {
            Ok(()) => OnRecord(outcome),
            Err(refusal) => OnRecord(refusal.into()),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some(inner) = self.call.record.inner() {
            let left = Refusal::new(ErrorKind::Cancelled, "the client did not wait for the answer").into();
            inner.abandon(&self.call, &left);
        }
    }
}

/// What a request opened and what stays open after its answer. That it has ended is an event, too.
pub(crate) struct Lasting {
    call: Arc<Call>,
    what: &'static str,
}

impl Lasting {
    pub(crate) fn new(call: &Arc<Call>, what: &'static str) -> Self {
        Self { call: call.clone(), what }
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        let Some(inner) = self.call.record.inner() else { return };
        let facts = inner.facts();
        let mut event = written::of(inner, &self.call, &facts, Kind::Subscription, EventId::new());
        event.parent = Some(inner.id());
        event.detail.insert("what".to_owned(), self.what.to_owned());
        inner.evidence.append(event);
    }
}

impl OnRecord {
    /// What the client is answered.
    pub(crate) fn into_outcome(self) -> Outcome {
        self.0
    }
}
