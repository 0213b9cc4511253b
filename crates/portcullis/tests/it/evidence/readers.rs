//! Reading the log over HTTP: auditors and nobody else, byte for byte, and on record themselves.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{events, start_in, until};
use crate::harness::idp::Idp;
use crate::harness::{Fake, Gateway, Modern, signal, within};

/// A gateway whose auditors are a role's, and the `Authorization` of one of them and of somebody else.
async fn scene() -> (Gateway, String, String) {
    let (gateway, _, auditor, other) = scene_and_config().await;
    (gateway, auditor, other)
}

async fn scene_and_config() -> (Gateway, Value, String, String) {
    let (upstream, idp) = (Fake::modern().start().await, Idp::start().await);
    let folder = tempfile::tempdir().unwrap();
    let mut config = idp.config(&upstream.config());
    config["identity"]["issuers"][0]["groups_claim"] = json!("groups");
    std::fs::write(folder.path().join("all.cedar"), "permit (principal, action, resource);").unwrap();
    config["policy"] = json!({"files": ["all.cedar"], "roles": {"auditor": ["audit"]}});
    let gateway = start_in(folder, "strict", &config);
    let bearer = |subject: &str, groups: Value| {
        format!("Bearer {}", idp.token_with(subject, &json!({"groups": groups, "jti": subject})))
    };
    let (auditor, other) = (bearer("ann", json!(["audit"])), bearer("bob", json!(["staff"])));
    for tool in ["x__echo", "x__echo", "x__none"] {
        let params = json!({"name": tool, "arguments": {}});
        Modern::new().request_with(&gateway, "tools/call", params, &[("authorization", &other)]).await;
    }
    config["audit"] = json!({"mode": "strict", "node": "gw"});
    (gateway, config, auditor, other)
}

/// Who is an auditor no more, or has no token any more, is told nothing more.
#[tokio::test]
async fn whoever_may_not_read_any_more_follows_no_longer() {
    for role_is_gone in [true, false] {
        let (gateway, mut config, auditor, other) = scene_and_config().await;
        let mut connection = gateway.connect().await;
        connection.request("GET", "/api/v1/audit/tail?from=0", &[("authorization", &auditor)], b"").await;
        let head = connection.head().await.expect("an answer");
        let mut tail = connection.into_lines(&head);
        tail.bytes().await.expect("some of the log");
        if role_is_gone {
            config["policy"]["roles"] = json!({"auditor": ["nobody"]});
        } else {
            std::fs::write(gateway.folder().join("revoked.json"), r#"{"tokens": ["ann"]}"#).unwrap();
            config["identity"]["revoked"] = json!({"file": "revoked.json"});
        }
        gateway.rewrite_config(&config);
        signal(gateway.pid(), Signal::HUP);
        gateway.logged("took up the configuration").await;
        let call = json!({"name": "x__echo", "arguments": {"after": 1}});
        Modern::new().request_with(&gateway, "tools/call", call, &[("authorization", &other)]).await;
        within("the end of the stream", async { while tail.bytes().await.is_some() {} }).await;
    }
}

#[tokio::test]
async fn auditors_search_the_log_and_are_on_record_themselves() {
    let (gateway, auditor, other) = scene().await;
    let get = async |path: &str, who: &str| gateway.send("GET", path, &[("authorization", who)], b"").await;
    assert_eq!(get("/api/v1/audit/events", &other).await.status(), 403);
    let found = get("/api/v1/audit/events?tool=echo&kind=exchange&limit=10", &auditor).await;
    assert_eq!((found.status(), found.header("content-type")), (200, Some("application/x-ndjson")));
    let text = found.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // That each was about to be made, and how it ended.
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines.iter().all(|line| line["tool"]["name"] == "echo" && line["kind"] == "exchange"));
    // A line is the record itself: what is hashed.
    let audit = gateway.folder().join("audit");
    let bytes: Vec<u8> = std::fs::read_dir(audit)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect();
    let first = text.lines().next().unwrap().as_bytes();
    assert!(bytes.windows(first.len()).any(|window| window == first));
    let person = lines[0]["who"]["person"].as_str().unwrap();
    let of_person = get(&format!("/api/v1/audit/events?person={person}"), &auditor).await.text();
    assert_eq!(of_person.lines().count(), 6, "two calls, one that named nothing, one refusal: {of_person}");
    let reads: Vec<_> = events(&gateway).into_iter().filter(|event| event["kind"] == "audit").collect();
    assert_eq!(reads.len(), 2);
    assert_eq!(reads[0]["detail"], json!({"what": "searched", "for": "kind=exchange tool=echo limit=10"}));
    assert!(reads[0]["who"]["person"].is_string() && reads[0]["who"]["person"] != person);
    for wrong in ["limit=x", "what=1", "kind=", "tool=%2", "person=bob", "format=x", "since=soon"] {
        assert_eq!(get(&format!("/api/v1/audit/events?{wrong}"), &auditor).await.status(), 400, "{wrong}");
    }
}

