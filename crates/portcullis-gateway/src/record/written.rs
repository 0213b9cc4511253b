//! How an exchange is written down: from a call, what was noted of it, and its outcome, to an event of the dictionary
//! (`docs/reference/audit.md`).
//!
//! Contents are digests and sizes, persons pseudonyms; names of tools, servers, groups and clients are in the clear.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use portcullis_audit::payloads::Side;
use portcullis_audit::{
    self as audit, Decision, Event, EventId, Guard, Human, Kind, Outcome as Ending, Phase, Request, Time,
    Tool, Trace, Who,
};
use portcullis_mcp::json::{Object, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_model::{Claim, ErrorKind, Fault, Principal};

use super::entry::{Facts, Inner, Target, Transport};
use super::evidence::{Evidence, hex};
use crate::call::{Call, Endpoint, Outcome, Refusal};

/// Names that callers make up are cut here, in bytes.
const LONGEST_NAME: usize = 256;
/// Things that are counted of what a client is asked or answers.
const MOST_COUNTED: usize = 64;

/// An event in the words of the call that it is of: there is one for each call, and copies would be most of what it costs.
pub(super) type Written<'a> = Event<Cow<'a, str>>;

/// What is known of a call before it has ended, as an event with this name.
pub(super) fn of<'a>(
    inner: &'a Inner,
    call: &'a Call,
    facts: &'a Facts,
    kind: Kind,
    id: EventId,
) -> Written<'a> {
    let mut event = begun(inner, call, facts, kind, id);
    let arguments = call.params.as_ref().and_then(|params| params.find("arguments"));
    sent(&mut event, inner, call, facts, arguments.as_ref());
    event
}

/// The same without what went in.
fn begun<'a>(inner: &'a Inner, call: &'a Call, facts: &'a Facts, kind: Kind, id: EventId) -> Written<'a> {
    let evidence = &inner.evidence;
    let revision = call.caller.revision;
    let legacy = revision.era() == Era::Legacy;
    Event {
        kind,
        id,
        time: Time::between(inner.came, inner.began.elapsed()),
        v: audit::VERSION,
        decision: decision(facts),
        human: human(facts),
        guard: Guard { findings: facts.findings.clone() },
        parent: facts.intent.or(facts.parent),
        request: Request {
            endpoint: Some(endpoint(&call.endpoint)),
            era: Some(if legacy { "legacy" } else { "modern" }.into()),
            id: Some(cut(&call.request_id).into()),
            method: Some(cut(call.method.as_str()).into()),
            protocol: Some(revision.as_str().into()),
            // A client of the newer era has none: it says everything with each request.
            session: legacy.then(|| evidence.fingerprint(&call.caller.conversation).into()),
            transport: Some(transport(inner.transport).into()),
        },
        server: server(facts),
        tool: tool(call, facts),
        trace: trace(call, facts),
        who: of_principal(evidence, &call.caller.principal, call.caller.peer),
        // All that is left one by one: another event to take them from would be as much to write as this one.
        data: audit::Data::default(),
        detail: BTreeMap::new(),
        input: None,
        node: audit::Node::default(),
        output: None,
        phase: None,
        result: Ending::default(),
        system: audit::System::default(),
    }
}

/// Says what went in: what the client sent, where that is known to be something else than the arguments, which are found
/// already, or the params.
fn sent<'a>(event: &mut Written<'a>, inner: &'a Inner, call: &Call, facts: &Facts, arguments: Option<&Raw>) {
    let params = || call.params.as_ref().map(|params| params.raw().as_bytes());
    let input = facts.input.as_deref().or(arguments.map(Raw::as_bytes)).or_else(params);
    if let Some(input) = input {
        inner.evidence.attach(event, Side::Input, input);
    }
}

