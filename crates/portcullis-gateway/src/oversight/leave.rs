//! Before a call is made: whether data may flow that way, and whether somebody has to approve of it.
//!
//! A call that needs leave and has none becomes a question to its user, where the client can ask and the operator lets users
//! decide; else it is refused with the id under which an operator finds it, and the same call works once it was granted.
//! Leave is for the call's digest and used up by it. What a call is about to read counts as read before it is sent: an
//! answer that comes late, or never, must not make a difference. What cannot be read or kept refuses.

use std::sync::Arc;
use std::time::Duration;

use portcullis_config::{FlowMode, Settings};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, Records, ServerId, Unavailable};
use portcullis_oversight::flow::{self, Conflict, Labels};
use portcullis_oversight::{Approval, Digest, Request, Standing, canonical, visible};

use super::Oversight;
use super::webhook::Webhook;
use crate::call::{Call, Caller, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::record::{self, Decision};
use crate::rounds::{self, Came};
use crate::route::Route;
use crate::upstream::Surroundings;

/// Where a result says what it is.
const LABELS: &str = "io.github.portcullis-mcp/labels";
/// Longest arguments that a question shows, in characters.
const SHOWN: usize = 2_000;

/// What calls are held against.
pub(crate) struct Rules {
    flow: flow::Rules,
    mode: FlowMode,
    per_session: bool,
    tools: Vec<String>,
    by_operator: bool,
    lifetime: Duration,
    webhook: Option<Webhook>,
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
            by_operator: approvals.by_operator,
            lifetime: approvals.lifetime,
            webhook: approvals.webhook.as_ref().and_then(Webhook::of),
        };
        (!rules.flow.is_empty() || !rules.tools.is_empty()).then_some(rules)
    }

    /// Whose window it is.
    fn window_of(&self, caller: &Caller) -> String {
        let id = caller.principal.id();
        let own = self.per_session && caller.revision.era() == Era::Legacy;
        if own { format!("{id} {}", caller.conversation) } else { id }
    }
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

/// Whether a call may be made.
pub(crate) async fn leave(gateway: &Gateway, call: &Arc<Call>, route: &mut Route) -> Leave {
    let oversight = gateway.env.oversight.clone();
    let Some(rules) = oversight.rules.load_full() else { return Leave::Given };
    let Some(name) = route.subject.clone().filter(|_| !route.connecting) else { return Leave::Given };
    if !matches!(call.method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead) {
        return Leave::Given;
    }
    let server = route.catalogue.server.id().clone();
    let about = About { gateway, call, rules: &rules, server: &server, name: &name };
    match about.decide(&oversight).await {
        Ok((leave, answered)) => {
            if let (true, Some(params)) = (answered, &route.params) {
                // What came back was for the gateway.
                route.params = Some(rounds::without_answers(params).into());
            }
            leave
        }
        Err(error) => {
            tracing::error!(%error, server.id = %server, "a call is refused: what was decided about it cannot be read or kept");
            let message = "whether this call may be made cannot be found out now; try again";
            Leave::Refused(Refusal::new(ErrorKind::OversightUnavailable, message))
        }
    }
}

struct About<'a> {
    gateway: &'a Gateway,
    call: &'a Arc<Call>,
    rules: &'a Rules,
    server: &'a ServerId,
    name: &'a str,
}

