//! What values come to: defaults, units, substitution, paths.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use portcullis_config::{EraPin, HttpTransport, Limits, Sharing, Transport};

use crate::{Env, env, lines, refuses, server, settings, yaml};

#[test]
fn the_defaults_of_the_schema_are_those_of_the_settings() {
    let schema = portcullis_config::schema();
    let properties = schema["$defs"]["Limits"]["properties"].as_object().expect("limits are in the schema");
    let with_default = properties.iter().filter(|(key, _)| !["calls", "poll_after"].contains(&key.as_str()));
    let written: Vec<_> =
        with_default.map(|(key, schema)| format!("  {key}: {}", schema["default"])).collect();
    assert_eq!(written.len(), 25);
    assert_eq!(settings(&format!("limits:\n{}", written.join("\n"))).limits, Limits::default());

    let explicit = "\
listen: 127.0.0.1:8080
identity: { anonymous: allow }
telemetry: { metrics: true, log: { format: auto, filter: info } }
servers:
  a: { command: a, era: auto, sharing: shared, enabled: true, call_timeout: 1m, list_ttl: 5m, max_concurrent: 64 }
";
    assert_eq!(settings(explicit), settings("servers: { a: { command: a } }"));
}

#[test]
fn reads_durations_and_sizes() {
    let limits = settings(
        "limits: { drain: 250ms, header_read: 5s, session_idle: 2h, body_bytes: 64KiB, header_bytes: 16384, \
         response_bytes: 1 GiB }",
    )
    .limits;
    assert_eq!(limits.drain, Duration::from_millis(250));
    assert_eq!(limits.header_read, Duration::from_secs(5));
    assert_eq!(limits.session_idle, Duration::from_hours(2));
    assert_eq!((limits.body_bytes, limits.header_bytes, limits.response_bytes), (65_536, 16_384, 1 << 30));
    assert_eq!(settings("limits: { drain: 0s }").limits.drain, Duration::ZERO);
    refuses(
        "limits: { body_bytes: 4MB, response_bytes: 99999999999GiB }",
        "
p.yaml:1:11: error: limits.body_bytes: `4MB` is not a size; expected bytes or a whole number and KiB, MiB or GiB, such as `4MiB`
p.yaml:1:28: error: limits.response_bytes: `99999999999GiB` is more than 1024GiB",
    );
}

#[test]
fn reads_every_key_of_a_server() {
    let settings = settings(
        "\
servers:
  a:
    command: npx
    args: [-y, 1.10, no, 0x10]
    env: { DEBUG: true, PORT: 8080 }
    inherit_env: [HTTPS_PROXY]
    cwd: sub/./dir
    idle_stop: 10m
    era: legacy
    sharing: session
    enabled: false
    call_timeout: 5s
    list_ttl: 0s
    max_concurrent: 1
    description: files
  b: { url: 'https://h/mcp?k=1', headers: { X-Team: a }, era: modern, tls: { server_name: h2 } }
  c: { url: 'https://h/sse', transport: sse }
",
    );
    let a = server(&settings, "a");
    let Transport::Stdio(stdio) = &a.transport else { panic!("{a:?}") };
    assert_eq!(stdio.command, "npx");
    assert_eq!(stdio.args, ["-y", "1.10", "no", "0x10"]);
    let env: Vec<_> = stdio.env.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(env, [("DEBUG", "true"), ("PORT", "8080")]);
    assert_eq!(stdio.inherit_env, ["HTTPS_PROXY"]);
    assert_eq!(stdio.cwd, Some(std::env::current_dir().expect("tests run in a folder").join("sub/dir")));
    assert_eq!(stdio.idle_stop, Some(Duration::from_mins(10)));
    assert_eq!((a.era, a.sharing, a.enabled, a.max_concurrent), (EraPin::Legacy, Sharing::Session, false, 1));
    assert_eq!((a.call_timeout, a.list_ttl), (Duration::from_secs(5), Duration::ZERO));
    assert_eq!(a.description.as_deref(), Some("files"));

    let b = server(&settings, "b");
    let Transport::Http(http) = &b.transport else { panic!("{b:?}") };
    assert_eq!(http.url.expose(), "https://h/mcp?k=1");
    assert_eq!(http.headers["x-team"].expose(), "a");
    assert_eq!((b.era, http.tls.server_name.as_deref(), http.tls.verify), (EraPin::Modern, Some("h2"), true));
    assert_eq!(http.transport, HttpTransport::Auto);
    let Transport::Http(http) = &server(&settings, "c").transport else { panic!("{settings:?}") };
    assert_eq!(http.transport, HttpTransport::Sse);
}

