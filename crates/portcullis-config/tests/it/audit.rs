//! The sections `audit` and `witness`.

use std::time::Duration;

use portcullis_config::{AuditLog, AuditMode};

use crate::{refuses, settings};

#[test]
fn nothing_is_kept_without_the_section_or_where_it_says_off() {
    assert_eq!(settings("").audit, None);
    assert_eq!(settings("audit: { mode: off }").audit, None);
}

#[test]
fn an_empty_section_keeps_digests_for_half_a_year_in_a_folder_beside_the_file() {
    let audit = settings("audit: {}").audit.expect("events are kept");
    assert_eq!(audit.mode, AuditMode::Normal);
    assert_eq!(audit.path.file_name().unwrap(), "audit");
    assert_eq!((audit.retention_days, audit.checkpoint_interval), (184, Duration::from_secs(10)));
    assert!(!audit.node.is_empty());
    assert_eq!(audit.log, AuditLog::Files);
    assert_eq!((audit.key, audit.secret, audit.checkpoints, audit.allow), (None, None, None, None));
    assert!(!audit.keeps_payloads);
}

#[test]
fn what_is_written_is_taken() {
    let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let text = "audit: { mode: strict, path: ., node: gw-1.eu, secret: '${KEY}', payloads: encrypted, retention_days: 400,\n  \
         checkpoint_interval: 1s, checkpoints: ., allow: { groups: [audit], principals: ['key:siem'] } }";
    let loaded = crate::yaml(text, &crate::env(&[&format!("KEY={key}")])).unwrap_or_else(|p| panic!("{p}"));
    let audit = loaded.settings.audit.expect("events are kept");
    assert_eq!((audit.mode, audit.node.as_str()), (AuditMode::Strict, "gw-1.eu"));
    assert_eq!(audit.secret.as_ref().map(portcullis_config::Secret::expose), Some(key));
    assert!(audit.keeps_payloads);
    assert_eq!((audit.retention_days, audit.checkpoint_interval), (400, Duration::from_secs(1)));
    assert!(audit.checkpoints.is_some());
    let allow = audit.allow.expect("readers are named");
    assert_eq!(
        (allow.groups.as_slice(), allow.principals.as_slice()),
        (&["audit".to_owned()][..], &["key:siem".to_owned()][..])
    );
}

#[test]
fn a_log_is_kept_in_files_in_sqlite_or_in_postgresql() {
    let log = |text: &str| settings(text).audit.expect("events are kept").log;
    assert_eq!(log("audit: { log: { kind: files } }"), AuditLog::Files);
    assert_eq!(log("audit: { log: { kind: sqlite } }"), AuditLog::Sqlite);
    let text = "audit: { log: { kind: postgres, url_env: URL } }";
    let loaded = crate::yaml(text, &crate::env(&["URL=postgres://gw:geheim@db/audit"]));
    let settings = loaded.unwrap_or_else(|p| panic!("{p}")).settings;
    let AuditLog::Postgres { url, ca: None } = &settings.audit.as_ref().expect("events are kept").log else {
        panic!("it is in a database")
    };
    assert_eq!(url.expose(), "postgres://gw:geheim@db/audit");
    assert!(!portcullis_config::effective(&settings).to_string().contains("geheim"));
    for (text, says) in [
        (
            "audit: { log: { kind: postgres } }",
            "needs the URL of the database: one of `url_env`, `url_file` and `url_vault`",
        ),
        ("audit: { log: { kind: postgres, url_env: NOT_SET } }", "NOT_SET is not set"),
        (
            "audit: { log: { kind: paper } }",
            "expected `{ kind: files }` or `{ kind: sqlite }` or `{ kind: postgres }`",
        ),
        ("audit: { log: { kind: sqlite, path: x.db } }", "path"),
    ] {
        let Err(problems) = crate::yaml(text, &crate::env(&[])) else { panic!("{text} is taken") };
        assert!(problems.to_string().contains(says), "{problems}");
    }
}

#[test]
fn what_does_not_fit_is_refused_in_its_place() {
    refuses(
        "\
audit:
  mode: lax
  path: /nowhere/audit
  node: a b
  retention_days: 0
  payloads: all
  secret: { env: SHORT }
  allow: { principals: [ada] }
  witness: x
",
        "
p.yaml:2:9: error: audit.mode: expected `strict`, `normal`, `off`
p.yaml:3:3: error: audit.path: the folder in which /nowhere/audit is to be is not there; make it
p.yaml:4:3: error: audit.node: expected 1 to 64 letters, digits, `.` and `-`
p.yaml:5:19: error: audit.retention_days: expected a whole number from 1 to 36500
p.yaml:6:13: error: audit.payloads: expected `digest`, `encrypted`
p.yaml:7:13: error: audit.secret.env: the environment variable SHORT is not set; set it
p.yaml:8:25: error: audit.allow.principals[0]: `ada` is no principal; expected `anonymous`, `cert:<SHA-256 in lower-case hex>`, `key:<name>`, `user:<issuer>#<subject>` or `spiffe://…`
p.yaml:9:3: error: audit.witness: unknown key (did you mean `witnesses`?)
",
    );
}

#[test]
fn witnesses_are_asked_over_a_safe_way_and_once_each() {
    let audit =
        settings("audit: { witnesses: [{ url: 'https://w.example/witness/', key: k }] }").audit.unwrap();
    assert_eq!(audit.witnesses[0].url, "https://w.example/witness");
    refuses(
        "\
audit:
  witnesses:
    - { url: 'http://w.example', key: k }
    - { url: 'w.example', key: k }
witness: { key: { env: HOME }, logs: [] }
",
        "
p.yaml:3:9: error: audit.witnesses[0].url: plain `http` off this machine: anybody on the way could keep checkpoints back; use `https`
p.yaml:4:9: error: audit.witnesses[1].url: is not a URL; did you mean `https://w.example/`?
p.yaml:4:27: error: audit.witnesses[1].key: another witness has this key: asked twice, it proves nothing more
p.yaml:5:1: error: witness: a witness that forgets what it signed signs another history after a restart; set `store: { kind: sqlite }` or `postgres`
p.yaml:5:32: error: witness.logs: no log is witnessed; give the keys of those that are to be
",
    );
}
