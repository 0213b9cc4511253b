//! `portcullis server logs` and `restart`: servers of a gateway that runs, over its API.

use std::process::ExitCode;

use portcullis_gateway::Question;
use serde_json::Value;

use super::args::Running;
use crate::Usage;
use crate::connect::token;
use crate::stdout::print;

/// What its children wrote to stderr lately.
pub(super) fn logs(running: &Running) -> anyhow::Result<ExitCode> {
    let Some(told) = ask(running, "logs", None)? else { return Ok(ExitCode::FAILURE) };
    if running.json {
        print(format_args!("{told:#}"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut instances: Vec<&Value> = told["instances"].as_array().into_iter().flatten().collect();
    // The last line is the newest.
    instances.reverse();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for instance in &instances {
        let started = text(&instance["started"]);
        if let Some(pod) = instance["pod"].as_str() {
            let phase = text(&instance["phase"]);
            let began = if started.is_empty() { String::new() } else { format!(" started {started},") };
            print(format_args!("-- pod {pod}{began} {phase}"));
            lines_of(instance);
            continue;
        }
        let ended = match instance["ended"]["how"].as_str() {
            Some(how) => format!("ended {} with {how}", text(&instance["ended"]["at"])),
            None => "runs".to_owned(),
        };
        print(format_args!("-- process {} started {started}, {ended}", instance["pid"]));
        lines_of(instance);
    }
    if instances.is_empty() {
        print(
            "no process or pod of it was started by this gateway; one that is reached by URL has none here",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// What one of them wrote.
fn lines_of(instance: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(left_out @ 1..) = instance["left_out"].as_u64() {
        print(format_args!("-- {left_out} lines before"));
    }
    for line in instance["lines"].as_array().into_iter().flatten() {
        print(format_args!("{} {}", text(&line["at"]), text(&line["line"])));
    }
}

/// Calls under way end at the old one; whoever calls next starts the new one.
pub(super) fn restart(running: &Running) -> anyhow::Result<ExitCode> {
    let Some(told) = ask(running, "restart", Some(("application/json", Vec::new())))? else {
        return Ok(ExitCode::FAILURE);
    };
    if running.json {
        print(format_args!("{told:#}"));
    } else {
        print(format_args!(
            "{} is started anew with its next call; calls under way end as they began",
            running.server
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the gateway says; `None` where it refuses, which was told.
fn ask(
    running: &Running,
    what: &str,
    post: Option<(&'static str, Vec<u8>)>,
) -> anyhow::Result<Option<Value>> {
    let base = running.url.trim_end_matches('/');
    let base = base.strip_suffix("/mcp").unwrap_or(base);
    let url = format!("{base}/api/v1/servers/{}/{what}", running.server);
    let authorization =
        running.token_env.as_deref().map(token).transpose()?.map(|token| format!("Bearer {token}"));
    let probe = portcullis_gateway::probe(running.ca.as_deref()).map_err(|error| Usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(probe.send(Question { url, post, authorization }));
    let told = told.map_err(|error| anyhow::anyhow!("{base} does not answer: {error}"))?;
    let said: Value = serde_json::from_slice(&told.body).unwrap_or_default();
    if told.status == 200 {
        return Ok(Some(said));
    }
    let why = [&said["error"], &said["error"]["message"]].into_iter().find_map(Value::as_str);
    eprintln!("{} (status {})", why.unwrap_or("the gateway refuses and does not say why"), told.status);
    Ok(None)
}
