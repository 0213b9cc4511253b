//! How a value is written in a path, a query, a header or a cookie: the styles of OpenAPI, which are those of URI templates
//! (RFC 6570) and three more.
//!
//! Everything is percent-encoded but what RFC 3986 calls unreserved, so no value ends where it should not. What a style
//! does not say, a list inside a list for one, is written as JSON.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_mcp::json::{Kind, Raw};

/// A style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    Space,
    Pipe,
    Deep,
}

impl Style {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "simple" => Self::Simple,
            "label" => Self::Label,
            "matrix" => Self::Matrix,
            "form" => Self::Form,
            "spaceDelimited" => Self::Space,
            "pipeDelimited" => Self::Pipe,
            "deepObject" => Self::Deep,
            _ => return None,
        })
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Label => "label",
            Self::Matrix => "matrix",
            Self::Form => "form",
            Self::Space => "spaceDelimited",
            Self::Pipe => "pipeDelimited",
            Self::Deep => "deepObject",
        }
    }
}

/// All but the unreserved characters of RFC 3986.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// For `allowReserved`, in a query: without those that would end a parameter or the query; some servers take `;` for `&`.
const RESERVED: &AsciiSet = &STRICT
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',');

/// A text in a URL.
pub(crate) fn encoded(text: &str, reserved: bool) -> String {
    utf8_percent_encode(text, if reserved { RESERVED } else { STRICT }).to_string()
}

/// A value that is no list and no object, as text; others as JSON.
pub(crate) fn text(value: &Raw) -> Cow<'_, str> {
    match value.kind() {
        Kind::String => value.string().unwrap_or_default(),
        Kind::Null => Cow::Borrowed(""),
        _ => Cow::Borrowed(value.as_str()),
    }
}

/// The parts of a value, encoded.
enum Parts {
    One(String),
    List(Vec<String>),
    Object(Vec<(String, String)>),
}

fn parts(value: &Raw, encode: &dyn Fn(&str) -> String) -> Parts {
    match value.kind() {
        Kind::Array => Parts::List(value.elements().map(|item| encode(&text(&item))).collect()),
        Kind::Object => Parts::Object(
            value.members().map(|member| (encode(&member.key()), encode(&text(&member.value())))).collect(),
        ),
        _ => Parts::One(encode(&text(value))),
    }
}

fn pairs(members: Vec<(String, String)>, between: &str) -> Vec<String> {
    members.into_iter().map(|(key, value)| format!("{key}{between}{value}")).collect()
}

/// All items, each with the same before it.
fn each(before: &str, items: &[String]) -> String {
    items.iter().flat_map(|item| [before, item]).collect()
}

/// A value in a path, or with the style `simple` in a header, where `encode` does what is needed there.
pub(crate) fn expanded(
    style: Style,
    explode: bool,
    name: &str,
    value: &Raw,
    encode: &dyn Fn(&str) -> String,
) -> String {
    let parts = parts(value, encode);
    let name = encode(name);
    match (style, explode) {
        (Style::Label, false) => match parts {
            Parts::One(one) => format!(".{one}"),
            Parts::List(items) => format!(".{}", items.join(",")),
            Parts::Object(members) => format!(".{}", pairs(members, ",").join(",")),
        },
        (Style::Label, true) => match parts {
            Parts::One(one) => format!(".{one}"),
            Parts::List(items) => each(".", &items),
            Parts::Object(members) => each(".", &pairs(members, "=")),
        },
        (Style::Matrix, false) => match parts {
            Parts::One(one) => format!(";{name}={one}"),
            Parts::List(items) => format!(";{name}={}", items.join(",")),
            Parts::Object(members) => format!(";{name}={}", pairs(members, ",").join(",")),
        },
        (Style::Matrix, true) => match parts {
            Parts::One(one) => format!(";{name}={one}"),
            Parts::List(items) => each(&format!(";{name}="), &items),
            Parts::Object(members) => each(";", &pairs(members, "=")),
        },
        (_, explode) => match parts {
            Parts::One(one) => one,
            Parts::List(items) => items.join(","),
            Parts::Object(members) => pairs(members, if explode { "=" } else { "," }).join(","),
        },
    }
}

/// A value in a query, a form or a cookie: `name=value` each.
pub(crate) fn assigned(style: Style, explode: bool, name: &str, value: &Raw, reserved: bool) -> Vec<String> {
    let encode = |text: &str| encoded(text, reserved);
    // The name of a parameter is the document's word, and its brackets and dollars are no delimiters.
    let key = encoded(name, false);
    if style == Style::Deep {
        let mut out = Vec::new();
        deep(&key, value, &encode, &mut out);
        return out;
    }
    let between = match style {
        Style::Space => "%20",
        Style::Pipe => "%7C",
        _ => ",",
    };
    match (parts(value, &encode), explode) {
        (Parts::One(one), _) => vec![format!("{key}={one}")],
        (Parts::List(items), true) => items.iter().map(|item| format!("{key}={item}")).collect(),
        (Parts::Object(members), true) => pairs(members, "="),
        (Parts::List(items), false) if items.is_empty() => Vec::new(),
        (Parts::List(items), false) => vec![format!("{key}={}", items.join(between))],
        (Parts::Object(members), false) if members.is_empty() => Vec::new(),
        (Parts::Object(members), false) => vec![format!("{key}={}", pairs(members, between).join(between))],
    }
}

