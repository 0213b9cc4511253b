//! Documents, the life of a version, and how versions are looked through.

use std::sync::Arc;

use portcullis_model::{Expected, Records, ServerId};
use portcullis_store::Memory;
use serde_json::{Value, json};

use super::{
    Document, Entry, Finding, Inputs, Move, Package, Question, Refused, Registry, Scan, Stage, Untold,
    launch, listed, newest, running,
};
use crate::packages::sha256;

fn document(name: &str, version: &str) -> Document {
    Document::made(name, None, "Files of a team.", version).expect("well-formed")
}

fn entry(name: &str, version: &str, at: u64) -> Entry {
    let slug = ServerId::parse("files").expect("a slug");
    Entry::submitted(&document(name, version), &slug, json!({ "command": "files" }), "ann", at)
}

fn approved(name: &str, version: &str, at: u64) -> Entry {
    let mut entry = entry(name, version, at);
    entry.scanned(Scan { at, ..Scan::default() }, "ann").expect("scanned");
    entry.take(Move::Review, "ben", at, None).expect("reviewed");
    entry.take(Move::Approve, "ben", at, None).expect("approved");
    entry
}

#[test]
fn a_document_of_the_published_registry_is_one() {
    let value = json!({
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": "io.github.example/weather",
        "title": "Weather",
        "description": "Forecasts for any place.",
        "version": "1.0.2",
        "websiteUrl": "https://example.com",
        "repository": { "url": "https://github.com/example/weather", "source": "github" },
        "packages": [{
            "registryType": "npm",
            "identifier": "@example/weather",
            "version": "1.0.2",
            "transport": { "type": "stdio" },
            "environmentVariables": [{ "name": "KEY", "isRequired": true, "isSecret": true }],
        }],
        "remotes": [{ "type": "streamable-http", "url": "https://weather.example.com/mcp" }],
        "_meta": { "io.modelcontextprotocol.registry/publisher-provided": { "commit": "abc" } },
        "somethingNew": 1,
    });
    let document = Document::new(value.clone()).expect("well-formed");
    assert_eq!((document.name(), document.version()), ("io.github.example/weather", "1.0.2"));
    assert_eq!(document.value(), value, "it stays as it came");
    let told = document.at("https://gw.example.com/mcp/s/weather");
    assert_eq!(
        told["remotes"],
        json!([{ "type": "streamable-http", "url": "https://gw.example.com/mcp/s/weather" }])
    );
    for origin in ["packages", "repository", "_meta"] {
        assert_eq!(told.get(origin), None, "where it comes from is nobody's business");
    }
    assert_eq!(told["somethingNew"], 1);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_where() {
    let flaws = Document::new(json!({
        "name": "weather",
        "description": "x".repeat(101),
        "version": "^1.0",
        "icons": [{ "src": "http://example.com/icon.png" }],
        "packages": [
            { "registryType": "mcpb", "identifier": "a", "transport": { "type": "stdio" } },
            { "registryType": "deb", "version": "latest", "transport": { "type": "carrier" } },
        ],
        "remotes": [{ "type": "websocket", "url": "ws://example.com" }, 1],
        "_meta": { "io.modelcontextprotocol.registry/publisher-provided": { "a": "x".repeat(4096) } },
    }))
    .expect_err("full of flaws");
    let paths: Vec<_> = flaws.iter().map(|flaw| flaw.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "name",
            "description",
            "version",
            "icons[0].src",
            "packages[0].fileSha256",
            "packages[1].registryType",
            "packages[1].identifier",
            "packages[1].version",
            "packages[1].transport.type",
            "remotes[0].type",
            "remotes[0].url",
            "remotes[1]",
            "_meta[\"io.modelcontextprotocol.registry/publisher-provided\"]",
        ]
    );
    for text in [&b"{"[..], b"[]", b"\"text\"", b"{\"name\":1}"] {
        assert!(Document::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_newest_version_is_the_one_that_the_registry_says() {
    assert_eq!(newest([("1.9.0", 3), ("1.10.0", 2), ("1.10.0-beta", 4)]), Some("1.10.0"));
    assert_eq!(newest([("2024-11-05", 9), ("0.0.1", 1)]), Some("0.0.1"), "Semantic Versioning comes first");
    assert_eq!(newest([("spring", 1), ("autumn", 2)]), Some("autumn"));
    assert_eq!(newest([]), None);
}

#[test]
fn a_version_takes_one_step_after_the_other() {
    use Stage::{Approved, Deprecated, Retired, Reviewed, Scanned, Submitted};

    let mut version = entry("com.example/files", "1.0.0", 1);
    for step in [Move::Review, Move::Approve, Move::Deprecate] {
        let refused = version.take(step, "ben", 2, None).expect_err("not yet");
        assert!(refused.to_string().contains("scan it first"), "{refused}");
    }
    version.scanned(Scan { at: 3, ..Scan::default() }, "ann").expect("scanned");
    version.take(Move::Approve, "ben", 4, None).expect_err("nobody looked at the scan");
    version.take(Move::Review, "ben", 5, None).expect("reviewed");
    version.take(Move::Approve, "ben", 6, None).expect("approved");
    version.take(Move::Deprecate, "ben", 7, Some("use 2".to_owned())).expect("deprecated");
    assert!(version.stage().is_in_use());
    version.take(Move::Approve, "ben", 8, None).expect("and back");
    version.take(Move::Retire, "ben", 9, None).expect("retired");
    for step in [Move::Review, Move::Approve, Move::Deprecate, Move::Retire] {
        version.take(step, "ben", 10, None).expect_err("retired is for good");
    }
    version.scanned(Scan::default(), "ann").expect_err("retired is for good");
    let stages: Vec<_> = version.history().iter().map(|change| change.to).collect();
    assert_eq!(stages, [Submitted, Scanned, Reviewed, Approved, Deprecated, Approved, Retired]);
}

#[test]
fn what_a_scan_found_is_answered_for() {
    let mut version = entry("com.example/files", "1.0.0", 1);
    let findings = vec![Finding { at: "tool read: description".to_owned(), what: "hidden text".to_owned() }];
    version.scanned(Scan { findings, ..Scan::default() }, "ann").expect("scanned");
    version.take(Move::Review, "ben", 2, None).expect("reviewed");
    for note in [None, Some("  ".to_owned())] {
        let refused = version.take(Move::Approve, "ben", 3, note).expect_err("something was found");
        assert!(matches!(refused, Refused::Found { found: 1, .. }));
    }
    version.take(Move::Approve, "ben", 4, Some("a joke of the author".to_owned())).expect("answered for");
}

#[test]
fn a_scan_of_a_version_that_is_in_use_approves_nothing() {
    let mut old = approved("com.example/files", "1.0.0", 10);
    let new = approved("com.example/files", "2.0.0", 20);
    old.scanned(Scan { at: 30, ..Scan::default() }, "ann").expect("scanned");
    assert_eq!((old.stage(), old.approved()), (Stage::Approved, Some(10)));
    assert_eq!(old.scan().map(|scan| scan.at), Some(30));
    let all = [new, old.clone()];
    assert_eq!(running(&all).iter().map(|entry| entry.version()).collect::<Vec<_>>(), ["2.0.0"]);
    old.take(Move::Deprecate, "ben", 40, Some("use 2".to_owned())).expect("deprecated");
    old.scanned(Scan { at: 50, ..Scan::default() }, "ann").expect("scanned");
    assert_eq!(old.stage(), Stage::Deprecated);
    let turn = old.turn().expect("it has come to that");
    assert_eq!((turn.at, turn.note.as_deref()), (40, Some("use 2")), "what was said of it stays said");
}

#[test]
fn what_runs_is_what_was_approved_last() {
    let (mut old, new) =
        (approved("com.example/files", "1.0.0", 10), approved("com.example/files", "2.0.0", 20));
    let proposed = entry("com.example/files", "3.0.0", 30);
    let all = [old.clone(), new.clone(), proposed.clone()];
    assert_eq!(running(&all).iter().map(|entry| entry.version()).collect::<Vec<_>>(), ["2.0.0"]);
    old.take(Move::Approve, "ben", 40, Some("2 is broken".to_owned())).expect("and back");
    let all = [old.clone(), new.clone(), proposed.clone()];
    assert_eq!(running(&all).iter().map(|entry| entry.version()).collect::<Vec<_>>(), ["1.0.0"]);
    old.take(Move::Retire, "ben", 50, None).expect("retired");
    assert_eq!(
        running(&[old, new, proposed]).iter().map(|entry| entry.version()).collect::<Vec<_>>(),
        ["2.0.0"]
    );
}

#[test]
fn questions_are_answered_page_by_page_and_without_what_is_not_in_use() {
    let mut retired = approved("com.example/b", "0.9.0", 5);
    retired.take(Move::Retire, "ben", 99, None).expect("retired");
    let all = [
        approved("com.example/a", "2.0.0", 20),
        approved("com.example/a", "1.0.0", 10),
        approved("com.example/b", "1.0.0", 30),
        retired,
        entry("com.example/c", "1.0.0", 40),
    ];
    let ask = |question: Question| {
        let page = question.of(&all);
        let found: Vec<_> =
            page.entries.iter().map(|it| format!("{}:{}", it.entry.name(), it.entry.version())).collect();
        (found, page.next)
    };
    let of = |limit, cursor: Option<&str>| Question {
        limit,
        cursor: cursor.map(str::to_owned),
        ..Question::default()
    };
    let (found, next) = ask(of(2, None));
    assert_eq!(found, ["com.example/a:2.0.0", "com.example/a:1.0.0"]);
    assert_eq!(ask(of(2, next.as_deref())), (vec!["com.example/b:1.0.0".to_owned()], None));
    // What a cursor points at may have gone meanwhile.
    assert_eq!(ask(of(9, Some("com.example/a:1.5.0"))).0, ["com.example/b:1.0.0"]);
    let latest = Question { version: Some("latest".to_owned()), ..of(9, None) };
    assert_eq!(ask(latest).0, ["com.example/a:2.0.0", "com.example/b:1.0.0"]);
    let since = Question { updated_since: Some(30), deleted: true, ..of(9, None) };
    assert_eq!(ask(since).0, ["com.example/b:1.0.0", "com.example/b:0.9.0", "com.example/c:1.0.0"]);
    let search = Question { search: Some("EXAMPLE/B".to_owned()), ..of(9, None) };
    assert_eq!(ask(search).0, ["com.example/b:1.0.0"]);
    let latest: Vec<_> = listed(&all).map(|it| it.latest).collect();
    assert_eq!(latest, [true, false, true, false, true]);
}

#[test]
fn a_package_is_started_in_its_version_with_what_the_operator_gives() {
    let document = Document::new(json!({
        "name": "io.github.example/weather",
        "description": "Forecasts.",
        "version": "1.0.2",
        "packages": [
            { "registryType": "oci", "identifier": "example/weather:1.0.2", "transport": { "type": "stdio" } },
            {
                "registryType": "npm",
                "identifier": "@example/weather",
                "version": "1.0.2",
                "transport": { "type": "stdio" },
                "packageArguments": [
                    { "type": "positional", "value": "serve" },
                    { "type": "named", "name": "--units", "choices": ["metric", "imperial"], "default": "metric" },
                    { "type": "named", "name": "--verbose" },
                    { "type": "positional", "valueHint": "place", "isRequired": true },
                ],
                "environmentVariables": [
                    { "name": "KEY", "isRequired": true, "isSecret": true },
                    { "name": "LANGUAGE", "value": "{tongue}", "variables": { "tongue": { "default": "en" } } },
                    { "name": "UNUSED" },
                ],
            },
        ],
    }))
    .expect("well-formed");
    let flaws = launch(&document, &Inputs::new()).expect_err("two inputs are missing");
    let said: Vec<_> = flaws.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("packages[1].packageArguments[3]: `place`"), "{said:?}");
    assert!(said[1].contains("--secret KEY="), "{said:?}");
    let inputs = Inputs::from([
        ("place".to_owned(), json!("Oslo")),
        ("--units".to_owned(), json!("imperial")),
        ("KEY".to_owned(), json!({ "env": "WEATHER_KEY" })),
    ]);
    let entry = launch(&document, &inputs).expect("all is given");
    assert_eq!(entry["command"], "npx");
    let args = ["-y", "@example/weather@1.0.2", "serve", "--units", "imperial", "--verbose", "Oslo"];
    assert_eq!(entry["args"], json!(args));
    assert_eq!(entry["env"], json!({ "KEY": { "env": "WEATHER_KEY" }, "LANGUAGE": "en" }));
    let wrong = Inputs::from([("--units".to_owned(), json!("nautical"))]);
    let said = launch(&document, &wrong)
        .expect_err("no such unit")
        .iter()
        .map(ToString::to_string)
        .collect::<String>();
    assert!(said.contains("must be one of metric, imperial"), "{said}");
}

#[test]
fn a_package_comes_from_the_registry_that_it_is_of() {
    let started = |kind: &str, from: &str| {
        let document = Document::new(json!({
            "name": "com.example/files", "description": "Files.", "version": "1.0.0",
            "packages": [{
                "registryType": kind, "registryBaseUrl": from, "identifier": "files", "version": "1.0.0",
                "transport": { "type": "stdio" },
                "runtimeArguments": [{ "type": "named", "name": "--quiet" }],
            }],
        }));
        launch(&document.expect("well-formed"), &Inputs::new()).expect("it takes nothing")["args"].clone()
    };
    assert_eq!(started("npm", "https://registry.npmjs.org/"), json!(["-y", "--quiet", "files@1.0.0"]));
    let mirror = "https://packages.example.com/";
    let registry = "--registry=https://packages.example.com";
    assert_eq!(started("npm", mirror), json!(["-y", "--quiet", registry, "files@1.0.0"]));
    assert_eq!(started("pypi", "https://pypi.org"), json!(["--quiet", "files@1.0.0"]));
    let index = "--default-index=https://packages.example.com/simple";
    assert_eq!(started("pypi", mirror), json!(["--quiet", index, "files@1.0.0"]));
}

#[test]
fn nothing_that_a_document_says_stands_for_a_variable_of_the_gateway() {
    let of = |way: &str, said: Value| {
        let whole =
            json!({ "name": "com.example/files", "description": "Files.", "version": "1.0.0", way: [said] });
        launch(&Document::new(whole).expect("well-formed"), &Inputs::new()).expect("it takes nothing")
    };
    let package = of(
        "packages",
        json!({
            "registryType": "npm", "identifier": "files", "version": "1.0.0", "transport": { "type": "stdio" },
            "registryBaseUrl": "https://npm.example.com/${TOKEN}",
            "packageArguments": [
                { "type": "positional", "value": "{a}", "variables": { "a": { "default": "${TOKEN}" } } },
                { "type": "named", "name": "--${TOKEN}", "value": "{a}", "variables": { "a": { "value": "$${TOKEN}" } } },
                // Only what is put together makes one.
                { "type": "positional", "value": "${a}", "variables": { "a": { "default": "{TOKEN}" } } },
            ],
            "environmentVariables": [
                { "name": "A", "value": "{a}", "variables": { "a": { "default": "x${env:TOKEN}" } } },
            ],
        }),
    );
    let args = [
        "-y",
        "--registry=https://npm.example.com/$${TOKEN}",
        "files@1.0.0",
        "$${TOKEN}",
        "--$${TOKEN}",
        "$$${TOKEN}",
        "$${TOKEN}",
    ];
    assert_eq!(package["args"], json!(args));
    assert_eq!(package["env"], json!({ "A": "x$${env:TOKEN}" }));
    let remote = of(
        "remotes",
        json!({
            "type": "streamable-http", "url": "https://mcp.example.com/{a}",
            "variables": { "a": { "value": "${TOKEN}" } },
            "headers": [{ "name": "X-A", "value": "{a}", "variables": { "a": { "default": "${TOKEN}" } } }],
        }),
    );
    assert_eq!(remote["url"], "https://mcp.example.com/$${TOKEN}");
    assert_eq!(remote["headers"], json!({ "X-A": "$${TOKEN}" }));
}

#[test]
fn a_package_is_named_and_versioned_as_its_registry_does() {
    let flaws = |kind: &str, identifier: &str, version: &str| {
        let document = Document::new(json!({
            "name": "com.example/files", "description": "Files.", "version": "1.0.0",
            "packages": [{
                "registryType": kind, "identifier": identifier, "version": version, "transport": { "type": "stdio" },
            }],
        }));
        let flaws = document.err().unwrap_or_default();
        flaws.into_iter().map(|flaw| flaw.path).collect::<Vec<_>>()
    };
    for (kind, identifier, version) in [
        ("npm", "@acme/files", "1.2.3-rc.1+build"),
        ("npm", "files.js_2~x", "0.1.0"),
        ("pypi", "Acme.Files_2", "1!2026.1.post1"),
        ("oci", "ghcr.io/acme/files:1.0.0", "1.0.0"),
        ("nuget", "Acme.Files", "1.0.0.0"),
    ] {
        assert_eq!(flaws(kind, identifier, version), [""; 0], "{kind} {identifier} {version}");
    }
    for identifier in [
        "--registry=https://evil.example",
        "-y",
        "https://evil.example/a.tgz",
        "git+ssh://evil.example/a",
        "acme/files",
        "../files",
        "files@npm:other",
        "files other",
        "@acme/",
        "@/files",
        "Files",
        "${TOKEN}",
    ] {
        assert_eq!(flaws("npm", identifier, "1.0.0"), ["packages[0].identifier"], "{identifier}");
    }
    for identifier in [
        "--with=other",
        "files @ https://evil.example",
        "git+https://evil.example",
        "files[all]",
        "files-",
        ".",
    ] {
        assert_eq!(flaws("pypi", identifier, "1.0.0"), ["packages[0].identifier"], "{identifier}");
    }
    for (kind, version) in [
        ("npm", "https://evil.example/a.tgz"),
        ("npm", "npm:other@1.0.0"),
        ("npm", "1"),
        ("npm", "beta"),
        ("npm", "^1.0.0"),
        ("npm", "1.0.0 || 2.0.0"),
        ("pypi", "1.*"),
        ("pypi", ">=1"),
        ("pypi", "1.0 @ https://evil.example"),
        ("pypi", "1.0+a @ https://evil.example"),
        ("pypi", "main"),
    ] {
        assert_eq!(flaws(kind, "files", version), ["packages[0].version"], "{kind} {version}");
    }
}

#[test]
fn a_remote_is_reached_where_the_document_says() {
    let document = Document::new(json!({
        "name": "com.example/crm",
        "description": "Customers.",
        "version": "3.0.0",
        "remotes": [{
            "type": "sse",
            "url": "https://{tenant}.example.com/sse",
            "headers": [{ "name": "X-Key", "isRequired": true, "isSecret": true }],
        }],
    }))
    .expect("well-formed");
    let said = launch(&document, &Inputs::new()).expect_err("nothing is given");
    assert_eq!(
        said.iter().map(|flaw| flaw.path.as_str()).collect::<Vec<_>>(),
        ["remotes[0].url", "remotes[0].headers[0]"]
    );
    let inputs = Inputs::from([
        ("tenant".to_owned(), json!("acme")),
        ("X-Key".to_owned(), json!({ "env": "CRM_KEY" })),
    ]);
    let entry = launch(&document, &inputs).expect("all is given");
    let url = "https://acme.example.com/sse";
    assert_eq!(
        entry,
        json!({ "url": url, "transport": "sse", "headers": { "X-Key": { "env": "CRM_KEY" } } })
    );
}

#[tokio::test]
async fn a_version_is_added_once_and_changed_by_one_at_a_time() {
    let registry = Registry::new(Arc::new(Memory::default()));
    let (first, second) = (entry("com.example/files", "1.9.0", 1), entry("com.example/files", "1.10.0", 2));
    assert!(registry.add(&first).await.expect("asked"));
    assert!(!registry.add(&first).await.expect("asked"), "what was published never changes");
    assert!(registry.add(&second).await.expect("asked"));
    assert!(registry.add(&entry("com.example/files-of-others", "1.0.0", 3)).await.expect("asked"));
    let versions = registry.versions("com.example/files").await.expect("asked");
    let names: Vec<_> = versions.iter().map(|it| it.entry.version()).collect();
    assert_eq!(names, ["1.10.0", "1.9.0"]);
    let mut mine = registry.get("com.example/files", "1.9.0").await.expect("asked").expect("there");
    let mut theirs = mine.clone();
    let epoch = registry.epoch().await.expect("asked");
    mine.entry.scanned(Scan::default(), "ann").expect("scanned");
    assert!(registry.change(&mine).await.expect("asked"));
    theirs.entry.scanned(Scan::default(), "ben").expect("scanned");
    assert!(!registry.change(&theirs).await.expect("asked"), "somebody else was there before");
    assert_ne!(registry.epoch().await.expect("asked"), epoch, "whoever watches is told");
    let all = registry.all().await.expect("asked");
    let names: Vec<_> = all.iter().map(|it| format!("{} {}", it.entry.name(), it.entry.version())).collect();
    assert_eq!(
        names,
        ["com.example/files 1.10.0", "com.example/files 1.9.0", "com.example/files-of-others 1.0.0"],
        "in the order of names, the newest first"
    );
    let Value::Object(launch) = &mine.entry.launch else { panic!("an object") };
    assert_eq!(launch["command"], "files");
}

#[test]
fn the_package_is_what_the_command_line_names() {
    let document = Document::new(json!({
        "name": "com.example/files", "description": "Files.", "version": "1.0.0",
        "packages": [{
            "registryType": "npm", "identifier": "@acme/files", "version": "1.2.3", "fileSha256": "a".repeat(64),
            "transport": { "type": "stdio" },
        }],
    }))
    .expect("well-formed");
    for (command, args, package) in [
        ("npx", json!(["-y", "@acme/files@1.2.3", "/srv"]), Some(("npm", "@acme/files", Some("1.2.3")))),
        ("/usr/bin/npx", json!(["@acme/files"]), Some(("npm", "@acme/files", None))),
        ("npx", json!(["-y", "files@latest"]), Some(("npm", "files", None))),
        ("npx", json!(["--package=files@1.0.0", "serve"]), Some(("npm", "files", Some("1.0.0")))),
        ("uvx", json!(["mcp-server-time@2025.1.1"]), Some(("pypi", "mcp-server-time", Some("2025.1.1")))),
        (
            "uvx",
            json!(["--python", "3.12", "--from", "time[all]==1.0", "serve"]),
            Some(("pypi", "time", Some("1.0"))),
        ),
        ("uvx", json!(["time>=1"]), Some(("pypi", "time", None))),
        ("npx", json!(["files@1"]), Some(("npm", "files", None))),
        ("npx", json!(["files@1.2"]), Some(("npm", "files", None))),
        ("npx", json!(["files@npm:evil@1.0.0"]), Some(("npm", "files", None))),
        ("uvx", json!(["-p", "3.12", "time@1.0"]), Some(("pypi", "time", Some("1.0")))),
        ("uvx", json!(["time[all] @ git+https://example.com/x==1.0"]), Some(("pypi", "time", None))),
        ("python3", json!(["-m", "time"]), None),
    ] {
        let found = Package::of(&json!({ "command": command, "args": args }), &document).expect("told");
        let found = found.into_iter().next();
        let told = found.as_ref().map(|it| (it.registry.as_str(), it.name.as_str(), it.version.as_deref()));
        assert_eq!(told, package, "{command} {args}");
        let digest = found.and_then(|it| it.digest);
        assert_eq!(
            digest.is_some(),
            package == Some(("npm", "@acme/files", Some("1.2.3"))),
            "of that version alone"
        );
    }
    assert_eq!(Package::of(&json!({ "url": "https://example.com" }), &document), Ok(Vec::new()));
    let args = json!(["--with", "a==1.0,b", "--from=time==2.0", "-w", "c", "serve", "--with", "d"]);
    let all = Package::of(&json!({ "command": "uvx", "args": args }), &document).expect("told");
    assert_eq!(all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["time", "a", "b", "c"]);
    for (command, args, untold) in [
        ("npx", json!(["--userconfig", "files@1.0.0", "evil"]), "--userconfig"),
        ("npx", json!(["-p", "files@1.0.0", "-c", "evil"]), "-c"),
        ("npx", json!(["--yes=false", "files@1.0.0"]), "--yes=false"),
        ("npx", json!([{ "env": "WHAT" }, "files@1.0.0"]), r#"{"env":"WHAT"}"#),
        ("npx", json!(["evil/files"]), "evil/files"),
        ("npx", json!(["./files"]), "./files"),
        ("npx", json!(["-y"]), ""),
        ("uvx", json!(["--with-editable", "time==1.0", "evil"]), "--with-editable"),
        (
            "uvx",
            json!(["--from", "git+https://example.com/time@1.0", "time"]),
            "git+https://example.com/time@1.0",
        ),
        ("uvx", json!(["--from"]), "--from"),
    ] {
        let found = Package::of(&json!({ "command": command, "args": args }), &document);
        assert_eq!(found, Err(Untold(untold.to_owned())), "{command} {args}");
    }
}

/// A document with one image.
fn of_image(identifier: &str, transport: &Value) -> Document {
    let package = json!({
        "registryType": "oci", "identifier": identifier, "transport": transport,
        "environmentVariables": [{ "name": "KEY", "isRequired": true, "isSecret": true }],
    });
    let whole = json!({
        "name": "com.example/x", "description": "An image.", "version": "1.0.0", "packages": [package],
    });
    Document::new(whole).expect("well-formed")
}

#[test]
fn an_image_is_run_by_its_digest_where_it_serves_http() {
    let pinned = format!("ghcr.io/acme/x@sha256:{}", "0a".repeat(32));
    let streamable = json!({ "type": "streamable-http", "url": "http://localhost:{port}/mcp" });
    let given: Inputs =
        [("KEY".to_owned(), json!({ "env": "X_KEY" })), ("port".to_owned(), json!("9000"))].into();
    let document = of_image(&pinned, &streamable);
    let entry = launch(&document, &given).expect("all is given");
    let container = json!({ "port": 9000, "path": "/mcp" });
    assert_eq!(
        entry,
        json!({ "image": pinned, "container": container, "env": { "KEY": { "env": "X_KEY" } } })
    );
    let packages = Package::of(&entry, &document).expect("told");
    assert_eq!((packages[0].registry.as_str(), packages[0].name.as_str()), ("oci", "ghcr.io/acme/x"));
    assert_eq!(packages[0].digest, Some("0a".repeat(32)));

    let said = |document: &Document| {
        let flaws = launch(document, &given).expect_err("it is not fit");
        flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let tagged = said(&of_image("ghcr.io/acme/x:1.0.0", &streamable));
    assert!(tagged.contains("packages[0].identifier: its image is named by a tag"), "{tagged}");
    let stdio = said(&of_image(&pinned, &json!({ "type": "stdio" })));
    assert!(stdio.contains("speaks over stdio; one that a cluster is to run has to serve"), "{stdio}");
    let missing = launch(&document, &Inputs::new()).expect_err("nothing is given");
    assert_eq!(missing.len(), 3, "{missing:?}");
}

#[tokio::test]
async fn a_lock_is_handed_on_as_it_was_kept_by_whatever_program() {
    let records: Arc<dyn Records> = Arc::new(Memory::default());
    let registry = Registry::new(records.clone());
    let lock = json!({
        "registry": "npm", "program": "files", "roots": [{ "name": "files", "version": "1.0.0" }],
        "files": [], "since": "a version that has more to say",
    });
    let text = format!("{lock:#}");
    let digest = sha256(text.as_bytes());
    let put = |key: &str| (key.to_owned(), text.clone().into_bytes());
    for (key, value) in [put(&digest), put("0a")] {
        records.put("registry-lock", &key, value, None, Expected::Any).await.expect("kept");
    }
    let found = registry.lock(&digest).await.expect("asked").expect("it is there");
    assert_eq!((&**found.text(), found.digest(), found.program.as_str()), (&*text, &*digest, "files"));
    assert_eq!(registry.lock("0a").await.expect("asked"), None, "it is another");
    registry.keep_lock(&found).await.expect("kept");
    assert_eq!(registry.lock(&digest).await.expect("asked"), Some(found));
}
