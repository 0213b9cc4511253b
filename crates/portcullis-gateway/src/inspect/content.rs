//! What is sent to a server, and the inspection of the call that it belongs to.
//!
//! A request to a server is made of [`Content`], and content comes from [`Inspection::outgoing`], which has read it, or is
//! the gateway's own. Content brings its inspection along, and what the server answers goes through that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_config::Direction;
use portcullis_guard::{Outcome as Result_, Report, Told};
use portcullis_mcp::json::{Object, Raw};
use portcullis_mcp::method::Method;
use portcullis_model::ServerId;

use super::aside::{self, Aside, Places};
use super::decision::{Decision, Form};
use super::findings::{self, Findings};
use super::guard::{About, Guard};
use super::holding::HeldResult;
use super::refusal;
use crate::admit::Ruled;
use crate::call::{Caller, Refusal};

/// What is sent to a server.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    params: Option<Object>,
    inspection: Inspection,
}

impl Content {
    /// The gateway's own words, on nobody's behalf. Whoever sends them reads the answer as [`super::Unread`].
    pub(crate) fn own(params: Option<Raw>) -> Self {
        Self { params: params.map(Into::into), inspection: Inspection(None) }
    }

    /// The params.
    pub(crate) fn params(&self) -> Option<&Object> {
        self.params.as_ref()
    }

    /// What the answer goes through.
    pub(crate) fn inspection(&self) -> &Inspection {
        &self.inspection
    }
}

/// What is done to all that is said in one call, and what was.
#[derive(Clone)]
pub(crate) struct Inspection(pub(super) Option<Arc<Inner>>);

pub(super) struct Inner {
    pub(super) guard: Arc<Guard>,
    pub(super) subject: Subject,
    findings: Mutex<Findings>,
    /// Somebody has approved of what is held of the arguments.
    pub(super) released: AtomicBool,
    /// The result that is held, until whoever makes the call takes it.
    pub(super) held: Mutex<Option<HeldResult>>,
}

/// What a call is about.
pub(crate) struct Subject {
    /// Whose words it carries.
    pub(crate) caller: Arc<Caller>,
    /// To whom.
    pub(crate) server: ServerId,
    /// By which policies, where that is known.
    pub(crate) ruled: Option<Ruled>,
    /// What is asked.
    pub(crate) method: Method,
    /// The server's own name of the tool, when it is one.
    pub(crate) tool: Option<String>,
    /// What the tool says that its structured results look like.
    pub(crate) output_schema: Option<Raw>,
    /// Whoever makes the call asks for approvals. Where nobody does, what is held is blocked.
    pub(crate) holds: bool,
}

/// What became of a message.
pub(super) enum Verdict {
    /// It passes as it is.
    Same,
    /// This passes instead.
    Changed(Raw),
    /// It does not pass.
    Stopped(Refusal),
}

impl Inspection {
    /// The inspection of a call. Costs nothing where the guard looks at definitions alone.
    pub(crate) fn new(guard: &Arc<Guard>, subject: impl FnOnce() -> Subject) -> Self {
        Self(guard.inspects_calls().then(|| {
            Arc::new(Inner {
                guard: guard.clone(),
                subject: subject(),
                findings: Mutex::default(),
                released: AtomicBool::new(false),
                held: Mutex::default(),
            })
        }))
    }

    /// What a client wrote, as the server may have it.
    ///
    /// # Errors
    /// It may not have it.
    pub(crate) async fn outgoing(&self, params: Option<Object>) -> Result<Content, Refusal> {
        let params = match (&self.0, params) {
            (Some(inner), Some(params)) => {
                let told = inner.ask(Direction::ToServer, inner.form(), &[params.raw()]).await;
                Some(inner.outgoing(params, told.as_ref())?)
            }
            (_, params) => params,
        };
        Ok(Content { params, inspection: self.clone() })
    }

    /// The rules that hold because of the policies that permit the call.
    pub(crate) fn obligations(&self) -> Vec<String> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let of = |direction| inner.guard.obligations(&inner.about(direction, inner.form()));
        let mut names = of(Direction::ToServer);
        names.extend(of(Direction::ToClient));
        names.sort();
        names.dedup();
        names
    }

    /// What was found so far.
    pub(crate) fn findings(&self) -> Option<Findings> {
        let inner = self.0.as_ref()?;
        let findings = inner.findings.lock().unwrap_or_else(PoisonError::into_inner);
        (!findings.is_empty()).then(|| findings.clone())
    }
}

impl std::fmt::Debug for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspection").field("inspects", &self.0.is_some()).finish_non_exhaustive()
    }
}

/// Members of params that say what is asked for: they can pass or not, but not be changed.
pub(super) const NAMES: [&str; 3] = ["name", "uri", "ref"];

impl Inner {
    pub(super) fn decide(&self, direction: Direction, form: Form) -> Arc<Decision> {
        self.guard.decide(&self.about(direction, form))
    }

