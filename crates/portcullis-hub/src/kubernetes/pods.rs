//! The pods of a Deployment: what they wrote lately, why they do not become ready, and who passes for one.

use serde_json::Value;

use super::api::Api;
use super::failure::{Failure, plain};
use super::objects::{CONTAINER, DEPLOYMENT};
use crate::supervisor::cleaned;

/// Pods of one Deployment that are told of.
const MOST: usize = 5;
/// Pods that are looked at. Nobody has as many of one replica, but for those that are over, which nobody asks for.
const MOST_LOOKED_AT: usize = 50;
/// Those that are not over: a pod that was evicted stays for long, and is reached by nobody.
const ALIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Lines of each, and bytes of them.
const LINES: usize = 200;
const BYTES: usize = 32 * 1024;

/// What one pod wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodLog {
    /// Its name.
    pub pod: String,
    /// When it was started, as the API writes it.
    pub started: Option<String>,
    /// How it is: `Running`, `Pending`, `Failed` …
    pub phase: String,
    /// The last lines, oldest first, each with its time as the API writes it. Control characters are escaped, and secrets that
    /// it was given are blotted out.
    pub lines: Vec<(String, String)>,
}

/// The pods of a Deployment that are not over, and whether there are more of them than are looked at.
async fn alive(api: &Api, name: &str) -> Result<(Vec<Value>, bool), Failure> {
    let mut found = api.pods(&format!("{DEPLOYMENT}={name}"), ALIVE, MOST_LOOKED_AT).await?;
    let is_more = found["metadata"]["continue"].as_str().is_some_and(|more| !more.is_empty());
    let pods = found["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    Ok((pods, is_more))
}

async fn pods(api: &Api, name: &str) -> Result<Vec<Value>, Failure> {
    let (mut pods, _) = alive(api, name).await?;
    pods.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned());
    pods.reverse();
    pods.truncate(MOST);
    Ok(pods)
}

/// What the pods of a Deployment wrote lately, the newest pod first.
pub(super) async fn logs(api: &Api, name: &str, secrets: &[String]) -> Result<Vec<PodLog>, Failure> {
    let mut all = Vec::new();
    for pod in pods(api, name).await? {
        let Some(named) = pod["metadata"]["name"].as_str().filter(|it| is_name(it)) else { continue };
        let written = match api.logs(named, CONTAINER, LINES, BYTES).await {
            Ok(written) => written,
            // It has not been started yet, or is gone.
            Err(Failure::Refused(refused)) if matches!(refused.status, 400 | 404) => Vec::new(),
            Err(failure) => return Err(failure),
        };
        let lines = cleaned(&written, secrets).into_iter().map(|line| match line.split_once(' ') {
            Some((at, rest)) if at.ends_with('Z') => (at.to_owned(), rest.to_owned()),
            _ => (String::new(), line),
        });
        all.push(PodLog {
            pod: named.to_owned(),
            started: pod["status"]["startTime"].as_str().map(plain),
            phase: plain(pod["status"]["phase"].as_str().unwrap_or("Unknown")),
            lines: lines.collect(),
        });
    }
    Ok(all)
}

/// Why the newest pod of a Deployment is not ready, as far as its node says.
pub(super) async fn why_not_ready(api: &Api, name: &str) -> Option<String> {
    let pods = pods(api, name).await.ok()?;
    let pod = pods.first()?;
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let of_container = statuses.filter_map(|status| {
        let told = |state: &Value, keys: &[&str]| {
            let text = |key: &&str| state[key].as_str().filter(|text| !text.is_empty()).map(plain);
            let code = state["exitCode"].as_i64().map(|code| format!("exit code {code}"));
            let parts: Vec<_> = keys.iter().filter_map(text).chain(code).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        };
        // A container writes the message of its end itself, and callers are told this.
        let last = || told(&status["lastState"]["terminated"], &["reason"]);
        told(&status["state"]["waiting"], &["reason", "message"]).map(|waits| match last() {
            Some(ended) => format!("{waits} (it ended before: {ended})"),
            None => waits,
        })
    });
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let of_pod = conditions.filter(|it| it["type"] == "PodScheduled" && it["status"] == "False");
    let of_pod = of_pod.filter_map(|it| Some(plain(it["message"].as_str()?)));
    of_container.chain(of_pod).next()
}

/// A pod that calls would reach as those of a Deployment, for it has their label, and that does not even say that it is one of these.
/// Whoever says so is believed: who may make pods may write that, too.
pub(super) async fn stranger(api: &Api, name: &str) -> Result<Option<String>, Failure> {
    let (pods, is_more) = alive(api, name).await?;
    let is_set = |set: &str| {
        let hash = set.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        hash.is_some_and(|hash| !hash.is_empty() && !hash.contains('-'))
    };
    let is_own = |pod: &Value| {
        let mut owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|it| {
            it["controller"] == true && it["kind"] == "ReplicaSet" && it["name"].as_str().is_some_and(is_set)
        })
    };
    // Of one replica there are not as many.
    let stranger = pods.iter().find(|pod| !is_own(pod)).or_else(|| pods.last().filter(|_| is_more));
    Ok(stranger.map(|pod| plain(pod["metadata"]["name"].as_str().unwrap_or_default())))
}

/// What goes into a path is a name of Kubernetes and nothing else.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(fits) && !text.starts_with('.')
}
