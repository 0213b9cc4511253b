//! Tools that find tools, for models that cannot be shown thousands.
//!
//! `hub__search` finds by words (`portcullis-hub`, `search`), `hub__describe` gives definitions, `hub__call` calls. They are
//! offered on the aggregate and in toolsets, beside the tools there or in their place, and know only what is there for the
//! caller.
//!
//! What is near in meaning is found, too, where somebody gives vectors (`embeddings`).
//!
//! `hub__call` is no second way to a server: before anything else looks at it, it becomes the call that it stands for
//! ([`meant`]), and what holds for that holds: limits, policies, questions, tasks, the record.

mod definitions;
mod embeddings;
mod words;

use std::sync::Arc;

use portcullis_config::{Discovery, DiscoveryRule, Settings};
use portcullis_hub::search::{Hit, Searched, fused, search};
use portcullis_mcp::json::{Change, Kind, Object, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_model::{ErrorKind, matches_pattern};
use serde_json::{Value, json};

use crate::admit::Target;
use crate::call::{Call, Caller, Endpoint, Exchange, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::route::Tools;

pub(crate) use definitions::tools;
use definitions::{CALL, DESCRIBE, MOST_DESCRIBED, MOST_FOUND, QUERY_CHARS, SEARCH};
pub(crate) use embeddings::{Embeddings, Key, keys};
pub(crate) use words::words;

/// How many tools are found when nothing else is said.
const FOUND: usize = 8;
/// How much of a description a search shows, in characters.
const SHOWN: usize = 240;

/// Whether any endpoint offers the tools.
pub(crate) fn is_configured(settings: &Settings) -> bool {
    let toolsets = settings.toolsets.values().map(|toolset| toolset.discovery);
    let rules = settings.discovery_rules.iter().map(|rule| rule.tools);
    toolsets.chain(rules).chain([settings.discovery]).any(|offered| offered != Discovery::Off)
}

/// Whether somebody may be offered something else than before.
pub(crate) fn differs(settings: &Settings, old: &Settings) -> bool {
    (settings.discovery, &settings.discovery_rules) != (old.discovery, &old.discovery_rules)
}

/// Whether an endpoint offers the tools to a caller.
pub(crate) fn offered(gateway: &Gateway, endpoint: &Endpoint, caller: &Caller) -> Discovery {
    if let Endpoint::Server(_) = endpoint {
        return Discovery::Off;
    }
    let settings = gateway.settings.load();
    if let Some(rule) = settings.discovery_rules.iter().find(|rule| fits(rule, caller, &settings)) {
        return rule.tools;
    }
    match endpoint {
        Endpoint::Aggregate => settings.discovery,
        Endpoint::Server(_) => Discovery::Off,
        Endpoint::Toolset(id) => {
            gateway.servers.load().toolsets().get(id).map_or(Discovery::Off, |toolset| toolset.discovery())
        }
    }
}

/// Whether a caller is all that a rule names.
fn fits(rule: &DiscoveryRule, caller: &Caller, settings: &Settings) -> bool {
    let own_name = || caller.client.as_ref().and_then(|client| client.find_string("name"));
    let by_name = rule.names.is_empty()
        || own_name().is_some_and(|name| rule.names.iter().any(|pattern| matches_pattern(pattern, &name)));
    if !by_name {
        return false;
    }
    let id = caller.principal.id();
    let given = |group: &String| {
        let groups = settings.policy.as_ref().and_then(|policy| policy.groups.get(group));
        groups.is_some_and(|members| members.contains(&id))
    };
    let mut groups = rule.groups.iter();
    let in_group = rule.groups.is_empty()
        || groups.any(|group| caller.principal.groups().contains(group) || given(group));
    in_group && (rule.principals.is_empty() || rule.principals.contains(&id))
}

/// What the gateway is asked itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// For tools that fit.
    Search,
    /// For the definitions of tools.
    Describe,
}

impl Asked {
    /// As what it is held against the limits on calls; nothing for what costs no more than a list.
    pub(crate) fn target(self, call: &Call) -> Option<Target<'_>> {
        let principal = &call.caller.principal;
        match self {
            Self::Search => Some(Target { principal, server: "hub", tool: Some("search") }),
            Self::Describe => None,
        }
    }
}

