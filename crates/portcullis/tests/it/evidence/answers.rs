//! One event for each exchange and each denial, whatever was asked, in whichever era, and however it ended.

use std::collections::BTreeMap;

use portcullis_mcp::method::Method;
use serde_json::{Value, json};

use super::{events, of, start, until};
use crate::harness::client::MODERN;
use crate::harness::fake::text;
use crate::harness::http::Response;
use crate::harness::idp::Idp;
use crate::harness::{Fake, Legacy, Modern, SseClient, within};

/// What servers ask clients, and what is no request.
fn is_of_clients(method: &str) -> bool {
    !["sampling/createMessage", "elicitation/create", "roots/list"].contains(&method)
        && !method.starts_with("notifications/")
}

/// Params with which a method could succeed.
fn params(method: &str) -> Value {
    match method {
        "tools/call" => json!({"name": "x__echo", "arguments": {"n": 1}}),
        "prompts/get" => json!({"name": "x__ask"}),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => json!({"uri": "mcp+x+db://a"}),
        "completion/complete" => {
            json!({"ref": {"type": "ref/prompt", "name": "x__ask"}, "argument": {"name": "a", "value": "v"}})
        }
        "logging/setLevel" => json!({"level": "info"}),
        "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update" => json!({"taskId": "t"}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn every_request_has_one_event_whatever_it_asks() {
    let upstream = Fake::modern()
        .list("prompts", vec![json!({"name": "ask"})])
        .list("resources", vec![json!({"uri": "db://a", "name": "a"})])
        .start()
        .await;
    let gateway = start("normal", &json!({"servers": {"x": upstream.config()}}));
    let (client, mut sent) = (Modern::new(), BTreeMap::new());
    let methods = || Method::NAMES.iter().copied().filter(|method| is_of_clients(method));
    for (index, method) in methods().filter(|method| *method != "subscriptions/listen").enumerate() {
        let mut body = client.body(method, params(method));
        body["id"] = json!(format!("modern-{index}"));
        client.send_with(&gateway, &body, &[]).await;
        sent.insert(body["id"].to_string(), method);
    }
    let session = Legacy::open(&gateway).await;
    for (index, method) in methods().enumerate() {
        let id = format!("legacy-{index}");
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params(method)});
        session.send(&gateway, &message).await;
        sent.insert(message["id"].to_string(), method);
    }
    let batching = Legacy::open_at(&gateway, "/mcp", "2025-03-26").await;
    let batch: Vec<_> = ["ping", "tools/list", "tools/call"]
        .iter()
        .map(|method| json!({"jsonrpc": "2.0", "id": format!("batch {method}"), "method": method, "params": params(method)}))
        .collect();
    batching.send(&gateway, &json!(batch)).await;
    for method in ["ping", "tools/list", "tools/call"] {
        sent.insert(json!(format!("batch {method}")).to_string(), method);
    }
    let mut sse = SseClient::open(&gateway, "2025-11-25").await;
    for method in ["ping", "tools/call", "no/such"] {
        let id = format!("sse {method}");
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params(method)});
        sse.post(&gateway, &message).await;
        sse.answer(&message["id"]).await;
        sent.insert(message["id"].to_string(), method);
    }
    drop(sse);
    assert!(sent.len() > 40, "{}", sent.len());
    // The last thing that happens is in the log after all that happened before.
    until(&gateway, "the end of the SSE session", 1, |event| event["detail"]["what"] == "session ended")
        .await;
    let all = events(&gateway);
    let mut unnamed = 0;
    for (id, method) in &sent {
        let own: Vec<_> = all.iter().filter(|event| event["request"]["id"] == id.as_str()).collect();
        assert!(own.len() <= 1, "{method} ({id}): {own:?}");
        let Some(event) = own.first() else {
            unnamed += 1;
            continue;
        };
        assert_eq!(event["request"]["method"], *method);
        assert!(event["result"]["status"].is_string(), "{event}");
    }
    // What the newer revision does not have was refused before it was a call.
    let refused = all.iter().filter(|event| event["kind"] == "denial" && event["request"]["id"].is_null());
    let reasons: Vec<_> = refused.map(|event| event["decision"]["reasons"][0].as_str().unwrap()).collect();
    assert_eq!(reasons, vec!["unknown_method"; unnamed]);
    let transports: std::collections::BTreeSet<_> =
        all.iter().filter_map(|event| event["request"]["transport"].as_str()).collect();
    assert_eq!(transports.into_iter().collect::<Vec<_>>(), ["http", "sse"]);
}

