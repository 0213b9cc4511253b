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

const SERVERS: &str = "/api/v1/servers/";
/// The roles whose members run servers.
const ROLES: [&str; 2] = ["operator", "admin"];
/// Bytes of lines in one answer; what is older than that is left out.
const MOST: usize = 128 << 10;

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// What its children wrote.
    Logs,
    /// To start it anew.
    Restart,
    /// To roll a version out (POST), or how one goes (GET).
    Rollout,
    /// To take it back.
    Rollback,
}

/// Of which server what is asked; `None` where the path is another one.
pub(super) fn asked(path: &str) -> Option<(ServerId, Asked)> {
    let (server, asked) = path.strip_prefix(SERVERS)?.split_once('/')?;
    let asked = match asked {
        "logs" => Asked::Logs,
        "restart" => Asked::Restart,
        "rollout" => Asked::Rollout,
        "rollback" => Asked::Rollback,
        _ => return None,
    };
    Some((ServerId::parse(server).ok()?, asked))
}

/// Answers what is asked here; `None` when it is something else.
pub(super) async fn answer(context: &Arc<Context>, head: &Head) -> Option<Response<Body>> {
    let (server, asked) = asked(&head.path)?;
    let local = is_local(context, head);
    let context = match authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await {
        Ok(context) => context,
        Err(answer) => return Some(*answer),
    };
    // To roll out and back has a body, and is answered elsewhere.
    let (method, allowed) = match asked {
        Asked::Logs => (Some(Method::GET), "GET, OPTIONS"),
        Asked::Restart => (Some(Method::POST), "POST, OPTIONS"),
        Asked::Rollout => (Some(Method::GET), "GET, POST, OPTIONS"),
        Asked::Rollback => (None, "POST, OPTIONS"),
    };
    if method.is_none_or(|method| head.method != method) {
        let mut answer = response::json(
            StatusCode::METHOD_NOT_ALLOWED,
            json!({ "error": "this is not done here" }).to_string(),
        );
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
    let there = gateway.servers.load().find(server.as_str()).is_some();
    let told = match asked {
        // A reload may take it away at any time.
        Asked::Logs | Asked::Restart if !there => None,
        Asked::Rollout | Asked::Rollback => rollout::told(gateway, server),
        Asked::Logs => {
            let instances = match of_pods(gateway, server).await? {
                Some(instances) => instances,
                None => newest(gateway.env.supervisor.logs(server)),
            };
            Some(json!({ "server": server.as_str(), "instances": instances }))
        }
        Asked::Restart => return restart(context, server).await,
    };
    let none = || json!({ "error": format!("there is no server `{server}` here") });
    let status = if told.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok(response::json(status, told.unwrap_or_else(none).to_string()))
}

async fn restart(context: &Arc<Context>, server: &ServerId) -> Result<Response<Body>, Refusal> {
    let gateway = &context.gateway;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_of_which_server_what_is_asked() {
        for (what, expected) in [
            ("logs", Asked::Logs),
            ("restart", Asked::Restart),
            ("rollout", Asked::Rollout),
            ("rollback", Asked::Rollback),
        ] {
            let (server, found) = asked(&format!("/api/v1/servers/files/{what}")).expect(what);
            assert_eq!((server.as_str(), found), ("files", expected));
        }
        for other in ["files", "files/", "files/stop", "files/logs/", "/logs", "no%20slug/logs"] {
            assert_eq!(asked(&format!("{SERVERS}{other}")), None, "{other}");
        }
    }
}
