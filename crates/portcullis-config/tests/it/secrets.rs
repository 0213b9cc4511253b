//! Secrets are read from where they are said to be, and never shown.

use std::fs;

use portcullis_config::{Overrides, SecretSource, Transport};

use crate::{Env, env, lines, refuses, server, warns, yaml};

const TEXT: &str = "\
servers:
  a:
    command: run
    env:
      A_TOKEN: { env: A }
      B_TOKEN: { file: b.txt }
      C_TOKEN: ${C}
      D_TOKEN: hunter2-literal
  b:
    url: https://h/mcp?key=${C}
    headers: { Authorization: 'Bearer ${A}' }
telemetry:
  otlp: { endpoint: 'https://collector:4317', headers: { api-key: { file: b.txt } } }
";

#[test]
fn reads_secrets_and_never_shows_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("p.yaml");
    fs::write(&file, TEXT).expect("written");
    fs::write(folder.path().join("b.txt"), "hunter2-file\r\n").expect("written");
    let env = env(&["A=hunter2-env", "C=hunter2-filled"]);
    let loaded =
        portcullis_config::load(&file, &env, &Overrides::default()).unwrap_or_else(|p| panic!("{p}"));

    let Transport::Stdio(stdio) = &server(&loaded.settings, "a").transport else { panic!("{loaded:?}") };
    let read: Vec<_> = stdio.env.values().map(|secret| (secret.expose(), secret.source().clone())).collect();
    let from = |name: &str| SecretSource::Env(vec![name.to_owned()]);
    assert_eq!(
        read,
        [
            ("hunter2-env", from("A")),
            ("hunter2-file", SecretSource::File(folder.path().join("b.txt"))),
            ("hunter2-filled", from("C")),
            ("hunter2-literal", SecretSource::Literal),
        ]
    );
    let Transport::Http(http) = &server(&loaded.settings, "b").transport else { panic!("{loaded:?}") };
    assert_eq!(http.headers["authorization"].expose(), "Bearer hunter2-env");
    assert_eq!(http.url.expose().query(), Some("key=hunter2-filled"));

    let effective = portcullis_config::effective(&loaded.settings);
    for shown in [format!("{loaded:?}"), effective.to_string(), lines(&loaded.warnings)] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(
        effective["servers"]["a"]["env"]["A_TOKEN"],
        serde_json::json!({ "value": "***", "from": "env A" })
    );
    assert_eq!(effective["servers"]["b"]["url"], "https://h/mcp?***");
    assert_eq!(loaded.files, [file, folder.path().join("b.txt")]);
    assert_eq!(loaded.warnings.len(), 1, "only the literal: {}", lines(&loaded.warnings));
}

#[test]
fn warns_of_literals_that_look_like_secrets_only() {
    warns(
        "\
servers:
  a:
    command: x
    env: { NODE_ENV: production, API_KEY: abc, DB: 'postgres://u:p@h/d', LOG: info, EMPTY_TOKEN: '' }
  b: { url: 'https://h/', headers: { X-Team: a, Authorization: Bearer abc, X-Key: '${TOKEN}' } }
",
        "
p.yaml:4:34: warning: servers.a.env.API_KEY: a secret in plain text; write `{ env: API_KEY }`, `{ file: PATH }` or `${API_KEY}`
p.yaml:4:48: warning: servers.a.env.DB: a secret in plain text; write `{ env: DB }`, `{ file: PATH }` or `${DB}`
p.yaml:5:49: warning: servers.b.headers.Authorization: a secret in plain text; write `\"Bearer ${TOKEN}\"`, and set TOKEN in the environment",
    );
}

#[test]
fn refuses_references_that_lead_nowhere() {
    refuses(
        "\
servers:
  a:
    command: x
    env: { A: { env: MISSING }, B: { env: 'a b' }, C: { file: /nowhere/x }, D: { vault: x }, E: [1], F: { env: HOME, file: B }, G: { env: [] }, H: { file: / }, I: }
",
        "
p.yaml:4:17: error: servers.a.env.A.env: the environment variable MISSING is not set; set it
p.yaml:4:38: error: servers.a.env.B.env: expected the name of an environment variable: letters, digits and `_`
p.yaml:4:57: error: servers.a.env.C.file: cannot read /nowhere/x: No such file or directory (os error 2)
p.yaml:4:82: error: servers.a.env.D.vault: there is no Vault; set `secrets.vault`
p.yaml:4:97: error: servers.a.env.E: expected text or `{ env: … }` or `{ file: … }` or `{ vault: … }`
p.yaml:4:118: error: servers.a.env.F.file: unknown key; expected one of env
p.yaml:4:139: error: servers.a.env.G.env: expected text
p.yaml:4:150: error: servers.a.env.H.file: / is a folder
p.yaml:4:162: error: servers.a.env.I: is empty; expected text or `{ env: … }` or `{ file: … }` or `{ vault: … }`",
    );
}

#[test]
fn a_broken_secret_is_not_repeated_in_the_problem() {
    let text =
        "servers: { a: { url: 'https://h/', headers: { X-Key: '${KEY}' } } }\nlimits: { drain: '${KEY}' }\n";
    let problems =
        yaml(text, &Env::from([("KEY".to_owned(), "hunter2\n".to_owned())])).expect_err("a line break");
    let [header, _] = problems.0.as_slice() else { panic!("{problems}") };
    assert!(!header.to_string().contains("hunter2"), "{header}");
}
