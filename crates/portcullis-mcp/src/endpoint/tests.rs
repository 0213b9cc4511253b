//! References are resolved as the RFC's examples have it, and never leave the origin.

use super::*;

fn resolved(stream: &str, data: &str) -> Result<String, BadEndpoint> {
    resolve(&stream.parse().unwrap(), data.as_bytes()).map(|path| path.to_string())
}

#[test]
fn resolves_references_against_the_stream() {
    let stream = "http://localhost:3001/api/v1/sse?key=1";
    for (data, expected) in [
        ("/messages?sessionId=a", "/messages?sessionId=a"),
        ("messages/?session_id=a/b", "/api/v1/messages/?session_id=a/b"),
        ("./messages", "/api/v1/messages"),
        ("../messages/./x", "/api/messages/x"),
        ("../../../..", "/"),
        ("?sessionId=a", "/api/v1/sse?sessionId=a"),
        ("/messages?to=http://elsewhere/#top", "/messages?to=http://elsewhere/"),
        ("http://localhost:3001/m?x", "/m?x"),
        ("HTTP://LOCALHOST:3001", "/"),
        ("//localhost:3001/m", "/m"),
        (" /messages \r", "/messages"),
        ("m:1", "/api/v1/m:1"),
    ] {
        let found = resolved(stream, data);
        // `m:1` has a scheme, by the grammar.
        let expected = if data == "m:1" { Err(BadEndpoint::ForeignOrigin) } else { Ok(expected.to_owned()) };
        assert_eq!(found, expected, "{data}");
    }
    assert_eq!(resolved("https://x.example/sse", "https://x.example:443/m").as_deref(), Ok("/m"));
    assert_eq!(resolved("http://x.example", "m").as_deref(), Ok("/m"));
}

#[test]
fn refuses_other_origins() {
    for data in [
        "http://localhost:3002/messages",
        "http://localhost/messages",
        "https://localhost:3001/messages",
        "http://evil.example:3001/messages",
        "http://localhost:3001@evil.example/messages",
        "http://user@localhost:3001/messages",
        "//evil.example/messages",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http:messages",
    ] {
        assert_eq!(resolved("http://localhost:3001/sse", data), Err(BadEndpoint::ForeignOrigin), "{data}");
    }
}

#[test]
fn refuses_what_is_no_uri() {
    let long = format!("/{}", "a".repeat(9000));
    for data in ["", " ", "#top", "/a b", "/a\nb", "/a\r\nHost: x", "/ä", "http://[/x", long.as_str()] {
        assert_eq!(resolved("http://localhost:3001/sse", data), Err(BadEndpoint::NoUri), "{data:.20}");
    }
    assert_eq!(resolve(&"http://localhost/sse".parse().unwrap(), b"/\xff"), Err(BadEndpoint::NoUri));
}
