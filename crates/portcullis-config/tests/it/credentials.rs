//! As whom servers are called.

use std::time::Duration;

use portcullis_config::{CredentialKind, Credentials, OauthClientAuth, Transport};

use crate::{env, settings};

/// How long an assertion counts when the file does not say.
const ONE: Duration = Duration::from_mins(1);

/// Secrets in plain text warn, which is not what these tests are about.
fn of(credentials: &str) -> Credentials {
    let text =
        format!("servers: {{ x: {{ url: https://mcp.example.com/mcp, credentials: {credentials} }} }}");
    let loaded = crate::yaml(&text, &env(&[])).unwrap_or_else(|problems| panic!("{problems}"));
    match loaded.settings.servers.into_values().next().unwrap().transport {
        Transport::Http(http) => *http.credentials.expect("credentials"),
        Transport::Stdio(_) => panic!("a URL is not stdio"),
    }
}

/// The text is refused, and this is among what is said.
#[track_caller]
fn refuses(text: &str, message: &str) {
    match crate::yaml(text, &env(&["HOME=/home/u"])) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problems) => assert!(problems.to_string().contains(message), "{text}:\n{problems}"),
    }
}

#[test]
fn each_kind_needs_what_it_is_got_with_and_no_more() {
    let oauth = of("{ kind: oauth }");
    assert!(matches!(oauth.kind, CredentialKind::Oauth { client_metadata_url: None }));
    assert!(!oauth.private_network && !oauth.dpop && oauth.client.is_none());
    let exchange = of("{ kind: token-exchange, issuer: https://idp, client_id: gw, client_secret: s }");
    assert!(matches!(
        exchange.kind,
        CredentialKind::TokenExchange { entra: false, delegation: true, actor: None }
    ));
    assert!(matches!(exchange.client.unwrap().auth, OauthClientAuth::Basic(_)));
    let post = of(
        "{ kind: client-credentials, token_url: https://idp/token, client_id: gw, client_secret: s, client_auth: post }",
    );
    assert!(matches!(post.client.unwrap().auth, OauthClientAuth::Post(_)));
    let assertion = of("{ kind: assertion }");
    assert!(matches!(assertion.kind, CredentialKind::Assertion { lifetime: ONE, key: None, header: None }));
}

#[test]
fn no_credentials_are_the_same_as_none() {
    let none = settings("servers: { x: { url: https://h/mcp, credentials: { kind: none } } }");
    assert_eq!(none, settings("servers: { x: { url: https://h/mcp } }"));
}

#[test]
fn a_secret_is_never_shown_and_warns_in_plain_text() {
    let text = "servers: { x: { url: https://h/mcp, credentials: { kind: static, token: { env: TOKEN } } } }";
    let loaded = crate::yaml(text, &env(&["TOKEN=s3cret"])).unwrap();
    let shown = portcullis_config::effective(&loaded.settings).to_string();
    assert!(!shown.contains("s3cret") && shown.contains("env TOKEN"), "{shown}");
    let loaded = crate::yaml(&text.replace("{ env: TOKEN }", "s3cret"), &env(&[])).unwrap();
    let warned = loaded.warnings[0].to_string();
    assert!(warned.contains("a secret in plain text") && !warned.contains("s3cret"), "{warned}");
}

