//! Everything that a server can say to a client and a client to a server, with a secret in it: servers of both eras before
//! clients of both eras.

use serde_json::{Value, json};

use super::{MARK, fakes, guarded, is_clean, planted, redacting, secret};
use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};

/// A server that says the secret wherever it can.
async fn talkative(fake: Fake) -> Upstream {
    saying(fake, planted, planted).await
}

/// A server that says something wherever it can, and something in what it says of its own things.
pub(super) async fn saying(mut fake: Fake, planted: fn() -> String, described: fn() -> String) -> Upstream {
    fake.capabilities["completions"] = json!({});
    fake.capabilities["logging"] = json!({});
    fake.capabilities["extensions"] = json!({"io.modelcontextprotocol/skills": {"directoryRead": true}});
    fake.instructions = Some(planted());
    let mut say = tool("say");
    say["description"] = json!(described());
    say["inputSchema"]["properties"]["a"] = json!({"type": "string", "description": described()});
    let tools = ["data", "resource", "link", "failed", "error", "tells", "broken"].map(tool);
    fake.tools(tools.into_iter().chain([say]).collect())
        .list("prompts", vec![json!({"name": "ask", "description": described()})])
        .list("resources", vec![json!({"uri": "db://a", "name": "a", "description": described()})])
        .list(
            "resourceTemplates",
            vec![json!({"uriTemplate": "db://{x}", "name": "t", "description": described()})],
        )
        .on("tools/call", move |seen, mut answer| async move {
            let text = |text: String| json!([{"type": "text", "text": text}]);
            let result = match seen.rpc["params"]["name"].as_str().unwrap() {
                "say" => json!({"content": text(planted())}),
                "data" => json!({
                    "content": text(json!({"note": planted()}).to_string()),
                    "structuredContent": {"note": planted(), "deep": [{"note": planted()}]},
                }),
                "resource" => json!({"content": [
                    {"type": "resource", "resource": {"uri": "db://a", "text": planted()}},
                ]}),
                "link" => json!({"content": [
                    {"type": "resource_link", "uri": "db://a", "name": "a", "description": planted()},
                ]}),
                "failed" => json!({"content": text(planted()), "isError": true}),
                "error" => {
                    let error = json!({"code": -32000, "message": planted(), "data": {"why": planted()}});
                    return answer.error(200, error).await;
                }
                // Not MCP at all: what the gateway tells of it may quote it.
                "broken" => {
                    return answer.send(500, &[("content-type", "text/plain")], planted().as_bytes()).await;
                }
                _ => {
                    let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
                    answer.open_stream().await;
                    let progress = json!({"progressToken": token, "progress": 1, "message": planted()});
                    let log = json!({"level": "error", "data": {"said": planted()}});
                    for (method, params) in
                        [("notifications/progress", progress), ("notifications/message", log)]
                    {
                        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
                        answer.event(&message).await;
                    }
                    let result = json!({"content": text(planted()), "resultType": "complete"});
                    return answer.result_event(result).await;
                }
            };
            answer.result(complete(result)).await;
        })
        .on("resources/read", move |_, answer| {
            let contents = json!([{"uri": "db://a", "text": planted()}]);
            answer.result(complete(json!({"contents": contents, "ttlMs": 0, "cacheScope": "private"})))
        })
        .on("prompts/get", move |_, answer| {
            let messages = json!([{"role": "user", "content": {"type": "text", "text": planted()}}]);
            answer.result(complete(json!({"messages": messages, "description": planted()})))
        })
        .on("completion/complete", move |_, answer| {
            answer.result(complete(json!({"completion": {"values": [planted()]}})))
        })
        .on("skills/list", move |_, answer| skills(answer, planted))
        .on("skills/get", move |_, answer| skills(answer, planted))
        .on("resources/directory/read", move |_, answer| skills(answer, planted))
        .start()
        .await
}

async fn skills(answer: crate::harness::upstream::Answer, planted: fn() -> String) {
    answer.result(complete(json!({"said": planted(), "ttlMs": 0, "cacheScope": "private"}))).await;
}

fn complete(mut result: Value) -> Value {
    result["resultType"] = json!("complete");
    result
}

