//! Everything that a server says in a call, by its shape: results, errors, refusals that quote it, progress, log messages,
//! questions, and what clients answer to those.
//!
//! What does not pass is stopped where it stands: a result becomes a refusal, a question is answered for the client, a
//! notification is dropped.

use portcullis_config::Direction;
use portcullis_guard::{Plan, Report, Told};
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{Notification, RpcError, code};
use portcullis_mcp::method::Method;
use portcullis_mcp::translate::Payload;
use portcullis_model::ErrorKind;

use super::aside::{self, Places};
use super::content::{Inner, Inspection, Verdict};
use super::decision::Form;
use super::{findings, refusal};
use crate::call::{Event, Exchange, Outcome, Question, Refusal};

/// What is longer is inspected beside the thread, which has connections to serve.
const LARGE: usize = 256 << 10;

impl Inspection {
    /// An answer as its client may read it.
    pub(crate) async fn exchange(&self, exchange: Exchange) -> Exchange {
        if self.0.is_none() {
            return exchange;
        }
        let (streamed, unsent) = (exchange.is_streamed(), exchange.is_unsent());
        match exchange.into_ready() {
            Ok(outcome) if streamed => Exchange::done_on_stream(self.outcome(outcome).await),
            Ok(outcome) => Exchange::done(self.outcome(outcome).await).with_unsent(unsent),
            Err(exchange) => {
                let start = (self.clone(), exchange);
                let events = futures_util::stream::unfold(start, |(inspection, mut exchange)| async move {
                    loop {
                        let event = exchange.next().await?;
                        if let Some(event) = inspection.event(event).await {
                            return Some((event, (inspection, exchange)));
                        }
                    }
                });
                Exchange::live(events, streamed)
            }
        }
    }

    async fn event(&self, event: Event) -> Option<Event> {
        let Some(inner) = &self.0 else { return Some(event) };
        match event {
            Event::Notification(notification) => {
                let said = notification.params.iter().collect::<Vec<_>>();
                let told = inner.ask(Direction::ToClient, Form::Message, &said).await;
                inner.notification(notification, told.as_ref()).map(Event::Notification)
            }
            Event::Asked(question) => self.question(question).await.map(Event::Asked),
            Event::Paused { retry } => Some(Event::Paused { retry }),
            Event::Done(outcome) => Some(Event::Done(self.outcome(outcome).await)),
        }
    }

    /// An outcome as its client may read it.
    pub(crate) async fn outcome(&self, outcome: Outcome) -> Outcome {
        let Some(inner) = &self.0 else { return outcome };
        let told = inner.told_of(&outcome).await;
        if size(&outcome) < LARGE {
            return inner.outcome(outcome, told.as_ref());
        }
        let inner = inner.clone();
        let inspected = tokio::task::spawn_blocking(move || inner.outcome(outcome, told.as_ref())).await;
        inspected
            .unwrap_or_else(|_| Refusal::new(ErrorKind::Internal, "the answer could not be inspected").into())
    }

    /// What a server asks, as its client may read it; what the client answers is read on its way back. `None` when it may
    /// not be asked; the server is told so.
    async fn question(&self, question: Question) -> Option<Question> {
        let Some(inner) = &self.0 else { return Some(question) };
        let said = question.params.iter().collect::<Vec<_>>();
        let told = inner.ask(Direction::ToClient, Form::Message, &said).await;
        let read = |params| inner.message(params, aside::QUESTION, told.as_ref());
        let params = match question.params.as_ref().map(read) {
            None | Some(Ok(None)) => question.params.clone(),
            Some(Ok(changed)) => changed,
            Some(Err(refusal)) => {
                question.answer(Err(RpcError::new(code::INVALID_REQUEST, &refusal.message, None)));
                return None;
            }
        };
        let inner = inner.clone();
        if inner.guard.recogniser.is_none() {
            return Some(question.through(params, move |answer| inner.answer(answer, None)));
        }
        Some(question.through_later(params, move |answer| async move {
            let told = inner.ask(Direction::ToServer, Form::Message, &[said_in(&answer)]).await;
            inner.answer(answer, told.as_ref())
        }))
    }
}

