//! Heads that are taken and heads that are not, however they are cut.

use http::header::ACCEPT;
use proptest::prelude::*;

use super::*;

/// Feeds `text` in pieces of `step` bytes; what comes of it, and what is left in the buffer.
fn feed(text: &[u8], step: usize, limit: usize) -> (Result<Option<Parsed>, Rejected>, BytesMut) {
    let (mut buffer, mut looked) = (BytesMut::new(), 0);
    for piece in text.chunks(step) {
        buffer.extend_from_slice(piece);
        match parse(&mut buffer, limit, &mut looked) {
            Ok(None) => {}
            done => return (done, buffer),
        }
    }
    (Ok(None), buffer)
}

fn taken(text: &str) -> Parsed {
    let (parsed, _) = feed(text.as_bytes(), usize::MAX, 8192);
    parsed.unwrap_or_else(|rejected| panic!("{text:?}: {rejected:?}")).expect("it is complete")
}

fn rejected(text: &str) -> u16 {
    match feed(text.as_bytes(), usize::MAX, 8192).0 {
        Err(rejected) => rejected.status.as_u16(),
        Ok(parsed) => panic!("{text:?} was not refused; complete: {}", parsed.is_some()),
    }
}

#[test]
fn reads_targets_and_what_is_said_of_the_connection() {
    for (line, path, query, authority) in [
        ("GET /mcp HTTP/1.1", "/mcp", None, None),
        ("GET /mcp?a=1?2 HTTP/1.1", "/mcp", Some("a=1?2"), None),
        ("GET http://gw:80/mcp?x HTTP/1.1", "/mcp", Some("x"), Some("gw:80")),
        ("GET http://gw HTTP/1.1", "/", None, Some("gw")),
        ("OPTIONS * HTTP/1.1", "*", None, None),
    ] {
        let head = taken(&format!("{line}\r\nHost: a\r\n\r\n")).head;
        let target = (&*head.path, head.query.as_deref(), head.authority.as_deref());
        assert_eq!(target, (path, query, authority), "{line}");
    }
    for (fields, version, keep) in [
        ("", 1, true),
        ("Connection: close\r\n", 1, false),
        ("connection: x, Close\r\n", 1, false),
        ("", 0, false),
        ("Connection: keep-alive\r\n", 0, true),
        ("Connection: keep-alive, close\r\n", 0, false),
        ("Connection: close\r\nConnection: keep-alive\r\n", 1, false),
    ] {
        assert_eq!(
            taken(&format!("GET / HTTP/1.{version}\r\n{fields}\r\n")).keep,
            keep,
            "{fields} {version}"
        );
    }
    assert!(taken("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n").expects);
    assert!(!taken("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").expects);
}

#[test]
fn finds_the_end_of_the_body_or_refuses() {
    let framing = |fields: &str| taken(&format!("POST / HTTP/1.1\r\n{fields}\r\n")).framing;
    assert_eq!(framing(""), Framing::Length(0));
    assert_eq!(framing("Content-Length: 12\r\n"), Framing::Length(12));
    assert_eq!(framing("Content-Length: 12\r\ncontent-length: 12\r\n"), Framing::Length(12));
    assert!(matches!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked(_)));
    for fields in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Content-Length : 1\r\n",
        " Content-Length: 1\r\n",
        "X: 1\r\n Content-Length: 1\r\n",
        "Host: a\r\nHOST: b\r\n",
    ] {
        assert_eq!(rejected(&format!("POST / HTTP/1.1\r\n{fields}\r\n")), 400, "{fields:?}");
    }
    assert_eq!(rejected("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn refuses_what_is_not_http() {
    for text in [
        "GET /\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        "G@T / HTTP/1.1\r\n\r\n",
        "GET mcp HTTP/1.1\r\n\r\n",
        "GET gw:80 HTTP/1.1\r\n\r\n",
        "GET http:///x HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(rejected(text), 400, "{text:?}");
    }
}

#[test]
fn a_head_has_bounds() {
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "v".repeat(9000));
    assert_eq!(rejected(&long), 431);
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "v".repeat(9000));
    assert_eq!(feed(endless.as_bytes(), 100, 8192).0.err().map(|it| it.status.as_u16()), Some(431));
    let many: Vec<_> = (0..=FIELDS).map(|number| format!("X-{number}: 1\r\n")).collect();
    assert_eq!(rejected(&format!("GET / HTTP/1.1\r\n{}\r\n", many.concat())), 431);
}

proptest! {
    #[test]
    fn is_the_same_however_it_is_cut(step in 1usize..80, end in prop::sample::select(vec!["\r\n", "\n"])) {
        let text = ["POST /mcp?x HTTP/1.1", "Host: a", "Accept: b", "Content-Length: 3", "", "abcGET"].join(end);
        let (parsed, left) = feed(text.as_bytes(), step, 8192);
        let parsed = parsed.map_err(|rejected| TestCaseError::fail(format!("{rejected:?}")))?;
        let parsed = parsed.expect("complete");
        prop_assert_eq!(parsed.framing, Framing::Length(3));
        prop_assert_eq!(parsed.head.fields.get(&HOST), Some(&b"a"[..]));
        prop_assert_eq!(parsed.head.fields.get(&ACCEPT), Some(&b"b"[..]));
        prop_assert!("abcGET".as_bytes().starts_with(&left), "nothing of the body is taken: {:?}", left);
    }
}
