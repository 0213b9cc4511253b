//! Names of what is denied, guessed: the answer is that to a name of nothing, byte for byte.

use serde_json::{Value, json};

use super::{Setting, names};
use crate::harness::{Legacy, Modern};

const POLICIES: &str = r#"
    permit (principal, action, resource);
    forbid (principal, action, resource == Tool::"open/change");
    forbid (principal, action, resource == Prompt::"open/ask");
    forbid (principal, action, resource == Resource::"open/db://b");
    forbid (principal, action, resource in Server::"shut");
"#;

/// What is denied, and what is not there, in the same form; the answers must differ in the name alone.
fn pairs(own: bool) -> Vec<(&'static str, Value, Value, [&'static str; 2])> {
    let mut pairs = vec![];
    let mut both = |method, of: &dyn Fn(&str) -> Value, denied: &'static str, nothing: &'static str| {
        pairs.push((method, of(denied), of(nothing), [denied, nothing]));
    };
    let call = |name: &str| json!({"name": name, "arguments": {"a": 1}});
    let get = |name: &str| json!({"name": name});
    let read = |uri: &str| json!({"uri": uri});
    let prompt = |name: &str| json!({"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": "a", "value": ""}});
    let resource = |uri: &str| json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "a", "value": ""}});
    if own {
        both("tools/call", &call, "change", "nothin");
        both("prompts/get", &get, "ask", "xyz");
        both("completion/complete", &prompt, "ask", "xyz");
    } else {
        both("tools/call", &call, "open__change", "open__nothin");
        both("tools/call", &call, "shut__change", "none__change");
        both("tools/call", &call, "shut__look", "shut__none");
        both("tools/call", &call, "change", "nothin");
        both("tools/call", &call, "open__change__", "open__nothin__");
        both("tools/call", &call, "OPEN__change", "OPEN__nothin");
        both("prompts/get", &get, "open__ask", "open__xyz");
        both("prompts/get", &get, "shut__ask", "none__ask");
        both("completion/complete", &prompt, "open__ask", "open__xyz");
        both("completion/complete", &prompt, "shut__ask", "none__ask");
        both("resources/read", &read, "mcp+shut+db://a", "mcp+none+db://a");
        both("resources/read", &read, "mcp+shut+db://a", "mcp+shut+zz://z");
        both("completion/complete", &resource, "mcp+shut+db://{name}", "mcp+none+db://{name}");
        both("completion/complete", &resource, "mcp+shut+db://a", "mcp+none+db://a");
    }
    pairs
}

#[tokio::test]
async fn a_name_of_what_is_denied_is_a_name_of_nothing() {
    for modern in [true, false] {
        let setting = Setting::new(modern, POLICIES, json!({})).await;
        let gateway = &setting.gateway;
        for own in [false, true] {
            let path = if own { "/mcp/s/open" } else { "/mcp" };
            let client = Modern::at(path);
            let session = Legacy::open_at(gateway, path, "2025-11-25").await;
            // What is permitted goes through, so that it is the policy that stops the rest.
            let look = if own { "look" } else { "open__look" };
            client.call(gateway, look, json!({})).await;
            session.call(gateway, look, json!({})).await;
            let calls = setting.open.count("tools/call");
            for (method, denied, nothing, guessed) in pairs(own) {
                let plain = |answer: crate::harness::http::Response| {
                    let text = guessed.iter().fold(answer.text(), |text, name| text.replace(name, "…"));
                    (answer.status(), text)
                };
                let one = plain(client.request(gateway, method, denied.clone()).await);
                let two = plain(client.request(gateway, method, nothing.clone()).await);
                assert_eq!(one, two, "{method} {denied}");
                assert!(one.1.contains("\"error\""), "{method} {denied}: {one:?}");
                let one = plain(session.request(gateway, method, denied.clone()).await);
                let two = plain(session.request(gateway, method, nothing).await);
                assert_eq!(one, two, "{method} {denied}");
                assert!(one.1.contains("\"error\""), "{method} {denied}: {one:?}");
            }
            assert_eq!(setting.open.count("tools/call"), calls);
        }
        for method in ["tools/call", "prompts/get", "resources/read", "completion/complete"] {
            assert_eq!(setting.shut.count(method), 0, "{method}");
        }
        assert_eq!(setting.open.count("prompts/get") + setting.open.count("completion/complete"), 0);
    }
}

#[tokio::test]
async fn lists_leave_out_what_is_denied_and_are_nobody_elses() {
    for modern in [true, false] {
        let setting = Setting::new(modern, POLICIES, json!({})).await;
        for (path, prefix, uri) in [("/mcp", "open__", "mcp+open+"), ("/mcp/s/open", "", "")] {
            let client = Modern::at(path);
            let session = Legacy::open_at(&setting.gateway, path, "2025-11-25").await;
            for (method, expected) in [
                ("tools/list", vec![format!("{prefix}look")]),
                ("prompts/list", vec![]),
                ("resources/list", vec![format!("{uri}db://a")]),
                ("resources/templates/list", vec![format!("{uri}db://{{name}}")]),
            ] {
                let list = client.result(&setting.gateway, method, json!({})).await;
                assert_eq!(names(&list), expected, "{method} {path}");
                assert_eq!(list["cacheScope"], "private", "{method} {path}");
                let list = session.result(&setting.gateway, method, json!({})).await;
                assert_eq!(names(&list), expected, "{method} {path} in a session");
            }
        }
    }
}

#[tokio::test]
async fn arguments_decide_at_the_call() {
    let text = r#"
        permit (principal, action == Action::"tools/call", resource == Tool::"open/change")
          when { context.args has path && context.args.path like "/data/*" };
    "#;
    let setting = Setting::new(true, text, json!({"arguments": {"path": "string"}})).await;
    let (client, gateway) = (Modern::new(), &setting.gateway);
    let list = client.result(gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["open__change"]);
    client.call(gateway, "open__change", json!({"path": "/data/a"})).await;
    let unknown =
        client.request(gateway, "tools/call", json!({"name": "open__nothin", "arguments": {}})).await;
    for denied in [json!({"path": "/etc/a"}), json!({}), json!({"path": ["/data/a"]}), json!({"path": null})]
    {
        let params = json!({"name": "open__change", "arguments": denied});
        let answer = client.request(gateway, "tools/call", params).await;
        assert_eq!(answer.text().replace("change", "nothin"), unknown.text(), "{denied}");
    }
    // Two readers of a key that is there twice would see two calls.
    let mut body = client.body("tools/call", json!({"name": "open__change", "arguments": {"path": "PATH"}}));
    body["id"] = json!(1);
    let text = body.to_string().replace(r#""path":"PATH""#, r#""path":"/data/a","path":"/etc/a""#);
    let headers = Modern::headers(&body);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = gateway.send("POST", "/mcp", &headers, text.as_bytes()).await;
    assert_eq!((answer.status(), answer.error_code()), (400, -32700));
    assert_eq!(setting.open.count("tools/call"), 1);
}
