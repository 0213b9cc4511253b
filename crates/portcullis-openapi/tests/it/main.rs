//! Documents from outside: what becomes of them, and what hostile ones cannot do.

mod answers;
mod corpus;
mod documents;
mod hostile;
mod requests;

use std::collections::BTreeSet;

use portcullis_mcp::json::Raw;
use portcullis_openapi::{Api, Document, Set, Unfit};
use serde_json::Value;

/// What a document comes to.
fn read(text: &str) -> Result<Api, Unfit> {
    read_with(text, &Set::default())
}

fn read_with(text: &str, set: &Set) -> Result<Api, Unfit> {
    Api::read(&Document::parse(text.to_owned().into())?, set)
}

/// A document with these paths.
fn with_paths(paths: &Value) -> String {
    serde_json::json!({ "openapi": "3.1.0", "info": { "title": "T", "version": "1" }, "paths": paths })
        .to_string()
}

/// The tool of an operation.
fn tool(api: &Api, name: &str) -> Value {
    let operation = api.operation(name).unwrap_or_else(|| panic!("{name}: {api:?}"));
    serde_json::from_str(operation.definition().as_str()).expect("JSON")
}

fn names(api: &Api) -> Vec<&str> {
    api.operations.iter().map(portcullis_openapi::Operation::name).collect()
}

fn set(headers: &[&str], query: &[&str]) -> Set {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    Set { headers: all(headers), query: all(query), ..Set::default() }
}

fn arguments(value: &Value) -> Raw {
    Raw::from_value(value)
}