#[tokio::test]
async fn a_call_is_told_with_who_what_where_and_how_it_ended() {
    let upstream = Fake::modern()
        .tools(vec![
            json!({"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}),
        ])
        .on("tools/call", |_, answer| async move {
            answer.result(json!({"resultType": "complete", "content": [], "isError": true})).await;
        })
        .start()
        .await;
    let idp = Idp::start().await;
    let mut config = idp.config(&upstream.config());
    config["identity"]["issuers"][0]["groups_claim"] = json!("groups");
    let gateway = start("normal", &config);
    let acting = json!({"groups": ["staff"], "act": {"sub": "agent-7", "act": {"sub": "agent-8"}}});
    let authorization = format!("Bearer {}", idp.token_with("ada", &acting));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("authorization", authorization.as_str()), ("traceparent", traceparent)];
    let params = json!({"name": "x__look", "arguments": {"of": "4111-1111"}});
    for _ in 0..2 {
        Modern::new().request_with(&gateway, "tools/call", params.clone(), &headers).await;
    }
    let own = until(&gateway, "both calls", 2, |event| event["request"]["method"] == "tools/call").await;
    let event = &own[0];
    assert_eq!((&event["kind"], &event["v"]), (&json!("exchange"), &json!(1)));
    let who = &event["who"];
    assert_eq!((&who["client"], &who["groups"]), (&json!("test"), &json!(["staff"])));
    assert_eq!((&who["proof"], &who["network"]), (&json!("token"), &json!("loopback")));
    assert_eq!(who["actors"].as_array().unwrap().len(), 2, "{who}");
    assert_eq!(who["person"], own[1]["who"]["person"], "the same person is called the same");
    assert_ne!(who["person"], who["actors"][0]);
    assert_eq!(event["tool"]["name"], "look");
    assert_eq!(event["tool"]["read_only"], true);
    assert!(event["tool"]["definition"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(event["server"], json!({"delegation": "none", "id": "x", "version": "1"}));
    assert_eq!(
        (&event["result"]["status"], &event["result"]["is_error"]),
        (&json!("completed"), &json!(true))
    );
    assert!(event["result"]["upstream_us"].as_u64().unwrap() > 0);
    assert_eq!(event["trace"]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(event["request"]["protocol"], MODERN);
    // Equal contents have equal digests, and only the sizes are said.
    assert_eq!(event["input"]["digest"], own[1]["input"]["digest"]);
    assert_eq!(event["input"]["size"], r#"{"of":"4111-1111"}"#.len());
    assert_ne!(own[0]["id"], own[1]["id"]);
}

#[tokio::test]
async fn nothing_that_names_a_person_or_was_said_is_in_the_log() {
    let upstream = Fake::modern()
        .on("tools/call", |_, answer| async move { answer.result(text("secret-of-the-server")).await })
        .on("resources/read", |_, answer| async move {
            let contents = json!([{"uri": "db://patient-jones", "text": "secret-of-the-server"}]);
            answer.result(json!({"resultType": "complete", "contents": contents})).await;
        })
        .list("resources", vec![json!({"uri": "db://patient-jones", "name": "a"})])
        .start()
        .await;
    let idp = Idp::start().await;
    let gateway = start("normal", &idp.config(&upstream.config()));
    let token = idp.token("ada-lovelace");
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let client = Modern::new();
    let call = json!({"name": "x__echo", "arguments": {"n": "secret-of-the-client"}});
    client.request_with(&gateway, "tools/call", call, &headers).await;
    client
        .request_with(&gateway, "resources/read", json!({"uri": "mcp+x+db://patient-jones"}), &headers)
        .await;
    client.request_with(&gateway, "resources/read", json!({"uri": "db://patient-smith"}), &headers).await;
    let reads = |event: &Value| event["request"]["method"] == "resources/read";
    until(&gateway, "what was read", 2, reads).await;
    let mut log = Vec::new();
    for file in std::fs::read_dir(gateway.folder().join("audit")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            log.extend(std::fs::read(path).unwrap());
        }
    }
    let log = String::from_utf8_lossy(&log).into_owned();
    assert!(log.contains("tools/call"), "the log is there");
    for secret in ["ada-lovelace", "secret-of", "patient", &token, "jti-of", "Bearer"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn a_client_that_leaves_and_one_that_cancels_have_their_events() {
    let upstream =
        Fake::legacy().on("tools/call", |_, mut answer| async move { answer.closed().await }).start().await;
    let gateway = start("normal", &json!({"servers": {"x": upstream.config()}}));
    let client = Modern::new();
    let mut connection = gateway.connect().await;
    let body = client.body("tools/call", params("tools/call"));
    client.write(&mut connection, &body, &[]).await;
    upstream.nth("tools/call", 1).await;
    drop(connection);
    let left = of(&gateway, "tools/call").await;
    assert_eq!((&left["result"]["status"], &left["server"]["id"]), (&json!("cancelled"), &json!("x")));
    let session = Legacy::open(&gateway).await;
    let mut connection = gateway.connect().await;
    let call = json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params("tools/call")});
    session.write(&mut connection, &call).await;
    upstream.nth("tools/call", 2).await;
    session
        .send(
            &gateway,
            &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c"}}),
        )
        .await;
    let own = until(&gateway, "the cancelled call", 1, |event| event["request"]["id"] == "\"c\"").await;
    assert_eq!(own[0]["result"]["status"], "cancelled");
}

#[tokio::test]
async fn refusals_are_told_with_their_reasons() {
    let upstream = Fake::modern().start().await;
    let idp = Idp::start().await;
    let mut config = idp.config(&upstream.config());
    config["limits"] = json!({"calls": [{"name": "few", "tools": ["x/echo"], "rate": "1/h", "burst": 1}]});
    let gateway = start("normal", &config);
    let authorization = format!("Bearer {}", idp.token("ada"));
    let good = [("authorization", authorization.as_str())];
    let client = Modern::new();
    let send = async |name: &str, headers: &[(&str, &str)]| -> Response {
        client.request_with(&gateway, "tools/call", json!({"name": name, "arguments": {}}), headers).await
    };
    assert_eq!(send("x__echo", &good).await.status(), 200);
    assert_eq!(send("x__echo", &good).await.status(), 429);
    send("x__none", &good).await;
    assert_eq!(send("x__echo", &[("authorization", "Bearer x.y.z")]).await.status(), 401);
    assert_eq!(send("x__echo", &[]).await.status(), 401);
    let foreign = [good[0], ("origin", "https://evil.example")];
    assert_eq!(send("x__echo", &foreign).await.status(), 403);
    let mut headers = crate::harness::gateway::JSON.to_vec();
    headers.push(good[0]);
    assert_eq!(gateway.send("POST", "/mcp", &headers, b"{").await.status(), 400);
    headers.push(("mcp-session-id", "made-up"));
    let ping = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(gateway.send("POST", "/mcp", &headers, ping).await.status(), 404);
    let denials = until(&gateway, "all denials", 7, |event| event["kind"] == "denial").await;
    let mut told: Vec<_> = denials
        .iter()
        .map(|event| {
            assert_eq!(
                (&event["decision"]["verdict"], &event["result"]["status"]),
                (&json!("refused"), &json!("refused"))
            );
            let known = event["who"]["person"].is_string();
            (event["decision"]["reasons"][0].as_str().unwrap(), known)
        })
        .collect();
    told.sort_unstable();
    let expected = [
        ("forbidden_origin", false),
        ("invalid_params", true),
        ("rate_limited", true),
        ("unauthenticated", false),
        ("unauthenticated", false),
        ("unknown_session", true),
        ("unparsable", true),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn strangers_cannot_fill_the_log_and_are_counted() {
    let upstream = Fake::modern().start().await;
    let idp = Idp::start().await;
    let gateway = start("normal", &idp.config(&upstream.config()));
    for _ in 0..300 {
        assert_eq!(gateway.post("/mcp", b"{}").await.status(), 401);
    }
    let counted = |event: &Value| {
        event["detail"]["unauthenticated"].as_str().and_then(|count| count.parse::<usize>().ok())
    };
    within("all refusals, told or counted", async {
        loop {
            let all = events(&gateway);
            let own = all.iter().filter(|event| event["decision"]["reasons"] == json!(["unauthenticated"]));
            let (told, counted): (Vec<_>, Vec<_>) = own.partition(|event| counted(event).is_none());
            let sum: usize = counted
                .iter()
                .filter_map(|event| event["detail"]["unauthenticated"].as_str()?.parse::<usize>().ok())
                .sum();
            if told.len() + sum == 300 {
                // However slow the machine is: a hundred in each second at the most.
                return assert!(told.len() >= 100, "{}", told.len());
            }
            assert!(told.len() + sum < 300);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// What the guard found and did is in the event of its call, both ways, and no value of it.
#[tokio::test]
async fn what_the_guard_found_is_in_the_event_of_the_call() {
    const KEY: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let said = Fake::modern()
        .on("tools/call", |_, answer| answer.result(text(&format!("the token is {KEY}"))))
        .start()
        .await;
    let gateway = start("normal", &json!({"servers": {"x": said.config()}, "guard": {}}));
    let client = Modern::at("/mcp/s/x");
    assert!(!client.call(&gateway, "echo", json!({})).await.to_string().contains(KEY));
    client.call(&gateway, "echo", json!({"a": KEY})).await;
    let calls = until(&gateway, "both", 2, |event| event["request"]["method"] == "tools/call").await;
    for (call, (action, side)) in calls.iter().zip([("redact", "output"), ("block", "input")]) {
        let finding = json!({"rule": "SECRET", "action": action, "count": 1, "side": side});
        assert_eq!(call["guard"]["findings"], json!([finding]), "{call}");
        assert!(!call.to_string().contains(KEY));
    }
}

#[tokio::test]
async fn a_call_in_a_toolset_is_told_with_the_toolset_and_with_what_is_behind_it() {
    let upstream = Fake::modern().start().await;
    let toolset = json!({"tools": [{"from": "x/echo", "name": "say", "description": "Says it."}]});
    let gateway =
        start("normal", &json!({"servers": {"x": upstream.config()}, "toolsets": {"desk": toolset}}));
    Modern::at("/mcp/v/desk").call(&gateway, "say", json!({"n": 1})).await;
    let in_toolset = of(&gateway, "tools/call").await;
    assert_eq!(in_toolset["request"]["endpoint"], "/mcp/v/desk");
    assert_eq!((&in_toolset["server"]["id"], &in_toolset["tool"]["name"]), (&json!("x"), &json!("echo")));
    Modern::new().call(&gateway, "x__echo", json!({"n": 1})).await;
    until(&gateway, "both", 2, |event| event["request"]["method"] == "tools/call").await;
    let all = events(&gateway);
    let direct = all.iter().find(|event| event["request"]["endpoint"] == "/mcp").unwrap();
    assert_eq!(in_toolset["tool"], direct["tool"], "the definition is the server's");
}
