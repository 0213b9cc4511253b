//! Where bodies end, however they are cut; and what would end elsewhere for others.

use proptest::prelude::*;

use super::*;

/// A body, and what follows it.
type Read = (Vec<u8>, Vec<u8>);

/// Reads a chunked body that comes in pieces of `step` bytes; what it says, and what is left behind it.
fn read(text: &[u8], step: usize) -> Result<Option<Read>, &'static str> {
    let mut framing = Framing::Chunked(Chunks::default());
    let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
    let mut pieces = text.chunks(step);
    loop {
        match framing.take(&mut buffer)? {
            Progress::Data(data) => body.extend_from_slice(&data),
            Progress::End => {
                let rest = pieces.flatten().copied();
                return Ok(Some((body, buffer.iter().copied().chain(rest).collect())));
            }
            Progress::NeedsMore => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => return Ok(None),
            },
        }
    }
}

#[test]
fn extensions_and_trailers_are_passed_over() {
    for text in [
        "3\r\nabc\r\n0\r\n\r\nGET",
        "003;a=\"b;c\"\r\nabc\r\n0\r\n\r\nGET",
        "1 ;x\r\na\r\n2\t\r\nbc\r\n0;last\r\nDigest: x\r\nB:\r\n\r\nGET",
    ] {
        for step in [1, 2, 3, 1000] {
            let read = read(text.as_bytes(), step).unwrap().unwrap();
            assert_eq!(read, (b"abc".to_vec(), b"GET".to_vec()), "{text:?} in steps of {step}");
        }
    }
}

#[test]
fn what_others_would_end_elsewhere_is_refused() {
    for text in [
        // No size is not 0.
        "\r\n\r\n",
        ";x\r\n\r\n",
        "3\r\nabc\r\n\r\n\r\n",
        // Lines that end for some.
        "3\nabc\r\n0\r\n\r\n",
        "3;\nabc\r\n0\r\n\r\n",
        "3;x\ry\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\r\nT: 1\n\nGET /metrics HTTP/1.1\r\n\r\n",
        "3\r\nabc\r\n0\r\nT: 1\r\r\n\r\n",
        // The next request is no trailer.
        "3\r\nabc\r\n0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "3\r\nabc\r\n0\r\n T: 1\r\n\r\n",
        // Numbers of other kinds.
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        // More or less than was said.
        "2\r\nabc\r\n0\r\n\r\n",
        "4\r\nabc\r\n0\r\n\r\n",
    ] {
        for step in [1, 1000] {
            assert!(read(text.as_bytes(), step).is_err(), "{text:?} in steps of {step}");
        }
    }
    assert_eq!(read(b"ffffffffffffffff\r\nabc", 1), Ok(None), "all of it is still to come");
}

#[test]
fn what_is_passed_over_has_bounds() {
    let endless = format!("1;{}", "x".repeat(LINE + 10));
    assert!(read(endless.as_bytes(), 100).is_err());
    let wrapped = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(20);
    assert!(read(wrapped.as_bytes(), 100).is_err());
    let trailers = format!("0\r\n{}\r\n", "T: 1\r\n".repeat(EXTRA));
    assert!(read(trailers.as_bytes(), 100).is_err());
    let small = format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(EXTRA));
    assert_eq!(read(small.as_bytes(), 1000).unwrap().unwrap().0.len(), EXTRA, "small chunks are fine");
}

proptest! {
    #[test]
    fn is_the_same_however_it_is_cut(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            // Nearly right, for most of it would fail at the first byte.
            prop::collection::vec(
                prop::sample::select(vec!["1", "0", "a", "\r\n", "\r\n", "1\r\na\r\n", "0\r\n", ";", "\n", "\r", "T: 1\r\n"]),
                0..20,
            ).prop_map(|parts| parts.concat().into_bytes()),
        ],
        step in 1usize..10,
    ) {
        prop_assert_eq!(read(&text, step), read(&text, usize::MAX));
    }
}
