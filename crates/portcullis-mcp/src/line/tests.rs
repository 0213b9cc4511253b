//! Checks of cutting and joining lines.

use proptest::prelude::*;

use super::*;
use crate::json::Limits;

fn decode(chunks: &[&[u8]], limit: usize) -> (Vec<Result<Bytes, TooLong>>, Option<Bytes>) {
    let mut decoder = Decoder::new(limit);
    let mut lines = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        lines.extend(std::iter::from_fn(|| decoder.next()));
    }
    (lines, decoder.finish())
}

fn check(stream: &[u8], lines: &[&str], rest: Option<&str>) {
    let expected: Vec<_> = lines.iter().map(|line| Ok(Bytes::copy_from_slice(line.as_bytes()))).collect();
    let rest = rest.map(|rest| Bytes::copy_from_slice(rest.as_bytes()));
    assert_eq!(decode(&[stream], 100), (expected.clone(), rest.clone()));
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(decode(&bytes, 100), (expected, rest));
}

#[test]
fn cuts_at_line_feeds() {
    check(b"{}\n[1]\n", &["{}", "[1]"], None);
    check(b"{}\r\n[1]\r\n", &["{}", "[1]"], None);
    check(b"\n\r\n \t\n{}\n\n", &["{}"], None);
    check(b"{\r\"a\":1}\n", &["{\r\"a\":1}"], None);
    check(b"{}\n{\"half", &["{}"], Some("{\"half"));
    check(b"{}", &[], Some("{}"));
    check(b"  \r", &[], None);
    check(b"", &[], None);
}

#[test]
fn ends_at_the_limit() {
    let error = Err(TooLong { limit: 4 });
    assert_eq!(decode(&[b"1234\n"], 4), (vec![Ok(Bytes::from_static(b"1234"))], None));
    assert_eq!(decode(&[b"12345\n1\n"], 4), (vec![error.clone()], None));
    assert_eq!(decode(&[b"1\n12345", b"6\n", b"1\n"], 4).0, [Ok(Bytes::from_static(b"1")), error]);
}

#[test]
fn holds_no_more_than_the_limit_however_much_comes() {
    let mut decoder = Decoder::new(1000);
    let mut errors = 0;
    for _ in 0..10_000 {
        decoder.push(&[b'x'; 100]);
        errors += usize::from(decoder.next().is_some());
        assert!(decoder.buffer.len() <= 1000);
    }
    assert_eq!(errors, 1);
    assert_eq!(decoder.buffer.capacity(), 0, "nothing is kept for a broken channel");
}

#[test]
fn searches_no_byte_twice() {
    let mut decoder = Decoder::new(2000);
    for _ in 0..1000 {
        decoder.push(b"x");
        assert_eq!(decoder.next(), None);
        assert_eq!(decoder.searched, decoder.buffer.len());
    }
    decoder.push(b"\n");
    assert_eq!(decoder.next().expect("complete").expect("in bounds").len(), 1000);
    assert_eq!(decoder.searched, 0);
}

#[test]
fn writes_a_pretty_printed_message_as_one_line() {
    let pretty = "{\r\n  \"text\": \"a\\nb\",\n  \"number\": 1.0e+2\n}";
    let message = Raw::parse(pretty.into(), Limits::default()).expect("JSON");
    let mut out = b"before\n".to_vec();
    encode(&mut out, &message);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "before\n{    \"text\": \"a\\nb\",   \"number\": 1.0e+2 }\n"
    );
}

fn cut(stream: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = stream;
    let mut chunks = Vec::new();
    for size in sizes {
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        chunks.push(chunk.to_vec());
        rest = after;
    }
    chunks.push(rest.to_vec());
    chunks
}

proptest! {
    #[test]
    fn reads_the_same_under_any_chunking(
        stream in "[a \r\n]{0,80}",
        sizes in prop::collection::vec(0_usize..9, 0..20),
        limit in 0_usize..12,
    ) {
        let chunks = cut(stream.as_bytes(), &sizes);
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(decode(&chunks, limit), decode(&[stream.as_bytes()], limit));
    }

    #[test]
    fn reads_what_it_wrote(texts in prop::collection::vec(any::<String>(), 0..8), gap in "[ \r\n\t]{0,3}") {
        let messages: Vec<Raw> = texts
            .iter()
            .map(|text| {
                let text = format!("[{gap}{}{gap},1.50]", Raw::from_text(text));
                Raw::parse(text.into(), Limits::default()).expect("JSON")
            })
            .collect();
        let mut out = Vec::new();
        for message in &messages {
            encode(&mut out, message);
        }
        let (lines, rest) = decode(&[&out], 1 << 20);
        prop_assert_eq!(rest, None);
        prop_assert_eq!(lines.len(), messages.len());
        for (line, message) in lines.into_iter().zip(&messages) {
            let line = Raw::parse(line.expect("in bounds"), Limits::default()).expect("still JSON");
            let (got, sent): (Vec<Raw>, Vec<Raw>) = (line.elements().collect(), message.elements().collect());
            prop_assert_eq!(got, sent, "strings and numbers keep their text");
        }
    }
}
