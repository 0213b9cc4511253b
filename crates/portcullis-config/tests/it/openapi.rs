//! Servers that are APIs.

use portcullis_config::{DocumentAt, Transport, effective};
use serde_json::json;

use crate::{refuses, server, settings, warns, yaml};

#[test]
fn an_api_is_a_server_behind_a_url() {
    let digest = "0".repeat(64);
    let text = format!(
        "\
servers:
  a: {{ openapi: {{ document: 'https://api.example.com/openapi.json?v=1' }} }}
  b:
    openapi:
      document: http://127.0.0.1:8000/o.yaml
      base_url: https://api.example.com/v1
      digest: 'sha256:{digest}'
      operations: [list*]
"
    );
    let settings = settings(&text);
    let Transport::Http(a) = &server(&settings, "a").transport else { panic!("{settings:?}") };
    let api = a.openapi.as_ref().expect("an API");
    assert!(api.is_placed_by_document);
    assert_eq!(api.document, DocumentAt::Url("https://api.example.com/openapi.json?v=1".to_owned()));
    let Transport::Http(b) = &server(&settings, "b").transport else { panic!("{settings:?}") };
    assert_eq!(b.url.to_string(), "https://api.example.com/v1");
    let api = b.openapi.as_ref().expect("an API");
    assert_eq!((api.digest.as_ref(), api.is_placed_by_document), (Some(&digest), false));
    let shown = effective(&settings);
    let document = "https://api.example.com/openapi.json";
    assert_eq!(shown["servers"]["a"]["openapi"], json!({"document": document}), "a key may be in the query");
    let expected = json!({
        "document": "http://127.0.0.1:8000/o.yaml", "base_url": "https://api.example.com/v1",
        "digest": format!("sha256:{digest}"), "operations": ["list*"],
    });
    assert_eq!(shown["servers"]["b"]["openapi"], expected);
    for key in ["url", "transport", "era"] {
        assert_eq!(shown["servers"]["b"].get(key), None, "{key}");
    }
}

#[test]
fn secrets_of_an_api_are_sent_where_the_operator_says() {
    let text = "\
servers:
  a:
    openapi:
      document: https://api.example.com/o.json
      base_url: https://api.example.com
      query: { key: { env: TOKEN } }
    headers: { X-Key: '${TOKEN}' }
    credentials: { kind: static, token: { env: TOKEN } }
";
    let settings = warns(text, "");
    let Transport::Http(api) = &server(&settings, "a").transport else { panic!("{settings:?}") };
    assert_eq!(api.openapi.as_ref().expect("an API").query["key"].expose(), "t0k3n");
    assert!(!format!("{settings:?}").contains("t0k3n"));
    refuses(
        "\
servers:
  a:
    openapi: { document: 'https://api.example.com/o.json', query: { key: { env: HOME } } }
    headers: { X-Key: { env: HOME } }
",
        "
p.yaml:3:60: error: servers.a.openapi.query: needs `openapi.base_url`: a document must not decide where secrets are sent
p.yaml:4:5: error: servers.a.headers: needs `openapi.base_url`: a document must not decide where secrets are sent",
    );
}

#[test]
fn refuses_what_an_api_cannot_have() {
    let problems = |text: &str| yaml(text, &crate::Env::new()).expect_err(text).to_string();
    for (entry, why) in [
        ("{ openapi: {} }", "`document` is missing"),
        ("{ openapi: { document: '' } }", "expected a file or a URL"),
        ("{ openapi: { document: not-there.yaml } }", "cannot read"),
        ("{ openapi: { document: 'ftp://x/y' } }", "is not a URL"),
        ("{ openapi: { document: 'https://x/y', digest: 'sha256:12' } }", "64 hexadecimal digits"),
        ("{ openapi: { document: 'https://x/y', base_url: 'https://x?a=b' } }", "into `query`"),
        ("{ openapi: { document: 'https://x/y', base_url: '/v1' } }", "is not a URL"),
        ("{ openapi: { document: 'https://x/y' }, transport: sse }", "only works with `url`"),
        ("{ openapi: { document: 'https://x/y' }, era: legacy }", "only works with `url`"),
        ("{ openapi: { document: 'https://x/y' }, args: [a] }", "only works with `command`"),
        ("{ openapi: { document: 'https://x/y' }, url: 'https://x/' }", "has both `url` and `openapi`"),
        (
            "{ openapi: { document: 'https://x/y' }, url: 'https://x/', command: a }",
            "has `command`, `url` and `openapi`",
        ),
    ] {
        let found = problems(&format!("servers: {{ a: {entry} }}\n"));
        assert!(found.contains(why), "{entry}: {found}");
    }
}
