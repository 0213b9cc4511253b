//! Who may call: identity providers, API keys, and what is revoked.

use std::time::Duration;

use portcullis_config::{Anonymous, Format, Loaded, Overrides, Problems};

use crate::{Env, env, refuses, settings, warns};

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn an_issuer_needs_its_name_and_nothing_else() {
    let settings = settings("identity: { issuers: [{ issuer: https://idp.example.com }] }");
    let [issuer] = settings.identity.issuers.as_slice() else { panic!("one issuer") };
    assert_eq!(issuer.issuer, "https://idp.example.com");
    assert_eq!((issuer.groups_claim.as_str(), issuer.untyped, issuer.step_up), ("groups", false, true));
    assert_eq!(issuer.max_lifetime, Duration::from_hours(24));
    assert_eq!(settings.identity.anonymous, Anonymous::Deny, "who has an issuer wants its users");
}

#[test]
fn everything_about_an_issuer_can_be_said() {
    let text = "
listen: 0.0.0.0:8080
public_url: https://mcp.example.com
identity:
  issuers:
    - issuer: https://login.example.com/tenant
      audience: api://gateway
      groups_claim: realm_access.roles
      algorithms: [RS256, EdDSA]
      jwks_url: https://login.example.com/keys
      introspection: { url: https://login.example.com/introspect, client_id: gw, client_secret: { env: SECRET } }
      tenants: [ours]
      tenant_claim: org_id
      untyped: true
      max_lifetime: 1h
      step_up: false
  scopes: [mcp]
  step_up: [mcp:read, mcp:write]
  dpop: { required: true, nonce: true }
";
    let loaded = crate::yaml(text, &env(&["SECRET=s3cret"])).unwrap();
    let identity = &loaded.settings.identity;
    let issuer = &identity.issuers[0];
    assert_eq!(issuer.algorithms, ["RS256", "EdDSA"]);
    assert_eq!(issuer.introspection.as_ref().unwrap().client_secret.as_ref().unwrap().expose(), "s3cret");
    let tenants = issuer.tenants.as_ref().unwrap();
    assert_eq!((tenants.claim.as_str(), tenants.allowed.as_slice()), ("org_id", &["ours".to_owned()][..]));
    assert!(identity.dpop.required && identity.dpop.nonce);
    assert_eq!((identity.step_up.join(" ").as_str(), issuer.step_up), ("mcp:read mcp:write", false));
    let shown = portcullis_config::effective(&loaded.settings).to_string();
    assert!(!shown.contains("s3cret") && shown.contains("org_id"), "{shown}");
}

#[test]
fn refuses_issuers_that_could_let_anybody_in_or_nobody() {
    refuses(
        "identity:
  issuers:
    - { issuer: http://idp.example.com }
    - { issuer: https://idp.example.com?x=1, tenants: [] }
    - { issuer: https://idp.example.com, algorithms: [none] }
    - { issuer: https://idp.example.com, algorithms: [HS256], tenant_claim: tid }
    - { issuer: https://idp.example.com, audience: '' }
    - { audience: x }
",
        "
p.yaml:3:9: error: identity.issuers[0].issuer: plain `http` off this machine: anybody on the way could let anybody in; use `https`
p.yaml:4:9: error: identity.issuers[1].issuer: has a query, which no issuer has; remove it
p.yaml:4:46: error: identity.issuers[1].tenants: lets nobody in; name tenants or remove it
p.yaml:5:55: error: identity.issuers[2].algorithms[0]: expected `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`
p.yaml:6:9: error: identity.issuers[3].issuer: given twice; keep one of the two
p.yaml:6:55: error: identity.issuers[3].algorithms[0]: expected `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA` (did you mean `ES256`?)
p.yaml:6:63: error: identity.issuers[3].tenant_claim: only works with `tenants`
p.yaml:7:9: error: identity.issuers[4].issuer: given twice; keep one of the two
p.yaml:7:42: error: identity.issuers[4].audience: is empty; remove it or name the audience
p.yaml:8:7: error: identity.issuers[5]: `issuer` is missing; add it",
    );
}

#[test]
fn one_issuer_only_is_asked_about_tokens_that_nobody_can_read() {
    let introspection = "introspection: { url: https://a/i, client_id: g, client_secret: { env: HOME } }";
    refuses(
        &format!(
            "identity:\n  issuers:\n  - {{ issuer: https://a, {introspection} }}\n  - {{ issuer: https://b, {introspection} }}\n"
        ),
        "p.yaml:4:26: error: identity.issuers[1].introspection: another issuer has it already, and nobody could tell whom \
         to ask about a token",
    );
}

#[test]
fn off_loopback_tokens_need_a_name_for_the_gateway_and_a_safe_way() {
    refuses(
        "listen: 0.0.0.0:8080\nidentity: { issuers: [{ issuer: https://idp }] }\n",
        "
p.yaml:2:1: warning: identity: tokens and keys cross the network in plain text: set `tls`, or `public_url` to the `https` URL of what stands in front
p.yaml:2:13: error: identity.issuers: needs `public_url`: access tokens name the URL that clients know as their audience",
    );
    settings(
        "listen: 0.0.0.0:8080\npublic_url: https://mcp\nidentity: { issuers: [{ issuer: https://idp }] }\n",
    );
}

#[test]
fn scopes_are_words_and_no_wishes_of_the_client() {
    refuses(
        "identity: { issuers: [{ issuer: https://idp }], scopes: [mcp, 'a b', offline_access] }",
        "
p.yaml:1:63: error: identity.scopes[1]: not a scope: it is empty, or holds blanks, quotes or backslashes
p.yaml:1:70: error: identity.scopes[2]: clients ask for it when they want it, never because of a resource; remove it",
    );
    warns(
        "identity: { scopes: [mcp] }",
        "p.yaml:1:13: warning: identity.scopes: has no effect without `issuers`",
    );
}

#[test]
fn scopes_to_step_up_to_are_others_and_not_many() {
    let many: Vec<_> = (0..17).map(|number| format!("s{number}")).collect();
    refuses(
        &format!(
            "policy: {{ roles: {{ user: [x] }} }}\nidentity:\n  issuers: [{{ issuer: https://idp }}]\n  scopes: [mcp]\n  step_up: [mcp, a, a, offline_access, {}]\n",
            many.join(", ")
        ),
        "
p.yaml:5:3: error: identity.step_up: there are 21; at most 16 work
p.yaml:5:13: error: identity.step_up[0]: every token has it already, as `identity.scopes` says; remove it
p.yaml:5:21: error: identity.step_up[2]: given twice; keep one of the two
p.yaml:5:24: error: identity.step_up[3]: clients ask for it when they want it, never because of a resource; remove it",
    );
    warns(
        "identity: { step_up: [write] }",
        "
p.yaml:1:13: warning: identity.step_up: has no effect without `issuers` or `facade`
p.yaml:1:13: warning: identity.step_up: has no effect without `policy`: only policies ask for scopes",
    );
}

/// Loads a configuration that names two files beside it.
fn load(keys: &str, revoked: &str) -> (Result<Loaded, Problems>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys.yaml"), keys).unwrap();
    std::fs::write(folder.path().join("revoked.yaml"), revoked).unwrap();
    let text = "identity: { keys: { file: keys.yaml }, revoked: { file: revoked.yaml } }\n";
    let name = folder.path().join("p.yaml").display().to_string();
    let loaded = portcullis_config::parse(&name, text, Format::Yaml, &Env::new(), &Overrides::default());
    (loaded, folder)
}

#[test]
fn keys_are_hashes_with_groups_and_an_end() {
    let other = HASH.replace('9', "8");
    let keys = format!(
        "keys:\n  bot:\n    groups: [ci]\n    hashes:\n    - {{ sha256: {HASH}, expires: 2027-01-31 }}\n    - {{ sha256: {other}, \
         expires: 2000-03-01T00:00:01Z }}\n"
    );
    let (loaded, folder) = load(&keys, "tokens: [t1]\nprincipals: ['user:https://idp#ada']\n");
    let Loaded { settings, files, .. } = loaded.unwrap();
    let bot = &settings.identity.keys.unwrap().keys["bot"];
    assert_eq!(bot.groups, ["ci"]);
    assert_eq!(bot.hashes[0].sha256[..2], [0x9f, 0x86]);
    assert_eq!(bot.hashes[0].expires, Some(1_801_353_600));
    assert_eq!(bot.hashes[1].expires, Some(951_868_801));
    let revoked = settings.identity.revoked.unwrap();
    assert!(revoked.tokens.contains("t1") && revoked.principals.contains("user:https://idp#ada"));
    assert_eq!(files, [folder.path().join("keys.yaml"), folder.path().join("revoked.yaml")]);
}

#[test]
fn every_problem_of_the_files_is_told_with_its_own_file_and_line() {
    let keys = format!(
        "keys:
  'a b': {{ hashes: [{{ sha256: {HASH} }}] }}
  none: {{}}
  twice: {{ hashes: [{{ sha256: {HASH} }}] }}
  short: {{ hashes: [{{ sha256: 00 }}], gruops: [x] }}
  past: {{ hashes: [{{ sha256: {}, expires: 2027-02-29 }}] }}
",
        HASH.replace('9', "7")
    );
    let (loaded, folder) = load(&keys, "principals: [ada@example.com]\n");
    let told = loaded.unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(
        told,
        "\
keys.yaml:2:3: error: keys.a b: not a name for a key: use 1 to 64 letters, digits, `-`, `_` and `.`
keys.yaml:3:3: error: keys.none: has no key, or more than two, which is how many take over from each other
keys.yaml:4:23: error: keys.twice.hashes[0].sha256: is there twice; every machine has its own keys
keys.yaml:5:23: error: keys.short.hashes[0].sha256: not a SHA-256 in hex: 64 of 0-9 and a-f
keys.yaml:5:38: error: keys.short.gruops: unknown key (did you mean `groups`?)
keys.yaml:6:96: error: keys.past.hashes[0].expires: `2027-02-29` is not a time; expected a day (`2027-01-31`) or \
`2027-01-31T12:00:00Z`, from 1970 to 9999
revoked.yaml:1:14: error: principals[0]: not the id of a caller: `user:<issuer>#<subject>`, `key:<name>`, \
`cert:<fingerprint>` or `spiffe://…`"
    );
}

#[test]
fn keys_in_a_list_are_told_what_they_have_to_be() {
    let (loaded, _folder) = load("keys:\n- sha256: 00\n", "");
    let told = loaded.unwrap_err().to_string();
    assert!(
        told.ends_with(
            "keys.yaml:2:3: error: keys: expected a mapping from names to `{ groups: […], hashes: [{ sha256: … }] }`, as `ci-bot: { … }`"
        ),
        "{told}"
    );
}

#[test]
fn a_file_that_is_not_there_is_a_problem_of_the_configuration() {
    refuses(
        "identity: { keys: { file: nowhere.yaml } }",
        &format!(
            "p.yaml:1:21: error: identity.keys.file: cannot read {}/nowhere.yaml: No such file or directory (os error 2)",
            std::env::current_dir().unwrap().display()
        ),
    );
}

#[test]
fn the_gateway_logs_people_in_itself_with_defaults_that_suit() {
    let settings = settings(
        "identity: { facade: { idp: { issuer: http://127.0.0.1:9000, client_id: gateway } } }\nlisten: 8080\n",
    );
    let facade = settings.identity.facade.as_ref().expect("a facade");
    assert_eq!((facade.idp.profile, facade.registration, facade.documents.enabled), ("generic", false, true));
    assert_eq!((facade.access_ttl.as_secs(), facade.session_ttl.as_secs()), (600, 12 * 3600));
    assert!(settings.identity.takes_tokens());
    assert_eq!(settings.identity.anonymous, Anonymous::Deny);
}

#[test]
fn a_facade_that_would_let_in_anybody_or_nobody_is_refused() {
    let idp = "issuer: https://idp.example.com, client_id: gateway";
    let with = |facade: &str| format!("identity: {{ facade: {{ {facade} }} }}\n");
    let table = [
        (
            with("idp: { issuer: https://accounts.google.com, client_id: x, profile: google }"),
            "name those who are let in",
        ),
        (
            with(
                "idp: { issuer: https://login.microsoftonline.com/common/v2.0, client_id: x, profile: entra }",
            ),
            "name those who are let in",
        ),
        (with("idp: { issuer: http://idp.example.com, client_id: x }"), "plain `http` off this machine"),
        (with(&format!("idp: {{ {idp}, client_key_id: k }}")), "only works with `client_key`"),
        (with(&format!("idp: {{ {idp} }}, key: short")), "shorter than 32 characters"),
        (with(&format!("idp: {{ {idp} }}, access_ttl: 2h")), "longer than 1h"),
        (with(&format!("idp: {{ {idp} }}, session_ttl: 800h")), "longer than"),
        (with(&format!("idp: {{ {idp} }}, id_jag: [idp]")), "is not a URL"),
        (with(&format!("idp: {{ {idp} }}, documents: {{ internal: [http://docs] }}")), "not an origin"),
        (with(&format!("idp: {{ {idp} }}, documents: {{ hosts: [https://docs] }}")), "not a host"),
        (
            with(&format!("idp: {{ {idp} }}, clients: {{ robot: {{ client_credentials: true }} }}")),
            "needs `secret` or `jwks`",
        ),
        (with(&format!("idp: {{ {idp} }}, clients: {{ robot: {{}} }}")), "nobody could use it"),
        (
            with(&format!(
                "idp: {{ {idp} }}, clients: {{ a: {{ redirect_uris: [https://a/], groups: [x] }} }}"
            )),
            "only works with `client_credentials`",
        ),
        (
            with(&format!(
                "idp: {{ {idp} }}, clients: {{ a: {{ redirect_uris: [https://a/], secret: short }} }}"
            )),
            "somebody could guess",
        ),
        (
            format!("store: {{ kind: postgres, url_env: URL }}\n{}", with(&format!("idp: {{ {idp} }}"))),
            "would make up one each",
        ),
        (format!("listen: 0.0.0.0:8080\n{}", with(&format!("idp: {{ {idp} }}"))), "needs `public_url`"),
        (
            format!("public_url: http://gw.example.com\n{}", with(&format!("idp: {{ {idp} }}"))),
            "needs `public_url` to be `https`",
        ),
    ];
    for (text, message) in table {
        let problems = crate::yaml(&text, &Env::new()).map(drop).expect_err(&text).to_string();
        assert!(problems.contains(message), "{text}: {problems}");
    }
}

#[test]
fn who_asks_about_tokens_proves_itself_in_one_way() {
    let with = |proof: &str| {
        format!(
            "identity: {{ issuers: [{{ issuer: https://a, introspection: {{ url: https://a/i, client_id: g{proof} }} }}] }}\n"
        )
    };
    let env = Env::from([("KEY".to_owned(), "a key".to_owned())]);
    let key = crate::yaml(&with(", client_key: { env: KEY }, client_key_id: k1"), &env).unwrap().settings;
    let introspection = key.identity.issuers[0].introspection.as_ref().unwrap();
    assert_eq!(introspection.client_key.as_ref().unwrap().expose(), "a key");
    assert_eq!((introspection.client_key_id.as_deref(), &introspection.client_secret), (Some("k1"), &None));
    for (proof, message) in [
        ("", "needs `client_secret` or `client_key`"),
        (", client_key: { env: KEY }, client_secret: { env: KEY }", "keep one of the two"),
        (", client_secret: { env: KEY }, client_key_id: k1", "only works with `client_key`"),
    ] {
        let problems = crate::yaml(&with(proof), &env).map(drop).expect_err(proof).to_string();
        assert!(problems.contains(message), "{proof}: {problems}");
    }
}
