//! What somebody adds: a package, an image, a URL, a command, an OpenAPI document, a `server.json`, or the configuration of a client.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use portcullis_hub::registry::{Entry, is_exact};
use portcullis_openapi::is_document;
use portcullis_oversight::visible_line;
use serde_json::{Value, json};

use super::openapi;
use crate::Usage;
use crate::servers::{guess, is_document_url, words};

/// What was recognized.
#[derive(Debug, PartialEq)]
pub(super) enum What {
    /// A `server.json`.
    Document(Value),
    /// Entries as clients write them, by name; each with a version, where something says one.
    Entries(Vec<Named>),
}

/// One entry.
#[derive(Debug, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) launch: Value,
    pub(super) version: Option<String>,
    /// What is said of it before it is added, in lines.
    pub(super) about: Vec<String>,
}

/// What `what` is; `base_url` is where an API is, if it is one.
pub(super) fn recognize(what: &str, base_url: Option<&str>) -> anyhow::Result<What> {
    let one = |launch: Value, version: Option<&str>, name: String| {
        let version = version.map(str::to_owned);
        Ok(What::Entries(vec![Named { name, launch, version, about: Vec::new() }]))
    };
    let api = |named: anyhow::Result<Named>| -> anyhow::Result<What> { Ok(What::Entries(vec![named?])) };
    if let Some(package) = what.strip_prefix("npm:").or_else(|| what.starts_with('@').then_some(what)) {
        let (name, version) = pinned("npm", package)?;
        return one(json!({ "command": "npx", "args": ["-y", package] }), Some(version), guess(name));
    }
    if let Some(package) = what.strip_prefix("pypi:") {
        let package = package.replacen("==", "@", 1);
        let (name, version) = pinned("pypi", &package)?;
        return one(json!({ "command": "uvx", "args": [package] }), Some(version), guess(name));
    }
    if let Some(image) = what.strip_prefix("oci:") {
        let name = image.split('@').next().unwrap_or(image).rsplit('/').next().unwrap_or(image);
        let name = name.split(':').next().unwrap_or(name);
        return one(json!({ "image": image }), None, guess(name));
    }
    if let Some(url) = what.strip_prefix("openapi:").filter(|it| it.contains("://")) {
        return api(openapi::at_url(url, base_url));
    }
    let what = what.strip_prefix("openapi:").unwrap_or(what);
    let is_url = what.starts_with("http://") || what.starts_with("https://");
    if is_url && (is_document_url(what) || base_url.is_some()) {
        return api(openapi::at_url(what, base_url));
    }
    if what.starts_with("http://") || what.starts_with("https://") {
        return one(json!({ "url": what }), None, guess(what));
    }
    if what == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return file("standard input", &text);
    }
    if Path::new(what).is_file() {
        let text =
            std::fs::read_to_string(what).map_err(|error| Usage(format!("cannot read {what}: {error}")))?;
        if is_document(&text) {
            return api(openapi::in_file(Path::new(what), text.into_bytes(), base_url));
        }
        return file(what, &text);
    }
    let extension = Path::new(what).extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("json" | "yaml" | "yml")) && !what.contains(char::is_whitespace) {
        return Err(Usage(format!("there is no file {what}")).into());
    }
    if let Some((kind, _)) = what.split_once(':')
        && !kind.is_empty()
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        let message = format!(
            "`{kind}:` is not known: it is `npm:`, `pypi:`, `oci:` or `openapi:`, a URL with `http://` or `https://`, a file, or a command"
        );
        return Err(Usage(message).into());
    }
    let mut line = words(what)?.into_iter();
    let command = line.next().ok_or_else(|| Usage("nothing is named".to_owned()))?;
    let about = missing(&command).into_iter().collect();
    let launch = json!({ "command": command, "args": line.collect::<Vec<_>>() });
    let version = version_of(&launch);
    Ok(What::Entries(vec![Named { name: guess(what), launch, version, about }]))
}

/// A package with its version, which is what makes it the same tomorrow.
fn pinned<'a>(kind: &str, package: &'a str) -> anyhow::Result<(&'a str, &'a str)> {
    let (name, version) = match package.rsplit_once('@').filter(|(name, _)| !name.is_empty()) {
        Some((name, version)) => (name, Some(version)),
        None => (package, None),
    };
    if let Some(version) = version.filter(|version| is_exact(kind, version)) {
        return Ok((name, version));
    }
    let found = version.map(|version| format!("`{version}` is not one version; ")).unwrap_or_default();
    let newest = match kind {
        "npm" => format!("npm view {name} version"),
        _ => format!("pip index versions {name}"),
    };
    let message = format!(
        "{found}say which version of {name}, as `{kind}:{name}@1.2.3`: another could be another program. `{newest}` tells the newest"
    );
    Err(Usage(message).into())
}

