//! The command line: what it prints, where, and with which exit code; and that its reference page is complete.
//!
//! Verbs that serve are met in the other modules; here are those that answer and leave, and `up`'s welcome.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn portcullis(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .env_remove("PORTCULLIS_CONFIG")
        .env_remove("PORTCULLIS_LOG");
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    portcullis(folder).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_accepts_a_good_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.yaml"), "listen: 8080\nservers: { a: { command: cat } }\n")
        .unwrap();
    for args in [&["serve", "--config", "good.yaml", "--check"][..], &["config", "check", "good.yaml"]] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(stdout(&output), "good.yaml: ok\n");
        assert_eq!(stderr(&output), "");
    }
}

const BAD: &str = "listen: 127.0.0.1:0\nservrs: {}\nlimits: { body_bytes: x }\n";

#[test]
fn check_tells_every_problem_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), BAD).unwrap();
    let serve = run(folder.path(), &["serve", "--config", "bad.yaml", "--check"]);
    let check = run(folder.path(), &["config", "check", "bad.yaml"]);
    // To serve is the wish, so the problems are errors; to check is to ask, so they are the answer.
    for (output, text) in [(&serve, stderr(&serve)), (&check, stdout(&check))] {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(
            text.contains("bad.yaml:2:1: error: servrs: unknown key (did you mean `servers`?)"),
            "{text}"
        );
        assert!(text.contains("bad.yaml:3:11: error: limits.body_bytes: `x` is not a size"), "{text}");
    }
    assert_eq!(stdout(&serve), "");
    let json = run(folder.path(), &["config", "check", "bad.yaml", "--json"]);
    assert_eq!(json.status.code(), Some(2));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"][0]["line"], 2);
    assert_eq!(json["problems"][0]["nearest"], "servers");
    assert_eq!(json["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn check_refuses_certificates_that_cannot_be_served() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("no.pem"), "not a certificate").unwrap();
    let config = json!({"listen": 8443, "tls": {"cert": "no.pem", "key": "no.pem"}});
    std::fs::write(folder.path().join("tls.json"), config.to_string()).unwrap();
    let output = run(folder.path(), &["serve", "--config", "tls.json", "--check"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("no.pem"), "{output:?}");
}

#[test]
fn check_refuses_a_log_filter_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.yaml"), "telemetry: { log: { filter: \"a==b\" } }\n").unwrap();
    let output = run(folder.path(), &["serve", "--config", "c.yaml", "--check"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("cannot read the log filter"), "{output:?}");
}

#[test]
fn show_fills_in_defaults_and_hides_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let text = "servers: { a: { command: cat, env: { TOKEN: \"${THE_TOKEN}\" } } }\n";
    std::fs::write(folder.path().join("c.yaml"), text).unwrap();
    let output = portcullis(folder.path())
        .args(["config", "show", "c.yaml", "--effective"])
        .env("THE_TOKEN", "hush-hush-4711")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["listen"], "127.0.0.1:8080");
    assert_eq!(shown["servers"]["a"]["max_concurrent"], 64);
    assert!(!format!("{output:?}").contains("hush-hush"), "{output:?}");
    assert_eq!(run(folder.path(), &["config", "show", "nope.yaml"]).status.code(), Some(2));
}

#[test]
fn schema_is_the_published_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["config", "schema"]);
    assert_eq!(output.status.code(), Some(0));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let published = include_str!("../../../../docs/reference/config.schema.json");
    assert_eq!(printed, serde_json::from_str::<Value>(published).unwrap());
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("open.yaml"), "listen: 0.0.0.0:0\n").unwrap();
    std::fs::write(folder.path().join("anon.yaml"), "listen: 0.0.0.0:0\nidentity: { anonymous: allow }\n")
        .unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["frobnicate"], "unrecognized subcommand"),
        (&["serve"], "--config"),
        (&["serve", "--config", "nope.yaml"], "nope.yaml: error: cannot read the configuration"),
        (&["serve", "--config", "open.yaml"], "set `identity.issuers`, `identity.keys` or `tls.client_ca`"),
        (&["serve", "--config", "anon.yaml"], "`allow` only works on loopback"),
        (&["up", "--listen", "0.0.0.0:0"], "nobody could call there"),
        (&["up", "a'b"], "a quote is not closed"),
        (&["up", "--import", "nope.json"], "cannot read nope.json"),
    ];
    for (args, expected) in cases {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(stderr(&output).contains(expected), "{args:?}: {output:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

/// `portcullis config schema | head -1` is no failure.
#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = portcullis(folder.path()).args(["config", "schema"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn up_prints_endpoint_offers_and_a_line_to_paste() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("server.py");
    std::fs::write(&script, TWO_TOOLS).unwrap();
    let import = json!({"mcpServers": {"imported": {"command": "python3", "args": [script]}}});
    std::fs::write(folder.path().join("mcp.json"), import.to_string()).unwrap();
    let mut process = portcullis(folder.path())
        .args(["up", "--listen", "127.0.0.1:0", "--import", "mcp.json"])
        .args([&format!("named=python3 {}", script.display()), "gone=./no-such-program"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It prints until it has said all, and the last line is known.
    let mut text = String::new();
    for line in BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok) {
        text.push_str(&line);
        text.push('\n');
        if line.contains("Metrics:") {
            break;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let endpoint = text.lines().next().unwrap().rsplit(' ').next().unwrap();
    assert!(endpoint.starts_with("http://127.0.0.1:") && endpoint.ends_with("/mcp"), "{text}");
    assert!(text.contains("  imported  2 tools  (MCP 2025-11-25)"), "{text}");
    assert!(text.contains("  named     2 tools  (MCP 2025-11-25)"), "{text}");
    assert!(text.contains("  gone      DOWN: ") && text.contains("no-such-program"), "{text}");
    assert!(text.contains(&format!("claude mcp add --transport http portcullis {endpoint}")), "{text}");
    assert!(text.contains(&format!("portcullis connect {endpoint}")), "{text}");
    let paste = text.lines().find(|line| line.trim_start().starts_with('{')).unwrap();
    let paste: Value = serde_json::from_str(paste).unwrap();
    assert_eq!(paste["mcpServers"]["portcullis"], json!({"type": "http", "url": endpoint}));
}

/// A server with two tools and nothing else.
const TWO_TOOLS: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "initialize":
        answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "two", "version": "1"}}
    elif message["method"] == "tools/list":
        answer["result"] = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in "ab"]}
    else:
        answer["error"] = {"code": -32601, "message": "no"}
    print(json.dumps(answer), flush=True)
