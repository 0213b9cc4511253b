//! What is decided for the callers of a tool.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_config::Source;
use serde_json::{Value, json};

use super::*;

fn pick(preset: &[(&str, Value)], hide: &[&str]) -> Pick {
    let preset: BTreeMap<_, _> =
        preset.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    let hide: BTreeSet<_> = hide.iter().map(|name| (*name).to_owned()).collect();
    let from = Source::parse("crm/find").unwrap();
    Pick { from, name: None, title: None, description: None, preset, hide }
}

fn tool(schema: &Value) -> Raw {
    Raw::from_value(&json!({"name": "find", "inputSchema": schema, "outputSchema": {"type": "object"}}))
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "region": {"type": "string", "enum": ["eu", "us"], "x-mcp-header": "Region"},
            "debug": {"type": "boolean"},
            "page": {"$ref": "#/$defs/page", "default": 7},
            "q": {"type": "string"},
        },
        "required": ["region", "q", "page"],
        "$defs": {"page": {"type": "integer"}},
    })
}

#[test]
fn what_is_decided_is_in_every_call_and_in_no_schema() {
    let (raw, fixed) = fix(&tool(&schema()), &pick(&[("region", json!("eu"))], &["debug", "page"])).unwrap();
    let shown: Value = serde_json::from_str(raw.as_str()).unwrap();
    assert_eq!(shown["inputSchema"]["properties"], json!({"q": {"type": "string"}}));
    assert_eq!(shown["inputSchema"]["required"], json!(["q"]));
    assert_eq!(shown["outputSchema"], json!({"type": "object"}));
    let apply = |arguments: Option<&'static str>| {
        let (sent, refusal) = fixed.apply(arguments.map(Raw::from_static));
        (serde_json::from_str::<Value>(sent.as_str()).unwrap(), refusal.map(|refusal| refusal.message))
    };
    let sent = json!({"q": "x", "region": "eu", "page": 7});
    assert_eq!(apply(Some(r#"{"q":"x"}"#)), (sent.clone(), None));
    assert_eq!(apply(None), (json!({"region": "eu", "page": 7}), None));
    // What a client sends all the same does not count, however it is spelt.
    for meddled in [
        r#"{"q":"x","region":"us"}"#,
        r#"{"q":"x","debug":true}"#,
        r#"{"q":"x","\u0072egion":"us"}"#,
        r#"{"q":"x","page":1}"#,
    ] {
        let (given, why) = apply(Some(meddled));
        assert_eq!(given, sent, "{meddled}");
        assert!(why.is_some_and(|why| why.contains("this toolset decides it")), "{meddled}");
    }
    let (_, refusal) = fixed.apply(Some(Raw::from_static("[1]")));
    assert!(refusal.unwrap().message.contains("must be an object"));
}

#[test]
fn nothing_is_left_of_required_when_all_of_it_is_decided() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    let (raw, _) = fix(&tool(&schema), &pick(&[("a", json!(1))], &[])).unwrap();
    let shown: Value = serde_json::from_str(raw.as_str()).unwrap();
    assert_eq!(shown["inputSchema"], json!({"type": "object", "properties": {}}));
}

#[test]
fn what_cannot_be_decided_leaves_the_tool_out() {
    let tied = |keyword: &str, tie: Value| {
        let mut schema = schema();
        schema[keyword] = tie;
        schema
    };
    for (schema, pick, why) in [
        (schema(), pick(&[("none", json!(1))], &[]), "no argument `none`"),
        (schema(), pick(&[], &["none"]), "no argument `none`"),
        (schema(), pick(&[], &["q"]), "`q` is required and has no default"),
        (schema(), pick(&[("region", json!("mars"))], &[]), "does not fit"),
        (schema(), pick(&[("page", json!("one"))], &[]), "does not fit"),
        (json!({"type": "object"}), pick(&[], &["q"]), "names no arguments"),
        (
            tied("anyOf", json!([{"required": ["debug"]}, {"required": ["q"]}])),
            pick(&[], &["debug"]),
            "`anyOf`",
        ),
        (tied("dependentRequired", json!({"debug": ["q"]})), pick(&[], &["debug"]), "`dependentRequired`"),
    ] {
        let left_out = fix(&tool(&schema), &pick).unwrap_err();
        assert!(left_out.contains(why), "{left_out}");
    }
    // What is tied among others is nothing of it.
    assert!(fix(&tool(&tied("anyOf", json!([{"required": ["q"]}]))), &pick(&[], &["debug"])).is_ok());
}

#[test]
fn an_entry_that_names_a_tool_comes_before_patterns_and_there_may_be_several() {
    let named = |from: &str, name: Option<&str>| Pick {
        from: Source::parse(from).unwrap(),
        name: name.map(str::to_owned),
        ..pick(&[], &[])
    };
    let picks = [
        named("crm/*", None),
        named("crm/find", Some("find_eu")),
        named("crm/f*", None),
        named("crm/find", Some("find_us")),
    ];
    let found = |name: &str| {
        fitting(&picks, "crm", name).into_iter().map(|pick| pick.name.as_deref()).collect::<Vec<_>>()
    };
    assert_eq!(found("find"), [Some("find_eu"), Some("find_us")]);
    assert_eq!(found("free"), [None]);
    assert!(fitting(&picks, "ledger", "find").is_empty());
}
