//! `portcullis policy …` and `portcullis explain`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const CONFIG: &str = r#"
servers: { files: { command: cat }, crm: { command: cat } }
policy:
  files: [policies/]
  roles: { reader: [staff] }
  groups: { everyone: [anonymous] }
  labels: { pii: ["crm/*_contact"] }
  claims: { level: integer }
  arguments: { path: string }
"#;

const POLICIES: &str = r#"@id("files-by-path")
permit (principal in Group::"everyone", action == Action::"tools/call", resource in Server::"files")
when { context.args has path && context.args.path like "/data/*" };

@id("no-pii")
forbid (principal, action, resource in Label::"pii");
"#;

const CASES: &str = r#"
config: portcullis.yaml
cases:
  - name: staff may look
    as: { id: "user:https://idp#ada", groups: [staff], claims: '{"level": 3}' }
    tool: files/look
    annotations: [readOnlyHint]
    args: "{}"
    expect: allow
    by: role:reader:tools
  - as: { id: "user:https://idp#ada", groups: [staff] }
    tool: crm__get_contact
    annotations: [readOnlyHint]
    expect: deny
    by: no-pii
  - as: {}
    tool: files/look
    args: '{"path": "/etc/passwd"}'
    at: 2026-11-28T20:00:00Z
    from: 10.0.0.1
    expect: EXPECTED
  - as: { id: "user:https://idp#eve" }
    server: files
    expect: deny
"#;

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(folder).env_remove("PORTCULLIS_CONFIG").env_remove("PORTCULLIS_LOG");
    command.args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn folder(policies: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("portcullis.yaml"), CONFIG).unwrap();
    std::fs::write(folder.path().join("policies/a.cedar"), policies).unwrap();
    folder
}

#[test]
fn cases_that_are_as_expected_pass_and_others_are_named() {
    let folder = folder(POLICIES);
    let path = folder.path();
    std::fs::write(path.join("good.yaml"), CASES.replace("EXPECTED", "deny")).unwrap();
    std::fs::write(path.join("bad.yaml"), CASES.replace("EXPECTED", "allow")).unwrap();
    let good = run(path, &["policy", "test", "good.yaml"]);
    assert_eq!((good.status.code(), stdout(&good).as_str()), (Some(0), "4 passed, 0 failed\n"), "{good:?}");
    let bad = run(path, &["policy", "test", "bad.yaml"]);
    let said = stdout(&bad);
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    assert!(
        said.contains(
            "bad.yaml:16: FAILED: anonymous tools/call files/look: expected to be allowed, and is denied"
        ),
        "{said}"
    );
    assert!(
        said.contains("asked, and not met: `files-by-path`") && said.ends_with("3 passed, 1 failed\n"),
        "{said}"
    );
    let json = run(path, &["policy", "test", "bad.yaml", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["ok"], &json["failed"], &json["cases"][1]["policies"][0]["id"]),
        (&false.into(), &1.into(), &"no-pii".into())
    );
}

#[test]
fn cases_that_cannot_be_understood_are_usage() {
    let folder = folder(POLICIES);
    let path = folder.path();
    for (from, to, said) in [
        ("expect: deny", "expect: maybe", "expected `allow`, `deny`"),
        ("    tool: files/look\n", "    tol: files/look\n", "tol: unknown key"),
        ("server: files", "server: filez", "there is no server `filez`"),
        ("{\"level\": 3}", "{", "is not JSON"),
        ("at: 2026-11-28T20:00:00Z", "at: noon", "`noon` is no time"),
    ] {
        std::fs::write(path.join("cases.yaml"), CASES.replace("EXPECTED", "deny").replacen(from, to, 1))
            .unwrap();
        let output = run(path, &["policy", "test", "cases.yaml"]);
        assert_eq!(output.status.code(), Some(2), "{to}: {output:?}");
        assert!(stderr(&output).contains(said), "{to}: {output:?}");
    }
}

