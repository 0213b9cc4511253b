//! Every kind of problem, word for word: these lines are what users read.

use crate::{refuses, settings, warns};

#[test]
fn accepts_an_empty_file() {
    assert_eq!(settings(""), settings("# nothing\n---\n"));
}

#[test]
fn finds_all_problems_in_one_run() {
    refuses(
        "\
listn: 8080
limits:
  json_depth: deep
  drain: 25
servers:
  crm:
    url: crm.internal
    erra: auto
  Files:
    command: npx
    args: {a: b}
telemetry: { log: { format: jsn } }
",
        "
p.yaml:1:1: error: listn: unknown key (did you mean `listen`?)
p.yaml:3:15: error: limits.json_depth: expected a whole number from 8 to 120
p.yaml:4:3: error: limits.drain: `25` is not a duration; expected a whole number and ms, s, m or h, such as `30s`
p.yaml:7:5: error: servers.crm.url: is not a URL; did you mean `https://crm.internal/`?
p.yaml:8:5: error: servers.crm.erra: unknown key (did you mean `era`?)
p.yaml:9:3: error: servers.Files: not a server name: lower-case letters and digits in groups joined by `-`, at most 20 characters; call it `files`
p.yaml:11:11: error: servers.Files.args: expected a list
p.yaml:12:29: error: telemetry.log.format: expected `auto`, `json`, `pretty` (did you mean `json`?)",
    );
}

#[test]
fn says_what_was_most_likely_meant() {
    refuses(
        "\
servers:
  a: { command: npx, args: '-y x' }
  b: { url: 'localhost:3001/mcp' }
  c: { url: 'hooks.example/services/T0123456789/x' }
  d: { command: npx, args: '--api-key 12' }
policy: { roles: { user: staff, admin: 'on call: all' } }
",
        "
p.yaml:2:28: error: servers.a.args: expected a list, such as `[-y, x]`
p.yaml:3:8: error: servers.b.url: is not a URL; did you mean `http://localhost:3001/mcp`?
p.yaml:4:8: error: servers.c.url: is not a URL; expected `https://host/path` or `http://host/path`
p.yaml:5:28: error: servers.d.args: expected a list
p.yaml:6:26: error: policy.roles.user: expected a list, such as `[staff]`
p.yaml:6:40: error: policy.roles.admin: expected a list",
    );
}

#[test]
fn refuses_domains_and_permissions_that_are_none() {
    refuses(
        "\
apps:
  connect_domains: ['*', 'https://*', 'a.example', 'https://*.a.example', 'https://a.example/x']
servers:
  a: { command: x, apps: { permissions: [camera, usb] } }
",
        "
p.yaml:2:21: error: apps.connect_domains[0]: `*` is not a domain; expected `scheme://host`, `scheme://*.domain`, or either with a port
p.yaml:2:26: error: apps.connect_domains[1]: `https://*` is not a domain; expected `scheme://host`, `scheme://*.domain`, or either with a port
p.yaml:2:39: error: apps.connect_domains[2]: `a.example` is not a domain; expected `scheme://host`, `scheme://*.domain`, or either with a port
p.yaml:2:75: error: apps.connect_domains[4]: `https://a.example/x` is not a domain; expected `scheme://host`, `scheme://*.domain`, or either with a port
p.yaml:4:50: error: servers.a.apps.permissions[1]: no such permission; there are camera, microphone, geolocation, clipboardWrite",
    );
}

#[test]
fn refuses_malformed_text_with_its_place() {
    refuses(
        "listen: [",
        "p.yaml:2:1: error: not valid YAML: while parsing a node, did not find expected node content",
    );
    refuses("- a\n", "p.yaml:1:1: error: expected a mapping of settings, such as `listen: 8080`");
    refuses(
        "a: 1\n---\nb: 2\n",
        "p.yaml:2:1: error: a second document in one file is not supported in a configuration",
    );
    refuses("listen: !port 80\n", "p.yaml:1:9: error: the tag `!port` is not supported in a configuration");
    refuses(
        "? [a]\n: 1\n",
        "p.yaml:1:3: error: a key that is not plain text is not supported in a configuration",
    );
}

#[test]
fn refuses_duplicate_keys() {
    refuses(
        "servers:\n  a: { command: x }\n  a: { command: y }\n",
        "p.yaml:3:3: error: servers.a: this key is already given on line 2; keep one of the two",
    );
}

#[test]
fn refuses_what_this_version_does_not_have() {
    refuses(
        "\
shared: { kind: redis }
servers:
  ledger: { postgres: { url_env: LEDGER_URL } }
",
        "
p.yaml:1:11: error: shared.kind: `redis` is not available in this version; expected `{ kind: memory }`
p.yaml:3:13: error: servers.ledger.postgres: not available in this version; remove it",
    );
}

