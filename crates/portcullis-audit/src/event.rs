//! What is recorded: one event for each exchange, each denial and each change, with the fields of the published dictionary
//! (`docs/reference/audit.md`).
//!
//! An event is written once, as JSON in the canonical form of RFC 8785, and those bytes are what is hashed, kept, exported and
//! proved; nothing is ever written again to be compared. The canonical form is had without sorting: members are declared in
//! the order of their names, all names are ASCII, and all numbers are whole. A group of which nothing is known is left out.
//!
//! No field holds a person's name, an argument or a result in the clear: persons are pseudonyms ([`crate::Keyring`]), contents
//! are keyed digests ([`Content`]). What a field cannot say has no place here: there is one free-form group, `detail`, for
//! what changed, and it is for words of this program.

mod canonical;
mod id;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::content::Content;
pub(crate) use canonical::Canonical;
pub use canonical::Word;
use canonical::{Members, name};
pub use id::EventId;

/// The version of the dictionary.
pub const VERSION: u32 = 1;

/// What happened. `S` is what its words are: [`String`], or [`Cow`](std::borrow::Cow) for whoever has them elsewhere and
/// records the event at once, which then takes no copies of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    default,
    bound(serialize = "S: Serialize + Default + PartialEq", deserialize = "S: Deserialize<'de> + Default")
)]
pub struct Event<S = String> {
    /// What the data is, and why it may be used.
    #[serde(skip_serializing_if = "is_default")]
    pub data: Data<S>,
    /// May they, and why.
    #[serde(skip_serializing_if = "is_default")]
    pub decision: Decision<S>,
    /// What changed, for events that are no exchange.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
    /// What the content filter and the definition checks found and did.
    #[serde(skip_serializing_if = "is_default")]
    pub guard: Guard<S>,
    /// What a human decided.
    #[serde(skip_serializing_if = "is_default")]
    pub human: Human<S>,
    /// Names this event, and no other anywhere.
    pub id: EventId,
    /// What went in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Content>,
    /// What kind of event this is.
    pub kind: Kind,
    /// Where. The log fills in what is missing.
    #[serde(skip_serializing_if = "is_default")]
    pub node: Node<S>,
    /// What came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Content>,
    /// The event that this one belongs to: an outcome's intent, a question's call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<EventId>,
    /// Whether this is said before or after the act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What was asked.
    #[serde(skip_serializing_if = "is_default")]
    pub request: Request<S>,
    /// How it ended.
    #[serde(skip_serializing_if = "is_default")]
    pub result: Outcome<S>,
    /// Whom it was for.
    #[serde(skip_serializing_if = "is_default")]
    pub server: Server<S>,
    /// Of which AI system it was a part.
    #[serde(skip_serializing_if = "is_default")]
    pub system: System<S>,
    /// When.
    pub time: Time,
    /// Which tool.
    #[serde(skip_serializing_if = "is_default")]
    pub tool: Tool<S>,
    /// What it can be brought together with.
    #[serde(skip_serializing_if = "is_default")]
    pub trace: Trace<S>,
    /// The version of the dictionary.
    pub v: u32,
    /// Who.
    #[serde(skip_serializing_if = "is_default")]
    pub who: Who<S>,
}

impl Event {
    /// An event that begins and ends now, with an id of its own.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, id: EventId::new(), time: Time::now(), v: VERSION, ..Self::default() }
    }
}

impl<S: Canonical> Canonical for Event<S> {
    fn write(&self, into: &mut Vec<u8>) {
        let mut members = Members::begin(into);
        members.known(name!("data"), &self.data);
        members.known(name!("decision"), &self.decision);
        members.known(name!("detail"), &self.detail);
        members.known(name!("guard"), &self.guard);
        members.known(name!("human"), &self.human);
        members.always(name!("id"), &self.id);
        members.known(name!("input"), &self.input);
        members.always(name!("kind"), self.kind.as_str());
        members.known(name!("node"), &self.node);
        members.known(name!("output"), &self.output);
        members.known(name!("parent"), &self.parent);
        members.known(name!("phase"), &self.phase);
        members.known(name!("request"), &self.request);
        members.known(name!("result"), &self.result);
        members.known(name!("server"), &self.server);
        members.known(name!("system"), &self.system);
        members.always(name!("time"), &self.time);
        members.known(name!("tool"), &self.tool);
        members.known(name!("trace"), &self.trace);
        members.always(name!("v"), &self.v);
        members.known(name!("who"), &self.who);
        members.end();
    }
}

