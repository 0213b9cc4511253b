//! Files as MCP clients write them.

use portcullis_config::{HttpTransport, Loaded, Overrides, Problems, Transport};

use crate::{env, lines, refuses, server, warns};

fn import(name: &str, text: &str) -> Result<Loaded, Problems> {
    portcullis_config::import(name, text, &env(&["GH=ghp_x", "FIGMA=fig"]), &Overrides::default())
}

/// The servers of the file in short: `id: command args {env}` or `id: url {headers}`, and its warnings.
#[track_caller]
fn imports(name: &str, text: &str, servers: &[&str], warnings: &str) -> Loaded {
    let loaded = import(name, text).unwrap_or_else(|problems| panic!("{problems}"));
    let short = |transport: &Transport| match transport {
        Transport::Stdio(stdio) => {
            let env: Vec<_> =
                stdio.env.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
            format!("{} {} {{{}}}", stdio.command, stdio.args.join(" "), env.join(" "))
        }
        Transport::Http(http) => {
            let headers: Vec<_> =
                http.headers.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
            format!("{} {{{}}}", http.url.expose(), headers.join(" "))
        }
    };
    let found: Vec<_> = loaded
        .settings
        .servers
        .iter()
        .map(|(id, server)| format!("{id}: {}", short(&server.transport)))
        .collect();
    assert_eq!(found, servers);
    assert_eq!(lines(&loaded.warnings), warnings.trim());
    loaded
}

#[test]
fn claude_desktop() {
    imports(
        "claude_desktop_config.json",
        r#"{
  "globalShortcut": "",
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem", "/Users/me/Desktop"]
    },
    "brave-search": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-brave-search"],
      "env": { "BRAVE_API_KEY": "YOUR_API_KEY_HERE" }
    }
  }
}"#,
        &[
            "brave-search: npx -y @modelcontextprotocol/server-brave-search {BRAVE_API_KEY=YOUR_API_KEY_HERE}",
            "filesystem: npx -y @modelcontextprotocol/server-filesystem /Users/me/Desktop {}",
        ],
        "claude_desktop_config.json:1:1: warning: these servers have secrets in plain text: brave-search; `${NAME}` \
         in their place takes them from the environment",
    );
}

#[test]
fn claude_code() {
    imports(
        ".mcp.json",
        r#"{
  "mcpServers": {
    "github": {
      "type": "http",
      "url": "${API_BASE:-https://api.githubcopilot.com}/mcp/",
      "headers": { "Authorization": "Bearer ${GH}" }
    },
    "db": { "type": "stdio", "command": "/opt/db", "args": [], "env": {}, "timeout": 600000 }
  }
}"#,
        &["db: /opt/db  {}", "github: https://api.githubcopilot.com/mcp/ {authorization=Bearer ghp_x}"],
        ".mcp.json:8:75: warning: mcpServers.db.timeout: ignored: clients disagree on its unit; use `call_timeout` with \
         a unit, as `60s`",
    );
}

#[test]
fn cursor() {
    imports(
        "mcp.json",
        r#"{"mcpServers": {
  "My Server": {"command": "python", "args": ["server.py"], "env": {"API_KEY": "${env:GH}"}},
  "remote": {"url": "http://localhost:3000/mcp", "headers": {"API_KEY": "value"}, "disabled": true}
}}"#,
        &["my-server: python server.py {API_KEY=ghp_x}", "remote: http://localhost:3000/mcp {api_key=value}"],
        "
mcp.json:1:1: warning: these servers have secrets in plain text: remote; `${NAME}` in their place takes them from the environment
mcp.json:2:3: warning: mcpServers.My Server: the name is no id here; the server is called `my-server`",
    );
    let loaded = import("mcp.json", r#"{"mcpServers": {"a": {"command": "x", "disabled": true}}}"#)
        .expect("well-formed");
    assert!(!server(&loaded.settings, "a").enabled);
}