#[test]
fn refuses_stores_that_cannot_be() {
    refuses(
        "store: { kind: postgres }",
        "p.yaml:1:1: error: store: needs the URL of the database: one of `url_env`, `url_file` and `url_vault`",
    );
    refuses(
        "store: { kind: postgres, url_env: NOT_SET }",
        "p.yaml:1:26: error: store.url_env: the environment variable NOT_SET is not set; set it",
    );
    refuses(
        "store: { kind: mysql }",
        "p.yaml:1:10: error: store.kind: expected `{ kind: memory }` or `{ kind: sqlite }` or `{ kind: postgres }`",
    );
    refuses(
        "shared: { kind: memry }",
        "p.yaml:1:11: error: shared.kind: expected `{ kind: memory }` (did you mean `memory`?)",
    );
    refuses("shared: { path: x }", "p.yaml:1:9: error: shared: expected `{ kind: memory }`");
    refuses("shared: memory", "p.yaml:1:9: error: shared: expected `{ kind: memory }`");
}

#[test]
fn refuses_servers_that_are_neither_or_both() {
    refuses(
        "\
servers:
  none: {}
  empty:
  both: { command: a, url: 'http://localhost/' }
  mixed: { command: a, headers: { a: b }, tls: {} }
  other: { url: 'http://localhost/', args: [a], idle_stop: 5m }
",
        "
p.yaml:2:3: error: servers.none: has neither `command` (a program to start) nor `url` (an endpoint) nor `openapi` (a document) nor `image` (of a container); add one
p.yaml:3:3: error: servers.empty: has neither `command` (a program to start) nor `url` (an endpoint) nor `openapi` (a document) nor `image` (of a container); add one
p.yaml:4:3: error: servers.both: has both `command` and `url`; keep the one that the server is reached by
p.yaml:5:24: error: servers.mixed.headers: only works with `url`; remove it
p.yaml:5:43: error: servers.mixed.tls: only works with `url`; remove it
p.yaml:6:38: error: servers.other.args: only works with `command`; remove it
p.yaml:6:49: error: servers.other.idle_stop: only works with `command`; remove it",
    );
}

#[test]
fn refuses_urls_that_leak_or_cannot_work() {
    refuses(
        "\
servers:
  a: { url: 'https://u:p@host/mcp' }
  b: { url: 'ftp://host/' }
  c: { url: 'https://host/#x' }
  d: { url: 'http://localhost/', tls: { verify: true } }
  f: { url: 'https://host:99999/' }
  e: { url: 'https://host/', tls: { cert: missing.pem, server_name: 'a/b' } }
",
        &format!(
            "
p.yaml:2:8: error: servers.a.url: has a user name or password before the host; send them in `headers` instead
p.yaml:3:8: error: servers.b.url: is not a URL; expected `https://host/path` or `http://host/path`
p.yaml:4:8: error: servers.c.url: has a fragment (`#…`), which is never sent; remove it
p.yaml:5:34: error: servers.d.tls: only works with an `https` URL
p.yaml:6:8: error: servers.f.url: has a port that is none; expected a number from 0 to 65535
p.yaml:7:37: error: servers.e.tls.cert: needs `key` beside it
p.yaml:7:37: error: servers.e.tls.cert: cannot read {}/missing.pem: No such file or directory (os error 2)
p.yaml:7:56: error: servers.e.tls.server_name: not a host name",
            std::env::current_dir().expect("tests run in a folder").display()
        ),
    );
}

#[test]
fn warns_of_connections_that_can_be_read_on_the_way() {
    warns(
        "servers:\n  a: { url: 'http://crm.internal/mcp' }\n  b: { url: 'https://x/', tls: { verify: false } }\n  \
         c: { url: 'http://[::1]:3000/' }\n",
        "
p.yaml:2:8: warning: servers.a.url: plain `http` off this machine: anybody on the way can read it; use `https`
p.yaml:3:34: warning: servers.b.tls.verify: any certificate is accepted: anybody on the way can read and change calls",
    );
}

