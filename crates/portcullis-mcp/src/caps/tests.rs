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
    ];
    for (given, written) in cases {
        assert_eq!(ClientCaps::read(&raw(given)).write(Revision::V2026_07_28), written, "{given}");
    }
    let all = ClientCaps::read(&raw(r#"{"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#));
    assert_eq!(all.write(Revision::V2025_06_18), r#"{"sampling":{},"elicitation":{}}"#);
    assert_eq!(all.write(Revision::V2025_03_26), r#"{"sampling":{}}"#);
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
    assert_eq!(merged.write().as_str(), "{}");
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
