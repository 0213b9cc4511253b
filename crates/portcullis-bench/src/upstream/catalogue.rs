//! The tools that every bench server offers, rendered once.
//!
//! Sizes follow real servers (a sentence of description, two documented arguments), because the cost of an
//! aggregate list is mostly the cost of its bytes.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;

use super::asking::TOOL;

/// The tool that does not say that it only reads.
pub(crate) const CHANGES: &str = "tool_02";

/// A list of tools as the wire shows it, shared by all servers of one process.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    /// The JSON array that is the value of `tools`.
    rendered: Arc<str>,
    names: Arc<HashSet<String>>,
}

impl Catalogue {
    /// `count` tools named `tool_01`, `tool_02` …, and with `asks` the one that asks.
    pub(crate) fn new(count: usize, asks: bool) -> Self {
        let plain = (1..=count).map(|number| format!("tool_{number:02}"));
        let names: Vec<String> = plain.chain(asks.then(|| TOOL.to_owned())).collect();
        let tools: Vec<_> = names.iter().map(|name| tool(name)).collect();
        Self {
            rendered: serde_json::Value::from(tools).to_string().into(),
            names: Arc::new(names.into_iter().collect()),
        }
    }

    /// The JSON array of all tools.
    pub(crate) fn rendered(&self) -> &str {
        &self.rendered
    }

    /// Whether a tool of that name exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

fn tool(name: &str) -> serde_json::Value {
    json!({
        "name": name,
        "title": format!("Echo {name}"),
        "description": "Returns one kilobyte of text that begins with the serial number and a digest of the arguments.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "serial": { "type": "integer", "description": "Number of the call" },
                "note": { "type": "string", "description": "Text that differs from call to call" },
            },
            "required": ["serial", "note"],
        },
        "annotations": { "readOnlyHint": name != CHANGES },
    })
}
