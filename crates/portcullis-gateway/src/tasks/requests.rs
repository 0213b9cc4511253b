//! The requests about tasks: `tasks/get`, `tasks/result`, `tasks/list`, `tasks/update`, `tasks/cancel`.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Kind, Object, Raw};
use portcullis_mcp::message::code;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::Payload;
use portcullis_mcp::translate::task::{self, Detail, Ending, Status};
use portcullis_model::{ErrorKind, ServerId};

use super::drive::{Way, cancelled, drive};
use super::handle::{Handle, Place, unknown};
use super::hop::Hop;
use super::list::list;
use super::plan::offers_tasks;
use super::results::result_of;
use super::store::{New, Owner, Record};
use super::work::{Next, Work};
use crate::admit::Admitted;
use crate::call::{Call, Caller, Exchange, Outcome, Refusal};
use crate::crossing::Crossing;
use crate::gateway::Gateway;
use crate::record::Recorder;
use crate::route::{ListKind, Variant};
use crate::upstream::Server;

/// How long `tasks/get` waits for the questions of a task that is said to have some.
const QUESTIONS: Duration = Duration::from_millis(500);

/// How long it waits for the result of a task that has ended, where that is on its way already.
const ENDING: Duration = Duration::from_secs(5);

/// Answers a request about tasks.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    admitted: Admitted,
    record: impl FnOnce(&Call, Option<&ServerId>) -> Recorder,
) -> Exchange {
    // Whether policies let the caller know of the task, its handle says when it is opened.
    let (call, places) = admitted.into_parts();
    let request = Request { gateway, call: &call };
    let handle = match request.check() {
        Ok(()) if call.method == Method::TasksList => Ok(None),
        Ok(()) => Handle::open(gateway, &call).map(Some),
        Err(refusal) => Err(refusal),
    };
    let recorder = record(&call, handle.as_ref().ok().and_then(|handle| Some(&handle.as_ref()?.server)));
    let answered = match handle {
        Ok(Some(handle)) => request.dispatch(&handle).await,
        Ok(None) => list(&request).await.map(|result| request.complete(result)).map_err(Outcome::from),
        Err(refusal) => Err(refusal.into()),
    };
    let mut exchange = answered.unwrap_or_else(Exchange::done);
    if let Some(outcome) = exchange.ready() {
        recorder.finish(outcome);
        return exchange;
    }
    let start = Some((recorder, places));
    let events =
        futures_util::stream::unfold((start, exchange_of(&mut exchange)), |(mut held, mut exchange)| async {
            let event = exchange.next().await?;
            if let crate::call::Event::Done(outcome) = &event
                && let Some((recorder, _places)) = held.take()
            {
                recorder.finish(outcome);
            }
            Some((event, (held, exchange)))
        });
    Exchange::live(events, false)
}

fn exchange_of(exchange: &mut Exchange) -> Exchange {
    std::mem::replace(exchange, Exchange::done(unknown()))
}

/// What the tool of a task says that its structured results look like, as far as anybody was told.
pub(super) fn output_schema(
    gateway: &Gateway,
    caller: &Caller,
    (server, version): (&ServerId, Option<&Arc<str>>),
    tool: &str,
) -> Option<Raw> {
    let servers = gateway.servers.load();
    let catalogue = servers.find(server.as_str())?.of_version(version, caller);
    let tools = catalogue.last(ListKind::Tools, Variant::of(caller))?;
    tools.find(tool)?.output_schema.clone()
}

/// One request about tasks.
pub(super) struct Request<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) call: &'a Call,
}