    fn about(&self, direction: Direction, form: Form) -> About<'_> {
        let Subject { caller, server, tool, ruled, .. } = &self.subject;
        let (server, tool) = (server.as_str(), tool.as_deref());
        About { direction, form, server, tool, caller: Some(caller), ruled: ruled.as_ref() }
    }

    fn outgoing(&self, params: Object, told: Option<&Told>) -> Result<Object, Refusal> {
        let decision = self.decide(Direction::ToServer, self.form());
        let (rest, aside) = Aside::take(&params, aside::PARAMS);
        let run = if self.released.load(Ordering::Acquire) {
            self.run_released(&decision, &rest, told)?
        } else {
            self.run(&decision, Direction::ToServer, &rest, told)
        };
        let (rest, report) = match run {
            (Verdict::Stopped(refusal), _) => return Err(refusal),
            (Verdict::Changed(changed), report) => {
                let names = NAMES.into_iter().find(|name| changed.find(name) != rest.find(name));
                if let Some(name) = names {
                    return Err(refusal::unchangeable(&self.guard, &decision, &report, name));
                }
                (Some(changed), report)
            }
            (Verdict::Same, report) => (None, report),
        };
        let restored = self.restore(&decision, rest.as_ref().unwrap_or(params.raw()));
        match restored.or(rest) {
            Some(changed) => {
                tracing::debug!(counts = ?report.counts(), "the guard changed what goes to a server");
                Ok(aside.put_back(changed).into())
            }
            None => Ok(params),
        }
    }

    /// With the values behind the pseudonyms that this tool may open.
    fn restore(&self, decision: &Decision, params: &Raw) -> Option<Raw> {
        if decision.restore == portcullis_guard::EntitySet::NONE || self.guard.is_shadow() {
            return None;
        }
        let mut names = self.guard.vault.of(&self.subject.caller);
        match self.guard.engine.restore_json(params.as_bytes(), decision.restore, &mut names) {
            Result_::Changed { bytes, .. } => Some(Raw::trusted(bytes)),
            _ => None,
        }
    }

    /// A message on its way, without what is laid aside at `places`.
    pub(super) fn inspect(
        &self,
        direction: Direction,
        form: Form,
        (message, places): (&Raw, Places),
        told: Option<&Told>,
    ) -> (Verdict, Report) {
        let decision = self.decide(direction, form);
        if decision.idle {
            return (Verdict::Same, Report::default());
        }
        let (rest, aside) = Aside::take(&message.clone().into(), places);
        let (verdict, report) = self.run(&decision, direction, &rest, told);
        match verdict {
            Verdict::Changed(changed) => (Verdict::Changed(aside.put_back(changed)), report),
            verdict => (verdict, report),
        }
    }

    /// A text on its way to the client.
    pub(super) fn text(&self, text: &str, told: Option<&Told>) -> Result<Option<String>, Refusal> {
        let raw = Raw::from_text(text);
        match self.inspect(Direction::ToClient, Form::Message, (&raw, &[]), told).0 {
            Verdict::Same => Ok(None),
            Verdict::Changed(raw) => Ok(raw.string().map(std::borrow::Cow::into_owned)),
            Verdict::Stopped(refusal) => Err(refusal),
        }
    }

    pub(super) fn run(
        &self,
        decision: &Decision,
        direction: Direction,
        message: &Raw,
        told: Option<&Told>,
    ) -> (Verdict, Report) {
        if decision.idle {
            return (Verdict::Same, Report::default());
        }
        let mut names = self.guard.vault.of(&self.subject.caller);
        let outcome = self.guard.engine.transform(message, &decision.plan, &mut names, told);
        self.note(decision, direction, outcome)
    }

    /// What an outcome means, on the record.
    pub(super) fn note(
        &self,
        decision: &Decision,
        direction: Direction,
        outcome: Result_,
    ) -> (Verdict, Report) {
        let report = outcome.report().clone();
        if report == Report::default() {
            return (Verdict::Same, report);
        }
        let (guard, server) = (&self.guard, self.subject.server.as_str());
        let shadow = guard.is_shadow();
        findings::count(&guard.metrics, direction, &report, shadow);
        let verdict = match outcome {
            Result_::Unchanged { .. } => Verdict::Same,
            Result_::Changed { bytes, .. } => Verdict::Changed(Raw::trusted(bytes)),
            Result_::Blocked { .. } | Result_::Held { .. } => {
                Verdict::Stopped(refusal::stopped(guard, decision, direction, server, &report))
            }
        };
        self.keep(direction, &report, &verdict, shadow);
        (if shadow { Verdict::Same } else { verdict }, report)
    }

    pub(super) fn keep(&self, direction: Direction, report: &Report, verdict: &Verdict, shadow: bool) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.add(direction, report);
        findings.shadow |= shadow;
        if let Verdict::Stopped(refusal) = verdict {
            let Subject { caller, server, method, tool, .. } = &self.subject;
            tracing::info!(
                principal.id = %caller.principal,
                server.id = %server,
                method = method.as_str(),
                tool.name = tool.as_deref(),
                direction = findings::name(direction),
                why = refusal.message,
                "{}", if shadow { "guard: would be stopped (shadow)" } else { "guard: stopped" }
            );
            findings.stopped.get_or_insert_with(|| refusal.message.clone());
        }
    }
}