#[test]
fn refuses_what_would_send_a_secret_astray_or_means_nothing() {
    for (credentials, message) in [
        ("{ kind: static }", "needs either `token`, or `header` and `value`"),
        (
            "{ kind: static, header: Mcp-Name, value: x }",
            "not the name of a header that the gateway does not set itself",
        ),
        ("{ kind: oauth, client_id: gw, client_secret: s }", "goes to nobody that a server names"),
        ("{ kind: oauth, token: x }", "does not go with this `kind`"),
        (
            "{ kind: client-credentials, issuer: https://idp, client_id: gw }",
            "needs `client_secret` or `private_key`",
        ),
        (
            "{ kind: client-credentials, client_id: gw, client_secret: s }",
            "goes to nobody that a server names",
        ),
        (
            "{ kind: client-credentials, issuer: http://idp.example.com, client_id: gw, client_secret: s }",
            "plain `http` off this machine",
        ),
        (
            "{ kind: token-exchange, issuer: https://idp, client_id: gw, client_secret: s, flavor: entra-obo, mode: delegation }",
            "does not go with `flavor: entra-obo`",
        ),
        ("{ kind: id-jag, issuer: https://as, client_id: gw, client_secret: s }", "needs `idp`"),
        ("{ kind: workload-identity }", "needs `token_file`"),
        ("{ kind: assertion, lifetime: 1h }", "up to 10m"),
    ] {
        let text =
            format!("servers: {{ x: {{ url: https://mcp.example.com/mcp, credentials: {credentials} }} }}");
        refuses(&text, message);
    }
    refuses("servers: { x: { command: a, credentials: { kind: oauth } } }", "only works with `url`");
    refuses(
        "servers: { x: { url: https://h/mcp, headers: { Authorization: { env: HOME } }, credentials: { kind: oauth } } }",
        "keep one of the two",
    );
    for (resource, good) in [
        ("https://h/a", true),
        ("https://h/a/", true),
        ("https://h", true),
        ("https://h/a/b", true),
        ("https://h/a/bc", false),
        ("https://h/c", false),
        ("https://other/a", false),
        ("https:", false),
        ("", false),
    ] {
        let text = format!(
            "servers: {{ x: {{ url: https://h/a/b, credentials: {{ kind: oauth, resource: '{resource}' }} }} }}"
        );
        if good {
            assert!(crate::yaml(&text, &env(&[])).is_ok(), "{resource}");
        } else {
            refuses(&text, "the beginning of the server's URL");
        }
    }
    refuses("vault: { key: short }", "not 32 bytes in base64 or hex");
}

#[test]
fn a_vault_keeps_secrets_and_none_that_it_is_asked_with() {
    use portcullis_config::{SecretSource, VaultAuth, VaultSecret};
    let vault = "secrets: { vault: { url: 'https://vault.example.com:8200/', namespace: /team/a/, kv1: [old], \
                 auth: { kind: approle, role_id: r, secret_id: { env: SECRET_ID } } } }";
    let server = |credentials: &str| {
        format!("{vault}\nservers: {{ x: {{ url: https://h/mcp, credentials: {credentials} }} }}")
    };
    let text = server("{ kind: static, token: { vault: 'secret/crm#token' } }");
    let loaded =
        crate::yaml(&text, &env(&["SECRET_ID=hunter2"])).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let kept = loaded.settings.secrets.as_ref().unwrap();
    assert_eq!(
        (kept.url.as_str(), kept.namespace.as_deref()),
        ("https://vault.example.com:8200", Some("team/a"))
    );
    assert!(
        matches!(&kept.auth, VaultAuth::AppRole { mount, secret_id, .. } if mount == "approle" && secret_id.expose() == "hunter2")
    );
    let Transport::Http(http) = &loaded.settings.servers.values().next().unwrap().transport else { panic!() };
    let CredentialKind::Static { value, bearer: true, .. } = &http.credentials.as_ref().unwrap().kind else {
        panic!()
    };
    let path = "secret/data/crm".to_owned();
    let at = VaultSecret { path, versioned: true, field: "token".to_owned() };
    assert_eq!((value.source(), value.expose()), (&SecretSource::Vault(at), ""));
    let shown = portcullis_config::effective(&loaded.settings).to_string();
    assert!(shown.contains("vault secret/data/crm#token") && !shown.contains("hunter2"), "{shown}");

    let oauth = "kind: client-credentials, issuer: 'https://i', client_id: c";
    let good = server(&format!("{{ {oauth}, private_key: {{ vault: 'old/crm#key' }} }}"));
    assert!(crate::yaml(&good, &env(&["SECRET_ID=s"])).is_ok());
    let refused = |text: &str, message: &str| match crate::yaml(text, &env(&["SECRET_ID=s"])) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problems) => assert!(problems.to_string().contains(message), "{text}:\n{problems}"),
    };
    refused(&server("{ kind: static, token: { vault: secret/crm } }"), "MOUNT/PATH#FIELD");
    refused(
        "secrets: { vault: { url: 'https://v', auth: { kind: token, token: { vault: 'secret/own#t' } } } }",
        "is what the Vault is asked with",
    );
    refused(
        "secrets: { vault: { url: 'https://v', auth: { kind: approle, role_id: r, secret_id: { vault: 'secret/own#t' } } } }",
        "is what the Vault is asked with",
    );
    refused(
        "servers: { x: { url: https://h/mcp, credentials: { kind: static, token: { vault: 'secret/crm#t' } } } }",
        "secrets.vault",
    );
    refused(
        "secrets: { vault: { url: 'http://vault.example.com', auth: { kind: token, token: { env: SECRET_ID } } } }",
        "https",
    );
    refused(
        "secrets: { vault: { url: 'https://v', auth: { kind: jwt, role: r, token_file: t, mount: ../sys } } }",
        "mount",
    );
}

