//! Checks of both halves against the standard's examples, and of their invariants.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 16;

fn decode(chunks: &[&[u8]], limit: usize) -> (Vec<Result<Event, SseError>>, Decoder) {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        events.extend(std::iter::from_fn(|| decoder.next()));
    }
    (events, decoder)
}

fn message(data: &str) -> Event {
    Event { id: None, event: None, data: data.to_owned().into(), retry: None }
}

fn check(stream: &str, expected: &[Event]) {
    let expected: Vec<_> = expected.iter().cloned().map(Ok).collect();
    assert_eq!(decode(&[stream.as_bytes()], LIMIT).0, expected, "whole: {stream:?}");
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(decode(&bytes, LIMIT).0, expected, "byte by byte: {stream:?}");
}

#[test]
fn reads_the_examples_of_the_standard() {
    check(
        "data: This is the first message.\n\ndata: This is the second message, it\ndata: has two lines.\n\n",
        &[message("This is the first message."), message("This is the second message, it\nhas two lines.")],
    );
    check("data: YHOO\ndata: +2\ndata: 10\n\n", &[message("YHOO\n+2\n10")]);
    check(
        "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
        &[
            Event { event: Some("add".into()), ..message("73857293") },
            Event { event: Some("remove".into()), ..message("2153") },
        ],
    );
    check(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        &[
            Event { id: Some("1".into()), ..message("first event") },
            Event { id: Some(String::new()), ..message("second event") },
            message(" third event"),
        ],
    );
    // Empty data once and twice; the last block is cut off.
    check("data\n\ndata\ndata\n\ndata:", &[message(""), message("\n")]);
    check("data:test\n\ndata: test\n\n", &[message("test"), message("test")]);
}

#[test]
fn accepts_all_line_ends_and_a_byte_order_mark() {
    check("data: a\r\rdata: b\r\n\r\ndata: c\n\n", &[message("a"), message("b"), message("c")]);
    check("data: a\r\n\rdata: b\n\r\n", &[message("a"), message("b")]);
    check("\u{feff}data: a\n\n", &[message("a")]);
    check("\u{feff}\u{feff}data: a\n\ndata: b\n\n", &[message("b")]);
    check("\u{feff}", &[]);
    check("\ndata: a\n\n", &[message("a")]);
}

#[test]
fn dispatches_at_a_carriage_return_without_waiting_for_the_line_feed() {
    let (events, _) = decode(&[b"data: a\r\n\r"], LIMIT);
    assert_eq!(events, [Ok(message("a"))]);
}

#[test]
fn ignores_what_the_standard_ignores() {
    check("Data: a\n\n data: b\n\ndata : c\n\nnonsense\n\n", &[]);
    check("id: a\0b\ndata: x\n\n", &[message("x")]);
    check("retry: 1s\ndata: x\n\nretry: -1\ndata: y\n\nretry:\ndata: z\n\n", &["x", "y", "z"].map(message));
    check("retry: 99999999999999999999999\ndata: x\n\n", &[message("x")]);
    check("data: unfinished\n", &[]);
    check("event: only\n\nid: 3\n\n", &[]);
}

#[test]
fn decodes_retry_and_replaces_bad_utf8_in_ids() {
    check("retry: 5000\ndata: \n\n", &[Event { retry: Some(Duration::from_secs(5)), ..message("") }]);
    let (events, _) = decode(&[b"id: \xff\nevent: \xfe\ndata: \xfd\n\n"], LIMIT);
    let replaced = Some("\u{fffd}".to_owned());
    let data = Bytes::from_static(b"\xfd");
    assert_eq!(events, [Ok(Event { id: replaced.clone(), event: replaced, data, retry: None })]);
}

#[test]
fn names_an_event_message_unless_it_says_otherwise() {
    assert_eq!(message("").name(), "message");
    assert_eq!(Event { event: Some(String::new()), ..message("") }.name(), "message");
    assert_eq!(Event { event: Some("endpoint".into()), ..message("") }.name(), "endpoint");
}

#[test]
fn remembers_id_and_delay_of_blocks_without_data() {
    let (events, decoder) = decode(&[b"id: 7\nretry: 250\n\nid: 8\n"], LIMIT);
    assert_eq!(events, []);
    assert_eq!(decoder.last_event_id(), Some("7"), "the block with 8 is not complete");
    assert_eq!(decoder.retry(), Some(Duration::from_millis(250)));
    let (_, decoder) = decode(&[b"id: 7\n\nid\n\n"], LIMIT);
    assert_eq!(decoder.last_event_id(), None, "an empty id resets");
}

#[test]
fn tells_the_last_id_of_the_events_taken_so_far() {
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n");
    decoder.next();
    assert_eq!(decoder.last_event_id(), Some("1"));
    decoder.next();
    assert_eq!(decoder.last_event_id(), Some("2"));
}

#[test]
fn resumes_with_the_last_id_and_without_what_was_half_read() {
    let (_, broken_off) = decode(&[b"id: 1\nretry: 9\ndata: a\n\nid: 2\ndata: ha"], LIMIT);
    let mut decoder = broken_off.resumed();
    assert_eq!(broken_off.retry(), Some(Duration::from_millis(9)));
    assert_eq!((decoder.last_event_id(), decoder.retry()), (Some("1"), None), "said once, not again");
    decoder.push("\u{feff}data: b\n\n".as_bytes());
    assert_eq!(decoder.next(), Some(Ok(message("b"))));
}