#[test]
fn refuses_headers_and_variables_that_cannot_be_sent() {
    refuses(
        "\
servers:
  a:
    url: http://localhost/
    headers: { 'a b': x, Host: y, Mcp-Session-Id: z, X-A: \"1\\n2\", x-a: w }
  b:
    command: /bin/\"x
    env: { 'A=B': x }
    inherit_env: ['']
    args: [\"a\\0b\", ~]
",
        "
p.yaml:4:16: error: servers.a.headers.a b: not the name of an HTTP header
p.yaml:4:26: error: servers.a.headers.Host: set by the gateway itself; remove it
p.yaml:4:35: error: servers.a.headers.Mcp-Session-Id: set by the gateway itself; remove it
p.yaml:4:54: error: servers.a.headers.X-A: holds characters that no HTTP header can, such as a line break
p.yaml:4:67: error: servers.a.headers.x-a: given twice in different case; keep one of the two
p.yaml:7:12: error: servers.b.env.A=B: not the name of a variable: it is empty or holds `=` or NUL
p.yaml:8:19: error: servers.b.inherit_env[0]: not the name of a variable: it is empty or holds `=` or NUL
p.yaml:9:12: error: servers.b.args[0]: holds a NUL character, which no argument can
p.yaml:9:20: error: servers.b.args[1]: is empty; expected text",
    );
}

#[test]
fn refuses_limits_that_contradict() {
    refuses(
        "\
limits: { call_timeout: 20m, sessions: 0, body_bytes: 12, header_read: 0s, session_idle: 1000h }
servers:
  a: { command: a, call_timeout: 15m, max_concurrent: -1 }
",
        "
p.yaml:1:11: error: limits.call_timeout: `call_timeout` is longer than `call_max`; a call would end before it times out
p.yaml:1:40: error: limits.sessions: expected a whole number from 1 to 1000000
p.yaml:1:43: error: limits.body_bytes: must be at least 1024 bytes
p.yaml:1:59: error: limits.header_read: must be longer than nothing
p.yaml:1:76: error: limits.session_idle: `1000h` is longer than 720h, the longest duration accepted
p.yaml:3:20: error: servers.a.call_timeout: longer than `limits.call_max`; shorten it or raise that
p.yaml:3:55: error: servers.a.max_concurrent: expected a whole number from 1 to 1000000",
    );
}

#[test]
fn refuses_keys_that_seal_for_too_long() {
    let why = "is longer than 24h; a key is not to be used for longer";
    refuses("limits: { key_rotation: 25h }", &format!("\np.yaml:1:11: error: limits.key_rotation: {why}"));
}

#[test]
fn refuses_a_body_that_is_larger_than_all_together() {
    let why = "`body_bytes` is more than `bodies_bytes`; such a body would always be refused";
    refuses("limits: { body_bytes: 1GiB }", &format!("\np.yaml:1:11: error: limits.body_bytes: {why}"));
    refuses("limits: { bodies_bytes: 1MiB }", &format!("\np.yaml:1:11: error: limits.bodies_bytes: {why}"));
}

#[test]
fn refuses_origins_and_hosts_that_stand_for_everybody() {
    refuses(
        "http: { allowed_origins: ['*', 'null', 'https://a/b'], allowed_hosts: ['*', 'https://a', ''] }",
        "
p.yaml:1:27: error: http.allowed_origins[0]: `*` is not an origin; expected `scheme://host` or `scheme://host:port`
p.yaml:1:32: error: http.allowed_origins[1]: `null` is not an origin; expected `scheme://host` or `scheme://host:port`
p.yaml:1:40: error: http.allowed_origins[2]: `https://a/b` is not an origin; expected `scheme://host` or `scheme://host:port`
p.yaml:1:72: error: http.allowed_hosts[0]: `*` is not a host; expected `host` or `host:port`
p.yaml:1:77: error: http.allowed_hosts[1]: `https://a` is not a host; expected `host` or `host:port`
p.yaml:1:90: error: http.allowed_hosts[2]: `` is not a host; expected `host` or `host:port`",
    );
}

#[test]
fn refuses_what_is_missing_from_a_section() {
    refuses(
        "tls: { cert: a.pem }\ntelemetry: { otlp: { protocol: http, sample_ratio: 1.5 } }\n",
        "
p.yaml:1:6: error: tls: `key` is missing; add it
p.yaml:2:20: error: telemetry.otlp: `endpoint` is missing; add it
p.yaml:2:52: error: telemetry.otlp.sample_ratio: expected a number from 0 to 1",
    );
}

#[test]
fn warns_of_a_command_line_in_place_of_a_program() {
    warns(
        "servers: { time: { command: uvx mcp-server-time --utc } }\n",
        "p.yaml:1:20: warning: servers.time.command: is the name of one program, blanks and all; if it is not: `command: uvx, args: [mcp-server-time, --utc]`",
    );
}

#[test]
fn a_mirror_of_packages_is_a_url_without_credentials() {
    refuses(
        "registry: { packages: { npm: npm.example.com, pypi: 'https://me:secret@pypi.example.com/simple' } }\n",
        "
p.yaml:1:25: error: registry.packages.npm: expected the URL of a registry of packages, as `https://npm.example.com`
p.yaml:1:47: error: registry.packages.pypi: others can see it there; give credentials to npm in ~/.npmrc, and to uv in ~/.netrc",
    );
}
