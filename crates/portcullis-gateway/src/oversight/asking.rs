//! Leave for a call, or for its result: asked for, given by somebody, used once.
//!
//! What needs leave and has none becomes a question to its user, where the client can ask and the operator lets users decide;
//! else it is refused with the id under which an operator finds it, and the same call works once it was granted. Leave is for
//! the call's digest and used up by it. Where several have to say yes, the user's is one, and the others are operators'.

use std::sync::Arc;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::method::Method;
use portcullis_model::{ErrorKind, ServerId, Unavailable};
use portcullis_oversight::flow::Conflict;
use portcullis_oversight::{Approval, Digest, Matter, Request, Standing, Voted, canonical, visible};

use super::Oversight;
use super::leave::{Leave, Rules};
use crate::call::{Call, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::record::{self, Decision, Said};
use crate::rounds;

/// Longest arguments that a question shows, in characters.
const SHOWN: usize = 2_000;

/// What leave is asked for.
pub(super) struct About<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) call: &'a Arc<Call>,
    pub(super) rules: &'a Rules,
    pub(super) server: &'a ServerId,
    pub(super) name: &'a str,
    pub(super) matter: Matter,
}

/// Why leave is needed: in a word for the record, and for people.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    code: &'static str,
    text: String,
}

impl Ground {
    pub(super) fn of(conflict: &Conflict) -> Self {
        let code = match conflict {
            Conflict::Exfiltration { .. } => "flow",
            Conflict::Leaves { .. } | Conflict::Outside { .. } => "region",
        };
        Self { code, text: conflict.to_string() }
    }

    /// Every call of the tool.
    pub(super) fn tool() -> Self {
        Self { code: "tool", text: "every call of it needs an approval".to_owned() }
    }

    /// What is in it.
    pub(super) fn guard(why: &str) -> Self {
        Self { code: "guard", text: why.to_owned() }
    }
}

/// What was decided until now.
pub(super) enum Claimed {
    /// All of it, about this.
    Settled(Leave, Approval),
    /// Nothing, or not enough.
    Waiting(Approval),
    /// Nobody was asked.
    Unknown,
}

fn why(grounds: &[Ground]) -> String {
    grounds.iter().map(|ground| ground.text.as_str()).collect::<Vec<_>>().join("; ")
}

