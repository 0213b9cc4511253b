//! One server of a client file becomes an entry of `servers`.

use crate::node::{Entry, Mark, Node, Path, Value};
use crate::report::{Report, nearest};

/// Keys that mean the same there and here, and our own, for files that are edited to fit.
const SAME: &[&str] = &[
    "args",
    "env",
    "cwd",
    "headers",
    "openapi",
    "image",
    "container",
    "enabled",
    "description",
    "inherit_env",
    "idle_stop",
    "max_instances",
    "spare",
    "tls",
    "era",
    "sharing",
    "call_timeout",
    "list_ttl",
    "max_concurrent",
    // Not available yet, and the schema says so.
    "credentials",
    "postgres",
];

/// Keys that steer the client, not the server.
const CLIENT_ONLY: &[&str] = &[
    "name",
    "displayName",
    "title",
    "icon",
    "iconPath",
    "version",
    "source",
    "gallery",
    "metadata",
    "provider",
    "providerUrl",
    "note",
    "autoApprove",
    "autoapprove",
    "alwaysAllow",
    "alwaysApprove",
    "trust",
    "watchPaths",
    "dev",
    "sandbox",
    "sandboxEnabled",
    "isActive",
    "required",
    "startup_timeout_sec",
    "startup_timeout_ms",
    "startupTimeout",
    "supports_parallel_tool_calls",
    "default_tools_approval_mode",
    "alwaysLoad",
    "fromGalleryId",
];

/// Keys that narrow what the client sees. Dropping them shows more, so that is said.
const TOOL_LISTS: &[&str] = &[
    "tools",
    "enabled_tools",
    "disabled_tools",
    "enabledTools",
    "disabledTools",
    "includeTools",
    "excludeTools",
    "allowedTools",
];

/// The kinds of transport by the names that clients give them; all but `sse` are told by `command` and `url`.
const KINDS: &[&str] = &[
    "stdio",
    "local",
    "http",
    "streamable-http",
    "streamableHttp",
    "streamable_http",
    "remote",
    "custom",
    "auto",
];

/// Translates the keys of one entry. What is not a mapping is left for the schema to refuse.
pub(super) fn translate(node: Node, path: &Path, report: &mut Report) -> Node {
    let Value::Map(entries) = node.value else { return node };
    let mut out = Translated { entries: Vec::new(), path, report };
    for entry in entries {
        out.take(entry);
    }
    Node { at: node.at, value: Value::Map(out.entries) }
}

struct Translated<'a> {
    entries: Vec<Entry>,
    path: &'a Path,
    report: &'a mut Report,
}

impl Translated<'_> {
    fn take(&mut self, entry: Entry) {
        let Entry { at, key, node } = entry;
        match key.as_str() {
            "command" => self.command(at, node),
            "url" | "serverUrl" | "httpUrl" | "server_url" => self.put(at, "url", node),
            "environment" => self.put(at, "env", node),
            "http_headers" => self.put(at, "headers", node),
            "env_vars" => self.put(at, "inherit_env", node),
            "type" | "transport" => self.kind(at, &key, &node),
            "disabled" => self.disabled(at, &node),
            "tool_timeout_sec" => match node.as_text() {
                Some(seconds) => self.put(at, "call_timeout", Node::text(node.at, format!("{seconds}s"))),
                None => self.error(at, &key, "expected a number of seconds"),
            },
            "bearer_token_env_var" => match node.as_text() {
                Some(name) => {
                    self.header(at, "authorization", &Node::text(node.at, format!("Bearer ${{{name}}}")));
                }
                None => self.error(at, &key, "expected the name of an environment variable"),
            },
            "env_http_headers" => self.headers_from_env(at, &key, node),
            "envFile" => self.error(
                at,
                &key,
                "not available in this version; list its variables under `env`, each as `${NAME}`",
            ),
            "timeout" => {
                self.warn(
                    at,
                    &key,
                    "ignored: clients disagree on its unit; use `call_timeout` with a unit, as `60s`",
                );
            }
            same if SAME.contains(&same) => self.put(at, same, node),
            list if TOOL_LISTS.contains(&list) => {
                self.warn(at, list, "ignored: all tools of the server are listed");
            }
            client if CLIENT_ONLY.contains(&client) => {}
            unknown => self.warn(at, unknown, "unknown key; ignored"),
        }
    }

    /// Text, or a list of program and arguments (OpenCode), or a mapping of its own (older Zed).
    fn command(&mut self, at: Mark, node: Node) {
        match node.value {
            Value::List(mut items) if !items.is_empty() => {
                let program = items.remove(0);
                self.put(at, "command", program);
                self.put(at, "args", Node { at: node.at, value: Value::List(items) });
            }
            Value::Map(entries) => {
                for Entry { at, key, node } in entries {
                    let key = if key == "path" { "command" } else { key.as_str() };
                    self.put(at, key, node);
                }
            }
            _ => self.put(at, "command", node),
        }
    }

    fn kind(&mut self, at: Mark, key: &str, node: &Node) {
        match node.as_text() {
            // Some say it twice, as `type` and as `transport`.
            Some("sse") if self.entries.iter().any(|entry| entry.key == "transport") => {}
            Some("sse") => self.put(at, "transport", Node::text(node.at, "sse")),
            Some(kind) if KINDS.contains(&kind) => {}
            given => {
                let near = given.and_then(|given| nearest(given, ["stdio", "http", "sse"]));
                self.report.error(at, &self.path.key(key), "expected `stdio`, `http` or `sse`", near);
            }
        }
    }

    fn disabled(&mut self, at: Mark, node: &Node) {
        match node.as_text() {
            Some("true") => self.put(at, "enabled", Node::scalar(node.at, "false", false)),
            Some("false") => {}
            _ => self.error(at, "disabled", "expected true or false"),
        }
    }

    fn headers_from_env(&mut self, at: Mark, key: &str, node: Node) {
        let Value::Map(entries) = node.value else {
            return self.error(at, key, "expected a mapping from headers to environment variables");
        };
        for Entry { at, key: name, node } in entries {
            let reference = vec![Entry { at, key: "env".to_owned(), node }];
            self.header(at, &name, &Node { at, value: Value::Map(reference) });
        }
    }

    /// Adds one header to those there are.
    fn header(&mut self, at: Mark, name: &str, node: &Node) {
        if !self.entries.iter().any(|entry| entry.key == "headers") {
            self.put(at, "headers", Node { at, value: Value::Map(Vec::new()) });
        }
        for headers in self.entries.iter_mut().filter(|entry| entry.key == "headers") {
            if let Value::Map(entries) = &mut headers.node.value {
                entries.push(Entry { at, key: name.to_owned(), node: node.clone() });
            }
        }
    }

    /// Adds a key of ours; where it is there already, a mapping is joined and anything else refused.
    fn put(&mut self, at: Mark, key: &str, node: Node) {
        let Some(present) = self.entries.iter_mut().find(|entry| entry.key == key) else {
            self.entries.push(Entry { at, key: key.to_owned(), node });
            return;
        };
        match (&mut present.node.value, node.value) {
            (Value::Map(present), Value::Map(more)) => present.extend(more),
            _ => self.error(at, key, "given twice under different names; keep one of the two"),
        }
    }

    fn error(&mut self, at: Mark, key: &str, message: &str) {
        self.report.error(at, &self.path.key(key), message, None);
    }

    fn warn(&mut self, at: Mark, key: &str, message: &str) {
        self.report.warn(at, &self.path.key(key), message);
    }
}
