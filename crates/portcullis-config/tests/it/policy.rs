//! The section `policy`, and files of cases.

use std::fs;

use portcullis_config::{Expected, FactKind, Overrides, PolicyMode, cases, load};

use crate::{Env, refuses, settings, warns};

#[test]
fn without_the_section_there_are_no_policies() {
    assert_eq!(settings("").policy, None);
    let text = "policy: { roles: { reader: [staff] }, mode: shadow, claims: { level: integer } }";
    let policy = settings(text).policy.unwrap();
    assert_eq!(policy.mode, PolicyMode::Shadow);
    assert_eq!(policy.claims["level"], FactKind::Integer);
    assert_eq!(policy.roles["reader"], ["staff"]);
    let policy = warns(
        "policy: {}",
        "p.yaml:1:1: warning: policy: names neither `files` nor `roles`: everything is denied to everybody",
    );
    assert_eq!(policy.policy.unwrap().mode, PolicyMode::Enforce);
}

#[test]
fn refuses_what_names_nobody_and_nothing() {
    refuses(
        "\
policy:
  mode: dry
  rols: {}
  roles: { reader: [''] }
  groups: { g: [ada, 'cert:AB', 'key:', anonymous, 'user:i#s', 'spiffe://d/p'] }
  claims: { 'a b': string, c: text }
",
        "
p.yaml:2:9: error: policy.mode: expected `enforce`, `shadow`
p.yaml:3:3: error: policy.rols: unknown key (did you mean `roles`?)
p.yaml:4:12: error: policy.roles.reader: a name is empty
p.yaml:5:17: error: policy.groups.g[0]: `ada` is no principal; expected `anonymous`, `cert:<SHA-256 in lower-case hex>`, `key:<name>`, `user:<issuer>#<subject>` or `spiffe://…`
p.yaml:5:22: error: policy.groups.g[1]: `cert:AB` is no principal; expected `anonymous`, `cert:<SHA-256 in lower-case hex>`, `key:<name>`, `user:<issuer>#<subject>` or `spiffe://…`
p.yaml:5:33: error: policy.groups.g[2]: `key:` is no principal; expected `anonymous`, `cert:<SHA-256 in lower-case hex>`, `key:<name>`, `user:<issuer>#<subject>` or `spiffe://…`
p.yaml:6:13: error: policy.claims.a b: expected a name of ASCII characters without blanks and quotes
p.yaml:6:31: error: policy.claims.c: expected `string`, `integer`, `decimal`, `boolean`, `strings`",
    );
}

#[test]
fn files_and_folders_are_read_and_watched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("policies")).expect("made");
    for (name, text) in [("b.cedar", "b"), ("a.cedar", "a"), ("notes.txt", "x")] {
        fs::write(path("policies").join(name), text).expect("written");
    }
    fs::write(path("one.txt"), "one").expect("written");
    fs::write(path("p.yaml"), "policy: { files: [one.txt, policies/] }").expect("written");
    let loaded = load(&path("p.yaml"), &Env::new(), &Overrides::default()).unwrap_or_else(|p| panic!("{p}"));
    let texts: Vec<_> = loaded.settings.policy.unwrap().texts.into_iter().map(|text| text.text).collect();
    assert_eq!(texts, ["one", "a", "b"]);
    let watched = ["p.yaml", "one.txt", "policies", "policies/a.cedar", "policies/b.cedar"];
    assert_eq!(loaded.files, watched.map(path));
    fs::write(path("p.yaml"), "policy: { files: [none.cedar] }").expect("written");
    let problems = load(&path("p.yaml"), &Env::new(), &Overrides::default()).expect_err("no file");
    assert!(problems.to_string().contains("p.yaml:1:19: error: policy.files[0]: cannot read "), "{problems}");
}

#[test]
fn cases_have_their_lines_and_all_their_problems() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cases.yaml");
    fs::write(&file, "config: c.yaml\ncases:\n- as: {}\n  tool: a/b\n  expect: deny\n- { as: {}, server: a, expect: allow }\n")
        .expect("written");
    let read = cases(&file, &Env::new()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(read.config, Some(folder.path().join("c.yaml")));
    let found: Vec<_> =
        read.cases.iter().map(|case| (case.line, case.expect, case.who.id.as_str())).collect();
    assert_eq!(found, [(3, Expected::Deny, "anonymous"), (6, Expected::Allow, "anonymous")]);
    fs::write(&file, "cases:\n- { as: { grps: [] }, expect: perhaps }\n- {}\n").expect("written");
    let problems = cases(&file, &Env::new()).expect_err("problems").to_string();
    for said in [
        "cases.yaml:2:11: error: cases[0].as.grps: unknown key",
        "cases.yaml:2:31: error: cases[0].expect",
        ":3:3: error: cases[1]: `as` is missing",
    ] {
        assert!(problems.contains(said), "{said} in {problems}");
    }
}