impl<S: Word> Event<S> {
    /// The bytes that are hashed, without the event's place in its log.
    #[cfg(test)]
    pub(crate) fn to_canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

/// What kind of event something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A request and its answer.
    #[default]
    Exchange,
    /// A request that was refused.
    Denial,
    /// A list, a greeting, a completion: nothing was done for it at a server.
    List,
    /// A subscription opened or closed.
    Subscription,
    /// A task made, asked about, ended.
    Task,
    /// What a server asked on the way, and what was answered.
    Question,
    /// A login, a token issued or refused.
    Login,
    /// An account at a server connected or disconnected.
    Credential,
    /// The configuration changed.
    Configuration,
    /// Policies changed.
    Policy,
    /// The servers or their definitions changed.
    Catalogue,
    /// A definition, an exception or a call was approved or refused.
    Approval,
    /// A key was made, changed or withdrawn.
    Key,
    /// The gateway started, stopped, or was switched off for somebody.
    Gateway,
    /// Somebody read this log.
    Audit,
    /// A person's payloads were made unreadable.
    Erasure,
    /// A legal hold was put on or lifted.
    Hold,
    /// Old entries are about to be removed.
    Truncation,
    /// Events could not be recorded.
    Loss,
    /// The log was found after a crash.
    Recovery,
    /// Something went wrong that people have to look into.
    Incident,
}

impl Kind {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Denial => "denial",
            Self::List => "list",
            Self::Subscription => "subscription",
            Self::Task => "task",
            Self::Question => "question",
            Self::Login => "login",
            Self::Credential => "credential",
            Self::Configuration => "configuration",
            Self::Policy => "policy",
            Self::Catalogue => "catalogue",
            Self::Approval => "approval",
            Self::Key => "key",
            Self::Gateway => "gateway",
            Self::Audit => "audit",
            Self::Erasure => "erasure",
            Self::Hold => "hold",
            Self::Truncation => "truncation",
            Self::Loss => "loss",
            Self::Recovery => "recovery",
            Self::Incident => "incident",
        }
    }
}

/// Whether an event is said before or after the act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before: this is about to be done.
    Intent,
    /// After: this is how it ended. `parent` is the intent.
    Outcome,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
        }
    }
}

/// When, in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Time {
    /// When it ended.
    pub end_us: i64,
    /// When it began.
    pub start_us: i64,
}

impl Time {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self::between(SystemTime::now(), Duration::ZERO)
    }

    /// What began then and took this long.
    #[must_use]
    pub fn between(start: SystemTime, took: Duration) -> Self {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let start_us = micros(since_epoch(start));
        Self { start_us, end_us: start_us.saturating_add(micros(took)) }
    }
}

impl Canonical for Phase {
    fn write(&self, into: &mut Vec<u8>) {
        self.as_str().write(into);
    }
}

impl Canonical for Time {
    fn write(&self, into: &mut Vec<u8>) {
        let mut members = Members::begin(into);
        members.always(name!("end_us"), &self.end_us);
        members.always(name!("start_us"), &self.start_us);
        members.end();
    }
}

impl Canonical for Content {
    fn write(&self, into: &mut Vec<u8>) {
        let mut members = Members::begin(into);
        members.always(name!("digest"), &self.digest);
        members.known(name!("key"), &self.key);
        members.known(name!("place"), &self.place);
        members.known(name!("sealed"), &self.sealed);
        members.always(name!("size"), &self.size);
        members.end();
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Defines a group of fields, in the order of their names.
macro_rules! group {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(
            default,
            bound(serialize = "S: Serialize + Default + PartialEq", deserialize = "S: Deserialize<'de> + Default")
        )]
        pub struct $name<S = String> {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "is_default")] pub $field: $kind,)*
        }

        impl<S: Canonical> Canonical for $name<S> {
            fn is_absent(&self) -> bool {
                $(Canonical::is_absent(&self.$field))&&*
            }

            fn write(&self, into: &mut Vec<u8>) {
                let mut members = Members::begin(into);
                $(members.known(name!(stringify!($field)), &self.$field);)*
                members.end();
            }
        }
    };
}

group! {
    /// What the data is, and why it may be used.
    Data {
        /// Categories of data, in the deployer's words.
        categories: Vec<S>,
        /// The legal basis that the deployer names.
        legal_basis: Option<S>,
        /// How long the event is kept: a class of the settings.
        retention: Option<S>,
    }
}

