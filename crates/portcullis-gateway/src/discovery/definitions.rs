//! The definitions of the gateway's own tools, as lists have them. They are the same in both eras.

use std::sync::LazyLock;

use serde_json::{Value, json};

pub(super) const SEARCH: &str = "hub__search";
pub(super) const DESCRIBE: &str = "hub__describe";
pub(super) const CALL: &str = "hub__call";

/// How many tools one search finds at most.
pub(super) const MOST_FOUND: usize = 50;
/// How many definitions are given at once.
pub(super) const MOST_DESCRIBED: usize = 20;
/// How long a question may be.
pub(super) const QUERY_CHARS: usize = 1_000;

/// The tools, as JSON with commas between.
pub(crate) fn tools() -> &'static [u8] {
    static TOOLS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let tools = [search(), describe(), call()].map(|tool| tool.to_string());
        tools.join(",").into_bytes()
    });
    &TOOLS
}

fn search() -> Value {
    let tool = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "server": { "type": "string" },
            "title": { "type": "string" },
            "description": { "type": "string" },
            "arguments": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["name", "server", "arguments"],
    });
    json!({
        "name": SEARCH,
        "title": "Search tools",
        "description": format!(
            "Finds tools among those of all servers here, by what they do. Say in a few words what you need, such as \
             \"create a calendar event\"; search again for each step of a task. Then `{DESCRIBE}` gives the schemas of the \
             tools that fit, and `{CALL}` calls them."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": { "type": "string", "maxLength": QUERY_CHARS, "description": "What the tool should do." },
                "limit": {
                    "type": "integer", "minimum": 1, "maximum": MOST_FOUND,
                    "description": format!("How many tools to find; {} when not given.", super::FOUND),
                },
            },
            "required": ["query"],
        },
        "outputSchema": {
            "type": "object",
            "properties": { "tools": { "type": "array", "items": tool }, "hint": { "type": "string" } },
            "required": ["tools", "hint"],
        },
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    })
}

fn describe() -> Value {
    json!({
        "name": DESCRIBE,
        "title": "Describe tools",
        "description": format!("Gives the whole definitions of tools that `{SEARCH}` found, with the schemas of their arguments."),
        "inputSchema": {
            "type": "object",
            "properties": { "names": {
                "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": MOST_DESCRIBED,
                "description": "The names of the tools.",
            } },
            "required": ["names"],
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "tools": { "type": "array", "items": { "type": "object" } },
                "unknown": { "type": "array", "items": { "type": "string" } },
            },
            "required": ["tools", "unknown"],
        },
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    })
}

fn call() -> Value {
    json!({
        "name": CALL,
        "title": "Call a tool",
        "description": format!("Calls a tool that `{SEARCH}` found. The result is the tool's own."),
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": { "type": "string", "description": "The name of the tool." },
                "arguments": { "type": "object", "description": "Its arguments, as its schema has them." },
            },
            "required": ["name"],
        },
    })
}
