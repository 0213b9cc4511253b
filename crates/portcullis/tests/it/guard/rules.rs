//! Which rule decides: by entity, field, server, tool, direction and caller, with exceptions; and what callers are told.

use serde_json::{Value, json};

use super::{MARK, guarded, is_clean, planted, secret};
use crate::harness::fake::tool;
use crate::harness::idp::Idp;
use crate::harness::{Fake, Gateway, Modern, Upstream};

/// `say` says the secret; `keep` takes whatever it is given.
async fn saying() -> Upstream {
    Fake::modern()
        .tools(vec![tool("say"), tool("keep"), tool("people")])
        .on("tools/call", |seen, answer| async move {
            let params = &seen.rpc["params"];
            let result = match params["name"].as_str() {
                Some("people") => {
                    let people = json!({"people": [
                        {"id": 7, "mail": "ada@lovelace.org", "note": "met in May"},
                        {"id": 8, "mail": "", "note": "no mail"},
                    ], "more": false});
                    json!({"content": [{"type": "text", "text": people.to_string()}], "structuredContent": people})
                }
                _ => json!({"content": [{"type": "text", "text": planted()}]}),
            };
            let mut result = result;
            result["resultType"] = json!("complete");
            answer.result(result).await;
        })
        .start()
        .await
}

fn client() -> Modern {
    Modern::at("/mcp/s/x")
}

/// What a call was refused with: a tool error, so that the model reads it.
#[track_caller]
fn refused(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    crate::harness::client::text_of(&answer["result"])
}

async fn said(gateway: &Gateway, tool: &str, arguments: Value) -> Value {
    client().request(gateway, "tools/call", json!({"name": tool, "arguments": arguments})).await.json()
}

#[tokio::test]
async fn a_blocked_result_names_the_rule_and_not_the_value() {
    let server = saying().await;
    let rules = json!([
        {"name": "keys stay", "entities": ["credentials"], "direction": "to-client", "tools": ["x/say"], "action": "block"},
    ]);
    let gateway = guarded(&server.config(), &json!({"rules": rules}));
    let answer = said(&gateway, "say", json!({})).await;
    let message = refused(&answer);
    assert!(message.contains("rule `keys stay`") && message.contains("1 × SECRET"), "{message}");
    assert!(!answer.to_string().contains(&secret()) && !message.contains(MARK), "{message}");
    // The rule is about one tool; elsewhere the profile decides.
    let other = said(&gateway, "keep", json!({})).await;
    is_clean(&other.to_string(), "another tool");
    assert_eq!(other["result"]["_meta"]["io.portcullis/guard"], json!({"SECRET": {"redact": 1}}));
}

#[tokio::test]
async fn arguments_with_credentials_are_not_sent_unless_a_rule_says_so() {
    let server = saying().await;
    let rules = json!([
        {"name": "keeper", "entities": ["credentials"], "direction": "to-server", "tools": ["x/keep"], "action": "allow"},
    ]);
    let gateway = guarded(&server.config(), &json!({"rules": rules}));
    let answer = said(&gateway, "say", json!({"text": planted()})).await;
    assert!(refused(&answer).contains("profile `baseline`"), "{answer}");
    assert!(!answer.to_string().contains(&secret()));
    assert_eq!(server.count("tools/call"), 0);
    said(&gateway, "keep", json!({"text": planted()})).await;
    assert_eq!(server.nth("tools/call", 1).await.rpc["params"]["arguments"]["text"], planted());
}

#[tokio::test]
async fn the_first_rule_that_says_something_decides_and_exceptions_do_not_hold() {
    let server = saying().await;
    let rules = json!([
        {"name": "first", "entities": ["SECRET"], "unless": {"tools": ["x/k*"]}, "direction": "to-client", "action": "mask"},
        {"name": "second", "entities": ["all"], "direction": "to-client", "action": "block"},
    ]);
    let gateway = guarded(&server.config(), &json!({"profile": "none", "rules": rules}));
    let masked = said(&gateway, "say", json!({})).await;
    assert!(masked["result"]["content"][0]["text"].as_str().unwrap().contains("***"), "{masked}");
    let blocked = said(&gateway, "keep", json!({})).await;
    assert!(refused(&blocked).contains("rule `second`"), "{blocked}");
}

#[tokio::test]
async fn only_named_columns_pass_and_the_text_copy_says_the_same() {
    let server = saying().await;
    let rules =
        json!([{"name": "columns", "tools": ["x/people"], "only": ["$.people[*].id", "$.people[*].note"]}]);
    let gateway = guarded(&server.config(), &json!({"rules": rules}));
    let answer = said(&gateway, "people", json!({})).await;
    let result = &answer["result"];
    let expected = json!({"people": [{"id": 7, "note": "met in May"}, {"id": 8, "note": "no mail"}]});
    assert_eq!(result["structuredContent"], expected, "{answer}");
    let copy: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(copy, expected);
    assert!(!answer.to_string().contains("lovelace"), "{answer}");
}

#[tokio::test]
async fn a_field_is_changed_wherever_its_data_is_repeated() {
    let server = saying().await;
    let rules = json!([
        {"name": "mail", "tools": ["x/people"], "fields": ["$..mail"], "entities": ["EMAIL"], "action": "partial"},
        {"name": "notes", "tools": ["x/people"], "fields": ["$.people[*].note"], "action": "drop"},
    ]);
    let gateway = guarded(&server.config(), &json!({"rules": rules}));
    let answer = said(&gateway, "people", json!({})).await;
    let result = &answer["result"];
    let data = &result["structuredContent"];
    assert!(!answer.to_string().contains("ada@lovelace"), "{answer}");
    assert!(data["people"][0]["mail"].as_str().unwrap().contains('@'), "part of it stays: {answer}");
    assert!(data["people"][0].get("note").is_none() && data["people"][1].get("note").is_none(), "{answer}");
    let copy: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(&copy, data);
}

