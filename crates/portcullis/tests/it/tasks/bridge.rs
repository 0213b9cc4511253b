//! A task that a server makes, as clients of both eras see it.

use serde_json::{Value, json};

use super::{
    Course, EXTENSION, OWN, RELATED, create, create_legacy, declaring, legacy_server, modern_server,
};
use crate::harness::client::LEGACY;
use crate::harness::{Gateway, Legacy, Modern, Upstream};

struct Cell {
    slug: &'static str,
    course: Course,
    server: Upstream,
    gateway: Gateway,
}

async fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for slug in ["old", "new"] {
        let course = Course::new();
        let server = if slug == "old" { legacy_server(&course).await } else { modern_server(&course).await };
        let gateway = Gateway::start(&json!({"servers": {slug: server.config()}}));
        cells.push(Cell { slug, course, server, gateway });
    }
    cells
}

#[tokio::test]
async fn a_modern_client_gets_result_and_error_inside_the_task() {
    for Cell { slug, course, server, gateway } in cells().await {
        for (path, name) in
            [("/mcp".to_owned(), format!("{slug}__slow")), (format!("/mcp/s/{slug}"), "slow".to_owned())]
        {
            let client = declaring(&path);
            let get = async |id: &str| client.result(&gateway, "tasks/get", json!({"taskId": id})).await;
            let uri = if path == "/mcp" { format!("mcp+{slug}+db://r") } else { "db://r".to_owned() };
            course.set(json!({"status": "working"}));
            let id = create(&client, &gateway, &name).await;
            assert!(!id.contains(OWN), "the id is the gateway's own");
            let task = get(&id).await;
            assert_eq!(
                (&task["status"], &task["taskId"], &task["resultType"]),
                (&json!("working"), &json!(id), &json!("complete"))
            );
            assert!(task["ttlMs"].is_u64() && task.get("ttl").is_none(), "{task}");

            for failed in [false, true] {
                course.complete("done", failed);
                let task = get(&id).await;
                // What a tool calls a failure is a completed task of the extension.
                assert_eq!(task["status"], "completed", "{task}");
                assert_eq!(task["result"]["isError"], failed);
                assert_eq!(task["result"]["content"][0]["text"], "done");
                assert_eq!(task["result"]["content"][1]["uri"], uri);
                assert!(task["result"]["_meta"].get(RELATED).is_none(), "{task}");
            }
            course.fail();
            let task = get(&id).await;
            assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!(-5)));
            assert!(task.get("result").is_none());
            let ack = client.result(&gateway, "tasks/cancel", json!({"taskId": id})).await;
            assert_eq!((&ack["resultType"], ack.get("taskId")), (&json!("complete"), None), "idempotent");

            course.set(json!({"status": "working"}));
            let ack = client.result(&gateway, "tasks/cancel", json!({"taskId": id})).await;
            assert_eq!((&ack["resultType"], ack.get("status")), (&json!("complete"), None));
            assert_eq!(get(&id).await["status"], "cancelled");
        }
        assert!(server.count("tasks/cancel") >= 2);
    }
}

#[tokio::test]
async fn a_legacy_client_waits_for_the_result_of_its_task() {
    for Cell { slug, course, server: _server, gateway } in cells().await {
        for (path, name) in
            [("/mcp".to_owned(), format!("{slug}__slow")), (format!("/mcp/s/{slug}"), "slow".to_owned())]
        {
            let session = Legacy::open_at(&gateway, &path, LEGACY).await;
            let ask =
                async |method: &str, id: &str| session.result(&gateway, method, json!({"taskId": id})).await;
            let uri = if path == "/mcp" { format!("mcp+{slug}+db://r") } else { "db://r".to_owned() };
            course.set(json!({"status": "working"}));
            let id = create_legacy(&session, &gateway, &name).await;
            let task = ask("tasks/get", &id).await;
            assert_eq!((&task["status"], &task["taskId"]), (&json!("working"), &json!(id)));
            assert!(
                task.get("ttlMs").is_none() && task["ttl"].is_u64() && task.get("resultType").is_none(),
                "{task}"
            );
            let listed = session.result(&gateway, "tasks/list", json!({})).await;
            assert_eq!(listed["tasks"][0]["taskId"], json!(id));

            let (result, ()) = tokio::join!(ask("tasks/result", &id), async {
                tokio::task::yield_now().await;
                course.complete("done", true);
            });
            assert_eq!(result["content"][0]["text"], "done");
            assert_eq!(result["content"][1]["uri"], uri);
            assert_eq!(result["_meta"][RELATED]["taskId"], json!(id));
            assert!(result.get("resultType").is_none());
            assert_eq!(ask("tasks/get", &id).await["status"], "failed", "the tool said so");
            let listed = session.result(&gateway, "tasks/list", json!({})).await;
            assert_eq!(listed["tasks"][0]["status"], "failed");
            let refused = session.request(&gateway, "tasks/cancel", json!({"taskId": id})).await;
            assert_eq!(refused.error_code(), -32602, "it is over");

            course.fail();
            let failed = session.request(&gateway, "tasks/result", json!({"taskId": id})).await;
            assert_eq!(failed.error_code(), -5);

            course.set(json!({"status": "working"}));
            let cancelled = ask("tasks/cancel", &id).await;
            assert_eq!((&cancelled["status"], &cancelled["taskId"]), (&json!("cancelled"), &json!(id)));
            // Whatever a server with the extension makes of it: cancelled is cancelled.
            if slug == "new" {
                course.complete("late", false);
            }
            assert_eq!(ask("tasks/get", &id).await["status"], "cancelled");
        }
    }
}

