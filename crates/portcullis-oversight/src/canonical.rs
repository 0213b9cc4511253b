//! The canonical form of a JSON value (RFC 8785, JCS): two values that say the same have the same bytes.
//!
//! Members are sorted by the UTF-16 units of their names, strings have the one set of escapes, numbers are written as
//! ECMAScript writes them. Two deviations, so that different documents never look alike: an integer that a double cannot
//! hold keeps its digits, and a lone surrogate, which RFC 8785 forbids, becomes U+FFFD as everywhere here. No text is
//! normalised: what cannot be seen stays in.

use portcullis_mcp::json::{Kind, Raw, write_string};

/// Writes a value in canonical form.
pub fn canonical(value: &Raw) -> String {
    let mut out = Vec::with_capacity(value.as_bytes().len());
    write(&mut out, value);
    String::from_utf8(out).expect("JSON is written as UTF-8")
}

fn write(out: &mut Vec<u8>, value: &Raw) {
    match value.kind() {
        Kind::Object => {
            let mut members: Vec<_> = value.members().map(|member| (member.key(), member.value())).collect();
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write(out, value);
            }
            out.push(b'}');
        }
        Kind::Array => {
            out.push(b'[');
            for (index, element) in value.elements().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, &element);
            }
            out.push(b']');
        }
        Kind::String => write_string(out, &value.string().unwrap_or_default()),
        Kind::Number => out.extend_from_slice(number(value.as_str()).as_bytes()),
        Kind::Bool | Kind::Null => out.extend_from_slice(value.as_bytes()),
    }
}

/// 2^53, up to which every integer is a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn number(text: &str) -> String {
    let Ok(value) = text.parse::<f64>() else { return text.to_owned() };
    let plain = !text.contains(['.', 'e', 'E']);
    if !value.is_finite() || (plain && value.abs() >= EXACT) {
        return text.to_owned();
    }
    ryu_js::Buffer::new().format_finite(value).to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use portcullis_mcp::json::Limits;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&Raw::parse(Bytes::copy_from_slice(text.as_bytes()), Limits { depth: 64 }).unwrap())
    }

    #[test]
    fn writes_what_rfc_8785_shows() {
        let shown = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
        assert_eq!(of(shown), expected);
        let sorted = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        assert_eq!(of(sorted), "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}");
    }

    #[test]
    fn what_says_the_same_is_the_same_and_nothing_else_is() {
        assert_eq!(of(r#"{"a": 1.0, "b":[ "\u0041" ]}"#), of(r#"{"b":["A"],"a":1}"#));
        assert_ne!(of("9007199254740993"), of("9007199254740992"));
        assert_ne!(of("\"a\u{200b}b\""), of("\"ab\""));
        assert_ne!(of("[1,2]"), of("[2,1]"));
        assert_eq!(of("-0"), "0");
    }
}
