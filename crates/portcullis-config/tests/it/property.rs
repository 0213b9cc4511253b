//! No text makes a reader panic.

use portcullis_config::{Format, Overrides};
use proptest::prelude::*;

use crate::Env;

fn read_all(text: &str) {
    for format in [Format::Yaml, Format::Json, Format::Toml] {
        let parsed = portcullis_config::parse("p", text, format, &Env::new(), &Overrides::default());
        if let Err(problems) = parsed {
            assert!(!problems.0.is_empty());
            // What passes the schema fits the raw structs: serde never has the word.
            let serde =
                |message: &str| message.starts_with("invalid ") || message.starts_with("missing field");
            assert!(!problems.0.iter().any(|problem| serde(&problem.message)), "{problems}");
        }
    }
    for name in ["p.yaml", "p.json", "p.toml"] {
        // Only that it comes back.
        let _ = portcullis_config::import(name, text, &Env::new(), &Overrides::default());
    }
}

/// Bits of configuration, in any order: they reach deeper than random characters do.
fn fragments() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "listen",
        "servers",
        "mcpServers",
        "limits",
        "tls",
        "shared",
        "kind",
        "env",
        "file",
        "url",
        "command",
        "args",
        "headers",
        "type",
        "sse",
        "a",
        "${A}",
        "${",
        "$${",
        "${A:-",
        "}",
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        ",",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "\"",
        "'",
        "=",
        " = ",
        "&a ",
        "*a",
        "!!str ",
        "~",
        "null",
        "1",
        "-1",
        "1e9",
        "true",
        "0s",
        "5m",
        "99999999999999999999h",
        "//",
        "/*",
        "#",
        "\t",
        "\u{feff}",
        "é",
        "\u{0}",
        "|",
        ">",
        "---",
    ]);
    prop::collection::vec(bits, 0..40).prop_map(|bits| bits.concat())
}

/// Any tree under keys that mean something, as JSON, which YAML reads as well.
fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "\\PC{0,12}".prop_map(Into::into),
    ];
    let key = prop::sample::select(vec![
        "listen",
        "servers",
        "mcpServers",
        "limits",
        "tls",
        "cert",
        "key",
        "store",
        "kind",
        "identity",
        "anonymous",
        "http",
        "allowed_origins",
        "telemetry",
        "otlp",
        "endpoint",
        "headers",
        "log",
        "command",
        "args",
        "env",
        "file",
        "url",
        "era",
        "disabled",
        "type",
        "call_timeout",
        "body_bytes",
        "My Server",
        "json_depth",
        "workers",
        "env_http_headers",
        "bearer_token_env_var",
        "mcp",
        "name",
    ]);
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|entries| {
                serde_json::Value::Object(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        read_all(&text);
    }

    #[test]
    fn shuffled_configuration_never_panics(text in fragments()) {
        read_all(&text);
    }

    #[test]
    fn arbitrary_trees_never_panic(tree in tree()) {
        read_all(&tree.to_string());
    }
}
