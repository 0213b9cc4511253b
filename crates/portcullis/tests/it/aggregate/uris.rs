//! Resource URIs in every place where one may stand.

use serde_json::{Value, json};

use super::field;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};

/// Every place in which a server may name a resource.
async fn librarian(fake: Fake) -> Upstream {
    let uri = |seen: &crate::harness::upstream::Seen| seen.rpc["params"]["uri"].clone();
    let mut fake = fake
        .tools(vec![json!({"name": "find", "inputSchema": {"type": "object"}, "_meta": {"ui": {"resourceUri": "ui://app/view"}}})])
        .list("resources", vec![json!({"uri": "db://a/ü?q=1", "name": "a"}), json!({"uri": "https://docs.example/x", "name": "web"})])
        .list("resourceTemplates", vec![json!({"uriTemplate": "db://{table}/rows{?q}", "name": "t"})])
        .list("prompts", vec![json!({"name": "ask"})])
        .on("tools/call", |_, answer| {
            answer.result(json!({"resultType": "complete", "content": [
                {"type": "resource_link", "uri": "db://a/1", "name": "l"},
                {"type": "resource", "resource": {"uri": "db://a/2", "text": "see db://a/3"}},
            ], "structuredContent": {"uri": "db://stays"}}))
        })
        .on("prompts/get", |_, answer| {
            answer.result(json!({"resultType": "complete", "messages": [
                {"role": "user", "content": {"type": "resource", "resource": {"uri": "db://a/4", "text": ""}}},
            ]}))
        })
        .on("resources/read", move |seen, answer| async move {
            if uri(&seen) == "db://none" {
                return answer.error(200, json!({"code": -32002, "message": "no such thing", "data": {"uri": "db://none"}})).await;
            }
            let contents = json!([{"uri": uri(&seen), "text": "1"}, {"uri": "db://a/part", "text": "2"}]);
            answer.result(json!({"resultType": "complete", "contents": contents, "ttlMs": 0, "cacheScope": "private"})).await;
        })
        .on("completion/complete", |seen, answer| {
            answer.result(json!({"resultType": "complete", "completion": {"values": [seen.rpc["params"]["ref"].to_string()]}}))
        });
    fake.capabilities["completions"] = json!({});
    fake.start().await
}

#[tokio::test]
async fn uris_lead_back_from_every_place() {
    let (old, new) = (librarian(Fake::legacy()).await, librarian(Fake::modern()).await);
    let gateway = Gateway::start(&json!({"servers": {"old": old.config(), "new": new.config()}}));
    let client = Modern::new();
    let session = Legacy::open(&gateway).await;
    for (slug, upstream) in [("old", &old), ("new", &new)] {
        let mapped = |uri: &str| format!("mcp+{slug}+{uri}");
        let mine = |items: Vec<Value>, key: &str| -> Vec<String> {
            field(&items, key)
                .into_iter()
                .filter(|uri| uri.contains(slug) || uri.starts_with("https"))
                .collect()
        };
        let listed = client.result(&gateway, "resources/list", json!({})).await["resources"]
            .as_array()
            .unwrap()
            .clone();
        assert!(mine(listed.clone(), "uri").contains(&mapped("db://a/ü?q=1")), "{listed:?}");
        assert!(mine(listed, "uri").contains(&"https://docs.example/x".to_owned()));
        let templates = client.result(&gateway, "resources/templates/list", json!({})).await;
        let templates = mine(templates["resourceTemplates"].as_array().unwrap().clone(), "uriTemplate");
        assert_eq!(templates, [mapped("db://{table}/rows{?q}")]);
        let tools = client.result(&gateway, "tools/list", json!({})).await;
        assert!(tools.to_string().contains(&format!("ui://{slug}+app/view")), "{tools}");

        let name = format!("{slug}__find");
        let ask = format!("{slug}__ask");
        let results = [
            (
                client.call(&gateway, &name, json!({})).await,
                client.result(&gateway, "prompts/get", json!({"name": ask})).await,
            ),
            (
                session.call(&gateway, &name, json!({})).await,
                session.result(&gateway, "prompts/get", json!({"name": ask})).await,
            ),
        ];
        for (result, prompt) in results {
            assert_eq!(result["content"][0]["uri"], mapped("db://a/1"));
            assert_eq!(result["content"][1]["resource"]["uri"], mapped("db://a/2"));
            assert_eq!(result["content"][1]["resource"]["text"], "see db://a/3", "texts stay");
            assert_eq!(result["structuredContent"]["uri"], "db://stays");
            assert_eq!(prompt["messages"][0]["content"]["resource"]["uri"], mapped("db://a/4"));
        }
        for own in ["db://a/ü?q=1", "db://made/up", "ui://app/view"] {
            let asked = match own.strip_prefix("ui://") {
                Some(rest) => format!("ui://{slug}+{rest}"),
                None => mapped(own),
            };
            let body = client.body("resources/read", json!({"uri": asked}));
            let mut headers = Modern::headers(&body);
            for (name, value) in &mut headers {
                if name == "mcp-name" && !asked.is_ascii() {
                    *value = format!("=?base64?{}?=", base64(asked.as_bytes()));
                }
            }
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let read = gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await.json();
            assert_eq!(read["result"]["contents"][0]["uri"], asked, "{read}");
            assert_eq!(read["result"]["contents"][1]["uri"], mapped("db://a/part"));
            let read = session.result(&gateway, "resources/read", json!({"uri": asked})).await;
            assert_eq!(read["contents"][0]["uri"], asked);
            let sent =
                upstream.seen().into_iter().rev().find(|seen| seen.method() == "resources/read").unwrap();
            assert_eq!(sent.rpc["params"]["uri"], own);
        }
        for reference in [
            json!({"type": "ref/prompt", "name": ask}),
            json!({"type": "ref/resource", "uri": mapped("db://{table}/rows{?q}")}),
        ] {
            let params = json!({"ref": reference, "argument": {"name": "table", "value": "a"}});
            let own: [Value; 2] = [
                client.result(&gateway, "completion/complete", params.clone()).await,
                session.result(&gateway, "completion/complete", params).await,
            ];
            for own in own {
                let own: Value =
                    serde_json::from_str(own["completion"]["values"][0].as_str().unwrap()).unwrap();
                match own["type"].as_str() {
                    Some("ref/prompt") => assert_eq!(own["name"], "ask"),
                    _ => assert_eq!(own["uri"], "db://{table}/rows{?q}"),
                }
            }
        }
    }
    let missing = json!({"uri": "mcp+old+db://none"});
    let answers = [
        (client.request(&gateway, "resources/read", missing.clone()).await, -32602),
        (session.request(&gateway, "resources/read", missing).await, -32002),
    ];
    for (answer, code) in answers {
        assert_eq!(answer.error_code(), code);
        assert_eq!(answer.json()["error"]["data"]["uri"], "mcp+old+db://none", "as the client wrote it");
    }
    for nobody in ["mcp+nobody+db://a", "db://unknown", "https://elsewhere.example/"] {
        let answer = client.request(&gateway, "resources/read", json!({"uri": nobody})).await;
        assert_eq!(
            (answer.error_code(), answer.json()["error"]["data"]["uri"].clone()),
            (-32602, json!(nobody))
        );
    }
}