/// Whether the gateway is asked itself.
pub(crate) fn asked(gateway: &Gateway, call: &Call) -> Option<Asked> {
    match own(gateway, call)? {
        SEARCH => Some(Asked::Search),
        DESCRIBE => Some(Asked::Describe),
        _ => None,
    }
}

/// The name of the tool that is called, when it is one of ours.
fn own<'a>(gateway: &Gateway, call: &'a Call) -> Option<&'a str> {
    let name = call.subject.as_deref().filter(|name| name.starts_with("hub__"))?;
    let is_tool = call.method == Method::ToolsCall;
    (is_tool && offered(gateway, &call.endpoint, &call.caller) != Discovery::Off).then_some(name)
}

/// The call that `hub__call` stands for; every other call as it is.
///
/// # Errors
/// Its arguments are no call; the call comes back, to be recorded.
pub(crate) fn meant(gateway: &Gateway, call: Arc<Call>) -> Result<Arc<Call>, (Arc<Call>, Refusal)> {
    if own(gateway, &call) != Some(CALL) {
        return Ok(call);
    }
    match stands_for(&call) {
        Ok((name, params)) => {
            let mut meant = Arc::unwrap_or_clone(call);
            meant.params = Some(params);
            meant.subject = Some(name);
            // What is mirrored into headers is said by the schema of the tool that the client was shown.
            meant.mirrored = None;
            Ok(Arc::new(meant))
        }
        Err(refusal) => Err((call, refusal)),
    }
}

fn stands_for(call: &Call) -> Result<(String, Object), Refusal> {
    let wrong = |why: &str| Refusal::new(ErrorKind::InvalidParams, format!("`{CALL}`: {why}"));
    let params = call.params.as_ref().ok_or_else(|| wrong("give `name` and `arguments`"))?;
    let given = params.find("arguments").unwrap_or_else(|| Raw::from_static("{}"));
    let name = given.find_string("name").ok_or_else(|| wrong("`name` must be the name of a tool"))?;
    if [SEARCH, DESCRIBE, CALL].contains(&&*name) {
        return Err(wrong("that tool is called by its own name"));
    }
    let arguments = given.find("arguments").unwrap_or_else(|| Raw::from_static("{}"));
    if arguments.kind() != Kind::Object {
        return Err(wrong("`arguments` must be an object"));
    }
    let named = Raw::from_text(&name);
    let changes = [("name", Change::Set(named.as_bytes())), ("arguments", Change::Set(arguments.as_bytes()))];
    Ok((name, params.with(&changes).into()))
}

/// Answers what the gateway is asked itself.
///
/// # Errors
/// The arguments are not as the tool's schema has them.
pub(crate) async fn answer(gateway: &Gateway, call: &Call, asked: Asked) -> Result<Exchange, Refusal> {
    let arguments = call.params.as_ref().and_then(|params| params.find("arguments"));
    let arguments = arguments.unwrap_or_else(|| Raw::from_static("{}"));
    let found = match asked {
        Asked::Search => {
            let (query, most) = question(&arguments)?;
            let tools = Tools::of(gateway, call).await?;
            let meant = embeddings::ranking(gateway, call, &tools, &query).await;
            found(&tools, &query, most, meant.as_deref())
        }
        Asked::Describe => {
            let names = names(&arguments)?;
            described(&Tools::of(gateway, call).await?, &names, call)
        }
    };
    let era = call.caller.revision.era();
    let result = result(&found, era);
    Ok(Exchange::done(Outcome::Complete(Payload { result: result.into(), era })))
}