/// The version of the package that a command line begins with, where it is one.
fn version_of(launch: &Value) -> Option<String> {
    let (kind, mark) = match launch.get("command")?.as_str()? {
        "npx" => ("npm", "@"),
        "uvx" => ("pypi", "=="),
        _ => return None,
    };
    let mut args = launch.get("args")?.as_array()?.iter().filter_map(Value::as_str);
    let package = args.find(|arg| !arg.starts_with('-'))?;
    let (name, version) = package.rsplit_once(mark).or_else(|| package.rsplit_once('@'))?;
    (!name.is_empty() && is_exact(kind, version)).then(|| version.to_owned())
}

/// What is said of a command that nobody could start from here.
fn missing(command: &str) -> Option<String> {
    let folders = std::env::var_os("PATH")?;
    let found = command.contains('/') || std::env::split_paths(&folders).any(|it| it.join(command).is_file());
    (!found).then(|| format!("warning: there is no program `{command}` in the PATH of this terminal"))
}

fn file(name: &str, text: &str) -> anyhow::Result<What> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        // Clients write comments, and TOML; the importer reads them all.
        Err(_) => return imported(name, text),
    };
    let has = |key: &str| value.get(key).is_some();
    if has("openapi") || has("swagger") {
        let message = "an OpenAPI document is read again when it is used; name its file or its URL";
        return Err(Usage(message.to_owned()).into());
    }
    if has("name") && has("version") && (has("packages") || has("remotes")) {
        return Ok(What::Document(value));
    }
    // The form in which the registry's API gives it.
    if let Some(server) = value.get("server").filter(|server| server.get("version").is_some()) {
        return Ok(What::Document(server.clone()));
    }
    imported(name, text)
}

fn imported(name: &str, text: &str) -> anyhow::Result<What> {
    let entries = portcullis_config::entries(name, text);
    let (servers, warnings) = entries.map_err(|problems| Usage(problems.to_string()))?;
    for warning in warnings {
        eprintln!("{}", visible_line(&warning.to_string()));
    }
    if servers.is_empty() {
        let message = format!("{name} is neither a server.json nor a client's configuration with servers");
        return Err(Usage(message).into());
    }
    let entry = |(name, mut launch): (String, Value)| {
        // Whether a client had it switched on says nothing here: what is approved is reached.
        if let Some(members) = launch.as_object_mut() {
            members.remove("enabled");
        }
        let version = version_of(&launch);
        Named { name, launch, version, about: Vec::new() }
    };
    Ok(What::Entries(servers.into_iter().map(entry).collect()))
}

/// How something is reached, in a line for people: arguments as a shell takes them, and nothing in them that acts.
pub(super) fn reached_by(launch: &Value) -> String {
    if let Some(api) = launch.get("openapi") {
        return visible_line(&openapi::reached_by(api));
    }
    if let Some(url) = launch.get("url").and_then(Value::as_str) {
        return visible_line(url);
    }
    let args = launch.get("args").and_then(Value::as_array).into_iter().flatten();
    if let Some(image) = launch.get("image") {
        let words = std::iter::once(image).chain(args);
        let words: Vec<_> = words.map(|word| visible_line(&quoted(word.as_str().unwrap_or("?")))).collect();
        return format!("the image {}, in a pod of the cluster", words.join(" "));
    }
    let words = launch.get("command").into_iter().chain(args);
    let words: Vec<_> = words.map(|word| visible_line(&quoted(word.as_str().unwrap_or("?")))).collect();
    let sandbox = if launch.get("sandbox").is_some() { ", in a sandbox" } else { ", WITHOUT a sandbox" };
    words.join(" ") + sandbox
}