#[test]
fn a_server_overrides_single_keys_of_apps() {
    let settings = settings(
        "\
apps: { connect_domains: ['https://*.example.com'], permissions: [] }
servers:
  a: { command: x }
  b: { command: x, apps: { connect_domains: [], frame_domains: ['https://v.example:8443'] } }
",
    );
    let list = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    let (a, b) = (&server(&settings, "a").apps, &server(&settings, "b").apps);
    assert_eq!((&a.connect_domains, &a.frame_domains), (&list(&["https://*.example.com"]), &None));
    assert_eq!((&b.connect_domains, &b.frame_domains), (&list(&[]), &list(&["https://v.example:8443"])));
    assert_eq!((&a.permissions, &b.permissions), (&list(&[]), &list(&[])));
}

#[test]
fn fills_in_the_environment_anywhere() {
    let text = "\
limits: { json_depth: '${DEPTH}' }
telemetry: { metrics: \"${METRICS:-false}\" }
public_url: https://${HOST}/
servers:
  a: { command: '${EMPTY:-run}', args: ['$${HOST} costs $5', '${env:HOST}-$HOST'] }
";
    let loaded = yaml(text, &env(&["DEPTH=32", "HOST=mcp.example.com", "EMPTY="])).expect("well-formed");
    assert_eq!(lines(&loaded.warnings), "");
    assert_eq!(loaded.settings.limits.json_depth, 32);
    assert!(!loaded.settings.telemetry.metrics);
    assert_eq!(loaded.settings.public_url.as_deref(), Some("https://mcp.example.com"));
    let Transport::Stdio(stdio) = &server(&loaded.settings, "a").transport else { panic!("{loaded:?}") };
    assert_eq!(stdio.command, "run");
    assert_eq!(stdio.args, ["${HOST} costs $5", "mcp.example.com-$HOST"]);
}

#[test]
fn refuses_variables_that_cannot_be_filled_in() {
    refuses(
        "\
servers:
  a: { url: '${URL}' }
  b: { command: x, args: ['${', '${a b}', '${input:api-key}'] }
limits: { json_depth: '64' }
",
        "
p.yaml:2:13: error: servers.a.url: the environment variable URL is not set; set it or write `${URL:-default}`
p.yaml:3:27: error: servers.b.args[0]: `${` is never closed; write `$${` for the characters themselves
p.yaml:3:33: error: servers.b.args[1]: `${a b}` is not an environment variable; expected `${NAME}` or `${NAME:-default}` (write the value out, or `$${` for the characters themselves)
p.yaml:3:43: error: servers.b.args[2]: `${input:api-key}` is a question that an editor asks; set the environment variable API_KEY and write `${API_KEY}` instead
p.yaml:4:23: error: limits.json_depth: expected a whole number from 8 to 120",
    );
}

#[test]
fn what_is_filled_in_is_not_filled_in_again() {
    let loaded = yaml("servers: { a: { command: x, args: ['${A}'] } }", &env(&["A=${B}", "B=b"]))
        .expect("well-formed");
    let Transport::Stdio(stdio) = &server(&loaded.settings, "a").transport else { panic!("{loaded:?}") };
    assert_eq!(stdio.args, ["${B}"]);
}

#[test]
fn paths_start_from_the_folder_of_the_file() {
    let env = env(&["HOME=/home/u"]);
    let text = "servers:\n  a: { command: ./bin/run, cwd: ../data }\n  b: { command: ~/run, cwd: /srv }\n";
    let loaded = portcullis_config::parse(
        "/etc/portcullis/p.yaml",
        text,
        portcullis_config::Format::Yaml,
        &env,
        &portcullis_config::Overrides::default(),
    )
    .expect("well-formed");
    let stdio = |id| match &server(&loaded.settings, id).transport {
        Transport::Stdio(stdio) => (stdio.command.clone(), stdio.cwd.clone().expect("given")),
        Transport::Http(_) => panic!("{id}"),
    };
    assert_eq!(stdio("a"), ("/etc/portcullis/bin/run".to_owned(), "/etc/portcullis/../data".into()));
    assert_eq!(stdio("b"), ("/home/u/run".to_owned(), "/srv".into()));
}

#[test]
fn packages_are_installed_beside_the_store_or_where_it_is_said() {
    let folder = |text: &str| settings(text).registry.packages.folder;
    assert_eq!(folder("store: { kind: sqlite, path: /tmp/p.db }"), Path::new("/tmp/packages"));
    assert_eq!(folder("registry: { packages: { folder: /srv/packages } }"), Path::new("/srv/packages"));
    let said = settings("registry: { packages: { npm: 'https://npm.example.com' } }").registry.packages;
    assert_eq!((said.npm.as_deref(), said.pypi.as_deref()), (Some("https://npm.example.com"), None));
    assert!(said.folder.ends_with("packages"), "{said:?}");
}

#[test]
fn yaml_aliases_work_and_cannot_explode() {
    let settings = settings("servers:\n  a: &a { command: x }\n  b: *a\n");
    assert_eq!(server(&settings, "a"), server(&settings, "b"));

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{before}]").expect("a string takes any text");
    }
    let problems = yaml(&bomb, &Env::new()).expect_err("too large");
    assert!(problems.to_string().contains("more than 100000 values"), "{problems}");
}