/// An environment with a Vault in which everything is the same.
struct Kept(&'static str);

impl portcullis_config::Environment for Kept {
    fn var(&self, name: &str) -> Option<String> {
        (name == "T").then(|| "token".to_owned())
    }

    fn vault(&self, _: &portcullis_config::VaultSecret) -> Option<String> {
        Some(self.0.to_owned())
    }
}

#[test]
fn what_a_vault_keeps_is_wanted_first_and_then_held_to_the_same_as_any_secret() {
    let text = "\
secrets: { vault: { url: 'https://v', auth: { kind: token, token: { env: T } } } }
store: { kind: postgres, url_vault: 'secret/db#url' }
vault: { key: { vault: 'secret/gw#vault' } }
audit: { secret: { vault: 'secret/gw#audit' } }
identity:
  facade:
    key: { vault: 'secret/gw#facade' }
    idp: { issuer: 'https://idp.example.com', client_id: c, client_secret: { vault: 'secret/idp#secret' } }
public_url: https://gw.example.com
servers:
  a: { command: run, env: { A_TOKEN: { vault: 'secret/a#token' } } }
  b: { url: 'https://b/mcp', headers: { X-Key: { vault: 'secret/b#key' } } }
  c: { url: 'https://c/mcp', credentials: { kind: static, token: { vault: 'secret/c#token' } } }
";
    let parse = |env: &dyn portcullis_config::Environment| {
        let format = portcullis_config::Format::Yaml;
        portcullis_config::parse("p.yaml", text, format, env, &portcullis_config::Overrides::default())
    };
    let loaded = parse(&env(&["T=token"])).unwrap_or_else(|problems| panic!("{problems}"));
    let wanted: Vec<_> = loaded.vault.iter().map(|at| format!("{}#{}", at.path, at.field)).collect();
    let expected = [
        "secret/data/a#token",
        "secret/data/b#key",
        "secret/data/db#url",
        "secret/data/gw#audit",
        "secret/data/gw#facade",
        "secret/data/gw#vault",
        "secret/data/idp#secret",
    ];
    assert_eq!(wanted, expected, "all but what is read when it is needed");

    let good = Kept("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let loaded = parse(&good).unwrap_or_else(|problems| panic!("{problems}"));
    let settings = &loaded.settings;
    assert_eq!(settings.identity.facade.as_ref().unwrap().key.as_ref().unwrap().expose(), good.0);
    assert_eq!(settings.vault_key.unwrap()[..3], [0, 1, 2]);
    assert!(
        matches!(&settings.store, portcullis_config::Store::Postgres { url, .. } if url.expose() == good.0)
    );
    let shown = format!("{settings:?}{}", portcullis_config::effective(settings));
    assert!(!shown.contains(good.0), "{shown}");

    let problems = parse(&Kept("short\n")).expect_err("too short, and no header").to_string();
    for place in ["vault.key", "audit.secret", "identity.facade.key", "servers.b.headers.X-Key"] {
        assert!(problems.contains(place), "{place}: {problems}");
    }
}
