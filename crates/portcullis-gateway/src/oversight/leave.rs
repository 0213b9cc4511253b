//! Before a call is made: whether data may flow that way, and whether somebody has to approve of it.
//!
//! Labels, tools that always need leave, and what the guard holds of the arguments are asked about together, by `asking`. What a
//! call is about to read counts as read before it is sent: an answer that comes late, or never, must not make a difference. What
//! cannot be read or kept refuses.

use std::sync::Arc;
use std::time::Duration;

use portcullis_config::{Effect, FlowMode, Settings, Store};
use portcullis_guard::Action;
use portcullis_mcp::json::Raw;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, ServerId, Unavailable};
use portcullis_oversight::Matter;
use portcullis_oversight::flow::{self, Conflict, Labels};

use super::Oversight;
use super::asking::{About, Ground};
use super::webhook::Webhook;
use crate::call::{Call, Caller, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::inspect::HeldCall;
use crate::rounds::{self, Came};
use crate::route::Route;
use crate::upstream::Surroundings;

/// Where a result says what it is.
const LABELS: &str = "io.github.portcullis-mcp/labels";

/// What calls are held against.
pub(crate) struct Rules {
    flow: flow::Rules,
    mode: FlowMode,
    per_session: bool,
    tools: Vec<String>,
    /// The guard holds something for approval.
    pub(super) holds: bool,
    pub(super) by_operator: bool,
    /// How many have to say yes.
    pub(super) needed: u8,
    pub(super) lifetime: Duration,
    pub(super) webhook: Option<Webhook>,
    /// Whoever decides by command finds what waits.
    pub(super) reachable: bool,
}

/// Whether a call may be made.
pub(crate) enum Leave {
    Given,
    Refused(Refusal),
    /// The user is asked first.
    Asked(Outcome),
}

impl Rules {
    /// Those of a configuration, if it has any.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let (flow, approvals) = (settings.flow.as_ref(), &settings.approvals);
        let rules = Self {
            flow: flow.map(flow_rules).unwrap_or_default(),
            mode: flow.map(|flow| flow.mode).unwrap_or_default(),
            per_session: flow.is_some_and(|flow| flow.per_session),
            tools: approvals.tools.clone(),
            holds: settings.guard.as_ref().is_some_and(holds),
            by_operator: approvals.by_operator,
            needed: approvals.needed,
            lifetime: approvals.lifetime,
            webhook: approvals.webhook.as_ref().and_then(Webhook::of),
            reachable: settings.store != Store::Memory,
        };
        (!rules.flow.is_empty() || !rules.tools.is_empty() || rules.holds).then_some(rules)
    }

    /// Whose window it is.
    fn window_of(&self, caller: &Caller) -> String {
        let id = caller.principal.id();
        let own = self.per_session && caller.revision.era() == Era::Legacy;
        if own { format!("{id} {}", caller.conversation) } else { id }
    }
}

/// Whether a guard holds anything.
fn holds(guard: &portcullis_config::Guard) -> bool {
    guard.rules.iter().any(|rule| match &rule.effect {
        Effect::Entities(_, action) | Effect::Fields(_, _, action) => *action == Action::Hold,
        Effect::Only(_) | Effect::Restore(_) => false,
    })
}

fn flow_rules(flow: &portcullis_config::Flow) -> flow::Rules {
    let regions = flow.regions.iter().map(|region| flow::Region {
        name: region.name.clone(),
        data: region.data.clone(),
        servers: region.servers.clone(),
        groups: region.groups.clone(),
        principals: region.principals.clone(),
    });
    flow::Rules {
        private: flow.private.clone(),
        untrusted: flow.untrusted.clone(),
        external: flow.external.clone(),
        regions: regions.collect(),
        window: flow.window,
    }
}

impl Oversight {
    /// Whether calls are held against anything before they are made.
    pub(crate) fn asks(&self) -> bool {
        self.rules.load().is_some()
    }

    /// Somebody has got a result, which may say more of itself than is configured.
    pub(crate) fn read(
        self: &Arc<Self>,
        env: &Surroundings,
        caller: &Caller,
        server: &ServerId,
        tool: Option<&str>,
        result: &Raw,
    ) {
        let Some(rules) = self.rules.load_full().filter(|rules| !rules.flow.is_empty()) else { return };
        let Some(said) = result.find_path(&["_meta", LABELS]) else { return };
        let words: Vec<String> =
            said.elements().filter_map(|word| Some(word.string()?.into_owned())).collect();
        let from = format!("{server}/{}", tool.unwrap_or_default());
        let labels = Labels::said(words.iter().map(String::as_str), &from);
        let who = rules.window_of(caller);
        if self.windows.join(&who, &labels, rules.flow.window) {
            let oversight = self.clone();
            env.control.spawn(async move {
                if let Err(error) = oversight.windows.keep(&*oversight.records, &who).await {
                    tracing::warn!(%error, "what was read is known to this gateway alone");
                }
            });
        }
    }
}

