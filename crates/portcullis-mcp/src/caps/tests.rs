//! Capabilities of both eras, and merges.

use super::server::INSTRUCTIONS_TOTAL;
use super::*;
use crate::json::Limits;

fn raw(text: &str) -> Raw {
    Raw::parse(bytes::Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
}

#[test]
fn client_capabilities_round_trip() {
    let cases = [
        ("{}", "{}"),
        (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
        (r#"{"elicitation":{"url":{}}}"#, r#"{"elicitation":{"url":{}}}"#),
        (
            r#"{"roots":{"listChanged":true},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#,
            r#"{"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#,
        ),
        (r#"{"extensions":{"x/y":{}},"sampling":null}"#, "{}"),
        (
            r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#,
            r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#,
        ),
    ];
    for (given, written) in cases {
        assert_eq!(ClientCaps::read(&raw(given)).write(Revision::V2026_07_28), written, "{given}");
    }
    let all = ClientCaps::read(&raw(r#"{"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#));
    assert_eq!(all.write(Revision::V2025_06_18), r#"{"sampling":{},"elicitation":{}}"#);
    assert_eq!(all.write(Revision::V2025_03_26), r#"{"sampling":{}}"#);
    let both = raw(r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{}}}"#);
    let both = ClientCaps::read(&both);
    assert_eq!(
        both.modern(),
        r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]},"io.modelcontextprotocol/tasks":{}}}"#
    );
    assert!(!both.write(Revision::V2025_11_25).contains("tasks"), "the extension is of 2026-07-28 alone");
    assert_eq!(both.without(ClientCaps::TASKS), ClientCaps::UI);
}

#[test]
fn a_revision_knows_no_later_capabilities() {
    let all = ClientCaps::read(&raw(
        r#"{"roots":{},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}}}"#,
    ));
    let older = ClientCaps::ROOTS | ClientCaps::SAMPLING;
    assert_eq!(all.known_in(Revision::V2024_11_05), older);
    assert_eq!(all.known_in(Revision::V2025_06_18), older | ClientCaps::ELICIT_FORM);
    assert_eq!(all.known_in(Revision::V2025_11_25), all);
    assert_eq!(all.known_in(Revision::V2026_07_28), all);
    assert!(all.answers() && !ClientCaps::UI.answers() && !ClientCaps::NONE.answers());
}

#[test]
fn each_question_needs_its_capability() {
    let needed = |method: &str, params: &str| ClientCaps::needed(&Method::parse(method), Some(&raw(params)));
    assert_eq!(needed("roots/list", "{}"), Some(ClientCaps::ROOTS));
    assert_eq!(needed("sampling/createMessage", "{}"), Some(ClientCaps::SAMPLING));
    let with_tools = ClientCaps::SAMPLING | ClientCaps::SAMPLING_TOOLS;
    assert_eq!(needed("sampling/createMessage", r#"{"tools":[]}"#), Some(with_tools));
    assert_eq!(needed("elicitation/create", "{}"), Some(ClientCaps::ELICIT_FORM));
    assert_eq!(needed("elicitation/create", r#"{"mode":"url"}"#), Some(ClientCaps::ELICIT_URL));
    assert_eq!(needed("tools/call", "{}"), None);
}

#[test]
fn merged_capabilities_are_the_union() {
    let mut merged = ServerCaps::read(&raw(r#"{"tools":{"listChanged":true},"experimental":{"x":{}}}"#));
    assert_eq!(merged.write().as_str(), r#"{"tools":{"listChanged":true},"experimental":{"x":{}}}"#);
    merged = ServerCaps { experimental: None, ..merged };
    merged.absorb(&ServerCaps::read(&raw(r#"{"prompts":{},"completions":{},"tasks":{}}"#)));
    assert_eq!(
        merged.write().as_str(),
        r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},"completions":{}}"#
    );
    merged.absorb(&ServerCaps::read(&raw(r#"{"resources":{"subscribe":true}}"#)));
    merged.absorb(&ServerCaps::read(&raw(r#"{"resources":{"subscribe":false}}"#)));
    let resources = merged.write().find("resources").unwrap();
    assert_eq!(resources.as_str(), r#"{"subscribe":true,"listChanged":true}"#);
    assert_eq!(merged.lists(), crate::subscription::Lists::ALL);
}

#[test]
fn settings_of_known_extensions_stay_and_others_go() {
    let given = r#"{"extensions":{"x/y":{},"io.modelcontextprotocol/skills":{"directoryRead":true},"io.modelcontextprotocol/ui":{"a":1}}}"#;
    let caps = ServerCaps::read(&raw(given));
    let written = r#"{"extensions":{"io.modelcontextprotocol/ui":{"a":1},"io.modelcontextprotocol/skills":{"directoryRead":true}}}"#;
    assert_eq!(caps.write().as_str(), written);
    let mut merged = ServerCaps::default();
    merged.absorb(&caps);
    assert_eq!(merged.write().as_str(), r#"{"extensions":{"io.modelcontextprotocol/ui":{"a":1}}}"#);
}

#[test]
fn apps_are_declared_when_any_server_has_them() {
    let read = |settings: &str| {
        ServerCaps::read(&raw(&format!(r#"{{"extensions":{{"{UI_EXTENSION}":{settings},"x/y":{{}}}}}}"#)))
    };
    let mut merged = ServerCaps::default();
    merged.absorb(&ServerCaps::default());
    assert_eq!(merged.write().as_str(), "{}");
    merged.absorb(&read(r#"{"mimeTypes":["a"]}"#));
    merged.absorb(&ServerCaps::default());
    merged.absorb(&read(r#"{"mimeTypes":["a"]}"#));
    assert_eq!(merged.ui.as_ref().unwrap().as_str(), r#"{"mimeTypes":["a"]}"#);
    merged.absorb(&read("{}"));
    assert_eq!(merged.write().as_str(), r#"{"extensions":{"io.modelcontextprotocol/ui":{}}}"#);
}

#[test]
fn tasks_are_declared_in_the_words_of_the_client() {
    for capabilities in [
        r#"{"tasks":{"requests":{"tools":{"call":{}}}}}"#,
        r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
    ] {
        let caps = ServerCaps::read(&raw(capabilities));
        let declared =
            |revision| caps.declare_tasks(Raw::from_static(r#"{"tools":{}}"#), revision).to_string();
        assert_eq!(
            declared(Revision::V2026_07_28),
            r#"{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#
        );
        assert_eq!(
            declared(Revision::V2025_11_25),
            r#"{"tools":{},"tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}}"#
        );
        assert_eq!(declared(Revision::V2025_06_18), r#"{"tools":{}}"#);
        let with_ui =
            caps.declare_tasks(Raw::from_static(r#"{"extensions":{"x/y":{}}}"#), Revision::V2026_07_28);
        assert_eq!(with_ui.as_str(), r#"{"extensions":{"x/y":{},"io.modelcontextprotocol/tasks":{}}}"#);
    }
    for none in ["{}", r#"{"tasks":{}}"#, r#"{"tasks":{"requests":{"tools":{}}}}"#] {
        assert!(!ServerCaps::read(&raw(none)).tasks, "{none}");
    }
}

#[test]
fn instructions_are_capped_per_server_and_in_total() {
    let long = "é".repeat(5000);
    let servers: Vec<(String, &str)> = (0..20).map(|n| (format!("s{n}"), long.as_str())).collect();
    let merged = merge_instructions(servers.iter().map(|(n, t)| (n.as_str(), *t))).unwrap();
    assert!(merged.len() < INSTRUCTIONS_TOTAL + 256);
    assert!(merged.starts_with("## s0\n\né"));
    assert!(merged.contains(" […]\n\n## s1\n\n"));
    assert_eq!(merge_instructions([("a", " ")].into_iter()), None);
}
