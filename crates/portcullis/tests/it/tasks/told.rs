//! `notifications/tasks` to who listens and `notifications/tasks/status` to sessions, whichever kind of server has the task.

use serde_json::json;

use super::{Course, create, create_legacy, declaring, legacy_server, modern_server};
use crate::harness::{Gateway, Legacy, Modern};

#[tokio::test]
async fn who_listens_is_told_how_a_task_goes_until_it_has_ended() {
    for slug in ["old", "new"] {
        let course = Course::new();
        let server = if slug == "old" { legacy_server(&course).await } else { modern_server(&course).await };
        let gateway = Gateway::before(&server.config());
        let client = declaring("/mcp");
        let id = create(&client, &gateway, "x__slow").await;
        let filter = json!({"notifications": {"taskIds": [id, "nobody's", id]}});
        let (head, mut events) = client.stream(&gateway, "subscriptions/listen", filter).await;
        assert!(head.is_stream());
        let acknowledged = events.message().await.unwrap();
        assert_eq!(acknowledged["params"]["notifications"], json!({"taskIds": [id]}));
        let told = events.message().await.unwrap();
        assert_eq!(told["method"], "notifications/tasks");
        assert_eq!((&told["params"]["taskId"], &told["params"]["status"]), (&json!(id), &json!("working")));
        assert_eq!(told["params"]["_meta"], json!({"io.modelcontextprotocol/subscriptionId": 1}));
        assert!(told["params"].get("resultType").is_none());
        course.complete("done", true);
        let told = events.message().await.unwrap();
        assert_eq!(told["params"]["status"], "completed");
        assert_eq!(told["params"]["result"]["content"][1]["uri"], "mcp+x+db://r");
    }
}

#[tokio::test]
async fn who_did_not_declare_the_extension_listens_to_no_task() {
    let server = modern_server(&Course::new()).await;
    let gateway = Gateway::before(&server.config());
    let filter = json!({"notifications": {"taskIds": ["x"]}});
    let refused = Modern::new().request(&gateway, "subscriptions/listen", filter.clone()).await;
    assert_eq!((refused.status(), refused.error_code()), (400, -32021));
    // Nothing of it is anybody's: acknowledged as nothing, and over.
    let answer = declaring("/mcp").request(&gateway, "subscriptions/listen", filter).await;
    assert_eq!(answer.messages()[0]["params"]["notifications"], json!({}));
    assert_eq!(answer.messages()[1]["result"]["resultType"], "complete");
}

#[tokio::test]
async fn a_session_is_told_how_its_own_tasks_stand() {
    for slug in ["old", "new"] {
        let course = Course::new();
        let server = if slug == "old" { legacy_server(&course).await } else { modern_server(&course).await };
        let gateway = Gateway::before(&server.config());
        let (session, other) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
        let mut events = session.listen(&gateway, None).await;
        let mut nothing = other.listen(&gateway, None).await;
        let id = create_legacy(&session, &gateway, "x__slow").await;
        course.complete("done", true);
        let told = events.message().await.unwrap();
        assert_eq!(told["method"], "notifications/tasks/status", "{told}");
        assert_eq!((&told["params"]["taskId"], &told["params"]["status"]), (&json!(id), &json!("failed")));
        assert!(told["params"]["ttl"].is_u64() && told["params"]["lastUpdatedAt"].is_string(), "{told}");
        assert!(told["params"].get("result").is_none() && told.get("id").is_none(), "{told}");
        // The other one hears of its own task first of all.
        course.set(json!({"status": "working"}));
        let others = create_legacy(&other, &gateway, "x__slow").await;
        course.complete("done", false);
        let told = nothing.message().await.unwrap();
        assert_eq!(
            (&told["params"]["taskId"], &told["params"]["status"]),
            (&json!(others), &json!("completed"))
        );
    }
}