#[test]
fn ends_at_the_limit() {
    const TOO_LARGE: SseError = SseError::TooLarge { limit: 10 };
    // "data:12345" is 10 bytes.
    assert_eq!(decode(&[b"data:12345\n\n"], 10).0, [Ok(message("12345"))]);
    assert_eq!(decode(&[b"data:123456\n\n"], 10).0, [Err(TOO_LARGE)]);
    assert_eq!(decode(&[b"data:\ndata:\n\n"], 10).0, [Ok(message("\n"))], "two lines of one event");
    assert_eq!(decode(&[b"data:\ndata:1\n\n"], 10).0, [Err(TOO_LARGE)]);
    assert_eq!(decode(&[b"data:1\n\ndata:2\n\n"], 10).0, [Ok(message("1")), Ok(message("2"))]);
    assert_eq!(decode(&[b": comment, long\n"], 10).0, [Err(TOO_LARGE)]);
    assert_eq!(decode(&[b":1234567\n:1234567\ndata:1\n\n"], 10).0, [Ok(message("1"))]);
    let (events, mut decoder) = decode(&[b"id:1\n\n", b"no line end in sight", b"\ndata: x\n\n"], 10);
    assert_eq!(events, [Err(TOO_LARGE)]);
    decoder.push(b"data: y\n\n");
    assert_eq!(decoder.next(), None);
    assert_eq!(decoder.last_event_id(), Some("1"), "what was known stays known");
}

#[test]
fn searches_no_byte_twice() {
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(b"data: ");
    for _ in 0..1000 {
        decoder.push(b"x");
        assert_eq!(decoder.next(), None);
        assert_eq!(decoder.searched, decoder.buffer.len());
    }
    decoder.push(b"\n\n");
    assert_eq!(decoder.next().expect("complete").expect("in bounds").data.len(), 1000);
    assert_eq!(decoder.searched, 0);
}

#[test]
fn writes_frames() {
    let mut out = Vec::new();
    event(&mut out, Some("s1-4"), Some("message"), Some(Duration::from_millis(1500)), b"{\"a\":1}");
    event(&mut out, None, None, None, b"");
    comment(&mut out, "still here");
    retry(&mut out, Duration::from_secs(2));
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "id: s1-4\nevent: message\nretry: 1500\ndata: {\"a\":1}\n\ndata: \n\n: still here\n\nretry: 2000\n\n"
    );
}

#[test]
fn leaves_out_ids_and_names_that_would_forge_fields() {
    let mut out = Vec::new();
    event(&mut out, Some("1\ndata: forged"), Some("a\rb"), None, b"x\r\ny\rz\n");
    event(&mut out, Some("nul\0"), None, None, b"");
    comment(&mut out, "a\n\ndata: forged");
    assert_eq!(decode(&[&out], LIMIT).0, [Ok(message("x\ny\nz\n")), Ok(message(""))]);
}

/// The standard's algorithm over a whole stream, as plainly as it can be written.
fn reference(stream: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream)).into_owned();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let Some((complete, _)) = text.rsplit_once('\n') else { return Vec::new() };
    let (mut events, mut now, mut data) = (Vec::new(), message(""), String::new());
    for line in complete.split('\n') {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if line.is_empty() => {
                let mut done = std::mem::replace(&mut now, message(""));
                if let Some(text) = std::mem::take(&mut data).strip_suffix('\n') {
                    done.data = text.to_owned().into();
                    events.push(done);
                }
            }
            "data" => data.extend([value, "\n"]),
            "event" => now.event = Some(value.to_owned()),
            "id" if !value.contains('\0') => now.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.chars().all(|digit| digit.is_ascii_digit()) => {
                now.retry = value.parse().ok().map(Duration::from_millis).or(now.retry);
            }
            _ => {}
        }
    }
    events
}

fn stream() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("data"),
        Just("event"),
        Just("id"),
        Just("retry"),
        Just(":"),
        Just(": "),
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\n\n"),
        Just("\0"),
        Just("é"),
        Just("12"),
        Just("\u{feff}"),
        Just("data: x\n"),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    starts.zip(cuts.iter().copied().chain([stream.len()])).map(|(from, to)| &stream[from..to]).collect()
}

proptest! {
    #[test]
    fn agrees_with_the_standards_algorithm(stream in stream()) {
        let (events, _) = decode(&[stream.as_bytes()], LIMIT);
        let events: Vec<Event> = events.into_iter().map(|event| event.expect("in bounds")).collect();
        prop_assert_eq!(events, reference(stream.as_bytes()));
    }

    #[test]
    fn reads_the_same_under_any_chunking(
        stream in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        limit in 1_usize..80,
    ) {
        let (whole, at_once) = decode(&[stream.as_bytes()], limit);
        let (pieces, bit_by_bit) = decode(&cut(stream.as_bytes(), &cuts), limit);
        prop_assert_eq!(pieces, whole);
        prop_assert_eq!(bit_by_bit.last_event_id(), at_once.last_event_id());
        prop_assert_eq!(bit_by_bit.retry(), at_once.retry());
    }

    #[test]
    fn reads_what_it_wrote(
        id in prop::option::of("[^\r\n\0]{0,20}"),
        name in prop::option::of("[^\r\n]{0,20}"),
        retry in prop::option::of(0_u64..1 << 40),
        data in prop::collection::vec(any::<u8>().prop_filter("a line end of another kind", |b| *b != b'\r'), 0..200),
    ) {
        let retry = retry.map(Duration::from_millis);
        let mut out = Vec::new();
        comment(&mut out, "before");
        event(&mut out, id.as_deref(), name.as_deref(), retry, &data);
        let (events, _) = decode(&[&out], LIMIT);
        prop_assert_eq!(events, [Ok(Event { id, event: name, data: data.into(), retry })]);
    }
}
