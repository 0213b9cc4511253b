//! What people decide about tools, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Secret};

/// Which definitions of tools, prompts, resources and templates, and which servers' instructions, reach clients.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Definitions {
    /// `trust-first-use`: what is seen first is trusted unless it hides text, speaks of another server's tools, can be taken
    /// for one, or is another under a new name; what changes afterwards is held back until somebody approves it.
    /// `approve`: nothing is listed or callable before somebody has approved it. `off`: nothing is looked at.
    #[schemars(extend("default" = "trust-first-use"))]
    pub(crate) mode: Option<DefinitionsMode>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DefinitionsMode {
    TrustFirstUse,
    Approve,
    Off,
}

/// Keeps private data, untrusted content and effects on the outside from meeting. Every pattern is `SERVER`, for all that it
/// has, or `SERVER/NAME` by the server's own name or URI; `*` stands for any characters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Flow {
    /// What gives private data.
    pub(crate) private: Vec<String>,
    /// What gives content that strangers may have written: web pages, mail, tickets.
    pub(crate) untrusted: Vec<String>,
    /// What acts on the outside: sends, posts, fetches addresses that it is given.
    pub(crate) external: Vec<String>,
    /// Regions by name: whose data has to stay with whom.
    pub(crate) regions: BTreeMap<String, Region>,
    /// `ask`: a call that would let them meet needs an approval; `deny`: it is refused; `observe`: it is only logged.
    #[schemars(extend("default" = "ask"))]
    pub(crate) mode: Option<FlowMode>,
    /// For how long what a caller has read counts, from the last time.
    #[schemars(extend("default" = "30m"))]
    pub(crate) window: Option<Duration>,
    /// Who is one: all that a `principal` does, or each `session` by itself. A client without sessions gets a handle with each
    /// result, in `_meta` under `io.portcullis/conversation`; what hands one back is a conversation, and what does not is the
    /// principal's.
    #[schemars(extend("default" = "principal"))]
    pub(crate) per: Option<FlowPer>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FlowMode {
    Ask,
    Deny,
    Observe,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FlowPer {
    Principal,
    Session,
}

/// Data that has to stay with some callers and some servers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Region {
    /// What gives data of the region.
    pub(crate) data: Vec<String>,
    /// What else may be called by whoever has read some.
    pub(crate) servers: Vec<String>,
    /// Groups whose members may have it. Everybody may when neither `groups` nor `principals` are given.
    pub(crate) groups: Vec<String>,
    /// Callers who may have it, by id.
    pub(crate) principals: Vec<String>,
}

/// Calls that somebody has to approve, each with its exact arguments and once. What the guard holds (`action: hold`) and what
/// `flow` asks about goes the same way.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Approvals {
    /// Tools whose every call needs an approval, as in `flow`.
    pub(crate) tools: Vec<String>,
    /// Who is asked: the `user`, through the client, where it can ask; or only an `operator`, who is somebody else
    /// (`portcullis approval`). Where the client cannot ask, the operator is.
    #[schemars(extend("default" = "user"))]
    pub(crate) by: Option<ApprovalBy>,
    /// How many have to say yes, each another: 2 for four eyes. The user is one of them where the user is asked.
    #[schemars(range(min = 1, max = 5), extend("default" = 1))]
    pub(crate) needed: Option<u8>,
    /// How long a call, or a result that the guard holds, waits for its approval, and can use it.
    #[schemars(extend("default" = "10m"))]
    pub(crate) lifetime: Option<Duration>,
    /// Who is told of a call that waits for an operator, and may decide at once.
    pub(crate) webhook: Option<Webhook>,
}

/// Is posted `{"id", "principal", "server", "name", "matter", "why", "arguments", "until_ms"}`, where `matter` is `call` or
/// `result`, and decides when it answers
/// `{"approved": true, "by": "…"}` or false with status 200.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    /// Its `https://` URL, or `http://` on this machine.
    pub(crate) url: String,
    /// Sent as a bearer token.
    #[serde(default)]
    pub(crate) token: Option<Secret>,
    /// PEM file with the authorities to trust instead of those of the system.
    #[serde(default)]
    pub(crate) ca: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ApprovalBy {
    User,
    Operator,
}

/// What is stopped, at once and for calls under way. `portcullis halt` does the same without a change of the configuration.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Halt {
    /// Everything.
    #[schemars(extend("default" = false))]
    pub(crate) all: bool,
    /// Servers.
    pub(crate) servers: Vec<String>,
    /// Tools, as `SERVER/NAME`; `*` in the name stands for any characters.
    pub(crate) tools: Vec<String>,
    /// Callers, by id.
    pub(crate) principals: Vec<String>,
}
