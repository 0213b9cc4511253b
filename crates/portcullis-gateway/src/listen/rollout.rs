//! Versions of servers that are rolled out and back over HTTP, by those who run servers (`servers.rs` says who that is).
//!
//! The registry is where that is kept, so what is done here is what `portcullis server rollout` does, and every gateway that
//! shares the store takes it up within a second. How a roll-out goes is told by the gateway that is asked, of its own calls.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use portcullis_audit::Kind;
use portcullis_config::Settings;
use portcullis_hub::registry::{Admission, Entry, NotRolled, Registry, Share, Word};
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, ServerId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authentication::authenticate;
use super::body::Body;
use super::context::Context;
use super::readers::is_local;
use super::request::Head;
use super::response;
use super::servers::{Asked, asked, may};
use crate::call::{Endpoint, Refusal};
use crate::gateway::{Gateway, now_ms};
use crate::identity::Form;
use crate::route::Rollout;

/// Largest body that is read, in bytes.
pub(super) const LARGEST: usize = 16 * 1024;
/// Bytes of a note.
const LONGEST_NOTE: usize = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Out,
    Back,
}

fn way(path: &str) -> Option<(ServerId, Way)> {
    let (server, asked) = asked(path)?;
    match asked {
        Asked::Rollout => Some((server, Way::Out)),
        Asked::Rollback => Some((server, Way::Back)),
        Asked::Logs | Asked::Restart => None,
    }
}

/// Whether a version is to be rolled out or back.
pub(super) fn is_for(head: &Head) -> bool {
    head.method == Method::POST && way(&head.path).is_some()
}

/// Lets in whoever may.
///
/// # Errors
/// The answer for everybody else.
pub(super) async fn admit(context: &Arc<Context>, head: &Head) -> Result<Arc<Context>, Box<Response<Body>>> {
    let local = is_local(context, head);
    let context = authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await?;
    match may(&context, local) {
        Ok(()) => Ok(context),
        Err(refusal) => Err(Box::new(refused(&context, &refusal))),
    }
}

