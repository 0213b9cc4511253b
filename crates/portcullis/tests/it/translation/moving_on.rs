//! Servers that speak another revision from one call to the next, after an upgrade for example: they are asked anew what they
//! speak, and what they refused for it is sent again, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};

use super::CALL;
use crate::harness::client::text_of;
use crate::harness::fake::{text, tool};
use crate::harness::upstream::Seen;
use crate::harness::{Answer, Child, Gateway, Legacy, Modern, Upstream, until};

/// What the server speaks now.
const MODERN: u8 = 0;
const LEGACY: u8 = 1;
/// A revision of the future, and nothing else.
const LATER: u8 = 2;

const SUPPORTED: [&str; 3] = ["2026-07-28", "2025-11-25", "2030-01-01"];

/// A server that is strict about what it speaks, and can be made to speak something else.
async fn strict(speaks: &Arc<AtomicU8>) -> Upstream {
    let speaks = speaks.clone();
    Upstream::start(move |seen, answer| {
        let now = speaks.load(Ordering::SeqCst);
        async move { take(now, &seen, answer).await }
    })
    .await
}

async fn take(now: u8, seen: &Seen, answer: Answer) {
    let claimed = seen.header("mcp-protocol-version");
    let is_modern = claimed == Some(SUPPORTED[usize::from(MODERN)]);
    let wrong = match now {
        MODERN => !is_modern,
        LEGACY => is_modern,
        _ => true,
    };
    match seen.method() {
        "GET" => answer.send(405, &[], b"").await,
        "DELETE" => answer.send(200, &[], b"").await,
        // Nothing in its headers that a modern server could read.
        _ if wrong && now == MODERN => {
            answer.error(400, json!({"code": -32020, "message": "Mcp-Method is missing"})).await;
        }
        _ if wrong => {
            let data = json!({"supported": [SUPPORTED[usize::from(now)]], "requested": claimed});
            let error = json!({"code": -32022, "message": "unsupported protocol version", "data": data});
            answer.error(400, error).await;
        }
        "initialize" => {
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "strict", "version": "1"},
            });
            let message = json!({"jsonrpc": "2.0", "id": answer.id, "result": result});
            let headers = [("content-type", "application/json"), ("mcp-session-id", "s")];
            answer.send(200, &headers, message.to_string().as_bytes()).await;
        }
        "server/discover" => {
            answer
                .result(json!({
                    "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                    "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                }))
                .await;
        }
        "tools/list" => {
            let hints = json!({"resultType": "complete", "ttlMs": 60_000, "cacheScope": "public"});
            let mut result = if now == MODERN { hints } else { json!({}) };
            result["tools"] = json!([tool("echo")]);
            answer.result(result).await;
        }
        CALL => answer.result(text(["in modern", "in legacy"][usize::from(now)])).await,
        _ if seen.rpc.get("id").is_none() => answer.accepted().await,
        _ => answer.result(json!({})).await,
    }
}

/// How a client of each era is answered.
async fn both(gateway: &Gateway, session: &Legacy) -> [Value; 2] {
    let modern = Modern::new().call(gateway, "x__echo", json!({})).await;
    [modern, session.call(gateway, "x__echo", json!({})).await]
}

#[tokio::test]
async fn a_server_that_moves_to_another_era_is_followed_there_and_back() {
    let speaks = Arc::new(AtomicU8::new(MODERN));
    let server = strict(&speaks).await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open(&gateway).await;
    for (now, said) in [(MODERN, "in modern"), (LEGACY, "in legacy"), (MODERN, "in modern")] {
        speaks.store(now, Ordering::SeqCst);
        for result in both(&gateway, &session).await {
            assert_eq!((text_of(&result), &result["isError"]), (said, &Value::Null), "{result}");
        }
    }
}

#[tokio::test]
async fn a_server_that_has_nothing_in_common_any_more_is_said_to_have_failed() {
    let speaks = Arc::new(AtomicU8::new(MODERN));
    let server = strict(&speaks).await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open(&gateway).await;
    both(&gateway, &session).await;
    speaks.store(LATER, Ordering::SeqCst);
    for result in both(&gateway, &session).await {
        assert_eq!(result["isError"], true, "{result}");
        assert!(text_of(&result).contains("server `x`"), "{result}");
    }
    // No client is told to speak something else: it is not its revision that the server does not know.
    let params = json!({"uri": "db://a"});
    let read = Modern::new().request(&gateway, "resources/read", params).await;
    assert_ne!(read.error_code(), -32022, "{read:?}");
    // Once it has something in common again, it is found again.
    speaks.store(LEGACY, Ordering::SeqCst);
    until("the server", async || {
        both(&gateway, &session).await.iter().all(|result| result["isError"].is_null())
    })
    .await;
}

/// A child that is modern while the file says so, and says at each call if it does not any more.
const MOVES_ON: &str = r#"
def speaks():
    return open(os.environ["SPEAKS"]).read()

mine = speaks()
refusal = {"code": -32022, "message": "unsupported protocol version",
           "data": {"supported": ["2025-11-25"], "requested": "2026-07-28"}}
def call(request):
    if speaks() != mine:
        send({"id": request["id"], "error": refusal})
    else:
        text(request, "in " + mine, resultType="complete")
handlers["tools/call"] = call
if mine == "modern":
    hints = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "public"}
    handlers.pop("initialize")
    handlers["tools/list"] = lambda r: answer(r, dict(hints, tools=tools))
    handlers["server/discover"] = lambda r: answer(r, dict(
        hints, supportedVersions=["2026-07-28"], capabilities=capabilities))
"#;

#[tokio::test]
async fn a_child_that_moves_to_another_era_is_started_anew() {
    let child = Child::new(MOVES_ON).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("speaks");
    let mut config = child.config();
    config["era"] = json!("auto");
    config["env"] = json!({"SPEAKS": file});
    std::fs::write(&file, "modern").unwrap();
    let gateway = Gateway::before(&config);
    let session = Legacy::open(&gateway).await;
    for result in both(&gateway, &session).await {
        assert_eq!(text_of(&result), "in modern");
    }
    std::fs::write(&file, "legacy").unwrap();
    let progress = Modern::new().with_meta("progressToken", json!("p"));
    let result = progress.call(&gateway, "x__echo", json!({})).await;
    assert_eq!(text_of(&result), "in legacy");
    for result in both(&gateway, &session).await {
        assert_eq!(text_of(&result), "in legacy");
    }
}
