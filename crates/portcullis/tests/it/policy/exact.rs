//! What policies decide on exactly: URIs that can be read as others, what a skill or a completion is of, and what the time of
//! an answer tells.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Setting, something};
use crate::harness::{Gateway, Legacy, Modern};

#[tokio::test]
async fn a_uri_that_can_be_read_as_another_is_nobodys() {
    let policies = r#"permit (principal, action, resource) when { resource is Resource && resource.uri like "file:///data/*" };
        permit (principal, action, resource is Server);"#;
    let setting = Setting::new(true, policies, json!({})).await;
    let (client, gateway) = (Modern::at("/mcp/s/open"), &setting.gateway);
    let session = Legacy::open_at(gateway, "/mcp/s/open", "2025-11-25").await;
    client.result(gateway, "resources/read", json!({"uri": "file:///data/a%20b"})).await;
    session.result(gateway, "resources/read", json!({"uri": "file:///data/a"})).await;
    let read = setting.open.count("resources/read");
    for uri in [
        "file:///data/../etc/passwd",
        "file:///data/%2e%2e/etc/passwd",
        "file:///data/..%2fetc/passwd",
        "file:///data/%252e%252e/etc/passwd",
        "file:///data/x/..",
    ] {
        let answer = client.request(gateway, "resources/read", json!({"uri": uri})).await;
        assert_eq!(answer.json()["error"]["data"]["uri"], uri, "{uri}");
        let answer = session.request(gateway, "resources/read", json!({"uri": uri})).await;
        assert!(answer.json()["error"].is_object(), "{uri}");
        let reference =
            json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "a", "value": ""}});
        let answer = client.request(gateway, "completion/complete", reference).await;
        assert!(answer.json()["error"].is_object(), "{uri}");
    }
    assert_eq!(setting.open.count("resources/read"), read);
    assert_eq!(setting.open.count("completion/complete"), 0);
}

/// A template is what the server lists as one. A URI with a brace in it is a URI, and its own policies decide.
#[tokio::test]
async fn what_only_looks_like_a_template_is_a_resource() {
    let policies = r#"permit (principal, action, resource);
        forbid (principal, action, resource) when { resource is Resource && resource.uri like "db://{secret*" };"#;
    for own in [true, false] {
        let setting = Setting::new(true, policies, json!({})).await;
        let client = Modern::at(if own { "/mcp/s/open" } else { "/mcp" });
        let complete = async |uri: &str| {
            let uri = if own { uri.to_owned() } else { format!("mcp+open+{uri}") };
            let params = json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "name", "value": "v"}});
            client.request(&setting.gateway, "completion/complete", params).await.json()
        };
        assert!(complete("db://{name}").await["result"].is_object(), "the server's template ({own})");
        assert_eq!(setting.open.count("completion/complete"), 1);
        assert!(complete("db://{secret}").await["error"].is_object(), "{own}");
        assert_eq!(setting.open.count("completion/complete"), 1);
    }
}

#[tokio::test]
async fn skills_and_folders_are_held_to_the_uri_that_they_are_of() {
    for modern in [true, false] {
        let mut fake = something(modern);
        fake.capabilities["extensions"] = json!({"io.modelcontextprotocol/skills": {"directoryRead": true}});
        for method in ["skills/get", "resources/directory/read", "skills/list"] {
            fake =
                fake.on(method, |_, answer| answer.result(json!({"done": true, "resultType": "complete"})));
        }
        let server = fake.start().await;
        let folder = tempfile::tempdir().unwrap();
        super::write(
            folder.path(),
            r#"permit (principal, action, resource);
               forbid (principal, action, resource) when { resource is Resource && resource.uri like "skill://secret/*" };"#,
        );
        let config = json!({"servers": {"x": server.config()}, "policy": {"files": ["policies"]}});
        let gateway = Gateway::start_in(folder, &config, &[]);
        let client = Modern::at("/mcp/s/x");
        let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
        for method in ["skills/get", "resources/directory/read"] {
            let ask = async |params: Value| {
                let answers = [
                    client.request(&gateway, method, params.clone()).await.json(),
                    session.request(&gateway, method, params).await.json(),
                ];
                answers.map(|answer| answer["result"]["done"] == true || answer["result"].is_object())
            };
            assert_eq!(ask(json!({"uri": "skill://open/SKILL.md"})).await, [true, true], "{method}");
            let asked = server.count(method);
            for params in [
                json!({"uri": "skill://secret/SKILL.md"}),
                json!({"uri": "skill://open/../secret/SKILL.md"}),
                json!({"name": "secret"}),
                json!({}),
            ] {
                assert_eq!(ask(params.clone()).await, [false, false], "{method} {params}");
            }
            assert_eq!(server.count(method), asked, "{method}: no server is asked for what is denied");
        }
    }
}

/// How long it takes to say no would tell a name that is denied from one that is not there: for the one, the server used to be
/// asked again, and for the other not.
#[tokio::test]
async fn a_name_that_is_denied_costs_what_one_costs_that_is_not_there() {
    let policies = r#"permit (principal, action, resource);
        forbid (principal, action, resource == Tool::"open/change"); forbid (principal, action, resource == Prompt::"open/ask");"#;
    for own in [true, false] {
        // A server that says nothing of how long its lists are good for, and lists that are not for long.
        let server = something(false).start().await;
        let folder = tempfile::tempdir().unwrap();
        super::write(folder.path(), policies);
        let mut open = server.config();
        open["list_ttl"] = json!("100ms");
        let config = json!({"servers": {"open": open}, "policy": {"files": ["policies"]}});
        let gateway = Gateway::start_in(folder, &config, &[]);
        let (client, gateway) = (Modern::at(if own { "/mcp/s/open" } else { "/mcp" }), &gateway);
        let name = |name: &str| if own { name.to_owned() } else { format!("open__{name}") };
        for (method, list, denied, absent) in [
            ("tools/call", "tools/list", "change", "nothing"),
            ("prompts/get", "prompts/list", "ask", "none"),
        ] {
            let mut fetches = Vec::new();
            for guess in [denied, absent, denied, absent] {
                client.result(gateway, list, json!({})).await;
                // A list that was fetched a moment ago is not fetched again for anybody.
                tokio::time::sleep(Duration::from_millis(1100)).await;
                let before = server.count(list);
                client.request(gateway, method, json!({"name": name(guess)})).await;
                fetches.push(server.count(list) - before);
            }
            assert_eq!(fetches, [1; 4], "{method} ({own})");
        }
    }
}
