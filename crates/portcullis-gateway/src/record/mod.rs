//! What is kept of a call: its metrics, its span, a log line, its event in the evidence log. Written also when the caller hangs
//! up.
//!
//! A [`Recorder`] is there for each attempt at carrying a call out, an [`Entry`] for each request of a client: the two are not
//! the same where a call takes several rounds. [`Evidence`] is the log as the gateway uses it.

mod alarm;
mod anchors;
mod entry;
mod evidence;
mod human;
mod names;
mod questioning;
mod systems;
mod throttle;
mod written;

mod decision;

use std::sync::Arc;
use std::time::Instant;

use portcullis_mcp::message::code;
use portcullis_model::{ErrorKind, Fault};
use portcullis_telemetry::metrics::Outcome as Label;
use portcullis_telemetry::{CallSeries, InFlight, Span};

use crate::call::{Call, Outcome};
use crate::inspect::Inspection;

pub(crate) use decision::{Decision, decided, ruled};

pub(crate) use alarm::{look_after, show};
pub use anchors::Anchors;
pub(crate) use entry::{Entry, Lasting, OnRecord, Open, Transport};
pub use evidence::Evidence;
pub(crate) use evidence::{Where, hex};
pub(crate) use human::Said;
pub(crate) use questioning::Questioning;
pub use systems::policy as retention;

/// Records one call when it ends; a call that is dropped before was cancelled.
pub(crate) struct Recorder {
    series: Arc<CallSeries>,
    _in_flight: InFlight,
    started: Instant,
    spans: Vec<Span>,
    /// What the guard finds in it.
    inspection: Option<(Inspection, Entry)>,
    log: Option<Box<LogFields>>,
    /// The call, where a server carries it out.
    attempt: Option<Arc<Call>>,
    finished: bool,
}

struct LogFields {
    server: String,
    method: String,
    target: Option<String>,
    principal: String,
    request_id: Arc<str>,
}

impl Recorder {
    pub(crate) fn start(
        series: Arc<CallSeries>,
        spans: Vec<Span>,
        call: &Call,
        server: &str,
        target: Option<&str>,
    ) -> Self {
        // The texts are only worth their copies when somebody reads them.
        let log = tracing::enabled!(tracing::Level::DEBUG).then(|| {
            Box::new(LogFields {
                server: server.to_owned(),
                method: call.method.as_str().to_owned(),
                target: target.map(str::to_owned),
                principal: call.caller.principal.to_string(),
                request_id: call.request_id.clone(),
            })
        });
        let started = Instant::now();
        Self {
            _in_flight: series.start(),
            series,
            started,
            spans,
            inspection: None,
            log,
            attempt: None,
            finished: false,
        }
    }

    /// The same for an attempt at a server, of which the evidence log is told.
    pub(crate) fn at_server(
        series: Arc<CallSeries>,
        spans: Vec<Span>,
        call: &Arc<Call>,
        server: &str,
        target: Option<&str>,
    ) -> Self {
        let mut recorder = Self::start(series, spans, call, server, target);
        recorder.attempt = call.record.is_kept().then(|| call.clone());
        recorder
    }

    /// When the call began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The guard looks at what is said in it; what it finds is a part of the record.
    pub(crate) fn inspect(&mut self, inspection: Inspection, call: &Call) {
        self.inspection = Some((inspection, call.record.clone()));
    }

    /// The call has ended.
    pub(crate) fn finish(mut self, outcome: &Outcome) {
        let label = label(outcome);
        self.write(label, reason(outcome, label).as_deref());
    }

    fn write(&mut self, label: Label, reason: Option<&str>) {
        self.finished = true;
        let elapsed = self.started.elapsed();
        self.series.finish(label, elapsed);
        if let Some(call) = &self.attempt {
            call.record.attempted(call, reason, elapsed);
        }
        let found =
            self.inspection.as_ref().and_then(|(inspection, record)| Some((inspection.findings()?, record)));
        if let Some((findings, record)) = &found {
            record.found(findings);
        }
        if let Some(reason) = reason {
            for span in &mut self.spans {
                span.fail(reason);
            }
        }
        if let Some(log) = &self.log {
            tracing::debug!(
                server.id = log.server,
                method = log.method,
                tool.name = log.target,
                principal.id = log.principal,
                request.id = %log.request_id,
                outcome = label.as_str(),
                reason,
                guard = found.as_ref().map(|(findings, _)| tracing::field::display(findings)),
                duration_ms = elapsed.as_secs_f64() * 1e3,
                "call"
            );
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.finished {
            self.write(Label::Cancelled, Some(ErrorKind::Cancelled.as_str()));
        }
    }
}

fn label(outcome: &Outcome) -> Label {
    match outcome {
        Outcome::Complete(payload) => {
            let is_error = payload.result.find("isError").and_then(|flag| flag.bool()) == Some(true);
            if is_error { Label::ToolError } else { Label::Ok }
        }
        Outcome::InputRequired(_) | Outcome::Task(_) => Label::Ok,
        Outcome::Failed { .. } => Label::Error,
        Outcome::Refused(refusal) => match refusal.kind {
            ErrorKind::UpstreamTimeout => Label::Timeout,
            ErrorKind::Cancelled => Label::Cancelled,
            kind if kind.fault() == Fault::Upstream => Label::Error,
            _ => Label::Refused,
        },
    }
}

/// `error.type` of the span.
fn reason(outcome: &Outcome, label: Label) -> Option<String> {
    match outcome {
        Outcome::Complete(_) if label == Label::ToolError => Some("tool_error".to_owned()),
        Outcome::Complete(_) | Outcome::InputRequired(_) | Outcome::Task(_) => None,
        Outcome::Failed { error, .. } if error.code() == code::INTERNAL => Some("internal".to_owned()),
        Outcome::Failed { error, .. } => Some(error.code().to_string()),
        Outcome::Refused(refusal) => Some(refusal.kind.as_str().to_owned()),
    }
}
