//! A property: what no step changes is passed on byte for byte.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::harness::{Fake, Gateway, Legacy, Modern};

/// Arbitrary JSON text, in the ways that a writer may write it: numbers of any form, escapes, blanks, any key order.
fn json_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("0".to_owned()),
        Just("-0".to_owned()),
        Just("1.0".to_owned()),
        Just("1e300".to_owned()),
        Just("0.10".to_owned()),
        Just("9007199254740993".to_owned()),
        "-?[1-9][0-9]{0,30}",
        "[1-9]\\.[0-9]{1,25}[eE][+-]?[0-9]{1,2}",
    ];
    let string =
        prop_oneof!["[ a-zA-Zäöü€💥/]{0,12}", Just("\\u00e9\\n\\/\\\"\\ud83d\\ude00\\u0000".to_owned())];
    let string = string.prop_map(|inside| format!("\"{inside}\"")).boxed();
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        string
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let blank = prop_oneof![3 => Just(""), 1 => Just(" "), 1 => Just("\n\t")];
        let array = (prop::collection::vec(inner.clone(), 0..5), blank.clone())
            .prop_map(|(items, blank)| format!("[{blank}{}{blank}]", items.join(&format!("{blank},"))));
        array.boxed().prop_union(object(inner, blank.boxed()).boxed())
    })
}

fn object(
    value: impl Strategy<Value = String>,
    blank: BoxedStrategy<&'static str>,
) -> impl Strategy<Value = String> {
    let members = prop::collection::vec(("[zyxa-eÄ_.$-]{1,6}", value), 0..5);
    (members, blank).prop_map(|(members, blank)| {
        let mut seen = HashSet::new();
        let members: Vec<String> = members
            .into_iter()
            .filter(|(key, _)| seen.insert(key.clone()))
            .map(|(key, value)| format!("\"{key}\"{blank}:{blank}{value}"))
            .collect();
        format!("{{{blank}{}{blank}}}", members.join(","))
    })
}

#[test]
fn what_no_step_changes_is_passed_on_byte_for_byte() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = Arc::new(Mutex::new(String::new()));
    let server = |fake: Fake| {
        let result = result.clone();
        fake.on("tools/call", move |seen, answer| {
            let body = format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{}}}",
                seen.rpc["id"],
                result.lock().unwrap()
            );
            async move { answer.send(200, &[("content-type", "application/json")], body.as_bytes()).await }
        })
        .start()
    };
    let (old, new) = runtime.block_on(async { (server(Fake::legacy()).await, server(Fake::modern()).await) });
    let gateway = Gateway::start(&json!({"servers": {"old": old.config(), "new": new.config()}}));
    let session = runtime.block_on(Legacy::open_at(&gateway, "/mcp/s/old", "2025-11-25"));
    let client = Modern::at("/mcp/s/new");
    let blank = Just("").boxed();
    let case = (object(json_text(), blank.clone()), json_text(), json_text(), object(json_text(), blank));
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&case, |(arguments, unknown, content, structured)| {
            runtime.block_on(async {
                let params = format!("\"arguments\":{arguments},\"name\":\"echo\",\"x-unknown\":{unknown}");
                let answer = format!("\"zz\":{content},\"structuredContent\":{structured},\"content\":[],\"aa\":1.50");

                *result.lock().unwrap() = format!("{{{answer}}}");
                let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{{params}}}}}");
                let got = gateway.send("POST", "/mcp/s/old", &session.headers(), message.as_bytes()).await;
                let sent = old.seen().pop().unwrap().body;
                let sent = String::from_utf8(sent).unwrap();
                prop_assert!(sent.ends_with(&format!("\"params\":{{{params}}}}}")), "{sent}");
                prop_assert_eq!(got.text(), format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{{answer}}}}}"));

                let meta = client.meta.to_string();
                *result.lock().unwrap() = format!("{{\"resultType\":\"complete\",{answer},\"_meta\":{{\"com.example/k\":{unknown}}}}}");
                let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{{params},\"_meta\":{meta}}}}}");
                let headers = Modern::headers(&client.body("tools/call", json!({"name": "echo"})));
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let got = gateway.send("POST", "/mcp/s/new", &headers, message.as_bytes()).await;
                let sent = new.seen().into_iter().rfind(|seen| seen.method() == "tools/call").unwrap();
                let sent = String::from_utf8(sent.body).unwrap();
                prop_assert!(sent.contains(&format!("\"params\":{{{params},\"_meta\":{{")), "{sent}");
                let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"resultType\":\"complete\",{answer},\"_meta\":{{");
                prop_assert!(got.text().starts_with(&start), "{}", got.text());
                prop_assert!(got.text().contains(&format!("\"com.example/k\":{unknown}")), "{}", got.text());
                Ok(())
            })
        })
        .unwrap();
}