fn question(arguments: &Raw) -> Result<(String, usize), Refusal> {
    let wrong = |why: String| Refusal::new(ErrorKind::InvalidParams, format!("`{SEARCH}`: {why}"));
    let query = arguments.find_string("query").ok_or_else(|| wrong("`query` must be a string".to_owned()))?;
    if query.chars().count() > QUERY_CHARS {
        return Err(wrong(format!(
            "`query` may have {QUERY_CHARS} characters; say what you need in fewer words"
        )));
    }
    let most = match arguments.find("limit") {
        None => Some(FOUND),
        Some(limit) => limit.u64().and_then(|limit| usize::try_from(limit).ok()),
    };
    let most = most.filter(|most| (1..=MOST_FOUND).contains(most));
    Ok((query, most.ok_or_else(|| wrong(format!("`limit` must be a number from 1 to {MOST_FOUND}")))?))
}

fn names(arguments: &Raw) -> Result<Vec<String>, Refusal> {
    let names = arguments.find("names").filter(|names| names.kind() == Kind::Array);
    let names: Option<Vec<_>> =
        names.and_then(|names| names.elements().map(|name| name.string().map(Into::into)).collect());
    names.filter(|names| (1..=MOST_DESCRIBED).contains(&names.len())).ok_or_else(|| {
        let why = format!("`{DESCRIBE}`: `names` must be 1 to {MOST_DESCRIBED} names of tools");
        Refusal::new(ErrorKind::InvalidParams, why)
    })
}

/// The tools that fit a question, the best first: by its words, and by what it means where that is known.
fn found(tools: &Tools, query: &str, most: usize, meant: Option<&[Hit]>) -> Raw {
    let parts: Vec<_> = tools.parts().collect();
    let searched: Vec<_> = parts
        .iter()
        .map(|(listing, shown)| Searched { part: listing.words(), shown: shown.items() })
        .collect();
    let hits = match meant {
        Some(meant) => fused(&[&search(&searched, query, embeddings::NEAREST), meant], most),
        None => search(&searched, query, most),
    };
    let found = hits.into_iter().map(|hit| {
        let (listing, _) = parts[hit.part];
        let item = &listing.items[hit.item];
        let mut tool = json!({ "name": item.exposed, "server": listing.server.as_str() });
        let mut say = |key: &str, text: Option<String>| {
            if let Some(text) = text {
                tool[key] = Value::String(shorten(&text, SHOWN));
            }
        };
        say("title", item.raw.find_string("title"));
        say("description", item.raw.find_string("description"));
        let schema = item.raw.find("inputSchema");
        let properties = schema.as_ref().and_then(|schema| schema.find("properties"));
        let arguments = properties
            .iter()
            .flat_map(|all| all.members().map(|one| one.key().into_owned()).collect::<Vec<_>>());
        tool["arguments"] = arguments.collect();
        tool
    });
    let found: Vec<_> = found.collect();
    let hint = if found.is_empty() {
        "Nothing fits. Use other words, or fewer.".to_owned()
    } else {
        format!("`{DESCRIBE}` gives the schemas, `{CALL}` calls.")
    };
    Raw::from_value(&json!({ "tools": found, "hint": hint }))
}

/// The definitions of tools, byte for byte as lists have them, and which names are nobody's.
fn described(tools: &Tools, names: &[String], call: &Call) -> Raw {
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for name in names {
        match tools.definition(name, call.caller.revision) {
            Some(definition) => found.push(definition),
            None => unknown.push(name),
        }
    }
    let found: Vec<_> = found.iter().map(Raw::as_str).collect();
    Raw::trusted(format!("{{\"tools\":[{}],\"unknown\":{}}}", found.join(","), json!(unknown)))
}

/// A result that says the same to programs and to models.
fn result(found: &Raw, era: Era) -> Raw {
    let text = Raw::from_text(found.as_str());
    let complete = if era == Era::Modern { ",\"resultType\":\"complete\"" } else { "" };
    let content = format!("[{{\"type\":\"text\",\"text\":{text}}}]");
    Raw::trusted(format!("{{\"content\":{content},\"structuredContent\":{found}{complete}}}"))
}

fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}
