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
use portcullis_model::{ErrorKind, Principal, ServerId, Unavailable};
use portcullis_oversight::Matter;
use portcullis_oversight::flow::{self, Conflict, Joined, Labels};

use super::Oversight;
use super::asking::{About, Ground};
use super::conversation::{Window, without_handle};
use super::webhook::Webhook;
use crate::call::{Call, Caller, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::inspect::HeldCall;
use crate::record::{self, Decision};
use crate::rounds::{self, Came};
use crate::route::Route;

/// Where a result says what it is.
const LABELS: &str = "io.github.portcullis-mcp/labels";

/// What calls are held against.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that the operator has or has not said")]
pub(crate) struct Rules {
    pub(super) flow: flow::Rules,
    pub(super) mode: FlowMode,
    pub(super) per_session: bool,
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
        gateway: &Gateway,
        call: &Call,
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
        let window = rules.window(&gateway.sealer, call);
        if self.windows.join(window.who(), &labels, rules.flow.window) == Joined::Here {
            let oversight = self.clone();
            gateway.env.control.spawn(async move {
                if let Err(error) = oversight.windows.keep(&*oversight.records, window.who()).await {
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
    let Some(name) = route.about().filter(|_| !route.connecting).map(str::to_owned) else {
        return Leave::Given;
    };
    let server = route.catalogue.server.id().clone();
    let about = About { gateway, call, rules: &rules, server: &server, name: &name, matter: Matter::Call };
    match about.decide(&oversight, held).await {
        Ok((leave, answered)) => {
            if let (true, Some(params)) = (answered, &route.params) {
                // What came back was for the gateway.
                route.params = Some(rounds::without_answers(params).into());
            }
            if let Some(params) = route.params.as_ref().and_then(without_handle) {
                route.params = Some(params.into());
            }
            leave
        }
        Err(error) => Leave::Refused(about.unavailable(&error)),
    }
}

/// Whether a caller may be told of a resource: a URI that is named to a server can say as much as a call.
///
/// # Errors
/// Data may not flow that way, or that cannot be found out.
pub(crate) async fn may_subscribe(
    oversight: &Oversight,
    caller: &Caller,
    server: &ServerId,
    uri: &str,
) -> Result<(), Refusal> {
    let Some(rules) = oversight.rules.load_full().filter(|rules| !rules.flow.is_empty()) else {
        return Ok(());
    };
    let window = rules.window_of(caller);
    let flowing = match rules.flowing(oversight, (caller, &window), server, uri).await {
        Ok(flowing) => flowing,
        Err(error) => {
            tracing::error!(%error, server.id = %server, "a subscription is refused: what was read cannot be found out");
            let message = "whether this may be subscribed to cannot be found out now; try again";
            return Err(Refusal::new(ErrorKind::OversightUnavailable, message));
        }
    };
    let log = |what, conflict: &Conflict| {
        record::decided(&Decision {
            what,
            server: server.as_str(),
            kind: "resource",
            name: uri,
            pin: None,
            principal: Some(&caller.principal.id()),
            by: None,
            why: &conflict.to_string(),
        });
    };
    for conflict in flowing.outside.iter().chain(&flowing.conflicts) {
        if rules.mode == FlowMode::Observe {
            log("subscription would be refused (observed)", conflict);
            continue;
        }
        log("subscription refused", conflict);
        return Err(flow_denied(server, uri, conflict));
    }
    Ok(())
}

/// What can wait for an approval; everything else either may be done or not.
pub(crate) fn can_wait(method: &Method) -> bool {
    matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead)
}

fn flow_denied(server: &ServerId, name: &str, conflict: &Conflict) -> Refusal {
    let message = format!("`{name:.128}` of server `{server}` may not be called: {conflict}");
    Refusal::new(ErrorKind::FlowDenied, message)
}

/// What speaks against a call by what flows with it.
struct Flowing {
    /// The caller may not have what is read.
    outside: Option<Conflict>,
    conflicts: Vec<Conflict>,
    /// What the caller had read before, where it depends on that.
    before: Vec<String>,
}

impl Rules {
    /// The region whose data this is, and that the caller is not of.
    fn outside(&self, principal: &Principal, server: &ServerId, name: &str) -> Option<Conflict> {
        let groups: Vec<String> = principal.groups().iter().map(ToString::to_string).collect();
        self.flow.outside(server.as_str(), name, &principal.id(), &groups)
    }

    async fn flowing(
        &self,
        oversight: &Oversight,
        (caller, window): (&Caller, &Window),
        server: &ServerId,
        name: &str,
    ) -> Result<Flowing, Unavailable> {
        let outside = self.outside(&caller.principal, server, name);
        let (flow, server) = (&self.flow, server.as_str());
        if !flow.is_sink(server, name) {
            return Ok(Flowing { outside, conflicts: Vec::new(), before: Vec::new() });
        }
        let read = window.labels(oversight).await?;
        Ok(Flowing { outside, conflicts: flow.conflicts(&read, server, name), before: read.words() })
    }
}

impl About<'_> {
    /// Whether the call may be made, and whether it came with an answer to that.
    async fn decide(
        &self,
        oversight: &Oversight,
        held: Option<&HeldCall>,
    ) -> Result<(Leave, bool), Unavailable> {
        let server = self.server.as_str();
        let window = self.rules.window(&self.gateway.sealer, self.call);
        let caller = (&*self.call.caller, &window);
        let flowing = self.rules.flowing(oversight, caller, self.server, self.name).await?;
        self.call.record.after(flowing.before);
        let can_wait = can_wait(&self.call.method);
        let mut grounds: Vec<Ground> = Vec::new();
        for conflict in flowing.outside.iter().chain(&flowing.conflicts) {
            let outside = matches!(conflict, Conflict::Outside { .. });
            match self.rules.mode {
                FlowMode::Observe if outside => {
                    self.record("call would be refused (observed)", None, &conflict.to_string());
                }
                FlowMode::Observe => {
                    self.record("call would be held (observed)", None, &conflict.to_string());
                }
                FlowMode::Ask if !outside && can_wait => grounds.push(Ground::of(conflict)),
                FlowMode::Ask | FlowMode::Deny => return Ok((self.denied(conflict), false)),
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
        let came = rounds::came(&self.gateway.sealer, self.call);
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
        self.reads(oversight, &window).await?;
        Ok((Leave::Given, answer.is_some()))
    }

    /// What the call gives counts as read from now on.
    async fn reads(&self, oversight: &Oversight, window: &Window) -> Result<(), Unavailable> {
        let flow = &self.rules.flow;
        let labels = flow.read(self.server.as_str(), self.name);
        if labels.is_empty() {
            return Ok(());
        }
        oversight.windows.add(&*oversight.records, window.who(), &labels, flow.window).await
    }

    /// What a call has given counts as read by whoever fetches it, too; why it may not be fetched, if it may not.
    pub(super) async fn fetches(&self, oversight: &Oversight) -> Result<Option<Leave>, Unavailable> {
        let principal = &self.call.caller.principal;
        if let Some(conflict) = self.rules.outside(principal, self.server, self.name) {
            if self.rules.mode != FlowMode::Observe {
                return Ok(Some(self.denied(&conflict)));
            }
            self.record("result would be refused (observed)", None, &conflict.to_string());
        }
        self.reads(oversight, &self.rules.window(&self.gateway.sealer, self.call)).await?;
        Ok(None)
    }

    fn denied(&self, conflict: &Conflict) -> Leave {
        self.record("call refused", None, &conflict.to_string());
        Leave::Refused(flow_denied(self.server, self.name, conflict))
    }
}