/// A call that has ended, as its client is told.
pub(super) fn answered<'a>(
    inner: &'a Inner,
    call: &'a Call,
    facts: &'a Facts,
    outcome: &'a Outcome,
) -> Written<'a> {
    // The server has done what it was asked; only its answer waits.
    let waits = facts.attempts > 0
        && matches!(outcome, Outcome::Refused(refusal) if refusal.kind == ErrorKind::ApprovalRequired);
    let kind = if waits { Kind::Exchange } else { kind(&call.method, outcome) };
    let mut event = begun(inner, call, facts, kind, inner.id());
    let params = call.params.as_ref();
    let [arguments, responses] =
        params.map(|params| params.pick(["arguments", "inputResponses"])).unwrap_or_default();
    sent(&mut event, inner, call, facts, arguments.as_ref());
    // A call that goes on at its server (a task, a parked call) says later how it ended.
    event.phase = (facts.intent.is_some() && facts.attempts > 0).then_some(Phase::Outcome);
    if let Some(output) = output(outcome) {
        inner.evidence.attach(&mut event, Side::Output, output);
    }
    event.result = ending(outcome);
    event.result.upstream_us = micros(facts.upstream);
    event.result.upstream_status = facts.upstream_status;
    if facts.attempts > 1 {
        event.detail.insert("attempts".to_owned(), facts.attempts.to_string());
    }
    if waits {
        event.result.status = Some("parked".into());
    } else if let Outcome::Refused(refusal) = outcome {
        refused(&mut event, refusal);
    }
    if let Outcome::InputRequired(result) = outcome {
        let asked = result.find("inputRequests");
        let methods = asked.as_ref().map(|asked| counted(asked, method_of));
        event.detail.extend(methods.map(|methods| ("asked".to_owned(), methods)));
    }
    let actions = responses.as_ref().map(|responses| counted(responses, action_of));
    event.detail.extend(actions.map(|actions| ("answered".to_owned(), actions)));
    event
}

/// What a server said when its client had been answered already.
pub(super) fn late<'a>(
    event: &mut Written<'a>,
    reason: Option<&'a str>,
    took: Duration,
    status: Option<u16>,
) {
    event.phase = Some(Phase::Outcome);
    event.result = Ending {
        error: reason.map(Cow::Borrowed),
        status: Some(
            match reason {
                None => "completed",
                Some(reason) if reason == ErrorKind::Cancelled.as_str() => "cancelled",
                Some(_) => "failed",
            }
            .into(),
        ),
        upstream_us: micros(took),
        upstream_status: status,
        ..Ending::default()
    };
}

fn kind(method: &Method, outcome: &Outcome) -> Kind {
    match (method, outcome) {
        (_, Outcome::Refused(refusal)) if is_denial(refusal.kind) => Kind::Denial,
        (Method::Listen | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe, _) => Kind::Subscription,
        (method, _) if method.is_about_tasks() => Kind::Task,
        (Method::ToolsCall, Outcome::Task(_)) => Kind::Task,
        (Method::ToolsCall | Method::ResourcesRead | Method::PromptsGet, _) => Kind::Exchange,
        (method, _) if method.is_of_skills() => Kind::Exchange,
        _ => Kind::List,
    }
}

/// Whether it is the gateway that did not carry something out.
fn is_denial(kind: ErrorKind) -> bool {
    kind.fault() != Fault::Upstream && !matches!(kind, ErrorKind::Cancelled | ErrorKind::InputRefused)
}

fn refused(event: &mut Written<'_>, refusal: &Refusal) {
    let denied = event.decision.verdict.as_deref() == Some("deny");
    if is_denial(refusal.kind) && !denied {
        event.decision.verdict = Some("refused".into());
        event.decision.reasons = vec![refusal.kind.as_str().into()];
    }
}

fn words(words: &[String]) -> Vec<Cow<'_, str>> {
    words.iter().map(Cow::from).collect()
}

fn decision(facts: &Facts) -> Decision<Cow<'_, str>> {
    let (taint, obligations) = (words(&facts.taint), words(&facts.obligations));
    let Some(ruled) = &facts.decision else { return Decision { taint, obligations, ..Decision::default() } };
    Decision {
        policies: ruled.policies().map(Cow::from).collect(),
        reasons: ruled.reason().map(Cow::from).into_iter().collect(),
        revision: Some(ruled.revision().into()),
        verdict: Some(if ruled.allowed() { "allow" } else { "deny" }.into()),
        taint,
        obligations,
    }
}

fn human(facts: &Facts) -> Human<Cow<'_, str>> {
    fn word(word: Option<&String>) -> Option<Cow<'_, str>> {
        word.map(Cow::from)
    }
    let human = &facts.human;
    Human {
        approval: word(human.approval.as_ref()),
        approver: word(human.approver.as_ref()),
        decision: word(human.decision.as_ref()),
        reason: word(human.reason.as_ref()),
        waited_ms: human.waited_ms,
    }
}