"#;

/// Lines of text, of JSON with a text, and of JSON that is one.
#[test]
fn guard_scan_tells_lines_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "nothing here\nché: write to jane@example.org\n{\"text\":\"iban DE89370400440532013000\"}\n{\"card\":4111111111111111}\n";
    std::fs::write(folder.path().join("lines"), lines).unwrap();
    let output = portcullis(folder.path()).args(["guard", "scan", "lines"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let places: Vec<_> = found
        .iter()
        .map(|found| (&found["line"], &found["entity"], &found["start"], &found["end"]))
        .collect();
    let expected = serde_json::json!([[2, "EMAIL", 15, 31], [3, "IBAN", 5, 27], [4, "CREDIT_CARD", 8, 24]]);
    assert_eq!(serde_json::json!(places), expected);
    assert_eq!(found[1]["detail"], "DE");
}

#[test]
fn guard_report_scores_what_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let lines = r#"{"text":"a@b.example and c@d.example","spans":[{"entity":"EMAIL","start":0,"end":11}]}
{"text":"no number","spans":[{"entity":"EMAIL","start":0,"end":2}]}
"#;
    std::fs::write(folder.path().join("marked"), lines).unwrap();
    let run = |arguments: &[&str]| {
        portcullis(folder.path()).args(["guard", "report", "marked"]).args(arguments).output().unwrap()
    };
    let output = run(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let email = &report["entities"]["EMAIL"];
    assert_eq!(
        (&email["right"], &email["wrong"], &email["missed"]),
        (&1.into(), &1.into(), &1.into()),
        "{report}"
    );
    assert_eq!(email["f1"], 0.5);
    assert_eq!(run(&["--floor", "0.6"]).status.code(), Some(1));
    std::fs::write(folder.path().join("marked"), "{}").unwrap();
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn an_endpoint_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = |args: &[&str]| {
        let output = portcullis(folder.path()).env_remove("PORTCULLIS_URL").args(args).output().unwrap();
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    for url in [format!("http://{nobody}"), format!("http://{nobody}/mcp")] {
        let (code, told) = run(&["tool", "list", "--url", &url]);
        assert_eq!(code, Some(3), "{told}");
        assert!(
            told.contains(&format!("nothing answers at http://{nobody}/mcp (`--url`, PORTCULLIS_URL): ")),
            "{told}"
        );
    }
    let (code, told) = run(&["connect", "127.0.0.1:8095/mcp"]);
    let expected = "`127.0.0.1:8095/mcp` is not the URL of an endpoint; write `http://127.0.0.1:8095/mcp`\n";
    assert_eq!((code, told.as_str()), (Some(2), expected));
    let (code, told) = run(&["connect", "ftp://h/mcp"]);
    assert!(code == Some(2) && told.starts_with("`ftp://h/mcp` is not a URL"), "{told}");
    let mut bridge = portcullis(folder.path());
    let bridge = bridge.args(["connect", &format!("http://{nobody}/mcp")]);
    let mut bridge = bridge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = bridge.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").unwrap();
    drop(input);
    let told = stdout(&bridge.wait_with_output().unwrap());
    assert!(told.contains(&format!("cannot connect to http://{nobody}/mcp: ")), "{told}");
}

#[test]
fn a_configuration_is_named_in_either_way_and_its_lack_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.yaml"), "servers: {}\n").unwrap();
    let output = run(folder.path(), &["config", "check", "-c", "good.yaml"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), "good.yaml: ok\n".to_owned()));
    let mut both = portcullis(folder.path());
    let both = both.env("PORTCULLIS_CONFIG", "other.yaml").args(["config", "show", "--config", "good.yaml"]);
    assert_eq!(both.output().unwrap().status.code(), Some(0), "what was typed wins");
    let output = run(folder.path(), &["definitions", "list"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("may also be named by PORTCULLIS_CONFIG"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_in_a_log_is_not_searched_for() {
    let folder = tempfile::tempdir().unwrap();
    for (args, told) in [
        (["--decision", "denied"], "possible values: allow, deny, refused"),
        (["--kind", "call"], "expected one of `exchange`, `denial`"),
    ] {
        let output = run(folder.path(), &["audit", "search", ".", args[0], args[1]]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
    let made = run(folder.path(), &["audit", "key", "gw/audit/one", "--file", "key"]);
    let shown = run(folder.path(), &["audit", "key", "--file", "key"]);
    assert_eq!((made.status.code(), stdout(&made)), (Some(0), stdout(&shown)));
    assert!(stdout(&shown).starts_with("gw/audit/one+"), "{shown:?}");
    let other = run(folder.path(), &["audit", "key", "gw/audit/two", "--file", "key"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("key is the key of gw/audit/one, not of gw/audit/two"), "{other:?}");
    let none = run(folder.path(), &["audit", "key", "--file", "none"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("say the NAME"), "{none:?}");
}

/// A verb without a section, a flag or an argument without a row, or a row without either fails here.
#[test]
fn the_reference_page_is_complete() {
    let page = include_str!("../../../../docs/reference/cli.md");
    let mut documented = sections(page);
    let mut verbs = vec![Vec::new()];
    while let Some(verb) = verbs.pop() {
        let help = help(&verb);
        let name = ["portcullis"]
            .iter()
            .copied()
            .chain(verb.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ");
        let told = documented
            .remove(&name)
            .unwrap_or_else(|| panic!("no section `{name}` in docs/reference/cli.md"));
        assert_eq!(
            help.terms, told,
            "docs/reference/cli.md, section `{name}`: help (left) and page (right) differ"
        );
        for sub in help.commands {
            let mut path = verb.clone();
            path.push(sub);
            verbs.push(path);
        }
    }
    assert!(documented.is_empty(), "the page tells of commands that do not exist: {documented:?}");
}

/// What the tables of each section name in their first column.
fn sections(page: &str) -> std::collections::BTreeMap<String, BTreeSet<String>> {
    let mut sections = std::collections::BTreeMap::new();
    let mut current = None;
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## `").and_then(|rest| rest.strip_suffix('`')) {
            sections.insert(name.to_owned(), BTreeSet::new());
            current = Some(name.to_owned());
        } else if let Some(cell) = line.strip_prefix("| `").and_then(|rest| rest.split(" | ").next())
            && let Some(current) = &current
        {
            let terms = cell.split(", ").map(|term| term.trim_matches('`'));
            let terms = terms.map(|term| term.split(' ').next().unwrap_or(term).to_owned());
            sections.get_mut(current).unwrap().extend(terms);
        }
    }
    sections
}

struct Help {
    commands: Vec<String>,
    /// Commands, flags and arguments, as the page's tables are to name them.
    terms: BTreeSet<String>,
}

fn help(verb: &[String]) -> Help {
    let output = portcullis(Path::new(".")).args(verb).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    let mut help = Help { commands: Vec::new(), terms: BTreeSet::new() };
    let mut part = "";
    for line in text.lines() {
        if let Some(heading) = line.strip_suffix(':').filter(|heading| !heading.contains(' ')) {
            part = heading;
        }
        let word = line.trim_start();
        let depth = line.len() - word.len();
        match part {
            "Commands" if depth == 2 => {
                let name = word.split(' ').next().unwrap().to_owned();
                if name != "help" {
                    help.commands.push(name.clone());
                }
                help.terms.insert(name);
            }
            "Arguments" if depth == 2 => {
                let name = word.trim_start_matches(['<', '[']).split(['>', ']']).next().unwrap();
                help.terms.insert(name.to_owned());
            }
            "Options" if word.starts_with('-') => {
                let flags = word.split([',', ' ']).map(str::trim).filter(|term| term.starts_with('-'));
                help.terms.extend(flags.map(str::to_owned));
            }
            _ => {}
        }
    }
    // Said once for all commands, at the top of the page.
    help.terms.retain(|term| !matches!(term.as_str(), "-h" | "--help"));
    // Some commands have a version of their own to name.
    if help.terms.remove("-V") {
        help.terms.remove("--version");
    }
    help
}
