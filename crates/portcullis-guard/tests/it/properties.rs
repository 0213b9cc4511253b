//! What holds for every document: what comes out is JSON, stays as it is when it goes through again, and holds no value
//! that was found, in whatever way it is written.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use portcullis_guard::{Action, Engine, Limits, Outcome, Settings};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Names, engine, plan};

const SECRETS: [&str; 4] = [
    "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "AKIAZ3MSJV4WYDGKQ2UB",
    "glpat-x7KqP2mN9vR4tY8wZ3bC",
    "npm_Zq8Xw3Rt6Yb1Nm5Kj9Hg2Fd7Sa4Po0Iu8Ty3",
];

/// A secret as somebody may write it.
fn disguised(secret: &'static str, how: u8) -> Value {
    match how {
        0 => json!(secret),
        1 => json!(format!("token={secret}&x=1")),
        2 => json!(BASE64_STANDARD.encode(format!("the key is {secret}"))),
        3 => json!(secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()),
        4 => json!(json!({ "inner": secret, "n": [1, 2] }).to_string()),
        5 => json!(json!(json!({ "inner": secret }).to_string()).to_string()),
        6 => json!(secret.chars().flat_map(|c| [c, '\u{200b}']).collect::<String>()),
        7 => json!(
            secret.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c)).collect::<String>()
        ),
        8 => json!(BASE64_STANDARD.encode(BASE64_STANDARD.encode(secret))),
        _ => json!(secret.bytes().map(|byte| format!("&#{byte};")).collect::<Vec<_>>().concat()),
    }
}

fn documents() -> impl Strategy<Value = (Value, Vec<&'static str>)> {
    let secrets = prop::collection::vec((0..SECRETS.len(), 0u8..10), 1..5);
    (secrets, any::<u8>(), "[ -~é\u{200d}]{0,40}").prop_map(|(secrets, shape, noise)| {
        let used = secrets.iter().map(|(at, _)| SECRETS[*at]).collect();
        let values: Vec<Value> = secrets.iter().map(|(at, how)| disguised(SECRETS[*at], *how)).collect();
        let document = match shape % 3 {
            0 => json!({ "noise": noise, "values": values }),
            1 => json!([noise, { "a": values }, 4_111_111_111_111_111_u64]),
            _ => json!({ "content": [{ "type": "text", "text": json!(values).to_string() }], noise.clone(): 1 }),
        };
        (document, used)
    })
}

/// Everything that a text says, encodings taken off.
fn all_readings(text: &str, depth: usize, out: &mut String) {
    out.push_str(text);
    out.push('\n');
    if depth == 0 {
        return;
    }
    let visible: String = text
        .chars()
        .filter(|c| *c != '\u{200b}')
        .map(|c| match u32::from(c) {
            wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
            _ => c,
        })
        .collect();
    if visible != text {
        all_readings(&visible, depth - 1, out);
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        strings(&value, depth - 1, out);
    }
    for part in text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')))
        .filter(|part| part.len() > 11)
    {
        if let Ok(decoded) = BASE64_STANDARD.decode(part)
            && let Ok(decoded) = String::from_utf8(decoded)
        {
            all_readings(&decoded, depth - 1, out);
        }
    }
    if text.contains('%') || text.contains("&#") {
        let bytes: Vec<u8> = text
            .split(['%', '&', '#', ';'])
            .filter_map(|part| {
                if text.contains("&#") {
                    part.parse().ok()
                } else {
                    u8::from_str_radix(part.get(..2)?, 16).ok()
                }
            })
            .collect();
        out.push_str(&String::from_utf8_lossy(&bytes));
    }
}

fn strings(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::String(text) => all_readings(text, depth, out),
        Value::Array(values) => values.iter().for_each(|value| strings(value, depth, out)),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            all_readings(key, depth, out);
            strings(value, depth, out);
        }),
        _ => {}
    }
}

fn transformed(engine: &Engine, document: &[u8], action: Action) -> Option<Vec<u8>> {
    match engine.transform_json(document, &plan(action), &mut Names::default()) {
        Outcome::Changed { bytes, .. } => Some(bytes),
        Outcome::Unchanged { .. } => None,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn no_detected_secret_is_left_in_any_encoding((document, secrets) in documents(), action in prop::sample::select(vec![
        Action::Redact, Action::Mask, Action::Partial, Action::Hash, Action::Pseudonym, Action::Drop,
    ])) {
        let engine = engine();
        let text = document.to_string();
        let out = transformed(&engine, text.as_bytes(), action).expect("there are secrets in it");
        let value: Value = serde_json::from_slice(&out).expect("it is JSON");
        let mut readings = String::new();
        strings(&value, 4, &mut readings);
        for secret in secrets {
            prop_assert!(!readings.contains(secret), "{secret} of {text} is left in {value}");
        }
        prop_assert_eq!(transformed(&engine, &out, action), None, "once more: {}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn any_text_is_scanned_with_spans_on_characters(text in "\\PC{0,200}") {
        for found in engine().scan(&text).findings {
            prop_assert!(text.get(found.start..found.end).is_some_and(|value| !value.is_empty()), "{found:?} in {text:?}");
        }
    }
}

/// Work grows with the input and not with its square: forty times the text may not take four hundred times as long.
/// Counted as the fastest of several runs, so that a busy machine does not decide.
#[test]
fn time_is_linear_on_what_is_made_to_be_slow() {
    let limits = Limits { bytes: 8 << 20, findings: usize::MAX, ..Limits::default() };
    let engine = Engine::new(&Settings { limits, ..Settings::default() }).expect("good settings");
    for piece in [
        "1 ",
        "1-",
        "a@",
        "@",
        "key=",
        "eyJ",
        ":",
        "-----BEGIN PRIVATE KEY-----",
        "not tell ",
        "%41",
        "QUJD",
        "12.",
        "your ",
        "<a>",
        "4111 1111 ",
    ] {
        let fastest = |count: usize| {
            let text = piece.repeat(count);
            (0..3)
                .map(|_| {
                    let started = std::time::Instant::now();
                    std::hint::black_box(engine.scan_text(&text));
                    started.elapsed()
                })
                .min()
                .unwrap_or_default()
        };
        let (short, long) = (fastest(500), fastest(20_000));
        assert!(
            long < (short + std::time::Duration::from_millis(1)) * 400,
            "{piece:?}: {short:?}, then {long:?}"
        );
    }
}