/// What is digested of a request: its arguments, or, where a method has none, its params.
pub(super) fn input(params: &Object) -> Bytes {
    params.find("arguments").unwrap_or_else(|| params.raw().clone()).bytes().clone()
}

fn output(outcome: &Outcome) -> Option<&[u8]> {
    match outcome {
        Outcome::Complete(payload) => Some(payload.result.raw().as_bytes()),
        Outcome::InputRequired(result) | Outcome::Task(result) => Some(result.as_bytes()),
        Outcome::Failed { error, .. } => Some(error.raw().as_bytes()),
        Outcome::Refused(_) => None,
    }
}

fn ending(outcome: &Outcome) -> Ending<Cow<'_, str>> {
    let (status, error, code, is_error) = match outcome {
        Outcome::Complete(payload) => {
            let failed = payload.result.find("isError").and_then(|flag| flag.bool()) == Some(true);
            ("completed", None, None, failed)
        }
        Outcome::InputRequired(_) => ("parked", None, None, false),
        Outcome::Task(_) => ("completed", None, None, false),
        Outcome::Failed { error, .. } => ("failed", Some("upstream_error"), Some(error.code()), false),
        Outcome::Refused(refusal) => {
            let status = match refusal.kind {
                ErrorKind::Cancelled => "cancelled",
                kind if is_denial(kind) => "refused",
                _ => "failed",
            };
            (status, Some(refusal.kind.as_str()), None, false)
        }
    };
    Ending {
        error: error.map(Cow::from),
        error_code: code,
        is_error,
        status: Some(status.into()),
        ..Ending::default()
    }
}

fn server(facts: &Facts) -> audit::Server<Cow<'_, str>> {
    match &facts.server {
        Some(Target::Id(id)) => audit::Server { id: Some(id.as_str().into()), ..audit::Server::default() },
        Some(Target::Server(server)) => audit::Server {
            delegation: Some(server.acts_as().into()),
            id: Some(server.id().as_str().into()),
            // What was approved, or else what it says itself.
            version: match server.version() {
                Some(version) => Some(cut(version).into()),
                None => server.about().and_then(|about| Some(shortened(about.version.as_ref()?).into())),
            },
        },
        None => audit::Server::default(),
    }
}

fn tool<'a>(call: &'a Call, facts: &'a Facts) -> Tool<Cow<'a, str>> {
    match (&facts.listed, &call.method) {
        (Some(listed), method) => Tool {
            definition: Some(listed.definition().into()),
            name: Some(cut(listed.name()).into()),
            read_only: (*method == Method::ToolsCall).then(|| listed.only_reads()),
        },
        // A URI can name a person; what was read is told from its digest.
        (None, Method::ToolsCall | Method::PromptsGet) => {
            Tool { name: call.subject.as_deref().map(|name| cut(name).into()), ..Tool::default() }
        }
        (None, _) => Tool::default(),
    }
}

fn trace(call: &Call, facts: &Facts) -> Trace<Cow<'static, str>> {
    let Some(context) = facts.trace.as_ref().or(call.trace.as_ref()) else { return Trace::default() };
    Trace {
        span_id: Some(hex(&context.span_id().to_bytes()).into()),
        trace_id: Some(hex(&context.trace_id().to_bytes()).into()),
    }
}

/// Who somebody is.
pub(super) fn of_principal<'a, S: From<&'a str> + From<String>>(
    evidence: &Evidence,
    principal: &'a Principal,
    peer: Option<IpAddr>,
) -> Who<S> {
    let (proof, user) = match principal {
        Principal::Anonymous => ("anonymous", None),
        Principal::Certificate { .. } | Principal::Workload { .. } => ("certificate", None),
        Principal::User(user) => ("token", Some(user)),
        Principal::Key(_) => ("key", None),
    };
    let client = user.and_then(|user| user.client_id.as_deref());
    Who {
        actors: user.map(|user| actors(evidence, user.claims.get("act"))).unwrap_or_default(),
        assurance: user.map(|user| assurance(&user.claims)).unwrap_or_default(),
        client: client.map(|client| cut(client).into()),
        groups: principal.groups().iter().map(|group| group.as_str().into()).collect(),
        network: peer.map(|peer| network(peer).into()),
        person: person(evidence, principal).map(S::from),
        proof: Some(proof.into()),
    }
}