impl Request<'_> {
    /// Whether the client's revision has the method, and the client the extension.
    fn check(&self) -> Result<(), Refusal> {
        let caller = &self.call.caller;
        let has = match self.call.method {
            Method::TasksUpdate => caller.revision >= Revision::V2026_07_28,
            Method::TasksResult | Method::TasksList => caller.revision == Revision::V2025_11_25,
            _ => caller.revision >= Revision::V2025_11_25,
        };
        if !has {
            let message = format!("there is no method `{}` in {}", self.call.method, caller.revision);
            return Err(Refusal::new(ErrorKind::UnknownMethod, message));
        }
        if caller.revision.era() == Era::Modern && !caller.caps.has(ClientCaps::TASKS) {
            return Err(undeclared());
        }
        if !offers_tasks(self.gateway, self.call) {
            return Err(Refusal::new(ErrorKind::UnknownMethod, "no server here has tasks"));
        }
        Ok(())
    }

    async fn dispatch(&self, handle: &Handle) -> Result<Exchange, Outcome> {
        let id = self.call.subject.clone().unwrap_or_default();
        let principal = &self.call.caller.principal;
        // Whoever wants to end it may.
        if self.call.method != Method::TasksCancel
            && let Some(refusal) = self.gateway.env.oversight.stopped(principal, Some(&handle.server), None)
        {
            return Err(refusal.into());
        }
        match self.call.method {
            Method::TasksGet => self.get(handle, &id).await,
            Method::TasksResult => self.result(handle, id).await,
            Method::TasksCancel => self.cancel(handle, &id).await,
            _ => self.update(handle, &id).await,
        }
    }

    fn era(&self) -> Era {
        self.call.caller.revision.era()
    }

    fn server(&self, handle: &Handle) -> Result<Arc<Server>, Refusal> {
        let found = handle.catalogue(self.gateway, &self.call.caller);
        found.map(|catalogue| catalogue.server.clone()).ok_or_else(unknown)
    }

    fn hop(&self, handle: &Handle) -> Result<Hop, Refusal> {
        match &handle.place {
            Place::There { era, caps, id } => {
                let server = self.server(handle)?;
                let hop = Hop::new(server, *era, id.clone(), &handle.tool, self.call).with(*caps);
                let whose = (&handle.server, handle.version.as_ref());
                let schema = output_schema(self.gateway, &self.call.caller, whose, &handle.tool);
                Ok(hop.with_schema(schema))
            }
            Place::Here(_) => Err(unknown()),
        }
    }

    /// The way of a result of the tool that the task is about.
    fn crossing(&self, handle: &Handle) -> Result<Crossing, Refusal> {
        let (server, call) = (self.server(handle)?, self.call);
        Ok(Crossing::new(self.gateway, &server, &call.endpoint, &call.caller, Method::ToolsCall, None))
    }

    fn server_info(&self) -> Raw {
        self.gateway.server_info(&self.call.endpoint, &self.call.caller)
    }

    fn complete(&self, result: impl Into<Object>) -> Exchange {
        Exchange::done(Outcome::Complete(Payload { result: result.into(), era: self.era() }))
    }

    fn acknowledge(&self) -> Exchange {
        self.complete(task::acknowledgement(self.server_info().as_str()))
    }

    /// An answer of the server's to a request about the task, in the client's words.
    fn cross(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failed { error, era } => {
                let error =
                    portcullis_mcp::translate::error_for(self.era(), era, &self.call.method, None, &error);
                Outcome::Failed { error, era: self.era() }
            }
            other => other,
        }
    }

    fn work(&self, handle: &Handle, id: &str) -> Result<Arc<Work>, Refusal> {
        debug_assert!(matches!(handle.place, Place::Here(_)));
        self.gateway.tasks.find(id).and_then(|record| record.work()).ok_or_else(unknown)
    }

    // ---- tasks/get ----

    async fn get(&self, handle: &Handle, id: &str) -> Result<Exchange, Outcome> {
        if self.era() == Era::Legacy {
            let task = self.describe(handle, id).await?;
            if let Some(record) = self.gateway.tasks.find(id) {
                record.note(&task);
            }
            return Ok(self.complete(task));
        }
        Ok(self.complete(self.detail(handle, id).await?))
    }

    /// The task in the words of 2025-11-25.
    pub(super) async fn describe(&self, handle: &Handle, id: &str) -> Result<Raw, Outcome> {
        let record = self.gateway.tasks.find(id);
        match &handle.place {
            Place::Here(_) => {
                let record = record.ok_or_else(unknown)?;
                Ok(refreshed(&record))
            }
            Place::There { .. } => {
                if let Some(record) = record.filter(|record| record.is_cancelled()) {
                    return Ok(record.task());
                }
                let payload =
                    self.hop(handle)?.ask(Method::TasksGet, &[]).await.map_err(|got| self.cross(got))?;
                let task = task::reshape(payload.era, Era::Legacy, &payload.result, id);
                Ok(handle.promise(Era::Legacy, &task))
            }
        }
    }

    /// The task in the words of the extension, with what it asks and what came of it.
    pub(super) async fn detail(&self, handle: &Handle, id: &str) -> Result<Raw, Outcome> {
        let crossing = self.crossing(handle)?;
        let record = self.gateway.tasks.find(id);
        if let Place::Here(_) = handle.place {
            let record = record.ok_or_else(unknown)?;
            let (task, work) = (refreshed(&record), record.work().ok_or_else(unknown)?);
            let task = task::reshape(Era::Legacy, Era::Modern, &task, id);
            return Ok(self.of_work(&work, &task));
        }
        let hop = self.hop(handle)?;
        let payload = hop.ask(Method::TasksGet, &[]).await.map_err(|got| self.cross(got))?;
        if payload.era == Era::Modern {
            return Ok(handle.promise(Era::Modern, &pass(&payload.result, id, &crossing)));
        }
        let task = task::reshape(Era::Legacy, Era::Modern, &payload.result, id);
        let task = handle.promise(Era::Modern, &task);
        let status = Status::of(&payload.result);
        let has_ended = matches!(status, Some(Status::Completed | Status::Failed));
        if let Some(work) = record.as_ref().and_then(|record| record.work()).filter(|work| !work.is_over()) {
            // The server may say that the task has ended before it hands out what came of it.
            if has_ended && work.is_running() {
                let _ = tokio::time::timeout(ENDING, work.stopped()).await;
            }
            if !has_ended || work.ending().is_some() {
                return Ok(self.of_work(&work, &task));
            }
        }
        match status {
            Some(Status::InputRequired) => {
                let work = self.listen(handle, id, &payload.result, hop, &crossing).await?;
                Ok(self.of_work(&work, &task))
            }
            Some(Status::Completed | Status::Failed) => {
                let ending = self.ending(hop, &crossing).await?;
                Ok(task::get_result(&task, Detail::Ended(&ending), self.server_info().as_str()))
            }
            _ => Ok(task::get_result(&task, Detail::None, self.server_info().as_str())),
        }
    }

    /// A task that something is carried on for here.
    fn of_work(&self, work: &Work, task: &Raw) -> Raw {
        let info = self.server_info();
        if let Some(ending) = work.ending() {
            return task::get_result(task, Detail::Ended(&ending), info.as_str());
        }
        match work.requests() {
            Some(requests) => task::get_result(task, Detail::Asks(&requests), info.as_str()),
            // Nothing waits for an answer of this client any more, whatever the server knew a moment ago.
            None if Status::of(task) == Some(Status::InputRequired) => {
                let working = task.with(&[("status", Change::Set(b"\"working\""))]);
                task::get_result(&working, Detail::None, info.as_str())
            }
            None => task::get_result(task, Detail::None, info.as_str()),
        }
    }

    /// What came of a task at a server of 2025-11-25.
    async fn ending(&self, hop: Hop, crossing: &Crossing) -> Result<Ending, Outcome> {
        let limit = hop.server.settings().call_timeout;
        let way = Way { era: Era::Legacy, crossing: crossing.clone(), related: None, ours: false };
        let ended = tokio::time::timeout(limit, drive(hop, way, None).outcome()).await;
        let late =
            || Refusal::new(ErrorKind::UpstreamTimeout, "the server does not say what came of the task");
        match ended.map_err(|_| late())? {
            Outcome::Complete(payload) => Ok(Ok(payload.result.into_raw())),
            Outcome::Failed { error, .. } => Ok(Err(error)),
            other => Err(other),
        }
    }

    /// Hears what a server of 2025-11-25 asks in a task, for a client that polls.
    async fn listen(
        &self,
        handle: &Handle,
        id: &str,
        task: &Raw,
        hop: Hop,
        crossing: &Crossing,
    ) -> Result<Arc<Work>, Refusal> {
        let record = self.gateway.tasks.find(id).or_else(|| self.remember(handle, id, task));
        let record = record.ok_or_else(|| {
            let message = "as many tasks are under way for this client as may; wait for one to end";
            Refusal::new(ErrorKind::TooManyRequests, message)
        })?;
        let (work, fresh) = record.attach();
        if fresh {
            let way = Way { era: Era::Legacy, crossing: crossing.clone(), related: None, ours: false };
            let next = |outcome| match outcome {
                Outcome::Complete(payload) => Next::Ended(Ok(payload.result.into_raw())),
                Outcome::Failed { error, .. } => Next::Ended(Err(error)),
                _ => Next::Lost,
            };
            tokio::spawn(work.run(drive(hop, way, None), None, next));
        }
        let mut changes = work.watch();
        if fresh || !work.is_asking() {
            let _ = tokio::time::timeout(QUESTIONS, async {
                while work.is_running() && !work.is_asking() && changes.changed().await.is_ok() {}
            })
            .await;
        }
        Ok(work)
    }

    fn remember(&self, handle: &Handle, id: &str, task: &Raw) -> Option<Arc<Record>> {
        let task = handle.promise(Era::Legacy, &task::reshape(Era::Legacy, Era::Legacy, task, id));
        self.gateway.tasks.add(New {
            id: id.into(),
            owner: Owner::of(&self.call.caller),
            handle: handle.clone(),
            ttl: task.find("ttl").and_then(|ttl| ttl.u64()),
            task,
            work: None,
        })
    }

    // ---- tasks/result ----

    async fn result(&self, handle: &Handle, id: String) -> Result<Exchange, Outcome> {
        if let Place::Here(_) = handle.place {
            return Ok(result_of(self.work(handle, &id)?, id));
        }
        if self.gateway.tasks.find(&id).is_some_and(|record| record.is_cancelled()) {
            return Err(cancelled());
        }
        let hop = self.hop(handle)?;
        let era = hop.actual_era().await?;
        let way = Way { era, crossing: self.crossing(handle)?, related: Some(id), ours: false };
        Ok(drive(hop, way, None))
    }

    // ---- tasks/cancel ----

    async fn cancel(&self, handle: &Handle, id: &str) -> Result<Exchange, Outcome> {
        let record = self.gateway.tasks.find(id);
        if let Place::Here(_) = handle.place {
            let record = record.ok_or_else(unknown)?;
            let work = record.work().ok_or_else(unknown)?;
            if self.era() == Era::Legacy && !work.is_running() {
                return Err(over().into());
            }
            work.cancel();
            return Ok(match self.era() {
                Era::Legacy => self.complete(refreshed(&record)),
                Era::Modern => self.acknowledge(),
            });
        }
        let hop = self.hop(handle)?;
        let ask = async |method| hop.ask(method, &[]).await.map_err(|got| self.cross(got));
        match (self.era(), hop.actual_era().await?) {
            (Era::Legacy, Era::Legacy) => {
                let payload = ask(Method::TasksCancel).await?;
                let task = task::reshape(payload.era, Era::Legacy, &payload.result, id);
                let task = handle.promise(Era::Legacy, &task);
                record.inspect(|record| record.note(&task));
                Ok(self.complete(task))
            }
            (Era::Legacy, Era::Modern) => {
                let task = self.describe(handle, id).await?;
                if Status::of(&task).is_some_and(Status::is_terminal) {
                    return Err(over().into());
                }
                ask(Method::TasksCancel).await?;
                let task = task.with(&[("status", Change::Set(b"\"cancelled\""))]);
                let record = record.or_else(|| self.remember(handle, id, &task));
                record.inspect(|record| record.cancel(&task));
                Ok(self.complete(task))
            }
            (Era::Modern, Era::Modern) => {
                let payload = ask(Method::TasksCancel).await?;
                Ok(self.complete(payload.result))
            }
            (Era::Modern, Era::Legacy) => match ask(Method::TasksCancel).await {
                Ok(_) => Ok(self.acknowledge()),
                // An older server refuses to cancel what is over; the extension says nothing to that.
                Err(Outcome::Failed { error, .. }) if error.code() == code::INVALID_PARAMS => {
                    ask(Method::TasksGet).await?;
                    Ok(self.acknowledge())
                }
                Err(outcome) => Err(outcome),
            },
        }
    }

    // ---- tasks/update ----

    async fn update(&self, handle: &Handle, id: &str) -> Result<Exchange, Outcome> {
        let responses = self.call.params.as_ref().and_then(|params| params.find("inputResponses"));
        let responses = responses.filter(|responses| responses.kind() == Kind::Object).ok_or_else(|| {
            Refusal::new(ErrorKind::InvalidParams, "`params.inputResponses` must be an object")
        })?;
        let work = self.gateway.tasks.find(id).and_then(|record| record.work());
        if let Place::There { .. } = handle.place {
            let hop = self.hop(handle)?;
            if hop.actual_era().await? == Era::Modern {
                let more = [("inputResponses", &responses)];
                let payload = hop.ask(Method::TasksUpdate, &more).await.map_err(|got| self.cross(got))?;
                return Ok(self.complete(payload.result));
            }
            if work.is_none() {
                // An answer to nothing is none of the server's business, but the task has to be there.
                hop.ask(Method::TasksGet, &[]).await.map_err(|got| self.cross(got))?;
            }
        } else if work.is_none() {
            return Err(unknown().into());
        }
        if let Some(work) = work {
            for member in responses.members() {
                work.answer(&member.key(), member.value());
            }
        }
        Ok(self.acknowledge())
    }
}

