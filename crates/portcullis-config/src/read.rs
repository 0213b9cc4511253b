//! Text in one of three formats becomes one kind of tree.
//!
//! Duplicate keys are kept by the YAML and JSON readers and refused here, in one place; TOML's own parser
//! refuses them. Depth is bounded, so a hostile text costs no stack.

mod json;
mod toml;
mod yaml;

use std::collections::BTreeMap;

use crate::Format;
use crate::node::{Mark, Node, Path, Value};
use crate::report::Report;

/// Deepest nesting that a configuration may have. Its own keys need eight levels.
const DEPTH: usize = 64;

/// Why a text is not a tree.
#[derive(Debug)]
struct Malformed {
    at: Mark,
    message: String,
}

/// Reads `text`; what is malformed goes to `report`, and the answer is `None` when nothing can be made of it.
pub(crate) fn read(text: &str, format: Format, report: &mut Report) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = match format {
        Format::Yaml => yaml::read(text).map_err(|malformed| vec![malformed]),
        Format::Json => json::read(text).map_err(|malformed| vec![malformed]),
        Format::Toml => toml::read(text),
    };
    let mut root = match tree {
        Ok(root) => root,
        Err(all) => {
            for Malformed { at, message } in all {
                report.error(at, &Path::default(), message, None);
            }
            return None;
        }
    };
    match root.value {
        Value::Null => root.value = Value::Map(Vec::new()),
        Value::Map(_) => {}
        Value::Scalar(_) | Value::List(_) => {
            report.error(
                root.at,
                &Path::default(),
                "expected a mapping of settings, such as `listen: 8080`",
                None,
            );
            return None;
        }
    }
    refuse_duplicates(&mut root, &Path::default(), report);
    Some(root)
}

fn refuse_duplicates(node: &mut Node, path: &Path, report: &mut Report) {
    match &mut node.value {
        Value::Map(entries) => {
            let mut first = BTreeMap::new();
            entries.retain(|entry| {
                if let Some(line) = first.get(&entry.key) {
                    let message = format!("this key is already given on line {line}; keep one of the two");
                    report.error(entry.at, &path.key(&entry.key), message, None);
                    return false;
                }
                first.insert(entry.key.clone(), entry.at.line);
                true
            });
            for entry in entries {
                refuse_duplicates(&mut entry.node, &path.key(&entry.key), report);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                refuse_duplicates(item, &path.index(index), report);
            }
        }
        Value::Null | Value::Scalar(_) => {}
    }
}

/// Turns byte offsets into lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn mark(&self, offset: usize) -> Mark {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        Mark { line, column }
    }
}
