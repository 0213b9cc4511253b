//! What is fuzzed: for each parser of outside bytes, one function that feeds it and checks what must hold for any
//! input. The binaries in `fuzz_targets/` hand these functions to libFuzzer; the tests of `portcullis-mcp` include this
//! file and replay `corpus/` through them, so a found input stays a regression test.
//!
//! `cargo +nightly fuzz run sse` runs one. Where only a stable toolchain is there, `RUSTC_BOOTSTRAP=1 cargo fuzz run
//! --sanitizer none sse` does as well: the code under test has no `unsafe` for a sanitizer to watch.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use portcullis_mcp::endpoint;
use portcullis_mcp::header::{decode_value, encode_value};
use portcullis_mcp::json::{Change, Limits, Object, Raw};
use portcullis_mcp::message::{Message, write_error, write_notification, write_request, write_result};
use portcullis_mcp::mirror::{self, Mirror, Reason};
use portcullis_mcp::uris::{self, rewrite};
use portcullis_mcp::{line as lines, sse as events};
use portcullis_model::ServerId;

/// A function that panics when something that must hold does not.
pub type Body = fn(&[u8]);

/// Every body by its name, which is also its folder in `corpus/`.
pub const BODIES: [(&str, Body); 8] = [
    ("json", json),
    ("message", message),
    ("sse", sse),
    ("line", line),
    ("header", header),
    ("mirror", mirror),
    ("uris", uris),
    ("endpoint", endpoint),
];

fn parse(data: &[u8]) -> Option<Raw> {
    Raw::parse(Bytes::copy_from_slice(data), Limits::default()).ok()
}

/// Accepts nothing that a second parser refuses; every part of a document can be read and edited.
pub fn json(data: &[u8]) {
    let Some(raw) = parse(data) else { return };
    let second: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(data);
    assert!(second.is_ok(), "serde_json refuses it: {second:?}");
    visit(&raw);
    let noted =
        Object::parse(Bytes::copy_from_slice(data), Limits::default()).expect("it was accepted before");
    compare(&noted, &raw);
}

/// What was noted during the check is what a walk finds.
fn compare(noted: &Object, raw: &Raw) {
    assert_eq!(noted.raw(), raw);
    assert_eq!(noted.members().count(), raw.members().count());
    for (left, right) in noted.members().zip(raw.members()) {
        let key = right.key();
        assert_eq!((left.key(), left.value()), (key.clone(), right.value()));
        assert_eq!(noted.find(&key), raw.find(&key));
        assert_eq!(noted.with(&[(&key, Change::Remove)]), raw.with(&[(&key, Change::Remove)]));
        let seven = || Raw::from_static("7");
        assert_eq!(noted.map_member(&key, |_| seven()), raw.map_member(&key, |_| seven()));
        compare(&noted.find_object(&key).expect("it is a member"), &right.value());
    }
}

fn visit(raw: &Raw) {
    assert_eq!(parse(raw.as_bytes()).as_ref(), Some(raw), "a part stands alone");
    if let Some(text) = raw.string() {
        assert_eq!(Raw::from_text(&text).string(), Some(text));
    }
    for member in raw.members() {
        let key = member.key();
        let without = raw.with(&[(&key, Change::Remove)]);
        assert_eq!(without.find(&key), None);
        assert_eq!(without.members().count(), raw.members().count() - 1);
        let with = raw.with(&[(&key, Change::Set(b"[7]"))]);
        assert_eq!(parse(with.as_bytes()).and_then(|with| with.find(&key)), Some(Raw::from_static("[7]")));
        visit(&member.value());
    }
    raw.elements().for_each(|element| visit(&element));
    assert_eq!(raw.map_elements(Some).elements().count(), raw.elements().count());
}

/// A message that was read, written and read again is the same message.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data), Limits::default()) else { return };
    let mut out = Vec::new();
    match &message {
        Message::Request(it) => write_request(&mut out, &it.id, &it.method, it.params.as_deref()),
        Message::Notification(it) => write_notification(&mut out, &it.method, it.params.as_ref()),
        Message::Response(it) => match (&it.answer, &it.id) {
            (Ok(result), Some(id)) => write_result(&mut out, id, result),
            (Ok(_), None) => panic!("a result without an id"),
            (Err(error), id) => write_error(&mut out, id.as_ref(), error),
        },
    }
    let again = Message::parse(out.into(), Limits::default()).expect("what was written is a message");
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}

/// Takes the first two bytes as limit and chunk size, the others as a stream cut into such chunks.
fn stream(data: &[u8]) -> Option<(usize, impl Iterator<Item = &[u8]>, &[u8])> {
    let [limit, size, stream @ ..] = data else { return None };
    Some((usize::from(*limit) * 4, stream.chunks(usize::from(*size).max(1)), stream))
}