#[tokio::test]
async fn rules_are_about_those_whom_they_name() {
    let (idp, server) = (Idp::start().await, saying().await);
    let mut config = idp.config(&server.config());
    config["servers"] = json!({"x": server.config()});
    config["identity"]["issuers"][0]["audience"] = json!("all");
    config["policy"] = json!({"roles": {"seer": ["second-line"]}, "mode": "shadow"});
    config["guard"] = json!({"profile": "none", "rules": [
        {"name": "seers", "roles": ["seer"], "entities": ["EMAIL"], "action": "allow"},
        {"name": "support", "groups": ["support"], "entities": ["EMAIL"], "direction": "to-client", "action": "partial"},
        {"name": "rest", "entities": ["EMAIL"], "direction": "to-client", "action": "redact"},
    ]});
    let gateway = Gateway::start(&config);
    let mail = async |group: &str| {
        let token = idp.token_with(group, &json!({"aud": "all", "groups": [group]}));
        let authorization = format!("Bearer {token}");
        let call = json!({"name": "people", "arguments": {}});
        let headers = [("authorization", authorization.as_str())];
        let answer = client().request_with(&gateway, "tools/call", call, &headers).await.json();
        let mail = &answer["result"]["structuredContent"]["people"][0]["mail"];
        mail.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert_eq!(mail("second-line").await, "ada@lovelace.org");
    let partial = mail("support").await;
    assert!(partial.contains('@') && !partial.contains("ada@") && partial != "[EMAIL]", "{partial}");
    assert_eq!(mail("others").await, "[EMAIL]");
}

/// Policies in a folder beside a configuration.
fn with_policies(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("policies/all.cedar"), text).unwrap();
    folder
}

#[tokio::test]
async fn a_policy_chooses_what_the_guard_does() {
    let policies = r#"
        @id("people-masked")
        permit (principal, action, resource == Tool::"x/people");
        @id("the rest")
        permit (principal, action, resource in Server::"x") unless { resource == Tool::"x/people" };
    "#;
    let server = saying().await;
    let config = |id: &str| {
        json!({
            "servers": {"x": server.config()},
            "policy": {"files": ["policies"]},
            "audit": {"mode": "strict", "node": "gw"},
            "guard": {"profile": "none", "rules": [
                {"name": "by policy", "policies": [id], "entities": ["EMAIL", "SECRET"], "direction": "to-client", "action": "redact"},
            ]},
        })
    };
    let gateway = Gateway::start_in(with_policies(policies), &config("people-masked"), &[]);
    let people = said(&gateway, "people", json!({})).await;
    assert_eq!(people["result"]["structuredContent"]["people"][0]["mail"], "[EMAIL]", "{people}");
    let other = said(&gateway, "say", json!({})).await;
    assert!(other.to_string().contains(&secret()), "another policy permits this one: {other}");
    let calls = crate::evidence::until(&gateway, "both calls", 2, |event| {
        event["request"]["method"] == "tools/call" && event["phase"] != "intent"
    });
    let calls = calls.await;
    let obliged: Vec<_> = calls.iter().map(|call| call["decision"]["obligations"].clone()).collect();
    assert_eq!(obliged, [json!(["by policy"]), Value::Null]);

    let folder = with_policies(policies);
    std::fs::write(folder.path().join("portcullis.json"), config("no such").to_string()).unwrap();
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .current_dir(folder.path())
        .args(["config", "check", "portcullis.json"])
        .output()
        .unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(!checked.status.success() && told.contains("the policy `no such`"), "{told}");
}

#[tokio::test]
async fn in_shadow_everything_passes_and_is_counted() {
    let server = saying().await;
    let gateway = guarded(&server.config(), &json!({"profile": "strict", "mode": "shadow"}));
    let answer = said(&gateway, "say", json!({"text": planted()})).await;
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains(&secret()), "{answer}");
    assert!(answer["result"].get("_meta").and_then(|meta| meta.get("io.portcullis/guard")).is_none());
    let metrics = gateway.get("/metrics").await.text();
    for line in [
        r#"{entity="SECRET",action="redact",direction="to-client",mode="shadow"} 1"#,
        r#"{entity="SECRET",action="block",direction="to-server",mode="shadow"} 1"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    gateway.logged("guard: would be stopped (shadow)").await;
}

#[tokio::test]
async fn what_is_too_long_is_blocked_and_the_limit_is_named() {
    let long = "a word and another ".repeat(8000);
    let said_it = long.clone();
    let server = Fake::modern()
        .on("tools/call", move |_, answer| answer.result(crate::harness::fake::text(&said_it)))
        .start()
        .await;
    let gateway = guarded(&server.config(), &json!({"max_bytes": "64KiB"}));
    let answer = said(&gateway, "echo", json!({})).await;
    assert!(refused(&answer).contains("65536 bytes"), "{answer}");
    // What is read beside the worker is read as well.
    let gateway = guarded(&server.config(), &json!({}));
    let answer = said(&gateway, "echo", json!({})).await;
    assert_eq!(answer["result"]["content"][0]["text"].as_str().unwrap().len(), long.len());
}
