//! What a call of a tool is to become: an answer, or a task.

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Kind, Object, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::task::TaskSupport;

use crate::admit::Pass;
use crate::call::{Call, Exchange, Outcome};
use crate::gateway::Gateway;
use crate::route::{Route, Variant};

/// How long a server of 2025-11-25 is asked to keep a task that its client did not ask for: whoever polls comes sooner.
const TTL: &str = r#"{"ttl":3600000}"#;

/// What the client is prepared for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// An answer and nothing else.
    Answer,
    /// Either: the server decides (the extension).
    Either,
    /// A task (2025-11-25), kept for so many milliseconds.
    Task(Option<u64>),
}

/// What a call is to become.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(super) wish: Wish,
    /// `params.task` for a server of 2025-11-25, which makes a task only of what asks for one.
    pub(crate) task: Option<Raw>,
    /// What a modern server is told that the client can be asked and told.
    pub(crate) caps: ClientCaps,
    /// The tool, by the server's own name, where a task may become of its call.
    pub(crate) tool: String,
    /// The params, when a wish of the client's had to be taken out.
    pub(crate) params: Option<Object>,
}

impl Plan {
    /// Whether its client wants a task of it.
    pub(crate) fn wants_task(&self) -> bool {
        matches!(self.wish, Wish::Task(_))
    }

    /// Whether it may become a task.
    pub(crate) fn may_become_task(&self) -> bool {
        self.wants_task() || self.task.is_some() || self.caps.has(ClientCaps::TASKS)
    }

    /// Whether an exchange is what its client is prepared for already.
    pub(crate) fn is_plain(&self, exchange: &Exchange) -> bool {
        let is_answer = exchange.ready().is_some_and(|outcome| !matches!(outcome, Outcome::Task(_)));
        is_answer || !self.may_become_task()
    }
}

/// Plans a call.
pub(crate) fn plan(gateway: &Gateway, call: &Call, route: &Route) -> Plan {
    let caps = Variant::of(&call.caller).caps;
    if call.method != Method::ToolsCall {
        return Plan { wish: Wish::Answer, task: None, caps, tool: String::new(), params: None };
    }
    let revision = call.caller.revision;
    let asked = call.params.as_ref().and_then(|params| params.find("task"));
    let wish = match &asked {
        _ if revision.era() == Era::Modern && caps.has(ClientCaps::TASKS) => Wish::Either,
        Some(task)
            if revision == Revision::V2025_11_25
                && task.kind() == Kind::Object
                && offers_tasks(gateway, call) =>
        {
            Wish::Task(task.find("ttl").and_then(|ttl| ttl.u64()))
        }
        _ => Wish::Answer,
    };
    let support = route.task_support();
    let task = match wish {
        Wish::Task(_) => asked.clone(),
        Wish::Either if support != TaskSupport::Forbidden => Some(Raw::from_static(TTL)),
        Wish::Answer if support == TaskSupport::Required => Some(Raw::from_static(TTL)),
        _ => None,
    };
    // A legacy client has no word for the extension; what the gateway does with a task it need not know.
    let bridged = revision.era() == Era::Legacy && route.catalogue.server.has_tasks();
    let caps = if bridged { caps | ClientCaps::TASKS } else { caps };
    let params =
        asked.and(route.params.as_ref()).map(|params| params.with(&[("task", Change::Remove)]).into());
    let mut plan = Plan { wish, task, caps, tool: String::new(), params };
    if plan.may_become_task() {
        plan.tool = route.subject.clone().unwrap_or_default();
    }
    plan
}

/// Whether clients of an endpoint were told that there are tasks: whoever was not is answered as if it had not asked
/// (2025-11-25, tasks).
pub(super) fn offers_tasks(gateway: &Gateway, call: &Call) -> bool {
    let pass = gateway.gate.pass(&call.caller);
    let pass = pass.as_ref().and_then(Pass::enforced);
    let servers = gateway.servers.load().behind(&call.endpoint, pass, &call.caller).unwrap_or_default();
    servers.iter().any(|catalogue| catalogue.server.has_tasks())
}
