//! Where the gateway listens, and who is let in there.

use portcullis_config::{Anonymous, LogFormat, Overrides};

use crate::{Env, env, refuses, settings};

fn listen(words: &[&str], overrides: &Overrides) -> Result<String, String> {
    portcullis_config::defaults(&env(words), overrides)
        .map(|loaded| loaded.settings.listen.to_string())
        .map_err(|problems| problems.to_string())
}

#[test]
fn a_bare_port_is_loopback() {
    for text in ["8080", "':8080'", "localhost:8080", "127.0.0.1:8080", "'8080'"] {
        let settings = settings(&format!("listen: {text}"));
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080", "{text}");
        assert_eq!(settings.identity.anonymous, Anonymous::Allow);
    }
    assert_eq!(settings("listen: '[::1]:0'").listen.to_string(), "[::1]:0");
}

#[test]
fn refuses_addresses_that_are_none() {
    refuses(
        "listen: 127.0.0.1",
        "p.yaml:1:1: error: listen: `127.0.0.1` has no port; write `127.0.0.1:8080`",
    );
    refuses("listen: '::'", "p.yaml:1:1: error: listen: `::` has no port; write `[::]:8080`");
    refuses(
        "listen: example.com:80",
        "p.yaml:1:1: error: listen: `example.com:80` is not an address; expected a port (`8080`, loopback only) or an \
         IP address and a port, such as `127.0.0.1:8080`",
    );
    refuses("listen: [1]", "p.yaml:1:9: error: listen: expected a whole number or text");
}

#[test]
fn refuses_a_listener_that_is_open_to_everybody_or_to_nobody() {
    refuses(
        "listen: 0.0.0.0:8080\nidentity: { anonymous: allow }\n",
        "
p.yaml:1:1: error: listen: 0.0.0.0:8080 is not loopback and nobody could call there: set `identity.issuers`, `identity.keys` or `tls.client_ca`, so that clients can show who they are, or listen on `127.0.0.1:8080`
p.yaml:2:13: error: identity.anonymous: `allow` only works on loopback, and `listen` is 0.0.0.0:8080; remove it",
    );
    refuses(
        "identity: { anonymous: deny }",
        "p.yaml:1:13: error: identity.anonymous: `deny` leaves nobody who could call: set `identity.issuers`, \
         `identity.keys` or `tls.client_ca` as well, or remove it",
    );
    refuses(
        "identity: { anonymous: alow }",
        "p.yaml:1:24: error: identity.anonymous: expected `allow`, `deny` (did you mean `allow`?)",
    );
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let flag = |listen: &str| Overrides { listen: Some(listen.to_owned()), ..Overrides::default() };
    assert_eq!(listen(&[], &Overrides::default()).as_deref(), Ok("127.0.0.1:8080"));
    assert_eq!(listen(&["PORTCULLIS_LISTEN=1"], &Overrides::default()).as_deref(), Ok("127.0.0.1:1"));
    assert_eq!(listen(&["PORTCULLIS_LISTEN=1"], &flag("2")).as_deref(), Ok("127.0.0.1:2"));

    let text = "listen: 3\ntelemetry: { log: { format: json, filter: warn } }\n";
    let parse = |env: &Env, overrides: &Overrides| {
        let parsed =
            portcullis_config::parse("p.yaml", text, portcullis_config::Format::Yaml, env, overrides);
        let settings = parsed.unwrap_or_else(|problems| panic!("{problems}")).settings;
        (settings.listen.port(), settings.telemetry.log.format, settings.telemetry.log.filter)
    };
    assert_eq!(parse(&Env::new(), &Overrides::default()), (3, LogFormat::Json, "warn".to_owned()));
    let env = env(&["PORTCULLIS_LISTEN=1", "PORTCULLIS_LOG=debug", "PORTCULLIS_LOG_FORMAT=auto"]);
    assert_eq!(parse(&env, &Overrides::default()), (1, LogFormat::Auto, "debug".to_owned()));
    let flags = Overrides {
        listen: Some("2".to_owned()),
        log_filter: Some("trace".to_owned()),
        log_format: Some("pretty".to_owned()),
    };
    assert_eq!(parse(&env, &flags), (2, LogFormat::Pretty, "trace".to_owned()));
}

#[test]
fn a_bad_override_is_told_by_its_own_name() {
    let overrides = Overrides { listen: Some("0.0.0.0:1".to_owned()), ..Overrides::default() };
    assert_eq!(
        listen(&["PORTCULLIS_LOG_FORMAT=jsn"], &overrides).unwrap_err(),
        "--listen: error: listen: 0.0.0.0:1 is not loopback and nobody could call there: set `identity.issuers`, \
         `identity.keys` or `tls.client_ca`, so that clients can show who they are, or listen on `127.0.0.1:1`\nPORTCULLIS_LOG_FORMAT: error: telemetry.log.format: \
         expected `auto`, `json` or `pretty` (did you mean `json`?)"
    );
}