/// What its sandbox lets it do, in lines for people; none without one.
pub(super) fn walls(launch: &Value) -> Vec<String> {
    let Some(sandbox) = launch.get("sandbox") else { return Vec::new() };
    let list = |key: &str| -> Vec<String> {
        let all = sandbox.get(key).and_then(Value::as_array).into_iter().flatten();
        all.map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned)).collect()
    };
    let (read, write, ports) = (list("read"), list("write"), list("ports"));
    let none_but = |what: Vec<String>| {
        if what.is_empty() { "its own alone".to_owned() } else { format!("its own, {}", what.join(", ")) }
    };
    let network = match (sandbox.get("network").and_then(Value::as_str), ports.is_empty()) {
        (Some("any"), _) => "anywhere".to_owned(),
        (_, false) => format!("ports {}", ports.join(", ")),
        _ => "nowhere".to_owned(),
    };
    let lines = [("reads", none_but(read)), ("changes", none_but(write)), ("connects", network)];
    lines.iter().map(|(what, told)| visible_line(&format!("  {what:<10}  {told}"))).collect()
}

/// What it is given, in lines for people. What its publisher says is shown word for word; what somebody here gave may be a
/// secret.
pub(super) fn given(entry: &Entry) -> Vec<String> {
    let document = entry.document();
    let line = |key: &str, name: &str, value: &Value| {
        let from = match (value.get("env").and_then(Value::as_str), value.as_str()) {
            (Some(variable), _) => format!("from the gateway's {variable}"),
            (None, Some(text)) if document.as_ref().is_some_and(|it| it.gives(name)) => format!("= {text}"),
            (None, Some(text)) if is_secret(name, text) => "as given, in plain text".to_owned(),
            _ => "as given".to_owned(),
        };
        visible_line(&format!("  {key:<10}  {name} {from}"))
    };
    let members = |key: &'static str| {
        let of = if key == "query" { entry.launch.get("openapi") } else { Some(&entry.launch) };
        let members = of.and_then(|of| of.get(key)).and_then(Value::as_object);
        members.into_iter().flatten().map(move |(name, value)| (key, name, value))
    };
    let all = ["env", "headers", "query"].into_iter().flat_map(members);
    all.map(|(key, name, value)| line(key, name, value)).collect()
}

/// Where somebody here gives something by name, as pointers into a launch.
const GIVEN: [&str; 4] = ["/env", "/headers", "/openapi/headers", "/openapi/query"];
/// Parts of a name that say that its value is a secret, and what the values of known ones begin with.
const TELLING: [&str; 10] =
    ["token", "key", "secret", "passw", "auth", "credential", "cookie", "dsn", "private", "pwd"];
const BEGINNINGS: [&str; 15] = [
    "bearer ",
    "basic ",
    "token ",
    "sk-",
    "sk_live_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xox",
    "akia",
    "npm_",
    "pcl_",
    "eyj",
];

/// Whether a text that was given under a name is a secret, as far as can be told. What is filled in later is none yet.
fn is_secret(name: &str, text: &str) -> bool {
    let (name, lower) = (name.to_ascii_lowercase(), text.to_ascii_lowercase());
    let in_url = lower
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').next())
        .is_some_and(|it| it.contains('@'));
    let filled = text.replace("$${", "").contains("${");
    !text.is_empty()
        && !filled
        && (in_url
            || TELLING.iter().any(|part| name.contains(part))
            || BEGINNINGS.iter().any(|begin| lower.starts_with(begin)))
}

/// The names of the secrets that somebody gave word for word.
pub(super) fn in_plain_text(entry: &Entry) -> Vec<&str> {
    let document = entry.document();
    let published = |name: &str| document.as_ref().is_some_and(|it| it.gives(name));
    let members = GIVEN.iter().filter_map(|at| entry.launch.pointer(at)?.as_object()).flatten();
    let secret = members
        .filter(|(name, value)| value.as_str().is_some_and(|text| is_secret(name, text)) && !published(name));
    secret.map(|(name, _)| name.as_str()).collect()
}

/// An entry for programs, without the secrets that somebody gave word for word.
pub(super) fn shown(entry: &Entry) -> Value {
    let hidden: Vec<String> = in_plain_text(entry).into_iter().map(str::to_owned).collect();
    let mut shown = json!(entry);
    for at in GIVEN {
        let members = shown.pointer_mut(&format!("/launch{at}")).and_then(Value::as_object_mut);
        for (_, value) in members.into_iter().flatten().filter(|(name, _)| hidden.contains(name)) {
            if value.is_string() {
                *value = json!("***");
            }
        }
    }
    shown
}

