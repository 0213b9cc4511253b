//! Requests about one task to the server that has it, on behalf of one caller.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_model::ErrorKind;
use portcullis_telemetry::trace::TraceContext;

use crate::call::{Call, Caller, Exchange, LogLevel, Outcome, Refusal, Worker};
use crate::inspect::{Inspection, Subject};
use crate::route::Variant;
use crate::upstream::{Asker, Outgoing, Server};

/// The way to a task at its server.
#[derive(Clone)]
pub(super) struct Hop {
    pub(super) server: Arc<Server>,
    /// The server's id for the task.
    pub(super) id: String,
    /// The era in which the server is asked, when it has both.
    era: Era,
    conversation: Arc<str>,
    caps: ClientCaps,
    worker: Worker,
    log_level: Option<LogLevel>,
    trace: Option<TraceContext>,
    progress_token: Option<Raw>,
    /// Whose task it is.
    caller: Arc<Caller>,
    /// The tool that was called, by the server's own name.
    tool: String,
    /// What the tool says that its structured results look like.
    output_schema: Option<Raw>,
}

impl Hop {
    /// For a call about the task, or the one that made it.
    pub(super) fn new(server: Arc<Server>, era: Era, id: String, tool: &str, call: &Call) -> Self {
        Self {
            server,
            id,
            era,
            conversation: call.caller.conversation.clone(),
            caps: Variant::of(&call.caller).caps | ClientCaps::TASKS,
            worker: call.worker,
            log_level: call.log_level,
            trace: call.trace.clone(),
            progress_token: call.progress_token.clone(),
            caller: call.caller.clone(),
            tool: tool.to_owned(),
            output_schema: None,
        }
    }

    /// The same where other things were declared for the client.
    pub(super) fn with(self, caps: ClientCaps) -> Self {
        Self { caps: caps | ClientCaps::TASKS, ..self }
    }

    /// The client's progress token, if it wants progress.
    pub(super) fn progress_token(&self) -> Option<&Raw> {
        self.progress_token.as_ref()
    }

    /// The era that the server is spoken to in.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(super) async fn actual_era(&self) -> Result<Era, Refusal> {
        Ok(self.server.connection_with(self.era, &self.conversation, self.caps).await?.era())
    }

    /// The same where it is known what the tool's results look like.
    pub(super) fn with_schema(self, output_schema: Option<Raw>) -> Self {
        Self { output_schema, ..self }
    }

    fn inspection(&self, method: &Method) -> Inspection {
        Inspection::new(&self.server.env().guard(), || Subject {
            caller: self.caller.clone(),
            server: self.server.id().clone(),
            method: method.clone(),
            tool: Some(self.tool.clone()),
            output_schema: self.output_schema.clone(),
            holds: false,
            ruled: None,
        })
    }

    async fn outgoing(&self, method: Method, more: &[(&str, &Raw)]) -> Result<Outgoing, Refusal> {
        let id = Raw::from_text(&self.id);
        let mut changes = vec![("taskId", Change::Set(id.as_bytes()))];
        changes.extend(more.iter().map(|(key, value)| (*key, Change::Set(value.as_bytes()))));
        let params = Raw::from_static("{}").with(&changes);
        let content = self.inspection(&method).outgoing(Some(params.into())).await?;
        let mut out = Outgoing::internal(self.worker, method, None);
        out.content = content;
        out.subject = Some(self.id.clone());
        out.caps = self.caps;
        out.pinned = true;
        out.trace.clone_from(&self.trace);
        Ok(out)
    }

    /// Asks, and leaves the answer to come. The caller can be asked meanwhile.
    pub(super) async fn exchange(&self, method: Method) -> Exchange {
        let mut out = match self.outgoing(method, &[]).await {
            Ok(out) => out,
            Err(refusal) => return Exchange::done(refusal),
        };
        out.asker = self.caps.answers().then(|| Asker {
            owner: self.conversation.clone(),
            // Whoever asks for the task may be asked what is asked in it.
            one_client: false,
            task: (out.method == Method::TasksResult).then(|| self.id.as_str().into()),
        });
        out.log_level = self.log_level;
        out.progress_token.clone_from(&self.progress_token);
        self.server.call(self.era, &self.conversation, &out).await.unwrap_or_else(Exchange::done)
    }

    /// Asks, and waits for the answer as long as a call to this server may be silent.
    ///
    /// # Errors
    /// Every outcome but a complete result.
    pub(super) async fn ask(&self, method: Method, more: &[(&str, &Raw)]) -> Result<Payload, Outcome> {
        let out = self.outgoing(method, more).await?;
        let limit = self.server.settings().call_timeout;
        let asked = async {
            let _permit = self.server.admit().await?;
            let exchange = self.server.call(self.era, &self.conversation, &out).await;
            Ok(exchange.unwrap_or_else(Exchange::done).outcome().await)
        };
        match tokio::time::timeout(limit, asked).await {
            Ok(Ok(Outcome::Complete(payload))) => Ok(payload),
            Ok(Ok(outcome)) => Err(outcome),
            Ok(Err(refusal)) => Err(Outcome::Refused(refusal)),
            Err(_) => {
                let message = format!("server `{}` does not answer about the task", self.server.id());
                Err(Refusal::new(ErrorKind::UpstreamTimeout, message).into())
            }
        }
    }

    /// Cancels the task at the server once nobody wants it any more. Does not wait.
    pub(super) fn cancel_aside(&self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        let mut hop = self.clone();
        hop.worker = self.server.env().control_worker();
        self.server.env().control.spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, hop.ask(Method::TasksCancel, &[])).await;
        });
    }
}

/// Cancels a task at its server when it is dropped before the task has ended.
pub(super) struct CancelTask(Option<Hop>);

impl CancelTask {
    pub(super) fn armed(hop: &Hop) -> Self {
        Self(Some(hop.clone()))
    }

    /// The task has ended, or somebody else looks after it.
    pub(super) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelTask {
    fn drop(&mut self) {
        if let Some(hop) = self.0.take() {
            hop.cancel_aside();
        }
    }
}