/// Which events a search is to find.
type Is<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

/// Each is held against the log itself, and finds some and not all.
#[tokio::test]
async fn auditors_find_events_by_person_server_decision_finding_and_time() {
    let (upstream, idp) = (Fake::modern().start().await, Idp::start().await);
    let folder = tempfile::tempdir().unwrap();
    let mut config = idp.config(&upstream.config());
    config["servers"]["y"] = upstream.config();
    config["identity"]["issuers"][0]["groups_claim"] = json!("groups");
    let policies = "permit (principal, action, resource);
        forbid (principal, action == Action::\"tools/call\", resource == Tool::\"y/echo\");";
    std::fs::write(folder.path().join("all.cedar"), policies).unwrap();
    config["policy"] = json!({"files": ["all.cedar"], "roles": {"auditor": ["audit"]}});
    config["guard"] = json!({"profile": "none", "rules": [{"name": "mail", "entities": ["EMAIL"], "direction": "to-server", "action": "mask"}]});
    let gateway = start_in(folder, "strict", &config);
    let [ann, bob, eve] = [("ann", "audit"), ("bob", "staff"), ("eve", "staff")]
        .map(|(subject, group)| format!("Bearer {}", idp.token_with(subject, &json!({"groups": [group]}))));
    for (who, tool, text) in
        [(&bob, "x__echo", "plain"), (&bob, "y__echo", "plain"), (&eve, "x__echo", "to ann@example.com")]
    {
        let params = json!({"name": tool, "arguments": {"text": text}});
        Modern::new().request_with(&gateway, "tools/call", params, &[("authorization", who)]).await;
    }
    let all = events(&gateway);
    let denied = all.iter().find(|event| event["decision"]["verdict"] == "deny").expect("a denial");
    let bobs = denied["who"]["person"].as_str().map(str::to_owned);
    assert!(bobs.is_some(), "{denied}");
    let finding = all.iter().find_map(|event| event["guard"]["findings"][0]["rule"].as_str());
    let finding = finding.expect("something was found");
    let middle = all[all.len() - 2]["time"]["end_us"].as_i64().unwrap();
    let issuer = idp.issuer.replace(':', "%3A").replace('/', "%2F");
    let wanted: Vec<(String, Is<'_>)> = vec![
        (
            format!("person={issuer}%23bob"),
            Box::new(|event| event["who"]["person"].as_str() == bobs.as_deref()),
        ),
        ("server=y".to_owned(), Box::new(|event| event["server"]["id"] == "y")),
        ("decision=deny".to_owned(), Box::new(|event| event["decision"]["verdict"] == "deny")),
        (
            format!("finding={finding}"),
            Box::new(|event| {
                let findings = event["guard"]["findings"].as_array();
                findings.is_some_and(|all| all.iter().any(|found| found["rule"] == finding))
            }),
        ),
        (format!("since={middle}"), Box::new(|event| event["time"]["end_us"].as_i64().unwrap() >= middle)),
        (format!("until={middle}"), Box::new(|event| event["time"]["end_us"].as_i64().unwrap() < middle)),
    ];
    for (query, is) in wanted {
        let query = format!("/api/v1/audit/events?{query}&limit=1000");
        let found = gateway.send("GET", &query, &[("authorization", &ann)], b"").await.text();
        let ids = |events: &[Value]| events.iter().map(|event| event["id"].to_string()).collect::<Vec<_>>();
        let found: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // What was asked before is in the log as well by now.
        let there: Vec<Value> =
            events(&gateway).into_iter().take(all.len()).filter(|event| is(event)).collect();
        let known = ids(&all);
        let found: Vec<String> = ids(&found).into_iter().filter(|id| known.contains(id)).collect();
        assert_eq!(found, ids(&there), "{query}");
        assert!(!there.is_empty() && there.len() < all.len(), "{query}");
    }
}

#[tokio::test]
async fn auditors_export_in_every_format_and_take_a_proof_away() {
    let (gateway, auditor, _) = scene().await;
    let get = async |path: &str| gateway.send("GET", path, &[("authorization", &auditor)], b"").await;
    let echoes = events(&gateway).iter().filter(|event| event["tool"]["name"] == "echo").count();
    assert!(echoes > 3);
    for (format, media, lines) in [
        ("jsonl", "application/x-ndjson", echoes),
        ("ocsf", "application/x-ndjson", echoes),
        ("otlp", "application/x-ndjson", echoes),
        ("cef", "text/plain; charset=utf-8", echoes),
        ("csv", "text/csv; charset=utf-8", echoes + 1),
    ] {
        let exported = get(&format!("/api/v1/audit/export?tool=echo&newest=true&format={format}")).await;
        assert_eq!((exported.status(), exported.header("content-type")), (200, Some(media)));
        assert_eq!(exported.text().lines().count(), lines, "{format}: {}", exported.text());
    }
    // A checkpoint has to be over what is proved.
    let proof = within("a checkpoint", async {
        loop {
            let proof = get("/api/v1/audit/proof?tool=echo").await;
            if proof.status() == 200 {
                return proof.text();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let report = portcullis_audit::bundle::verify(&proof, &portcullis_audit::verify::Demands::default());
    assert!(report.is_good(), "{report:?}");
    assert_eq!(get("/api/v1/audit/proof?tool=nothing").await.status(), 404);
    let reads: Vec<_> = events(&gateway)
        .into_iter()
        .filter_map(|event| {
            Some(event["detail"]["what"].as_str().filter(|_| event["kind"] == "audit")?.to_owned())
        })
        .collect();
    assert!(reads.contains(&"exported".to_owned()) && reads.contains(&"packed".to_owned()), "{reads:?}");
}

#[tokio::test]
async fn auditors_follow_the_log_as_it_grows() {
    let (gateway, auditor, other) = scene().await;
    let mut connection = gateway.connect().await;
    connection.request("GET", "/api/v1/audit/tail?from=0", &[("authorization", &auditor)], b"").await;
    let head = connection.head().await.expect("an answer");
    assert_eq!(head.status, 200);
    let mut tail = connection.into_lines(&head);
    let mut seen = 0;
    let call = json!({"name": "x__echo", "arguments": {"late": 1}});
    Modern::new().request_with(&gateway, "tools/call", call, &[("authorization", &other)]).await;
    let all = until(&gateway, "the last call", 3, |event| {
        event["tool"]["name"] == "echo" && event["phase"] != "intent"
    })
    .await;
    let last = all.last().unwrap()["id"].as_str().unwrap().to_owned();
    let mut text = String::new();
    while !text.contains(&last) {
        text.push_str(&String::from_utf8(tail.bytes().await.expect("more of the log")).unwrap());
        seen += 1;
    }
    assert!(seen > 0);
    for (number, line) in text.lines().enumerate() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["chain"]["seq"], number, "none is left out and none comes twice");
    }
}
