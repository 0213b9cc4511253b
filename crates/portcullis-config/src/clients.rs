//! The files of MCP clients, brought into the gateway's own form.
//!
//! Claude Desktop, Claude Code, Cursor, VS Code, Codex, Zed, OpenCode, Continue and their relatives write nearly
//! the same thing under different names. This works on the tree, before anything is checked, so that an entry
//! of theirs goes through the same checks as one of ours and problems still point into their file. It reads
//! no file: `envFile` is refused rather than half done.

mod entry;

use portcullis_model::ServerId;

use crate::node::{Entry, Mark, Node, Path, Value};
use crate::report::Report;
use crate::slug;

/// Where client files keep their servers, at the top or (VS Code, Zed settings) one level down.
const SECTIONS: &[&[&str]] = &[
    &["mcpServers"],
    &["servers"],
    &["context_servers"],
    &["mcp_servers"],
    &["amp.mcpServers"],
    &["mcp", "servers"],
    &["mcp"],
];

/// Moves the `mcpServers` of our own file into its `servers`.
pub(crate) fn join(root: &mut Node, report: &mut Report) {
    let Value::Map(entries) = &mut root.value else { return };
    let Some(position) = entries.iter().position(|entry| entry.key == "mcpServers") else { return };
    let section = entries.remove(position);
    if !entries.iter().any(|entry| entry.key == "servers") {
        let empty = Node { at: section.at, value: Value::Map(Vec::new()) };
        entries.push(Entry { at: section.at, key: "servers".to_owned(), node: empty });
    }
    for entry in entries.iter_mut().filter(|entry| entry.key == "servers") {
        if matches!(entry.node.value, Value::Null) {
            entry.node.value = Value::Map(Vec::new());
        }
        // `servers` of another shape is refused by the schema, which then says enough.
        if let Value::Map(servers) = &mut entry.node.value {
            take_section(section.node.clone(), "mcpServers", section.at, servers, report);
        }
    }
}

/// A whole client file as a file of ours that holds nothing but `servers`.
pub(crate) fn adopt(root: Node, report: &mut Report) -> Node {
    let at = root.at;
    let mut servers = Vec::new();
    let mut found = false;
    let mut rest = root;
    for section in SECTIONS {
        // OpenCode's `mcp` holds servers, VS Code's holds `servers` and more.
        if found && *section == ["mcp"] {
            continue;
        }
        let Some(entry) = remove(&mut rest, section) else { continue };
        found = true;
        take_section(entry.node, &section.join("."), entry.at, &mut servers, report);
    }
    if !found {
        let names: Vec<_> = SECTIONS.iter().map(|section| format!("`{}`", section.join("."))).collect();
        let message = format!("no servers found; expected one of {}", names.join(", "));
        report.error(at, &Path::default(), message, None);
    }
    let servers = Entry { at, key: "servers".to_owned(), node: Node { at, value: Value::Map(servers) } };
    Node { at, value: Value::Map(vec![servers]) }
}

fn remove(node: &mut Node, keys: &[&str]) -> Option<Entry> {
    let Value::Map(entries) = &mut node.value else { return None };
    let (first, rest) = keys.split_first()?;
    let position = entries.iter().position(|entry| entry.key == *first)?;
    if rest.is_empty() { Some(entries.remove(position)) } else { remove(&mut entries[position].node, rest) }
}

fn take_section(node: Node, section: &str, at: Mark, servers: &mut Vec<Entry>, report: &mut Report) {
    let path = Path::top(section);
    let named = match node.value {
        Value::Null => return,
        Value::Map(entries) => entries,
        // Continue writes a list of entries with a `name`.
        Value::List(items) => {
            let named = items.into_iter().enumerate().filter_map(|(index, item)| {
                let Some(name) = item.child("name").and_then(|entry| entry.node.as_text()) else {
                    report.error(item.at, &path.index(index), "expected a mapping with a `name`", None);
                    return None;
                };
                Some(Entry { at: item.at, key: name.to_owned(), node: item })
            });
            named.collect()
        }
        Value::Scalar(_) => {
            report.error(at, &path, "expected a mapping from names to servers", None);
            return;
        }
    };
    for Entry { at, key: name, node } in named {
        let id = slug::derive(&name, |id| servers.iter().any(|server| server.key == id)).to_string();
        report.renamed(&id, section, &name);
        let path = Path::top("servers").key(&id);
        if id != name {
            let message = match ServerId::parse(&name) {
                Ok(_) => format!("another server has this name; this one is called `{id}`"),
                Err(_) => format!("the name is no id here; the server is called `{id}`"),
            };
            report.warn(at, &path, message);
        }
        let node = entry::translate(node, &path, report);
        servers.push(Entry { at, key: id, node });
    }
}
