//! What is JSON, and that edits leave the rest alone.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Raw, JsonError> {
    Raw::parse(Bytes::copy_from_slice(text.as_bytes()), Limits { depth: 8 })
}

#[test]
fn refuses_what_is_not_json() {
    for bad in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "1 2",
        "{} {}",
        "[1 2]",
        "NaN",
        "'a'",
        "\u{feff}{}",
        "{\"a\":1 \"b\":2}",
        "[\u{a0}]",
    ] {
        assert!(parse(bad).is_err(), "accepted {bad:?}");
    }
}

#[test]
fn refuses_bad_utf8_duplicates_and_depth() {
    assert_eq!(Raw::parse(Bytes::from_static(b"\"\xff\""), Limits::default()), Err(JsonError::Encoding(1)));
    assert_eq!(parse(r#"{"a":1,"a":2}"#), Err(JsonError::DuplicateKey("a".into())));
    assert_eq!(parse(r#"{"a":1,"\u0061":2}"#), Err(JsonError::DuplicateKey("a".into())));
    assert_eq!(parse(r#"[{"x":{"a":1,"b":2,"a":2}}]"#), Err(JsonError::DuplicateKey("a".into())));
    let many = (0..40).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(",") + ",";
    assert!(parse(&format!("{{{many}\"z\":0}}")).is_ok());
    assert_eq!(parse(&format!("{{{many}\"k7\":0}}")), Err(JsonError::DuplicateKey("k7".into())));
    assert!(parse(r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#).is_ok(), "the same key at different depths is fine");
    assert!(parse("[[[[[[[[1]]]]]]]]").is_ok());
    assert_eq!(parse("[[[[[[[[[1]]]]]]]]]"), Err(JsonError::TooDeep(8)));
}

#[test]
fn finds_members_by_decoded_key() {
    let raw = parse(" {\"a\" : 1.0 , \"b\\u0063\":[1, {\"x\":\"}\\\"\"} ,2],\"d\":\"\\ud83d\\ude00\\n\" } ")
        .unwrap();
    assert_eq!(raw.find("a").unwrap().as_str(), "1.0");
    assert_eq!(raw.find("bc").unwrap().elements().count(), 3);
    assert_eq!(raw.find("d").unwrap().string().unwrap(), "😀\n");
    assert_eq!(raw.find("e"), None);
    let [d, e, a] = raw.pick(["d", "e", "a"]);
    assert_eq!((d, e, a), (raw.find("d"), None, raw.find("a")));
    let cut = parse(r#""a\ud83d""#).unwrap();
    assert_eq!((cut.as_str(), &*cut.string().unwrap()), (r#""a\ud83d""#, "a\u{fffd}"));
    assert_eq!(parse("[]").unwrap().elements().count(), 0);
    assert_eq!(parse("{}").unwrap().members().count(), 0);
}

#[test]
fn edits_leave_the_rest_alone() {
    let raw = parse(r#"{"z":1.00,"name":"x","a":{"k":1e400,"k2":[ 1 ]},"gone":null}"#).unwrap();
    let edited = raw.with(&[
        ("name", Change::Set(b"\"y\"")),
        ("gone", Change::Remove),
        ("absent", Change::Remove),
        ("new", Change::Set(b"[]")),
    ]);
    assert_eq!(edited.as_str(), r#"{"z":1.00,"name":"y","a":{"k":1e400,"k2":[ 1 ]},"new":[]}"#);
    assert_eq!(parse("{}").unwrap().with(&[("a", Change::Set(b"1"))]).as_str(), r#"{"a":1}"#);
    assert_eq!(parse(r#"{"a":1}"#).unwrap().with(&[("a", Change::Remove)]).as_str(), "{}");
}

#[test]
fn one_member_is_mapped_in_its_place() {
    let mapped = |text: &str| {
        parse(text)
            .unwrap()
            .map_member("m", |old| {
                Raw::trusted(format!("[{}]", old.map_or_else(String::new, |old| old.to_string())))
            })
            .to_string()
    };
    assert_eq!(mapped("{}"), r#"{"m":[]}"#);
    assert_eq!(mapped("{ }"), r#"{"m":[] }"#);
    assert_eq!(
        mapped(r#"{ "a" : 1.0 , "m" : {"x":2} , "b":3 }"#),
        r#"{ "a" : 1.0 , "m" : [{"x":2}] , "b":3 }"#
    );
    assert_eq!(mapped(r#"{ "a" : 1.0 }"#), r#"{ "a" : 1.0,"m":[] }"#);
    assert_eq!(mapped("[1]"), "[1]");
}

/// Any JSON value, with numbers as arbitrary text forms.
pub(crate) fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::hash_map(any::<String>(), inner, 0..6).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, value)| format!("{}:{value}", serde_json::to_string(&key).unwrap()))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn accepts_exactly_what_a_second_parser_accepts(text in "[\\[\\]{}\",:0-9a-fu\\\\ .eE+-]{0,24}") {
        let ours = Raw::parse(Bytes::from(text.clone()), Limits { depth: 100 });
        // serde_json keeps the last of duplicate keys and accepts no lone surrogates in strings it decodes.
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match ours {
            Ok(_) => {
                // Numbers out of f64's range and lone surrogates are JSON, but not for serde_json.
                let stricter = theirs.as_ref().is_err_and(|e| {
                    let why = e.to_string();
                    why.contains("out of range") || why.contains("surrogate") || why.contains("hex escape")
                });
                prop_assert!(theirs.is_ok() || stricter, "{text:?}");
            }
            Err(JsonError::DuplicateKey(_)) => {}
            Err(_) => prop_assert!(theirs.is_err(), "{text:?}"),
        }
    }

    #[test]
    fn an_edit_of_one_member_keeps_the_bytes_of_all_others(
        members in prop::collection::vec(("[a-z]{1,6}", json()), 1..8),
        pick in any::<prop::sample::Index>(),
        value in json(),
    ) {
        let mut unique: Vec<(String, String)> = Vec::new();
        for (key, value) in members {
            if unique.iter().all(|(other, _)| *other != key) {
                unique.push((key, value));
            }
        }
        let text = format!("{{{}}}",
            unique.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect::<Vec<_>>().join(" , "));
        let raw = Raw::parse(Bytes::from(text), Limits::default()).unwrap();
        let index = pick.index(unique.len());
        let edited = raw.with(&[(&unique[index].0, Change::Set(value.as_bytes()))]);
        let edited = Raw::parse(edited.bytes().clone(), Limits::default()).unwrap();
        for (at, ((key, old), member)) in unique.iter().zip(edited.members()).enumerate() {
            prop_assert_eq!(member.key(), key.as_str());
            let expected = if at == index { &value } else { old };
            prop_assert_eq!(member.value_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn strings_round_trip(text in any::<String>()) {
        let raw = Raw::from_text(&text);
        let again = Raw::parse(raw.bytes().clone(), Limits::default()).unwrap();
        prop_assert_eq!(again.string().unwrap(), text);
    }
}

/// Documents with keys that need care, nested deeper than is noted, and with more members than are.
fn document() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["a", "b", "\\u0061b", "_meta", "", "x y", "\\\"", "é"]);
    let leaf = prop::sample::select(vec!["1.0", "null", "\"\\\"}\"", "[]", "{}", "[{\"a\":{\"a\":1}}]"]);
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(5, 90, 9, move |inner| {
        prop::collection::vec((key.clone(), inner), 0..9).prop_map(|members| {
            let member = |(at, (key, value)): (usize, (&str, String))| format!(" \"{key}{at}\" :{value}");
            format!("{{{}}}", members.into_iter().enumerate().map(member).collect::<Vec<_>>().join(","))
        })
    })
}

fn same_members(noted: &Object, raw: &Raw) {
    assert_eq!(noted.members().count(), raw.members().count());
    for (left, right) in noted.members().zip(raw.members()) {
        let key = right.key();
        assert_eq!((left.key(), left.value()), (key.clone(), right.value()));
        assert_eq!(noted.pick([&key, "none"]), [Some(right.value()), None]);
        assert_eq!(noted.with(&[(&key, Change::Remove)]), raw.with(&[(&key, Change::Remove)]));
        let seven = || Raw::from_static("7");
        assert_eq!(noted.map_member(&key, |_| seven()), raw.map_member(&key, |_| seven()));
        same_members(&noted.find_object(&key).unwrap(), &right.value());
    }
}

proptest! {
    #[test]
    fn what_was_noted_is_what_a_walk_finds(text in document()) {
        let bytes = Bytes::from(text.into_bytes());
        let noted = Object::parse(bytes.clone(), Limits::default()).unwrap();
        same_members(&noted, &Raw::parse(bytes, Limits::default()).unwrap());
    }
}

#[test]
fn an_object_with_many_members_is_found_whole() {
    let members =
        |prefix: &str| (0..80).map(|n| format!("\"{prefix}{n}\":{n}")).collect::<Vec<_>>().join(",");
    for text in [
        format!("{{{}}}", members("k")),
        format!("{{\"first\":{{{}}},\"last\":{{\"x\":1}}}}", members("k")),
        format!("[{{{}}}]", members("k")),
    ] {
        let bytes = Bytes::from(text.into_bytes());
        let noted = Object::parse(bytes.clone(), Limits::default()).unwrap();
        same_members(&noted, &Raw::parse(bytes, Limits::default()).unwrap());
    }
}