#[test]
fn vs_code() {
    let text = r#"{
	// 💡 Inputs are prompted on first server start.
	"inputs": [{ "type": "promptString", "id": "perplexity-key", "description": "Key", "password": true }],
	"servers": {
		"perplexity": {
			"type": "stdio",
			"command": "npx",
			"args": ["-y", "server-perplexity-ask"],
			"env": { "PERPLEXITY_API_KEY": "${input:perplexity-key}" },
			"envFile": "${workspaceFolder}/.env",
			"dev": { "watch": "build/**/*.js" },
		},
		"legacy": { "type": "sse", "url": "https://example.com/sse" },
		"typo": { "type": "htpp", "url": "https://example.com/mcp", "disabled": "yes" },
	}
}"#;
    let problems = import("mcp.json", text).expect_err("asks for input");
    assert_eq!(
        problems.to_string(),
        "mcp.json:9:35: error: servers.perplexity.env.PERPLEXITY_API_KEY: `${input:perplexity-key}` is a question that an \
         editor asks; set the environment variable PERPLEXITY_KEY and write `${PERPLEXITY_KEY}` instead\n\
         mcp.json:10:4: error: servers.perplexity.envFile: not available in this version; list its variables under `env`, \
         each as `${NAME}`\n\
         mcp.json:14:13: error: servers.typo.type: expected `stdio`, `http` or `sse` (did you mean `http`?)\n\
         mcp.json:14:63: error: servers.typo.disabled: expected true or false"
    );
    let settings =
        r#"{ "mcp": { "inputs": [], "servers": { "a": { "type": "http", "url": "https://h/mcp" } } } }"#;
    imports("settings.json", settings, &["a: https://h/mcp {}"], "");
}

#[test]
fn kinds_of_remote_servers() {
    let text = r#"{ "mcpServers": {
        "a": { "type": "sse", "url": "https://h/sse" },
        "b": { "type": "sse", "transport": "sse", "url": "https://h/sse" },
        "c": { "type": "streamable-http", "url": "https://h/mcp" },
        "d": { "url": "https://h/sse" }
    } }"#;
    let loaded = import("mcp.json", text).expect("well-formed");
    let transports = loaded.settings.servers.values().map(|server| match &server.transport {
        Transport::Http(http) => http.transport,
        Transport::Stdio(_) => panic!("{server:?}"),
    });
    let expected = [HttpTransport::Sse, HttpTransport::Sse, HttpTransport::Auto, HttpTransport::Auto];
    assert_eq!(transports.collect::<Vec<_>>(), expected);
    let problems = import("mcp.json", r#"{ "mcpServers": { "a": { "type": "sse", "command": "x" } } }"#);
    assert!(problems.expect_err("no URL").to_string().contains("only works with `url`"));
}

#[test]
fn codex() {
    let loaded = imports(
        "config.toml",
        r#"
model = "gpt-5"

[mcp_servers.context7]
command = "npx"
args = ["-y", "@upstash/context7-mcp"]
env_vars = ["LOCAL_TOKEN"]
startup_timeout_sec = 20
tool_timeout_sec = 45
enabled_tools = ["a"]

[mcp_servers.context7.env]
MODE = "fast"

[mcp_servers.figma]
url = "https://mcp.figma.com/mcp"
bearer_token_env_var = "FIGMA"
http_headers = { "X-Figma-Region" = "us-east-1" }
env_http_headers = { "X-Key" = "GH" }
enabled = false
"#,
        &[
            "context7: npx -y @upstash/context7-mcp {MODE=fast}",
            "figma: https://mcp.figma.com/mcp {authorization=Bearer fig x-figma-region=us-east-1 x-key=ghp_x}",
        ],
        "config.toml:10:1: warning: mcp_servers.context7.enabled_tools: ignored: all tools of the server are listed",
    );
    let context7 = server(&loaded.settings, "context7");
    assert_eq!(context7.call_timeout.as_secs(), 45);
    let Transport::Stdio(stdio) = &context7.transport else { panic!("{context7:?}") };
    assert_eq!(stdio.inherit_env, ["LOCAL_TOKEN"]);
    assert!(!server(&loaded.settings, "figma").enabled);
}

