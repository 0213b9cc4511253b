//! What a toolset takes of a server's list, under its own names and with its own texts.
//!
//! The list that comes out is like any other, so that what shows, searches and resolves lists need not know toolsets; only
//! its items stand elsewhere in the list that they are from, which is what pins, policies and calls are about. A tool whose
//! arguments cannot be decided as the operator wants is left out: without them it would be another tool.

use std::sync::Arc;

use portcullis_config::Pick;
use portcullis_mcp::json::{Change, Kind, Raw};
use portcullis_mcp::mirror::Mirror;
use portcullis_model::ErrorKind;

use super::connecting;
use super::listing::{Item, ListKind, Listing};
use super::toolset::Toolset;
use crate::call::Refusal;
use crate::inspect;
use crate::upstream::Server;

/// What a schema says of arguments together: one of them cannot be taken out of that.
const TIES: [&str; 10] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
];

/// The arguments of a tool that its toolset decides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fixed {
    /// They are in every call.
    given: Vec<(String, Raw)>,
    /// They are in none.
    absent: Vec<String>,
}

impl Fixed {
    /// The arguments of a call as they are sent, and why it is not sent if the client has given what is not its to give.
    pub(crate) fn apply(&self, arguments: Option<Raw>) -> (Raw, Option<Refusal>) {
        let refuse = |why: String| Some(Refusal::new(ErrorKind::InvalidParams, why));
        let arguments = arguments.unwrap_or_else(|| Raw::from_static("{}"));
        if arguments.kind() != Kind::Object {
            return (arguments, refuse("`arguments` must be an object".to_owned()));
        }
        let mut names = self.given.iter().map(|(name, _)| name).chain(&self.absent);
        let meddled = names.find(|name| arguments.find(name).is_some());
        let why = meddled.map(|name| {
            format!("`{name:.128}` is no argument here: this toolset decides it; make the call without it")
        });
        let given = self.given.iter().map(|(name, value)| (name.as_str(), Change::Set(value.as_bytes())));
        let absent = self.absent.iter().map(|name| (name.as_str(), Change::Remove));
        let changes: Vec<_> = given.chain(absent).collect();
        (arguments.with(&changes), why.and_then(refuse))
    }
}

/// What the toolset takes of `base`.
pub(super) fn select(base: &Listing, toolset: &Toolset, server: &Server) -> Listing {
    let mut taken = Vec::new();
    for (index, item) in base.items.iter().enumerate() {
        // Without it nobody would get to the others.
        if connecting::is_tool(server, base.kind, &item.key) {
            taken.push((index, item.again()));
            continue;
        }
        match base.kind {
            ListKind::Tools | ListKind::Prompts => {
                let picks = fitting(toolset.picks(base.kind), base.server.as_str(), &item.key);
                let picked = picks.into_iter().filter_map(|pick| pick_of(base, item, pick, toolset));
                taken.extend(picked.map(|item| (index, item)));
            }
            ListKind::Resources | ListKind::Templates => {
                let is_picked = toolset.takes_uri(base.server.as_str(), &item.key);
                taken.extend(is_picked.then(|| (index, item.again())));
            }
        }
    }
    let named = toolset.picks(base.kind).iter().filter(|pick| pick.from.is_one());
    for pick in named.filter(|pick| pick.from.server == base.server.as_str()) {
        if base.find(&pick.from.name).is_none() {
            let (toolset, from) = (toolset.id(), pick.from.to_string());
            tracing::warn!(toolset.id = %toolset, from, "a toolset names what its server does not list");
        }
    }
    base.subset(server.env().number(), taken)
}

/// The entries for one thing: those that name it, else the first with `*` that fits.
fn fitting<'a>(picks: &'a [Pick], server: &str, name: &str) -> Vec<&'a Pick> {
    let fits = |pick: &&Pick| pick.from.takes(server, name);
    let named: Vec<_> = picks.iter().filter(|pick| pick.from.is_one()).filter(fits).collect();
    if named.is_empty() { picks.iter().find(fits).into_iter().collect() } else { named }
}