#[tokio::test]
async fn a_web_resource_is_found_without_listing_first() {
    let upstream = librarian(Fake::modern()).await;
    let plain = Fake::modern().start().await;
    let gateway = Gateway::start(&json!({"servers": {"a": plain.config(), "x": upstream.config()}}));
    let read =
        Modern::new().result(&gateway, "resources/read", json!({"uri": "https://docs.example/x"})).await;
    assert_eq!(read["contents"][0]["uri"], "https://docs.example/x");
    assert_eq!(plain.count("resources/read"), 0);
}

#[tokio::test]
async fn a_web_resource_of_a_template_goes_to_the_first_server_that_makes_it() {
    let with = async |name: &'static str, templates: &[&str], resources: &[&str]| {
        let template = |uri: &&str| json!({"uriTemplate": uri, "name": "t"});
        let resource = |uri: &&str| json!({"uri": uri, "name": "r"});
        let fake = Fake::modern()
            .list("resourceTemplates", templates.iter().map(template).collect())
            .list("resources", resources.iter().map(resource).collect())
            .on("resources/read", move |seen, answer| async move {
                let contents = json!([{"uri": seen.rpc["params"]["uri"], "text": name}]);
                answer.result(json!({"resultType": "complete", "contents": contents, "ttlMs": 0, "cacheScope": "private"})).await;
            });
        fake.start().await
    };
    let a = with("a", &["https://docs.example/{page}", "db://{table}"], &[]).await;
    let b = with("b", &["https://docs.example/{+page}"], &["https://docs.example/index"]).await;
    let gateway = Gateway::start(&json!({"servers": {"a": a.config(), "b": b.config()}}));
    let (client, session) = (Modern::new(), Legacy::open(&gateway).await);
    let reads = [
        ("https://docs.example/intro", "a"),
        // Only one of them makes it.
        ("https://docs.example/deep/page?x", "b"),
        // Who lists it goes before who makes it.
        ("https://docs.example/index", "b"),
    ];
    for (uri, whose) in reads {
        let params = json!({"uri": uri});
        let modern = client.result(&gateway, "resources/read", params.clone()).await;
        let legacy = session.result(&gateway, "resources/read", params).await;
        for read in [modern, legacy] {
            assert_eq!(read["contents"][0], json!({"uri": uri, "text": whose}));
        }
    }
    let nobody =
        client.request(&gateway, "resources/read", json!({"uri": "https://elsewhere.example/intro"})).await;
    assert_eq!(nobody.error_code(), -32602);
}

/// RFC 4648 section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let sextet = (word >> (18 - 6 * index)) & 63;
            out.push(if index <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}
