//! Long lists, whole and in order, under names that lead back.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{field, pages};
use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};

/// A legacy server that lists these tools in pages of 100.
async fn paged(names: Vec<String>) -> Upstream {
    let names = Arc::new(names);
    Fake::legacy()
        .on("tools/list", move |seen, answer| {
            let start = match seen.rpc["params"].get("cursor") {
                // An empty cursor is a cursor too.
                Some(cursor) if cursor == "" => 100,
                Some(cursor) => cursor.as_str().unwrap().parse().unwrap(),
                None => 0,
            };
            let end = names.len().min(start + 100);
            let tools: Vec<Value> = names[start..end].iter().map(|name| tool(name)).collect();
            let mut result = json!({"tools": tools});
            if end < names.len() {
                result["nextCursor"] = if start == 0 { json!("") } else { json!(end.to_string()) };
            }
            answer.result(result)
        })
        .start()
        .await
}

#[tokio::test]
async fn thousands_of_tools_come_through_whole_and_in_order() {
    let long = |number: usize| {
        format!("{}.{number}/{}", "deeply.nested".repeat(1 + number % 9), "é".repeat(number % 3))
    };
    let many: Vec<Vec<String>> = vec![
        (0..1000).map(|number| format!("tool_{number}")).collect(),
        (0..1000).map(long).collect(),
        (0..500)
            .rev()
            .map(|number| format!("{}{number}", if number % 2 == 0 { "Run" } else { "run" }))
            .collect(),
    ];
    let servers = [paged(many[0].clone()).await, paged(many[1].clone()).await, paged(many[2].clone()).await];
    let config =
        json!({"servers": {"c": servers[2].config(), "a": servers[0].config(), "b": servers[1].config()}});
    let gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    let client = Modern::new();
    let old = field(
        &pages(async |params| session.result(&gateway, "tools/list", params).await, "tools").await,
        "name",
    );
    let new = pages(async |params| client.result(&gateway, "tools/list", params).await, "tools").await;
    let names = field(&new, "name");
    assert_eq!(names.len(), 2_500);
    assert_eq!(names, old, "the same for both eras");
    assert_eq!(
        names.iter().map(|name| name.to_lowercase()).collect::<HashSet<_>>().len(),
        2_500,
        "all different"
    );
    for name in &names {
        assert!(
            name.len() <= 64
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)),
            "{name}"
        );
    }
    let descriptions = field(&new, "description");
    let expected: Vec<String> = many.iter().flatten().map(|name| format!("does {name}")).collect();
    assert_eq!(descriptions, expected, "by slug, then as the server lists");
    for index in [0, 999, 1000, 1001, 1777, 1999, 2000, 2001, 2499] {
        let (server, own) = (index / 1000, &many[index / 1000][index % 1000]);
        let before = servers[server].count("tools/call");
        let result = client.call(&gateway, &names[index], json!({"index": index})).await;
        assert_eq!(text_of(&result), format!("{{\"index\":{index}}}"));
        let sent = servers[server].nth("tools/call", before + 1).await;
        assert_eq!(sent.rpc["params"]["name"], json!(own));
    }
    assert_eq!(
        servers.iter().map(|server| server.count("tools/list")).sum::<usize>(),
        50,
        "25 pages for each era"
    );
}
