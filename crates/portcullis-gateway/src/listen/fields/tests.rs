//! Fields of both versions of HTTP are found alike.

use super::*;

fn fields() -> [Fields; 2] {
    let text =
        Bytes::from_static(b"Accept: a\r\nX-Empty:\r\nACCEPT: b\r\nMcp-Param-City: Ulm\r\nx-odd: \xff");
    let place = |name: &str, value: &[u8], from: usize| {
        let at = |part: &[u8], from| {
            let start = from + memchr::memmem::find(&text[from..], part).expect("it is there");
            (start, start + part.len())
        };
        let name = at(name.as_bytes(), from);
        [name, if value.is_empty() { (name.1 + 1, name.1 + 1) } else { at(value, name.1) }]
    };
    let places = [
        place("Accept", b"a", 0),
        place("X-Empty", b"", 0),
        place("ACCEPT", b"b", 0),
        place("Mcp-Param-City", b"Ulm", 0),
        place("x-odd", b"\xff", 0),
    ];
    let mut map = HeaderMap::new();
    for (name, value) in [
        ("accept", &b"a"[..]),
        ("x-empty", b""),
        ("accept", b"b"),
        ("mcp-param-city", b"Ulm"),
        ("x-odd", b"\xff"),
    ] {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    [Fields::new(text, places.into_iter()), Fields::from(&map)]
}

#[test]
fn names_have_no_case_and_values_keep_their_order() {
    for fields in fields() {
        assert_eq!(fields.all(&http::header::ACCEPT).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(fields.get(&HeaderName::from_static("x-empty")), Some(&b""[..]));
        assert_eq!(fields.text(&HeaderName::from_static("x-odd")), None, "not ASCII");
        assert!(fields.has(&HeaderName::from_static("x-odd")));
        assert!(!fields.has(&http::header::HOST));
        let mirrored = fields.with_prefix("mcp-param-");
        assert_eq!(mirrored.len(), 1);
        assert_eq!(mirrored["mcp-param-city"], "Ulm");
    }
}