/// A word of a command line, in quotation marks unless it is plain.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./?-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use portcullis_hub::registry::Document;
    use portcullis_model::ServerId;

    use super::*;

    #[test]
    fn packages_are_added_in_one_version() {
        for what in ["npm:@acme/files@1.2.3", "@acme/files@1.2.3"] {
            let What::Entries(entries) = recognize(what, None).expect("recognized") else {
                panic!("an entry")
            };
            assert_eq!(entries[0].launch, json!({ "command": "npx", "args": ["-y", "@acme/files@1.2.3"] }));
            assert_eq!((entries[0].name.as_str(), entries[0].version.as_deref()), ("files", Some("1.2.3")));
        }
        for what in ["pypi:mcp-server-time==2025.1.1", "pypi:mcp-server-time@2025.1.1"] {
            let What::Entries(entries) = recognize(what, None).expect("recognized") else {
                panic!("an entry")
            };
            assert_eq!(entries[0].launch, json!({ "command": "uvx", "args": ["mcp-server-time@2025.1.1"] }));
            assert_eq!(entries[0].name, "time");
        }
        for what in ["npm:@acme/files", "npm:files@latest", "npm:files@^1", "pypi:time", "npm:files@1.2"] {
            let error = recognize(what, None).expect_err("no version");
            assert!(error.to_string().contains("say which version"), "{what}: {error}");
        }
        let error = recognize("npm:@acme/files@latest", None).expect_err("no version").to_string();
        assert!(
            error.starts_with("`latest` is not one version; say which version of @acme/files, as"),
            "{error}"
        );
    }

    #[test]
    fn a_command_brings_the_version_of_its_package() {
        for (what, version) in [
            ("npx -y @acme/weather@1.0.0 --units c", Some("1.0.0")),
            ("uvx mcp-server-time==2025.1.1", Some("2025.1.1")),
            ("uvx mcp-server-time@2025.1.1", Some("2025.1.1")),
            ("npx -y @acme/weather", None),
            ("npx -y @acme/weather@latest", None),
            ("python3 server.py", None),
        ] {
            let What::Entries(entries) = recognize(what, None).expect("recognized") else {
                panic!("an entry")
            };
            assert_eq!(entries[0].version.as_deref(), version, "{what}");
        }
        let client =
            json!({ "mcpServers": { "w": { "command": "npx", "args": ["-y", "@acme/weather@1.0.0"] } } });
        let What::Entries(entries) = file("mcp.json", &client.to_string()).expect("one") else {
            panic!("entries")
        };
        assert_eq!(entries[0].version.as_deref(), Some("1.0.0"));
    }

    #[test]
    fn what_only_looks_like_a_package_is_no_command() {
        let error = recognize("pip:mcp-server-time@1.0", None).expect_err("no command").to_string();
        assert!(error.starts_with("`pip:` is not known: it is `npm:`, `pypi:`"), "{error}");
        let What::Entries(entries) = recognize("there-is-no-such-program", None).expect("recognized") else {
            panic!("an entry")
        };
        assert!(
            entries[0].about[0].contains("no program `there-is-no-such-program`"),
            "{:?}",
            entries[0].about
        );
        let walled =
            json!({ "command": "x", "sandbox": { "read": ["/srv/docs"], "write": [], "ports": [443, 53] } });
        let told = [
            "  reads       its own, /srv/docs",
            "  changes     its own alone",
            "  connects    ports 443, 53",
        ];
        assert_eq!(walls(&walled), told);
    }

    #[test]
    fn what_a_publisher_says_is_shown_and_what_somebody_gave_is_not() {
        let document = Document::new(json!({
            "name": "com.example/files", "description": "Files.", "version": "1.0.0",
            "packages": [{
                "registryType": "npm", "identifier": "files", "version": "1.0.0", "transport": { "type": "stdio" },
                "environmentVariables": [
                    { "name": "WHERE", "value": "a\u{1b}[2J\nb" }, { "name": "KEY", "isSecret": true }, { "name": "TEAM" },
                ],
            }],
        }));
        let env = json!({ "WHERE": "a\u{1b}[2J\nb", "KEY": { "env": "FILES_KEY" }, "TEAM": "blue" });
        let launch = json!({ "command": "npx", "args": ["-y", "files@1.0.0"], "env": env });
        let slug = ServerId::parse("files").expect("a slug");
        let entry = Entry::submitted(&document.expect("well-formed"), &slug, launch, "ann", 1);
        let lines = given(&entry).join("\n");
        for line in ["WHERE = a<U+001B>[2J<U+000A>b", "KEY from the gateway's FILES_KEY", "TEAM as given"] {
            assert!(lines.contains(line), "{line}: {lines}");
        }
    }

    #[test]
    fn secrets_in_plain_text_are_named_and_not_shown() {
        let document = Document::made("local/crm", None, "A server.", "0.0.1").expect("well-formed");
        let slug = ServerId::parse("crm").expect("a slug");
        let env = json!({
            "API_KEY": "sk-live-123", "PLAIN": "ghp_abc", "TEAM": "blue", "TOKEN": "${CRM_TOKEN}",
            "SECRET": { "env": "CRM_SECRET" }, "DATABASE": "postgres://me:pw@db/crm", "HOME_URL": "https://example.com/a@b",
        });
        let launch = json!({ "command": "crm", "env": env });
        let entry = Entry::submitted(&document, &slug, launch, "ann", 1);
        let mut names = in_plain_text(&entry);
        names.sort_unstable();
        assert_eq!(names, ["API_KEY", "DATABASE", "PLAIN"]);
        assert!(given(&entry).join("\n").contains("API_KEY as given, in plain text"));
        let shown = shown(&entry);
        let env = &shown["launch"]["env"];
        for name in names {
            assert_eq!(env[name], "***", "{name}");
        }
        assert_eq!((&env["TEAM"], &env["TOKEN"]), (&json!("blue"), &json!("${CRM_TOKEN}")));
        assert_eq!(env["SECRET"], json!({ "env": "CRM_SECRET" }));
        let lines = super::super::add::secrets_in_plain_text(&entry);
        assert!(lines.iter().any(|line| line.contains("--secret API_KEY=VARIABLE")), "{lines:?}");
    }

    #[test]
    fn files_are_told_apart_by_what_is_in_them() {
        let document = json!({ "name": "a/b", "version": "1", "description": "c", "remotes": [] });
        assert_eq!(
            file("server.json", &document.to_string()).expect("one"),
            What::Document(document.clone())
        );
        let response = json!({ "server": document, "_meta": {} });
        assert_eq!(file("server.json", &response.to_string()).expect("one"), What::Document(document));
        let client = json!({ "mcpServers": { "files": { "command": "files", "args": ["/srv"] } } });
        let What::Entries(entries) = file("mcp.json", &client.to_string()).expect("one") else {
            panic!("entries")
        };
        assert_eq!(entries[0].launch, json!({ "command": "files", "args": ["/srv"] }));
        // What steers a client is not what is started.
        let client = json!({ "mcpServers": { "My Files": {
            "type": "stdio", "command": "files", "env": { "TOKEN": "${FILES_TOKEN}" }, "disabled": true,
            "autoApprove": ["read"], "sandbox": { "enabled": false },
        }, "far": { "type": "sse", "serverUrl": "https://example.com/sse" } } });
        let What::Entries(entries) = file("mcp.json", &client.to_string()).expect("one") else {
            panic!("entries")
        };
        let env = json!({ "TOKEN": "${FILES_TOKEN}" });
        assert_eq!(entries[0].launch, json!({ "command": "files", "env": env }));
        assert_eq!(entries[0].name, "my-files");
        assert_eq!(entries[1].launch, json!({ "url": "https://example.com/sse", "transport": "sse" }));
        for wrong in ["{\"openapi\":\"3.1.0\"}", "{}", "nothing"] {
            file("file", wrong).expect_err(wrong);
        }
    }

    #[test]
    fn how_it_is_reached_is_one_line_that_shows_where_each_argument_ends() {
        let args = json!(["-y", "a b", "it's", "", "\u{1b}[2Kx\r\nsafe", "@acme/files@1.0.0"]);
        let shown = reached_by(&json!({ "command": "npx", "args": args, "sandbox": {} }));
        let expected =
            r"npx -y 'a b' 'it'\''s' '' '<U+001B>[2Kx<U+000D><U+000A>safe' @acme/files@1.0.0, in a sandbox";
        assert_eq!(shown, expected);
        assert_eq!(reached_by(&json!({ "url": "https://a\r/b" })), "https://a<U+000D>/b");
        let image = json!({ "image": "ghcr.io/a/b@sha256:00", "args": ["a b"] });
        assert_eq!(reached_by(&image), "the image ghcr.io/a/b@sha256:00 'a b', in a pod of the cluster");
    }
}
