//! What answers become.

use http::StatusCode;
use portcullis_openapi::{Answer, failure, result};
use serde_json::{Value, json};

use super::*;

fn answered(operation: &Value, status: u16, media: Option<&str>, body: &[u8]) -> Value {
    let api = read(&with_paths(&json!({"/x": {"get": operation}}))).expect("an API");
    let status = StatusCode::from_u16(status).expect("a status");
    let answer = Answer { status, media, body: body.to_vec().into(), depth: 20 };
    let result = result(&api.operations[0], &answer);
    let mut result: Value = serde_json::from_str(result.as_str()).expect("JSON");
    assert_eq!(result.as_object_mut().and_then(|it| it.remove("resultType")), Some("complete".into()));
    result
}

fn texts(result: &Value) -> Vec<&str> {
    result["content"].as_array().expect("content").iter().filter_map(|it| it["text"].as_str()).collect()
}

#[test]
fn json_is_text_and_an_object_is_a_structure() {
    let body = br#"{"n":1.10,"big":9007199254740993}"#;
    let result = answered(&json!({}), 200, Some("application/json; charset=utf-8"), body);
    assert_eq!(texts(&result), [r#"{"n":1.10,"big":9007199254740993}"#]);
    assert_eq!(result["structuredContent"], json!({"n": 1.10, "big": 9_007_199_254_740_993_u64}));
    assert_eq!(result.get("isError"), None);
    let list = answered(&json!({}), 200, Some("application/problem+json"), b"[1]");
    assert_eq!((texts(&list), list.get("structuredContent")), (vec!["[1]"], None));
    let nothing = answered(&json!({}), 204, None, b"");
    assert_eq!((texts(&nothing), nothing.get("isError")), (vec!["204 No Content"], None));
}

#[test]
fn other_bytes_are_what_they_are() {
    for (media, body, content) in [
        (Some("text/html"), b"<p>".as_slice(), json!({"type": "text", "text": "<p>"})),
        (None, b"plain".as_slice(), json!({"type": "text", "text": "plain"})),
        (Some("text/plain; charset=ISO-8859-1"), b"\xe9".as_slice(), json!({"type": "text", "text": "é"})),
        (
            Some("image/png"),
            b"\x89PNG",
            json!({"type": "image", "data": "iVBORw==", "mimeType": "image/png"}),
        ),
        (
            Some("audio/ogg"),
            b"Ogg".as_slice(),
            json!({"type": "audio", "data": "T2dn", "mimeType": "audio/ogg"}),
        ),
        (
            Some("application/pdf"),
            b"%PDF".as_slice(),
            json!({"type": "resource", "resource": {"uri": "openapi:///get_x", "mimeType": "application/pdf", "blob": "JVBERg=="}}),
        ),
        (
            None,
            b"\xff\xfe".as_slice(),
            json!({"type": "resource", "resource": {"uri": "openapi:///get_x", "mimeType": "application/octet-stream", "blob": "//4="}}),
        ),
    ] {
        let result = answered(&json!({}), 200, media, body);
        assert_eq!(result, json!({"content": [content]}), "{media:?}");
    }
}

#[test]
fn what_is_no_good_answer_is_an_error_with_its_body() {
    let result = answered(&json!({}), 404, Some("application/json"), br#"{"error":"no such pet"}"#);
    assert_eq!(texts(&result), ["the API answered 404 Not Found", r#"{"error":"no such pet"}"#]);
    assert_eq!((&result["isError"], result.get("structuredContent")), (&json!(true), None));
    let result = answered(&json!({}), 302, None, b"");
    assert!(texts(&result)[0].contains("302 Found; it leads elsewhere"), "{result}");
    let result = answered(&json!({}), 500, Some("image/png"), b"\x89PNG");
    assert_eq!(texts(&result), ["the API answered 500 Internal Server Error", "4 bytes of image/png"]);
    let broken = answered(&json!({}), 200, Some("application/json"), b"{");
    assert_eq!(broken["isError"], true);
    assert!(texts(&broken)[0].contains("cannot be read"));
    let deep = answered(&json!({}), 200, Some("application/json"), "[".repeat(100).as_bytes());
    assert_eq!(deep["isError"], true);
    let failure: Value = serde_json::from_str(failure("no").as_str()).expect("JSON");
    assert_eq!(
        failure,
        json!({"resultType": "complete", "content": [{"type": "text", "text": "no"}], "isError": true})
    );
}

#[test]
fn who_promises_an_object_gives_one_or_fails() {
    let promise =
        json!({"responses": {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}}});
    let kept = answered(&promise, 200, Some("application/json"), b"{}");
    assert_eq!((&kept["structuredContent"], kept.get("isError")), (&json!({}), None));
    for (status, media, body) in [
        (200, Some("application/json"), b"[]".as_slice()),
        (200, Some("text/html"), b"<p>".as_slice()),
        (200, Some("image/png"), b"\x89PNG".as_slice()),
        (204, None, b"".as_slice()),
    ] {
        let broken = answered(&promise, status, media, body);
        assert_eq!((&broken["isError"], broken.get("structuredContent")), (&json!(true), None), "{media:?}");
        assert!(texts(&broken)[0].contains("than the object that it promises"), "{media:?}: {broken}");
    }
}