impl About<'_> {
    /// Whether there is anybody who could say yes.
    pub(super) fn somebody_decides(&self) -> bool {
        self.rules.reachable || self.rules.webhook.is_some() || self.asks_user()
    }

    fn asks_user(&self) -> bool {
        let caps = self.call.caller.caps.known_in(self.call.caller.revision);
        !self.rules.by_operator && self.call.method.has_rounds() && caps.has(ClientCaps::ELICIT_FORM)
    }

    /// Whether there is leave; if not, somebody is asked.
    pub(super) async fn approval(
        &self,
        oversight: &Oversight,
        grounds: &[Ground],
        answer: Option<(bool, u64)>,
    ) -> Result<Leave, Unavailable> {
        let (records, request) = (&*oversight.records, self.request(grounds));
        if let Some((approved, nonce)) = answer.filter(|_| self.asks_user()) {
            self.answered(oversight, &request.digest.id(), nonce, approved).await?;
        }
        let (approval, new) = match self.claim(oversight, None, answer.is_some()).await? {
            Claimed::Settled(leave, _) => return Ok(leave),
            Claimed::Waiting(approval) => (approval, false),
            Claimed::Unknown => {
                Approval::ask(records, &request, self.rules.lifetime, oversight.key.as_ref()).await?
            }
        };
        if new {
            self.record("call needs an approval", None, &why(grounds));
            oversight.asked(&approval, self.call);
        }
        self.ask(oversight, &approval, new || answer.is_some(), &why(grounds)).await
    }

    /// Asks whoever can be asked now. The webhook is told of what is `news`.
    pub(super) async fn ask(
        &self,
        oversight: &Oversight,
        approval: &Approval,
        news: bool,
        why: &str,
    ) -> Result<Leave, Unavailable> {
        self.call.record.said(approval, Said::Asked);
        let arguments = self.arguments();
        let own = format!("user:{}", approval.principal);
        // Whoever has said yes need not be asked again.
        if self.asks_user() && !approval.votes.iter().any(|vote| vote.by == own) {
            let info = self.gateway.info_of(None);
            let asked = (approval.nonce, self.matter, self.rules.lifetime);
            let question = self.question(arguments.as_ref(), why);
            let asked = rounds::ask_for_leave(&self.gateway.sealer, self.call, &question, asked, &info);
            return Ok(Leave::Asked(asked));
        }
        if let Some(webhook) = self.rules.webhook.as_ref().filter(|_| news)
            && let Some((approved, by)) = webhook.ask(approval, arguments.as_ref()).await
        {
            let records = &*oversight.records;
            Approval::rule(records, (&approval.id, Some(approval.nonce)), approved, &by).await?;
            match self.claim(oversight, Some(approval.nonce), false).await? {
                Claimed::Settled(leave, _) => return Ok(leave),
                Claimed::Waiting(approval) => {
                    oversight.seen(&approval, false);
                    return Ok(Leave::Refused(self.waits(&approval, why)));
                }
                Claimed::Unknown => {}
            }
        }
        Ok(Leave::Refused(self.waits(approval, why)))
    }

    /// The user has answered.
    pub(super) async fn answered(
        &self,
        oversight: &Oversight,
        id: &str,
        nonce: u64,
        approved: bool,
    ) -> Result<(), Unavailable> {
        let by = format!("user:{}", self.call.caller.principal.id());
        // Whoever answers twice has answered once.
        match Approval::rule(&*oversight.records, (id, Some(nonce)), approved, &by).await? {
            Voted::Counted(approval) => oversight.seen(&approval, false),
            Voted::Again(_) => {}
            Voted::Nothing => tracing::info!(approval.id = id, "an answer came to a question that is over"),
        }
        Ok(())
    }

    /// What was decided, if anything was; with a nonce, of what was asked then. Leave that was given is used up by that.
    pub(super) async fn claim(
        &self,
        oversight: &Oversight,
        nonce: Option<u64>,
        by_user: bool,
    ) -> Result<Claimed, Unavailable> {
        let records = &*oversight.records;
        let (approval, given) = match Approval::claim(records, self.digest(), nonce).await? {
            Standing::Granted(approval) => (approval, true),
            Standing::Denied(approval) => (approval, false),
            Standing::Waiting(approval) => return Ok(Claimed::Waiting(approval)),
            Standing::Unknown => return Ok(Claimed::Unknown),
        };
        oversight.seen(&approval, true);
        self.call.record.said(&approval, if given { Said::Approved } else { Said::Refused });
        let (by, why) = (approval.deciders().join(", "), approval.why.join("; "));
        if given {
            self.record("call approved", Some(&by), &why);
            return Ok(Claimed::Settled(Leave::Given, approval));
        }
        self.record("call not approved", Some(&by), &why);
        if by_user {
            // The user may be asked again when the call is made again.
            approval.forget(records).await?;
        }
        let message = match self.matter {
            Matter::Call => format!("the call of `{:.128}` was not approved; do not try it again", self.name),
            Matter::Result => {
                format!("the result of `{:.128}` was not approved; the call has been made", self.name)
            }
        };
        Ok(Claimed::Settled(Leave::Refused(Refusal::new(ErrorKind::ApprovalDenied, message)), approval))
    }

    pub(super) fn waits(&self, approval: &Approval, why: &str) -> Refusal {
        let seconds = approval.until.saturating_sub(portcullis_oversight::now_ms()) / 1000;
        let what = match self.matter {
            Matter::Call => "call",
            Matter::Result => "result",
        };
        let more = match (approval.votes.len(), approval.needed) {
            (0, 0 | 1) => String::new(),
            (have, needed) => format!(" ({have} of {needed} have approved)"),
        };
        let message = format!(
            "the {what} of `{:.128}` needs an approval: {why}. It waits as {:.16} for {seconds} s{more}; when an operator has \
             granted it, make the same call again",
            self.name, approval.id,
        );
        let data = Raw::from_value(&serde_json::json!({ "approval": approval.id }));
        Refusal::new(ErrorKind::ApprovalRequired, message).with_data(data)
    }

    fn arguments(&self) -> Option<Raw> {
        self.call.params.as_ref().and_then(|params| params.find("arguments"))
    }

    /// Names what leave is asked for.
    pub(super) fn digest(&self) -> Digest {
        let (principal, method) = (self.call.caller.principal.id(), self.call.method.as_str());
        let arguments = self.arguments();
        let call = Digest::of(&principal, self.server.as_str(), method, self.name, arguments.as_ref());
        call.about(self.matter)
    }

    pub(super) fn request(&self, grounds: &[Ground]) -> Request {
        Request {
            digest: self.digest(),
            matter: self.matter,
            needed: self.rules.needed,
            principal: self.call.caller.principal.id(),
            server: self.server.to_string(),
            name: self.name.to_owned(),
            named: self.call.method != Method::ResourcesRead,
            why: grounds.iter().map(|ground| ground.text.clone()).collect(),
            grounds: grounds.iter().map(|ground| ground.code.to_owned()).collect(),
            arguments: self.arguments(),
        }
    }

    /// What the user is asked: nothing that is sent stays hidden.
    fn question(&self, arguments: Option<&Raw>, why: &str) -> String {
        let (name, server) = (visible(self.name), self.server);
        let arguments = arguments.map_or_else(|| "{}".to_owned(), canonical);
        let whole = visible(&arguments);
        let shown: String = whole.chars().take(SHOWN).collect();
        let rest = if shown.len() < whole.len() {
            format!("… ({} bytes in all)", arguments.len())
        } else {
            String::new()
        };
        match self.matter {
            Matter::Call => format!(
                "May `{name}` of server `{server}` be called? It has to be asked because {why}. The arguments are: {shown}{rest}"
            ),
            Matter::Result => format!(
                "`{name}` of server `{server}` has been called. May its result be given to the model? It has to be asked because \
                 {why}. The arguments were: {shown}{rest}"
            ),
        }
    }

    pub(super) fn unavailable(&self, error: &Unavailable) -> Refusal {
        tracing::error!(%error, server.id = %self.server, "a call is refused: what was decided about it cannot be read or kept");
        let message = "whether this call may be made cannot be found out now; try again";
        Refusal::new(ErrorKind::OversightUnavailable, message)
    }

    pub(super) fn record(&self, what: &'static str, by: Option<&str>, why: &str) {
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

/// The question as an outcome, or why there is none.
impl From<Leave> for Outcome {
    fn from(leave: Leave) -> Self {
        match leave {
            Leave::Asked(outcome) => outcome,
            Leave::Refused(refusal) => refusal.into(),
            Leave::Given => Refusal::new(ErrorKind::Internal, "leave is no outcome").into(),
        }
    }
}