/// What a client has answered.
fn said_in(answer: &Result<Raw, RpcError>) -> &Raw {
    match answer {
        Ok(result) => result,
        Err(error) => error.raw(),
    }
}

fn size(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Complete(payload) => payload.result.as_bytes().len(),
        Outcome::InputRequired(raw) | Outcome::Task(raw) => raw.as_bytes().len(),
        Outcome::Failed { error, .. } => error.raw().as_bytes().len(),
        Outcome::Refused(refusal) => refusal.message.len(),
    }
}

impl Inner {
    /// What the other recogniser finds in an outcome.
    async fn told_of(&self, outcome: &Outcome) -> Option<Told> {
        self.guard.recogniser.as_ref()?;
        let (to, message) = (Direction::ToClient, Form::Message);
        match outcome {
            Outcome::Complete(payload) => self.ask(to, self.form_of_result(), &[payload.result.raw()]).await,
            Outcome::InputRequired(raw) | Outcome::Task(raw) => self.ask(to, message, &[raw]).await,
            Outcome::Failed { error, .. } => self.ask(to, message, &[error.raw()]).await,
            Outcome::Refused(refusal) => {
                let text = Raw::from_text(&refusal.message);
                let said: Vec<&Raw> = [&text].into_iter().chain(&refusal.data).collect();
                self.ask(to, message, &said).await
            }
        }
    }

    fn outcome(&self, outcome: Outcome, told: Option<&Told>) -> Outcome {
        let inspected = match outcome {
            Outcome::Complete(payload) => self.result(payload, told).map(Outcome::Complete),
            Outcome::InputRequired(raw) => {
                self.said(raw, aside::INPUT_REQUIRED, told).map(Outcome::InputRequired)
            }
            Outcome::Task(raw) => self.said(raw, aside::TASK, told).map(Outcome::Task),
            Outcome::Failed { error, era } => {
                self.error(error, told).map(|error| Outcome::Failed { error, era })
            }
            Outcome::Refused(refusal) => self.refusal(&refusal, told).map(Outcome::Refused),
        };
        inspected.unwrap_or_else(Outcome::Refused)
    }

    fn form_of_result(&self) -> Form {
        match self.subject.method {
            Method::ToolsCall | Method::TasksGet | Method::TasksResult => Form::Tool,
            _ => Form::Message,
        }
    }

    fn result(&self, payload: Payload, told: Option<&Told>) -> Result<Payload, Refusal> {
        let of_task = self.subject.method.is_about_tasks() || payload.result.find("task").is_some();
        let form = self.form_of_result();
        let places: Places = if of_task { aside::TASK } else { &[] };
        let said = (payload.result.raw(), places);
        let (verdict, report) = self.inspect(Direction::ToClient, form, said, told);
        match verdict {
            Verdict::Same => Ok(payload),
            Verdict::Stopped(refusal) => {
                if !of_task {
                    self.hold(&payload, &self.decide(Direction::ToClient, form), &report, told);
                }
                Err(refusal)
            }
            Verdict::Changed(changed) => {
                let plan = &self.decide(Direction::ToClient, form).plan;
                let old = payload.result.raw();
                let changed = match form {
                    Form::Tool => self.fitting((old, changed), &report, plan, told)?,
                    _ => changed,
                };
                let result = findings::noted(&changed, &report);
                Ok(Payload { result: result.into(), era: payload.era })
            }
        }
    }

