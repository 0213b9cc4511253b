//! Keys that change while clients hold what they sealed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::harness::fake::tool;
use crate::harness::http::Response;
use crate::harness::{Fake, Gateway, Legacy, Modern, until};
use crate::interactive::{accepted, asking_over_http, everything, form, got};
use crate::tasks::{Course, create, declaring, modern_server};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// How long a key seals here.
const PERIOD: Duration = Duration::from_secs(4);

/// A client whose call waits for it, and what it has to come back with.
struct Parked {
    client: Modern,
    params: Value,
}

impl Parked {
    async fn call(gateway: &Gateway) -> Self {
        let client = Modern::at("/mcp/s/ask").with_meta(CAPABILITIES, everything());
        let mut params = json!({"name": "echo", "arguments": {}});
        let round = client.result(gateway, "tools/call", params.clone()).await;
        assert_eq!(round["resultType"], "input_required", "{round}");
        params["requestState"] = round["requestState"].clone();
        let key = round["inputRequests"].as_object().unwrap().keys().next().unwrap();
        params["inputResponses"] = json!({key: accepted("Ann")});
        Self { client, params }
    }

    async fn answer(&self, gateway: &Gateway) -> Response {
        self.client.request(gateway, "tools/call", self.params.clone()).await
    }
}

fn refused(answer: &Response) -> (i64, String) {
    (answer.error_code(), answer.json()["error"]["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_clients_hold_outlives_one_rotation_and_not_two() {
    let (ask, course) = (asking_over_http(vec![form("who?")]).await, Course::new());
    let tools = (0..1001).map(|number| tool(&format!("t{number}"))).collect();
    let (many, slow) = (Fake::modern().tools(tools).start().await, modern_server(&course).await);
    let gateway = Gateway::start(&json!({
        "servers": {"ask": ask.config(), "many": many.config(), "slow": slow.config()},
        "limits": {"key_rotation": "4s"},
    }));
    let rotations = || gateway.log().matches("seals with another key").count();
    let many = Modern::at("/mcp/s/many");
    let page = async |cursor: &Value| many.request(&gateway, "tools/list", json!({"cursor": cursor})).await;
    let tasks = declaring("/mcp/s/slow");
    let task_is = async |id: &str| {
        tasks.request(&gateway, "tasks/get", json!({"taskId": id})).await.json()["result"]["status"].clone()
    };
    // What is slow at first is done before the clock is looked at.
    many.result(&gateway, "tools/list", json!({})).await;
    let before = rotations();
    until("a rotation", async || rotations() > before).await;

    // In the middle of a key's time.
    let began = Instant::now();
    sleep_until(began + PERIOD / 4).await;
    let cursor = many.result(&gateway, "tools/list", json!({})).await["nextCursor"].clone();
    let sealed = Instant::now();
    let (parked, forgotten) = (Parked::call(&gateway).await, Parked::call(&gateway).await);
    let task = create(&tasks, &gateway, "slow").await;
    let session = Legacy::open(&gateway).await;
    assert_eq!(rotations(), before + 1);

    until("the next rotation", async || rotations() > before + 1).await;
    let second = page(&cursor).await;
    assert_eq!(second.json()["result"]["tools"].as_array().map(Vec::len), Some(1), "{second:?}");
    let answer = parked.answer(&gateway).await;
    assert_eq!(got(&answer.json()["result"]), json!([accepted("Ann")]));
    assert_eq!(task_is(&task).await, "working");
    assert_eq!(session.request(&gateway, "ping", json!({})).await.status(), 200);
    let elsewhere = Modern::new().request(&gateway, "tools/list", json!({"cursor": cursor})).await;
    let (code, why) = refused(&elsewhere);
    assert!(code == -32602 && why.contains("belongs to another list"), "{why}");

    // A key opens for longer than what it has sealed lasts.
    sleep_until(sealed + PERIOD + Duration::from_millis(100)).await;
    assert_eq!(rotations(), before + 2);
    let (code, why) = refused(&page(&cursor).await);
    assert!(code == -32602 && why.contains("has expired"), "{why}");

    until("one rotation more", async || rotations() > before + 2).await;
    let (code, why) = refused(&page(&cursor).await);
    assert!(code == -32602 && why.contains("is not one of this gateway's"), "{why}");
    let (code, why) = refused(&forgotten.answer(&gateway).await);
    assert_eq!(code, -32602, "{why}");
    // These last as long as what they name.
    assert_eq!(task_is(&task).await, "working");
    course.set(json!({"status": "completed", "result": {"content": []}}));
    assert_eq!(task_is(&task).await, "completed");
    assert_eq!(session.request(&gateway, "ping", json!({})).await.status(), 200);
    assert_eq!(session.delete(&gateway).await.status(), 204);
    assert_eq!(session.request(&gateway, "ping", json!({})).await.status(), 404);
}
