//! Checks of value encoding against the rules and the conformance suite's cases.

use proptest::prelude::*;

use super::*;

fn encoded(text: &str) -> String {
    encode_value(text).to_str().expect("ASCII").to_owned()
}

fn decoded(value: &[u8]) -> Result<String, BadHeaderValue> {
    decode_value(value).map(Cow::into_owned)
}

#[test]
fn encodes_only_what_needs_it() {
    for plain in
        ["", "a", "us east 1", "a~!\"#", "=?base64?SGVsbG8=", "SGVsbG8=", "=?base64?=", "=?BASE64?SGVsbG8=?="]
    {
        assert_eq!(encoded(plain), plain);
    }
    for (text, value) in [
        (" ", "=?base64?IA==?="),
        (" a", "=?base64?IGE=?="),
        ("a ", "=?base64?YSA=?="),
        ("a\tb", "=?base64?YQli?="),
        ("a\r\nb", "=?base64?YQ0KYg==?="),
        ("\u{7f}", "=?base64?fw==?="),
        ("Ülm", "=?base64?w5xsbQ==?="),
        ("=?base64?SGVsbG8=?=", "=?base64?PT9iYXNlNjQ/U0dWc2JHOD0/PQ==?="),
        ("=?base64??=", "=?base64?PT9iYXNlNjQ/Pz0=?="),
    ] {
        assert_eq!(encoded(text), value, "{text:?}");
        assert_eq!(decoded(value.as_bytes()).as_deref(), Ok(text));
    }
}

#[test]
fn decodes_what_is_framed_and_takes_the_rest_literally() {
    for (value, text) in [
        ("=?base64?SGVsbG8=?=", "Hello"),
        ("=?base64??=", ""),
        ("SGVsbG8=", "SGVsbG8="),
        ("=?base64?SGVsbG8=", "=?base64?SGVsbG8="),
        ("=?Base64?SGVsbG8=?=", "=?Base64?SGVsbG8=?="),
        ("=?base64?=", "=?base64?="),
        ("x=?base64?SGVsbG8=?=", "x=?base64?SGVsbG8=?="),
        ("  padded\t", "padded"),
        (" =?base64?SGVsbG8=?= ", "Hello"),
        ("a\tb", "a\tb"),
    ] {
        assert_eq!(decoded(value.as_bytes()).as_deref(), Ok(text), "{value:?}");
    }
}

#[test]
fn refuses_what_cannot_be_decoded() {
    for (value, error) in [
        (&b"=?base64?SGVsbG8?="[..], BadHeaderValue::Base64),
        (b"=?base64?SGVs!!!bG8=?=", BadHeaderValue::Base64),
        (b"=?base64?SGVsbG8= ?=", BadHeaderValue::Base64),
        (b"=?base64?SGVsbG9=?=", BadHeaderValue::Base64),
        (b"=?base64?-_-_?=", BadHeaderValue::Base64),
        (b"=?base64?/w==?=", BadHeaderValue::Utf8),
        ("Ülm".as_bytes(), BadHeaderValue::NotAscii),
        (b"\xff", BadHeaderValue::NotAscii),
    ] {
        assert_eq!(decoded(value), Err(error), "{value:?}");
    }
}

proptest! {
    #[test]
    fn decodes_what_it_encoded(text in any::<String>()) {
        let value = encode_value(&text);
        prop_assert!(value.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte)));
        let trimmed = value.to_str().map(str::trim);
        prop_assert_eq!(trimmed.ok(), value.to_str().ok(), "no blanks at the ends");
        prop_assert_eq!(decode_value(value.as_bytes()), Ok(Cow::Owned(text)));
    }

    #[test]
    fn decodes_what_it_encoded_around_the_frame(text in r"(=\?base64\?)?[ -~]{0,8}(\?=)?") {
        prop_assert_eq!(decoded(encode_value(&text).as_bytes()), Ok(text));
    }

    #[test]
    fn never_panics_on_a_header(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) && let Ok(text) = decode_value(value.as_bytes()) {
            prop_assert_eq!(decoded(encode_value(&text).as_bytes()), Ok(text.into_owned()));
        }
    }
}
