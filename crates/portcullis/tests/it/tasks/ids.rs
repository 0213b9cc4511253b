//! A task id is its owner's: forged, foreign and misplaced ones are no tasks.

use serde_json::json;

use super::{Course, create, declaring, legacy_server, modern_server};
use crate::harness::{Fake, Gateway, Legacy, Modern};

#[tokio::test]
async fn ids_that_are_none_are_unknown_to_everybody() {
    let (old, new) = (legacy_server(&Course::new()).await, modern_server(&Course::new()).await);
    let gateway = Gateway::start(&json!({"servers": {"old": old.config(), "new": new.config()}}));
    let client = declaring("/mcp");
    let id = create(&client, &gateway, "new__slow").await;
    let mut forged = id.clone().into_bytes();
    let last = forged.len() - 1;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let session = Legacy::open(&gateway).await;
    for bad in [super::OWN, "", "x", std::str::from_utf8(&forged).unwrap()] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({"taskId": bad, "inputResponses": {}});
            assert_eq!(client.request(&gateway, method, params).await.error_code(), -32602, "{method} {bad}");
        }
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            let answer = session.request(&gateway, method, json!({"taskId": bad})).await;
            assert_eq!((answer.status(), answer.error_code()), (200, -32602), "{method} {bad}");
        }
    }
}

#[tokio::test]
async fn a_task_is_of_the_endpoint_where_it_was_made() {
    let (old, new) = (legacy_server(&Course::new()).await, modern_server(&Course::new()).await);
    let servers = json!({"old": old.config(), "new": new.config()});
    let all = json!({"tools": [{"from": "old/*"}, {"from": "new/*"}]});
    let toolsets = json!({"desk": all, "other": all});
    let gateway = Gateway::start(&json!({"servers": servers, "toolsets": toolsets}));
    let places = [
        ("/mcp", "new__slow"),
        ("/mcp", "old__slow"),
        ("/mcp/s/new", "slow"),
        ("/mcp/s/old", "slow"),
        ("/mcp/v/desk", "new__slow"),
        ("/mcp/v/other", "old__slow"),
    ];
    let mut made = Vec::new();
    for (path, tool) in places {
        made.push((path, create(&declaring(path), &gateway, tool).await));
    }
    for (path, id) in made {
        let get = json!({"taskId": id});
        assert_eq!(
            declaring(path).result(&gateway, "tasks/get", get.clone()).await["status"],
            "working",
            "{path}"
        );
        let asked = (old.count("tasks/get"), new.count("tasks/get"));
        for (elsewhere, _) in places.iter().filter(|(elsewhere, _)| *elsewhere != path) {
            for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
                let params = json!({"taskId": id, "inputResponses": {}});
                let answer = declaring(elsewhere).request(&gateway, method, params).await;
                assert_eq!(answer.error_code(), -32602, "{method} of {path} at {elsewhere}");
            }
            let session = Legacy::open_at(&gateway, elsewhere, "2025-11-25").await;
            let answer = session.request(&gateway, "tasks/result", get.clone()).await;
            assert_eq!(answer.error_code(), -32602, "tasks/result of {path} at {elsewhere}");
        }
        assert_eq!((old.count("tasks/get"), new.count("tasks/get")), asked, "no server heard of it");
    }
    assert_eq!((old.count("tasks/cancel"), new.count("tasks/cancel")), (0, 0));
}

#[tokio::test]
async fn the_header_names_the_task() {
    let server = modern_server(&Course::new()).await;
    let gateway = Gateway::before(&server.config());
    let client = declaring("/mcp");
    let id = create(&client, &gateway, "x__slow").await;
    let body = client.body("tasks/get", json!({"taskId": id}));
    let headers = Modern::headers(&body);
    let send = async |name: Option<&str>| {
        let headers = headers.iter().filter(|(header, _)| header != "mcp-name" || name.is_some());
        let headers: Vec<_> = headers
            .map(|(header, value)| {
                (header.as_str(), if header == "mcp-name" { name.unwrap() } else { value.as_str() })
            })
            .collect();
        gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await
    };
    assert_eq!(send(Some(&id)).await.status(), 200);
    for wrong in [Some("another"), None] {
        let answer = send(wrong).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32020));
    }
    assert_eq!(server.count("tasks/get"), 1);
}

#[tokio::test]
async fn sessions_list_their_own_tasks() {
    let server = legacy_server(&Course::new()).await;
    let gateway = Gateway::before(&server.config());
    let (one, other) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    super::create_legacy(&one, &gateway, "x__slow").await;
    let count = async |session: &Legacy| {
        session.result(&gateway, "tasks/list", json!({})).await["tasks"].as_array().unwrap().len()
    };
    assert_eq!((count(&one).await, count(&other).await), (1, 0));
}

#[tokio::test]
async fn a_task_without_a_usable_id_is_the_servers_fault() {
    for id in [json!(7), json!(""), json!("x".repeat(10_000)), json!(null)] {
        let mut fake = Fake::modern();
        fake.capabilities["extensions"] = json!({"io.modelcontextprotocol/tasks": {}});
        let server = fake
            .on("tools/call", move |_, answer| {
                let task = json!({"resultType": "task", "taskId": id, "status": "working", "ttlMs": 1});
                answer.result(task)
            })
            .start()
            .await;
        let gateway = Gateway::before(&server.config());
        let result = declaring("/mcp").call(&gateway, "x__echo", json!({})).await;
        assert_eq!((&result["isError"], &result["resultType"]), (&json!(true), &json!("complete")));
    }
}

#[tokio::test]
async fn no_task_is_promised_for_longer_than_its_id_opens() {
    const MONTH: u64 = 30 * 24 * 3_600_000;
    for (said, promised) in
        [(json!(null), MONTH), (json!(u64::MAX / 2), MONTH), (json!(172_800_000), 172_800_000)]
    {
        let mut fake = Fake::modern();
        fake.capabilities["extensions"] = json!({"io.modelcontextprotocol/tasks": {}});
        let task = json!({"taskId": "t", "status": "working", "ttlMs": said, "createdAt": "c", "lastUpdatedAt": "c"});
        let of = |kind: &str| {
            let mut task = task.clone();
            task["resultType"] = json!(kind);
            task
        };
        let (made, got) = (of("task"), of("complete"));
        let server = fake
            .on("tools/call", move |_, answer| answer.result(made.clone()))
            .on("tasks/get", move |_, answer| answer.result(got.clone()))
            .start()
            .await;
        let gateway = Gateway::before(&server.config());
        let client = declaring("/mcp");
        let made = client.call(&gateway, "x__echo", json!({})).await;
        let got = client.result(&gateway, "tasks/get", json!({"taskId": made["taskId"]})).await;
        let session = Legacy::open(&gateway).await;
        let older = super::wish(&session, &gateway, "x__echo").await["task"].clone();
        let older_got = session.result(&gateway, "tasks/get", json!({"taskId": older["taskId"]})).await;
        for ttl in [&made["ttlMs"], &got["ttlMs"], &older["ttl"], &older_got["ttl"]] {
            assert_eq!(*ttl, promised, "{said}");
        }
    }
}