/// A task of the gateway's own as it stands.
fn refreshed(record: &Record) -> Raw {
    let known = record.task();
    let ttl = known.find("ttl").and_then(|ttl| ttl.u64()).unwrap_or_default();
    match record.work() {
        Some(work) => work.describe(&record.id, ttl),
        None => known,
    }
}

/// A task of the extension for a client that has it: another id, and results as they come to it.
fn pass(result: &Raw, id: &str, crossing: &Crossing) -> Raw {
    let (id, result) = (Raw::from_text(id), crossing.input_required(result.clone()));
    let ended = result.find("result").map(|ended| crossing.expose(ended.into()).into_raw());
    let error = result
        .find("error")
        .and_then(portcullis_mcp::message::RpcError::from_raw)
        .map(|error| crossing.expose_error(error).raw().clone());
    let members = [("result", &ended), ("error", &error)];
    let mut changes = vec![("taskId", Change::Set(id.as_bytes()))];
    changes.extend(
        members.iter().filter_map(|(key, value)| Some((*key, Change::Set(value.as_ref()?.as_bytes())))),
    );
    result.with(&changes)
}

/// `-32602` to who cancels what has ended (2025-11-25).
fn over() -> Refusal {
    Refusal::new(ErrorKind::InvalidParams, "the task has ended already")
}

/// `-32021` to who did not declare the extension.
pub(super) fn undeclared() -> Refusal {
    let needed = r#"{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
    let message = "declare the extension io.modelcontextprotocol/tasks to ask about tasks";
    Refusal::new(ErrorKind::MissingCapability, message).with_data(Raw::from_static(needed))
}
