//! Limits on calls: each has a name of its own, limits something, and can be about something.

use super::Check;
use crate::node::Path;
use crate::{CallLimit, Each, PerTime, raw, units};

/// Limits that a call may have to be held against.
const MOST: usize = 100;

pub(super) fn calls(check: &mut Check<'_>, raw: &[raw::CallLimit]) -> Vec<CallLimit> {
    let top = Path::top("limits").key("calls");
    if raw.len() > MOST {
        check.error(&top, format!("more than {MOST} limits"));
    }
    let mut limits: Vec<CallLimit> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let path = top.index(index);
        if raw.name.is_empty() || raw.name.len() > 64 || raw.name.chars().any(char::is_control) {
            check.error(&path.key("name"), "not a name for a limit: use 1 to 64 characters");
        } else if limits.iter().any(|before| before.name == raw.name) {
            check.error(&path.key("name"), format!("another limit is called `{}`", raw.name));
        }
        limits.push(limit(check, &path, raw));
    }
    limits
}

fn limit(check: &mut Check<'_>, path: &Path, raw: &raw::CallLimit) -> CallLimit {
    let mut each = Each::default();
    for one in &raw.each {
        match one {
            raw::Each::Principal => each.principal = true,
            raw::Each::Group => each.group = true,
            raw::Each::Server => each.server = true,
            raw::Each::Tool => each.tool = true,
        }
    }
    if each.group && raw.groups.is_empty() {
        check.error(&path.key("each"), "`group` needs `groups`: name those that are counted");
    }
    if raw.rate.is_none() && raw.concurrent.is_none() && raw.budget.is_none() {
        check.error(path, "limits nothing; set `rate`, `concurrent` or `budget`");
    }
    if raw.burst.is_some() && raw.rate.is_none() {
        check.error(&path.key("burst"), "only works with `rate`");
    }
    for (index, tool) in raw.tools.iter().enumerate() {
        let fits = tool.split_once('/').is_some_and(|(server, name)| !server.is_empty() && !name.is_empty());
        if !fits {
            let message = format!("`{tool}` is not `SERVER/NAME`; `*` stands for any characters");
            check.error(&path.key("tools").index(index), message);
        }
    }
    for (index, id) in raw.principals.iter().enumerate() {
        if !super::policy::is_principal(id) {
            let message = format!("`{id}` is no principal; {}", super::policy::PRINCIPALS);
            check.error(&path.key("principals").index(index), message);
        }
    }
    for (index, server) in raw.servers.iter().enumerate() {
        // Searches for tools count as calls of the gateway's own.
        if server != "hub" && !check.has_server(server) {
            check.warn(&path.key("servers").index(index), format!("`{server}` is no configured server"));
        }
    }
    let rate = per_time(check, &path.key("rate"), raw.rate.as_ref());
    CallLimit {
        name: raw.name.clone(),
        groups: raw.groups.clone(),
        principals: raw.principals.clone(),
        servers: raw.servers.clone(),
        tools: raw.tools.clone(),
        each,
        rate,
        burst: raw.burst.or(rate.map(|rate| rate.count)).unwrap_or(1),
        concurrent: raw.concurrent,
        budget: per_time(check, &path.key("budget"), raw.budget.as_ref()),
    }
}

fn per_time(check: &mut Check<'_>, path: &Path, raw: Option<&raw::PerTime>) -> Option<PerTime> {
    match units::parse_per_time(&raw?.0) {
        Ok(per_time) => Some(per_time),
        Err(message) => {
            check.error(path, message);
            None
        }
    }
}
