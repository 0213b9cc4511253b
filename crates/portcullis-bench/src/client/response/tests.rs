//! Responses in every framing, cut at every byte.

use super::{InvalidResponse, events_so_far, parse};

/// `bytes` must give `message`, and every proper prefix must ask for more.
fn check(bytes: &str, message: &str) {
    for cut in 0..bytes.len() {
        assert_eq!(parse(&bytes.as_bytes()[..cut]), Ok(None), "cut at {cut} of {bytes:?}");
    }
    let with_more = format!("{bytes}HTTP/1.1 200");
    let response = parse(with_more.as_bytes()).unwrap().expect("complete");
    assert_eq!(std::str::from_utf8(&response.message), Ok(message));
    assert_eq!(response.length, bytes.len());
}

#[test]
fn reads_content_length() {
    check("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd", "abcd");
    check("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", "");
}

#[test]
fn reads_chunks_and_skips_trailers() {
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
        "abc0123456789",
    );
}

#[test]
fn reads_the_last_event_of_a_stream() {
    let events = ": hello\n\ndata: {\"progress\":1}\n\nevent: message\r\ndata: {\"id\":1,\r\ndata: \"x\":2}\r\n\r\n: bye\n\n";
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n",
        events.len()
    );
    check(&format!("{head}{events}"), "{\"id\":1,\n\"x\":2}");
}

#[test]
fn reads_the_events_that_are_there_of_a_stream_that_goes_on() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = format!("{head}8\r\ndata: a\n\r\n9\r\n\ndata: b\n\r\n1\r\n\n\r\n0\r\n\r\n");
    let found = |length: usize| events_so_far(&whole.as_bytes()[..length]).unwrap();
    let mut most = 0;
    for length in 0..=whole.len() {
        let events = found(length);
        assert!(
            events.len() >= most
                && [&b"a"[..], b"b"].starts_with(&events.iter().map(Vec::as_slice).collect::<Vec<_>>())
        );
        most = events.len();
    }
    assert_eq!(most, 2);
    let first = whole.find("\n\r\n9").unwrap();
    assert!(found(first + 3).is_empty(), "its blank line is not there yet");
    let plain = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(events_so_far(plain), Ok(Vec::new()));
}

#[test]
fn reports_session_and_close() {
    let bytes =
        b"HTTP/1.1 404 Not Found\r\nMCP-Session-Id: s1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let response = parse(bytes).unwrap().expect("complete");
    assert_eq!((response.status, response.session, response.close), (404, Some("s1"), true));
}

#[test]
fn refuses_what_has_no_end() {
    assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\nabc"), Err(InvalidResponse::Unframed(200)));
    let bad = b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n";
    assert_eq!(parse(bad), Err(InvalidResponse::Length("-1".into())));
    let overflow = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc";
    assert_eq!(parse(overflow), Ok(None));
}
