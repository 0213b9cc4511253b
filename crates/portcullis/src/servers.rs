//! The servers that `portcullis up` is given on its command line, as the configuration file would say them.

use std::path::Path;

use anyhow::Context as _;
use portcullis_config::{Loaded, Overrides, ProcessEnvironment};
use portcullis_openapi::is_document;
use serde_json::{Map, Value, json};

use crate::Usage;
use crate::args::Up;
use crate::config::settle;

/// The settings of `up`: an imported file's servers, then those of the command line.
pub(crate) fn load(up: &Up) -> anyhow::Result<Loaded> {
    let overrides = up.overrides.overrides();
    let mut loaded = match &up.import {
        Some(file) => import(file, &overrides)?,
        None => settle(portcullis_config::defaults(&ProcessEnvironment, &overrides))?,
    };
    if !up.servers.is_empty() {
        let text = json!({"mcpServers": named(&up.servers)?}).to_string();
        let added = portcullis_config::import("command line", &text, &ProcessEnvironment, &overrides);
        for (id, server) in settle(added)?.settings.servers {
            if loaded.settings.servers.insert(id.clone(), server).is_some() {
                return Err(Usage(format!("two servers are named `{id}`; name one of them: NAME=…")).into());
            }
        }
    }
    Ok(loaded)
}

fn import(file: &Path, overrides: &Overrides) -> anyhow::Result<Loaded> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(|error| Usage(format!("{error:#}")))?;
    let name = file.to_string_lossy();
    let mut loaded = settle(portcullis_config::import(&name, &text, &ProcessEnvironment, overrides))?;
    loaded.files.insert(0, file.to_owned());
    Ok(loaded)
}

fn named(servers: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut named = Map::new();
    for server in servers {
        let (name, what) = match server.split_once('=') {
            Some((name, what)) if is_name(name) => (Some(name.to_owned()), what),
            _ => (None, server.as_str()),
        };
        let is_url = what.starts_with("http://") || what.starts_with("https://");
        let entry = if let Some(document) = openapi(what, is_url) {
            json!({"openapi": {"document": document}})
        } else if is_url {
            json!({"url": what})
        } else {
            let mut words = words(what)?.into_iter();
            let command =
                words.next().ok_or_else(|| Usage(format!("`{server}` names no command and no URL")))?;
            json!({"command": command, "args": words.collect::<Vec<_>>()})
        };
        let name = name.unwrap_or_else(|| guess(what));
        if named.insert(name.clone(), entry).is_some() {
            return Err(
                Usage(format!("two servers would be named `{name}`; name one of them: NAME=…")).into()
            );
        }
    }
    Ok(named)
}

/// The OpenAPI document that somebody names: a URL that looks like one's, or a file that is one.
fn openapi(what: &str, is_url: bool) -> Option<String> {
    if is_url {
        return is_document_url(what).then(|| what.to_owned());
    }
    let text = std::fs::read_to_string(what).ok().filter(|text| is_document(text));
    text.and_then(|_| Some(std::path::absolute(what).ok()?.display().to_string()))
}

/// Whether a URL is that of an OpenAPI document, going by its ending.
pub(crate) fn is_document_url(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    [".json", ".yaml", ".yml"].iter().any(|ending| path.ends_with(ending))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A name for a server that was given none: the host of a URL, the last path or package name of a command.
pub(crate) fn guess(what: &str) -> String {
    let is_url = what.starts_with("http");
    let word = if is_url {
        what.split('/').nth(2).unwrap_or_default()
    } else {
        let words: Vec<_> = what.split_whitespace().collect();
        let runner = matches!(words.first(), Some(&("npx" | "uvx" | "node" | "python" | "python3")));
        let mut rest = words.iter().skip(usize::from(runner)).filter(|word| !word.starts_with('-'));
        rest.next().copied().unwrap_or_default()
    };
    let last = if is_url { word } else { word.rsplit('/').next().unwrap_or(word) };
    let last = last.split('@').next().unwrap_or(last);
    let short = last.trim_start_matches("mcp-server-").trim_start_matches("server-");
    if short.is_empty() { "server".to_owned() } else { short.to_owned() }
}

/// Splits a command line at blanks; quotes and backslashes keep blanks together. No shell is ever involved.
pub(crate) fn words(line: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(character) = chars.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (Some('\''), inside) => word.get_or_insert_default().push(inside),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        return Err(Usage(format!("a quote is not closed in `{line}`")).into());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests;
