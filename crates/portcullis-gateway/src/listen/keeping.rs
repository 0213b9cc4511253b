//! What is done to the evidence log over HTTP: a person's payloads are erased, a legal hold is put on or lifted, and what was
//! kept long enough is removed before its time comes.
//!
//! Who may is said by `audit.admins`, or has the role `admin`; reading the log gives no right to that. Each is an event of
//! its own, durable before the answer leaves, that says who did it. Without a gateway, `portcullis audit` does the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use portcullis_audit::retention::{self, Hold, Undone};
use portcullis_audit::{Kind, parse_time};
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, Principal};
use serde::Deserialize;
use serde_json::{Value, json};

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

/// Largest body that is read, in bytes.
pub(super) const LARGEST: usize = 16 * 1024;
const ROLES: [&str; 1] = ["admin"];
const ERASURES: &str = "/api/v1/audit/erasures";
const REMOVALS: &str = "/api/v1/audit/removals";
const HOLDS: &str = "/api/v1/audit/holds";
/// Bytes of the name of a hold, and of a reason.
const LONGEST_NAME: usize = 64;
const LONGEST_TEXT: usize = 500;

/// Whether something is to be done to the log.
pub(super) fn is_for(context: &Context, head: &Head) -> bool {
    let path = head.path.as_str();
    context.gateway.evidence.is_some()
        && match head.method {
            Method::POST => matches!(path, ERASURES | REMOVALS | HOLDS),
            Method::DELETE => path.strip_prefix(HOLDS).is_some_and(|rest| rest.starts_with('/')),
            _ => false,
        }
}

/// Lets in whoever may.
///
/// # Errors
/// The answer for everybody else.
pub(super) async fn admit(context: &Arc<Context>, head: &Head) -> Result<Arc<Context>, Box<Response<Body>>> {
    let context = authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await?;
    match may(&context.gateway, &context.principal) {
        Ok(()) => Ok(context),
        Err(refusal) => Err(Box::new(refused(&refusal, &context.principal))),
    }
}

fn may(gateway: &Gateway, principal: &Principal) -> Result<(), Refusal> {
    let settings = gateway.settings.load();
    let may = match (settings.audit.as_ref().and_then(|audit| audit.admins.as_ref()), &settings.policy) {
        (Some(admins), _) => names(admins, principal),
        (None, Some(policy)) => has_role(policy, principal, &ROLES),
        (None, None) => false,
    };
    let message = "this changes what is kept; `audit.admins` or the role `admin` says who may";
    if may { Ok(()) } else { Err(Refusal::new(ErrorKind::Forbidden, message)) }
}

fn refused(refusal: &Refusal, principal: &Principal) -> Response<Body> {
    let mut answer = response::refusal(Era::Modern, None, refusal);
    response::by(&mut answer, principal);
    answer
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Erasure {
    person: String,
    #[serde(default)]
    basis: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewHold {
    name: String,
    #[serde(default)]
    person: Option<String>,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    until: Option<String>,
    reason: String,
}

/// Does it, to its end also when whoever asked is gone: what was begun is put on record.
pub(super) async fn answer(context: &Arc<Context>, head: &Head, body: Bytes) -> Response<Body> {
    let Some(evidence) = context.gateway.evidence.clone() else {
        return response::empty(StatusCode::NOT_FOUND);
    };
    let (asking, method, path) = (context.clone(), head.method.clone(), head.path.clone());
    let doing = tokio::spawn(async move {
        match (method, path.as_str()) {
            (_, ERASURES) => erase(&asking, &evidence, &body).await,
            (_, REMOVALS) => remove(&asking, &evidence).await,
            (Method::POST, HOLDS) => hold(&asking, &evidence, &body).await,
            (_, path) => release(&asking, &evidence, path.strip_prefix(HOLDS).unwrap_or_default()).await,
        }
    });
    let broken = |_| Err(Failed::Not(StatusCode::INTERNAL_SERVER_ERROR, "it was not done".to_owned()));
    match doing.await.unwrap_or_else(broken) {
        Ok(done) => response::json(StatusCode::OK, done.to_string()),
        Err(Failed::Refused(refusal)) => refused(&refusal, &context.principal),
        Err(Failed::Not(status, why)) => response::json(status, json!({ "error": why }).to_string()),
    }
}

/// Why something was not done.
enum Failed {
    Refused(Refusal),
    Not(StatusCode, String),
}

impl From<Undone> for Failed {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Held(_) => Self::Not(StatusCode::CONFLICT, undone.to_string()),
            Undone::NoSuchHold(_) => Self::Not(StatusCode::NOT_FOUND, undone.to_string()),
            Undone::Refused(_) | Undone::Unavailable(_) => {
                tracing::error!(error = %undone, "the evidence log does not do what it was asked for");
                let message = "the evidence log cannot be written now; try again later";
                Self::Refused(Refusal::new(ErrorKind::EvidenceUnavailable, message))
            }
        }
    }
}