fn pick_of(base: &Listing, item: &Item, pick: &Pick, toolset: &Toolset) -> Option<Item> {
    let mut own = item.again();
    if !pick.preset.is_empty() || !pick.hide.is_empty() {
        match fix(&item.raw, pick) {
            Ok((raw, fixed)) => {
                let mirror = raw.find("inputSchema").and_then(|schema| Mirror::from_schema(&schema).ok());
                own.mirror = mirror.filter(|mirror| !mirror.is_empty());
                own.fixed = Some(Arc::new(fixed));
                own.raw = raw;
            }
            Err(why) => {
                let (toolset, server) = (toolset.id(), &base.server);
                // What a pattern takes is what fits; of a tool that is named somebody expects that it does.
                if pick.from.is_one() {
                    tracing::warn!(toolset.id = %toolset, server.id = %server, tool.name = item.key, why, "left out of a toolset");
                } else {
                    tracing::debug!(toolset.id = %toolset, server.id = %server, tool.name = item.key, why, "left out of a toolset");
                }
                return None;
            }
        }
    }
    let texts = [("title", &pick.title), ("description", &pick.description)];
    let texts: Vec<_> =
        texts.into_iter().filter_map(|(key, text)| Some((key, Raw::from_text(text.as_ref()?)))).collect();
    let changes: Vec<_> = texts.iter().map(|(key, text)| (*key, Change::Set(text.as_bytes()))).collect();
    if !changes.is_empty() {
        own.raw = own.raw.with(&changes);
    }
    if let Some(name) = &pick.name {
        own.exposed.clone_from(name);
        own.renamed = true;
    }
    Some(own)
}

/// A tool's definition without what is decided for its callers.
///
/// # Errors
/// Why that cannot be.
fn fix(tool: &Raw, pick: &Pick) -> Result<(Raw, Fixed), String> {
    let schema = tool.find("inputSchema").ok_or("it has no schema")?;
    let properties = schema.find("properties").ok_or("its schema names no arguments")?;
    let required: Vec<String> = schema
        .find("required")
        .map(|names| names.elements().filter_map(|name| Some(name.string()?.into_owned())).collect())
        .unwrap_or_default();
    let mut fixed = Fixed::default();
    for name in pick.preset.keys().chain(&pick.hide) {
        let property = properties.find(name).ok_or_else(|| format!("its schema has no argument `{name}`"))?;
        if let Some(tie) = TIES.iter().find(|tie| schema.find(tie).is_some_and(|raw| names(&raw, name))) {
            return Err(format!("its schema ties `{name}` to others (`{tie}`)"));
        }
        if let Some(value) = pick.preset.get(name) {
            fixed.given.push((name.clone(), Raw::trusted(value.clone())));
        } else if required.contains(name) {
            let default = property.find("default");
            let default = default.ok_or_else(|| format!("`{name}` is required and has no default"))?;
            fixed.given.push((name.clone(), default));
        } else {
            fixed.absent.push(name.clone());
        }
    }
    let given: Vec<_> =
        fixed.given.iter().map(|(name, value)| (name.as_str(), Change::Set(value.as_bytes()))).collect();
    // Held against what the schema says of each, for the others are not there yet.
    let apart: Vec<_> =
        TIES.iter().chain(&["required", "minProperties"]).map(|key| (*key, Change::Remove)).collect();
    if !inspect::fits(&schema.with(&apart), &Raw::from_static("{}").with(&given)) {
        return Err("what is preset does not fit its schema".to_owned());
    }
    let is_fixed = |name: &str| pick.preset.contains_key(name) || pick.hide.contains(name);
    let gone: Vec<_> =
        pick.preset.keys().chain(&pick.hide).map(|name| (name.as_str(), Change::Remove)).collect();
    let properties = properties.with(&gone);
    let mut changes = vec![("properties", Change::Set(properties.as_bytes()))];
    let left = schema.find("required").map(|names| {
        names.map_elements(|name| {
            let gone = name.string().is_some_and(|name| is_fixed(&name));
            (!gone).then_some(name)
        })
    });
    changes.extend(left.iter().map(|left| {
        let empty = left.elements().next().is_none();
        ("required", if empty { Change::Remove } else { Change::Set(left.as_bytes()) })
    }));
    let schema = schema.with(&changes);
    Ok((tool.with(&[("inputSchema", Change::Set(schema.as_bytes()))]), fixed))
}

/// Whether a text of JSON has a string of this name in it.
fn names(raw: &Raw, name: &str) -> bool {
    raw.as_str().contains(Raw::from_text(name).as_str())
}

#[cfg(test)]
mod tests;
