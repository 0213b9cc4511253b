//! OpenAPI documents of any kind: what becomes of one is tools that can be listed, and requests that stay where they belong,
//! whatever callers say.

use bytes::Bytes;
use http::StatusCode;
use portcullis_mcp::json::{Change, Raw};
use portcullis_openapi::{Answer, Api, Document, Set, failure, result};

/// What callers say for each argument.
const SAID: [&str; 8] = [
    r#""x""#,
    r#""a/../b""#,
    r#""..""#,
    r#""%2e%2e%2f&=#?\r\nHost: evil""#,
    r#"["a",{"b":[1]},null]"#,
    r#"{"a":{"b":"c"},"":1}"#,
    "1.50",
    "null",
];

/// Feeds the bytes as a document.
pub fn openapi(data: &[u8]) {
    let Ok(document) = Document::parse(Bytes::copy_from_slice(data)) else { return };
    let Ok(api) = Api::read(&document, &Set::default()) else { return };
    for operation in &api.operations {
        let definition = operation.definition();
        let name = operation.name();
        assert!((1..=64).contains(&name.len()), "{name}");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')),
            "{name}"
        );
        let input = definition.find("inputSchema").expect("a tool has one");
        assert!(input.find("type").is_some_and(|kind| kind.is_text("object")), "{input}");
        let names: Vec<String> =
            input.find("properties").iter().flat_map(Raw::members).map(|it| it.key().into_owned()).collect();
        for said in SAID {
            let changes: Vec<_> =
                names.iter().map(|it| (it.as_str(), Change::Set(said.as_bytes()))).collect();
            // More than 64 changes at once are none that `with` makes.
            let arguments = changes.chunks(32).fold(Raw::from_static("{}"), |all, some| all.with(some));
            let Ok(request) = operation.request("/base", Some(&arguments), &[]) else { continue };
            let path = request.path.path();
            assert!(path.starts_with("/base/"), "{path}");
            assert!(path.split('/').all(|part| !matches!(part, "." | "..")), "{path}");
            assert!(request.path.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{}", request.path);
        }
        for body in [&b"{}"[..], b"[1", b"", b"\xff"] {
            let answer = Answer {
                status: StatusCode::OK,
                media: Some("application/json"),
                body: Bytes::from_static(body),
                depth: 20,
            };
            assert!(result(operation, &answer).find("content").is_some());
        }
    }
    assert!(failure("x").find("isError").is_some());
}