/// What is asked, and how: a name for it, the method, and the params.
pub(super) fn requests() -> Vec<(&'static str, &'static str, Value)> {
    let call = |name: &str| json!({"name": name, "arguments": {"a": "b"}});
    let completing =
        json!({"ref": {"type": "ref/prompt", "name": "ask"}, "argument": {"name": "a", "value": "v"}});
    vec![
        ("instructions", "server/discover", json!({})),
        ("tools", "tools/list", json!({})),
        ("prompts", "prompts/list", json!({})),
        ("resources", "resources/list", json!({})),
        ("templates", "resources/templates/list", json!({})),
        ("text", "tools/call", call("say")),
        ("structured content", "tools/call", call("data")),
        ("embedded resource", "tools/call", call("resource")),
        ("resource link", "tools/call", call("link")),
        ("failed tool", "tools/call", call("failed")),
        ("error", "tools/call", call("error")),
        ("progress, log message and result", "tools/call", call("tells")),
        ("prompt", "prompts/get", json!({"name": "ask"})),
        ("resource", "resources/read", json!({"uri": "db://a"})),
        ("completion", "completion/complete", completing),
        ("skills", "skills/list", json!({})),
        ("skill", "skills/get", json!({"uri": "skill://a/SKILL.md"})),
        ("folder", "resources/directory/read", json!({"uri": "skill://a/"})),
    ]
}

/// Methods that are looked at elsewhere, each with the test that does.
const ELSEWHERE: &[(&str, &str)] = &[
    ("tasks/get", "what_comes_of_a_task_is_inspected_in_both_eras"),
    ("tasks/result", "what_comes_of_a_task_is_inspected_in_both_eras"),
    ("tasks/list", "what_comes_of_a_task_is_inspected_in_both_eras"),
    ("tasks/update", "what_is_asked_and_answered_in_a_task_is_inspected"),
    ("sampling/createMessage", "what_is_asked_and_answered_is_inspected_in_all_pairs_of_eras"),
    ("elicitation/create", "what_is_asked_and_answered_is_inspected_in_all_pairs_of_eras"),
    ("roots/list", "what_is_asked_and_answered_is_inspected_in_all_pairs_of_eras"),
];
/// Methods whose answers and params are the gateway's own words, or names that it gave or that the client itself chose.
const NOT_OF_SERVERS: &[&str] = &[
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "tasks/cancel",
];
/// `initialize` is what `Legacy` opens with.
const WELCOME: &str = "initialize";

#[test]
fn every_method_has_its_surface() {
    for name in portcullis_mcp::method::Method::NAMES {
        let walked = requests().iter().any(|(_, method, _)| method == name)
            || ELSEWHERE.iter().any(|(method, _)| method == name)
            || NOT_OF_SERVERS.contains(name)
            || *name == WELCOME
            || name.starts_with("notifications/");
        assert!(walked, "{name} is no surface that anybody looks at");
    }
    let tests = concat!(include_str!("questions.rs"), include_str!("tasks.rs"));
    for (method, test) in ELSEWHERE {
        assert!(tests.contains(&format!("fn {test}()")), "{method}: there is no test {test}");
    }
}

pub(super) async fn modern(gateway: &Gateway, method: &str, params: Value) -> String {
    let client = Modern::at("/mcp/s/x")
        .with_meta("progressToken", json!("p"))
        .with_meta("io.modelcontextprotocol/logLevel", json!("debug"));
    client.request(gateway, method, params).await.text()
}

pub(super) async fn legacy(session: &Legacy, gateway: &Gateway, method: &str, mut params: Value) -> String {
    params["_meta"] = json!({"progressToken": "p"});
    session.request(gateway, method, params).await.text()
}