#[tokio::test]
async fn tasks_are_declared_in_each_eras_words() {
    for Cell { slug, gateway, .. } in cells().await {
        for path in ["/mcp".to_owned(), format!("/mcp/s/{slug}")] {
            let found = Modern::at(&path).result(&gateway, "server/discover", json!({})).await;
            assert_eq!(found["capabilities"]["extensions"][EXTENSION], json!({}));
            assert!(found["capabilities"].get("tasks").is_none());
            let session = Legacy::open_at(&gateway, &path, LEGACY).await;
            let expected = json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}});
            assert_eq!(session.welcome["capabilities"]["tasks"], expected);
            let older = Legacy::open_at(&gateway, &path, "2025-06-18").await;
            assert!(older.welcome["capabilities"].get("tasks").is_none());

            let prefix = if path == "/mcp" { format!("{slug}__") } else { String::new() };
            let support = |list: &Value, name: &str| {
                let tools = list["tools"].as_array().unwrap();
                let tool = tools.iter().find(|tool| tool["name"] == format!("{prefix}{name}")).unwrap();
                tool.get("execution").map(|execution| execution["taskSupport"].clone())
            };
            let modern = Modern::at(&path).result(&gateway, "tools/list", json!({})).await;
            let legacy = session.result(&gateway, "tools/list", json!({})).await;
            assert_eq!(support(&modern, "slow"), None);
            assert_eq!(support(&legacy, "slow"), Some(json!("optional")));
            // Which of its calls become tasks, a server with the extension decides for itself.
            let quick = (slug == "new").then(|| json!("optional"));
            assert_eq!(support(&legacy, "quick"), quick);
        }
    }
}

#[tokio::test]
async fn whoever_has_no_tasks_is_asked_for_none() {
    for Cell { slug, course, server, gateway } in cells().await {
        let path = format!("/mcp/s/{slug}");
        let plain = Modern::at(&path);
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let answer = plain.request(&gateway, method, json!({"taskId": "x", "inputResponses": {}})).await;
            assert_eq!((answer.status(), answer.error_code()), (400, -32021), "{method}");
            let needed = &answer.json()["error"]["data"]["requiredCapabilities"]["extensions"];
            assert_eq!(needed[EXTENSION], json!({}));
        }
        for method in ["tasks/result", "tasks/list"] {
            let answer = declaring(&path).request(&gateway, method, json!({"taskId": "x"})).await;
            assert_eq!((answer.status(), answer.error_code()), (404, -32601), "{method}");
        }
        let older = Legacy::open_at(&gateway, &path, "2025-06-18").await;
        for method in ["tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update"] {
            let answer = older.request(&gateway, method, json!({"taskId": "x"})).await;
            assert_eq!((answer.status(), answer.error_code()), (200, -32601), "{method}");
        }
        // The extension under an older revision counts as not declared, and so does a wish that the revision has not.
        course.complete("done", false);
        let declared = json!({"extensions": {EXTENSION: {}}});
        let session = Legacy::open_with(&gateway, &path, LEGACY, declared).await;
        let result = session.call(&gateway, "slow", json!({})).await;
        assert!(result.get("task").is_none() && result["content"].is_array(), "{result}");
        let params = json!({"name": "quick", "arguments": {}, "task": {"ttl": 1}});
        let result = older.result(&gateway, "tools/call", params.clone()).await;
        assert_eq!(result["content"][0]["text"], "at once");
        // Nor does a wish of 2025-11-25 make a task for a modern client.
        let result = declaring(&path).result(&gateway, "tools/call", params).await;
        assert_eq!(result["content"][0]["text"], "at once");
        let wishes = server.seen().into_iter().filter(|seen| seen.rpc["params"].get("task").is_some());
        assert_eq!(wishes.count(), 0);
    }
}
