//! Reading the evidence log over HTTP: searching it, and following it as it grows. Lines are the records as they are in the log,
//! byte for byte, so that what is read can be held against proofs.
//!
//! Who may is said by `audit.allow`, or has the role `auditor`; where neither is configured nobody may. Whoever reads is on
//! record before the first line leaves. Where no evidence is kept there is nothing here. Verifying and packing proofs need no
//! gateway: that is `portcullis audit`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use portcullis_audit::Kind;
use portcullis_mcp::revision::Era;
use portcullis_model::{Entry, ErrorKind, Journal, Principal, Search};

use super::authentication::authenticate;
use super::body::Body;
use super::context::Context;
use super::readers::{has_role, names};
use super::request::Head;
use super::response;
use crate::call::{Endpoint, Refusal};
use crate::gateway::Gateway;
use crate::identity::Form;
use crate::record::Evidence;

/// The roles whose members may read.
const ROLES: [&str; 1] = ["auditor"];
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// Events that a search finds at the most, and when it says nothing.
const MOST: usize = 10_000;
const USUAL: usize = 100;
/// Events that are read at once by whoever follows the log, and how often it is looked at.
const AT_ONCE: usize = 500;
const LOOK: Duration = Duration::from_millis(200);

/// What is asked for here, by its path.
#[derive(Clone, Copy)]
enum Asked {
    Events,
    Tail,
}

/// Answers what is asked here; `None` when it is something else, or nothing is kept.
pub(super) async fn answer(context: &Arc<Context>, head: &Head) -> Option<Response<Body>> {
    let evidence = context.gateway.evidence.clone()?;
    let asked = match head.path.as_str() {
        "/api/v1/audit/events" => Asked::Events,
        "/api/v1/audit/tail" => Asked::Tail,
        _ => return None,
    };
    if head.method != Method::GET {
        return None;
    }
    let context = match authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await {
        Ok(context) => context,
        Err(answer) => return Some(*answer),
    };
    let answered = match may_read(&context.gateway, &context.principal) {
        Ok(()) => read(&context, &evidence, asked, head.query.as_deref().unwrap_or_default()).await,
        Err(refusal) => Err(refusal),
    };
    Some(answered.unwrap_or_else(|refusal| {
        let mut answer = response::refusal(Era::Modern, None, &refusal);
        response::by(&mut answer, &context.principal);
        answer
    }))
}

fn may_read(gateway: &Gateway, principal: &Principal) -> Result<(), Refusal> {
    let settings = gateway.settings.load();
    let may = match (settings.audit.as_ref().and_then(|audit| audit.allow.as_ref()), &settings.policy) {
        (Some(allow), _) => names(allow, principal),
        (None, Some(policy)) => has_role(policy, principal, &ROLES),
        (None, None) => false,
    };
    let message = "this is for auditors; `audit.allow` or the role `auditor` says who they are";
    if may { Ok(()) } else { Err(Refusal::new(ErrorKind::Forbidden, message)) }
}

async fn read(
    context: &Context,
    evidence: &Arc<Evidence>,
    asked: Asked,
    query: &str,
) -> Result<Response<Body>, Refusal> {
    let (search, most) = search(query)?;
    let what = match asked {
        Asked::Events => "searched",
        Asked::Tail => "followed",
    };
    let detail = [("what", what.to_owned()), ("for", words(&search))];
    evidence.changed_by(Kind::Audit, &context.principal, context.peer, &detail).await?;
    let journal = evidence.log().journal();
    let body = match asked {
        Asked::Events => {
            let found = blocking(move || journal.find(&search, most)).await?;
            Body::whole(lines(&found))
        }
        Asked::Tail => {
            let from = search.from.unwrap_or_else(|| evidence.log().health().durable);
            let reader = (context.gateway.clone(), context.principal.clone());
            let followed = follow(reader, evidence.clone(), journal, from);
            Body::stream(followed.take_until(Box::pin(context.until_over())))
        }
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::OK;
    answer.headers_mut().insert(CONTENT_TYPE, LINES);
    Ok(answer)
}

/// The events from a number on, as they become durable, until the client leaves or may not read them any more, or the gateway
/// stops.
fn follow(
    (gateway, reader): (Arc<Gateway>, Principal),
    evidence: Arc<Evidence>,
    journal: Arc<dyn Journal>,
    from: u64,
) -> impl futures_util::Stream<Item = Bytes> + Send {
    futures_util::stream::unfold(from, move |next| {
        let (gateway, evidence, journal) = (gateway.clone(), evidence.clone(), journal.clone());
        let reader = reader.clone();
        async move {
            while evidence.log().health().durable <= next {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = gateway.draining.cancelled() => return None,
                }
            }
            may_read(&gateway, &reader).ok()?;
            let read = blocking(move || journal.read(next, AT_ONCE)).await.ok()?;
            let after = read.last().map_or(next, |last| last.seq + 1);
            (!read.is_empty()).then(|| (lines(&read).into(), after))
        }
    })
}

async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, portcullis_model::Unavailable> + Send + 'static,
) -> Result<T, Refusal> {
    let answered = tokio::task::spawn_blocking(ask).await;
    let failed = || Refusal::new(ErrorKind::EvidenceUnavailable, "the evidence log cannot be read now");
    answered.map_err(|_| failed())?.map_err(|error| {
        tracing::error!(%error, "the evidence log cannot be read");
        failed()
    })
}

fn lines(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.iter().map(|entry| entry.record.len() + 1).sum());
    for entry in entries {
        out.extend_from_slice(&entry.record);
        out.push(b'\n');
    }
    out
}

/// What is looked for: `kind`, `person`, `server`, `tool`, `decision`, `finding`, `since` and `until` (microseconds since 1970),
/// `from` (a number), `newest` and `limit`.
fn search(query: &str) -> Result<(Search, usize), Refusal> {
    let wrong = |name: &str| {
        Refusal::new(
            ErrorKind::InvalidRequest,
            format!("the parameter `{name:.32}` is unknown or not as it must be"),
        )
    };
    let (mut search, mut most) = (Search::default(), USUAL);
    for (name, value) in query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    {
        let number = || value.parse::<u64>().map_err(|_| wrong(name));
        let time = || value.parse::<i64>().map_err(|_| wrong(name));
        // Names of ours need no escapes, and pseudonyms have none.
        let text = || {
            if value.is_empty() || value.contains('%') {
                Err(wrong(name))
            } else {
                Ok(Some(value.to_owned()))
            }
        };
        match name {
            "kind" => search.kind = text()?,
            "person" => search.person = text()?,
            "server" => search.server = text()?,
            "tool" => search.tool = text()?,
            "decision" => search.decision = text()?,
            "finding" => search.finding = text()?,
            "since" => search.since = Some(time()?),
            "until" => search.until = Some(time()?),
            "from" => search.from = Some(number()?),
            "newest" => search.newest_first = value == "true",
            "limit" => most = usize::try_from(number()?).unwrap_or(MOST).min(MOST),
            _ => return Err(wrong(name)),
        }
    }
    Ok((search, most))
}

/// What was looked for, for the log itself: names of ours and pseudonyms.
fn words(search: &Search) -> String {
    let Search { kind, person, server, tool, decision, finding, .. } = search;
    let all = [
        ("kind", kind),
        ("person", person),
        ("server", server),
        ("tool", tool),
        ("decision", decision),
        ("finding", finding),
    ];
    let given: Vec<_> =
        all.iter().filter_map(|(name, value)| Some(format!("{name}={:.128}", value.as_ref()?))).collect();
    given.join(" ")
}