/// Whether a call may be made. `held` is what the guard holds of it.
pub(crate) async fn leave(
    gateway: &Gateway,
    call: &Arc<Call>,
    route: &mut Route,
    held: Option<&HeldCall>,
) -> Leave {
    let oversight = gateway.env.oversight.clone();
    let Some(rules) = oversight.rules.load_full() else { return Leave::Given };
    let Some(name) = route.subject.clone().filter(|_| !route.connecting) else { return Leave::Given };
    if !can_wait(&call.method) {
        return Leave::Given;
    }
    let server = route.catalogue.server.id().clone();
    let about = About { gateway, call, rules: &rules, server: &server, name: &name, matter: Matter::Call };
    match about.decide(&oversight, held).await {
        Ok((leave, answered)) => {
            if let (true, Some(params)) = (answered, &route.params) {
                // What came back was for the gateway.
                route.params = Some(rounds::without_answers(params).into());
            }
            leave
        }
        Err(error) => Leave::Refused(about.unavailable(&error)),
    }
}

/// What somebody can be asked about.
pub(super) fn can_wait(method: &Method) -> bool {
    matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead)
}

impl About<'_> {
    /// Whether the call may be made, and whether it came with an answer to that.
    async fn decide(
        &self,
        oversight: &Oversight,
        held: Option<&HeldCall>,
    ) -> Result<(Leave, bool), Unavailable> {
        let (flow, server) = (&self.rules.flow, self.server.as_str());
        let principal = &self.call.caller.principal;
        let groups: Vec<String> = principal.groups().iter().map(ToString::to_string).collect();
        let who = self.rules.window_of(&self.call.caller);
        if let Some(outside) = flow.outside(server, self.name, &principal.id(), &groups) {
            if self.rules.mode != FlowMode::Observe {
                return Ok((self.denied(&outside), false));
            }
            self.record("call would be refused (observed)", None, &outside.to_string());
        }
        let conflicts = if flow.is_sink(server, self.name) {
            let window = oversight.windows.of(&*oversight.records, &who).await?;
            flow.conflicts(&window, server, self.name)
        } else {
            Vec::new()
        };
        let came = rounds::came(&self.gateway.sealer, self.call);
        let mut grounds: Vec<Ground> = Vec::new();
        for conflict in &conflicts {
            match self.rules.mode {
                FlowMode::Ask => grounds.push(Ground::of(conflict)),
                FlowMode::Deny => return Ok((self.denied(conflict), false)),
                FlowMode::Observe => {
                    self.record("call would be held (observed)", None, &conflict.to_string());
                }
            }
        }
        let of_tools = self.call.method == Method::ToolsCall
            && self.rules.tools.iter().any(|pattern| flow::is_of(pattern, server, self.name));
        if of_tools {
            grounds.push(Ground::tool());
        }
        if let Some(held) = held {
            if grounds.is_empty() && !self.somebody_decides() {
                return Ok((Leave::Refused(held.refusal.clone()), false));
            }
            grounds.push(Ground::guard(&held.why));
        }
        let answer = match came {
            Came::Answered { approved, nonce, matter: Matter::Call } => Some((approved, nonce)),
            _ => None,
        };
        if !grounds.is_empty() && !matches!(came, Came::Further) {
            let leave = self.approval(oversight, &grounds, answer).await?;
            if !matches!(leave, Leave::Given) {
                return Ok((leave, answer.is_some()));
            }
        }
        let labels = flow.read(server, self.name);
        if !labels.is_empty() {
            oversight.windows.add(&*oversight.records, &who, &labels, flow.window).await?;
        }
        Ok((Leave::Given, answer.is_some()))
    }

    fn denied(&self, conflict: &Conflict) -> Leave {
        self.record("call refused", None, &conflict.to_string());
        let message =
            format!("`{:.128}` of server `{}` may not be called: {conflict}", self.name, self.server);
        Leave::Refused(Refusal::new(ErrorKind::FlowDenied, message))
    }
}
