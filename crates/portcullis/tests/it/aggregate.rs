//! Many servers as one: complete lists, names and URIs that lead back, freshness, and bytes that nobody touches.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Upstream, until};

/// Every page of a list, through one client's eyes.
async fn pages(list: impl AsyncFn(Value) -> Value, member: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut params = json!({});
    loop {
        let page = list(params).await;
        items.extend(page[member].as_array().unwrap().clone());
        match page.get("nextCursor") {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return items,
        }
    }
}

fn field(items: &[Value], key: &str) -> Vec<String> {
    items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

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
    let long = |number: usize| format!("{}.{number}/{}", "deeply.nested".repeat(1 + number % 9), "é".repeat(number % 3));
    let many: Vec<Vec<String>> = vec![
        (0..1000).map(|number| format!("tool_{number}")).collect(),
        (0..1000).map(long).collect(),
        (0..500).rev().map(|number| format!("{}{number}", if number % 2 == 0 { "Run" } else { "run" })).collect(),
    ];
    let servers = [paged(many[0].clone()).await, paged(many[1].clone()).await, paged(many[2].clone()).await];
    let config = json!({"servers": {"c": servers[2].config(), "a": servers[0].config(), "b": servers[1].config()}});
    let gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    let client = Modern::new();
    let old = field(&pages(async |params| session.result(&gateway, "tools/list", params).await, "tools").await, "name");
    let new = pages(async |params| client.result(&gateway, "tools/list", params).await, "tools").await;
    let names = field(&new, "name");
    assert_eq!(names.len(), 2_500);
    assert_eq!(names, old, "the same for both eras");
    assert_eq!(names.iter().map(|name| name.to_lowercase()).collect::<HashSet<_>>().len(), 2_500, "all different");
    for name in &names {
        assert!(name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
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
    assert_eq!(servers.iter().map(|server| server.count("tools/list")).sum::<usize>(), 50, "25 pages for each era");
}

// ---- URIs ----

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
            field(&items, key).into_iter().filter(|uri| uri.contains(slug) || uri.starts_with("https")).collect()
        };
        let listed = client.result(&gateway, "resources/list", json!({})).await["resources"].as_array().unwrap().clone();
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
            (client.call(&gateway, &name, json!({})).await, client.result(&gateway, "prompts/get", json!({"name": ask})).await),
            (session.call(&gateway, &name, json!({})).await, session.result(&gateway, "prompts/get", json!({"name": ask})).await),
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
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let read = gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await.json();
            assert_eq!(read["result"]["contents"][0]["uri"], asked, "{read}");
            assert_eq!(read["result"]["contents"][1]["uri"], mapped("db://a/part"));
            let read = session.result(&gateway, "resources/read", json!({"uri": asked})).await;
            assert_eq!(read["contents"][0]["uri"], asked);
            let sent = upstream.seen().into_iter().rev().find(|seen| seen.method() == "resources/read").unwrap();
            assert_eq!(sent.rpc["params"]["uri"], own);
        }
        for reference in [json!({"type": "ref/prompt", "name": ask}), json!({"type": "ref/resource", "uri": mapped("db://{table}/rows{?q}")})] {
            let params = json!({"ref": reference, "argument": {"name": "table", "value": "a"}});
            let own: [Value; 2] = [
                client.result(&gateway, "completion/complete", params.clone()).await,
                session.result(&gateway, "completion/complete", params).await,
            ];
            for own in own {
                let own: Value = serde_json::from_str(own["completion"]["values"][0].as_str().unwrap()).unwrap();
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
        assert_eq!((answer.error_code(), answer.json()["error"]["data"]["uri"].clone()), (-32602, json!(nobody)));
    }
}

#[tokio::test]
async fn a_web_resource_is_found_without_listing_first() {
    let upstream = librarian(Fake::modern()).await;
    let plain = Fake::modern().start().await;
    let gateway = Gateway::start(&json!({"servers": {"a": plain.config(), "x": upstream.config()}}));
    let read = Modern::new().result(&gateway, "resources/read", json!({"uri": "https://docs.example/x"})).await;
    assert_eq!(read["contents"][0]["uri"], "https://docs.example/x");
    assert_eq!(plain.count("resources/read"), 0);
}

