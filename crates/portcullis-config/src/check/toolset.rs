//! Virtual servers: what they take is there, and no two things have one name.

use std::collections::{BTreeMap, HashSet};

use portcullis_model::{ServerId, ToolsetId};

use super::{Check, offered};
use crate::node::Path;
use crate::{Pick, Server, Source, Toolset, raw};

/// Longest name of a tool or prompt, in characters: what model APIs take.
const LONGEST_NAME: usize = 64;
/// Entries of one list.
const MOST: usize = 1_000;
/// Arguments that are preset or hidden of one tool.
const MOST_ARGUMENTS: usize = 32;

type Servers = BTreeMap<ServerId, Server>;

pub(super) fn toolsets(
    check: &mut Check<'_>,
    raw: &BTreeMap<String, raw::Toolset>,
    servers: &Servers,
) -> BTreeMap<ToolsetId, Toolset> {
    let mut toolsets = BTreeMap::new();
    for (name, raw) in raw {
        let path = Path::top("toolsets").key(name);
        let toolset = toolset(check, &path, raw, servers);
        match ToolsetId::parse(name) {
            Ok(id) => drop(toolsets.insert(id, toolset)),
            Err(error) => check.error(&path, error.to_string()),
        }
    }
    toolsets
}

fn toolset(check: &mut Check<'_>, path: &Path, raw: &raw::Toolset, servers: &Servers) -> Toolset {
    if raw.tools.is_empty() && raw.prompts.is_empty() && raw.resources.is_empty() {
        check.warn(path, "has neither `tools` nor `prompts` nor `resources`: it is empty");
    }
    let lists =
        [("tools", raw.tools.len()), ("prompts", raw.prompts.len()), ("resources", raw.resources.len())];
    for (key, _) in lists.iter().filter(|(_, len)| *len > MOST) {
        check.error(&path.key(key), format!("more than {MOST} entries"));
    }
    let tools = raw
        .tools
        .iter()
        .enumerate()
        .map(|(index, raw)| tool(check, &path.key("tools").index(index), raw, servers));
    let tools: Vec<_> = tools.collect();
    let prompts = raw
        .prompts
        .iter()
        .enumerate()
        .map(|(index, raw)| prompt(check, &path.key("prompts").index(index), raw, servers));
    let prompts: Vec<_> = prompts.collect();
    let resources = raw
        .resources
        .iter()
        .enumerate()
        .map(|(index, from)| source(check, &path.key("resources").index(index), from, servers));
    let resources: Vec<_> = resources.collect();
    alone(check, &path.key("tools"), &tools);
    alone(check, &path.key("prompts"), &prompts);
    Toolset {
        title: raw.title.clone(),
        instructions: raw.instructions.clone(),
        discovery: offered(raw.discovery),
        tools,
        prompts,
        resources,
    }
}

fn tool(check: &mut Check<'_>, path: &Path, raw: &raw::ToolPick, servers: &Servers) -> Pick {
    for (index, name) in raw.hide.iter().enumerate() {
        if raw.preset.contains_key(name) {
            check.error(&path.key("hide").index(index), format!("`{name}` is preset, and so hidden already"));
        }
    }
    if raw.preset.len() + raw.hide.len() > MOST_ARGUMENTS {
        check.error(path, format!("presets and hides more than {MOST_ARGUMENTS} arguments"));
    }
    Pick {
        preset: raw.preset.iter().map(|(name, value)| (name.clone(), value.0.to_string())).collect(),
        hide: raw.hide.iter().cloned().collect(),
        ..pick(check, path, [&raw.name, &raw.title, &raw.description], &raw.from, servers)
    }
}

fn prompt(check: &mut Check<'_>, path: &Path, raw: &raw::PromptPick, servers: &Servers) -> Pick {
    pick(check, path, [&raw.name, &raw.title, &raw.description], &raw.from, servers)
}

fn pick(
    check: &mut Check<'_>,
    path: &Path,
    [name, title, description]: [&Option<String>; 3],
    from: &str,
    servers: &Servers,
) -> Pick {
    let from = source(check, &path.key("from"), from, servers);
    for (key, said) in [("name", name), ("title", title), ("description", description)] {
        if said.is_some() && !from.is_one() {
            check.error(
                &path.key(key),
                format!("`{from}` may be several; write another entry for one of them"),
            );
        }
    }
    if let Some(name) = name {
        let safe = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(safe) {
            let message = format!(
                "not a name that models can use: write 1 to {LONGEST_NAME} letters, digits, `-` and `_`"
            );
            check.error(&path.key("name"), message);
        } else if name.contains("__") {
            check.error(&path.key("name"), "`__` parts servers from their tools; use one `_`");
        }
    }
    Pick {
        from,
        name: name.clone(),
        title: title.clone(),
        description: description.clone(),
        preset: BTreeMap::new(),
        hide: std::collections::BTreeSet::new(),
    }
}

fn source(check: &mut Check<'_>, path: &Path, text: &str, servers: &Servers) -> Source {
    let Some(source) = Source::parse(text) else {
        check.error(path, format!("`{text}` is not `SERVER/NAME`; `*` stands for any characters"));
        return Source { server: text.to_owned(), name: String::new() };
    };
    if !servers.keys().any(|id| source.is_of(id.as_str())) {
        check.no_server(path, &source.server);
    }
    source
}

/// No two entries give one name, in any case; what has no name of its own is called as on the aggregate, which is another.
fn alone(check: &mut Check<'_>, path: &Path, picks: &[Pick]) {
    let (mut names, mut plain) = (HashSet::new(), HashSet::new());
    for (index, pick) in picks.iter().enumerate() {
        match &pick.name {
            Some(name) if !names.insert(name.to_ascii_lowercase()) => {
                check.error(&path.index(index).key("name"), format!("another entry is called `{name}`"));
            }
            None if pick.from.is_one() && !plain.insert(pick.from.to_string()) => {
                let message = format!("`{}` is here twice; give one of the two a `name`", pick.from);
                check.error(&path.index(index), message);
            }
            _ => {}
        }
    }
}
