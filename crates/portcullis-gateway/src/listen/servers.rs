//! Servers as those who run the gateway see them over HTTP: what their children wrote to stderr, and starting them anew.
//!
//! Who may has the role `operator` or `admin`; where neither policies say who that is nor callers have to show who they are,
//! whoever asks on this machine, with no proxy in between. What a child writes is for nobody else: it has paths, addresses, and
//! sometimes what it was called with.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::ALLOW;
use http::{HeaderValue, Method, Response, StatusCode};
use portcullis_audit::Kind;
use portcullis_hub::Log;
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, ServerId, date_time};
use serde_json::{Value, json};

use super::authentication::authenticate;
use super::body::Body;
use super::context::Context;
use super::readers::{has_role, is_local};
use super::request::Head;
use super::{response, rollout};
use crate::call::{Endpoint, Refusal};
use crate::gateway::Gateway;
use crate::identity::Form;
use crate::upstream::PodLog;

pub(super) const SERVERS: &str = "/api/v1/servers/";
/// The roles whose members run servers.
const ROLES: [&str; 2] = ["operator", "admin"];
/// Bytes of lines in one answer; what is older than that is left out.
const MOST: usize = 128 << 10;

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Logs,
    Restart,
    Rollout,
}

/// Answers what is asked here; `None` when it is something else.
pub(super) async fn answer(context: &Arc<Context>, head: &Head) -> Option<Response<Body>> {
    let (server, asked) = head.path.strip_prefix(SERVERS)?.split_once('/')?;
    let (asked, method) = match asked {
        "logs" => (Asked::Logs, Method::GET),
        "restart" => (Asked::Restart, Method::POST),
        // To roll out has a body, and is answered elsewhere.
        "rollout" => (Asked::Rollout, Method::GET),
        _ => return None,
    };
    let server = ServerId::parse(server).ok()?;
    let local = is_local(context, head);
    let context = match authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await {
        Ok(context) => context,
        Err(answer) => return Some(*answer),
    };
    if head.method != method {
        let mut answer = response::json(
            StatusCode::METHOD_NOT_ALLOWED,
            json!({ "error": "this is not done here" }).to_string(),
        );
        let allowed = match asked {
            Asked::Logs => "GET, OPTIONS",
            Asked::Restart => "POST, OPTIONS",
            Asked::Rollout => "GET, POST, OPTIONS",
        };
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return Some(answer);
    }
    let answered = match may(&context, local) {
        Ok(()) => act(&context, &server, asked).await,
        Err(refusal) => Err(refusal),
    };
    Some(answered.unwrap_or_else(|refusal| {
        let mut answer = response::refusal(Era::Modern, None, &refusal);
        response::by(&mut answer, &context.principal);
        answer
    }))
}

/// Whether whoever asks runs servers.
///
/// # Errors
/// They do not.
pub(super) fn may(context: &Context, local: bool) -> Result<(), Refusal> {
    let settings = context.gateway.settings.load();
    let may = match &settings.policy {
        Some(policy) => has_role(policy, &context.principal, &ROLES),
        None => local && context.gateway.is_at_home(),
    };
    let message = "this is for those who run servers: with `policy`, for the role `operator`; without, where nobody has to show who \
                   they are, for whoever asks on the gateway's own machine";
    if may { Ok(()) } else { Err(Refusal::new(ErrorKind::Forbidden, message)) }
}

async fn act(context: &Arc<Context>, server: &ServerId, asked: Asked) -> Result<Response<Body>, Refusal> {
    let gateway = &context.gateway;
    if gateway.servers.load().find(server.as_str()).is_none() {
        let told = json!({ "error": format!("there is no server `{server}` here") });
        return Ok(response::json(StatusCode::NOT_FOUND, told.to_string()));
    }
    if let Some(told) = (asked == Asked::Rollout).then(|| rollout::told(gateway, server)).flatten() {
        return Ok(response::json(StatusCode::OK, told.to_string()));
    }
    if asked == Asked::Logs {
        let instances = match of_pods(gateway, server).await? {
            Some(instances) => instances,
            None => newest(gateway.env.supervisor.logs(server)),
        };
        return Ok(response::json(
            StatusCode::OK,
            json!({ "server": server.as_str(), "instances": instances }).to_string(),
        ));
    }
    if let Some(evidence) = &gateway.evidence {
        let detail = [("what", "restarted".to_owned()), ("server", server.to_string())];
        evidence.changed_by(Kind::Catalogue, &context.principal, context.peer, &detail).await?;
    }
    match gateway.restart(server).await {
        Ok(()) => Ok(response::json(
            StatusCode::OK,
            json!({ "server": server.as_str(), "restarted": true }).to_string(),
        )),
        Err(error) => Err(Refusal::new(ErrorKind::UpstreamUnavailable, error.to_string())),
    }
}

/// What the pods of a server wrote, where a cluster runs it.
async fn of_pods(gateway: &Arc<Gateway>, server: &ServerId) -> Result<Option<Vec<Value>>, Refusal> {
    let Some(catalogue) = gateway.servers.load().find(server.as_str()).cloned() else { return Ok(None) };
    // Each version has pods of its own.
    let others = catalogue.others();
    let versions = std::iter::once(&catalogue).chain(&others);
    let deployed: Vec<_> = versions.filter_map(|it| it.server.deployed().cloned()).collect();
    if deployed.is_empty() {
        return Ok(None);
    }
    // Where everything of the cluster is asked.
    let asked = gateway.env.control.spawn(async move {
        let mut pods = Vec::new();
        for version in deployed {
            pods.extend(version.logs().await?);
        }
        Ok::<_, Refusal>(pods)
    });
    let pods = asked.await.unwrap_or_else(|_| Ok(Vec::new()))?;
    let mut left = MOST;
    let instance = |log: PodLog| {
        let lines = newest_of(&log.lines, &mut left, |(_, line)| line.len());
        let from = log.lines.len() - lines.len();
        let lines: Vec<_> = lines.iter().map(|(at, line)| json!({ "at": at, "line": line })).collect();
        json!({
            "pod": log.pod, "phase": log.phase, "started": log.started, "ended": null, "left_out": from, "lines": lines,
        })
    };
    Ok(Some(pods.into_iter().map(instance).collect()))
}

/// The last of these that find place in what is left.
fn newest_of<'a, T>(all: &'a [T], left: &mut usize, length: impl Fn(&T) -> usize) -> &'a [T] {
    let fits = all.iter().rev().take_while(|one| {
        let length = length(one);
        let fits = length <= *left;
        *left = if fits { *left - length } else { 0 };
        fits
    });
    &all[all.len() - fits.count()..]
}

/// The newest lines of all, as far as they find place, by child with the newest first.
fn newest(logs: Vec<Log>) -> Vec<Value> {
    let mut left = MOST;
    let instance = |log: Log| {
        let lines = newest_of(&log.lines, &mut left, |(_, line)| line.len());
        let from = log.lines.len() - lines.len();
        let lines: Vec<_> =
            lines.iter().map(|(at, line)| json!({ "at": moment(*at), "line": line })).collect();
        json!({
            "pid": log.pid,
            "started": moment(log.started),
            "ended": log.ended.map(|(at, how)| json!({ "at": moment(at), "how": how.to_string() })),
            "left_out": from,
            "lines": lines,
        })
    };
    logs.into_iter().map(instance).collect()
}

fn moment(at: SystemTime) -> String {
    format!("{}Z", date_time(at.duration_since(UNIX_EPOCH).unwrap_or_default()))
}