#[test]
fn explain_names_the_policy_and_the_reason() {
    let folder = folder(POLICIES);
    let path = folder.path();
    let explain = |args: &[&str]| {
        let output = run(path, &[&["explain", "--config", "portcullis.yaml"], args].concat());
        (output.status.code(), stdout(&output))
    };
    let (code, said) = explain(&["--as", "anonymous", "--tool", "files__look"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("allowed: anonymous tools/list files/look\n  permitted\n  permit `files-by-path` ("),
        "{said}"
    );
    assert!(said.contains("policies/a.cedar:1)"), "{said}");
    let etc = ["--as", "anonymous", "--tool", "files/look", "--args", r#"{"path":"/etc"}"#];
    let (code, said) = explain(&etc);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no policy permits it") && said.contains("`files-by-path`"), "{said}");
    let (code, said) =
        explain(&["--as", "user:i#a", "--group", "staff", "--tool", "crm/get_contact", "--json"]);
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &json["because"], &json["policies"][0]["line"]),
        (Some(1), &"forbidden".into(), &5.into())
    );
    // What only lacks scopes of a token that could have them.
    let config = CONFIG.replace(
        "policy:\n",
        "identity: { issuers: [{ issuer: \"https://idp\" }], step_up: [read, write] }\npolicy:\n",
    );
    std::fs::write(path.join("portcullis.yaml"), config).unwrap();
    let by_scope = "permit (principal, action, resource) when { context has scopes && context.scopes.contains(\"write\") };";
    std::fs::write(path.join("policies/a.cedar"), by_scope).unwrap();
    let ada = ["--as", "user:https://idp#ada", "--tool", "crm/find", "--scope", "read"];
    let (code, said) = explain(&ada);
    assert!(code == Some(1) && said.contains("a token with the scopes `write` beside would do"), "{said}");
    let (_, said) = explain(&[&ada[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["lacks"], serde_json::json!(["write"]), "{said}");
    let (code, said) = explain(&[&ada[..5], &["write"][..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let under_policy =
        run(path, &["policy", "explain", "-c", "portcullis.yaml", "--as", "anonymous", "--server", "crm"]);
    assert_eq!(under_policy.status.code(), Some(1), "{under_policy:?}");
    for wrong in [&["--as", "me", "--tool", "files/look"][..], &["--as", "anonymous", "--tool", "look"]] {
        assert_eq!(explain(wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn machines_have_the_groups_and_scopes_of_their_keys() {
    let folder = folder("permit (principal in Group::\"writers\", action, resource);");
    let path = folder.path();
    let config = CONFIG.replace("policy:\n", "identity: { keys: { file: keys.yaml } }\npolicy:\n");
    std::fs::write(path.join("portcullis.yaml"), config).unwrap();
    let hash = "0".repeat(64);
    let keys = format!("keys: {{ bob: {{ groups: [writers], hashes: [{{ sha256: {hash} }}] }} }}");
    std::fs::write(path.join("keys.yaml"), keys).unwrap();
    for (args, code, told) in [
        (&["--as", "key:bob"][..], 0, "groups writers; scopes none"),
        (&["--as", "key:bob", "--group", "readers"], 1, "groups as given, in place of writers"),
        (&["--as", "key:zed"], 1, "there is no key `zed` in "),
        (&["--as", "key:zed", "--group", "writers"], 0, "which has bob"),
    ] {
        let all = [&["explain", "-c", "portcullis.yaml", "--server", "crm"], args].concat();
        let output = run(path, &all);
        let said = stdout(&output);
        assert!(output.status.code() == Some(code) && said.contains(told), "{args:?}: {output:?}");
    }
    let cases =
        "config: portcullis.yaml\ncases:\n  - { as: { id: \"key:bob\" }, server: crm, expect: allow }\n";
    std::fs::write(path.join("cases.yaml"), cases).unwrap();
    let test = run(path, &["policy", "test", "cases.yaml", "--json"]);
    assert!(test.status.success() && stdout(&test).contains("groups writers"), "{test:?}");
}

#[test]
fn names_that_nobody_has_are_warned_of_by_both_checks() {
    let folder = folder(
        "permit (principal, action, resource in Server::\"crn\");\n\
         permit (principal, action, resource == Toolset::\"dsk\");\n\
         permit (principal, action, resource == Tool::\"flies/look\");",
    );
    let check = run(folder.path(), &["config", "check", "portcullis.yaml"]);
    let serve = run(folder.path(), &["serve", "--config", "portcullis.yaml", "--check"]);
    for (output, said) in [(&check, stdout(&check)), (&serve, stderr(&serve))] {
        assert!(output.status.success(), "{output:?}");
        for (line, name) in [(1, "Server::\"crn\""), (2, "Toolset::\"dsk\""), (3, "Tool::\"flies/look\"")] {
            let warned = |it: &str| {
                it.contains(&format!("a.cedar:{line}:")) && it.contains(name) && it.contains("warning")
            };
            assert!(said.lines().any(warned), "{name}: {said}");
        }
    }
}

#[test]
fn problems_of_policies_are_problems_of_the_configuration() {
    let folder = folder("permit (principal, action, resource) when { resource.nam == 1 };\npermit (x);");
    let path = folder.path();
    let check = run(path, &["config", "check", "portcullis.yaml"]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
    let serve = run(path, &["serve", "--config", "portcullis.yaml", "--check"]);
    assert_eq!(serve.status.code(), Some(2), "{serve:?}");
    for said in [stdout(&check), stderr(&serve)] {
        assert!(said.contains("policies/a.cedar:1:") && said.contains("policies/a.cedar:2:"), "{said}");
    }
    let schema = run(path, &["policy", "schema", "portcullis.yaml"]);
    assert!(stdout(&schema).contains("\"path\"?: String"), "{schema:?}");
}
