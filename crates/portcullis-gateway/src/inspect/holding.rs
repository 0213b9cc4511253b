//! What the guard holds for somebody's approval: a call, for what is in its arguments, or a result.
//!
//! Leave is for exact arguments, so only what is in them, or in the name of what is asked for, can be held; what else a client
//! says, and all that a server says but for results, is blocked where a rule would hold it. What was approved passes as the rest
//! of the rules would have it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use portcullis_config::Direction;
use portcullis_guard::{Action, Outcome, Report, Told};
use portcullis_mcp::json::{Change, Object, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::translate::Payload;

use super::content::{Inner, Inspection, NAMES, Verdict};
use super::decision::{Decision, Form};
use super::{findings, refusal};
use crate::call::Refusal;

/// A call that waits.
pub(crate) struct HeldCall {
    /// Why.
    pub(crate) why: String,
    /// What its caller is told where nobody can be asked.
    pub(crate) refusal: Refusal,
    report: Report,
}

/// A result that waits.
pub(crate) struct HeldResult {
    /// Why.
    pub(crate) why: String,
    /// As it passes when somebody approves.
    pub(crate) payload: Payload,
}

const ARGUMENTS: &str = "arguments";

impl Inspection {
    /// Whether a call waits for what is in its arguments or its name.
    pub(crate) async fn holds(&self, params: Option<&Object>) -> Option<HeldCall> {
        let (inner, params) = (self.0.as_ref()?, params?);
        if !inner.subject.holds || inner.guard.is_shadow() {
            return None;
        }
        let decision = inner.decide(Direction::ToServer, inner.form());
        decision.released.as_ref()?;
        let asked = Inner::approvable(params.raw(), true);
        let told = inner.ask(Direction::ToServer, inner.form(), &[&asked]).await;
        let mut names = inner.guard.vault.of(&inner.subject.caller);
        let outcome = inner.guard.engine.transform(&asked, &decision.plan, &mut names, told.as_ref());
        let Outcome::Held { report } = outcome else { return None };
        let server = inner.subject.server.as_str();
        let refusal = refusal::stopped(&inner.guard, &decision, Direction::ToServer, server, &report);
        Some(HeldCall { why: refusal::held(&inner.guard, &decision, &report), refusal, report })
    }

    /// Somebody has approved of what is held of the arguments.
    pub(crate) fn release(&self) {
        if let Some(inner) = &self.0 {
            inner.released.store(true, Ordering::Release);
        }
    }

    /// The call goes no further for now; what was found in it is a part of its record.
    pub(crate) fn note(&self, held: &HeldCall) {
        if let Some(inner) = &self.0 {
            findings::count(&inner.guard.metrics, Direction::ToServer, &held.report, false);
            inner.keep(Direction::ToServer, &held.report, &Verdict::Same, false);
        }
    }

    /// The result that is held, if the one that came is.
    pub(crate) fn take_held(&self) -> Option<HeldResult> {
        self.0.as_ref()?.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Inner {
    /// What a request of the call's own is.
    pub(super) fn form(&self) -> Form {
        if self.subject.method == Method::ToolsCall { Form::Tool } else { Form::Message }
    }

    /// What leave can be given for, or all the rest.
    fn approvable(params: &Raw, wanted: bool) -> Raw {
        let is = |key: &str| key == ARGUMENTS || NAMES.contains(&key);
        let others: Vec<String> =
            params.members().map(|it| it.key().into_owned()).filter(|key| is(key) != wanted).collect();
        let changes: Vec<_> = others.iter().map(|key| (key.as_str(), Change::Remove)).collect();
        params.with(&changes)
    }

    /// What a client wrote and somebody has approved of.
    ///
    /// # Errors
    /// Something is to be held of what nobody was asked about.
    pub(super) fn run_released(
        &self,
        decision: &Decision,
        params: &Raw,
        told: Option<&Told>,
    ) -> Result<(Verdict, Report), Refusal> {
        let Some(plan) = &decision.released else {
            return Ok(self.run(decision, Direction::ToServer, params, told));
        };
        let mut names = self.guard.vault.of(&self.subject.caller);
        let rest = Self::approvable(params, false);
        let outcome = self.guard.engine.transform(&rest, &decision.plan, &mut names, told);
        if matches!(outcome, Outcome::Held { .. }) {
            let (Verdict::Stopped(refusal), _) = self.note(decision, Direction::ToServer, outcome) else {
                return Ok((Verdict::Same, Report::default()));
            };
            return Err(refusal);
        }
        let outcome = self.guard.engine.transform(params, plan, &mut names, told);
        Ok(self.note(decision, Direction::ToServer, as_held(outcome, decision)))
    }

    /// Whether a result that does not pass as it is would with somebody's approval; it then waits for whoever made the call.
    pub(super) fn hold(&self, payload: &Payload, decision: &Decision, report: &Report, told: Option<&Told>) {
        let held = |action: &Action| *action == Action::Hold;
        let any = report.applied.iter().any(|applied| held(&applied.action))
            || report.fields.iter().any(|(_, action)| held(action));
        let Some(plan) = decision.released.as_ref().filter(|_| self.subject.holds && any) else { return };
        let mut names = self.guard.vault.of(&self.subject.caller);
        let old = payload.result.raw();
        let result = match self.guard.engine.transform(old, plan, &mut names, told) {
            Outcome::Unchanged { .. } => old.clone(),
            Outcome::Changed { bytes, .. } => Raw::trusted(bytes),
            Outcome::Blocked { .. } | Outcome::Held { .. } => return,
        };
        let Ok(result) = self.fitting((old, result), report, plan, told) else { return };
        let result = findings::noted(&result, report);
        let held = HeldResult {
            why: refusal::held(&self.guard, decision, report),
            payload: Payload { result: result.into(), era: payload.era },
        };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }
}

/// What was found of what is held is reported as that.
fn as_held(mut outcome: Outcome, decision: &Decision) -> Outcome {
    if let Outcome::Unchanged { report } | Outcome::Changed { report, .. } = &mut outcome {
        for applied in &mut report.applied {
            if applied.action == Action::Allow && decision.plan.action(applied.finding.entity) == Action::Hold
            {
                applied.action = Action::Hold;
            }
        }
    }
    outcome
}