#[tokio::test]
async fn nothing_that_a_server_says_brings_a_secret_to_a_client() {
    for (era, fake) in fakes() {
        let server = talkative(fake).await;
        let gateway = guarded(&server.config(), &json!({}));
        let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
        is_clean(&session.welcome.to_string(), &format!("welcome of a {era} server"));
        session.result(&gateway, "logging/setLevel", json!({"level": "debug"})).await;
        for (what, method, params) in requests() {
            let said = modern(&gateway, method, params.clone()).await;
            is_clean(&said, &format!("{what} of a {era} server for a modern client"));
            if method == "server/discover" {
                continue;
            }
            let said = legacy(&session, &gateway, method, params).await;
            is_clean(&said, &format!("{what} of a {era} server for a legacy client"));
        }
        for what in ["progress", "message"] {
            let said = modern(&gateway, "tools/call", json!({"name": "tells", "arguments": {}})).await;
            assert!(said.contains(&format!("notifications/{what}")), "{era}: {said}");
        }
        // What is no MCP is told of, if at all, without it.
        let broken = json!({"name": "broken", "arguments": {}});
        for said in [
            modern(&gateway, "tools/call", broken.clone()).await,
            legacy(&session, &gateway, "tools/call", broken).await,
        ] {
            assert!(said.contains("rror") && !said.contains(&secret()), "{said}");
        }
        assert!(!gateway.log().contains(&secret()), "a log is no place for it either");
        let metrics = gateway.get("/metrics").await.text();
        let line = r#"portcullis_guard_findings_total{entity="SECRET",action="redact",direction="to-client",mode="enforce"}"#;
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn nothing_that_a_client_says_brings_a_secret_to_a_server() {
    for (era, fake) in fakes() {
        let server = talkative(fake).await;
        let gateway = guarded(&server.config(), &redacting());
        let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
        let completing = json!({
            "ref": {"type": "ref/prompt", "name": "ask"},
            "argument": {"name": "a", "value": planted()},
            "context": {"arguments": {"b": planted()}},
        });
        let rows = [
            ("tools/call", json!({"name": "say", "arguments": {"a": planted(), "deep": [{"b": planted()}]}})),
            ("prompts/get", json!({"name": "ask", "arguments": {"a": planted()}})),
            ("completion/complete", completing),
            ("skills/get", json!({"uri": "skill://a", "more": planted()})),
        ];
        for (method, params) in rows {
            modern(&gateway, method, params.clone()).await;
            let seen = server.nth(method, 1).await;
            is_clean(&seen.rpc.to_string(), &format!("{method} of a modern client to a {era} server"));
            legacy(&session, &gateway, method, params).await;
            let seen = server.nth(method, 2).await;
            is_clean(&seen.rpc.to_string(), &format!("{method} of a legacy client to a {era} server"));
        }
        // A URI cannot be changed on the way: the server would be asked for another one.
        let uri = json!({"uri": format!("db://{}", secret())});
        for said in [
            modern(&gateway, "resources/read", uri.clone()).await,
            legacy(&session, &gateway, "resources/read", uri).await,
        ] {
            assert!(said.contains("content_blocked") && !said.contains(&secret()), "{said}");
        }
        assert_eq!(server.count("resources/read"), 0);
    }
}

/// The header that mirrors an argument says what is sent, not what was asked for.
#[tokio::test]
async fn mirrored_headers_are_inspected_too() {
    let mut mirrored = tool("say");
    mirrored["inputSchema"]["properties"] = json!({"key": {"type": "string", "x-mcp-header": "Key"}});
    let server = Fake::modern().tools(vec![mirrored]).start().await;
    let gateway = guarded(&server.config(), &redacting());
    let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    session.call(&gateway, "say", json!({"key": secret(), "note": MARK})).await;
    let seen = server.nth("tools/call", 1).await;
    is_clean(&format!("{} {:?}", seen.rpc, seen.headers), "a mirrored header");
    assert_eq!(seen.header("mcp-param-key"), Some("[SECRET]"));
}

#[tokio::test]
async fn without_the_section_only_definitions_are_read() {
    for (era, fake) in fakes() {
        let server = talkative(fake).await;
        let gateway = Gateway::before(&server.config());
        let said = modern(&gateway, "tools/call", json!({"name": "say", "arguments": {}})).await;
        assert!(said.contains(&secret()), "{era}: {said}");
        assert!(!said.contains("io.portcullis/guard"), "{said}");
    }
}

/// What has nothing in it that a rule is about passes byte for byte, also through a guard.
#[tokio::test]
async fn what_nothing_is_found_in_is_passed_on_byte_for_byte() {
    let odd = r#"{"content" : [ {"text":"é \u00e9 \/ 1.50E+2","type":"text"} ],"x":[1.50, 1e2 ,{"b":1,"a":2}],"resultType":"complete"}"#;
    let server = Fake::modern()
        .on("tools/call", move |seen, answer| async move {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{odd}}}"#, seen.rpc["id"]);
            answer.send(200, &[("content-type", "application/json")], body.as_bytes()).await;
        })
        .start()
        .await;
    let gateway = guarded(&server.config(), &json!({"profile": "strict"}));
    let said = modern(&gateway, "tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert!(said.contains(&odd[1..odd.len() - 1]), "{said}");
}