#[test]
fn others() {
    // Zed, now and before.
    imports(
        "settings.json",
        r#"{"theme": "One", "context_servers": {
  "a": {"source": "custom", "command": "x", "args": ["1"], "env": {}},
  "b": {"command": {"path": "y", "args": ["2"], "env": {"MODE": "m"}}}
}}"#,
        &["a: x 1 {}", "b: y 2 {MODE=m}"],
        "",
    );
    // OpenCode.
    imports(
        "opencode.jsonc",
        r#"{"mcp": {
  "a": {"type": "local", "command": ["bun", "x", "s"], "environment": {"MODE": "m"}, "enabled": true},
  "b": {"type": "remote", "url": "https://h/mcp"}
}}"#,
        &["a: bun x s {MODE=m}", "b: https://h/mcp {}"],
        "",
    );
    // Continue.
    imports(
        "config.yaml",
        "name: mine\nmcpServers:\n  - name: SQLite\n    command: uvx\n    args: [mcp-sqlite]\n",
        &["sqlite: uvx mcp-sqlite {}"],
        "config.yaml:3:5: warning: mcpServers.SQLite: the name is no id here; the server is called `sqlite`",
    );
    // Gemini, Windsurf, Cline.
    imports(
        "settings.json",
        r#"{"mcpServers": {
  "gemini": {"httpUrl": "https://h/1", "trust": true, "includeTools": ["a"]},
  "windsurf": {"serverUrl": "https://h/2"},
  "cline": {"type": "streamableHttp", "url": "https://h/3", "autoApprove": ["x"], "alwaysAllow": [], "shiny": 1}
}}"#,
        &["cline: https://h/3 {}", "gemini: https://h/1 {}", "windsurf: https://h/2 {}"],
        "
settings.json:2:55: warning: mcpServers.gemini.includeTools: ignored: all tools of the server are listed
settings.json:4:102: warning: mcpServers.cline.shiny: unknown key; ignored",
    );
}

#[test]
fn names_become_ids_that_never_collide() {
    let loaded = imports(
        "mcp.json",
        r#"{"mcpServers": {
  "github.com/foo": {"command": "1"},
  "GitHub com Foo": {"command": "2"},
  "a-very-long-name-that-goes-on": {"command": "3"},
  "a-very-long-name-that-ends": {"command": "4"},
  "日本語": {"command": "5"}
}}"#,
        &[
            "a-very-long-nam-941a: 4  {}",
            "a-very-long-name-tha: 3  {}",
            "github-com-foo: 1  {}",
            "github-com-foo-1244: 2  {}",
            "server: 5  {}",
        ],
        "
mcp.json:2:3: warning: mcpServers.github.com/foo: the name is no id here; the server is called `github-com-foo`
mcp.json:3:3: warning: mcpServers.GitHub com Foo: the name is no id here; the server is called `github-com-foo-1244`
mcp.json:4:3: warning: mcpServers.a-very-long-name-that-goes-on: the name is no id here; the server is called `a-very-long-name-tha`
mcp.json:5:3: warning: mcpServers.a-very-long-name-that-ends: the name is no id here; the server is called `a-very-long-nam-941a`
mcp.json:6:3: warning: mcpServers.日本語: the name is no id here; the server is called `server`",
    );
    assert!(loaded.settings.servers.keys().all(|id| id.to_string().len() <= 20));
}

#[test]
fn the_object_of_a_client_joins_our_own_servers() {
    let settings = warns(
        "\
servers:
  files: { command: ours }
mcpServers:
  files: { command: theirs, autoApprove: [read], sharing: session }
  Other: { command: other, unheard: of }
",
        "
p.yaml:4:3: warning: mcpServers.files: another server has this name; this one is called `files-7e77`
p.yaml:5:3: warning: mcpServers.Other: the name is no id here; the server is called `other`
p.yaml:5:28: warning: mcpServers.Other.unheard: unknown key; ignored",
    );
    assert_eq!(settings.servers.len(), 3);
    refuses(
        "mcpServers:\n  A: { command: [], args: {}, url: 1, serverUrl: 2 }\n  b: nothing\n  c: { command: x, era: old }\n",
        "
p.yaml:2:3: warning: mcpServers.A: the name is no id here; the server is called `a`
p.yaml:2:17: error: mcpServers.A.command: expected text
p.yaml:2:27: error: mcpServers.A.args: expected a list
p.yaml:2:31: error: mcpServers.A.url: is not a URL; expected `https://host/path` or `http://host/path`
p.yaml:2:39: error: mcpServers.A.url: given twice under different names; keep one of the two
p.yaml:3:6: error: mcpServers.b: expected a mapping
p.yaml:4:25: error: mcpServers.c.era: expected `auto`, `legacy`, `modern`",
    );
    refuses("mcpServers: text", "p.yaml:1:1: error: mcpServers: expected a mapping from names to servers");
}

#[test]
fn refuses_a_file_without_servers() {
    let problems = import("mcp.json", r#"{"theme": "dark"}"#).expect_err("no servers");
    assert_eq!(
        problems.to_string(),
        "mcp.json:1:1: error: no servers found; expected one of `mcpServers`, `servers`, `context_servers`, \
         `mcp_servers`, `amp.mcpServers`, `mcp.servers`, `mcp`"
    );
}
