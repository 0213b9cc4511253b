//! What a hostile, broken or slow server can do: to its own calls whatever it likes, to the rest nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::text_of;
use crate::harness::fake::{text, tool};
use crate::harness::{Answer, Child, Fake, Gateway, Legacy, Modern, Upstream, until};

/// No server of these tests may make the gateway hold more than this, in bytes, beyond what it held before.
const ENOUGH: usize = 48 << 20;

/// A gateway before `x`, which is hostile, and `good`, which is not.
async fn beside_good(server: &Value, limits: Value) -> (Gateway, Upstream) {
    let good = Fake::modern().start().await;
    let config = json!({"servers": {"x": server, "good": good.config()}, "limits": limits});
    (Gateway::start(&config), good)
}

/// The other server answers, and at once.
async fn good_is_unaffected(gateway: &Gateway) {
    let client = Modern::new();
    let answer = client.call(gateway, "good__echo", json!({"a": 1}));
    let answer = tokio::time::timeout(Duration::from_secs(2), answer).await.expect("an answer at once");
    assert_eq!(text_of(&answer), r#"{"a":1}"#);
}

/// A tool call that fails because of its server is a result that says so.
async fn fails(gateway: &Gateway) -> String {
    let result = Modern::at("/mcp/s/x").call(gateway, "echo", json!({})).await;
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!(result["resultType"], "complete");
    text_of(&result).to_owned()
}

async fn never(mut answer: Answer) {
    answer.closed().await;
}

// ---- silence ----

#[tokio::test]
async fn a_call_that_gets_no_answer_times_out_alone() {
    let upstream = Fake::modern()
        .list("prompts", vec![json!({"name": "p"})])
        .on("tools/call", |_, answer| never(answer))
        .on("prompts/get", |_, answer| never(answer))
        .start()
        .await;
    let mut server = upstream.config();
    server["call_timeout"] = json!("400ms");
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let client = Modern::new();
    let (result, prompt, ()) = tokio::join!(
        client.call(&gateway, "x__echo", json!({})),
        client.request(&gateway, "prompts/get", json!({"name": "x__p"})),
        good_is_unaffected(&gateway),
    );
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!((prompt.status(), prompt.error_code()), (200, -32603));
    assert_eq!(prompt.json()["error"]["data"]["reason"], "upstream_timeout");
    let old = Legacy::open(&gateway).await.call(&gateway, "x__echo", json!({})).await;
    assert_eq!((old["isError"].clone(), old.get("resultType")), (json!(true), None));
}

#[tokio::test]
async fn a_stream_that_starts_and_then_says_nothing_times_out() {
    let upstream = Fake::modern()
        .on("tools/call", |_, mut answer| async move {
            answer.open_stream().await;
            answer.closed().await;
        })
        .start()
        .await;
    let mut server = upstream.config();
    server["call_timeout"] = json!("300ms");
    let gateway = Gateway::before(&server);
    assert!(fails(&gateway).await.contains("no answer in time"));
}

#[tokio::test]
async fn a_server_that_hangs_in_the_handshake_is_given_up_and_tried_again() {
    let hangs = Arc::new(AtomicBool::new(true));
    let flag = hangs.clone();
    let fake = Fake::modern().on("server/discover", move |_, answer| {
        let hangs = flag.load(Ordering::SeqCst);
        async move {
            if hangs {
                return never(answer).await;
            }
            let welcome = json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                "ttlMs": 0, "cacheScope": "private",
            });
            answer.result(welcome).await;
        }
    });
    let upstream = fake.start().await;
    let mut server = upstream.config();
    server["call_timeout"] = json!("300ms");
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let said = fails(&gateway).await;
    assert!(said.contains("`x`"), "{said}");
    assert_eq!(gateway.ready().await["servers"]["x"]["state"], "down");
    good_is_unaffected(&gateway).await;
    hangs.store(false, Ordering::SeqCst);
    until("a second attempt", || async {
        Modern::at("/mcp/s/x").call(&gateway, "echo", json!({})).await.get("isError").is_none()
    })
    .await;
    until("its list", || async {
        Modern::new().result(&gateway, "tools/list", json!({})).await["tools"].as_array().unwrap().len() == 2
    })
    .await;
    assert_eq!(gateway.ready().await["status"], "ready");
}