/// Reads the same however the stream is cut, stays within the limit, and reads what it writes.
pub fn sse(data: &[u8]) {
    let Some((limit, chunks, stream)) = stream(data) else { return };
    let mut whole = events::Decoder::new(limit);
    whole.push(stream);
    let mut pieces = events::Decoder::new(limit);
    let got: Vec<_> = chunks
        .flat_map(|chunk| {
            pieces.push(chunk);
            std::iter::from_fn(|| pieces.next()).collect::<Vec<_>>()
        })
        .collect();
    let expected: Vec<_> = std::iter::from_fn(|| whole.next()).collect();
    assert_eq!(got, expected);
    assert_eq!((pieces.last_event_id(), pieces.retry()), (whole.last_event_id(), whole.retry()));
    for event in got.into_iter().flatten() {
        assert!(event.data.len() <= limit, "an event above the limit");
        let mut out = Vec::new();
        events::event(&mut out, event.id.as_deref(), event.event.as_deref(), event.retry, &event.data);
        let mut again = events::Decoder::new(usize::MAX);
        again.push(&out);
        assert_eq!(again.next(), Some(Ok(event)));
        assert_eq!(again.next(), None);
    }
}

/// Cuts the same however the stream came; a line that is JSON survives being written.
pub fn line(data: &[u8]) {
    let Some((limit, chunks, stream)) = stream(data) else { return };
    let mut whole = lines::Decoder::new(limit);
    whole.push(stream);
    let mut pieces = lines::Decoder::new(limit);
    let got: Vec<_> = chunks
        .flat_map(|chunk| {
            pieces.push(chunk);
            std::iter::from_fn(|| pieces.next()).collect::<Vec<_>>()
        })
        .collect();
    let expected: Vec<_> = std::iter::from_fn(|| whole.next()).collect();
    assert_eq!(got, expected);
    assert_eq!(pieces.finish(), whole.finish());
    for line in got.into_iter().flatten() {
        assert!(!line.is_empty() && line.len() <= limit && !line.contains(&b'\n'));
    }
    // The same bytes as one message, line breaks and all.
    let Some(message) = parse(stream) else { return };
    let mut out = Vec::new();
    lines::encode(&mut out, &message);
    let mut again = lines::Decoder::new(usize::MAX);
    again.push(&out);
    let line = again.next().expect("a line").expect("within the limit");
    assert_eq!(parse(&line).map(|line| line.kind()), Some(message.kind()));
    assert_eq!(again.next(), None);
}

/// Decoding never panics; what is encoded decodes to itself.
pub fn header(data: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let _ = decode_value(value.as_bytes());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(decode_value(encode_value(text).as_bytes()).as_deref(), Ok(text));
    }
}

/// Two lines, a schema and arguments: headers that are made pass the check, and stripping leaves nothing to mirror.
pub fn mirror(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n').map(parse);
    let Some(Some(schema)) = parts.next() else { return };
    let arguments = parts.next().flatten();
    let stripped = mirror::strip_annotations(&schema);
    let bare = Mirror::from_schema(&stripped).expect("no mark, no violation");
    assert!(bare.is_empty());
    assert_eq!(mirror::strip_annotations(&stripped), stripped);
    let Ok(mirror) = Mirror::from_schema(&schema) else { return };
    assert_eq!(mirror.is_empty(), schema == stripped);
    let headers: HeaderMap = mirror.headers(arguments.as_ref()).into_iter().collect();
    if let Err(mismatch) = mirror.check(&headers, arguments.as_ref()) {
        assert_eq!(mismatch.reason, Reason::NotSafeInteger, "{mismatch}");
    }
}

/// URIs find their way back, alone and inside results.
pub fn uris(data: &[u8]) {
    let server = ServerId::parse("a-1").expect("a slug");
    if let Ok(uri) = std::str::from_utf8(data) {
        let mapped = uris::map_out(&server, uri);
        let expected = (!uris::is_web(uri)).then(|| (server.clone(), uri.to_owned()));
        assert_eq!(uris::map_in(&mapped), expected);
        let _ = uris::map_in(uri);
    }
    let Some(value) = parse(data) else { return };
    let out = |uri: &str| (!uris::is_web(uri)).then(|| uris::map_out(&server, uri));
    let back = |uri: &str| uris::map_in(uri).map(|(_, uri)| uri);
    let places = [
        rewrite::tool_result,
        rewrite::prompt_result,
        rewrite::read_result,
        rewrite::content_blocks,
        rewrite::list_item,
        rewrite::list_result,
    ];
    for rewrite in places {
        let Some(mapped) = rewrite(&value, &out) else { continue };
        assert_eq!(parse(mapped.as_bytes()).as_ref(), Some(&mapped));
        let restored = rewrite(&mapped, &back).expect("what was mapped is mapped back");
        assert_eq!(rewrite(&restored, &out), Some(mapped));
    }
}

/// An `endpoint` event leads to a path of the stream's own server or nowhere; a path leads to itself.
pub fn endpoint(data: &[u8]) {
    let stream: http::Uri = "http://h:1/a/sse?k=1".parse().expect("a URL");
    let Ok(path) = endpoint::resolve(&stream, data) else { return };
    assert!(path.as_str().starts_with('/') && path.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    if !path.as_str().starts_with("//") {
        assert_eq!(endpoint::resolve(&stream, path.as_str().as_bytes()).as_ref(), Ok(&path));
    }
    let absolute = format!("http://H:1{path}");
    assert_eq!(endpoint::resolve(&stream, absolute.as_bytes()), Ok(path));
}