/// How strongly a token says that its user was authenticated (OpenID Connect Core, section 2): `acr`, then `amr`.
fn assurance<'a, S: From<&'a str>>(claims: &'a BTreeMap<String, Claim>) -> Vec<S> {
    let methods = match claims.get("amr") {
        Some(Claim::List(methods)) => methods.as_slice(),
        _ => &[],
    };
    let all = claims.get("acr").into_iter().chain(methods).filter_map(Claim::as_text);
    all.take(MOST_COUNTED).map(|word| cut(word).into()).collect()
}

/// What somebody is called in the log, whom `portcullis audit` finds by the same two words.
fn person(evidence: &Evidence, principal: &Principal) -> Option<String> {
    Some(match principal {
        Principal::Anonymous => return None,
        Principal::Certificate { fingerprint } => evidence.pseudonym("cert", fingerprint),
        Principal::Workload { spiffe_id } => evidence.pseudonym("spiffe", spiffe_id),
        Principal::User(user) => evidence.pseudonym(&user.issuer, &user.subject),
        Principal::Key(key) => evidence.pseudonym("key", &key.id),
    })
}

/// The chain of those on whose behalf somebody acts (RFC 8693 section 4.1), from the nearest.
fn actors<S: From<String>>(evidence: &Evidence, act: Option<&Claim>) -> Vec<S> {
    let mut all = Vec::new();
    let mut next = act;
    while let Some(Claim::Object(members)) = next {
        let text = |name: &str| members.get(name).and_then(Claim::as_text);
        if let Some(subject) = text("sub").or_else(|| text("client_id")) {
            all.push(evidence.pseudonym(text("iss").unwrap_or_default(), subject).into());
        }
        if all.len() >= MOST_COUNTED {
            break;
        }
        next = members.get("act");
    }
    all
}

fn network(peer: IpAddr) -> &'static str {
    let private = match peer.to_canonical() {
        ip if ip.is_loopback() => return "loopback",
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    if private { "private" } else { "public" }
}

fn endpoint(endpoint: &Endpoint) -> Cow<'static, str> {
    match endpoint {
        Endpoint::Aggregate => "/mcp".into(),
        Endpoint::Server(id) => ["/mcp/s/", id.as_str()].concat().into(),
        Endpoint::Toolset(id) => ["/mcp/v/", id.as_str()].concat().into(),
    }
}

/// A path that somebody asked for. Links and what follows them are secrets, and what is not served is nobody's word.
pub(super) fn path(path: &str) -> String {
    let known = ["/mcp", "/sse", "/messages", "/metrics", "/readyz", "/s/", "/v/", "/api/"];
    if known.iter().any(|known| path.starts_with(known)) {
        return shortened(path);
    }
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let pages = ["connect", "connections", "oauth", "as", ".well-known"];
    pages.iter().find(|page| **page == first).map_or_else(|| "other".to_owned(), |page| format!("/{page}"))
}

fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Http => "http",
        Transport::Sse => "sse",
    }
}

/// A name of somebody else's, bounded.
pub(super) fn shortened(name: &str) -> String {
    cut(name).to_owned()
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}

/// How often something is in the values of an object: `elicitation/create 2, roots/list 1`.
fn counted(object: &Raw, what: impl Fn(&Raw) -> &'static str) -> String {
    let mut counts = BTreeMap::<_, usize>::new();
    for member in object.members().take(MOST_COUNTED) {
        *counts.entry(what(&member.value())).or_default() += 1;
    }
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// What is asked, in words of ours.
fn method_of(question: &Raw) -> &'static str {
    match question.find_string("method").as_deref() {
        Some("elicitation/create") => "elicitation/create",
        Some("sampling/createMessage") => "sampling/createMessage",
        Some("roots/list") => "roots/list",
        _ => "other",
    }
}

/// What the user did, in words of ours.
pub(super) fn action_of(answer: &Raw) -> &'static str {
    match answer.find_string("action").as_deref() {
        Some("accept") => "accept",
        Some("decline") => "decline",
        Some("cancel") => "cancel",
        _ => "result",
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
