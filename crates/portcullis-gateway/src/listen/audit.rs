//! Reading the evidence log over HTTP: searching it, and following it as it grows. Lines are the records as they are in the log,
//! byte for byte, so that what is read can be held against proofs.
//!
//! Who may is said by `audit.allow`, or has the role `auditor`; where neither is configured nobody may. Whoever reads is on
//! record before the first line leaves. Where no evidence is kept there is nothing here. Verifying and packing proofs need no
//! gateway: that is `portcullis audit`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use portcullis_audit::bundle::{self, Unproved};
use portcullis_audit::export::Format;
use portcullis_audit::{Kind, parse_time, retention};
use portcullis_mcp::revision::Era;
use portcullis_model::{Entry, ErrorKind, Journal, Principal, Search};
use serde_json::json;

use super::authentication::authenticate;
use super::body::{Body, Broken};
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
    Export,
    Proof,
    Holds,
}

/// Answers what is asked here; `None` when it is something else, or nothing is kept.
pub(super) async fn answer(context: &Arc<Context>, head: &Head) -> Option<Response<Body>> {
    let evidence = context.gateway.evidence.clone()?;
    let asked = match head.path.as_str() {
        "/api/v1/audit/events" => Asked::Events,
        "/api/v1/audit/tail" => Asked::Tail,
        "/api/v1/audit/export" => Asked::Export,
        "/api/v1/audit/proof" => Asked::Proof,
        "/api/v1/audit/holds" => Asked::Holds,
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
    let query = parse(evidence, query)?;
    let wanted = words(&query);
    let Query { search, most, format } = query;
    let format = format.map_or(Format::Jsonl, |(_, format)| format);
    // Whoever takes a proof away does not see what was left out of it.
    let usual = if matches!(asked, Asked::Proof) { MOST } else { USUAL };
    let most = most.unwrap_or(usual);
    let what = match asked {
        Asked::Events => "searched",
        Asked::Tail => "followed",
        Asked::Export => "exported",
        Asked::Proof => "packed",
        Asked::Holds => "looked at holds",
    };
    let detail = [("what", what.to_owned()), ("for", wanted)];
    evidence.changed_by(Kind::Audit, &context.principal, context.peer, &detail).await?;
    let journal = evidence.log().journal();
    let mut media = LINES;
    let body = match asked {
        Asked::Events => {
            let found = blocking(move || journal.find(&search, most)).await?;
            Body::whole(lines(&found))
        }
        Asked::Export => {
            let reader = (context.gateway.clone(), context.principal.clone());
            let search = Search { newest_first: false, ..search };
            let over = Box::pin(context.until_over());
            let exported = export(reader, journal, search, format, over);
            media = match format {
                Format::Csv => HeaderValue::from_static("text/csv; charset=utf-8"),
                Format::Cef => HeaderValue::from_static("text/plain; charset=utf-8"),
                Format::Jsonl | Format::Ocsf | Format::Otlp => LINES,
            };
            Body::complete(exported)
        }
        Asked::Proof => {
            let packed = blocking(move || {
                let found = journal.find(&search, most)?;
                Ok(bundle::pack(&*journal, &found))
            });
            let packed = match packed.await? {
                Ok(packed) => packed,
                Err(error @ (Unproved::Nothing | Unproved::NoCheckpoint(_))) => {
                    return Ok(response::json(
                        StatusCode::NOT_FOUND,
                        json!({ "error": error.to_string() }).to_string(),
                    ));
                }
                Err(error) => {
                    tracing::error!(%error, "events cannot be proved");
                    let message = "these events cannot be proved; see `portcullis audit verify`";
                    return Err(Refusal::new(ErrorKind::EvidenceUnavailable, message));
                }
            };
            media = HeaderValue::from_static("text/plain; charset=utf-8");
            Body::whole(packed)
        }
        Asked::Holds => {
            let holds = blocking(move || retention::holds(&*journal)).await?;
            return Ok(response::json(StatusCode::OK, json!({ "holds": holds }).to_string()));
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
    answer.headers_mut().insert(CONTENT_TYPE, media);
    Ok(answer)
}

/// All events that are looked for, bit by bit. Broken off where one of them cannot be read or written, and when the client may
/// not read them any more, which is at `over` at the latest: what ends in order is all.
fn export(
    (gateway, reader): (Arc<Gateway>, Principal),
    journal: Arc<dyn Journal>,
    search: Search,
    format: Format,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
) -> impl futures_util::Stream<Item = Result<Bytes, Broken>> + Send {
    let header = Some(format.header()).filter(|header| !header.is_empty());
    let rest = futures_util::stream::try_unfold((search, over), move |(mut search, mut over)| {
        let (gateway, journal, reader) = (gateway.clone(), journal.clone(), reader.clone());
        async move {
            may_read(&gateway, &reader).map_err(|_| Broken)?;
            let asked = search.clone();
            let found = tokio::select! {
                biased;
                () = &mut over => return Err(Broken),
                found = blocking(move || journal.find(&asked, AT_ONCE)) => found.map_err(|_| Broken)?,
            };
            let Some(last) = found.last() else { return Ok(None) };
            search.from = Some(last.seq + 1);
            let mut out = Vec::new();
            for entry in &found {
                let written = format.write(&entry.record).map_err(|error| {
                    tracing::error!(seq = entry.seq, %error, "an export is broken off at an event that is none");
                    Broken
                });
                out.extend(written?);
            }
            Ok(Some((Bytes::from(out), (search, over))))
        }
    });
    futures_util::stream::iter(header.map(|header| Ok(Bytes::from(header)))).chain(rest)
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

pub(super) async fn blocking<T: Send + 'static>(
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

/// What is looked for, how many events at the most, and in what they are to be written.
struct Query {
    search: Search,
    most: Option<usize>,
    /// As it is called, where it was said.
    format: Option<(&'static str, Format)>,
}

/// Reads `kind`, `person` (a pseudonym, or `ISSUER#SUBJECT`), `server`, `tool`, `decision`, `finding`, `since` and `until`
/// (RFC 3339, or microseconds since 1970), `from` (a number), `newest`, `limit` and `format`.
fn parse(evidence: &Evidence, query: &str) -> Result<Query, Refusal> {
    let wrong = |name: &str| {
        Refusal::new(
            ErrorKind::InvalidRequest,
            format!("the parameter `{name:.32}` is unknown or not as it must be"),
        )
    };
    let mut parsed = Query { search: Search::default(), most: None, format: None };
    let search = &mut parsed.search;
    for (name, value) in query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    {
        let value = unescaped(value).filter(|value| !value.is_empty()).ok_or_else(|| wrong(name))?;
        let number = || value.parse::<u64>().map_err(|_| wrong(name));
        let time = || value.parse::<i64>().ok().or_else(|| parse_time(&value)).ok_or_else(|| wrong(name));
        match name {
            "kind" => search.kind = Some(value),
            "person" => search.person = Some(evidence.person(&value).ok_or_else(|| wrong(name))?),
            "server" => search.server = Some(value),
            "tool" => search.tool = Some(value),
            "decision" => search.decision = Some(value),
            "finding" => search.finding = Some(value),
            "since" => search.since = Some(time()?),
            "until" => search.until = Some(time()?),
            "from" => search.from = Some(number()?),
            "newest" => search.newest_first = value == "true",
            "limit" => parsed.most = Some(usize::try_from(number()?).unwrap_or(MOST).min(MOST)),
            "format" => {
                let known = Format::ALL.into_iter().find(|(known, _)| *known == value);
                parsed.format = Some(known.ok_or_else(|| wrong(name))?);
            }
            _ => return Err(wrong(name)),
        }
    }
    Ok(parsed)
}

/// A value of a query without its escapes (RFC 3986 section 2.1); `None` where they are none, or no text comes out.
fn unescaped(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok().filter(|it| !it.starts_with('+'))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

/// What was looked for and what of it was to be given, for the log itself: names of ours, pseudonyms and numbers. Times are in
/// microseconds since 1970.
fn words(query: &Query) -> String {
    let Search { kind, person, server, tool, decision, finding, since, until, from, newest_first } =
        &query.search;
    let number = |number: &Option<i64>| number.map(|number| number.to_string());
    let all = [
        ("kind", kind.clone()),
        ("person", person.clone()),
        ("server", server.clone()),
        ("tool", tool.clone()),
        ("decision", decision.clone()),
        ("finding", finding.clone()),
        ("since", number(since)),
        ("until", number(until)),
        ("from", from.map(|from| from.to_string())),
        ("newest", newest_first.then(|| "true".to_owned())),
        ("limit", query.most.map(|most| most.to_string())),
        ("format", query.format.map(|(name, _)| name.to_owned())),
    ];
    let given = all.iter().filter_map(|(name, value)| Some(format!("{name}={:.128}", value.as_ref()?)));
    given.collect::<Vec<_>>().join(" ")
}