    /// A structured result that still fits the tool's schema, if it did before: what makes it unfit goes, if it can.
    pub(super) fn fitting(
        &self,
        (old, changed): (&Raw, Raw),
        report: &Report,
        plan: &Plan,
        told: Option<&Told>,
    ) -> Result<Raw, Refusal> {
        const DATA: &str = "structuredContent";
        // A task has its result as a member.
        let data = |raw: &Raw| raw.find(DATA).or_else(|| raw.find_path(&["result", DATA]));
        let (Some(schema), Some(new)) = (&self.subject.output_schema, data(&changed)) else {
            return Ok(changed);
        };
        let Some(schema) = self.guard.schemas.of(schema) else { return Ok(changed) };
        let Some(misfits) = schema.misfits(&new) else { return Ok(changed) };
        if data(old).is_none_or(|old| schema.misfits(&old).is_some()) {
            return Ok(changed);
        }
        let mut plan = plan.clone();
        plan.fields.extend(misfits);
        let mut names = self.guard.vault.of(&self.subject.caller);
        let outcome = self.guard.engine.transform(old, &plan, &mut names, told);
        if let portcullis_guard::Outcome::Changed { bytes, .. } = outcome {
            let dropped = Raw::trusted(bytes);
            if data(&dropped).is_some_and(|new| schema.misfits(&new).is_none()) {
                return Ok(dropped);
            }
        }
        let decision = self.decide(Direction::ToClient, Form::Tool);
        Err(refusal::unfit(&self.guard, &decision, report, self.subject.server.as_str()))
    }

    fn said(&self, raw: Raw, places: Places, told: Option<&Told>) -> Result<Raw, Refusal> {
        let (verdict, report) = self.inspect(Direction::ToClient, Form::Message, (&raw, places), told);
        match verdict {
            Verdict::Same => Ok(raw),
            Verdict::Changed(changed) => Ok(findings::noted(&changed, &report)),
            Verdict::Stopped(refusal) => Err(refusal),
        }
    }

    /// A message to the client; `None` when it passes as it is.
    fn message(&self, raw: &Raw, places: Places, told: Option<&Told>) -> Result<Option<Raw>, Refusal> {
        match self.inspect(Direction::ToClient, Form::Message, (raw, places), told).0 {
            Verdict::Same => Ok(None),
            Verdict::Changed(changed) => Ok(Some(changed)),
            Verdict::Stopped(refusal) => Err(refusal),
        }
    }

    fn error(&self, error: RpcError, told: Option<&Told>) -> Result<RpcError, Refusal> {
        let Some(changed) = self.message(error.raw(), aside::ERROR, told)? else { return Ok(error) };
        let nothing = || RpcError::new(error.code(), "the guard left nothing of the server's message", None);
        Ok(RpcError::from_raw(changed).unwrap_or_else(nothing))
    }

    /// A refusal may quote the server.
    fn refusal(&self, refusal: &Refusal, told: Option<&Told>) -> Result<Refusal, Refusal> {
        let message = self.text(&refusal.message, told)?.unwrap_or_else(|| refusal.message.clone());
        let data = match &refusal.data {
            Some(data) => self.message(data, &[], told)?.or_else(|| Some(data.clone())),
            None => None,
        };
        let (retry_after, challenge) = (refusal.retry_after, refusal.challenge.clone());
        Ok(Refusal { kind: refusal.kind, message, data, retry_after, challenge })
    }

    fn notification(&self, notification: Notification, told: Option<&Told>) -> Option<Notification> {
        let Some(params) = &notification.params else { return Some(notification) };
        match self.message(params, aside::NOTIFICATION, told) {
            Ok(None) => Some(notification),
            Ok(params) => Some(Notification { params, ..notification }),
            Err(_) => None,
        }
    }

    /// What a client answers to a question.
    fn answer(&self, answer: Result<Raw, RpcError>, told: Option<&Told>) -> Result<Raw, RpcError> {
        let said = (said_in(&answer), &[][..]);
        match (self.inspect(Direction::ToServer, Form::Message, said, told).0, &answer) {
            (Verdict::Same, _) => answer,
            (Verdict::Changed(changed), Ok(_)) => Ok(changed),
            (Verdict::Changed(changed), Err(error)) => {
                let nothing = || RpcError::new(error.code(), "the client refused", None);
                Err(RpcError::from_raw(changed).unwrap_or_else(nothing))
            }
            (Verdict::Stopped(refusal), _) => {
                Err(RpcError::new(code::INVALID_REQUEST, &refusal.message, None))
            }
        }
    }
}
