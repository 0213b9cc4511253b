//! The translation tables, row by row.

use super::*;
use crate::json::{Limits, Raw};
use crate::message::{RpcError, code};
use crate::method::Method;
use crate::revision::{Era, Revision};

fn raw(text: &str) -> Raw {
    Raw::parse(bytes::Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
}

const HOP: Hop<'static> = Hop {
    revision: Revision::V2026_07_28,
    capabilities: "{}",
    client_info: r#"{"name":"portcullis","version":"1"}"#,
    log_level: None,
    progress_token: None,
    traceparent: None,
    tracestate: None,
};

#[test]
fn modern_metadata_is_the_gateways_and_the_rest_is_the_callers() {
    let params = raw(
        r#"{"name":"x","arguments":{"n":1.0},"_meta":{"progressToken":"p","com.example/k":1e9,"io.modelcontextprotocol/logLevel":"debug"}}"#,
    );
    let hop = Hop { progress_token: Some(7), traceparent: Some("00-a"), ..HOP };
    assert_eq!(
        modern_params(Some(&params.into()), &hop).as_str(),
        r#"{"name":"x","arguments":{"n":1.0},"_meta":{"progressToken":7,"com.example/k":1e9,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"portcullis","version":"1"},"traceparent":"00-a"}}"#
    );
    assert_eq!(
        modern_params(None, &HOP).as_str(),
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"portcullis","version":"1"}}}"#
    );
}

#[test]
fn legacy_params_lose_the_modern_keys_only() {
    let modern = raw(
        r#"{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#,
    );
    assert_eq!(legacy_params(Some(&modern.into()), &HOP).unwrap().as_str(), r#"{"name":"x"}"#);
    let own = raw(r#"{ "name":"x", "_meta":{"k": 1} }"#);
    assert_eq!(legacy_params(Some(&own.into()), &HOP).unwrap().as_str(), r#"{"name":"x","_meta":{"k": 1}}"#);
    assert_eq!(legacy_params(None, &HOP), None);
    let hop = Hop { progress_token: Some(3), ..HOP };
    assert_eq!(legacy_params(None, &hop).unwrap().as_str(), r#"{"_meta":{"progressToken":3}}"#);
}

#[test]
fn results_cross_the_eras() {
    use Era::{Legacy, Modern};
    use Revision as R;
    let cases = [
        // The same era passes the bytes, odd spacing included.
        (
            R::V2026_07_28,
            Method::ToolsCall,
            Modern,
            r#"{ "resultType":"complete","content":[ ] }"#,
            r#"{ "resultType":"complete","content":[ ] }"#,
        ),
        (
            R::V2025_11_25,
            Method::ToolsCall,
            Legacy,
            r#"{ "content":[ ],"x":1.0 }"#,
            r#"{ "content":[ ],"x":1.0 }"#,
        ),
        (
            R::V2026_07_28,
            Method::ToolsCall,
            Legacy,
            r#"{"content":[],"_meta":{"k":1}}"#,
            r#"{"content":[],"_meta":{"k":1,"io.modelcontextprotocol/serverInfo":{"name":"s"}},"resultType":"complete"}"#,
        ),
        (
            R::V2026_07_28,
            Method::ResourcesRead,
            Legacy,
            r#"{"contents":[]}"#,
            r#"{"contents":[],"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}},"ttlMs":0,"cacheScope":"private"}"#,
        ),
        // A legacy server cannot smuggle another result type in.
        (
            R::V2026_07_28,
            Method::Complete,
            Legacy,
            r#"{"resultType":"task"}"#,
            r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}}}"#,
        ),
        (
            R::V2025_11_25,
            Method::ResourcesRead,
            Modern,
            r#"{"resultType":"complete","contents":[],"ttlMs":5,"cacheScope":"public"}"#,
            r#"{"contents":[]}"#,
        ),
        (
            R::V2025_11_25,
            Method::ToolsCall,
            Modern,
            r#"{"resultType":"complete","content":[],"structuredContent":[1.0]}"#,
            r#"{"content":[{"type":"text","text":"[1.0]"}]}"#,
        ),
        (
            R::V2025_03_26,
            Method::ToolsCall,
            Legacy,
            r#"{"content":[{"type":"resource_link","name":"n","uri":"a://b"},{"type":"audio"}]}"#,
            r#"{"content":[{"type":"text","text":"n: a://b"},{"type":"audio"}]}"#,
        ),
        (
            R::V2024_11_05,
            Method::PromptsGet,
            Legacy,
            r#"{"messages":[{"role":"user","content":{"type":"audio","mimeType":"audio/wav"}}]}"#,
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"[audio, audio/wav]"}}]}"#,
        ),
    ];
    for (to, method, era, given, expected) in cases {
        let payload = Payload { result: raw(given).into(), era };
        assert_eq!(
            result_for(to, &method, &payload, || raw(r#"{"name":"s"}"#)).as_str(),
            expected,
            "{to} {method} {given}"
        );
    }
}

#[test]
fn list_items_lose_only_what_breaks_the_reader() {
    let tool =
        raw(r#"{"name":"x","execution":{"taskSupport":"optional"},"outputSchema":{"type":"array"},"k":1}"#);
    assert_eq!(
        list_item_for(Revision::V2026_07_28, &tool).as_str(),
        r#"{"name":"x","outputSchema":{"type":"array"},"k":1}"#
    );
    assert_eq!(
        list_item_for(Revision::V2025_11_25, &tool).as_str(),
        r#"{"name":"x","execution":{"taskSupport":"optional"},"k":1}"#
    );
}

#[test]
fn errors_cross_the_eras() {
    use Era::{Legacy, Modern};
    let read = Method::ResourcesRead;
    let given = |code, data: Option<&str>| RpcError::new(code, "m", data.map(raw).as_ref());
    let cases = [
        (Legacy, Modern, given(code::RESOURCE_NOT_FOUND, None), given(-32602, Some(r#"{"uri":"a://b"}"#))),
        (
            Legacy,
            Modern,
            given(code::RESOURCE_NOT_FOUND, Some(r#"{"uri":"x"}"#)),
            given(-32602, Some(r#"{"uri":"x"}"#)),
        ),
        (
            Legacy,
            Modern,
            given(-32022, None),
            given(-32603, Some(r#"{"upstreamError":{"code":-32022,"message":"m"}}"#)),
        ),
        (
            Legacy,
            Modern,
            given(-32000, None),
            given(-32603, Some(r#"{"upstreamError":{"code":-32000,"message":"m"}}"#)),
        ),
        (
            Legacy,
            Modern,
            given(-32042, None),
            given(-32603, Some(r#"{"upstreamError":{"code":-32042,"message":"m"}}"#)),
        ),
        (Legacy, Modern, given(-32601, None), given(-32601, None)),
        (Legacy, Modern, given(42, None), given(42, None)),
        (Legacy, Legacy, given(-32042, None), given(-32042, None)),
        (Modern, Legacy, given(-32602, Some(r#"{"uri":"x"}"#)), given(-32002, Some(r#"{"uri":"x"}"#))),
        (Modern, Legacy, given(-32602, None), given(-32602, None)),
        (
            Modern,
            Legacy,
            given(-32021, None),
            given(-32603, Some(r#"{"upstreamError":{"code":-32021,"message":"m"}}"#)),
        ),
    ];
    for (from, to, error, expected) in cases {
        assert_eq!(error_for(to, from, &read, Some("a://b"), &error), expected, "{from:?} {to:?} {error:?}");
    }
}