/// `deepObject`: one assignment for each value inside; what is deeper, which OpenAPI leaves open, is written alike.
fn deep(key: &str, value: &Raw, encode: &dyn Fn(&str) -> String, out: &mut Vec<String>) {
    match value.kind() {
        Kind::Object => {
            for member in value.members() {
                deep(&format!("{key}%5B{}%5D", encoded(&member.key(), false)), &member.value(), encode, out);
            }
        }
        Kind::Array => value.elements().for_each(|item| out.push(format!("{key}={}", encode(&text(&item))))),
        _ => out.push(format!("{key}={}", encode(&text(value)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#""blue""#;
    const LIST: &str = r#"["blue","black","brown"]"#;
    const OBJECT: &str = r#"{"R":100,"G":200,"B":150}"#;

    fn raw(text: &'static str) -> Raw {
        Raw::from_static(text)
    }

    /// The table of OpenAPI 3.1, "Style Examples".
    #[test]
    fn values_are_written_as_the_table_of_openapi_has_them() {
        let path = |style, explode, value| {
            expanded(style, explode, "color", &raw(value), &|text| encoded(text, false))
        };
        for (style, explode, one, list, object) in [
            (Style::Matrix, false, ";color=blue", ";color=blue,black,brown", ";color=R,100,G,200,B,150"),
            (Style::Matrix, true, ";color=blue", ";color=blue;color=black;color=brown", ";R=100;G=200;B=150"),
            (Style::Label, false, ".blue", ".blue,black,brown", ".R,100,G,200,B,150"),
            (Style::Label, true, ".blue", ".blue.black.brown", ".R=100.G=200.B=150"),
            (Style::Simple, false, "blue", "blue,black,brown", "R,100,G,200,B,150"),
            (Style::Simple, true, "blue", "blue,black,brown", "R=100,G=200,B=150"),
        ] {
            let is = (path(style, explode, ONE), path(style, explode, LIST), path(style, explode, OBJECT));
            assert_eq!(is, (one.to_owned(), list.to_owned(), object.to_owned()), "{style:?} {explode}");
        }
        let query = |style, explode, value| assigned(style, explode, "color", &raw(value), false).join("&");
        for (style, explode, one, list, object) in [
            (Style::Form, false, "color=blue", "color=blue,black,brown", "color=R,100,G,200,B,150"),
            (Style::Form, true, "color=blue", "color=blue&color=black&color=brown", "R=100&G=200&B=150"),
            (
                Style::Space,
                false,
                "color=blue",
                "color=blue%20black%20brown",
                "color=R%20100%20G%20200%20B%20150",
            ),
            (
                Style::Pipe,
                false,
                "color=blue",
                "color=blue%7Cblack%7Cbrown",
                "color=R%7C100%7CG%7C200%7CB%7C150",
            ),
            (
                Style::Deep,
                true,
                "color=blue",
                "color=blue&color=black&color=brown",
                "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150",
            ),
        ] {
            let is = (query(style, explode, ONE), query(style, explode, LIST), query(style, explode, OBJECT));
            assert_eq!(is, (one.to_owned(), list.to_owned(), object.to_owned()), "{style:?} {explode}");
        }
    }

    #[test]
    fn nothing_in_a_value_ends_it() {
        let value = raw(r#""a&b=c#d/e?f g%2F\u00e9+[1]""#);
        assert_eq!(
            assigned(Style::Form, true, "q[]", &value, false),
            ["q%5B%5D=a%26b%3Dc%23d%2Fe%3Ff%20g%252F%C3%A9%2B%5B1%5D"]
        );
        assert_eq!(
            assigned(Style::Form, true, "q", &value, true),
            ["q=a%26b%3Dc%23d/e?f%20g%252F%C3%A9%2B%5B1%5D"]
        );
        assert_eq!(assigned(Style::Form, true, "q", &raw(r#""a;b=c""#), true), ["q=a%3Bb%3Dc"]);
        assert_eq!(
            assigned(Style::Form, true, "q", &raw(r#"[1.0,true,{"a":[]},[]]"#), false),
            ["q=1.0", "q=true", "q=%7B%22a%22%3A%5B%5D%7D", "q=%5B%5D"]
        );
        assert_eq!(assigned(Style::Form, false, "q", &raw("[]"), false), Vec::<String>::new());
        assert_eq!(
            assigned(Style::Deep, true, "f", &raw(r#"{"a":{"b":[1,2]}}"#), false),
            ["f%5Ba%5D%5Bb%5D=1", "f%5Ba%5D%5Bb%5D=2"]
        );
    }
}
