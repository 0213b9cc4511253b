//! What people decide about tools: patterns name something, durations are some.

use std::time::Duration;

use super::Check;
use super::http::guarded_url;
use super::policy::{PRINCIPALS, is_principal};
use crate::node::Path;
use crate::{Approvals, DefinitionsMode, Flow, FlowMode, Halt, Region, Webhook, raw};

const WINDOW: Duration = Duration::from_mins(30);
const LIFETIME: Duration = Duration::from_mins(10);
/// So many may have to approve of one call.
const MOST_NEEDED: u8 = 5;

pub(super) fn definitions(raw: &raw::Definitions) -> DefinitionsMode {
    match raw.mode {
        None | Some(raw::DefinitionsMode::TrustFirstUse) => DefinitionsMode::TrustFirstUse,
        Some(raw::DefinitionsMode::Approve) => DefinitionsMode::Approve,
        Some(raw::DefinitionsMode::Off) => DefinitionsMode::Off,
    }
}

pub(super) fn flow(check: &mut Check<'_>, raw: &raw::Flow) -> Flow {
    let top = Path::top("flow");
    for (key, list) in [("private", &raw.private), ("untrusted", &raw.untrusted), ("external", &raw.external)]
    {
        patterns(check, &top.key(key), list);
    }
    let external = !raw.external.is_empty() || !raw.regions.is_empty();
    if !external || (raw.regions.is_empty() && (raw.private.is_empty() || raw.untrusted.is_empty())) {
        check.warn(
            &top,
            "keeps nothing apart: that takes `private`, `untrusted` and `external`, or `regions`",
        );
    }
    let mut regions = Vec::new();
    for (name, region) in &raw.regions {
        let path = top.key("regions").key(name);
        if name.is_empty() || name.len() > 64 {
            check.error(&path, "not a name for a region: use 1 to 64 characters");
        }
        patterns(check, &path.key("data"), &region.data);
        patterns(check, &path.key("servers"), &region.servers);
        principals(check, &path.key("principals"), &region.principals);
        regions.push(Region {
            name: name.clone(),
            data: region.data.clone(),
            servers: region.servers.clone(),
            groups: region.groups.clone(),
            principals: region.principals.clone(),
        });
    }
    Flow {
        private: raw.private.clone(),
        untrusted: raw.untrusted.clone(),
        external: raw.external.clone(),
        regions,
        mode: match raw.mode {
            None | Some(raw::FlowMode::Ask) => FlowMode::Ask,
            Some(raw::FlowMode::Deny) => FlowMode::Deny,
            Some(raw::FlowMode::Observe) => FlowMode::Observe,
        },
        window: check.duration(&top.key("window"), raw.window.as_ref(), WINDOW),
        per_session: matches!(raw.per, Some(raw::FlowPer::Session)),
    }
}

pub(super) fn approvals(check: &mut Check<'_>, raw: &raw::Approvals) -> Approvals {
    let top = Path::top("approvals");
    patterns(check, &top.key("tools"), &raw.tools);
    let needed = raw.needed.unwrap_or(1);
    if !(1..=MOST_NEEDED).contains(&needed) {
        check.error(&top.key("needed"), format!("must be from 1 to {MOST_NEEDED}"));
    }
    Approvals {
        tools: raw.tools.clone(),
        by_operator: matches!(raw.by, Some(raw::ApprovalBy::Operator)),
        needed,
        lifetime: check.duration(&top.key("lifetime"), raw.lifetime.as_ref(), LIFETIME),
        webhook: raw.webhook.as_ref().and_then(|raw| webhook(check, &top.key("webhook"), raw)),
    }
}

fn webhook(check: &mut Check<'_>, path: &Path, raw: &raw::Webhook) -> Option<Webhook> {
    guarded_url(check, &path.key("url"), &raw.url, "arguments of calls go there");
    let token = match &raw.token {
        Some(token) => Some(check.secret(&path.key("token"), "token", token)?),
        None => None,
    };
    let ca = raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file));
    Some(Webhook { url: raw.url.clone(), token, ca })
}

pub(super) fn halt(check: &mut Check<'_>, raw: &raw::Halt) -> Halt {
    let top = Path::top("halt");
    for (index, server) in raw.servers.iter().enumerate() {
        if !check.has_server(server) {
            check.warn(&top.key("servers").index(index), format!("`{server}` is no configured server"));
        }
    }
    for (index, tool) in raw.tools.iter().enumerate() {
        let fits = tool.split_once('/').is_some_and(|(server, name)| !server.is_empty() && !name.is_empty());
        if !fits {
            check.error(&top.key("tools").index(index), format!("`{tool}` is not `SERVER/NAME`"));
        }
    }
    principals(check, &top.key("principals"), &raw.principals);
    Halt {
        all: raw.all,
        servers: raw.servers.clone(),
        tools: raw.tools.clone(),
        principals: raw.principals.clone(),
    }
}

/// A pattern whose server is written out names one that is there.
fn patterns(check: &mut Check<'_>, path: &Path, patterns: &[String]) {
    for (index, pattern) in patterns.iter().enumerate() {
        let path = path.index(index);
        let (server, name) =
            pattern.split_once('/').map_or((pattern.as_str(), None), |(of, it)| (of, Some(it)));
        if server.is_empty() || name.is_some_and(str::is_empty) {
            check.error(
                &path,
                format!("`{pattern}` is neither `SERVER` nor `SERVER/NAME`; `*` stands for any characters"),
            );
        } else if !server.contains('*') && !check.has_server(server) {
            check.warn(&path, format!("`{server}` is no configured server"));
        }
    }
}

fn principals(check: &mut Check<'_>, path: &Path, principals: &[String]) {
    for (index, id) in principals.iter().enumerate() {
        if !is_principal(id) {
            check.error(&path.index(index), format!("`{id}` is no principal; {PRINCIPALS}"));
        }
    }
}
