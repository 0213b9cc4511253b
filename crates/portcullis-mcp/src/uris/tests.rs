//! Checks that URIs find their way back, and that only URIs change.

use proptest::prelude::*;

use super::rewrite::*;
use super::*;
use crate::json::{Limits, Raw};

fn id(text: &str) -> ServerId {
    ServerId::parse(text).expect("a slug")
}

#[test]
fn maps_out_by_scheme() {
    for (uri, expected) in [
        ("file:///a", "mcp+crm+file:///a"),
        ("config://x", "mcp+crm+config://x"),
        ("ui://app/main.html", "ui://crm+app/main.html"),
        ("ui://{view}", "ui://crm+{view}"),
        ("UI://app", "mcp+crm+UI://app"),
        ("https://example.com/a", "https://example.com/a"),
        ("HTTP://example.com/a", "HTTP://example.com/a"),
        ("httpx://example.com", "mcp+crm+httpx://example.com"),
        ("file:///{+path}", "mcp+crm+file:///{+path}"),
        ("{+url}", "mcp+crm+{+url}"),
        ("mcp+crm+file:///a", "mcp+crm+mcp+crm+file:///a"),
        ("", "mcp+crm+"),
    ] {
        assert_eq!(map_out(&id("crm"), uri), expected);
    }
}

#[test]
fn maps_in_only_what_names_a_server() {
    for (uri, expected) in [
        ("mcp+crm+file:///a", Some(("crm", "file:///a"))),
        ("mcp+crm+mcp+x+y", Some(("crm", "mcp+x+y"))),
        ("ui://crm+app", Some(("crm", "ui://app"))),
        ("mcp+crm+https://fetched.example/", Some(("crm", "https://fetched.example/"))),
        ("mcp+crm+", Some(("crm", ""))),
        ("ui://app", None),
        ("ui://App+x", None),
        ("mcp+crm", None),
        ("mcp++a", None),
        ("mcp+Crm+a", None),
        ("MCP+crm+a", None),
        ("file:///a", None),
        ("https://example.com/mcp+a+b", None),
        ("", None),
    ] {
        let expected = expected.map(|(server, uri)| (id(server), uri.to_owned()));
        assert_eq!(map_in(uri), expected, "{uri}");
    }
}

fn json(text: &str) -> Raw {
    Raw::parse(text.to_owned().into(), Limits::default()).expect("JSON")
}

fn map(uri: &str) -> Option<String> {
    (!uri.starts_with("https:")).then(|| map_out(&id("s"), uri))
}

type Rewrite = fn(&Raw, &UriMap<'_>) -> Option<Raw>;

fn check(rewrite: Rewrite, before: &str, after: Option<&str>) {
    assert_eq!(rewrite(&json(before), &map).as_ref().map(Raw::as_str), after, "{before}");
}

#[test]
fn rewrites_content_blocks() {
    check(
        tool_result,
        r#"{"content":[{"type":"text","text":"a:b"},{"type":"resource_link","uri":"a:b","name":"uri"},{"type":"resource","resource":{"uri":"a:c","text":"x"}}],"n":1.0}"#,
        Some(
            r#"{"content":[{"type":"text","text":"a:b"},{"type":"resource_link","uri":"mcp+s+a:b","name":"uri"},{"type":"resource","resource":{"uri":"mcp+s+a:c","text":"x"}}],"n":1.0}"#,
        ),
    );
    check(
        content_blocks,
        r#"[{"type":"tool_result","content":[{"type":"resource_link","uri":"a:b"}]}]"#,
        Some(r#"[{"type":"tool_result","content":[{"type":"resource_link","uri":"mcp+s+a:b"}]}]"#),
    );
    check(
        content_blocks,
        r#"{"\u0074ype":"resource\u005flink","uri":"\u0061:b"}"#,
        Some(r#"{"\u0074ype":"resource\u005flink","uri":"mcp+s+a:b"}"#),
    );
}

#[test]
fn rewrites_prompts_and_read_contents() {
    check(
        prompt_result,
        r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:b"}}},{"role":"user","content":[{"type":"resource_link","uri":"a:c"}]}]}"#,
        Some(
            r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"mcp+s+a:b"}}},{"role":"user","content":[{"type":"resource_link","uri":"mcp+s+a:c"}]}]}"#,
        ),
    );
    check(
        read_result,
        r#"{"contents":[{"uri":"ui://x","text":"ui://x"}],"ttlMs":0}"#,
        Some(r#"{"contents":[{"uri":"ui://s+x","text":"ui://x"}],"ttlMs":0}"#),
    );
}

#[test]
fn rewrites_list_items() {
    check(list_item, r#"{"uri":"a:b","name":"x"}"#, Some(r#"{"uri":"mcp+s+a:b","name":"x"}"#));
    check(list_item, r#"{"uriTemplate":"a:{+b}"}"#, Some(r#"{"uriTemplate":"mcp+s+a:{+b}"}"#));
    check(
        list_item,
        r#"{"name":"t","_meta":{"ui":{"visibility":["app"],"resourceUri":"ui://v"},"ui/resourceUri":"ui://v"}}"#,
        Some(
            r#"{"name":"t","_meta":{"ui":{"visibility":["app"],"resourceUri":"ui://s+v"},"ui/resourceUri":"ui://s+v"}}"#,
        ),
    );
    check(
        list_result,
        r#"{"tools":[{"name":"a"},{"name":"b","_meta":{"ui":{"resourceUri":"ui://v"}}}]}"#,
        Some(r#"{"tools":[{"name":"a"},{"name":"b","_meta":{"ui":{"resourceUri":"ui://s+v"}}}]}"#),
    );
}

#[test]
fn says_so_when_nothing_changes() {
    check(tool_result, r#"{ "content": [ {"type":"resource_link","uri":"https://a"} ] }"#, None);
    check(tool_result, r#"{"content":[{"type":"text","uri":"a:b"},{"uri":"a:b"}],"uri":"a:b"}"#, None);
    check(tool_result, r#"{"content":null}"#, None);
    check(tool_result, "[]", None);
    check(content_blocks, r#"[{"type":"resource","resource":"a:b"},{"type":7,"uri":"a:b"},3]"#, None);
    check(content_blocks, r#"{"type":"resource_link","uri":7}"#, None);
    check(read_result, r#"{"contents":[]}"#, None);
    check(prompt_result, r#"{"messages":[{"content":{"type":"text","text":"a:b"}}]}"#, None);
    check(list_item, r#"{"name":"x","_meta":{"uri":"a:b","ui":"a:b"}}"#, None);
}

fn uri() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r"(mcp\+|ui://|UI://|Mcp\+|https?:|Http:)?[a-z0-9-]{0,4}\+?(ui://|file:///)?[a-z{}+/:]{0,12}",
    ]
}

proptest! {
    #[test]
    fn every_uri_but_web_addresses_finds_its_way_back(
        server in "[a-z0-9]{1,8}(-[a-z0-9]{1,5}){0,2}",
        uri in uri(),
    ) {
        let server = id(&server);
        let mapped = map_out(&server, &uri);
        if is_web(&uri) {
            prop_assert_eq!(&mapped, &uri);
            prop_assert_eq!(map_in(&mapped), None);
        } else {
            prop_assert_eq!(map_in(&mapped), Some((server, uri)));
        }
    }

    #[test]
    fn what_maps_in_names_a_server_and_maps_out_again(uri in uri()) {
        if let Some((server, original)) = map_in(&uri) && !is_web(&original) && !original.starts_with("ui://") {
            prop_assert_eq!(map_out(&server, &original), uri);
        }
    }
}