/// RFC 4648 section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let sextet = (word >> (18 - 6 * index)) & 63;
            out.push(if index <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}

// ---- greeting ----

#[tokio::test]
async fn the_greeting_is_the_union_of_what_is_behind() {
    let mut first = Fake::modern().list("prompts", vec![]);
    first.instructions = Some("Use the first one.".to_owned());
    let mut second = Fake::legacy().list("resources", vec![]);
    second.instructions = Some("Never use the second one.".to_owned());
    second.capabilities["logging"] = json!({});
    let (first, second) = (first.start().await, second.start().await);
    let gateway = Gateway::start(&json!({"servers": {"one": first.config(), "two": second.config()}}));
    let hello = Modern::new().result(&gateway, "server/discover", json!({})).await;
    let session = Legacy::open(&gateway).await;
    for said in [&hello, &session.welcome] {
        for capability in ["tools", "prompts", "resources", "logging"] {
            assert!(said["capabilities"].get(capability).is_some(), "{capability}: {said}");
        }
        assert!(said["capabilities"].get("completions").is_none());
        let instructions = said["instructions"].as_str().unwrap();
        let (one, two) = (instructions.find("Use the first").unwrap(), instructions.find("Never use the second").unwrap());
        assert!(one < two && instructions[..one].contains("one") && instructions[one..two].contains("two"), "{instructions}");
    }
    assert_eq!(hello["supportedVersions"][0], "2026-07-28");
    assert_eq!(hello["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "portcullis");
    assert_eq!(session.welcome["serverInfo"]["name"], "portcullis");
    let own = Modern::at("/mcp/s/one").result(&gateway, "server/discover", json!({})).await;
    assert_eq!(own["instructions"], "Use the first one.");
    assert_eq!(own["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "fake");
    let empty = session.result(&gateway, "prompts/list", json!({})).await;
    assert_eq!(empty["prompts"], json!([]));
}

// ---- freshness ----

#[tokio::test]
async fn lists_are_kept_as_long_as_their_server_allows() {
    let with = async |hints| {
        let mut fake = Fake::modern();
        fake.hints = hints;
        fake.start().await
    };
    let (public, private, stale) = (with((60_000, "public")).await, with((30_000, "private")).await, with((0, "public")).await);
    let old = Fake::legacy().start().await;
    let mut forgetful = old.config();
    forgetful["list_ttl"] = json!("0s");
    let config = json!({"servers": {
        "public": public.config(), "private": private.config(), "stale": stale.config(), "old": old.config(), "forgetful": forgetful,
    }});
    let gateway = Gateway::start(&config);
    for _ in 0..4 {
        Modern::new().result(&gateway, "tools/list", json!({})).await;
    }
    let counts = [&public, &private, &stale].map(|upstream| upstream.count("tools/list"));
    assert_eq!(counts, [1, 1, 4]);
    assert_eq!(old.count("tools/list"), 1 + 4, "kept for five minutes, and asked every time");
    for _ in 0..4 {
        for server in ["public", "private", "stale", "old", "forgetful"] {
            Modern::new().call(&gateway, &format!("{server}__echo"), json!({})).await;
        }
    }
    let counts = [&public, &private, &stale].map(|upstream| upstream.count("tools/list"));
    assert_eq!((counts, old.count("tools/list")), ([1, 1, 4], 5), "calls list nothing");
    let promise = async |path: &str| {
        let listed = Modern::at(path).result(&gateway, "tools/list", json!({})).await;
        (listed["ttlMs"].as_u64().unwrap(), listed["cacheScope"].as_str().unwrap().to_owned())
    };
    let (ttl, scope) = promise("/mcp/s/public").await;
    assert!(ttl > 30_000 && ttl <= 60_000 && scope == "public", "{ttl} {scope}");
    let (ttl, scope) = promise("/mcp/s/private").await;
    assert!(ttl > 0 && ttl <= 30_000 && scope == "private", "{ttl} {scope}");
    assert_eq!(promise("/mcp/s/old").await, (0, "private".to_owned()), "nothing was promised");
    assert_eq!(promise("/mcp").await, (0, "private".to_owned()), "the least of all");
    assert_eq!(promise("/mcp/s/stale").await, (0, "public".to_owned()));
}

#[tokio::test]
async fn a_change_of_a_child_reaches_sessions_and_the_next_list_is_fresh() {
    let child = Child::new(
        r#"
def call(request):
    tools.append({"name": "grown", "inputSchema": {"type": "object"}})
    send({"method": "notifications/tools/list_changed"})
    text(request, "grew")
handlers["tools/call"] = call
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let session = Legacy::open(&gateway).await;
    let other = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    let mut streams = [session.listen(&gateway, None).await, other.listen(&gateway, None).await];
    for stream in &mut streams {
        assert!(stream.next().await.unwrap().comment.is_some(), "it is open");
    }
    let names = async |client: &Modern| {
        field(client.result(&gateway, "tools/list", json!({})).await["tools"].as_array().unwrap(), "name")
    };
    assert_eq!(names(&Modern::new()).await, ["x__echo"]);
    assert_eq!(text_of(&session.call(&gateway, "x__echo", json!({})).await), "grew");
    for stream in &mut streams {
        let told = stream.message().await.unwrap();
        assert_eq!(told, json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    }
    assert_eq!(names(&Modern::new()).await, ["x__echo", "x__grown"]);
    assert_eq!(names(&Modern::at("/mcp/s/x")).await, ["echo", "grown"]);
    let grown = Modern::new().call(&gateway, "x__grown", json!({})).await;
    assert_eq!(text_of(&grown), "grew");
}

#[tokio::test]
async fn a_change_on_the_stream_of_a_server_reaches_sessions() {
    let (changed, flag) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (bell, grown) = (changed.clone(), flag.clone());
    let upstream = Fake::legacy()
        .on("GET", move |_, mut answer| {
            let bell = bell.clone();
            async move {
                answer.open_stream().await;
                loop {
                    bell.notified().await;
                    answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})).await;
                }
            }
        })
        .on("tools/list", move |_, answer| {
            let tools = if grown.load(Ordering::SeqCst) { vec![tool("b"), tool("c")] } else { vec![tool("a")] };
            answer.result(json!({"tools": tools}))
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    assert_eq!(session.result(&gateway, "tools/list", json!({})).await["tools"][0]["name"], "x__a");
    let mut events = session.listen(&gateway, None).await;
    assert!(events.next().await.unwrap().comment.is_some());
    let feed = upstream.nth("GET", 1).await;
    assert_eq!(feed.header("mcp-session-id"), Some("session-1"));
    flag.store(true, Ordering::SeqCst);
    changed.notify_one();
    let told = events.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    let listed = session.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(field(listed["tools"].as_array().unwrap(), "name"), ["x__b", "x__c"]);
    let gone = session.request(&gateway, "tools/call", json!({"name": "x__a"})).await;
    assert_eq!(gone.error_code(), -32602);
}

#[tokio::test]
async fn a_tool_that_came_unannounced_is_found_when_it_is_called() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counter = lists.clone();
    let upstream = Fake::modern()
        .on("tools/list", move |_, answer| {
            let tools = if counter.fetch_add(1, Ordering::SeqCst) == 0 { vec![] } else { vec![tool("late")] };
            answer.result(json!({"resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private"}))
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    assert_eq!(client.result(&gateway, "tools/list", json!({})).await["tools"], json!([]));
    let on_its_own = Modern::at("/mcp/s/x").call(&gateway, "late", json!({"a": 1})).await;
    assert_eq!(text_of(&on_its_own), r#"{"a":1}"#, "the server is the judge of its own names");
    until("the list to be old enough to be doubted", || async {
        client.request(&gateway, "tools/call", json!({"name": "x__late"})).await.json().get("result").is_some()
    })
    .await;
    assert_eq!(lists.load(Ordering::SeqCst), 2);
}

// ---- bytes ----

/// Arbitrary JSON text, in the ways that a writer may write it: numbers of any form, escapes, blanks, any key order.
fn json_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("0".to_owned()), Just("-0".to_owned()), Just("1.0".to_owned()), Just("1e300".to_owned()), Just("0.10".to_owned()),
        Just("9007199254740993".to_owned()), "-?[1-9][0-9]{0,30}", "[1-9]\\.[0-9]{1,25}[eE][+-]?[0-9]{1,2}",
    ];
    let string = prop_oneof!["[ a-zA-Zäöü€💥/]{0,12}", Just("\\u00e9\\n\\/\\\"\\ud83d\\ude00\\u0000".to_owned())];
    let string = string.prop_map(|inside| format!("\"{inside}\"")).boxed();
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), number, string];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let blank = prop_oneof![3 => Just(""), 1 => Just(" "), 1 => Just("\n\t")];
        let array = (prop::collection::vec(inner.clone(), 0..5), blank.clone())
            .prop_map(|(items, blank)| format!("[{blank}{}{blank}]", items.join(&format!("{blank},"))));
        array.boxed().prop_union(object(inner, blank.boxed()).boxed())
    })
}

fn object(value: impl Strategy<Value = String>, blank: BoxedStrategy<&'static str>) -> impl Strategy<Value = String> {
    let members = prop::collection::vec(("[zyxa-eÄ_.$-]{1,6}", value), 0..5);
    (members, blank).prop_map(|(members, blank)| {
        let mut seen = HashSet::new();
        let members: Vec<String> = members
            .into_iter()
            .filter(|(key, _)| seen.insert(key.clone()))
            .map(|(key, value)| format!("\"{key}\"{blank}:{blank}{value}"))
            .collect();
        format!("{{{blank}{}{blank}}}", members.join(","))
    })
}

#[test]
fn what_no_step_changes_is_passed_on_byte_for_byte() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = Arc::new(Mutex::new(String::new()));
    let server = |fake: Fake| {
        let result = result.clone();
        fake.on("tools/call", move |seen, answer| {
            let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{}}}", seen.rpc["id"], result.lock().unwrap());
            async move { answer.send(200, &[("content-type", "application/json")], body.as_bytes()).await }
        })
        .start()
    };
    let (old, new) = runtime.block_on(async { (server(Fake::legacy()).await, server(Fake::modern()).await) });
    let gateway = Gateway::start(&json!({"servers": {"old": old.config(), "new": new.config()}}));
    let session = runtime.block_on(Legacy::open_at(&gateway, "/mcp/s/old", "2025-11-25"));
    let client = Modern::at("/mcp/s/new");
    let blank = Just("").boxed();
    let case = (object(json_text(), blank.clone()), json_text(), json_text(), object(json_text(), blank));
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&case, |(arguments, unknown, content, structured)| {
            runtime.block_on(async {
                let params = format!("\"arguments\":{arguments},\"name\":\"echo\",\"x-unknown\":{unknown}");
                let answer = format!("\"zz\":{content},\"structuredContent\":{structured},\"content\":[],\"aa\":1.50");

                *result.lock().unwrap() = format!("{{{answer}}}");
                let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{{params}}}}}");
                let got = gateway.send("POST", "/mcp/s/old", &session.headers(), message.as_bytes()).await;
                let sent = old.seen().pop().unwrap().body;
                let sent = String::from_utf8(sent).unwrap();
                prop_assert!(sent.ends_with(&format!("\"params\":{{{params}}}}}")), "{sent}");
                prop_assert_eq!(got.text(), format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{{answer}}}}}"));

                let meta = client.meta.to_string();
                *result.lock().unwrap() = format!("{{\"resultType\":\"complete\",{answer},\"_meta\":{{\"com.example/k\":{unknown}}}}}");
                let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{{params},\"_meta\":{meta}}}}}");
                let headers = Modern::headers(&client.body("tools/call", json!({"name": "echo"})));
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let got = gateway.send("POST", "/mcp/s/new", &headers, message.as_bytes()).await;
                let sent = String::from_utf8(new.seen().pop().unwrap().body).unwrap();
                prop_assert!(sent.contains(&format!("\"params\":{{{params},\"_meta\":{{")), "{sent}");
                let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"resultType\":\"complete\",{answer},\"_meta\":{{");
                prop_assert!(got.text().starts_with(&start), "{}", got.text());
                prop_assert!(got.text().contains(&format!("\"com.example/k\":{unknown}")), "{}", got.text());
                Ok(())
            })
        })
        .unwrap();
}