impl About<'_> {
    /// Whether the call may be made, and whether it came with an answer to that.
    async fn decide(&self, oversight: &Oversight) -> Result<(Leave, bool), Unavailable> {
        let (flow, server) = (&self.rules.flow, self.server.as_str());
        let principal = &self.call.caller.principal;
        let groups: Vec<String> = principal.groups().iter().map(ToString::to_string).collect();
        let who = self.rules.window_of(&self.call.caller);
        if let Some(outside) = flow.outside(server, self.name, &principal.id(), &groups)
            && self.rules.mode != FlowMode::Observe
        {
            return Ok((self.denied(&outside), false));
        }
        let conflicts = if flow.is_sink(server, self.name) {
            let window = oversight.windows.of(&*oversight.records, &who).await?;
            flow.conflicts(&window, server, self.name)
        } else {
            Vec::new()
        };
        let came = rounds::came(&self.gateway.sealer, self.call);
        let mut why: Vec<String> = Vec::new();
        for conflict in &conflicts {
            match self.rules.mode {
                FlowMode::Ask => why.push(conflict.to_string()),
                FlowMode::Deny => return Ok((self.denied(conflict), false)),
                FlowMode::Observe => {
                    self.record("call would be held (observed)", None, &conflict.to_string());
                }
            }
        }
        let of_tools = self.call.method == Method::ToolsCall
            && self.rules.tools.iter().any(|pattern| flow::is_of(pattern, server, self.name));
        if of_tools {
            why.push("every call of it needs an approval".to_owned());
        }
        let answer =
            if let Came::Answered { approved, nonce } = came { Some((approved, nonce)) } else { None };
        if !why.is_empty() && !matches!(came, Came::Further) {
            let leave = self.approval(oversight, &why, answer).await?;
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

    /// Whether the call has leave; if not, somebody is asked.
    async fn approval(
        &self,
        oversight: &Oversight,
        why: &[String],
        answer: Option<(bool, u64)>,
    ) -> Result<Leave, Unavailable> {
        let (records, request) = (&*oversight.records, self.request(why));
        let id = request.digest.id();
        let caps = self.call.caller.caps.known_in(self.call.caller.revision);
        let asks_user =
            !self.rules.by_operator && self.call.method.has_rounds() && caps.has(ClientCaps::ELICIT_FORM);
        if let Some((approved, nonce)) = answer.filter(|_| asks_user) {
            let by = format!("user:{}", request.principal);
            // Whoever answers twice has answered once.
            if Approval::rule(records, (&id, Some(nonce)), approved, &by).await?.is_none() {
                tracing::info!(approval.id = id, "an answer came to a question that is over");
            }
        }
        if let Some(leave) = self.claim(records, &request, answer.is_some()).await? {
            return Ok(leave);
        }
        let (approval, new) =
            Approval::ask(records, &request, self.rules.lifetime, oversight.key.as_ref()).await?;
        if new {
            self.record("call needs an approval", None, &why.join("; "));
        }
        if asks_user {
            let info = self.gateway.info_of(None);
            let asked = (approval.nonce, self.rules.lifetime);
            let question = self.question(&request);
            return Ok(Leave::Asked(rounds::ask_for_leave(
                &self.gateway.sealer,
                self.call,
                &question,
                asked,
                &info,
            )));
        }
        if let Some(webhook) = self.rules.webhook.as_ref().filter(|_| new)
            && let Some((approved, by)) = webhook.ask(&approval, request.arguments.as_ref()).await
        {
            Approval::rule(records, (&id, Some(approval.nonce)), approved, &by).await?;
            if let Some(leave) = self.claim(records, &request, false).await? {
                return Ok(leave);
            }
        }
        Ok(Leave::Refused(self.waits(&approval, why)))
    }

    /// What was decided about the call, if anything was. Leave that was given is used up by that.
    async fn claim(
        &self,
        records: &dyn Records,
        request: &Request,
        by_user: bool,
    ) -> Result<Option<Leave>, Unavailable> {
        let (approval, given) = match Approval::claim(records, request.digest).await? {
            Standing::Granted(approval) => (approval, true),
            Standing::Denied(approval) => (approval, false),
            Standing::Waiting(_) | Standing::Unknown => return Ok(None),
        };
        let (by, why) = (approval.ruling.map(|ruling| ruling.by).unwrap_or_default(), request.why.join("; "));
        if given {
            self.record("call approved", Some(&by), &why);
            return Ok(Some(Leave::Given));
        }
        self.record("call not approved", Some(&by), &why);
        if by_user {
            // The user may be asked again when the call is made again.
            Approval::forget(records, &approval.id).await?;
        }
        let message = format!("the call of `{:.128}` was not approved; do not try it again", self.name);
        Ok(Some(Leave::Refused(Refusal::new(ErrorKind::ApprovalDenied, message))))
    }

    fn waits(&self, approval: &Approval, why: &[String]) -> Refusal {
        let seconds = approval.until.saturating_sub(portcullis_oversight::now_ms()) / 1000;
        let message = format!(
            "the call of `{:.128}` needs an approval: {}. It waits as {:.16} for {seconds} s; when an operator has granted it, \
             make the same call again",
            self.name,
            why.join("; "),
            approval.id,
        );
        let data = Raw::from_value(&serde_json::json!({ "approval": approval.id }));
        Refusal::new(ErrorKind::ApprovalRequired, message).with_data(data)
    }

    fn request(&self, why: &[String]) -> Request {
        let arguments = self.call.params.as_ref().and_then(|params| params.find("arguments"));
        let (principal, method) = (self.call.caller.principal.id(), self.call.method.as_str());
        Request {
            digest: Digest::of(&principal, self.server.as_str(), method, self.name, arguments.as_ref()),
            principal,
            server: self.server.to_string(),
            name: self.name.to_owned(),
            why: why.to_vec(),
            arguments,
        }
    }

    /// What the user is asked: nothing that is sent stays hidden.
    fn question(&self, request: &Request) -> String {
        let arguments = request.arguments.as_ref().map_or_else(|| "{}".to_owned(), canonical);
        let whole = visible(&arguments);
        let shown: String = whole.chars().take(SHOWN).collect();
        let rest = if shown.len() < whole.len() {
            format!("… ({} bytes in all)", arguments.len())
        } else {
            String::new()
        };
        format!(
            "May `{}` of server `{}` be called? It has to be asked because {}. The arguments are: {shown}{rest}",
            visible(self.name),
            self.server,
            request.why.join("; "),
        )
    }

    fn record(&self, what: &'static str, by: Option<&str>, why: &str) {
        let kind = match self.call.method {
            Method::ToolsCall => "tool",
            Method::PromptsGet => "prompt",
            _ => "resource",
        };
        record::decided(&Decision {
            what,
            server: self.server.as_str(),
            kind,
            name: self.name,
            pin: None,
            principal: Some(&self.call.caller.principal.id()),
            by,
            why,
        });
    }
}