#[tokio::test]
async fn a_slow_list_holds_up_nobody_twice_and_the_last_good_one_is_served() {
    let slow = Arc::new(AtomicBool::new(false));
    let flag = slow.clone();
    let mut fake = Fake::modern().on("tools/list", move |_, answer| {
        let slow = flag.load(Ordering::SeqCst);
        async move {
            if slow {
                return never(answer).await;
            }
            let result = json!({"resultType": "complete", "tools": [tool("echo")], "ttlMs": 0, "cacheScope": "private"});
            answer.result(result).await;
        }
    });
    fake.hints = (0, "private");
    let upstream = fake.start().await;
    let mut server = upstream.config();
    server["call_timeout"] = json!("3s");
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let client = Modern::new();
    let names = |result: &Value| {
        let tools = result["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["good__echo", "x__echo"];
    assert_eq!(names(&client.result(&gateway, "tools/list", json!({})).await), all);
    slow.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    for _ in 0..5 {
        let listed = client.result(&gateway, "tools/list", json!({})).await;
        assert_eq!(names(&listed), all, "the last good list");
        assert_eq!((listed["ttlMs"].clone(), listed["cacheScope"].clone()), (json!(0), json!("private")));
    }
    assert!(begin.elapsed() < Duration::from_millis(2500), "one wait, not five: {:?}", begin.elapsed());
    until("the list to be given up", || async { gateway.ready().await["status"] == "degraded" }).await;
    assert_eq!(gateway.ready().await["servers"]["good"]["state"], "up");
    slow.store(false, Ordering::SeqCst);
    until("the server to be listed again", || async {
        client.result(&gateway, "tools/list", json!({})).await;
        gateway.ready().await["status"] == "ready"
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_one_greeting_at_most() {
    let upstream = Fake::modern().on("server/discover", |_, answer| never(answer)).start().await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    Legacy::open(&gateway).await;
    let begin = Instant::now();
    for _ in 0..5 {
        let session = Legacy::open(&gateway).await;
        assert!(session.welcome["capabilities"].get("prompts").is_some(), "it may still come to offer anything");
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?} for five sessions", begin.elapsed());
    assert_eq!(upstream.count("server/discover"), 1);
}

// ---- lies ----

#[tokio::test]
async fn answers_that_are_none_fail_their_call_only() {
    let turn = Arc::new(AtomicUsize::new(0));
    let counter = turn.clone();
    let bodies: [&[u8]; 8] = [
        b"", b"nonsense", b"[]", b"{}", br#"{"jsonrpc":"2.0","id":99999,"result":{"content":[]}}"#,
        br#"{"jsonrpc":"2.0","id":"ID","result":{"content":[]}}"#, br#"{"jsonrpc":"2.0","method":"x"}"#, b"\xff\xfe",
    ];
    let upstream = Fake::modern()
        .on("tools/call", move |_, answer| {
            let body = bodies[counter.fetch_add(1, Ordering::SeqCst) % bodies.len()];
            async move { answer.send(200, &[("content-type", "application/json")], body).await }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    for _ in 0..bodies.len() {
        fails(&gateway).await;
    }
    good_is_unaffected(&gateway).await;
    assert_eq!(upstream.count("tools/call"), bodies.len(), "none of them is sent twice");
}

#[tokio::test]
async fn results_that_are_none_fail_their_call_only() {
    let bodies = [
        json!({"result": 7}), json!({"result": null}), json!({"result": []}), json!({"result": "x"}), json!({}),
        json!({"error": 7}), json!({"error": {}}), json!({"error": {"code": "x", "message": "x"}}),
        json!({"result": {}, "error": {"code": 1, "message": "x"}}), json!({"result": {"resultType": "surprise", "content": []}}),
        json!({"result": {"resultType": 7, "content": []}}),
    ];
    let turn = Arc::new(AtomicUsize::new(0));
    let (counter, answers) = (turn.clone(), bodies.clone());
    let upstream = Fake::modern()
        .on("tools/call", move |_, answer| {
            let mut body = answers[counter.load(Ordering::SeqCst)].clone();
            async move {
                body["jsonrpc"] = json!("2.0");
                body["id"] = answer.id.clone();
                answer.json(200, &body).await;
            }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    let old = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    for (index, body) in bodies.iter().enumerate() {
        turn.store(index, Ordering::SeqCst);
        let said = fails(&gateway).await;
        assert!(said.contains("server"), "{body}: {said}");
        assert_eq!(old.call(&gateway, "echo", json!({})).await["isError"], true, "{body}");
    }
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn a_greeting_of_nonsense_is_not_passed_on() {
    let hellos = [
        json!({"capabilities": 7, "instructions": 7, "_meta": {"io.modelcontextprotocol/serverInfo": "x"}}),
        json!({"capabilities": {"tools": 7, "prompts": null}, "instructions": {"a": 1}, "_meta": 7}),
        json!({"instructions": "x".repeat(5 << 20)}),
    ];
    for hello in hellos {
        let fake = Fake::modern().on("server/discover", move |_, answer| {
            let mut hello = hello.clone();
            hello["resultType"] = json!("complete");
            hello["supportedVersions"] = json!(["2026-07-28", 7, "x"]);
            answer.result(hello)
        });
        let upstream = fake.start().await;
        let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
        for path in ["/mcp", "/mcp/s/x"] {
            let said = Modern::at(path).result(&gateway, "server/discover", json!({})).await;
            assert!(said["capabilities"].is_object(), "{said:.300}");
            assert!(said["_meta"]["io.modelcontextprotocol/serverInfo"].is_object(), "{said:.300}");
            assert!(said.get("instructions").is_none_or(Value::is_string));
            let old = Legacy::open_at(&gateway, path, "2025-11-25").await.welcome;
            assert!(old["capabilities"].is_object() && old["serverInfo"].is_object(), "{old:.300}");
        }
        let aggregate = Modern::new().result(&gateway, "server/discover", json!({})).await;
        assert!(aggregate.to_string().len() < 1 << 20, "one server's instructions do not fill everybody's context");
        good_is_unaffected(&gateway).await;
    }
}

#[tokio::test]
async fn names_that_a_server_chose_break_neither_metrics_nor_lists() {
    let names = ["a\"} 1\nevil_metric 1", "\\", "\u{0}\u{1b}[2J", "good__echo", "", "../../x", "ünïcödé", &"n".repeat(10_000)];
    let upstream = Fake::modern().tools(names.iter().map(|name| tool(name)).collect()).start().await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    let listed = Modern::new().result(&gateway, "tools/list", json!({})).await;
    let exposed: Vec<_> = listed["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(exposed.len(), names.len() + 1);
    for name in &exposed[1..] {
        assert!(name.starts_with("x__") && name.len() <= 64, "{name}");
        let result = Modern::new().call(&gateway, name, json!({"a": 2})).await;
        assert_eq!(text_of(&result), r#"{"a":2}"#);
    }
    good_is_unaffected(&gateway).await;
    let metrics = gateway.get("/metrics").await.text();
    for line in metrics.lines() {
        let plain = line.starts_with("# ") || line.starts_with("portcullis_") || line.starts_with("process_") || line.is_empty();
        assert!(plain, "{line:?}");
        assert!(line.len() < 2_000, "{} bytes in one line", line.len());
    }
}

#[tokio::test]
async fn on_a_stream_the_first_answer_counts_and_a_foreign_one_ends_it() {
    let upstream = Fake::modern()
        .on("tools/call", |seen, mut answer| async move {
            answer.open_stream().await;
            if seen.rpc["params"]["arguments"]["lie"] == true {
                answer.event(&json!({"jsonrpc": "2.0", "id": 77777, "result": text("not yours")})).await;
            }
            answer.result_event(text("first")).await;
            answer.result_event(text("second")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    let answer = client.request(&gateway, "tools/call", json!({"name": "x__echo"})).await;
    assert_eq!(text_of(&answer.json()["result"]), "first");
    let lied = client.call(&gateway, "x__echo", json!({"lie": true})).await;
    assert_eq!(lied["isError"], true);
    assert!(!lied.to_string().contains("not yours"));
}

#[tokio::test]
async fn statuses_of_a_server_stay_on_its_side() {
    let status = Arc::new(AtomicUsize::new(0));
    let current = status.clone();
    let upstream = Fake::modern()
        .on("tools/call", move |_, answer| {
            let status = u16::try_from(current.load(Ordering::SeqCst)).unwrap();
            let challenge = [("www-authenticate", "Bearer resource_metadata=\"https://evil.example\"")];
            async move { answer.send(status, &challenge, b"denied by a secret proxy").await }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    for (code, word) in [(401, "credentials"), (403, "credentials"), (500, "500"), (502, "502"), (429, "429"), (302, "302")] {
        status.store(code, Ordering::SeqCst);
        let client = Modern::at("/mcp/s/x");
        let answer = client.request(&gateway, "tools/call", json!({"name": "echo"})).await;
        assert_eq!((answer.status(), answer.header("www-authenticate")), (200, None), "{code}");
        let said = text_of(&answer.json()["result"]).to_owned();
        assert!(said.contains(word) && !said.contains("secret"), "{code}: {said}");
        let old = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
        assert_eq!(old.call(&gateway, "echo", json!({})).await["isError"], true, "{code}");
    }
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn a_lost_session_is_opened_again_once() {
    let mode = Arc::new(AtomicUsize::new(1));
    let current = mode.clone();
    let upstream = Fake::legacy()
        .on("tools/call", move |_, answer| {
            // 1: the session has just ended; 0: all is well; 2: it ends with every call.
            let lost = match current.load(Ordering::SeqCst) {
                1 => current.swap(0, Ordering::SeqCst) == 1,
                mode => mode == 2,
            };
            async move {
                if lost { answer.send(404, &[], b"").await } else { answer.result(text("ok")).await }
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let result = Modern::new().call(&gateway, "x__echo", json!({})).await;
    assert_eq!(text_of(&result), "ok");
    assert_eq!((upstream.count("initialize"), upstream.count("tools/call")), (2, 2));
    mode.store(2, Ordering::SeqCst);
    let said = fails(&gateway).await;
    assert!(said.contains("session ended"), "{said}");
    assert_eq!(upstream.count("tools/call"), 4, "one retry and no more");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_down_and_left_in_peace() {
    let upstream = Fake::modern().start().await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    let client = Modern::new();
    assert!(client.call(&gateway, "x__echo", json!({})).await.get("isError").is_none());
    drop(upstream);
    until("the failures to be noticed", || async {
        let said = fails(&gateway).await;
        assert!(said.contains("cannot connect"), "{said}");
        said.contains("next attempt in")
    })
    .await;
    let ready = gateway.ready().await;
    assert_eq!((ready["status"].clone(), ready["servers"]["x"]["state"].clone()), (json!("degraded"), json!("down")));
    good_is_unaffected(&gateway).await;
}

/// An answer that promises to keep the connection.
fn kept(id: &Value, words: &str) -> Vec<u8> {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": text(words)}).to_string();
    format!("HTTP/1.1 200 -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn connections_that_were_to_be_kept_and_are_closed_fail_no_call() {
    let upstream = Fake::modern()
        .on("tools/call", |_, mut answer| async move {
            let bytes = kept(&answer.id, "ok");
            let _ = answer.write(&bytes).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    for _ in 0..50 {
        assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({})).await), "ok");
    }
}

#[tokio::test]
async fn an_answer_nobody_asked_for_is_not_the_next_calls() {
    let upstream = Fake::modern()
        .on("tools/call", |_, mut answer| async move {
            let next = json!(answer.id.as_u64().unwrap() + 1);
            let mut bytes = kept(&answer.id, "asked for");
            bytes.extend(kept(&next, "smuggled"));
            let _ = answer.write(&bytes).await;
            answer.closed().await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    for _ in 0..20 {
        assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({})).await), "asked for");
    }
}

// ---- floods ----

#[tokio::test]
async fn bodies_without_end_are_cut_and_cost_no_memory() {
    let cut = Arc::new(tokio::sync::Notify::new());
    let noticed = cut.clone();
    let upstream = Fake::modern()
        .on("tools/call", move |seen, mut answer| {
            let cut = noticed.clone();
            async move {
                let media = seen.rpc["params"]["arguments"]["media"].as_str().unwrap().to_owned();
                let head = format!("HTTP/1.1 200 -\r\nconnection: close\r\ncontent-type: {media}\r\n\r\ndata: ");
                let _ = answer.write(head.as_bytes()).await;
                let block = vec![b'x'; 1 << 20];
                while answer.write(&block).await.is_ok() {}
                cut.notify_one();
            }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({"response_bytes": "1MiB"})).await;
    good_is_unaffected(&gateway).await;
    let before = gateway.memory();
    let client = Modern::at("/mcp/s/x");
    for media in ["application/json", "text/event-stream"] {
        let result = client.call(&gateway, "echo", json!({"media": media})).await;
        assert_eq!(result["isError"], true, "{media}: {result}");
        crate::harness::within("the end of the flood", cut.notified()).await;
    }
    assert!(gateway.memory().peak < before.now + ENOUGH, "{before:?} {:?}", gateway.memory());
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn bodies_that_break_off_fail_their_call() {
    let upstream = Fake::modern()
        .on("tools/call", |seen, mut answer| async move {
            let plain = "HTTP/1.1 200 -\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"jsonrpc\":";
            let stream = "HTTP/1.1 200 -\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\n: hi\n\n\r\n";
            let head = if seen.rpc["params"]["arguments"]["stream"] == true { stream } else { plain };
            let _ = answer.write(head.as_bytes()).await;
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    for stream in [false, true] {
        let result = Modern::new().call(&gateway, "x__echo", json!({"stream": stream})).await;
        assert_eq!(result["isError"], true, "{result}");
    }
    assert_eq!(upstream.count("tools/call"), 2, "what may have been carried out is not sent again");
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn a_flood_of_notifications_reaches_nobody_whose_it_is_not() {
    let upstream = Fake::modern()
        .on("tools/call", |seen, mut answer| async move {
            answer.open_stream().await;
            let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
            for number in 0..5_000 {
                answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "other", "progress": number}})).await;
                answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": "x"}})).await;
                answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/made/up"})).await;
            }
            answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})).await;
            answer.result_event(text("done")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new().with_meta("progressToken", json!("mine"));
    let answer = client.request(&gateway, "tools/call", json!({"name": "x__echo"})).await;
    let messages = answer.messages();
    assert_eq!(messages.len(), 2, "{:?}", messages.first());
    assert_eq!(messages[0]["params"], json!({"progressToken": "mine", "progress": 1}));
    assert_eq!(text_of(&messages[1]["result"]), "done");
}

// ---- lists ----

#[tokio::test]
async fn lists_without_end_are_given_up_and_the_others_are_listed() {
    let pages = Arc::new(AtomicUsize::new(0));
    let counter = pages.clone();
    let endless = Fake::modern()
        .on("tools/list", move |_, answer| {
            let page = counter.fetch_add(1, Ordering::SeqCst);
            let result = json!({
                "resultType": "complete", "tools": [tool(&format!("t{page}"))], "nextCursor": format!("c{page}"),
                "ttlMs": 0, "cacheScope": "private",
            });
            answer.result(result)
        })
        .start()
        .await;
    let circle = Fake::legacy()
        .on("tools/list", |_, answer| answer.result(json!({"tools": [tool("t")], "nextCursor": "again"})))
        .start()
        .await;
    let good = Fake::modern().start().await;
    let config = json!({"servers": {"endless": endless.config(), "circle": circle.config(), "good": good.config()}});
    let gateway = Gateway::start(&config);
    let listed = Modern::new().result(&gateway, "tools/list", json!({})).await;
    assert_eq!(listed["tools"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["tools"][0]["name"], "good__echo");
    assert_eq!(circle.count("tools/list"), 2);
    let own = Modern::at("/mcp/s/circle").request(&gateway, "tools/list", json!({})).await;
    assert_eq!(own.error_code(), -32603);
    assert!(own.json()["error"]["message"].as_str().unwrap().contains("same cursor twice"));
    until("the endless list to be given up", || async {
        gateway.ready().await["servers"]["endless"]["state"] == "down"
    })
    .await;
    assert!(pages.load(Ordering::SeqCst) <= 1_000);
}

#[tokio::test]
async fn a_tool_that_is_listed_twice_is_listed_once() {
    let mut second = tool("echo");
    second["description"] = json!("an impostor");
    let upstream = Fake::modern().tools(vec![tool("echo"), second, tool("other"), json!({"no": "name"}), json!(7)]).start().await;
    let gateway = Gateway::before(&upstream.config());
    for path in ["/mcp", "/mcp/s/x"] {
        let listed = Modern::at(path).result(&gateway, "tools/list", json!({})).await;
        let tools = listed["tools"].as_array().unwrap();
        assert_eq!(tools.len(), 2, "{listed}");
        assert_eq!(tools[0]["description"], "does echo");
    }
    gateway.logged("lists the same name twice").await;
}

#[tokio::test]
async fn broken_header_annotations_drop_a_tool_of_http_and_are_stripped_from_one_of_stdio() {
    let broken = json!({"name": "broken", "inputSchema": {"type": "object", "properties": {
        "a": {"type": "number", "x-mcp-header": "A"}, "b": {"type": "string", "description": "kept"},
    }}});
    let upstream = Fake::modern().tools(vec![tool("fine"), broken.clone()]).start().await;
    let child = Child::new(&format!("tools = [{broken}]")).await;
    let config = json!({"servers": {"http": upstream.config(), "stdio": child.config()}});
    let gateway = Gateway::start(&config);
    let listed = Modern::new().result(&gateway, "tools/list", json!({})).await;
    let tools = listed["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["http__fine", "stdio__broken"]);
    let properties = &tools[1]["inputSchema"]["properties"];
    assert_eq!(*properties, json!({"a": {"type": "number"}, "b": {"type": "string", "description": "kept"}}));
    let answer = Modern::new().call(&gateway, "stdio__broken", json!({"a": 1})).await;
    assert_eq!(text_of(&answer), r#"{"a": 1}"#, "called without a mirrored header");
}

// ---- children ----

#[tokio::test]
async fn a_child_that_writes_without_newlines_is_stopped_before_it_costs_memory() {
    let child = Child::new(
        r#"
def flood(request):
    while True:
        raw("x" * (1 << 20))
handlers["tools/call"] = flood
"#,
    )
    .await;
    let (gateway, _good) = beside_good(&child.config(), json!({"response_bytes": "1MiB"})).await;
    good_is_unaffected(&gateway).await;
    let before = gateway.memory();
    let said = fails(&gateway).await;
    assert!(said.contains("broke the protocol"), "{said}");
    child.started().await.exited().await;
    assert!(gateway.memory().peak < before.now + ENOUGH, "{before:?} {:?}", gateway.memory());
    good_is_unaffected(&gateway).await;
    until("a fresh start", || async {
        Modern::at("/mcp/s/x").request(&gateway, "tools/list", json!({})).await.json().get("result").is_some()
    })
    .await;
}

#[tokio::test]
async fn a_child_that_floods_notifications_is_read_and_answered() {
    let child = Child::new(
        r#"
def flood(request):
    for number in range(20000):
        raw('{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}\n'
            '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"x"}}\n')
    text(request, "done")
handlers["tools/call"] = flood
"#,
    )
    .await;
    let (gateway, _good) = beside_good(&child.config(), json!({})).await;
    good_is_unaffected(&gateway).await;
    let before = gateway.memory();
    let client = Modern::new();
    let (result, ()) = tokio::join!(client.call(&gateway, "x__echo", json!({})), good_is_unaffected(&gateway));
    assert_eq!(text_of(&result), "done");
    assert!(gateway.memory().peak < before.now + ENOUGH);
}

#[tokio::test]
async fn a_child_that_floods_its_stderr_is_read_and_answered() {
    let child = Child::new(
        r#"
def flood(request):
    for number in range(16):
        sys.stderr.write("x" * (1 << 20))
    sys.stderr.write("\n" * 100000)
    sys.stderr.flush()
    text(request, "done")
handlers["tools/call"] = flood
"#,
    )
    .await;
    let (gateway, _good) = beside_good(&child.config(), json!({})).await;
    good_is_unaffected(&gateway).await;
    let before = gateway.memory();
    assert_eq!(text_of(&Modern::new().call(&gateway, "x__echo", json!({})).await), "done");
    assert!(gateway.memory().peak < before.now + ENOUGH);
}

#[tokio::test]
async fn noise_on_stdout_is_passed_over() {
    let child = Child::new(
        r#"
print("Server starting on stdio...", flush=True)
raw('\n\n{"half": \n[1,2]\n"text"\nnull\n{"jsonrpc":"2.0"}\n')
def call(request):
    raw("debug: here\n")
    send({"id": 4711, "result": {"content": [{"type": "text", "text": "not yours"}]}})
    send({"id": "x", "result": {}})
    send({"id": None, "error": {"code": -1, "message": "?"}})
    text(request, request["params"]["arguments"]["say"])
    text(request, "twice")
handlers["tools/call"] = call
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let client = Modern::new();
    for say in ["one", "two", "three"] {
        let result = client.call(&gateway, "x__echo", json!({"say": say})).await;
        assert_eq!(text_of(&result), say, "each call gets its own answer");
    }
}

#[tokio::test]
async fn a_child_that_dies_takes_its_own_calls_along_and_is_started_again() {
    let child = Child::new(
        r#"
def call(request):
    if request["params"]["arguments"].get("die"):
        order()
        sys.stderr.write("out of luck\n")
        sys.stderr.flush()
        os._exit(7)
    if request["params"]["arguments"].get("wait"):
        return
    text(request, "alive")
handlers["tools/call"] = call
"#,
    )
    .await;
    let (gateway, _good) = beside_good(&child.config(), json!({})).await;
    let client = Modern::new();
    let both = async {
        tokio::join!(
            client.call(&gateway, "x__echo", json!({"wait": true})),
            async {
                let mut process = child.started().await;
                process.message("tools/call").await;
                let dies = client.call(&gateway, "x__echo", json!({"die": true}));
                let (dies, ()) = tokio::join!(dies, async {
                    process.message("tools/call").await;
                    good_is_unaffected(&gateway).await;
                    process.tell(json!({})).await;
                    process.exited().await;
                });
                dies
            }
        )
    };
    let (waited, died) = both.await;
    for result in [waited, died] {
        assert_eq!(result["isError"], true);
        let said = text_of(&result).to_owned();
        assert!(said.contains('7') && said.contains("out of luck"), "{said}");
    }
    assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({})).await), "alive", "after a short backoff");
    child.started().await;
}

#[tokio::test]
async fn a_child_that_cannot_start_is_tried_ever_more_rarely_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("starts");
    let script = format!("echo start >> {}; echo 'no such licence' >&2; exit 3", count.display());
    let server = json!({"command": "sh", "args": ["-c", script]});
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let begin = Instant::now();
    let mut calls = 0;
    until("the backoff to be told", || {
        calls += 1;
        let gateway = &gateway;
        async move {
            let said = fails(gateway).await;
            assert!(said.contains("no such licence"), "{said}");
            said.contains("next attempt in")
        }
    })
    .await;
    for _ in 0..50 {
        fails(&gateway).await;
    }
    let starts = std::fs::read_to_string(&count).unwrap().lines().count();
    assert!(starts <= 12, "{starts} starts in {:?} for {calls} + 50 calls", begin.elapsed());
    let ready = gateway.ready().await;
    assert_eq!(ready["status"], "degraded");
    assert!(ready["servers"]["x"]["reason"].as_str().unwrap().contains("no such licence"), "{ready}");
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn what_a_child_asks_is_answered_or_refused() {
    let child = Child::new(
        r#"
def call(request):
    send({"id": "p", "method": "ping"})
    send({"id": 7, "method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}})
    send({"id": 8, "method": "roots/list"})
    waiting.append(request)
waiting = []
answers = []
def answered(message):
    answers.append(message)
    if len(answers) == 3:
        text(waiting[0], json.dumps(answers))
handlers["tools/call"] = call
handlers[None] = answered
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let result = Modern::new().call(&gateway, "x__echo", json!({})).await;
    let answers: Value = serde_json::from_str(text_of(&result)).unwrap();
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    for (answer, id) in [(&answers[1], 7), (&answers[2], 8)] {
        assert_eq!((answer["id"].clone(), answer["error"]["code"].clone()), (json!(id), json!(-32601)));
    }
}

#[tokio::test]
async fn what_an_http_server_asks_is_answered_or_refused() {
    let upstream = Fake::legacy()
        .on("tools/call", |_, mut answer| async move {
            answer.open_stream().await;
            answer.event(&json!({"jsonrpc": "2.0", "id": "p", "method": "ping"})).await;
            answer.event(&json!({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}})).await;
            answer.result_event(text("done")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    assert_eq!(text_of(&Modern::new().call(&gateway, "x__echo", json!({})).await), "done");
    let mut answers = [upstream.nth("POST", 1).await.rpc, upstream.nth("POST", 2).await.rpc];
    answers.sort_by_key(|answer| answer["id"].is_string());
    assert_eq!((answers[0]["id"].clone(), answers[0]["error"]["code"].clone()), (json!(7), json!(-32601)));
    assert_eq!(answers[1], json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
}

#[tokio::test]
async fn a_child_that_does_not_read_times_its_own_calls_out() {
    let child = Child::new(
        r#"
def call(request):
    order()
handlers["tools/call"] = call
"#,
    )
    .await;
    let mut server = child.config();
    server["call_timeout"] = json!("1500ms");
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let big = json!({"big": "x".repeat(300_000)});
    let client = Modern::new();
    let listed = client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(listed["tools"].as_array().unwrap().len(), 2, "its first call is the one that it chokes on");
    let (first, second, third, ()) = tokio::join!(
        client.call(&gateway, "x__echo", big.clone()),
        client.call(&gateway, "x__echo", big.clone()),
        client.call(&gateway, "x__echo", big.clone()),
        good_is_unaffected(&gateway),
    );
    for result in [first, second, third] {
        assert_eq!(result["isError"], true);
    }
}