fn refused(context: &Context, refusal: &Refusal) -> Response<Body> {
    let mut answer = response::refusal(Era::Modern, None, refusal);
    response::by(&mut answer, &context.principal);
    answer
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Out {
    version: String,
    to: u8,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    #[serde(default)]
    note: Option<String>,
}

/// What is to be done.
enum Step {
    Out(String, Share, Option<String>),
    Back(Option<String>),
}

impl Step {
    /// # Errors
    /// What is wrong with the body.
    fn read(way: Way, body: &[u8]) -> Result<Self, String> {
        let step = match way {
            Way::Out => {
                let expected = r#"expected {"version": "2.0.0", "to": 10}, where `to` is 1 to 100 (percent)"#;
                let Out { version, to, note } =
                    serde_json::from_slice(body).map_err(|error| format!("{expected}: {error}"))?;
                let share = Share::new(to).ok_or_else(|| format!("{expected}; not {to}"))?;
                Self::Out(version, share, note)
            }
            Way::Back if body.iter().all(u8::is_ascii_whitespace) => Self::Back(None),
            Way::Back => {
                let read = serde_json::from_slice(body);
                let Back { note } =
                    read.map_err(|error| format!(r#"expected nothing, or {{"note": "why"}}: {error}"#))?;
                Self::Back(note)
            }
        };
        let (Self::Out(.., note) | Self::Back(note)) = &step;
        if note.as_ref().is_some_and(|note| note.len() > LONGEST_NOTE) {
            return Err(format!("`note` may have {LONGEST_NOTE} bytes"));
        }
        Ok(step)
    }
}

/// Does it.
pub(super) async fn answer(context: &Arc<Context>, head: &Head, body: Bytes) -> Response<Body> {
    let Some((server, way)) = way(&head.path) else { return response::empty(StatusCode::NOT_FOUND) };
    let step = match Step::read(way, &body) {
        Ok(step) => step,
        Err(why) => return refused(context, &Refusal::new(ErrorKind::InvalidRequest, why)),
    };
    // To its end also when whoever asked is gone: what was begun is on record.
    let asking = context.clone();
    let doing = tokio::spawn(async move { take(&asking, &server, step).await });
    match doing.await {
        Ok(Ok(done)) => response::json(StatusCode::OK, done.to_string()),
        Ok(Err(Failed::Refused(refusal))) => refused(context, &refusal),
        Ok(Err(Failed::Not(status, why))) => response::json(status, json!({ "error": why }).to_string()),
        Err(_) => response::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

enum Failed {
    Refused(Refusal),
    Not(StatusCode, String),
}

impl From<NotRolled> for Failed {
    fn from(why: NotRolled) -> Self {
        let status = match &why {
            NotRolled::Unknown { .. } => StatusCode::NOT_FOUND,
            NotRolled::Nothing(_) | NotRolled::Refused(_) | NotRolled::KeptOut(_) | NotRolled::Meanwhile => {
                StatusCode::CONFLICT
            }
            NotRolled::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::Not(status, why.to_string())
    }
}

async fn take(context: &Context, server: &ServerId, step: Step) -> Result<Value, Failed> {
    let gateway = &context.gateway;
    let settings = gateway.settings.load_full();
    if settings.servers.contains_key(server) && !settings.registered.contains_key(server) {
        let why = format!(
            "`{server}` stands in the configuration, which counts; only servers of the registry have versions"
        );
        return Err(Failed::Not(StatusCode::CONFLICT, why));
    }
    if let Some(evidence) = &gateway.evidence {
        let what = match &step {
            Step::Out(version, share, _) => vec![
                ("what", "rolls out a version".to_owned()),
                ("version", version.clone()),
                ("to", share.to_string()),
            ],
            Step::Back(_) => vec![("what", "rolls back".to_owned())],
        };
        let detail: Vec<_> = what.into_iter().chain([("server", server.to_string())]).collect();
        let recorded = evidence.changed_by(Kind::Catalogue, &context.principal, context.peer, &detail).await;
        recorded.map_err(Failed::Refused)?;
    }
    let registry = Registry::new(gateway.records.clone());
    let by = format!("api:{}", context.principal.id());
    let word = |note| Word { by: &by, at: now_ms(), note };
    let entry = match step {
        Step::Out(version, share, note) => {
            let hold = |entry: &Entry| hold(entry, &settings);
            registry.roll_out(server.as_str(), &version, share, word(note), hold).await?
        }
        Step::Back(note) => registry.roll_back(server.as_str(), word(note)).await?,
    };
    let share = match entry.share() {
        Some(share) => share.percent(),
        None if entry.is_rolled_back() => 0,
        None => Share::ALL.percent(),
    };
    Ok(json!({ "server": server.as_str(), "version": entry.version(), "share": share }))
}

/// Refuses what came from elsewhere and may not come in now.
fn hold(entry: &Entry, settings: &Settings) -> Result<(), String> {
    if !entry.is_held() {
        return Ok(());
    }
    let import = settings.registry.import.clone().unwrap_or_default();
    let admission =
        Admission { namespaces: import.namespaces, packages: import.packages, remotes: import.remotes };
    admission.holds(entry)
}

/// How a server's versions are, as this gateway sees them; `None` where there is no such server.
pub(super) fn told(gateway: &Gateway, server: &ServerId) -> Option<Value> {
    let Rollout { version, count, next, leaving } = gateway.rollout_of(server)?;
    let next = next.map(|next| {
        json!({
            "version": next.version.as_deref(),
            "share": next.share.percent(),
            "calls": next.count.calls,
            "failed": next.count.failed,
            "callers": next.count.callers,
            "let_down": next.count.let_down,
            "taken_back": next.tripped,
        })
    });
    let leaving: Vec<_> = leaving
        .into_iter()
        .map(|(version, seconds)| json!({ "version": version.as_deref(), "seconds": seconds }))
        .collect();
    Some(json!({
        "server": server.as_str(),
        "version": version.as_deref(),
        "calls": count.calls,
        "failed": count.failed,
        "callers": count.callers,
        "let_down": count.let_down,
        "next": next,
        "leaving": leaving,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_and_what_is_wrong_is_said() {
        let out = |body: &str| match Step::read(Way::Out, body.as_bytes()) {
            Ok(Step::Out(version, share, note)) => Ok((version, share.percent(), note)),
            Ok(Step::Back(_)) => unreachable!("it was rolled out"),
            Err(why) => Err(why),
        };
        assert_eq!(out(r#"{"version":"2.0.0","to":10}"#), Ok(("2.0.0".to_owned(), 10, None)));
        for wrong in [
            "",
            "{}",
            r#"{"version":"2","to":0}"#,
            r#"{"version":"2","to":101}"#,
            r#"{"version":"2","to":"all"}"#,
        ] {
            let why = out(wrong).expect_err(wrong);
            assert!(why.contains("`to` is 1 to 100"), "{why}");
        }
        let long = format!(r#"{{"version":"2","to":1,"note":"{}"}}"#, "x".repeat(LONGEST_NOTE + 1));
        assert!(out(&long).expect_err("too long").contains("`note`"));
        assert!(matches!(Step::read(Way::Back, b" \n"), Ok(Step::Back(None))));
        assert!(matches!(Step::read(Way::Back, br#"{"note":"x"}"#), Ok(Step::Back(Some(_)))));
        assert!(Step::read(Way::Back, b"7").is_err());
    }
}
