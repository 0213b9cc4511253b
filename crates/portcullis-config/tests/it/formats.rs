//! The same configuration in three formats.

use portcullis_config::{Format, Overrides, Problems};

use crate::{Env, env, lines};

fn parse(text: &str, format: Format) -> Result<portcullis_config::Loaded, Problems> {
    portcullis_config::parse("p", text, format, &env(&["TOKEN=t"]), &Overrides::default())
}

const YAML: &str = r#"
listen: 9090
public_url: https://mcp.example.com
workers: 2
servers:
  files: { command: npx, args: [-y, "server \U0001F600", /data], env: { API_TOKEN: { env: TOKEN } } }
  crm:
    url: "https://crm.internal/mcp"
    headers: { Authorization: "Bearer ${TOKEN}" }
    call_timeout: 2m
    enabled: false
http: { allowed_origins: ["https://app.example.com"], allowed_hosts: ["mcp.example.com:443"] }
limits: { body_bytes: 1MiB, json_depth: 32, drain: 5s }
telemetry:
  log: { format: json, filter: debug }
  otlp: { endpoint: "http://localhost:4317", headers: { x-key: "${TOKEN}" }, sample_ratio: 0.25 }
"#;

/// With tabs, comments, trailing commas and a surrogate pair, as editors write it.
const JSON: &str = r#"{
	"$schema": "./config.schema.json",
	// The port.
	"listen": 9090,
	"public_url": "https:\/\/mcp.example.com",
	"workers": 2,
	"servers": {
		"files": {
			"command": "npx",
			"args": ["-y", "server \ud83d\ude00", "/data"],
			"env": { "API_TOKEN": { "env": "TOKEN" } },
		},
		"crm": {
			"url": "https://crm.internal/mcp",
			"headers": { "Authorization": "Bearer ${TOKEN}" },
			"call_timeout": "2m", /* long */
			"enabled": false
		}
	},
	"http": { "allowed_origins": ["https://app.example.com"], "allowed_hosts": ["mcp.example.com:443"] },
	"limits": { "body_bytes": 1048576, "json_depth": 32, "drain": "5s" },
	"telemetry": {
		"log": { "format": "json", "filter": "debug" },
		"otlp": { "endpoint": "http://localhost:4317", "headers": { "x-key": "${TOKEN}" }, "sample_ratio": 0.25 }
	}
}"#;

const TOML: &str = r#"
listen = 9_090
public_url = "https://mcp.example.com"
workers = 2

[servers.files]
command = "npx"
args = ["-y", "server \U0001F600", "/data"]
env.API_TOKEN.env = "TOKEN"

[servers.crm]
url = "https://crm.internal/mcp"
headers = { Authorization = "Bearer ${TOKEN}" }
call_timeout = "2m"
enabled = false

[http]
allowed_origins = ["https://app.example.com"]
allowed_hosts = ["mcp.example.com:443"]

[limits]
body_bytes = "1MiB"
json_depth = 0x20
drain = "5s"

[telemetry]
log = { format = "json", filter = "debug" }

[telemetry.otlp]
endpoint = "http://localhost:4317"
headers = { x-key = "${TOKEN}" }
sample_ratio = 0.25
"#;

#[test]
fn three_formats_give_equal_settings() {
    let [yaml, json, toml] =
        [(YAML, Format::Yaml), (JSON, Format::Json), (TOML, Format::Toml)].map(|(text, format)| {
            let loaded = parse(text, format).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(lines(&loaded.warnings), "", "{format:?}");
            loaded.settings
        });
    assert_eq!(yaml, json);
    assert_eq!(yaml, toml);
}

#[test]
fn problems_have_their_place_in_every_format() {
    for (format, text, expected) in [
        (
            Format::Json,
            "\u{feff}{\n\t\"limits\": { \"json_depth\": \"64\" },\n\t\"limits\": {}\n}",
            "p:2:28: error: limits.json_depth: expected a whole number from 8 to 120\n\
             p:3:2: error: limits: this key is already given on line 2; keep one of the two",
        ),
        (Format::Json, "{\n  a: 1\n}", "p:2:3: error: not valid JSON: "),
        (Format::Json, "[]", "p:1:1: error: expected a mapping of settings, such as `listen: 8080`"),
        (
            Format::Toml,
            "[limits]\njson_depth = true\n\n[servers.\"ä\".env]\nx = {}\n",
            "p:2:14: error: limits.json_depth: expected a whole number from 8 to 120\n\
             p:4:10: error: servers.ä: not a server name",
        ),
        (
            Format::Toml,
            "listen = 1\nlisten = 2\n\nx = \n",
            "p:2:1: error: not valid TOML: duplicate key\np:4:",
        ),
    ] {
        let problems = parse(text, format).expect_err(text).to_string();
        let found = problems.lines().zip(expected.lines()).all(|(line, expected)| line.starts_with(expected));
        assert!(
            found && problems.lines().count() >= expected.lines().count(),
            "{problems}\n--- expected\n{expected}"
        );
    }
}

#[test]
fn deep_nesting_is_refused_in_every_format() {
    let depth = 100_000;
    let lists = "[".repeat(depth);
    for (format, text) in [
        (Format::Yaml, format!("a: {lists}")),
        (Format::Yaml, "- ".repeat(depth)),
        (Format::Json, format!("{{\"a\":{lists}")),
        (Format::Toml, format!("a = {lists}")),
        (Format::Toml, format!("{} = 1", vec!["a"; 1000].join("."))),
        (Format::Json, format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200))),
    ] {
        let problems = portcullis_config::parse("p", &text, format, &Env::new(), &Overrides::default());
        assert!(problems.is_err(), "{format:?}");
    }
}