fn wrong(message: &str) -> Failed {
    Failed::Refused(Refusal::new(ErrorKind::InvalidRequest, message.to_owned()))
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8], expected: &str) -> Result<T, Failed> {
    serde_json::from_slice(body).map_err(|error| wrong(&format!("the body is not {expected}: {error}")))
}

fn person(evidence: &Evidence, text: &str) -> Result<String, Failed> {
    evidence.person(text).ok_or_else(|| wrong("`person` is neither a pseudonym (`p-…`) nor `ISSUER#SUBJECT`"))
}

async fn erase(context: &Context, evidence: &Evidence, body: &[u8]) -> Result<Value, Failed> {
    let asked: Erasure = parsed(body, "`{\"person\": \"…\", \"basis\": \"…\"}`")?;
    if asked.basis.len() > LONGEST_TEXT {
        return Err(wrong("`basis` is longer than 500 bytes"));
    }
    let person = person(evidence, &asked.person)?;
    let by = evidence.by(Kind::Erasure, &context.principal, context.peer);
    let keys = retention::erase(evidence.log(), &person, &asked.basis, by).await?;
    Ok(json!({ "person": person, "keys": keys }))
}

async fn remove(context: &Context, evidence: &Evidence) -> Result<Value, Failed> {
    let by = evidence.by(Kind::Truncation, &context.principal, context.peer);
    let done = retention::apply(evidence.log(), evidence.retention(), SystemTime::now(), by).await;
    let (events, keys) = done?;
    Ok(json!({ "events": events, "keys": keys }))
}

async fn hold(context: &Context, evidence: &Evidence, body: &[u8]) -> Result<Value, Failed> {
    let asked: NewHold = parsed(body, "`{\"name\": \"…\", \"reason\": \"…\"}`")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if asked.name.is_empty() || asked.name.len() > LONGEST_NAME || !asked.name.bytes().all(plain) {
        return Err(wrong("`name` has to be 1 to 64 letters, digits and `-`"));
    }
    if asked.reason.is_empty() || asked.reason.len() > LONGEST_TEXT {
        return Err(wrong("`reason` has to be 1 to 500 bytes"));
    }
    let time = |text: Option<&String>| match text {
        Some(text) => {
            parse_time(text).map(Some).ok_or_else(|| wrong("a time is none like 2026-11-28T20:00:00Z"))
        }
        None => Ok(None),
    };
    let hold = Hold {
        person: asked.person.as_deref().map(|text| person(evidence, text)).transpose()?,
        since: time(asked.since.as_ref())?,
        until: time(asked.until.as_ref())?,
        reason: asked.reason,
    };
    let by = evidence.by(Kind::Hold, &context.principal, context.peer);
    retention::hold(evidence.log(), &asked.name, &hold, by).await?;
    Ok(json!({ "holds": BTreeMap::from([(asked.name, hold)]) }))
}

async fn release(context: &Context, evidence: &Evidence, name: &str) -> Result<Value, Failed> {
    let name = name.trim_start_matches('/');
    let by = evidence.by(Kind::Hold, &context.principal, context.peer);
    // What can be no name is none.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
        return Err(Undone::NoSuchHold(name.chars().take(LONGEST_NAME).collect()).into());
    }
    retention::release(evidence.log(), name, by).await?;
    Ok(json!({ "lifted": name }))
}