group! {
    /// May they, and why.
    Decision {
        /// What a permission was tied to.
        obligations: Vec<S>,
        /// The policies that decided.
        policies: Vec<S>,
        /// The reasons, by their stable names.
        reasons: Vec<S>,
        /// The revision of the policies: their digest.
        revision: Option<S>,
        /// What had flowed into the conversation before.
        taint: Vec<S>,
        /// `allow`, `deny`, or why it was not asked: `refused`.
        verdict: Option<S>,
    }
}

group! {
    /// What the content filter and the definition checks found and did.
    Guard {
        /// By rule and action; never a value.
        findings: Vec<Finding<S>>,
    }
}

group! {
    /// What one rule found.
    Finding {
        /// What was done: `allow`, `mask`, `block`, `review` …
        action: S,
        /// How many times.
        count: u64,
        /// The rule, or what kind of thing was found.
        rule: S,
        /// Where: `input`, `output`, `definition`.
        side: Option<S>,
    }
}

group! {
    /// What a human decided.
    Human {
        /// Names the approval.
        approval: Option<S>,
        /// The pseudonym of who decided.
        approver: Option<S>,
        /// What they decided: `approved`, `refused`, `expired`, `override`.
        decision: Option<S>,
        /// The reason, by a code of the deployer.
        reason: Option<S>,
        /// How long it took them, in milliseconds.
        waited_ms: u64,
    }
}

group! {
    /// Where.
    Node {
        /// The version of the program.
        build: S,
        /// The node.
        name: S,
    }
}

group! {
    /// What was asked.
    Request {
        /// The endpoint: `/mcp`, `/mcp/s/files` …
        endpoint: Option<S>,
        /// `legacy` or `modern`.
        era: Option<S>,
        /// The JSON-RPC id.
        id: Option<S>,
        /// The method: `tools/call` …
        method: Option<S>,
        /// The protocol's revision.
        protocol: Option<S>,
        /// The digest of the session's id.
        session: Option<S>,
        /// `http`, `sse`, `stdio` …
        transport: Option<S>,
    }
}

group! {
    /// How it ended.
    Outcome {
        /// The kind of error, by its stable name; absent when it went well.
        error: Option<S>,
        /// The JSON-RPC error code.
        error_code: Option<i64>,
        /// The tool said that it failed (`isError`).
        is_error: bool,
        /// `completed`, `cancelled`, `failed`, `refused`, `parked`, `unknown`.
        status: Option<S>,
        /// The HTTP status of the server.
        upstream_status: Option<u16>,
        /// How long the server took, in microseconds.
        upstream_us: u64,
    }
}

group! {
    /// Whom it was for.
    Server {
        /// As whom the server was called: `none`, `service`, `user`, `exchange`.
        delegation: Option<S>,
        /// The server.
        id: Option<S>,
        /// The version that it told.
        version: Option<S>,
    }
}

group! {
    /// Of which AI system it was a part.
    System {
        /// Who deploys it.
        deployer: Option<S>,
        /// Names the system.
        id: Option<S>,
        /// The model, if known.
        model: Option<S>,
        /// What it is meant for: a reference.
        purpose: Option<S>,
        /// Its class of risk.
        risk: Option<S>,
    }
}

group! {
    /// Which tool, prompt or resource.
    Tool {
        /// The digest of its definition.
        definition: Option<S>,
        /// Its name at its server.
        name: Option<S>,
        /// It says that it changes nothing.
        read_only: Option<bool>,
    }
}

group! {
    /// What it can be brought together with.
    Trace {
        /// The span (W3C Trace Context).
        span_id: Option<S>,
        /// The trace (W3C Trace Context).
        trace_id: Option<S>,
    }
}

group! {
    /// Who.
    Who {
        /// On whose behalf, from the nearest: `act` claims, as pseudonyms.
        actors: Vec<S>,
        /// How strongly they were authenticated, as the token says: `acr`, then `amr`.
        assurance: Vec<S>,
        /// The client that the token was issued to.
        client: Option<S>,
        /// Their groups.
        groups: Vec<S>,
        /// `loopback`, `private` or `public`.
        network: Option<S>,
        /// The pseudonym.
        person: Option<S>,
        /// `token`, `key`, `certificate`, `anonymous`.
        proof: Option<S>,
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
